"""The finding in one sentence, warnings about each signal, and what could not be said; each with the figure it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from hero_rl.attacks import AttackReport
from hero_rl.audit.reward_models import RewardModelReport
from hero_rl.audit.rules import RuleReport
from hero_rl.audit.verdicts import LITTLE, Verdicts
from hero_rl.audit.verifiers import VerifierReport
from hero_rl.data.verify import REFERENCE_MISSING
from hero_rl.measures import FEW_PROMPTS
from hero_rl.report import interval

SAME = 0.1
"""A KL coefficient within this share of another is the same."""
FOOLED = 0.001
"""Share of wrong answers accepted from which an attack is reported."""


class Advice(NamedTuple):
    """One finding to act on."""

    about: str
    """``rule``, ``weights``, ``verifier`` or ``reward model``."""
    value: str
    reason: str


def headline(verdicts: Verdicts | None, model: RewardModelReport | None) -> str:
    """Return what the audit found, in one sentence."""
    if verdicts is None:
        return "No verifier was named, so no rule can be compared with it."
    if verdicts.groups_problem:
        return f"These rollouts cannot show anything about rules: {verdicts.groups_problem}."
    if model is not None and verdicts.scores_problem:
        return f"No rule can use {model.name}: its scores {verdicts.scores_problem}. Train with the verifier alone."
    signal = model.name if model is not None else "a reward model"
    if math.isnan(verdicts.ceiling):
        if verdicts.mixed >= FEW_PROMPTS:
            return f"Whether {signal} helps cannot be said: what the verifier accepts does not follow the labels. Mend it."
        lack = "no prompt has right and wrong responses and a trusted label for each"
        if verdicts.mixed:
            lack = f"only {verdicts.mixed} labelled prompts have right and wrong responses, and {FEW_PROMPTS} are needed"
        return f"Whether {signal} helps cannot be said: {lack}. Until then, train with the verifier alone."
    if verdicts.best is not None:
        best = verdicts.best
        return f"{best.rule} helps: {best.evidence} as under the verifier alone."
    most = f"even a perfect reward model would make only {verdicts.ceiling:.2f} times as many rollouts work"
    if model is None or verdicts.ceiling < 1.05:
        only = most if verdicts.ceiling < 1.05 else most.replace("even a", "a").replace("only", "at most")
        return f"Compared with the verifier alone, {only}."
    harms = sum(one.says == "harms" for one in verdicts.rules)
    return (
        f"No rule is shown to gain from {signal} ({harms} of {len(verdicts.rules)} harm, the others lack evidence): train with "
        "the verifier alone."
    )


def advise(
    verdicts: Verdicts | None, rule: RuleReport | None, verifier: VerifierReport | None, model: RewardModelReport | None
) -> list[Advice]:
    """Return what to do, and what to look into."""
    return [
        *_about_rule(verdicts, rule),
        *_about_verifier(verifier),
        *_about_scores(model, verdicts.scores_problem if verdicts is not None else ""),
    ]


def unknown(verifier: VerifierReport | None, model: RewardModelReport | None, verdicts: Verdicts | None) -> Iterator[str]:
    """Yield what the file cannot tell, and what would."""
    if verifier is None:
        yield "anything about rules: no verifier was named"
    elif not verifier.labelled_rows:
        yield (
            "recall and precision of the verifier, and which rule helps: the file has no trusted labels (column `correct`, or "
            "--labels column:NAME)"
        )
    if verdicts is not None and verdicts.to_label:
        gains = ", ".join(f"{share:.0%}: {gain:.1f}" for share, gain in verdicts.if_missed)
        yield (
            "what a reward model can gain: by the share of right among the rejected responses, a perfect one makes so many "
            f"times as many rollouts work as the verifier alone ({gains}). Label {verdicts.to_label} rejected responses, each "
            f"of another prompt: if none is right, it gains less than {LITTLE:.0%}"
        )
    if model is None:
        yield "anything about a reward model: none was named and the file has no column `rm_score`"
    elif model.within.ranks == "unknown":
        why = model.within.missing
        yield f"how well the reward model ranks inside prompts: {why}; sample more responses, or harder prompts"


def _about_rule(verdicts: Verdicts | None, rule: RuleReport | None) -> Iterator[Advice]:
    if verdicts is not None and verdicts.best is not None:
        best = verdicts.best
        kl = ""
        if abs(verdicts.kl - 1.0) > SAME:
            kl = f"; multiply a KL coefficient that suits the verifier alone by {verdicts.kl:.2g}"
        yield Advice("rule", best.rule, f"{best.evidence}, with a pressure of {interval(best.pressure)}{kl}")
    elif verdicts is not None and verdicts.rules and not verdicts.groups_problem:
        yield Advice("rule", "verifier_only", "no rule that uses scores is shown to be better on these rollouts")
    if rule is not None and rule.weights_problem:
        yield Advice("weights", "weighting=False", rule.weights_problem)


def _about_verifier(verifier: VerifierReport | None) -> Iterator[Advice]:
    if verifier is None:
        return
    if verifier.precision.high < 0.99:
        yield Advice(
            "verifier", f"check what {verifier.name} accepts",
            f"precision is {interval(verifier.precision)}: every rule ranks what it accepts first, so its mistakes are learned",
        )  # fmt: skip
    if verifier.recall.high < 0.9:
        yield Advice(
            "verifier", "add a fallback",
            f"recall is {interval(verifier.recall)}: a learned verifier asked only where this one abstains or rejects recovers "
            "part of it (`verifier.fallback`)",
        )  # fmt: skip
    if missing := verifier.reasons.get(REFERENCE_MISSING):
        why = f"{missing} of {verifier.rows} rows have none, so no response to them is accepted"
        yield Advice("verifier", "fill in the references", why)
    if verifier.failures > 0.01 * verifier.rows:
        why = f"it failed on {verifier.failures} of {verifier.rows} rows"
        yield Advice("verifier", f"look into {verifier.name}", why)


def _about_scores(model: RewardModelReport | None, problem: str) -> Iterator[Advice]:
    if model is None:
        return
    if problem:
        yield Advice("reward model", "mend the scores", f"those of {model.name} {problem}")
        return
    if model.within.ranks in ("worse than chance", "no better than chance"):
        sign = "check the sign of the scores" if model.within.ranks == "worse than chance" else f"do not rely on {model.name}"
        yield Advice("reward model", sign, f"{model.within.words().rstrip('.')} (against {model.truth})")
    if model.p_squashed == 1.0:
        yield Advice(
            "reward model", "check the activation",
            f"all scores of {model.name} lie in [0, 1]: a server that applies a sigmoid hides differences at both ends; ask "
            "for raw scores",
        )  # fmt: skip
    if abs(model.length_bias) > 0.3:
        kind = "longer" if model.length_bias > 0 else "shorter"
        why = f"{kind} responses score higher at equal prompt and label (correlation {model.length_bias:+.2f})"
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
