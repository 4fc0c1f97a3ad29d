r"""Sets of numbers in the maths verifier: families, congruences, regions, lists, labelled parts, ratios and pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.compare import compare_typed
from hero_rl.verifiers.math.domains import read_domains, relate_domains
from hero_rl.verifiers.math.findings import Finding
from strategies import examples

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
    ("", r"\text{all odd integers}", r"2k+1, k\in\mathbb{Z}"),
    ("", r"\text{all odd positive integers}", r"2k-1, k=1,2,3,\ldots"),
    ("", r"\text{all multiples of } 6", r"n \text{ divisible by 2 and 3}"),
    ("", r"\text{all even integers greater than 4}", r"2k, k \ge 3"),
    ("", r"\text{all powers of 3}", r"3^k, k \ge 0"),
    ("", r"3^{k-1}, k \ge 1", r"\text{powers of three}"),
    ("", r"2, 3 \text{ and all multiples of } 10", r"10k, k\in\mathbb{Z}, \text{ or } 2 \text{ or } 3"),
    ("", r"4p \text{ for all odd primes } p", r"4q \text{ where } q \text{ is an odd prime}"),
    (POSITIVE, r"n=4k", r"n \equiv 0 \pmod 4"),
    (POSITIVE, r"n=4k", r"n=4m, m\in\mathbb{Z}^+"),
    ("Find all positive integers n for which the board can be tiled.", r"n=1, n\ge 4", r"n \ne 2, 3"),
    ("Find all positive integers n for which the board can be tiled.", r"n \ne 3", r"\text{all positive integers except } 3"),
]
FAMILIES_NOT_EQUAL = [
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{N}"),
    (SINE, r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{Z}", r"x=\frac{\pi}{4}+k\pi, k\in\mathbb{R}"),
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
