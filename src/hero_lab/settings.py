"""Everything that a run of the lab depends on, and the runs of a comparison."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from hero_lab.cold_start import ColdStartSettings
from hero_lab.family import TASKS, TaskName
from hero_lab.learned_verifier import LearnedVerifierSettings
from hero_lab.presets import LEARNED, RuleSettings, VerifierChoice, checked_learning_rate, find_arm
from hero_lab.reward_model import TIERS, RewardModelSettings, Tier
from hero_lab.task import REGIMES, Regime
from hero_rl import rewards
from hero_rl.errors import InputError
from hero_rl.rewards import RewardRule, Scale

FORMAT = 2
"""Version of result files and cached models; a change here makes old ones be ignored."""

HeldOutTags: TypeAlias = Literal["both", "trained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Everything that one RL run depends on: two runs with equal settings give equal results."""

    label: str
    """What the run is called in tables: the arm as it was asked for."""
    rule: str
    rule_settings: RuleSettings
    scale: Scale
    learning_rate: float
    seed: int
    kl: float = 0.0
    """Weight of the KL penalty to the starting policy."""
    regime: Regime = "hard"
    """The prompts that are trained on."""
    tier: Tier = "hackable"
    """The reward model."""
    steps: int = 100
    early: int = 50
    """The step of the early held-out evaluation."""
    curve_every: int = 10
    """Steps between evaluations on development prompts."""
    prompts_per_step: int = 32
    group_size: int = 8
    held_out_samples: int = 8
    """Responses a held-out prompt, at temperature 1."""
    development_samples: int = 4
    cold_start: ColdStartSettings = field(default_factory=ColdStartSettings)
    reward_model: RewardModelSettings = field(default_factory=RewardModelSettings)
    verifier: VerifierChoice = "strict"
    """Who gives the verdicts of training; the strict verifier is measured in any case."""
    learned_verifier: LearnedVerifierSettings = field(default_factory=LearnedVerifierSettings)
    """How the learned verifier is taught where there is one."""
    task: TaskName = "chain"
    """The task family: problems, answer forms and mistakes."""
    verifier_recall: float | None = None
    """Share of right answers that the strict verifier accepts, in [0, 1]; None: those written as the reference is."""
    verifier_noise: float = 0.0
    """Share of wrong answers that the strict verifier accepts, in [0, 1]: always the same ones."""
    hackable: float | None = None
    """Score = (1 - hackable) x robust tier + hackable x hackable tier, in [0, 1]; None: the score of ``tier``."""
    score_noise: float = 0.0
    """Standard deviations of noise in the score, not negative: the same text always has the same noise."""
    held_out_tags: HeldOutTags = "both"
    """``both``: held-out prompts of both tags. ``trained``: only of those that the regime trains on."""
    looks: tuple[int, ...] = ()
    """More steps at which the held-out prompts are evaluated, beside 0, ``early`` and the last: ``step<N>`` in the result."""
    refresh_every: int = 0
    """Steps between rounds in which reward model and learned verifier are retrained on the run's own rollouts; 0: never."""

    def __post_init__(self) -> None:
        """Check the values: what comes from a file or a command line ends up here."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(known)}")
        checked_learning_rate(self.learning_rate)
        _check_ranges(self)
        _check_together(self)

    def __hash__(self) -> int:
        """By content: the mapping of rule settings has no hash of its own."""
        return hash((self.label, self.digest))

    @property
    def digest(self) -> str:
        """12-digit hash of all settings that affect the result: not the label, nor a verifier that is not used."""
        unused = {"label"} if self.verifier in LEARNED else {"label", "learned_verifier"}
        return digest({name: value for name, value in asdict(self).items() if name not in unused})

    @property
    def file_name(self) -> str:
        """Name of the result file."""
        rule = self.rule if self.verifier == "strict" else f"{self.rule}-{self.verifier}"
        task = "" if self.task == "chain" else f"{self.task}-"
        return f"{task}{self.regime}-{self.tier}-{rule}-{self.scale}-seed{self.seed}-{self.digest}.json"

    def build_rule(self) -> RewardRule:
        """The rule itself.

        Raises:
            InputError: unknown rule, or settings that it does not take.
        """
        return rewards.make_rule(self.rule, self.rule_settings)


_CHOICES: Mapping[str, Sequence[str]] = {
    "regime": REGIMES, "tier": TIERS, "scale": get_args(Scale), "task": TASKS, "held_out_tags": get_args(HeldOutTags),
}  # fmt: skip
_COUNTS = ("steps", "early", "curve_every", "development_samples", "held_out_samples")


def _check_ranges(run: RunSettings) -> None:
    for name in _COUNTS:
        if getattr(run, name) < 1:
            raise InputError(f"{name}={getattr(run, name)} must be at least 1")
    for name in ("verifier_recall", "verifier_noise", "hackable"):
        value = getattr(run, name)
        if value is not None and not 0.0 <= value <= 1.0:
            raise InputError(f"{name}={value:g} must be between 0 and 1")
    for name in ("kl", "score_noise"):
        if not 0.0 <= getattr(run, name) < math.inf:
            raise InputError(f"{name}={getattr(run, name):g} must not be negative, and must be finite")
    if run.refresh_every < 0:
        raise InputError(f"refresh_every={run.refresh_every} must not be negative; it is a number of steps, 0 for never")
    if run.reward_model.layers < 1:
        raise InputError(f"reward_model.layers={run.reward_model.layers} must be at least 1")
    if any(not 0 < at <= run.steps for at in run.looks):
        raise InputError(f"looks={list(run.looks)}: every step must be in 1..{run.steps}, the steps of the run")


def _check_together(run: RunSettings) -> None:
    if run.hackable is not None and run.tier != "hackable":
        raise InputError(f"hackable={run.hackable:g} mixes two tiers itself; leave tier={run.tier!r} at 'hackable'")
    if run.task != "chain" and run.verifier in LEARNED:
        raise InputError(f"task={run.task!r} has no learned verifier; leave verifier={run.verifier!r} at 'strict'")
    if run.refresh_every and run.tier in ("robust", "chance"):
        raise InputError(
            f"refresh_every={run.refresh_every}: the reward model of tier={run.tier!r} is no classifier and "
            "cannot be retrained; choose tier='hackable' or 'broken'"
        )


def plan_run(label: str, *, seed: int = 0, **settings: Any) -> RunSettings:
    """Return the run of an arm.

    Args:
        label: the arm, as ``find_arm`` reads it.
        seed: of everything.
        settings: of ``RunSettings``; ``learning_rate`` and ``scale`` replace the arm's own unless they are None.

    Raises:
        InputError: unknown arm, or a value out of its range.
    """
    regime = settings.get("regime", "hard")
    if regime not in REGIMES:
        raise InputError(f"regime={regime!r} is unknown; choose one of {', '.join(REGIMES)}")
    arm = find_arm(label, regime=regime, kl=settings.get("kl", 0.0) > 0)
    own = {"rule": arm.rule, "rule_settings": dict(arm.settings), "verifier": arm.verifier, "scale": arm.scale}
    given = {name: value for name, value in settings.items() if value is not None}
    early = min(settings.get("early", 50), settings.get("steps", 100))
    return RunSettings(label=label, seed=seed, **{**own, "learning_rate": arm.learning_rate, **given, "early": early})


def plan_runs(rules: Sequence[str], *, seeds: Sequence[int] = (0,), **settings: Any) -> tuple[RunSettings, ...]:
    """Return one run per seed and arm, all arms of a seed together.

    Raises:
        InputError: as ``plan_run``; no rule, or no seed.
    """
    if not seeds or not rules:
        raise InputError("at least one seed and one rule are needed")
    return tuple(plan_run(label, seed=seed, **settings) for seed in seeds for label in rules)


def digest(value: object) -> str:
    """Twelve hexadecimal digits of a JSON-able value; the same for equal values in every process."""
    text = json.dumps([FORMAT, value], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
