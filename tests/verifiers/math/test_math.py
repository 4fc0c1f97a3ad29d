"""The verifier ``math`` as a whole: verdicts, bad rows, hostile answers from threads and event loops."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.places import SHARED
from helpers.strategies import examples

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")

from hero_rl.errors import InputError, MissingDependencyError
from hero_rl.loop import run_sync
from hero_rl.sandbox import Sandbox, SandboxSettings
from hero_rl.types import Rollout, Verdict, Verifier
from hero_rl.verifiers import MathVerifier
from hero_rl.verifiers.math.stages import MAX_ANSWER_CHARS

DEADLINE_S = 0.2
REAL_DATA = SHARED / "processbench_math.jsonl"

HARD = r"\int_0^{\pi} \ln(\sin(x)+2)^3 dx"
HOSTILE = [
    *("9^{9^{9^{9}}}", "7^{7^{7^{7^{7}}}}", "2^{3^{4^{5^{6}}}}", "(10^{10})^{(10^{10})}", "10^{10^{10}} + 1"),
    *("3^{10^{12}} - 3^{10^{12}}", "0 \\cdot 8^{8^{8^{8}}}", "\\sqrt{6^{6^{6^{6}}}}", "\\frac{5^{5^{5^{5^{5}}}}}{4}"),
    *("30000000!", "(10^{9})!", "500!!!!!", "\\frac{99999999!}{99999998!}", "\\binom{10^{12}}{10^{9}}"),
    *("\\sum_{n=1}^{10^{10}} \\frac{1}{n^2}", "\\prod_{n=1}^{10^{8}} (n+1)", "\\sum_{i=1}^{10^6}\\sum_{j=1}^{10^6} i j"),
    *("\\int_0^{10^{9}} x^{x^{x}} dx", "\\lim_{x \\to 0} x^{x^{x^{x}}}", "(x+y+z+1)^{20000}", "(a+b)^{10^{7}}"),
    *("\\log(\\log(10^{10^{10^{10}}}))", "\\sin(9^{9^{9}})", "e^{e^{e^{e^{e}}}}", "\\zeta(3)^{9^{9^{9}}}"),
    *("\\sqrt{" * 90 + "2" + "}" * 90, "\\frac{1}{1+" * 60 + "x" + "}" * 60, "(" * 300 + "1" + ")" * 300),
    *("{" * 400 + "1" + "}" * 400, "|" * 201, "1" * 1_900, "-" * 1_500 + "1", "1+" * 900 + "1", "x^" * 700 + "2"),
    "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}^{10^{9}}",
]


def rollout(reference: object, response: object) -> Rollout:
    return Rollout(prompt_id="p", problem="", reference=reference, response=response)  # type: ignore[arg-type]


def boxed(reference: str, answer: str) -> Rollout:
    return rollout(reference, f"So the final answer is $\\boxed{{{answer}}}$.")


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    with MathVerifier(deadline_s=5.0, workers=1) as made:
        made.warm()
        yield made


@pytest.fixture(scope="module")
def hasty() -> Iterator[MathVerifier]:
    with MathVerifier(deadline_s=DEADLINE_S, workers=2) as made:
        made.warm()
        yield made


@pytest.mark.parametrize(
    ("reference", "response", "label", "reason"),
    [
        ("x^2+2x+1", r"\boxed{(x+1)^2}", "correct", "equal"),
        (r"\frac{\sqrt{2}}{2}", r"\boxed{\frac{1}{\sqrt{2}}}", "correct", "equal"),
        ("$\\{1, 2\\}$", r"\boxed{2, 1}", "correct", "equal"),
        (r"\boxed{7}", "The answer is 7.", "correct", "equal"),
        ("f(x)=2x", "$f(x) = 2x$", "correct", "equal"),
        ("0.333333", r"\boxed{\frac{1}{3}}", "correct", "equal_rounded"),
        ("Tuesday", r"\boxed{\text{Tuesday}}", "correct", "equal"),
        ("7", r"\boxed{8}", "incorrect", "different"),
        (r"\sqrt{2}", r"\boxed{\sqrt{3}}", "incorrect", "different"),
        (r"\frac{1}{500!}", r"\boxed{\frac{1}{501!}}", "incorrect", "different"),
        ("7", "", "incorrect", "no_answer"),
        ("7", "I think. " * 100, "incorrect", "no_answer"),
        ("7", r"\boxed{\frac{}{+}}", "incorrect", "answer_unreadable"),
        ("7", r"\boxed{" + "7+" * MAX_ANSWER_CHARS + "}", "incorrect", "answer_too_long"),
        (r"\frac{1}{3}", r"\boxed{0.33}", "abstain", "numbers_close"),
        ("5", r"\boxed{7\%}", "incorrect", "different"),
        ("x", r"\boxed{y}", "abstain", "letters_differ"),
        ("7", r"\boxed{all real numbers}", "abstain", "kinds_differ"),
        ("any even number will do", r"\boxed{7}", "abstain", "reference_in_words"),
        (r"\frac{1}{", r"\boxed{7}", "abstain", "reference_unreadable"),
        ("", r"\boxed{7}", "abstain", "reference_missing"),
        ("7+" * MAX_ANSWER_CHARS, r"\boxed{7}", "abstain", "reference_too_long"),
        (None, r"\boxed{7}", "abstain", "reference_missing"),
        ("7", None, "incorrect", "no_answer"),
        (7, r"\boxed{7}", "correct", "equal"),
        ("7", "\ud800", "incorrect", "answer_unreadable"),
        ("7", "x" * 3_000_000 + r"\boxed{7}", "correct", "equal"),
    ],
)
def test_verdicts(verifier: MathVerifier, reference: object, response: object, label: str, reason: str) -> None:
    (verdict,) = verifier.verify([rollout(reference, response)])
    assert (verdict.label, verdict.reason, verdict.failed) == (label, reason, False)


def test_binary_never_abstains_and_keeps_the_reasons() -> None:
    rows = [boxed("x", "y"), boxed("5", HARD), boxed("", "7"), boxed("7", "7"), boxed("7", "8")]
    with MathVerifier(policy="binary", deadline_s=0.3, workers=1) as binary:
        verdicts = binary.verify(rows)
    assert [verdict.label for verdict in verdicts] == ["incorrect", "incorrect", "incorrect", "correct", "incorrect"]
    assert [verdict.reason for verdict in verdicts[:3]] == ["letters_differ", "too_hard", "reference_missing"]
    assert not any(verdict.failed for verdict in verdicts)


def test_hostile_answers_cost_their_deadline_at_most() -> None:
    assert len(HOSTILE) == 35
    settings_ = SandboxSettings(workers=2, deadline_s=DEADLINE_S, warm_up=("hero_rl.verifiers.math.symbolic:warm_up",))
    with Sandbox(settings_) as box:
        outcomes = run_sync(box.run("hero_rl.verifiers.math.symbolic:compare", [["5", answer] for answer in HOSTILE]))
    assert {outcome.kind for outcome in outcomes} <= {"value", "too_hard", "memory", "crash"}
    assert not any(outcome.value == "equal" for outcome in outcomes)
    assert sum(outcome.kind == "too_hard" for outcome in outcomes) >= 5  # the list does hang math-verify


def in_this_thread(verifier: MathVerifier, rows: list[Rollout]) -> list[Verdict]:
    return verifier.verify(rows)


def in_another_thread(verifier: MathVerifier, rows: list[Rollout]) -> list[Verdict]:
    found: list[Verdict] = []
    thread = threading.Thread(target=lambda: found.extend(verifier.verify(rows)))
    thread.start()
    thread.join()
    return found


def in_an_event_loop(verifier: MathVerifier, rows: list[Rollout]) -> list[Verdict]:
    async def main() -> list[Verdict]:
        return verifier.verify(rows)

    return asyncio.run(main())


def awaited(verifier: MathVerifier, rows: list[Rollout]) -> list[Verdict]:
    return asyncio.run(verifier.averify(rows))


@pytest.mark.parametrize("call", [in_this_thread, in_another_thread, in_an_event_loop, awaited])
def test_hostile_answers_among_good_ones_from_anywhere(
    hasty: MathVerifier, call: Callable[[MathVerifier, list[Rollout]], list[Verdict]]
) -> None:
    rows: list[Rollout] = []
    for number, answer in enumerate(HOSTILE):
        rows += [boxed(f"{number}x+x", f"x+{number}x"), boxed("5", answer), boxed("5", "6")]
    started = time.monotonic()
    verdicts = call(hasty, rows)
    assert time.monotonic() - started < 120
    assert [verdict.label for verdict in verdicts[0::3]] == ["correct"] * len(HOSTILE)
    assert [verdict.label for verdict in verdicts[2::3]] == ["incorrect"] * len(HOSTILE)
    assert not any(verdict.label == "correct" for verdict in verdicts[1::3])


@pytest.mark.parametrize("answer", HOSTILE)
def test_each_hostile_answer_is_decided_soon(hasty: MathVerifier, answer: str) -> None:
    started = time.monotonic()
    (verdict,) = hasty.verify([boxed("5", answer)])
    assert time.monotonic() - started < DEADLINE_S + 60  # far more than it takes, for a busy machine
    assert verdict.label != "correct"


@examples(25)
@given(
    texts=st.lists(
        st.tuples(st.text(st.characters(codec=None), max_size=12), st.text(st.characters(codec=None), max_size=12)),
        max_size=5,
    )
)
def test_any_text_gets_one_verdict_in_order(verifier: MathVerifier, texts: list[tuple[str, str]]) -> None:
    rows = [rollout(reference, response) for reference, response in texts]
    verdicts = verifier.verify([boxed("1", "2"), *rows, boxed("1", "1")])
    assert len(verdicts) == len(rows) + 2
    assert (verdicts[0].label, verdicts[-1].label) == ("incorrect", "correct")
    assert all(verdict.reason for verdict in verdicts)


def test_repeated_pairs_are_compared_once_and_plain_ones_not_in_the_sandbox() -> None:
    with MathVerifier(workers=1) as verifier:
        verdicts = verifier.verify([boxed("x+y", "y+x")] * 10 + [boxed("5", "5")] * 10)
        stats = verifier.stats
    assert [verdict.label for verdict in verdicts] == ["correct"] * 20
    assert (stats.rollouts, stats.literal, stats.typed, stats.repeated, stats.sandbox.checks) == (20, 10, 10, 18, 0)
    assert str(stats).startswith("20 rollouts, 50% fast path, 50% typed, 18 repeated; 0 checks")


def test_it_is_a_verifier_that_pickles_and_closes(verifier: MathVerifier) -> None:
    assert isinstance(verifier, Verifier)
    assert verifier.name == "math"
    with pickle.loads(pickle.dumps(MathVerifier(policy="binary", deadline_s=3.0))) as copy:
        assert (copy.policy, copy.deadline_s) == ("binary", 3.0)
        assert copy.verify([]) == []
    copy.close()
    with pytest.raises(InputError, match="closed"):
        copy.verify([boxed("x", "y")])


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(MissingDependencyError, match=r"verifier 'math' needs .*math_verify.*\[math\]"):
        MathVerifier()


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InputError, match="strict, balanced, binary"):
        MathVerifier(policy="strictest")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="deadline_s"):
        MathVerifier(deadline_s=0)


@pytest.mark.skipif(not REAL_DATA.exists(), reason="ProcessBench is not beside this checkout (../shared/data)")
def test_real_responses_are_judged_as_their_labels_say(verifier: MathVerifier) -> None:
    rows = [json.loads(line) for line in REAL_DATA.read_text().splitlines()[::4]]
    rows = [row for row in rows if "\\boxed" in row["response"] and not row["label_suspect"]]
    verdicts = verifier.verify([rollout(row["reference"], row["response"]) for row in rows])
    spoken = [(v.value, row["correct"]) for v, row in zip(verdicts, rows, strict=True) if v.label != "abstain"]
    assert len(spoken) >= 0.8 * len(rows)
    assert sum(value == label for value, label in spoken) >= 0.99 * len(spoken)
