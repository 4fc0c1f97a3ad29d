"""The verifiers ``exact`` and ``column:NAME``, and how a boxed answer is found."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers import ColumnVerifier, ExactVerifier
from hero_rl.verifiers.boxes import MAX_RESPONSE_CHARS, last_boxed

any_text = st.text(st.characters(codec=None), max_size=60)  # lone surrogates included
balanced = st.recursive(
    st.text(st.characters(exclude_characters="{}\\", codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner.map(lambda text: "{" + text + "}"), max_size=3).map("".join),
    max_leaves=8,
)


def rollout(reference: object, response: object, **extra: object) -> Rollout:
    return Rollout(prompt_id="p7", problem="", reference=reference, response=response, extra=extra)  # type: ignore[arg-type]


def exact(reference: object, response: object) -> Verdict:
    (verdict,) = ExactVerifier().verify([rollout(reference, response)])
    return verdict


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{1} then \boxed{ 2 }", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{x\right.}", r"\left\{x\right."),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\fbox{5}", "5"),
        (r"\boxed {5}", "5"),
        (r"\boxed{5} and \boxed{6", "5"),
        (r"\boxed{a \boxed{5}", "5"),
        (r"}}{ \boxed{5}", "5"),
        (r"\boxed{}", ""),
        (r"\boxed{5", None),
        (r"\boxed 5", None),
        (r"\unboxed{5}", None),
        ("no box", None),
        ("", None),
    ],
)
def test_the_last_complete_box_is_found(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


@given(before=any_text, content=balanced)
def test_whatever_a_last_box_holds_comes_back(before: str, content: str) -> None:
    assert last_boxed(before.replace("\\", "") + "\\boxed{" + content + "}") == content.strip()


@pytest.mark.parametrize("text", ["\\boxed{" * 100_000, "{" * 500_000, "\\boxed{" * 60_000 + "}" * 60_000, "\\" * 500_000])
def test_finding_a_box_takes_linear_time(text: str) -> None:
    started = time.process_time()
    last_boxed(text)
    assert time.process_time() - started < 20  # a tenth of a second; were it quadratic, an hour


@pytest.mark.parametrize(
    ("reference", "response", "label", "reason"),
    [
        ("42", "42", "correct", "equal"),
        ("42", " 42\n", "correct", "equal"),
        ("a  b", "a\tb", "correct", "equal"),
        ("42", r"First \boxed{41}, no: \boxed{42}.", "correct", "equal"),
        (r"\boxed{42}", "42", "correct", "equal"),
        ("42", "The answer is 42", "incorrect", "different"),
        ("42", r"42 but \boxed{43}", "incorrect", "different"),
        ("42", "42.0", "incorrect", "different"),
        ("42", "", "incorrect", "no_answer"),
        ("42", r"\boxed{ }", "incorrect", "no_answer"),
        ("42", None, "incorrect", "no_answer"),
        ("", "42", "abstain", "reference_missing"),
        (None, "42", "abstain", "reference_missing"),
        (42, "42", "correct", "equal"),
        ("x" * (MAX_RESPONSE_CHARS + 1), "42", "abstain", "reference_too_long"),
        ("42", "x" * (2 * MAX_RESPONSE_CHARS) + r"\boxed{42}", "correct", "equal"),
    ],
)
def test_exact_compares_the_answers_text(reference: object, response: object, label: str, reason: str) -> None:
    verdict = exact(reference, response)
    assert (verdict.label, verdict.reason, verdict.failed) == (label, reason, False)


@given(text=any_text)
def test_exact_accepts_every_reference_as_its_own_answer(text: str) -> None:
    verdict = exact(text, text)
    assert verdict.label == ("correct" if verdict.reason == "equal" else "abstain")
    if text.strip() and "\\" not in text:
        assert verdict.label == "correct"


@given(reference=any_text, response=any_text)
def test_exact_is_binary_given_a_reference_and_ignores_white_space_at_the_ends(reference: str, response: str) -> None:
    verdict = exact(reference, response)
    assert exact(reference, f" \n{response}\t ") == verdict
    if reference.strip() and "\\" not in reference:
        assert verdict.label != "abstain"


@pytest.mark.parametrize(
    ("value", "label", "reason"),
    [
        (1, "correct", "label"),
        (True, "correct", "label"),
        (1.0, "correct", "label"),
        (np.int64(1), "correct", "label"),
        (np.bool_(True), "correct", "label"),
        (0, "incorrect", "label"),
        (False, "incorrect", "label"),
        (np.float64(0.0), "incorrect", "label"),
        (None, "abstain", "no_label"),
        (float("nan"), "abstain", "no_label"),
    ],
)
def test_column_reads_labels(value: object, label: str, reason: str) -> None:
    (verdict,) = ColumnVerifier("good").verify([rollout("", "", good=value)])
    assert (verdict.label, verdict.reason, verdict.failed) == (label, reason, False)


@given(value=st.one_of(st.text(), st.integers(), st.floats(), st.lists(st.integers()), st.just({}), st.binary()))
def test_column_refuses_everything_else_and_names_value_and_row(value: object) -> None:
    is_label = isinstance(value, (int, float)) and (value in (0, 1) or value != value)
    verifier = ColumnVerifier("good")
    if is_label:
        verifier.verify([rollout("", "", good=value)])
    else:
        with pytest.raises(InputError, match="'p7'") as caught:
            verifier.verify([rollout("", "", good=value)])
        assert repr(value)[:50] in str(caught.value)


def test_column_names_a_missing_column_and_what_there_is() -> None:
    with pytest.raises(InputError, match=r"'p7' has no column 'good'; its extra columns: bad, rm_score"):
        ColumnVerifier("good").verify([rollout("", "", rm_score=1.0, bad=0)])
    with pytest.raises(InputError, match="column:NAME"):
        ColumnVerifier("")
