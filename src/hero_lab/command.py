"""`hero lab`: train tiny models on this machine, rule against rule, and look at what happens; `hero lab study` is beside it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hero_lab.compare import ArmSummary, Result, from_start, tags
from hero_lab.presets import ARMS, VERIFIER_ARMS, arm_of
from hero_lab.settings import plan_runs
from hero_lab.study.command import PACKAGES, study
from hero_lab.study.plan import parse_seeds
from hero_lab.task import TAG_NAMES
from hero_rl.cli import show
from hero_rl.config import load_reward
from hero_rl.errors import HeroError, InputError, require
from hero_rl.files import write_text
from hero_rl.sandbox import available_cpus

HELP = f"""Train tiny models from scratch on this machine and compare reward rules.

A character-level policy (150k parameters) learns short arithmetic. An exact oracle measures it and is seen by no rule; the
strict verifier misses nine of ten right answers on hard prompts; the reward model is imperfect and can be hacked. Models are
kept in OUT/cache and results in OUT/runs, so that a second call does only what is new.

\b
Examples:
  hero lab
  hero lab --regime mixed --seeds 0-4 --rules "hero hero:alpha=0.2 verifier_only"
  hero lab study plan.toml              many comparisons from one file

\b
Rules:  {", ".join(ARMS)}
        with a learned verifier: {", ".join(VERIFIER_ARMS)};
        any other rule, with settings:
        gated  my_module:my_rule  hero:alpha=0.2,beta=0.1  naive_sum:scale=group,learning_rate=3e-4,verifier=cascade
"""


LEGEND = """sampled, greedy: accuracy by the oracle, at temperature 1 and greedy. pass: the strict verifier says correct. RM:
mean reward-model score, in standard deviations from the start. AUROC: of the reward model within prompts. all wrong: groups
without any pass.
"""


def lab(
    context: typer.Context,
    regime: Annotated[str, typer.Option(help="verifiable, hard or mixed prompts.")] = "hard",
    reward_model_tier: Annotated[str, typer.Option(help="hackable, robust or chance.")] = "hackable",
    rules: Annotated[str, typer.Option(help="What to compare, separated by spaces.")] = " ".join(ARMS),
    reward: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Compare the rule of this reward file, too; repeatable."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Such as 0, 0,2,5 or 0-4.")] = "0",
    steps: Annotated[int, typer.Option(min=1, help="Policy updates of each run.")] = 100,
    kl: Annotated[float, typer.Option(help="Weight of the KL penalty to the starting policy.")] = 0.0,
    learning_rate: Annotated[float | None, typer.Option(help="For every rule; without it, each rule's own.")] = None,
    scale: Annotated[str | None, typer.Option(help="none, group or batch for every rule; without it, each rule's own.")] = None,
    task: Annotated[str, typer.Option(help="chain, equations or units: problems and how answers may be written.")] = "chain",
    verifier_recall: Annotated[
        float | None,
        typer.Option(help="Share of right answers that the strict verifier accepts; without it, one form of them."),
    ] = None,
    score_noise: Annotated[float, typer.Option(help="Noise in the score, in standard deviations.")] = 0.0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; without it, one per processor.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for models, results and the report.")] = Path("runs/lab"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``), unless a command of the group is called."""
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    runs = plan_runs(
        (*_split_rules(rules), *(arm_of(load_reward(file, signals=False)) for file in reward or [])),
        seeds=parse_seeds(seeds, "--seeds"), regime=regime, tier=reward_model_tier, steps=steps, early=max(1, steps // 2),
        kl=kl, learning_rate=learning_rate, scale=scale, task=task, verifier_recall=verifier_recall,
        score_noise=score_noise,
    )  # fmt: skip
    show.check_folder("--out", out)
    for package in PACKAGES:  # now, and not after minutes of training
        require(package, extra="lab", purpose="hero lab")
    from hero_lab.board import run_all

    found, failures = run_all(runs, out, jobs or available_cpus())
    results = [found[run] for run in dict.fromkeys(runs) if run in found]
    if not results:
        raise HeroError(f"every run failed; the first: {failures[0]}")
    from hero_lab.page import numbers, write_report

    write_text(out / "results.jsonl", "".join(json.dumps(result) + "\n" for result in results))
    page = write_report(out, results, command=shlex.join(["hero", *sys.argv[1:]]))
    if as_json:
        show.print_json({"results": str(out / "results.jsonl"), "report": str(page), "failed": failures, **numbers(results)})
    else:
        _print_results(results)
        sys.stdout.write(f"\nreport: {page}\n")
    if failures:
        raise HeroError(f"{len(failures)} of {len(failures) + len(results)} runs failed; the first: {failures[0]}")


def _refuse_options(context: typer.Context) -> None:
    """Raise where options of `hero lab` itself stand before a command, which would pass over them."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            command = context.invoked_subcommand
            raise InputError(f"{parameter.opts[-1]} before {command}: hero lab {command} does not take it; see --help")


def _split_rules(text: str) -> tuple[str, ...]:
    """Separated by spaces; by commas, too, as long as none has settings."""
    return tuple(re.split(r"\s+" if ":" in text else r"[\s,]+", text.strip()))


def _print_results(results: Sequence[Result]) -> None:
    from hero_lab.page import compared_arm, differences, verdict_on_hacking

    seeds = len({result["settings"]["seed"] for result in results})
    for tag in tags(results):
        rows = [_cells(summary) for summary in from_start(results, tag)]
        header = ("rule", "sampled", "greedy", "pass", "RM", "AUROC", "all wrong")
        show.print_table(f"{TAG_NAMES[tag]}, held out, {seeds} seed(s)", rows, header=header)
    sys.stdout.write(LEGEND)
    sys.stdout.write(f"{compared_arm(results)} minus each, paired, with 95% intervals:\n")
    for found in differences(results):
        how = "sampled" if found.metric == "accuracy" else "greedy"
        mean, low, high = found.estimate
        sys.stdout.write(f"  {found.baseline:<20} {TAG_NAMES[found.tag]:<22} {how:<7} {mean:+.3f}  [{low:+.3f}, {high:+.3f}]\n")
    hacking = verdict_on_hacking(results)
    if hacking:
        sys.stdout.write(hacking + "\n")


def _cells(summary: ArmSummary) -> tuple[str, ...]:
    """Label, accuracies with the half-width of their intervals, and four more measures: fits 80 columns."""
    accuracies = [f"{e.value:.3f}±{(e.high - e.low) / 2:.3f}" for e in (summary.accuracy, summary.greedy)]
    others = [summary.means[name] for name in ("verifier_pass", "rm_score", "rm_auroc_within", "all_wrong_groups")]
    return (summary.label, *accuracies, *(f"{value:.2f}" for value in others))


COMMANDS = {"study": study}
CALLBACK = lab
