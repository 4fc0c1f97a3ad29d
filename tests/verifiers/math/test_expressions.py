"""Whether two expressions are equal: at the scale of their constants, to as many digits as it takes, without an error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.strategies import examples
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.evaluate import Undefined, evaluate, fast, precise
from hero_rl.verifiers.math.matrices import matrix_value
from hero_rl.verifiers.math.notation import FUNCTIONS, OF_SEVERAL
from hero_rl.verifiers.math.sampling import Relation, compare_trees
from hero_rl.verifiers.math.stages import Pair, compare_pair
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, number
from hero_rl.verifiers.math.typed import compare_typed


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
        (r"\sin u", r"|\sin u|"),
        (r"\sin u", r"\sqrt{1-\cos^2 u}"),
        (r"\csc(2u)", r"|\csc(2u)|"),
        (r"\tan\frac{u}{2}", r"\sqrt{\frac{1-\cos u}{1+\cos u}}"),
        (r"\sin(u+v)", r"|\sin(u+v)|"),
        (r"\ln|\sin u|", r"\ln(\sin u)"),
        (r"\ln|u|", r"\ln(-u)"),
        (r"\ln|u-2|", r"\ln(2-u)"),
        (r"\sqrt{|u|}", r"\sqrt{-u}"),
    ],
)
def test_a_formula_holds_at_every_angle_and_wherever_the_reference_does(a: str, b: str) -> None:
    assert relation(a, b) in ("equal_in_part", "different")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\sin^2 u", r"1-\cos^2 u"),
        (r"\tan\frac{u}{2}", r"\frac{\sin u}{1+\cos u}"),
        (r"|\sin u|", r"\sqrt{1-\cos^2 u}"),
        (r"-\ln|\cos u|", r"\ln|\sec u|"),
        (r"\ln u^2", r"2\ln u"),
        (r"u+1", r"\frac{u^2-1}{u-1}"),
        (r"\sqrt{u^2-1}", r"\sqrt{u-1}\sqrt{u+1}"),
        (r"(-1)^n", r"\cos n\pi"),
    ],
)
def test_what_goes_without_saying_need_not_hold_elsewhere(a: str, b: str) -> None:
    assert relation(a, b) == "equal"


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


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\sum_{k=1}^{2400}\sin(kx)", r"\sum_{k=1}^{2400}\sin(kx)+1"),
        (r"\sum_{i=1}^{49}\sum_{j=1}^{49}\frac{1}{i+j+x}", r"\sum_{j=1}^{49}\sum_{i=1}^{49}\frac{1}{i+j+x}"),
        (r"\sum_{i=1}^{99}\sum_{j=1}^{99}\sum_{k=1}^{99} ijk", "1"),
        (r"\prod_{k=1}^{999999999} k", "1"),
    ],
)
def test_long_sums_are_not_worked_out(a: str, b: str) -> None:
    assert relation(a, b) in ("unknown", "too_large")


# ------------------------------------------------------------------------------------------- integers


def test_agreement_at_integers_counts_for_variables_that_are_integers() -> None:
    assert relation(r"\cos(n\pi)", "(-1)^n") == "equal"
    assert relation(r"\sin(2\pi k)", "0") == "equal"
    assert relation(r"\sin(\pi t)", "0") != "equal"
    assert relation(r"\cos(2\pi x)", "1") != "equal"
    assert relation(r"\lfloor r \rfloor", "r") != "equal"


# ------------------------------------------------------------------------------------------- sums, products, dots


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"1+2+\ldots+m", r"\frac{m^2+m}{2}"),
        (r"1+2+\cdots+200", "20100"),
        (r"2+4+6+\cdots+2n", "n^2+n"),
        (r"1+4+9+\cdots+n^2", r"\sum_{k=1}^{n}k^2"),
        (r"\sum_{i=0}^{n} 2^i", "2^{n+1}-1"),
        (r"1+2+4+\cdots+2^{n}", "2^{n+1}-1"),
        (r"1+2+4+8+\cdots+512", "1023"),
        (r"\frac{1}{2\cdot 3}+\frac{1}{3\cdot 4}+\cdots+\frac{1}{(n+1)(n+2)}", r"\frac{n}{2(n+2)}"),
        (r"\frac{1}{\sqrt{1}+\sqrt{2}}+\frac{1}{\sqrt{2}+\sqrt{3}}+\cdots+\frac{1}{\sqrt{80}+\sqrt{81}}", "8"),
        (r"1-\frac12+\frac13-\cdots+\frac{(-1)^{n-1}}{n}", r"\sum_{k=1}^{n}\frac{(-1)^{k+1}}{k}"),
        (r"1+x+x^2+\cdots+x^{m}", r"\frac{1-x^{m+1}}{1-x}"),
        (r"y^n+y^{n-1}+\cdots+y+1", r"\sum_{k=0}^{n}y^k"),
        (r"2\cdot4\cdot6\cdots(2n)", "2^n n!"),
        (r"2\cdot4\cdot6\cdots(2n)", "(2n)!!"),
        (r"(2n+1)!!", r"\frac{(2n+1)!}{2^n n!}"),
        (r"n(n-1)(n-2)\cdots 3\cdot 2\cdot 1", "n!"),
        (r"m(m-1)\cdots(m-k+1)", r"\frac{m!}{(m-k)!}"),
        (r"\prod_{k=2}^{n}\frac{k-1}{k}", r"\frac{1}{n}"),
        (r"b_1+b_2+\cdots+b_n", r"\sum_{j=1}^{n} b_j"),
        (r"b_1b_2\cdots b_n", r"\prod_{i=1}^{n} b_i"),
        (r"b_1c_1+b_2c_2+\cdots+b_nc_n", r"\sum_{k=1}^{n} c_kb_k"),
        (r"\sum_{i=1}^{m}\sum_{j=1}^{n} a_{ij}", r"\sum_{j=1}^{n}\sum_{i=1}^{m} a_{ij}"),
        (r"\sum_{k=1}^{n} f(k)", r"\sum_{k=2}^{n+1} f(k-1)"),
        (r"\operatorname{lcm}(1,2,\ldots,10)", "2520"),
        (r"\max(1,2,\ldots,n)", "n"),
    ],
)
def test_sums_and_products_are_equal_to_their_closed_forms(a: str, b: str) -> None:
    assert relation(a, b) == relation(b, a) == "equal"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"1+2+\ldots+m", r"\frac{m^2-m}{2}"),
        (r"1+2+\cdots+200", "20101"),
        (r"2+4+6+\cdots+2n", "n^2"),
        (r"1+4+9+\cdots+n^2", r"\sum_{k=1}^{n-1}k^2"),
        (r"\sum_{i=0}^{n} 2^i", "2^{n}-1"),
        (r"\sum_{k=1}^{n} k+1", r"\sum_{k=1}^{n} (k+1)"),
        (r"1+x+x^2+\cdots+x^{m}", r"\frac{1-x^{m}}{1-x}"),
        (r"2\cdot4\cdot6\cdots(2n)", "2^{n-1} n!"),
        (r"(2n+1)!!", r"(2n-1)!!"),
        (r"(2n)!!", r"(2n)!"),
        (r"m(m-1)\cdots(m-k+1)", r"\frac{m!}{(m-k+1)!}"),
        (r"b_1+b_2+\cdots+b_n", r"b_1+b_2+\cdots+b_{n+1}"),
        (r"b_1+b_2+\cdots+b_n", r"b_1b_2\cdots b_n"),
        (r"b_1b_2\cdots b_n", r"\prod_{i=2}^{n} b_i"),
        (r"b_1c_1+b_2c_2+\cdots+b_nc_n", r"\sum_{k=1}^{n} b_{n+1-k}c_k"),
        (r"\sum_{i=1}^{m}\sum_{j=1}^{n} a_{ij}", r"\sum_{i=1}^{m}\sum_{j=1}^{n} a_{ji}"),
        (r"\sum_{k=1}^{n} f(k)", r"\sum_{k=1}^{n} f(k-1)"),
        (r"\sum_{k=1}^{n} f(k)", "nf(k)"),
        (r"\operatorname{lcm}(1,2,\ldots,10)", "5040"),
        (r"\max(1,2,\ldots,n)", "n+1"),
    ],
)
def test_sums_and_products_are_not_equal_to_their_neighbours(a: str, b: str) -> None:
    assert relation(a, b) not in ("equal", "equal_if_positive")
    assert relation(b, a) not in ("equal", "equal_if_positive")


@pytest.mark.parametrize(
    "text",
    [
        r"1+2+\ldots+64",
        r"1+2+\cdots+2^n",
        r"b_1c_n+b_2c_{n-1}+\cdots+b_nc_1",
        r"1-\frac12+\frac13-\cdots-\frac{1}{10}",
        r"1+\cdots+n",
        r"2+3+5+7+\cdots+p",
        r"1+\frac12+\frac14+\cdots",
        r"1+2+\ldots+n+1",
        r"3+1+4+\cdots+9",
        r"\sum_{k=1}^{\infty}\frac{1}{k^2}",
        r"\sum_{p \in P} p",
        r"\sum_{k=1}^{n} k+k",
        r"\prod_{k=1}^{n} k \cdot 2",
        r"\sum_{k=1}^{k} k",
    ],
)
def test_dots_and_sums_whose_meaning_is_not_clear_are_not_read(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(clean(text))


# ------------------------------------------------------------------------------------------- notations


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\binom{12}{5}", "C(12,5)"),
        (r"\binom{12}{5}", "C_{12}^{5}"),
        (r"\binom{12}{5}", "C^{5}_{12}"),
        (r"\binom{12}{5}", "{}_{12}C_{5}"),
        (r"\binom{12}{5}", "{}^{12}C_5"),
        (r"\binom{12}{5}", "12C5"),
        (r"\binom{12}{5}", r"{12 \choose 5}"),
        (r"\binom{n}{2}", r"{}_nC_2"),
        ("P(9,4)", "3024"),
        ("{}_9P_4", "3024"),
        ("A_9^4", "3024"),
        ("P(n,k)", r"\frac{n!}{(n-k)!}"),
        (r"\operatorname{tg} x", r"\frac{\sin x}{\cos x}"),
        (r"\operatorname{ctg} x", r"\frac{1}{\tan x}"),
        (r"\ctg x", r"\cot x"),
        (r"\mathrm{tg}\,x", r"\tan x"),
        (r"\operatorname{cosec} t", r"\csc t"),
        (r"\operatorname{arctg} 3", r"\arctan 3"),
        (r"\operatorname{arcsec} 2", r"\frac{\pi}{3}"),
        (r"\sec^{-1} 2", r"\frac{\pi}{3}"),
        (r"\operatorname{arsinh} 1", r"\ln(1+\sqrt{2})"),
        (r"\operatorname{sh} x+\operatorname{ch} x", "e^x"),
        (r"\operatorname{th} x", r"\tanh x"),
        (r"\lg 1000", "3"),
        (r"\log_28", "3"),
        (r"6\angle 90^\circ", "6i"),
        (r"\sqrt{2}\angle{-45^\circ}", "1-i"),
        (r"\ln|x|", r"\frac{1}{2}\ln(x^2)"),
        (r"\operatorname{sgn}(x)", r"\frac{|x|}{x}"),
        (r"7\frac{1}{4}\%", "0.0725"),
        (r"(1101)_2", "13"),
        (r"\text{3A}_{16}", "58"),
        (r"0.58333\ldots", r"\frac{7}{12}"),
        (r"1.2727\ldots", r"\frac{14}{11}"),
        (r"1.\dot{2}\dot{7}", r"\frac{14}{11}"),
        (r"0.\dot{0}3\dot{7}", r"\frac{1}{27}"),
        (r"0.58\dot 3", r"\frac{7}{12}"),
    ],
)
def test_other_spellings_mean_the_same(a: str, b: str) -> None:
    assert relation(a, b) == relation(b, a) == "equal"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\binom{12}{5}", "C(12,6)"),
        (r"\binom{12}{5}", "C(5,12)"),
        (r"\binom{12}{5}", "P(12,5)"),
        (r"\binom{12}{5}", "{}_{5}C_{12}"),
        ("A_9^4", r"\binom{9}{4}"),
        ("A_1^2", "2"),
        (r"\operatorname{tg} x", r"\cot x"),
        (r"\operatorname{cosec} t", r"\sec t"),
        (r"\operatorname{sh} x", r"\sin x"),
        (r"\sin^{-1} x", r"\frac{1}{\sin x}"),
        (r"\lg 1000", r"\ln 1000"),
        (r"6\angle 90^\circ", "-6i"),
        (r"6\angle 90^\circ", "6"),
        (r"\log_28", r"\log_{28} 2"),
        (r"\operatorname{sgn}(x-90)", "-1"),
        (r"7\frac{1}{4}\%", "7.0025"),
        (r"(1101)_2", "1101"),
        (r"\text{3A}_{16}", "3A"),
        (r"0.58333\ldots", "0.58333"),
        (r"0.5\dot{8}\dot{3}", r"\frac{7}{12}"),
        (r"2.718281828\ldots", r"\frac{271801}{99990}"),
        ("7!!", "7!"),
    ],
)
def test_other_spellings_do_not_mean_more(a: str, b: str) -> None:
    assert relation(a, b) not in ("equal", "equal_if_positive")
    assert relation(b, a) not in ("equal", "equal_if_positive")


# ------------------------------------------------------------------------------------------- matrices, named constants


def typed(reference: str, answer: str, problem: str = "") -> str:
    return compare_typed(clean(reference), clean(answer), problem).relation


def matrix(rows: str) -> str:
    return r"\begin{pmatrix}" + rows.replace(";", r"\\").replace(",", "&") + r"\end{pmatrix}"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (matrix("3,0;0,3"), "3I"),
        (matrix("0,-1;-1,0"), "-" + matrix("0,1;1,0")),
        (matrix("4;5;6"), "[4,5,6]^T"),
        (matrix("4;5;6"), r"(4,5,6)^{\top}"),
        (matrix("1,2;0.5,3"), r"\frac{1}{2}" + matrix("2,4;1,6")),
        (matrix("1,2;3,4") + "-I", matrix("0,2;3,3")),
        (matrix("1,2;3,4") + "^T", matrix("1,3;2,4")),
        ("A=" + matrix("1,2;3,4"), matrix("1,2;3,4")),
        (r"\mathbf{x}=" + matrix("1;0") + "+t" + matrix("2;3"), matrix("1+2t;3t")),
        (matrix("1,2;3,4"), "[[1,2],[3,4]]"),
        (r"\frac{1+\sqrt{5}}{2}", r"\varphi"),
        (r"\frac{\sqrt{5}-1}{2}", r"\frac{1}{\varphi}"),
    ],
)
def test_matrices_are_worked_out_entry_by_entry(a: str, b: str) -> None:
    assert typed(a, b) == typed(b, a) == "equal"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (matrix("3,0;0,3"), "I"),
        (matrix("3,0;0,3"), "3"),
        (matrix("3,0;0,3"), "3I_3"),
        (matrix("3,0;0,3"), "3I+1"),
        (matrix("3,0;0,3"), "3K"),
        (matrix("0,-1;-1,0"), matrix("0,1;1,0")),
        (matrix("4;5;6"), "[4,6,5]^T"),
        (matrix("1,2;0.5,3"), r"2" + matrix("2,4;1,6")),
        (matrix("3,1;5,2") + "^{-1}", matrix("2,1;5,3")),
        (matrix("1,2;3,4") + matrix("0,1;1,0"), matrix("0,1;1,0") + matrix("1,2;3,4")),
        (matrix("1,2;3,4") + "^T", matrix("1,2;3,4")),
        (r"\det" + matrix("2,1;1,2"), matrix("2,1;1,2")),
        (r"\det" + matrix("2,1;1,2"), "5"),
        (matrix("1,2;3,4") + matrix("1,2"), "11"),
        (matrix("1,2;3,4"), "[[1,3],[2,4]]"),
        (r"\frac{1-\sqrt{5}}{2}", r"\varphi"),
        (r"\frac{1+\sqrt{5}}{2}", r"\theta"),
    ],
)
def test_other_matrices_are_not_equal(a: str, b: str) -> None:
    assert typed(a, b) != "equal"
    assert typed(b, a) != "equal"


def test_a_name_that_the_question_uses_is_no_constant() -> None:
    assert typed(r"\frac{1+\sqrt{5}}{2}", r"\varphi", r"The angle $\varphi$ lies in a triangle. Find its cosine.") != "equal"


# ------------------------------------------------------------------------------------------- properties of random trees


class Expression(NamedTuple):
    """A rational expression that the test builds: its text, and its exact value by Python's own fractions."""

    text: str
    value: Callable[[dict[str, Fraction]], Fraction]


