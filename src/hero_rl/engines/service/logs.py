"""Logs for machines: one JSON object per line on stderr, for events and for requests. No line has a token or a body in it."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from datetime import UTC, datetime

from starlette.types import Scope

from hero_rl.errors import clip

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_access = logging.getLogger("hero_rl.access")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }  # fmt: skip
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps(values, default=str)


def log_as_json() -> None:
    """Let every logger of this process, and Python's warnings, write JSON; requests are logged from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.getLogger().addHandler(handler)
    ours = logging.getLogger("hero_rl")
    ours.handlers.clear()
    ours.setLevel(logging.INFO)
    logging.captureWarnings(True)


def request_id(given: bytes) -> str:
    """Return the client's ``X-Request-Id`` if it is a plain word of at most 128 characters, or a new one."""
    text = given.decode("latin-1")
    return text if _ID.fullmatch(text) else uuid.uuid4().hex


def log_request(scope: Scope, status: int, seconds: float) -> None:
    """Write the line of one request: its path without the query, and what ``scope["state"]`` says of it."""
    if not _access.isEnabledFor(logging.INFO):
        return
    state = scope["state"]
    fields = {
        "method": scope["method"], "path": clip(scope["path"], 200), "status": status,
        "ms": round(1000 * seconds, 2), "run": state.get("run"),
        "token": state.get("token"), "request_id": state["request_id"],
    }  # fmt: skip
    _access.info("request", extra={"fields": fields})
