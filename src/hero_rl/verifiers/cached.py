"""``CachedVerifier``: a verifier that never judges the same response twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

from hero_rl.cache import Cache, Codec, Memo, MemoStats, RolloutKey, check_identity
from hero_rl.errors import InputError
from hero_rl.types import Rollout, Verdict, Verifier

_logger = logging.getLogger(__name__)


class CachedVerifier(Verifier):
    """A verifier that looks in a cache first; the same verdicts, in the same order.

    Rows with the same content are judged once, in a batch and by all who ask at the same time. Failed verdicts
    (time-outs, dead endpoints) are never kept, so they are tried again; abstentions are kept. What counts as the same is every
    field of the rollout but ``prompt_id``, of ``extra`` the verifier's ``columns``, and the verifier's ``identity``.
    """

    def __init__(self, verifier: Verifier, cache: Cache | None = None) -> None:
        """Put a cache before a verifier.

        Args:
            verifier: has an ``identity``. It is closed with this object.
            cache: may serve several scorers and verifiers, and stays open when this object is closed. None: nothing is kept,
                and duplicates are still judged once.

        Raises:
            InputError: the verifier has no identity.
        """
        self.identity = check_identity(f"the verifier {verifier.name!r}", verifier)
        self.name, self.verifier, self.cache = verifier.name, verifier, cache
        self.learned = verifier.learned
        self.columns = verifier.columns
        self._key = RolloutKey("verdict", self.identity, self.columns)
        self._memo: Memo[Verdict] = Memo(Codec(_encode, _decode), cache)
        self._reported = MemoStats()

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given."""

        async def compute(rows: list[int]) -> list[Verdict]:
            return self._checked(await self.verifier.averify([rollouts[row] for row in rows]), len(rows))

        verdicts = await self._memo.run([self._key(rollout) for rollout in rollouts], compute)
        _logger.info("%s: %s", self.name, self.stats)
        return verdicts

    @property
    def stats(self) -> MemoStats:
        """Rows so far, by where their verdicts came from; ``str()`` gives one line."""
        return self._memo.stats

    def take_metrics(self) -> dict[str, float]:
        """Shares since the last call, for a training log."""
        stats, self._reported = self.stats.since(self._reported), self.stats
        return {"verdict_cache/hit_rate": stats.hit_rate, "verdict_cache/saved": stats.saved}

    def cache_use(self) -> dict[str, dict[str, int | float]]:
        """Return how often the cache knew the verdict."""
        return {"verifier": self.stats.use()}

    def decisions(self) -> Mapping[str, int] | None:
        """Return those of a cascade in it: of the rows that were asked of it."""
        return self.verifier.decisions()

    def warm(self) -> None:
        """Warm the verifier."""
        self.verifier.warm()

    def close(self) -> None:
        """Close the verifier, and write down what was used; the cache stays open. Safe to call twice."""
        try:
            self.verifier.close()
        finally:
            if self.cache is not None:
                self.cache.flush()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as its two parts."""
        return CachedVerifier, (self.verifier, self.cache)

    def _checked(self, verdicts: list[Verdict], rows: int) -> list[Verdict]:
        if len(verdicts) != rows:
            raise InputError(f"the verifier {self.name!r} gave {len(verdicts)} verdicts for {rows} rollouts; one each is due")
        return verdicts


def _encode(verdict: Verdict) -> bytes | None:
    if verdict.failed:
        return None
    fields = [verdict.label, verdict.reason, verdict.detail, int(verdict.learned), int(verdict.generous)]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _decode(value: bytes) -> Verdict | None:
    try:
        label, reason, detail, learned, generous = json.loads(value.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return Verdict(label, reason, detail=detail, learned=bool(learned), generous=bool(generous))