def _leaf(text: str) -> Expression:
    return Expression(text, (lambda at: at[text]) if text.isalpha() else (lambda at: Fraction(text)))


def _sum_of(a: Expression, b: Expression) -> Expression:
    return Expression(f"({a.text}+{b.text})", lambda at: a.value(at) + b.value(at))


def _difference_of(a: Expression, b: Expression) -> Expression:
    return Expression(f"({a.text}-{b.text})", lambda at: a.value(at) - b.value(at))


def _product_of(a: Expression, b: Expression) -> Expression:
    return Expression(rf"{a.text}\cdot {b.text}", lambda at: a.value(at) * b.value(at))


def _quotient_of(a: Expression, b: Expression) -> Expression:
    return Expression(rf"\frac{{{a.text}}}{{{b.text}}}", lambda at: a.value(at) / b.value(at))


def _square_of(a: Expression) -> Expression:
    return Expression(f"({a.text})^2", lambda at: a.value(at) ** 2)


LETTERS = ("x", "y", "n", "a")
OPERATIONS = (_sum_of, _difference_of, _product_of, _quotient_of)
leaves = st.one_of(st.sampled_from(LETTERS), st.integers(1, 99).map(str)).map(_leaf)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda operation, a, b: operation(a, b), st.sampled_from(OPERATIONS), inner, inner),
        inner.map(_square_of),
    ),
    max_leaves=8,
)


