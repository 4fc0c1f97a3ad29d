"""Claims that do not stand: shown as an example, called an earlier one, a guess, about right; and quantities copied."""

import pytest

from hero_rl.types import Rollout
from hero_rl.verifiers.math import compare
from hero_rl.verifiers.math.extract import extract_answer
from hero_rl.verifiers.math.fields import read_fields
from hero_rl.verifiers.math.stages import Stage, compare_pair, find_pair

COUNT = "Find the number of paths."


def relation(reference: str, response: str, problem: str = COUNT, **columns: object) -> str:
    row = Rollout(prompt_id="1", problem=problem, reference=reference, response=response, extra=columns)
    pair = find_pair(row.reference, row.response, row.problem, read_fields(row.extra))
    return pair.finding.relation if isinstance(pair, Stage) else compare_pair(pair).finding.relation


@pytest.mark.parametrize(
    "response",
    [
        r"Previously \boxed{8}; now 9.",
        r"Previously I had \boxed{8}; now it is 9.",
        r"My earlier answer was \boxed{8}. The corrected value is 9.",
        r"At first I got \boxed{8}. Now I get 9.",
        r"\boxed{8}, updated to 9 after a second look.",
        r"I originally wrote \boxed{8}; it should have been 9.",
        r"First attempt: \boxed{8}. Second attempt: 9.",
        "Previously, the answer is 8; now it is 9.",
        r"\boxed{8} (old). 9 (new).",
        r"In my first draft I put \boxed{8}. In the final version, 9.",
    ],
)
def test_an_earlier_claim_does_not_stand_beside_a_later_one(response: str) -> None:
    assert relation("8", response) != "equal"
    assert relation("9", response) != "different"


@pytest.mark.parametrize(
    "end",
    [
        "So the total number is 9.", "Thus the sum is $9$.", "Hence there are 9 paths in total.",
        "Therefore, the final answer is 9.", "But the question asks for twice that, which is $9$.",
    ],
)  # fmt: skip
def test_a_box_does_not_stand_before_a_conclusion_with_another_number(end: str) -> None:
    assert relation("8", f"So $x = \\boxed{{8}}$.\n\n{end}") != "equal"
    assert relation("8", f"So $x = \\boxed{{8}}$.\n\n{end.replace('9', '8')}") == "equal"


def test_a_box_stands_before_a_check() -> None:
    assert relation("8", "So $x = \\boxed{8}$.\n\n**Check:** $3\\cdot 8+4=28$. So the total is 28.") == "equal"


def test_the_later_claim_counts() -> None:
    assert relation("9", r"Previously \boxed{8}; now \boxed{9}.") == "equal"
    assert relation("9", r"Previously I had \boxed{8}; now it is 9.") == "equal"
    assert relation("9", r"The old count of 8 grows by one, so now there are \boxed{9}.") == "equal"


def test_what_was_so_earlier_answers_a_question_about_it() -> None:
    question = "How many frogs were there initially?"
    assert relation("8", r"Initially there were \boxed{8} frogs, but now there are 3.", question) == "equal"
    assert relation("8", r"As computed earlier, it is \boxed{8}.") == "equal"


@pytest.mark.parametrize(
    "response",
    [
        r"Write your answer like \boxed{8}.",
        r"Put the number in a box, e.g. \boxed{8}",
        r"The expected output format is \boxed{8}.",
        r"Your output should look like this: \boxed{8}",
        r"An answer such as \boxed{8} is expected.",
        r"(example: \boxed{8})",
        "e.g. <answer>8</answer>",
        "For example #### 8",
    ],
)
def test_an_example_of_the_format_is_no_claim(response: str) -> None:
    assert relation("8", response) != "equal"


def test_a_question_may_ask_for_an_example_and_a_format_may_be_kept_to() -> None:
    assert relation("8", r"For example, \boxed{8}.", "Give an example of an even number.") == "equal"
    assert relation("8", r"Putting this in the requested format: \boxed{8}") == "equal"
    assert relation("8", r"For example, with n=2 we get 3. In general it is \boxed{8}.") == "equal"


