"""Units, percent signs and words beside a number: read against the question, and otherwise they have to match."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.verifiers.math import compare
from hero_rl.verifiers.math.stages import Pair, compare_pair
from hero_rl.verifiers.math.units import factor, read_unit, split_unit

SUFFIXES = [
    " is wrong", r" \text{ is wrong}", " km", r" \text{ km}", r"\,\mathrm{km}", "%", r"\%", " squared", r"\text{ squared}",
    " hundred", r" \text{ hundred}", " dozen", r"\text{ dozen}", " not", r"\text{ not}", r" \text{ thirds}",
    r" \text{ below zero}", r" \text{ out of 20}", r" \text{ at most}", r" \text{ or more}", r" \text{ over } 2",
    r" \text{ negative}",
    r"\text{ kg}",
    r" \text{ million}", r" \text{ radians}", r"^\circ", r" ^\circ\text{C}", r" \text{ times 2}", r" \text{ mod 3}",
]  # fmt: skip


def relation(reference: str, answer: str, problem: str = "") -> str:
    return compare_pair(Pair(reference, answer, problem)).finding.relation


NUMBERS = st.one_of(
    st.integers(-5000, 5000).filter(bool).map(str),
    st.tuples(st.integers(1, 50), st.integers(2, 50)).map(lambda pair: rf"\frac{{{pair[0]}}}{{{pair[1]}}}"),
    st.tuples(st.integers(1, 999), st.integers(1, 999)).map(lambda pair: f"{pair[0]}.{pair[1]}"),
)


@given(number=NUMBERS, suffix=st.sampled_from(SUFFIXES))
def test_nothing_may_be_appended_to_a_number_that_the_question_does_not_have(number: str, suffix: str) -> None:
    assert relation(number, number + suffix) != "equal"
    assert relation(number, number + suffix, "How many solutions does the equation have?") != "equal"


SAME_QUANTITY = [
    (r"290 \mathrm{~K}", "290"),
    (r"290 \mathrm{~K}", r"290\ \text{K}"),
    (r"290 \mathrm{~K}", "290 K"),
    (r"4 \mathrm{~m} \mathrm{~s}^{-1}", r"4\,\text{m/s}"),
    (r"4 \mathrm{~m} \mathrm{~s}^{-1}", r"4 \mathrm{m\,s^{-1}}"),
    (r"4 \mathrm{~m} \mathrm{~s}^{-1}", r"14.4 \text{ km/h}"),
    (r"120 \mathrm{~N}-\mathrm{m}", r"120 \text{ N·m}"),
    (r"120 \text{ N m}", r"0.12 \text{ kJ}"),
    (r"8 \mu\text{F}", r"8\,\mu\mathrm{F}"),
    (r"8 \mu\text{F}", r"8\times 10^{-6} \text{ F}"),
    (r"2.2 \text{ k}\Omega", r"2200\,\Omega"),
    (r"3\times 10^{-20} \mathrm{~J}", r"3\times 10^{-13} \text{ erg}"),
    (r"50 \mathrm{~J} \mathrm{~kg}^{-1}", r"0.05 \text{ kJ/kg}"),
    (r"9 \text{ m/s}^2", r"9 \text{ N/kg}"),
    (r"700 \text{ mmHg}", r"700 \mathrm{Torr}"),
    (r"12{\rm\,cm}", r"0.12 \text{ m}"),
    (r"3 \text{ m/s/s}", r"3 \text{ m/s}^2"),
    (r"20 \text{ meters long}", r"20 \text{ m}"),
    (r"25℃", r"25 ^\circ\text{C}"),
    (r"15 \text{ 米}", "15米"),
    (r"\frac{\pi}{6}", r"\frac{\pi}{6} \text{ radians}"),
    (r"14 \text{ red pens}", r"14 \text{ pens}"),
]


@pytest.mark.parametrize(("reference", "answer"), SAME_QUANTITY)
def test_one_quantity_in_two_spellings_is_equal(reference: str, answer: str) -> None:
    assert relation(reference, answer) == "equal"


OTHER_QUANTITY = [
    (r"290 \mathrm{~K}", r"290 \text{ kJ}"),
    (r"290 \mathrm{~K}", r"291 \text{ K}"),
    (r"4 \mathrm{~m} \mathrm{~s}^{-1}", r"4 \mathrm{~m} \mathrm{~s}^{-2}"),
    (r"4 \mathrm{~m} \mathrm{~s}^{-1}", r"4 \text{ s/m}"),
    (r"120 \text{ N m}", r"120 \text{ N/m}"),
    (r"8 \mu\text{F}", r"8 \text{ mF}"),
    (r"8 \mu\text{F}", r"8 \text{ pF}"),
    (r"2.2 \text{ k}\Omega", r"2.2\,\Omega"),
    (r"50 \mathrm{~J} \mathrm{~kg}^{-1}", r"50 \text{ J}"),
    (r"700 \mathrm{Torr}", r"0.7 \text{ Torr}"),
    (r"12{\rm\,cm}", r"12 \text{ m}"),
    (r"12 \text{ cm}", r"12 \text{ cm}^2"),
    (r"25 ^\circ\text{C}", r"25 ^\circ\text{F}"),
    (r"70^\circ", r"70 \text{ radians}"),
    (r"14 \text{ red pens}", r"14 \text{ blue pens}"),
    (r"14 \text{ squared}", "14"),
    (r"14 \text{ out of 20}", "14"),
    (r"14 \text{ hundred}", "14"),
    (r"4 \text{ divides } n", "4"),
    (r"14 \text{ exceeds } n", "14"),
    (r"15 \text{ 米}", "15千米"),
    (r"\$3", r"3 \text{ euros}"),
    (r"n \bmod 10", "n"),
    (r"\frac{10}{3} \approx 3.333 \text{ minutes}", r"\frac{10}{3} \text{ hours}"),
]


@pytest.mark.parametrize(("reference", "answer"), OTHER_QUANTITY)
def test_another_unit_or_another_word_is_not_equal(reference: str, answer: str) -> None:
    assert relation(reference, answer) != "equal"
    assert relation(answer, reference) != "equal"


def test_a_quantity_and_its_bare_number_are_never_spoken_different() -> None:
    for unit in (r"\mathrm{~K}", r"\mathrm{~m}", r"\mathrm{~J} \mathrm{~K}^{-1}", r"\,\text{m/s}^2", r"\mu \text{F}"):
        assert relation(f"310 {unit}", "310") == "equal"
        assert relation("310", f"310 {unit}") == "unsure"


ASKED = [
    ("How many metres did he walk?", "2500", r"2500 \text{ m}", True),
    ("How many metres did he walk?", "2500", r"2.5 \text{ km}", True),
    ("How many metres did he walk?", "2500", r"2500 \text{ km}", False),
    ("How many seconds does it take?", "7", r"7 \text{ km}", False),
    ("How long does it take, in hours?", "0.25", r"15 \text{ minutes}", True),
    ("How long does it take, in hours?", "0.25", r"0.25 \text{ minutes}", False),
    ("A square has a side of 3 cm. Find its perimeter.", "12", r"12 \text{ cm}", True),
    ("A square has a side of 3 cm. Find its area.", "9", r"9 \text{ cm}^2", True),
    ("A square has a side of 3 cm. Find its area.", "9", r"9 \text{ cm}", False),
    ("A square has a side of 3 cm. Find its perimeter.", "12", r"12 \text{ km}", False),
    ("He drives 3 km in 200 s, then 40 m more. How far is that?", "3040", r"3040 \text{ km}", False),
    ("How many apples are left?", "17", r"17 \text{ apples}", True),
    ("How many apples are left?", "17", r"17 \text{ is not the answer}", False),
    ("How many more marbles has Ann?", "17", r"17 \text{ more marbles}", True),
    ("How many marbles has Ann?", "17", r"17 \text{ more marbles}", False),
    ("How many students are there?", "30", r"30^\circ\text{C}", False),
    ("How many tonnes of coal are there?", "30", "30 t", True),
    ("How far is it after t seconds?", "30", "30 t", False),
    ("How much does it cost, in USD?", "30", "30 USD", True),
    ("Find the angle at A.", "30", r"30^\circ", True),
    ("Find x.", "30", r"30^\circ", False),
    ("What percentage of the class passed?", "20", r"20\%", True),
    ("By what percent did it grow?", "20", r"20\%", True),
    ("In a class 20% failed. How many students passed?", "20", r"20\%", False),
    ("How many apples are left?", "20", r"20\%", False),
    ("Find the probability.", r"\frac14", r"\frac14\%", False),
    ("Find the probability.", r"\frac14", r"25\%", True),
    ("What percentage is that?", r"31\%", r"31\text{ percentage}", True),
    ("How much does it cost?", "12", r"\$12", True),
    ("How many solutions are there?", "12", r"\$12", False),
    ("How fast is it, in kilometers per second?", "300", r"300 \text{ km}", False),
    ("How fast is it, in kilometers per second?", "300", r"300 \text{ km/s}", True),
    (r"Find $p(s)$ for the equation $m x'' + s x = 0$.", "5", r"5 \text{ m}", False),
    (r"The density is $8 \mathrm{~cm}^{-3}$. Find the length.", "5", r"5 \text{ cm}", False),
    (r"What is $\tan(\angle ABC)$?", "4", r"4^\circ", False),
    ("What is the rate constant?", "4", r"4\%", False),
    ("How many dollars was it?", r"\$36", r"\$36 \text{ is wrong}", False),
    ("How many dollars was a ticket?", r"\$36", r"\$36 \text{ per ticket}", True),
    ("How many dollars was it for 3 tickets?", r"\$36", r"\$36 \text{ per ticket}", False),
    ("How much does he pay per month?", r"\$20", r"\$20/\text{month}", True),
    ("What is the weekly pay?", "20", r"\$20 \text{ a week}", True),
    ("A plan costs $5 per month. What does he pay in total?", r"\$20", r"\$20 \text{ per month}", False),
    ("How much does each ticket cost?", r"\$5", r"\$5 \text{ each}", True),
    ("How much does he pay in all?", r"\$5", r"\$5 \text{ each}", False),
    ("How much does he pay per month?", r"\$20 \text{ per month}", r"\$20 \text{ per week}", False),
    ("", r"\$20 \text{ per month}", r"\$20/\text{month}", True),
    ("", r"\$20", r"\$20 \text{ a month}", False),
    ("Convert 11 to binary.", "1011", r"1011_2", True),
    ("Convert 11 to binary.", "1011", r"1011_{10}", False),
    ("Convert $1011_2$ to decimal.", "11", r"11_{10}", True),
    ("Find the angle in degrees.", r"70^\circ", r"70^\circ \text{ radians}", False),
    ("How many paths are there?", "8", r"8 \text{ apples}", False),
    ("Write it down.", "45", "45.0_7", False),
    ("Find f.", "0", "not 0", False),
    ("He walks 5 km at 4 miles per hour. How long did it take?", "2", r"2 \text{ hours}", True),
    ("He walks at 4 miles per hour. How fast is that?", "2", r"2 \text{ hours}", False),
    ("Ann has $100 and Bob has $20 more. How much do both have?", "220", r"\$220", True),
    ("What is the measure of angle A? [asy] draw(A--B); label(B, dir(60)); dot(C); [/asy]", "30", r"30^\circ", True),
    ("How many books?", "930本", "930", True),
    ("一共多少本？", "930", "930本", True),
    ("Find x mod 9.", r"4 \pmod 9", "4", True),
    ("How much does she pay, in cents?", "1525", r"1525 \text{ cents}", True),
    ("How much does she pay, in cents?", "1525", r"\$15.25", True),
    ("How much does she pay, in cents?", "1525", r"\$1525", False),
    ("How much does she pay, in dollars?", "15", r"\$15", True),
    ("How much does she pay, in dollars?", "15", r"€15", False),
    ("What percent of 40 is 30?", "75", r"75\%", True),
    ("What percent of 40 is 30?", "75", r"7500\%", False),
]


@pytest.mark.parametrize(("problem", "reference", "answer", "same"), ASKED)
def test_the_question_decides_which_unit_may_be_added(problem: str, reference: str, answer: str, same: bool) -> None:
    assert (relation(reference, answer, problem) == "equal") is same


def test_a_percentage_is_a_hundredth_and_no_more() -> None:
    assert relation(r"5\%", "0.05") == relation("0.05", r"5\%") == "equal"
    assert relation("5", r"5\%") == "unsure"
    assert relation(r"5\%", "0.5") != "equal"


def test_units_are_products_and_powers_of_known_names() -> None:
    assert split_unit(r"6 \text{kg} \cdot \text{m} \cdot \text{s}^{-1}")[0] == "6"
    newton, product = read_unit("N"), read_unit(r"\text{kg} \cdot \text{m/s}^2")
    assert newton is not None
    assert product is not None
    assert factor(product, newton) == 1
    joule, erg = read_unit("J"), read_unit("erg")
    assert joule is not None
    assert erg is not None
    assert factor(erg, joule) == Fraction(1, 10**7)


WHICH = [
    ("How many cats are there among the cats and dogs?", "9", r"9 \text{ cats}", True),
    ("How many cats are there among the cats and dogs?", "9", r"9 \text{ dogs}", False),
    ("He sorts his shoes into pairs of shoes. How many shoes has he?", "9", r"9 \text{ pairs of shoes}", False),
    ("How many pairs of shoes has he?", "9", r"9 \text{ pairs of shoes}", True),
    ("How many years after the war was it, and how many years ago?", "9", r"9 \text{ years ago}", True),
    ("In how many years will she be as tall as her aunt was 3 years ago?", "9", r"9 \text{ years ago}", False),
    ("Find the area.", "9", r"9 \text{ square units}", True),
    ("Find the area.", "9", r"9 \text{ cubic units}", False),
    ("Find the volume.", r"9 \text{ cubic units}", r"9 \text{ square units}", False),
    ("Find the volume.", r"9 \text{ cubic units}", r"9 \text{ units}^3", True),
    ("When was it built?", r"90 \text{ BC}", "90", False),
    ("When was it built?", r"90 \text{ BC}", r"90 \text{ BC}", True),
    ("Give the width in mm.", r"9 \text{ cm}", "9", False),
    ("Give the width in cm.", r"9 \text{ cm}", "9", True),
    ("What is the probability?", r"40\%", "40", False),
    ("What is the probability?", r"40\%", "0.4", True),
    ("What percentage is it?", r"40\%", "40", True),
    ("What is the temperature?", r"20^\circ\text{C}", r"68^\circ\text{F}", True),
    ("What is the temperature?", r"68^\circ\text{F}", r"20^\circ\text{C}", True),
    ("What is the temperature?", r"20^\circ\text{C}", r"20^\circ\text{F}", False),
    ("By how much did the temperature rise?", r"20^\circ\text{C}", r"68^\circ\text{F}", False),
]


@pytest.mark.parametrize(("problem", "reference", "answer", "same"), WHICH)
def test_what_is_counted_or_measured_is_what_the_question_asks_for(
    problem: str, reference: str, answer: str, same: bool
) -> None:
    assert (relation(reference, answer, problem) == "equal") is same


def test_letters_behind_a_number_may_be_a_unit() -> None:
    asked = "Find the speed in m/s."
    assert compare("25 m/s", "25", asked).reason == "equal_unit_left_out"
    assert compare("25 m/s", "25 meters per second", asked).label == "correct"
    assert compare("25 m/s", "25").label == compare("25", "25 m/s").label == "abstain"
    assert compare("25 m/s", "26", asked).label == compare("25 m/s", "26").label == "incorrect"
    assert compare("5m", "5", "Find the mean in terms of $m$.").label == "incorrect"
    assert compare("2x", "2").label == "incorrect"


def test_letters_behind_a_number_that_may_be_a_word_are_unclear() -> None:
    assert relation("5", "5 CDs", "How many CDs has Tom?") == relation("5", "5 bpm", "How fast does it beat?") == "unsure"
    assert relation("6", "5 CDs", "How many CDs has Tom?") == relation("5", "5xyz", "How much is it?") == "different"
