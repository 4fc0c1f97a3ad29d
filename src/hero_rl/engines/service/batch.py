"""From a request's groups to arrays and rollouts, and from a rule's arrays to the answer: pure functions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hero_rl.engines.service.problems import RequestError
from hero_rl.engines.service.schemas import Group, Response, ScoreGroup, ScoreGroups
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.engines.service.store import Request
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import RuleOutput, RuleState, RunningMean, Scale, group_advantages
from hero_rl.types import Rollout, Verdict


class Batch(NamedTuple):
    """Groups that a rule sees together."""

    run_id: str
    prompt_ids: list[str | None]
    sizes: list[int]
    rollouts: list[Rollout]
    update: bool
    alone: bool
    """One group was sent by itself: the answer has its shape."""
    request: Request | None
    digest: str

    @property
    def groups_B(self) -> NDArray[np.intp]:
        """Shape (B,), the place of each response's group."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def make_batch(body: ScoreGroup | ScoreGroups, key: str | None, settings: ServiceSettings) -> Batch:
    """The batch that a request describes.

    Args:
        body: the request.
        key: the idempotency key from the request's header.
        settings: how much is allowed.

    Raises:
        RequestError: too many responses.
    """
    groups: Sequence[Group] = body.groups if isinstance(body, ScoreGroups) else [body]
    sizes = [len(group.responses) for group in groups]
    check_counts(sizes, settings)
    key = (key or body.idempotency_key) if body.update else None
    return Batch(
        run_id=body.run_id,
        prompt_ids=[group.prompt_id for group in groups],
        sizes=sizes,
        rollouts=[rollout for place, group in enumerate(groups) for rollout in rollouts_of(group, place)],
        update=body.update,
        alone=isinstance(body, ScoreGroup),
        request=Request(body.run_id, key) if key else None,
        digest=_digest(body) if key else "",
    )


def check_counts(sizes: Sequence[int], settings: ServiceSettings) -> None:
    """Nothing, where a request has no more responses than is allowed.

    Raises:
        RequestError: it has.
    """
    if max(sizes) > settings.max_group_responses:
        raise RequestError(
            "too_large", f"a group has {max(sizes)} responses; at most {settings.max_group_responses} are allowed"
        )
    if sum(sizes) > settings.max_responses:
        raise RequestError("too_large", f"{sum(sizes)} responses in one request; at most {settings.max_responses} are allowed")


def rollouts_of(group: Group, place: int = 0) -> list[Rollout]:
    """One rollout a response."""
    prompt_id = group.prompt_id or f"group {place}"
    messages = tuple({"role": turn.role, "content": turn.content} for turn in group.messages)
    rollouts: list[Rollout] = []
    for response in group.responses:
        row = Response(response=response, finished=None) if isinstance(response, str) else response
        rollouts.append(
            Rollout(
                prompt_id=prompt_id, problem=group.problem, reference=group.reference, response=row.response, messages=messages,
                finished=row.finished, steps=tuple(row.steps), extra=row.model_extra or {},
            )
        )  # fmt: skip
    return rollouts


def verdict_out(verdict: Verdict) -> dict[str, object]:
    """A verdict for an answer."""
    label = verdict.label
    return {
        "verdict": 1 if label == "correct" else 0 if label == "incorrect" else None,
        "reason": verdict.reason,
        "failed": verdict.failed,
        "learned": verdict.learned,
    }


def answer(batch: Batch, signals: Signals, shaped: RuleOutput, reward: HybridReward, scale: Scale) -> bytes:
    """The answer's JSON; ``reward`` holds the run's state after the batch."""
    advantages_B = group_advantages(shaped.rewards, batch.groups_B, scale=scale, weights_B=shaped.weights)
    columns = zip(
        map(verdict_out, signals.verdicts),
        _numbers(signals.scores),
        _numbers(shaped.rewards),
        shaped.weights.tolist(),
        advantages_B.tolist(),
        strict=True,
    )
    rows = [
        {**verdict, "rm_score": score, "reward": value, "weight": weight, "advantage": advantage}
        for verdict, score, value, weight, advantage in columns
    ]
    ends = np.cumsum(batch.sizes).tolist()
    groups: list[dict[str, object]] = [
        {"prompt_id": prompt_id, "weight": rows[end - size]["weight"], "responses": rows[end - size : end]}
        for prompt_id, size, end in zip(batch.prompt_ids, batch.sizes, ends, strict=True)
    ]
    state: Mapping[str, object] = {
        "run_id": batch.run_id,
        "rule": reward.rule.name,
        "scale": scale,
        "sigma_mean": number(shaped.sigma_mean),
        "running_mean": number(mean_so_far(reward.state)),
        "metrics": {name: value for name, value in reward.state.metrics().items() if not math.isnan(value)},
        "updates": reward.state.updates,
    }
    return json.dumps({**state, **(groups[0] if batch.alone else {"groups": groups})}, allow_nan=False).encode()


def mean_so_far(state: RuleState) -> float:
    """sigma-bar of a state that is a running mean; NaN before the first batch, and for any other state."""
    return state.value if isinstance(state, RunningMean) else math.nan


def number(value: float) -> float | None:
    """A number that JSON can say; None for NaN."""
    return None if math.isnan(value) else value


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _digest(body: ScoreGroup | ScoreGroups) -> str:
    """What a retry must have in common with the first try."""
    content = body.model_dump_json(exclude={"idempotency_key", "deadline_s"})
    return hashlib.sha256(f"{type(body).__name__} {content}".encode()).hexdigest()
