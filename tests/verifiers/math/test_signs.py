"""Signs beyond ASCII, and what touches a value: each answer beside one that is cut off at a sign, a word or a factor."""

import pytest

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")

from hero_rl.verifiers.math import compare
from hero_rl.verifiers.math.extract import extract_answer
from hero_rl.verifiers.math.signs import plain_signs
from hero_rl.verifiers.math.stages import Stage, compare_pair, find_pair


def relation(reference: str, response: str, problem: str = "") -> str:
    pair = find_pair(reference, response, problem)
    return pair.finding.relation if isinstance(pair, Stage) else compare_pair(pair).finding.relation


@pytest.mark.parametrize(
    ("response", "right", "wrong"),
    [
        *((f"The answer is {dash}5.", "-5", "5") for dash in "–—−‐‑‒－﹣⁻"),
        ("Therefore, x = –5.", "-5", "5"), ("#### –5", "-5", "5"), ("The answer is –1/2.", "-1/2", "1/2"),
        ("The answer is –$2x$.", "-2x", "2x"), ("The answer is 3–x.", "3-x", "3"), ("The answer is 5–7.", "-2", "5"),
        ("So the probability is 3⁄4.", "3/4", "3"), ("The ratio is 5∶6.", "5:6", "5"), ("The answer is 5．5.", "5.5", "5"),
        ("The answer is 5％.", r"5\%", "5"), ("The answer is 5\u200b6.", "56", "5"), ("The answer is 3∙10⁵.", "300000", "3"),
        ("The answer is ∛5.", r"\sqrt[3]{5}", "5"), ("The answer is 2⅗.", "2.6", "2"),
        ("The answer is 10 000.", "10000", "10"),
        ("The answer is 3 $x^2$.", "3x^2", "3"), ("The area is 3$\\pi$.", r"3\pi", "3"), ("The area is 4 π.", r"4\pi", "4"),
        (r"The answer is 3 $\times$ 4.", "12", "3"), ("So the answer is 3 x + 1.", "3x+1", "3"),
        ("The answer is 3 sin x.", r"3\sin x", "3"), ("The answer is 5 crore.", "50000000", "5"),
        (r"The answer is \frac{x}{2} + ce^{-x}.", r"\frac{x}{2}+ce^{-x}", r"\frac{x}{2}"),
        ("The answer is 5 a + b.", "5a+b", "5"),
        (r"The answer is \frac{a b}{2}.", r"\frac{ab}{2}", r"\frac{a}{2}"),
        ("The answer is s^2 + b s + 1.", "s^2+bs+1", "s^2+b"),
        (r"The answer is 5 $\%$.", r"5\%", "5"), ("The answer is 5٬000.", "5000", "5"),
        ("The answer is x – 3.", "x-3", "3"), ("The answer is x² – 3.", "x^2-3", "3"),
        ("The answer is 5 lakh.", "500000", "5"), ("The answer is 3x^2 – 5.", "3x^2-5", "3x^2"),
    ],
)  # fmt: skip
def test_a_value_is_read_to_its_end(response: str, right: str, wrong: str) -> None:
    assert relation(right, response) == "equal"
    assert relation(wrong, response) != "equal"


@pytest.mark.parametrize(
    "response",
    [
        "The answer is 5₆.", "The answer is 5…7.", "The answer is 5‰.", "The answer is ⌊5", "The answer is 5~7.",
        "The answer is 5→6.",
        "答案是负5。", "答案是大于5。", "答案是至少5。", "答案是5万。", "答案是5或6。", "答案是5又1/2。",
        "答案是5的倍数。", "답은 5만입니다.",
        "Ответ: минус 5", "La respuesta es menos 5.", "The answer is 5 base 6.", "The answer is 5 + ab.",
        "The answer is 5 - ab^2.",
        "So the area is ab + 5.", "The answer is 5 minus y.", "The answer is 5 : 6.", "The answer is 5 (x+1).",
        "The answer is x5.",
        r"The answer is 5 \sqrt{2}.", r"\boxed{5}(x+1)", r"\boxed{5}\sqrt2", r"x\boxed{5}", r"log \boxed{5}",
        r"$\frac12$\boxed{5}", "The answer is 5σ.", "The answer is 5 ⊕ 2.",
        "So x = 5 y.", "The answer is 5 12.", "Las respuestas son 5 y 7.", r"\boxed{5}x", r"\boxed{5}π", r"\boxed{5} π",
        r"\boxed{5}½",
        r"\boxed{5}²", r"\boxed{5}⁄6", r"\boxed{5}–7", r"\boxed{5} $\sqrt2$", r"10 - \boxed{5}", r"2·\boxed{5}",
        r"π\boxed{5}",
        r"\boxed{5} $\frac{x}{2}$", r"\boxed{5} v^2", "x不能是5。", "答案不能是5。",
        r"x = —\boxed{5}", r"–\boxed{5}",
        r"10 or \boxed{5}", r"The value is from 10 to \boxed{5}", r"\boxed{5}万", r"负\boxed{5}", r"\boxed{5‰}",
        r"\boxed{⌊5}",
        r"Not: \boxed{5}", "I doubt the answer is 5.", "The negation of the answer is 5.", "I would not say the answer is 5.",
    ],
)  # fmt: skip
def test_a_number_beside_what_changes_it_is_no_answer(response: str) -> None:
    assert relation("5", response) != "equal"


