"""The lab's report: what happened, learning curves, the held-out table and paired differences, on one HTML page."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hero_lab.compare import (
    METRICS,
    ArmSummary,
    Difference,
    Result,
    curve,
    from_start,
    paired_difference,
    summarize,
    tags,
)
from hero_lab.task import TAG_NAMES
from hero_rl.measures import Estimate
from hero_rl.report import Section, Table, interval, json_values, write_folder
from hero_rl.report.figures import Curve, Drawing, Panel, curve_panels, interval_rows

HEADER = ("rule", "at temperature 1", "greedy", "any right", "verifier pass", "RM score", "RM AUROC", "all wrong")
HOW = {"accuracy": "at temperature 1", "greedy": "greedy"}
MOST_DRAWN = 0.5
"""A difference in accuracy whose interval goes further than this to either side is from too few seeds."""
SAMPLES = 3
"""Prompts whose responses are shown."""

CURVES = {
    "accuracy": "accuracy by the oracle", "rm_score": "reward-model score (start = 0)",
    "verifier_pass": "share the strict verifier accepts",
}  # fmt: skip
"""Numbers that learning curves show of a run, with their titles."""
TABLE_NOTE = (
    "At temperature 1 and greedy: accuracy by the exact oracle, with 95% intervals. RM AUROC: of the reward model "
    "within prompts. Any right, all wrong: prompts with a right response, and without any that the strict verifier accepts, in "
    "{samples}."
)


def learning_curves(results: Sequence[Result]) -> Drawing:
    """Oracle accuracy, reward-model score and verifier pass rate over steps, one line per rule, on development prompts."""
    by_label: dict[str, list[Result]] = {}
    for result in results:
        by_label.setdefault(result["settings"]["label"], []).append(result)
    return curve_panels([panel(title, by_label, name) for name, title in CURVES.items()])


def panel(title: str, by_label: Mapping[str, Sequence[Result]], name: str) -> Panel:
    """The curves of a number of ``CURVES``, or of one that rules keep in their state."""

    def value(point: Mapping[str, Any]) -> float | None:
        return point.get(name, point.get("rule", {}).get(name))

    known = {label: [run for run in runs if any(value(point) is not None for point in run["curve"])]
             for label, runs in by_label.items()}  # fmt: skip
    drawn = {label: curve(runs, value) for label, runs in known.items() if runs}
    curves = [Curve(label=label, steps=steps, values_SN=values) for label, (steps, values) in drawn.items()]
    return Panel(title=title, curves=curves, percent=name in CURVES and name != "rm_score")


def differences(results: Sequence[Result]) -> list[Difference]:
    """The arm of ``compared_arm`` against every other, per tag, at temperature 1 and greedy."""
    label = compared_arm(results)
    others = [name for name in dict.fromkeys(result["settings"]["label"] for result in results) if name != label]
    cases = itertools.product(tags(results), METRICS, others)
    found = [paired_difference(results, label, other, tag=tag, metric=metric) for tag, metric, other in cases]
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
    return {name: dict(zip(("mean", "low", "high"), value, strict=True)) if isinstance(value, Estimate) else value
            for name, value in row._asdict().items()}  # fmt: skip


def summary_row(summary: ArmSummary) -> list[str | float | None]:
    """The cells under ``HEADER``."""
    names = ("pass_any", "verifier_pass", "rm_score", "rm_auroc_within", "all_wrong_groups")
    return [summary.label, interval(summary.accuracy), interval(summary.greedy), *(summary.means[name] for name in names)]


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


def finding(results: Sequence[Result]) -> str:
    """Return a sentence per tag: how good the compared arm is at the end, and whom its intervals put it ahead of or behind."""
    lines: list[str] = []
    for end in (one for one in summarize(results) if one.label == compared_arm(results)):
        said: dict[str, list[str]] = {"ahead of": [], "behind": [], "not clearly different from": []}
        for one in differences(results):
            if (one.tag, one.metric) == (end.tag, "accuracy"):
                low, high = one.estimate[1:]
                word = "ahead of" if low > 0 else "behind" if high < 0 else "not clearly different from"
                said[word].append(one.baseline)
        words = "; ".join(f"{word} {', '.join(labels)}" for word, labels in said.items() if labels) or "compared with nothing"
        share = f"{end.accuracy.value:.0%} of its responses to {TAG_NAMES[end.tag]} right at temperature 1"
        lines.append(f"{end.label} gets {share}: {words}.")
    return "\n".join(lines)


def write_report(folder: Path, results: Sequence[Result], *, command: str) -> Path:
    """The path of ``report.html``; the files of its figures and ``numbers.json`` lie beside it."""
    settings, versions = results[0]["settings"], results[0]["versions"]
    seeds = sorted({result["settings"]["seed"] for result in results})
    caption = f"Development prompts. Lines are means over {len(seeds)} seed(s), bands the range of the seeds."
    parts = [Section(heading="While they learn", name="curves", figure=learning_curves(results), caption=caption)]
    unit = "over seeds (Student's t)" if len(seeds) > 1 else "over prompts, one seed: another seed may differ by more"
    for tag in tags(results):
        rows = [summary_row(summary) for summary in from_start(results, tag)]
        note = f"{TABLE_NOTE.format(samples=settings['held_out_samples'])} Intervals are {unit}."
        table = Table(header=HEADER, rows=rows, note=note)
        parts.append(Section(heading=f"After {settings['steps']} steps: {TAG_NAMES[tag]}, held out", table=table))
    parts += [*_difference_parts(results), *_samples(results), *_model_parts(results)]
    how = (f"Tiny models trained from scratch, {settings['regime']} regime, {settings['tier']} reward model, "
           f"{settings['steps']} steps, KL {settings['kl']:g}, {len(seeds)} seed(s); intervals are {unit}.")  # fmt: skip
    lead = "\n".join(filter(None, (finding(results), verdict_on_hacking(results), how)))
    footer = f"{command}\nseeds {seeds}; " + ", ".join(f"{name} {version}" for name, version in versions.items())
    return write_folder(folder, "hero lab", lead, parts, numbers(results), footer=footer)


def _difference_parts(results: Sequence[Result]) -> list[Section]:
    found = differences(results)
    if not found:
        return []
    rows = {f"{one.label} − {one.baseline} ({TAG_NAMES[one.tag]}, {HOW[one.metric]})": one.estimate for one in found}
    return [
        Section(
            heading=f"{found[0].label} against each other arm, paired",
            text=f"Same prompts, same seeds, same sampling noise. Right of the dashed line {found[0].label} is ahead.",
            name="differences",
            figure=interval_rows(rows, x_label="difference in accuracy, 95% interval", limit=MOST_DRAWN),
        )
    ]


def _samples(results: Sequence[Result]) -> list[Section]:
    """Return responses to the first held-out prompts, before and after training: each rule's policy of the first seed."""
    rows: list[list[str | float | None]] = []
    for result in (one for one in results if one["settings"]["seed"] == results[0]["settings"]["seed"]):
        for tag in tags([result]):
            start, end = (result["held_out"][when][tag] for when in ("start", "end"))
            pairs = zip(start.get("examples", ())[:SAMPLES], end.get("examples", ())[:SAMPLES], strict=True)
            for (before, after), right in zip(pairs, end["correct_P"], strict=False):
                (prompt, was), now = before.split(" ", 1), after.split(" ", 1)[1]
                rows.append([result["settings"]["label"], TAG_NAMES[tag], prompt, was, now, f"{right} of {end['samples']}"])
    header = ("rule", "kind", "prompt", "response before training", "after training", "right after training")
    note = "At temperature 1: steps, then the answer. `hero view runs/RUN.parquet` (beside this page) shows those of training."
    return [Section(heading="Sample responses", table=Table(header=header, rows=rows, note=note))] if rows else []


