"""Fields of a row decide how answers are compared: unit, tolerance, order, type, options, several sub-answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from hero_rl.data.rollouts import read_reference, read_rollouts
from hero_rl.errors import InputError
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers import MathVerifier
from hero_rl.verifiers.math.fields import NO_FIELDS, Fields, read_fields
from hero_rl.verifiers.math.problem import Tolerance


@pytest.fixture(scope="module")
def maths() -> Iterator[MathVerifier]:
    with MathVerifier(workers=1) as verifier:
        yield verifier


def ask(verifier: MathVerifier, right: str, answer: str, problem: str = "", **extra: object) -> Verdict:
    rollout = Rollout(prompt_id="p", problem=problem, reference=right, response=rf"\boxed{{{answer}}}", extra=extra)
    return verifier.verify([rollout])[0]


@pytest.mark.parametrize(
    ("value", "size", "relative"),
    [
        (0.02, "1/50", True), ("0.02", "1/50", True), ("2%", "1/50", True), (r"2\%", "1/50", True), (0, "0", True),
        ({"relative": 0.25}, "1/4", True), ({"absolute": 0.5}, "1/2", False),
        ({"absolute": "5e-2", "relative": None}, "1/20", False),
    ],
)  # fmt: skip
def test_tolerances(value: object, size: str, relative: bool) -> None:
    fields = read_fields({"tolerance": value})
    assert isinstance(fields, Fields)
    assert fields.tolerance == Tolerance(Fraction(size), relative)


def test_a_column_called_error_is_an_absolute_tolerance_where_it_is_a_number() -> None:
    assert read_fields({"error": "1e-1"}) == NO_FIELDS._replace(tolerance=Tolerance(Fraction(1, 10), False))
    for other in ("connection lost", None, "", "0", True, "1e-1,1e-2"):
        assert read_fields({"error": other}) == NO_FIELDS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("tolerance", value)
            for value in (
                "abc", -0.1, 0.5, "50", True, [0.1], {"relative": 1.5}, {"absolute": -1}, {"relative": 0.1, "absolute": 1}, {},
                {"about": 1}, math.inf, "150%", "e5", "1e9999",
            )
        ),
        ("unit", 5), ("unit", "m" * 300), ("answer_type", ["set"]), ("ordered", "perhaps"), ("ordered", 2), ("options", "A, B"),
        ("options", ["one"]),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_used_abstains_and_never_accepts(maths: MathVerifier, name: str, value: object) -> None:
    assert isinstance(read_fields({name: value}), str)
    assert ask(maths, "7", "7", "", **{name: value})[:2] == ("abstain", "field_invalid")


@pytest.mark.parametrize("name", ["tolerance", "unit", "answer_type", "ordered", "options", "error", "reference"])
def test_null_and_blank_fields_say_nothing(name: str) -> None:
    for value in (None, "", "  ", math.nan):
        assert read_fields({name: value}) == NO_FIELDS


@pytest.mark.parametrize(
    ("reference", "answer", "tolerance", "label"),
    [
        ("200", "202", "1%", "correct"), ("200", "203", "1%", "incorrect"), ("200", "198", 0.01, "correct"),
        ("-200", "-202", 0.01, "correct"), ("-200", "202", 0.01, "incorrect"), ("0", "0.001", 0.01, "incorrect"),
        ("0", "0.001", {"absolute": 0.01}, "correct"), ("10", "10.5", {"absolute": 0.5}, "correct"),
        ("10", "10.51", {"absolute": 0.5}, "incorrect"), (r"\sqrt{2}", "1.42", 0.01, "correct"),
        (r"\sqrt{2}", "1.414", 0, "incorrect"), ("2.5", r"\frac52", 0, "correct"), ("3+4i", "3+4.01i", "1%", "correct"),
        ("3, 200", "3, 201", "1%", "correct"), ("(3, 200)", "(3, 210)", "1%", "incorrect"),
        ("x+200", "x+201", "1%", "incorrect"), (r"2\times 10^{-9}", r"2.01\times 10^{-9}", "1%", "correct"),
        ("10^{40}", "1.02 \\times 10^{40}", "1%", "incorrect"), ("10^{40}", "1.01 \\times 10^{40}", "1%", "correct"),
        ("yes", "no", "1%", "incorrect"),
    ],
)  # fmt: skip
def test_a_tolerance_decides(maths: MathVerifier, reference: str, answer: str, tolerance: object, label: str) -> None:
    assert ask(maths, reference, answer, tolerance=tolerance).label == label


@pytest.mark.parametrize(
    ("answer", "unit", "label"),
    [
        ("8", "m", "correct"), ("8 m", "m", "correct"), (r"8\text{ m}", "m", "correct"), ("800 cm", "m", "correct"),
        ("8 cm", "m", "incorrect"), ("9 m", "m", "incorrect"), (r"8\text{ s}", "m", "abstain"),
        (r"\frac{16}{2}", "m", "correct"),
        ("8 m/s", r"$\mathrm{~m/s}$", "correct"), ("28.8 km/h", "m/s", "correct"), (r"8\text{ m}", "m/s", "abstain"),
        (r"8\%", "%", "correct"), ("0.08", "percent", "abstain"), ("80", "%", "incorrect"), (r"8^\circ", "degrees", "correct"),
        (r"8 \times 10^{-3} \text{ kg}", r"$10^{-3}$ kg", "abstain"),
    ],
)  # fmt: skip
def test_a_unit_is_that_of_a_reference_without_one(maths: MathVerifier, answer: str, unit: str, label: str) -> None:
    assert ask(maths, "8", answer, unit=unit).label == label


def test_the_unit_of_the_reference_goes_before_the_field(maths: MathVerifier) -> None:
    assert ask(maths, r"8\text{ m}", r"8\text{ cm}", unit="cm").label == "incorrect"


def test_order_is_what_the_field_says_and_then_what_the_question_says(maths: MathVerifier) -> None:
    rising = "List the solutions in increasing order."
    asked = {
        (ordered, problem): ask(maths, "1, 2, 5", "5, 1, 2", problem, ordered=ordered).label
        for ordered in (True, False, None) for problem in ("Solve it.", rising)
    }  # fmt: skip
    assert asked[True, "Solve it."] == asked[True, rising] == asked[None, rising] == "incorrect"
    assert asked[False, "Solve it."] == asked[False, rising] == asked[None, "Solve it."] == "correct"


def test_several_sub_answers_must_all_be_there_and_their_order_is_not_guessed(maths: MathVerifier) -> None:
    def label(answer: str, problem: str = "", **extra: object) -> str:
        return ask(maths, "4, 9", answer, problem, reference=["4", "9"], **extra).label

    assert [label(one) for one in ("4, 9", "9, 4", "4", "4, 10", "4, 9, 1")] == [
        *("correct", "abstain", "incorrect", "incorrect", "incorrect")
    ]
    assert label("9, 4", ordered=False) == label("9, 4", answer_type="set") == "correct"
    assert label("9, 4", ordered=True) == label("9, 4", "Find x and y, respectively.") == "incorrect"


@pytest.mark.parametrize(
    ("kind", "reference", "answer", "label"),
    [
        ("Boolean", "True", "T", "correct"), ("bool", "F", "no", "correct"), ("boolean", "T", "F", "incorrect"),
        ("integer", "12", "12.0", "correct"), ("integer", "12", "12.003", "abstain"), ("tuple", "1, 2", "2, 1", "incorrect"),
        ("set", "1, 2", "2, 1", "correct"), ("Need_human_evaluate", "x+1", "1+x", "abstain"),
        ("Numerical", "x+1", "1+x", "correct"),
        ("whatever", "7", "8", "incorrect"),
    ],
)  # fmt: skip
def test_the_type_of_an_answer(maths: MathVerifier, kind: str, reference: str, answer: str, label: str) -> None:
    assert ask(maths, reference, answer, answer_type=kind).label == label


def test_options_of_a_field_go_before_those_of_the_question(maths: MathVerifier) -> None:
    question = "Which? (A) 1 (B) 2 (C) 3"
    assert ask(maths, "B", "2", question).label == "correct"
    assert ask(maths, "B", "2", question, options=["3", "4", "2"]).label == "incorrect"
    assert ask(maths, "B", "4", options={"A": "3", "B": "4"}).label == "correct"


def test_a_list_of_references_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt_id": 1, "problem": "", "reference": ["4", 9.5], "response": "", "unit": "m"}\n')
    rollout = next(iter(read_rollouts(path))).rollout
    assert (rollout.reference, rollout.extra) == ("4, 9.5", {"unit": "m", "reference": ["4", "9.5"]})
    path.write_text('{"prompt_id": 1, "problem": "", "reference": ["4"], "response": ""}\n')
    rollout = next(iter(read_rollouts(path))).rollout
    assert (rollout.reference, dict(rollout.extra)) == ("4", {})
    for bad in ("[]", "[null]", '[["4"]]', '["4", true]', '[" "]', "[{}]"):
        path.write_text(f'{{"prompt_id": 1, "problem": "", "reference": {bad}, "response": ""}}\n')
        with pytest.raises(InputError, match="rows.jsonl:1: column 'reference' must be a list of strings and numbers"):
            next(iter(read_rollouts(path)))
    assert read_reference(None) is read_reference({}) is read_reference(b"4") is None


def test_a_given_order_holds_for_words_and_letters_and_a_tolerance_for_each_part(maths: MathVerifier) -> None:
    assert ask(maths, "green, brown", "brown, green", ordered=True).label != "correct"
    assert ask(maths, "green, brown", "green, brown", ordered=True).label == "correct"
    letters = "Which come first? (A) 4 (B) 7 (C) 9"
    assert ask(maths, "C, A", "A, C", letters, ordered=True).label != "correct"
    assert ask(maths, "C, A", "C, A", letters, ordered=True).label == "correct"
    assert ask(maths, "(4,7)", "(7,4)", ordered=False).label == "abstain"
    assert ask(maths, "500+2i", "501+2i", tolerance=0.01).label == "correct"
    assert ask(maths, "500+2i", "500-2i", tolerance=0.01).label == "incorrect"
