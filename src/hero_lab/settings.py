"""Everything that a run of the lab depends on, and the runs of a comparison."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, field, fields
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from hero_lab.cold_start import ColdStartSettings
from hero_lab.family import CHECKED, TaskName
from hero_lab.learned_verifier import LearnedVerifierSettings
from hero_lab.presets import LEARNED, RuleSettings, VerifierChoice, find_arm
from hero_lab.reward_model import RewardModelSettings, Tier
from hero_lab.task import REGIMES, Regime
from hero_rl import rewards
from hero_rl.config_checks import reason_of
from hero_rl.errors import InputError
from hero_rl.rewards import RewardRule, Scale
from hero_rl.rewards.scale import KlUnit

FORMAT = 2
"""Version of result files and cached models; a change here makes old ones be ignored."""


_LATER = ("false_positives", "accepted_bonus", "mistakes")
"""Settings that came later: at their defaults a run is one of before, and keeps its digest and results."""


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class RunSettings:
    """Everything that one RL run depends on: two runs with equal settings give equal results."""

    label: str
    """The name of the run in tables: the arm as it was asked for."""
    rule: str
    rule_settings: RuleSettings
    scale: Scale
    learning_rate: PositiveFloat
    seed: int
    kl: NonNegativeFloat = 0.0
    """Weight of the KL penalty to the starting policy."""
    kl_unit: KlUnit = "reward"
    """``oracle``: the weight is multiplied by the estimated scale of the advantages, so that one suits all rules."""
    kl_recall: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """The recall that the estimate of the scale is told; None: ``verifier_recall``, else that of the rule, else assumed."""
    regime: Regime = "hard"
    """The prompts that are trained on."""
    tier: Tier = "hackable"
    """The reward model."""
    steps: PositiveInt = 100
    early: PositiveInt = 50
    """The step of the early held-out evaluation."""
    curve_every: PositiveInt = 10
    """Steps between evaluations on development prompts."""
    prompts_per_step: PositiveInt = 32
    group_size: Annotated[int, Field(ge=2)] = 8
    held_out_samples: PositiveInt = 8
    """Responses per held-out prompt, at temperature 1."""
    development_samples: PositiveInt = 4
    cold_start: ColdStartSettings = field(default_factory=ColdStartSettings)
    reward_model: RewardModelSettings = field(default_factory=RewardModelSettings)
    verifier: VerifierChoice = "strict"
    """Who gives the verdicts of training; the strict verifier is measured in any case."""
    learned_verifier: LearnedVerifierSettings = field(default_factory=LearnedVerifierSettings)
    """How the learned verifier is taught where there is one."""
    task: TaskName = "chain"
    """The task family: problems, answer forms and mistakes."""
    verifier_recall: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Share of right answers that the strict verifier accepts; None: those written as the reference is."""
    false_positives: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of wrong answers that the strict verifier accepts, always the same ones."""
    score_noise: NonNegativeFloat = 0.0
    """Standard deviations of noise in the score: the same text always has the same noise."""
    accepted_bonus: FiniteFloat = 0.0
    """Standard deviations that are added to the score of what the strict verifier accepts: its misses depend on the score."""
    mistakes: PositiveFloat = 1.0
    """Factor on the odds of every mistake that policy and reward model are taught: below 1, a better start."""
    held_out_tags: Literal["both", "trained"] = "both"
    """``both``: held-out prompts of both tags. ``trained``: only of those that the regime trains on."""
    looks: tuple[int, ...] = ()
    """More steps at which the held-out prompts are evaluated, beside 0, ``early`` and the last: ``step<N>`` in the result."""
    replicate: NonNegativeInt = 0
    """Another training of the same starting policy and reward model: other prompts first, other samples."""

    def __post_init__(self) -> None:
        """Check what settings say together."""
        if any(not 0 < at <= self.steps for at in self.looks):
            raise InputError(f"looks={list(self.looks)}: every step must be in 1..{self.steps}, the steps of the run")
        if self.task != "chain" and self.verifier in LEARNED:
            raise InputError(f"task={self.task!r} has no learned verifier; leave verifier={self.verifier!r} at 'strict'")

    def __hash__(self) -> int:
        """By content: the mapping of rule settings has no hash of its own."""
        return hash((self.label, self.digest))

    @property
    def training_seed(self) -> int:
        """The seed of the order of prompts and of the responses of training: ``seed`` itself for replicate 0."""
        return self.seed + 10_007 * self.replicate

    @property
    def digest(self) -> str:
        """12-digit hash of all settings that affect the result: not the label, nor a verifier that is not used."""
        unused = {"label"} if self.verifier in LEARNED else {"label", "learned_verifier"}
        unused |= {one.name for one in fields(self) if one.name in _LATER and getattr(self, one.name) == one.default}
        if self.kl_unit == "reward" or not self.kl:
            unused |= {"kl_unit", "kl_recall"}
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


_RUN = TypeAdapter(RunSettings)


def plan_run(label: str, *, seed: int = 0, **settings: Any) -> RunSettings:
    """Return the run of an arm.

    Args:
        label: the arm, as ``find_arm`` reads it.
        seed: of everything.
        settings: of ``RunSettings``; ``learning_rate`` and ``scale`` replace the arm's own unless they are None.

    Raises:
        InputError: unknown arm, unknown setting, or a value that it cannot have.
    """
    regime = settings.get("regime", "hard")
    if regime not in REGIMES:
        raise InputError(f"regime={regime!r} is unknown; choose one of {', '.join(REGIMES)}")
    arm = find_arm(label, regime=regime, kl=settings.get("kl") not in (None, 0.0))
    given = {name: value for name, value in settings.items() if value is not None}
    steps, early = given.get("steps", 100), given.get("early", 50)
    given["early"] = min(early, steps) if isinstance(steps, int) and isinstance(early, int) else early
    try:
        # strict as JSON: a list for a tuple, a mapping for settings, but no text for a number
        return _RUN.validate_json(json.dumps({"label": label, "seed": seed, **arm._asdict(), **given}, default=asdict))
    except ValidationError as error:
        raise InputError(_said(error)) from error


def _said(error: ValidationError) -> str:
    problem = error.errors()[0]
    name = ".".join(map(str, problem["loc"]))
    if not name:  # what __post_init__ raised
        return str(problem.get("ctx", {}).get("error"))
    return f"{name}={problem['input']!r}: {reason_of(problem)}"


def plan_runs(rules: Sequence[str], *, seeds: Sequence[int] = (0,), **settings: Any) -> tuple[RunSettings, ...]:
    """Return one run per seed and arm, all arms of a seed together; raises as ``plan_run``."""
    return tuple(plan_run(label, seed=seed, **settings) for seed in seeds for label in rules)


def digest(value: object) -> str:
    """Twelve hexadecimal digits of a JSON-able value; the same for equal values in every process."""
    text = json.dumps([FORMAT, value], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
