"""From the steps of a response, which are text, to the tokens that the policy wrote them with. No torch, no engine.

The policy's tokens need not be those that a tokenizer would make of its text, so the text is never encoded again: what counts
is how much of it each token adds when the tokens are decoded.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, cast

import numpy as np

from hero_rl.rewards import NO_STEPS, Steps
from hero_rl.scorers.steps import step_ends
from hero_rl.types import FloatArray, IntArray, Rollout, Scorer

Decode: TypeAlias = Callable[[Sequence[int]], str]
"""Token ids to text without special tokens: what the response was made with."""


class _KnowsEnds(Protocol):
    def step_ends(self, rollout: Rollout, /) -> IntArray: ...


class StepReader:
    """Finds the tokens of each step of a response.

    A scorer with a method ``step_ends(rollout)`` (shape (steps,): where each ends in ``Rollout.response``, in characters) is
    asked; for others it is assumed that they split as ``scorers.steps.split_steps`` does. Where that gives another number of
    steps than there are scores, and where the response is not what its tokens decode to (a tool's output in between, a parsed
    message), nothing is known: ``NO_STEPS``.
    """

    def __init__(self, scorer: Scorer, decode: Decode, *, anchor: Sequence[int] = ()) -> None:
        """Read with this tokenizer.

        Args:
            scorer: what gave the step scores.
            decode: of the policy's tokenizer.
            anchor: tokens of any plain text, such as "a". Some tokenizers drop a space at the beginning of a text, and with
                something before it a token shows what it adds.
        """
        own = getattr(scorer, "step_ends", None)
        self._ends = cast("_KnowsEnds", scorer).step_ends if own is not None else step_ends
        self._decode, self._anchor = decode, list(anchor)
        self._before = decode(self._anchor) if self._anchor else ""
        self._pieces: dict[int, str] = {}

    def read(self, rollout: Rollout, scores_S: FloatArray, token_ids: Sequence[int]) -> Steps:
        """The steps of one response.

        A token belongs to the step in which it begins; special tokens at the end, such as the one that ends the response, and
        whatever else follows belong to the last.

        Args:
            rollout: the response.
            scores_S: shape (S,), of its steps.
            token_ids: its tokens, special ones included, without padding.
        """
        if len(scores_S) == 0 or not token_ids:
            return NO_STEPS
        ends_S = self._ends(rollout)
        if len(ends_S) != len(scores_S):
            return NO_STEPS
        counts_S = self._counts(token_ids, rollout.response, ends_S)
        if counts_S is None:
            return NO_STEPS
        counts_S[-1] = len(token_ids)
        return Steps(np.asarray(scores_S, dtype=np.float64), np.diff(np.maximum.accumulate(counts_S), prepend=0))

    def _counts(self, token_ids: Sequence[int], text: str, ends_S: IntArray) -> IntArray | None:
        """Shape (S,): how many tokens it takes to reach the end of each step; None where the tokens do not give this text."""
        pieces = [self._decode(token_ids[:1]), *map(self._piece, token_ids[1:])]
        if "".join(pieces) == text:
            reached_T = np.cumsum([len(piece) for piece in pieces])
            return np.minimum(np.searchsorted(reached_T, ends_S, side="left") + 1, len(token_ids))
        if self._decode(token_ids) != text:
            return None

        def reached(last: int) -> int:
            # A character of which only some bytes are there is shown as U+FFFD, and is not reached yet.
            return len(self._decode(token_ids[: last + 1]).rstrip("\ufffd"))

        # Characters that lie in several tokens: slower, as every step's end takes some decodings of a beginning of the text.
        places = [bisect.bisect_left(range(len(token_ids)), end, key=reached) for end in ends_S.tolist()]
        return np.minimum(np.array(places, dtype=np.intp) + 1, len(token_ids))

    def _piece(self, token_id: int) -> str:
        """What a token adds to a text."""
        if token_id not in self._pieces:
            self._pieces[token_id] = self._decode([*self._anchor, token_id])[len(self._before) :]
        return self._pieces[token_id]
