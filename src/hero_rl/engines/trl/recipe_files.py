"""Recipes in: ``--set`` assignments, a reward file, the recipe and what it extends, merged and checked.

Every message names the file and line, or the --set, that the value came from. Only ``check_arguments`` imports TRL.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from hero_rl.config import KEYS as REWARD_KEYS
from hero_rl.config import RewardConfig, combined, read_reward
from hero_rl.engines.trl.recipe import Recipe
from hero_rl.errors import InputError, require
from hero_rl.toml_layers import KeyPath, Layer, assignment, read_file, unknown_key, where

MAX_EXTENDS = 5
OPTIONAL_TABLES = ("sft", "batch")
"""``sft = false`` takes away what an extended recipe has; so does ``reward_model = false``."""


class Loaded(NamedTuple):
    """A recipe and where it came from."""

    name: str
    """Without folder and suffix for a file, the packaged name otherwise."""
    recipe: Recipe
    reward: RewardConfig
    layers: tuple[Layer, ...]
    """The strongest first."""

    def where(self, *key: str) -> str:
        """Return file and line of a key, as messages begin."""
        return _where(self.layers, key)

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default filled in, as TOML can hold it: what is unset is absent."""
        return self.recipe.model_dump(exclude_none=True, exclude={"reward_model"}) | self.reward.resolved()


def packaged() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    root = Path(str(resources.files("hero_rl") / "recipes"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.toml"))}


def load_recipe(name: str, assignments: Sequence[str] = (), *, reward: Path | None = None) -> Loaded:
    """Return the recipe of a file or of a packaged name, with a reward file and assignments on top.

    Args:
        name: path of a TOML file, or the name of a packaged recipe such as ``paper/qwen3-4b-hard``.
        assignments: such as ``trl.learning_rate=2e-6``; a value that is no TOML is taken as text.
        reward: a reward file, whose tables are stronger than those of the recipe.

    Raises:
        InputError: no such recipe, not TOML, an unknown key, a value of the wrong type or out of range.
    """
    sets = [assignment(text) for text in reversed(assignments)]
    for layer in sets:
        if "extends" in layer.values:
            raise InputError(f"{layer.label}: a recipe extends another in its file only")
    sources = [sets, [read_file(reward)] if reward else [], *([layer] for layer in _files(name))]
    layers = tuple(layer for group in sources for layer in group)
    found = combined(sources)
    found.pop("extends", None)
    for table in OPTIONAL_TABLES:
        if found.get(table) is False:
            del found[table]
    try:
        recipe = Recipe.model_validate(found)
    except ValidationError as error:
        # a missing key is often only a misspelt one, which is then the message to read first
        items = sorted(error.errors(), key=lambda item: item["type"] == "missing")
        raise InputError("\n".join(_explain(item, layers) for item in items)) from None
    described = [[layer._replace(values=_reward_part(layer.values)) for layer in group] for group in sources]
    return Loaded(name if name in packaged() else Path(name).stem, recipe, read_reward(described, present=False), layers)


def _reward_part(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in REWARD_KEYS}


def check_arguments(loaded: Loaded, table: KeyPath, config_class: type, reserved: Mapping[str, str]) -> dict[str, Any]:
    """The arguments in a pass-through table, checked against the fields of TRL's configuration class.

    Args:
        loaded: the recipe.
        table: ``("trl",)`` or ``("sft", "trl")``.
        config_class: ``GRPOConfig`` or ``SFTConfig``.
        reserved: arguments that the recipe says elsewhere, with the place.

    Raises:
        InputError: an unknown or reserved argument, or a value of the wrong type.
    """
    require("trl", extra="train", purpose="hero train")
    given: Any = loaded.recipe
    for part in table:
        given = getattr(given, part)
    fields = {field.name for field in dataclasses.fields(config_class) if field.init}
    hints = typing.get_type_hints(config_class)
    problems: list[str] = []
    checked: dict[str, Any] = {}
    for name, value in given.items():
        key = (*table, name)
        if name in reserved:
            problems.append(f"{loaded.where(*key)}: {'.'.join(key)!r} is set by {reserved[name]}; leave it out here")
        elif name not in fields:
            problems.append(unknown_key(loaded.where(*key), key, fields, f"arguments of TRL's {config_class.__name__}"))
        else:
            try:
                checked[name] = TypeAdapter(hints[name]).validate_python(value)
            except ValidationError as error:
                problems.append(f"{loaded.where(*key)}: {'.'.join(key)} = {value!r}: {_reason(error.errors()[0])}")
    if problems:
        raise InputError("\n".join(problems))
    return checked


def _files(name: str) -> list[Layer]:
    """The recipe file and what it extends, the strongest first."""
    layers: list[Layer] = []
    folder = Path()
    while True:
        path = _find(name, folder, layers)
        layers.append(read_file(path))
        parent = layers[-1].values.get("extends")
        if parent is None:
            return layers
        if not isinstance(parent, str):
            raise InputError(f"{_where(layers, ('extends',))}: extends = {parent!r}: name one recipe, as text")
        if len(layers) > MAX_EXTENDS:
            raise InputError(f"{path}: more than {MAX_EXTENDS} recipes extend one another; is it a circle?")
        name, folder = parent, path.parent


def _find(name: str, folder: Path, layers: Sequence[Layer]) -> Path:
    known = packaged()
    path = folder / Path(name).expanduser()
    if path.is_file():
        return path
    if name in known:
        return known[name]
    source = f"{_where(layers, ('extends',))}: " if layers else ""
    if path.is_dir():
        raise InputError(f"{source}{path}: is a folder; give a recipe file (TOML)")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; packaged recipes: {', '.join(known)}"
    raise InputError(f"{source}{path}: no such recipe, neither a file nor a packaged name{hint}")


def _where(layers: Sequence[Layer], key: KeyPath) -> str:
    return where(layers, key, default="recipe")


def _explain(item: Any, layers: Sequence[Layer]) -> str:
    key = tuple(str(part) for part in item["loc"])
    where, name = _where(layers, key), ".".join(key)
    if item["type"] == "extra_forbidden":
        return unknown_key(where, key, _fields(key[:-1]), f"keys of [{'.'.join(key[:-1])}]" if key[1:] else "keys")
    if item["type"] == "missing":
        return f"{where}: {name!r} is missing; add it, or give --set {name}=..."
    return f"{where}: {name} = {item['input']!r}: {_reason(item)}"


def _reason(item: Any) -> str:
    text = str(item["msg"])
    return text[:1].lower() + text[1:]


def _fields(key: KeyPath) -> list[str]:
    model: Any = Recipe
    for part in key:
        annotation = model.model_fields[part].annotation
        model = next(
            kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)
        )
    return list(model.model_fields)
