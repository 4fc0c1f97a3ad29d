"""`hero verify --attack`: how easily a verifier is fooled on a file's references."""

from __future__ import annotations

import sys
from pathlib import Path

from hero_rl.attacks import Accepted, AttackReport, accepted_row, attack, labelled_rollouts, read_targets, write_attack
from hero_rl.attacks.page import kind_cells, lead, trade_rows
from hero_rl.cli import options, show
from hero_rl.cli.interrupt import closing
from hero_rl.config import RewardConfig
from hero_rl.data.rollouts import Columns
from hero_rl.data.tables import label_of
from hero_rl.data.write import check_target, json_line, open_lines
from hero_rl.errors import InputError
from hero_rl.files import replacing

EXAMPLES = 3
"""Accepted attacks of each kind in the printed list."""
SHOWN_CHARS = 70


def run(
    source: Path, config: RewardConfig, *, columns: Columns, output: Path | None, page: Path | None, limit: int | None,
    seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Attack a verifier and say what got through."""
    verifier = config.verifier["name"]
    if verifier == "none" or verifier.startswith("column:"):
        raise InputError(f"--verifier {verifier}: an attack needs a verifier that reads answers, such as math")
    if output is not None:
        check_target(output, source)
    if page is not None:
        show.check_folder("--page", page.parent if page.suffix == ".html" else page)
    targets = read_targets(source, columns, limit=limit, seed=seed)
    judge = config.need_verifier()
    with closing(judge), show.progress_bar() as bar:
        report = attack(
            judge, targets, labelled=labelled_rollouts(source, targets, columns), seed=seed,
            max_failure_rate=config.max_failure_rate, progress=bar,
        )  # fmt: skip
    written: dict[str, str] = {}
    if output is not None:
        with replacing(output) as partial, open_lines(partial) as write:
            for one in report.accepted:
                write(json_line(accepted_row(one)))
        written["output"] = str(output)
    if page is not None:
        written["page"] = str(write_attack(page, [report], source=label_of(source), command=show.command_line()))
    if as_json:
        show.print_json({**report.to_json(), **written, **options.counted(judge)})
        return
    print_report(report)
    for name, path in written.items():
        sys.stdout.write(f"{name.capitalize()}: {path}\n")


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
    return show.shortened(text, SHOWN_CHARS)
