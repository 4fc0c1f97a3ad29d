"""``RewardClient``: the reward service from Python, for sync and async callers alike."""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from hero_rl.http import EndpointPool
from hero_rl.loop import run_sync
from hero_rl.types import FloatArray

Row: TypeAlias = str | Mapping[str, Any]
"""A response: its text, or an object with ``response``, optionally ``finished`` and ``steps``, and columns."""
Group: TypeAlias = Mapping[str, Any]
"""``problem``, ``reference`` and ``responses``, optionally ``messages`` and ``prompt_id``."""


class GroupReward(NamedTuple):
    """The rewards of one group, shape (G,)."""

    verdicts: FloatArray
    """1 correct, 0 incorrect, NaN for an abstention."""
    reasons: list[str]
    rm_scores: FloatArray
    """NaN where missing."""
    rewards: FloatArray
    """NaN: leave the response out of its group."""
    advantages: FloatArray
    """The weight is in them."""
    weight: float
    """The prompt's."""


class BatchReward(NamedTuple):
    """The rewards of a batch."""

    groups: list[GroupReward]
    sigma_mean: float
    """The sigma-bar that was used; NaN for rules without one."""
    running_mean: float
    """sigma-bar after the batch; NaN if the rule's state is no running mean."""
    updates: int
    """Batches that the run has counted."""
    metrics: dict[str, float]
    """Other values of the rule's state after the batch, for a log."""

    @property
    def rewards(self) -> FloatArray:
        """Of all groups, in order."""
        return np.concatenate([group.rewards for group in self.groups])

    @property
    def advantages(self) -> FloatArray:
        """Of all groups, in order."""
        return np.concatenate([group.advantages for group in self.groups])


class RewardClient:
    """A client of a reward service for one run.

    Every call has an idempotency key of its own, so that its retries count once. All methods may be used from any thread and
    any event loop; the client is picklable.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        run_id: str = "default",
        token: str | None = None,
        timeout_s: float = 300.0,
        total_timeout_s: float = 900.0,
        attempts: int = 4,
        concurrency: int = 32,
    ):
        """Check the settings; nothing is sent yet.

        Args:
            url: of the service, or of its replicas, which share their states in one database.
            run_id: names the state: one per training run.
            token: the service's token.
            timeout_s: of one try. The service is told, and drops what it cannot do in time.
            total_timeout_s: of all tries of one call.
            attempts: most tries of one call.
            concurrency: most requests under way at once.

        Raises:
            InputError: no address, or a setting out of range.
            MissingDependencyError: the HTTP library is not installed.
        """
        self.run_id, self.timeout_s = run_id, timeout_s
        self._pool = EndpointPool(
            url, api_key=token, concurrency=concurrency, timeout_s=timeout_s, total_timeout_s=total_timeout_s, attempts=attempts
        )

    def score_groups(self, groups: Sequence[Group], *, update: bool = True, idempotency_key: str | None = None) -> BatchReward:
        """Return the hybrid reward of some groups, which are one batch for the run's state.

        Args:
            groups: one per prompt.
            update: False (evaluation): the state stays as it is.
            idempotency_key: makes a call count once beyond this client's own retries, say over a crash of the caller.

        Raises:
            EndpointError: no answer; ``kind`` and ``status`` say why.
        """
        return run_sync(self.ascore_groups(groups, update=update, idempotency_key=idempotency_key))

    async def ascore_groups(
        self, groups: Sequence[Group], *, update: bool = True, idempotency_key: str | None = None
    ) -> BatchReward:
        """Return what ``score_groups`` does without blocking the event loop."""
        payload = {
            "run_id": self.run_id, "groups": [dict(group) for group in groups], "update": update,
            "idempotency_key": idempotency_key or uuid.uuid4().hex, "deadline_s": min(self.timeout_s, 3600.0),
        }  # fmt: skip
        return _batch(cast("dict[str, Any]", await self._pool.post("/v1/score_groups", payload)))

    def score_group(
        self, problem: str, reference: str, responses: Sequence[Row], *, messages: Sequence[Mapping[str, str]] = (),
        update: bool = True, idempotency_key: str | None = None,
    ) -> GroupReward:  # fmt: skip
        """Return the hybrid reward of one group, which is a batch of its own; raises as ``score_groups``."""
        group = make_group(problem, reference, responses, messages=messages)
        return self.score_groups([group], update=update, idempotency_key=idempotency_key).groups[0]

    async def ascore_group(
        self, problem: str, reference: str, responses: Sequence[Row], *, messages: Sequence[Mapping[str, str]] = (),
        update: bool = True, idempotency_key: str | None = None,
    ) -> GroupReward:  # fmt: skip
        """Return what ``score_group`` does without blocking the event loop."""
        group = make_group(problem, reference, responses, messages=messages)
        return (await self.ascore_groups([group], update=update, idempotency_key=idempotency_key)).groups[0]

    def health(self) -> dict[str, Any]:
        """Return the service's description of itself; raises EndpointError if it is not there or is stopping."""
        return cast("dict[str, Any]", run_sync(self._pool.get("/healthz")))

    def state(self) -> dict[str, Any]:
        """Return the run's state, to be kept beside a checkpoint; raises EndpointError if there is none."""
        return cast("dict[str, Any]", run_sync(self._pool.get(self._run_path)))["state"]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's state; raises EndpointError if it belongs to another rule."""
        run_sync(self._pool.post(self._run_path, {"state": dict(state)}))

    def close(self) -> None:
        """Close the connections; safe to call twice, and a later call opens them again."""
        self._pool.close()

    def __enter__(self) -> RewardClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _run_path(self) -> str:
        return f"/v1/runs/{urllib.parse.quote(self.run_id, safe='')}"


def make_group(
    problem: str, reference: str, responses: Sequence[Row], *, messages: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Return a group as the service takes it."""
    rows = [row if isinstance(row, str) else dict(row) for row in responses]
    group: dict[str, Any] = {"problem": problem, "reference": reference, "responses": rows}
    return {**group, "messages": [dict(turn) for turn in messages]} if messages else group


def _batch(answer: Mapping[str, Any]) -> BatchReward:
    sigma_mean, running_mean = _numbers([answer["sigma_mean"], answer["running_mean"]]).tolist()
    groups = [_group(group) for group in answer["groups"]]
    return BatchReward(groups, sigma_mean, running_mean, answer["updates"], answer["metrics"])


def _group(group: Mapping[str, Any]) -> GroupReward:
    rows = group["responses"]
    verdicts, scores, rewards, advantages = (
        _numbers([row[name] for row in rows]) for name in ("verdict", "rm_score", "reward", "advantage")
    )
    return GroupReward(verdicts, [row["reason"] for row in rows], scores, rewards, advantages, float(group["weight"]))


def _numbers(values: Sequence[float | None]) -> FloatArray:
    return np.array(values, dtype=np.float64)  # None becomes NaN
