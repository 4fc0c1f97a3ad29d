"""The verifier ``exact``: the answer is the reference, character for character, up to white space."""

from __future__ import annotations

from hero_rl.cache import code_identity
from hero_rl.types import Rollout, RowVerifier, Verdict
from hero_rl.verifiers.boxes import MAX_RESPONSE_CHARS, last_boxed

MAX_DETAIL_CHARS = 200


class ExactVerifier(RowVerifier):
    r"""Correct where the response's answer equals the reference's, after runs of white space became one space.

    The answer of a text is the content of its last ``\boxed{...}``, or the whole text where there is none. The same is
    done to the reference. An empty answer is incorrect (``no_answer``), an empty reference abstains
    (``reference_missing``).
    """

    name = "exact"

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict."""
        return f"exact({code_identity('exact.py', 'boxes.py')})"

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout."""
        return _judge(rollout.reference, rollout.response)


def _judge(reference: object, response: object) -> Verdict:
    if isinstance(reference, str) and len(reference) > MAX_RESPONSE_CHARS:
        return Verdict("abstain", "reference_too_long", detail=f"{len(reference)} characters")
    expected = _answer(reference)
    if not expected:
        return Verdict("abstain", "reference_missing")
    answer = _answer(response)
    if not answer:
        return Verdict("incorrect", "no_answer")
    detail = f"{answer[:MAX_DETAIL_CHARS]} | {expected[:MAX_DETAIL_CHARS]}"
    return (
        Verdict("correct", "equal", detail=detail) if answer == expected else Verdict("incorrect", "different", detail=detail)
    )


def _answer(text: object) -> str:
    if not isinstance(text, str):
        return "" if text is None else str(text)[:MAX_RESPONSE_CHARS]
    boxed = last_boxed(text)
    return " ".join((text[-MAX_RESPONSE_CHARS:] if boxed is None else boxed).split())
