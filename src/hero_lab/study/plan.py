"""A plan of a study: TOML -> tables -> runs, with everything checked before anything runs.

    title = "HERO against its rivals"
    [run]                                         # settings of every run: fields of RunSettings
    steps = 100
    [run.cold_start]
    steps = 500

    [[table]]
    name = "main"
    claim = "HERO beats the verifier alone"       # a sentence that the comparison decides
    seeds = "0-4"
    regime = ["hard", "mixed"]                    # lists are crossed; so is reward_model = { rows = [..] }
    rules = ["verifier_only", "hero", { rule = "hero", name = "hero, KL", kl = 0.05 }]
    compare = [["hero", "verifier_only"]]         # or compare = "hero": against every other rule
    best_of = { candidate = "hero", others = ["verifier_only"] }
    horizons = [50, 100]                          # steps at which the rules are compared; the last one decides
    metric = "accuracy"                           # or "greedy"
    tags = ["H"]                                  # held-out prompts; by default those that were trained on
    [table.run]                                   # settings that differ for this table
    kl = 0.05

A cell is one combination of the crossed lists, on one kind of held-out prompts.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from hero_lab.settings import RunSettings, plan_run
from hero_lab.study.fields import check_names, checked_settings, is_sequence, setting_types
from hero_rl.errors import InputError

Axis: TypeAlias = tuple[str, object]
"""Name and value of a crossed setting."""
Metric: TypeAlias = Literal["accuracy", "greedy"]
TAGS = ("V", "H")
_OWN_KEYS = ("name", "claim", "seeds", "rules", "compare", "best_of", "horizons", "metric", "tags", "run")


class PlannedRun(NamedTuple):
    """One run and its place in a table."""

    cell: tuple[Axis, ...]
    """The values of the crossed lists."""
    arm: str
    """What the rule is called in the table."""
    run: RunSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOf:
    """A rule against the best of others in each cell."""

    candidate: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """One comparison of a study."""

    name: str
    claim: str
    axes: tuple[tuple[str, tuple[object, ...]], ...]
    """The crossed lists, in the order of the file."""
    arms: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    """Candidate and baseline of each comparison."""
    best_of: BestOf | None
    horizons: tuple[int, ...]
    metric: Metric
    tags: tuple[str, ...] | None
    """Kinds of held-out prompts; None: those that were trained on."""
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A study."""

    path: Path
    title: str
    tables: tuple[TablePlan, ...]

    def runs(self) -> tuple[RunSettings, ...]:
        """Every run once, however many tables show it: those of the first table first, seed by seed."""
        unique = {planned.run.digest: planned.run for table in reversed(self.tables) for planned in reversed(table.runs)}
        return tuple(reversed(unique.values()))

    def only(self, names: Sequence[str]) -> Plan:
        """The plan with the tables of these names alone; their runs stay what they are in the whole plan.

        Raises:
            InputError: there is no such table.
        """
        known = [table.name for table in self.tables]
        for name in names:
            if name not in known:
                raise InputError(f"{self.path}: has no table {name!r}; it has {', '.join(known)}")
        return replace(self, tables=tuple(table for table in self.tables if table.name in names))


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
    check_names(content, ["title", "run", "table"], str(path))
    tables, shared = content.get("table"), content.get("run", {})
    if not isinstance(tables, list) or not tables:
        raise InputError(f"{path}: has no [[table]]; give at least one")
    if not isinstance(shared, dict):
        raise InputError(f"{path}: run must be a table of settings: [run]")
    checked_settings(shared, f"{path}: [run]")
    found = [_read_table(f'{path}: [[table]] "{table.get("name", place + 1)}"', table, shared)
             for place, table in enumerate(tables)]  # fmt: skip
    names = [table.name for table in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two tables are called {twice!r}; give each its own name")
    return Plan(path=path, title=str(content.get("title", path.stem)), tables=tuple(_with_all_looks(found)))


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


def _read_table(where: str, content: Mapping[str, Any], shared: Mapping[str, Any]) -> TablePlan:
    check_names(content, [*_OWN_KEYS, *setting_types()], where)
    for key, kind in (("name", str), ("claim", str), ("rules", list), ("seeds", str)):
        if not isinstance(content.get(key), kind) or not content[key]:
            wanted = {"seeds": 'a text such as "0-4"', "rules": "a list of rules"}.get(key, "a text")
            raise InputError(f"{where}: {key} = {content.get(key)!r} must be {wanted}")
    if not re.fullmatch(r"[\w.-]+", content["name"]):
        raise InputError(f"{where}: the name is used for files; use letters, digits, dots, - and _ alone")
    own = content.get("run", {})
    if not isinstance(own, dict):
        raise InputError(f"{where}: run must be a table of settings: [table.run]")
    rules = [_read_rule(where, rule) for rule in content["rules"]]
    arms = tuple(name for name, _, _ in rules)
    for name in arms:
        if arms.count(name) > 1:
            raise InputError(f"{where}: two rules are called {name!r}; give one another name: {{ rule = ..., name = ... }}")
    settings, axes = _axes(where, {key: value for key, value in content.items() if key not in _OWN_KEYS})
    base = _merged(_merged(shared, own), settings)
    checked_settings(base, where)
    horizons = _horizons(where, content.get("horizons"), base)
    seeds = parse_seeds(content["seeds"], f"{where}: seeds")
    first = {name: values[0] for name, values in axes}
    runs = [
        PlannedRun(cell, name, _shared_run(where, base, cell, first, rule, changes, seed, horizons))
        for seed in seeds
        for cell in _cells(axes)
        for name, rule, changes in rules
    ]
    metric, tags = content.get("metric", "accuracy"), content.get("tags")
    if metric not in get_args(Metric):
        raise InputError(f"{where}: metric = {metric!r} must be one of {', '.join(get_args(Metric))}")
    if tags is not None and (not isinstance(tags, list) or not tags or any(tag not in TAGS for tag in tags)):
        raise InputError(f"{where}: tags = {tags!r} must be a list of {', '.join(TAGS)}")
    return TablePlan(
        name=content["name"], claim=content["claim"], axes=axes, arms=arms,
        pairs=_pairs(where, content.get("compare", []), arms), best_of=_best_of(where, content.get("best_of"), arms),
        horizons=horizons, metric=metric, tags=None if tags is None else tuple(tags), runs=tuple(runs),
    )  # fmt: skip


def _read_rule(where: str, rule: Any) -> tuple[str, str, dict[str, Any]]:
    """Name, rule in the little language of ``presets``, and settings of its own."""
    if isinstance(rule, str):
        return rule, rule, {}
    if not isinstance(rule, dict) or not isinstance(rule.get("rule"), str) or not isinstance(rule.get("name", ""), str):
        raise InputError(f'{where}: rules: {rule!r} must be a text, or {{ rule = "hero", name = "...", and settings }}')
    check_names(rule, ["rule", "name", *setting_types()], f"{where}: rules")
    return rule.get("name", rule["rule"]), rule["rule"], {k: v for k, v in rule.items() if k not in ("rule", "name")}


def _axes(where: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[tuple[str, tuple[object, ...]], ...]]:
    """Settings with one value, and the crossed lists; a list inside a subtable is ``reward_model.rows``."""
    settings: dict[str, Any] = {}
    axes: list[tuple[str, tuple[object, ...]]] = []
    for name, value in values.items():
        inner = value if isinstance(value, dict) else {"": value}
        for key, entry in inner.items():
            full = f"{name}.{key}" if key else name
            if isinstance(entry, list) and not is_sequence(name):
                if not entry:
                    raise InputError(f"{where}: {full} is an empty list; give at least one value")
                if len({repr(one) for one in entry}) < len(entry):
                    raise InputError(f"{where}: {full} = {entry!r} has a value twice")
                axes.append((full, tuple(entry)))
            else:
                settings = _merged(settings, _nested(full, entry))
    return settings, tuple(axes)


def _cells(axes: Sequence[tuple[str, tuple[object, ...]]]) -> Iterator[tuple[Axis, ...]]:
    names = [name for name, _ in axes]
    for values in itertools.product(*(values for _, values in axes)):
        yield tuple(zip(names, values, strict=True))


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


def _horizons(where: str, value: Any, base: Mapping[str, Any]) -> tuple[int, ...]:
    default = [base.get("steps", RunSettings.__dataclass_fields__["steps"].default)]
    horizons = default if value is None else value
    if not isinstance(horizons, list) or not horizons or any(type(step) is not int or step < 1 for step in horizons):
        raise InputError(f"{where}: horizons = {horizons!r} must be a list of steps such as [50, 100]")
    return tuple(sorted(set(horizons)))


def _run(
    where: str, base: Mapping[str, Any], cell: tuple[Axis, ...], rule: str, changes: Mapping[str, Any], seed: int,
    horizons: tuple[int, ...],
) -> RunSettings:  # fmt: skip
    values = dict(base)
    for name, value in cell:
        values = _merged(values, _nested(name, value))
    settings = checked_settings({"steps": max(horizons), **_merged(values, changes)}, where)
    if settings["steps"] < max(horizons):
        raise InputError(f"{where}: horizon {max(horizons)} lies beyond the end of a run, steps = {settings['steps']}")
    try:
        run = plan_run(rule, seed=seed, **settings)
        run.build_rule()
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return replace(run, looks=_looks(run, (*run.looks, *horizons)))


_OF_SCORES = ("tier", "hackable", "score_noise", "reward_model")
_OF_VERDICTS = ("verifier_recall", "verifier_noise")


def _shared_run(
    where: str, base: Mapping[str, Any], cell: tuple[Axis, ...], first: Mapping[str, object], rule: str,
    changes: Mapping[str, Any], seed: int, horizons: tuple[int, ...],
) -> RunSettings:  # fmt: skip
    """The run of a rule in a cell: that of the first value of a list that the rule is blind to.

    The verifier alone learns the same whatever the reward model, and the reward model alone whatever the verifier. What is
    measured of the signal that such a run does not use is then of the first value, too.
    """
    run = _run(where, base, cell, rule, changes, seed, horizons)
    built = run.build_rule()
    blind = (() if built.needs_scores else _OF_SCORES) + (() if built.needs_verdicts else _OF_VERDICTS)
    seen = tuple((name, first[name] if name.partition(".")[0] in blind else value) for name, value in cell)
    return run if seen == cell else _run(where, base, seen, rule, changes, seed, horizons)


def _looks(run: RunSettings, wanted: Sequence[int]) -> tuple[int, ...]:
    """The steps at which held-out prompts are looked at besides the start, the early step and the end."""
    return tuple(sorted(set(wanted) - {0, run.early, run.steps}))


def _with_all_looks(tables: Sequence[TablePlan]) -> Iterator[TablePlan]:
    """Runs that are equal but for when they are looked at become one: looking changes nothing."""
    looks: dict[str, set[int]] = {}
    for table in tables:
        for planned in table.runs:
            looks.setdefault(replace(planned.run, looks=()).digest, set()).update(planned.run.looks)
    for table in tables:
        runs = [
            planned._replace(
                run=replace(planned.run, looks=_looks(planned.run, tuple(looks[replace(planned.run, looks=()).digest])))
            )
            for planned in table.runs
        ]
        yield replace(table, runs=tuple(runs))


def _pairs(where: str, value: Any, arms: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if isinstance(value, str):
        _check_arms(where, "compare", [value], arms)
        return tuple((value, other) for other in arms if other != value)
    if not isinstance(value, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in value):
        raise InputError(f'{where}: compare = {value!r} must be a rule, or a list of pairs: [["hero", "verifier_only"]]')
    for pair in value:
        _check_arms(where, "compare", pair, arms)
        if pair[0] == pair[1]:
            raise InputError(f"{where}: compare: {pair[0]!r} against itself")
    return tuple((pair[0], pair[1]) for pair in value)


def _best_of(where: str, value: Any, arms: tuple[str, ...]) -> BestOf | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("candidate"), str) or not isinstance(value.get("others"), list):
        raise InputError(f'{where}: best_of = {value!r} must be {{ candidate = "...", others = ["...", ...] }}')
    check_names(value, ["candidate", "others"], f"{where}: best_of")
    _check_arms(where, "best_of", [value["candidate"], *value["others"]], arms)
    if not value["others"] or value["candidate"] in value["others"]:
        raise InputError(f"{where}: best_of: others must be other rules than the candidate, at least one")
    return BestOf(candidate=value["candidate"], others=tuple(value["others"]))


def _check_arms(where: str, key: str, names: Sequence[Any], arms: tuple[str, ...]) -> None:
    for name in names:
        if name not in arms:
            raise InputError(f"{where}: {key}: {name!r} is not among the rules of the table: {', '.join(arms)}")
