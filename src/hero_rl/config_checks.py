"""The checks of a reward file: keys, types, names and ranges, each refused with its place."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

from hero_rl import parts
from hero_rl.errors import InputError
from hero_rl.imports import types_of
from hero_rl.part_names import check_verifier
from hero_rl.rewards import SCALES, RewardRule, make_rule, rule_settings
from hero_rl.rewards.catalogue import find_rule
from hero_rl.toml_layers import KeyPath, Layer, merged, unknown_key, where

TABLES = ("rule", "verifier", "reward_model")
KEYS = (*TABLES, "max_failure_rate")
DEFAULTS = Layer("defaults", {"rule": {"name": "hero"}, "verifier": {"name": "math"}, "max_failure_rate": 0.1})
RULE_KEYS: Mapping[str, Any] = {"scale": None}
"""Keys of ``[rule]`` that every rule has: the normalisation of advantages, by default the rule's own."""
VERIFIER_KEYS: Mapping[str, Any] = {"fallback": None, "ask": "abstain", "max_questions": None, "cache": None}
"""Keys of ``[verifier]`` that every verifier has: a second verifier, when and how often it is asked; a file for verdicts."""
SCORER_KEYS: Mapping[str, Any] = {"cache": None}
"""Keys of ``[reward_model]`` that every reward model has: a file that keeps scores between runs."""


def combined(sources: Sequence[Sequence[Layer]]) -> dict[str, Any]:
    """Return the values of all layers, where a table with a new ``name`` starts anew (see ``read_reward``)."""
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
    """Return the ``name`` in a table; None where there is none."""
    found = values.get(table)
    return found.get("name") if isinstance(found, Mapping) else None


def read_rule(layers: Sequence[Layer], table: Mapping[str, Any]) -> RewardRule:
    """Return the rule that a table ``[rule]`` describes.

    Raises:
        InputError: unknown name or key, a value of the wrong type or out of range.
    """
    name = table["name"]
    with placed(place_of(layers, ("rule", "name"))):
        constructor, known = find_rule(name), rule_settings(name)
    check_keys(layers, "rule", table, {**RULE_KEYS, **known})
    settings = {key: value for key, value in table.items() if key != "name" and key not in RULE_KEYS}
    types = types_of(constructor)
    for key, value in settings.items():
        if value == "none" and type(None) in get_args(types.get(key)):
            settings[key] = None  # TOML has no other way to say it
    check_types(layers, "rule", settings, types)
    with blamed(layers, "rule", settings):
        rule = make_rule(name, settings)
    if (scale := table.get("scale")) is None:
        return rule
    if scale not in SCALES:
        place = place_of(layers, ("rule", "scale"))
        raise InputError(f"{place}: scale={scale!r} is unknown; choose one of {', '.join(SCALES)}")
    return dataclasses.replace(rule, scale=scale)


def check_types(layers: Sequence[Layer], table: str, settings: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    """Raise where a setting is not of the type that the constructor's argument has.

    Raises:
        InputError: it is not.
    """
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    for key, value in settings.items():
        try:
            adapter = TypeAdapter(types.get(key, Any))
        except PydanticUserError:  # a class of somebody's own
            continue
        try:
            # as JSON: text may stand for a path, and a list for a tuple, and no text for a number
            adapter.validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            text = str(error.errors()[0]["msg"])
            place = place_of(layers, (table, key))
            raise InputError(f"{place}: {table}.{key} = {value!r}: {text[:1].lower() + text[1:]}") from None


def check_verifier_table(layers: Sequence[Layer], table: Mapping[str, Any]) -> None:
    """Raise unless the table ``[verifier]`` can be meant.

    Raises:
        InputError: unknown name or key, or keys that do not go together.
    """
    from hero_rl.verifiers.cascade import Ask

    with placed(place_of(layers, ("verifier", "name"))):
        check_verifier(table["name"])
        own, types = parts.verifier_settings(table["name"]), parts.types_in(parts.verifier_kinds(table["name"]))
    check_keys(layers, "verifier", table, {**VERIFIER_KEYS, **own})
    check_types(layers, "verifier", table, {**types, "max_questions": int, "cache": str, "fallback": str})
    fallback, ask = table.get("fallback"), table.get("ask")
    with placed(place_of(layers, ("verifier", "fallback"))):
        if fallback == "none" or (fallback is not None and table["name"] == "none"):
            raise InputError(f"fallback = {fallback!r} behind {table['name']!r}: both must be able to answer; leave it out")
        if fallback is not None:
            check_verifier(fallback)
    if ask is not None and ask not in get_args(Ask):
        raise InputError(
            f"{place_of(layers, ('verifier', 'ask'))}: ask={ask!r} is unknown; choose one of {', '.join(get_args(Ask))}"
        )
    if (most := table.get("max_questions")) is not None and most < 0:
        place = place_of(layers, ("verifier", "max_questions"))
        raise InputError(f"{place}: max_questions={most} must be 0 or more; leave it out for no limit")
    for key in ("ask", "max_questions"):
        if table.get(key) is not None and fallback is None:
            raise InputError(
                f"{place_of(layers, ('verifier', key))}: {key} without a fallback; add verifier.fallback, or leave it out"
            )


def check_keys(layers: Sequence[Layer], table: str, values: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise where a table has a key that its part does not know.

    Raises:
        InputError: it has.
    """
    for key in values:
        if key != "name" and key not in known:
            what = f"settings of {values['name']}"
            raise InputError(unknown_key(place_of(layers, (table, key)), (table, key), ["name", *known], what))


def read_part(layers: Sequence[Layer], name: str, value: Any) -> dict[str, Any] | None:
    """Return a table without its empty values; None where there is no such table.

    Raises:
        InputError: not a table, or a name that is no text.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InputError(f"{place_of(layers, (name,))}: {name} = {value!r}: give a table [{name}] with a name")
    found = {str(key): each for key, each in value.items() if each not in (None, "")}
    if not isinstance(found.get("name", ""), str):
        raise InputError(f"{place_of(layers, (name, 'name'))}: {name}.name = {found['name']!r}: give a name, as text")
    return {**DEFAULTS.values.get(name, {}), **found}


def place_of(layers: Sequence[Layer], key: KeyPath) -> str:
    """Return file and line of a key, or the option that says it; "" where nothing does."""
    return where(layers, key, default="")


@contextmanager
def blamed(layers: Sequence[Layer], table: str, settings: Iterable[str], *, otherwise: str = "name") -> Iterator[None]:
    """Put the place of the setting that a message names (``key=value``) in front of it, or that of another key."""
    try:
        yield
    except InputError as error:
        key = next((key for key in settings if re.search(rf"\b{key}=", str(error))), otherwise)
        with placed(place_of(layers, (table, key))):
            raise


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Put the place, if there is one, in front of an error's message."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}" if place else str(error)) from error
