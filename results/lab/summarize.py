"""The tables behind the last sections of docs/study.md, and README's figure, from the result files beside this script.

    python results/lab/summarize.py

Prints Markdown. Intervals are Student's t over the five seeds; differences are paired by seed, prompt and sampling noise.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from hero_lab.compare import paired_difference, summarize
from hero_lab.page import learning_curves
from hero_lab.task import TAG_NAMES
from hero_rl.report.figures import save_png

HERE = Path(__file__).parent
FIGURES = HERE.parent.parent / "docs" / "figures"
TAGS = {"hard": ("H",), "verifiable": ("V",), "mixed": ("V", "H"), "ablations": ("H",)}


def read(name: str) -> list[dict[str, Any]]:
    """The results of one comparison; empty where it has not been run."""
    path = HERE / f"{name}.jsonl.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def interval(estimate: tuple[float, float, float], *, sign: bool = False) -> str:
    """A mean with its half-width; differences with their sign, in bold where the interval is clear of zero."""
    mean, low, high = estimate
    text = f"{mean:+.3f} ± {(high - low) / 2:.3f}" if sign else f"{mean:.3f} ± {(high - low) / 2:.3f}"
    return f"**{text}**" if sign and (low > 0 or high < 0) else text


def arms_table(results: list[dict[str, Any]], tag: str) -> None:
    """One line an arm: start, early and late accuracy, greedy, and the signs of hacking."""
    start, early, end = (
        {s.label: s for s in summarize(results, when=when) if s.tag == tag} for when in ("start", "early", "end")
    )
    one = next(iter(end.values()))
    steps = f"step {next(iter(early.values())).step} | step {one.step}"
    print(
        f"| rule | {steps} | greedy, step {one.step} | verifier pass | RM score | RM AUROC within | all wrong |\n"
        + "|---" * 8
        + "|"
    )
    first = start[one.label]
    rest = "{verifier_pass:.3f} | {rm_score:+.2f} | {rm_auroc_within:.2f} | {all_wrong_groups:.2f}"
    print(f"| (start) | | {interval(first.accuracy)} | {interval(first.greedy)} | {rest.format(**first.means)} |")
    for label, late in end.items():
        row = f"{interval(early[label].accuracy)} | {interval(late.accuracy)} | {interval(late.greedy)}"
        print(f"| {label} | {row} | {rest.format(**late.means)} |")


def differences_table(results: list[dict[str, Any]], tag: str, *, label: str = "hero") -> None:
    """HERO minus each other arm, early and late, sampled and greedy."""
    others = [name for name in dict.fromkeys(r["settings"]["label"] for r in results) if name != label]
    print(f"| {label} minus | early | late | early, greedy | late, greedy |\n" + "|---" * 5 + "|")
    for other in others:
        cells = []
        for metric in ("accuracy", "greedy"):
            for when in ("early", "end"):
                found = paired_difference(results, label, other, tag=tag, when=when, metric=metric)
                cells.append(interval(found.estimate, sign=True) if found else "–")
        print(f"| {other} | {' | '.join(cells)} |")


def main() -> None:
    """Print every table, draw README's figure."""
    for kl in ("0", "0.05"):
        for name, tags in TAGS.items():
            results = read(f"{name}-kl{kl}")
            if not results:
                continue
            seeds = len({r["settings"]["seed"] for r in results})
            print(f"\n### {name}, KL {kl} ({seeds} seeds)\n")
            for tag in tags:
                if len(tags) > 1:
                    print(f"\nHeld-out {TAG_NAMES[tag]}:\n")
                arms_table(results, tag)
                print()
                differences_table(results, tag)
    repeated = read("hard-kl0-repeated")
    print("\n### hard, KL 0, repeated with the reward models of `hero rm train` (5 seeds)\n")
    arms_table(repeated, "H")
    print()
    differences_table(repeated, "H")
    save_png(learning_curves(repeated), FIGURES / "lab.png")


if __name__ == "__main__":
    main()
