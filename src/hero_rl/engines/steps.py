"""From the steps of a response, which are text, to advantages of the tokens that the policy wrote. No torch, no engine.

The policy's tokens need not be those that a tokenizer would make of its text, so the text is never encoded again: what counts
is how much of it each token adds when the tokens are decoded.
"""

from __future__ import annotations

import bisect
import json
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from hero_rl.errors import InputError
from hero_rl.pipeline import Batch
from hero_rl.rewards import NO_STEPS, RewardRule, StepAdvantages, Steps, step_advantages
from hero_rl.scorers.steps import step_ends
from hero_rl.types import FloatArray, IntArray, Rollout, Scorer, StepScorer

Decode: TypeAlias = Callable[[Sequence[int]], str]
"""Token ids to text without special tokens: what the response was made with."""


class Tokenizer(Protocol):
    """What is used of a tokenizer of transformers."""

    def decode(self, token_ids: Any, *, skip_special_tokens: bool = ...) -> Any:
        """Ids to text."""
        ...

    def __call__(self, text: Any, *, add_special_tokens: bool = ...) -> Any:
        """Text to ``{"input_ids": [...]}``."""
        ...


def ends_of(scorer: Scorer, rollout: Rollout) -> IntArray:
    """Shape (steps,): where in ``Rollout.response``, in characters, each step ends that this scorer scores.

    Scorers that do not say are taken to split as ``scorers.steps.split_steps`` does.
    """
    own = scorer.step_ends(rollout) if isinstance(scorer, StepScorer) else None
    return step_ends(rollout) if own is None else own


class StepReader:
    """Finds the tokens of each step of a response.

    Where there are more or fewer steps than scores, and where the response is not what its tokens decode to (a tool's output
    in between, a parsed message), nothing is known: ``NO_STEPS``.
    """

    def __init__(self, decode: Decode, *, anchor: Sequence[int] = ()) -> None:
        """Read with this tokenizer.

        Args:
            decode: of the policy's tokenizer.
            anchor: tokens of any plain text, such as "a". Some tokenizers drop a space at the beginning of a text, and with
                something before it a token shows what it adds.
        """
        self._decode, self._anchor = decode, list(anchor)
        self._before = decode(self._anchor) if self._anchor else ""
        self._pieces: dict[int, str] = {}

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> StepReader:
        """With a tokenizer of transformers."""

        def decode(token_ids: Sequence[int]) -> str:
            return tokenizer.decode(list(token_ids), skip_special_tokens=True)

        return cls(decode, anchor=tokenizer("a", add_special_tokens=False)["input_ids"])

    def read(self, response: str, scores_S: FloatArray, ends_S: IntArray, token_ids: Sequence[int]) -> Steps:
        """The steps of one response.

        A token belongs to the step in which it begins; special tokens at the end, such as the one that ends the response, and
        whatever else follows belong to the last.

        Args:
            response: the text that was scored.
            scores_S: shape (S,), of its steps.
            ends_S: shape (S,), where each ends in the text, in characters.
            token_ids: the response's tokens, special ones included, without padding.
        """
        if len(scores_S) == 0 or not token_ids or len(ends_S) != len(scores_S):
            return NO_STEPS
        counts_S = self._counts(token_ids, response, ends_S)
        if counts_S is None:
            return NO_STEPS
        counts_S[-1] = len(token_ids)
        return Steps(np.asarray(scores_S, dtype=np.float64), np.diff(np.maximum.accumulate(counts_S), prepend=0))

    def read_written(self, written: str, token_ids: Sequence[int]) -> Steps:
        """The steps that ``write_steps`` wrote, where these tokens decode to the text that it had; else ``NO_STEPS``."""
        found = json.loads(written) if written else None
        if not found or not found["scores"] or not token_ids:
            return NO_STEPS
        text = self._decode(token_ids)
        if _checksum(text) != found["text"]:
            return NO_STEPS
        scores_S = np.array([math.nan if score is None else score for score in found["scores"]], dtype=np.float64)
        return self.read(text, scores_S, np.array(found["ends"], dtype=np.intp), token_ids)

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


def write_steps(response: str, scores_S: FloatArray, ends_S: IntArray) -> str:
    """Step scores as text, for engines that carry plain values from where a response is scored to where it is trained on.

    Args:
        response: the text that was scored; a checksum of it goes along.
        scores_S: shape (S,); NaN missing. Shape (0,): the reward model had none for this response.
        ends_S: shape (S,), where each step ends in the text, in characters; of another length, nothing is written.

    Returns:
        JSON, never "": that is a reward model without step scores.
    """
    if len(scores_S) != len(ends_S):
        scores_S, ends_S = np.zeros(0), np.zeros(0, dtype=np.intp)
    scores = [score if math.isfinite(score) else None for score in np.asarray(scores_S, dtype=np.float64).tolist()]
    return json.dumps({"text": _checksum(response), "ends": np.asarray(ends_S).tolist(), "scores": scores})


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def shape_steps(rule: RewardRule, batch: Batch, steps_B: Sequence[Steps]) -> tuple[StepAdvantages, dict[str, float]]:
    """The advantages of a batch's steps as the rule asks for them (``rewards.step_advantages``), and two numbers for a log.

    The numbers: ``steps_shaped``, the share of responses whose steps differ in their advantage, and ``steps_size``, the mean
    over all tokens that belong to a step of how far a token's advantage is from its response's.

    Args:
        rule: has ``steps``.
        batch: what the rule made of the responses.
        steps_B: one entry a response.
    """
    assert rule.steps is not None
    kept = np.where(np.isnan(batch.rewards), np.nan, batch.advantages)
    verdicts_B = batch.signals.verdicts
    if not rule.needs_verdicts:
        verdicts_B = np.full_like(verdicts_B, np.nan)  # a rule that does not ask for them has no order of theirs to keep
    found = step_advantages(
        kept, steps_B, verdicts_B, batch.groups, rule.steps, weights_B=batch.weights, learned_credit=rule.learned_credit
    )
    moved = sum(
        float(np.abs(values - outcome) @ steps.lengths)
        for values, outcome, steps in zip(found.steps, batch.advantages.tolist(), steps_B, strict=True)
    )
    tokens = sum(int(steps.lengths.sum()) for steps in steps_B)
    return found, {"steps_shaped": float(found.shaped.mean()), "steps_size": moved / tokens if tokens else 0.0}


def refuse_steps(rule: RewardRule) -> None:
    """Raise where a rule shapes the advantages of tokens and the engine has one per response.

    Raises:
        InputError: it does.
    """
    if rule.steps is not None:
        raise InputError(
            f"the rule {rule.name!r} shapes the advantages of tokens, and here each response has one; use it with HeroTrainer "
            "(`hero train`) or verl, or take 'hero', whose rewards are the same"
        )
