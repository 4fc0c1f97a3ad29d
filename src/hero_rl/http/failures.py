"""The failures of a request, and which of them are worth another try."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.errors import HeroError, clip

Kind: TypeAlias = Literal["timeout", "unreachable", "rate_limited", "server_error", "refused", "bad_reply"]

RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
LONGEST_MESSAGE = 300
"""Characters of a server's own words that an error repeats."""
_WANTS_A_KEY = "; it wants a key: api_key=..., or token=... of a RewardClient (commands: the environment variable HERO_API_KEY)"


class EndpointError(HeroError):
    """A request that got no usable answer, after every retry that was worth making."""

    def __init__(self, message: str, *, kind: Kind, status: int | None = None) -> None:
        """Say what happened.

        Args:
            message: for people.
            kind: ``"timeout"``, ``"unreachable"`` (no connection, or one that broke), ``"rate_limited"`` (429),
                ``"server_error"`` (5xx), ``"refused"`` (any other status that is no success) or ``"bad_reply"`` (no JSON).
            status: the HTTP status of the last reply, where there was one.
        """
        super().__init__(message)
        self.kind: Kind = kind
        self.status = status

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled with its kind and status: it crosses process boundaries."""
        return partial(EndpointError, kind=self.kind, status=self.status), (str(self),)


class Failure(NamedTuple):
    """One try that failed."""

    kind: Kind
    message: str
    status: int | None = None
    retry: bool = False
    retry_after_s: float = 0.0
    """The pause that the server asked for; 0: it did not."""
    no_connection: bool = False
    """Nobody listens there: the next request would fail in the same way."""


def of_status(status: int, body: str, headers: Mapping[str, str], *, secrets: Iterable[str]) -> Failure:
    """Return the failure that a reply with a status other than 2xx is.

    Args:
        status: the HTTP status.
        body: the reply's text, in which servers say why.
        headers: of the reply: ``Retry-After``, in seconds or as a date; ``Location``, where a redirect points; and
            ``X-Should-Retry``, which is "false" where another try would end in the same way.
        secrets: texts that must not be repeated, should the server repeat them.
    """
    words = shorten(_server_words(body), secrets)
    retry = status in RETRIED_STATUS and headers.get("X-Should-Retry") != "false"
    wait_s = _seconds(headers.get("Retry-After")) if retry else 0.0
    message = f"HTTP {status}" + (f": {words}" if words else "") + (_WANTS_A_KEY if status in (401, 403) else "")
    if status == 429:
        return Failure("rate_limited", message, status, retry=retry, retry_after_s=wait_s)
    if status >= 500:
        return Failure("server_error", message, status, retry=retry, retry_after_s=wait_s)
    if 300 <= status < 400:
        place = shorten(headers.get("Location", "nowhere"), secrets)
        message = f"HTTP {status}: it redirects to {place}; give the final address"
    return Failure("refused", message, status)


def shorten(text: str, secrets: Iterable[str]) -> str:
    """Return one line of at most ``LONGEST_MESSAGE`` characters, without the secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return clip(" ".join(text.split()), LONGEST_MESSAGE)


def _server_words(body: str) -> str:
    """Return what a server says in its error, out of the usual JSON around it."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return body
    for key in ("error", "message", "detail"):
        if isinstance(reply, dict) and key in reply:
            reply = reply[key]
    return reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)


def _seconds(retry_after: str | None) -> float:
    if not retry_after:
        return 0.0
    try:
        wait_s = float(retry_after)
    except ValueError:
        try:
            wait_s = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return wait_s if 0.0 < wait_s < float("inf") else 0.0
