"""Multiple choice: which option a text names, and what must never be taken for the right one."""

from __future__ import annotations

import pytest

from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.compare import compare_typed
from hero_rl.verifiers.math.findings import Finding
from hero_rl.verifiers.math.options import options_in_question, options_of_field

NUMBERS = "How many are there? (A) 4 (B) 6 (C) 8 (D) 12"
WORDS = "Which?\nA. The lake is deep\nB. The lake is not deep\nC. The lake\nD. all of the above\nE. none of the above"
TWINS = r"How much? (A) 3 (B) \frac{6}{2} (C) 0.5 (D) 50\%"


def compare(problem: str, reference: str, answer: str) -> Finding:
    return compare_typed(clean(reference), clean(answer), problem)


@pytest.mark.parametrize(
    ("problem", "reference", "answer"),
    [
        *(
            (NUMBERS, "B", answer)
            for answer in (
                "B", "(B)", "[B]", "B.", "b", "(b)", "**B**", r"\text{(B)}", "option B", "The answer is (B)", "B. 6", "(B) 6",
                "B: 6", "B - 6", "B 6", r"\textbf{(B)}\ 6", "B) six", "B. 6.0", "6", "six",
            )
        ),
        (NUMBERS, "8", "C"), (NUMBERS, "(C) 8", "C"), (NUMBERS, "8", "(C) 8"), (NUMBERS, "ABD", "A, B and D"),
        (NUMBERS, "A, C", "(C) 8, (A) 4"),
        (WORDS, "A", "the lake is deep."), (WORDS, "B", "B) The lake is not deep"), (WORDS, "C", "The lake"),
        (WORDS, "D", "All of these"), (WORDS, "E", "E. None"), (WORDS, "E", "none of these"),
        (TWINS, "C", "C"), (TWINS, "D", "50 percent"),
        ("", "B", "B. 12"), ("", "B", "(B) -5"), ("", "B. 12", "12"), ("", "B. 12", "(B) 12"), ("", "ABD", "A, B, D"),
        ("", "I and III only", "III and I"), ("", "II only", "only II"),
        ("Which side is longest?", "PQ", "QP"),
    ],
)  # fmt: skip
def test_the_same_option(problem: str, reference: str, answer: str) -> None:
    assert compare(problem, reference, answer).relation == "equal"


@pytest.mark.parametrize(
    ("problem", "reference", "answer"),
    [
        *(
            (NUMBERS, "B", answer)
            for answer in (
                "A", "A. 4", "12", "7", "B. 6 or C. 8", "(B) or (C)", "B or C", "B/C", "B, C", "ABCD", "A. 4, B. 6, C. 8",
                "(A) 4 (B) 6", "(B)(C)", "E", "BB", "6 or 8", "A, B, C, D",
            )
        ),
        (WORDS, "A", "The lake is not deep"), (WORDS, "B", "The lake is deep"), (WORDS, "C", "The lake is deep"),
        (WORDS, "C", "C or D"), (WORDS, "D", "none of the above"), (WORDS, "C", "A. The lake is deep"),
        (NUMBERS, "ABD", "ABC"), (NUMBERS, "ABD", "A"), (NUMBERS, "A", "ABD"), (NUMBERS, "8", "B"),
        ("", "B. 12", "A"), ("", "I and III", "I and II"), ("", "I and II", "I, II, III"), ("", "A", "A or B"),
    ],
)  # fmt: skip
def test_another_option_and_a_hedge_are_incorrect(problem: str, reference: str, answer: str) -> None:
    assert compare(problem, reference, answer).relation == "different"


@pytest.mark.parametrize(
    ("problem", "reference", "answer"),
    [
        *(
            (NUMBERS, "B", answer)
            for answer in (
                "B: no, C", "B? no", "not B", "any but B", "B. 8", "B. 7", "A. 6", "C is wrong, B", "B^2", "2B", "B+C",
                "B maybe C", "neither A nor B", "B and B", "B. 6, C", "B because C is wrong", "B. 6 is wrong", "wait, B", "",
                "all of the above",
            )
        ),
        (WORDS, "C", "C. The lake is deep"), (WORDS, "A", "it is not true that the lake is deep"), (WORDS, "A", "deep"),
        (WORDS, "D", "A, B and C"), (WORDS, "A", "The lake was deep"),
        (TWINS, "B", "B. 3"), (TWINS, "B", "3.0"), (TWINS, "C", r"\frac12"), (TWINS, "D", "D. 0.5"),
        ("Which point? (A) B (B) A (C) C (D) D", "A", "B"), ("Which point? (A) B (B) A (C) C (D) D", "B", "A"),
        ("", "AB", "BA"), ("", "A - B", "A"), ("", "A:B", "A"), ("", r"(A)\cup(B)", "A"), ("", "A", "(A)^2"),
        ("", "A", "A. 3, B. 5"),
        ("", "B", "B: no, C"), ("", "P(A)", "A"), ("", "C", "C+1"), ("", "b", "a"),
        ("", "I, II, III and IV in this order", "IV, III, II, I"),
    ],
)  # fmt: skip
def test_an_answer_that_contradicts_itself_is_never_correct(problem: str, reference: str, answer: str) -> None:
    assert compare(problem, reference, answer).relation != "equal"


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Pick: A. red B. green C. blue", {"A": "red", "B": "green", "C": "blue"}),
        (r"Find it. $\textbf{(A)}\ 2 \qquad \textbf{(B)}\ 3 \qquad \textbf{(C)}\ 4$", {"A": "2", "B": "3", "C": "4"}),
        ("Is it?\nA. yes\nB. no\n\nPlease reason step by step.", {"A": "yes", "B": "no"}),
        ("Q A)1 B)2 C)3 Answer with the letter.", {"A": "1", "B": "2", "C": "3"}),
        ("Q\n- **A**: x\n- **B**: y", {"A": "x", "B": "y"}),
        ("Point A. Then B.", {}),
        ("Let A: heads, B: tails.", {}),
    ],
)
def test_options_of_a_question(question: str, options: dict[str, str]) -> None:
    assert options_in_question(question) == options


def test_options_of_a_field() -> None:
    assert options_of_field(["3", 5]) == {"A": "3", "B": "5"}
    assert options_of_field({"b": "no", "a": "yes"}) == {"A": "yes", "B": "no"}
    assert options_of_field(["(A) 3", "(B) 5"]) == {"A": "3", "B": "5"}
    for bad in (["1"], [], {"A": 1, "B": True}, {"AB": "x", "C": "y"}, "abc", None, 5, [None, "x"], ["x", " "], ["x"] * 27):
        assert options_of_field(bad) is None
