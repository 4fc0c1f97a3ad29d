"""The names of verifiers and reward models, as commands, files and engines say them.

    math   column:correct   compass:MODEL@http://judge:8000   any_of:math,exact          a verifier
    local:./my-rm   vllm:MODEL@http://rm:8000,http://rm2:8000   column:rm_score          a reward model
    my_package.my_module:my_function                                                     either: your own

A name is read here without importing or loading anything; ``parts`` makes what it names.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hero_rl.errors import InputError
from hero_rl.models.known import resolve

API_KEY = "HERO_API_KEY"
"""The environment variable with the key that servers are sent."""


class Kind(NamedTuple):
    """A name and what it makes."""

    target: str
    """The constructor, as ``module:name``."""
    argument: str = ""
    """The text after the colon, for people; "": none."""
    example: str = ""
    hidden: tuple[str, ...] = ()
    """Keyword arguments of the constructor that the name decides."""


_EVERY_ROW = ("prompt_id", "problem", "reference", "response", "finished", "steps")
_SERVED = "[MODEL@]URL"
JUDGES: Mapping[str, str] = {
    "compass": "compass", "xverify": "xverify", "general": "general", "tinyv": "tinyv", "judge": "generic",
}  # fmt: skip
PANELS = ("any_of", "all_of", "majority")
REMOTE = ("vllm", "vllm-pooling", "sglang", "tei", "openrlhf", "infinity")
_LOCAL = ("local", "process")

VERIFIERS: Mapping[str, Kind] = {
    "math": Kind("hero_rl.verifiers.math:MathVerifier"),
    "choice": Kind("hero_rl.verifiers.choice:ChoiceVerifier"),
    "exact": Kind("hero_rl.verifiers.exact:ExactVerifier"),
    "hendrycks": Kind("hero_rl.verifiers.compat:HendrycksVerifier"),
    "math_verify": Kind("hero_rl.verifiers.compat:MathVerifyVerifier"),
    "reasoning-gym": Kind("hero_rl.verifiers.gym:GymVerifier"),
    "column": Kind("hero_rl.verifiers.column:ColumnVerifier", "NAME", "column:correct"),
    "learned": Kind("hero_rl.verifiers.learned:LearnedVerifier", "PATH", "learned:./my-verifier"),
    **{
        name: Kind("hero_rl.verifiers.judge:JudgeVerifier", f"{_SERVED} or PATH", f"{name}:http://localhost:8000",
                   ("backend", "format", "model", "api_key"))
        for name in JUDGES
    },
    **{name: Kind(f"hero_rl.verifiers.votes:{name}", "A,B,...", f"{name}:math,exact") for name in PANELS},
    "by": Kind("hero_rl.verifiers.by:ByField", "COLUMN:VALUE=NAME,...", "by:data_source:gsm8k=math,mmlu=choice"),
}  # fmt: skip
REWARD_MODELS: Mapping[str, Kind] = {
    "column": Kind("hero_rl.scorers.column:ColumnScorer", "NAME", "column:rm_score"),
    "local": Kind("hero_rl.scorers.local:LocalScorer", "PATH", "local:./my-reward-model"),
    "process": Kind("hero_rl.scorers.process:ProcessScorer", "PATH", "process:./my-process-reward-model"),
    **{
        name: Kind("hero_rl.scorers.remote:RemoteScorer", _SERVED, f"{name}:http://localhost:8000",
                   ("dialect", "model", "api_key", "headers"))
        for name in REMOTE
    },
}  # fmt: skip


def names(table: Mapping[str, Kind]) -> str:
    """Return the names of a table as people type them: ``math, exact, column:NAME``."""
    known = (f"{name}:{kind.argument}" if kind.argument else name for name, kind in table.items())
    return ", ".join([*known, "module:function"])


def check_verifier(spec: str) -> None:
    """Raise InputError for a name that ``make_verifier`` will refuse; loads nothing."""
    if spec == "none" or is_import_path(spec, VERIFIERS):
        return
    name, argument = split(spec, VERIFIERS)
    if name in JUDGES and is_url(argument):
        address(argument, spec=spec)
    for member in members_of(spec):
        if member == "none" or member.startswith("by:"):
            raise InputError(f"{spec}: {member!r} cannot be one of its verifiers; name one that judges by itself")
        check_verifier(member)


def check_scorer(spec: str, *, present: bool = True) -> None:
    """Raise InputError for a name that ``make_scorer`` will refuse; loads nothing. ``present``: a folder must be there."""
    if is_import_path(spec, REWARD_MODELS):
        return
    name, argument = split(spec, REWARD_MODELS)
    if name in REMOTE:
        address(argument, spec=spec)
    if not (present and name in _LOCAL) or Path(resolve(argument)).exists():
        return
    if argument[0] in "./~" or argument.count("/") != 1:
        raise InputError(
            f"{spec}: no such folder as {argument!r}; give the folder of a saved transformers "
            "model, the name of a known one (`hero models`), or the id of one on the Hugging Face hub (owner/name)"
        )


def column_of(spec: str | None) -> tuple[str, ...]:
    """Return the column that ``column:NAME`` reads; an empty tuple for other names."""
    name, _, argument = (spec or "").partition(":")
    return (argument,) if name == "column" and argument else ()


def route_column(spec: str | None) -> str | None:
    """Return the column that ``by:COLUMN:...`` routes by; None for other names."""
    name, _, argument = (spec or "").partition(":")
    return argument.partition(":")[0] if name == "by" else None


def is_import_path(spec: str, table: Mapping[str, Kind]) -> bool:
    """Return True if a name is ``module:function`` and none of the table's."""
    return spec.partition(":")[0] not in table and re.fullmatch(r"[\w.]+:[\w.]+", spec) is not None


