"""Reward models: one real number per rollout. Torch and the HTTP client load with the first scorer in need of them."""

from hero_rl.cache import CachedScorer
from hero_rl.scorers.column import ColumnScorer
from hero_rl.scorers.local import LocalScorer
from hero_rl.scorers.process import ProcessScorer
from hero_rl.scorers.remote import RemoteScorer

__all__ = ["CachedScorer", "ColumnScorer", "LocalScorer", "ProcessScorer", "RemoteScorer"]
