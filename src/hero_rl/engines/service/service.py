"""The work behind the endpoints: one verifier and reward model for all, one state per run, each request counted once.

States move in one thread, one request after the other. In one transaction, in which no other replica can move the run, the
stored state is read, the rule is applied, and the new state is stored with the answer. A request whose deadline passes or whose
client leaves before that point has no effect; after it, a retry with the same key gets the stored answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from prometheus_client.core import GaugeMetricFamily

from hero_rl import __version__
from hero_rl.engines.service import batch as batches
from hero_rl.engines.service.batch import Asked
from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.metrics import Metrics, labelled
from hero_rl.engines.service.queue import Queue
from hero_rl.engines.service.rollouts import RolloutFolder
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.engines.service.store import Found, RequestKey, StateStore
from hero_rl.errors import InputError, SignalError, TooHardError, UnhealthyError, clip
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.sandbox.budget import cpu_budget
from hero_rl.types import Rollout, Verdict

T = TypeVar("T")
_Answer: TypeAlias = tuple[bytes, bool]
"""An answer, and whether it was given before."""

_NO_RUN = ""
RUNS_IN_MEMORY = 1000
RUNS_SHOWN = 100
"""Runs whose state is among the metrics: the ones that changed last."""
_logger = logging.getLogger(__name__)


class _Job:
    """One batch under way, with all who wait for it: several if a retry overtook the first try."""

    def __init__(self, digest: str, request: RequestKey | None):
        self.digest, self.request = digest, request
        self.waiters = 0
        self.committing = False
        self.task: asyncio.Task[_Answer]


class RewardService:
    """Scores groups, keeps states; made and used inside one event loop."""

    def __init__(
        self,
        reward: HybridReward,
        store: StateStore,
        settings: ServiceSettings,
        *,
        description: Mapping[str, Any] | None = None,
        rollouts: Path | None = None,
    ):
        """Take the parts over; ``close`` closes them.

        Args:
            reward: verifier, reward model and rule; its own state is not used.
            store: keeps the states.
            settings: limits.
            description: the reward as a reward file has it, for clients that ask (``RewardConfig.resolved``).
            rollouts: folder in which a few rollouts of each batch are kept; None: none.
        """
        self.reward, self.store, self.settings, self.description = reward, store, settings, description
        self.queue = Queue(settings.max_running, settings.max_queued)
        self.metrics = Metrics(self._gauges)
        self.draining = False
        self._kept = RolloutFolder(rollouts) if rollouts is not None else None
        self._runs: OrderedDict[str, HybridReward] = OrderedDict()
        self._texts: dict[str, str] = {}
        """Of the runs in memory: the stored text of the state that they have."""
        self._jobs: dict[RequestKey, _Job] = {}
        self._all: set[_Job] = set()
        self._seen: dict[str, tuple[int, float]] = {}
        """Of the runs in memory: requests scored, and when the last one was."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hero-state")

    async def score(self, asked: Asked, deadline: float) -> _Answer:
        """Return the answer, due at ``deadline`` on the event loop's clock, and whether it was given before.

        A RequestError leaves the state unchanged.
        """
        job = self._jobs.get(asked.request) if asked.request else None
        if job:
            _check_digest(asked, job.digest)
        body, before = await self._wait(job or self._start(asked), deadline)
        if job or before:
            self.metrics.replays.inc()
        return body, before or job is not None

    async def verify(self, rollouts: Sequence[Rollout], deadline: float) -> list[Verdict]:
        """Return one verdict per rollout, failures included; raises RequestError without a verifier, time or room."""
        verifier = self.reward.verifier
        if verifier is None:
            raise RequestError("bad_input", "this service has no verifier")
        verdicts = await self._within(deadline, verifier.averify, rollouts)
        self.metrics.count_verdicts((one.value for one in verdicts), (one.failed for one in verdicts))
        return verdicts

    async def measure(self, rollouts: Sequence[Rollout], deadline: float) -> Signals:
        """Return both raw signals of rollouts that belong to no group; raises as ``verify``, or for many failures."""
        signals = await self._within(deadline, self.reward.ameasure, rollouts)
        self._count(signals)
        with _typed_errors():
            self.reward.check_failures(signals)
        return signals

    async def _within(
        self, deadline: float, work: Callable[[Sequence[Rollout]], Awaitable[T]], rollouts: Sequence[Rollout]
    ) -> T:
        try:
            async with asyncio.timeout_at(deadline), self.queue.slot(_NO_RUN):
                return await self._bounded(work, rollouts)
        except TimeoutError:
            raise _too_late() from None

    async def _bounded(self, work: Callable[[Sequence[Rollout]], Awaitable[T]], rollouts: Sequence[Rollout]) -> T:
        limits = self.settings
        with _typed_errors(), cpu_budget(limits.max_verify_s + limits.max_verify_row_s * len(rollouts)):
            return await work(rollouts)

    async def run_state(self, run_id: str) -> dict[str, Any]:
        """Return the run's state; raises RequestError if there is no such run."""
        found = await self._in_thread(partial(self.store.find, run_id))
        if found.state is None:
            raise RequestError("not_found", f"no run {run_id!r}")
        return json.loads(found.state)

    async def list_runs(self, most: int) -> list[dict[str, Any]]:
        """Return what is known of the runs that changed last."""
        found: list[dict[str, Any]] = []
        for run_id, state, updated in await self._in_thread(partial(self.store.recent, most)):
            requests, seen = self._seen.get(run_id, (0, 0.0))
            found.append(
                {
                    "run_id": run_id, "rule": state["rule"], "updates": state["state"].get("updates"), "requests": requests,
                    "last_seen": datetime.fromtimestamp(max(seen, updated), UTC),
                }
            )  # fmt: skip
        return found

    async def put_run(self, run_id: str, state: dict[str, Any]) -> None:
        """Continue the run from ``state``; kept answers are forgotten. Raises RequestError if it is no state of this rule."""

        def put() -> None:
            reward = self._new(run_id)
            _load(reward, state)
            with self.store.turn(run_id):
                self._check_room(self.store.find(run_id).state)
                self.store.forget_answers(run_id)
                self._texts[run_id] = self.store.save(run_id, reward.state_dict())
                self._runs[run_id] = reward
                self.store.count()

        await self._in_thread(put)

    async def delete_run(self, run_id: str) -> None:
        """Forget the run; raises RequestError if there is no such run."""

        def delete() -> None:
            with self.store.turn(run_id):
                self.store.delete(run_id)
                self.store.count()
            self._runs.pop(run_id, None)
            self._seen.pop(run_id, None)
            self._texts.pop(run_id, None)

        await self.run_state(run_id)
        await self._in_thread(delete)

    def describe(self) -> dict[str, object]:
        """Return the answer to `/healthz`."""
        verifier, scorer = self.reward.verifier, self.reward.scorer
        return {
            "status": "draining" if self.draining else "ok",
            "version": __version__,
            "rule": self.reward.rule.name,
            "settings": dict(self.reward.rule.settings),
            "scale": self.reward.rule.scale,
            "verifier": verifier.name if verifier else None,
            "reward_model": scorer.name if scorer else None,
            "reward": self.description,
            "running": self.queue.running,
            "queued": self.queue.queued,
            "runs": self.store.runs,
        }

    async def close(self) -> None:
        """Cancel what still runs, and close everything."""
        self.draining = True
        jobs = list(self._all)
        for job in jobs:
            if not job.committing:
                job.task.cancel()
        await asyncio.gather(*(job.task for job in jobs), return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)
        if self._kept is not None:
            await asyncio.to_thread(self._kept.close)
        try:
            await asyncio.to_thread(self.reward.close)
        finally:
            self.store.close()

    def _start(self, asked: Asked) -> _Job:
        job = _Job(asked.digest, asked.request)
        job.task = asyncio.create_task(self._work(job, asked))
        self._all.add(job)
        if asked.request:
            self._jobs[asked.request] = job
        job.task.add_done_callback(partial(self._finished, job))
        return job

    def _finished(self, job: _Job, task: asyncio.Task[_Answer]) -> None:
        self._all.discard(job)
        self._forget(job)
        if not task.cancelled():
            task.exception()  # or asyncio complains about errors that nobody has waited for

    def _forget(self, job: _Job) -> None:
        if job.request and self._jobs.get(job.request) is job:
            del self._jobs[job.request]

    async def _wait(self, job: _Job, deadline: float) -> _Answer:
        job.waiters += 1
        try:
            remaining_s = deadline - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait({job.task}, timeout=max(0.0, remaining_s))
            if not done and not job.committing:
                raise _too_late()
            try:
                return await asyncio.shield(job.task)
            except asyncio.CancelledError:
                if job.task.cancelled():
                    raise RequestError("draining", "the service is stopping") from None
                raise
        finally:
            job.waiters -= 1
            if not job.waiters and not job.committing and not job.task.done():
                job.task.cancel()
                self._forget(job)  # at once: a retry must not join what is being given up

    async def _work(self, job: _Job, asked: Asked) -> _Answer:
        if asked.request:  # nothing is judged twice
            found = await self._in_thread(partial(self.store.find, asked.run_id, asked.request))
            if found.digest is not None:
                return _kept(asked, found), True
        async with self.queue.slot(asked.run_id):
            signals = await self._bounded(self.reward.ameasure, asked.rollouts)
            self._count(signals)
            job.committing = True
            return await self._in_thread(partial(self._commit, asked, signals))

    def _count(self, signals: Signals) -> None:
        if self.reward.verifier is not None:
            self.metrics.count_verdicts(signals.verdicts.tolist(), signals.failed.tolist())
        if self.reward.scorer is not None:
            self.metrics.missing_scores.inc(float(np.isnan(signals.scores).sum()))

    def _commit(self, asked: Asked, signals: Signals) -> _Answer:
        """Apply the rule to the stored state, and store what comes of it; in the state's thread."""
        run_id = asked.run_id
        with self.store.turn(run_id) if asked.update else nullcontext():
            found = self.store.find(run_id, asked.request)
            if found.digest is not None:  # a replica was faster
                return _kept(asked, found), True
            reward = self._run(run_id, found.state)
            with _typed_errors():
                batch = reward.batch(signals, asked.groups_B, update=asked.update)
            body = batches.answer(asked, batch, reward.rule.name, reward.rule.scale)
            text = found.state or ""
            if asked.update:
                text = self.store.save(run_id, reward.state_dict(), request=asked.request, digest=asked.digest, body=body)
                if found.state is None:
                    self.store.count()
            self._texts[run_id] = text
        if self._kept is not None and asked.update:
            self._kept.keep(run_id, asked.rollouts, batch)
        return body, False

    def _run(self, run_id: str, text: str | None) -> HybridReward:
        """Return the run with the state in the stored ``text``; in the state's thread."""
        known = self._texts.pop(run_id, None)  # back when all went well
        self._check_room(text)
        if text is None or run_id not in self._runs:
            self._runs[run_id] = self._new(run_id)
        if text is not None and text != known:  # a replica moved it, or this process is new
            _load(self._runs[run_id], json.loads(text))
        self._runs.move_to_end(run_id)
        self._seen[run_id] = self._seen.get(run_id, (0, 0.0))[0] + 1, time.time()
        while len(self._runs) > RUNS_IN_MEMORY:
            gone, _ = self._runs.popitem(last=False)
            self._texts.pop(gone, None)
            self._seen.pop(gone, None)
        return self._runs[run_id]

    def _check_room(self, state: str | None) -> None:
        """Raise if a run without a stored state would be one too many."""
        if state is None and self.store.count() >= self.settings.max_runs:
            kept = f"{self.store.runs} runs are kept; DELETE /v1/runs/RUN_ID those that have ended"
            raise RequestError("too_many_runs", kept)

    def _new(self, run_id: str) -> HybridReward:
        ours = self.reward
        rate, reaction = ours.max_failure_rate, ours.on_unhealthy
        reward = HybridReward(ours.verifier, ours.scorer, ours.rule, max_failure_rate=rate, on_unhealthy=reaction)
        reward.run_id = run_id
        return reward

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _gauges(self) -> Iterable[GaugeMetricFamily]:
        yield GaugeMetricFamily("hero_queue_depth", "Requests that wait for their turn.", self.queue.queued)
        yield GaugeMetricFamily("hero_running", "Requests that are worked on.", self.queue.running)
        yield GaugeMetricFamily("hero_runs", "Runs whose state is kept.", self.store.runs)
        recent = {run_id: found for run_id, one in list(self._runs.items())[-RUNS_SHOWN:] if (found := _numbers(run_id, one))}
        yield labelled(
            "hero_running_mean", "sigma-bar of the runs used last.", ("run_id",),
            (((run_id,), one.running_mean) for run_id, one in recent.items()),
        )  # fmt: skip
        yield labelled(
            "hero_rule_state", "What the rule's state of the runs used last says of itself.", ("run_id", "name"),
            (((run_id, name), value) for run_id, one in recent.items() for name, value in one.state.items()),
        )  # fmt: skip
        yield labelled(
            "hero_health", "Scores and lengths of the runs used last against their earlier batches.", ("run_id", "name"),
            (((run_id, name), value) for run_id, one in recent.items() for name, value in one.health.items()),
        )  # fmt: skip


