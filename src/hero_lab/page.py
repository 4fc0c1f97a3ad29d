"""The lab's report: what happened, learning curves, the held-out table and paired differences, on one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hero_lab.compare import ArmSummary, Difference, Result, curve, estimate_json, paired_difference, summarize, tags
from hero_rl.measures import Estimate
from hero_rl.report import Section, Table, json_values, write_folder
from hero_rl.report.figures import Curve, Panel, curve_panels, interval_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAG_NAMES = {"V": "verifiable prompts", "H": "hard-to-verify prompts"}
HEADER = ("rule", "T=1", "95%", "greedy", "95%", "any right", "verifier pass", "RM score", "RM AUROC", "all wrong")  # fmt: skip

TABLE_NOTE = (
    "T=1 and greedy: accuracy by the exact oracle. RM AUROC: of the reward model within prompts. Any right, all wrong: "
    "prompts with a right response, and without any that the strict verifier accepts, in {samples}."
)


def learning_curves(results: Sequence[Result]) -> Figure:
    """Oracle accuracy, reward-model score and verifier pass rate over steps, one line per rule, on development prompts."""
    panels: list[Panel] = []
    for title, measure, percent in (
        ("accuracy by the oracle (no rule sees it)", "accuracy", True),
        ("reward-model score (start = 0, its spread = 1)", "rm_score", False),
        ("share the strict verifier calls correct", "verifier_pass", True),
    ):
        labels = dict.fromkeys(result["settings"]["label"] for result in results)
        drawn = {label: curve(results, label, measure) for label in labels}
        curves = [Curve(label=label, steps=steps, values_SN=values) for label, (steps, values) in drawn.items()]
        panels.append(Panel(title=title, curves=curves, percent=percent))
    return curve_panels(panels)


def differences(results: Sequence[Result], *, label: str | None = None) -> list[Difference]:
    """``label`` against every other arm, per tag, at temperature 1 and greedy; by default the arm of ``compared_arm``."""
    label = compared_arm(results) if label is None else label
    others = [name for name in dict.fromkeys(result["settings"]["label"] for result in results) if name != label]
    found = [
        paired_difference(results, label, other, tag=tag, metric=metric)
        for tag in tags(results)
        for metric in ("accuracy", "greedy")
        for other in others
    ]
    return [difference for difference in found if difference is not None]


def compared_arm(results: Sequence[Result]) -> str:
    """The arm that is held against all others: ``hero``, else the first with HERO's rule, else the last."""
    labels = list(dict.fromkeys(result["settings"]["label"] for result in results))
    ours = [label for label in labels if label.startswith("hero")]
    return "hero" if "hero" in labels else (ours or labels[-1:])[0]


def numbers(results: Sequence[Result]) -> dict[str, Any]:
    """Everything that the page shows, as JSON values; None where a number is not known."""
    rows: dict[str, Sequence[ArmSummary | Difference]] = {
        "held_out": summarize(results),
        "held_out_early": summarize(results, when="early"),
        "held_out_start": summarize(results, when="start"),
        "differences": differences(results),
    }
    return json_values({name: [_row_json(row) for row in own] for name, own in rows.items()})


def _row_json(row: ArmSummary | Difference) -> dict[str, Any]:
    return {name: estimate_json(value) if isinstance(value, Estimate) else value for name, value in row._asdict().items()}


def summary_row(summary: ArmSummary) -> list[str | float | None]:
    """The cells under ``HEADER``."""
    means = summary.means
    return [
        summary.label,
        *_with_interval(summary.accuracy),
        *_with_interval(summary.greedy),
        *(means[name] for name in ("pass_any", "verifier_pass", "rm_score", "rm_auroc_within", "all_wrong_groups")),
    ]


def _with_interval(estimate: Estimate) -> tuple[float, str]:
    return estimate.value, f"{estimate.low:.3f} to {estimate.high:.3f}"


def verdict_on_hacking(results: Sequence[Result]) -> str:
    """A sentence a rule whose reward-model score rose while its accuracy fell; empty where none did."""
    start = {(s.label, s.tag): s for s in summarize(results, when="start")}
    hacked = []
    for end in summarize(results):
        before = start[end.label, end.tag]
        fell, rose = end.accuracy.value - before.accuracy.value, end.means["rm_score"] - before.means["rm_score"]
        if fell < -0.05 and rose > 0.3:
            where = TAG_NAMES[end.tag]
            hacked.append(f"{end.label} hacked the reward model on {where}: score {rose:+.2f}, accuracy {fell:+.2f}.")
    return "\n".join(hacked)


