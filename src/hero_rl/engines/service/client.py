"""``RewardClient``: the reward service from Python, for sync and async callers alike."""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from hero_rl.http import JSON, EndpointPool
from hero_rl.loop import run_sync
from hero_rl.types import FloatArray

Row: TypeAlias = str | Mapping[str, Any]
"""A response: its text, or an object with ``response``, optional ``finished`` and ``steps``, and columns."""
Group: TypeAlias = Mapping[str, Any]
"""A group as the service takes it: ``problem``, ``reference``, ``responses``, optional ``messages`` and ``prompt_id``."""


class GroupReward(NamedTuple):
    """What the service says of one group, one entry a response (``_G``)."""

    verdicts: FloatArray
    """1 correct, 0 incorrect, NaN where the verifier cannot tell."""
    reasons: list[str]
    rm_scores: FloatArray
    """NaN where missing."""
    rewards: FloatArray
    """NaN: leave the response out."""
    advantages: FloatArray
    """With the weight in it."""
    weight: float
    """The prompt's."""


class BatchReward(NamedTuple):
    """What the service says of a batch."""

    groups: list[GroupReward]
    sigma_mean: float
    """The sigma-bar that was used; NaN for rules without."""
    running_mean: float
    """sigma-bar after the batch; NaN for a rule whose state is no running mean."""
    updates: int
    """Batches that the run has counted."""
    metrics: dict[str, float]
    """What else the rule's state says of itself after the batch, for a log."""

    @property
    def rewards(self) -> FloatArray:
        """Of all groups, one after the other."""
        return np.concatenate([group.rewards for group in self.groups])

    @property
    def advantages(self) -> FloatArray:
        """Of all groups, one after the other."""
        return np.concatenate([group.advantages for group in self.groups])


class RewardClient:
    """One run's view of a reward service.

    Every call is one request with an idempotency key of its own, so that its retries count once. All methods may be used from
    any thread and any event loop; the client is picklable.
    """

    def __init__(
        self,
        url: str,
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
            url: of one service. A state lives in one place, so there is nothing to fail over to.
            run_id: whose state it is: one for each training run.
            token: what the service was started with.
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
        """The hybrid reward of some groups, which are one batch for the run's state.

        Args:
            groups: one mapping a prompt.
            update: False (evaluation): the state stays as it is.
            idempotency_key: to make a call count once beyond this client's own retries, say over a crash of the caller.

        Raises:
            EndpointError: no answer; ``kind`` and ``status`` say why.
        """
        return run_sync(self.ascore_groups(groups, update=update, idempotency_key=idempotency_key))

    async def ascore_groups(
        self, groups: Sequence[Group], *, update: bool = True, idempotency_key: str | None = None
    ) -> BatchReward:
        """As ``score_groups``, without blocking the event loop."""
        return _batch(await self._pool.post("/v1/score_groups", self._payload(groups, update, idempotency_key)))

    def score_group(
        self, problem: str, reference: str, responses: Sequence[Row], *, messages: Sequence[Mapping[str, str]] = (),
        update: bool = True, idempotency_key: str | None = None,
    ) -> GroupReward:  # fmt: skip
        """The hybrid reward of one group, which is a batch of its own for the run's state.

        Raises:
            EndpointError: no answer; ``kind`` and ``status`` say why.
        """
        group = make_group(problem, reference, responses, messages=messages)
        return self.score_groups([group], update=update, idempotency_key=idempotency_key).groups[0]

    async def ascore_group(
        self, problem: str, reference: str, responses: Sequence[Row], *, messages: Sequence[Mapping[str, str]] = (),
        update: bool = True, idempotency_key: str | None = None,
    ) -> GroupReward:  # fmt: skip
        """As ``score_group``, without blocking the event loop."""
        group = make_group(problem, reference, responses, messages=messages)
        return (await self.ascore_groups([group], update=update, idempotency_key=idempotency_key)).groups[0]

    def health(self) -> dict[str, Any]:
        """What the service is.

        Raises:
            EndpointError: it is not there, or is stopping.
        """
        return cast("dict[str, Any]", run_sync(self._pool.get("/healthz")))

    def state(self) -> dict[str, Any]:
        """The run's state, to be kept beside a checkpoint.

        Raises:
            EndpointError: no such run, or no answer.
        """
        return cast("dict[str, Any]", run_sync(self._pool.get(self._run_path)))["state"]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's state.

        Raises:
            EndpointError: a state of another rule, or no answer.
        """
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

    def _payload(self, groups: Sequence[Group], update: bool, key: str | None) -> dict[str, object]:
        return {
            "run_id": self.run_id,
            "groups": [dict(group) for group in groups],
            "update": update,
            "idempotency_key": key or uuid.uuid4().hex,
            "deadline_s": min(self.timeout_s, 3600.0),
        }


def make_group(
    problem: str, reference: str, responses: Sequence[Row], *, messages: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """A group as the service takes it."""
    group: dict[str, Any] = {
        "problem": problem,
        "reference": reference,
        "responses": [row if isinstance(row, str) else dict(row) for row in responses],
    }
    return {**group, "messages": [dict(turn) for turn in messages]} if messages else group


def _batch(answer: JSON) -> BatchReward:
    fields = cast("dict[str, Any]", answer)
    return BatchReward(
        groups=[_group(group) for group in fields["groups"]],
        sigma_mean=_number(fields["sigma_mean"]),
        running_mean=_number(fields["running_mean"]),
        updates=fields["updates"],
        metrics=fields["metrics"],
    )


def _group(group: Mapping[str, Any]) -> GroupReward:
    rows = group["responses"]
    return GroupReward(
        verdicts=_column(rows, "verdict"),
        reasons=[row["reason"] for row in rows],
        rm_scores=_column(rows, "rm_score"),
        rewards=_column(rows, "reward"),
        advantages=_column(rows, "advantage"),
        weight=float(group["weight"]),
    )


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> FloatArray:
    return np.array([_number(row[name]) for row in rows], dtype=np.float64)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