@pytest.mark.parametrize(
    "response",
    [
        "The answer is 5 apples.", "The answer is 5—which is prime.", "The answer is 5 – a prime number.",
        "The answer is 5 — not 7.",
        "The answer is “5”.", "The answer is 5 ✓", "Hence x = 5 ∎", "Thus $x = 5$ → done.", "The answer is 5 i think.",
        "The answer is 5 a day.", "No doubt the answer is 5.", "I think the answer is 5.",
        "By Cauchy–Schwarz, the answer is 5.",
        "So there are 5 ways, since x>0.", r"The answer is $5$ $\blacksquare$", r"The answer is 5 $\Rightarrow$ done.",
        r"The answer is 5 $\text{cm}^2$.", "The answer is 5 $m/s$.", "So the total is 5€.", "The answer is x = 5 $(x > 0)$.",
        "答案是5。", "所以共有5个。", "答：一共有5人。", "答案：5", "所以答案为5元。", "답은 5입니다.", "答えは5です。",
        "Ответ: 5 рублей.", "La respuesta es 5 manzanas.", r"\boxed{5}cm", r"\boxed{5} m", r"\boxed{5}个。",
        r"因此有\boxed{5}种。",
        r"- \boxed{5}", r"Part 1 - \boxed{5}", r"Question 13 – \boxed{5}", r"\boxed{5}✓", r"\boxed{5}—a prime.",
        r"\boxed{5} a day",
        r"\boxed{5} i.e. five", r"The price went from 3 to \boxed{5}.", r"\boxed{5} $\text{cm}$",
        r"$\boxed{5}$, so $x$ is 5.", r"So therefore\boxed{5} holds.", r"\boxed{5} (2+3)", r"\boxed{5} x-intercepts",
        "The answer is 5 x-intercepts.",
        "The answer is $5$ – x cannot be negative.", "The answer is 5 – B.", "So f'(x) = 0 ⟺ x = 5.", r"$\boxed{5}$ ◼",
        r"\boxed{5} u^2", r"\boxed{5} $\frac{m}{s}$", r"\boxed{5} because both a and b must be at least 2.",
        r"The answer: —\boxed{5}", r"The cost —$\boxed{5}$— is final.",
        r"⟶ \boxed{5}", "Therefore, the final answer is\n• \\boxed{5}",
        r"$\boxed{5}$ $x$ being positive", "Therefore the value is\n\\[ 5. \\]", "**Final Answer**\n\\boxed{5}",
    ],
)  # fmt: skip
def test_prose_and_units_beside_a_number_are_harmless(response: str) -> None:
    assert relation("5", response) == "equal"


@pytest.mark.parametrize("value", ["3万", "⌊9.5⌋", "3∥7", "3 base 12", "3 → 4", "5 2", "9‰", "∑ 9", "∠A = 60°"])
def test_a_last_value_that_cannot_be_read_is_not_replaced_by_an_earlier_one(value: str) -> None:
    text = "We look at all of them, one by one. " * 10 + "The number of boys is 7. "
    assert relation("7", f"{text}Therefore the total is {value}.") != "equal"
    assert relation("60", f"{text}Therefore, ∠A = 60°.", "Find the angle in degrees.") == "equal"


