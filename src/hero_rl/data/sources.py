"""Where problems come from: a file, a folder in a Hugging Face layout, or a dataset on the hub, a row at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from hero_rl.data.decontaminate import BenchmarkProblem
from hero_rl.data.formats import last_user_turn, value_at
from hero_rl.data.gym import PREFIX as GYM
from hero_rl.data.gym import open_gym
from hero_rl.data.manifest import file_facts, folder_facts
from hero_rl.data.problem_text import tidy_text
from hero_rl.data.problems import Form, Problem, Several, make_problem
from hero_rl.data.tables import SUFFIXES, files_of, read_values
from hero_rl.errors import HeroError, InputError, first_line, require
from hero_rl.files import unchanged
from hero_rl.models.hub import hub_or_cache

PROBLEM_NAMES = ("problem", "question")
REFERENCE_NAMES = ("reference", "answer", "answers", "expected_answer", "ground_truth")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra", "precalculus",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Columns, rows and place of a data set."""

    problem: str | None = None
    """Column with the problem, or a path into one; None: the one of ``PROBLEM_NAMES`` that the first row has."""
    reference: str | None = None
    """Column with the reference; None: the one of ``REFERENCE_NAMES`` that the first row has."""
    form: Form = "text"
    where: Mapping[str, str] = field(default_factory=dict[str, str])
    """Only rows that have these texts in these columns."""
    dataset: str = ""
    """Its id on the hub."""
    configs: tuple[str | None, ...] = (None,)
    split: str = "train"


KNOWN: Mapping[str, Layout] = {
    "openmathreasoning": Layout(
        dataset="nvidia/OpenMathReasoning", split="cot", problem="problem", reference="expected_answer",
        where={"problem_type": "has_answer_extracted"},
    ),
    "bigmath": Layout(dataset="SynthLabsAI/Big-Math-RL-Verified", problem="problem", reference="answer"),
    "deepscaler": Layout(dataset="agentica-org/DeepScaleR-Preview-Dataset", problem="problem", reference="answer"),
    "math": Layout(
        dataset="EleutherAI/hendrycks_math", configs=_SUBJECTS, problem="problem", reference="solution", form="boxed"
    ),
    "gsm8k": Layout(dataset="openai/gsm8k", configs=("main",), problem="question", reference="answer", form="hashes"),
}  # fmt: skip
"""Data sets by short name; their ids on the hub work as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """How a source is read; None: as the data set has it."""

    like: str | None = None
    """A key of ``KNOWN``: the source is a copy of that data set."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """``problem`` and ``reference`` to columns of the source."""
    where: Mapping[str, str] = field(default_factory=dict[str, str])
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    several: Several = "alternatives"
    difficulty: int | None = None
    """Of tasks that reasoning-gym makes."""


class Source(NamedTuple):
    """An open source."""

    facts: dict[str, object]
    """For the manifest; the hub's revision is filled in when the first row is read."""
    skipped: Counter[str]
    """Rows read and rows left out, filled while the problems are read."""
    problems: Iterator[Problem]


Rows: TypeAlias = Iterator[tuple[str, Mapping[str, object]]]
"""Place and columns of each row."""


def find_known(name: str) -> Layout | None:
    """Return the layout of a data set that is known by its short name or its id."""
    by_id = {layout.dataset.casefold(): layout for layout in KNOWN.values()}
    return KNOWN.get(name.casefold()) or by_id.get(name.casefold())


