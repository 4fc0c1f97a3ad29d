"""The audit as a page: the decision first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hero_rl.attacks.page import attack_sections
from hero_rl.audit.reward_models import RewardModelReport
from hero_rl.audit.run import Audit
from hero_rl.report import Section, Table, interval, write_folder
from hero_rl.report.figures import Curve, Histogram, Panel, curve_panels, histograms
from hero_rl.types import FloatArray

VERIFIER_HEADER = ("verifier", "recall", "precision", "FPR", "accuracy", "decides", "right when it decides", "rejects wrongly")
MODEL_HEADER = ("reward model", "AUROC inside prompts", "median", "at least .9", "near chance", "AUROC overall",
                "inside: rejected rows", "inside: accepted rows", "length bias")  # fmt: skip
ATTACKS_SHOWN = 3
"""Accepted attacks of each kind."""
SCALE_HEADER = ("normalisation", "mixed, correct", "mixed, incorrect", "all correct", "all wrong", "reward-model opinion")


def write_audit(folder: Path, found: Audit, *, source: str, command: str) -> Path:
    """Write the page of the file ``source``, PNG figures and ``numbers.json`` into ``folder``, and return the path of the page.

    Raises:
        MissingDependencyError: matplotlib or jinja2 is not installed.
    """
    sections = [
        *_decision(found), *_verifiers(found), *_attack(found), *_reward_models(found), *_rule(found), *_training(found),
        *_examples(found),
    ]  # fmt: skip
    return write_folder(folder, f"Audit of {source}", lead(found), sections, found.to_json(), footer=command)


def lead(found: Audit) -> str:
    """Return the audit in two sentences."""
    size = f"{found.rows:,} responses to {found.prompts:,} prompts"
    if found.rows < found.rows_in_file:
        size += f" (whole prompts drawn from {found.rows_in_file:,} rows)"
    size += f", {found.labelled_rows:,} with a trusted label." if found.labelled_rows else ", no trusted labels."
    rule = next((advice for advice in found.advice if advice.about == "rule"), None)
    return size + (f"\nRule: {rule.value}. {rule.reason[0].upper()}{rule.reason[1:]}." if rule else "")


def _decision(found: Audit) -> list[Section]:
    sections: list[Section] = []
    if found.advice:
        table = Table(header=("about", "do", "because"), rows=found.advice, wrap=True)
        sections.append(Section(heading="What to do", table=table))
    if found.signs:
        table = Table(header=("sign", "first and last third of the steps"), rows=found.signs, wrap=True)
        sections.append(Section(heading="Signs of reward hacking", table=table))
    if found.unknown:
        text = "\n".join(f"- {reason}." for reason in found.unknown)
        sections.append(Section(heading="What this file cannot tell", text=text))
    return sections


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
    row = [model.name, interval(spread.mean), spread.median, spread.above_90, spread.near_chance, interval(model.overall),
           interval(model.rejected), interval(model.accepted), model.length_bias]  # fmt: skip
    note = (
        f"Truth: {model.truth}. Only {spread.prompts} of {found.prompts} prompts have right and wrong responses; the AUROC "
        "inside prompts is the mean over them. Rejected rows: does the score find right answers that the verifier missed?"
    )
    panels = [Histogram(title="spread of scores inside prompts", x_label="sigma (Eq. 4)", values={"": model.sigma})]
    if spread.prompts:
        title = "AUROC inside each prompt"
        panels.insert(0, Histogram(title=title, x_label="AUROC", values={"": spread.auroc_P}, limits=(0, 1), bins=20))
    sections = [
        Section(
            heading=f"Reward model {model.name}", name=f"reward-model-{number}", figure=histograms(panels),
            table=Table(header=MODEL_HEADER, rows=[row], note=note),
        )
    ]  # fmt: skip
    if len(model.calibration) > 2:
        tenths = [(one.low + one.high) / 2 for one in model.calibration]
        shares = np.array([one.share for one in model.calibration])
        panel = _panel("share of right responses by score", tenths, shares, percent=True)
        figure = curve_panels([panel], x_label="score (tenths)", across=3, legend=False)
        heading = "Does a higher score mean more often right?"
        sections.append(Section(heading=heading, name=f"calibration-{number + 1}", figure=figure))
    return sections


def _rule(found: Audit) -> list[Section]:
    groups, report = found.groups, found.rule
    if groups is None:
        return []
    shares = [["mixed", groups.mixed], ["all correct", groups.all_correct], ["all wrong", groups.all_wrong]]
    shares += [["without gradient, verifier alone", groups.zero_gradient]]
    if report is not None:
        shares += [[f"without gradient, {report.rule}", report.groups.zero_gradient]]
    sections = [Section(heading="Prompts", table=Table(header=("prompts", "share"), rows=shares))]
    if report is None:
        return sections
    note = (
        "Mean |advantage|, prompt weights included. Reward-model opinion: the share of the update that would not be there if "
        "the verdict alone were the reward.\n" + "\n".join(s.warning for s in report.scales if s.warning)
    )
    settings = ", ".join(
        f"{name} {value}" for name, value in report.settings.items() if name in ("alpha", "beta", "w_min", "w_max", "k")
    )
    rewards = {"incorrect": report.rewards[~report.correct], "correct": report.rewards[report.correct]}
    figure = histograms([
        Histogram(title="rewards", x_label="reward", log=True, values=rewards),
        Histogram(title="prompt weights", x_label="weight", values={"": report.weights}),
    ])  # fmt: skip
    caption = f"{report.at_edge:.0%} of the responses are alone or tied in their stratum: there the score says nothing."
    table = Table(header=SCALE_HEADER, rows=[scale[:-1] for scale in report.scales], note=note)
    heading = f"What {report.rule} would do here"
    return [*sections, Section(heading=heading, text=settings, name="rule", figure=figure, caption=caption, table=table)]


def _training(found: Audit) -> list[Section]:
    if not found.trends:
        return []
    shares = ("verifier pass", "accuracy by label")
    panels = [_panel(t.name, t.steps.tolist(), t.values, percent=t.name in shares) for t in found.trends]
    figure = curve_panels(panels, across=3, legend=False)
    rows = [[t.name, interval(t.first), interval(t.last)] for t in found.trends]
    table = Table(header=("over training", "first third of the steps", "last third"), rows=rows)
    return [Section(heading="Over training", name="training", figure=figure, table=table)]


def _panel(title: str, x: Sequence[float], y: FloatArray, *, percent: bool) -> Panel:
    return Panel(title=title, percent=percent, curves=[Curve(label=title, steps=x, values_SN=y)])


def _examples(found: Audit) -> list[Section]:
    header = ("row", "problem", "reference", "response (its end)", "the verifier says")
    return [
        Section(
            heading=f"Worth reading: {kind}",
            table=Table(header=header, rows=[one[1:] for one in found.examples if one.kind == kind], wrap=True),
        )
        for kind in dict.fromkeys(example.kind for example in found.examples)
    ]
