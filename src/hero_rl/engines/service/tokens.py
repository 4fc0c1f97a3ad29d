"""Named tokens: who sends a request, and how many requests each may send."""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hero_rl.engines.service.errors import RequestError
from hero_rl.errors import InputError

BURST_S = 60.0
"""A token that was idle may use at once what it may send in so many seconds."""


@dataclass(frozen=True, slots=True)
class Token:
    """The secret of one client, sent as ``Authorization: Bearer SECRET``."""

    name: str
    """For the log."""
    secret: str = field(repr=False)
    requests_per_minute: float | None = None
    """Further requests get 429; None: no limit."""

    def __post_init__(self) -> None:
        if not (self.secret.strip() and self.secret.isascii() and self.secret.isprintable()):
            raise InputError(f"the service's token {self.name!r} must be printable ASCII and not empty; it is sent in a header")
        if self.requests_per_minute is not None and not self.requests_per_minute > 0.0:
            raise InputError(f"requests_per_minute={self.requests_per_minute} of the token {self.name!r} must be positive")


class Guard:
    """Recognises tokens and counts their requests."""

    def __init__(self, tokens: Sequence[Token], *, clock: Callable[[], float] = time.monotonic):
        self.tokens, self._clock = tokens, clock
        self._next: dict[str, float] = {}
        """When each token's next request would be due if it sent them evenly."""

    def token_of(self, headers: Iterable[tuple[bytes, bytes]], method: str) -> Token | None:
        """Return the token in the headers, compared in constant time; None unless they have one, and it is known.

        GET and HEAD also take it as the password of ``Basic``, which browsers ask for. Nothing else does: a browser adds
        that to the requests of other sites' pages, too.
        """
        sent = [value for name, value in headers if name == b"authorization"]
        if len(sent) != 1:  # of two, a proxy may have checked the other one
            return None
        scheme, _, given = sent[0].partition(b" ")
        if scheme.lower() == b"basic" and method in ("GET", "HEAD"):
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return None
        elif scheme.lower() != b"bearer":
            return None
        found = [token for token in self.tokens if hmac.compare_digest(given, token.secret.encode())]
        return found[0] if found else None

    def count(self, token: Token) -> None:
        """Count a request; raises RequestError with a time to come back if it is one too many."""
        if token.requests_per_minute is None:
            return
        now, every_s = self._clock(), 60.0 / token.requests_per_minute
        due = max(self._next.get(token.name, now), now) + every_s
        wait_s = due - now - max(BURST_S, every_s)
        if wait_s > 0.0:
            raise RequestError(
                "rate_limited",
                f"the token {token.name!r} may send {token.requests_per_minute:g} requests per minute; slow down",
                math.ceil(wait_s),
            )
        self._next[token.name] = due
