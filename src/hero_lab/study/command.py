"""`hero lab study`: run the comparisons of a plan on all processors, each run once, and say what each claim comes to."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hero_lab.study.plan import Plan, read_plan
from hero_rl.cli import show
from hero_rl.errors import HeroError, require
from hero_rl.sandbox import available_cpus

if TYPE_CHECKING:
    from hero_lab.compare import Result
    from hero_lab.study.collect import Entry

PACKAGES = ("trl", "matplotlib", "jinja2")
_DEFAULT_S_PER_ROLLOUT = 37 / 25_600
"""Of a run of 100 steps of 256 responses on a 2-core EPYC, evaluation included."""
_DEFAULT_MODELS_S = 95.0
HELP = """Run the comparisons of PLAN, a TOML file, and write tables, figures and a page.

Every run is done once, however many tables show it, in a process of its own with one thread. Results are kept in OUT/runs and
models in OUT/cache: a call after an interruption, or after a change of the plan, does only what is missing.

\b
Examples:
  hero lab study plan.toml --dry-run
  hero lab study plan.toml -o runs/study
  hero lab study plan.toml --from results/study/main.jsonl.gz --report-only

\b
A plan:
  title = "HERO against the verifier"
  [primary]                              # optional: the one claim that is not corrected for the others
  claim = "HERO beats the verifier alone"
  tables = ["main"]                      # pooled
  candidate = "hero"
  baseline = "verifier_only"
  [run]                                  # settings of every run
  steps = 100
  [[table]]
  name = "main"
  claim = "HERO beats the verifier alone"
  seeds = "0-4"
  regime = ["hard", "mixed"]             # lists are crossed
  rules = ["verifier_only", "hero", { rule = "hero", name = "HERO, KL", kl = 0.05 }]
  compare = [["hero", "verifier_only"]]  # or compare = "hero": against every other
  horizons = [50, 100]                   # steps to compare at; the last decides
"""


def study(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="TOML file.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for models, results and the report; default: runs/PLAN.")
    ] = None,
    table: Annotated[list[str] | None, typer.Option(metavar="NAME", help="This table alone; repeatable.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; without it, one per processor.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and say how long they would take.")] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Run nothing; report on what is there.")] = False,
    kept: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", metavar="FILE", help="Kept results (TABLE.jsonl.gz) of the same plan: not run again; repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    plan = read_plan(plan_file).only(table) if table else read_plan(plan_file)
    folder = out or Path("runs") / plan_file.stem
    show.check_folder("--out", folder)
    jobs = jobs or available_cpus()
    from hero_lab.study.collect import kept_results, read_kept

    known = read_kept(kept or [], plan)
    given = kept_results(plan, known)
    if dry_run:
        _list_runs(plan, folder, given, jobs, as_json)
        return
    for package in PACKAGES[1:] if report_only else PACKAGES:  # now, and not after hours of training
        require(package, extra="lab", purpose="hero lab study")
    from hero_lab.board import run_all

    failures = [] if report_only else run_all([run for run in plan.runs() if run.digest not in given], folder, jobs)[1]
    _report(plan, folder, known, failures, as_json)
    if failures:
        raise HeroError(f"{len(failures)} runs failed; the first: {failures[0]}")


def _report(plan: Plan, folder: Path, known: Sequence[Entry], failures: Sequence[str], as_json: bool) -> None:
    from hero_lab.study.collect import collect
    from hero_lab.study.page import write_study
    from hero_lab.study.words import primary_sentence, sentences

    entries = collect(plan, folder, known)
    if not entries:
        first = f"; the first failure: {failures[0]}" if failures else ""
        raise HeroError(f"{folder}: no run of {plan.path} has a result{first}")
    found = write_study(folder, plan, entries, command=shlex.join(["hero", *sys.argv[1:]]))
    if as_json:
        show.print_json({"report": str(found.page), "tables": str(found.tables), "failed": list(failures), **found.numbers})
        return
    if plan.primary is not None:
        sys.stdout.write(f"{primary_sentence(plan.primary, found.pooled)}\n")
    for table in found.tabulated:
        sys.stdout.write(f"{table.plan.name}: {table.plan.claim}\n")
        for sentence in sentences(table):
            sys.stdout.write(f"  {sentence}\n")
    sys.stdout.write(f"\ntables: {found.tables}\nreport: {found.page}\n")


def _list_runs(plan: Plan, folder: Path, given: Mapping[str, Result], jobs: int, as_json: bool) -> None:
    from hero_lab.board import duration
    from hero_lab.grid import read_result
    from hero_lab.prepare import is_complete, models_of

    runs = plan.runs()
    done = dict(given) | {run.digest: result for run in runs if (result := read_result(run, folder)) is not None}
    waiting = [run for run in runs if run.digest not in done]
    cache = folder / "cache"
    models = {path for run in waiting for path in models_of(run, cache).folders if not is_complete(path)}
    seconds = estimate_seconds(waiting, list(done.values()), models=len(models), jobs=jobs)
    tables = [
        {"table": table.name, "runs": len(table.runs), "done": sum(planned.run.digest in done for planned in table.runs)}
        for table in plan.tables
    ]
    summary = {"runs": len(runs), "done": len(done), "models_to_make": len(models), "jobs": jobs, "seconds": round(seconds)}
    if as_json:
        show.print_json({**summary, "tables": tables})
        return
    places = {planned.run.digest: planned for table in reversed(plan.tables) for planned in reversed(table.runs)}
    for run in runs:
        mark, steps, place = "done " if run.digest in done else "to do", f"{run.steps:>5} steps", places[run.digest]
        cell = "".join(f", {name} {value}" for name, value in place.cell if name != "task")
        sys.stdout.write(f"{mark}  seed {run.seed:<3} {steps}  {place.arm}, {run.task}{cell}\n")
    for row in tables:
        sys.stdout.write("table {table}: {runs} runs, {done} done\n".format(**row))
    sys.stdout.write(
        f"{len(runs)} different runs, {len(done)} done, {len(models)} models to make; "
        f"about {duration(seconds)} with {jobs} processes\n"
    )


def estimate_seconds(runs: Sequence[Any], done: Sequence[Result], *, models: int, jobs: int) -> float:
    """Wall time that runs and models without a result would take, from those with one or else from a figure of old."""
    made = sum(_rollouts(result["settings"]) for result in done)
    rate = sum(result["timing"]["total_s"] for result in done) / made if made else _DEFAULT_S_PER_ROLLOUT
    rollouts = sum(run.steps * run.prompts_per_step * run.group_size for run in runs)
    return (rate * rollouts + models * _DEFAULT_MODELS_S) / jobs


def _rollouts(settings: Mapping[str, Any]) -> int:
    return settings["steps"] * settings["prompts_per_step"] * settings["group_size"]


study.__doc__ = HELP
