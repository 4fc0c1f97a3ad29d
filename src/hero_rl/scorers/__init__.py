"""Reward models: one real number a rollout. Torch and the HTTP client load when a scorer that needs them is made, not here."""

from hero_rl.cache import CachedScorer
from hero_rl.scorers.column import ColumnScorer
from hero_rl.scorers.local import LocalScorer
from hero_rl.scorers.process import ProcessScorer
from hero_rl.scorers.remote import RemoteScorer

__all__ = ["CachedScorer", "ColumnScorer", "LocalScorer", "ProcessScorer", "RemoteScorer"]
