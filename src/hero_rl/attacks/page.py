"""An attack as a page: the rates first, then the accepted attacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from hero_rl.attacks.run import Accepted, AttackReport, KindReport, Trade
from hero_rl.measures import Estimate
from hero_rl.report import Section, Table, interval, write_folder, write_page

HEADER = ("attacks", "tried", "accepted", "rate", "rejected", "abstained", "failed", "references fooled")
SHOWN = 20
"""Accepted attacks of each kind on the page."""
MAX_TEXT = 300
NOTE = (
    "Every attack is wrong by construction. Rate: accepted of those tried, with a 95% interval, the attacks on one problem as "
    "one cluster. An abstention is not an acceptance."
)


def write_attack(path: Path, reports: Sequence[AttackReport], *, source: str, command: str) -> Path:
    """Write the page of attacks on the same references, one per verifier, and return its path.

    ``path`` ends in `.html`, or is a folder for `report.html` and `numbers.json`. ``source`` names the file with the
    references; ``command`` goes into the footer.
    """
    title = f"Attack on {', '.join(report.verifier for report in reports)} with {source}"
    sections = [section for report in reports for section in attack_sections(report, named=len(reports) > 1)]
    words = "\n".join(lead(report) for report in reports)
    if path.suffix == ".html":
        return write_page(path, title, words, sections, footer=command)
    numbers = {"attacks": [report.to_json(examples=SHOWN) for report in reports]}
    return write_folder(path, title, words, sections, numbers, footer=command)


def lead(report: AttackReport) -> str:
    """Return the attack in two sentences."""
    total = report.total
    text = (
        f"{report.verifier} accepted {total.accepted:,} of {total.tried:,} wrong answers ({rate(total.rate)}), and at "
        f"least one on {total.fooled:,} of {report.references:,} references."
    )
    if (trade := report.labelled) is not None:
        text += f" On labelled responses: recall {interval(trade.recall)}, false positive rate {interval(trade.fpr)}."
    return text


def attack_sections(report: AttackReport, *, named: bool = False, shown: int = SHOWN) -> list[Section]:
    """Return the sections of one attack, with at most ``shown`` accepted attacks per kind.

    ``named`` puts the verifier's name into the headings.
    """
    of = f" {report.verifier}" if named else ""
    note = NOTE
    if report.reasons:
        note += " Abstentions by reason: " + ", ".join(f"{reason} {count:,}" for reason, count in report.reasons.items()) + "."
    rows = [kind_cells(one) for one in (*report.groups[::-1], *report.kinds)]
    sections = [Section(heading=f"How easily{of or ' it'} is fooled", table=Table(header=HEADER, rows=rows, note=note))]
    if report.labelled is not None:
        note = "Of right responses the share accepted is the recall; of wrong ones, the false positive rate."
        table = Table(header=("labelled responses", "count", "accepted"), rows=trade_rows(report.labelled), note=note)
        sections.append(Section(heading=f"The other side: labelled responses{of and ' to' + of}", table=table))
    header = ("row", "problem", "reference", "attack", "wrong answer", "the verifier says")
    for kind, found in report.accepted_by_kind().items():
        more = f"{len(found) - shown:,} more of this kind are not shown." if len(found) > shown else ""
        table = Table(header=header, rows=[_accepted_cells(one) for one in found[:shown]], wrap=True, note=more)
        sections.append(Section(heading=f"Accepted{of and ' by' + of}: {kind}", table=table))
    return sections


def _accepted_cells(one: Accepted) -> list[str]:
    target = one.target
    texts = (target.where, target.problem, target.reference, one.attack.name, one.attack.answer, one.said)
    return [text[:MAX_TEXT] for text in texts]


def kind_cells(one: KindReport) -> list[str | float | None]:
    """Return the cells of a row under ``HEADER``."""
    return [one.kind, one.tried, one.accepted, rate(one.rate), one.rejected, one.abstained, one.failed,
            f"{one.fooled:,} of {one.references:,}"]  # fmt: skip


def trade_rows(trade: Trade) -> list[list[str | float | None]]:
    """Return rows of right and wrong labelled responses."""
    return [["right", trade.right, interval(trade.recall)], ["wrong", trade.wrong, interval(trade.fpr)]]


def rate(estimate: Estimate) -> str:
    """Return a small share as a percentage with its interval; a dash if it is unknown."""
    if math.isnan(estimate.value):
        return "–"
    text = f"{100 * estimate.value:.3g}%"
    return text if math.isnan(estimate.low) else f"{text} [{100 * estimate.low:.2g}, {100 * estimate.high:.2g}]"
