"""Multiple choice: which option a text names, and what must never be taken for the right one."""

from __future__ import annotations

import pytest

from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers import ChoiceVerifier
from hero_rl.verifiers.math.choices import options_in_question, options_of_field
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.findings import Finding, Policy
from hero_rl.verifiers.math.typed import compare_typed

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


# ------------------------------------------------------------------------------------------- the verifier


def judge(
    response: str, reference: str = "B", problem: str = NUMBERS, *, policy: Policy = "balanced", **extra: object
) -> Verdict:
    rollout = Rollout(prompt_id="p", problem=problem, reference=reference, response=response, extra=extra)
    return ChoiceVerifier(policy=policy).verify([rollout])[0]


THOUGHT = "We count them one after the other, and then once more to be sure. " * 6


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{B}", r"\boxed{\text{(B) } 6}", r"\boxed{6}", THOUGHT + "The answer is (B).", THOUGHT + "\n\nAnswer: B",
        THOUGHT + "\n\n**B**", THOUGHT + "\n\nB", THOUGHT + "\n\n(B) 6", THOUGHT + "\nOption B is correct.",
        THOUGHT + "So I choose option B because it is even.", "The answer is 4. Hmm.\n\nAnswer: B", "**Answer: B**", "6",
        THOUGHT + "B is the correct answer.", THOUGHT + "I go with (B).",
        "The answer is B because C is wrong.",
        "<think>A? \\boxed{A}</think>\nB", "B) 6", "<answer>B</answer>",
    ],
)  # fmt: skip
def test_responses_that_choose_the_right_option(response: str) -> None:
    assert judge(response).label == "correct"


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{(B) or (C)}", r"\boxed{B: no, C}", r"\boxed{A. 4, B. 6, C. 8}", r"\boxed{B. 8}",
        r"\boxed{A}\boxed{B}\boxed{C}",
        r"\boxed{}", "", "B\nC", "A. 4\nB. 6", "A. 4\nB. 6\nC. 8\nD. 12", THOUGHT, THOUGHT + "B is excluded.\n\nA",
        THOUGHT + "The answer is not B but C.", "Option A is correct. Option B is correct.",
        r"\boxed{A, B, C, D}", "The answer is B or C",
        "The letter B is not it",
        "The answer is not B.", "Any of A, B, C, D", r"\boxed{\text{all of the above}}", r"\boxed{x=x}", r"\boxed{7}",
        r"\boxed{B^2}", r"\boxed{B.}\boxed{C.}", "<think>B</think>", "Thought process:",
        THOUGHT + "A is the correct answer. B is the correct answer.", "Answer: B. 6\nC. 8\nD. 12",
        "The answer is B, or rather C.",
        "The answer is B, no, C",
        r"\boxed{B}. Wait, that is wrong.", r"\boxed{B} is wrong. \boxed{C}", "Solution: B, no, A", "neither", ":",
    ],
)  # fmt: skip
def test_responses_that_do_not_choose_it(response: str) -> None:
    assert judge(response).label != "correct"


def test_the_reference_is_letters_a_text_a_list_or_an_index() -> None:
    options = ["red", "green", "blue", "none of the above"]

    def ask(answer: str, text: str, **extra: object) -> str:
        rollout = Rollout(
            prompt_id="p",
            problem="Which?",
            reference=text,
            response=rf"\boxed{{{answer}}}",
            extra={"options": options, **extra},
        )
        return ChoiceVerifier().verify([rollout])[0].label

    assert [ask(answer, "green") for answer in ("B", "green", "B. green", "C", "red", "B. red")] == [
        *("correct", "correct", "correct", "incorrect", "incorrect", "abstain")
    ]
    assert [ask(answer, "A, C") for answer in ("AC", "C and A", "A. red and C. blue", "A", "ABC")] == [
        *("correct", "correct", "correct", "incorrect", "incorrect")
    ]
    assert [ask(answer, "green, D", reference=["green", "D"]) for answer in ("BD", "B")] == ["correct", "incorrect"]
    assert [ask(answer, "1", answer_type="index") for answer in ("B", "A", "green")] == ["correct", "incorrect", "correct"]
    assert ask("A", "4", answer_type="index") == ask("A", "A", answer_type="index") == "abstain"
    assert ask("A", "1") == ask("B", "yellow") == ask("B", "red or green") == "abstain"
    assert judge("B", "2", "Which?", options=["2", "1", "0"]).label == "incorrect"  # the text of an option, not its number


def test_options_that_are_no_options_abstain() -> None:
    for options in ("A, B", ["4"], {"A": "4", "10": "6"}, 7, ["4", None]):
        assert judge("B", options=options)[:2] == ("abstain", "field_invalid")
    assert judge("B", options=None).label == judge("B", problem="").label == "correct"
    assert judge("12", problem="").label == "abstain"


def test_strict_takes_letters_and_no_generous_reading() -> None:
    found = [judge(rf"\boxed{{{one}}}", policy="strict").label for one in ("B", "B. 6", "b", "6", "A", "B. 8")]
    assert found == ["correct", "correct", "abstain", "abstain", "incorrect", "abstain"]
    assert judge(r"\boxed{B. 8}", policy="binary").label == "incorrect"


@pytest.mark.parametrize(
    "text", ["A B C D " * 50 + "!", "or " * 200 + "!", "a b, c and d " * 100 + "?", "( A ) , " * 100 + "!"]
)
def test_a_long_text_of_letters_is_told_from_a_hedge_in_linear_time(text: str):
    from hero_rl.verifiers.math.choices import _HEDGE, _SEVERAL

    assert not _HEDGE.fullmatch(text)  # the test's own deadline is what fails where spaces can match in several ways
    assert not _SEVERAL.fullmatch(text)
