"""The audit as a page: the decision first, then what it rests on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from hero_rl.attacks.page import attack_parts
from hero_rl.audit.advice import text
from hero_rl.audit.run import Audit
from hero_rl.audit.verifiers import VerifierReport
from hero_rl.measures import Estimate
from hero_rl.report import Table
from hero_rl.report.bars import Histogram, Line, histograms, lines
from hero_rl.report.folder import Part, write_folder

VERIFIER_HEADER = ("verifier", "recall", "precision", "FPR", "accuracy", "decides", "right when it decides", "rejects wrongly")
MODEL_HEADER = ("reward model", "AUROC inside prompts", "median", "at least .9", "near chance", "AUROC overall",
                "inside: rejected rows", "inside: accepted rows", "length bias")  # fmt: skip
ATTACKS_SHOWN = 3
"""Accepted attacks of each kind."""
SCALE_HEADER = ("normalisation", "mixed, correct", "mixed, incorrect", "all correct", "all wrong", "reward-model opinion")


def write_audit(folder: Path, found: Audit, *, source: str, command: str) -> Path:
    """The path of the page; PNG figures and ``numbers.json`` lie beside it.

    Args:
        folder: where the files go.
        found: what to show.
        source: name of the rollouts file, for the title.
        command: what made the audit, for the footer.

    Raises:
        MissingDependencyError: matplotlib or jinja2 is not installed.
    """
    parts = [
        *_decision(found), *_verifiers(found), *_attack(found), *_reward_models(found), *_rule(found), *_training(found),
        *_examples(found),
    ]  # fmt: skip
    return write_folder(folder, f"Audit of {source}", lead(found), parts, found.to_json(), footer=command)


def lead(found: Audit) -> str:
    """The audit in two sentences."""
    size = f"{found.rows:,} responses to {found.prompts:,} prompts"
    if found.rows < found.rows_in_file:
        size += f" (whole prompts drawn from {found.rows_in_file:,} rows)"
    size += f", {found.labelled_rows:,} with a trusted label." if found.labelled_rows else ", no trusted labels."
    rule = next((advice for advice in found.advice if advice.about == "rule"), None)
    return size + (f"\nRule: {rule.value}. {rule.reason[0].upper()}{rule.reason[1:]}." if rule else "")


def _decision(found: Audit) -> list[Part]:
    rows = [[advice.about, advice.value, advice.reason] for advice in found.advice]
    parts = [Part(heading="What to do", table=Table(header=("about", "do", "because"), rows=rows, wrap=True))] if rows else []
    if found.signs:
        rows = [[sign.what, sign.evidence] for sign in found.signs]
        parts.append(
            Part(
                heading="Signs of reward hacking",
                table=Table(header=("sign", "first and last third of the steps"), rows=rows, wrap=True),
            )
        )
    if found.unknown:
        parts.append(Part(heading="What this file cannot tell", text="\n".join(f"- {reason}." for reason in found.unknown)))
    return parts


def _verifiers(found: Audit) -> list[Part]:
    if not found.verifiers:
        return []
    note = "95% intervals, the responses of a prompt as one cluster. An abstention counts as not correct, but in the last two."
    parts = [
        Part(
            heading="Verifiers",
            table=Table(header=VERIFIER_HEADER, rows=[_verifier_row(v) for v in found.verifiers], note=note),
        )
    ]
    if found.agreements:
        rows = [[f"{a.first} and {a.second}", a.rows, text(a.agree), a.first_only, a.second_only] for a in found.agreements]
        header = ("verifiers", "rows both decided", "agree", "only the first accepts", "only the second accepts")
        parts.append(Part(heading="Where verifiers part", table=Table(header=header, rows=rows)))
    return parts


def _verifier_row(report: VerifierReport) -> list[str]:
    shown = (report.recall, report.precision, report.fpr, report.accuracy, report.coverage, report.accuracy_decided,
             report.wrong_rejections)  # fmt: skip
    return [report.name, *(cell(estimate) for estimate in shown)]


def cell(estimate: Estimate) -> str:
    """Value and interval for a table; a dash where it is unknown."""
    return "–" if math.isnan(estimate.value) else text(estimate)


def _attack(found: Audit) -> list[Part]:
    return [] if found.attack is None else attack_parts(found.attack, named=True, shown=ATTACKS_SHOWN)


def _reward_models(found: Audit) -> list[Part]:
    parts = []
    for model in found.reward_models:
        spread = model.within
        row = [model.name, cell(spread.mean), spread.median, spread.above_90, spread.near_chance, cell(model.overall),
               cell(model.rejected), cell(model.accepted), model.length_bias]  # fmt: skip
        note = (
            f"Truth: {model.truth}. Only {spread.prompts} of {found.prompts} prompts have right and wrong responses; the AUROC "
            "inside prompts is the mean over them. Rejected rows: does the score find right answers that the verifier missed?"
        )
        panels = []
        if spread.prompts:
            panels.append(
                Histogram(
                    title="AUROC inside each prompt", x_label="AUROC", values={"": spread.auroc_P}, limits=(0, 1), bins=20
                )
            )
        panels.append(Histogram(title="spread of scores inside prompts", x_label="sigma (Eq. 4)", values={"": model.sigma}))
        tenths = [(b.low + b.high) / 2 for b in model.calibration]
        parts.append(
            Part(heading=f"Reward model {model.name}", name=f"reward-model-{len(parts)}", figure=histograms(panels),
                 table=Table(header=MODEL_HEADER, rows=[row], note=note))
        )  # fmt: skip
        if len(tenths) > 2:
            shares = np.array([b.share for b in model.calibration])
            figure = lines(
                [
                    Line(
                        title="share of right responses by score",
                        x=np.array(tenths),
                        y=shares,
                        x_label="score (tenths)",
                        percent=True,
                    )
                ]
            )
            parts.append(
                Part(heading="Does a higher score mean more often right?", name=f"calibration-{len(parts)}", figure=figure)
            )
    return parts


def _rule(found: Audit) -> list[Part]:
    groups, report = found.groups, found.rule
    if groups is None:
        return []
    shares = [["mixed", groups.mixed], ["all correct", groups.all_correct], ["all wrong", groups.all_wrong]]
    shares += [["without gradient, verifier alone", groups.zero_gradient]]
    if report is not None:
        shares += [[f"without gradient, {report.rule}", report.groups.zero_gradient]]
    parts = [Part(heading="Prompts", table=Table(header=("prompts", "share"), rows=shares))]
    if report is None:
        return parts
    rows = [[s.scale, s.mixed_correct, s.mixed_incorrect, s.all_correct, s.all_wrong, s.opinion] for s in report.scales]
    warnings = "\n".join(s.warning for s in report.scales if s.warning)
    note = (
        "Mean |advantage|, prompt weights included. Reward-model opinion: the share of the update that would not be there if "
        "the verdict alone were the reward.\n" + warnings
    )
    settings = ", ".join(
        f"{name} {value}" for name, value in report.settings.items() if name in ("alpha", "beta", "w_min", "w_max", "k")
    )
    figure = histograms(
        [
            Histogram(title="rewards", x_label="reward", log=True, values={
                "incorrect": report.rewards[~report.correct], "correct": report.rewards[report.correct]}),
            Histogram(title="prompt weights", x_label="weight", values={"": report.weights}),
        ]
    )  # fmt: skip
    caption = f"{report.at_edge:.0%} of the responses are alone or tied in their stratum: there the score says nothing."
    parts.append(
        Part(heading=f"What {report.rule} would do here", text=settings, name="rule", figure=figure, caption=caption,
             table=Table(header=SCALE_HEADER, rows=rows, note=note))
    )  # fmt: skip
    return parts


def _training(found: Audit) -> list[Part]:
    if not found.trends:
        return []
    shares = ("verifier pass", "accuracy by label")
    panels = [
        Line(title=t.name, x=t.steps, y=t.values, x_label="training step", percent=t.name in shares) for t in found.trends
    ]
    rows = [[t.name, cell(t.first), cell(t.last)] for t in found.trends]
    table = Table(header=("over training", "first third of the steps", "last third"), rows=rows)
    return [Part(heading="Over training", name="training", figure=lines(panels), table=table)]


def _examples(found: Audit) -> list[Part]:
    parts = []
    for kind in dict.fromkeys(example.kind for example in found.examples):
        rows = [[e.where, e.problem, e.reference, e.response, e.detail] for e in found.examples if e.kind == kind]
        header = ("row", "problem", "reference", "response (its end)", "the verifier says")
        parts.append(Part(heading=f"Worth reading: {kind}", table=Table(header=header, rows=rows, wrap=True)))
    return parts
