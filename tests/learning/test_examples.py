"""What the learned verifier is taught: rewrites are right, corruptions are wrong, and the maths verifier has a veto."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hero_rl.learning.answers import read_answer
from hero_rl.learning.corruptions import corruptions
from hero_rl.learning.examples import Example, ExampleSettings, as_rollout, build_examples
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.rewrites import decorated, rewrites
from hero_rl.types import Rollout
from hero_rl.verifiers import MathVerifier

REFERENCES = [
    "12", "-7", "0.75", r"\frac{3}{4}", "1500", r"5\text{ cm}", "(1, 2]", "(1,2)", r"\{1, 2, 3\}", "x^2 + 3x", "1, 2", "2x - 1",
    r"[0, \infty)", "7/2",
]  # fmt: skip


@pytest.fixture(scope="module")
def maths() -> Iterator[MathVerifier]:
    with MathVerifier(workers=1) as verifier:
        yield verifier


def rows(*cases: tuple[str, str, str, bool]) -> list[LabelledRow]:
    return [
        LabelledRow(Rollout(prompt_id=problem, problem=problem, reference=reference, response=response), correct, "given")
        for problem, reference, response, correct in cases
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("12", "integer"), ("1,500", "integer"), ("-0.5", "decimal"), (r"-\frac{3}{4}", "fraction"), ("3/4", "fraction"),
        ("5 cm", "quantity"), (r"5\,\mathrm{kg}", "quantity"), ("(1, 2]", "interval"), (r"(-\infty, 2)", "interval"),
        ("(1, 2)", "tuple"), (r"\{1, 2\}", "set"), ("1, 2", "list"), ("x + 1", "expression"), ("yes", "words"),
    ],
)  # fmt: skip
def test_kinds_of_answers(text, kind):
    assert read_answer(text).kind == kind


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_rewrite_is_found_equal_by_the_maths_verifier(reference, maths):
    variants = rewrites(reference, np.random.default_rng(1))
    assert len(variants) >= 3
    made = [as_rollout(Example("", "", reference, one.text, True, one.kind)) for one in variants]
    assert [one.text for one, verdict in zip(variants, maths.verify(made), strict=True) if verdict.label != "correct"] == []


@pytest.mark.parametrize("reference", REFERENCES)
def test_no_corruption_but_a_dropped_unit_is_found_equal(reference, maths):
    variants = corruptions(reference, np.random.default_rng(1))
    assert len({one.kind for one in variants}) >= 3
    made = [as_rollout(Example("", "", reference, one.text, False, one.kind)) for one in variants]
    equal = {one.kind for one, verdict in zip(variants, maths.verify(made), strict=True) if verdict.label == "correct"}
    assert equal <= {"dropped_unit", "brackets"}  # [0, infinity] is read as [0, infinity)


def test_corruptions_repeat_the_mistakes_that_responses_make():
    kinds = {one.kind for text in REFERENCES for one in corruptions(text, np.random.default_rng(0))}
    assert kinds >= {
        "sign", "factor_10", "factor_100", "digits", "off_by_one", "upside_down", "dropped_unit", "other_unit", "brackets",
        "reordered", "dropped_item", "hedge", "trick",
    }  # fmt: skip


def test_examples_come_from_responses_rewrites_corruptions_and_other_references(maths):
    found = build_examples(
        rows(("p", "12", r"so \boxed{12.0}", True), ("p", "12", r"so \boxed{21}", False), ("q", "35", r"\boxed{35}", True)),
        maths,
        ExampleSettings(rewrites=3, corruptions=3, swaps=2),
    )
    own = {(one.answer, one.equivalent) for one in found.examples if one.kind == "response"}
    assert own == {("12.0", True), ("21", False), ("35", True)}
    swapped = [one for one in found.examples if one.kind == "wrong:other_reference"]
    assert {one.reference for one in swapped} <= {"12", "35"}
    assert not any(one.equivalent for one in swapped)
    for example in found.examples:
        assert maths.verify([as_rollout(example)])[0].label in ("abstain", "correct" if example.equivalent else "incorrect")


def test_what_the_maths_verifier_contradicts_is_not_taught(maths):
    # the sign of zero, ten times zero: no mistakes
    found = build_examples(rows(("p", "0", r"\boxed{0}", True)), maths, ExampleSettings(rewrites=0, corruptions=20, swaps=0))
    assert found.vetoed == 0
    same_value = rows(("p", "1/2", r"\boxed{3}", False), ("q", "0.5", r"\boxed{4}", False))
    swapped = build_examples(same_value, maths, ExampleSettings(rewrites=0, corruptions=0, swaps=3))
    assert [one for one in swapped.examples if one.kind == "wrong:other_reference"] == []
    assert swapped.vetoed > 0


def test_an_answer_labelled_both_ways_is_left_out(maths):
    contradictory = rows(("p", "1", r"\boxed{2}", True), ("p", "1", r"is \boxed{2}", False), ("p", "1", "no box" * 100, False))
    found = build_examples(contradictory, maths, ExampleSettings(rewrites=0, corruptions=0))
    assert found == ([], 1, 0)


def test_old_examples_stay_the_same_when_problems_are_added(maths):
    settings = ExampleSettings(swaps=0)
    old = rows(("p", "12", r"\boxed{12}", True), ("q", "0.5", r"\boxed{2}", False))
    more = [*old, *rows(("r", "x+1", r"\boxed{x+2}", False))]
    before, after = (set(build_examples(some, maths, settings, seed=3).examples) for some in (old, more))
    assert before < after
    assert before != set(build_examples(old, maths, settings, seed=4).examples)


def test_wrong_answers_come_in_as_many_forms_as_right_ones():
    rng = np.random.default_rng(0)
    forms = [decorated("13", rng) for _ in range(400)]
    assert 60 < forms.count("13") < 140
    assert len(set(forms)) > 5
