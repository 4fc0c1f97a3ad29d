"""What a lab comparison is made of, and the runs that it gives."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from hero_lab.cold_start import ColdStartSettings
from hero_lab.family import TASKS, TaskName
from hero_lab.learned_verifier import LearnedVerifierSettings
from hero_lab.presets import ARMS, LEARNED, RuleSettings, VerifierChoice, checked_learning_rate, find_arm
from hero_lab.reward_model import TIERS, RewardModelSettings, Tier
from hero_lab.task import REGIMES, Regime
from hero_rl import rewards
from hero_rl.errors import InputError
from hero_rl.rewards import RewardRule, Scale

FORMAT = 1
"""Version of result files and cached models; a change here makes old ones be ignored."""


DEFAULT_RULES = tuple(ARMS)
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
    kl: float
    regime: Regime
    tier: Tier
    seed: int
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
        """Check the knobs: what comes from a file or a command line ends up here."""
        check_knobs(self)

    def __hash__(self) -> int:
        """By content: the mapping of rule settings has no hash of its own."""
        return hash((self.label, self.digest))

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for everything but the label, and but a verifier that is not used."""
        unused = {"label"} if self.verifier != "strict" else {"label", "verifier", "learned_verifier"}
        values = {name: value for name, value in asdict(self).items() if name not in unused}
        return digest(without_later_defaults(values) | {"reward_model": without_later_defaults(values["reward_model"])})

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSettings:
    """A comparison: arms x seeds under one regime and one reward-model tier."""

    regime: Regime = "hard"
    tier: Tier = "hackable"
    rules: tuple[str, ...] = DEFAULT_RULES
    """Names of ``ARMS`` or ``VERIFIER_ARMS``, or rules of ``hero_rl.rewards`` with settings: ``hero:alpha=0.2``,
    ``naive_sum:rule_weight=0.9,scale=group,learning_rate=3e-4``."""
    seeds: tuple[int, ...] = (0,)
    steps: int = 100
    early: int = 50
    jobs: int = 2
    """Processes at a time, one thread each."""
    kl: float = 0.0
    """Weight of the KL penalty to the starting policy."""
    learning_rate: float | None = None
    """For every arm; None: each arm's own."""
    scale: Scale | None = None
    """For every arm; None: each arm's own."""
    out: Path = Path("runs/lab")
    """Results go here, and models to its subfolder ``cache``."""
    cold_start: ColdStartSettings = field(default_factory=ColdStartSettings)
    reward_model: RewardModelSettings = field(default_factory=RewardModelSettings)
    learned_verifier: LearnedVerifierSettings = field(default_factory=LearnedVerifierSettings)
    task: TaskName = "chain"
    """This and what follows: as in ``RunSettings``."""
    verifier_recall: float | None = None
    verifier_noise: float = 0.0
    hackable: float | None = None
    score_noise: float = 0.0
    held_out_tags: HeldOutTags = "both"
    looks: tuple[int, ...] = ()
    refresh_every: int = 0
    curve_every: int = 10
    development_samples: int = 4
    held_out_samples: int = 8

    def __post_init__(self) -> None:
        """Check ranges and names."""
        if self.regime not in REGIMES:
            raise InputError(f"regime={self.regime!r} is unknown; choose one of {', '.join(REGIMES)}")
        if self.tier not in TIERS:
            raise InputError(f"reward-model tier {self.tier!r} is unknown; choose one of {', '.join(TIERS)}")
        if self.scale is not None and self.scale not in get_args(Scale):
            raise InputError(f"scale={self.scale!r} is unknown; choose one of {', '.join(get_args(Scale))}")
        for name, value in (("steps", self.steps), ("jobs", self.jobs)):
            if value < 1:
                raise InputError(f"{name}={value} must be at least 1")
        if not 0.0 <= self.kl < math.inf:
            raise InputError(f"kl={self.kl:g} must not be negative, and must be finite")
        if self.learning_rate is not None:
            checked_learning_rate(self.learning_rate)
        if not self.seeds or not self.rules:
            raise InputError("at least one seed and one rule are needed")
        for rule in self.rules:
            find_arm(rule, regime=self.regime, kl=self.kl > 0)
        self.runs()  # they check the rest

    @property
    def cache(self) -> Path:
        """Where starting policies and reward models are kept between comparisons."""
        return self.out / "cache"

    def runs(self) -> tuple[RunSettings, ...]:
        """One entry a run, all arms of a seed together."""
        return tuple(self._run(label, seed) for seed in self.seeds for label in self.rules)

    def _run(self, label: str, seed: int) -> RunSettings:
        arm = find_arm(label, regime=self.regime, kl=self.kl > 0)
        return RunSettings(
            label=label,
            rule=arm.rule,
            rule_settings=dict(arm.settings),
            scale=self.scale or arm.scale,
            learning_rate=arm.learning_rate if self.learning_rate is None else self.learning_rate,
            kl=self.kl,
            regime=self.regime,
            tier=self.tier,
            seed=seed,
            steps=self.steps,
            early=min(self.early, self.steps),
            cold_start=self.cold_start,
            reward_model=self.reward_model,
            verifier=arm.verifier,
            learned_verifier=self.learned_verifier,
            task=self.task,
            verifier_recall=self.verifier_recall,
            verifier_noise=self.verifier_noise,
            hackable=self.hackable,
            score_noise=self.score_noise,
            held_out_tags=self.held_out_tags,
            looks=self.looks,
            refresh_every=self.refresh_every,
            curve_every=self.curve_every,
            development_samples=self.development_samples,
            held_out_samples=self.held_out_samples,
        )


