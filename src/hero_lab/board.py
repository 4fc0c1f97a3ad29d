"""How far a comparison or a study is: lines that change on a terminal, and elsewhere a line for every run that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from hero_lab.compare import Result
from hero_lab.grid import Event, execute
from hero_lab.settings import RunSettings
from hero_rl.cli import show
from hero_rl.files import locked


def run_all(runs: Sequence[RunSettings], out: Path, jobs: int) -> tuple[dict[RunSettings, Result], list[str]]:
    """Return the result of each run that has one, and what became of those that failed."""
    board, results = Board(len(runs)), {}
    with locked(out), board.shown():
        for event in execute(runs, out=out, jobs=jobs):
            board.take(event)
            if event.kind in ("finished", "reused"):
                results[event.run] = event.data
    return results, board.failures


@dataclass(slots=True)
class Board:
    """Counts the events of ``grid.execute`` and shows them on stderr."""

    total: int
    console: Console = field(default_factory=lambda: Console(stderr=True))
    started: float = field(default_factory=time.monotonic)
    reused: int = 0
    finished: int = 0
    failures: list[str] = field(default_factory=list[str])
    _steps: dict[str, str] = field(default_factory=dict[str, str])
    """The present stage of every process."""

    def take(self, event: Event) -> None:
        """Count an event, and show it."""
        kind, run, data = event
        name, models = f"{run.label}, {run.regime}, {run.tier}, seed {run.seed}", f"models {run.tier} {run.seed}"
        if kind == "reused":
            self.reused += 1
        elif kind == "preparing":
            self._steps[models] = f"training the models of seed {run.seed}"
            self._say(f"seed {run.seed}, {run.tier}: training its models", quiet=show.redraws(self.console))
        elif kind == "prepared":
            self._steps.pop(models, None)
            self._say(f"seed {run.seed}: {_facts(data)}")
        elif kind in ("started", "progress"):
            numbers = [f"{title} {data[key]:.3f}" for key, title in _NUMBERS.items() if key in data]
            self._steps[run.digest] = ", ".join([f"{name}: {data.get('step', 0)}/{run.steps}", *numbers])
        else:
            for key in (run.digest, models):
                self._steps.pop(key, None)
            if kind == "failed":
                self.failures = list(dict.fromkeys([*self.failures, f"{name}: {data['error']}"]))
                self._say(f"{name} FAILED: {data['error']}")
            else:
                self.finished += 1
                self._say(f"{self.line()}; {name}: {data['curve'][-1]['accuracy']:.3f}", quiet=show.redraws(self.console))

    def line(self) -> str:
        """Return runs done of all, the rate, and the time left at that rate."""
        done = self.reused + self.finished
        text = f"{done} of {self.total} runs"
        if self.failures:
            text += f", {len(self.failures)} failed"
        if self.finished:
            rate = self.finished / (time.monotonic() - self.started)
            text += f", {3600 * rate:.0f} an hour, {duration((self.total - done - len(self.failures)) / rate)} left"
        return text

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the lines for as long as the block runs."""
        if not show.redraws(self.console):
            yield
            return
        with Live(get_renderable=self._lines, console=self.console, refresh_per_second=2, transient=True):
            yield

    def _lines(self) -> Text:
        return Text("\n".join([self.line(), *(f"  {what}" for what in self._steps.values())]))

    def _say(self, line: str, *, quiet: bool = False) -> None:
        if not quiet:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


_NUMBERS = {"accuracy": "sampled", "greedy": "greedy", "verifier_pass": "pass", "rm_score": "RM"}
"""Of a point of the learning curve, on development prompts."""


def duration(seconds: float) -> str:
    """Return a time in words."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _facts(data: dict[str, dict[str, float]]) -> str:
    text = (
        "reward model, AUROC pooled / within prompts: verifiable {auroc_pooled_V:.2f} / {auroc_within_V:.2f}, "
        "hard {auroc_pooled_H:.2f} / {auroc_within_H:.2f}"
    ).format(**data["reward_model"])
    learned = data.get("learned_verifier")
    if learned and learned["recall_H"] is not None:  # None: the starting policy gets nothing right
        text += f"; learned verifier, hard: recall {learned['recall_H']:.2f} at FPR {learned['fpr_H']:.2f}"
    return text
