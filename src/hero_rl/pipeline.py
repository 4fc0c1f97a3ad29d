"""HybridReward: a verifier, a reward model and a rule, with the rule's state.

    rollouts --measure--> Signals        verifier and reward model side by side
             --batch----> Batch          pure arithmetic; the state moves

``batch`` takes rollouts or Signals. Engines with several processes measure their own rollouts and gather the signals, so that
every process makes the same Batch of whole groups and ends with the same state.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError, SettingsWarning, SignalError, UnhealthyError, check_choice
from hero_rl.loop import run_sync, together
from hero_rl.measures.failures import Failures, too_many_failures
from hero_rl.measures.health import JUDGED_ROWS, SIGNS, Health
from hero_rl.notebook import groups_html
from hero_rl.rewards import (
    RewardRule,
    RuleState,
    Scale,
    as_rule,
    batch_summary,
    check_weights,
    group_advantages,
    number_groups,
)
from hero_rl.rewards.groups import Groups
from hero_rl.rewards.reliability import Reliability
from hero_rl.rewards.scale import ScaleEstimate
from hero_rl.types import (
    LEARNED_YES,
    VERDICT_VALUES,
    BoolArray,
    FloatArray,
    IntArray,
    Rollout,
    Scorer,
    Verdict,
    Verifier,
    ascore_with_steps,
    one_each,
)

OnUnhealthy: TypeAlias = Literal["warn", "stop"]
"""The reaction to a finding of ``hero_rl.measures.health``."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Signals(NamedTuple):
    """The two raw signals of some rollouts, in their order."""

    verdicts: FloatArray
    """Shape (B,): 1, 0, NaN for an abstention, ``LEARNED_YES`` for a learned "correct"."""
    scores: FloatArray
    """Shape (B,); NaN where missing, or where there is no reward model."""
    failed: BoolArray
    """Shape (B,): the verifier broke."""
    reasons: tuple[str, ...] = ()
    """The verifier's code for each verdict; () where unknown."""
    learned: BoolArray | None = None
    """Shape (B,): a model gave the verdict, yes or no; None where unknown."""
    step_scores: tuple[FloatArray, ...] | None = None
    """One array per rollout where the reward model judges steps; else None."""
    chars: FloatArray | None = None
    """Shape (B,), characters of the responses; None where unknown."""
    trouble: str = ""
    """The error of the first failed verdict, for people; "": none."""

    @classmethod
    def plain(cls, verdicts: FloatArray, scores: FloatArray) -> Signals:
        """Return signals without reasons, of which none failed."""
        return cls(verdicts, scores, np.zeros(verdicts.shape, dtype=np.bool_))

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], scores: FloatArray, step_scores: tuple[FloatArray, ...] | None = None) -> Signals:
        """Return the arrays of some verdicts, with the scores of the same rollouts."""
        labels, reasons, failed, details, by_model, _ = zip(*verdicts, strict=True) if verdicts else ((),) * 6
        values = np.array([VERDICT_VALUES[label] for label in labels], dtype=np.float64)
        learned = _flags(by_model)
        values[learned & (values == 1.0)] = LEARNED_YES
        trouble = next((detail for detail, broke in zip(details, failed, strict=True) if broke and detail), "")
        return cls(values, scores, _flags(failed), reasons, learned, step_scores, trouble=trouble)


class Batch(NamedTuple):
    """Whole groups with their signals, rewards, weights and advantages: for every engine to train with and to log."""

    signals: Signals
    groups: IntArray
    """Shape (B,), the number of each response's prompt."""
    rewards: FloatArray
    """Shape (B,); NaN: left out of its group."""
    weights: FloatArray
    """Shape (B,), of the prompts; the advantages include them."""
    advantages: FloatArray
    """Shape (B,), weights included; 0 where there is nothing to compare with."""
    sigma_mean: float
    """The sigma-bar that was used; NaN for rules without weighting."""
    state: RuleState
    """The rule's after this batch; in evaluation the one before it."""
    failure_rate: float
    """Share of the rows with a failed verifier or a missing score."""
    health: Health = Health()
    """The run's last batches, this one included; empty in evaluation."""
    scale: ScaleEstimate = ScaleEstimate(Reliability())
    """Of the advantages of the run's batches and this one: signal per unit of true reward."""

    @property
    def summary(self) -> dict[str, float]:
        """The numbers to log: ``batch_summary``, the rule's, ``scale_estimate``, failures, ``health/...``; NaN: unknown."""
        verdicts, scores = self.signals[:2]
        numbers = batch_summary(verdicts, scores, self.groups, self.advantages, self.weights)
        health = {f"health/{name}": value for name, value in self.health.measures().items()}
        own = {"sigma_mean": self.sigma_mean, **self.state.metrics(), "scale_estimate": self.scale.value}
        return {**numbers, **own, "failure_rate": self.failure_rate, **health}

    def _repr_html_(self) -> str:
        numbers = {"score": self.signals.scores, "reward": self.rewards, "weight": self.weights, "advantage": self.advantages}
        return groups_html(self.groups, self.signals.verdicts, self.signals.reasons, numbers)


