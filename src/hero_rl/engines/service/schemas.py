"""Requests and answers of the service's own endpoints, a pydantic model each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

T = TypeVar("T")

RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}$"
MAX_KEY_CHARS = 200
MIN_DEADLINE_S, MAX_DEADLINE_S = 0.01, 3600.0
MAX_ROWS = 65_536
"""Longest list of a request, whatever the service's own limits are."""

RunId: TypeAlias = Annotated[str, Field(pattern=RUN_ID, description="Names the state: one per training run.")]
Seconds: TypeAlias = Annotated[float, Field(ge=MIN_DEADLINE_S, le=MAX_DEADLINE_S, allow_inf_nan=False)]
Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS)]
Bit: TypeAlias = Literal[0, 1]
Many: TypeAlias = Annotated[list[T], Field(fail_fast=True, max_length=MAX_ROWS)]
"""A list that is read up to its first fault: a fault in each element would make two errors of each."""
Some: TypeAlias = Annotated[list[T], Field(fail_fast=True, min_length=1, max_length=MAX_ROWS)]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("Input should be a whole number")
    return value


Whole: TypeAlias = Annotated[int, Field(strict=False), BeforeValidator(_no_bool)]
"""A whole number as JSON Schema means it: 3 and 3.0 are, true is not."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Message(_Closed):
    """One turn of a conversation."""

    role: str
    content: str


class Response(BaseModel):
    """One sampled response. Any further member is a column, as in a rollouts file: ``rm_score``, ``correct`` ..."""

    model_config = ConfigDict(extra="allow", strict=True)

    response: str
    finished: bool | None = Field(None, description="False: cut off at the length limit.")
    steps: Many[str] = Field(default_factory=list)


class Group(_Closed):
    """One prompt and all responses sampled for it."""

    problem: str = Field(description="The problem as text; for a conversation, its last user turn.")
    reference: str = Field("", description="The reference answer.")
    responses: Some[str | Response]
    messages: Many[Message] = Field(default_factory=list, description="The prompt as a conversation, where there is one.")
    prompt_id: str | None = Field(None, description="For messages and logs only: what comes in one group is one group.")


class _Asked(_Closed):
    deadline_s: Seconds | None = Field(
        None, description="Seconds from the request's arrival. The header X-Deadline-S wins over it."
    )


class _Counted(_Asked):
    run_id: RunId = "default"
    update: bool = Field(True, description="False (evaluation): the state stays as it is, and nothing is stored.")
    idempotency_key: Key | None = Field(
        None,
        description="A retry with the same key counts once and gets the same answer. The header Idempotency-Key wins over it.",
    )


_GROUP_EXAMPLE: dict[str, Any] = {
    "problem": "What is 1 + 1?",
    "reference": "2",
    "responses": [
        {"response": "It is \\boxed{2}.", "rm_score": 1.5, "correct": 1},
        {"response": "It is \\boxed{3}.", "rm_score": 0.5, "correct": 0},
    ],
}


class ScoreGroup(Group, _Counted):
    """One group, which is a batch of its own for the rule's state."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GROUP_EXAMPLE]})


class ScoreGroups(_Counted):
    """Some groups, which are one batch for the rule's state: what a trainer samples between two updates."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"run_id": "run-7", "groups": [_GROUP_EXAMPLE]}]})

    groups: Some[Group]


class Verify(Group, _Asked):
    """One problem with responses to verify; no reward model, no rule, no state."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GROUP_EXAMPLE]})


class VerdictOut(BaseModel):
    """The verdict on one response."""

    verdict: Bit | None = Field(description="1 correct, 0 incorrect, null: abstained.")
    reason: str
    failed: bool = Field(description="The verifier broke.")
    learned: bool = Field(description="A model gave the verdict, not a rule.")


class DetailedVerdict(VerdictOut):
    """A verdict with what was compared."""

    detail: str


class Scored(VerdictOut):
    """One response with its reward."""

    rm_score: float | None
    reward: float | None = Field(description="null: leave the response out of its group.")
    reward_components: dict[str, float] | None = Field(
        description="The reward as a sum: the verdict (`verifier`) and the rest (`reward_model`). NeMo-Gym has such a field."
    )
    weight: float = Field(description="The prompt's weight; it is in the advantage and not in the reward.")
    advantage: float


class ScoredGroup(BaseModel):
    """One group."""

    prompt_id: str | None
    weight: float
    responses: list[Scored]


class StateOut(BaseModel):
    """The state that belongs to a run."""

    run_id: str
    rule: str
    scale: str = Field(description="How advantages were normalised: none, group, batch.")
    sigma_mean: float | None = Field(description="The sigma-bar that was used for this batch; null for rules without one.")
    running_mean: float | None = Field(
        description="sigma-bar after this batch; null before the first, and if the rule's state is no running mean."
    )
    metrics: dict[str, float] = Field(description="Other values of the rule's state after this batch, for a log.")
    updates: int = Field(description="Batches that the run has counted.")


class ScoreGroupOut(StateOut, ScoredGroup):
    """The answer to one group."""


class ScoreGroupsOut(StateOut):
    """The answer to a batch of groups, in the order sent."""

    groups: list[ScoredGroup]


class VerifyOut(BaseModel):
    """One verdict per response, in the order sent."""

    verdicts: list[DetailedVerdict]


class RuleState(_Closed):
    """From `HybridReward.state_dict`."""

    version: Literal[2]
    rule: str = Field(max_length=100)
    state: dict[str, JsonValue] = Field(description="As the rule writes it; 409 if the rule cannot continue from it.")
    health: dict[str, JsonValue] | None = Field(None, description="Numbers of the last batches, to compare new ones with.")
    failures: list[list[int]] | None = Field(None, description="Failed rows and all rows of each of the last groups.")
    scale: dict[str, JsonValue] | None = Field(None, description="Sums behind the estimated scale of the advantages.")


_STATE_EXAMPLE: dict[str, Any] = {
    "version": 2, "rule": "hero", "state": {"version": 1, "decay": 0.9, "total": 0.5, "weight": 1.0, "updates": 1},
}  # fmt: skip


class RunState(_Closed):
    """A run's state, to be kept beside a trainer's checkpoint and put back when it resumes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"run_id": "run-7", "state": _STATE_EXAMPLE}]})

    run_id: str | None = Field(None, description="Informational; the run is identified by the URL.")
    state: RuleState


class RunOut(BaseModel):
    """One run whose state is kept."""

    run_id: str
    rule: str
    updates: int | None = Field(description="Batches that the run has counted.")
    requests: int = Field(description="Requests scored since the service started.")
    last_seen: datetime = Field(description="When the last of them was; if there was none, when the state changed last.")


class Runs(BaseModel):
    """Runs, those that changed last first."""

    total: int
    runs: list[RunOut]


class ErrorBody(BaseModel):
    """An error."""

    type: str = Field(description="A code for programs.")
    message: str = Field(description="A sentence for people.")
    request_id: str = Field(description="As in the header X-Request-Id and in the service's log.")
    retry_after_s: int | None = None


class ErrorOut(BaseModel):
    """The answer if there is no success."""

    error: ErrorBody


class Health(BaseModel):
    """The service, and whether it takes requests."""

    status: Literal["ok", "draining"]
    version: str
    rule: str
    settings: dict[str, float | int | str | bool | None]
    scale: str
    verifier: str | None
    reward_model: str | None
    reward: dict[str, Any] | None = Field(default=None, description="The whole reward, as in a reward file.")
    running: int
    queued: int
    runs: int
