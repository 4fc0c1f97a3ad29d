"""The protocols of others. All of them are per sample: they get raw parts, never a reward that needs a group."""

from __future__ import annotations

import math
import re
import time
import uuid
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator

from hero_rl.engines.service import batch as batches
from hero_rl.engines.service.problems import RequestError
from hero_rl.engines.service.routes import WORK, DeadlineHeader, Service, deadline_of, errors
from hero_rl.engines.service.schemas import Message, Whole
from hero_rl.pipeline import Signals
from hero_rl.types import Rollout

Texts: TypeAlias = Annotated[list[str], Field(min_length=1)]
TokenIds: TypeAlias = Annotated[list[Annotated[Whole, Field(ge=0, le=2**31 - 1)]], Field(min_length=1)]

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


class GymVerify(BaseModel):
    """NeMo-Gym's request to a resource server, with the fields of its maths servers."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        json_schema_extra={
            "examples": [{
                "responses_create_params": {"input": [{"role": "user", "content": "What is 1 + 1?"}]},
                "response": {
                    "output": [{
                        "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "\\boxed{2}"}],
                    }]
                },
                "expected_answer": "2",
            }]
        },
    )  # fmt: skip

    responses_create_params: dict[str, Any]
    response: dict[str, Any]
    question: str | None = None
    expected_answer: str | None = None


class GymVerifyOut(BaseModel):
    """The request as it came, with its reward."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any]
    response: dict[str, Any]
    reward: float = Field(description="1 correct, 0 otherwise; raw, not stratified.")
    verdict: Literal[0, 1] | None
    reason: str
    rm_score: float | None


@router.post("/verify", responses={200: {"model": GymVerifyOut}, **WORK}, summary="NeMo-Gym: one sample's verdict")
async def gym_verify(
    body: GymVerify, request: Request, service: Service, x_deadline_s: DeadlineHeader = None
) -> dict[str, Any]:
    """The verdict on one response as a reward of 1 or 0, with the raw score beside it."""
    turns = _turns(body.responses_create_params.get("input"))
    users = [turn["content"] for turn in turns if turn["role"] == "user"]
    rollout = Rollout(
        prompt_id="gym", problem=body.question or (users[-1] if users else ""), reference=body.expected_answer or "",
        response=_output_text(body.response.get("output")), messages=tuple(turns),
    )  # fmt: skip
    signals = await service.measure([rollout], deadline_of(request, x_deadline_s, service))
    shown = batches.verdicts_out(signals)[0]
    return {
        **body.model_dump(exclude_unset=True),
        "reward": _raw_rewards(signals, verified=service.reward.verifier is not None)[0],
        "verdict": shown["verdict"],
        "reason": shown["reason"],
        "rm_score": batches.number(float(signals.scores[0])),
    }


def _turns(value: object) -> list[dict[str, str]]:
    """The turns of a Responses API input; what is no text is left out."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    turns: list[dict[str, str]] = []
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict) and isinstance(role := item.get("role"), str):
            turns.append({"role": role, "content": _text(item.get("content"))})
    return turns


def _output_text(value: object) -> str:
    """What the assistant said, all messages of a Responses API output together."""
    items = value if isinstance(value, list) else []
    return "\n".join(_text(item.get("content")) for item in items if isinstance(item, dict) and item.get("role") == "assistant")


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


class _ClassifyBase(BaseModel):
    model_config = ConfigDict(strict=True)

    model: str | None = None
    use_activation: Literal[False] | None = Field(
        None, description="Rewards are raw here. Left out it means false, unlike in vLLM; true is refused."
    )
    activation: Literal[False] | None = Field(None, description="The older name of use_activation.")

    @field_validator("use_activation", "activation", mode="before")
    @classmethod
    def _is_raw(cls, value: object) -> object:
        if value is True:
            raise ValueError("this service gives raw rewards, and a sigmoid would flatten them; send false")
        if value is not None and value is not False:
            raise ValueError("Input should be false or null")
        return value


class ClassifyTexts(_ClassifyBase):
    """vLLM's `/classify` of texts or token ids, for a reward model with one output."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": ["1+1=2"], "use_activation": False}]})

    input: str | Texts | TokenIds | Annotated[list[TokenIds], Field(min_length=1)]
    add_special_tokens: bool = True


class ClassifyMessages(_ClassifyBase):
    """vLLM's `/classify` of a conversation, in the reward model's own chat template."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "1+1=2"}]}]})

    messages: list[Message] = Field(min_length=1)
    continue_final_message: bool = Field(False, description="The last turn has not ended.")


class ClassifyRow(BaseModel):
    """One input's raw reward."""

    index: int
    label: str
    probs: list[float | None] = Field(description="One number: the raw output, no probability. null: none, too long.")
    num_classes: int


class ClassifyOut(BaseModel):
    """As vLLM answers, and what was done to the numbers: nothing."""

    id: str
    object: str
    created: int
    model: str
    data: list[ClassifyRow]
    usage: dict[str, int]
    use_activation: Literal[False]


@router.post(
    "/classify", responses={200: {"model": ClassifyOut}, **WORK, **errors(404, 409, 501, 504)},
    summary="vLLM: raw rewards of the local model",
)  # fmt: skip
async def classify(
    body: ClassifyTexts | ClassifyMessages, request: Request, service: Service, x_deadline_s: DeadlineHeader = None
) -> dict[str, Any]:
    """The raw output of the reward model for texts, token ids or a conversation, unsquashed.

    vLLM applies a sigmoid unless told not to; this service never does, says `"use_activation": false` in its answer, and
    refuses `true`.
    """
    texts = service.texts
    if texts is None:
        raise RequestError("no_such_model", "this service has no local reward model: start it with --reward-model local:PATH")
    if body.model not in (None, texts.model):
        raise RequestError("not_found", f"this service serves {texts.model!r}, not {body.model!r}")
    if isinstance(body, ClassifyMessages):
        turns = [turn.model_dump() for turn in body.messages]
        work = texts.ascore_conversation(turns, closed=not body.continue_final_message)
    else:
        inputs = _inputs(body)
        batches.check_counts([len(inputs)], service.settings)
        work = texts.ascore(inputs, add_special_tokens=body.add_special_tokens)
    scores, tokens = await service.within(deadline_of(request, x_deadline_s, service), work)
    service.metrics.missing_scores.inc(sum(map(math.isnan, scores.tolist())))
    return {
        "id": f"classify-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": texts.model,
        "data": [
            {"index": place, "label": "LABEL_0", "probs": [batches.number(score)], "num_classes": 1}
            for place, score in enumerate(scores.tolist())
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
        "use_activation": False,
    }


class Model(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"]
    root: str


class Models(BaseModel):
    """What `/classify` can be asked for."""

    object: Literal["list"]
    data: list[Model]


@router.get("/v1/models", responses={200: {"model": Models}, **errors()}, summary="vLLM: what is served")
async def models(service: Service) -> dict[str, Any]:
    """The local reward model, where there is one."""
    names = [service.texts.model] if service.texts else []
    return {"object": "list", "data": [{"id": name, "object": "model", "root": name} for name in names]}


def _inputs(body: ClassifyTexts) -> list[str | list[int]]:
    if isinstance(body.input, str):
        return [body.input]
    values: list[Any] = body.input
    return [values] if isinstance(values[0], int) else values
