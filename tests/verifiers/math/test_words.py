"""Answers in words: each word, number, sign and negation counts; articles and what the question is about do not."""

from __future__ import annotations

import pytest

from hero_rl.verifiers.math import compare
from hero_rl.verifiers.math.stages import Pair, compare_pair
from hero_rl.verifiers.math.statements import same_statement
from hero_rl.verifiers.math.words import keyword_of, number_in_words, without_lead_in


def relation(reference: str, answer: str, problem: str = "") -> str:
    return compare_pair(Pair(reference, answer, problem)).finding.relation


SAME = [
    ("diverges", r"\text{The integral diverges}"),
    ("convergent", r"\text{does not diverge}"),
    ("diverges", r"\text{The series is not convergent}"),
    (r"\text{a sufficient but not a necessary condition}", r"\text{sufficient but not necessary}"),
    (r"\text{at least } m+2", r"\text{at least } m+2"),
    ("rises by -2 units", r"\text{It rises by } -2 \text{ units}"),
    ("充要条件", r"\text{充分必要条件}"),
    ("充分不必要条件", "sufficient but not necessary"),
    ("no valid colouring of integers", r"\text{no valid colouring of integers}"),
    ("no solution", r"\text{The system is inconsistent}"),
    ("no such triangles", r"\text{impossible}"),
    ("无解", r"\emptyset"),
    ("Yes", "Yes, because 9 is odd"),
    ("No", r"\text{No. The limit is infinite.}"),
    ("是", "yes"),
    ("even", r"\text{any even integer}"),
    ("odd", r"\text{Any odd number of players}"),
    ("a square, a kite", r"\text{square and kite}"),
    ("三十一", "31"),
    ("三分之一", r"\frac13"),
    ("12", "The total is 12"),
    ("12", r"\text{The area of the square is } 12"),
    ("the 5th term", "5"),
    ("Ann is taller than Bob", r"\text{Ann is taller than Bob}"),
]


@pytest.mark.parametrize(("reference", "answer"), SAME)
def test_the_same_statement_in_other_words_is_equal(reference: str, answer: str) -> None:
    assert relation(reference, answer) == "equal"


OTHER = [
    ("(3n-2)!!", "(3n+2)!!"),
    ("(3n-2)!!", "-(3n-2)!!"),
    (r"\text{at least } m+2", r"\text{at least } m-2"),
    (r"\text{at least } m+2", r"\text{at most } m+2"),
    ("rises by -2 units", "rises by 2 units"),
    ("rises by 1/2 each hour", "rises by 2 each hour"),
    ("x=5", r"\text{not } x=5"),
    ("5", "not x = 5"),
    (r"x \approx 2.35", r"\text{not } x \approx 2.35"),
    ("x=5", "twice x = 5"),
    ("even primes", "even"),
    ("odd composite numbers", r"\text{odd numbers}"),
    ("odd", r"\text{odd and positive}"),
    ("a square, a kite", r"\text{square or kite}"),
    ("No", "No doubt, yes"),
    ("No", "yes, no exceptions"),
    ("No", r"\text{not no}"),
    ("Yes", r"\text{Yes, unless n is even}"),
    ("converges", "diverges"),
    ("converges", r"\text{does not converge}"),
    ("converges", r"\text{conditionally convergent}"),
    ("the series converges", "the sequence converges"),
    (r"\text{necessary but not sufficient}", r"\text{sufficient but not necessary}"),
    ("充要条件", "充分不必要条件"),
    ("Ann is taller than Bob", r"\text{Bob is taller than Ann}"),
    ("Ann is taller than Bob", r"\text{Ann is not taller than Bob}"),
    ("the graph opens on [0,1]", "the graph opens on (0,-1)"),
    ("greater than 4%", "greater than 4"),
    ("是", "不是"),
    ("no solution", "one solution"),
    ("31", "三十二"),
    ("12", r"\text{the wrong answer is } 12"),
    ("12", r"\text{the square is } 12"),
    ("12", r"\text{it is not } 12"),
    ("1", r"1 \text{ thirds}"),
    ("the 5th term", "6"),
]


@pytest.mark.parametrize(("reference", "answer"), OTHER)
def test_another_word_number_sign_or_order_is_not_equal(reference: str, answer: str) -> None:
    assert relation(reference, answer) != "equal"
    assert relation(answer, reference) != "equal"


def test_statements_are_compared_word_by_word() -> None:
    assert same_statement("It is a function", "Function")
    assert not same_statement("not a function", "function")
    assert not same_statement("", "")
    assert not same_statement("series", "sequence")


def test_a_statement_turns_on_its_first_word_only_where_nothing_takes_it_back() -> None:
    assert keyword_of("Yes, it is") == "yes"
    assert keyword_of("No problem") is None
    assert keyword_of("No doubt, yes") is None
    assert keyword_of("odd prime numbers") is None


