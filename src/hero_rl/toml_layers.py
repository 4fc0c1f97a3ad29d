"""TOML files and ``--set`` assignments in layers: merged, searched for the line of a key, written again.

    layers (the strongest first: --set, a file, the files it extends)  --merged-->  one dictionary

Every message names the file and line, or the option, that a value came from.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from hero_rl.errors import InputError, first_line

KeyPath: TypeAlias = tuple[str, ...]
MAX_SHOWN_KEYS = 30


class Layer(NamedTuple):
    """One source of values."""

    label: str
    """The file as the user named it, ``--set KEY=VALUE``, or a flag such as ``--alpha``."""
    values: Mapping[str, Any]
    text: str | None = None
    """The text of a file, in which lines are found; None: no file."""


def read_file(path: Path) -> Layer:
    """Return the layer of a TOML file; raises InputError if it cannot be read, or is not TOML."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return Layer(str(path), tomllib.loads(text), text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8; give a TOML file") from error
    except (ValueError, RecursionError) as error:  # of values nested too deep, or a number of thousands of digits
        raise InputError(f"{path}: not TOML: {first_line(error)}") from error


def assignment(text: str) -> Layer:
    """Return the layer of ``--set KEY=VALUE``; a value that is not TOML is text."""
    key, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts):
        raise InputError(f"--set {text}: write KEY=VALUE with a dotted key, such as --set rule.alpha=0.1")
    values: Any
    try:
        (values,) = tomllib.loads(f"value = {value}").values()
    except (ValueError, RecursionError):  # not TOML, or more than one value
        values = value.strip()
    for part in reversed(parts):
        values = {part: values}
    return Layer(f"--set {text}", values)


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return the values of all layers; of two that have one key, the stronger (earlier) counts."""
    result: dict[str, Any] = {}
    for layer in reversed(layers):
        _merge(result, layer.values)
    return result


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            inner = target.get(name)
            target[name] = inner if isinstance(inner, dict) else {}
            _merge(target[name], value)
        else:
            target[name] = value


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of the values that differ.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4})
    ['a.c', 'd']
    """
    one, other = _flat(first), _flat(second)
    return [name for name in one | other if one.get(name) != other.get(name)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def where(layers: Sequence[Layer], key: KeyPath) -> str:
    """Return the place of a key in the strongest layer that has it, as ``file:line`` or the option; else the file, or ""."""
    for layer in layers:
        value: Any = layer.values
        for part in key:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            line = line_of(layer.text, key) if layer.text is not None else None
            return f"{layer.label}:{line}" if line else layer.label
    return next((layer.label for layer in layers if layer.text is not None), "")


def unknown_key(place: str, key: KeyPath, known: Iterable[str], what: str) -> str:
    """Return the message for an unknown key; ``known`` are the last parts that would be right, ``what`` names them."""
    known = list(known)
    close = difflib.get_close_matches(key[-1], known, n=1)
    if close:
        return f"{place}: unknown key {'.'.join(key)!r}; did you mean {'.'.join((*key[:-1], close[0]))!r}?"
    if len(known) > MAX_SHOWN_KEYS:
        return f"{place}: unknown key {'.'.join(key)!r}; the {what} are in its documentation"
    return f"{place}: unknown key {'.'.join(key)!r}; {what}: {', '.join(known) or 'none'}"


def line_of(text: str, key: KeyPath) -> int | None:
    """Return the line number (from 1) of a key in a TOML text; None where this simple search misses it."""
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


def dump(values: Mapping[str, Any], prefix: KeyPath = ()) -> str:
    """Return the values as TOML text; a None is left out."""
    plain = {name: value for name, value in values.items() if value is not None and not isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    for name, value in values.items():
        if isinstance(value, Mapping):
            path = (*prefix, name)
            lines += ["", f"[{'.'.join(map(_key, path))}]", dump(value, path).rstrip("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)  # JSON has no infinity
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value(item)}" for name, item in value.items()) + "}"
    plain = value if isinstance(value, bool | int) else str(value)
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