def open_source(name: str, settings: SourceSettings, limit: int | None = None, seed: int = 0) -> Source:
    """Open a source; its problems come tidied, in its order.

    Rows without a problem or without a reference are left out and counted, and so are rows that ``where`` excludes. ``name`` is
    a file of rows, a folder in a Hugging Face layout, a key of ``KNOWN``, a dataset id, or
    ``reasoning-gym:NAME[,NAME...]``, for which ``limit`` and ``seed`` are.

    Raises:
        InputError: no such thing, or (while reading) a missing column, a value of another type, a broken line.
        MissingDependencyError: a data set without the package datasets, Parquet without pyarrow.
    """
    skipped: Counter[str] = Counter(rows=0)
    if name.startswith(GYM):
        for option in ("like", "columns", "where", "config", "split", "revision"):
            if getattr(settings, option):
                raise InputError(f"{name}: makes its own tasks; --{option} is for data sets, leave it out")
        return Source(
            {"generator": name, "difficulty": settings.difficulty},
            skipped,
            open_gym(name, settings.difficulty, limit, seed, skipped),
        )
    if settings.difficulty is not None:
        raise InputError(f"--difficulty {settings.difficulty}: for {GYM}NAME alone; leave it out")
    path = Path(name).expanduser()
    layout = _layout(name, settings)
    if path.is_file() or name.endswith(SUFFIXES):
        for option, value in (("config", settings.config), ("split", settings.split), ("revision", settings.revision)):
            if value is not None:
                raise InputError(f"{name}: is a file; --{option} {value} is for data sets, leave it out")
        rows, facts, label = _file(path), file_facts(path), settings.like or path.name
    else:
        facts = folder_facts(path) if path.is_dir() else {"dataset": layout.dataset or name}
        facts |= {"configs": list(layout.configs), "split": layout.split, "revision": settings.revision}
        rows = _dataset_rows(str(path) if path.is_dir() else layout.dataset or name, layout, facts)
        label = settings.like or str(facts.get("dataset") or facts["folder"])
    return Source(facts, skipped, _problems(rows, layout, settings.several, label, skipped, name))


def read_benchmark(name: str) -> tuple[dict[str, object], list[BenchmarkProblem]]:
    """Return facts for the manifest and the problems of a benchmark: a file, or a data set on the hub as NAME[:SPLIT]."""
    path = Path(name).expanduser()
    facts: dict[str, object]
    if path.is_dir():
        raise InputError(f"--against {name}: is a folder; give the files with the benchmark's problems")
    if not path.exists() and not name.endswith(SUFFIXES):
        split_of, _, split = name.partition(":")
        known = find_known(split_of)
        layout = Layout(
            dataset=known.dataset if known else split_of, configs=known.configs if known else (None,), split=split or "test"
        )
        facts = {"dataset": layout.dataset, "split": layout.split, "revision": None}
        rows = _dataset_rows(layout.dataset, layout, facts)
    else:
        rows, facts = _file(path), file_facts(path)
    found: list[BenchmarkProblem] = []
    label = str(facts.get("file") or facts.get("dataset"))
    column = ""
    for number, (where, row) in enumerate(rows, start=1):
        column = column or _first_of(where, row, PROBLEM_NAMES, "a problem")
        text = row.get(column)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}: column {column!r} must be a text that is not empty, got {str(text)[:60]!r}")
        identity = row.get("id", row.get("prompt_id", number))
        found.append(BenchmarkProblem(label, str(identity), tidy_text(text)))
    if not found:
        raise InputError(f"{name}: has no rows; expected one benchmark problem per row")
    return {**facts, "problems": len(found)}, found


def _layout(name: str, settings: SourceSettings) -> Layout:
    if settings.like is not None and settings.like not in KNOWN:
        raise InputError(f"--like {settings.like}: unknown; choose one of {', '.join(KNOWN)}")
    foreign = set(settings.columns) - {"problem", "reference"}
    if foreign:
        raise InputError(f"--columns {foreign.pop()}=...: unknown; map problem=COLUMN and reference=COLUMN")
    base = find_known(settings.like or name) or Layout()
    if settings.like is not None:  # the columns of that data set, in another place
        base = replace(base, dataset="", configs=(None,), split="train")
    return replace(
        base,
        problem=settings.columns.get("problem", base.problem),
        reference=settings.columns.get("reference", base.reference),
        where={**base.where, **settings.where},
        configs=(settings.config,) if settings.config else base.configs,
        split=settings.split or base.split,
    )


def _problems(rows: Rows, layout: Layout, several: Several, label: str, skipped: Counter[str], name: str) -> Iterator[Problem]:
    problem, reference = layout.problem, layout.reference
    for where, row in rows:
        skipped["rows"] += 1
        problem = problem or _first_of(where, row, PROBLEM_NAMES, "a problem")
        reference = reference or _first_of(where, row, REFERENCE_NAMES, "a reference")
        try:
            values = {column: value_at(row, column) for column in (problem, reference, *layout.where)}
        except InputError as error:
            hint = "name the columns with --columns problem=COLUMN,reference=COLUMN"
            raise InputError(f"{where}: {error}; {hint}") from None
        if any(values[column] != text for column, text in layout.where.items()):
            skipped["left out by --where"] += 1
            continue
        own = row.get("source")
        source = own if isinstance(own, str) and own.strip() else label
        try:
            found = make_problem(last_user_turn(values[problem]), values[reference], source, form=layout.form, several=several)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if not found.problem:
            skipped["without a problem"] += 1
        elif not found.references:
            skipped["without a reference"] += 1
        else:
            yield found
    if not skipped["rows"]:
        raise InputError(f"{name}: has no rows; expected one problem per row")


