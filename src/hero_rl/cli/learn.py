"""The shared part of `hero rm` and `hero verifier`: options, labels, splits, rows to grade on, and the table of measures."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from hero_rl.cli import options, show
from hero_rl.cli.interrupt import closing
from hero_rl.data import Columns
from hero_rl.data.rollouts import rollout_records
from hero_rl.errors import InputError
from hero_rl.learning import folders
from hero_rl.learning.evaluation import EvalSettings, Report, plain, unseen
from hero_rl.learning.labelled import LabelledRow, Source, merged, read_labelled
from hero_rl.learning.splits import Split, SplitSettings, find_split, load_split, make_split
from hero_rl.learning.training import check_base
from hero_rl.part_names import VERIFIERS, column_of, names
from hero_rl.parts import make_verifier
from hero_rl.types import Progress, Rollout, Verifier

LABEL_COLUMN = "correct"
LabelsFrom = Annotated[
    str | None,
    typer.Option(help="Decides what is correct: column:NAME, or a rule such as math. Default: the column 'correct'."),
]


class TrainOptions(NamedTuple):
    """Options of both trainings."""

    target: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the new model.")]
    model: Annotated[
        str | None, typer.Option(metavar="BASE", help="Model to start from: a folder, a name of `hero models`, or an id.")
    ] = None
    refresh: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on from this model, with its rows.")] = None
    labels: LabelsFrom = None
    split: Annotated[Path | None, typer.Option(metavar="DIR", help="Model whose split of problems to take over.")] = None
    held_out_share: Annotated[float, typer.Option(help="Share of problems to grade on.")] = 0.2
    calibration_share: Annotated[float, typer.Option(help="Share of problems for a verifier's limits.")] = 0.1
    split_seed: Annotated[int, typer.Option(help="Seed of the split; the same for both kinds of model.")] = 0
    max_length: Annotated[int | None, typer.Option(help="Most tokens of an example; longer ones are left out.")] = None
    seed: Annotated[int, typer.Option(help="Of the examples, the new head and the order.")] = 0
    group_by: options.Prompts = None
    as_json: show.Json = False

    def start(self) -> str:
        """Return the model to start from, after everything was checked that can be checked at once."""
        if self.refresh is not None and self.model is not None:
            raise InputError("--model and --refresh: the training goes on from the model of --refresh; leave --model out")
        if self.refresh is not None and self.split is not None:
            raise InputError("--split and --refresh: the earlier model has a split of its own; leave --split out")
        if self.refresh is not None and not self.refresh.is_dir():
            raise InputError(f"--refresh {self.refresh}: no such folder; give that of the earlier model")
        start = str(self.refresh) if self.refresh is not None else self.model
        if start is None:
            raise InputError("no model to start from: give --model FOLDER (or a Hugging Face id), or --refresh FOLDER")
        folders.check_new(self.target)
        check_base(start)
        return start

    def dealing(self) -> SplitSettings:
        """Return the settings of a new split."""
        return SplitSettings(seed=self.split_seed, p_held_out=self.held_out_share, p_calibration=self.calibration_share)

    def deal(self, rollouts: Sequence[Rollout]) -> Split:
        """Return the split of ``--refresh`` or ``--split``, if there is one, or a new one, with these problems dealt out."""
        source = self.refresh or self.split
        earlier = load_split(source) if source is not None else None
        return make_split(rollouts, earlier.settings if earlier else self.dealing(), earlier=earlier)

    def read(self, path: Path, columns: Columns, earlier: Sequence[LabelledRow], progress: Progress) -> NewRows:
        """Return the earlier rows and those of a file."""
        who = make_labels(self.labels, path, columns, rules_allowed=self.refresh is not None)
        with closing(who.verifier):
            found = read_labelled(path, who.verifier, columns=who.columns, source=who.source, progress=progress)
        rows = merged(earlier, found.rows)
        before = {id(row) for row in earlier}
        counts = {"added": sum(id(row) not in before for row in rows), "undecided": found.undecided}
        return NewRows(rows, {**counts, "left_out_learned": found.learned})


class NewRows(NamedTuple):
    """The rows to learn from, earlier ones included."""

    rows: list[LabelledRow]
    counts: dict[str, int]
    """Rows that the file added or changed, that its labels leave open, and that a model labelled."""


class EvalOptions(NamedTuple):
    """Options of both evaluations."""

    labels: LabelsFrom = None
    unseen_by: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Leave out what this model learned from, too; repeatable.")
    ] = None
    include_trained: Annotated[bool, typer.Option("--include-trained", help="Grade on what it learned from as well.")] = False
    draws: Annotated[int, typer.Option(help="Draws of the bootstrap over prompts.")] = 1000
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0
    group_by: options.Prompts = None
    as_json: show.Json = False


class Measured(NamedTuple):
    """A model's report."""

    name: str
    report: Report
    facts: dict[str, object]


def evaluate(
    source: Path,
    reading: options.Reading,
    chosen: EvalOptions,
    folder: str,
    measure: Callable[[list[LabelledRow], EvalSettings], Measured],
    *,
    score_columns: tuple[str, ...] = (),
    measured: tuple[str, ...] = (),
    needs_reference: bool = True,
) -> None:
    """Print what ``measure`` finds on the labelled rows of a file that the model in ``folder`` (or "") did not learn from.

    ``measured``: the columns that are measured, none of which may be the label.
    """
    settings = EvalSettings(draws=chosen.draws, seed=chosen.seed)
    columns = reading.columns(source, chosen.group_by or "prompt_id", scores=score_columns, needs_reference=needs_reference)
    who = make_labels(chosen.labels, source, columns, rules_allowed=False)
    for label in who.columns.labels:
        check_apart(label, measured)
    with closing(who.verifier), show.progress_bar() as bar:
        found = read_labelled(source, who.verifier, columns=who.columns, source=who.source, progress=bar)
        graded = rows_to_grade(found.rows, folder, chosen.unseen_by or [], chosen.include_trained)
        name, report, facts = measure(graded.rows, settings)
    facts = {"model": name, "undecided": found.undecided, **facts, **graded.facts}
    print_report(f"{name} on {source}", report, facts, settings, chosen.as_json)


