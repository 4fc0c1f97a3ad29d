"""Whether two expressions are equal: at the scale of their constants, to as many digits as it takes, without an error."""

from __future__ import annotations

import pytest

from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.sampling import Relation, compare_trees
from hero_rl.verifiers.math.syntax import parse


def relation(a: str, b: str) -> Relation:
    return compare_trees(parse(clean(a)), parse(clean(b)))


# ------------------------------------------------------------------------------------------- kinks far from zero


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("|x-7|", "|7-x|"),
        ("|x-25|", r"\sqrt{(x-25)^2}"),
        (r"\max(t, 40)", r"\frac{t+40+|t-40|}{2}"),
        (r"\min(3u, 90)", r"3\min(u, 30)"),
        (r"\lfloor \frac{n}{60} \rfloor", r"\lfloor \frac{2n}{120} \rfloor"),
        (r"\binom{n}{18}", r"\frac{n!}{18!(n-18)!}"),
        ("|x-300|+|x-301|", "|301-x|+|300-x|"),
    ],
)
def test_formulas_with_the_same_kinks_are_equal(a: str, b: str) -> None:
    assert relation(a, b) == relation(b, a) == "equal"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("|x-25|", "25-x"),
        ("|x-25|", "x-25"),
        (r"\max(t, 40)", "40"),
        (r"\max(t^2, 2500)", "2500"),
        (r"\min(t, 1000)", "t"),
        (r"\lfloor n/250 \rfloor", "0"),
        (r"\lceil \frac{n}{45} \rceil", "1"),
        (r"\binom{n}{18}", "0"),
        ("|x-300|+|x-301|", "|2x-601|"),
        ("|20x-4000|", "4000-20x"),
        (r"\sqrt{(x-60)^2}", "60-x"),
        ("|x-5y|", "5y-x"),
    ],
)
def test_a_formula_is_not_one_of_its_own_branches(a: str, b: str) -> None:
    assert relation(a, b) not in ("equal", "equal_if_positive")
    assert relation(b, a) not in ("equal", "equal_if_positive")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("e^{-70t}", "0"),
        ("e^{-70t}", "2e^{-70t}"),
        (r"e^{-70t}\sin t", r"e^{-70t}\cos t"),
        ("x+e^{-900x}", "x"),
        ("10^{-60}", "0"),
        ("10^{-60}", "10^{-61}"),
    ],
)
def test_numbers_near_zero_are_compared_relatively(a: str, b: str) -> None:
    assert relation(a, b) == relation(b, a) == "different"


# ------------------------------------------------------------------------------------------- digits


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1999^{1500}", "1999^{1500}+1"),
        ("7^{7^7}", "7^{7^7}+2"),
        ("2^{3000000}", "2^{3000000}-1"),
        ("e^{300}", "e^{300}-3"),
        (r"\pi^{200}", r"\pi^{200}+1"),
        (r"10^{70}+\sqrt{3}", r"10^{70}+\sqrt{5}"),
        (r"10^{70}+\sqrt{3}", "10^{70}"),
        (r"\frac{1}{\sqrt{7}}+10^{-45}", r"\frac{1}{\sqrt{7}}"),
        (r"\frac{5^{300}+1}{\sqrt{3}}", r"\frac{5^{300}-1}{\sqrt{3}}"),
        (r"\sqrt{10^{300}+1}-10^{150}", "0"),
        (r"2^{500}\sqrt{2^{1000}+6}-2^{1000}", "2"),
        (r"x+e^{250}", r"x+e^{250}+1"),
        (r"800!", r"800!+1"),
        (r"\binom{900}{450}", r"\binom{900}{450}-1"),
    ],
)
def test_a_small_difference_of_large_numbers_is_seen(a: str, b: str) -> None:
    assert relation(a, b) == relation(b, a) == "different"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1999^{1500}", r"1999 \cdot 1999^{1499}"),
        ("7^{7^7}", r"7\cdot 7^{7^7-1}"),
        ("2^{3000000}", "8^{1000000}"),
        ("e^{300}", r"e^{100} \cdot e^{200}"),
        (r"\sqrt{7+2\sqrt{10}}", r"\sqrt{2}+\sqrt{5}"),
        (r"\sqrt{10^{300}+1}-10^{150}", r"\frac{1}{\sqrt{10^{300}+1}+10^{150}}"),
        (r"\sin^2 5+\cos^2 5-1", "0"),
        (r"\arctan 2+\arctan 3", r"\frac{3\pi}{4}"),
        ("800!", r"800\cdot 799!"),
        (r"\sqrt[3]{2+\sqrt{5}}+\sqrt[3]{2-\sqrt{5}}", "1"),
        ("e^{1000x}+1", "1+e^{400x}e^{600x}"),
    ],
)
def test_equal_numbers_of_any_size_are_equal(a: str, b: str) -> None:
    assert relation(a, b) == relation(b, a) == "equal"


def test_a_comparison_beyond_the_limits_is_not_equal() -> None:
    assert relation("e^{9^{9}}", "e^{9^{9}}+1") == "too_large"
    assert relation(r"\sqrt{2}^{9^8}", r"\sqrt{2}^{9^8}+1") == "too_large"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\gcd(2^{9999}-1, 2^{1000}-1)", "3"),
        ("10^{400}", "x^0"),
        ("10^{400}x", "x"),
        (r"\operatorname{lcm}(2^{60000}, 3^{60000})", "6"),
        (r"x^{10^{30}}", "x"),
        (r"\frac{1}{2}-\sqrt{x}", r"\frac{1}{2}"),
        (r"\binom{x}{10^{20}}", "1"),
        (r"\gcd(\sqrt{2}, 4)", "1"),
        (r"(10^{30})!", "1"),
    ],
)
def test_sizes_never_end_in_an_error(a: str, b: str) -> None:
    assert relation(a, b) in ("different", "unknown", "too_large")


# ------------------------------------------------------------------------------------------- integers


def test_agreement_at_integers_counts_for_variables_that_are_integers() -> None:
    assert relation(r"\cos(n\pi)", "(-1)^n") == "equal"
    assert relation(r"\sin(2\pi k)", "0") == "equal"
    assert relation(r"\sin(\pi t)", "0") != "equal"
    assert relation(r"\cos(2\pi x)", "1") != "equal"
    assert relation(r"\lfloor r \rfloor", "r") != "equal"
