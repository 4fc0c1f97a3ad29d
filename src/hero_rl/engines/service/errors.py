"""Errors that the service answers with: a code for programs and a sentence for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from hero_rl.errors import HeroError, clip

MAX_MESSAGE_CHARS = 400


class Problem(NamedTuple):
    """A kind of refusal or failure."""

    status: int
    meaning: str


PROBLEMS: Mapping[str, Problem] = {
    "bad_input": Problem(422, "Something in the request is wrong; the message says what."),
    "unauthorized": Problem(401, "No bearer token, or the wrong one."),
    "not_found": Problem(404, "Nothing here has that name."),
    "not_allowed": Problem(405, "The path has no such method."),
    "too_slow_upload": Problem(408, "The body did not arrive in time."),
    "state_mismatch": Problem(409, "The run's stored state belongs to another rule."),
    "too_many_runs": Problem(409, "The service keeps no more runs; delete some."),
    "key_reused": Problem(409, "The idempotency key was used before, with another request."),
    "unhealthy": Problem(
        409, "Scores or lengths show that something broke, and `on_unhealthy` is `stop`; the state is unchanged."
    ),
    "too_large": Problem(413, "The request is larger, or has more responses, than is allowed."),
    "busy": Problem(429, "The queue is full; come back after Retry-After seconds."),
    "rate_limited": Problem(429, "The token has sent as many requests as it may; come back after Retry-After seconds."),
    "internal": Problem(500, "A fault of the service; its log has the details."),
    "too_many_failures": Problem(503, "Verifier or reward model failed on too much of the batch; the state is unchanged."),
    "too_hard": Problem(503, "Verification took more CPU time than one request may use; the state is unchanged."),
    "state_not_saved": Problem(503, "The database of states failed or is away; a retry with the same key counts once."),
    "other_reward": Problem(503, "A replica with another reward was started on the same database after this one."),
    "draining": Problem(503, "The service is stopping."),
    "deadline": Problem(504, "The deadline passed before the work was done; the state is unchanged."),
}


class RequestError(HeroError):
    """A request that is answered with an error; ``kind`` is a key of ``PROBLEMS``."""

    def __init__(self, kind: str, message: str, retry_after_s: int | None = None):
        message = clip(message, MAX_MESSAGE_CHARS)
        super().__init__(kind, message, retry_after_s)  # what pickle makes it from
        self.kind, self.message, self.retry_after_s = kind, message, retry_after_s

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEMS[self.kind].status

    @property
    def headers(self) -> dict[str, str]:
        """Headers beyond content type and length."""
        if self.retry_after_s is not None:
            return {"Retry-After": str(self.retry_after_s)}
        # another try at the same request would meet the same fault
        return {"unauthorized": {"WWW-Authenticate": "Bearer"}, "internal": {"X-Should-Retry": "false"}}.get(self.kind, {})

    def body(self, request_id: str) -> bytes:
        """Return the answer: ``{"error": {"type": ..., "message": ..., "request_id": ...}}``."""
        more = {} if self.retry_after_s is None else {"retry_after_s": self.retry_after_s}
        return json.dumps({"error": {"type": self.kind, "message": self.message, "request_id": request_id, **more}}).encode()
