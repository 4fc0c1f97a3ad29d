"""OpenRLHF's remote reward model: responses to one prompt in one call are a group, a response alone gets its raw parts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from hero_rl.engines.service import batch as batches
from hero_rl.engines.service import schemas
from hero_rl.engines.service.bodies import Route
from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.routes import WORK, DeadlineHeader, Service, deadline_of
from hero_rl.engines.service.store import RequestKey
from hero_rl.types import Rollout

# what tokenizers put at the end of a decoded response: </s>, <|im_end|>, <|eot_id|>, <eos>, <end_of_turn>, <pad> ...
_SPECIAL_AT_END = re.compile(r"(?:\s*(?:<\|[A-Za-z_▁]+\|>|</s>|<eos>|<pad>|<end_of_turn>))+\s*\Z")
_SCANNED_CHARS = 4096

router = APIRouter(route_class=Route)
_EXAMPLE: dict[str, Any] = {
    "query": ["1+1=It is \\boxed{2}.</s>", "1+1=It is \\boxed{3}.</s>"], "prompts": ["1+1="] * 2, "labels": ["2"] * 2,
}  # fmt: skip


class GetReward(BaseModel):
    """OpenRLHF's remote reward model: `query` is prompt and response as decoded, special tokens included."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    query: schemas.Some[str]
    prompts: schemas.Many[str] | None = None
    labels: schemas.Many[str | None] | None = None


class GetRewardOut(BaseModel):
    """One entry per query in every list."""

    rewards: list[float] = Field(description="In a group the advantage, prompt weight included; alone as `scores`.")
    scores: list[float] = Field(description="The verdict: 1 correct, 0 otherwise. The score, if there is no verifier.")
    extra_logs: dict[str, list[float]]


@router.post("/get_reward", responses={200: {"model": GetRewardOut}, **WORK}, summary="OpenRLHF")
async def get_reward(
    body: GetReward, request: Request, service: Service, run_id: Annotated[str, Query(pattern=schemas.RUN_ID)] = "default",
    update: bool = True, x_deadline_s: DeadlineHeader = None,
) -> dict[str, Any]:  # fmt: skip
    """Return advantages for responses to one prompt and label that come together, raw parts for a response alone.

    The groups are one batch for the state of the run `run_id`; a call that is repeated word for word counts once.
    `update=false` (evaluation) leaves the state as it is.

    `extra_logs` has `rm_score` (0 where `rm_ok` is 0: there is none), `abstained`, `group_size`, `weight` (the prompt's), and
    `prompt_found`: 0 if the prompt is not in the query, which is then taken for the response as a whole.
    """
    request.state.run = run_id
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
    groups, alone = _groups(rollouts)
    batches.check_counts([*map(len, groups), len(alone)], service.settings)
    deadline = deadline_of(request, x_deadline_s, service)
    rows: dict[int, Mapping[str, Any]] = {}
    if groups:
        places = [place for group in groups for place in group]
        digest = batches.hash_parts((*body.query, *prompts, *labels))
        asked = batches.Asked(
            run_id=run_id, prompt_ids=[None] * len(groups), sizes=[len(group) for group in groups],
            rollouts=[rollouts[place] for place in places], update=update, alone=False,
            request=RequestKey(run_id, f"get_reward {digest}") if update else None, digest=digest,
        )  # fmt: skip
        answer, _ = await service.score(asked, deadline)
        scored = [(row, len(group["responses"])) for group in json.loads(answer)["groups"] for row in group["responses"]]
        rows |= {place: row | {"size": size} for place, (row, size) in zip(places, scored, strict=True)}
    if alone:
        signals = await service.measure([rollouts[place] for place in alone], deadline)
        rows |= dict(zip(alone, batches.signal_rows(signals), strict=True))
    ordered = [rows[place] for place in range(len(rollouts))]
    return _answer(ordered, [float(found) for _, found in split], verified=service.reward.verifier is not None)


def split_query(query: str, prompt: str) -> tuple[str, bool]:
    """Return the response in a decoded query, without special tokens at its end, and whether the prompt stands before it.

    >>> split_query("<s>1+1=2</s>", "1+1=")
    ('2', True)
    """
    place = query.find(prompt)
    found = bool(prompt) and place >= 0
    response = query[place + len(prompt) :] if found else query
    head, tail = response[:-_SCANNED_CHARS], response[-_SCANNED_CHARS:]
    return head + _SPECIAL_AT_END.sub("", tail), found


def _groups(rollouts: Sequence[Rollout]) -> tuple[list[list[int]], list[int]]:
    """Return the places of the responses that have company, by prompt and reference, and those that have none."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, rollout in enumerate(rollouts):
        places.setdefault((rollout.problem, rollout.reference), []).append(place)
    groups = [group for (problem, _), group in places.items() if problem and len(group) > 1]
    together = {place for group in groups for place in group}
    return groups, [place for place in range(len(rollouts)) if place not in together]


def _answer(rows: Sequence[Mapping[str, Any]], found: list[float], *, verified: bool) -> dict[str, Any]:
    scores = [float(row["verdict"] == 1) if verified else row["rm_score"] or 0.0 for row in rows]
    return {
        "rewards": [row.get("advantage", score) for row, score in zip(rows, scores, strict=True)],
        "scores": scores,
        "extra_logs": {
            "rm_score": [row["rm_score"] or 0.0 for row in rows],
            "rm_ok": [float(row["rm_score"] is not None) for row in rows],
            "abstained": [float(row["verdict"] is None) for row in rows],
            "group_size": [float(row.get("size", 1)) for row in rows],
            "weight": [row.get("weight", 1.0) for row in rows],
            "prompt_found": found,
        },
    }
