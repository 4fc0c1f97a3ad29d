"""Where in a response, or in a reference, the answer is: claims of all forms, claims taken back, hedges and guesses."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.verifiers.boxes import find_boxes
from hero_rl.verifiers.math.extract import extract_answer, find_answer
from hero_rl.verifiers.math.gold import alternatives, extract_reference, undouble
from hero_rl.verifiers.math.sentences import UNCLEAR, stated_in
from hero_rl.verifiers.math.stages import Pair, Stage, compare_pair, find_pair

LONG = "We set up what is known and move the terms to one side, one after the other. " * 6

numbers = st.integers(2, 10**6)


def relation(reference: str, response: str, problem: str = "") -> str:
    """How the last claim of a response relates to a reference, without the symbolic stage."""
    pair = find_pair(reference, response, problem)
    return pair.finding.relation if isinstance(pair, Stage) else compare_pair(pair).finding.relation


def reason(response: str, reference: str = "7") -> str:
    pair = find_pair(reference, response)
    assert isinstance(pair, Stage), pair
    return pair.finding.reason


# ------------------------------------------------------------------------------------------------ marks


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"So $\boxed7$.", "7"),
        (r"So $\boxed 73$.", "73"),
        (r"So $\boxed{7}$.", "7"),
        (r"So $\fbox{7}$.", "7"),
        (r"So $\framebox{7}$.", "7"),
        (r"So $\framebox[2cm][c]{7}$.", "7"),
        ("So $\x08oxed{7}$.", "7"),
        (r"\boxed{\fbox{7}}", "7"),
        (r"\boxed{x=\boxed{7}}", "7"),
        (r"The answer is $\boxed{7}$, which is prime.", "7"),
        ("<answer> 7 </answer>", "7"),
        ("#### 7", "7"),
        ("## Final Answer\n$$7$$", "$$7$$"),
        ("### Final Answer\n\n7", "7"),
        ("**Final Answer**\n\n$7$", "$7$"),
        ("**Answer:** 7", "7"),
        ("Answer: `7`", "7"),
        ("ANSWER = 7", "7"),
        ("Our answer would be 7.", "7"),
        ("The answer to this question is therefore 7.", "7"),
        ("The answer is 7, since all others are even.", "7"),
        ("The answer is x = 7, y = 8.", "x = 7, y = 8"),
        ("The answer is a^2 + b.", "a^2 + b"),
        ("The answer is 1,234.", "1,234"),
        ("The answer is 5 m/s^2.", "5 m/s^2"),
        ("The answer is no solution.", "no solution"),
        ("Answer: Paris", "Paris"),
        ("The final answer is C. I hope it is correct.", "C"),
        ("The answer is (C).", "C"),
        ("**Answer: D**", "D"),
        ("The answer is B, because A is too large.", "B"),
        ("Hence the correct option is C.", "C"),
        ("So option B is correct.", "B"),
        ("We see that it must be red.\n\nC", "C"),
        ("所以最终答案是 $7$。", "$7$"),
        ("故选B。", "B"),
        ("Por lo tanto, la respuesta es 7.", "7"),
        ("La réponse est $7$.", "$7$"),
        ("Die Antwort ist 7.", "7"),
        ("Ответ: 7", "7"),
        ("答えは 7", "7"),
    ],
)
def test_a_marked_claim_is_found_in_any_form(response: str, answer: str) -> None:
    assert find_answer(response) == answer
    assert find_answer(LONG + "\n\n" + response) == answer


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("Therefore $x = 42$.", "$x = 42$"),
        ("Hence there are $73$ such numbers.", "$73$"),
        ("Thus, the number of residents is **73**.", "73"),
        ("Therefore, the value of $a+b$ is \\(33\\).", "\\(33\\)"),
        ("So the angle is 45°.", "45°"),
        ("So the angle at $B$ is $45^\\circ$.", "$45^\\circ$"),
        ("Therefore the value is\n\\[ 42. \\]", "\\[ 42. \\]"),
        ("Therefore, Alice ran 108 meters.", "108 meters"),
        ("Therefore, 4 guests did not get a second cake.", "4"),
        ("So, Josh made a profit of $195,000.", "$195,000"),
        ("In total she will need 12 eggs.", "12"),
        ("Thus, the maximum is 8 when $a = b = 4$.", "8"),
        ("Since $a = 3$, the area is 9.", "9"),
        ("Therefore, the remainder is seven.", "seven"),
        ("Hence there are no real solutions.", "no real solutions"),
        ("Thus the limit does not exist.", "does not exist"),
        ("The minimum is at $x=2$, giving a value of $5$.", "$5$"),
        ("So the box is 3 cm by 4 cm.", "3 cm by 4 cm"),
        ("So the ratio is 3:4.", "3:4"),
        ("So he has 2/3 of the pizza left.", "2/3"),
        ("Thus the roots are $2$ and $3$.", "$2$ and $3$"),
        ("Thus the set of solutions is {1, 2, 3}.", "{1, 2, 3}"),
        ("Hence, the perimeter is $P = 2(3+4) = 14$.", "P = 14"),
        ("The 20th digit is **6**. I hope this helps!", "6"),
        ("So he reads 12 30-page books.", "12"),
        ("So the smallest value is $16$. Equality holds when $a = b$.", "$16$"),
    ],
)
def test_a_last_sentence_states_the_value_without_any_mark(sentence: str, answer: str) -> None:
    found = extract_answer(LONG + sentence)
    assert (found.bare or found.text, found.source) == (answer, "sentence")


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG + "It remains to see what follows.",
        r"The answer is \boxed{}",
        LONG + "Is the number 7?",
        LONG + "Perhaps it is 7.",
        LONG + "Hence it is not 7.",
        LONG + "So 7 is wrong.",
        LONG + "Now we need to multiply by 7.",
        LONG + "Let us assume that there are 7.",
        LONG + "Therefore the sum is $\\frac{17}{24} + \\frac{1}{",
        LONG + "#### Step 3: multiply by 7",
        LONG + "Therefore n is divisible by 7.",
        LONG + "So it holds for all numbers except $x=7$.",
        f"<think>so it is \\boxed{{7}}</think> {LONG}",
        "<think>so it is \\boxed{7}",
        f"<reasoning>The answer is 7.</reasoning> {LONG}",
    ],
)
def test_a_text_without_a_claim_has_no_answer(text: str) -> None:
    assert find_answer(text) == ""
    assert relation("7", text) != "equal"


@pytest.mark.parametrize(
    "answer",
    [
        r"f(x) = -1 \text{ for all } x, \text{ and } f(x) = x \text{ for all } x",
        "Ann: 18, Bob: 14, Cyd: 7",
        "f(x) = 2x",
        "5 km",
    ],
)
def test_a_short_answer_by_itself_is_taken_whole(answer: str) -> None:
    assert extract_answer(answer)[:2] in ((answer, "whole"), (answer, "sentence"))


def test_of_several_numbers_in_a_last_sentence_those_of_the_question_are_not_the_answer() -> None:
    sentence = "Therefore, Ann walks 6 miles in 3 hours before 2 friends come."
    assert stated_in(sentence) == UNCLEAR
    assert stated_in(sentence, "Ann walks 6 miles with 2 friends.") != UNCLEAR
    assert extract_answer(LONG + sentence).doubt == "claim_unclear"


def test_words_that_belong_to_a_number_count_only_where_the_reference_has_words() -> None:
    assert relation("15", "The answer is 15 cookies.") == "equal"
    assert relation("16", "The answer is 15 cookies.") == "different"
    assert relation("15", "The answer is 15 squared.") != "equal"
    assert relation("15", "The answer is 15 hundred.") != "equal"
    assert relation("15", "So there are at least 15 cookies.") != "equal"
    assert relation(r"5 \text{ red balls}", "The answer is 5 blue balls.") != "equal"


# ------------------------------------------------------------------------------------------------ the last claim


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 5. No wait, the answer is 7.", "7"),
        ("The answer is 5.\nCorrection: the answer is 7.", "7"),
        (r"I get \boxed{5}. That is wrong; the answer is \boxed{7}.", "7"),
        (r"I get \boxed{5}. Wait, that is wrong: the final answer is 7.", "7"),
        (r"Someone claims \boxed{5}. I disagree: I get 7.", "7"),
        ("The answer is 5? No, it is 7.", "7"),
        ("The answer is 7, not 5.", "7"),
        ("Answer: 5 was my first guess.\nDoing it again gives 7.\nAnswer: 7", "7"),
        (r"The condition is $\boxed{a < b}$, so the last one holds." + "\n\n**Answer: D**", "D"),
        (r"\boxed{5}" + "\n" + LONG + r"\boxed{7}", "7"),
        (r"First \boxed{5}. Then we double it and add 3 to it. So we have \boxed{7}.", "7"),
        (r"I get \boxed{7}. Wait, let me check: 3+4=7. Yes, that is correct.", "7"),
        ("\\boxed{7}\n\nQuestion: How much is 2+2?\nAnswer: 4", "7"),
        (r"\boxed{5}</think> So it is \boxed{7}.", "7"),
        ("<reasoning>The answer is 5.</reasoning><answer>7</answer>", "7"),
        ("7<|im_end|>\n<|im_start|>user\nThe answer is 5", "7"),
    ],
)
def test_the_last_claim_counts(response: str, answer: str) -> None:
    assert find_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (r"I get \boxed{7}. No, that's wrong.", "retracted"),
        (r"I get \boxed{7}. Actually, that's not right.", "retracted"),
        (r"\boxed{7}. Oops, I made a mistake somewhere.", "retracted"),
        (r"\boxed{7} is wrong.", "retracted"),
        (r"It is not \boxed{7}.", "retracted"),
        (r"If the answer were \boxed{7}, we would have 1=0. So there is none.", "retracted"),
        (r"\boxed{7}. I am not sure.", "hedged"),
        (r"\boxed{7}, but it could also be 8.", "hedged"),
        (r"\boxed{5}, or maybe \boxed{7}", "hedged"),
        ("The answer is 7. This is just a guess.", "hedged"),
        (r"\boxed{5}. Another possible answer is \boxed{7}.", "hedged"),
        (r"If n is even it is \boxed{5}; if n is odd it is \boxed{7}.", "claims_conflict"),
        (LONG + "So Ann is 5 years old and Bob is 7 years old.", "claim_unclear"),
        ("The answer is 5. The answer is 7.", "claims_conflict"),
        ("\\boxed{5}\n\nThe answer is 7.", "claims_conflict"),
        (r"\boxed{5}, that is \boxed{7}", "claims_conflict"),
        (r"\boxed{7 \text{ (or } 8)}", "claims_conflict"),
        (r"We first get \boxed{7} and then, with the second part, \boxed{12", "claim_unclear"),
    ],
)
def test_an_answer_that_is_taken_back_hedged_or_contradicted_is_not_judged(response: str, why: str) -> None:
    assert reason(response) == why


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{1}\boxed{2}\boxed{7}",
        r"\boxed{5} and also \boxed{7}",
        r"\boxed{5 or 7}",
        "The answer is 5 or 7.",
        "The answer is either 5 or 7.",
        "It is 5, 6 or 7.",
        "Answer: 5\nAnswer: 6\nAnswer: 7",
        "1 2 3 4 5 6 7",
        " ".join(f"The answer is {n}." for n in range(1, 8)),
        "7 7 7 maybe 8",
    ],
)
def test_guesses_never_score(response: str) -> None:
    assert relation("7", response) != "equal"


def test_two_statements_of_one_answer_agree() -> None:
    assert relation(r"\frac34", r"\boxed{\frac{3}{4}}. So the answer is 0.75.") == "equal"
    assert relation(r"\frac34", r"\boxed{\frac34 \text{ (or } 0.75)}") == "equal"
    assert relation("12", "So there are 12. The answer is \\boxed{12}. The answer is 12 apples.") == "equal"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"(a) \boxed{1} (b) \boxed{2} (c) \boxed{3}", "1, 2, 3"),
        (r"For part (a) the answer is $\boxed{12}$ and for part (b) it is $\boxed{7}$.", "12, 7"),
        (r"(a) We add them. So it is \boxed{4}. (b) We multiply them. So it is \boxed{9}.", "4, 9"),
        (r"$x=\boxed{3}$, $y=\boxed{4}$", "x = 3, y = 4"),
        (r"$x=\boxed{3}$ or $y=\boxed{4}$", r"x = 3 \text{ or } y = 4"),
        (r"$x=\boxed{3}$ or $x=\boxed{4}$", "3, 4"),
        (r"$(y,x)=\boxed{(3,4)}$", "(y,x) = (3,4)"),
        (r"Part b: \boxed{3}; Part a: \boxed{4}", "(b) 3, (a) 4"),
        (r"\boxed{3} and \boxed{3}", "3"),
    ],
)
def test_boxes_of_labelled_parts_are_one_answer(response: str, answer: str) -> None:
    assert find_answer(response) == answer


def test_boxes_count_with_the_labels_before_them_and_however_many_there_are() -> None:
    assert relation("x=3, y=4", r"$y=\boxed{4}$ and $x=\boxed{3}$") == "equal"
    assert relation("(3,4)", r"$x=\boxed{3}$ and $y=\boxed{4}$", "Find $(x,y)$.") == "equal"
    assert relation("(3,4)", r"$(x,y)=\boxed{(3,4)}$", "Find $(x,y)$.") == "equal"
    assert relation("(a) 3 (b) 4", r"Part b: \boxed{4}; Part a: \boxed{3}") == "equal"
    assert relation("x=3, y=4", r"$y=\boxed{3}$ and $x=\boxed{4}$") != "equal"
    assert relation("(3,4)", r"$(y,x)=\boxed{(3,4)}$", "Find the ordered pair $(x,y)$.") != "equal"
    assert relation("(a) 3 (b) 4", r"Part b: \boxed{3}; Part a: \boxed{4}") != "equal"
    assert relation("1, 2", r"\boxed{1} or \boxed{2}, not both.") != "equal"
    assert relation("1, 2", "The answer is 1 or 2, but not both.") != "equal"
    assert relation("(2,4), (4,2)", r"$(m,n)=\boxed{(2,4)}$ and $(m,n)=\boxed{(4,2)}$") == "equal"
    assert relation("3, 4", r"There are \boxed{3} boys and \boxed{4} girls.") != "different"
    for count in (20, 150):
        assert relation("5", ", ".join(rf"\boxed{{{number}}}" for number in (*range(10, 30), *[5] * count))) != "equal"


# ------------------------------------------------------------------------------------------------ references


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("We have $x^2=49$ and $x>0$. The answer is $\\boxed{7}$.", "7"),
        (r"\[ s = \frac{1}{2} \cdot 3.2 = \boxed{1.6} \mathrm{~cm} \]", r"1.6 \mathrm{~cm}"),
        ("3*4 = <<3*4=12>>12 in all.\n#### 12", "12"),
        (r"[0, \\frac{1}{2}]", r"[0, \frac{1}{2}]"),
        (r"\\left( 3, \\frac{\\pi}{2} \\right)", r"\left( 3, \frac{\pi}{2} \right)"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ("['$7$']", "$7$"),
        ("['7', '8']", "7, 8"),
        ("7", "7"),
        ("any even number will do", "any even number will do"),
        ("f(x) = 2x (for all x)", "f(x) = 2x (for all x)"),
    ],
)
def test_the_answer_in_a_reference(reference: str, answer: str) -> None:
    assert extract_reference(reference).text == answer


def test_a_reference_with_alternatives_accepts_either_where_they_agree() -> None:
    assert alternatives(r"\frac{3}{4} \text{ (or } 0.75)") == (r"\frac{3}{4}", "0.75")
    assert alternatives("12 (twelve)") == ("12", "twelve")
    assert alternatives("12 (apples)") == ("12 (apples)",)
    assert alternatives("f(x)") == ("f(x)",)
    for answer, expected in ((r"\boxed{0.75}", "equal"), (r"\boxed{\frac34}", "equal"), (r"\boxed{\frac43}", "different")):
        assert relation("3/4 (or 0.75)", answer) == expected
    assert reason(r"\boxed{0.5}", "3/4 (or 0.5)") == "reference_unclear"


def test_a_value_that_the_question_asks_for_as_a_whole_is_what_stands_behind_the_equals_sign() -> None:
    assert relation("12", r"\boxed{x + y = 12}", "Find $x + y$ if $x = 5$ and $y = 7$.") == "equal"
    assert relation("13", r"\boxed{x + y = 12}", "Find $x + y$ if $x = 5$ and $y = 7$.") != "equal"
    assert relation("12", r"\boxed{x + y = 12}", "Let $x + y = 12$. How large is $xy$ at most?") != "equal"


def test_commands_escaped_twice_are_repaired_only_where_all_are() -> None:
    assert undouble(r"\\frac{1}{2}") == r"\frac{1}{2}"
    assert undouble(r"\begin{cases} a \\ b \end{cases}") == r"\begin{cases} a \\ b \end{cases}"
    assert undouble(r"\frac12 \\text{ or } 3") == r"\frac12 \\text{ or } 3"
    assert undouble("1/2") == "1/2"


# ------------------------------------------------------------------------------------------------ properties


@given(old=numbers, new=numbers)
def test_taking_back_and_claiming_anew_changes_the_answer(old: int, new: int) -> None:
    for claim in (f"The answer is {old}.", f"So \\boxed{{{old}}}.", f"Therefore the sum is {old}."):
        assert find_answer(f"{LONG}{claim} No wait, that is wrong. The answer is {new}.") == str(new)


@given(number=numbers, words=st.text(st.sampled_from("abc ,"), max_size=60))
def test_a_retraction_without_a_new_claim_leaves_no_answer(number: int, words: str) -> None:
    response = f"{words} So \\boxed{{{number}}}. No, that is wrong."
    assert relation(str(number), response) == "unsure"


@given(number=numbers)
def test_what_is_only_thought_is_no_answer(number: int) -> None:
    for claim in (f"\\boxed{{{number}}}", f"The answer is {number}.", f"#### {number}", f"<answer>{number}</answer>"):
        assert find_answer(f"{LONG}{claim}") == str(number)
        assert find_answer(f"<think>{LONG}{claim}</think>{LONG}") == ""


@given(st.lists(st.sampled_from(LONG.replace(".", "").replace("one", "each").split()), min_size=160, max_size=200))
def test_words_alone_are_no_answer(words: list[str]) -> None:
    assert find_answer(" ".join(words) + ".") == ""


@given(a=numbers, b=numbers)
def test_two_answers_at_once_are_not_accepted_for_either(a: int, b: int) -> None:
    if a != b:
        for response in (
            f"The answer is {a}. The answer is {b}.",
            f"\\boxed{{{a}}}\n\nThe answer is {b}.",
            f"\\boxed{{{a} or {b}}}",
        ):
            assert relation(str(a), response) != "equal"
            assert relation(str(b), response) != "equal"


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    extract_answer(text)
    extract_answer(LONG + text)
    extract_reference(text)
    find_boxes(text)


@pytest.mark.parametrize(
    "piece",
    [
        "x", " ", "\n", "{", "$", r"\(", "1 ", "1,", "- ", "# ", "**", "\n#", "(a) ", "wait ", "answer ", "answer: ",
        "<answer>", "The answer is 7. ", r"\boxed{7} ", r"\boxed", r"\boxed{",
        r"\framebox[1][2]", "(a) \\boxed{1} ", "the answer to the ", "#### ", "A. ", "is ", "at least ", '"', r"\text{", "é",
    ],
)  # fmt: skip
def test_a_megabyte_is_read_in_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begin = time.process_time()
    extract_answer(text)
    extract_reference(text)
    assert time.process_time() - begin < 10  # a quadratic reader takes hours


def test_a_pair_keeps_the_first_of_several_statements() -> None:
    assert find_pair("0.75", r"\boxed{3/4 (or 0.75)}") == Pair("0.75", "3/4")


# ------------------------------------------------------------------------------------- what stands around a box

APPLES = "How many apples are there?"


@pytest.mark.parametrize(
    "response",
    [
        r"The answer is $-\boxed{7}$.",
        r"Hence $x = \frac{2}{\boxed{7}}$.",
        r"It is $3\boxed{7}$.",
        r"It is $\boxed{7}^3$.",
        r"It is $\boxed{7} - 2$.",
        r"It is \boxed{7}.25 in all.",
        r"So $(\boxed{7}, 9)$.",
        r"So $(9, \boxed{7})$.",
        r"We get $y < \boxed{7}$.",
        r"We get $y \neq \boxed{7}$.",
        r"There are fewer than $\boxed{7}$.",
        r"It is at least \boxed{7}.",
        r"It is three times $\boxed{7}$.",
        r"The cube of the answer is $\boxed{7}$.",
        r"There are $\boxed{7}$ thousand.",
        r"There are $\boxed{7}\%$.",
        r"It is $\boxed{7} = 8$.",
        r"So $y = 2$ or $y = \boxed{7}$.",
        r"The roots are 2 and \boxed{7}.",
        r"\boxed{7}. The other solution is 2.",
        r"$y = \boxed{7}$ is extraneous.",
        r"$y = \boxed{7}$ (discarded)",
        r"A tempting answer is \boxed{7}.",
        r"Most would guess \boxed{7}.",
        r"Some would say \boxed{7}, which forgets the last one.",
        r"We reject \boxed{7}.",
        r"\boxed{7} violates the second condition.",
        r"The answer is \boxed{7}. But this misses the last one, so it is 8.",
        "The answer is 7. Edit: 8",
        "The answer is 7 - no, 8",
        "The answer is 7. Let me recount: 4 + 4 = 8. So 8.",
        r"If m is prime, the answer is \boxed{7}.",
        r"Case 3: \boxed{7}.",
        "The answer is 9.\n% \\boxed{7}",
        r"The answer is 9 <!-- \boxed{7} -->",
        "The answer is 7 less than 30.",
        "The answer is 7 over 12.",
        "The answer is 7 if m is odd and 8 otherwise.",
        "The answer is 7 root 3.",
        r"$\boxed{\cancel{7}}$",
        r"$\cancel{\boxed{7}}$",
        r"\boxed{7",
        r"So it is 2 \boxed{7}.",
        r"So we get x \boxed{7}.",
        r"It is x – \boxed{7}.",
        r"It is −$\boxed{7}$.",
        r"It is $-$\boxed{7}.",
        r"The answer is - \boxed{7}.",
        r"3 + \boxed{7}",
        r"$2 \cdot$ \boxed{7}",
        r"$3x$ $\boxed{7}$",
        r"\(2\) \(\boxed{7}\)",
        r"λ \boxed{7}",
        r"$a \boxed{7}$",
        r"\boxed{7} ⋅ 2",
        r"\boxed{7}:9",
        r"\boxed{7} | 14",
        r"\boxed{7}|x|",
        r"\boxed{7}ab",
        r"\boxed{7} $\lambda$",
        r"\boxed{7}+C",
        r"\boxed{7}(x+1)",
        r"\boxed{7}/x",
        r"$\boxed{7}$π",
        r"$\boxed{7}$万",
        r"The answer is \boxed{7} xy.",
        "The answer is \\boxed{7} ab\n\nThat is all.",
        r"The result is \text{3}\boxed{7}",
        r"$\text{2}\boxed{7}$",
        r"{\bf 3} \boxed{7}",
        r"0.\boxed{7}",
        r"1,\boxed{7}",
        r"f(B) \boxed{7}",
        r"So (a + B) \boxed{7}",
        r"The odds are \boxed{7} to 9.",
        r"∠\boxed{7}",
        "The answer is 7 ab.",
        "The answer is 7 xyz.",
        "The answer is 7 $xyz$.",
        r"The answer is 7 $\vec{v}$.",
        "The answer is 7 C 2.",
        "The answer is 7 k for any k.",
        "The answer is 7..8",
        "The answer is 7. I meant 8.",
    ],
)
def test_a_value_that_something_beside_it_changes_is_not_the_answer(response: str) -> None:
    assert relation("7", response, APPLES) != "equal"


@pytest.mark.parametrize(
    "response",
    [
        r"So $y = \boxed{7}$.",
        r"\[ y = 3 + 4 = \boxed{7}. \]",
        "\\begin{align*} y &= 3 + 4 \\\\ &= \\boxed{7} \\end{align*}",
        r"- $\boxed{7}$",
        r"{\color{red}\boxed{7}}",
        r"$\textbf{\boxed{7}}$",
        r"$\boxed{7}\text{ apples}$",
        r"Rejecting $y = -2$, we get $y = \boxed{7}$.",
        r"$2y = 14$ and $y = \boxed{7}$.",
        r"$P(X > 2) = \boxed{7}$, which is more than 6.",
        r"The answer is \boxed{7}!",
        r"$\frac{a}{b} = \boxed{7}$",
        r"$\boxed{7} = 7.0$",
        r"If there are two more apples, there are \boxed{7}.",
        "The answer is 7 in total.",
        "The answer is 7, if we count them all.",
        "The answer is 7. Let me double check: 3 + 4 = 7. So 7.",
        "% the sum\n\\boxed{7}",
        r"<b>\boxed{7}</b>",
        r"Exercise 3.2 — \boxed{7}",
        r"By equation (3) \boxed{7}",
        r"$\boxed{7}$ $\Box$",
        r"The answer is 7 $\pmod 9$.",
        r"| y | \boxed{7} |",
        r"(a) \boxed{7}",
        r"Part b – \boxed{7}",
        r"Answer - $\boxed{7}$",
        r"$\therefore$ \boxed{7}",
        r"$y = 7$ $\boxed{7}$",
        r"The answer is 7 \boxed{7}",
        r"\boxed{7} 30-gram apples",
        r"\boxed{7} (check: 3 + 4 = 7)",
        r"\boxed{7} - as required",
        r"\boxed{7} ∎",
        r"\boxed{7} <-- final answer",
        "答案是\\boxed{7}。",
        r"Es sind \boxed{7} Äpfel.",
        "The answer is 7 pcs.",
        r"The answer is 7 $\blacksquare$",
        r"\[ 3 + 4 = \boxed{7} \] So, there are seven.",
        r"$\boxed{7}$ ok.",
        "The answer is 7 so, we are done.",
        "The answer is 7 as, by symmetry, all agree.",
        "最小值是$\\boxed{7}$，此时$x=1$。",
        "共有$\\boxed{7}$个，当$x=1$时。",
        r"Answer:- $\boxed{7}$",
        r"– $\boxed{7}$",
        r"Problem 12:$\boxed{7}$",
        r"IV) \boxed{7}",
        r"The answer is C) $\boxed{7}$",
        r"**C** $\boxed{7}$",
        r"\item[(a)] \boxed{7}",
        r"{\bf Answer.} \boxed{7}",
        r"\textcolor{blue}{\textbf{Answer:}} \boxed{7}",
        r"{\large Answer} \boxed{7}",
        r"\underline{$\boxed{7}$}",
        r"\mathbf{\boxed{7}}",
        r"<h3>Answer</h3> \boxed{7}",
        r"|Answer|$\boxed{7}$|",
        r"x \equiv \boxed{7}",
        r"$\boxed{7}$[^1]",
        r"\boxed{7}\footnote{It is exact.}",
        r"\boxed{7}[/INST]",
        r"C'est $\boxed{7}$ !",
        r"$\boxed{7}$ — I checked it.",
        r"$\boxed{7}$ *(final)*",
        r"\begin{align} x &= \boxed{7} \nonumber \end{align}",
        r"$x \in (0, 8] \Rightarrow \boxed{7}$",
        "The answer is 7<｜end▁of▁sentence｜>",
    ],
)
def test_a_label_a_unit_or_an_aside_beside_a_box_is_harmless(response: str) -> None:
    assert relation("7", response, APPLES) == "equal"


def test_the_question_tells_whether_a_bound_or_a_condition_is_its_own() -> None:
    assert relation("7", r"So $y \le \boxed{7}$.", "Find the largest value of y.") == "equal"
    assert relation("7", r"So $y \le \boxed{7}$.", "Find y.") == "unsure"
    assert relation("7", r"If m is odd, it is \boxed{7}.", "Let m be odd. How large is it?") == "equal"
    assert relation("7%", r"It is $\boxed{7}\%$.", "Which percentage is it?") == "equal"


def test_boxes_in_paragraphs_of_their_own_and_a_box_left_open_are_unclear() -> None:
    assert relation("7", "\\boxed{8}\n\n\\boxed{7}") == "unsure"
    assert relation("7, 8", "\\boxed{8}\n\n\\boxed{7}") == "equal"
    assert relation("7", r"\boxed{8} and \boxed{7}") == "different"
    assert relation("7", r"Hence the answer is \boxed{7") == "unsure"
    assert relation("7", r"Hence the answer is \boxed{7}") == "equal"


@pytest.mark.parametrize(
    "response", [r"It is between 2 and \boxed{7}.", r"Don't write \boxed{7}.", r"My first guess was \boxed{7}.", r"\boxed{7}?"]
)
def test_a_box_that_is_a_question_a_guess_or_an_end_is_not_the_answer(response: str) -> None:
    assert relation("7", response, APPLES) != "equal"
    assert relation("7", r"I first guessed 9. It is \boxed{7}.", APPLES) == "equal"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("There are 4 rows with 6 eggs each. 4 x 6 = 24 eggs.", "4 × 6 = 24 eggs"), ("So 4 x 6 = 24.", "4 × 6 = 24"),
        ("We get 3 x 8 x 1 = 24.", "3 × 8 × 1 = 24"), ("So the room is 4 x 6.", "So the room is 4 x 6."),
        ("So 4 x = 24.", "x = 24"),
    ],
)  # fmt: skip
def test_the_letter_between_the_numbers_of_an_equation_multiplies(response: str, answer: str) -> None:
    assert find_answer(response) == answer
