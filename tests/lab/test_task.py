from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hero_lab.corpus import demonstrations, garbled, mismatched, with_mistakes, without_errors_below
from hero_lab.families import CHAIN
from hero_lab.families.chain import FORMS, ChainProblem, all_problems, deal_error_rates, parse_answer, render
from hero_lab.presets import ARMS, find_arm
from hero_lab.settings import plan_run, plan_runs
from hero_lab.task import (
    REGIMES,
    AbstainingVerifier,
    StrictVerifier,
    build_items,
    oracle,
    split_problems,
    steps_correct,
)
from hero_rl.errors import InputError
from hero_rl.types import Rollout, Verifier

PROBLEM = ChainProblem(4, "*", 6, "-", 5, 4)  # ((4 * 6) - 5) / 4 = 19/4


def test_the_worked_example_of_the_module() -> None:
    assert (PROBLEM.step1, PROBLEM.step2, PROBLEM.value) == (24, 19, Fraction(19, 4))
    assert PROBLEM.prompt("H") == "^4*6-5:4H"


@pytest.mark.parametrize("answer", ["4.75", "19/4", "475%", "4_3/4", "38/8", "57/12", "4.750"])
def test_oracle_accepts_every_way_of_writing_the_answer(answer: str) -> None:
    assert oracle(PROBLEM, f"24;19;{answer}")


@pytest.mark.parametrize("answer", ["4.7", "19", "47.5%", "3_3/4", "19/0", "", "four", "4.75.", "-4.75", "4,75", "4.75 "])
def test_oracle_refuses_other_numbers_and_what_is_no_number(answer: str) -> None:
    assert not oracle(PROBLEM, f"24;19;{answer}")


def test_oracle_judges_the_answer_and_not_the_steps_and_no_cut_off_response() -> None:
    assert oracle(PROBLEM, "1;2;4.75")
    assert not oracle(PROBLEM, "24;19;4.75", finished=False)
    assert steps_correct(PROBLEM, "24;19;4.75") == (True, True, True)
    assert steps_correct(PROBLEM, "24;18;4.5") == (True, False, False)
    assert steps_correct(PROBLEM, "23;19;4.75") == (False, False, True)
    assert steps_correct(PROBLEM, "24") == (False, False, False)


def test_every_right_answer_in_every_form_is_read_back() -> None:
    for problem in all_problems():
        for form in FORMS:
            text = render(problem.value, form)
            assert parse_answer(text) == problem.value
            assert len(f"{problem.step1};{problem.step2};{text}") < CHAIN.response_length


def test_forms_of_the_worked_example() -> None:
    assert [render(Fraction(19, 4), form) for form in FORMS] == ["4.75", "19/4", "475%", "4_3/4", "38/8"]
    assert [render(Fraction(5, 1), form) for form in FORMS] == ["5", "5/1", "500%", "5_0/1", "10/2"]


def rollout(response: str, *, reference: str = "19/4", finished: bool = True) -> Rollout:
    return Rollout(prompt_id="p", problem="^4*6-5:4H", reference=reference, response=response, finished=finished)


def test_strict_verifier_knows_one_way_of_writing_and_abstains_without_a_reference() -> None:
    verifier = StrictVerifier()
    assert isinstance(verifier, Verifier)
    rows = [rollout("24;19;19/4"), rollout("24;19;4.75"), rollout("24;19;"), rollout("24;19;19/4", finished=False)]
    assert [verdict.value for verdict in verifier.verify(rows)] == [1, 0, 0, 0]
    assert verifier.verify([rollout("24;19;19/4", reference="")])[0].label == "abstain"


def test_strict_verifier_never_errs_when_it_says_correct_and_misses_most_right_answers_on_hard_prompts() -> None:
    rows = demonstrations(split_problems()["train"], 4000, deal_error_rates(0), np.random.default_rng(0))
    references = {item.prompt: item.reference for item in build_items("train", "mixed", seed=0)}
    judged = [
        (row.tag, oracle(row.problem, row.response), verdict.value == 1.0)
        for row, verdict in zip(
            rows,
            StrictVerifier().verify([rollout(row.response, reference=references[row.prompt]) for row in rows]),
            strict=True,
        )
    ]
    assert not any(said and not right for _, right, said in judged)
    recall = {tag: np.mean([said for t, right, said in judged if right and t == tag]) for tag in "VH"}
    assert recall["V"] == 1.0
    assert 0.05 < recall["H"] < 0.16  # a half of the references in words, and one form in five of the others


def test_splits_are_disjoint_whole_and_the_same_for_every_seed() -> None:
    splits = split_problems()
    assert {name: len(problems) for name, problems in splits.items()} == {
        "train": 1690, "rm_test": 200, "development": 200, "held_out": 300,
    }  # fmt: skip
    together = [problem for problems in splits.values() for problem in problems]
    assert len(set(together)) == len(together) == len(all_problems())
    for seed in (0, 1):
        assert {item.problem for item in build_items("held_out", "hard", seed=seed)} == set(splits["held_out"])


def test_regimes_tag_the_same_problems_and_a_prompt_has_one_reference_in_all_of_them() -> None:
    hard, easy, mixed = (build_items("held_out", regime, seed=3) for regime in ("hard", "verifiable", "mixed"))
    assert {item.tag for item in hard} == {"H"}
    assert {item.tag for item in easy} == {"V"}
    assert set(mixed) == set(hard) | set(easy)
    assert build_items("held_out", "hard", seed=3) == hard != build_items("held_out", "hard", seed=4)


