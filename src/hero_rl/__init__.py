"""HERO: hybrid ensemble reward optimization (arXiv 2510.07242).

A verifier's 0/1 verdicts decide the order of responses, a reward model's scores the details:

>>> from hero_rl import group_advantages, hero
>>> rule = hero(alpha=0.1, beta=0.1)
>>> verdicts, scores, prompts = [1, 0, 0, 0, 0, 0], [2.1, 0.3, 1.7, 0.2, 0.9, 0.4], ["a", "a", "a", "b", "b", "b"]
>>> rewards, weights, _, state = rule.apply(verdicts, scores, prompts, rule.init())
>>> rewards.round(2).tolist()  # a: the correct one far ahead; b: all wrong, and still ordered
[0.9, -0.1, 0.1, -0.1, 0.1, -0.04]
>>> group_advantages(rewards, prompts, weights_B=weights).round(2).tolist()
[1.5, -1.0, -0.5, -0.08, 0.1, -0.03]

Importing this package needs numpy only. Verifiers are in ``hero_rl.verifiers``, reward models in ``hero_rl.scorers``,
training with TRL in ``hero_rl.engines.trl``; ``HeroReward`` is a reward function for other trainers.
"""

from typing import TYPE_CHECKING, Any

from hero_rl.pipeline import Batch, HybridReward, Signals
from hero_rl.rewards import (
    RewardRule,
    RuleOutput,
    RunningMean,
    difficulty_weight,
    gated,
    gdpo,
    group_advantages,
    hero,
    hero_adaptive,
    naive_sum,
    process,
    rm_only,
    stratified_normalize,
    verifier_only,
)
from hero_rl.types import Rollout, Scorer, Verdict, Verifier

if TYPE_CHECKING:
    from hero_rl.engines.hero_reward import HeroReward

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "HeroReward",
    "HybridReward",
    "RewardRule",
    "Rollout",
    "RuleOutput",
    "RunningMean",
    "Scorer",
    "Signals",
    "Verdict",
    "Verifier",
    "difficulty_weight",
    "gated",
    "gdpo",
    "group_advantages",
    "hero",
    "hero_adaptive",
    "naive_sum",
    "process",
    "rm_only",
    "stratified_normalize",
    "verifier_only",
]


def __getattr__(name: str) -> Any:
    """Load ``HeroReward`` where it is first used: it reads reward files."""
    if name != "HeroReward":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hero_rl.engines.hero_reward import HeroReward

    return HeroReward
