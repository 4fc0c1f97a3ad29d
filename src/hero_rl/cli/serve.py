"""`hero serve`: the reward service over HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hero_rl.cli import build, options, show
from hero_rl.engines.service.settings import MIB, ServiceSettings
from hero_rl.errors import InputError, require
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RULES, SCALES, RewardRule, Scale, check_scale

if TYPE_CHECKING:
    from hero_rl.engines.service.service import RewardService
    from hero_rl.types import Scorer, Verifier

_LIMITS = ServiceSettings()
HELP = f"""The reward service over HTTP.

Scores whole groups (POST /v1/score_group, /v1/score_groups) and keeps the state of each run_id. Speaks the
per-sample protocols of OpenRLHF (/get_reward), NeMo-Gym (/verify) and vLLM (/classify), too; they get raw parts.
GET /openapi.json describes everything, /healthz and /metrics are for operators. Stops on SIGTERM when what runs is done.

\b
Example:
  hero serve --rule hero --verifier math --reward-model local:./my-reward-model \\
      --port 8400 --state ./service-state

\b
Rules:          {", ".join(RULES)}
Verifiers:      {build.names(build.VERIFIERS)}, none
Reward models:  {build.names(build.SCORERS)}

{options.KEY_NOTE}
"""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8400,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where states are kept; without it they end with the process.")
    ] = None,
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the token that clients must send.")
    ] = None,
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
    scale: Annotated[str | None, typer.Option(help="Of advantages: none, group, batch; default: what suits the rule.")] = None,
    learned_credit: options.LearnedCredit = None,
    gain: options.Gain = None,
    recall: options.Recall = None,
    policy: options.Policy = None,
    deadline: options.Deadline = None,
    fallback: options.Fallback = None,
    ask: options.Ask = None,
    max_questions: options.MaxQuestions = None,
    rm_tokenizer: options.Tokenizer = None,
    rm_template: options.RmTemplate = None,
    aggregate: options.Aggregate = None,
    cache: options.CacheFile = None,
    workers: Annotated[int | None, typer.Option(help="Processes of the maths verifier; default: one a CPU.")] = None,
    max_failure_rate: Annotated[float, typer.Option(help="Refuse a batch in which a larger share of rows fails.")] = 0.1,
    max_running: Annotated[int, typer.Option(help="Requests worked on at a time.")] = _LIMITS.max_running,
    max_queued: Annotated[int, typer.Option(help="Requests that may wait; further ones get 429.")] = _LIMITS.max_queued,
    max_body_mib: Annotated[int, typer.Option(help="Largest request.")] = _LIMITS.max_body_bytes // MIB,
    request_deadline: Annotated[float, typer.Option(help="Seconds for a request that names none.")] = _LIMITS.deadline_s,
    keep_answers: Annotated[int, typer.Option(help="Answers kept for retries.")] = _LIMITS.max_answers,
    drain: Annotated[float, typer.Option(help="Seconds for what runs to finish after SIGTERM.")] = _LIMITS.drain_s,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as one JSON object.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, extra="serve", purpose="hero serve")
    from hero_rl.engines.service.app import create_app
    from hero_rl.engines.service.server import listen, url_of
    from hero_rl.engines.service.server import serve as run

    about_rule = {
        "alpha": alpha, "beta": beta, "w_min": w_min, "w_max": w_max, "k": k, "weighting": weighting,
        "learned_credit": learned_credit, "gain": gain, "recall": recall,
    }  # fmt: skip
    reward_rule = build.make_rule(rule, about_rule, preset=preset)
    show.check_share("--max-failure-rate", max_failure_rate)
    chosen_scale = _scale(scale, reward_rule)
    settings = ServiceSettings(
        max_running=max_running, max_queued=max_queued, max_body_bytes=max_body_mib * MIB, deadline_s=request_deadline,
        max_held_bytes=max(_LIMITS.max_held_bytes, max_body_mib * MIB), max_answers=keep_answers, drain_s=drain,
        token=_token(token_env),
    )  # fmt: skip
    _check_parts(reward_rule, verifier, reward_model)
    sock = listen(host, port)
    asked = build.VerifierOptions(policy, deadline, workers, fallback, ask, max_questions, cache)
    judge = build.make_verifier(verifier, asked)
    scored = build.ScorerOptions(rm_tokenizer, rm_template, aggregate, cache)
    scorer = build.make_scorer(reward_model, scored) if reward_model else None
    if judge is not None:
        judge.warm()  # or the first requests wait for the worker processes
    service = _service(judge, scorer, reward_rule, state, settings, chosen_scale, max_failure_rate)

    def ready() -> None:
        if as_json:
            show.print_json(
                {**service.describe(), "url": url_of(sock), "pid": os.getpid(), "state": str(state) if state else None}
            )
        else:
            sys.stdout.write(
                f"hero serve: listening on {url_of(sock)} ({rule}, {verifier}, {reward_model or 'no reward model'})\n"
            )
        sys.stdout.flush()
        if state is None:
            show.warn("no --state: the states of runs live as long as this process")

    run(create_app(service), sock, on_ready=ready, drain_s=drain)


def _service(
    judge: Verifier | None, scorer: Scorer | None, rule: RewardRule, state: Path | None, settings: ServiceSettings,
    scale: Scale, max_failure_rate: float,
) -> RewardService:  # fmt: skip
    from hero_rl.engines.service.gather import GatheringScorer
    from hero_rl.engines.service.service import RewardService
    from hero_rl.engines.service.store import StateStore
    from hero_rl.engines.service.texts import TextScorer
    from hero_rl.scorers import LocalScorer

    store = StateStore(
        state, max_answers=settings.max_answers, max_answer_bytes=settings.max_answer_bytes, answer_age_s=settings.answer_age_s
    )
    local = scorer if isinstance(scorer, LocalScorer) else None
    shared = GatheringScorer(local) if local else scorer
    reward = HybridReward(judge, shared, rule, max_failure_rate=max_failure_rate)
    return RewardService(reward, store, settings, scale=scale, texts=TextScorer(local) if local else None)


def _check_parts(rule: RewardRule, verifier: str, reward_model: str | None) -> None:
    if rule.needs_scores and reward_model is None:
        raise InputError(
            f"the rule {rule.name!r} needs reward-model scores; add --reward-model local:PATH, or "
            "--reward-model column:rm_score where clients send the scores"
        )
    if rule.needs_verdicts and verifier == "none":
        raise InputError(f"the rule {rule.name!r} needs verdicts; choose a verifier: {build.names(build.VERIFIERS)}")
    if reward_model:
        build.check_scorer(reward_model)


def _scale(scale: str | None, rule: RewardRule) -> Scale:
    if scale is not None and scale not in SCALES:
        raise InputError(f"--scale {scale}: unknown; choose one of {', '.join(SCALES)}")
    chosen = cast(Scale, scale) if scale else rule.scale
    warning = check_scale(rule, chosen)
    if warning:
        show.warn(warning)
    return chosen


def _token(name: str | None) -> str | None:
    if name is None:
        return None
    token = os.environ.get(name, "")
    if not token:
        raise InputError(f"--token-env {name}: the environment variable is not set, or empty; put the token there")
    return token
