"""The results that a table rests on: from the runs' own files, or from files that keep them without what nobody aggregates."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hero_lab.compare import Result
from hero_lab.grid import read_result
from hero_lab.study.plan import Axis, Place, Plan
from hero_rl.errors import InputError
from hero_rl.files import replacing

_LEFT_OUT = ("training", "digest", "format")
"""Of a result, what no table and no figure shows."""

DELETED_ARMS = {"noise_aware", "hero, refreshed"}
"""Arms that kept results name and that can no longer be run."""


class Entry(NamedTuple):
    """A result and its place in a study."""

    table: str
    cell: tuple[Axis, ...]
    arm: str
    seed: int
    result: Result


def collect(plan: Plan, out: Path, kept: Sequence[Entry] = ()) -> list[Entry]:
    """The results in ``out`` of the runs of a plan; where there is none, the kept one.

    Raises:
        InputError: a file of a run's name that is not its result.
    """
    results = kept_results(plan, kept)
    results |= {run.digest: result for run in plan.runs() if (result := read_result(run, out)) is not None}
    return [Entry(*place, results[run.digest]) for place, run in plan.places().items() if run.digest in results]


def kept_results(plan: Plan, kept: Sequence[Entry]) -> dict[str, Result]:
    """The kept results by the digest of the run that they are of."""
    places = plan.places()
    return {places[entry[:4]].digest: entry.result for entry in kept}


def keep(out: Path, table: str, entries: Sequence[Entry]) -> Path:
    """The path of a compressed file with one result per line: the same bytes for the same results."""
    path = out / f"{table}.jsonl.gz"
    with replacing(path) as partial, partial.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for entry in entries:
            place = {"table": entry.table, "cell": dict(entry.cell), "arm": entry.arm, "seed": entry.seed}
            file.write((json.dumps(place | {"result": slim(entry.result)}, allow_nan=False) + "\n").encode())
    return path


def read_kept(paths: Iterable[Path], plan: Plan) -> list[Entry]:
    """The results of a plan from files of ``keep``; those of other tables and of deleted arms are passed over.

    Raises:
        InputError: a file that is none of ``keep``, or a line that has no place in the plan.
    """
    places, tables = plan.places(), {table.name for table in plan.tables}
    found: dict[Place, Entry] = {}
    for path in paths:
        try:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                entries = [_entry(json.loads(line)) for line in lines]
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: is not a file of kept results ({error}); give OUT/TABLE.jsonl.gz of a study") from error
        for number, entry in enumerate(entries, 1):
            if entry.table not in tables or entry.arm in DELETED_ARMS:
                continue
            if entry[:4] not in places:
                where = ", ".join(f"{name}={value}" for name, value in entry.cell)
                raise InputError(
                    f"{path}: line {number}: {entry.arm!r} of seed {entry.seed} {where} is not in table {entry.table!r} of "
                    f"{plan.path}; give the plan that it was made with"
                )
            found[entry[:4]] = entry
    return [found[place] for place in places if place in found]


def slim(result: Result) -> dict[str, Any]:
    """A result without the log of training and without examples of responses."""
    held_out = {when: {name: {key: number for key, number in look.items() if key != "examples"} if name != "step" else look
                       for name, look in evaluation.items()}
                for when, evaluation in result["held_out"].items()}  # fmt: skip
    return {name: value for name, value in result.items() if name not in _LEFT_OUT} | {"held_out": held_out}


def _entry(line: Mapping[str, Any]) -> Entry:
    return Entry(line["table"], tuple(line["cell"].items()), line["arm"], line["seed"], line["result"])
