"""`hero score`: rollouts to scored rollouts."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, cast

import typer

from hero_rl.cli import build, options, show
from hero_rl.cli.interrupt import closing
from hero_rl.data import Columns, ScoreSummary, score_file
from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RULES, SCALES, RewardRule, Scale, check_scale
from hero_rl.types import Scorer

HELP = f"""Rollouts to scored rollouts: verdicts, scores, rewards, weights, advantages.

IN and OUT end in .jsonl, .jsonl.gz or .parquet. The file is one batch: sigma-bar is the mean over all its prompts.

\b
Example:
  hero score rollouts.jsonl -o scored.jsonl --rule hero \\
      --verifier column:correct --reward-model column:rm_score

\b
Rules:          {", ".join(RULES)}
Verifiers:      {build.names(build.VERIFIERS)}, none
Reward models:  {build.names(build.SCORERS)}

{options.KEY_NOTE}
"""


def score(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rollouts.")],
    target: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Scored rollouts.")],
    rule: Annotated[str, typer.Option(help="How verdict and score become a reward.")] = "hero",
    verifier: Annotated[str, typer.Option(help="Who says what is correct.")] = "math",
    reward_model: Annotated[str | None, typer.Option(help="Who gives scores; needed by most rules.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="w-min, w-max and k of the paper: appendix (default) or main-text.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Half-width of the band of incorrect responses.")] = None,
    beta: Annotated[float | None, typer.Option(help="Half-width of the band of correct responses; alpha + beta < 1.")] = None,
    w_min: Annotated[float | None, typer.Option(help="Smallest prompt weight.")] = None,
    w_max: Annotated[float | None, typer.Option(help="Largest prompt weight.")] = None,
    k: Annotated[float | None, typer.Option(help="Steepness of the weight, per unit of score.")] = None,
    weighting: Annotated[bool | None, typer.Option("--weighting/--no-weighting", help="Weight prompts (hero).")] = None,
    dense: Annotated[str | None, typer.Option(help="Strata that use scores: both, correct, incorrect, none (hero).")] = None,
    singleton: Annotated[str | None, typer.Option(help="Where a lone or tied response goes: floor, center (hero).")] = None,
    rule_weight: Annotated[float | None, typer.Option(help="Share of the verdict (naive_sum).")] = None,
    normalize: Annotated[str | None, typer.Option(help="Of scores: none, zscore, minmax (naive_sum, rm_only).")] = None,
    keep: Annotated[float | None, typer.Option(help="Share of responses kept (prof).")] = None,
    learned_credit: options.LearnedCredit = None,
    gain: options.Gain = None,
    recall: options.Recall = None,
    scale: Annotated[str | None, typer.Option(help="Of advantages: none, group, batch; default: what suits the rule.")] = None,
    policy: options.Policy = None,
    deadline: options.Deadline = None,
    fallback: options.Fallback = None,
    ask: options.Ask = None,
    max_questions: options.MaxQuestions = None,
    rm_tokenizer: options.Tokenizer = None,
    rm_template: options.RmTemplate = None,
    aggregate: options.Aggregate = None,
    cache: options.CacheFile = None,
    max_failure_rate: Annotated[float, typer.Option(help="Stop where a larger share of rows fails.")] = 0.1,
    group_by: Annotated[str, typer.Option(help="Column that tells prompts apart.")] = "prompt_id",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    settings = {
        "alpha": alpha, "beta": beta, "w_min": w_min, "w_max": w_max, "k": k, "weighting": weighting, "dense": dense,
        "singleton": singleton, "rule_weight": rule_weight, "normalize": normalize, "keep": keep,
        "learned_credit": learned_credit, "gain": gain, "recall": recall,
    }  # fmt: skip
    reward_rule = build.make_rule(rule, settings, preset=preset)
    chosen_scale = _scale(scale, reward_rule)
    if reward_rule.needs_scores and reward_model is None:
        raise InputError(
            f"the rule {rule!r} needs reward-model scores; add --reward-model column:rm_score (scores in the file) "
            "or --reward-model local:PATH"
        )
    show.check_share("--max-failure-rate", max_failure_rate)
    if reward_rule.needs_verdicts and verifier == "none":
        raise InputError(f"the rule {rule!r} needs verdicts; choose a verifier: {build.names(build.VERIFIERS)}")
    warning = check_scale(reward_rule, chosen_scale)
    if warning:
        show.warn(warning)
    if reward_model:
        build.check_scorer(reward_model)
    asked = build.VerifierOptions(policy, deadline, None, fallback, ask, max_questions, cache)
    judge = build.make_verifier(verifier, asked)
    scorers: list[Scorer | None] = []

    def make_reward() -> HybridReward:
        about_scores = build.ScorerOptions(rm_tokenizer, rm_template, aggregate, cache)
        scorer = build.make_scorer(reward_model, about_scores) if reward_model else None
        scorers.append(scorer)
        return HybridReward(judge, scorer, reward_rule, max_failure_rate=max_failure_rate)

    labels = (*build.column_of(verifier), *build.column_of(fallback))
    columns = Columns(group_by=group_by, scores=build.column_of(reward_model), labels=labels)
    start = time.perf_counter()
    with closing(judge), show.progress_bar() as bar:
        summary = score_file(
            source, target, make_reward, columns=columns, scale=chosen_scale,
            keep_rm_score=reward_model == "column:rm_score", progress=bar,
        )  # fmt: skip
    result = _result(summary, reward_rule, target, time.perf_counter() - start, [warning] if warning else [])
    used = options.cache_use(judge, *scorers)
    result |= {"decided": options.decisions(judge), "cache": used}
    if as_json:
        show.print_json(result)
    else:
        _print(summary, result, [*options.decided_by(judge), *options.cache_rows(used)])


def _scale(scale: str | None, rule: RewardRule) -> Scale:
    if scale is None:
        return rule.scale
    if scale not in SCALES:
        raise InputError(f"--scale {scale}: unknown; choose one of {', '.join(SCALES)}")
    return cast(Scale, scale)


def _result(summary: ScoreSummary, rule: RewardRule, target: Path, seconds: float, warnings: list[str]) -> dict[str, object]:
    verdicts, groups = summary.verdicts, summary.groups
    return {
        "output": str(target),
        "rule": rule.name,
        # sigma-bar is the plain mean over the file here, so how it would decay over batches is nobody's business
        "settings": {name: value for name, value in rule.settings.items() if name != "decay"},
        "scale": summary.scale,
        "rows": verdicts.rows,
        "groups": groups.groups,
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
        "state": {name: None if math.isnan(value) else value for name, value in summary.state_metrics.items()},
        "mean_reward": groups.mean_reward,
        "mean_abs_advantage": groups.mean_abs_advantage,
        "zero_gradient_share_verifier_alone": groups.zero_gradient_verifier,
        "zero_gradient_share": groups.zero_gradient_rule,
        "contiguous": summary.contiguous,
        "seconds": round(seconds, 3),
        "rows_per_s": round(verdicts.rows / seconds, 1),
        "warnings": warnings,
    }


def _print(summary: ScoreSummary, result: dict[str, object], decided: list[tuple[str, str]]) -> None:
    verdicts, groups = summary.verdicts, summary.groups
    rows = [
        ("rows / groups", f"{verdicts.rows} / {groups.groups}"),
        ("groups mixed", show.percent(groups.mixed)),
        ("groups all correct", show.percent(groups.all_correct)),
        ("groups all wrong", show.percent(groups.all_wrong)),
        ("abstained / failed", f"{verdicts.abstained} / {verdicts.failures}"),
        *decided,
        ("scores missing", str(summary.missing_scores)),
        ("sigma-bar", show.number(summary.sigma_mean)),
        *((name.replace("_", " "), show.number(value)) for name, value in summary.state_metrics.items()),
    ]
    rows += [(f"mean reward, {name}", show.number(value)) for name, value in groups.mean_reward.items()]
    rows += [
        (f"mean |advantage|, {name.replace('_', ' ')}", show.number(value)) for name, value in groups.mean_abs_advantage.items()
    ]
    rows += [
        ("groups without gradient, verifier alone", show.percent(groups.zero_gradient_verifier)),
        ("groups without gradient, this rule", show.percent(groups.zero_gradient_rule)),
    ]
    show.print_table(f"{result['rule']}, scale {summary.scale}: {result['output']}", rows, right=True)
