"""A limit on the CPU time of all checks that one piece of work makes, in whatever sandbox.

What goes over it is refused as a whole. It changes no verdict: an abstention for want of budget would make the verdict on one
row depend on the other rows of its request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hero_rl.errors import TooHardError

_current: ContextVar[CpuBudget | None] = ContextVar("hero_cpu_budget", default=None)


class CpuBudget:
    """CPU time that is left of a limit."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s, self.left_s = limit_s, limit_s

    def error(self) -> TooHardError:
        """Return the error of what goes over it."""
        return TooHardError(
            f"verification took more than {self.limit_s:g} s of CPU time, the most for one request of this size; send fewer "
            "responses at once, or try again: answers that were too hard are known now and cost nothing"
        )


@contextmanager
def cpu_budget(limit_s: float) -> Iterator[None]:
    """Let all checks of the block use ``limit_s`` seconds of CPU time together; past them, they raise ``TooHardError``."""
    token = _current.set(CpuBudget(limit_s))
    try:
        yield
    finally:
        _current.reset(token)


def current_budget() -> CpuBudget | None:
    """Return the budget of the block that this code is called in, from whatever thread or loop; None: no limit."""
    return _current.get()
