"""`hero verify --attack`: wrong answers that are wrong, verifiers that fall for them, and what the command says."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from helpers.commands import hero
from hero_rl.attacks import Target, attack, read_targets, wrong_answers
from hero_rl.attacks.formulas import is_formula
from hero_rl.attacks.numbers import far_apart, read_number
from hero_rl.attacks.text import context_of, letters_of, split_top
from hero_rl.attacks.values import provably_different, same_value, value_at
from hero_rl.errors import InputError, SignalError
from hero_rl.types import Rollout, RowVerifier, Verdict
from hero_rl.verifiers import ExactVerifier
from hero_rl.verifiers.boxes import last_boxed


class Gullible(RowVerifier):
    """Accepts whatever holds the reference anywhere, and every equation."""

    name = "gullible"

    def judge(self, rollout: Rollout, /) -> Verdict:
        return self._one(rollout.reference, last_boxed(rollout.response) or "")

    def _one(self, reference: str, answer: str) -> Verdict:
        return Verdict("correct", "seen") if reference in answer or "=" in answer else Verdict("incorrect", "different")


class Undecided(Gullible):
    """Abstains on everything, or breaks on everything."""

    name = "undecided"

    def __init__(self, *, failed: bool):
        self.failed = failed

    def _one(self, reference: str, answer: str) -> Verdict:
        return Verdict("abstain", "endpoint" if self.failed else "unsure", failed=self.failed)


def answers(problem: str, *references: str, kind: str | None = None, **options) -> set[str]:
    found = wrong_answers(problem, *references, **options)
    return {one.answer for one in found if kind is None or one.kind == kind}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


PROBLEMS: list[dict[str, object]] = [
    {"problem": "A shelf holds 14 red and 9 blue books. How many books is that?", "answers": ["23"]},
    {"problem": "Expand $(a+b)(a-b)$.", "answers": ["$a^2-b^2$"]},
    {"problem": "Which way does the river run, east or west?", "answers": [r"\text{west}"]},
    {"problem": r"Solve $y^2 < 16$ in interval notation.", "answers": ["(-4, 4)"]},
]


def test_a_number_is_changed_in_every_way_that_makes_another_number():
    assert {"-23", "24", "22", "46", "230", "32"} <= answers("How many?", "23")
    assert {r"\frac{3}{2}", r"-\frac{1}{2}", r"\frac{1}{4}"} <= answers("How much?", r"\frac{1}{2}")
    assert {"7.5 \\times 10^{8}", "-6.5 \\times 10^{8}"} <= answers("Find it.", r"6.5 \times 10^{8}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("58,500", Fraction(58500)), (r"137 \frac{1}{2}", Fraction(275, 2)), ("-3/4", Fraction(-3, 4)),
        (r"\$1.50", Fraction(3, 2)),
        (r"2 \times 10^{-3}", Fraction(1, 500)), ("142.0", Fraction(142)), (r"30^\circ", Fraction(30)), (r"12\%", Fraction(12)),
        (r"5.4 \text{ cents}", Fraction(27, 5)), (r"\frac12", Fraction(1, 2)), ("3x", None), ("x", None), ("1,2", None),
    ],
)  # fmt: skip
def test_numbers_are_read_exactly_as_they_are_written(text: str, value: Fraction | None):
    found = read_number(text)
    assert (found and found.value) == value
    assert found is None or read_number(found.written(found.value + 1)).value == found.value + 1  # type: ignore[union-attr]


def test_what_coincides_with_the_reference_is_left_out():
    zero = answers("How many?", "0")
    assert not zero & {"-0", "0", "0 km", r"0\%", "0=0", "x-x=0"}
    assert "1" not in answers("How many?", "1", kind="power")  # 1 squared
    assert "33" not in answers("How many?", "33", kind="digits")
    assert "-180^\\circ" not in answers("Find the angle in degrees.", r"180^\circ")
    assert not answers("Name the pair $(a, b)$.", "(5, 5)", kind="order")
    assert "1, 2" not in answers("Find all roots.", "2, 1")


def test_a_rounded_number_is_only_changed_by_more_than_its_rounding():
    assert "701" not in answers("Round to two significant figures.", "700")
    assert "701" in answers("How many?", "700")
    number = read_number("2.54")
    assert number is not None
    assert not far_apart(number, Fraction("2.55"), context_of(""))
    assert far_apart(number, Fraction("3.54"), context_of(""))
    assert "-9.8" in answers("Find the acceleration.", "9.8")


def test_a_tolerance_of_the_row_is_kept_away_from():
    assert "101" not in answers("How much?", "100", tolerance=0.01)
    assert "200" in answers("How much?", "100", tolerance=0.01)


def test_a_unit_or_percent_is_only_appended_where_the_problem_does_not_ask_for_it():
    assert "7 km" in answers("How far is it, in miles?", "7")
    assert "7 km" not in answers("How many kilometres is it?", "7")
    assert r"7\%" in answers("How many?", "7")
    assert r"7\%" not in answers("What percentage is it?", "7")


def test_a_formula_is_changed_where_the_change_shows_at_points():
    found = answers("Write the area in terms of $r$ and $h$.", r"\pi r^{2} + 2h")
    assert {r"\pi r^{3} + 2h", r"\pi r^{2} - 2h", r"-(\pi r^{2} + 2h)", r"\pi h^{2} + 2r", r"\pi r^{2} + 2H"} <= found
    assert "b+a" not in answers("Add $a$ and $b$.", "a+b")
    assert not answers("Add $a$ and $b$.", "a+b", kind="letters") & {"b+a"}


def test_a_formula_with_constants_of_its_own_is_left_alone():
    # c e^{2t} + 1 differs, but 2 c e^{2t} is the same family
    assert not answers("Solve $y' = 2y$ for $t > 0$.", "c e^{2t}", kind="scaled")
    assert not answers("Solve $y' = 2y$ for $t > 0$, with a constant $c$.", "c e^{2t}", kind="scaled")
    assert not answers("Find an antiderivative of $2x$.", "x^2", kind="off by one")


def test_letters_that_the_problem_does_not_use_may_be_renamed():
    assert not answers("Find the general term.", "2n+1", kind="letters")
    assert answers("Find the term in $n$.", "2n+1", kind="letters") == {"2N+1"}


def test_parts_of_an_answer_are_changed_one_at_a_time():
    assert {"(2, 1)", "(1, 3)"} <= answers("Find the point $(x, y)$.", "(1, 2)", pick=1)
    assert not answers("Find the two primes.", "(2, 3)", kind="order")
    assert {"[1, 2]", "(1, 2)", "(2, 1]"} <= answers("Give the set.", "(1, 2]")
    assert not answers("Give it in interval notation.", r"(-\infty, 2)", kind="brackets") & {r"[-\infty, 2)"}
    assert {r"k \leq 2", "k > 2", r"k \geq 3"} <= answers("For which $k$?", r"$k \geqslant 2$")
    assert answers("Which line in $x$ and $y$?", "y = 3", kind="equation") == {"y = 4", "y = 6", "y = -3"}
    assert "1, 3" in answers("Find all roots.", "1, 2, 3", kind="elements") | answers("Find all.", "1, 2, 3", pick=1)


def test_words_are_denied_turned_and_hedged():
    found = answers("Is it prime?", r"\text{yes}")
    assert {r"\text{no}", r"\text{yes} \text{ is wrong}", r"\text{yes} \text{ or } \text{no}"} <= found
    assert r"1, 2 \text{ or } 1" not in answers("Find all roots.", "1, 2")  # which says 1 and 2, the one of them twice
    assert not answers("Evaluate $(u+4)(u-1) - (u-3)(u+6)$.", "14", kind="copied formula")  # it is 14 for every u
    assert "1=1" not in answers("For which $k$?", "$k=1$")
    assert r"\text{(D)}" in answers("Which?", r"\text{(C)}")
    responses = {one.response for one in wrong_answers("How many?", "5")}
    assert r"The answer is \boxed{5} or \boxed{6}." in responses
    assert r"The answer is \boxed{5}. Wait, that is wrong. The answer is \boxed{6}." in responses


def test_what_the_problem_says_is_copied_unless_it_is_the_answer():
    problem = "Let $3x+5=20$ and $y = 4$. What is $x + 2$, given $\\frac{14}{2} + 9$?"
    assert answers(problem, "7", kind="copied equation") == {"3x+5=20", "y = 4"}
    assert answers(problem, "5", kind="copied equation") == {"3x+5=20", "y = 4"}
    assert "y = 4" not in answers(problem, "4")
    assert answers(problem, "7", kind="copied formula") == {"x + 2", r"\frac{14}{2} + 9"}
    assert r"\frac{14}{2} + 9" not in answers(problem, "16")
    assert "14" in answers("Of 14 apples 5 are eaten.", "9", kind="copied number")
    assert "14" not in answers("Of 14 apples none are eaten.", "14")


def test_master_keys_that_may_be_right_are_left_out():
    assert r"\mathbb{R}" in answers("Find $x$.", "4")
    assert not answers("For which $x$?", r"\mathbb{R}", kind="everything")
    assert not answers("For which $x$?", r"\text{all real numbers}", kind="tautology")
    assert not answers("For which $x$?", r"\emptyset", kind="empty")
    assert "x" not in answers("Simplify $x^2/x$.", "x", kind="placeholder")
    assert not answers("True?", "Yes", kind="injection")


def test_other_right_answers_are_never_attacks():
    assert "-3" not in answers("Find a root of $x^2 = 9$.", "3", "-3")
    assert "6" not in answers("Find an even number.", "3", "6")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{x^{2}-1}{2}", 4), (r"2x(x+1)", 24), (r"\sqrt{x+1}", 2), (r"\sqrt[3]{9x}", 3), (r"x!", 6), (r"-x^2", -9),
        (r"\binom{x}{2}", 3), (r"|1-x|", 2), (r"\log_{3} 9", 2), (r"\frac12 x", 1.5), (r"\lfloor \frac{x}{2} \rfloor", 1),
        (r"x^23", 27), (r"2^{x}", 8),
    ],
)  # fmt: skip
def test_formulas_have_the_value_worked_by_hand(text: str, value: float):
    assert value_at(text, {"x": 3}) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "x +", "(x", "x = 3", r"\sum_{k=1}^{n} k", "{" * 200, "9" * 500, r"\frac{1}{0}", "x)", "9^{9^{9^9}}"]
)
def test_what_cannot_be_evaluated_has_no_value(text: str):
    assert value_at(text, {"x": 3}) is None
    assert not provably_different(text, "7")


@pytest.mark.parametrize(
    "text", ["5 " + "ab " * 2000 + "!", "5" * 9000, "$" * 5000, "(" * 3000, r"\(" * 20000, "a, " * 5000, "1 " * 5000]
)
def test_hostile_texts_take_no_time(text: str):
    wrong_answers(text, text)  # the test's own deadline is what fails


def test_equal_formulas_are_never_shown_to_differ():
    for a, b in [
        ("(x+1)^2", "x^2+2x+1"),
        ("ab", "ba"),
        (r"\frac{a}{b}", "a/b"),
        (r"\sin^2 x + \cos^2 x", "1"),
        ("x_1+x_2", "x_2+x_1"),
    ]:
        assert same_value(a, b)
        assert not provably_different(a, b)
    assert provably_different("x_1", "x_2")
    assert not provably_different("(-1)^{n+2}", "(-1)^{n}")  # they differ between whole numbers only


def test_pieces_of_text():
    assert split_top(r"(1,2), \{3,4\}, 5") == ["(1,2)", r"\{3,4\}", "5"]
    assert letters_of(r"\alpha x + \text{km} \sin y") == {"alpha", "x", "y"}
    assert is_formula("x+1")
    assert not any(is_formula(text) for text in ["x=1", "1, 2", r"\text{yes}", "east", r"x \geq 1", "(x"])


def test_no_attack_on_a_literal_verifier_gets_through():
    targets = [
        Target(problem=str(row["problem"]), reference=row["answers"][0], prompt_id=str(n)) for n, row in enumerate(PROBLEMS)
    ]  # type: ignore[index]
    report = attack(ExactVerifier(), targets)
    assert {one.attack.kind for one in report.accepted} <= {
        "retraction",
        "several boxes",
    }  # it reads the last box and nothing else
    assert report.total.tried == sum(kind.tried for kind in report.kinds)
    assert report.references == 4


def test_a_gullible_verifier_is_found_out():
    target = Target(problem="How many?", reference="23", prompt_id="p")
    report = attack(Gullible(), [target, Target(problem="And now?", reference="31", prompt_id="q")])
    by_kind = {kind.kind: kind for kind in report.kinds}
    assert by_kind["tautology"].accepted == 2 * 10  # two of the twelve have no equals sign
    assert by_kind["sign"].accepted == 2  # -23 holds 23
    assert by_kind["off by one"].accepted == 0
    assert by_kind["tautology"].rate.low < 0.2  # two problems are not many
    assert report.total.fooled == 2
    assert report.total.accepted == len(report.accepted)


def test_the_same_seed_gives_the_same_attacks():
    target = Target(problem="How many?", reference="123456", prompt_id="p")
    first, again = (attack(Gullible(), [target], seed=3).to_json(examples=99) for _ in range(2))
    assert {**first, "seconds": 0} == {**again, "seconds": 0}


def test_an_abstention_is_no_acceptance_and_no_failure():
    report = attack(Undecided(failed=False), [Target(problem="", reference="23", prompt_id="p")])
    assert (report.total.accepted, report.total.failed) == (0, 0)
    assert report.total.abstained == report.total.tried
    assert set(report.reasons) == {"unsure"}


def test_a_verifier_that_breaks_ends_the_attack():
    with pytest.raises(SignalError, match=r"attacks failed in undecided.*--max-failure-rate"):
        attack(Undecided(failed=True), [Target(problem="", reference="23", prompt_id="p")])


def test_references_are_read_from_rollouts_and_problems_alike(tmp_path: Path):
    rollout = {"prompt_id": "a", "problem": "P", "reference": "3", "response": "r"}
    path = write(
        tmp_path / "rows.jsonl", [rollout, rollout, {"question": "Q", "answers": ["1", "2"]}, {"problem": "R", "answer": 7}]
    )
    found = read_targets(path)
    assert [(one.problem, one.reference, one.alternatives) for one in found] == [
        ("P", "3", ()),
        ("Q", "1", ("2",)),
        ("R", "7", ()),
    ]
    assert read_targets(path, limit=2, seed=1) == [one for one in found if one in read_targets(path, limit=2, seed=1)]
    with pytest.raises(InputError, match=r"bad.jsonl:1: no reference .*name the column reference"):
        read_targets(write(tmp_path / "bad.jsonl", [{"problem": "P"}]))


def test_the_command_prints_rates_writes_what_got_through_and_a_page(tmp_path: Path):
    pytest.importorskip("jinja2")
    source = write(tmp_path / "problems.jsonl", PROBLEMS)
    done = hero(
        "verify", "--attack", source, "--verifier", "exact", "-o", tmp_path / "out.jsonl", "--page", tmp_path / "a.html"
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"exact accepted \d+ of \d+ wrong answers", done.stdout)
    assert "accepted, retraction" in done.stdout
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows
    assert all(row["correct"] == 0 and row["verdict"] == 1 and row["attack"] for row in rows)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Accepted: retraction" in page
    assert "<script>verdict" not in page


def test_the_json_has_labelled_answers_beside_the_attack(tmp_path: Path):
    rows = [
        {"prompt_id": str(n), "problem": f"What is {n} and {n}?", "reference": str(2 * n),
         "response": rf"\boxed{{{2 * n + k}}}", "correct": int(k == 0)}
        for n in range(11, 19)
        for k in (0, 1)
    ]  # fmt: skip
    done = hero("verify", "--attack", write(tmp_path / "in.jsonl", rows), "--verifier", "exact", "--limit", "5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["references"] == 5
    assert (result["labelled"]["right"], result["labelled"]["wrong"]) == (5, 5)
    assert (result["labelled"]["recall"]["value"], result["labelled"]["fpr"]["value"]) == (1.0, 0.0)
    assert result["total"]["tried"] == sum(kind["tried"] for kind in result["kinds"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "nowhere.jsonl"], "no such file"),
        (["--attack", "{source}", "--verifier", "column:correct"], "needs a verifier that reads answers"),
        (["--attack", "{source}", "-o", "{folder}/x.txt"], "must end in .jsonl"),
        (["--attack", "{source}", "{source}"], "give one of them"),
        (["{source}"], "needs IN and -o OUT"),
        (["{source}", "-o", "{folder}/x.jsonl", "--limit", "3"], "--limit without --attack"),
    ],
)
def test_bad_usage_ends_with_two_and_one_line(tmp_path: Path, arguments: list[str], message: str):
    source = write(tmp_path / "in.jsonl", PROBLEMS)
    done = hero("verify", *(one.format(source=source, folder=tmp_path) for one in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_audit_attacks_a_rule_verifier_on_a_sample_and_no_column(tmp_path: Path):
    pytest.importorskip("matplotlib")
    rows = [
        {"prompt_id": str(n), "problem": f"What is {n} and {n}?", "reference": str(2 * n), "response": "so 1", "verdict": 0}
        for n in range(11, 19)
    ]
    source = write(tmp_path / "in.jsonl", rows)
    done = hero("audit", source, "-o", tmp_path / "a", "--verifier", "exact", "--attack", "3", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["attack"]["references"] == 3
    assert any(one["about"] == "verifier" and "wrong by construction" in one["reason"] for one in found["advice"])
    assert "How easily exact is fooled" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    for options in (["--verifier", "exact", "--attack", "0"], ["--verifier", "column:verdict"]):
        assert json.loads(hero("audit", source, "-o", tmp_path / "b", *options, "--json").stdout)["attack"] is None
