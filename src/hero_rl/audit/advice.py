"""Settings that follow from the measurements, each with its reason; and what could not be said.

The thresholds are our choice, none was fitted to a file, and every piece of advice shows the figure that it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hero_rl.attacks import AttackReport
from hero_rl.audit.reward_models import RewardModelReport
from hero_rl.audit.situations import advised_rule, alike, sentence
from hero_rl.audit.verifiers import VerifierReport
from hero_rl.measures import Estimate
from hero_rl.report import interval
from hero_rl.rewards.diagnostics import GroupShares
from hero_rl.types import FloatArray

FEW_PROMPTS = 20
CHANCE = 0.5
GOOD = 0.65
FOOLED = 0.001
"""Share of wrong answers accepted from which an attack is reported."""
PAPER_VERIFIABLE, PAPER_HARD = 0.05, 0.1


class Advice(NamedTuple):
    """One setting, or one finding to act on."""

    about: str
    """``rule``, ``alpha``, ``beta``, ``k``, ``scale``, ``verifier`` or ``reward model``."""
    value: str
    reason: str


def advise(
    verifier: VerifierReport | None, model: RewardModelReport | None, groups: GroupShares | None
) -> tuple[list[Advice], list[str]]:
    """Return advice, and what cannot be said of this file and why."""
    advice: list[Advice] = []
    if verifier is not None and groups is not None and model is not None:
        advice += _about_rule(verifier, model, groups)
    if verifier is not None:
        advice += _about_verifier(verifier)
    if model is not None:
        advice += _about_scores(model)
    return advice, list(_unknown(verifier, model))


def _unknown(verifier: VerifierReport | None, model: RewardModelReport | None) -> Iterator[str]:
    if verifier is None:
        yield "anything about strata: no verifier was named"
    elif not verifier.labelled_rows:
        yield (
            "recall, precision and accuracy of the verifier, and whether the reward model ranks well among the responses that "
            "the verifier rejects: the file has no trusted labels (column `correct`, or --label NAME)"
        )
    if model is None:
        yield "anything about a reward model: none was named and the file has no column `rm_score`"
    elif verifier is not None and model.within.prompts < FEW_PROMPTS:
        yield (
            f"how well the reward model ranks inside prompts: only {model.within.prompts} prompts have right and wrong "
            f"responses (about {FEW_PROMPTS} are needed); sample more responses, or harder prompts"
        )


def _about_rule(verifier: VerifierReport, model: RewardModelReport, groups: GroupShares) -> Iterator[Advice]:
    rule = _rule(verifier, model, groups)
    yield rule
    if rule.value == "hero":
        hard = groups.all_wrong >= 0.5
        usual, kind = (PAPER_HARD, "hard and mixed data") if hard else (PAPER_VERIFIABLE, "verifiable data")
        where = f"{groups.all_wrong:.0%} of the prompts are all wrong to the verifier: the paper's value for {kind}"
        yield Advice("alpha", *_band(usual, where, model.rejected, "that the verifier rejects"))
        yield Advice("beta", *_band(usual, where, model.accepted, "that the verifier accepts"))
        if model.sigma.size >= FEW_PROMPTS:
            yield _steepness(model.sigma)
    if rule.value.startswith("hero"):
        yield Advice(
            "scale", "none",
            "dividing by a group's standard deviation blows the bands up to unit-size advantages and cancels the prompt "
            "weights; see the table of normalisations",
        )  # fmt: skip


def _rule(verifier: VerifierReport, model: RewardModelReport, groups: GroupShares) -> Advice:
    within, enough = model.within.mean, model.within.prompts >= FEW_PROMPTS
    if enough and not within.low > CHANCE:
        why = f"the reward model ranks inside prompts no better than chance: AUROC {interval(within)}"
        return Advice("rule", "verifier_only", why)
    if verifier.labelled_rows and verifier.recall.low > 0.97 and groups.zero_gradient < 0.2:
        return Advice(
            "rule", "verifier_only",
            f"the verifier finds nearly all right answers (recall {interval(verifier.recall)}) and only "
            f"{groups.zero_gradient:.0%} of the prompts give it no gradient: a reward model has little to add and can be "
            "hacked",
        )  # fmt: skip
    why = f"{groups.zero_gradient:.0%} of the prompts give the verifier alone no gradient"
    if enough:
        why += f", and the reward model ranks inside prompts with AUROC {interval(within)}"
    found = alike(verifier.recall.value, within.value) if verifier.labelled_rows and enough else []
    if not found:
        return Advice("rule", "hero", why)
    return Advice("rule", advised_rule(found), f"{why}; {sentence(found, verifier.recall.value, within.value)}")


def _band(usual: float, where: str, inside: Estimate, which: str) -> tuple[str, str]:
    if math.isnan(inside.value) or math.isnan(inside.low):
        return f"{usual:g}", where
    if inside.high < GOOD and not inside.low > CHANCE:
        return (
            f"{usual / 2:g}",
            f"among the responses {which} the reward model tells right from wrong with AUROC {interval(inside)}, which may be "
            f"chance: half of {usual:g} ({where})",
        )
    return f"{usual:g}", f"{where}; among the responses {which} its AUROC is {interval(inside)}"


def _steepness(sigma: FloatArray) -> Advice:
    low, high = np.quantile(sigma, [0.25, 0.75])
    if high - low <= 1e-9 * max(1.0, abs(high)):
        return Advice("k", "6", "all prompts have the same spread of scores: the weight is the same for all")
    # the logistic passes 1/4 and 3/4 at -+ ln 3 / k: put them on the quartiles
    k = 2.0 * math.log(3.0) / float(high - low)
    return Advice(
        "k", f"{k:.2g}",
        f"half of the prompts have a spread of scores between {low:.3g} and {high:.3g}; this k gives those quartiles 1/4 and "
        "3/4 of the way from w_min to w_max. The paper's 6 is per unit of its reward model's score and becomes a switch where "
        "spreads are large",
    )  # fmt: skip


def _about_verifier(verifier: VerifierReport) -> Iterator[Advice]:
    if verifier.labelled_rows and verifier.precision.value < 0.95:
        yield Advice(
            "verifier", f"check what {verifier.name} accepts",
            f"precision is {interval(verifier.precision)}: HERO ranks every accepted response above every rejected one, so "
            "wrong acceptances are learned first",
        )  # fmt: skip
    if verifier.labelled_rows and verifier.recall.high < 0.9:
        yield Advice(
            "verifier", "add a fallback",
            f"recall is {interval(verifier.recall)}: a learned verifier asked only where this one abstains (or rejects) "
            "recovers part of it (`verifier.fallback`)",
        )  # fmt: skip
    if verifier.failures > 0.01 * verifier.rows:
        why = f"it failed on {verifier.failures} of {verifier.rows} rows"
        yield Advice("verifier", f"look into {verifier.name}", why)


def _about_scores(model: RewardModelReport) -> Iterator[Advice]:
    if model.p_squashed == 1.0:
        yield Advice(
            "reward model", "check the activation",
            f"all scores of {model.name} lie in [0, 1]: a server that applies a sigmoid hides differences at both ends; ask "
            "for raw scores",
        )  # fmt: skip
    if abs(model.length_bias) > 0.3:
        kind = "longer" if model.length_bias > 0 else "shorter"
        why = f"among responses of one prompt and one truth, {kind} ones score higher (correlation {model.length_bias:+.2f})"
        yield Advice("reward model", "watch the length", why)
    if model.missing:
        yield Advice("reward model", "fill the gaps", f"{model.missing} rows have no score of {model.name}")


def about_attack(attack: AttackReport | None) -> list[Advice]:
    """Return a warning if wrong answers made from the references get past the verifier."""
    if attack is None or attack.total.rate.value < FOOLED:
        return []
    worst = sorted((kind for kind in attack.kinds if kind.accepted), key=lambda kind: -kind.accepted)[:3]
    kinds = ", ".join(f"{kind.kind} {kind.accepted} of {kind.tried}" for kind in worst)
    why = (
        f"it accepts {attack.total.accepted} of {attack.total.tried} answers that are wrong by construction ({kinds}): a "
        "policy finds them; see the examples"
    )
    return [Advice("verifier", f"close what {attack.verifier} falls for", why)]
