"""Times, dates, chemistry, numerals in a base and other notations of numbers: types of their own."""

from __future__ import annotations

import pytest

from hero_rl.verifiers.math.chemistry import read_reaction, read_shells
from hero_rl.verifiers.math.numerals import read_numeral
from hero_rl.verifiers.math.sought import has_decimal_commas
from hero_rl.verifiers.math.stages import Pair, compare_pair
from hero_rl.verifiers.math.times import read_date, read_time

WHEN = "At what time do the trains meet?"
RUSSIAN = "Найдите значение выражения с точностью до десятых."


def relation(reference: str, answer: str, problem: str = "") -> str:
    return compare_pair(Pair(reference, answer, problem)).finding.relation


SAME = [
    (r"7{:}15 \text{ p.m.}", r"7:15\text{ pm}", ""),
    (r"7:15 \text{ p.m.}", "19:15", WHEN),
    (r"7:15 \text{ p.m.}", r"\text{7:15 in the evening}", ""),
    ("7:15", r"7:15 \text{ p.m.}", WHEN),
    (r"\text{noon}", r"12:00 \text{ p.m.}", ""),
    (r"\text{Friday, May 9}", r"\text{May 9, Friday}", ""),
    (r"\text{Friday, May 9}", r"\text{Friday, the 9th of May}", ""),
    ("2021-05-09", r"\text{9 May 2021}", ""),
    ("May 9", r"\text{9 May 2021}", ""),
    (r"\mathrm{H_3PO_4}", r"\ce{H3PO4}", ""),
    (r"\ce{N2 + 3H2 -> 2NH3}", r"3H_2 + N_2 \rightarrow 2NH_3", ""),
    (r"\ce{Ca^2+}", r"\mathrm{Ca^{2+}}", ""),
    (r"\text{[Ne] } 3s^2 3p^4", r"\mathrm{[Ne]\ 3s^{2}\ 3p^{4}}", ""),
    (r"\text{3C}_{16}", "60", ""),
    ("1101_2", "(1101)_2", ""),
    ("1101_2", r"1101_{\text{two}}", ""),
    ("132_{-4}", "6", ""),
    ("45_7", "45", ""),
    ("45", "45_7", "Write the number in base 7."),
    ("0,75", r"\frac34", ""),
    ("2,5", "2.5", RUSSIAN),
    (r"\frac56", r"0.8333\ldots", ""),
    (r"0.\overline{27}", r"0.2727\ldots", ""),
    (r"37\frac12\%", "0.375", ""),
    (r"\frac{355^\circ}{7}", r"\frac{355}{7}", "Find the angle in degrees."),
    ("66.7", r"\frac{200}{3}", "Give the value to the nearest tenth."),
    ("e", r"2.718281828\ldots", ""),
    ("12", "The total is 12 clips, altogether.", ""),
]


@pytest.mark.parametrize(("reference", "answer", "problem"), SAME)
def test_one_thing_in_two_notations_is_equal(reference: str, answer: str, problem: str) -> None:
    assert relation(reference, answer, problem) == "equal"


OTHER = [
    (r"7:15 \text{ p.m.}", r"7:15 \text{ a.m.}", ""),
    (r"7:15 \text{ p.m.}", "7:15", ""),
    (r"7:15 \text{ p.m.}", "7.25", ""),
    ("10:30", "1:3", WHEN),
    ("10:30", "20:60", WHEN),
    ("10:30", r"\frac13", WHEN),
    ("10:30", "30:10", WHEN),
    (r"\text{Friday, May 9}", r"\text{Thursday, May 9}", ""),
    (r"\text{Friday, May 9}", r"\text{Friday, September 5}", ""),
    (r"\text{Friday, May 9}", "May 9", ""),
    ("2021-05-09", "2007", ""),
    ("2021-05-09", r"\text{5 September 2021}", ""),
    (r"\mathrm{H_3PO_4}", r"\ce{H3PO3}", ""),
    (r"\ce{C2H6O}", r"\ce{C2H5OH}", ""),
    (r"\ce{N2 + 3H2 -> 2NH3}", r"2NH_3 \to N_2 + 3H_2", ""),
    (r"\ce{N2 + 3H2 -> 2NH3}", r"N_2 + H_2 \to NH_3", ""),
    (r"\ce{N2 + 3H2 -> 2NH3}", r"N_2 + 3H_2 \rightleftharpoons 2NH_3", ""),
    (r"\ce{Ca^2+}", r"\ce{Ca^+}", ""),
    (r"\text{[Ne] } 3s^2 3p^4", r"\text{[Ne] } 3s^2 3p^5", ""),
    (r"\text{[Ne] } 3s^2 3p^4", r"\text{[Ar] } 3s^2 3p^4", ""),
    (r"\text{3C}_{16}", r"\text{C3}_{16}", ""),
    ("132_{-4}", "132_{4}", ""),
    ("1101_2", "1101_3", ""),
    ("45", "45_7", ""),
    ("45_7", "457", ""),
    ("0,75", "75", ""),
    ("2,5", "2.5", "Find both primes."),
    ("2,5", "2.5", ""),
    ("2,5", "25", RUSSIAN),
    ("e", r"2.718381828\ldots", ""),
    (r"0.\overline{27}", r"0.27\ldots", ""),
    (r"0.1\overline{6}", r"0.1616\ldots", ""),
    (r"37\frac12\%", "37.005", ""),
    ("66.7", r"\frac{199}{3}", "Give the value to the nearest tenth."),
]


@pytest.mark.parametrize(("reference", "answer", "problem"), OTHER)
def test_another_time_formula_base_or_number_is_not_equal(reference: str, answer: str, problem: str) -> None:
    assert relation(reference, answer, problem) != "equal"


def test_a_ratio_stays_a_ratio_where_no_time_is_asked_for() -> None:
    assert relation("10:30", "1:3") == "equal"
    assert relation("10:30", "1:3", "In which ratio are they mixed?") == "equal"


def test_what_is_no_time_date_reaction_or_numeral_is_not_read_as_one() -> None:
    assert read_time("25:10") is None
    assert read_time("3:7") is None
    assert read_time("13:15 pm") is None
    assert read_date("May") is None
    assert read_date("May 40") is None
    assert read_date("x-5") is None
    assert read_reaction(r"x \to 0") is None
    assert read_reaction(r"A \to B") is None
    assert read_shells("3x^2") is None
    assert read_numeral("a_1") is None
    assert read_numeral("12_2") is None
    assert not has_decimal_commas("Find the largest prime below 2, 5 and 7.")
