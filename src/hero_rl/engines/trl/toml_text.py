"""TOML text: written from values, and searched for the line of a key. Python's own tomllib reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str, ...]


def dump_toml(values: Mapping[str, Any], prefix: KeyPath = ()) -> str:
    """The values as TOML text."""
    lines = [f"{_key(name)} = {_value(value)}" for name, value in values.items() if not isinstance(value, Mapping)]
    for name, value in values.items():
        if isinstance(value, Mapping):
            path = (*prefix, name)
            lines += ["", f"[{'.'.join(map(_key, path))}]", dump_toml(value, path).rstrip("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def line_of(text: str, key: KeyPath) -> int | None:
    """Line number (from 1) of a key in a TOML text; None where it is written in a way that this simple search misses."""
    table: KeyPath = ()
    header = None
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$", line):
            table = _dotted(match[1])
            header = number if table == key else header
        elif (match := re.match(r"\s*([\w.\"'-]+)\s*=", line)) and (*table, *_dotted(match[1])) == key:
            return number
    return header


def _dotted(text: str) -> KeyPath:
    return tuple(part.strip(" \"'") for part in text.split("."))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value(item)}" for name, item in value.items()) + "}"
    return _string(str(value))


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'
