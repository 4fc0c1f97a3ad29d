"""`hero train`: a policy from a recipe."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hero_rl.cli import options, show
from hero_rl.engines.trl.recipe_files import Loaded, load_recipe, packaged
from hero_rl.engines.trl.run_folder import is_main_process
from hero_rl.engines.trl.train import Finished, ReportFn
from hero_rl.engines.trl.train import train as run
from hero_rl.errors import InputError, require
from hero_rl.toml_layers import dump

HELP = """Train a policy from a recipe (TOML) with TRL.

RECIPE is a file, or the name of one that comes with hero-rl (--list). Checkpoints, metrics and the trained policy go to the
run folder: --output, or the recipe's output_dir, or runs/ and the recipe's name.

\b
Examples:
  hero train --list
  hero train paper/qwen3-4b-hard --show
  hero train my-recipe.toml --set trl.learning_rate=2e-6 --set policy.model=./my-model
  hero train my-recipe.toml --resume
  torchrun --nproc_per_node 8 -m hero_rl.cli train my-recipe.toml
"""
SHOWN = {
    "loss": "loss",
    "reward": "reward",
    "rewards/verdict/mean": "pass",
    "rewards/rm_score/mean": "rm",
    "completions/mean_length": "tokens",
}
"""Logged metrics that the progress line shows, and what it calls them."""


def train(
    recipe: Annotated[str | None, typer.Argument(metavar="RECIPE", help="File or packaged name.")] = None,
    reward: options.RewardFile = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a dotted key; repeatable.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Run folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the run folder.")] = False,
    list_recipes: Annotated[bool, typer.Option("--list", help="Name the recipes that come with hero-rl.")] = False,
    show_recipe: Annotated[bool, typer.Option("--show", help="Check the recipe, print it with all defaults, stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    if list_recipes:
        _list(as_json)
        return
    if recipe is None:
        raise InputError("no recipe given; give a file or one of the names that `hero train --list` prints")
    loaded = load_recipe(recipe, assignments or [], reward=reward)
    _refuse_columns(loaded)
    if show_recipe:
        sys.stdout.write(dump(loaded.resolved()))
        return
    folder = output or Path(loaded.recipe.output_dir or Path("runs") / loaded.name).expanduser()
    # TRL prints tables of completions to stdout, which belongs to the result
    with contextlib.redirect_stdout(sys.stderr), _quiet(), _progress() as report:
        finished = run(loaded, folder, resume=resume, report=report)
    if is_main_process():
        _print(loaded, finished, as_json)


def _list(as_json: bool) -> None:
    recipes = {name: load_recipe(name).recipe.description for name in packaged()}
    if as_json:
        show.print_json({"recipes": recipes})
    else:
        show.print_table("recipes", [*recipes.items()], header=("name", "what it is"))


def _refuse_columns(loaded: Loaded) -> None:
    config = loaded.reward
    said = {("verifier", "name"): config.verifier["name"], ("verifier", "fallback"): config.verifier.get("fallback")}
    said[("reward_model", "name")] = (config.reward_model or {}).get("name")
    for key, spec in said.items():
        if "column:" in (spec or ""):
            raise InputError(
                f"{loaded.where(*key)}: {spec!r} reads a column of a file, and a response that is yet to be sampled has none; "
                "name something that can judge it"
            )


@contextlib.contextmanager
def _progress() -> Iterator[ReportFn]:
    """A bar with the newest metrics on a terminal; a line whenever something was logged elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description:<6}"), BarColumn(bar_width=12), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[metrics]}", table_column=rest),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    shown: dict[str, str] = {}
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as display:

        def report(stage: str, step: int, total: int, logs: Mapping[str, float]) -> None:
            if text := _metrics(logs):
                shown[stage] = text
                if not console.is_terminal:
                    sys.stderr.write(f"{stage} {step}/{total} {text}\n")
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total, metrics="")
            display.update(tasks[stage], completed=step, total=total, metrics=shown.get(stage, ""))

        yield report


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Third parties' deprecations are for their developers; their progress bars are for terminals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if not sys.stderr.isatty():
            require("trl", extra="train", purpose="hero train")
            import datasets
            from transformers.utils import logging

            datasets.disable_progress_bars()
            logging.disable_progress_bar()
        yield


def _metrics(logs: Mapping[str, Any]) -> str:
    return "  ".join(f"{label} {float(logs[key]):.3g}" for key, label in SHOWN.items() if key in logs)


def _print(loaded: Loaded, finished: Finished, as_json: bool) -> None:
    rule = loaded.reward.rule
    result = {
        "folder": str(finished.folder),
        "recipe": loaded.name,
        "rule": rule.name,
        "reward": loaded.reward.resolved(),
        "step": finished.step,
        "seconds": round(finished.seconds, 1),
        "train": finished.train,
        "eval": finished.evaluation,
    }
    if as_json:
        show.print_json(result)
        return
    rows = [("steps", str(finished.step)), ("seconds", f"{finished.seconds:.1f}")]
    for prefix, values in (("", finished.train), ("eval ", finished.evaluation)):
        for key, label in SHOWN.items():
            value = values.get(key if not prefix else f"eval_{key}")
            if isinstance(value, float | int):
                rows.append((prefix + label, show.number(float(value))))
    rows.append(("policy", str(finished.folder / "final")))
    show.print_table(f"{loaded.name}, {rule.name}: {finished.folder}", rows, right=True)
