"""``MathVerifier``: the stages in order, the cheap ones in this process and the symbolic one in the sandbox."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from hero_rl.cache import MATH_PACKAGES, code_identity
from hero_rl.errors import InputError
from hero_rl.loop import in_thread, run_sync
from hero_rl.sandbox import Outcome, SandboxSettings, SandboxStats, Seconds, Workers
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers.math.antlr import check_math_verify
from hero_rl.verifiers.math.extract import FoundAnswer
from hero_rl.verifiers.math.fields import COLUMNS, read_fields
from hero_rl.verifiers.math.findings import POLICIES, Policy, judge, judge_failure
from hero_rl.verifiers.math.problem import read_problem
from hero_rl.verifiers.math.reference import check_reference
from hero_rl.verifiers.math.stages import ForSympy, Pair, Stage, compare_pair, find_pair, pair_of, settle
from hero_rl.verifiers.sandboxed import SandboxedVerifier

DEFAULT_DEADLINE_S = 3.0
"""Several times what the slowest symbolic comparison of real answers takes (measured on a busy machine: under 0.5 s)."""

_COMPARE = "hero_rl.verifiers.math.symbolic:compare"
_WARM_UP = "hero_rl.verifiers.math.symbolic:warm_up"


class MathStats(NamedTuple):
    """Counts since the verifier was made; ``str()`` gives one line."""

    rollouts: int
    literal: int
    """Settled by the fast path: no answer, no reference, or a literal comparison."""
    typed: int
    """Settled by the typed comparison in this process."""
    repeated: int
    """Rollouts whose pair of reference and answer had been seen before in the same batch; counted above as well."""
    sandbox: SandboxStats

    def __str__(self) -> str:
        """One line for a log."""
        fast = self.literal / self.rollouts if self.rollouts else 0.0
        typed = self.typed / self.rollouts if self.rollouts else 0.0
        return f"{self.rollouts} rollouts, {fast:.0%} fast path, {typed:.0%} typed, {self.repeated} repeated; {self.sandbox}"


class MathVerifier(SandboxedVerifier):
    r"""Compares mathematical answers: by rules of its own where they suffice, by math-verify in a killable process elsewhere.

    Args:
        policy: ``strict`` abstains wherever a generous reading was needed; ``balanced`` abstains where "incorrect" would be a
            guess; ``binary`` never abstains: what would be an abstention, a failure included, is incorrect and keeps its
            reason.
        deadline_s: seconds of CPU time that one symbolic comparison may take; past it, the verdict is an abstention with the
            reason ``too_hard``, which is remembered, and the process is ended.
        workers: worker processes; None: one per CPU.
        use_problem: whether the problem text may decide: rounding asked for, order, a factored form, choices.

    Workers start at the first comparison that needs one (``warm`` starts them earlier) and end with ``close``.

    Raises:
        MissingDependencyError: math-verify is not installed.
        InputError: an option is out of range.
    """

    name = "math"
    columns = COLUMNS

    def __init__(
        self,
        *,
        policy: Policy = "balanced",
        deadline_s: Seconds = DEFAULT_DEADLINE_S,
        workers: Workers = None,
        use_problem: bool = True,
    ):
        if policy not in POLICIES:
            raise InputError(f"verifier 'math': policy={policy!r} is unknown; use one of {', '.join(POLICIES)}")
        check_math_verify("the verifier 'math'", stacklevel=3)
        self.policy: Policy = policy
        self.use_problem = use_problem
        sandbox = SandboxSettings(workers=workers, deadline_s=deadline_s, warm_up=(_WARM_UP,))
        self._open(sandbox, policy=policy, use_problem=use_problem)
        self._closed = False
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict; the number of workers does not."""
        options = f"policy={self.policy}, deadline_s={float(self.deadline_s)}, use_problem={bool(self.use_problem)}"
        return f"math({options}, {code_identity('math', 'boxes.py', 'latex.py', packages=MATH_PACKAGES)})"

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given; where no worker is needed, this thread does all of it."""
        return self._settled(self._stages(rollouts), self.policy)

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given."""
        stages = await in_thread(self._stages, rollouts)
        waiting = _waiting(stages)
        return _verdicts(stages, waiting, await self._sandbox.run(_COMPARE, waiting), self.policy)

    def compare(self, reference: str, answer: str, problem: str = "") -> Verdict:
        """Compare an answer, not a whole response, with a reference."""
        pair = pair_of(reference, FoundAnswer(answer, "whole"), problem=problem)
        return self._settled([pair if isinstance(pair, Stage) else compare_pair(pair)], self.policy)[0]

    def verify_reference(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout on its *reference* alone: ``correct`` where an equal answer would be found equal.

        A reference that abstains cannot be verified, whatever the response: words, an expression that nothing here can
        read or evaluate. Responses are ignored. The policy is ignored: a data set is split by abstentions.
        """
        stages = [check_reference(rollout.reference, read_problem(self._problem(rollout))) for rollout in rollouts]
        verdicts = self._settled(stages, "balanced")
        return [one._replace(label="abstain", reason="undecided") if one.label == "incorrect" else one for one in verdicts]

    def warm(self) -> None:
        """Start all workers now and load what the typed comparison needs, so that the first call need not.

        Raises:
            SignalError: a worker did not start.
        """
        for reference, answer in ((r"\sqrt{2}", "1.41"), (r"5\text{ cm}", r"50\text{ mm}"), ("x+1", "1+x")):
            compare_pair(Pair(reference, answer))
        super().warm()

    @property
    def stats(self) -> MathStats:
        """Counts so far; ``str()`` of it is one line."""
        with self._lock:
            counts = Counter(self._counts)
        return MathStats(counts["rollouts"], counts["literal"], counts["typed"], counts["repeated"], self._sandbox.stats)

    def close(self) -> None:
        """End the workers; safe to call twice. A closed verifier cannot be used again."""
        self._closed = True
        super().close()

    def _settled(self, stages: Sequence[Stage], policy: Policy) -> list[Verdict]:
        waiting = _waiting(stages)
        outcomes = run_sync(self._sandbox.run(_COMPARE, waiting)) if waiting else []
        return _verdicts(stages, waiting, outcomes, policy)

    def _problem(self, rollout: Rollout) -> str:
        return rollout.problem if self.use_problem and isinstance(rollout.problem, str) else ""

    def _stages(self, rollouts: Sequence[Rollout]) -> list[Stage]:
        if self._closed:
            raise InputError("this verifier is closed: make a new one")
        known: dict[Pair, Stage] = {}
        counts = {"rollouts": len(rollouts), "extraction": 0, "literal": 0, "typed": 0, "repeated": 0}
        stages: list[Stage] = []
        for rollout in rollouts:
            found = find_pair(rollout.reference, rollout.response, self._problem(rollout), read_fields(rollout.extra))
            counts["repeated"] += found in known
            stage = found if isinstance(found, Stage) else known.get(found) or known.setdefault(found, compare_pair(found))
            counts[stage.name] += not stage.wants_sympy
            stages.append(stage)
        counts["literal"] += counts.pop("extraction", 0)
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count
        return stages


def compare(reference: str, answer: str, problem: str = "", *, policy: Policy = "balanced") -> Verdict:
    r"""Compare an answer with a reference answer, without a rollout around them.

    Args:
        reference: the right answer, as data sets write it: LaTeX or text, boxed or not, with the solution before it or not.
        answer: the answer itself, such as the content of a box; not a whole response.
        problem: the text of the question, which decides about units, order, letters, rounding and options; "": not known.
        policy: as for ``MathVerifier``.

    Returns:
        The verdict, with a reason and the two normal forms that were compared. Only a comparison that needs sympy starts a
        worker process, one for the whole program; it ends with the program.

    Raises:
        InputError: the policy is unknown.
        MissingDependencyError: math-verify is not installed.

    >>> compare(r"\frac{1}{2}", "0.5").label, compare("5", "x = x").label, compare("5 cm", "50 mm").reason
    ('correct', 'incorrect', 'equal_converted')
    """
    return _shared(policy).compare(reference, answer, problem)


@functools.cache
def _shared(policy: Policy) -> MathVerifier:
    return MathVerifier(policy=policy, workers=1)


def _waiting(stages: Sequence[Stage]) -> list[ForSympy]:
    return list(dict.fromkeys(pair for stage in stages if (pair := stage.for_sympy) is not None))


def _verdicts(
    stages: Sequence[Stage], waiting: Sequence[ForSympy], outcomes: Sequence[Outcome], policy: Policy
) -> list[Verdict]:
    found: dict[ForSympy | None, Outcome] = dict(zip(waiting, outcomes, strict=True))
    return [_judge(stage, found.get(stage.for_sympy), policy) for stage in stages]


def _judge(stage: Stage, outcome: Outcome | None, policy: Policy) -> Verdict:
    finding = stage.finding if outcome is None else settle(stage, outcome)
    if outcome is not None and finding is None:
        return judge_failure(outcome, policy, stage.detail)
    return judge(finding or stage.finding, policy, stage.detail)._replace(failed=stage.failed)
