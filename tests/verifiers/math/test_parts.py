"""Each stage of the typed comparison by itself, from extraction and cleaning to guards and references."""

from __future__ import annotations

from fractions import Fraction

import pytest

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")

from hero_rl.types import Rollout
from hero_rl.verifiers import MathVerifier
from hero_rl.verifiers.latex import brackets, relation_chain, split_list
from hero_rl.verifiers.math.choices import named_letters
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.domains import split_qualifier
from hero_rl.verifiers.math.evaluate import TooLarge, Undefined, evaluate, fast, precise, symbols
from hero_rl.verifiers.math.extract import extract_answer
from hero_rl.verifiers.math.guards import is_cut_off, too_heavy
from hero_rl.verifiers.math.intervals import compare_regions
from hero_rl.verifiers.math.problem import read_problem
from hero_rl.verifiers.math.reading import read
from hero_rl.verifiers.math.regions import read_region
from hero_rl.verifiers.math.rounding import is_rounding, written_decimal
from hero_rl.verifiers.math.sampling import compare_trees, expand_signs
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.units import factor, read_unit, split_unit
from hero_rl.verifiers.math.words import keyword_of, known_word, number_in_words

LONG = "We reason at length about many things. " * 20


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (r"$\dfrac{3}{4}\,\mathrm{kg}$.", r"\frac{3}{4} \text{kg}"),
        ("$4.20", r"\$4.20"),
        (r"\$1{,}250", r"\$1250"),
        ("12,345,678", "12345678"),
        ("(1,234)", "(1,234)"),
        ("x³ − ⅔π", r"x^3 - \frac{2}{3}\pi"),
        ("⑦", "7"),
        ("８８", "88"),
        ("\f" + "rac{1}{2}", r"\frac{1}{2}"),
        ("\text{up}", r"\text{up}"),
        (r"8\phantom{9}", "8"),
        ("%9\n8", "8"),
        ("8%", r"8\%"),
        (r"\textcolor{blue}{8}", "8"),
        (r"\text{80}", "80"),
        (r"\text{80 apples}", r"80 \text{apples}"),
        ("**8**", "8"),
        ("2e-5", r"2\times 10^{-5}"),
        ("x >= 2", r"x \ge 2"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ],
)
def test_one_spelling_for_many(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", 14),
        ("2^{3^2}", 512),
        ("-3^2", -9),
        (r"3\frac{1}{4}", Fraction(13, 4)),
        ("3 1/4", Fraction(13, 4)),
        (r"\frac12\cdot 6", 3),
        (r"0.\overline{3}", Fraction(1, 3)),
        ("1101_2", 13),
        ("10.1_2", Fraction(5, 2)),
        (r"\sqrt[3]{27}", 3),
        ("8^{2/3}", 4),
        (r"\sqrt[3]{-8}", -2),
        ("5!-4!", 96),
        (r"\binom{6}{2}", 15),
        ("C_6^2", 15),
        (r"|3-5|", 2),
        (r"\lfloor 7/2 \rfloor", 3),
        (r"\max(3,7)", 7),
        (r"40\%", Fraction(2, 5)),
        (r"9^{9^{9^9}} \cdot 0 + 4", 4),
    ],
)
def test_exact_values(text: str, value: Fraction) -> None:
    assert evaluate(parse(clean(text)), {}, precise()) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\sin 30^\circ", 0.5),
        (r"\sin^2 x+\cos^2 x", 1.0),
        (r"\tan^{-1} 1", 0.7853981633974483),
        (r"\log_2 x", 1.0),
        (r"e^{i\pi}", -1.0),
        (r"\sqrt{-4}", 2j),
        (r"2x(x+1)", 12.0),
        (r"\ln x/\ln 2", 1.0),
        (r"\frac{x^3}{4x}", 1.0),
    ],
)
def test_values_in_floating_point(text: str, value: complex) -> None:
    assert complex(evaluate(parse(clean(text)), {"x": Fraction(2)}, fast())) == pytest.approx(value)


