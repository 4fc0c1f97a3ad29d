"""The local page: static files without a token, rollouts only with it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from hero_rl.errors import HeroError, InputError
from hero_rl.view.page import SERVED, STATIC, about, detail, explain
from hero_rl.view.rules import Rules
from hero_rl.view.store import Query, Store

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "Content-Security-Policy": SERVED, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}  # fmt: skip


def create_app(store: Store, rules: Rules, *, title: str, token: str | None = None) -> FastAPI:
    """Return the application. ``token``: needed for everything under ``/api``; None: loopback names only."""
    app = FastAPI(title="hero view", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        said, code = _refusal(request, store, token)
        response = JSONResponse({"error": said}, code) if said else await call(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(HeroError)
    async def refuse(request: Request, error: HeroError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(store.duckdb.Error)
    async def lost(request: Request, error: Exception) -> Response:
        said, code = _refusal(request, store, token)
        return JSONResponse({"error": said or f"DuckDB: {error}"}, code or 500)

    @app.get("/")
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/about")
    def api_about() -> dict[str, Any]:
        return about(store, rules, title=title)

    @app.get("/api/groups")
    def api_groups(request: Request, rule: str = "") -> dict[str, Any]:
        return store.groups(read_query(request), table=rules.table(rule))

    @app.get("/api/groups/{gid}")
    def api_group(request: Request, gid: int, rule: str = "", against: str = "") -> dict[str, Any]:
        return detail(store, rules, gid, [choice for choice in (rule, against) if choice], read_query(request))

    @app.get("/api/explain/{row}")
    def api_explain(row: int) -> dict[str, Any]:
        return explain(store, row)

    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _refusal(request: Request, store: Store, token: str | None) -> tuple[str, int]:
    """Return what is wrong with who asks or with the files, and its HTTP status; "" and 0 if nothing is."""
    host = re.sub(r":\d*$", "", request.headers.get("host", "").lower()).strip("[]")
    if token is None and host not in LOOPBACK:  # or a page elsewhere could come under a name of its own (DNS rebinding)
        return "open the address that `hero view` printed", 403
    if not request.url.path.startswith("/api"):
        return "", 0
    given = request.headers.get("authorization", "").encode()
    if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
        return "open the whole address that `hero view` printed: it has the token", 401
    return ("the file changed; start hero view again", 409) if store.changed() else ("", 0)


def read_query(request: Request) -> Query:
    """Return the filters in a URL; raises InputError for one that is no number; whole numbers beyond 64 bits are clamped."""
    given = {name: value for name, value in request.query_params.items() if name in Query._fields and value}
    for name in set(given) - {"kind", "text", "sort"}:
        try:
            value = float(given[name]) if name == "step" else min(max(int(given[name]), -(2**62)), 2**62)
        except ValueError:
            raise InputError(f"{name}={given[name]!r} is no {'' if name == 'step' else 'whole '}number") from None
        given[name] = value  # type: ignore[assignment]
    query = Query(**given)  # type: ignore[arg-type]
    return query._replace(limit=min(max(query.limit, 1), 500), offset=max(query.offset, 0))
