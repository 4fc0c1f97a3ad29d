"""Spellings of plain text, of other countries and of sentences: each right answer beside a wrong one of the same looks."""

from __future__ import annotations

import pytest

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")

from hero_rl.verifiers.math.extract import extract_answer
from hero_rl.verifiers.math.findings import Finding
from hero_rl.verifiers.math.gold import extract_reference
from hero_rl.verifiers.math.stages import Pair, compare_pair

Case = tuple[str, str, str, str]

DIOPHANTINE = "Find all integer solutions of $2x+7y=1$."
PAIRS: list[Case] = [
    # reference, right, wrong, question
    (r"\frac{3}{4}-\frac{\sqrt{2}}{3}", r"\text{3/4 - sqrt(2)/3}", r"\text{3/4 + sqrt(2)/3}", ""),
    (r"6.1\times10^{-12}", "6.1 x 10^-12", "6.1 x 10^12", ""),
    (r"2.5\times 10^{3}", r"2.5\mathrm{e}3", r"2.5\mathrm{e}2", ""),
    ("[1,6)", "[1,6[", "]1,6[", ""),
    ("(-3,5)", r"\left]-3,5\right[", r"\left]-3,4\right[", ""),
    (r"3(\cos 40^\circ+i\sin 40^\circ)", r"3\operatorname{cis}40^\circ", r"3\operatorname{cis}50^\circ", ""),
    (r"x^3+C", r"x^3+\text{const}", r"x^2+\text{const}", r"Find $\int 3x^2\,dx$."),
    (r"\max(k,9)", r"\max\{9,k\}", r"\max\{8,k\}", ""),
    (r"\max(k,9)", r"\max\{9,k\}", r"\min\{9,k\}", ""),
    (r"0.71", r"x\doteq 0.71", r"x\doteq 0.17", ""),
    (r"\$12.40", r"\text{USD }12.40", r"\text{EUR }12.40", ""),
    ("250", "Rs. 250", "Rs. 205", "How many rupees does he pay?"),
    (r"\begin{pmatrix}4\\0\\-1\end{pmatrix}", "[4 0 -1]^T", "[4 0 1]^T", ""),
    ("3,75", "3.75", "37.5", "Calculez la moyenne."),
    (r"2.2 \mathrm{~k}\Omega", r"2.2\text{ kilohm}", r"2.2\text{ megohm}", ""),
    (r"54 \text{ km/h}", r"15\text{ m/s} = 54\text{ km/h}", r"54\text{ m/s} = 54\text{ km/h}", ""),
    ("150", r"2.5\text{ h} = 150\text{ min}", r"2\text{ h} = 150\text{ min}", "How many minutes does it take?"),
    (r"n\equiv 1,4 \pmod 6", "n is congruent to 1 or 4 modulo 6", "n is not congruent to 1 or 4 modulo 6", ""),
    (r"n\equiv 1,3 \pmod 4", "n is congruent to 1 or 3 mod 4", "n is congruent to 1 or 2 mod 4", ""),
    (r"n\equiv 0,1,2 \pmod 4", r"n\not\equiv 3\pmod 4", r"n\not\equiv 2\pmod 4", ""),
    ("7", r"2^{10}\equiv 7\pmod{13}", r"2^{11}\equiv 7\pmod{13}", "Find the remainder when $2^{10}$ is divided by 13."),
    ("76", r"76 \pmod{100}", r"76 \pmod{10}", "Find the last two digits of $76^{9}$."),
    (r"\text{max }7, \text{min }-2", "The maximum is 7 and the minimum is -2", "The maximum is -2 and the minimum is 7", ""),
    ("Dora 4, Emil 9", "Emil has 9 and Dora has 4", "Dora has 9 and Emil has 4", ""),
    ("centre $(0,4)$, radius $2$", "the centre is $(0,4)$ and the radius is $2$",
     "the centre is $(4,0)$ and the radius is $2$", ""),
    (r"x=4+7t, y=-1-2t, t\in\mathbb{Z}", r"x=-3+7k, y=1-2k, k\in\mathbb{Z}", r"x=-3+7k, y=2-2k, k\in\mathbb{Z}", DIOPHANTINE),
    (r"x=4+7t, y=-1-2t, t\in\mathbb{Z}", r"(x,y)=(4-7s,-1+2s), s\in\mathbb{Z}",
     r"(x,y)=(4+14s,-1-4s), s\in\mathbb{Z}", DIOPHANTINE),
    (r"\frac{u^2+v^2}{2uv}", r"\cosh t = \frac{u^2+v^2}{2uv}",
     r"\sinh t = \frac{u^2+v^2}{2uv}", r"Express $\cosh t$ in terms of $u$ and $v$."),
    (
        r"g(x)=x+c \text{ for any real constant } c", r"g(x)=b+x\text{, where }b\text{ is constant}",
        r"g(x)=bx\text{, where }b\text{ is constant}", r"Find all $g$ with $g(x+y)=g(x)+y$.",
    ),
    ("3 if $n$ is even, 5 if $n$ is odd", "5 for odd n and 3 for even n", "3 for odd n and 5 for even n", ""),
]  # fmt: skip


