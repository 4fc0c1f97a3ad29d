"""Texts: what is written out keeps its meaning, what is compared is blind to layout; near-duplicates and overlaps."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.data.decontaminate import BenchmarkProblem, Decontaminator
from hero_rl.data.problem_text import draw, tidy_text, tokens
from hero_rl.data.problems import Problem, make_problem
from hero_rl.data.problems_near import NearDuplicates
from hero_rl.errors import InputError
from hero_rl.types import Rollout
from hero_rl.verifiers import MathVerifier

HIKE = (
    "Mara walks up a mountain path at 3 kilometres per hour and comes back down the same path at 5 kilometres per hour. "
    "The whole walk, without rests, takes her 4 hours and 48 minutes. How many kilometres long is the path from the valley "
    "to the summit, if $v$ denotes her mean speed and $d$ the length of the path?"
)


@given(st.text())
def test_tidying_twice_is_tidying_once_and_changes_white_space_alone(text: str) -> None:
    tidied = tidy_text(text)
    assert tidy_text(tidied) == tidied

    def bare(value: str) -> str:
        kept = (sign for sign in unicodedata.normalize("NFC", value) if not sign.isspace() and sign not in "\u200b\ufeff")
        return unicodedata.normalize("NFC", "".join(kept))

    assert bare(tidied) == bare(text)


def test_tidying_keeps_what_carries_meaning() -> None:
    # NFKC would make x2 of it, and casefolding one letter of two
    assert tidy_text("x² + Xy ≤ ½ \\, \\text{cm}\n- a\n- b") == "x² + Xy ≤ ½ \\, \\text{cm}\n- a\n- b"
    assert tidy_text("Poincare\u0301  and\tGau\u00df\r\n\r\n\r\n\r\nend ") == "Poincaré and Gauß\n\nend"


def test_tokens_are_blind_to_layout_and_not_to_numbers_or_signs() -> None:
    same = (
        r"Find $\dfrac{1}{2}+x \leq 1{,}000$, then stop.",
        r"find \( \frac 12 + X ≤ 1000 \) then  stop",
    )
    assert tokens(same[0]) == tokens(same[1])
    assert tokens("$60^\\circ$") == tokens("60^{\\circ}") == ["60", "^", "circ"]
    assert tokens("x-1") != tokens("x+1")
    assert tokens("求x的值") == ["求", "x", "的", "值"]


def test_draws_are_the_same_in_every_process_and_look_uniform() -> None:
    assert draw(1, "a", "b") == draw(1, "a", "b") != draw(1, "ab", "")
    assert draw(1, "a") != draw(2, "a")
    # written down: another value would give everybody another sample
    assert draw(0, "problem") == 8996745920526377430
    mean = sum(draw(0, str(number)) for number in range(4000)) / 4000 / 2**64
    assert mean == pytest.approx(0.5, abs=4 * (1 / 12) ** 0.5 / 4000**0.5)


def test_alternatives_keep_the_first_and_list_all() -> None:
    found = make_problem(" Q ", ["1/2", " 0.5", "1/2", None, 3], "s", form="text", several="alternatives")
    assert found == Problem("Q", ("1/2", "0.5", "3"), "s")


def test_answers_that_are_needed_together_are_one_list_that_the_verifier_reads() -> None:
    found = make_problem("Q", ["$(1,2)$", -4, r"\frac{1}{2}"], "s", form="text", several="together")
    assert found.references == (r"$(1,2)$, -4, \frac{1}{2}",)
    with MathVerifier(workers=1) as verifier:
        labels = [
            verifier.verify([Rollout(prompt_id="", problem="", reference=found.references[0], response=response)])[0].label
            for response in (r"\boxed{-4, 0.5, (1,2)}", r"\boxed{-4}")
        ]
    assert labels == ["correct", "incorrect"]
    with pytest.raises(InputError, match="the answer '1, 2' is a list itself"):
        make_problem("Q", ["1, 2", "3"], "s", form="text", several="together")


def test_references_are_found_where_their_data_set_puts_them() -> None:
    def read(value: object, form: str) -> tuple[str, ...]:
        return make_problem("Q", value, "s", form=form, several="alternatives").references  # type: ignore[arg-type]

    assert read(r"So \boxed{1}, no: \boxed{\frac{1}{2}}.", "boxed") == (r"\frac{1}{2}",)
    assert read("48/2 = 24\n#### 1,024", "hashes") == ("1,024",)
    assert read("no mark", "hashes") == read("no box", "boxed") == read(None, "text") == ()
    assert read(4, "text") == ("4",)
    with pytest.raises(InputError, match="the reference must be a text, a number or a list of them, got True"):
        read(True, "text")


def problem(text: str, reference: str = "9") -> Problem:
    return Problem(text, (reference,), "s")


def near(first: str, second: str, *, references: tuple[str, str] = ("9", "9"), threshold: float = 0.8) -> bool:
    kept = NearDuplicates(threshold)
    kept.add(problem(first, references[0]))
    found = kept.find(problem(second, references[1]))
    return found is not None and found.same_reference


def test_near_duplicates_are_the_same_problem_in_slightly_other_words() -> None:
    assert near(HIKE, HIKE.upper().replace("$", "").replace(".", " ;"))
    assert near(HIKE, HIKE.replace("whole walk", "entire walk"))
    assert near(HIKE, "Solve: " + HIKE)
    assert near(HIKE, HIKE, references=("\\frac{1}{2}", "$\\dfrac12$."))


def test_another_number_another_answer_or_another_text_is_another_problem() -> None:
    assert not near(HIKE, HIKE.replace("5 kilometres", "6 kilometres"))
    assert not near(HIKE, HIKE, references=("9", "8"))
    assert not near(HIKE, HIKE.replace("the valley to the summit", "its start to its end").replace("walk", "hike"))


def test_the_search_finds_exactly_what_comparing_all_pairs_finds() -> None:
    rng = random.Random(0)
    words = [f"word{chr(97 + number)}" for number in range(12)]
    texts = [" ".join(rng.choices(words[:4], k=rng.randint(3, 9))) for _ in range(120)]
    shingles = [{tuple(text.split()[at : at + 3]) for at in range(max(1, len(text.split()) - 2))} for text in texts]
    for threshold in (0.5, 0.8, 1.0):
        kept = NearDuplicates(threshold)
        for number, text in enumerate(texts):
            best = max(
                (len(shingles[number] & other) / len(shingles[number] | other) for other in shingles[:number]), default=0
            )
            found = kept.find(problem(text))
            assert (found.similarity if found else 0.0) == (best if best >= threshold else 0.0)
            kept.add(problem(text))


def overlap(text: str, benchmark: str = HIKE, **settings: float) -> float:
    found = Decontaminator([BenchmarkProblem("bench", "1", benchmark)], **settings).find(text)  # type: ignore[arg-type]
    return found.share if found else 0.0


def test_planted_copies_are_found() -> None:
    assert overlap(HIKE) == 1.0
    renamed = HIKE.replace("$v$", "$w$").replace("$d$", "$s$")
    assert renamed != HIKE
    assert overlap(renamed) == 1.0
    assert overlap("Answer with one number. " + HIKE.replace("\n", " ").upper() + " Think step by step.") == 1.0
    assert overlap(HIKE.replace("whole walk", "entire hike")) > 0.9
    # the end left out
    assert overlap(HIKE.split(", if")[0] + "?") > 0.7
    fraction = "Find the largest $x$ for which $\\frac{x+1}{x-1} \\leq \\sqrt{x}$ holds in the interval $[2, 5]$"
    assert overlap("find the largest y for which \\dfrac{y+1}{y-1} \\le \\sqrt y holds in the interval [2,5].", fraction) == 1.0


def test_what_n_grams_cannot_find_is_not_found() -> None:
    """The limits, as docs/data-reference.md states them: if one of these starts to be found, say so there."""
    reworded = (
        "A hiker climbs to a summit at a pace of 3 km/h and descends along the same trail at 5 km/h. Altogether she is under "
        "way for 4 h 48 min and makes no pause. Determine the one-way distance of the trail in km."
    )
    assert overlap(reworded) == 0.0
    other_numbers = HIKE
    for old, new in (("3 k", "4 k"), ("5 k", "6 k"), ("4 hours", "5 hours"), ("48", "30")):
        other_numbers = other_numbers.replace(old, new)
    # a variant with other numbers shares the long runs of words between them
    assert 0.5 <= overlap(other_numbers) < 1.0
    assert overlap("What is the sum of 17 and 36 and 4?", "What is the sum of 17 and 25 and 4?") == 0.0


def test_a_short_benchmark_problem_matches_only_its_own_text() -> None:
    assert overlap("compute sin 60^\\circ", "Compute $\\sin 60^\\circ$.") == 1.0
    assert overlap("Compute $\\sin 60^\\circ + \\cos 30^\\circ$.", "Compute $\\sin 60^\\circ$.") == 0.0


def test_boilerplate_that_is_less_than_half_of_a_benchmark_problem_does_not_count() -> None:
    shared = "Enter your answer as a common fraction in lowest terms and nothing else."
    long, other = (
        f"{HIKE} {shared}",
        f"How many primes lie between 100 and 130, and which share of the numbers is that? {shared}",
    )
    assert overlap(other, long) == 0.0
    assert overlap(other, f"What is seven tenths of a half? {shared}") > 0.5
    assert overlap(other, f"What is seven tenths of a half? {shared}", overlap=0.9) == 0.0


def test_the_code_of_a_drawing_counts_only_where_there_is_little_else() -> None:
    drawing = "[asy] " + " ".join(f"draw((0,{number})--(1,{number}));" for number in range(20)) + " [/asy]"
    text = "How large is the shaded area of the square whose sides have a length of two?"
    assert (
        overlap(f"What is the perimeter of the rectangle that is shown in the picture below? {drawing}", text + drawing) == 0.0
    )
    assert overlap(f"Find x. {drawing}", f"Find x. {drawing}") == 1.0
    assert overlap("Find x.", f"Find x. {drawing}") == 0.0


def test_of_several_benchmark_problems_the_largest_overlap_is_named() -> None:
    guard = Decontaminator(
        [BenchmarkProblem("a", "1", HIKE + " Give reasons for every step of it."), BenchmarkProblem("b", "2", HIKE)]
    )
    found = guard.find(HIKE)
    assert found is not None
    assert (found.with_problem.benchmark, found.share) == ("b", 1.0)
    assert len(guard) == 2
