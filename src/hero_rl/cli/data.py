"""`hero data`: problems to train on, split by what a verifier makes of them, and the examples of a cold start."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hero_rl.cli import options, show
from hero_rl.cli.interrupt import closing
from hero_rl.errors import InputError

if TYPE_CHECKING:
    from hero_rl.data.problems import Several
    from hero_rl.data.problems_prepare import PrepareSummary
    from hero_rl.data.splits import By, SplitSummary

HELP = "Prepare problems, split them by what a verifier makes of them, choose the examples of a cold start."
_SHOWN = {"all": "all", "passes": "passes", "fails": "fails", "hard_to_verify": "hard set"}


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A file, a folder, a known data set, a Hugging Face dataset id, or reasoning-gym:NAME,..."
        ),
    ],
    target: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Problems: .jsonl or .jsonl.gz.")],
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE,...", help="Benchmarks: leave out what overlaps one of their problems; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Most problems; a random sample.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample and of the order.")] = 0,
    difficulty: Annotated[
        int | None, typer.Option(min=0, help="Level of reasoning-gym's tasks, from 0; default: its own.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="problem=A,reference=B", help="Columns, or paths into them: extra_info.question.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=TEXT", help="Only rows with this text in this column; repeatable.")
    ] = None,
    like: Annotated[str | None, typer.Option(help="SOURCE is a copy of this known data set.")] = None,
    config: Annotated[str | None, typer.Option(help="Configuration of a data set.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of a data set; default: train, or as known.")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, branch or tag of a data set; default: the newest.")] = None,
    several: Annotated[
        str, typer.Option(help="A list of answers means: alternatives (each alone is right) or together (all are needed).")
    ] = "alternatives",
    near: Annotated[float, typer.Option(help="Similarity from which on a problem is a near-duplicate; 0: keep all.")] = 0.8,
    ngram: Annotated[int, typer.Option(help="Tokens in a row that an overlap consists of.")] = 10,
    overlap: Annotated[float, typer.Option(help="Share of a benchmark problem that must be covered by overlaps.")] = 0.5,
    as_json: show.Json = False,
) -> None:
    """Problems with references from a data set: tidied, without duplicates, without benchmark problems, sampled.

    Known data sets: openmathreasoning, bigmath, deepscaler, math, gsm8k. Beside FILE are written FILE's .manifest.json (what it
    was made from) and .dropped.jsonl (near-duplicates and overlaps, each with what it is near).

    \b
    Examples:
      hero data prepare problems-raw.jsonl -o problems.jsonl --against math500.jsonl,aime24.jsonl
      hero data prepare openmathreasoning -o problems.jsonl --limit 40000 --seed 1
      hero data prepare someone/some-dataset -o problems.jsonl --columns problem=prompt,reference=reward_model.ground_truth
      hero data prepare reasoning-gym:chain_sum,leg_counting -o tasks.jsonl -n 2000 --difficulty 1
    """  # noqa: D301  # \b is meant: it keeps the lines of the example apart
    from hero_rl.data import problems_prepare as preparing
    from hero_rl.data.problems import SEVERAL
    from hero_rl.data.sources import SourceSettings

    if several not in SEVERAL:
        raise InputError(f"--several {several}: unknown; choose one of {', '.join(SEVERAL)}")
    said = SourceSettings(
        like=like, columns=options.pairs("--columns", (columns or "").split(",")), where=options.pairs("--where", where or []),
        config=config, split=split, revision=revision, several=cast("Several", several), difficulty=difficulty,
    )  # fmt: skip
    settings = preparing.PrepareSettings(limit=limit, seed=seed, near=near, ngram=ngram, overlap=overlap)
    benchmarks = [name.strip() for names in against or [] for name in names.split(",") if name.strip()]
    start = time.perf_counter()
    with show.progress_bar() as bar:
        found = preparing.prepare(source, target, source=said, against=benchmarks, settings=settings, progress=bar)
    if as_json:
        result = {"output": str(target), "dropped": str(found.dropped), "manifest": str(found.manifest)}
        counts = {"counts": found.counts, "by_benchmark": found.by_benchmark}
        show.print_json({**result, **counts, "seconds": round(time.perf_counter() - start, 3)})
        return
    _print_prepared(found, target, guarded=bool(benchmarks))


@options.spread
def split(
    source: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="Problems with generated solutions.")],
    target: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the sets.")],
    by: Annotated[str, typer.Option(help="paper: verifiable, hard_to_verify, mixed. cause: why solutions fail.")] = "paper",
    easy: Annotated[int | None, typer.Option(help="Most verifiable problems; default 2000.")] = None,
    hard: Annotated[int | None, typer.Option(help="Most hard-to-verify problems; default 2000.")] = None,
    mixed: Annotated[int | None, typer.Option(help="Most problems of the mixed set, half of each; default 2000.")] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of solutions and problems, and of the order.")] = 0,
    *,
    described: options.VerifierOptions,
    reading: options.Reading,
    group_by: options.Prompts = None,
    as_json: show.Json = False,
) -> None:
    """Sets of problems by what the verifier makes of their solutions, and what the "hard" ones really are.

    Either way the table says how many problems fail because the reference cannot be verified, because the verifier abstains,
    or because the solutions are wrong. DIR gets one problems file a set, and manifest.json.

    \b
    Examples:
      hero data split rollouts.jsonl -o sets
      hero data split rollouts.jsonl -o causes --by cause --verifier math
    """  # noqa: D301  # \b is meant: it keeps the lines of the example apart
    from hero_rl.data import splits
    from hero_rl.data.rollouts import rollout_records
    from hero_rl.verifiers import MathVerifier

    config = described.load()
    sizes = {"easy": easy, "hard": hard, "mixed": mixed}
    chosen = {name: size for name, size in sizes.items() if size is not None}
    if by == "cause" and chosen:
        raise InputError(f"--by cause writes every problem, and has no option {', '.join('--' + name for name in chosen)}")
    settings = splits.SplitSettings(by=cast("By", by), seed=seed, max_failure_rate=config.max_failure_rate, **chosen)
    judge = config.need_verifier()
    columns = reading.columns(source, group_by, labels=config.label_columns(), needs_reference=options.needs_references(config))
    if group_by is None:  # every step asks the same problems
        by_id = "prompt_id" in next(rollout_records(source, columns)).values
        columns = replace(columns, group_by="prompt_id" if by_id else "problem")
    start = time.perf_counter()
    references = judge if isinstance(judge, MathVerifier) else MathVerifier()
    with closing(judge), closing(references), show.progress_bar() as bar:
        found = splits.split(
            source, target, judge, spec=config.verifier["name"], references=references, columns=columns, settings=settings,
            progress=bar,
        )  # fmt: skip
    if as_json:
        result = {**found._asdict(), "manifest": str(found.manifest), "output": str(target), "group_by": columns.group_by}
        show.print_json({**result, "seconds": round(time.perf_counter() - start, 3)})
        return
    _print_split(found, target, settings)


@options.spread
def cold_start(
    source: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="Responses of the policy that is to be trained.")],
    target: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Examples: .jsonl or .jsonl.gz.")],
    limit: Annotated[int, typer.Option(help="Most examples.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the choice of responses and problems, and of the order.")] = 0,
    *,
    described: options.VerifierOptions,
    reading: options.Reading,
    as_json: show.Json = False,
) -> None:
    """The paper's fine-tuning set: the policy's own responses that are correct, in English and finished, one a problem.

    A recipe of `hero train` reads it as it is: [sft] path = "sft.jsonl".

    \b
    Example:
      hero data cold-start rollouts.jsonl -o sft.jsonl
    """  # noqa: D301  # \b is meant: it keeps the lines of the example apart
    from hero_rl.data import cold_start as starting

    config = described.load()
    settings = starting.ColdStartSettings(limit=limit, seed=seed, max_failure_rate=config.max_failure_rate)
    judge = config.need_verifier()
    columns = reading.columns(source, None, labels=config.label_columns(), needs_reference=options.needs_references(config))
    start = time.perf_counter()
    with closing(judge), show.progress_bar() as bar:
        found = starting.cold_start(
            source, target, judge, spec=config.verifier["name"], columns=columns, settings=settings, progress=bar
        )
    if as_json:
        result = {**found._asdict(), "manifest": str(found.manifest), "output": str(target)}
        show.print_json({**result, "seconds": round(time.perf_counter() - start, 3)})
        return
    rows = [("rows", str(found.rows)), *((f"left out: {why}", str(count)) for why, count in found.dropped.items())]
    show.print_table(f"cold start: {target}", [*rows, ("written", str(found.written))], right=True)
    if found.written < limit:
        show.warn(f"{found.written} examples, fewer than the {limit} asked for")


def _print_prepared(found: PrepareSummary, target: Path, *, guarded: bool) -> None:
    rows = [(name, str(count)) for name, count in found.counts.items() if guarded or name != "overlap with a benchmark"]
    rows += [(f"left out for {name}", str(count)) for name, count in found.by_benchmark.items()]
    show.print_table(f"problems: {target}", rows, right=True)
    if found.examples:
        notes = [
            (show.shortened(row["problem"], 90), f"{row['overlap']:.0%} of {row['benchmark']}, {row['benchmark_id']}: "
             f"{show.shortened(row['benchmark_problem'], 90)}")
            for row in found.examples
        ]  # fmt: skip
        show.print_notes("Some of the overlaps", notes)
    if not guarded:
        show.warn("nothing was checked against benchmarks; name those you will evaluate on with --against")
    show.print_notes("Beside it", [(str(found.dropped), "what overlaps or is near, and with what"),
                                   (str(found.manifest), "what it was made from")])  # fmt: skip


def _print_split(found: SplitSummary, target: Path, settings: object) -> None:
    from hero_rl.data.splits import CAUSES

    show.print_table(f"sets: {target}", [(name, str(count)) for name, count in found.sets.items()], right=True)
    totals = {name: sum(found.causes[cause][name] for cause in CAUSES) for name in found.causes[CAUSES[0]]}
    rows = [
        (cause.replace("_", " "), *(str(found.causes[cause][name]) for name in _SHOWN if name in totals),
         show.percent(found.causes[cause]["fails"] / totals["fails"]) if totals["fails"] else "-")
        for cause in CAUSES
    ]  # fmt: skip
    rows.append(("in all", *(str(totals[name]) for name in _SHOWN if name in totals), ""))
    header = ("prompts", *(shown for name, shown in _SHOWN.items() if name in totals), "of the fails")
    show.print_table("what they are", rows, header=header, right=True)
    if found.reference_reasons:
        reasons = [(reason, str(count)) for reason, count in found.reference_reasons.items()]
        show.print_table("why references cannot be verified", reasons, right=True)
    asked = {"verifiable": "easy", "hard_to_verify": "hard", "mixed": "mixed"}
    for name, count in found.sets.items():
        wanted = getattr(settings, asked[name]) if name in asked else 0
        if count < wanted:
            show.warn(f"{name}: {count} problems, fewer than the {wanted} asked for")
    if found.different_references:
        show.warn(f"{found.different_references} prompts have rows with different references; the drawn solution's counts")


COMMANDS = {"prepare": prepare, "split": split, "cold-start": cold_start}
