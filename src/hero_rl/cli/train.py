"""`hero train`: a policy from a recipe."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.audit import training
from hero_rl.cli import options, show
from hero_rl.engines import exchange
from hero_rl.engines.trl import memory, run_folder
from hero_rl.engines.trl.recipe import Loaded, load_recipe, packaged
from hero_rl.engines.trl.run_folder import is_main_process
from hero_rl.engines.trl.train import Finished, ReportFn
from hero_rl.engines.trl.train import train as run
from hero_rl.errors import InputError, require
from hero_rl.files import locked
from hero_rl.sandbox.worker import end_with_parent
from hero_rl.toml_layers import dump

SHOWN = {
    "loss": "loss",
    "reward": "reward",
    "hero/correct": "pass",
    "hero/rm_score": "rm",
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
    show_recipe: Annotated[
        bool, typer.Option("--show", help="Check the recipe, print it with all defaults and an estimate of memory, stop.")
    ] = False,
    report_on: Annotated[
        Path | None, typer.Option("--report", metavar="RUN", help="Write report.html of a run folder again, and stop.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Train a policy from a recipe (TOML) with TRL.

    RECIPE is a file, or the name of one that comes with hero-rl (--list). Checkpoints, metrics and the trained policy go to the
    run folder: --output, or the recipe's output_dir, or runs/ and the recipe's name. There, report.html follows the run.

    \b
    Examples:
      hero train --list
      hero train 1gpu/qwen3-1.7b --show
      hero train my-recipe.toml --set trl.learning_rate=2e-6 --set policy.model=./my-model
      hero train my-recipe.toml --resume
      torchrun --nproc_per_node 8 -m hero_rl.cli train my-recipe.toml
    """  # noqa: D301  # \b is meant: it keeps the lines of the examples apart
    if list_recipes:
        _list(as_json)
        return
    if report_on is not None:
        page = str(training.write_report(report_on))
        show.print_json({"report": page}) if as_json else sys.stdout.write(page + "\n")
        return
    if recipe is None:
        raise InputError("no recipe given; give a file or one of the names that `hero train --list` prints")
    loaded = load_recipe(recipe, assignments or [], reward=reward)
    _refuse_columns(loaded)
    if show_recipe:
        require("trl", extra="train", purpose="hero train")
        estimate = (f"# {line}\n" for line in memory.lines(loaded))
        sys.stdout.write(dump(loaded.resolved()) + "\n" + "".join(estimate))
        return
    folder = output or Path(loaded.recipe.output_dir or Path("runs") / loaded.name).expanduser()
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun, killed with -9, would leave its processes training
        end_with_parent()
    # TRL prints tables of completions to stdout, which belongs to the result
    alone = locked(folder) if is_main_process() else contextlib.nullcontext()
    page = training.LivePage(folder)
    logging.getLogger(exchange.__name__).setLevel(logging.INFO)  # what the first batch is like
    with contextlib.redirect_stdout(sys.stderr), _quiet(), alone, _progress(page) as report:
        try:
            finished = run(loaded, folder, resume=resume, report=report)
        except KeyboardInterrupt:
            if is_main_process():
                kept = run_folder.resumable(folder)
                show.note(
                    f"{kept} is kept; go on with the same command and --resume (-o {folder})"
                    if kept
                    else "there is no checkpoint to go on from yet (trl.save_steps says when there is)"
                )
            raise
        finally:
            if page.path is not None:
                page.write(running=False)
    if is_main_process():
        _print(loaded, finished, page.path, as_json)


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


def _silent(stage: str, done: int, total: int | None, /, note: str = "") -> None:
    """Show no progress."""


@contextlib.contextmanager
def _progress(page: training.LivePage) -> Iterator[ReportFn]:
    """Show the newest metrics beside the steps, on the main process, and keep the page."""
    with show.progress_bar(keep=True) if is_main_process() else contextlib.nullcontext(_silent) as bar:

        def report(stage: str, step: int, total: int, logs: Mapping[str, float]) -> None:
            new = page.path is None
            page.write(running=True)
            if new and page.path is not None:
                show.note(f"report: {page.path} (open it in a browser; it follows the run)")
            text = "  ".join(f"{label} {float(logs[key]):.3g}" for key, label in SHOWN.items() if key in logs)
            bar(stage, step, total, text)

        yield report


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence other packages' deprecations, and their progress bars if stderr is not a terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if not sys.stderr.isatty():
            require("trl", extra="train", purpose="hero train")
            import datasets
            from transformers.utils import logging

            datasets.disable_progress_bars()
            logging.disable_progress_bar()
        yield


def _print(loaded: Loaded, finished: Finished, page: Path | None, as_json: bool) -> None:
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
        "report": None if page is None else str(page),
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
    if page is not None:
        rows.append(("report", str(page)))
    show.print_table(f"{loaded.name}, {rule.name}: {finished.folder}", rows, right=True)
