"""The tables behind docs/study.md on learned verifiers, from learned-kl0.jsonl.gz beside this script.

python results/lab/learned.py
"""

from __future__ import annotations

from summarize import arms_table, interval, read

from hero_lab.compare import paired_difference

PAIRS = (
    ("hero", "verifier_only"),
    ("learned_verifier", "verifier_only"),
    ("cascade", "verifier_only"),
    ("cascade", "learned_verifier"),
    ("hero_cascade", "verifier_only"),
    ("hero_cascade", "hero"),
    ("hero_cascade", "cascade"),
    ("hero_cascade:learned_credit=0.5", "hero"),
    ("hero_cascade:learned_credit=0.5", "hero_cascade"),
)


def main() -> None:
    """Print every table."""
    results = read("learned-kl0")
    arms_table(results, "H")
    print("\n| pair | step 50 | step 100 | greedy, step 100 |\n" + "|---" * 4 + "|")
    for label, baseline in PAIRS:
        found = [
            paired_difference(results, label, baseline, tag="H", when=when, metric=metric)
            for when, metric in (("early", "accuracy"), ("end", "accuracy"), ("end", "greedy"))
        ]
        print(f"| {label} - {baseline} | {' | '.join(interval(one.estimate, sign=True) if one else '–' for one in found)} |")
    print("\n| seed | AUROC | AUROC where the strict one rejects | recall | FPR | precision |\n" + "|---" * 6 + "|")
    facts = {r["settings"]["seed"]: r["learned_verifier"] for r in results if "learned_verifier" in r}
    for seed, fact in sorted(facts.items()):
        numbers = [fact[f"{name}_H"] for name in ("auroc", "auroc_rejected", "recall", "fpr", "precision")]
        print(f"| {seed} | {' | '.join(f'{number:.3f}' for number in numbers)} |")
    print(
        "\n| rule | precision, start | precision, end | recall, start | recall, end | FPR, start | FPR, end |\n"
        + "|---" * 7
        + "|"
    )
    for label in dict.fromkeys(r["settings"]["label"] for r in results):
        own = [r["held_out"] for r in results if r["settings"]["label"] == label and "learned_verifier" in r]
        if own:
            cells = [
                f"{sum(held[when]['H'][f'own_verifier_{name}'] for held in own) / len(own):.3f}"
                for name in ("precision", "recall", "fpr")
                for when in ("start", "end")
            ]
            print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