def _differ(a: Expression, b: Expression) -> bool:
    """Whether two expressions have different values somewhere, by exact arithmetic."""
    for prime in (101, 103, 107, 109, 113):
        at = {letter: Fraction(7 * index + 3, prime) for index, letter in enumerate(LETTERS, 1)}
        try:
            if a.value(at) != b.value(at):
                return True
        except ZeroDivisionError:
            continue
    return False


def _assert_not_equal(a: Expression, b: Expression) -> None:
    for one, other in ((a, b), (b, a)):
        assert relation(one.text, other.text) not in ("equal", "equal_if_positive"), (one.text, other.text)


@examples(150)
@given(expressions)
def test_an_expression_is_not_itself_shifted_negated_or_doubled(one: Expression) -> None:
    for other in (
        _sum_of(one, _leaf("1")),
        _difference_of(_leaf("0"), one),
        _product_of(_leaf("2"), one),
        _sum_of(one, Expression("10^{-9}", lambda _: Fraction(1, 10**9))),
    ):
        if _differ(one, other):
            _assert_not_equal(one, other)


@examples(150)
@given(expressions, expressions, st.sampled_from(OPERATIONS), st.sampled_from(OPERATIONS))
def test_an_expression_with_another_operator_is_another(a: Expression, b: Expression, one: Any, other: Any) -> None:
    first, second = one(a, b), other(a, b)
    if _differ(first, second):
        _assert_not_equal(first, second)


