"""The checks of a reward file: keys, types, names and ranges, each refused with its place."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

from pydantic import NonNegativeInt, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from hero_rl import parts
from hero_rl.errors import InputError
from hero_rl.imports import types_of
from hero_rl.part_names import check_scorer, check_verifier
from hero_rl.rewards import RewardRule, Scale, make_rule
from hero_rl.rewards.catalogue import find_rule
from hero_rl.toml_layers import KeyPath, Layer, merged, unknown_key, where
from hero_rl.types import Ask

TABLES = ("rule", "verifier", "reward_model")
KEYS = (*TABLES, "max_failure_rate", "on_unhealthy")
DEFAULTS = Layer(
    "defaults", {"rule": {"name": "hero"}, "verifier": {"name": "math"}, "max_failure_rate": 0.1, "on_unhealthy": "warn"}
)
RULE_KEYS: Mapping[str, Any] = {"scale": None}
"""Keys of ``[rule]`` that every rule has: the normalisation of advantages, by default the rule's own."""
VERIFIER_KEYS: Mapping[str, Any] = {
    "fallback": None, "ask": "abstain", "max_questions": None, "by_score": False, "cache": None,
}  # fmt: skip
"""Keys of ``[verifier]`` that every verifier has: a second verifier, when and how often it is asked and about which responses
first; a file for verdicts."""
SCORER_KEYS: Mapping[str, Any] = {"cache": None}
"""Keys of ``[reward_model]`` that every reward model has: a file that keeps scores between runs."""
_TYPES: Mapping[str, Mapping[str, Any]] = {
    "rule": {"name": str, "scale": Scale},
    "verifier": {"name": str, "fallback": str, "ask": Ask, "max_questions": NonNegativeInt, "by_score": bool, "cache": str},
    "reward_model": {"name": str, "cache": str},
}


def combined(sources: Sequence[Sequence[Layer]]) -> dict[str, Any]:
    """Return the values of all layers; a table with a new ``name`` starts anew (see ``read_reward``)."""
    result = merged([DEFAULTS])
    for group in reversed(sources):
        values = merged(group)
        for table in TABLES:
            if name_in(values, table) not in (None, name_in(result, table)):
                result.pop(table, None)
        result = merged([Layer("", values), Layer("", result)])
    if result.get("reward_model") is False:
        del result["reward_model"]
    return result


def name_in(values: Mapping[str, Any], table: str) -> Any:
    """Return the ``name`` in a table; None if there is none."""
    found = values.get(table)
    return found.get("name") if isinstance(found, Mapping) else None


def read_part(layers: Sequence[Layer], table: str, values: Any, *, present: bool = True) -> dict[str, Any] | None:
    """Return one of ``TABLES``, checked and without its empty values; None if there is no such part.

    ``present``: the folder of a model must be there already.
    """
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise InputError(f"{where(layers, (table,))}: {table} = {values!r}: give a table [{table}] with a name")
    found = {**DEFAULTS.values.get(table, {}), **{str(key): each for key, each in values.items() if each not in (None, "")}}
    name = found.get("name")
    if not isinstance(name, str):
        said = f"{table}.name = {name!r}" if name is not None else f"[{table}] has no name"
        example = ', such as name = "local:PATH"' if table == "reward_model" else ", as text"
        place = where(layers, (table,) if name is None else (table, "name"))
        raise InputError(f"{place}: {said}; give one{example}")
    if table == "reward_model" and name == "none":
        return None
    with placed(where(layers, (table, "name"))):
        if table == "rule":
            types = types_of(find_rule(name))
        elif table == "verifier":
            check_verifier(name)
            types = parts.types_in(parts.verifier_kinds(name))
        else:
            check_scorer(name, present=present)
            types = parts.types_in(parts.scorer_kinds(name))
    checked = _with_none(found, types) if table == "rule" else found  # ``read_rule`` alone reads "none" as None
    check_table(layers, (table,), checked, {**_TYPES[table], **types}, f"settings of {name}")
    return found


