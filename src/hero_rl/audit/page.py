"""The audit as a page: the finding in one sentence, the verdict on each rule, then what they rest on."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from hero_rl.attacks.page import attack_sections
from hero_rl.audit.hacking import Sign, Trend
from hero_rl.audit.reward_models import RewardModelReport
from hero_rl.audit.run import Audit
from hero_rl.audit.verdicts import SAFE, Verdicts
from hero_rl.measures import FEW_PROMPTS, Estimate
from hero_rl.report import Link, Section, Table, interval, write_folder
from hero_rl.report.figures import Curve, Histogram, Panel, curve_panels, histograms, interval_rows

VERIFIER_HEADER = ("verifier", "recall", "precision", "FPR", "accuracy", "decides", "right when it decides", "rejects wrongly")
MODEL_HEADER = (
    "reward model",
    "ranks",
    "AUROC inside prompts",
    "overall",
    "inside: rejected",
    "inside: accepted",
    "length bias",
)
RULE_HEADER = ("rule", "verdict", "working rollouts", "alignment", "pressure", "scale", "evidence", "what is missing")
GROUPS = "view.html"
"""Beside the page: the groups of its examples."""
FIGURES = re.compile(r"(rules?|training|reward-model-\d+)\.(png|svg|pdf|csv)")
MOST_DRAWN = 4.0
"""Intervals that go further from their value end at the edge of the figure."""
ATTACKS_SHOWN = 3
"""Accepted attacks of each kind."""


def write_audit(folder: Path, found: Audit, *, source: str, command: str, links: Sequence[str] = ()) -> Path:
    """Write the page of the file ``source``, figures and ``numbers.json`` into ``folder``, and return the path of the page.

    ``links``: per example, a fragment of ``GROUPS``, which lies in the folder, too; "": none.

    Raises:
        MissingDependencyError: matplotlib or jinja2 is not installed.
    """
    sections = [
        *_decision(found, source), *_rules(found.verdicts), *_verifiers(found), *_attack(found), *_reward_models(found),
        *_rule(found), *trend_sections(found.trends), *_examples(found, links),
    ]  # fmt: skip
    drawn = {section.name for section in sections if section.figure is not None}
    for file in folder.glob("*.*"):  # figures of an earlier audit
        if FIGURES.fullmatch(file.name) and file.stem not in drawn:
            file.unlink()
    return write_folder(folder, f"Audit of {source}", lead(found), sections, found.to_json(), footer=command)


def lead(found: Audit) -> str:
    """Return what was found in one sentence, and how much data that rests on in another."""
    size = f"{found.rows:,} responses to {found.prompts:,} prompts"
    if found.rows < found.rows_in_file:
        size += f" (whole prompts drawn from {found.rows_in_file:,} rows)"
    size += f", {found.labelled_rows:,} with a trusted label." if found.labelled_rows else ", no trusted labels."
    return f"{found.headline}\n{size}"


def _decision(found: Audit, source: str) -> list[Section]:
    sections: list[Section] = []
    if found.advice:
        table = Table(header=("about", "do", "because"), rows=found.advice, wrap=True)
        sections.append(Section(heading="What to do", table=table))
    sections += sign_sections(found.signs, text=f"The responses: hero view {source} --kind rejected_high, or step by step.")
    if found.unknown:
        text = "\n".join(f"- {reason}." for reason in found.unknown)
        sections.append(Section(heading="What this file cannot tell", text=text))
    return sections


def _rules(verdicts: Verdicts | None) -> list[Section]:
    if verdicts is None or not verdicts.rules:
        return []
    rows = [
        [v.rule, v.says, *map(interval, (v.working, v.alignment, v.pressure, v.scale)), v.evidence, v.missing or "nothing"]
        for v in verdicts.rules
    ]
    rows.append(["verifier_only", "the baseline", "1", interval(verdicts.verifier), "0", "", "", ""])
    note = (
        "99% intervals over prompts. Working rollouts: as a multiple of those under the verifier alone. Alignment: cosine of "
        "the rule's advantages with those of the labels; its square is the share of the rollouts that work. Pressure: share of "
        f"the update that is noise of the reward model; above {SAFE} hacking is likely. Scale: signal per unit of true reward."
    )
    if not math.isnan(verdicts.ceiling):
        note += f" A perfect reward model would make {verdicts.ceiling:.2f} times as many rollouts work as the verifier alone."
    drawn = {v.rule: Estimate(*(end - 1.0 for end in v.working)) for v in verdicts.rules if math.isfinite(v.working.value)}
    x_label = "working rollouts against the verifier alone (+0.1: 10% more)"
    figure = interval_rows(drawn, x_label=x_label, limit=MOST_DRAWN, few="too few labels") if drawn else None
    table = Table(header=RULE_HEADER, rows=rows, note=note, wrap=True)
    return [Section(heading="Which rule helps here", name="rules", figure=figure, table=table)]


def _verifiers(found: Audit) -> list[Section]:
    if not found.verifiers:
        return []
    rows = [
        [v.name, *map(interval, (v.recall, v.precision, v.fpr, v.accuracy, v.coverage, v.accuracy_decided, v.wrong_rejections))]
        for v in found.verifiers
    ]
    note = (
        "95% intervals, the responses of a prompt as one cluster. An abstention counts as not correct, except in the last two."
    )
    sections = [Section(heading="Verifiers", table=Table(header=VERIFIER_HEADER, rows=rows, note=note))]
    if found.agreements:
        rows = [[f"{a.first} and {a.second}", a.rows, interval(a.agree), a.first_only, a.second_only] for a in found.agreements]
        header = ("verifiers", "rows both decided", "agree", "only the first accepts", "only the second accepts")
        sections.append(Section(heading="Where verifiers disagree", table=Table(header=header, rows=rows)))
    return sections


def _attack(found: Audit) -> list[Section]:
    return [] if found.attack is None else attack_sections(found.attack, named=True, shown=ATTACKS_SHOWN)


def _reward_models(found: Audit) -> list[Section]:
    sections: list[Section] = []
    for model in found.reward_models:
        sections += _reward_model(found, model, len(sections))
    return sections


def _reward_model(found: Audit, model: RewardModelReport, number: int) -> list[Section]:
    spread = model.within
    row = [
        model.name,
        spread.ranks,
        *map(interval, (spread.mean, model.overall, model.rejected, model.accepted)),
        model.length_bias,
    ]
    note = (
        f"Truth: {model.truth}. Only {spread.prompts} of {found.prompts} prompts have right and wrong responses; the AUROC "
        "inside prompts is the mean over them. Rejected rows: does the score find right answers that the verifier missed?"
    )
    panels = [Histogram(title="spread of scores inside prompts", x_label="sigma (Eq. 4)", values={"": model.sigma})]
    if spread.prompts >= FEW_PROMPTS:
        title = "AUROC inside each prompt"
        panels.insert(0, Histogram(title=title, x_label="AUROC", values={"": spread.auroc_P}, limits=(0, 1), bins=20))
    table = Table(header=MODEL_HEADER, rows=[row], note=note)
    return [
        Section(heading=f"Reward model {model.name}", name=f"reward-model-{number}", figure=histograms(panels), table=table)
    ]


def _rule(found: Audit) -> list[Section]:
    groups, report = found.groups, found.rule
    if groups is None:
        return []
    shares = [["mixed", groups.mixed], ["all correct", groups.all_correct], ["all wrong", groups.all_wrong]]
    shares += [["without gradient, verifier alone", groups.zero_gradient]]
    if report is not None:
        shares += [[f"without gradient, {report.rule}", report.groups.zero_gradient]]
    sections = [Section(heading="Prompts", table=Table(header=("prompts", "share"), rows=shares))]
    if report is not None and report.weights.max() > report.weights.min():
        figure = histograms([Histogram(title="prompt weights", x_label="weight", values={"": report.weights})])
        text = ", ".join(
            f"{name} {report.settings[name]}" for name in ("w_min", "w_max", "k", "weight_by") if name in report.settings
        )
        sections.append(Section(heading=f"Prompt weights of {report.rule}", text=text, name="rule", figure=figure))
    return sections


def sign_sections(signs: Sequence[Sign], *, text: str = "") -> list[Section]:
    """Return the section of signs of hacking, with a text above them; none without signs."""
    table = Table(header=("sign", "evidence (over steps: first and last third)"), rows=signs, wrap=True)
    return [Section(heading="Signs of reward hacking", text=text, table=table)] if signs else []


def trend_sections(trends: Sequence[Trend], *, heading: str = "Over training", undrawn: Collection[str] = ()) -> list[Section]:
    """Return the section with the curves of ``trends``, but for those ``undrawn``, and their ends; none without trends."""
    if not trends:
        return []
    shares = ("verifier pass", "accuracy by label")
    panels = [
        Panel(title=t.name, percent=t.name in shares, curves=[Curve(label=t.name, steps=t.steps.tolist(), values_SN=t.values)])
        for t in trends
        if t.name not in undrawn
    ]
    figure = curve_panels(panels, across=3, legend=False)
    rows = [[t.name, interval(t.first), interval(t.last)] for t in trends]
    table = Table(header=("over training", "first third of the steps", "last third"), rows=rows)
    return [Section(heading=heading, name="training", figure=figure, table=table)]


def _examples(found: Audit, links: Sequence[str]) -> list[Section]:
    header = ("row", "problem", "reference", "response (its end)", "the verifier says")
    rows: dict[str, list[Sequence[str | Link]]] = {}
    for one, link in zip(found.examples, links or [""] * len(found.examples), strict=True):
        where = Link(one.where, f"{GROUPS}#{link}") if link else one.where
        rows.setdefault(one.kind, []).append((where, one.problem, one.reference, one.response, one.detail))
    note = "Each row leads to its whole group." if any(links) else ""
    return [
        Section(heading=f"Worth reading: {kind}", table=Table(header=header, rows=rows[kind], note=note, wrap=True))
        for kind in rows
    ]