@examples(150)
@given(expressions, leaves, leaves, st.sampled_from(OPERATIONS))
def test_an_expression_with_another_letter_or_number_is_another(
    a: Expression, one: Expression, other: Expression, operation: Any
) -> None:
    first, second = operation(a, one), operation(a, other)
    if _differ(first, second):
        _assert_not_equal(first, second)


@examples(150)
@given(expressions, expressions, expressions)
def test_rearrangements_are_equal(a: Expression, b: Expression, c: Expression) -> None:
    pairs = [
        (_sum_of(a, b), _sum_of(b, a)),
        (_product_of(a, b), _product_of(b, a)),
        (_product_of(c, _sum_of(a, b)), _sum_of(_product_of(c, a), _product_of(c, b))),
        (_square_of(_sum_of(a, b)), _sum_of(_sum_of(_square_of(a), _square_of(b)), _product_of(_leaf("2"), _product_of(a, b)))),
        (_difference_of(a, b), _difference_of(_leaf("0"), _difference_of(b, a))),
    ]
    for one, other in pairs:
        try:
            one.value({letter: Fraction(index, 17) for index, letter in enumerate(LETTERS, 1)})
        except ZeroDivisionError:
            continue
        assert relation(one.text, other.text) in ("equal", "unknown"), (one.text, other.text)