def members_of(spec: str) -> list[str]:
    """Return the names in a vote or a route; an empty list for other verifiers."""
    name, _, argument = spec.partition(":")
    if name == "by":
        return list(routes_of(spec)[1].values())
    if name not in PANELS:
        return []
    members: list[str] = []
    for part in argument.split(","):
        # a second address belongs to the judge before it: NAME:URL,URL are replicas
        if members and is_url(members[-1]) and part.strip().startswith(("http://", "https://")):
            members[-1] += f",{part.strip()}"
        else:
            members.append(part.strip())
    if len(members) < 2:
        raise InputError(f"{spec}: one voter is no vote; write {name}:A,B,...")
    return members


def routes_of(spec: str) -> tuple[str, dict[str, str]]:
    """Return the column, and the name of the verifier for each of its values."""
    column, _, rest = spec.partition(":")[2].partition(":")
    hint = f"write by:COLUMN:VALUE=NAME,..., such as {VERIFIERS['by'].example}"
    if not column.strip():
        raise InputError(f"{spec}: no column; {hint}")
    if column.strip() in _EVERY_ROW:
        raise InputError(f"{spec}: {column.strip()!r} is no column that tells kinds of problems apart; {hint}")
    routes: dict[str, str] = {}
    last = ""
    for part in rest.split(","):
        value, equals, member = part.partition("=")
        if last and (not equals or part.strip().startswith(("http://", "https://"))):
            routes[last] += f",{part.strip()}"  # of a verifier with commas of its own: any_of:math,exact
            continue
        last = value.strip()
        if not equals or not last or not member.strip() or last in routes:
            why = f"{last!r} stands there twice" if last in routes else f"{part.strip()!r} is no VALUE=NAME"
            raise InputError(f"{spec}: {why}; {hint}")
        routes[last] = member.strip()
    return column.strip(), routes


def split(spec: str, table: Mapping[str, Kind]) -> tuple[str, str]:
    """Return name and argument; raises InputError for an unknown name, or an argument missing or out of place."""
    name, colon, argument = spec.partition(":")
    if name not in table:
        close = difflib.get_close_matches(name, table, n=1)
        model, server = ("local", "vllm") if table is REWARD_MODELS else ("judge", "judge")
        if is_url(spec):
            hint = f"for a server, write {server}:{spec}"
        elif not colon and ("/" in spec or Path(resolve(spec)).exists()):
            hint = f"for a model, write {model}:{spec}"
        else:
            hint = f"did you mean {close[0]!r}?" if close else f"choose one of {names(table)}"
        raise InputError(f"{spec}: unknown; {hint}")
    kind = table[name]
    if kind.argument and not argument:
        raise InputError(f"{name!r} needs an argument; write {name}:{kind.argument}, such as {kind.example}")
    if colon and not kind.argument:
        raise InputError(f"{spec}: {name!r} takes nothing after a colon; write {name}")
    return name, argument


def is_url(argument: str) -> bool:
    """Return True if an argument names a server rather than a folder or an id."""
    return "://" in argument


def address(argument: str, *, spec: str) -> tuple[str | None, list[str]]:
    """Return model and servers of ``[MODEL@]URL[,URL]``."""
    head, at, tail = argument.partition("@")
    # an @ inside a URL (user:password@host) is part of it
    model, rest = (head, tail) if at and "://" not in head else (None, argument)
    urls = [url.strip() for url in rest.split(",")]
    name = spec.partition(":")[0]
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{spec}: {url!r} is no URL; write {name}:[MODEL@]URL[,URL], such as {name}:http://localhost:8000")
    return model or None, urls


def api_key() -> str | None:
    """Return the key for servers, from the environment."""
    return os.environ.get(API_KEY) or None
