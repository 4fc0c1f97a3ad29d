"""Plain data, settings, typed outcomes and counters of the sandbox."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, TypeAlias

from annotated_types import Gt, Lt

from hero_rl.errors import InputError

Plain: TypeAlias = "bool | int | float | str | Sequence[Plain] | Mapping[str, Plain] | None"
"""A value that may cross the process boundary: whatever JSON can say. A tuple arrives as a list."""

Workers: TypeAlias = Annotated[int, Gt(0)] | None
Seconds: TypeAlias = Annotated[float, Gt(0.0), Lt(math.inf)]
"""Types of settings; reward files are checked against them, too."""

Kind: TypeAlias = Literal["value", "too_hard", "memory", "timeout", "crash", "error"]

DEFAULT_DEADLINE_S = 5.0
DEFAULT_MEMORY_BYTES = 1 << 30
WALL_PER_CPU = 5.0
"""A check is killed after so many times its deadline on the wall clock: it waits for something, or got no processor."""
MAX_DEFAULT_WORKERS = 16
"""More workers than this are started only when asked for."""


class Outcome(NamedTuple):
    """The outcome of one check."""

    kind: Kind
    """``value``: the function returned. ``error``: it raised. ``timeout``: it waited, or the machine was far too busy.
    ``crash``: its process died. And two that would be so again: ``too_hard``: it used all the CPU time that it may;
    ``memory``: it asked for more than its limit."""
    value: Plain = None
    """The value that the function returned; None unless ``kind`` is ``value``."""
    detail: str = ""
    """For every other kind: what happened, for a person."""


class SandboxStats(NamedTuple):
    """Counts since the sandbox was made; ``str()`` gives one line."""

    checks: int = 0
    too_hard: int = 0
    timeouts: int = 0
    crashes: int = 0
    memory: int = 0
    errors: int = 0
    started: int = 0
    """Workers started, the first ones included."""
    respawns: int = 0
    """Workers replaced because they were lost: killed at a deadline, crashed, or out of memory."""
    recycled: int = 0
    """Workers replaced because they had done ``recycle_after`` checks."""

    def __str__(self) -> str:
        """One line for a log."""
        return (
            f"{self.checks} checks, {self.too_hard} too hard, {self.memory} out of memory, {self.timeouts} timeouts, "
            f"{self.crashes} crashes, {self.errors} errors; {self.started} workers started, {self.respawns} respawned, "
            f"{self.recycled} recycled"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """How a sandbox runs its checks."""

    workers: Workers = None
    """Worker processes. None: one per CPU that this process may use, shared among the ranks of one ``torchrun`` node, and
    at most ``MAX_DEFAULT_WORKERS``."""
    deadline_s: Seconds = DEFAULT_DEADLINE_S
    """Seconds of CPU time that a check may use, so that its outcome does not depend on what else runs; past them it is
    ``too_hard``. ``WALL_PER_CPU`` times as long on the wall clock makes it a ``timeout``. Both end the worker."""
    memory_bytes: int | None = DEFAULT_MEMORY_BYTES
    """Address space of one worker (``RLIMIT_AS``; macOS does not enforce it). None: no limit."""
    recycle_after: int = 5_000
    """Checks after which a worker is replaced by a fresh one, so that leaks and caches cannot grow for ever."""
    chunk_size: int = 16
    """Most checks sent in one message. A hang costs its own check only: the finished ones of its message are kept and
    the others are sent again."""
    warm_up: tuple[str, ...] = ()
    """Modules to import (``"package.module"``) or functions to call without arguments (``"package.module:function"``)
    once, before any deadline starts to count; the workers are forks of the process that did."""
    start_timeout_s: Seconds = 120.0
    """Seconds a worker may take to start and to warm up."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a setting is out of range.
        """
        for name in ("deadline_s", "start_timeout_s", "recycle_after", "chunk_size", "workers", "memory_bytes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name}={value!r} must be greater than 0 and finite")


def default_workers() -> int:
    """The number of workers used when none is given: CPUs that this process may use, shared among local ranks."""
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(MAX_DEFAULT_WORKERS, available_cpus() // max(1, int(ranks) if ranks.isdecimal() else 1)))


def available_cpus() -> int:
    """The number of CPUs that this process may use, where the system tells; else all that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
