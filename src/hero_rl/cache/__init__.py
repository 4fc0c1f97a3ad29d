"""Results kept on disk by the content they were computed from, so that nothing is computed twice.

``Cache`` is the file, ``RolloutKey`` makes the keys, ``memo.Memo`` puts both around a computation, and ``CachedVerifier`` and
``CachedScorer`` use it.
"""

from __future__ import annotations

from hero_rl.cache.cached import CachedScorer, CachedStepScorer, CachedVerifier
from hero_rl.cache.keys import MATH_PACKAGES, RolloutKey, code_identity, digest
from hero_rl.cache.memo import MemoStats
from hero_rl.cache.store import Cache, CacheStats

__all__ = [
    "MATH_PACKAGES",
    "Cache",
    "CacheStats",
    "CachedScorer",
    "CachedStepScorer",
    "CachedVerifier",
    "MemoStats",
    "RolloutKey",
    "code_identity",
    "digest",
]
