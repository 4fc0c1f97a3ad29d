"""What `hero rm` and `hero verifier` share: labels, splits, which rows may be graded on, and the table of measures."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hero_rl.cli import show
from hero_rl.data import Columns
from hero_rl.data.rollouts import read_records
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
GROUP_HELP = "Column that tells prompts apart."
LABELS_HELP = "Who says what is correct: column:NAME, or a rule such as math. Default: the column 'correct'."


class Labels(NamedTuple):
    """Who labels the rows of a file."""

    verifier: Verifier
    columns: Columns
    source: Source


def make_labels(
    spec: str | None, path: Path, group_by: str, *, rules_allowed: bool, score_columns: Sequence[str] = ()
) -> Labels:
    """Who labels the rows.

    Args:
        spec: what the user asked for; None: the column 'correct' where the file has it.
        path: the rollouts file.
        group_by: column that tells prompts apart.
        rules_allowed: whether the maths verifier may step in where the file has no labels.
        score_columns: other columns that every row must have.

    Raises:
        InputError: no labels and no rule asked for, or an unknown verifier.
    """
    if spec is None:
        has_column = LABEL_COLUMN in next(iter(read_records(path))).values
        if not has_column and not rules_allowed:
            raise InputError(
                f"{path}: has no label column {LABEL_COLUMN!r}; name the one that says what is correct with --labels "
                "column:NAME, or let rules decide with --labels math"
            )
        spec = f"column:{LABEL_COLUMN}" if has_column else "math"
    verifier = make_verifier(spec)
    if verifier is None:
        raise InputError(f"--labels none: labels are needed; choose one of {names(VERIFIERS)}")
    columns = Columns(group_by=group_by, labels=column_of(spec), scores=tuple(score_columns))
    return Labels(verifier, columns, "given" if column_of(spec) else "rule")


class NewRows(NamedTuple):
    """The rows to learn from, earlier ones included."""

    rows: list[LabelledRow]
    added: int
    """Rows that this file added, or whose label it changed."""
    undecided: int
    learned: int


def read_new(path: Path, labels: Labels, earlier: Sequence[LabelledRow], progress: Progress) -> NewRows:
    """The earlier rows and those of a file."""
    found = read_labelled(path, labels.verifier, columns=labels.columns, source=labels.source, progress=progress)
    rows = merged(earlier, found.rows)
    before = {id(row) for row in earlier}
    return NewRows(rows, sum(id(row) not in before for row in rows), found.undecided, found.learned)


def check_train(folder: Path, base: str | None, refresh: Path | None) -> str:
    """The model to start from, after everything was checked that can be checked at once.

    Raises:
        InputError: no or two models to start from, or a folder that exists.
    """
    if refresh is not None and base is not None:
        raise InputError("--model and --refresh: the training goes on from the model of --refresh; leave --model out")
    if refresh is not None and not refresh.is_dir():
        raise InputError(f"--refresh {refresh}: no such folder; give that of the earlier model")
    start = str(refresh) if refresh is not None else base
    if start is None:
        raise InputError("no model to start from: give --model FOLDER (or a Hugging Face id), or --refresh FOLDER")
    folders.check_new(folder)
    check_base(start)
    return start


def split_for(rollouts: Sequence[Rollout], settings: SplitSettings, *, refresh: Path | None, beside: Path | None) -> Split:
    """The split to train with: that of the earlier model or of ``--split`` where there is one, with new problems dealt out."""
    source = refresh or beside
    if refresh is not None and beside is not None:
        raise InputError("--split and --refresh: the earlier model has a split of its own; leave --split out")
    earlier = load_split(source) if source is not None else None
    return make_split(rollouts, earlier.settings if earlier else settings, earlier=earlier)


@contextlib.contextmanager
def quiet(*, models: bool = True) -> Iterator[None]:
    """Within it, stdout belongs to the result, and transformers says only what is wrong; nothing where no model is loaded."""
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
    """The rows that neither the model nor those of ``--unseen-by`` learned from.

    Args:
        rows: labelled rows.
        model: the model's folder; "" for one that has none.
        unseen_by: folders of other models.
        include_trained: keep all rows, with a warning.

    Raises:
        InputError: no row is left.
    """
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
    """Print what was measured."""
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
        interval = f"[{_shown(one.low)}, {_shown(one.high)}]"
        rows.append((name.replace("_", " "), _shown(one.value), interval))
    show.print_table(title, rows, header=("measure", "value", f"{settings.level:.0%} interval"))
    if report.curve:
        curve = [
            (f"{one.low:.2f} to {one.high:.2f}", f"{one.rows:.0f}", f"{one.mean_p:.3f}", f"{one.share:.3f}")
            for one in report.curve
        ]
        show.print_table(f"calibration: {report.curve_of}", curve, header=("probability", "count", "mean", "share"))


def _shown(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
