"""`hero verify --attack`: how easily a verifier is fooled on a file's references."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import NamedTuple

from hero_rl.attacks import Accepted, AttackReport, accepted_row, attack, labelled_rollouts, read_targets, write_attack
from hero_rl.attacks.page import kind_cells, lead, trade_rows
from hero_rl.cli import options, show
from hero_rl.cli.interrupt import closing
from hero_rl.config import RewardConfig
from hero_rl.errors import InputError
from hero_rl.files import replacing

EXAMPLES = 3
"""Accepted attacks of each kind in the printed list."""
SHOWN_CHARS = 70


class Wanted(NamedTuple):
    """The options of an attack."""

    output: Path | None
    page: Path | None
    limit: int | None
    seed: int
    as_json: bool


def run(source: Path, config: RewardConfig, wanted: Wanted) -> None:
    """Attack a verifier and say what got through.

    Raises:
        InputError: a bad file, path or option.
        SignalError: the verifier failed on too many attacks.
    """
    verifier = config.verifier["name"]
    if verifier == "none" or verifier.startswith("column:"):
        raise InputError(f"--verifier {verifier}: an attack needs a verifier that reads answers, such as math")
    _check_paths(wanted)
    targets = read_targets(source, limit=wanted.limit, seed=wanted.seed)
    judge = config.need_verifier()
    with closing(judge), show.progress_bar() as bar:
        report = attack(
            judge, targets, labelled=labelled_rollouts(source, targets), seed=wanted.seed,
            max_failure_rate=config.max_failure_rate, progress=bar,
        )  # fmt: skip
    written: dict[str, str] = {}
    if wanted.output is not None:
        written["output"] = str(write_accepted(wanted.output, report))
    if wanted.page is not None:
        command = " ".join(["hero", *sys.argv[1:]])
        written["page"] = str(write_attack(wanted.page, [report], source=source.name, command=command))
    if wanted.as_json:
        show.print_json({**report.to_json(), **written, "decided": options.decisions(judge), "cache": options.cache_use(judge)})
        return
    print_report(report)
    for name, path in written.items():
        sys.stdout.write(f"{name.capitalize()}: {path}\n")


def _check_paths(wanted: Wanted) -> None:
    if wanted.output is not None:
        if not wanted.output.name.endswith((".jsonl", ".jsonl.gz")):
            raise InputError(f"-o {wanted.output}: accepted attacks are written as .jsonl or .jsonl.gz")
        if not wanted.output.parent.is_dir():
            raise InputError(f"-o {wanted.output}: the folder {str(wanted.output.parent)!r} does not exist; make it first")
    if wanted.page is not None:
        show.check_folder("--page", wanted.page.parent if wanted.page.suffix == ".html" else wanted.page)


def write_accepted(path: Path, report: AttackReport) -> Path:
    """Write every accepted attack as a row of a rollouts file, labelled wrong, and return the path."""
    rows = "".join(json.dumps(accepted_row(one), allow_nan=False) + "\n" for one in report.accepted).encode()
    with replacing(path) as partial:
        partial.write_bytes(gzip.compress(rows, mtime=0) if path.suffix == ".gz" else rows)
    return path


def print_report(report: AttackReport) -> None:
    """Print the rates, and a few accepted attacks of each kind."""
    sys.stdout.write(lead(report) + "\n")
    header = ("attacks", "tried", "accepted", "abstained", "failed", "fooled", "rate [95%]")
    rows = []
    for one in (*report.groups, *report.kinds):
        cells = [str(cell) for cell in kind_cells(one)]
        rows.append((cells[0], cells[1], cells[2], cells[5], cells[6], cells[7], cells[3]))
    show.print_table(f"attack on {report.verifier}, {report.references:,} references", rows, header=header)
    if report.labelled is not None:
        cells = [tuple(str(cell) for cell in row) for row in trade_rows(report.labelled)]
        show.print_table("labelled responses", cells, header=("", "count", "accepted"))
    for kind, found in report.accepted_by_kind().items():
        sys.stdout.write(f"accepted, {kind} ({len(found):,}):\n")
        sys.stdout.writelines(f"  {_line(one)}\n" for one in found[:: max(1, len(found) // EXAMPLES)][:EXAMPLES])


def _line(one: Accepted) -> str:
    return f"{_short(one.attack.answer)}  for  {_short(one.target.reference)}   ({_short(one.said)}; {one.target.where})"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."