@pytest.mark.parametrize(
    "response",
    [
        "The answer is 8 or so.", "The answer is roughly 8.", "The answer is about 8.", "The answer is 8, I guess.",
        "I guess the answer is 8.", "The answer is something like 8.", r"\boxed{8} or so.", "So there are about 8 paths.",
        r"The answer is \boxed{\text{about } 8}", r"The answer may be \boxed{8}.", "The answer is 8, give or take 1.",
        "The answer is in the vicinity of 8.", r"Perhaps \boxed{8}.",
    ],
)  # fmt: skip
def test_a_guess_or_a_rough_value_is_hedged(response: str) -> None:
    assert relation("8", response) == "unsure"


def test_a_rough_value_answers_where_values_are_rounded() -> None:
    assert relation("8.4", "The answer is about 8.4.", "How long is it?") == "equal"
    assert relation("8", "The answer is about 8.", "Estimate the sum to the nearest integer.") == "equal"
    assert relation(r"\sqrt{2}", "It is about 1.41421.", "What is the length?") == "equal"
    assert relation("8", r"We ask about 10 pairs; as you might have guessed, half work. \boxed{8}") == "equal"


@pytest.mark.parametrize(
    ("reference", "answer", "problem", "asked"),
    [
        ("25 m/s", "90 km/h", "Convert 90 km/h to m/s.", "A train covers 45 km in half an hour. How fast is it?"),
        ("25 m/s", "90 km/h", "Express 90 kilometers per hour in m/s.", "How fast is it?"),
        ("2.5 kg", "2500 g", "A bag weighs 2500 g. What is its mass in kg?", "Five bags of 500 g each. Total mass?"),
        (r"\frac{\pi}{3}", r"60^\circ", r"Convert $60^\circ$ to radians.", r"Find the angle $A$ if $\cos A = 1/2$."),
        ("180 minutes", "3 hours", "How many minutes are in 3 hours?", "How long do six lessons of half an hour take?"),
    ],
)
def test_a_quantity_of_the_question_is_no_conversion(reference: str, answer: str, problem: str, asked: str) -> None:
    assert compare(reference, answer, problem).label == "abstain"
    assert compare(reference, answer, asked).label == "correct"


def test_a_number_of_percent_is_no_fraction() -> None:
    assert relation("5", r"\boxed{0.05}", unit="%") != "equal"
    assert relation("12.5", r"\boxed{\frac18}", unit="percent") != "equal"
    assert relation("5", r"\boxed{5\%}", unit="%") == "equal"
    assert relation("5", r"\boxed{5}", unit="%") == "equal"


def test_bounds_of_the_numbers_are_no_index() -> None:
    assert compare("2k+1", r"\text{odd integers } > 1").label == "abstain"
    assert compare("2k", r"\text{even integers } > 0").label == "abstain"
    assert compare("2k+1, k \\ge 1", "odd integers greater than 1").label == "correct"


def test_inequalities_over_the_integers_have_many_ends() -> None:
    asked = "Find all integers $n$ such that the product is positive."
    assert compare(r"n \ge 3", "n > 2", asked).reason == "equal_domain_left_out"
    assert compare("2 < n < 6", r"3 \le n \le 5", asked).label == "correct"
    assert compare(r"n \ge 3", "n > 3", asked).label == "incorrect"
    assert compare(r"n \ge 3", "n > 2", "Find all real n.").label == "incorrect"
    assert compare("2 < x < 6", r"3 \le x \le 5", "Let $n$ be an integer. Find all x.").label == "abstain"


def test_no_solution_may_be_said_behind_a_formula() -> None:
    roots = "Solve $x^2+x+1=0$ over the reals."
    assert (
        extract_answer("The discriminant is 1-4 = -3 < 0, so there are no real solutions.", roots).text == "no real solutions"
    )
    assert relation(r"\emptyset", "Since $D = -3 < 0$, the equation has no real roots.", roots) == "equal"
    assert relation("no solution", "Thus 3 = 4, a contradiction, so there is no solution.", "Solve it.") == "equal"
    assert relation("0", "As D = -3 < 0, there are no real solutions.", "How many real solutions are there?") == "equal"
    assert relation("5", "We get 2x=10, so x=5; there is no solution in the other case.", "Solve it.") == "equal"


