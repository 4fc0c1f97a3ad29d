"""The FastAPI application around a ``RewardService``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from hero_rl import __version__
from hero_rl.engines.service import openrlhf, routes
from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.limits import Limits
from hero_rl.engines.service.service import RewardService
from hero_rl.errors import clip

_MAX_SHOWN = 3
_ROUTERS = (routes.router, openrlhf.router, routes.about)
_KINDS = {404: "not_found", 405: "not_allowed", 400: "bad_input", 422: "bad_input", 413: "too_large"}
DESCRIPTION = """\
Rewards for whole groups of responses: a verifier's verdicts, refined by a reward model inside each verdict's band.

A trainer wants `/v1/score_groups`. `/get_reward` speaks the protocol of OpenRLHF: responses to one prompt in one call are a
group, a response alone gets raw parts. Every error is `{"error": {"type", "message", "request_id"}}`; every
answer has the header `X-Request-Id`, which is the request's own if that had a plain one.
"""


def create_app(service: RewardService) -> FastAPI:
    """Return the application, which closes the service when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="hero-rl reward service", description=DESCRIPTION, version=__version__, lifespan=lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False, separate_input_output_schemas=False,
    )  # fmt: skip
    app.state.service = service
    for router in _ROUTERS:
        app.include_router(router)
    app.add_exception_handler(RequestError, _typed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    paths = {route.path for route in _routes()} | {"/openapi.json"}
    app.add_middleware(Limits, service=service, paths=paths)
    if service.settings.tokens:
        _declare_token(app)
    return app


def _answer(request: Request, error: RequestError) -> Response:
    request.app.state.service.metrics.failures.labels(error.kind).inc()
    body = error.body(request.state.request_id)
    return Response(body, status_code=error.status, media_type="application/json", headers=error.headers)


async def _typed(request: Request, error: Any) -> Response:
    return _answer(request, error)


async def _invalid(request: Request, error: Any) -> Response:
    """Say what is wrong with the body without repeating it: it may be long, and no UTF-8."""
    found = error.errors()
    shown = [f"{'.'.join(clip(str(part)) for part in one['loc'])}: {_said(one)}" for one in found[:_MAX_SHOWN]]
    more = f"; and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
    message = ("; ".join(shown) + more).encode("utf-8", "backslashreplace").decode()
    return _answer(request, RequestError("bad_input", message))


def _said(fault: Mapping[str, Any]) -> str:
    return f"no JSON: {fault['ctx']['error']}" if fault["type"] == "json_invalid" else fault["msg"]


async def _refused(request: Request, error: Any) -> Response:
    """Answer what the framework refuses: no such path, no such method, no JSON."""
    kind = _KINDS.get(error.status_code, "internal")
    response = _answer(request, RequestError(kind, f"{clip(request.method)} {clip(request.url.path)}: {error.detail}"))
    response.headers.update(error.headers or {})
    if error.status_code == 405:  # the framework names the methods of the first route that has the path
        methods = {method for route in _routes() if route.path_regex.match(request.url.path) for method in route.methods or ()}
        response.headers["allow"] = ", ".join(sorted(methods))
    return response


def _routes() -> list[APIRoute]:
    return [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def _declare_token(app: FastAPI) -> None:
    """Say in the OpenAPI document that everything but health needs the token."""
    make: Any = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path == "/healthz" else [{"token": []}]
        return document

    app.openapi = openapi
