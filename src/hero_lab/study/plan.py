"""A plan of a study: TOML -> tables -> runs, with everything checked before anything runs.

`hero lab study --help` and docs/lab-study.md show one. A cell is one combination of the crossed lists, on
one kind of held-out prompts.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from hero_lab.settings import RunSettings, plan_run
from hero_rl.errors import InputError
from hero_rl.rewards import RewardRule

Axis: TypeAlias = tuple[str, object]
"""Name and value of a crossed setting."""
Axes: TypeAlias = tuple[tuple[str, tuple[object, ...]], ...]
Place: TypeAlias = tuple[str, tuple[Axis, ...], str, int]
"""Table, cell, rule and seed."""
_OF_SCORES, _OF_VERDICTS = ("tier", "score_noise", "accepted_bonus", "reward_model"), ("verifier_recall", "false_positives")
SETTINGS = sorted({field.name for field in fields(RunSettings)} - {"label", "rule", "rule_settings", "seed"})
"""Settings that a plan may have; its rules and seeds say the others."""
_WANTED = {
    "name": "letters, digits, dots, - and _ alone: it is used for files", "claim": "a text", "seeds": 'a text such as "0-4"',
    "rules": 'a list of rules, each a text or { rule = "hero", name = "...", and settings }',
    "compare": 'a rule, or a list of pairs: [["hero", "verifier_only"]]',
    "best_of": '{ candidate = "...", others = ["...", ...] }', "horizons": "a list of steps such as [50, 100]",
}  # fmt: skip
"""The keys of a table that are no settings."""
MARGIN = 0.02
"""Differences of accuracy that are too small to matter, unless a plan says otherwise."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    rule: str
    name: str | None = None


class BestOf(BaseModel):
    """A rule against the best of others in each cell."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    candidate: str
    others: Annotated[tuple[str, ...], Field(min_length=1)]


class Primary(BaseModel):
    """The one claim of a study that is not corrected for the others: candidate minus baseline, pooled over tables."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    claim: Annotated[str, Field(min_length=1)]
    tables: Annotated[tuple[str, ...], Field(min_length=1)]
    candidate: str
    baseline: str
    margin: Annotated[float, Field(gt=0.0, lt=1.0)] = MARGIN


class _Table(BaseModel):
    """A table as the file has it; settings are extra keys."""

    model_config = ConfigDict(extra="allow", strict=True)
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    claim: Annotated[str, Field(min_length=1)]
    seeds: str
    rules: Annotated[list[str | _Rule], Field(min_length=1)]
    compare: str | list[tuple[str, str]] = []
    best_of: BestOf | None = None
    horizons: Annotated[list[PositiveInt], Field(min_length=1)] | None = None


