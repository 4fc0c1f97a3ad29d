"""The rules that the offline comparisons share, by the names of their rows."""

from __future__ import annotations

from hero_rl.rewards import gated, gdpo, hero, hero_adaptive, naive_sum, rm_only
from hero_rl.rewards.rules import RewardRule

RULES: dict[str, RewardRule] = {
    "hero": hero(),
    "hero, weighting=False": hero(weighting=False),
    "hero, weight_by=ratio, k=2": hero(weight_by="ratio", k=2.0),
    "naive_sum, .9, zscore": naive_sum(rule_weight=0.9, normalize="zscore"),
    "rm_only, zscore": rm_only(normalize="zscore"),
    "gdpo": gdpo(),
    "gated": gated(),
    "hero_adaptive": hero_adaptive(),
}
