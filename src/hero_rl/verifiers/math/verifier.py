"""``MathVerifier``: the stages in order, the cheap ones in this process and the symbolic one in the sandbox."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import importlib.util
import threading
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from hero_rl.errors import InputError, SettingsWarning, require
from hero_rl.sandbox import Outcome, Sandbox, SandboxSettings, SandboxStats
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers.math.extract import find_answer
from hero_rl.verifiers.math.literal import literal_relation
from hero_rl.verifiers.math.policy import POLICIES, Policy, apply_policy, judge, judge_outcome

DEFAULT_DEADLINE_S = 3.0
"""Several times what the slowest comparison of real answers takes on a busy machine (measured: under 0.5 s)."""
MAX_ANSWER_CHARS = 2_000
"""A longer answer is incorrect, and a longer reference abstains, without being looked at."""
MAX_DETAIL_CHARS = 200
TESTED_ANTLR = "4.13.2"

_COMPARE = "hero_rl.verifiers.math.symbolic:compare"
_WARM_UP = "hero_rl.verifiers.math.symbolic:warm_up"


class Pair(NamedTuple):
    """A reference and the answer that was found in a response."""

    reference: str
    answer: str

    @property
    def detail(self) -> str:
        """What was compared, for the row."""
        return f"{self.answer[:MAX_DETAIL_CHARS]} | {self.reference[:MAX_DETAIL_CHARS]}"


class MathStats(NamedTuple):
    """Counts since the verifier was made; ``str()`` gives one line."""

    rollouts: int
    literal: int
    """Settled without the sandbox: no answer, no reference, or a literal comparison."""
    repeated: int
    """Settled by an identical pair of reference and answer in the same batch."""
    sandbox: SandboxStats

    def __str__(self) -> str:
        """One line for a log."""
        share = self.literal / self.rollouts if self.rollouts else 0.0
        return f"{self.rollouts} rollouts, {share:.0%} without the sandbox, {self.repeated} repeated; {self.sandbox}"


class _Plan(NamedTuple):
    settled: list[Verdict | Pair]
    """Per rollout its verdict, or the pair that the sandbox has to compare."""
    pairs: list[Pair]
    """The pairs for the sandbox, each once."""


class MathVerifier:
    r"""Compares mathematical answers: literally where that is enough, by math-verify in a killable process elsewhere.

    Args:
        policy: ``balanced`` abstains where "incorrect" would be a guess; ``binary`` never abstains: what would be an
            abstention, a failure included, is incorrect and keeps its reason.
        deadline_s: seconds of wall time that one comparison may take; past it, the verdict is an abstention with the
            reason ``timeout``, and the process is killed.
        workers: worker processes; None: one a CPU.

    Workers start at the first comparison that needs one (``warm`` starts them earlier) and end with ``close``.

    Raises:
        MissingDependencyError: math-verify is not installed.
        InputError: an option is out of range.
    """

    name = "math"

    def __init__(self, *, policy: Policy = "balanced", deadline_s: float = DEFAULT_DEADLINE_S, workers: int | None = None):
        if policy not in POLICIES:
            raise InputError(f"verifier 'math': policy={policy!r} is unknown; use one of {', '.join(POLICIES)}")
        _check_dependencies()
        self.policy: Policy = policy
        self.deadline_s = deadline_s
        self._sandbox = Sandbox(SandboxSettings(workers=workers, deadline_s=deadline_s, warm_up=(_WARM_UP,)))
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._remake = functools.partial(MathVerifier, policy=policy, deadline_s=deadline_s, workers=workers)

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """One verdict a rollout, in the order given; safe from any thread and inside a running event loop."""
        plan = self._plan(rollouts)
        return self._verdicts(plan, self._sandbox.run(_COMPARE, plan.pairs))

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """As ``verify``, without blocking the event loop."""
        plan = await asyncio.to_thread(self._plan, rollouts)
        return self._verdicts(plan, await self._sandbox.arun(_COMPARE, plan.pairs))

    def warm(self) -> None:
        """Start all workers now and wait until they are ready, so that the first call does not.

        Raises:
            SignalError: a worker did not start.
        """
        self._sandbox.warm()

    @property
    def stats(self) -> MathStats:
        """Counts so far; ``str()`` of it is one line."""
        with self._lock:
            counts = Counter(self._counts)
        return MathStats(counts["rollouts"], counts["literal"], counts["repeated"], self._sandbox.stats)

    def close(self) -> None:
        """End the workers; safe to call twice. A closed verifier cannot be used again."""
        self._sandbox.close()

    def __enter__(self) -> MathVerifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as its options: the copy starts workers of its own."""
        return self._remake, ()

    def _plan(self, rollouts: Sequence[Rollout]) -> _Plan:
        known: dict[Pair, Verdict | None] = {}
        settled: list[Verdict | Pair] = []
        for rollout in rollouts:
            pair = _pair(rollout.reference, rollout.response)
            if isinstance(pair, Pair):
                if pair not in known:
                    known[pair] = _literal(pair)
                settled.append(known[pair] or pair)
            else:
                settled.append(pair)
        pairs = [pair for pair, verdict in known.items() if verdict is None]
        waiting = sum(isinstance(one, Pair) for one in settled)
        with self._lock:
            self._counts["rollouts"] += len(settled)
            self._counts["literal"] += len(settled) - waiting
            self._counts["repeated"] += waiting - len(pairs)
        return _Plan(settled, pairs)

    def _verdicts(self, plan: _Plan, outcomes: Sequence[Outcome]) -> list[Verdict]:
        found = {pair: judge_outcome(outcome, pair.detail) for pair, outcome in zip(plan.pairs, outcomes, strict=True)}
        verdicts = [found[one] if isinstance(one, Pair) else one for one in plan.settled]
        return [apply_policy(verdict, self.policy) for verdict in verdicts]


def _pair(reference: object, response: object) -> Pair | Verdict:
    """What has to be compared, or the verdict where there is nothing to compare."""
    expected = "" if reference is None else str(reference).strip()
    if not expected:
        return judge("reference_missing")
    if len(expected) > MAX_ANSWER_CHARS:
        return judge("reference_too_long", f"{len(expected)} characters")
    answer = find_answer(response).strip() if isinstance(response, str) else ""
    if not answer:
        return judge("no_answer")
    if len(answer) > MAX_ANSWER_CHARS:
        return judge("answer_too_long", f"{len(answer)} characters")
    return Pair(expected, answer)


def _literal(pair: Pair) -> Verdict | None:
    relation = literal_relation(pair.reference, pair.answer)
    return None if relation is None else judge(relation, pair.detail)


def _check_dependencies() -> None:
    for package in ("math_verify", "antlr4"):
        if importlib.util.find_spec(package) is None:  # found, not imported: importing them takes a second
            require(package, extra="math", purpose="the verifier 'math'")
    antlr = importlib.metadata.version("antlr4-python3-runtime")
    if antlr != TESTED_ANTLR:
        warnings.warn(
            f"the verifier 'math' is tested with antlr4-python3-runtime {TESTED_ANTLR} and {antlr} is installed: "
            f"math-verify gives other verdicts with it. pip install antlr4-python3-runtime=={TESTED_ANTLR}",
            SettingsWarning,
            stacklevel=3,
        )