@pytest.mark.parametrize("text", [r"\frac{1}{0}", r"\ln 0", r"\frac{0}{0}", r"\infty", "0^{-1}", "(-1)!", r"\log_1 3"])
def test_what_has_no_value(text: str) -> None:
    with pytest.raises(Undefined):
        evaluate(parse(clean(text)), {}, precise())
    assert issubclass(TooLarge, Undefined)


@pytest.mark.parametrize(
    "text", ["", "1 2", "2 +", "+", "x^", "(1", "1)", "hello there", r"\foo", "x^2^3", "3!!!", "89_8", "1=2", r"\frac{1}"]
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(clean(text))


def test_the_symbols_of_an_expression() -> None:
    assert symbols(parse(r"e^{i x} + a_n + y' + \pi")) == {"x", "a_n", "y'"}
    assert len(symbols(parse("f(x_1)+f(x_2)"))) == 2


@pytest.mark.parametrize(
    ("a", "b", "relation"),
    [
        (r"\sin 2x", r"2\sin x\cos x", "equal"),
        ("(x+y)^3", "x^3+3x^2y+3xy^2+y^3", "equal"),
        (r"\sqrt{x^2}", "x", "equal_if_positive"),
        ("(-1)^{2n}", "1", "equal"),
        ("x+1", "x+1.000000001", "different"),
        (r"e^{\pi\sqrt{163}}", "640320^3+744", "different"),
        ("10^{-60}", "0", "different"),
        (r"\sin\pi", "0", "equal"),
        ("9^{9^{9}}", "5", "different"),
        ("e^{9^{9}}", "5", "too_large"),
        (r"\frac{x}{0}", "1", "unknown"),
    ],
)
def test_expressions_are_compared_by_value(a: str, b: str, relation: str) -> None:
    assert compare_trees(parse(clean(a)), parse(clean(b))) == relation


def test_plus_minus_signs_expand_and_minus_plus_follows() -> None:
    values = {evaluate(tree, {}, precise()) for tree in expand_signs(parse(r"1\pm 2 \mp 4"))}
    assert values == {1 + 2 - 4, 1 - 2 + 4}
    assert len(expand_signs(parse(r"\pm 1 \pm 2"))) == 4


@pytest.mark.parametrize(
    ("reference", "answer", "rounding"),
    [
        ("2.236", r"\sqrt{5}", True),
        (r"\sqrt{5}", "2.236", True),
        ("2.645", r"\sqrt{7}", True),  # cut off
        ("2.24", r"\sqrt{5}", False),  # 0.17% away
        ("0.33", r"\frac{1}{3}", False),
        ("4.56", "4.5612", True),
        ("4.56", "4.57", False),
        ("4.56", "4.5", False),
        ("1250", "1250.4", False),
        (r"1.26 \times 10^{5}", "125893", False),
    ],
)
def test_what_is_a_rounding(reference: str, answer: str, rounding: bool) -> None:
    a, b = parse(clean(reference)), parse(clean(answer))
    assert is_rounding(a, b, evaluate(a, {}, precise()), evaluate(b, {}, precise())) is rounding


def test_the_digits_of_a_decimal() -> None:
    assert written_decimal(parse("0.0250")) == (Fraction(1, 40), Fraction(1, 10_000), 3)
    assert written_decimal(parse(r"-6.02 \times 10^{23}")) == (-602 * 10**21, 10**21, 3)
    assert written_decimal(parse("25")) is None


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        (r"5 \text{cm}", "5", "centimeter^1"),
        ("0.5N", "0.5", "newton^1"),
        ("5N", "5N", None),
        (r"9.8 \text{m/s}^2", "9.8", "meter^1 second^-2"),
        (r"3 \text{square feet}", "3", "foot^2"),
        (r"\$5", "5", "dollar"),
        (r"7 \text{red cars}", "7", "red car"),
        (r"7 \text{units}", "7", None),
        ("2x", "2x", None),
    ],
)
def test_units_are_split_off(text: str, number: str, unit: str | None) -> None:
    rest, found = split_unit(text)
    assert (rest, found and found.name) == (number, unit)


