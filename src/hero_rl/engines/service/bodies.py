"""Read JSON bodies off the event loop, and never build more values than are allowed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from hero_rl.engines.service.errors import RequestError

P = ParamSpec("P")
T = TypeVar("T")
MAX_TEXT_BYTES = 4 * 2**20
"""Longest string of a body: one character beyond the basic plane makes all of a string four bytes each."""
INLINE_BYTES = 2**18
"""A body up to this size is handled faster than a thread is asked."""
_CHUNK_BYTES = 2**16
_NO_STRUCTURE = bytes(set(range(256)) - set(b'",[{'))


def check_values(body: bytes | bytearray, most: int) -> None:
    """Raise RequestError if the JSON text has more than ``most`` values.

    Counts commas and opening brackets outside of strings before anything is built: a value of two bytes becomes an object of a
    hundred.
    """
    count, inside, kept, length = 0, False, b"", 0
    for start in range(0, len(body), _CHUNK_BYTES):
        chunk = kept + body[start : start + _CHUNK_BYTES]
        kept = b"\\" * ((len(chunk) - len(chunk.rstrip(b"\\"))) % 2)  # an escape goes on in the next chunk
        chunk = chunk[: len(chunk) - len(kept)].replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_STRUCTURE)
        pieces = chunk.split(b'"')
        count += sum(map(len, pieces[inside::2]))
        inside ^= len(pieces) % 2 == 0
        length = length + _CHUNK_BYTES if inside and len(pieces) == 1 else 0
        if length > MAX_TEXT_BYTES:
            raise RequestError("too_large", f"the body has a text of more than {MAX_TEXT_BYTES} bytes")
        if count > most:
            raise RequestError("too_large", f"the body has more than {most} values; send fewer groups at once")


async def off_loop(size: int, function: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
    """Return what the function returns; it runs in a thread if ``size`` bytes are too many to hold the loop for."""
    if size <= INLINE_BYTES:
        return function(*arguments, **more)
    return await asyncio.to_thread(function, *arguments, **more)


class _Request(Request):
    async def body(self) -> bytes:
        """Return the body that came in one message, without copying it."""
        if not hasattr(self, "_body"):
            self._body = b"".join([piece async for piece in self.stream() if piece])
        return self._body

    async def json(self) -> Any:
        """Return the body's values; raises JSONDecodeError for text that is no JSON, such as a lone surrogate or NaN."""
        body = await self.body()
        try:
            return await off_loop(len(body), from_json, body, allow_inf_nan=False)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class Route(APIRoute):
    """A route whose JSON body is parsed in a thread."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, given a request that parses elsewhere."""
        handler = super().get_route_handler()

        async def parsing(request: Request) -> Response:
            return await handler(_Request(request.scope, request.receive))

        return parsing
