"""`hero verify`: rollouts to verdicts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import attacking, options, show
from hero_rl.cli.interrupt import closing
from hero_rl.data import verify_file
from hero_rl.errors import InputError

HELP = f"""Rollouts to verdicts: 1 correct, 0 incorrect, null where the verifier cannot tell, each with a reason.

IN: rollouts of any tool: a file, a folder or a pattern. OUT ends in .jsonl, .jsonl.gz or .parquet. Groups are not needed: rows
may lack prompt_id.

With --attack FILE instead of IN: how easily the verifier is fooled on the problems and references of FILE. OUT, if named, gets
every wrong answer that was accepted.

\b
Example:
  hero verify rollouts.jsonl -o verdicts.jsonl --verifier exact

\b
Attack:
  hero verify --attack problems.jsonl --verifier math --limit 200 --page attack.html

\b
{options.VERIFIER_NAMES}
"""


@options.spread
def verify(
    source: Annotated[Path | None, typer.Argument(metavar="[IN]", help="Rollouts.", show_default=False)] = None,
    target: Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT", help="Rollouts with verdicts.")] = None,
    *,
    described: options.VerifierOptions,
    reading: options.Reading,
    as_json: show.Json = False,
    attack: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Problems with references: try to fool the verifier.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Of an attack: references to draw; default: all.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of an attack: draws references, and places to change; default: 0.")] = None,
    page: Annotated[
        Path | None, typer.Option("--page", "--html", metavar="PATH", help="Of an attack: a report, NAME.html or a folder.")
    ] = None,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    config = described.load()
    if attack is not None:
        if source is not None:
            raise InputError(f"--attack {attack} together with {source}: give one of them")
        attacking.run(
            attack,
            config,
            columns=reading.columns(attack, None),
            output=target,
            page=page,
            limit=limit,
            seed=seed or 0,
            as_json=as_json,
        )
        return
    given = [name for name, value in (("--limit", limit), ("--seed", seed), ("--page", page)) if value is not None]
    if given:
        raise InputError(f"{', '.join(given)} without --attack FILE: they belong to an attack")
    if source is None or target is None:
        raise InputError("hero verify needs IN and -o OUT, or --attack FILE (see hero verify --help)")
    judge = config.need_verifier()
    columns = reading.columns(source, None, labels=config.label_columns(), needs_reference=options.needs_references(config))
    start = time.perf_counter()
    with closing(judge), show.progress_bar() as bar:
        summary = verify_file(source, target, judge, columns=columns, max_failure_rate=config.max_failure_rate, progress=bar)
    seconds = time.perf_counter() - start
    for warning in summary.warnings():
        show.warn(warning)
    used = options.counted(judge)
    if as_json:
        facts = {"output": str(target), "verifier": judge.name, "settings": config.resolved()["verifier"]}
        times = {"seconds": round(seconds, 3), "rows_per_s": round(summary.rows / seconds, 1)}
        show.print_json({**facts, **summary._asdict(), **used, **times})
        return
    counts = [("correct", summary.correct), ("incorrect", summary.incorrect), ("abstained", summary.abstained)]
    rows = [("rows", str(summary.rows))]
    rows += [(name, f"{count} ({count / summary.rows:.1%})") for name, count in counts]
    rows += [("failed", str(summary.failures)), *options.counted_rows(used)]
    rows += [(f"reason {reason}", str(count)) for reason, count in summary.reasons.items()]
    show.print_table(f"{judge.name}: {target}", rows, right=True)