def read_rule(layers: Sequence[Layer], table: Mapping[str, Any]) -> RewardRule:
    """Return the rule of a checked table ``[rule]``; raises InputError for a value out of range."""
    types = types_of(find_rule(table["name"]))
    settings = _with_none({key: value for key, value in table.items() if key not in _TYPES["rule"]}, types)
    with blamed(layers, "rule", settings):
        rule = make_rule(table["name"], settings)
    return dataclasses.replace(rule, scale=table.get("scale", rule.scale))


def _with_none(values: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with None for the text "none" if the type has it: TOML has no other way to say it."""
    return {key: None if each == "none" and type(None) in get_args(types.get(key)) else each for key, each in values.items()}


def read_rate(layers: Sequence[Layer], rate: Any) -> float:
    """Return a checked ``max_failure_rate``; the default for an empty text."""
    if rate in (None, ""):
        return DEFAULTS.values["max_failure_rate"]
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0.0 <= rate <= 1.0:
        place = where(layers, ("max_failure_rate",))
        raise InputError(f"{place}: max_failure_rate={rate!r} must lie in [0, 1]; it is a share of the rows")
    return float(rate)


def check_fallback(layers: Sequence[Layer], table: Mapping[str, Any]) -> None:
    """Raise unless the keys of ``[verifier]`` that are about a second verifier go together."""
    fallback = table.get("fallback")
    with placed(where(layers, ("verifier", "fallback"))):
        if fallback == "none" or (fallback is not None and table["name"] == "none"):
            raise InputError(f"fallback = {fallback!r} behind {table['name']!r}: both must be able to answer; leave it out")
        if fallback is not None:
            check_verifier(fallback)
    for key in ("ask", "max_questions", "by_score"):
        if fallback is None and table.get(key) is not None:
            place = where(layers, ("verifier", key))
            raise InputError(f"{place}: {key} without a fallback; add verifier.fallback, or leave it out")
    if table.get("by_score") and table.get("max_questions") is None:
        place = where(layers, ("verifier", "by_score"))
        raise InputError(
            f"{place}: by_score without max_questions, so all are asked; add it, such as one per prompt of a batch"
        )


def check_table(
    layers: Sequence[Layer],
    table: KeyPath,
    values: Mapping[str, Any],
    types: Mapping[str, Any],
    what: str,
    *,
    strict: bool = True,
) -> dict[str, Any]:
    """Return the values of a table as pydantic reads them.

    Args:
        layers: the sources of the values.
        table: its path.
        values: its values; None is of every type.
        types: of all keys that it may have.
        what: these keys, in the plural, for a message.
        strict: a text is no number.

    Raises:
        InputError: unknown keys and values of the wrong type, a line each.
    """
    checked, problems = dict(values), list[str]()
    for name, value in values.items():
        key = (*table, name)
        if name not in types:
            problems.append(unknown_key(where(layers, key), key, types, what))
            continue
        try:
            adapter = TypeAdapter[Any](types[name])
        except PydanticUserError:  # a class of somebody's own
            continue
        try:
            # strict as JSON: text may stand for a path, and a list for a tuple
            text = json.dumps(value, default=str)
            checked[name] = adapter.validate_json(text, strict=True) if strict else adapter.validate_python(value)
        except ValidationError as error:
            if value is not None:
                problems.append(f"{where(layers, key)}: {'.'.join(key)} = {value!r}: {reason_of(error.errors()[0])}")
    if problems:
        raise InputError("\n".join(problems))
    return checked


def reason_of(item: Any) -> str:
    """Return what pydantic says of a value, as the end of a sentence."""
    text = str(item["msg"])
    return text[:1].lower() + text[1:]


@contextmanager
def blamed(layers: Sequence[Layer], table: str, settings: Iterable[str]) -> Iterator[None]:
    """Put the place of the setting that a message names (``key=value``) in front of it, or that of the part's name."""
    try:
        yield
    except InputError as error:
        key = next((key for key in settings if re.search(rf"\b{key}=", str(error))), "name")
        with placed(where(layers, (table, key))):
            raise


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Put the place, if there is one, in front of an error's message."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}" if place else str(error)) from error
