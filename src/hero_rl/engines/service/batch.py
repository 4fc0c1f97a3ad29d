"""From a request's groups to rollouts, and from a rule's arrays to the answer: pure functions."""

from __future__ import annotations

import hashlib
import json
import marshal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.schemas import Group, Response, ScoreGroup, ScoreGroups
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.engines.service.store import RequestKey
from hero_rl.pipeline import Batch, Signals
from hero_rl.rewards import RuleState, RunningMean, Scale
from hero_rl.types import Rollout, Verdict, json_number

_NOT_IN_DIGEST = frozenset({"idempotency_key", "deadline_s", "groups", "responses", "messages"})
"""Fields that a retry may change, and those that are hashed by themselves."""


class Asked(NamedTuple):
    """Groups that the rule gets as one batch."""

    run_id: str
    prompt_ids: list[str | None]
    sizes: list[int]
    rollouts: list[Rollout]
    update: bool
    alone: bool
    """For `/v1/score_group`: the answer has one group's shape."""
    request: RequestKey | None
    digest: str

    @property
    def groups_B(self) -> NDArray[np.intp]:
        """Shape (B,), the number of each response's group."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def read_request(body: ScoreGroup | ScoreGroups, key: str | None, settings: ServiceSettings) -> Asked:
    """Read a request whose header has the idempotency key ``key``; raises RequestError if it has too many responses."""
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
        request=RequestKey(body.run_id, key) if key else None,
        digest=_digest(body, groups) if key else "",
    )


def check_counts(sizes: Sequence[int], settings: ServiceSettings) -> None:
    """Raise RequestError if a request has more responses than is allowed."""
    if max(sizes) > settings.max_group_responses:
        raise RequestError(
            "too_large", f"a group has {max(sizes)} responses; at most {settings.max_group_responses} are allowed"
        )
    if sum(sizes) > settings.max_responses:
        raise RequestError("too_large", f"{sum(sizes)} responses in one request; at most {settings.max_responses} are allowed")


def rollouts_of(group: Group, place: int = 0) -> list[Rollout]:
    """Return one rollout per response."""
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
    """Return a verdict for an answer."""
    return {**_verdict(verdict.value, verdict.reason, verdict.failed, verdict.learned), "detail": verdict.detail}


def signal_rows(signals: Signals) -> list[dict[str, object]]:
    """Return verdict and score of each response for an answer."""
    assert signals.learned is not None
    verdicts = map(_verdict, signals.verdicts.tolist(), signals.reasons, signals.failed.tolist(), signals.learned.tolist())
    rows = list(verdicts)
    for row, score in zip(rows, signals.scores.tolist(), strict=True):
        row["rm_score"] = json_number(score)
    return rows


def _verdict(value: float, reason: str, failed: bool, learned: bool) -> dict[str, object]:
    verdict = None if math.isnan(value) else int(value > 0.0)
    return {"verdict": verdict, "reason": reason, "failed": failed, "learned": learned}


def answer(asked: Asked, batch: Batch, rule: str, scale: Scale) -> bytes:
    """Return the answer's JSON; ``rule`` is its name."""
    numbers = (values.tolist() for values in (batch.rewards, batch.weights, batch.advantages))
    rows = signal_rows(batch.signals)
    for row, reward, weight, advantage in zip(rows, *numbers, strict=True):
        row["reward"], row["reward_components"] = json_number(reward), components(row["verdict"], reward)
        row["weight"], row["advantage"] = weight, advantage
    ends = np.cumsum(asked.sizes).tolist()
    groups: list[dict[str, object]] = [
        {"prompt_id": prompt_id, "weight": rows[end - size]["weight"], "responses": rows[end - size : end]}
        for prompt_id, size, end in zip(asked.prompt_ids, asked.sizes, ends, strict=True)
    ]
    state: Mapping[str, object] = {
        "run_id": asked.run_id,
        "rule": rule,
        "scale": scale,
        "sigma_mean": json_number(batch.sigma_mean),
        "running_mean": json_number(mean_so_far(batch.state)),
        "metrics": {name: value for name, value in batch.state.metrics().items() if not math.isnan(value)},
        "updates": batch.state.updates,
    }
    return json.dumps({**state, **(groups[0] if asked.alone else {"groups": groups})}, allow_nan=False).encode()


def components(verdict: object, reward: float) -> dict[str, float] | None:
    """Return two numbers whose sum is the reward; None for a response that is left out.

    >>> components(1, 0.75)
    {'verifier': 1.0, 'reward_model': -0.25}
    """
    own = float(verdict == 1)
    return None if math.isnan(reward) else {"verifier": own, "reward_model": reward - own}


def mean_so_far(state: RuleState) -> float:
    """Return sigma-bar of a state that is a running mean; NaN before the first batch, and for any other state."""
    return state.value if isinstance(state, RunningMean) else math.nan


def _digest(body: ScoreGroup | ScoreGroups, groups: Sequence[Group]) -> str:
    """Return a hash of all that a retry must have in common with the first try.

    Each model's own fields are a piece, and so is each text.
    """
    parts: list[BaseModel | str] = [body]
    for group in groups:
        parts += (group, *group.messages, *group.responses)
    own = (part if isinstance(part, str) else (_own_fields(part), part.model_extra) for part in parts)
    return hash_parts(own, type(body).__name__.encode())


def _own_fields(model: BaseModel) -> dict[str, Any]:
    return {name: value for name, value in vars(model).items() if name not in _NOT_IN_DIGEST}


def hash_parts(parts: Iterable[Any], start: bytes = b"") -> str:
    """Return a hash of ``start`` and of plain values.

    By marshal and piece by piece: json takes four times as long, and pydantic leaves each text's UTF-8 in memory.
    """
    digest = hashlib.sha256(start)
    for part in parts:
        digest.update(marshal.dumps(part, 0))  # a version without references, which depend on what else holds a text
    return digest.hexdigest()
