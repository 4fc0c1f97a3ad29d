"""Reward models: one real number a rollout. Torch loads when a ``LocalScorer`` is made, not here."""

from hero_rl.scorers.column import ColumnScorer
from hero_rl.scorers.local import LocalScorer

__all__ = ["ColumnScorer", "LocalScorer"]