def test_units_convert_only_within_their_kind() -> None:
    def unit(text: str):
        found = read_unit(text)
        assert found is not None
        return found

    assert factor(unit("hours"), unit("minutes")) == 60
    assert factor(unit("km/h"), unit("m/s")) == Fraction(5, 18)
    assert factor(unit("cents"), unit("dollars")) == Fraction(1, 100)
    assert factor(unit("meters"), unit("seconds")) is None
    assert factor(unit("apples"), unit("pears")) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nineteen", 19), ("forty-two", 42), ("three hundred and seven", 307), ("two thousand", 2000), ("the fifth", 5),
        ("22nd", 22),
        ("three quarters", Fraction(3, 4)), ("half", Fraction(1, 2)), ("maybe", None), ("one or two", None), ("", None),
    ],
)  # fmt: skip
def test_numbers_in_words(text: str, value: Fraction | None) -> None:
    assert number_in_words(text) == value


def test_set_phrases() -> None:
    assert known_word(r"\text{No real solutions.}") == "none"
    assert known_word("There are infinitely many such numbers") == "infinitely many"
    assert known_word("TRUE") == "yes"
    assert known_word("maybe") is None
    assert keyword_of("No, since 7 is prime") == "no"
    assert keyword_of("neither odd nor even numbers") is None


def test_lists_brackets_relations_and_qualifiers() -> None:
    assert split_list(r"(1,2), (3,4) \text{and} [5,6)") == ["(1,2)", "(3,4)", "[5,6)"]
    assert brackets("[0,1)") == ("[", "0,1", ")")
    assert brackets("(1)(2)") is None
    assert relation_chain(r"a < b \le c").relations == ["<", r"\le"]
    assert split_qualifier(r"2k\pi, k \in \mathbb{Z}") == (r"2k\pi", r"k \in \mathbb{Z}", True)
    assert split_qualifier(r"x^2 \text{where x is on the circle}").is_domain is False
    assert split_qualifier("x+1").qualifier == ""


@pytest.mark.parametrize(
    ("a", "b", "relation"),
    [
        ("(1,2)", "1<x<2", "equal"),
        ("[1,2)", "1 \\le x < 2", "equal"),
        ("[1,2]", "(1,2)", "ends_differ"),
        ("(1,2)\\cup[2,3)", "(1,3)", "equal"),
        ("x \\ne 0", "(-\\infty,0)\\cup(0,\\infty)", "equal"),
        ("\\mathbb{R}\\setminus\\{1,2\\}", "x\\ne 1, x \\ne 2", "equal"),
        ("|x|>3", "x<-3 \\text{ or } x>3", "equal"),
        ("x>1 \\text{ and } x<4", "(1,4)", "equal"),
        ("(a,b)", "a<x<b", "unknown"),
        ("x<1", "x>1", "different"),
        ("(-\\infty, a)", "(-\\infty, 2a)", "unknown"),
    ],
)
def test_regions(a: str, b: str, relation: str) -> None:
    x, y = read_region(clean(a)), read_region(clean(b))
    assert x is not None
    assert y is not None
    assert compare_regions(x, y) == relation


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2x+1", "value"), ("1,2", "list"), ("(1,2)", "tuple"), (r"\{1,2\}", "set"), ("2:3", "ratio"), ("x>1", "relation"),
        ("yes", "word"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "matrix"), ("x^2+y^2=1", "equation"), ("a little bird", "text"),
        ("", "nothing"),
        (r"(0,1)\cup(2,3)", "relation"), (r"\{x \mid x > 1\}", "relation"), ("x=5", "value"), ("5 cm", "value"),
        (r"\pm 2", "value"),
        (r"\begin{cases}x=1\\y=2\end{cases}", "list"), ("x=4=5", "text"), ("seven", "value"), (r"3\vec{i}+2\vec{j}", "tuple"),
    ],
)  # fmt: skip
def test_the_kind_of_an_answer(text: str, kind: str) -> None:
    assert read(clean(text)).kind == kind


