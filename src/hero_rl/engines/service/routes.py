"""The service's own endpoints: groups in, the hybrid reward out; states of runs; health and metrics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import WithJsonSchema

from hero_rl.engines.service import batch as batches
from hero_rl.engines.service import page as pages
from hero_rl.engines.service import schemas
from hero_rl.engines.service.bodies import Route, off_loop
from hero_rl.engines.service.errors import PROBLEMS
from hero_rl.engines.service.metrics import CONTENT_TYPE
from hero_rl.engines.service.service import RewardService

JSON = "application/json"
# a header may be absent and cannot be null, which is what FastAPI would make of an optional one
_KEY_SCHEMA = {"type": "string", "minLength": 1, "maxLength": schemas.MAX_KEY_CHARS}
_SECONDS_SCHEMA = {"type": "number", "minimum": schemas.MIN_DEADLINE_S, "maximum": schemas.MAX_DEADLINE_S}
Key = Annotated[schemas.Key | None, Header(description="A retry with the same key counts once."), WithJsonSchema(_KEY_SCHEMA)]
DeadlineHeader = Annotated[
    schemas.Seconds | None, Header(description="Seconds from the request's arrival."), WithJsonSchema(_SECONDS_SCHEMA)
]
RunPath = Annotated[str, Path(pattern=schemas.RUN_ID)]


async def service_of(request: Request) -> RewardService:
    """Return the application's service."""  # async, or FastAPI would hand it to a thread
    return request.app.state.service


Service = Annotated[RewardService, Depends(service_of)]


def deadline_of(request: Request, seconds: float | None, service: RewardService) -> float:
    """Return when the answer is due, on the event loop's clock."""
    return request.state.arrived + (seconds or service.settings.deadline_s)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's list of errors: those named and those of any request."""
    result: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 405, 408, 413, 422, 429, 500, 503, *statuses}):
        kinds = [f"`{kind}`: {problem.meaning}" for kind, problem in PROBLEMS.items() if problem.status == status]
        result[status] = {"model": schemas.ErrorOut, "description": " ".join(kinds)}
    return result


router = APIRouter(prefix="/v1", route_class=Route)
WORK = errors(409, 504)


@router.post("/score_group", responses={200: {"model": schemas.ScoreGroupOut}, **WORK}, summary="Score one group")
async def score_group(
    body: schemas.ScoreGroup,
    request: Request,
    service: Service,
    idempotency_key: Key = None,
    x_deadline_s: DeadlineHeader = None,
) -> Response:
    """Return verdict, score, reward, weight and advantage of every response to one prompt.

    The group is a batch of its own for the rule's state. A trainer that has several groups at a time sends them to
    `/v1/score_groups`, so that the run's state moves once per batch.
    """
    return await _score(body, request, service, idempotency_key, x_deadline_s)


@router.post("/score_groups", responses={200: {"model": schemas.ScoreGroupsOut}, **WORK}, summary="Score a batch of groups")
async def score_groups(
    body: schemas.ScoreGroups, request: Request, service: Service, idempotency_key: Key = None,
    x_deadline_s: DeadlineHeader = None,
) -> Response:  # fmt: skip
    """Score many groups, which are one batch for the rule's state."""
    return await _score(body, request, service, idempotency_key, x_deadline_s)


async def _score(
    body: schemas.ScoreGroup | schemas.ScoreGroups, request: Request, service: RewardService, key: str | None,
    header_s: float | None,
) -> Response:  # fmt: skip
    request.state.run = body.run_id
    asked = await off_loop(len(await request.body()), batches.read_request, body, key, service.settings)
    answer, replayed = await service.score(asked, deadline_of(request, header_s or body.deadline_s, service))
    return Response(answer, media_type=JSON, headers={"Idempotency-Replayed": "true"} if replayed else None)


@router.post("/verify", responses={200: {"model": schemas.VerifyOut}, **WORK}, summary="Verify responses")
async def verify(
    body: schemas.Verify, request: Request, service: Service, x_deadline_s: DeadlineHeader = None
) -> dict[str, list[dict[str, object]]]:
    """Return verdicts alone; no reward model is asked and no state moves. Failures are rows with `failed: true`."""
    batches.check_counts([len(body.responses)], service.settings)
    deadline = deadline_of(request, x_deadline_s or body.deadline_s, service)
    verdicts = await service.verify(batches.rollouts_of(body), deadline)
    return {"verdicts": [batches.verdict_out(one) for one in verdicts]}


@router.get("/runs", responses={200: {"model": schemas.Runs}, **errors()}, summary="List runs")
async def list_runs(
    service: Service, limit: Annotated[int, Query(ge=1, le=1000, description="Most runs.")] = 100
) -> dict[str, object]:
    """Return the runs whose states are kept, those that changed last first."""
    return {"total": service.store.runs, "runs": await service.list_runs(limit)}


@router.get("/runs/{run_id}", responses={200: {"model": schemas.RunState}, **errors(404)}, summary="Read a run's state")
async def get_run(run_id: RunPath, service: Service) -> dict[str, object]:
    """Return the state to keep beside a checkpoint."""
    return {"run_id": run_id, "state": await service.run_state(run_id)}


@router.post("/runs/{run_id}", responses={200: {"model": schemas.RunState}, **errors(409)}, summary="Put a run's state back")
async def post_run(run_id: RunPath, body: schemas.RunState, service: Service) -> dict[str, object]:
    """Continue from a checkpoint's state; kept answers of the run are forgotten."""
    await service.put_run(run_id, body.state.model_dump())
    return await get_run(run_id, service)


@router.delete("/runs/{run_id}", status_code=204, responses=errors(404), summary="Forget a run")
async def delete_run(run_id: RunPath, service: Service) -> None:
    """Delete its state and its kept answers."""
    await service.delete_run(run_id)


about = APIRouter()


@about.get("/", include_in_schema=False)
async def page(service: Service) -> Response:
    """Return a page for people."""
    return Response(pages.page(service, await service.list_runs(pages.MOST_RUNS)), headers=pages.HEADERS)


@about.get("/healthz", responses={200: {"model": schemas.Health}, **errors()}, summary="Is the service there?")
async def healthz(service: Service, request: Request, response: Response) -> dict[str, object]:
    """Describe the service; 503 while it stops. Needs no token, and names models, which may be paths, only to who has it."""
    response.status_code = 503 if service.draining else 200
    hidden = () if request.state.known else ("verifier", "reward_model", "reward")
    return service.describe() | dict.fromkeys(hidden)


@about.get(
    "/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors()},
    response_class=Response, summary="Numbers for Prometheus",
)  # fmt: skip
async def metrics(service: Service) -> Response:
    """Return requests, latencies, queue, failures, verdicts, states of runs."""
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})
