from __future__ import annotations

import numpy as np
import pytest

from hero_lab.corpus import demonstrations, garbled, mismatched
from hero_lab.families import FAMILIES
from hero_lab.families.equations import EQUATIONS, EquationProblem
from hero_lab.families.units import UNITS, UnitProblem
from hero_lab.family import Family
from hero_lab.task import StrictVerifier, build_items, oracle, split_problems, steps_correct
from hero_rl.types import Rollout

ROOTS = EquationProblem("-", 3, "/", 2, "=", 4)  # |x - 3| / 2 = 4: 8 away from 3
INTERVAL = ROOTS._replace(relation="<")
LENGTH = UnitProblem(2, 1, "f", "+", 5, "i")  # 2 pieces of 1 foot, and 5 inches
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


def test_the_worked_examples_of_the_modules() -> None:
    assert ROOTS.prompt("H") == "^-3/2=4H"
    assert (ROOTS.middle, ROOTS.steps) == (3, ("8",))
    assert [ROOTS.render(form) for form in range(5)] == ["-5,11", "11,-5", "{-5,11}", "3~8", "-5|11"]
    assert [INTERVAL.render(form) for form in range(5)] == ["(-5,11)", "]-5,11[", "-5<x<11", "11>x>-5", "-5..11"]
    assert (ROOTS.in_words(), INTERVAL.in_words()) == ("minus five and one one", "from minus five to one one")
    assert LENGTH.prompt("V") == "^2*1f+5iV"
    assert LENGTH.steps == ("24", "29")
    assert [LENGTH.render(form) for form in range(5)] == ["29i", "2f5i", "29/12f", "2.9e1i", "5i2f"]
    assert LENGTH.in_words() == "two nine inches"


@pytest.mark.parametrize("answer", ["-5,11", "{11,-5}", "11|-5", "3~8", "-05,11"])
def test_a_set_is_the_same_in_any_order_and_notation(answer: str) -> None:
    assert ROOTS.accepts(answer)
    assert not INTERVAL.accepts(answer) or answer == "3~8"


@pytest.mark.parametrize("answer", ["11", "-5", "5,-11", "-5,11,11", "(-5,11)", "-5<x<11", "8~3", "{-5,11", "-5,11}", ""])
def test_a_set_with_a_root_lost_or_of_another_kind_is_refused(answer: str) -> None:
    assert not ROOTS.accepts(answer)


@pytest.mark.parametrize("answer", ["(11,-5)", "11<x<-5", "-5>x>11", "]-5,11]", "x<11", "-5,11", "{-5,11}", "(-5,12)", "٣~8"])
def test_an_interval_with_its_ends_exchanged_or_closed_or_one_of_them_lost_is_refused(answer: str) -> None:
    assert not INTERVAL.accepts(answer)


@pytest.mark.parametrize("answer", ["29i", "1f17i", "0y2f5i", "17i1f", "29/36y", "2.9e1i", "29.0i", "24i5i"])
def test_a_quantity_is_the_same_in_any_units(answer: str) -> None:
    assert LENGTH.accepts(answer)


@pytest.mark.parametrize("answer", ["29", "29f", "29p", "2f5", "5f2i", "29/0i", "29/12i", "2f5p", "", "i", "2.9e1", "29m"])
def test_another_quantity_or_none_or_one_of_another_kind_is_refused(answer: str) -> None:
    assert not LENGTH.accepts(answer)


def test_steps_are_right_up_to_the_first_mistake() -> None:
    assert steps_correct(ROOTS, "8;11,-5") == (True, True)
    assert steps_correct(ROOTS, "7;11,-5") == (False, True)
    assert steps_correct(ROOTS, "8;-11,5") == (True, False)
    assert steps_correct(LENGTH, "24;29;29i") == (True, True, True)
    assert steps_correct(LENGTH, "20;25;25i") == (False, False, False)
    assert steps_correct(LENGTH, "24;19;29i") == (True, False, True)


def test_mistakes_in_equations_come_where_the_draws_say() -> None:
    rates = dict.fromkeys(EQUATIONS.deal_error_rates(0), 0.5)
    right = [0.9] * 8
    assert ROOTS.write(0, rates, right) == "8;-5,11"
    assert ROOTS.write(0, rates, [0.0, 0.0, *right[2:]]) == "2;1,5"  # 4 - 2 instead of 4 * 2
    assert ROOTS.write(0, rates, [0.0, 0.9, 0.0, *right[3:]]) == "9;-6,12"
    assert ROOTS.write(0, rates, [*right[:3], 0.0, *right[4:]]) == "8;-11,5"  # |x + 3|
    assert ROOTS.write(0, rates, [*right[:4], 0.0, 0.0, *right[6:]]) == "8;11"
    assert INTERVAL.write(0, rates, [*right[:4], 0.0, 0.0, *right[6:]]) == "8;x<11"
    assert INTERVAL.write(2, rates, [*right[:4], 0.0, 0.9, 0.0, 0.0]) == "8;-4<x<11"


