"""The typed comparison: what is equal in another form, what is not, what the question decides, and that nothing escapes."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from helpers.math_cases import EQUAL, EQUAL_BY_SYMPY, NOT_EQUAL
from helpers.strategies import examples

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")

from hero_rl.types import Rollout
from hero_rl.verifiers import MathVerifier
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.evaluate import MAX_MAGNITUDE_BITS, TooLarge, evaluate, precise
from hero_rl.verifiers.math.findings import Finding
from hero_rl.verifiers.math.problem import read_problem
from hero_rl.verifiers.math.sampling import compare_trees
from hero_rl.verifiers.math.stages import Pair, Stage, compare_pair
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable

MAX_SECONDS = 1.0
"""Of processor time, and far above what a check takes (a few milliseconds): a busy machine must not fail the test."""


def compare(reference: str, answer: str, problem: str = "") -> Finding:
    stage = compare_pair(Pair(reference, answer, problem))
    assert not stage.failed
    return stage.finding


@pytest.mark.parametrize(("reference", "answer"), EQUAL)
def test_right_answers_in_another_form(reference: str, answer: str) -> None:
    assert compare(reference, answer).relation == "equal"


@pytest.mark.parametrize(("reference", "answer"), EQUAL)
def test_equality_the_other_way_round_is_never_denied(reference: str, answer: str) -> None:
    assert compare(answer, reference).relation != "different"


@pytest.mark.parametrize(("reference", "answer"), NOT_EQUAL)
def test_wrong_answers_that_look_right(reference: str, answer: str) -> None:
    assert compare(reference, answer).relation != "equal"


def test_what_needs_sympy_goes_to_the_sandbox_and_comes_back_right() -> None:
    rows = [Rollout(prompt_id="p", problem="", reference=a, response=f"\\boxed{{{b}}}") for a, b in EQUAL_BY_SYMPY]
    lost = [(r"\int_0^1 x^2 dx", r"\frac12"), (r"\frac{9}{25}", r"\frac{9}{25}_{8}"), ("5", r"\sqrt{}5")]
    wrong = [Rollout(prompt_id="p", problem="", reference=a, response=f"\\boxed{{{b}}}") for a, b in lost]
    with MathVerifier(workers=1) as verifier:
        verdicts = verifier.verify(rows + wrong)
        assert verifier.stats.sandbox.checks > 0
    assert [verdict.label for verdict in verdicts[: len(rows)]] == ["correct"] * len(rows)
    assert not any(verdict.label == "correct" for verdict in verdicts[len(rows) :])


@pytest.mark.parametrize(
    ("problem", "reference", "answer", "relation", "reason"),
    [
        ("Round to the nearest tenth.", "23.7", "23.68", "equal", "equal_rounded"),
        ("Round to the nearest tenth.", "3.7", "3.76", "unsure", "numbers_close"),
        ("Give the answer to the nearest whole number.", "17", "16.81", "unsure", "numbers_close"),
        ("How many people came?", "17", "16.81", "unsure", "numbers_close"),
        ("Express your answer in simplest radical form.", r"2\sqrt{2}", "2.8284", "unsure", "numbers_close"),
        ("What is the length?", r"2\sqrt{2}", "2.8284", "equal", "equal_rounded"),
        ("List the numbers in increasing order.", "1, 2, 3", "3, 1, 2", "different", "different"),
        ("Find all solutions.", "1, 2, 3", "3, 1, 2", "equal", "equal"),
        ("Find $a$ and $b$, in that order.", "4, 7", "4, 7.0", "equal", "equal"),
        ("Find $a$ and $b$, in that order.", "4, 7", "7, 4", "unsure", "order_unclear"),
        ("Give the least and the largest value, in that order.", "4, 7", "7, 4", "different", "different"),
        ("Find a, b and c.", "1, 2, 3", "a=1, b=2, c=3", "equal", "equal"),
        ("Find $x$ and $y$.", "3, 4", "x=3, y=4", "equal", "equal"),
        ("Find $x$ and $y$.", "3, 4", "y=3, x=4", "unsure", "order_unclear"),
        ("Find the radius $r$ and the height $h$.", "(2, 5)", "r=2, h=5", "equal", "equal_brackets_left_out"),
        ("Find the radius $r$ and the height $h$.", "(2, 5)", "h=2, r=5", "unsure", "order_unclear"),
        ("Berechne den Wert.", "0,5", "0; 5", "unsure", "undecided"),
        ("How many boys and how many girls are there?", "4, 7", "7, 4", "unsure", "order_unclear"),
        ("Write the first three terms.", "4, 7, 1", "7, 4, 1", "unsure", "order_unclear"),
        ("Find all x such that A, B and C lie in that order.", "4, 7", "7, 4", "equal", "equal"),
        ("Factor completely.", "(x-1)(x+1)", "x^2-1", "different", "not_factored"),
        ("Expand the product.", "x^2-1", "(x-1)(x+1)", "unsure", "not_expanded"),
        ("Find the polynomial.", "(x-1)(x+1)", "x^2-1", "equal", "equal"),
        ("Expand $(x+2)(x+3)$.", "x^2+5x+6", "x(x+5)+6", "unsure", "not_expanded"),
        ("Expand $(x+2)(x+3)$.", "x^2+5x+6", "6+x^2+5x", "equal", "equal"),
        (r"Simplify $\frac{x^2-1}{x-1}$.", "x+1", r"\frac{1-x^2}{1-x}", "unsure", "not_simplified"),
        (r"Simplify $\frac{x^2-1}{x-1}$.", "x+1", "1+x", "equal", "equal"),
        ("Find the interval of concavity.", "[0, 2)", "(0, 2]", "equal", "equal_but_for_ends"),
        ("Find the interval of convergence.", "[0, 2)", "(0, 2]", "different", "ends_differ"),
        ("", r"mgh=\frac12mv^2", "mgh=mv^2", "different", "different"),
        ("", r"mgh=\frac12mv^2", r"\frac{mv^2}{2}=mgh", "equal", "equal"),
        (r"Solve $\tan x=1$.", r"\frac{\pi}{4}+k\pi", r"\frac{\pi}{4}-k\pi", "equal", "equal_domain_left_out"),
        (r"Solve $\tan x=1$.", r"\frac{\pi}{4}+k\pi", r"\frac{\pi}{4}+|k|\pi", "unsure", "equal_for_positive_numbers"),
        ("", "(x-1)(x+1)", "x^2-1", "unsure", "not_factored"),
        ("On which interval is f increasing?", "[0, 2]", "(0, 2)", "equal", "equal_but_for_ends"),
        ("Solve the inequality.", "[0, 2]", "(0, 2)", "different", "ends_differ"),
        ("Which? (A) 12 (B) 15 (C) 18 (D) 20", "B", "15", "equal", "equal_choice"),
        ("Which? (A) 12 (B) 15 (C) 18 (D) 20", "15", "B", "equal", "equal_choice"),
        ("Which? (A) 12 (B) 15 (C) 18 (D) 20", "15", "C", "different", "different"),
    ],
)
def test_the_question_decides(problem: str, reference: str, answer: str, relation: str, reason: str) -> None:
    finding = compare(reference, answer, problem)
    assert (finding.relation, finding.reason) == (relation, reason)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Round to two decimal places.", "1/100"),
        ("to the nearest hundredth", "1/100"),
        ("Round your answer to the nearest whole number.", "1"),
        ("rounded to the nearest cent", "1/100"),
        ("A round table has one leg.", None),
        ("", None),
    ],
)
def test_the_place_to_round_to_is_read(text: str, expected: str | None) -> None:
    rounding = read_problem(text).rounding
    assert (None if rounding is None else str(rounding)) == expected


@pytest.mark.parametrize(
    ("reference", "answer", "reason"),
    [
        (r"\frac{1}{3}", "0.33", "numbers_close"),
        ("40", "0.4", "factor_of_100"),
        (r"5\text{ m}", r"5\text{ s}", "units_differ"),
        ("7", "the seventh seal", "answer_in_words"),
        ("it depends on the weather", "7", "reference_in_words"),
        ("2a", "2b", "letters_differ"),
        ("|x|", "x", "equal_for_positive_numbers"),
        ("5", "9^{9^{9^{9}}}", "answer_too_large"),
        ("f(x)=x", "7", "different"),
        ("7", r"1 2", "answer_unreadable"),
        ("(1,2)", "(1,2,3)", "number_of_answers"),
        ("6", "5, 6", "number_of_answers"),
    ],
)
def test_reasons_name_the_obstacle(reference: str, answer: str, reason: str) -> None:
    assert compare(reference, answer).reason == reason


@pytest.mark.parametrize(
    ("problem", "reference", "right", "wrong"),
    [
        ("Solve $3x>6$.", "x>2", "2<x", "3x>6"),
        ("Solve $3x>6$.", "x>2", r"(2,\infty)", "3x-6>0"),
        ("Solve $|x-1|<2$.", "-1<x<3", r"x>-1 \text{ and } x<3", "|x-1|<2"),
        ("Solve $3x-6=0$.", "x=2", r"x=\frac{6}{3}=2", "2x=4"),
        ("Solve $F=ma$ for $a$.", r"a=\frac{F}{m}", r"\frac{F}{m}=a", "ma=F"),
        ("Express $m$ in terms of $E$ and $c$.", r"m=\frac{E}{c^2}", r"\frac{E}{c^2}", "E=mc^2"),
        ("What is the pressure?", r"P=\frac{nRT}{V}", r"P=nR\frac{T}{V}", "PV=nRT"),
        ("How far is it stretched?", r"\frac{mg}{k}", r"\frac{mg}{k}=x", "kx=mg"),
        ("Find the inverse of $f(x)=2x+1$.", r"y=\frac{x-1}{2}", r"y=\frac{1}{2}(x-1)", "x=2y+1"),
        ("Find $y$.", r"y=\frac{6}{x}", r"\frac{6}{x}", "xy=6"),
        ("How are a and b related? Find a relation between them.", "a=4-b", "a+b=4", "a+b=5"),
        ("Find the length $AB$.", "x=5", "AB=5", "2x=10"),
        ("Find the equation of the directrix.", "x=-1", "x+1=0", "x-1=0"),
        ("Find the equation of the line.", "y=2x+1", "2x-y+1=0", "2x+y+1=0"),
        ("Simplify the ratio 6:10.", "3:5", r"3 \text{ to } 5", "6:10"),
        (r"Convert $\frac{\pi}{6}$ to degrees.", r"30^\circ", "30", r"\frac{\pi}{6}\text{ rad}"),
        ("Find the angle.", r"30^\circ", r"\frac{\pi}{6}\text{ rad}", r"\frac{\pi}{3}\text{ rad}"),
        ("Solve $x^2<1$.", "-1<x<1", "|x|<1", "x^2<1"),
        ("Solve $|x|<1$.", "-1<x<1", "x<1, x>-1", "|x|<1"),
        ("Solve it.", "0<x<1", "1>x>0", r"|x|<1 \text{ and } x>0"),
        ("How many times does it ring?", "5", r"\text{Number of times: }5", r"\text{More than: }5"),
        ("Find the least value of $n$.", "5", r"\text{Least: }5", r"\text{Twice}: 5"),
        ("Let $f(x)=2x+1$. Find $f^{-1}(x)$.", "x-1", r"\text{Inverse: }x-1", r"\text{Square: }x-1"),
        (r"Find $\sqrt{9}$.", "3", r"\text{Square root}=3", r"\text{Square}=3"),
        ("Find the least M such that f(x)<M.", "5", r"\text{Upper bound: }5", r"\text{Excluded: }5"),
        ("Find the slope and the y-intercept.", "2, 3", "m=2, b=3", "b=2, m=3"),
        ("Find the perimeter and the area.", "10, 6", "P=10, A=6", "A=10, P=6"),
        ("Find the width and the height.", "(3, 5)", "w=3, h=5", "h=3, w=5"),
        ("Where do the lines meet?", "(2, 3)", "x=2, y=3", "y=2, x=3"),
        (
            "How many boys and how many girls came?",
            r"4\text{ boys}, 7\text{ girls}",
            r"7\text{ girls}, 4\text{ boys}",
            r"7\text{ boys}, 4\text{ girls}",
        ),
        ("How many boys and how many girls came?", "4, 7", r"7\text{ girls}, 4\text{ boys}", r"4\text{ girls}, 7\text{ boys}"),
        ("Solve $2x=6$.", "x=3", "x=3.0", r"x=\frac{6}{2}"),
        ("Find the number.", "5", r"\text{Answer}: 5", r"\text{wrong}: 5"),
        ("Find the number.", "5", r"\text{Number of ways}: 5", r"\text{more than}: 5"),
        ("Find the double root.", "5", r"\text{Double root}: 5", r"\text{Extraneous root}: 5"),
        ("Find the reciprocal of 2.", "0.5", r"\text{Reciprocal} = \frac12", r"\text{Square} = \frac12"),
        ("Find the point.", "(1,2)", r"\text{Point}: (1,2)", r"\text{Rejected}: (1,2)"),
        ("Find a.", r"a\in(1,2)\cup[3,4)", r"\text{So } a\in(1,2)\cup[3,4)", r"\text{not } a\in(1,2)\cup[3,4)"),
    ],
)
def test_an_answer_is_solved_and_no_label_makes_something_else_of_it(
    problem: str, reference: str, right: str, wrong: str
) -> None:
    assert compare(reference, right, problem).relation == "equal"
    assert compare(reference, wrong, problem).relation != "equal"


def test_a_domain_beside_a_formula_leaves_it_solved() -> None:
    question = "Find all functions f from the positive reals to the positive reals."
    assert compare("f(x)=2x", r"f(x)=2x, \forall x\in\mathbb{R}^+", question).relation == "equal"
    assert compare("f(x)=2x", r"f(x)=3x, \forall x\in\mathbb{R}^+", question).relation == "different"


# ------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "text", ["9^{9^{9}}", "100000!", "e^{e^{e^{e}}}", r"\sin(10^{10})", r"10^{2^{100}}", r"\sqrt{7^{7^{7^{7}}}}"]
)
def test_sizes_are_checked_before_anything_is_computed(text: str) -> None:
    started = time.process_time()
    with pytest.raises(TooLarge):
        evaluate(parse(clean(text)), {}, precise())
    assert time.process_time() - started < MAX_SECONDS
    assert MAX_MAGNITUDE_BITS < 1 << 24


def test_nesting_and_length_have_limits() -> None:
    for text in (
        "(" * 200 + "1" + ")" * 200,
        "1+" * 1000 + "1",
        "{" * 500,
        r"\sqrt{" * 100 + "2" + "}" * 100,
        "x^" * 300 + "x",
    ):
        with pytest.raises(Unreadable):
            parse(text)


_PIECES = st.sampled_from(
    [
        r"\frac",
        r"\sqrt",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "^",
        "_",
        "+",
        "-",
        "*",
        "/",
        "=",
        "<",
        r"\le",
        ",",
        ";",
        "x",
        "y",
        "n",
        "i",
        "e",
        r"\pi",
        r"\infty",
        "0",
        "1",
        "2",
        "10",
        "999999",
        "3.14",
        ".5",
        "!",
        r"\%",
        r"^\circ",
        r"\pm",
        r"\cup",
        r"\text{ cm}",
        r"\text{and}",
        r"\text{",
        "|",
        r"\{",
        r"\}",
        r"\in",
        r"\mathbb{R}",
        r"\sin",
        r"\ln",
        r"\log",
        r"\binom",
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        "&",
        r"\\",
        r"\ldots",
        ":",
        " ",
        "$",
        "or",
        "and",
        "yes",
        "none",
        "½",
        "√",
        "²",
        "≤",
        "\n",
        "'",
        "\\",
        r"\sum",
        r"\int",
        "mod",
        "9^{9^9}",
    ]
)
_LATEX = st.lists(_PIECES, max_size=14).map("".join)


@examples(300, suppress_health_check=[HealthCheck.too_slow])
@given(reference=_LATEX, answer=_LATEX, problem=st.sampled_from(["", "Round to the nearest tenth.", "Factor x in order."]))
def test_no_text_makes_the_comparison_fail_or_linger(reference: str, answer: str, problem: str) -> None:
    started = time.process_time()
    for one, other in ((reference, answer), (answer, reference), (reference, reference)):
        stage = compare_pair(Pair(one, other, problem))
        assert isinstance(stage, Stage)
        assert not stage.failed
    assert time.process_time() - started < 3 * MAX_SECONDS


@pytest.mark.parametrize(
    "piece",
    [
        r"\text{a}",
        "a ",
        "{",
        "(",
        r"\left(",
        "1,",
        "x=",
        r"\text{and} ",
        "<",
        r"\frac1",
        "^",
        "_{1}",
        r"\pm 1",
        "| ",
        "'",
        "1 ",
        "$",
        "**",
        r"\sin ",
        r"\{1,",
        "for all x ",
        r"\in ",
        "1/",
        ":",
        r"\text{ where }",
        "=1",
        r"\cup(0,1)",
        "sqrt",
        r"\mathbf{",
        "1!",
        "10^",
        "or 1 ",
    ],
)
def test_repeating_a_piece_to_the_longest_answer_stays_fast(piece: str) -> None:
    text = (piece * 2_000)[:2_000]
    started = time.process_time()
    stage = compare_pair(Pair(text, "x" + text[:-1]))
    other = compare_pair(Pair("x+1", text))
    assert time.process_time() - started < 2 * MAX_SECONDS
    assert not stage.failed
    assert not other.failed


# ------------------------------------------------------------------------------------------- properties

_COEFFICIENTS = st.lists(st.integers(-9, 9), min_size=1, max_size=4)


def _polynomial(coefficients: list[int], variable: str = "x") -> str:
    return "+".join(f"({one}){variable}^{{{power}}}" for power, one in enumerate(coefficients))


@examples(60)
@given(first=_COEFFICIENTS, second=_COEFFICIENTS)
def test_polynomials_are_equal_exactly_where_their_coefficients_are(first: list[int], second: list[int]) -> None:
    def trimmed(coefficients: list[int]) -> list[int]:
        while coefficients and coefficients[-1] == 0:
            coefficients = coefficients[:-1]
        return coefficients

    relation = compare_trees(parse(_polynomial(first)), parse(_polynomial(second)))
    assert relation == ("equal" if trimmed(first) == trimmed(second) else "different")


@examples(60)
@given(
    numbers=st.lists(st.fractions(-50, 50, max_denominator=20), min_size=2, max_size=6, unique=True), seed=st.integers(0, 99)
)
def test_lists_are_equal_in_any_order_and_tuples_in_one(numbers: list, seed: int) -> None:
    texts = [f"\\frac{{{one.numerator}}}{{{one.denominator}}}" for one in numbers]
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)
    assert compare(", ".join(texts), ", ".join(shuffled)).relation == "equal"
    in_order = compare(f"({', '.join(texts)})", f"({', '.join(shuffled)})").relation
    assert (in_order == "equal") == (shuffled == texts)


@examples(100)
@given(value=st.integers(10_000, 10**12), places=st.integers(1, 6), offset=st.integers(-3, 3).filter(bool))
def test_decimals_with_the_same_places_are_equal_only_if_the_same(value: int, places: int, offset: int) -> None:
    def written(number: int) -> str:
        return f"{number // 10**places}.{number % 10**places:0{places}d}"

    assert compare(written(value), written(value)).relation == "equal"
    assert compare(written(value), written(value + offset)).relation != "equal"
