"""The stages of the verifier ``math`` that need no sandbox: finding, literal comparison, doubt, policy."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.sandbox import Outcome
from hero_rl.types import Verdict
from hero_rl.verifiers.math.extract import MAX_BARE_CHARS, find_answer
from hero_rl.verifiers.math.findings import POLICIES, Finding, judge, judge_failure
from hero_rl.verifiers.math.literal import literal_relation, plain_number, tidy
from hero_rl.verifiers.math.rounding import may_be_one_number
from hero_rl.verifiers.math.symbolic import carries_unit, is_prose

LONG = "We reason at length about many things. " * 20


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (LONG + r"So it is \boxed{7}.", "7"),
        (LONG + r"\boxed{6}, or rather \boxed{7}. The answer is 8.", "8"),
        (LONG + "\n#### 7", "7"),
        (LONG + "The final answer is 7.", "7"),
        (LONG + "The answer is: $7$. I hope that helps.", "$7$"),
        (LONG + "**Answer:** 7", "7"),
        (LONG + "The answer is 6.\nCorrection: the answer is 7.", "7"),
        (LONG + "the answer is 7.5.", "7.5"),
        ("7", "7"),
        ("  f(x) = 2x \n", "f(x) = 2x"),
        (LONG, ""),
        ("", ""),
        ("x" * (MAX_BARE_CHARS + 1), ""),
        (r"<think>\boxed{6}</think> \boxed{7}", "7"),
        (r"<think>\boxed{6}</think>" + LONG, ""),
        (r"<think>\boxed{6}", ""),
        (r"\boxed{6}</think>\boxed{7}", "7"),
    ],
)
def test_where_the_answer_is(response: str, answer: str) -> None:
    assert find_answer(response) == answer


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\frac{1}{2}", r"$\dfrac{1}{2}$"),
        (r"\frac12", r"\frac{1}{2}"),
        ("1/2", "0.5"),
        (r"-\frac{1}{2}", "-1/2"),
        ("5", "5.0"),
        ("5", "5."),
        ("-3", "−3"),
        (r"1\,000", "1000"),
        ("1{,}000", "1000"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        (r"5 \text{ cm}", "5 cm"),
        (r"\text{Tuesday}", "Tuesday"),
        (r"\[ x^2 \]", r"\(x^2\)"),
        ("007", "7"),
        (r"2\quad x", "2x"),
    ],
)
def test_literally_equal(a: str, b: str) -> None:
    assert literal_relation(a, b) == literal_relation(b, a) == "equal"


@pytest.mark.parametrize(
    ("a", "b", "relation"),
    [
        ("5", "6", "different"),
        ("-5", "5", "different"),
        ("1 2", "12", None),
        ("5", "500", None),  # may be percent
        ("0.33", "1/3", None),  # may be rounded
        ("x", "y", None),
        (r"\pi x", r"\pix", None),
        ("$1$ and $2$", "1$ and $2", None),
        ("1/0", "1/0.0", None),
        ("", "", None),
        ("٣", "4", "different"),
    ],
)
def test_literally_not_equal(a: str, b: str, relation: str | None) -> None:
    assert literal_relation(a, b) == relation


@given(numerator=st.integers(-(10**30), 10**30), denominator=st.integers(1, 10**30))
def test_fractions_are_read_exactly(numerator: int, denominator: int) -> None:
    expected = Fraction(numerator, denominator)
    assert plain_number(f"{numerator}/{denominator}") == expected
    assert plain_number(tidy(rf"\dfrac{{{numerator}}}{{{denominator}}}")) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=10))
def test_decimals_are_read_exactly(value: object) -> None:
    assert plain_number(f"{value:f}") == Fraction(f"{value:f}")


@given(st.text(st.characters(codec=None), max_size=80))
def test_clean_up_and_literal_comparison_never_fail(text: str) -> None:
    find_answer(text)
    plain_number(tidy(text))
    assert literal_relation(text, text) == ("equal" if tidy(text) else None)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("5", False),
        (r"\frac{1}{2}", False),
        (r"2\pi", False),
        (r"\sqrt{2} e", False),
        ("3+4i", False),
        ("$5$", False),
        ("5 cm", True),
        (r"5\%", True),
        (r"90^\circ", True),
        (r"\$5", True),
        (r"5\text{ apples}", True),
        ("90°", True),
    ],
)
def test_units_and_percent_signs_are_seen(text: str, unit: bool) -> None:
    assert carries_unit(text) is unit


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("Tuesday", True),
        ("no solution", True),
        ("there are 5 red apples", True),
        ("18 minutes", False),
        ("x + y", False),
        (r"\sin x + \cos x", False),
        ("sin(x)", False),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", False),
        (r"12\text{ square units}", False),
        ("abc = 5", False),
    ],
)
def test_prose_is_told_from_mathematics(text: str, prose: bool) -> None:
    assert is_prose(text) is prose


@pytest.mark.parametrize(
    ("ratio", "integers", "one"),
    [
        (1.01, False, True),
        (1.01, True, False),
        (0.99, False, True),
        (1.05, False, False),
        (-1, False, False),
        (100, True, True),
        (0.01, False, True),
        (99, False, False),
        (180 / math.pi, False, True),
        (math.pi / 180, False, True),
        (1j, False, False),
    ],
)
def test_which_unequal_numbers_may_be_one(ratio: complex, integers: bool, one: bool) -> None:
    assert may_be_one_number(ratio, integers=integers) is one


@pytest.mark.parametrize(
    ("finding", "strict", "balanced", "binary"),
    [
        (Finding("equal", "equal"), "correct", "correct", "correct"),
        (Finding("equal", "equal_rounded", lenient=True), "abstain", "correct", "correct"),
        (Finding("different", "different"), "incorrect", "incorrect", "incorrect"),
        (Finding("different", "answer_unreadable", lenient=True), "abstain", "incorrect", "incorrect"),
        (Finding("unsure", "numbers_close"), "abstain", "abstain", "incorrect"),
    ],
)
def test_the_verdict_of_each_finding_under_each_policy(finding: Finding, strict: str, balanced: str, binary: str) -> None:
    for policy, label in zip(POLICIES, (strict, balanced, binary), strict=True):
        generous = finding.lenient and label == "correct"
        expected = Verdict(label, finding.reason, detail="a | b", generous=generous)  # type: ignore[arg-type]
        assert judge(finding, policy, "a | b") == expected


@pytest.mark.parametrize("kind", ["timeout", "crash", "memory", "error", "too_hard"])
def test_a_check_without_a_value_abstains_as_a_failure_unless_it_is_too_hard(kind: str) -> None:
    outcome = Outcome(kind, detail="what happened")  # type: ignore[arg-type]
    verdict = judge_failure(outcome, "balanced", "a | b")
    too_hard = kind in ("memory", "too_hard")
    reason = "too_hard" if too_hard else kind
    assert verdict == Verdict("abstain", reason, failed=not too_hard, detail="what happened: a | b")
    assert judge_failure(outcome, "binary", "a | b") == verdict._replace(label="incorrect")
