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
from hero_rl.pipeline import Batch, Signals
from hero_rl.rewards import RuleState, RunningMean, Scale
from hero_rl.types import Rollout, Verdict


class Asked(NamedTuple):
    """Groups that a rule shall see together."""

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


def read_request(body: ScoreGroup | ScoreGroups, key: str | None, settings: ServiceSettings) -> Asked:
    """What a request asks for.

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
    return Asked(
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
    return _verdict(verdict.value, verdict.reason, verdict.failed, verdict.learned)


def verdicts_out(signals: Signals) -> list[dict[str, object]]:
    """The verdicts for an answer."""
    assert signals.learned is not None
    columns = (signals.verdicts.tolist(), signals.reasons, signals.failed.tolist(), signals.learned.tolist())
    return [_verdict(*row) for row in zip(*columns, strict=True)]


def _verdict(value: float, reason: str, failed: bool, learned: bool) -> dict[str, object]:
    verdict = None if math.isnan(value) else int(value > 0.0)
    return {"verdict": verdict, "reason": reason, "failed": failed, "learned": learned}


def answer(asked: Asked, batch: Batch, rule: str, scale: Scale) -> bytes:
    """The answer's JSON; ``rule`` by its name."""
    columns = zip(
        verdicts_out(batch.signals),
        _numbers(batch.signals.scores),
        _numbers(batch.rewards),
        batch.weights.tolist(),
        batch.advantages.tolist(),
        strict=True,
    )
    rows = [
        {**verdict, "rm_score": score, "reward": value, "weight": weight, "advantage": advantage}
        for verdict, score, value, weight, advantage in columns
    ]
    ends = np.cumsum(asked.sizes).tolist()
    groups: list[dict[str, object]] = [
        {"prompt_id": prompt_id, "weight": rows[end - size]["weight"], "responses": rows[end - size : end]}
        for prompt_id, size, end in zip(asked.prompt_ids, asked.sizes, ends, strict=True)
    ]
    state: Mapping[str, object] = {
        "run_id": asked.run_id,
        "rule": rule,
        "scale": scale,
        "sigma_mean": number(batch.sigma_mean),
        "running_mean": number(mean_so_far(batch.state)),
        "metrics": {name: value for name, value in batch.state.metrics().items() if not math.isnan(value)},
        "updates": batch.state.updates,
    }
    return json.dumps({**state, **(groups[0] if asked.alone else {"groups": groups})}, allow_nan=False).encode()


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