class _Numbers(NamedTuple):
    running_mean: float
    state: dict[str, float]
    health: dict[str, float]


def _numbers(run_id: str, reward: HybridReward) -> _Numbers | None:
    try:
        return _Numbers(batches.mean_so_far(reward.state), reward.state.metrics(), reward.health.measures())
    except Exception as error:  # noqa: BLE001  # the other runs' metrics are worth more
        _logger.warning("/metrics leaves out the run %s: %s: %s", clip(run_id), type(error).__name__, error)
        return None


def _load(reward: HybridReward, state: dict[str, Any]) -> None:
    try:
        reward.load_state_dict(state)
    except InputError as error:
        raise RequestError("state_mismatch", str(error)) from error


def _kept(asked: Asked, found: Found) -> bytes:
    """Return the kept answer; raises RequestError if it is another request's."""
    _check_digest(asked, found.digest)
    return found.body


def _check_digest(asked: Asked, digest: str | None) -> None:
    if asked.request and digest != asked.digest:
        raise RequestError(
            "key_reused", f"the idempotency key {asked.request.key!r} came before with another request; use a new one"
        )


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Turn errors of verifier, reward model and rule into answers."""
    try:
        yield
    except InputError as error:
        raise RequestError("bad_input", str(error)) from error
    except SignalError as error:
        kinds = {UnhealthyError: "unhealthy", TooHardError: "too_hard"}
        raise RequestError(kinds.get(type(error), "too_many_failures"), str(error)) from error


def _too_late() -> RequestError:
    return RequestError("deadline", "the deadline passed before the work was done; the state is unchanged")