@pytest.mark.parametrize(
    "response",
    [
        "The textbook's answer is 8; mine is 9.", "The opposite of the answer is 8.", "One less than the answer is 8.",
        "The last digit of the answer is 8.", "The answer to the previous question is 8.", "My first answer was 8.",
        "The answer is 8, or else 9.", "The answer is 8 for n=1 and 9 for n=2.", "The answer is $8$; if zero counts, $9$.",
        "The answer is 8, but negative.", "The answer is 8, taken twice.", "The answer is 8, which must be doubled.",
        "Answer: 8 remainder 1", "Answer: 8 h 30 min", "Answer: 8 dollars and 20 cents", "Answer: 8 BC", "Answer: 8 (rejected)",
        "Answer: 8 ❌", "Answer: 8<sup>2</sup>", "The answer is 8. Also 9.", "The answer is 8, as well as 9.",
        "The answer is 8. If not, 9.", "Answer: 8\nAlternative: 9", "The answer is 8, in hexadecimal.",
    ],
)  # fmt: skip
def test_an_answer_to_something_else_is_none(response: str) -> None:
    assert relation("8", response) != "equal"


@pytest.mark.parametrize(
    "response",
    [
        "The answer is 8, as 2x = 16.", "The answer is 8 as 2x = 16.", "The answer is 8, but note that x > 0.",
        "The answer is 8. Also, 8 is even.", "The answer is 8. And 8 = 2^3.", "The answer is 8 pounds of the 12 pounds.",
        "The answer is 8 (correct).", "The answer is 8. Alternative method: 2 times 4 is 8.", "The answer is 8, which is even.",
    ],
)  # fmt: skip
def test_words_behind_an_answer_may_leave_it_as_it_is(response: str) -> None:
    assert relation("8", response, "How many pounds are left?") == "equal"


@pytest.mark.parametrize(
    ("problem", "reference", "answer"),
    [
        ("Write 0.5 as a common fraction.", r"\frac12", "0.5"),
        (r"Simplify $\frac{50}{100}$.", r"\frac{1}{2}", r"\frac{50}{100}"),
        ("Simplify sqrt(12).", r"2\sqrt{3}", r"\sqrt{12}"), ("Write 1200 in scientific notation.", r"1.2\times10^3", "1200"),
        (r"Write $\frac{12}{18}$ in lowest terms.", r"\frac23", r"\frac{4}{6}"),
        (r"Express $\frac38$ as a decimal.", "0.375", r"\frac{6}{16}"),
        (r"Express $0.\overline{3}$ as a fraction.", r"\frac13", r"0.333\ldots"),
        (r"Compute $\sum_{k=1}^{100} k$.", "5050", r"\sum_{n=0}^{100} n"),
        (r"Compute $\sum_{k=1}^{100} k$.", "5050", r"1+2+\cdots+100"),
        (r"Compute $2^{10}$.", "1024", "4^5"), (r"Compute $17\times 23$.", "391", r"\frac{17\cdot 23}{1}"),
        (r"Compute $\binom{10}{3}$.", "120", r"\frac{10!}{3!7!}"), (r"Evaluate $\log_2 8+\log_3 9$.", "5", r"\log_2 32"),
        (r"Which is greater, $2^{30}$ or $3^{20}$?", "3^{20}", r"\max(2^{30},3^{20})"),
    ],
)  # fmt: skip
def test_what_is_to_be_rewritten_is_no_answer(problem: str, reference: str, answer: str) -> None:
    assert compare(reference, answer, problem).reason == "copied_from_question"
    assert compare(reference, reference, problem).label == "correct"


def test_a_layout_command_before_a_minus_is_no_operation() -> None:
    assert compare("-3", r"\displaystyle -3", r"Evaluate $\lceil 12.96 \rceil - \lceil 3.6 \rceil^2$.").label == "correct"


@pytest.mark.parametrize(
    ("reference", "response", "problem"),
    [
        ("12", "F = ma = 3*4 = 12", "Find the force."),
        ("6", "3x = 18\nx = 6", "Solve for x."),
        ("x=1, y=2", "x = 1\ny = 2", "Solve the system."),
        ("16", "It has half diagonals 4 and 2, area = 4 triangles of area 4 each, so 16", "Find the area."),
        ("21", "24 - 8 = 16, 16 + 5 = 21 cards. Mia now has 21 cards.", "How many cards does Mia have now?"),
        ("3", "It takes him three weeks.", "How many weeks does it take?"),
        ("24", "There are 4!=24 ways.", "In how many ways?"),
        ("C", "√9 = 3 is rational; only √2 is not. So C is correct.", "(A) 1 (B) √9 (C) √2. Which is irrational?"),
        ("No", r"\boxed{\text{No}, 91=7\cdot 13}", "Is 91 prime?"),
    ],
)
def test_a_short_text_without_a_mark_is_read_to_its_end(reference: str, response: str, problem: str) -> None:
    assert relation(reference, response, problem) == "equal"