PIECES = [
    "0", "1", "7", "12", "3.5", "10^{400}", "x", "n", "k", "e", "i", "a_n", "a_1", r"\pi", "+", "-", r"\cdot ", "/", "^",
    "^{n}", "^{-1}", "_", "_{k}", "(", ")", "[", "]", "{", "}", "|", "!", "!!", ",", r"\%", r"^\circ", r"\frac{1}{2}", r"\frac",
    r"\sqrt", r"\sqrt[3]", r"\binom{n}{2}", r"\binom", "C_n^k", "P(5,2)", r"\ldots", r"+\ldots+", r"\sum_{k=1}^{n}",
    r"\prod_{k=1}^{9}", r"\sum", r"\gcd(", r"\operatorname{lcm}(1,2,\ldots,n)", r"\max(", r"\sin ", r"\ln ", r"\log_2 ",
    r"\operatorname{tg} ",
    r"\lfloor ", r"\rfloor ", r"\pm ", r"\infty", "f(", "x'", r"\overline{6}", "9^{9^{9}}", r"\begin{pmatrix}1\\2\end{pmatrix}",
    r"\det ", "^T", "=", "<", r"\text{cm}", r"\mathrm{d}", r"\{", r"\}", "10C3", "{}_5C_2", "1000000000", r"\arccos 2",
]  # fmt: skip


