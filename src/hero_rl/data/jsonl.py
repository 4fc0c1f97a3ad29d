"""Rows of a `.jsonl` or `.jsonl.gz` file, with the text of every member kept so that it can be written back unchanged.

The file is read a line at a time with a cap on the length of a line, so that memory is bounded whatever the file holds.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, cast

from hero_rl.errors import InputError

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is an error: a response of 64 MiB is a file without line breaks, not a response."""
MAX_NUMBER_CHARS = 4000
"""Python refuses to convert longer integers, and no column needs one."""

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")


class Parsed(NamedTuple):
    """One JSON object: the values by name, and the text of each member (`"name": value`) as it stood in the file."""

    values: dict[str, object]
    texts: dict[str, str]


class _NotJson(ValueError):
    """What is wrong with one line, without the file and the line number."""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and text of every line that is not blank.

    Raises:
        InputError: a line is longer than ``MAX_LINE_BYTES`` or is not UTF-8, or the gzip data is damaged.
    """
    number = 0
    with open_binary(path) as file:
        while True:
            number += 1
            try:
                line = file.readline(MAX_LINE_BYTES + 1)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise InputError(f"{path}:{number}: the gzip data is cut off or damaged ({error})") from error
            if not line:
                return
            if len(line) > MAX_LINE_BYTES:
                raise InputError(
                    f"{path}:{number}: the line is longer than {MAX_LINE_BYTES // 2**20} MiB; "
                    "expected one JSON object a line (is this one big JSON document, or another format?)"
                )
            text = _decoded(line.removeprefix(_BOM) if number == 1 else line, path, number)
            if not text.isspace() and text:
                yield number, text


def open_binary(path: Path) -> BinaryIO:
    """The file's bytes, decompressed where its name ends in `.gz`."""
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}:{number}: not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1} of the line; "
            "convert the file to UTF-8"
        ) from error


def parse_line(text: str, where: str) -> Parsed:
    """The members of one JSON object, in order.

    Args:
        text: one line.
        where: file and line number, the start of every message.

    Raises:
        InputError: not JSON, not an object, a name that occurs twice, or a literal NaN or Infinity.
    """
    try:
        return _parse_object(text)
    except _NotJson as error:
        raise InputError(f"{where}: {error}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON: {error.msg} at column {error.pos + 1}") from error
    except RecursionError as error:
        raise InputError(f"{where}: not usable: lists or objects nested too deeply") from error


def _parse_object(text: str) -> Parsed:
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        value, _ = _scan(text, position)
        raise _NotJson(f"expected a JSON object, got {_kind(value)}")
    values: dict[str, object] = {}
    texts: dict[str, str] = {}
    position = _skip(text, position + 1)
    if text[position : position + 1] == "}":
        return _finished(text, position + 1, values, texts)
    while True:
        start = position
        if text[position : position + 1] != '"':
            raise json.JSONDecodeError("expected a column name in double quotes", text, position)
        name, position = _DECODER.raw_decode(text, position)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise json.JSONDecodeError("expected ':' after the column name", text, position)
        value, position = _scan(text, _skip(text, position + 1))
        if name in values:
            raise _NotJson(f"column {name!r} occurs twice in one row")
        values[name] = value
        texts[name] = text[start:position]
        position = _skip(text, position)
        after = text[position : position + 1]
        position = _skip(text, position + 1)
        if after == "}":
            return _finished(text, position, values, texts)
        if after != ",":
            raise json.JSONDecodeError("expected ',' or '}' after the value", text, min(position, len(text)))


def _finished(text: str, position: int, values: dict[str, object], texts: dict[str, str]) -> Parsed:
    position = _skip(text, position)
    if position < len(text):
        raise json.JSONDecodeError("more text after the object", text, position)
    return Parsed(values, texts)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not JSON; write null where a number is missing")


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARS:
        raise _NotJson(f"a number of {len(text)} digits is too long")
    return int(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_SLOW_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_integer)


def _scan(text: str, position: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except (json.JSONDecodeError, _NotJson):
        raise
    except ValueError:  # an integer longer than Python converts: say so in our words
        return _SLOW_DECODER.raw_decode(text, position)


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list (is the whole file one JSON document? write one object a line)"
    return {str: "a string", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def format_row(texts: Mapping[str, str], added: Mapping[str, object], *, drop: frozenset[str]) -> str:
    """One output line (with its line break): the members as they stood, less those in ``drop``, then ``added``."""
    members = [text for name, text in texts.items() if name not in drop]
    members.extend(f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in added.items())
    return "{" + ", ".join(members) + "}\n"
