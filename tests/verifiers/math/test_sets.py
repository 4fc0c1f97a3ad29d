r"""Sets of numbers in the maths verifier: families, congruences, regions, lists, labelled parts, ratios and pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.strategies import examples
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.domains import read_domains, relate_domains
from hero_rl.verifiers.math.findings import Finding
from hero_rl.verifiers.math.stages import Pair, compare_pair
from hero_rl.verifiers.math.typed import compare_typed

SINE = "Solve sin(2x) = 1."
POSITIVE = "Find all positive integers n such that 5 divides 3^n - 1."


def compared(reference: str, answer: str, problem: str = "") -> Finding:
    return compare_typed(clean(reference), clean(answer), problem)


FAMILIES_EQUAL = [
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"\frac{5\pi}{4}+n\pi, n\in\mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{(4m+1)\pi}{4}\text{ for any integer }m"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"\frac{\pi}{4}+2k\pi \text{ or } \frac{5\pi}{4}+2k\pi, k \in \mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=45^\circ+180^\circ k, k\in\mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"\left\{\frac{\pi}{4}+l\pi \mid l\in\mathbb{Z}\right\}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{\pi}{4}+k\pi, k=0,\pm 1,\pm 2,\ldots"),
    ("", r"x=\pm\frac{\pi}{3}+2\pi k", r"\frac{\pi}{3}+2\pi n, \frac{5\pi}{3}+2\pi n"),
    ("", r"x=(-1)^k\frac{\pi}{6}+\pi k", r"x=\frac{\pi}{6}+2\pi k, \frac{5\pi}{6}+2\pi k"),
    ("", r"x\equiv 3 \pmod 7", r"x=7k+3"),
    ("", r"x\equiv 3 \pmod 7", r"x \equiv -4 \pmod{7}"),
    ("", r"x\equiv 3 \pmod 7", r"7t-4, t\in\mathbb{Z}"),
    ("", r"n \equiv 1, 5 \pmod 6", r"n \equiv \pm 1\ (\mathrm{mod}\ 6)"),
    ("", r"n \equiv 1 \pmod 3", r"n \equiv 1 \pmod 6 \text{ or } n \equiv 4 \pmod 6"),
    ("", r"5 \mid n", r"n = 5m, m \in \mathbb{Z}"),
    ("", r"n \equiv 3 \pmod 4", r"n \bmod 4 = 3"),
    ("", r"1, 2, 4", r"2^k, k \in \{0, 1, 2\}"),
    ("", r"\text{all odd integers}", r"2k+1, k\in\mathbb{Z}"),
    ("", r"\text{all odd positive integers}", r"2k-1, k=1,2,3,\ldots"),
    ("", r"\text{all multiples of } 6", r"n \text{ divisible by 2 and 3}"),
    ("", r"\text{all even integers greater than 4}", r"2k, k \ge 3"),
    ("", r"\text{all powers of 3}", r"3^k, k \ge 0"),
    ("", r"3^{k-1}, k \ge 1", r"\text{powers of three}"),
    ("", r"2, 3 \text{ and all multiples of } 10", r"10k, k\in\mathbb{Z}, \text{ or } 2 \text{ or } 3"),
    ("", r"4p \text{ for all odd primes } p", r"4q \text{ where } q \text{ is an odd prime}"),
    ("", r"\{5,10,15,\ldots\}", r"\text{positive multiples of } 5"),
    ("", r"\mathbb{Z}", r"\text{all integers}"),
    ("", r"\text{all positive integers}", r"n \in \mathbb{Z}^+"),
    ("", r"\text{all integers } n \ge 3", r"n > 2"),
    ("", r"n \text{ is not divisible by } 3", r"n \equiv \pm 1 \pmod 3"),
    ("", r"\text{all integers } m \text{ such that } m \equiv 2 \pmod 5", r"m=5k+2"),
    ("", r"x=\frac{\pi}{3}+k\pi, k \in \mathbf{Z}", r"x=\frac{\pi}{3}+n\pi \quad n \in \mathbb{Z}"),
    ("", r"x = \pi k + (\sqrt{-4})^2, k\in\mathbb{Z}", r"x=\pi k-4, k\in\mathbb{Z}"),  # real, by way of complex numbers
    ("", r"x=k\pi, k\in\mathbb{Z}", r"\arccos(2) - \arccos(2) + k\pi, k\in\mathbb{Z}"),
    (POSITIVE, r"n=4k", r"n \equiv 0 \pmod 4"),
    (POSITIVE, r"n=4k", r"n=4m, m\in\mathbb{Z}^+"),
    ("Find all positive integers n for which the board can be tiled.", r"n=1, n\ge 4", r"n \ne 2, 3"),
    ("Find all positive integers n for which the board can be tiled.", r"n \ne 3", r"\text{all positive integers except } 3"),
]
FAMILIES_NOT_EQUAL = [
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{N}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{R}"),
    ("", r"x = \pi k + (\sqrt{-4})^2, k\in\mathbb{Z}", r"x=\pi k+4, k\in\mathbb{Z}"),
    ("", r"x=k\pi, k\in\mathbb{Z}", r"\arcsin(2) + k\pi, k\in\mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{\pi}{4}+2k\pi, k\in\mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=-\frac{\pi}{4}+k\pi, k\in\mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{\pi}{4}+\frac{k\pi}{2}, k\in\mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=45^\circ+360^\circ k, k\in\mathbb{Z}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"\frac{\pi}{4}"),
    ("", r"x=\pm\frac{\pi}{3}+2\pi k", r"\frac{\pi}{3}+2\pi n"),
    ("", r"x=\pm\frac{\pi}{3}+2\pi k", r"\frac{\pi}{3}+2\pi n, \frac{4\pi}{3}+2\pi n"),
    ("", r"x\equiv 3 \pmod 7", r"x=7k+4"),
    ("", r"x\equiv 3 \pmod 7", r"x=14k+3"),
    ("", r"x\equiv 3 \pmod 7", r"x=3k+7"),
    ("", r"x\equiv 3 \pmod 7", r"x\equiv 3 \pmod 5"),
    ("", r"n \bmod 4 = 3", r"n \bmod 5 = 3"),
    ("", r"n \bmod 4 = 3", "3"),
    ("", "3", r"n \bmod 4 = 3"),
    ("", "n = 3", r"n \bmod 4 = 3"),
    ("", r"1, 2, 4", r"2^k, k \in \{0, 1, 3\}"),
    ("", r"x\equiv 3 \pmod 7", r"y\equiv 3 \pmod 7"),
    ("", r"n \equiv 1, 5 \pmod 6", r"n \equiv 1 \pmod 6"),
    ("", r"\text{all odd integers}", r"2k+1, k\in\mathbb{N}"),
    ("", r"\text{all odd integers}", r"2k, k\in\mathbb{Z}"),
    ("", r"\text{all odd primes}", r"\text{all primes}"),
    ("", r"\text{all odd primes}", r"\text{all odd numbers}"),
    ("", r"\text{all multiples of } 6", r"\text{all multiples of 2 or 3}"),
    ("", r"\text{all even integers greater than 4}", r"2k, k \ge 2"),
    ("", r"\text{all powers of 3}", r"3^k, k \ge 1"),
    ("", r"\text{all powers of 3}", r"\text{all multiples of 3}"),
    ("", r"2, 3 \text{ and all multiples of } 10", r"2, 3"),
    ("", r"2, 3 \text{ and all multiples of } 10", r"2, 5 \text{ and all multiples of } 10"),
    ("", r"\mathbb{Z}", r"\text{all positive integers}"),
    ("", r"\text{all integers } n \ge 3", r"n \ge 2"),
    ("", r"\text{all integers } x \ge 3", r"x \ge 3"),
    ("", r"\{5,10,15,\ldots\}", r"\{5,10,20,\ldots\}"),
    ("", r"n \text{ is not divisible by } 3", r"n \text{ is divisible by } 3"),
    ("", r"n \text{ is not divisible by } 3", r"n \equiv 1 \pmod 3"),
    (POSITIVE, r"n=4k", r"n=4k+1"),
    (POSITIVE, r"n=4k", r"4"),
    (POSITIVE, r"n=4k", r"n=8k"),
    ("Find the line through A and B.", r"y=3x+1", r"y=3x+4"),
    ("Find all positive integers n for which the board can be tiled.", r"n=1, n\ge 4", r"n \ge 4"),
    ("Find all positive integers n for which the board can be tiled.", r"n \ne 3", r"\text{all positive integers except } 2"),
]


@pytest.mark.parametrize(("problem", "reference", "answer"), FAMILIES_EQUAL)
def test_one_family_in_two_forms_is_equal(problem: str, reference: str, answer: str) -> None:
    assert compared(reference, answer, problem).relation == "equal"
    assert compared(answer, reference, problem).relation == "equal"


@pytest.mark.parametrize(("problem", "reference", "answer"), FAMILIES_NOT_EQUAL)
def test_another_family_is_never_equal(problem: str, reference: str, answer: str) -> None:
    assert compared(reference, answer, problem).relation != "equal"
    assert compared(answer, reference, problem).relation != "equal"


@examples(60)
@given(st.integers(2, 12), st.integers(-12, 12), st.integers(-3, 3), st.sampled_from([1, 2, 3]))
def test_a_family_is_equal_when_shifted_or_split_and_never_when_changed(
    period: int, start: int, shift: int, pieces: int
) -> None:
    reference = f"x \\equiv {start} \\pmod {{{period}}}"
    split = ", ".join(f"{period * pieces}m + {start + period * (shift + at)}" for at in range(pieces))
    assert compared(reference, f"{split}, m \\in \\mathbb{{Z}}").relation == "equal"
    assert compared(reference, f"x = {period}m + {start + 1}, m \\in \\mathbb{{Z}}").relation == "different"
    assert compared(reference, f"x = {2 * period}m + {start}, m \\in \\mathbb{{Z}}").relation == "different"
    assert compared(reference, f"x = {period}m + {start}, m \\in \\mathbb{{N}}").relation == "different"
    if pieces > 1:
        dropped = split.rpartition(",")[0]
        assert compared(reference, f"{dropped}, m \\in \\mathbb{{Z}}").relation == "different"


@pytest.mark.parametrize(
    ("one", "other", "relation"),
    [
        (r"k \in \mathbb{Z}", r"\text{for any integer } n", "same"),
        (r"k \in \mathbb{Z}", "", "left_out"),
        (r"k \in \mathbb{Z}", r"k \in \mathbb{N}", "differ"),
        (r"k \in \mathbb{N}", r"k \ge 0", "left_out"),
        (r"k \in \mathbb{N}", r"k \ge 2", "differ"),
        (r"x > 0", "", "differ"),
        (r"x > 0", r"x \ge 0", "differ"),
        (r"x > 0", r"\text{for positive } x", "same"),
        (r"n \ge 0", r"\text{for all negative } n", "differ"),
        (r"\text{for all primes } p", r"\text{for all odd primes } p", "differ"),
    ],
)
def test_domains_are_compared(one: str, other: str, relation: str) -> None:
    assert relate_domains(one, other) == relation


def test_a_condition_that_is_no_domain_is_not_read_as_one() -> None:
    assert read_domains(r"\text{if Alice wins}") is None
    assert read_domains(r"\text{where } x \text{ is odd}") is not None


def test_what_a_statement_says_of_its_variables_must_agree() -> None:
    assert compared(r"f(x)=x^2 \text{ for } x>0", r"f(x)=x^2, x>0").relation == "equal"
    assert compared(r"f(x)=x^2 \text{ for } x>0", r"f(x)=x^2 \text{ for } x<0").relation == "unsure"
    assert compared(r"2^n \text{ for all } n \ge 0", r"2^n, n\ge 0").relation == "equal"
    assert compared(r"2^n \text{ for all } n \ge 0", r"2^n \text{ for negative } n").relation == "unsure"


@pytest.mark.parametrize(
    ("problem", "condition", "same"),
    [
        ("", "u>0", False),
        ("Find all functions on the real numbers.", r"\text{for all } u>0", False),
        ("", r"\text{if } w>0", False),
        ("Let $u > 0$. Find $g$.", "u>0", True),
        ("Let $u < 0$. Find $g$.", "u>0", False),
        (r"Find all $g : \mathbb{R}^+ \to \mathbb{R}^+$.", r"\text{for all } u>0", True),
        ("For which $u \\ne 2$ is it defined?", r"u \ne 2", True),
    ],
)
def test_an_answer_is_narrower_than_the_reference_only_where_the_question_is(problem: str, condition: str, same: bool) -> None:
    for statement in ("g(u)=u^3", "3u+1", "v=3u+1"):
        assert (compared(statement, f"{statement}, {condition}", problem).relation == "equal") is same


BROKEN = (
    "u>0i",
    r"|\%|\in\mathbb{Z}",
    r"u=3k\sqrt{2}, u>1",
    r"\{u \mid |u| \mid 2\}",
    "|u|>0/i",
    r"\frac{22}{7} \approx \pi",
    "v_{_-k}",
)


@pytest.mark.parametrize("answer", BROKEN)
@pytest.mark.parametrize("reference", ["(-2,2)", r"u=3k\sqrt{2}", r"u \ge 3", r"\{u \mid |u|<2\}", r"\sum_{k=0}^{n} v_k"])
def test_no_condition_chain_or_index_makes_the_comparison_break(reference: str, answer: str) -> None:
    assert not compare_pair(Pair(reference, answer)).failed
    assert not compare_pair(Pair(answer, reference)).failed


GROWTH = r"\text{increasing on } (0,4), \text{ decreasing on } (4,9)"
PARTS_EQUAL = [
    ("", r"\text{mean } 7, \text{ median } 6", r"\text{mean}=7, \text{median}=6"),
    ("", r"\text{mean } 7, \text{ median } 6", r"\text{median: } 6; \text{ mean: } 7"),
    ("", r"max 9, min 2", r"\text{the minimum is } 2 \text{ and the maximum is } 9"),
    ("", r"max 9, min 2", r"9, 2"),
    ("", r"local max. $(0,3)$; saddle pt. $(2,1)$", r"\text{saddle point at }(2,1)\text{, local maximum at }(0,3)"),
    ("", r"\text{center } (2,-5), r=4", r"\text{centre }(2,-5)\text{ and radius }4"),
    ("", r"(a) 3 (b) 8", r"3, 8"),
    ("", r"(a) 3 (b) 8", r"\text{(a) } 3; \text{ (b) } 8"),
    ("", r"(i) x+1; (ii) 2x", r"(1) 1+x, (2) 2x"),
    (
        "",
        GROWTH,
        r"\text{increasing for } 0<x<4, \text{ decreasing for } 4<x<9",
    ),
    ("Find (x,y).", r"x=1,y=2", r"(1,2)"),
    ("", r"[x=\frac12, y=3]", r"y=3, x=0.5"),
    ("Find all p and q.", r"p=5,q=2;p=7,q=3", r"(p,q)=(7,3),(5,2)"),
    ("", r"\angle A B_{1} C=40, \angle A C_{1} B=60", r"40, 60"),
    ("", r"4, 9", r"9, 4, 9"),
    ("", r"(1,2),(3,4)", r"(3,4),(1,2),(3,4)"),
    ("", r"1, 2, \ldots, m", r"1,2,3,4,\ldots,m"),
    ("Find both roots.", r"[0.5, 2]", r"2, \frac12"),
    ("", r"5", r"5 \text{ because } 2 \cdot 5 = 10"),
]
PARTS_NOT_EQUAL = [
    ("", r"\text{mean } 7, \text{ median } 6", r"\text{mean}=6, \text{median}=7"),
    ("", r"\text{mean } 7, \text{ median } 6", r"\text{mean}=7, \text{mode}=6"),
    ("", r"\text{mean } 7, \text{ median } 6", r"7"),
    ("", r"max 9, min 2", r"2, 9"),
    ("", r"max 9, min 2", r"max 2, min 9"),
    ("", r"local max. $(0,3)$; saddle pt. $(2,1)$", r"\text{saddle point at }(0,3)\text{, local maximum at }(2,1)"),
    ("", r"\text{center } (2,-5), r=4", r"\text{center }(2,-5)\text{ and diameter }4"),
    ("", r"\text{center } (2,-5), r=4", r"\text{center }(2,5)\text{ and radius }4"),
    ("", r"(a) 3 (b) 8", r"8, 3"),
    ("", r"(a) 3 (b) 8", r"(a) 8 (b) 3"),
    ("", r"(a) 3 (b) 8", r"24"),
    (
        "",
        GROWTH,
        r"\text{decreasing for } 0<x<4, \text{ increasing for } 4<x<9",
    ),
    ("", r"5, 7", r"\text{at least } 5, \text{ at most } 7"),
    ("", r"5, 7", r"\text{not } 5, \text{ not } 7"),
    ("Find (x,y).", r"x=1,y=2", r"(2,1)"),
    ("", r"[x=\frac12, y=3]", r"y=\frac12, x=3"),
    ("Find all p and q.", r"p=5,q=2;p=7,q=3", r"(2,5),(3,7)"),
    ("Find all p and q.", r"p=5,q=2;p=7,q=3", r"p=5,q=3;p=7,q=2"),
    ("", r"4, 9", r"4"),
    ("", r"4, 9", r"4, 9, 16"),
    ("Give all roots with multiplicity.", r"4, 9", r"4, 9, 9"),
    ("", r"1, 2, \ldots, m", r"1,3,5,\ldots,m"),
    ("", r"1, 2, \ldots, m", r"1,2,3,\ldots,m+1"),
    ("Find the interval.", r"[0.5, 2]", r"2, \frac12"),
    ("", r"5", r"6 \text{ because } 5 < 6"),
]
RATIOS_EQUAL = [
    ("", r"3:4:5", r"3{:}4{:}5"),
    ("", r"3:4:5", r"6 \text{ to } 8 \text{ to } 10"),
    ("", r"2:3", r"2 \text{ to } 3"),
    ("", r"V_{1}:V_{2}=5:8", r"5:8"),
    ("", r"2:3", r"\frac{2}{3}"),
    ("What are the chances?", r"1 \text{ in } 8", r"\frac18"),
]
RATIOS_NOT_EQUAL = [
    ("", r"3:4:5", r"3 \text{ to } 5 \text{ to } 4"),
    ("", r"3:4:5", r"3:4"),
    ("", r"2:3", r"3 \text{ to } 2"),
    ("", r"V_{1}:V_{2}=5:8", r"8:5"),
    ("", r"V_{1}:V_{2}=5:8", r"V_{2}:V_{1}=5:8"),
    ("", r"2:3", r"\frac{2}{5}"),
    ("What are the chances?", r"1 \text{ in } 8", r"1:7"),
    ("What are the chances?", r"1 \text{ in } 8", r"8"),
]
REGIONS_EQUAL = [
    ("", r"x<-1 \text{ or } x>5", r"|x-2|>3"),
    ("", r"-1 \le t \le 5", r"|t-2| \le 3"),
    ("", r"[2,7]", r"2 \le x \le 7: [2,7]"),
    ("", r"(-\infty,4)\cup(4,\infty)", r"\text{all real numbers except } 4"),
    ("", r"(1,3)", r"(-\infty,3)\cap(1,5)"),
    ("", "2x>4", "x>2"),
    ("", "2x > 6y", "x - 3y > 0"),
]
REGIONS_NOT_EQUAL = [
    ("", r"x<-1 \text{ or } x>5", r"|x-2|\ge 3"),
    ("", r"x<-1 \text{ or } x>5", r"|x+2|>3"),
    ("", r"-1 \le t \le 5", r"|t-2| \le 4"),
    ("", r"[2,7]", r"2 \le x \le 7: [2,8]"),
    ("", r"(-\infty,4)\cup(4,\infty)", r"\text{all real numbers except } -4"),
    ("", r"(1,3)", r"(-\infty,3)\cup(1,5)"),
    ("", "2x>4", "x<2"),
    ("", "2x > 6y", "x - 3y < 0"),
]
STEP = r"\begin{cases} x^2 & x>0 \\ 1-x & x \le 0 \end{cases}"
PARITY = r"\begin{cases} m & m \text{ even} \\ 2m & m \text{ odd} \end{cases}"
PIECES_EQUAL = [
    ("", STEP, r"f(x)=\begin{cases} 1-x, & \text{if } x \le 0 \\ x^2, & \text{otherwise} \end{cases}"),
    ("", STEP, r"x^2 \text{ if } x>0, 1-x \text{ if } x \le 0"),
    ("", STEP, r"x^2 \ (x>0), 1-x \ (x \le 0)"),
    ("", r"\begin{cases} x-2 & x\ge 2\\ 2-x & x<2\end{cases}", r"|x-2|"),
    (
        "",
        r"\begin{cases} m & m \text{ even} \\ 2m & m \text{ odd} \end{cases}",
        r"2m \text{ if } m \text{ is odd}, m \text{ if } m \text{ is even}",
    ),
    ("", r"4 \text{ if } a=1, a^2 \text{ if } a \ge 3", r"\begin{cases} a^2 & a \ge 3 \\ 4 & a=1 \end{cases}"),
]
PIECES_NOT_EQUAL = [
    ("", STEP, r"\begin{cases} x^2 & x \le 0 \\ 1-x & x>0 \end{cases}"),
    ("", STEP, r"\begin{cases} x^2 & x \ge 0 \\ 1-x & x<0 \end{cases}"),
    ("", STEP, r"\begin{cases} x^2 & x>1 \\ 1-x & x \le 1 \end{cases}"),
    ("", STEP, r"\begin{cases} x^2 & x>0 \\ 1-x & x<0 \end{cases}"),
    ("", STEP, r"x^2"),
    ("", r"\begin{cases} x-2 & x\ge 2\\ 2-x & x<2\end{cases}", r"|x-3|"),
    (
        "",
        r"\begin{cases} m & m \text{ even} \\ 2m & m \text{ odd} \end{cases}",
        r"m \text{ if } m \text{ is odd}, 2m \text{ if } m \text{ is even}",
    ),
    ("", r"4 \text{ if } a=1, a^2 \text{ if } a \ge 3", r"\begin{cases} a^2 & a \ge 2 \\ 4 & a=1 \end{cases}"),
]
LINE = "Find the line of intersection of the two planes."
VECTORS_EQUAL = [
    (LINE, r"(1+2t, 3-t, 4)", r"(x,y,z)=(1,3,4)+s(2,-1,0)"),
    (LINE, r"(1+2t, 3-t, 4)", r"(3,2,4)+t(-4,2,0)"),
    (LINE, r"x=1+2t, y=3-t, z=4", r"\langle 1,3,4\rangle + t\langle 2,-1,0\rangle"),
    ("", r"\begin{pmatrix}3&0\\0&3\end{pmatrix}", r"3I"),
    ("", r"\begin{pmatrix}3&0\\0&3\end{pmatrix}", r"3\begin{pmatrix}1&0\\0&1\end{pmatrix}"),
    ("", r"\frac{1}{2}\begin{pmatrix}2&4\\1&6\end{pmatrix}", r"\begin{bmatrix}1&2\\0.5&3\end{bmatrix}"),
    ("", r"\begin{pmatrix}4\\7\end{pmatrix}", r"[4,7]^T"),
]
VECTORS_NOT_EQUAL = [
    (LINE, r"(1+2t, 3-t, 4)", r"(1,3,4)+s(2,1,0)"),
    (LINE, r"(1+2t, 3-t, 4)", r"(2,3,4)+t(2,-1,0)"),
    ("Find all integer solutions.", r"(1+2t, 3-t)", r"(1+4t, 3-2t)"),
    ("", r"\begin{pmatrix}3&0\\0&3\end{pmatrix}", r"2I"),
    ("", r"\begin{pmatrix}3&0\\0&3\end{pmatrix}", r"3"),
    ("", r"\begin{pmatrix}3&0\\1&3\end{pmatrix}", r"3I"),
    ("", r"\frac{1}{2}\begin{pmatrix}2&4\\1&6\end{pmatrix}", r"\begin{pmatrix}2&4\\1&6\end{pmatrix}"),
    ("", r"\begin{pmatrix}4\\7\end{pmatrix}", r"[7,4]^T"),
    ("", r"\binom{9}{2}", r"C(9,3)"),
]


@pytest.mark.parametrize(
    ("problem", "reference", "answer"), PARTS_EQUAL + RATIOS_EQUAL + REGIONS_EQUAL + PIECES_EQUAL + VECTORS_EQUAL
)
def test_one_answer_in_two_forms_is_equal(problem: str, reference: str, answer: str) -> None:
    assert compared(reference, answer, problem).relation == "equal"


@pytest.mark.parametrize(
    ("problem", "reference", "answer"),
    PARTS_NOT_EQUAL + RATIOS_NOT_EQUAL + REGIONS_NOT_EQUAL + PIECES_NOT_EQUAL + VECTORS_NOT_EQUAL,
)
def test_another_answer_of_the_same_form_is_never_equal(problem: str, reference: str, answer: str) -> None:
    assert compared(reference, answer, problem).relation != "equal"
    assert compared(answer, reference, problem).relation != "equal"


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=6, unique=True), st.data())
def test_order_and_repetition_of_a_list_do_not_count_but_its_elements_do(items: list[int], data: st.DataObject) -> None:
    reference = ", ".join(map(str, items))
    permuted = data.draw(st.permutations(items))
    assert compared(reference, ", ".join(map(str, permuted))).relation == "equal"
    assert compared(reference, ", ".join(map(str, [*permuted, items[0]]))).relation == "equal"
    assert compared(reference, ", ".join(map(str, permuted[1:]))).relation != "equal"
    assert compared(reference, ", ".join(map(str, [*permuted, 100]))).relation != "equal"
    assert compared(reference, ", ".join(map(str, [100, *permuted[1:]]))).relation != "equal"
    if items != permuted:
        assert compared(f"({reference})", f"({', '.join(map(str, permuted))})").relation != "equal"


NAMED_AND_BARE = [
    ("Solve for the pair (u,v).", "(3,8)", "u=3, v=8", True),
    ("Solve for the pair (u,v).", "(3,8)", "v=3, u=8", False),
    ("Solve for the pair (v,u).", "(3,8)", "v=3, u=8", True),
    ("Solve for the pair (v,u).", "(3,8)", "u=3, v=8", False),
    ("Where do the lines meet?", "(3,8)", "x=3, y=8", True),
    ("Where do the lines meet?", "(3,8)", "y=3, x=8", False),
    ("Where do the lines meet?", "(3,8)", "3, 8", True),
    ("Solve the inequality.", "(3,8)", "3, 8", False),
    ("Solve $t^2-11t+24<0$.", "(3,8)", "3, 8", False),
    ("What is the vector?", r"\begin{pmatrix}3\\8\end{pmatrix}", "(3,8)", True),
    ("What is the vector?", r"\begin{pmatrix}3\\8\end{pmatrix}", r"\{3,8\}", False),
    ("When does it open?", "2:15", "14:15", True),
    ("When does it open?", "2:15", "2:15 pm", True),
    ("How long does the trip take?", "2:15", "14:15", False),
    ("Give the ratio.", "2:15", "14:15", False),
]


@pytest.mark.parametrize(("problem", "reference", "answer", "same"), NAMED_AND_BARE)
def test_brackets_names_and_halves_of_a_day_are_left_out_only_where_that_leaves_one_meaning(
    problem: str, reference: str, answer: str, same: bool
) -> None:
    assert (compared(reference, answer, problem).relation == "equal") is same


LETTERS = [
    ("For which numbers?", "(-2,2)", r"\{u \mid |u|<2\}", True),
    ("For which numbers?", r"(-\infty,-2)\cup(2,\infty)", r"\{u\in\mathbb{R} : |u|>2\}", True),
    ("For which numbers?", "(-2,3)", r"\{u \mid |u|<2\}", False),
    ("For which numbers?", "7", r"\{u : |u|>2\}", False),
    ("For which numbers?", r"u=2k\pi", r"u=2k\pi, u>0", False),
    ("For which numbers?", r"u \ge 3", r"u \ge 3 \text{ if } v>0", False),
    ("Describe the set.", "u>2, v<5", "u>2", False),
    ("Describe the set.", "u>2, v<5", "u<5, v>2", False),
    ("Describe the set.", "u>2, v<5", "u>2, w<5", False),
    ("Describe the set.", "u>2", r"u>2 \text{ or } v>2", False),
    ("For which $p$ is $p+q$ positive for the given $q$?", "p>3", "q>3", False),
    ("For which $p$ is $p+q$ positive for the given $q$?", "p>3", "3<p", True),
    ("For which numbers?", r"x<-2 \text{ or } x>4", "x<-2, x>4", True),
    ("For which numbers?", r"x<-2 \text{ or } x>4", "x<-2, x<4", False),
    ("For which numbers?", r"x<-2 \text{ or } x>4", r"x<-2 \text{ and } x>4", False),
    ("For which numbers?", "(-2,4]", "]-2,4]", True),
    ("For which numbers?", "(-2,4]", "[-2,4[", False),
    ("For which numbers?", r"(-\infty,-2)\cup(4,\infty)", r"]-\infty,-2[ \cup ]4,\infty[", True),
    ("For which numbers?", r"[4,\infty)", r"[4,\infty]", False),
    ("Which numbers?", r"\mathbb{N}", r"\mathbb{N}_0", False),
    ("Which numbers?", r"\text{perfect squares}", r"\text{odd perfect squares}", False),
    ("Which numbers?", r"\text{primes}", r"\text{primes divisible by 3}", False),
    ("Find (p,q,r).", "(6,6,6)", "p=q=r=6", True),
    ("Find (p,q,r).", "(6,6,6)", "p=q=6", False),
    ("Find (p,q,r).", "p=q=r=6", "p=q=6", False),
    ("Which are even? (A) 14 (B) 15 (C) 16 (D) 17", "A, C", "14, 16", True),
    ("Which are even? (A) 14 (B) 15 (C) 16 (D) 17", "A, C", "14, 15", False),
]


@pytest.mark.parametrize(("problem", "reference", "answer", "same"), LETTERS)
def test_each_letter_and_each_end_of_a_set_counts(problem: str, reference: str, answer: str, same: bool) -> None:
    assert (compared(reference, answer, problem).relation == "equal") is same


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        ("(a) 3 (b) 4", "(b) 4 (a) 3", "(b) 3 (a) 4"),
        ("(1) 2 (2) 5", "(1) 2; (2) 5", "(1) 5 (2) 2"),
        ("(1) 2 (2) 5", "2, 5", "(1) 10 (2) 1"),
        ("(1) 2 (2) 5", "(i) 2, (ii) 5", "10"),
        ("3, 4", "(a) 3, (b) 4", "(b) 3, (a) 4"),
        ("x=3, y=4", "(y,x)=(4,3)", "(y,x)=(3,4)"),
        ("x=3, y=4", r"x=3 \text{ and } y=4", r"x=3 \text{ or } y=4"),
        ("(3,4)", "x=3, y=4", r"x=3 \text{ or } y=4"),
        ("3, 4", r"x=3 \text{ or } x=4", r"x=3 \text{ or } y=4"),
        ("3, 4", r"x_1=3 \text{ or } x_2=4", "3, 4, 5"),
        (r"x=3, y=2x", r"x=3 \text{ or } y=2x", "x=3"),
        (r"p \land q", r"q \land p", r"p \lor q"),
        ("(p \\land q)", "(q \\land p)", "(p \\lor q)"),
        (
            r"\text{width}=3, \text{height}=4",
            r"\text{width}=3 \text{ and } \text{height}=4",
            r"\text{width}=3 \text{ or } \text{height}=4",
        ),
        (r"(p \lor q) \land r", r"(p \vee q) \wedge r", r"(p \land q) \lor r"),
        ("5", "5", "5," * 200 + "6"),
        ("[0,1]", "[0,1]", "[0,1]," * 200 + "[5,6]"),
    ],
)
def test_marks_of_parts_letters_connectives_and_every_element_count(reference: str, right: str, wrong: str) -> None:
    assert compared(reference, right).relation == "equal"
    assert compared(reference, wrong).relation != "equal"