@examples(300)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9), st.lists(st.sampled_from(PIECES), min_size=1, max_size=9))
def test_no_text_makes_the_comparison_break(reference: list[str], answer: list[str]) -> None:
    stage = compare_pair(Pair("".join(reference), "".join(answer)))
    assert not stage.failed, stage.detail
    stage = compare_pair(Pair("".join(reference), "".join(reference) + "+0"))
    assert not stage.failed, stage.detail


def _applied(name: str, args: tuple[Node, ...]) -> Node:
    return Node("fn", args, name=name)


numbers = st.one_of(st.integers(-9, 99), st.sampled_from([0, 10**400, -(2**9999), 10**30, Fraction(1, 10**50)])).map(number)
symbols_of_trees = st.sampled_from([Node("sym", (), None, name) for name in ("x", "n", "i", "e")])
constants = st.sampled_from([Node("const", (), None, "pi"), Node("const", (), None, "infty")])
trees = st.recursive(
    st.one_of(numbers, symbols_of_trees, constants),
    lambda inner: st.one_of(
        st.builds(
            lambda op, a, b: Node(op, (a, b)), st.sampled_from(["add", "mul", "div", "pow", "root"]), inner, inner
        ),
        st.builds(lambda op, a: Node(op, (a,)), st.sampled_from(["neg", "pct", "deg", "pm"]), inner),
        st.builds(lambda name, a: _applied(name, (a,)), st.sampled_from(sorted(FUNCTIONS - OF_SEVERAL)), inner),
        st.builds(
            lambda name, a, b: _applied(name, (a, b)), st.sampled_from([*sorted(OF_SEVERAL), "binom", "perm"]), inner, inner
        ),
        st.builds(lambda name, a: _applied(name, (a,)), st.sampled_from(["factorial", "doublefactorial"]), inner),
        st.builds(
            lambda name, a, b: Node("range", (a, b, Node("sym", (), None, "#1")), Fraction(1), name),
            st.sampled_from(["sum", "prod", "lcm", "max"]), inner, inner,
        ),
    ),
    max_leaves=7,
)  # fmt: skip


@examples(300)
@given(trees, trees)
def test_no_tree_makes_the_evaluation_break(a: Node, b: Node) -> None:
    for context in (fast(), precise()):
        with contextlib.suppress(Undefined):
            evaluate(a, {"x": Fraction(3, 7), "n": Fraction(4)}, context)
    assert compare_trees(a, b) in ("equal", "equal_if_positive", "different", "unknown", "too_large")
    assert compare_trees(a, Node("add", (a, number(1)))) not in ("equal", "equal_if_positive")


def test_a_prime_behind_a_matrix_is_not_understood() -> None:
    with pytest.raises(Unreadable):
        matrix_value(matrix("1,2;3,4") + "'")