def _first_of(where: str, row: Mapping[str, object], names: tuple[str, ...], what: str) -> str:
    for name in names:
        if name in row:
            return name
    raise InputError(
        f"{where}: no column for {what}: looked for {', '.join(names)} (this row has: {', '.join(row) or 'none'}); "
        "name it with --columns problem=COLUMN,reference=COLUMN"
    )


def _file(path: Path) -> Rows:
    files_of(path)  # raises where there are none

    def rows() -> Rows:
        with unchanged(path):
            yield from read_values(path)

    return rows()


def _dataset_rows(dataset: str, layout: Layout, facts: dict[str, object]) -> Rows:
    require("datasets", extra="train", purpose="reading a Hugging Face dataset")
    columns = [name for name in (layout.problem, layout.reference, *layout.where, "source") if name]
    revision = facts["revision"] = _revision(dataset, facts["revision"])
    for config in layout.configs:
        label = f"{dataset}{f'/{config}' if config else ''} [{layout.split}]"
        loaded = _load(dataset, config, layout.split, revision, columns if layout.problem and layout.reference else None)
        facts["revision"] = facts["revision"] or _cached_commit(dataset, config)
        rows = iter(loaded)
        number = 0
        while True:
            number += 1
            try:
                values: Mapping[str, Any] = next(rows)
            except StopIteration:
                break
            except Exception as error:  # whatever a reader of an unknown format raises
                raise HeroError(f"{label}, row {number}: cannot be read: {first_line(error)}") from error
            yield f"{label}, row {number}", values


def _revision(dataset: str, asked: object) -> str | None:
    """Return the commit that a revision stands for now, so that what is written down is what is read; offline: as asked."""
    if asked is not None and not isinstance(asked, str):
        return None
    if Path(dataset).is_dir():
        return asked
    hub = require("huggingface_hub", extra="train", purpose="reading a Hugging Face dataset")
    try:
        with hub_or_cache(dataset):
            return hub.HfApi().dataset_info(dataset, revision=asked, timeout=30).sha
    except (OSError, ValueError):  # offline, no such data set, not allowed: loading it says which
        return asked


def _cached_commit(dataset: str, config: str | None) -> str | None:
    """Return the commit of a data set that is read from the cache: the name of its folder."""
    if Path(dataset).is_dir():
        return None
    from datasets import load_dataset_builder

    folder = Path(load_dataset_builder(dataset, config).cache_dir).name
    return folder if _COMMIT.fullmatch(folder) else None


def _load(
    dataset: str, config: str | None, split: str, revision: str | None, columns: list[str] | None
) -> Iterable[Mapping[str, Any]]:
    """Return the rows, streamed; of a data set that is only in the cache, from there."""
    from datasets import load_dataset

    try:
        with hub_or_cache(dataset):
            stream = load_dataset(dataset, config, split=split, revision=revision, streaming=True)
    except Exception as error:  # noqa: BLE001  # tried in another way, then told
        try:
            with hub_or_cache(dataset):
                return load_dataset(dataset, config, split=split, revision=revision)  # pyright: ignore[reportReturnType]
        except Exception:  # noqa: BLE001  # datasets raises a dozen types; the first error is the one to tell
            raise InputError(
                f"{dataset}: no such file or folder here, and as a Hugging Face dataset"
                f"{f' (configuration {config!r})' if config else ''}, split {split!r}, it cannot be read: {first_line(error)}"
            ) from error
    names = stream.column_names or []
    wanted = list(dict.fromkeys(name if name in names else name.partition(".")[0] for name in columns or ()))
    if not wanted or not set(wanted) - {"source"} <= set(names):
        return stream
    wanted = [name for name in wanted if name in names]
    try:
        # Parquet is read by columns: the solutions of a reasoning data set, most of its bytes, are not even fetched
        return load_dataset(dataset, config, split=split, revision=revision, streaming=True, columns=wanted)
    except (TypeError, ValueError):  # another format, which has no such option
        return stream.select_columns(wanted)
