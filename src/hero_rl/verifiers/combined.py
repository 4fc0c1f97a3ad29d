"""The base class of verifiers that are made of others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from hero_rl.types import Verifier


class CombinedVerifier(Verifier):
    """A verifier that reads the columns of its parts, and warms and closes them all."""

    def _combine(self, name: str, parts: Sequence[Verifier], columns: Sequence[str] = ()) -> None:
        """Take the parts, and the columns that this verifier itself reads."""
        self.name = name
        self._parts = tuple({id(part): part for part in parts}.values())
        self.learned = any(part.learned for part in parts)
        self.columns = tuple(sorted({*columns, *(name for part in parts for name in part.columns)}))

    def warm(self) -> None:
        """Warm all."""
        for part in self._parts:
            part.warm()

    def close(self) -> None:
        """Close all, the others although one refuses; safe to call twice."""
        with ExitStack() as stack:
            for part in self._parts:
                stack.callback(part.close)
