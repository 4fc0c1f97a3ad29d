"""OpenRLHF's remote reward model: per sample, so it gets raw parts and never a reward that needs a group."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from hero_rl.engines.service import batch as batches
from hero_rl.engines.service.problems import RequestError
from hero_rl.engines.service.routes import WORK, DeadlineHeader, Service, deadline_of
from hero_rl.pipeline import Signals
from hero_rl.types import Rollout

# what tokenizers put at the end of a decoded response: </s>, <|im_end|>, <|eot_id|>, <eos>, <end_of_turn>, <pad> ...
_SPECIAL_AT_END = re.compile(r"(?:\s*(?:<\|[A-Za-z_▁]+\|>|</s>|<eos>|<pad>|<end_of_turn>))+\s*\Z")
_SCANNED_CHARS = 4096

router = APIRouter()


class GetReward(BaseModel):
    """OpenRLHF's remote reward model: `query` is prompt and response as decoded, special tokens included."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"query": ["1+1=It is \\boxed{2}.</s>"], "prompts": ["1+1="], "labels": ["2"]}],
        },
    )

    query: list[str] = Field(min_length=1)
    prompts: list[str] | None = None
    labels: list[str | None] | None = None


class GetRewardOut(BaseModel):
    """One entry a query in every list."""

    rewards: list[float] = Field(description="The verdict: 1 correct, 0 otherwise. The score, where there is no verifier.")
    scores: list[float] = Field(description="The same, for OpenRLHF's dynamic filtering.")
    extra_logs: dict[str, list[float]]


@router.post("/get_reward", responses={200: {"model": GetRewardOut}, **WORK}, summary="OpenRLHF: raw parts, per sample")
async def get_reward(
    body: GetReward, request: Request, service: Service, x_deadline_s: DeadlineHeader = None
) -> dict[str, Any]:
    """The raw parts of each sample. A stratified reward needs its group, and this protocol has none.

    `extra_logs` has `rm_score` (0 where `rm_ok` is 0: there is none), `abstained`, and `prompt_found`: 0 where the prompt
    does not stand in the query, which is then taken for the response as a whole.
    """
    batches.check_counts([len(body.query)], service.settings)
    prompts, labels = body.prompts or [""] * len(body.query), body.labels or [None] * len(body.query)
    if not len(body.query) == len(prompts) == len(labels):
        raise RequestError(
            "bad_input", f"{len(body.query)} queries, {len(prompts)} prompts and {len(labels)} labels; one each is due"
        )
    split = [split_query(query, prompt) for query, prompt in zip(body.query, prompts, strict=True)]
    rollouts = [
        Rollout(prompt_id=f"query {place}", problem=prompt, reference=label or "", response=response)
        for place, (prompt, label, (response, _)) in enumerate(zip(prompts, labels, split, strict=True))
    ]
    signals = await service.measure(rollouts, deadline_of(request, x_deadline_s, service))
    rewards = _raw_rewards(signals, verified=service.reward.verifier is not None)
    missing = [float(math.isnan(score)) for score in signals.scores.tolist()]
    return {
        "rewards": rewards,
        "scores": rewards,
        "extra_logs": {
            "rm_score": [0.0 if math.isnan(score) else score for score in signals.scores.tolist()],
            "rm_ok": [1.0 - one for one in missing],
            "abstained": np.isnan(signals.verdicts).astype(np.float64).tolist(),
            "prompt_found": [float(found) for _, found in split],
        },
    }


def split_query(query: str, prompt: str) -> tuple[str, bool]:
    """The response in a decoded query, without special tokens at its end; and whether the prompt stands before it.

    >>> split_query("<s>1+1=2</s>", "1+1=")
    ('2', True)
    """
    place = query.find(prompt)
    found = bool(prompt) and place >= 0
    response = query[place + len(prompt) :] if found else query
    head, tail = response[:-_SCANNED_CHARS], response[-_SCANNED_CHARS:]
    return head + _SPECIAL_AT_END.sub("", tail), found


def _raw_rewards(signals: Signals, *, verified: bool) -> list[float]:
    if verified:
        return (signals.verdicts > 0.0).astype(np.float64).tolist()
    return [0.0 if math.isnan(score) else score for score in signals.scores.tolist()]
