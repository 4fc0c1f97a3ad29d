"""Limits of the service: sizes, counts, waiting times."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations

from hero_rl.engines.service.tokens import Token
from hero_rl.errors import InputError

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits of one service, so that memory stays bounded whatever clients send."""

    max_running: int = 8
    """Requests that work at a time."""
    max_queued: int = 128
    """Requests that wait; further ones get 429 and a time after which to come back."""
    max_body_bytes: int = 64 * MIB
    """Size of one request; a batch of 256 prompts with 16 responses of 2,000 tokens has about 32 MiB."""
    max_held_bytes: int = 512 * MIB
    """Size of all requests together."""
    max_values: int = 262_144
    """JSON values of one request: sixteen for each response of the largest batch."""
    max_connections: int = 512
    """Open connections; one more takes the place of the one that waits longest for its client, if any does."""
    header_s: float = 10.0
    """Time for a request's headers to arrive."""
    max_group_responses: int = 1024
    """Responses of one group."""
    max_responses: int = 16_384
    """Responses of one request."""
    max_verify_s: float = 300.0
    """CPU time that the verifier's worker processes may use for one request, and"""
    max_verify_row_s: float = 1.0
    """so much more for each of its responses. With the verifier ``math`` a third of any number of answers may be too hard, or
    all of 150; an honest one takes 2 ms at the mean."""
    deadline_s: float = 300.0
    """Deadline of a request that names none."""
    body_s: float = 30.0
    """Time for a request's body to arrive."""
    drain_s: float = 30.0
    """Time for what runs to finish after SIGTERM."""
    max_runs: int = 10_000
    """Runs whose state is kept."""
    max_answers: int = 10_000
    """Answers kept for retries."""
    max_answer_bytes: int = 256 * MIB
    """Size of all kept answers, compressed; the newest one is always kept."""
    tokens: tuple[Token, ...] = ()
    """Clients must send one of them; none: no token is needed."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            least = 0 if one.name == "max_queued" else 1 if isinstance(value, int) else 0.001
            if one.name != "tokens" and not value >= least:
                raise InputError(f"the service's {one.name}={value!r} must be at least {least}")
        for one, other in combinations(self.tokens, 2):
            if one.name == other.name:
                raise InputError(f"two of the service's tokens are called {one.name!r}; each needs a name of its own")
            if one.secret == other.secret:
                raise InputError(
                    f"the service's tokens {one.name!r} and {other.name!r} have the same secret; each needs its own"
                )
