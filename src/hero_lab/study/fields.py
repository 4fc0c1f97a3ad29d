"""Settings as text gives them, checked against the dataclass fields that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hero_lab.settings import RunSettings
from hero_rl.errors import InputError

_NOT_SETTINGS = {"label", "rule", "rule_settings", "seed"}
"""What a plan says elsewhere: in the rules and the seeds."""
_AT_LEAST = {
    "curve_every": 1, "prompts_per_step": 1, "group_size": 2, "held_out_samples": 1, "development_samples": 1, "early": 1,
}  # fmt: skip


@cache
def setting_types() -> dict[str, Any]:
    """Return name and type of every setting of a run that a plan may name."""
    hints = get_type_hints(RunSettings)
    return {name: hints[name] for name in sorted(hints) if name not in _NOT_SETTINGS}


def is_sequence(name: str) -> bool:
    """Whether the value of a setting is itself a list, so that a list does not mean several values."""
    return get_origin(setting_types()[name]) is tuple


def checked_settings(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values with the types that their fields have.

    Raises:
        InputError: unknown name, wrong type, or a count below the smallest possible; begins with ``where``.
    """
    known = setting_types()
    check_names(values, list(known), where)
    found = {name: _checked(value, known[name], f"{where}: {name}") for name, value in values.items()}
    for name, least in _AT_LEAST.items():
        if name in found and found[name] < least:
            raise InputError(f"{where}: {name} = {found[name]} must be at least {least}")
    return found


def check_names(values: Mapping[str, Any], known: list[str], where: str) -> None:
    """Raise where a key is not among the known ones."""
    for name in values:
        if name not in known:
            raise InputError(f"{where}: unknown key {name!r}; known: {', '.join(known)}")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _checked(value: Any, kind: Any, where: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise InputError(f"{where} = {value!r} must be a table of settings")
        hints = get_type_hints(kind)
        check_names(value, [field.name for field in fields(kind)], where)
        return kind(**{name: _checked(entry, hints[name], f"{where}.{name}") for name, entry in value.items()})
    try:
        return _adapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        raise InputError(f"{where} = {value!r}: {error.errors()[0]['msg'].lower()}") from error
