"""Rows of a JSON Lines file, each with its text, so that what is not touched can be written back unchanged; JSON arrays.

The file is read a line at a time with a cap on the length of a line, so that memory is bounded whatever the file holds.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from hero_rl.errors import InputError, require

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is an error: a response of 64 MiB is a file without line breaks, not a response."""

_CHUNK_CHARS = 2**20
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_BETWEEN = re.compile(r"[ \t\n\r,]*")


class _NotJson(ValueError):
    """The fault of one line, without the file and the line number."""


def open_bytes(path: Path) -> BinaryIO:
    """Open a file to read; `.gz` and `.zst` are unpacked."""
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    if path.suffix == ".zst":
        arrow = require("pyarrow", extra="train", purpose="reading .zst files")
        return cast("BinaryIO", io.BufferedReader(arrow.input_stream(str(path), compression="zstd")))
    return path.open("rb")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and text of every line that is not blank; raises InputError for what is no such file."""
    number = 0
    with open_bytes(path) as file:
        while True:
            number += 1
            try:
                line = file.readline(MAX_LINE_BYTES + 1)
            except (EOFError, OSError, zlib.error) as error:
                kind = {".gz": "gzip ", ".zst": "zstd "}.get(path.suffix, "")
                raise InputError(f"{path}:{number}: the {kind}data is cut off or damaged ({error})") from error
            if not line:
                return
            if len(line) > MAX_LINE_BYTES:
                raise InputError(
                    f"{path}:{number}: the line is longer than {MAX_LINE_BYTES // 2**20} MiB; "
                    "expected one JSON object per line (is this one big JSON document, or another format?)"
                )
            try:
                text = (line.removeprefix(_BOM) if number == 1 else line).decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}:{number}: not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start + 1} of the "
                    "line; convert the file to UTF-8"
                ) from error
            if text and not text.isspace():
                yield number, text


def is_array(path: Path) -> bool:
    """Return whether a `.json` file is one list; else it is read as JSON Lines."""
    with open_bytes(path) as file:
        try:
            return file.read(4096).removeprefix(_BOM).lstrip()[:1] == b"["
        except (EOFError, OSError, zlib.error):
            return False  # reading its lines says what is wrong


def read_array(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield number (from 1) and columns of every object of a JSON list, a piece of the file at a time."""
    number = position = 0
    with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as file:
        try:
            text = file.read(_CHUNK_CHARS).lstrip()[1:]
            while True:
                position = cast("re.Match[str]", _BETWEEN.match(text, position)).end()
                where = f"{path}, row {number + 1}"
                if text[position : position + 1] == "]":
                    return
                try:
                    _, end = _SCANNER.raw_decode(text, position)
                except json.JSONDecodeError as error:  # perhaps because the rest is not there yet
                    text, position = text[position:], 0
                    more = file.read(max(_CHUNK_CHARS, len(text))) if len(text) <= MAX_LINE_BYTES else ""
                    if not more:
                        raise InputError(f"{where}: not JSON: {error.msg}; is the list cut off?") from error
                    text += more
                    continue
                except RecursionError as error:
                    raise InputError(f"{where}: not usable: lists or objects nested too deeply") from error
                number += 1
                yield number, parse_line(text[position:end], where)
                position = end
        except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
            raise InputError(f"{path}, after row {number}: cannot be read: {error}") from error


def parse_line(text: str, where: str) -> dict[str, object]:
    """Return the columns of one JSON object, in order; messages begin with ``where``.

    Raises:
        InputError: not JSON, not an object, a name that occurs twice, or a literal NaN or Infinity.
    """
    try:
        value: object = _DECODER.decode(text)
    except _NotJson as error:
        raise InputError(f"{where}: {error}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON: {error.msg.removesuffix(' at')} at column {error.pos + 1}") from error
    except ValueError as error:
        raise InputError(f"{where}: a number of thousands of digits is too long") from error
    except RecursionError as error:
        raise InputError(f"{where}: not usable: lists or objects nested too deeply") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {_kind(value)}")
    if isinstance(value, _Repeating):
        raise InputError(f"{where}: column {value.repeated!r} occurs twice in one row")
    return cast("dict[str, object]", value)


class _Repeating(dict[str, object]):
    """An object in which a name occurs twice; only at the top of a row is that an error."""

    repeated = ""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    repeating = _Repeating(pairs)
    seen = [name for name, _ in pairs]
    repeating.repeated = next(name for name in seen if seen.count(name) > 1)
    return repeating


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not JSON; write null where a number is missing")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_object)


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list (is the whole file one JSON document? write one object per line)"
    return {str: "a string", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def format_row(text: str, names: Collection[str], added: Mapping[str, object], *, drop: frozenset[str]) -> str:
    """Return one output line with its line break: the object as it stood, less the columns in ``drop``, then ``added``.

    ``text`` is a line that ``parse_line`` accepts, ``names`` are those of its columns.
    """
    new = [f"{_ENCODER.encode(name)}: {_ENCODER.encode(value)}" for name, value in added.items()]
    if not drop.isdisjoint(names):
        kept = [member for name, member in _members(text) if name not in drop]
    else:  # the members as one piece, whatever stands between them
        inside = text.strip()[1:-1].strip()
        kept = [inside] if inside else []
    return "{" + ", ".join(kept + new) + "}\n"


_ENCODER = json.JSONEncoder(allow_nan=False)
_SCANNER = json.JSONDecoder()


def _members(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and text (`"name": value`) of each member of an object that is known to be valid and not empty."""
    position = text.index("{")
    while text[position] != "}":
        start = _skip(text, position + 1)
        name, position = _SCANNER.raw_decode(text, start)
        _, position = _SCANNER.raw_decode(text, _skip(text, _skip(text, position) + 1))
        yield name, text[start:position]
        position = _skip(text, position)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
