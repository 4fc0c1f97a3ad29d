"""The verifiers, the reward model and the rule of a run, made from its settings and its models."""

from __future__ import annotations

from typing import Any

from hero_lab.evaluate import Yardstick
from hero_lab.families import FAMILIES
from hero_lab.learned_verifier import load_learned_verifier
from hero_lab.noise import ChanceScorer, SumScorer
from hero_lab.prepare import MODEL, Prepared, load_scorer
from hero_lab.reward_model import PrefixScorer
from hero_lab.settings import RunSettings
from hero_lab.task import AbstainingVerifier, StrictVerifier
from hero_rl.pipeline import HybridReward
from hero_rl.scorers.function import FunctionScorer
from hero_rl.types import Scorer, Verifier
from hero_rl.verifiers.cascade import NEVER_ASKED, Cascade


def make_scorer(settings: RunSettings, models: Prepared) -> Scorer:
    """Return the reward model of a run, with or without noise and the bonus of what is accepted."""
    scorer = load_scorer(models.reward_model)
    if settings.accepted_bonus:
        strict = make_strict_verifier(settings)
        accepted = FunctionScorer(lambda rollouts: [float(verdict.value) for verdict in strict.verify(rollouts)])
        scorer = SumScorer([(scorer, 1.0), (accepted, settings.accepted_bonus)])
    if settings.score_noise:
        scorer = SumScorer([(scorer, 1.0), (ChanceScorer(seed=settings.seed), settings.score_noise)])
    return scorer


def make_strict_verifier(settings: RunSettings) -> StrictVerifier:
    """Return the strict verifier of a run, with its recall."""
    return StrictVerifier(
        family=FAMILIES[settings.task], recall=settings.verifier_recall, false_positives=settings.false_positives,
        seed=settings.seed,
    )  # fmt: skip


def make_verifier(settings: RunSettings, models: Prepared) -> Verifier:
    """Return the verifier of training."""
    strict = make_strict_verifier(settings)
    if settings.verifier == "abstaining":
        return AbstainingVerifier(strict, FAMILIES[settings.task])
    if settings.verifier == "strict" or models.learned_verifier is None:
        return strict
    learned = load_learned_verifier(models.learned_verifier / MODEL)
    if settings.verifier == "learned":
        return learned
    # The strict verifier never abstains. The learned one finds the answer itself, and reads nothing else of the response.
    return Cascade(strict, learned, ask="incorrect", send="response", never_ask=NEVER_ASKED | {"unfinished"})


def make_reward(settings: RunSettings, models: Prepared) -> HybridReward:
    """Return the reward of training."""
    rule = settings.build_rule()
    scorer = make_scorer(settings, models) if rule.needs_scores else None
    if scorer is not None and rule.steps is not None:
        scorer = PrefixScorer(scorer)
    return HybridReward(make_verifier(settings, models), scorer, rule)


def make_yardstick(settings: RunSettings, models: Prepared, facts: dict[str, Any]) -> Yardstick:
    """Return what the policy of a run is measured with, the reward of training included."""
    mean = facts["reward_model"]["score_mean"]  # that of the noise is 0
    plain = settings.verifier == "strict" and settings.verifier_recall is None and not settings.false_positives
    return Yardstick(
        make_scorer(settings, models), mean, make_strict_verifier(settings), make_reward(settings, models), settings.scale,
        verifier=None if plain else make_verifier(settings, models), family=FAMILIES[settings.task],
    )  # fmt: skip