def write_report(folder: Path, results: Sequence[Result], *, command: str) -> Path:
    """The path of ``report.html``; ``curves.png``, ``differences.png`` and ``numbers.json`` lie beside it."""
    settings, versions = results[0]["settings"], results[0]["versions"]
    seeds = sorted({result["settings"]["seed"] for result in results})
    parts = [
        Section(
            heading="While they learn",
            name="curves",
            figure=learning_curves(results),
            caption=f"Development prompts. Lines are means over {len(seeds)} seed(s), bands the range of the seeds.",
        )
    ]
    for tag in tags(results):
        rows = [summary_row(summary) for summary in summarize(results) if summary.tag == tag]
        start = next(summary for summary in summarize(results, when="start") if summary.tag == tag)
        rows.insert(0, ["(start)", *summary_row(start)[1:]])
        unit = "over seeds (Student's t)" if len(seeds) > 1 else "over prompts, one seed: another seed may differ by more"
        table = Table(
            header=HEADER, rows=rows, note=f"{TABLE_NOTE.format(samples=settings['held_out_samples'])} Intervals are {unit}."
        )
        parts.append(Section(heading=f"After {settings['steps']} steps: {TAG_NAMES[tag]}, held out", table=table))
    parts += _difference_parts(results)
    parts.append(Section(heading="The reward model", table=_reward_model_table(results)))
    parts += _learned_verifier_parts(results)
    lead = (
        f"Tiny models trained from scratch, {settings['regime']} regime, {settings['tier']} reward model, "
        f"{settings['steps']} steps, KL {settings['kl']:g}.\n" + verdict_on_hacking(results)
    )
    footer = f"{command}\nseeds {seeds}; " + ", ".join(f"{name} {version}" for name, version in versions.items())
    return write_folder(folder, "hero lab", lead, parts, numbers(results), footer=footer)


def _difference_parts(results: Sequence[Result]) -> list[Section]:
    found = differences(results)
    if not found:
        return []
    rows: dict[str, tuple[float, float, float]] = {}
    for difference in found:
        how = "T=1" if difference.metric == "accuracy" else "greedy"
        rows[f"{difference.label} − {difference.baseline} ({difference.tag}, {how})"] = difference.estimate
    return [
        Section(
            heading=f"{found[0].label} against each other arm, paired",
            text=f"Same prompts, same seeds, same sampling noise. Right of the dashed line {found[0].label} is ahead.",
            name="differences",
            figure=interval_rows(rows, x_label="difference in accuracy, 95% interval"),
        )
    ]


def _reward_model_table(results: Sequence[Result]) -> Table:
    facts = {result["settings"]["seed"]: result["reward_model"] for result in results}
    columns = ("auroc_pooled_V", "auroc_within_V", "auroc_pooled_H", "auroc_within_H")
    rows = [[f"seed {seed}", *(fact[name] for name in columns)] for seed, fact in sorted(facts.items())]
    header = ("", "AUROC pooled, V", "AUROC within prompts, V", "AUROC pooled, H", "AUROC within prompts, H")
    return Table(
        header=header, rows=rows,
        note="On the starting policy's responses to test prompts of its own. Only the AUROC within prompts can help a rule.",
    )  # fmt: skip


def _learned_verifier_parts(results: Sequence[Result]) -> list[Section]:
    """The learned verifier's quality before training, and on the responses that each rule led to."""
    facts = {r["settings"]["seed"]: r["learned_verifier"] for r in results if "learned_verifier" in r}
    if not facts:
        return []
    columns = ("auroc_H", "auroc_rejected_H", "recall_H", "fpr_H", "precision_H")
    rows = [[f"seed {seed}", *(fact[name] for name in columns)] for seed, fact in sorted(facts.items())]
    header = ("", "AUROC", "AUROC where the strict one rejects", "recall", "FPR", "precision")
    note = "Hard prompts of the rm_test problems, the starting policy's responses. Trained and calibrated on other problems."
    parts = [Section(heading="The learned verifier", table=Table(header=header, rows=rows, note=note))]
    after: list[list[str | float | None]] = []
    for result in results:
        for tag in tags([result]):
            start, end = (result["held_out"][when][tag] for when in ("start", "end"))
            if "own_verifier_fpr" in end:
                names = ("own_verifier_precision", "own_verifier_fpr")
                pairs = [evaluation[name] for name in names for evaluation in (start, end)]
                after.append([f"{result['settings']['label']}, seed {result['settings']['seed']}, {tag}", *pairs])
    header = ("", "precision, start", "precision, end", "FPR, start", "FPR, end")
    note = "Of the verdicts that the rule was trained on, by the oracle, held-out prompts. Precision that falls: it was fooled."
    return [*parts, Section(heading="Was the verifier fooled?", table=Table(header=header, rows=after, note=note))]
