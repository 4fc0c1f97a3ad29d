"""The graders ``hendrycks`` and ``math_verify``: the semantics of others, quirks included."""

from __future__ import annotations

import time

import pytest

from hero_rl.errors import InputError
from hero_rl.parts import make_verifier
from hero_rl.types import Rollout, Verifier
from hero_rl.verifiers import HendrycksVerifier, MathVerifyVerifier
from hero_rl.verifiers.compat.hendrycks import last_box, normalize


def rollout(reference: str, response: str) -> Rollout:
    return Rollout(prompt_id="p", problem="", reference=reference, response=response)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\frac12", r"\frac{1}{2}"),
        (r"\frac1{23}", r"\frac{1}{23}"),
        ("1/2", r"\frac{1}{2}"),
        ("a/b", "a/b"),
        ("0.5", r"\frac{1}{2}"),
        (".5", r"\frac{1}{2}"),
        ("x = 7", "7"),
        ("sum = 7", "sum=7"),
        (r"\sqrt3", r"\sqrt{3}"),
        (r"90^\circ", "90"),
        (r"12\text{ cm}", "12"),
        (r"\$8", "8"),
        (r"40\%", "40"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        ("10,\\! 000", "10,000"),
        ("", ""),
    ],
)
def test_hendrycks_normal_forms(text: str, normal: str) -> None:
    assert normalize(text) == normal


@pytest.mark.parametrize(
    ("response", "content"),
    [
        (r"\boxed{1} then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\fbox{3}", "3"),
        (r"so $\boxed 7$ it is", "7"),
        (r"\boxed{unclosed", None),
        ("no box", None),
    ],
)
def test_hendrycks_takes_the_last_box(response: str, content: str | None) -> None:
    assert last_box(response) == content


@pytest.mark.parametrize(
    ("reference", "response", "label", "reason"),
    [
        (r"\frac{1}{2}", r"\boxed{1/2}", "correct", "equal"),
        ("x+1", r"\boxed{1+x}", "incorrect", "different"),
        ("2", r"\boxed{2.0}", "incorrect", "different"),
        ("2", "The answer is 2.", "incorrect", "no_answer"),
        ("", r"\boxed{2}", "abstain", "reference_missing"),
        (r"\frac", r"\boxed{\frac}", "correct", "equal"),
    ],
)
def test_hendrycks_verdicts(reference: str, response: str, label: str, reason: str) -> None:
    with HendrycksVerifier() as verifier:
        (verdict,) = verifier.verify([rollout(reference, response)])
    assert (verdict.label, verdict.reason) == (label, reason)


def test_math_verify_says_what_the_library_says_and_can_be_killed() -> None:
    pytest.importorskip("math_verify", reason="the grader 'math_verify' needs the extra 'math'")
    rows = [
        rollout("x+1", r"\boxed{1+x}"),
        rollout("2", r"So \boxed{3}."),
        rollout("2", "Nothing to see."),
        rollout("5", r"\boxed{9^{9^{9^{9}}}}"),
        rollout("y=2x", r"\boxed{2x}"),
        rollout("", r"\boxed{1}"),
        rollout("7", r"\boxed{7}"),
    ]
    with MathVerifyVerifier(deadline_s=2.0, workers=1) as verifier:
        assert isinstance(verifier, Verifier)
        verifier.warm()
        started = time.monotonic()
        verdicts = verifier.verify(rows)
        assert time.monotonic() - started < 60
    assert [verdict.label for verdict in verdicts] == [
        *("correct", "incorrect", "incorrect", "abstain", "correct", "abstain", "correct"),
    ]
    assert (verdicts[3].reason, verdicts[3].failed) == ("too_hard", False)
    with pytest.raises(InputError, match="deadline_s"):
        MathVerifyVerifier(deadline_s=0)


def test_both_are_known_by_name_and_refuse_settings_that_they_do_not_have() -> None:
    assert make_verifier("hendrycks").name == "hendrycks"  # type: ignore[union-attr]
    pytest.importorskip("math_verify", reason="the grader 'math_verify' needs the extra 'math'")
    made = make_verifier("math_verify", {"deadline_s": 1.0})
    assert made is not None
    assert made.name == "math_verify"
    made.close()
    for name in ("hendrycks", "math_verify"):
        with pytest.raises(InputError, match="has no setting 'policy'"):
            make_verifier(name, {"policy": "binary"})