def assemble(
    rule: RewardRule,
    signals: Signals,
    groups: ArrayLike | Groups,
    state: RuleState,
    *,
    scale: Scale | None = None,
    eps: float = 1e-4,
    failure_rate: float = 0.0,
) -> Batch:
    """Apply ``rule`` to whole groups. Pure; arguments as in ``HybridReward.batch``, which moves the state."""
    numbered = number_groups(groups)
    rewards, weights, sigma_mean, after = rule.apply(signals.verdicts, signals.scores, numbered, state)
    advantages = group_advantages(rewards, numbered, scale=scale or rule.scale, weights_B=weights, eps=eps)
    return Batch(signals, numbered.index_B, rewards, weights, advantages, sigma_mean, after, failure_rate)


class HybridReward:
    """The reward of HERO, or of any other rule, for whole groups of rollouts.

    >>> from hero_rl.rewards import hero
    >>> from hero_rl.scorers import ColumnScorer
    >>> from hero_rl.verifiers import ExactVerifier
    >>> reward = HybridReward(ExactVerifier(), ColumnScorer("rm_score"), hero(alpha=0.1, beta=0.1))
    >>> row = dict(prompt_id="p", problem="1+1", reference="2")
    >>> group = [Rollout(**row, response="2", extra={"rm_score": 1.5}), Rollout(**row, response="3", extra={"rm_score": 0.5}),
    ...          Rollout(**row, response="two", extra={"rm_score": 1.0})]
    >>> batch = reward.batch(group)
    >>> batch.rewards.round(3).tolist(), batch.advantages.round(2).tolist()
    ([0.9, -0.1, 0.1], [1.02, -0.68, -0.34])
    """

    def __init__(
        self,
        verifier: Verifier | Callable[..., Any] | None,
        scorer: Scorer | Callable[..., Any] | None,
        rule: RewardRule | Callable[..., Any],
        *,
        max_failure_rate: float = 0.1,
        on_unhealthy: OnUnhealthy = "warn",
    ) -> None:
        """Put the three together.

        Args:
            verifier: a verifier, or a function (``as_verifier``); None where the rule needs none.
            scorer: a reward model, or a function (``as_scorer``); None where the rule needs none.
            rule: from ``hero_rl.rewards``, or a function (``as_rule``).
            max_failure_rate: a batch raises if a larger share of the run's last rows *failed* (verifier broke, score missing),
                so that no model is trained on a dead endpoint. They are the batch's, and earlier ones up to ``WINDOW_ROWS``; a
                single group never raises, unless this is 0. An evaluation is judged by its own rows.
            on_unhealthy: what happens where scores or lengths show that something broke (no spread, a jump of level or scale,
                clipping, missing scores, short responses): ``"warn"`` logs each kind once, ``"stop"`` raises.

        Raises:
            InputError: the rule needs a signal that is not given.
        """
        rule = as_rule(rule)
        if not (verifier is None or isinstance(verifier, Verifier)):
            from hero_rl.verifiers.function import as_verifier  # here: `import hero_rl` loads no verifier

            verifier = as_verifier(verifier)
        if not (scorer is None or isinstance(scorer, Scorer)):
            from hero_rl.scorers.function import as_scorer

            scorer = as_scorer(scorer)
        if verifier is None and rule.needs_verdicts:
            raise InputError(f"the rule {rule.name!r} needs verdicts and verifier is None; give a verifier")
        if scorer is None and rule.needs_scores:
            raise InputError(f"the rule {rule.name!r} needs reward-model scores and scorer is None; give a scorer")
        if not 0.0 <= max_failure_rate <= 1.0:
            raise InputError(f"max_failure_rate={max_failure_rate:g} must lie in [0, 1]")
        check_choice("on_unhealthy", on_unhealthy, get_args(OnUnhealthy))
        self.verifier, self.scorer, self.rule, self.max_failure_rate = verifier, scorer, rule, max_failure_rate
        self.state: RuleState = rule.init()
        self.on_unhealthy: OnUnhealthy = on_unhealthy
        self.health, self.recent = Health(), Failures()
        self.scale = ScaleEstimate.of(rule)
        """To be replaced before training where the verifier's recall is known: ``ScaleEstimate.of(rule, recall=0.4)``."""
        self.run_id = ""
        """For warnings, where a process has several runs."""
        self._seconds: dict[str, float] = {}
        self._warned = False  # about weights
        self._reported: set[str] = set()  # findings about health
        self._unjudged = 0
        self._lock = threading.Lock()

    def measure(self, rollouts: Sequence[Rollout]) -> Signals:
        """Return the raw signals; verifier and reward model work side by side, unless it is ``by_score``. The state stays."""
        return run_sync(self.ameasure(rollouts))

    async def ameasure(self, rollouts: Sequence[Rollout]) -> Signals:
        """Return what ``measure`` does, without blocking the event loop.

        Raises:
            InputError: verifier or reward model gave more or fewer results than rollouts.
        """
        verifier, scored = self.verifier, self._timed("reward_model", ascore_with_steps(self.scorer, rollouts))
        if verifier is not None and verifier.by_score:
            scores_B, steps = await scored
            verdicts = await self._timed("verifier", verifier.averify_scored(rollouts, scores_B))
        else:
            verdicts, (scores_B, steps) = await together(self._timed("verifier", self._averify(rollouts)), scored)
        if verifier is not None:
            one_each(verifier.name, verdicts, rollouts)
        chars_B = np.array([len(rollout.response) for rollout in rollouts], dtype=np.float64)
        return Signals.of(verdicts, scores_B, steps)._replace(chars=chars_B)

    def failures(self, signals: Signals) -> BoolArray:
        """Return which rows have a failed verifier or a missing score, shape (B,)."""
        return signals.failed | np.isnan(signals.scores) if self.scorer is not None else signals.failed

    def check_failures(self, signals: Signals) -> None:
        """Raise ``SignalError`` for too many failures in rows that belong to no group."""
        failures = self.failures(signals)
        if too_many_failures(int(failures.sum()), failures.size, self.max_failure_rate):
            raise self._too_many(int(failures.sum()), failures.size, failures.size, signals.trouble)

    def _too_many(self, failed: int, rows: int, of: int, trouble: str) -> SignalError:
        names = " and ".join(part.name for part in (self.verifier, self.scorer) if part is not None)
        return SignalError(
            f"{failed} of the last {rows} rows failed in {names}; at most {self.max_failure_rate:.0%} of {of} may "
            f"(max_failure_rate). {f'The first error: {trouble}' if trouble else 'Is an endpoint down, or does a process die?'}"
        )

    def batch(
        self,
        rollouts: Sequence[Rollout] | Signals,
        groups: ArrayLike | None = None,
        *,
        scale: Scale | None = None,
        eps: float = 1e-4,
        update: bool = True,
    ) -> Batch:
        """Return rewards, weights and advantages of whole groups; the state moves on.

        Concurrent calls, from tasks or threads, update the state in the order in which their signals are complete.

        Args:
            rollouts: rollouts to judge, or their signals; every group complete, in any order.
            groups: one label per response, text or whole numbers; None: the rollouts' ``prompt_id``.
            scale: normalisation of the advantages; None: the rule's own.
            eps: added to the standard deviation that ``scale`` divides by: 1e-4 as TRL, 1e-6 as verl and slime.
            update: False (evaluation): the state stays as it is.

        Raises:
            SignalError: too many failures, or with ``on_unhealthy="stop"`` a finding; the state is then unchanged.
            InputError: signals without groups.
        """
        signals = rollouts if isinstance(rollouts, Signals) else self.measure(rollouts)
        if groups is None:
            if isinstance(rollouts, Signals):
                raise InputError("signals do not say which prompt they belong to; give groups, one label per response")
            groups = [rollout.prompt_id for rollout in rollouts]
        numbered = number_groups(groups)
        with self._lock:  # or two threads would both start from the same state, and one batch would be lost
            failed_B = self.failures(signals)
            rate = float(failed_B.mean()) if failed_B.size else 0.0
            made = assemble(self.rule, signals, numbered, self.state, scale=scale, eps=eps, failure_rate=rate)
            following = self.scale.after(signals.verdicts, signals.scores, numbered, made.advantages)
            made = made._replace(scale=following)
            recent = (self.recent if update else Failures()).after(failed_B, numbered)
            if failed_B.any() and (counts := recent.too_many(self.max_failure_rate)):
                raise self._too_many(*counts, signals.trouble)
            if not update:
                return made._replace(state=self.state)
            health = self.health.after(signals.scores if self.scorer is not None else None, numbered, signals.chars)
            self._unjudged += signals.verdicts.size
            if self._unjudged >= JUDGED_ROWS or self.on_unhealthy == "stop":
                self._report(health)
                self._unjudged = 0
            self.state, self.health, self.recent, self.scale = made.state, health, recent, following
            problem = None if self._warned else check_weights(self.rule, made.weights)
            self._warned = self._warned or problem is not None
        if problem:
            warnings.warn(problem, SettingsWarning, stacklevel=2)
        return made._replace(health=health)

    def _report(self, health: Health) -> None:
        """Log each finding once; raise ``UnhealthyError`` where it is to stop the run."""
        for name, evidence in health.findings().items():
            if self.on_unhealthy == "stop":
                raise UnhealthyError(f"{SIGNS[name]}: {evidence} on_unhealthy = 'warn' goes on")
            if name not in self._reported:
                self._reported.add(name)
                run = f"run {self.run_id}: " if self.run_id else ""
                logger.warning("hero-rl: %s%s: %s (health/%s; said once)", run, SIGNS[name], evidence, name)

    async def _averify(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        if self.verifier is None:
            return [Verdict("abstain", "no_verifier")] * len(rollouts)
        return await self.verifier.averify(rollouts)

    async def _timed(self, part: str, work: Awaitable[T]) -> T:
        start = time.perf_counter()
        found = await work
        self._seconds[part] = self._seconds.get(part, 0.0) + time.perf_counter() - start
        return found

    def take_metrics(self) -> dict[str, float]:
        """Return what verifier and reward model counted, and their seconds, since the last call, by names for a log."""
        parts = {"verifier": self.verifier, "reward_model": self.scorer}
        found = {f"time/{name}": self._seconds.pop(name) for name in [*self._seconds] if parts[name] is not None}
        for part in (self.verifier, self.scorer):
            found |= part.take_metrics() if part is not None else {}
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values, with the rule it belongs to."""
        kept = {"state": self.state.state_dict(), "health": self.health.state_dict(), "scale": self.scale.state_dict()}
        return {"version": 2, "rule": self.rule.name, **kept, "failures": [list(group) for group in self.recent.groups]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state saved by ``state_dict`` (exact).

        Raises:
            InputError: of another version, of another rule, or of settings that are part of its state.
        """
        if state.get("version") != 2:
            raise InputError(
                f"this state is of version {state.get('version')!r}, and only version 2 can be continued; resume with "
                "the release of hero-rl that the run was started with"
            )
        inner = state.get("state")
        if state.get("rule") != self.rule.name or not isinstance(inner, Mapping):
            raise InputError(
                f"this state is of rule {state.get('rule')!r} and cannot continue rule {self.rule.name!r}; resume with the "
                "rule that the run was started with"
            )
        health = Health() if state.get("health") is None else Health.restore(state["health"])  # earlier releases have none
        recent = Failures.restore(state.get("failures") or [])
        scale = self.scale if state.get("scale") is None else self.scale.restore(state["scale"])
        self.state, self.health, self.recent, self.scale = self.rule.restore(inner), health, recent, scale

    def close(self) -> None:
        """Stop worker processes and connections of verifier and reward model; safe to call twice."""
        try:
            if self.verifier is not None:
                self.verifier.close()
        finally:
            if self.scorer is not None:
                self.scorer.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the lock, which cannot cross to another process."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Add a new lock."""
        self.__dict__.update(state, _lock=threading.Lock())

    def __enter__(self) -> HybridReward:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _flags(values: Sequence[bool]) -> BoolArray:
    return np.array(values, dtype=np.bool_) if any(values) else np.zeros(len(values), dtype=np.bool_)
