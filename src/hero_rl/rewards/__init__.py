"""THE METHOD: verdicts and scores in, rewards and weights out. Pure functions on numpy arrays, float64, nothing else.

No I/O, no clock, no randomness, no torch. Groups are ragged and in any order. What it is not: it neither verifies nor scores
nor trains; see ``verifiers``, ``scorers`` and ``engines``.
"""

from hero_rl.rewards.adaptive import hero_adaptive
from hero_rl.rewards.advantages import SCALES, Scale, group_advantages
from hero_rl.rewards.baselines import Normalize, gdpo, naive_sum, prof, rm_only, verifier_only
from hero_rl.rewards.catalogue import RULES, make_rule, rule_settings
from hero_rl.rewards.diagnostics import batch_summary
from hero_rl.rewards.function import as_rule
from hero_rl.rewards.groups import number_groups
from hero_rl.rewards.hybrid import check_scale, gated, hero
from hero_rl.rewards.normalize import Dense, Singleton, check_bands, stratified_normalize
from hero_rl.rewards.reliability import Reliability
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState
from hero_rl.rewards.steps import NO_STEPS, StepAdvantages, Steps, StepShaping, spread_over_tokens, step_advantages
from hero_rl.rewards.stepwise import process
from hero_rl.rewards.weights import APPENDIX, MAIN_TEXT, RunningMean, difficulty_weight, running_mean

__all__ = [
    "APPENDIX",
    "MAIN_TEXT",
    "NO_STEPS",
    "RULES",
    "SCALES",
    "Dense",
    "Normalize",
    "Reliability",
    "RewardRule",
    "RuleOutput",
    "RuleState",
    "RunningMean",
    "Scale",
    "Singleton",
    "StepAdvantages",
    "StepShaping",
    "Steps",
    "as_rule",
    "batch_summary",
    "check_bands",
    "check_scale",
    "difficulty_weight",
    "gated",
    "gdpo",
    "group_advantages",
    "hero",
    "hero_adaptive",
    "make_rule",
    "naive_sum",
    "number_groups",
    "process",
    "prof",
    "rm_only",
    "rule_settings",
    "running_mean",
    "spread_over_tokens",
    "step_advantages",
    "stratified_normalize",
    "verifier_only",
]