def test_boxes_on_bullets_are_one_answer() -> None:
    response = "The answers are\n• \\boxed{5}\n• \\boxed{7}"
    assert relation("5, 7", response, "Find all.") == "equal"
    assert relation("7", response) != "equal"


def test_a_short_chinese_sentence_is_read_like_another() -> None:
    right = ("最大值为5。", "一共有5个苹果。", "因此，小明一共有5个苹果。", "答案等于5。", "由此可得，最小值是5。")
    assert [relation("5", response) for response in right] == ["equal"] * len(right)
    wrong = (
        "不等于5。",
        "大于等于5。",
        "至少为5。",
        "约等于5。",
        "答案可能是5。",
        "则等于5吗？",
        "最大值为5万。",
        "第一天是5，第二天是6。",
        "等于5的平方。",
    )
    assert "equal" not in [relation("5", response) for response in wrong]


def test_the_question_may_ask_for_a_bound_in_chinese() -> None:
    assert relation("5", r"至少\boxed{5}次", "至少需要几次？") == "equal"
    assert relation("5", r"至少\boxed{5}次", "需要几次？") != "equal"


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        (r"x\equiv3\pmod5", "x≡3 (mod 5)", "x≡2 (mod 5)"),
        (r"x\equiv3\pmod5", r"x \equiv 3 \text{ (mod 5)}", r"x \equiv 3 \text{ (mod 7)}"),
        (r"\lfloor x\rfloor", "⌊x⌋", "⌈x⌉"), (r"\sqrt[3]{2}", "∛2", "√2"),
        ("2:3", "2∶3", "3∶2"), (r"x\le2", "x≦2", "x≧2"), ("12", "6•2", "6•3"), (r"30^\circ", "30∘", "31∘"),
        (r"30^\circ", "30˚", "31˚"),
        (r"30^\circ", "30^o", "31^o"), ("12", "12\\ ", "13\\ "),
        (r"2\pi", "2𝜋", "3𝜋"), ("-5", "‒5", "‒6"), ("e^x", "eˣ", "eˣ⁺¹"), ("x^2y", "x²y", "x²³y"),
    ],
)  # fmt: skip
def test_common_signs_are_known(reference: str, right: str, wrong: str) -> None:
    assert compare(reference, right).label == "correct"
    assert compare(reference, wrong).label != "correct"


@pytest.mark.parametrize("answer", ["5‰", "x⊕5", "∇5", "负5", "大于5"])
def test_an_unknown_sign_or_word_is_not_judged(answer: str) -> None:
    assert compare("5", answer).label == "abstain"


@pytest.mark.parametrize(
    "turn",
    [
        "Actually, it's C.",
        "This is wrong.",
        "Scratch that, C.",
        "Both B and C work.",
        "Both B and C are right.",
        "No, C.",
        "I meant C.",
        "(Edit: C.)",
    ],
)
def test_an_option_that_is_taken_back_at_once_is_no_answer(turn: str) -> None:
    assert relation("B", f"The answer is B. {turn}") != "equal"


@pytest.mark.parametrize(
    "rest", ["", "12 cm", "Because the others fail.", "This is the only one.", "It is impossible.", "Both A and C are wrong."]
)
def test_an_option_may_be_explained(rest: str) -> None:
    assert relation("B", f"The answer is B. {rest}") == "equal"


@pytest.mark.parametrize(
    ("response", "value"),
    [
        ("x=\\boxed{12}\n\nBut the question asks for $2x$, which is $24$.", "24"),
        (r"x=\boxed{12}, so the requested value is 24.", "24"),
        (r"\boxed{12}. The question asks for an integer, which it is.", "12"),
        (r"x=\boxed{12}. This is the requested value.", "12"),
        (r"x=\boxed{12}, so the requested value is 12.", "12"),
        (r"\boxed{12}. In the first step, the required number is 24 = 2*12, which we used.", "12"),
    ],
)
def test_the_value_that_was_asked_for_supersedes_one_in_a_box(response: str, value: str) -> None:
    assert extract_answer(response).text.strip("$") == value


def test_dashes_of_prose_stay() -> None:
    for text in (
        "7 – 3 apples",
        "cost is —$12—",
        "is\n• 5",
        "5—a prime",
        "Cauchy–Schwarz",
        "5 – a prime",
        "x — 12",
        "答案：5，好",
    ):
        assert plain_signs(text) == text
