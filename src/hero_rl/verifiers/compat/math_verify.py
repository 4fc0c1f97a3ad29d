r"""The grader ``math_verify``: the library as it is, on the whole response, in a process that can be killed.

The reference goes in as ``\boxed{reference}`` and the response as it stands, with the library's default extraction and
comparison; what the library says is the verdict. Only the time-outs differ: a deadline in the sandbox in the place of SIGALRM.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hero_rl.cache import MATH_PACKAGES, code_identity
from hero_rl.sandbox import Outcome, SandboxSettings, Seconds, Workers
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers.math.antlr import check_math_verify
from hero_rl.verifiers.sandboxed import SandboxedVerifier, without_value

DEFAULT_DEADLINE_S = 3.0
MAX_RESPONSE_CHARS = 100_000

_CHECK = "hero_rl.verifiers.compat.math_verify:check"
_WARM_UP = "hero_rl.verifiers.compat.math_verify:warm_up"


class MathVerifyVerifier(SandboxedVerifier):
    """Returns the verdicts of plain math-verify; one that is too hard is an abstention, and a failed one for a crash.

    Args:
        deadline_s: seconds of CPU time for one response.
        workers: worker processes; None: one per CPU.

    Raises:
        MissingDependencyError: math-verify is not installed.
    """

    name = "math_verify"

    def __init__(self, *, deadline_s: Seconds = DEFAULT_DEADLINE_S, workers: Workers = None):
        check_math_verify("the verifier 'math_verify'", stacklevel=3)
        self._open(SandboxSettings(workers=workers, deadline_s=deadline_s, warm_up=(_WARM_UP,)))

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict."""
        code = code_identity("compat/math_verify.py", packages=MATH_PACKAGES)
        return f"math_verify(deadline_s={float(self.deadline_s)}, {code})"

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given."""
        return [_judge(outcome) for outcome in await self._sandbox.run(_CHECK, _payloads(rollouts))]


def _payloads(rollouts: Sequence[Rollout]) -> list[tuple[str, str]]:
    return [(str(rollout.reference or ""), str(rollout.response or "")[-MAX_RESPONSE_CHARS:]) for rollout in rollouts]


def _judge(outcome: Outcome) -> Verdict:
    if outcome.kind != "value":
        return without_value(outcome)
    reason = str(outcome.value)
    if reason in ("reference_missing", "reference_unreadable"):
        return Verdict("abstain", reason)
    return Verdict("correct" if reason == "equal" else "incorrect", reason)


def check(reference: str, response: str) -> str:
    """Return what the library finds; runs in a worker."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    if not reference.strip():
        return "reference_missing"
    expected = parse(f"\\boxed{{{reference}}}", [LatexExtractionConfig()], parsing_timeout=0)
    if not expected:
        return "reference_unreadable"
    given = parse(response, [LatexExtractionConfig(), ExprExtractionConfig()], parsing_timeout=0)
    if not given:
        return "no_answer"
    return "equal" if verify(expected, given, timeout_seconds=None) else "different"


def warm_up() -> None:
    """Import the library and build its tables."""
    for logger in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    check("1", r"\boxed{2}")