def check_apart(label: str, measured: Sequence[str]) -> None:
    """Raise unless the label is another column than those that are measured."""
    if label in measured:
        raise InputError(
            f"column {label!r} is both the label and what is measured: it agrees with itself, which says nothing; name the "
            "column of the trusted labels with --labels column:NAME (for an audit also none), or measure another one"
        )


class Labels(NamedTuple):
    """The verifier that labels the rows of a file."""

    verifier: Verifier
    columns: Columns
    source: Source


def make_labels(spec: str | None, path: Path, columns: Columns, *, rules_allowed: bool) -> Labels:
    """Return the verifier that labels the rows: by default the column 'correct', or the maths verifier if that is allowed."""
    if spec is None:
        has_column = LABEL_COLUMN in next(rollout_records(path, columns)).values
        if not has_column and not rules_allowed:
            raise InputError(
                f"{path}: has no label column {LABEL_COLUMN!r}; name the one that says what is correct with --labels "
                "column:NAME, or let rules decide with --labels math"
            )
        spec = f"column:{LABEL_COLUMN}" if has_column else "math"
    verifier = make_verifier(spec)
    if verifier is None:
        raise InputError(f"--labels none: labels are needed; choose one of {names(VERIFIERS)}")
    return Labels(verifier, replace(columns, labels=column_of(spec)), "given" if column_of(spec) else "rule")


@contextlib.contextmanager
def quiet(*, models: bool = True) -> Iterator[None]:
    """Keep stdout for the result, and let transformers say only what is wrong; does nothing if no model is loaded."""
    if not models:
        yield
        return
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        transformers_logging.set_verbosity(level)


class Graded(NamedTuple):
    """The rows to grade on, and a note on the others."""

    rows: list[LabelledRow]
    facts: dict[str, object]


def rows_to_grade(rows: Sequence[LabelledRow], model: str, unseen_by: Sequence[Path], include_trained: bool) -> Graded:
    """Return the rows that neither the model in the folder (or "") nor those of ``--unseen-by`` learned from."""
    own = find_split(model) if model else None
    splits = ([own] if own else []) + [load_split(path) for path in unseen_by]
    found = unseen(rows, splits)
    if found.left_out and include_trained:
        show.warn(
            f"{found.left_out} of {len(rows)} rows are on problems that a model learned from: the numbers flatter it "
            "(--include-trained)"
        )
    elif not found.rows:
        raise InputError(
            f"all {len(rows)} labelled rows are on problems that the model was trained or calibrated on, and grading on them "
            "says nothing; give other prompts, or --include-trained to see the numbers nevertheless"
        )
    facts: dict[str, object] = {
        "rows_trained_on": found.left_out, "include_trained": include_trained, "rows_on_new_problems": found.new,
    }  # fmt: skip
    return Graded(list(rows) if include_trained else found.rows, facts)


def print_report(title: str, report: Report, facts: Mapping[str, object], settings: EvalSettings, as_json: bool) -> None:
    """Print the measures."""
    if as_json:
        show.print_json({**plain(report), **facts, "draws": settings.draws, "level": settings.level, "seed": settings.seed})
        return
    rows = [
        ("rows / prompts / mixed", f"{report.rows} / {report.prompts} / {report.mixed_prompts}", ""),
        ("left out: learned from", str(0 if facts["include_trained"] else facts["rows_trained_on"]), ""),
        ("without a score", str(report.missing), ""),
        ("share correct", show.percent(report.share_correct), ""),
    ]
    for name, one in report.estimates.items():
        value, low, high = ("-" if each != each else f"{each:.3f}" for each in (one.value, one.low, one.high))
        rows.append((name.replace("_", " "), value, f"[{low}, {high}]"))
    show.print_table(title, rows, header=("measure", "value", f"{settings.level:.0%} interval"))
    if report.inside is not None:
        print_verdict(report.inside._asdict() | {"verdict": report.inside.words()})
    if report.curve:
        curve = [
            (f"{one.low:.2f} to {one.high:.2f}", f"{one.rows:.0f}", f"{one.mean_p:.3f}", f"{one.share:.3f}")
            for one in report.curve
        ]
        show.print_table(f"calibration: {report.curve_of}", curve, header=("probability", "count", "mean", "share"))


def held_out_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of a table for what ``held_out_facts`` found."""
    rows = [("held-out responses / mixed prompts", f"{facts['responses']} / {facts['mixed_prompts']}")]
    for name in ("auroc", "auroc_in_mixed_prompts"):
        value, low, high = ("-" if each is None else f"{each:.3f}" for each in facts[name].values())
        rows.append((f"held-out {name.replace('_', ' ')}", f"{value} [{low}, {high}]"))
    return rows


def print_verdict(facts: Mapping[str, Any]) -> None:
    """Print the verdict on a model; as a warning where it is not shown to be of use."""
    verdict = str(facts["verdict"])
    if facts["ranks"] == "better than chance":
        sys.stdout.write(f"{verdict}\n")
    else:
        show.warn(verdict)


def shown(value: object) -> str:
    """Return a value for a table."""
    return show.number(value) if isinstance(value, float) or value is None else str(value)


def since(began: float) -> float:
    """Return the seconds since ``began``."""
    return round(time.perf_counter() - began, 3)
