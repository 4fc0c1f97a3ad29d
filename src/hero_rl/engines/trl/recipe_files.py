"""Recipes in: files, what they extend and ``--set`` assignments, merged and checked.

    layers (--set, the file, what it extends; the strongest first)  --merge-->  --validate-->  Recipe

Every message names the file and line, or the --set, that the value came from. Only ``check_arguments`` imports TRL.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from hero_rl.engines.trl.recipe import Recipe
from hero_rl.engines.trl.toml_text import KeyPath, line_of
from hero_rl.errors import InputError, require

MAX_EXTENDS = 5
OPTIONAL_TABLES = ("sft", "reward_model", "batch")
"""``sft = false`` takes away what an extended recipe has."""


class Layer(NamedTuple):
    """One source of values."""

    label: str
    """The file as the user named it, or ``--set``."""
    text: str
    """The file's text, to find lines in."""
    values: dict[str, Any]


class Loaded(NamedTuple):
    """A recipe and where it came from."""

    name: str
    """Without folder and suffix for a file, the packaged name otherwise."""
    recipe: Recipe
    layers: tuple[Layer, ...]
    """The strongest first."""

    def where(self, *key: str) -> str:
        """File and line of a key, as messages begin."""
        return _where(self.layers, key)


def packaged() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    root = Path(str(resources.files("hero_rl") / "recipes"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.toml"))}


def load_recipe(name: str, assignments: Sequence[str] = ()) -> Loaded:
    """The recipe of a file or of a packaged name, with assignments on top.

    Args:
        name: path of a TOML file, or the name of a packaged recipe such as ``paper/qwen3-4b-hard``.
        assignments: such as ``trl.learning_rate=2e-6``; a value that is no TOML is taken as text.

    Raises:
        InputError: no such recipe, not TOML, an unknown key, a value of the wrong type or out of range.
    """
    layers = [*(_assignment(text) for text in reversed(assignments)), *_files(name)]
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        _merge(merged, layer.values)
    merged.pop("extends", None)
    for table in OPTIONAL_TABLES:
        if merged.get(table) is False:
            del merged[table]
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        # a missing key is often only a misspelt one, which is then the message to read first
        items = sorted(error.errors(), key=lambda item: item["type"] == "missing")
        raise InputError("\n".join(_explain(item, layers) for item in items)) from None
    return Loaded(name if name in packaged() else Path(name).stem, recipe, tuple(layers))


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
        text, values = _parse(path)
        layers.append(Layer(str(path), text, values))
        parent = values.get("extends")
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


def _parse(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8; a recipe is a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from error


def _assignment(text: str) -> Layer:
    key, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts):
        raise InputError(f"--set {text}: write KEY=VALUE with a dotted key, such as --set trl.learning_rate=2e-6")
    if parts == ("extends",):
        raise InputError(f"--set {text}: a recipe extends another in its file only")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    for part in reversed(parts):
        parsed = {part: parsed}
    return Layer(f"--set {text}", "", parsed)


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        elif isinstance(value, Mapping):
            target[name] = {}
            _merge(target[name], value)
        else:
            target[name] = value


def _where(layers: Iterable[Layer], key: KeyPath) -> str:
    """The strongest layer that has the key, with its line; the recipe file where none has it."""
    files = [layer for layer in layers if not layer.label.startswith("--set")]
    for layer in layers:
        value: Any = layer.values
        for part in key:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            line = line_of(layer.text, key)
            return f"{layer.label}:{line}" if line else layer.label
    return files[0].label if files else "recipe"


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


def unknown_key(where: str, key: KeyPath, known: Iterable[str], what: str) -> str:
    """The message for a key that does not exist, with the nearest one that does.

    Args:
        where: file and line.
        key: the unknown key.
        known: the last parts that there are.
        what: these are, in the plural.
    """
    known = sorted(known)
    close = difflib.get_close_matches(key[-1], known, n=1)
    if close:
        return f"{where}: unknown key {'.'.join(key)!r}; did you mean {'.'.join((*key[:-1], close[0]))!r}?"
    shown = ", ".join(known) if len(known) <= 25 else f"the {what} are in its documentation"
    return f"{where}: unknown key {'.'.join(key)!r}; {what if len(known) <= 25 else 'choose'}: {shown}"


def _fields(key: KeyPath) -> list[str]:
    model: Any = Recipe
    for part in key:
        annotation = model.model_fields[part].annotation
        model = next(
            kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)
        )
    return list(model.model_fields)