def test_words_before_a_number_are_left_out_unless_they_name_another_value() -> None:
    assert without_lead_in("So the answer is 5") == "5"
    assert without_lead_in("the incorrect answer is 5") == "the incorrect answer is 5"
    assert without_lead_in("答案是5") == "5"


def test_chinese_numbers_are_read() -> None:
    assert number_in_words("十二") == 12
    assert number_in_words("一百零五") == 105
    assert number_in_words("一本") is None


NARROWED = [
    ("Solve over the integers: 4x = 6.", "no solution", r"\text{no integer solutions}", True),
    ("Solve the pair of equations.", "no solution", r"\text{no unique solution}", False),
    ("Find all rational t with t^2 = 3.", "no solution", r"\text{no integer solution}", False),
    ("Find all complex z with |z| = -1.", "no solution", r"\text{no real solution}", False),
    ("Solve |x| = -1.", "no solution", r"\text{no real solutions}", True),
    ("Solve |x| = -1.", r"\emptyset", r"\text{no solution}", True),
    ("Find the positive roots.", "none", r"\text{no positive roots}", True),
    ("Find the roots.", "none", r"\text{no positive roots}", False),
    ("Find the limit of 1/x at 0.", "DNE", r"\text{does not exist}", True),
    ("Find the limit of 1/x at 0.", "DNE", r"\text{no solution}", False),
    ("How many primes end in 7?", "infinitely many", r"\text{infinitely many primes}", True),
    ("How many roots are there?", "infinitely many", r"\text{infinitely many solutions}", True),
    ("How many roots are there?", "infinitely many", r"\text{infinitely many intervals}", False),
]


@pytest.mark.parametrize(("problem", "reference", "answer", "same"), NARROWED)
def test_none_and_endlessly_many_are_said_of_what_is_asked_for(problem: str, reference: str, answer: str, same: bool) -> None:
    assert (relation(reference, answer, problem) == "equal") is same
    assert (relation(answer, reference, problem) == "equal") is same


def test_a_reason_that_denies_its_yes_or_affirms_its_no_is_not_heard() -> None:
    assert keyword_of("Yes, it cannot be done") is None
    assert keyword_of("Yes, because that isn't so") is None
    assert keyword_of("No, that is true") is None
    assert keyword_of("No, that is not true") == "no"
    assert keyword_of("Yes, since 4 is even") == "yes"


CLOCKS = "Which clock is right more often: one that is slow or one that has stopped?"


@pytest.mark.parametrize(
    ("reference", "answer", "problem", "label"),
    [
        ("A stopped clock is right more often.", "the stopped one", CLOCKS, "correct"),
        ("A stopped clock is right more often.", r"\text{clock}", CLOCKS, "abstain"),
        ("A stopped clock is right more often.", "the slow clock", CLOCKS, "abstain"),
        ("A stopped clock is right more often.", "not the stopped one", CLOCKS, "abstain"),
        ("Petrova moved first", r"\text{Petrova}", "Who moved first if Petrova beat Olsen?", "correct"),
        ("Petrova moved first", r"\text{Olsen}", "Who moved first if Petrova beat Olsen?", "abstain"),
        ("Petrova moved first", r"\text{first}", "Who moved first if Petrova beat Olsen?", "abstain"),
        ("the red ball", "red", "Which ball is the heaviest?", "correct"),
        ("the red ball", "ball", "Which ball is the heaviest?", "abstain"),
        ("No", "It is impossible", "Is it possible to tile the board?", "correct"),
        (r"\exists x \in R, x^2<0", r"\forall x\in\mathbb{R}, x^2<0", "Negate it.", "abstain"),
    ],
)
def test_a_statement_may_leave_out_what_the_question_says(reference: str, answer: str, problem: str, label: str) -> None:
    assert compare(reference, answer, problem).label == label


def test_labels_in_circles_are_a_list() -> None:
    asked = "Which are true? ① ② ③ ④"
    assert compare("①③", "①, ③", asked).label == compare("①③", "(1)(3)", asked).label == "correct"
    assert compare("①③", "①④", asked).label == compare("②③", "23", asked).label == "incorrect"
    assert compare("②③", "6").label != "correct"


def test_a_reference_cut_off_at_its_end_is_mended_where_that_is_plain() -> None:
    assert compare(r"\frac{1}{2", "0.5").label == "correct"
    assert compare(r"$\left(0,1\right$", "0<x<1").label == "correct"
    assert compare(r"\sqrt{3+1", r"\sqrt{3}+1").label == "abstain"
    assert compare("S=2(a+b)=16", "16", "Find S.").label == "correct"
    assert compare("S=2(a+b)=16", "17", "Find S.").label == "incorrect"
