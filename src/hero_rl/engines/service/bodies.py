"""Read JSON bodies off the event loop, and never build more values than are allowed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from hero_rl.engines.service.errors import RequestError

P = ParamSpec("P")
T = TypeVar("T")
MAX_TEXT_BYTES = 4 * 2**20
"""Longest string of a body: the parser has a copy of one with escapes."""
INLINE_BYTES = 2**18
"""A body up to this size is handled faster than a thread is asked."""
_CHUNK_BYTES = 2**16
_NO_STRUCTURE = bytes(set(range(256)) - set(b",[{"))
_ESCAPE_BYTES = 6
_BELOW_ASTRAL, _LATIN, _CONTINUING = bytes(range(0xF0)), bytes(range(0xC4)), bytes(range(0x80, 0xC0))
"""First bytes, in UTF-8, of characters below U+10000 and below U+0100; and all bytes but the first."""
_ASTRAL_ESCAPE, _BEYOND_LATIN_ESCAPE = re.compile(rb"\\u[dD][89abAB]"), re.compile(rb"\\u(?!00)")


def check_values(body: bytes | bytearray, most: int) -> int:
    """Return the bytes that the strings of a JSON text take in Python; raise RequestError if it has more than ``most`` values.

    Counts commas and opening brackets outside of strings before anything is built: a value of two bytes becomes an object of a
    hundred. A string takes one, two or four bytes for each of its characters, as its widest one needs.
    """
    count, inside, kept, length = 0, False, b"", 0
    total, width, chars = 0, 1, 0
    for start in range(0, len(body), _CHUNK_BYTES):
        chunk = kept + body[start : start + _CHUNK_BYTES]
        at = chunk.rfind(b"\\", -_ESCAPE_BYTES) if start + _CHUNK_BYTES < len(body) else -1
        kept = chunk[at:] if (at + 1 - len(chunk[: at + 1].rstrip(b"\\"))) % 2 else b""  # an escape goes on in the next chunk
        chunk = chunk[: len(chunk) - len(kept)].replace(b"\\\\", b"/").replace(b'\\"', b"/")
        pieces = chunk.split(b'"')
        count += len(b"".join(pieces[inside::2]).translate(None, _NO_STRUCTURE))
        texts = pieces[not inside :: 2]
        if not inside and len(pieces) % 2 and chunk.isascii() and b"\\u" not in chunk:  # whole texts, and all plain
            whole = b"".join(texts)
            total, texts = total + len(whole) - whole.count(b"\\"), []
        for number, piece in enumerate(texts):
            if number or not inside:  # else it goes on from the chunk before
                total, width, chars = total + width * chars, 1, 0
            width, chars = max(width, _width(piece)), chars + _chars(piece)
        inside ^= len(pieces) % 2 == 0
        length = length + _CHUNK_BYTES if inside and len(pieces) == 1 else 0
        if length > MAX_TEXT_BYTES:
            raise RequestError("too_large", f"the body has a text of more than {MAX_TEXT_BYTES} bytes")
        if count > most:
            raise RequestError("too_large", f"the body has more than {most} values; send fewer groups at once")
    return total + width * chars


def _width(text: bytes) -> int:
    if text.isascii() and b"\\u" not in text:
        return 1
    if text.translate(None, _BELOW_ASTRAL) or _ASTRAL_ESCAPE.search(text):
        return 4
    return 2 if text.translate(None, _LATIN) or _BEYOND_LATIN_ESCAPE.search(text) else 1


def _chars(text: bytes) -> int:
    return len(text.translate(None, _CONTINUING)) - text.count(b"\\") - 4 * text.count(b"\\u")


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