def test_a_short_text_is_not_read_too_generously() -> None:
    assert relation("6", "F = ma = 6 = 12", "Find the force.") != "equal"
    assert relation("5", "There are 8 cards, so 5 are not red.", "How many cards are there?") != "equal"
    assert relation("C", "C is the answer that most give. B is correct.", "(A) 1 (B) 2 (C) 3") != "equal"
    assert relation("Yes", r"\boxed{\text{No}, 91=7\cdot 13}", "Is 91 prime?") != "equal"
    assert relation("360", "The sum is 900.\n\nQuestion: And outside?\nAnswer: 360", "Find the sum.") != "equal"


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        ("The answer is approximately 8.", "8"),
        (r"\boxed{\text{approximately } 8}", "8"),
        (r"\boxed{8}, such as this.", "8"),
        (r"It goes into a box like \boxed{8}, for example.", "8"),
        ("Cara had 14 pens. Dan takes 8.", "8"),
        ("So option C works if we have 8.", "8"),
        ("So twice the number is 8.", "8"),
        ("Thus there are 8 more than Dan has.", "8"),
        ("Thus the count is 8 times as large.", "8"),
        ("Therefore the total is 8. Then we halve it.", "8"),
        ("The answer is $8$ $9$", "8"),
        ("Final answer: 8\n9", "8"),
        ("Answer: C D", "C"),
        ("Answer: C? D?", "C"),
        ("My second choice is C.", "C"),
    ],
)
def test_a_value_beside_another_or_of_something_else_is_no_answer(response: str, reference: str) -> None:
    assert relation(reference, response) != "equal"


def test_a_number_in_words_counts_what_was_listed() -> None:
    assert relation("6", "They are 12, 24, ..., 72. That makes six.") == "equal"
    assert relation("5", "They are 12, 24, ..., 72. That makes six.") != "equal"
    assert relation("8", "It takes approximately $\\boxed{8}$ days.") == "equal"
    assert relation("8", "Answer: 8\n\n8") == "equal"


@pytest.mark.parametrize(
    ("reference", "answer", "problem"),
    [
        ("12", r"\gcd(24,36)", "Find gcd(24,36)."),
        ("1", r"\lim_{x\to0}\frac{\tan x}{x}", r"Find $\lim_{x\to0}\frac{\tan x}{x}$."),
        ("15", r"3\cdot5", "What is 3 times 5?"),
        (r"2\cdot 3^2", "18", "Find the prime factorization of 18."),
        (r"2\cdot 3^2", r"2\cdot 9", "Find the prime factorization of 18."),
        (r"2^4\cdot 3", r"4^2\cdot 3", "Write 48 as a product of primes."),
        ("(4,7)", "(y,x)=(4,7)", "Find (x,y)."),
        ("1,4", "x=1, 4=4", "Find all x."),
        (r"\{1,4\}", r"\{1\},\{4\}", "Find the set."),
        (r"\{t\}", "t", "Write the fractional part."),
        ("2-9", "-7", "What is the range of the scores?"),
        ("C", "C+0", "Which is right?"),
        ("6", r"\text{Cara: }6", "How many has Dan, if Cara has 9?"),
        ("6", "QR=6", "In triangle PQR find PQ."),
        ("6", r"\text{The second largest is }6", "Find the largest."),
        (r"\text{no}", r"\text{no, it is true}", "Is it true?"),
        ("(n,n+2)", "(n,n+2), n>0", "Find all pairs of integers that differ by 2."),
        (r"\ln|x|+C", r"\ln x+C", r"Find $\int \frac1x\,dx$."),
        (r"\text{all odd } n>1", r"2m+1, m\in\mathbb{N}", "Find all n."),
    ],
)
def test_what_the_question_asks_is_not_left_to_the_reader(reference: str, answer: str, problem: str) -> None:
    assert relation(reference, rf"\boxed{{{answer}}}", problem) != "equal"


