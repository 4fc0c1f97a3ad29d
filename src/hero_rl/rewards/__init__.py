"""THE METHOD: verdicts and scores in, rewards and weights out. Pure functions on float64 numpy arrays.

No I/O, no clock, no randomness, no torch. Arguments that all functions share have shape (B,): ``verdicts_B`` of 1 correct,
0 incorrect, NaN abstain and ``LEARNED_YES`` a model says correct; ``scores_B`` of the reward model, NaN missing; ``groups_B``,
prompt labels in any order (groups are ragged); ``weights_B``, the weight of each response's prompt; ``advantages_B``.
"""

from hero_rl.rewards.adaptive import hero_adaptive
from hero_rl.rewards.advantages import SCALES, Scale, group_advantages
from hero_rl.rewards.baselines import gdpo, naive_sum, rm_only, verifier_only
from hero_rl.rewards.catalogue import RULES, as_rule, make_rule, rule_settings
from hero_rl.rewards.diagnostics import batch_summary
from hero_rl.rewards.groups import number_groups
from hero_rl.rewards.hybrid import check_scale, check_weights, gated, hero, process
from hero_rl.rewards.normalize import stratified_normalize
from hero_rl.rewards.reliability import Reliability
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState, StepShaping
from hero_rl.rewards.weights import APPENDIX, MAIN_TEXT, RunningMean, difficulty_weight, running_mean, saturated_share

__all__ = [
    "APPENDIX",
    "MAIN_TEXT",
    "RULES",
    "SCALES",
    "Reliability",
    "RewardRule",
    "RuleOutput",
    "RuleState",
    "RunningMean",
    "Scale",
    "StepShaping",
    "as_rule",
    "batch_summary",
    "check_scale",
    "check_weights",
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
    "rm_only",
    "rule_settings",
    "running_mean",
    "saturated_share",
    "stratified_normalize",
    "verifier_only",
]