def test_letters_that_a_text_consists_of() -> None:
    assert [named_letters(text) for text in ("B", "(B)", r"\text{B}", "C, A", "AD", "F(x)", "AA", "7")] == [
        *("B", "B", "B", "AC", "AD", None, None, None),
    ]
    assert read_problem("Pick: A. red B. green C. blue").choices == {"A": "red", "B": "green", "C": "blue"}
    assert read_problem("Point A. Then B.").choices == {}


@pytest.mark.parametrize(
    ("response", "text", "source"),
    [
        (LONG + r"\boxed{7}", "7", "box"),
        (LONG + r"$\boxed{1}$ and $\boxed{2}$", "1, 2", "boxes"),
        (LONG + r"\boxed{3}\boxed{4}\boxed{5}", "3, 4, 5", "boxes"),
        (LONG + r"\boxed{3}, that is \boxed{4}", "4", "box"),
        (LONG + r"\boxed{3} \boxed{3}", "3", "box"),
        (LONG + r"$x=\boxed{3}$, $y=\boxed{4}$", "x = 3, y = 4", "boxes"),
        (LONG + "<answer> 7 </answer>", "7", "tag"),
        (LONG + "#### 7", "7", "hashes"),
        (LONG + "The final answer is 7.", "7", "phrase"),
        ("7", "7", "whole"),
        (LONG, "", "none"),
        (r"<think>\boxed{6}</think>" + LONG, "", "none"),
    ],
)
def test_the_answer_and_where_it_was_found(response: str, text: str, source: str) -> None:
    assert extract_answer(response)[:2] == (text, source)


@pytest.mark.parametrize(
    "text",
    [
        "2^{500}",
        "x^{y^{z}}",
        "500!",
        "(n+1)!",
        "n!!",
        r"\sum_{k=1}^{1000} k",
        r"\prod_{k=1}^{10^3} k",
        "7" * 61,
        "(" * 25 + ")" * 25,
        r"\def\x{5}\x",
        "x__y",
        r"\zeta(3)",
        "1+" * 130,
    ],
)
def test_what_is_never_handed_to_sympy(text: str) -> None:
    assert too_heavy(text) is not None


@pytest.mark.parametrize(
    "text", [r"\int_0^{1000} x dx", r"\sum_{k=1}^{n} k^2", "x^{20}", "10!", r"\lim_{n \to \infty} \frac{n}{n+1}"]
)
def test_what_sympy_may_try(text: str) -> None:
    assert too_heavy(text) is None


def test_an_answer_that_was_cut_off() -> None:
    assert [is_cut_off(text) for text in (r"\frac{1}{", "5 +", r"2\cdot", "x=", "5", r"\{1,2\}")] == [True] * 4 + [False] * 2


def test_which_references_can_be_verified() -> None:
    references = ["7", "x^2+1", "(1,2]", r"\{1,2\}", "yes", "B", r"\int_0^1 x dx", r"1\pm\sqrt{2}", "2<x<3", "x+y=1"]
    hopeless = ["the larger of the two", r"\frac{1}{", "", r"9^{9^{9^9}}", r"\frac{1}{0}", "x" * 3000]
    rows = [Rollout(prompt_id="p", problem="", reference=one, response="ignored") for one in references + hopeless]
    with MathVerifier(workers=1, policy="binary") as verifier:
        verdicts = verifier.verify_reference(rows)
    assert [one.label for one in verdicts] == ["correct"] * len(references) + ["abstain"] * len(hopeless)
    assert verdicts[len(references)].reason == "reference_in_words"
