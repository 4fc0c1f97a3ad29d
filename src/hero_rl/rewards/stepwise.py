"""The rule ``process``: HERO for the responses, and step scores for where in a response its advantage acts."""

from __future__ import annotations

import dataclasses

from hero_rl.errors import BandOverlapError
from hero_rl.rewards.hybrid import hero
from hero_rl.rewards.normalize import Dense, Singleton
from hero_rl.rewards.rules import RewardRule
from hero_rl.rewards.steps import StepShaping, StepSignal


def process(
    *,
    gamma: float = 0.1,
    signal: StepSignal = "level",
    step_tie_tolerance: float = 1e-6,
    alpha: float = 0.05,
    beta: float = 0.05,
    w_min: float = 0.4,
    w_max: float = 3.0,
    k: float = 6.0,
    eps: float = 1e-6,
    singleton: Singleton = "floor",
    dense: Dense = "both",
    weighting: bool = True,
    decay: float | None = 0.9,
    tie_tolerance: float = 1e-4,
    learned_credit: float = 1.0,
) -> RewardRule:
    """HERO's rewards and weights, with the advantages of a response's tokens shaped by the scores of its steps.

    Rewards and weights are ``hero``'s to the bit; ``steps.step_advantages`` has the shaping and its proof. It takes a process
    reward model (a ``StepScorer``) and an engine with an advantage a token: ``HeroTrainer``, verl. Any other rule can be shaped
    in the same way: ``dataclasses.replace(rule, steps=StepShaping(gamma=0.1))``.

    Args:
        gamma: how far apart the advantages of a stratum's best and worst step may lie, in units of reward;
            alpha + beta + 2 gamma < 1. 0: ``hero``.
        signal: ``"level"`` or ``"change"``, see ``StepShaping``.
        step_tie_tolerance: of ``StepShaping``, in units of step scores.
        alpha: this and all others as in ``hero``.
        beta: see ``hero``.
        w_min: see ``hero``.
        w_max: see ``hero``.
        k: see ``hero``.
        eps: see ``hero``.
        singleton: see ``hero``.
        dense: see ``hero``.
        weighting: see ``hero``.
        decay: see ``hero``.
        tie_tolerance: see ``hero``.
        learned_credit: see ``hero``.

    Raises:
        InputError: as ``hero`` and ``StepShaping``.
        BandOverlapError: alpha + beta + 2 gamma >= 1.

    Reference: ours; the paper's section on limits asks for process-level supervision.
    """
    rule = hero(
        alpha=alpha, beta=beta, w_min=w_min, w_max=w_max, k=k, eps=eps, singleton=singleton, dense=dense,
        weighting=weighting, decay=decay, tie_tolerance=tie_tolerance, learned_credit=learned_credit,
    )  # fmt: skip
    steps = StepShaping(gamma=gamma, signal=signal, tie_tolerance=step_tie_tolerance)
    if alpha + beta + 2.0 * gamma >= 1.0:
        raise BandOverlapError(
            f"alpha={alpha:g}, beta={beta:g} and gamma={gamma:g} let a step of a correct response fall below one of an "
            f"incorrect response ({1 - beta - gamma:g} and {alpha + gamma:g}); need alpha + beta + 2 gamma < 1"
        )
    own = {"gamma": gamma, "signal": signal, "step_tie_tolerance": step_tie_tolerance}
    asked = {name: value for name, value in rule.settings.items() if name not in ("weight_on", "sigma", "drop")}  # not here
    return dataclasses.replace(
        rule, name="process", settings={**own, **asked}, steps=steps, needs_scores=rule.needs_scores or gamma > 0.0
    )