def compare(reference: str, answer: str, problem: str) -> Finding:
    return compare_pair(Pair(reference, answer, problem)).finding


@pytest.mark.parametrize(("reference", "right", "wrong", "problem"), PAIRS)
def test_a_spelling_is_read_and_a_wrong_answer_in_it_is_not_accepted(
    reference: str, right: str, wrong: str, problem: str
) -> None:
    assert compare(reference, right, problem).relation == "equal"
    assert compare(reference, wrong, problem).relation != "equal"


WRONG: list[tuple[str, str, str]] = [
    ("40", r"40\text{ boys}", "What percent of the pupils are boys?"),
    ("12.25", "12.2", ""),
    (r"b\le 3", r"(-\infty,3)", "若函数 $f(x)=x^2-2bx$ 在 $[3,+\\infty)$ 上单调递增，则实数 $b$ 的取值范围是"),
    (r"5 \text{ m}", r"5\text{ km} = 5\text{ m}", ""),
    ("58", r"3^{9}\equiv 58\pmod{100}", "Find the last two digits of $3^{8}$."),
]


@pytest.mark.parametrize(("reference", "answer", "problem"), WRONG)
def test_what_looks_right_and_is_not_is_not_accepted(reference: str, answer: str, problem: str) -> None:
    assert compare(reference, answer, problem).relation != "equal"


@pytest.mark.parametrize(
    ("response", "stated"),
    [
        ("$x-4=6$, hence $x=10$.", "$x=10$"),
        ("Divide by 3: $x+1=5$.\n\nSubtract 1: $x=4$.", "$x=4$"),
        (r"The probability is $\frac{6}{16}$, which simplifies to $\frac{3}{8}$.", r"$\frac{3}{8}$"),
        ("The digits of 512 add up to 8.", "8"),
        ("E is too large. So it is D, since C is negative.", "D"),
        ("【答案】B", "B"),
        ("由题意得 $x>2$，故解集为 $(2,+\\infty)$。", r"$(2,+\infty)$"),
        ("Both limits agree, so the claim is **false**.", "false"),
    ],
)
def test_the_conclusion_of_a_short_response_is_its_answer(response: str, stated: str) -> None:
    assert extract_answer(response).text == stated


@pytest.mark.parametrize(
    "response",
    [
        "Some would say $\\boxed{9}$, which ignores the last case. With it the sum becomes 12.",
        "It would be \\boxed{9} if order mattered, but it does not.",
        "It is not true that the answer is 9.",
    ],
)
def test_what_would_be_or_is_denied_is_not_the_answer(response: str) -> None:
    assert extract_answer(response).text != "9"


def test_a_chinese_solution_as_reference_is_read_to_its_conclusion() -> None:
    assert extract_reference("解：因为 $a=2$，$b=9$，所以 $a+b=11$．").text == "$a+b=11$"
