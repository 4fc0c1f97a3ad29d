"""Reward models: one real number a rollout."""

from hero_rl.scorers.column import ColumnScorer

__all__ = ["ColumnScorer"]