def test_mistakes_in_units_come_where_the_draws_say() -> None:
    rates = dict.fromkeys(UNITS.deal_error_rates(0), 0.5)
    right = [0.9] * 6
    assert LENGTH.write(1, rates, right) == "24;29;2f5i"
    assert LENGTH.write(0, rates, [0.0, 0.0, *right[2:]]) == "20;25;25i"  # 10 inches in a foot
    assert LENGTH.write(0, rates, [0.0, 0.5, *right[2:]]) == "0;5;5i"  # 2 // 12
    assert LENGTH.write(0, rates, [*right[:2], 0.0, 0.0, *right[4:]]) == "24;19;19i"
    assert LENGTH.write(1, rates, [*right[:4], 0.0, 0.0]) == "24;29;2i5f"
    assert LENGTH.write(0, rates, [*right[:4], 0.0, 0.4]) == "24;29;30i"


@families
def test_every_right_answer_in_every_form_is_accepted_and_has_a_text_of_its_own(family: Family) -> None:
    problems = family.problems()
    assert len(problems) == len(set(problems)) > 1500
    for problem in problems:
        texts = [problem.render(form) for form in range(family.forms)]
        assert len(set(texts)) == family.forms
        assert all(map(problem.accepts, texts))
        response = ";".join((*problem.steps, max(texts, key=len)))
        assert len(problem.steps) == family.steps
        assert len(response) < family.response_length
        assert len(problem.prompt("V")) == len(problem.prompt("H")) == family.prompt_length
        assert set(response + problem.prompt("V") + problem.prompt("H")) <= set(family.alphabet)
        assert not set(problem.in_words()) <= set(family.alphabet)


@families
def test_demonstrations_fit_are_about_half_right_and_differ_by_seed(family: Family) -> None:
    assert set(family.junk) <= set(family.alphabet)
    assert len(set(family.alphabet)) == len(family.alphabet)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rates = family.deal_error_rates(seed)
        assert rates != family.deal_error_rates(seed + 1)
        assert sorted(rates.values()) == sorted(family.deal_error_rates(seed + 1).values())
        rows = demonstrations(family.problems(), 2000, rates, rng, family=family)
        assert 0.4 < np.mean([oracle(row.problem, row.response) for row in rows]) < 0.7
        for changed in (rows, mismatched(rows, rng), garbled(rows, rng, family=family)):
            assert max(len(row.response) for row in changed) < family.response_length
            assert set("".join(row.response for row in changed)) <= set(family.alphabet)


@families
def test_the_strict_verifier_knows_every_right_answer_of_v_prompts_and_one_in_ten_of_h_prompts(family: Family) -> None:
    rng = np.random.default_rng(0)
    items = {item.prompt: item for item in build_items("train", "mixed", seed=0, family=family)}
    found: dict[str, list[bool]] = {"V": [], "H": []}
    for row in demonstrations(split_problems(family)["train"], 6000, family.deal_error_rates(0), rng, family=family):
        item = items[row.prompt]
        rollout = Rollout(prompt_id=row.prompt, problem=row.prompt, reference=item.reference, response=row.response)
        said = StrictVerifier().verify([rollout])[0].value == 1
        right = oracle(row.problem, row.response)
        assert right or not said
        if right:
            found[row.tag].append(said)
    # Two mistakes may cancel: half the number, of the unit that is twice as large.
    assert np.mean(found["V"]) > 0.99
    assert 0.06 < np.mean(found["H"]) < 0.14


@families
def test_splits_of_every_family_are_disjoint_and_whole(family: Family) -> None:
    splits = split_problems(family)
    assert {name: len(splits[name]) for name in ("rm_test", "development", "held_out")} == {
        "rm_test": 200, "development": 200, "held_out": 300,
    }  # fmt: skip
    assert len(splits["train"]) > 1000
    together = [problem for problems in splits.values() for problem in problems]
    assert sorted(map(str, together)) == sorted(map(str, family.problems()))
