"""``module:function``: a user's own rule, verifier or reward model, and the arguments it takes."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any, NamedTuple

from hero_rl.errors import HeroError, InputError, first_line


def import_object(path: str) -> Any:
    """Return what ``module:name`` names, modules of the current directory included; raises InputError if there is none."""
    module, _, name = path.partition(":")
    if not all(module.split(".")):
        raise InputError(f"{path}: cannot be imported (no module is called {module!r}); write module:function")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        value: Any = importlib.import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name is not None and not module.startswith(error.name):
            # the module is there, and something that it imports is not
            raise InputError(f"{path}: {module!r} imports {error.name!r}, which is not installed") from error
        raise InputError(f"{path}: cannot be imported ({first_line(error)}); write module:function") from error
    except HeroError:
        raise
    except (Exception, SystemExit) as error:  # whatever a module does while it is imported
        raise InputError(f"{path}: importing {module!r} raised {type(error).__name__}: {first_line(error)}") from error
    return value


def settings_of(constructor: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments of a constructor that may be given by name, with their defaults."""
    parameters = _parameters(constructor)
    return {
        one.name: None if one.default is one.empty else one.default
        for one in parameters
        if one.kind is one.KEYWORD_ONLY or (one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty)
    }


class Setting(NamedTuple):
    """A setting, as tables and commented files show it."""

    name: str
    default: Any
    """None: none, or what suits the part."""
    text: str


def describe(constructor: Callable[..., Any]) -> list[Setting]:
    """Return the settings of a constructor, in its order, with their meaning from the docstring."""
    texts = _arguments(inspect.getdoc(constructor) or "")
    if isinstance(constructor, type):
        texts |= _arguments(inspect.getdoc(constructor.__init__) or "")
    return [Setting(name, default, texts.get(name, "")) for name, default in settings_of(constructor).items()]


def _arguments(text: str) -> dict[str, str]:
    """Return the paragraphs under ``Args:`` of a docstring, each on one line."""
    found: dict[str, str] = {}
    name = ""
    lines = iter(text.splitlines())
    for line in lines:
        if line.strip() == "Args:":
            break
    for line in lines:
        if line and not line.startswith("    "):
            break
        if match := re.match(r"    (\w+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def types_of(constructor: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of the arguments in ``settings_of``; ``Any`` for one that is imported for type checkers only."""
    function: Any = constructor.__init__ if isinstance(constructor, type) else constructor
    hints = getattr(function, "__annotations__", {})
    found: dict[str, Any] = {}
    for name in settings_of(constructor):
        kind = hints.get(name, Any)
        try:
            found[name] = eval(kind, function.__globals__) if isinstance(kind, str) else kind  # as typing.get_type_hints
        except (NameError, AttributeError, TypeError):  # a name that is imported for type checkers only
            found[name] = Any
    return found


def is_factory(value: Any) -> bool:
    """Return True if ``value`` makes the part (a class, or a function without a required argument) and is not the part."""
    if isinstance(value, type):
        return True
    if not callable(value):
        return False
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return not any(one.kind not in by_name and one.default is one.empty for one in _parameters(value))


def installed_versions(*names: str) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    found: dict[str, str] = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _parameters(value: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(value).parameters.values())
    except ValueError as error:  # some that are written in C
        raise InputError(f"{first_line(error)}: its arguments cannot be read; wrap it in a function of your own") from error


def build(what: str, value: Any, settings: Mapping[str, Any], wrap: Callable[..., Any]) -> Any:
    """Return the part that a user's object makes (``is_factory``) or is, with these settings, as ``wrap`` gives it.

    Raises:
        InputError: it cannot take the settings, or raised an error.
    """
    try:
        return wrap(value(**settings)) if is_factory(value) else wrap(value, **settings)
    except (TypeError, OverflowError) as error:  # text or a list in the place of a number; an integer of hundreds of digits
        raise InputError(f"{what} cannot take {dict(settings)}: {error}") from error
    except HeroError:
        raise
    except Exception as error:
        raise InputError(f"{what} raised {type(error).__name__}: {first_line(error)}") from error


def check_settings(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ``InputError`` where settings are given that ``what`` does not have."""
    names = tuple(known)
    if foreign := [name for name in given if name not in names]:
        raise InputError(f"{what} has no setting {', '.join(map(repr, foreign))}; it has {', '.join(names) or 'none'}")


def refuse_missing(part: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Raise InputError if a keyword-only argument without a default is not among the settings."""
    try:
        parameters = _parameters(function)
    except InputError:  # one that is written in C
        return
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and one.default is one.empty and one.name not in settings:
            raise InputError(f"{part} has a setting without a default, {one.name!r}; give it a value")


def refuse_settings(part: str, settings: Mapping[str, Any]) -> None:
    """Raise InputError if a part that is made already is given settings."""
    if settings:
        raise InputError(f"{part} is made already and takes no settings ({', '.join(settings)})")