def test_error_rates_are_one_list_dealt_in_another_order_a_seed() -> None:
    first, second = deal_error_rates(0), deal_error_rates(1)
    assert first == deal_error_rates(0) != second
    for rates in (first, second):
        dealt = {part: sorted(rate for skill, rate in rates.items() if skill[0] == part) for part in ("step1", "step2", "form")}
        assert dealt["step1"] == dealt["step2"] == [0.03, 0.08, 0.15, 0.25, 0.4, 0.6]
        assert dealt["form"] == [0.05] * 5 + [0.25] * 5 + [0.5] * 5
    robust = without_errors_below(first, 0.3)
    assert sorted(rate for skill, rate in robust.items() if skill[0] == "step1") == [0, 0, 0, 0, 0.4, 0.6]
    tripled = with_mistakes(first, 3.0)  # odds of 1 to 3 become 1 to 1
    assert {rate for skill, rate in tripled.items() if first[skill] == 0.25} == {0.5}
    assert with_mistakes(first, 1.0) == first


def test_a_response_goes_wrong_where_the_draws_say_and_carries_the_mistake_on() -> None:
    rates = deal_error_rates(0)
    right = [0.99] * 6
    assert PROBLEM.write(FORMS.index("fraction"), rates, right) == "24;19;19/4"
    assert PROBLEM.write(FORMS.index("fraction"), rates, [0.0, 0.0, *right[2:]]) == "25;20;5/1"
    assert PROBLEM.write(FORMS.index("fraction"), rates, [*right[:2], 0.0, 0.5, *right[4:]]) == "24;18;9/2"
    assert PROBLEM.write(FORMS.index("decimal"), rates, [*right[:4], 0.0, 0.0]) == "24;19;5"


def test_junk_keeps_the_prompts_and_fits_the_sequence() -> None:
    rng = np.random.default_rng(0)
    rows = demonstrations(split_problems()["train"], 300, deal_error_rates(0), rng)
    for changed in (mismatched(rows, rng), garbled(rows, rng)):
        assert [row.prompt for row in changed] == [row.prompt for row in rows]
        assert max(len(row.response) for row in changed) < CHAIN.response_length
        assert np.mean([oracle(row.problem, row.response) for row in changed]) < 0.25


def test_arms_by_name_with_settings() -> None:
    arm = find_arm("hero:alpha=0.2,scale=batch,learning_rate=3e-4,weighting=false", regime="hard", kl=False)
    assert (arm.rule, arm.scale, arm.learning_rate) == ("hero", "batch", 3e-4)
    assert dict(arm.rule_settings) == {"alpha": 0.2, "weighting": False}
    assert find_arm("gated", regime="hard", kl=False).scale == "none"


def test_every_arm_is_tuned_for_every_regime_with_and_without_kl() -> None:
    for regime in REGIMES:
        for kl in (False, True):
            assert {name: find_arm(name, regime=regime, kl=kl).rule for name in ARMS} == ARMS
            assert find_arm("hero", regime=regime, kl=kl).scale == "none"
            assert find_arm("hero_group_std", regime=regime, kl=kl).scale == "group"


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"regime": "soft"}, "soft"),
        ({"tier": "perfect"}, "perfect"),
        ({"rules": ("heroo",)}, "heroo"),
        ({"rules": ("hero:alfa=1",)}, "alfa"),
        ({"rules": ("hero:alpha=0.6,beta=0.6",)}, "0.6"),
        ({"rules": ("hero:alpha",)}, "alpha"),
        ({"rules": ("hero:scale=std",)}, "std"),
        ({"rules": ("hero:learning_rate=fast",)}, "fast"),
        ({"steps": 0}, "steps=0"),
        ({"kl": -1.0}, "kl=-1"),
        ({"scale": "std"}, "std"),
    ],
)
def test_wrong_settings_are_refused_with_the_value_seen(change: dict[str, object], seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        plan_runs(**{"rules": ("hero",), **change})  # type: ignore[arg-type]


def test_runs_pair_every_arm_with_every_seed_and_the_digest_ignores_only_the_name() -> None:
    rules = ("hero", "hero:alpha=0.05", "verifier_only")
    runs = plan_runs(rules, seeds=(0, 1))
    assert [(run.label, run.seed) for run in runs] == [(rule, seed) for seed in (0, 1) for rule in rules]
    assert len({run.digest for run in runs}) == 6
    assert plan_run("hero_group_std").digest == plan_run("hero:scale=group").digest
    assert plan_run("verifier_only", kl=0.05).learning_rate == find_arm("verifier_only", regime="hard", kl=True).learning_rate


def test_an_abstaining_verifier_says_so_where_the_reference_is_in_words_and_judges_the_rest() -> None:
    items = build_items("train", "hard", seed=0)[:200]
    rows = [
        Rollout(prompt_id="p", problem=item.prompt, reference=item.reference, response=f"1;2;{item.reference}", finished=True)
        for item in items
    ]
    verdicts = AbstainingVerifier(StrictVerifier(), CHAIN).verify(rows)
    in_words = [item.reference == item.problem.in_words() for item in items]
    assert 60 < sum(in_words) < 140  # about half
    assert [verdict.label for verdict in verdicts] == ["abstain" if words else "correct" for words in in_words]
    assert not any(verdict.failed for verdict in verdicts)