def _seeds_table(results: Sequence[Result], model: str, columns: Mapping[str, str], note: str) -> Table:
    """A model as it was measured when it was made, one line per seed; ``columns`` are facts and their titles."""
    facts = {result["settings"]["seed"]: result[model] for result in results if model in result}
    rows = [[f"seed {seed}", *(fact[name] for name in columns)] for seed, fact in sorted(facts.items())]
    return Table(header=("", *columns.values()), rows=rows, note=note)


def _model_parts(results: Sequence[Result]) -> list[Section]:
    """The quality of reward model and learned verifier before training, and of the verifier where each rule led to."""
    note = "On the starting policy's responses to test prompts of its own. Only the AUROC within prompts can help a rule."
    columns = {f"auroc_{how}_{tag}": f"AUROC {name}, {TAG_NAMES[tag]}"
               for tag in ("V", "H") for how, name in (("pooled", "pooled"), ("within", "within prompts"))}  # fmt: skip
    parts = [Section(heading="The reward model", table=_seeds_table(results, "reward_model", columns, note))]
    if not any("learned_verifier" in result for result in results):
        return parts
    columns = {"auroc_H": "AUROC", "auroc_rejected_H": "AUROC where the strict one rejects", "recall_H": "recall",
               "fpr_H": "FPR", "precision_H": "precision"}  # fmt: skip
    note = "Hard prompts of the rm_test problems, the starting policy's responses. Trained and calibrated on other problems."
    parts.append(Section(heading="The learned verifier", table=_seeds_table(results, "learned_verifier", columns, note)))
    after: list[list[str | float | None]] = []
    for result in results:
        for tag in tags([result]):
            start, end = (result["held_out"][when][tag] for when in ("start", "end"))
            if "own_verifier_fpr" in end:
                names = ("own_verifier_precision", "own_verifier_fpr")
                pairs = [evaluation[name] for name in names for evaluation in (start, end)]
                after.append([f"{result['settings']['label']}, seed {result['settings']['seed']}, {TAG_NAMES[tag]}", *pairs])
    header = ("", "precision, start", "precision, end", "FPR, start", "FPR, end")
    note = "Of the verdicts that the rule was trained on, by the oracle, held-out prompts. Precision that falls: it was fooled."
    return [*parts, Section(heading="Was the verifier fooled?", table=Table(header=header, rows=after, note=note))]
