"""One split by problem text: the same for every model, stable when rows are added, blind to spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.learning.splits import Split, SplitSettings, load_split, make_split, problem_key, save_split, seen_by
from hero_rl.types import Rollout


def rollout(problem: str, prompt_id: str | None = None) -> Rollout:
    return Rollout(prompt_id=prompt_id or problem, problem=problem, reference="1", response="1")


MANY = [rollout(f"problem number {i}") for i in range(600)]


def test_shares_come_out_about_as_asked():
    counts = make_split(MANY, SplitSettings(p_held_out=0.2, p_calibration=0.1)).counts()
    # four standard errors of a share of 600 are 0.065 and 0.049
    assert abs(counts["held_out"] / 600 - 0.2) < 0.065
    assert abs(counts["calibration"] / 600 - 0.1) < 0.049
    assert sum(counts.values()) == 600


@given(st.sets(st.integers(0, 599), min_size=1, max_size=40), st.integers(0, 5))
def test_a_problem_has_the_same_part_whatever_else_is_in_the_file(chosen, seed):
    settings = SplitSettings(seed=seed)
    whole, few = make_split(MANY, settings), make_split([MANY[i] for i in chosen], settings)
    assert all(few.part_of(MANY[i]) == whole.part_of(MANY[i]) for i in chosen)


def test_another_seed_deals_otherwise():
    first, second = (make_split(MANY, SplitSettings(seed=seed)).parts for seed in (0, 1))
    assert sum(first[key] != second[key] for key in first) > 100


def test_spellings_of_one_problem_share_a_part():
    key = problem_key("Find $x$ if $\\dfrac{1}{2} x = 3$.")
    assert key == problem_key("find  x if \\frac12 x=3", "another id")
    assert key != problem_key("Find $x$ if $\\dfrac{1}{2} x = 4$.")
    assert problem_key("2 + 3") != problem_key("2 - 3")


def test_problems_of_one_prompt_id_stay_together():
    rows = [rollout(f"text {i} of {j}", f"prompt {j}") for j in range(50) for i in range(4)]
    split = make_split(rows, SplitSettings(p_held_out=0.5))
    for j in range(50):
        assert len({split.part_of(row) for row in rows if row.prompt_id == f"prompt {j}"}) == 1


def test_problems_without_text_are_told_apart_by_their_ids():
    split = make_split([rollout("", f"p{i}") for i in range(100)], SplitSettings())
    assert len(split.parts) == 100


def test_an_earlier_part_is_kept_when_a_split_grows():
    earlier = make_split(MANY[:300], SplitSettings(seed=1))
    grown = make_split(MANY, SplitSettings(seed=2), earlier=earlier)
    assert all(grown.parts[key] == part for key, part in earlier.parts.items())
    assert len(grown.parts) == 600


def test_a_split_is_read_back_as_it_was_written(tmp_path):
    split = make_split(MANY[:20], SplitSettings(seed=3, p_held_out=0.3))
    save_split(tmp_path / "split.json", split)
    assert load_split(tmp_path) == split


def test_what_was_trained_or_calibrated_on_counts_as_seen():
    row = rollout("a")
    for part, seen in (("train", True), ("calibration", True), ("held_out", False)):
        split = Split(settings=SplitSettings(), parts={problem_key("a", "a"): part})  # type: ignore[dict-item]
        assert seen_by([split], row) is seen
    assert not seen_by([], row)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.6, 0.4), (-0.1, 0.1)])
def test_shares_that_leave_nothing_to_train_on_are_refused(shares):
    with pytest.raises(InputError):
        SplitSettings(p_held_out=shares[0], p_calibration=shares[1])


@pytest.mark.parametrize("text", ["", "{}", '{"version": 1, "seed": 0}', "[1]"])
def test_a_file_that_is_no_split_is_refused_with_its_name(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"split\.json"):
        load_split(path)
