"""`hero score`: rollouts to scored rollouts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import options, show
from hero_rl.cli.interrupt import closing
from hero_rl.config import RewardConfig
from hero_rl.data import ScoreSummary, score_file
from hero_rl.pipeline import HybridReward
from hero_rl.types import Scorer, json_number

HELP = f"""Rollouts to scored rollouts: verdicts, scores, rewards, weights, advantages.

IN: rollouts of any tool: a file, a folder or a pattern. OUT ends in .jsonl, .jsonl.gz or .parquet. All rows are one batch:
sigma-bar is the mean over all prompts.

\b
Examples:
  hero score rollouts.jsonl -o scored.jsonl --verifier column:correct --reward-model column:rm_score
  hero score rollouts.jsonl -o scored.jsonl --reward reward.toml --set rule.w_max=2
  hero score rollouts.jsonl -o scored.jsonl --rule my_module:my_rule --verifier my_module:my_verifier \\
      --reward-model my_module:my_model

\b
{options.NAMES}
"""


@options.spread
def score(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rollouts.")],
    target: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Scored rollouts.")],
    described: options.RewardOptions,
    reading: options.Reading,
    group_by: options.Prompts = None,
    as_json: show.Json = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    config = described.load()
    judge = config.make_verifier()
    scorers: list[Scorer | None] = []

    def make_reward() -> HybridReward:
        scorers.append(config.make_scorer())
        return config.put_together(judge, scorers[-1])

    columns = reading.columns(
        source, group_by or "prompt_id", scores=config.score_columns(), labels=config.label_columns(),
        needs_reference=options.needs_references(config),
    )  # fmt: skip
    start = time.perf_counter()
    with closing(judge), show.progress_bar() as bar:
        summary = score_file(
            source, target, make_reward, columns=columns, keep_rm_score=config.score_columns() == ("rm_score",), progress=bar
        )
    result = _result(summary, config, target, time.perf_counter() - start)
    counts = options.counted(judge, *scorers)
    for warning in (found := list(_warnings(summary))):
        show.warn(warning)
    if as_json:
        show.print_json(result | counts | {"warnings": config.warnings() + found})
    else:
        _print(summary, result, options.counted_rows(counts))


def _warnings(summary: ScoreSummary) -> Iterator[str]:
    """Yield what in the file makes rewards or advantages the same for all."""
    verdicts, groups = summary.verdicts, summary.groups
    yield from verdicts.warnings()
    if groups.prompts == verdicts.rows:
        yield "every group has one response, so no response has an advantage: does prompt_id differ by row? (--group-by COLUMN)"
        return
    if summary.flat:
        yield "the scores are the same for all responses of each group: the reward model adds nothing"
    if groups.zero_gradient == 1.0:
        yield "no response has an advantage: in every group all rewards are the same"


def _result(summary: ScoreSummary, config: RewardConfig, target: Path, seconds: float) -> dict[str, object]:
    verdicts, groups = summary.verdicts, summary.groups
    return {
        "output": str(target),
        "reward": config.resolved(),
        "rule": config.rule.name,
        "scale": summary.scale,
        "rows": verdicts.rows,
        "groups": groups.prompts,
        "share_mixed": groups.mixed,
        "share_all_correct": groups.all_correct,
        "share_all_wrong": groups.all_wrong,
        "correct": verdicts.correct,
        "incorrect": verdicts.incorrect,
        "abstained": verdicts.abstained,
        "failures": verdicts.failures,
        "missing_scores": summary.missing_scores,
        "reasons": verdicts.reasons,
        "sigma_mean": summary.sigma_mean,
        "state": {name: json_number(value) for name, value in summary.state_metrics.items()},
        "mean_reward": summary.mean_reward,
        "mean_abs_advantage": summary.mean_abs_advantage,
        "zero_gradient_share_verifier_alone": groups.zero_gradient_verifier,
        "zero_gradient_share": groups.zero_gradient,
        "seconds": round(seconds, 3),
        "rows_per_s": round(verdicts.rows / seconds, 1),
    }


def _print(summary: ScoreSummary, result: dict[str, object], decided: list[tuple[str, str]]) -> None:
    verdicts, groups = summary.verdicts, summary.groups
    rows = [
        ("rows / groups", f"{verdicts.rows} / {groups.prompts}"),
        ("groups mixed", show.percent(groups.mixed)),
        ("groups all correct", show.percent(groups.all_correct)),
        ("groups all wrong", show.percent(groups.all_wrong)),
        ("abstained / failed", f"{verdicts.abstained} / {verdicts.failures}"),
        *decided,
        ("scores missing", str(summary.missing_scores)),
        ("sigma-bar", show.number(summary.sigma_mean)),
        *((name.replace("_", " "), show.number(value)) for name, value in summary.state_metrics.items()),
    ]
    rows += [(f"mean reward, {name}", show.number(value)) for name, value in summary.mean_reward.items()]
    rows += [
        (f"mean |advantage|, {name.replace('_', ' ')}", show.number(value))
        for name, value in summary.mean_abs_advantage.items()
    ]
    rows += [
        ("groups without gradient, verifier alone", show.percent(groups.zero_gradient_verifier)),
        ("groups without gradient, this rule", show.percent(groups.zero_gradient)),
    ]
    show.print_table(f"{result['rule']}, scale {summary.scale}: {result['output']}", rows, right=True)
