"""Preference pairs: inside prompts, bounded, balanced in length, the same for the same seed."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from hero_rl.errors import InputError
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.pairs import Pair, make_pairs, read_pairs, share_chosen_longer
from hero_rl.types import Rollout


def row(problem: str, response: str, correct: bool) -> LabelledRow:
    return LabelledRow(Rollout(prompt_id=problem, problem=problem, reference="1", response=response), correct, "given")


def group(problem: str, correct_lengths: list[int], wrong_lengths: list[int]) -> list[LabelledRow]:
    return [row(problem, f"{'c' * n}", True) for n in correct_lengths] + [row(problem, "w" * n, False) for n in wrong_lengths]


def test_a_correct_response_is_preferred_to_an_incorrect_one_of_the_same_prompt():
    made = make_pairs([*group("a", [3], [5]), *group("b", [4], [2])])
    assert sorted(made.pairs) == [Pair("a", "ccc", "wwwww"), Pair("b", "cccc", "ww")]
    assert (made.prompts, made.uniform_prompts) == (2, 0)


def test_at_most_so_many_pairs_a_prompt_and_every_response_is_used_alike():
    made = make_pairs(group("a", [1, 2, 7, 8], [3, 4, 5, 6]), max_per_prompt=8)
    assert len(made.pairs) == len(set(made.pairs)) == 8
    assert set(Counter(pair.chosen for pair in made.pairs).values()) == {2}
    assert set(Counter(pair.rejected for pair in made.pairs).values()) == {2}


def test_length_is_no_give_away_where_the_rollouts_allow_it():
    # every prompt has long and short responses of both kinds, three in four correct ones are long
    rows = [r for i in range(40) for r in group(f"p{i}", [30, 31, 32, 5], [6, 20, 21, 33])]
    made = make_pairs(rows, max_per_prompt=6)
    assert abs(share_chosen_longer(made.pairs) - 0.5) <= 0.05


def test_a_surplus_of_one_direction_is_dropped_but_no_prompt_loses_its_only_pair():
    # the wrong responses of nine prompts in ten are all longer
    rows = [r for i in range(20) for r in group(f"p{i}", [5, 6, 7], [10, 11, 12] if i % 10 else [1, 2, 3])]
    made = make_pairs(rows, max_per_prompt=4)
    assert made.dropped_for_balance > 0
    assert {pair.prompt for pair in made.pairs} == {f"p{i}" for i in range(20)}
    assert len(made.pairs) + made.dropped_for_balance == 80


def test_a_give_away_that_cannot_be_hidden_costs_at_most_half_of_the_pairs():
    made = make_pairs(group("a", [1, 2, 3, 4], [5, 6, 7, 8]), max_per_prompt=8)
    assert (len(made.pairs), made.dropped_for_balance) == (4, 4)
    assert share_chosen_longer(made.pairs) == 0.0


def test_pairs_depend_on_the_seed_alone():
    rows = [r for i in range(10) for r in group(f"p{i}", [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12])]
    assert make_pairs(rows, max_per_prompt=3, seed=1) == make_pairs(rows, max_per_prompt=3, seed=1)
    assert make_pairs(rows, max_per_prompt=3, seed=1) != make_pairs(rows, max_per_prompt=3, seed=2)


def test_a_response_labelled_both_ways_is_left_out():
    rows = [row("a", "same", True), row("a", "same", False), row("a", "good", True), row("a", "bad", False)]
    assert make_pairs(rows).pairs == [Pair("a", "good", "bad")]


def test_prompts_without_right_and_wrong_responses_give_no_pair():
    made = make_pairs([*group("a", [1, 2], []), *group("b", [], [1, 2])])
    assert (made.pairs, made.prompts, made.uniform_prompts) == ([], 0, 2)


def test_pairs_are_read_from_texts_and_from_single_turns(tmp_path):
    path = tmp_path / "pairs.jsonl"
    turns = {
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": [{"role": "assistant", "content": "yes"}],
        "rejected": "no",
    }
    path.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + "\n" + json.dumps(turns) + "\n")
    assert read_pairs(path) == [Pair("p", "a", "b"), Pair("q", "yes", "no")]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"prompt": "p", "chosen": "a"}, "missing column 'rejected'"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "same text"),
        ({"prompt": "p", "chosen": "a", "rejected": 3}, "must be a text"),
        ({"prompt": [{"role": "user", "content": "x"}] * 2, "chosen": "a", "rejected": "b"}, "must be a text"),
    ],
)
def test_a_broken_pair_is_reported_with_its_line(tmp_path, second, message):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + "\n" + json.dumps(second) + "\n")
    with pytest.raises(InputError, match=rf"pairs\.jsonl:2.*{message}"):
        read_pairs(path)
