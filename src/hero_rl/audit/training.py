"""The report of a training run: one page in the run's folder, made from what lies there, at any time.

It needs no server: while the run goes on, the browser reads the file again every few seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import numpy as np

from hero_rl.audit.hacking import POINTS, Sign, Trend, faults, improved, means_at, signs, trends
from hero_rl.audit.page import sign_sections, trend_sections
from hero_rl.audit.table import MAX_TEXT, read_table
from hero_rl.data.jsonl import parse_line
from hero_rl.data.rollouts import Columns, Row, read_rollouts
from hero_rl.data.tables import ROLLOUTS, place
from hero_rl.errors import HeroError, InputError, first_line
from hero_rl.files import write_text
from hero_rl.measures import Estimate
from hero_rl.report import Link, Section, Table, render_page
from hero_rl.report.figures import Curve, Panel, curve_panels
from hero_rl.scorers import ColumnScorer
from hero_rl.toml_layers import read_file
from hero_rl.verifiers import ColumnVerifier

EVERY_S = 15.0
"""Between two writings of a live page, at least; the browser reads it again as often."""
SHARE = 0.01
"""Of the time of a run that its page may take: a page that took 1 s is written again after 100 s."""
SAMPLED = 5
"""Steps that responses are shown of."""
VIEW = "http://127.0.0.1:8500/"
"""Where `hero view` listens."""
FILTERS = {"rejected_high": "rejected, high score", "accepted_low": "accepted, low score", "no_gradient": "without gradient"}
COLUMNS = Columns(labels=("verdict",), scores=("rm_score",), needs_reference=False)
FACTS = (("rule", "name"), ("verifier", "name"), ("reward_model", "name"), ("policy", "model"))
"""Of the recipe."""
OPTIONAL = {"accepted by a model": "hero/correct_learned", "abstained": "hero/abstained"}
"""Drawn if they are ever above 0."""
ACCEPTED = {"accepted": "hero/correct", **OPTIONAL, "accepted in evaluation": "eval_hero/correct"}
SCORES = {"all": "hero/rm_score", "accepted": "hero/score_correct", "rejected": "hero/score_incorrect"}
IDLE = "hero/groups_zero_gradient"
GROUPS = {"mixed": "hero/groups_mixed", "all correct": "hero/groups_all_correct", "all wrong": "hero/groups_all_incorrect",
          "without gradient": IDLE}  # fmt: skip
TIMES = {part.replace("_", " "): f"time/{part}" for part in ("sampling", "verifier", "reward_model", "forward_backward")}
SECTIONS = (
    ("signals", "Verdicts and scores", "Of all responses of a step. Rejected: and those on which the verifier abstained.",
     [("accepted by the verifier", ACCEPTED, True), ("mean score", SCORES, False)]),
    ("groups", "Groups and gradient",
     "Without gradient: under the rule. Reward model alone: share of the summed |advantage| in prompts whose responses have "
     "one verdict, where the verifier alone gives no gradient.",
     [("prompts", GROUPS, True), ("gradient", {"reward model alone": "hero/advantage_share_uniform"}, True),
      ("length of responses", {"tokens": "completions/mean_length"}, False)]),
    ("cost", "Time and memory", "Sampling, verifier and reward model: of a generation batch; the last two work side by side.",
     [("seconds", TIMES, False), ("speed", {"tokens sampled per second": "time/sampled_tokens_per_s"}, False),
      ("memory", {"peak in GiB": "memory/peak_gib"}, False)]),
)  # fmt: skip
"""Of what the trainer logs: name, heading, caption, and panels with their curves by label."""
LOGGED = ("mean score", "verifier pass", "characters")
"""Trends of the kept rollouts that the logged numbers show for all of them."""

History: TypeAlias = Sequence[Mapping[str, Any]]
logger = logging.getLogger(__name__)


class Run(NamedTuple):
    """The contents of a run folder."""

    recipe: Mapping[str, Any]
    history: History
    """The logged entries, one per step; numbers alone."""
    trends: Sequence[Trend]
    signs: Sequence[Sign]
    """Of reward hacking, and of signals that broke."""
    samples: Sequence[Row]
    """A few responses of ``SAMPLED`` steps."""
    finished: bool


class LivePage:
    """The page of a run that goes on. One that cannot be written gives a warning, and does not end the run."""

    path: Path | None = None
    """Of the page, once it is written."""

    def __init__(self, run: Path) -> None:
        """Write nothing yet."""
        self._run, self._due, self._warned = run, 0.0, ""

    def write(self, *, running: bool) -> None:
        """Write the page; while the run goes on, only if that was not done a moment ago."""
        start = time.monotonic()
        if running and start < self._due:
            return
        try:
            self.path = write_report(self._run, running=running)
        except Exception as error:  # whatever is wrong with a page, the run is worth more
            if (message := first_line(error)) != self._warned:
                unknown = None if isinstance(error, HeroError | OSError) else error
                logger.warning("hero-rl: there is no report of %s: %s", self._run, message, exc_info=unknown)
            self._warned = message
        end = time.monotonic()
        self._due = end + max(EVERY_S, (end - start) / SHARE)


def write_report(folder: Path, *, running: bool = False) -> Path:
    """Write ``report.html`` into the folder of a run and return its path.

    Args:
        folder: with `recipe.toml`, `history.jsonl` and `rollouts/`, as far as the run came.
        running: the browser is to read the page again.

    Raises:
        InputError: it is no folder of a run, or a file in it cannot be read.
        MissingDependencyError: matplotlib, jinja2 or pyarrow is not installed.
    """
    run, log = read_run(folder), folder / "history.jsonl"
    facts = [f"{table.replace('_', ' ')} {run.recipe[table][key]}" for table, key in FACTS if key in run.recipe.get(table, {})]
    if log.is_file():
        facts.append(f"last logged {datetime.fromtimestamp(log.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC")
    text = "; ".join(facts)
    undrawn = LOGGED if any("hero/correct" in entry for entry in run.history) else ()
    sections = [
        *sign_sections(run.signs), *_logged(run.history),
        *trend_sections(run.trends, heading="First and last third, on the rollouts that were kept", undrawn=undrawn),
        *_samples(run.samples, f"hero view {folder}"),
    ]  # fmt: skip
    page = render_page(
        f"Training run {folder.absolute().name}", f"{lead(run, running=running)}\n{text[:1].upper()}{text[1:]}", sections,
        footer=f"hero train --report {folder} writes this page again", reload_s=EVERY_S if running else None,
    )  # fmt: skip
    return write_text(folder / "report.html", page)


def read_run(folder: Path) -> Run:
    """Return what the folder of a run says; raises as ``write_report``."""
    recipe, log, rollouts = folder / "recipe.toml", folder / "history.jsonl", folder / ROLLOUTS
    kept = any(rollouts.glob("*.parquet"))
    if not kept and not recipe.is_file():
        raise InputError(f"{folder}: is not the folder of a training run: it has neither recipe.toml nor {ROLLOUTS}/")
    text = log.read_text(encoding="utf-8") if log.is_file() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()  # without a last line that was cut off by a kill
    found: Sequence[Trend] = []
    seen: Sequence[Sign] = []
    samples: list[Row] = []
    if kept:
        table = read_table(rollouts, [ColumnVerifier("verdict")], [ColumnScorer("rm_score")], columns=COLUMNS)
        verifier, scorer = (
            next((name for name, values in columns.items() if not np.isnan(values).all()), None)
            for columns in (table.verdicts, table.scores)
        )
        found = trends(table, verifier=verifier, scorer=scorer)
        seen = [*signs(found), *faults(table, scorer=scorer, better=improved(found))]
        steps = np.unique(table.steps)
        for place_of in np.unique(np.linspace(0, steps.size - 1, SAMPLED).round().astype(int)):
            samples += _pushed(rollouts / f"step_{int(steps[place_of]):06d}.*")
    logged = [
        {name: value for name, value in parse_line(line, place(log, number)).items() if isinstance(value, int | float)}
        for number, line in enumerate(lines, 1)
    ]
    return Run(
        recipe=read_file(recipe).values if recipe.is_file() else {},
        history=[entry for entry in logged if "step" in entry],
        trends=found, signs=seen, samples=samples, finished=(folder / "metrics.json").is_file(),
    )  # fmt: skip


def _pushed(source: Path) -> Iterator[Row]:
    """Yield the accepted rollout and the other one that have the largest advantage."""
    rows = list(read_rollouts(source, COLUMNS))
    for accepted in (True, False):
        some = [row for row in rows if (row.rollout.extra["verdict"] == 1) == accepted]
        if some:
            yield max(some, key=lambda row: row.rollout.extra.get("advantage") or 0.0)


def lead(run: Run, *, running: bool) -> str:
    """Return in one sentence how far the run is, and how the policy and the signs of hacking stand."""
    steps = [entry["step"] for entry in run.history] + [row.rollout.extra["step"] for row in run.samples]
    total = run.recipe.get("trl", {}).get("max_steps", 0)
    state = "Training" if running else "Finished" if run.finished else "Not finished"
    if not steps:
        return f"{state}: no step is logged yet."
    state += f": step {max(steps):,}" + (f" of {total:,}" if total > 0 else "")
    idle = [entry[IDLE] == 1.0 for entry in reversed(run.history) if entry.get(IDLE) is not None]
    if (count := (*idle, False).index(False)) > 1:
        state += f"; nothing can be learned from the last {count} batches, in which no response has an advantage"
    if (found := next((trend for trend in run.trends if trend.name == "verifier pass"), None)) is None:
        known = [entry["hero/correct"] for entry in run.history if entry.get("hero/correct") is not None]
        return state + (f"; the verifier accepted {known[-1]:.1%} of the responses last." if known else ".")
    change = (
        f"the verifier accepts {_percent(found.first)} of the responses in the first third of the steps, "
        f"{_percent(found.last)} in the last"
    )
    alarm = "; ".join(sign.what for sign in run.signs)
    return f"{state}; {change}. " + (f"Signs of reward hacking: {alarm}." if alarm else "No sign of reward hacking.")


def _percent(share: Estimate) -> str:
    """Return a share with its interval."""
    text = f"{share.value:.1%}"
    return text if np.isnan(share.low) else f"{text} [{share.low:.1%}, {share.high:.1%}]"


def _logged(history: History) -> list[Section]:
    """Return the sections of what the trainer logged about whole batches."""
    sections: list[Section] = []
    for name, heading, caption, panels in SECTIONS:
        drawn = [Panel(title=title, percent=percent, curves=_curves(names, history)) for title, names, percent in panels]
        if drawn := [panel for panel in drawn if panel.curves]:
            sections.append(Section(heading=heading, name=name, figure=curve_panels(drawn), caption=caption))
    return sections


def _curves(names: Mapping[str, str], history: History) -> list[Curve]:
    """Return a curve per label and logged name, of ``POINTS`` means at most; optional ones that stay at 0 are left out."""
    curves: list[Curve] = []
    for label, name in names.items():
        points = np.array([(entry["step"], entry[name]) for entry in history if entry.get(name) is not None], dtype=np.float64)
        if points.size and (points[:, 1].any() or label not in OPTIONAL):
            steps, values = points.T
            place_of = np.unique(steps * POINTS // (history[-1]["step"] + 1), return_inverse=True)[1]
            curves.append(Curve(label=label, steps=means_at(steps, place_of).tolist(), values_SN=means_at(values, place_of)))
    return curves


def _samples(samples: Sequence[Row], command: str) -> list[Section]:
    if not samples:
        return []
    rows: list[list[str | float | Link | None]] = []
    for row in samples:
        texts, extra = row.rollout, row.rollout.extra
        said = {1: "accepted", 0: "rejected"}.get(extra["verdict"], "abstained")
        rows.append([
            Link(str(extra["step"]), f"{VIEW}#step={extra['step']}"),
            Link(texts.prompt_id.rpartition(" ")[2], f"{VIEW}#step={extra['step']}&search={quote(texts.prompt_id)}"),
            texts.problem[:MAX_TEXT], texts.reference[:MAX_TEXT], texts.response[-MAX_TEXT:],
            f"{said}: {extra.get('reason', '')}", extra["rm_score"], extra.get("advantage"),
        ])  # fmt: skip
    header = ("step", "prompt", "problem", "reference", "response (its end)", "the verifier says", "score", "advantage")
    note = "Of each step the accepted and the other response with the largest advantage: what the policy learned most from."
    links = Table(header=("groups",), rows=[[Link(text, f"{VIEW}#filter={name}")] for name, text in FILTERS.items()])
    return [
        Section(heading="Responses by step", table=Table(header=header, rows=rows, note=note, wrap=True)),
        Section(
            heading="All of them",
            text=f"Run {command}; these links, and those of steps and prompts above, then lead into it.",
            table=links,
        ),
    ]