class PlannedRun(NamedTuple):
    """One run and its place in a table."""

    cell: tuple[Axis, ...]
    """The values of the crossed lists."""
    arm: str
    """The name of the rule in the table."""
    run: RunSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """One comparison of a study."""

    name: str
    claim: str
    axes: Axes
    """The crossed lists, in the order of the file."""
    arms: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    """Candidate and baseline of each comparison."""
    best_of: BestOf | None
    horizons: tuple[int, ...]
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A study."""

    path: Path
    title: str
    tables: tuple[TablePlan, ...]
    primary: Primary | None = None

    def runs(self) -> tuple[RunSettings, ...]:
        """Every run once, however many tables show it, seed by seed: an unfinished study is one of fewer seeds."""
        unique: dict[str, RunSettings] = {}
        for run in sorted((planned.run for table in self.tables for planned in table.runs), key=lambda run: run.seed):
            unique.setdefault(run.digest, run)
        return tuple(unique.values())

    def places(self) -> dict[Place, RunSettings]:
        """The run of every place."""
        return {(table.name, one.cell, one.arm, one.run.seed): one.run for table in self.tables for one in table.runs}

    def only(self, names: Sequence[str]) -> Plan:
        """The plan with the tables of these names alone; their runs stay what they are in the whole plan."""
        check_names(names, [table.name for table in self.tables], f"{self.path}: --table")
        kept = tuple(table for table in self.tables if table.name in names)
        whole = self.primary is not None and set(self.primary.tables) <= set(names)
        return replace(self, tables=kept, primary=self.primary if whole else None)


def read_plan(path: Path) -> Plan:
    """The plan of a file.

    Raises:
        InputError: no such file, no TOML, or anything in it that cannot be run; names the file and the table.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a plan in TOML") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as TOML: {error}") from error
    check_names(content, ["title", "primary", "run", "table"], str(path))
    tables, shared = content.get("table"), content.get("run", {})
    if not isinstance(tables, list) or not tables or not isinstance(shared, dict):
        raise InputError(f"{path}: has no [[table]], or run is no table; give at least one [[table]], and settings under [run]")
    check_names(shared, SETTINGS, f"{path}: [run]")
    found = [_read_table(f'{path}: [[table]] "{table.get("name", place + 1)}"', table, shared)
             for place, table in enumerate(tables)]  # fmt: skip
    names = [table.name for table in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two tables are called {twice!r}; give each its own name")
    plan = Plan(path=path, title=str(content.get("title", path.stem)), tables=tuple(_with_all_looks(found)))
    primary = _read_primary(f"{path}: [primary]", content["primary"], found) if "primary" in content else None
    return replace(plan, primary=primary)


def parse_seeds(text: str, where: str) -> tuple[int, ...]:
    """The numbers of ``0``, ``0,2,5`` or ``0-4``.

    Raises:
        InputError: something else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise InputError(f"{where} {text!r}: {part!r} is neither a number nor a range such as 0-4")
        seeds.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(dict.fromkeys(seeds))


def check_names(names: Iterable[str], known: Sequence[str], where: str) -> None:
    """Raise where a name is not among the known ones."""
    for name in names:
        if name not in known:
            raise InputError(f"{where}: unknown key {name!r}; known: {', '.join(known)}")


def _read_table(where: str, content: Mapping[str, Any], shared: Mapping[str, Any]) -> TablePlan:
    check_names(content, [*_WANTED, *SETTINGS], where)
    try:  # strict as JSON: a list may stand for a tuple, but no text for a number
        table = _Table.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        raise InputError(f"{where}: {key} = {content.get(key)!r} must be {_WANTED[key]}") from error
    rules = [_Rule(rule=rule) if isinstance(rule, str) else rule for rule in table.rules]
    arms = tuple(rule.name or rule.rule for rule in rules)
    for arm, rule in zip(arms, rules, strict=True):
        check_names(rule.model_extra or {}, ["rule", "name", *SETTINGS], f"{where}: rules")
        if arms.count(arm) > 1:
            raise InputError(f"{where}: two rules are called {arm!r}; give one another name: {{ rule = ..., name = ... }}")
    settings, axes = _axes(where, table.model_extra or {})
    base = _merged(shared, settings)
    horizons = tuple(sorted(set(table.horizons or [base.get("steps", 100)])))
    runs: list[PlannedRun] = []
    for seed, cell in itertools.product(parse_seeds(table.seeds, f"{where}: seeds"), _cells(axes)):
        for arm, rule in zip(arms, rules, strict=True):
            run = _run(where, base, cell, rule, seed, horizons)
            seen = _seen(run.build_rule(), cell, axes)
            runs.append(PlannedRun(cell, arm, run if seen == cell else _run(where, base, seen, rule, seed, horizons)))
    pairs = table.compare
    if isinstance(pairs, str):
        pairs = [(pairs, other) for other in arms if other != pairs]
    for pair in pairs:
        _check_arms(where, "compare", pair, arms)
    if table.best_of is not None:
        _check_arms(where, "best_of", (table.best_of.candidate, *table.best_of.others), arms)
    return TablePlan(
        name=table.name, claim=table.claim, axes=axes, arms=arms, pairs=tuple(pairs), best_of=table.best_of, horizons=horizons,
        runs=tuple(runs),
    )  # fmt: skip


def _read_primary(where: str, content: object, tables: Sequence[TablePlan]) -> Primary:
    try:
        primary = Primary.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"{where}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error
    check_names(primary.tables, [table.name for table in tables], f"{where}: tables")
    runs = [{one.run.digest for one in table.runs} for name in primary.tables for table in tables if table.name == name]
    if len(set[str]().union(*runs)) < sum(map(len, runs)):
        raise InputError(f"{where}: tables {list(primary.tables)} share runs, which would count twice; name others")
    for table in tables:
        if table.name in primary.tables:
            _check_arms(where, table.name, (primary.candidate, primary.baseline), table.arms)
    return primary


def _axes(where: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], Axes]:
    """Settings with one value, and the crossed lists; a list inside a subtable is ``reward_model.rows``."""
    settings: dict[str, Any] = {}
    axes: list[tuple[str, tuple[object, ...]]] = []
    for name, value in values.items():
        inner = value if isinstance(value, dict) else {"": value}
        for key, entry in inner.items():
            full = f"{name}.{key}" if key else name
            if isinstance(entry, list) and name != "looks":
                if not entry:
                    raise InputError(f"{where}: {full} is an empty list; give at least one value")
                if len({repr(one) for one in entry}) < len(entry):
                    raise InputError(f"{where}: {full} = {entry!r} has a value twice")
                axes.append((full, tuple(entry)))
            else:
                settings = _merged(settings, _nested(full, entry))
    return settings, tuple(axes)


def _cells(axes: Axes) -> Iterator[tuple[Axis, ...]]:
    for values in itertools.product(*(values for _, values in axes)):
        yield tuple((name, value) for (name, _), value in zip(axes, values, strict=True))


def _nested(name: str, value: object) -> dict[str, Any]:
    first, dot, rest = name.partition(".")
    return {first: {rest: value}} if dot else {first: value}


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The second over the first, subtables key by key."""
    merged = dict(first)
    for name, value in second.items():
        before = merged.get(name)
        merged[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _run(
    where: str, base: Mapping[str, Any], cell: tuple[Axis, ...], rule: _Rule, seed: int, horizons: tuple[int, ...]
) -> RunSettings:
    values = {"steps": max(horizons), **base}
    for name, value in cell:
        values = _merged(values, _nested(name, value))
    try:
        run = plan_run(rule.rule, seed=seed, **_merged(values, rule.model_extra or {}))
        run.build_rule()
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if run.steps < max(horizons):
        raise InputError(f"{where}: horizon {max(horizons)} lies beyond the end of a run, steps = {run.steps}")
    return replace(run, looks=_looks(run, {*run.looks, *horizons}))


def _seen(rule: RewardRule, cell: tuple[Axis, ...], axes: Axes) -> tuple[Axis, ...]:
    """The cell with the first value of a list in place of one that the rule is blind to.

    The verifier alone learns the same whatever the reward model, and the reward model alone whatever the verifier. What is
    measured of the signal that such a run does not use is then of the first value, too.
    """
    blind = (() if rule.needs_scores else _OF_SCORES) + (() if rule.needs_verdicts else _OF_VERDICTS)
    first = {name: values[0] for name, values in axes}
    return tuple((name, first[name] if name.partition(".")[0] in blind else value) for name, value in cell)


def _looks(run: RunSettings, wanted: set[int]) -> tuple[int, ...]:
    """The steps at which held-out prompts are looked at besides the start, the early step and the end."""
    return tuple(sorted(wanted - {0, run.early, run.steps}))


def _with_all_looks(tables: Sequence[TablePlan]) -> Iterator[TablePlan]:
    """Runs that are equal but for when they are looked at become one: looking changes nothing."""
    looks: dict[str, set[int]] = {}
    for planned in itertools.chain(*(table.runs for table in tables)):
        looks.setdefault(_without_looks(planned.run), set()).update(planned.run.looks)
    for table in tables:
        runs = [(planned, _looks(planned.run, looks[_without_looks(planned.run)])) for planned in table.runs]
        yield replace(table, runs=tuple(planned._replace(run=replace(planned.run, looks=own)) for planned, own in runs))


def _without_looks(run: RunSettings) -> str:
    return replace(run, looks=()).digest


def _check_arms(where: str, key: str, names: Sequence[str], arms: tuple[str, ...]) -> None:
    for name in names:
        if name not in arms:
            raise InputError(f"{where}: {key}: {name!r} is not among the rules of the table: {', '.join(arms)}")
    if names[0] in names[1:]:
        raise InputError(f"{where}: {key}: {names[0]!r} against itself")
