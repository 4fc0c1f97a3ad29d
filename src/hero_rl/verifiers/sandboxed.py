"""The base class of verifiers that run in worker processes."""

from __future__ import annotations

import functools
from typing import Any

from hero_rl.sandbox import Outcome, Sandbox, SandboxSettings
from hero_rl.types import Verdict, Verifier


class SandboxedVerifier(Verifier):
    """A verifier with a sandbox of its own. It is pickled as its options: the copy starts workers of its own."""

    def _open(self, sandbox: SandboxSettings, *arguments: Any, **options: Any) -> None:
        """Make the sandbox; the other arguments are those of the constructor that ``sandbox`` does not hold."""
        self.deadline_s = sandbox.deadline_s
        self._sandbox = Sandbox(sandbox)
        options |= {"deadline_s": sandbox.deadline_s, "workers": sandbox.workers}
        self._remake = functools.partial(type(self), *arguments, **options)

    def warm(self) -> None:
        """Start all workers now and wait until they are ready.

        Raises:
            SignalError: a worker did not start.
        """
        self._sandbox.warm()

    def close(self) -> None:
        """End the workers; safe to call twice. A closed verifier cannot be used again."""
        self._sandbox.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Return what remakes it."""
        return self._remake, ()


def without_value(outcome: Outcome) -> Verdict:
    """Return the abstention for a check that gave no value: ``too_hard`` where it would be so again, else a failure."""
    if outcome.kind in ("too_hard", "memory"):
        return Verdict("abstain", "too_hard", detail=outcome.detail)
    return Verdict("abstain", outcome.kind, failed=True, detail=outcome.detail)
