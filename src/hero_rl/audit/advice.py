"""From the measurements to settings, each with its reason; and what could not be said.

The thresholds are choices of ours, none fitted to a file, and every piece of advice shows the figure that it rests on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hero_rl.attacks import AttackReport
from hero_rl.audit.reward_models import RewardModelReport
from hero_rl.audit.situations import advised_rule, alike, sentence
from hero_rl.audit.verifiers import VerifierReport
from hero_rl.measures import Estimate
from hero_rl.rewards.diagnostics import GroupShares

FEW_PROMPTS = 20
CHANCE = 0.5
GOOD = 0.65
FOOLED = 0.001
"""Share of wrong answers accepted from which an attack calls for something."""
PAPER_VERIFIABLE, PAPER_HARD = 0.05, 0.1


class Advice(NamedTuple):
    """One setting, or one finding that calls for something."""

    about: str
    """``rule``, ``alpha``, ``beta``, ``k``, ``scale``, ``verifier`` or ``reward model``."""
    value: str
    reason: str


def advise(
    verifier: VerifierReport | None, reward_model: RewardModelReport | None, groups: GroupShares | None
) -> tuple[list[Advice], list[str]]:
    """Advice, and what cannot be said of this file and why."""
    advice: list[Advice] = []
    unknown: list[str] = []
    if verifier is None or groups is None:
        unknown.append("anything about strata: no verifier was named")
    elif not verifier.labelled_rows:
        unknown.append(
            "recall, precision and accuracy of the verifier, and whether the reward model ranks well among the responses that "
            "the verifier rejects: the file has no trusted labels (column `correct`, or --label NAME)"
        )
    if reward_model is None:
        unknown.append("anything about a reward model: none was named and the file has no column `rm_score`")
    if verifier is not None:
        advice += _about_verifier(verifier)
    if reward_model is not None:
        advice += _about_scores(reward_model)
    if verifier is not None and groups is not None and reward_model is not None:
        rule = _rule(verifier, reward_model, groups)
        advice.insert(0, rule)
        if rule.value == "hero":
            advice += [*_bands(reward_model, groups), *_steepness(reward_model)]
        if rule.value.startswith("hero"):
            advice.append(
                Advice("scale", "none", "dividing by a group's standard deviation blows the bands up to unit-size advantages "
                       "and cancels the prompt weights; see the table of normalisations")
            )  # fmt: skip
        if reward_model.within.prompts < FEW_PROMPTS:
            unknown.append(
                f"how well the reward model ranks inside prompts: only {reward_model.within.prompts} prompts have right and "
                f"wrong responses (about {FEW_PROMPTS} are needed); sample more responses, or harder prompts"
            )
    return advice, unknown


def _rule(verifier: VerifierReport, model: RewardModelReport, groups: GroupShares) -> Advice:
    within = model.within.mean
    if model.within.prompts >= FEW_PROMPTS and not within.low > CHANCE:
        return Advice(
            "rule", "verifier_only", f"the reward model ranks inside prompts no better than chance: AUROC {text(within)}"
        )
    if verifier.labelled_rows and verifier.recall.low > 0.97 and groups.zero_gradient < 0.2:
        return Advice(
            "rule", "verifier_only",
            f"the verifier finds nearly all right answers (recall {text(verifier.recall)}) and only {groups.zero_gradient:.0%} "
            "of the prompts give it no gradient: a reward model has little to add and can be hacked",
        )  # fmt: skip
    why = f"{groups.zero_gradient:.0%} of the prompts give the verifier alone no gradient"
    if model.within.prompts >= FEW_PROMPTS:
        why += f", and the reward model ranks inside prompts with AUROC {text(within)}"
    known = verifier.labelled_rows and model.within.prompts >= FEW_PROMPTS
    found = alike(verifier.recall.value, within.value) if known else []
    if not found:
        return Advice("rule", "hero", why)
    return Advice("rule", advised_rule(found), f"{why}; {sentence(found, verifier.recall.value, within.value)}")


def _bands(model: RewardModelReport, groups: GroupShares) -> list[Advice]:
    hard = groups.all_wrong >= 0.5
    usual = PAPER_HARD if hard else PAPER_VERIFIABLE
    where = (
        f"{groups.all_wrong:.0%} of the prompts are all wrong to the verifier: the paper's value for hard and mixed data"
        if hard
        else f"{groups.all_wrong:.0%} of the prompts are all wrong to the verifier: the paper's value for verifiable data"
    )
    return [
        Advice("alpha", *_band(usual, where, model.rejected, "that the verifier rejects")),
        Advice("beta", *_band(usual, where, model.accepted, "that the verifier accepts")),
    ]


def _band(usual: float, where: str, inside: Estimate, which: str) -> tuple[str, str]:
    if math.isnan(inside.value) or math.isnan(inside.low):
        return f"{usual:g}", where
    if inside.high < GOOD and not inside.low > CHANCE:
        return (
            f"{usual / 2:g}",
            f"among the responses {which} the reward model tells right from wrong with AUROC {text(inside)}, which may be "
            f"chance: half of {usual:g} ({where})",
        )
    return f"{usual:g}", f"{where}; among the responses {which} its AUROC is {text(inside)}"


def _steepness(model: RewardModelReport) -> list[Advice]:
    if model.sigma.size < FEW_PROMPTS:
        return []
    low, high = np.quantile(model.sigma, [0.25, 0.75])
    if high - low <= 1e-9 * max(1.0, abs(high)):
        return [Advice("k", "6", "all prompts have the same spread of scores: the weight is the same for all")]
    # the logistic passes 1/4 and 3/4 at -+ ln 3 / k: put them on the quartiles
    k = 2.0 * math.log(3.0) / float(high - low)
    return [
        Advice("k", f"{k:.2g}", f"half of the prompts have a spread of scores between {low:.3g} and {high:.3g}; this k gives "
               "those quartiles 1/4 and 3/4 of the way from w_min to w_max. The paper's 6 is per unit of its reward model's "
               "score and becomes a switch where spreads are large")
    ]  # fmt: skip


def _about_verifier(verifier: VerifierReport) -> list[Advice]:
    found: list[Advice] = []
    if verifier.labelled_rows and verifier.precision.value < 0.95:
        found.append(
            Advice("verifier", f"check what {verifier.name} accepts", f"precision is {text(verifier.precision)}: HERO ranks "
                   "every accepted response above every rejected one, so wrong acceptances are learned first")
        )  # fmt: skip
    if verifier.labelled_rows and verifier.recall.high < 0.9:
        found.append(
            Advice("verifier", "add a fallback", f"recall is {text(verifier.recall)}: a learned verifier asked only where this "
                   "one abstains (or rejects) recovers part of it (`verifier.fallback`)")
        )  # fmt: skip
    if verifier.failures > 0.01 * verifier.rows:
        found.append(
            Advice("verifier", f"look into {verifier.name}", f"it failed on {verifier.failures} of {verifier.rows} rows")
        )  # fmt: skip
    return found


def _about_scores(model: RewardModelReport) -> list[Advice]:
    found: list[Advice] = []
    if model.p_squashed == 1.0:
        found.append(
            Advice("reward model", "check the activation", f"all scores of {model.name} lie in [0, 1]: a server that applies a "
                   "sigmoid hides differences at both ends; ask for raw scores")
        )  # fmt: skip
    if abs(model.length_bias) > 0.3:
        kind = "longer" if model.length_bias > 0 else "shorter"
        found.append(
            Advice("reward model", "watch the length", f"among responses of one prompt and one truth, {kind} ones score higher "
                   f"(correlation {model.length_bias:+.2f})")
        )  # fmt: skip
    if model.missing:
        found.append(Advice("reward model", "fill the gaps", f"{model.missing} rows have no score of {model.name}"))
    return found


def about_attack(attack: AttackReport | None) -> list[Advice]:
    """Return a warning if wrong answers made from the references get past the verifier."""
    if attack is None or attack.total.rate.value < FOOLED:
        return []
    worst = sorted((kind for kind in attack.kinds if kind.accepted), key=lambda kind: -kind.accepted)[:3]
    kinds = ", ".join(f"{kind.kind} {kind.accepted} of {kind.tried}" for kind in worst)
    return [
        Advice("verifier", f"close what {attack.verifier} falls for", f"it accepts {attack.total.accepted} of "
               f"{attack.total.tried} answers that are wrong by construction ({kinds}): a policy finds them; see the examples")
    ]  # fmt: skip


def text(estimate: Estimate) -> str:
    """Value and interval for a sentence."""
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
