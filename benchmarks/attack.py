"""The same attack on several verifiers in one run: what each of them accepts that is wrong, beside each other.

    python benchmarks/attack.py FILE.jsonl [...] [--verifiers math,math_verify] [--limit N] [--list N] [--json]

FILE is a file of problems or rollouts as `hero verify --attack` reads it; the references of all files are attacked together.
A verifier is a string as `--verifier` takes it, with the policy behind an @: `math@strict`. Rates are shares of wrong answers
accepted, with a 95% interval over problems. After the table, the accepted attacks of the first verifier, with what it compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from hero_rl.attacks import AttackReport, KindReport, accepted_row, attack, read_targets
from hero_rl.attacks.page import lead, rate
from hero_rl.parts import make_verifier


def run(spec: str, targets: list, seed: int) -> AttackReport:
    """Attack the verifier that a string names."""
    name, _, policy = spec.partition("@")
    verifier = make_verifier(name, {"policy": policy} if policy else {})
    assert verifier is not None

    def progress(stage: str, done: int, total: int | None) -> None:
        sys.stderr.write(f"\r{spec}: {done} of {total} references ")

    try:
        return attack(verifier, targets, seed=seed, max_failure_rate=1.0, progress=progress)
    finally:
        verifier.close()
        sys.stderr.write("\n")


def show(reports: dict[str, AttackReport]) -> None:
    """Print one line for each kind, with the verifiers beside each other."""
    first = next(iter(reports.values()))
    print(f"{'':<20}{'tried':>8}" + "".join(f"{name:>38}" for name in reports))
    print(f"{'':<28}" + "".join(f"{'accepted  rate, %':>28}{'abstains':>10}" for _ in reports))
    tables = [{one.kind: one for one in (*report.groups, *report.kinds)} for report in reports.values()]
    for one in (*first.groups, *first.kinds):
        print(f"{one.kind:<20}{one.tried:>8}" + "".join(_cell(table[one.kind]) for table in tables))


def _cell(one: KindReport) -> str:
    text = rate(one.rate).replace("%", "")
    return f"{one.accepted:>8}{text:>20}{100 * (one.abstained + one.failed) / one.tried:>9.1f}%"


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--verifiers", default="math,math_verify")
    parser.add_argument("--limit", type=int, default=None, help="references of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", type=int, default=20, help="accepted attacks to list for each kind")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args(None if arguments is None else list(arguments))
    targets = [target for path in options.files for target in read_targets(path, limit=options.limit, seed=options.seed)]
    reports = {spec: run(spec, targets, options.seed) for spec in options.verifiers.split(",")}
    if options.json:
        print(json.dumps({name: report.to_json(examples=options.list) for name, report in reports.items()}))
        return
    for report in reports.values():
        print(lead(report), f"({report.seconds:.0f} s)")
    show(reports)
    first = next(iter(reports.values()))
    for kind, found in first.accepted_by_kind().items():
        rows = [accepted_row(one) for one in found]
        print(f"\naccepted by {first.verifier}: {kind} ({len(rows)})")
        for row in rows[: options.list]:
            print(f"  {Path(str(row['row'])).name}  {row['answer']!r:.100} for {row['reference']!r:.80}")
            print(f"      {row['reason']}: {row['detail']!s:.160}")


if __name__ == "__main__":
    main()
