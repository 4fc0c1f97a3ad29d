"""The meaning of each setting of a rule, verifier or reward model, from the docstring of its constructor."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from hero_rl.imports import settings_of


class Setting(NamedTuple):
    """A setting, as tables and commented files show it."""

    name: str
    default: Any
    """None: none, or what suits the part."""
    text: str


def describe(constructor: Callable[..., Any]) -> list[Setting]:
    """Return the settings of a constructor, in its order."""
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
