"""The lab's report: what happened, learning curves, the held-out table and paired differences, on one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hero_rl.lab.compare import ArmSummary, Difference, Result, curve, paired_difference, summarize, tags
from hero_rl.lab.measure import Estimate
from hero_rl.report import Section, Table, write_page
from hero_rl.report.figures import Curve, Panel, curve_panels, interval_rows, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAG_NAMES = {"V": "verifiable prompts", "H": "hard-to-verify prompts"}
HEADER = ("rule", "T=1", "95%", "greedy", "95%", "any right", "verifier pass", "RM score", "RM AUROC", "all wrong")  # fmt: skip

TABLE_NOTE = (
    "T=1 and greedy: accuracy by the exact oracle. RM AUROC: of the reward model within prompts. Any right, all wrong: "
    "prompts with a right response, and without any that the strict verifier accepts, in {samples}."
)


def learning_curves(results: Sequence[Result]) -> Figure:
    """Oracle accuracy, reward-model score and verifier pass rate over steps, a line a rule, on development prompts."""
    panels = [
        ("accuracy by the oracle (no rule sees it)", "accuracy", True),
        ("reward-model score (start = 0, its spread = 1)", "rm_score", False),
        ("share the strict verifier calls correct", "verifier_pass", True),
    ]
    return curve_panels([_panel(results, title, measure, percent) for title, measure, percent in panels])


def _panel(results: Sequence[Result], title: str, measure: str, percent: bool) -> Panel:
    labels = list(dict.fromkeys(result["settings"]["label"] for result in results))
    curves = []
    for label in labels:
        steps, values = curve(results, label, measure)
        curves.append(Curve(label=label, steps=steps, values_SN=values))
    return Panel(title=title, curves=curves, percent=percent)


def differences(results: Sequence[Result], *, label: str = "hero") -> list[Difference]:
    """``label`` against every other arm, per tag, at temperature 1 and greedy."""
    others = [name for name in dict.fromkeys(result["settings"]["label"] for result in results) if name != label]
    found = [
        paired_difference(results, label, other, tag=tag, metric=metric)
        for tag in tags(results)
        for metric in ("accuracy", "greedy")
        for other in others
    ]
    return [difference for difference in found if difference is not None]


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
    return estimate.mean, f"{estimate.low:.3f} to {estimate.high:.3f}"


def verdict_on_hacking(results: Sequence[Result]) -> str:
    """A sentence a rule whose reward-model score rose while its accuracy fell; empty where none did."""
    start = {(s.label, s.tag): s for s in summarize(results, when="start")}
    hacked = []
    for end in summarize(results):
        before = start[end.label, end.tag]
        fell, rose = end.accuracy.mean - before.accuracy.mean, end.means["rm_score"] - before.means["rm_score"]
        if fell < -0.05 and rose > 0.3:
            where = TAG_NAMES[end.tag]
            hacked.append(f"{end.label} hacked the reward model on {where}: score {rose:+.2f}, accuracy {fell:+.2f}.")
    return "\n".join(hacked)


def write_report(path: Path, results: Sequence[Result], *, command: str) -> Path:
    """The path of the page.

    Args:
        path: where it goes.
        results: of all runs of a comparison.
        command: what made them, for the footer.
    """
    settings, versions = results[0]["settings"], results[0]["versions"]
    seeds = sorted({result["settings"]["seed"] for result in results})
    sections = [
        Section(
            heading="While they learn",
            figure=svg(learning_curves(results), name="curves"),
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
        sections.append(Section(heading=f"After {settings['steps']} steps: {TAG_NAMES[tag]}, held out", table=table))
    sections += _difference_sections(results)
    sections.append(Section(heading="The reward model", table=_reward_model_table(results)))
    lead = (
        f"Tiny models trained from scratch, {settings['regime']} regime, {settings['tier']} reward model, "
        f"{settings['steps']} steps, KL {settings['kl']:g}.\n" + verdict_on_hacking(results)
    )
    footer = f"{command}\nseeds {seeds}; " + ", ".join(f"{name} {version}" for name, version in versions.items())
    return write_page(path, "hero lab", lead, sections, footer=footer)


def _difference_sections(results: Sequence[Result]) -> list[Section]:
    found = differences(results)
    if not found:
        return []
    rows: dict[str, tuple[float, float, float]] = {}
    for difference in found:
        how = "T=1" if difference.metric == "accuracy" else "greedy"
        estimate = difference.estimate
        rows[f"{difference.label} − {difference.baseline} ({difference.tag}, {how})"] = (
            estimate.mean,
            estimate.low,
            estimate.high,
        )
    return [
        Section(
            heading="HERO against each baseline, paired",
            text="Same prompts, same seeds, same sampling noise. Right of the dashed line HERO is ahead.",
            figure=svg(interval_rows(rows, x_label="difference in accuracy, 95% interval"), name="differences"),
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
