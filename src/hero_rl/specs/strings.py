"""The grammar of the strings: NAME, NAME:ARGUMENT, and [MODEL@]URL[,URL] as an argument."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from hero_rl.errors import InputError

T = TypeVar("T")

API_KEY = "HERO_API_KEY"
"""The environment variable with the key that servers are sent."""
ARGUMENTS: Mapping[str, str] = {
    "column": "NAME",
    "local": "PATH",
    "process": "PATH",
    "learned": "PATH",
    **dict.fromkeys(("vllm", "vllm-pooling", "sglang", "tei", "openrlhf"), "[MODEL@]URL"),
    **dict.fromkeys(("compass", "xverify", "general", "tinyv", "judge"), "[MODEL@]URL or PATH"),
    **dict.fromkeys(("any_of", "all_of", "majority"), "A,B,..."),
    "by": "COLUMN:VALUE=NAME,...",
}
"""What needs something after a colon, and what it is."""
_EXAMPLES: Mapping[str, str] = {
    "column": "column:correct",
    "local": "local:./my-reward-model",
    "process": "process:./my-process-reward-model",
    "learned": "learned:./my-verifier",
    "any_of": "any_of:math,exact",
    "all_of": "all_of:math,exact",
    "majority": "majority:math,exact,hendrycks",
    "by": "by:data_source:gsm8k=math,mmlu=choice",
}


class Address(NamedTuple):
    """Where a served model is."""

    model: str | None
    urls: list[str]


def split(spec: str, table: Mapping[str, object], option: str) -> tuple[str, str]:
    """Name and argument.

    Raises:
        InputError: unknown name, argument missing or out of place.
    """
    name, colon, argument = spec.partition(":")
    lookup(table, name, option)
    wanted = ARGUMENTS.get(name)
    if wanted and not argument:
        raise InputError(f"{option} {spec}: nothing after the colon; write {name}:{wanted}, such as {example(name)}")
    if colon and not wanted:
        raise InputError(f"{option} {spec}: {name!r} takes nothing after a colon; write {name}")
    return name, argument


def example(name: str) -> str:
    """Return a string that begins with this name, as a user would write it."""
    return _EXAMPLES.get(name, f"{name}:http://localhost:8000")


def is_url(argument: str) -> bool:
    """Whether an argument names a server rather than a folder or an id."""
    return "://" in argument


def address(argument: str, *, spec: str, option: str) -> Address:
    """Model and servers of ``[MODEL@]URL[,URL]``.

    Raises:
        InputError: a part that is no URL.
    """
    head, at, tail = argument.partition("@")
    # an @ inside a URL (user:password@host) is part of it
    model, rest = (head, tail) if at and "://" not in head else (None, argument)
    urls = [url.strip() for url in rest.split(",")]
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise InputError(
                f"{option} {spec}: {url!r} is no URL; write {spec.partition(':')[0]}:[MODEL@]URL[,URL], such as "
                f"{spec.partition(':')[0]}:http://localhost:8000"
            )
    return Address(model or None, urls)


def api_key() -> str | None:
    """The key for servers, from the environment."""
    return os.environ.get(API_KEY) or None


def names(table: Mapping[str, object]) -> str:
    """The strings of a table as people type them: `math, exact, column:NAME`."""
    return ", ".join(f"{name}:{ARGUMENTS[name]}" if name in ARGUMENTS else name for name in table)


def lookup(table: Mapping[str, T], name: str, option: str) -> T:
    """The entry of that name.

    Raises:
        InputError: there is none.
    """
    if name not in table:
        raise InputError(f"{option} {name}: unknown; choose one of {names(table)}")
    return table[name]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def refuse(what: str, **options: object) -> None:
    """Nothing; raises where an option was given that ``what`` does not have.

    Raises:
        InputError: it was.
    """
    foreign = list(given(**options))
    if foreign:
        raise InputError(f"{what} has no option {flags(foreign)}; leave it out")


def flags(options: list[str]) -> str:
    """Names of arguments as options of a command."""
    return ", ".join("--" + name.replace("_", "-") for name in options)