def check_knobs(run: RunSettings) -> None:
    """Raise an ``InputError`` that names the setting, where one is out of its range or two do not go together."""
    for name, known in (("task", TASKS), ("tier", TIERS), ("held_out_tags", get_args(HeldOutTags))):
        if getattr(run, name) not in known:
            raise InputError(f"{name}={getattr(run, name)!r} is unknown; choose one of {', '.join(known)}")
    for name in ("verifier_recall", "verifier_noise", "hackable"):
        value = getattr(run, name)
        if value is not None and not 0.0 <= value <= 1.0:
            raise InputError(f"{name}={value:g} must be between 0 and 1")
    if not 0.0 <= run.score_noise < math.inf:
        raise InputError(f"score_noise={run.score_noise:g} must not be negative, and must be finite")
    _check_counts(run)
    if run.hackable is not None and run.tier != "hackable":
        raise InputError(f"hackable={run.hackable:g} mixes two tiers itself; leave tier={run.tier!r} at 'hackable'")
    if run.task != "chain" and run.verifier in LEARNED:
        raise InputError(f"task={run.task!r} has no learned verifier; leave verifier={run.verifier!r} at 'strict'")


def _check_counts(run: RunSettings) -> None:
    for name in ("curve_every", "development_samples", "held_out_samples"):
        if getattr(run, name) < 1:
            raise InputError(f"{name}={getattr(run, name)} must be at least 1")
    if any(not 0 < at <= run.steps for at in run.looks):
        raise InputError(f"looks={list(run.looks)}: every step must be in 1..{run.steps}, the steps of the run")
    if run.refresh_every < 0:
        raise InputError(f"refresh_every={run.refresh_every} must not be negative; it is a number of steps, 0 for never")
    if run.refresh_every and run.tier in ("robust", "chance"):
        raise InputError(
            f"refresh_every={run.refresh_every}: the reward model of tier={run.tier!r} is no classifier and "
            "cannot be retrained; choose tier='hackable' or 'broken'"
        )
    if run.reward_model.layers < 1:
        raise InputError(f"reward_model.layers={run.reward_model.layers} must be at least 1")


_LATER_DEFAULTS: dict[str, Any] = {
    "task": "chain", "verifier_recall": None, "verifier_noise": 0.0, "hackable": None, "score_noise": 0.0,
    "held_out_tags": "both", "looks": (), "layers": 3,
    "refresh_every": 0,
}  # fmt: skip
"""Settings that came after results were published, and the values under which those were made."""


def without_later_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """The values without those that say what was so before there was a choice, so that digests stay what they were."""
    return {name: value for name, value in values.items() if name not in _LATER_DEFAULTS or value != _LATER_DEFAULTS[name]}


def digest(value: object) -> str:
    """Twelve hexadecimal digits of a JSON-able value; the same for equal values in every process."""
    text = json.dumps([FORMAT, value], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
