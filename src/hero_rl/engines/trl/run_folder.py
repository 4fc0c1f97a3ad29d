"""The folder of a training run: what it was started with, what it ended with, and where it can be continued.

recipe.toml       the recipe with every default and --set filled in
run.json          versions, seed, git commit, command, sizes of the data
sft/              the cold start: checkpoints, and the model it ended with in sft/final
checkpoint-N/     TRL's checkpoints, the rule's state in trainer_state.json
history.jsonl     everything that was logged, one line per step, written as it is logged
report.html       the page of `hero train`, written by hero_rl.audit.training
rollouts/         responses with verdict, score, reward and advantage: a Parquet file per step and process
runs/             TensorBoard
final/            the trained policy
README.md         TRL's model card, of the last checkpoint
metrics.json      the last values; only there once the run is finished
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hero_rl.errors import InputError
from hero_rl.files import write_text
from hero_rl.imports import installed_versions
from hero_rl.toml_layers import differences, dump
from hero_rl.types import json_number

logger = logging.getLogger(__name__)
PACKAGES = ("hero-rl", "torch", "transformers", "trl", "accelerate", "datasets", "numpy", "math-verify", "peft")
MAY_CHANGE = (
    "trl.", "sft.trl.", "batch.", "vllm", "machine.", "description", "output_dir", "rollouts", "max_failure_rate",
    "verifier.workers", "verifier.deadline_s", "reward_model.device", "reward_model.batch_size",
    "on_unhealthy", "reward_model.max_tokens_per_batch",
    "reward_model.share_prefix", "reward_model.compile", "reward_model.cache", "verifier.cache",
)  # fmt: skip
"""Keys that a resumed run may change: how long and on what machine it runs, not what it learns from."""


def complete_card(trainer: Any) -> None:
    """Name the model and the checkpoint in TRL's model card, which says "None" for those that are folders."""
    card = Path(trainer.args.output_dir, "README.md")
    if not (trainer.is_world_process_zero() and card.is_file()):
        return
    source = getattr(trainer.model.config, "_name_or_path", "")
    checkpoint = card.parent / f"checkpoint-{trainer.state.global_step}"
    text = card.read_text(encoding="utf-8").replace('model="None"', f'model="{checkpoint}"')
    write_text(card, text.replace("[None](https://huggingface.co/None)", f"`{source}`" if source else "a model made in Python"))


class Progress(NamedTuple):
    """The state of an earlier call."""

    checkpoint: Path | None
    sft_checkpoint: Path | None
    sft_done: bool
    finished: bool
    changed: tuple[str, ...]
    """Keys that differ from the earlier recipe, of those that may."""


NEW = Progress(None, None, False, False, ())


def is_main_process() -> bool:
    """Return True on the one process that writes."""
    return os.environ.get("RANK", "0") == "0"


def find_progress(folder: Path, resolved: Mapping[str, Any]) -> Progress:
    """Return where an interrupted run can go on.

    Raises:
        InputError: no run, nothing to resume, a finished run, or a recipe that says something else than the run's own.
    """
    try:
        before = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{folder}: there is no run to resume here (no recipe.toml); leave out --resume to start one"
        ) from error
    changed = sorted(differences(before, resolved))
    foreign = [key for key in changed if not key.startswith(MAY_CHANGE)]
    if foreign:
        raise InputError(
            f"{folder}: the recipe differs from that of the run to resume in {', '.join(foreign)}; a resumed run goes on with "
            "what it was started with. Take these back, or start a new run with --output"
        )
    checkpoint, sft_checkpoint = last_checkpoint(folder), last_checkpoint(folder / "sft")
    sft_done = (folder / "sft" / "final").is_dir()
    finished = (folder / "metrics.json").is_file()
    if finished and not changed:
        raise already_finished(folder)
    if resumable(folder) is None:
        raise InputError(
            f"{folder}: there is no checkpoint to resume from: the run ended before its first (trl.save_steps). "
            "Delete the folder, or start a new run with --output"
        )
    return Progress(checkpoint, sft_checkpoint, sft_done, finished, tuple(changed))


def already_finished(folder: Path) -> InputError:
    """Return the error to raise if nothing is left to do."""
    return InputError(f"{folder}: this run is finished; to go on, raise trl.max_steps or trl.num_train_epochs with --set")


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; one that was cut off while it was written is passed over."""
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*") if folder.is_dir() else ():
        try:
            # written last by transformers, so the others are there when this one can be read
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found.append((int(state["global_step"]), path))
    return max(found)[1] if found else None


def resumable(folder: Path) -> Path | None:
    """Return the newest model of a run that ``--resume`` can go on from."""
    cold = folder / "sft" / "final"
    return last_checkpoint(folder) or (cold if cold.is_dir() else last_checkpoint(cold.parent))


def write_start(folder: Path, resolved: Mapping[str, Any], details: Mapping[str, object]) -> None:
    """Write recipe.toml and run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "recipe.toml", dump(resolved))
    path = folder / "run.json"
    started: list[object] = json.loads(path.read_text(encoding="utf-8"))["started"] if path.is_file() else []
    facts: dict[str, object] = {
        "started": [*started, datetime.now(UTC).isoformat(timespec="seconds")],
        "command": sys.argv,
        "seed": resolved["seed"],
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": installed_versions(*PACKAGES),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        **details,
    }
    write_text(path, json.dumps(facts, indent=2) + "\n")


def write_history(folder: Path, history: Sequence[Mapping[str, Any]], *, mode: Literal["a", "w"]) -> None:
    """Add entries to history.jsonl, or begin it with them: those up to the checkpoint that a run goes on from.

    A file that cannot be written gives a warning and does not end the run.
    """
    lines = [json.dumps({key: json_number(value) for key, value in entry.items()}) + "\n" for entry in history]
    try:
        with (folder / "history.jsonl").open(mode, encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        logger.warning("hero-rl: what was logged is not kept: %s", error)


def write_end(folder: Path, metrics: Mapping[str, object]) -> None:
    """Write metrics.json."""
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")


def last_values(history: Sequence[Mapping[str, Any]], *, evaluation: bool) -> dict[str, object]:
    """Return the last value of each metric: where one generation serves several updates, the entries of most have no reward."""
    found: dict[str, object] = {}
    for entry in history:
        if "train_runtime" not in entry and any(key.startswith("eval_") for key in entry) == evaluation:
            found |= {key: json_number(value) for key, value in entry.items()}
    return found


def remove_unstarted(folder: Path) -> None:
    """Remove the folder of a new run in which nothing was trained yet."""
    if not (folder / "sft" / "final").exists():
        shutil.rmtree(folder, ignore_errors=True)


def _git_commit() -> str | None:
    """Return the commit of the current folder, with a plus if files were changed since."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True).stdout
        changes = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + ("+" if changes.stdout.strip() else "")