@pytest.mark.parametrize(
    ("reference", "answer", "problem"),
    [
        ("12", "13-1", "Find gcd(24,36)."),
        ("(4,7)", "(x,y)=(4,7)", "Find (x,y)."),
        (r"(3,\frac{\pi}{2})", r"(r,\theta)=(3,\frac{\pi}{2})", "Give polar coordinates."),
        (r"2\cdot 3^2", r"3\cdot 2\cdot 3", "Find the prime factorization of 18."),
        ("6", "PQ=6", "In triangle PQR find PQ."),
        ("6", r"\text{Dan: }6", "How many has Dan, if Cara has 9?"),
        (r"\ln x+C", r"\ln|x|+C", r"Find $\int \frac1x\,dx$."),
        (r"|x-4|", r"\sqrt{(x-4)^2}", "For real x, simplify."),
    ],
)
def test_labels_and_domains_that_agree_with_the_question_count(reference: str, answer: str, problem: str) -> None:
    assert relation(reference, rf"\boxed{{{answer}}}", problem) == "equal"


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{\boxed{8}+1}",
        r"\boxed{3, \boxed{8}}",
        r"\boxed{\text{not } \boxed{8}}",
        r"\boxed{\frac{\boxed{8}}{3}}",
        r"\boxed{\frac{1}{9}} / \boxed{8}",
        r"\boxed{\approx 8}",
        r"My best guess: \boxed{8}",
        r"A dummy value: \boxed{8}",
        r"We cannot solve this, so we print \boxed{8}.",
        r"\boxed{8} (this is not my answer)",
        "The answer is 8, unless it is 9.",
        "The answer is 8 provided that all move, otherwise it is 9.",
        "Answer: 8 vs 9",
        "Die Antwort ist 8 oder 9.",
        "La respuesta es 8 o 9.",
        "答案是8或9",
        "答え: 8ではない",
        "Die Antwort ist ungefähr 8.",
        "答案：大约8",
        "It cannot be that the answer is 8.",
        "I refuse to say that the answer is 8.",
        "The answer is 8 -- wrong, of course.",
        "The answer is 8 is what most say.",
        "The answer is the cube of 8.",
        "The answer is 8 short of 20.",
        "The answer is 8, multiplied by the number of weeks.",
        "The answer to an easier question is 8.",
        '{"answer": 8, "answer2": 9}',
        "1. 3\n2. 9\n3. 8",
    ],
)
def test_a_hedge_or_a_stopgap_is_no_answer(response: str) -> None:
    assert relation("8", response) != "equal"


def test_a_box_in_a_box_and_words_of_a_claim_count() -> None:
    for response in (
        r"\boxed{\boxed{8}}",
        r"\boxed{x = \boxed{8}}",
        r"\boxed{\text{\boxed{8}}}",
        "Die Antwort ist 8.",
        "答案是8",
    ):
        assert relation("8", response) == "equal"
    assert relation("60", r"\boxed{\frac{180}{3}}", "A car drives 180 km in 3 h. How fast is it?") == "unsure"
    assert relation(r"\frac{4}{3}", r"\boxed{\frac{4}{3}}", "What is 4 divided by 3?") == "equal"


@pytest.mark.parametrize(
    "response",
    [
        "The answer is 8 in base 9.",
        "It is 8, hmm, no.",
        "It is 8. I lied.",
        r"\boxed{8}. Ignore the box.",
        r"answer ≠ \boxed{8}",
        r"\boxed{8} is an upper bound.",
        r"\boxed{8} at most",
        "Ответ: не 8",
        "答案: 不是 8",
        "答え: 8か9",
        r"\boxed{8x/x}",
    ],
)
def test_a_value_that_is_denied_or_bounded_is_no_answer(response: str) -> None:
    assert relation("8", response) != "equal"


def test_a_reason_that_contradicts_and_an_interval_for_a_point_are_no_answers() -> None:
    question = "Is the number prime?"
    assert relation(r"\text{no}", r"\boxed{\text{no, it is prime}}", question) != "equal"
    assert relation(r"\text{no}", r"\boxed{\text{no, it is not prime}}", question) == "equal"
    assert relation("(2,5)", r"\boxed{2<x<5}", "Find the centre of the circle.") != "equal"
    assert relation("(2,5)", r"\boxed{2<x<5}", "Solve the inequality.") == "equal"
