"""From the steps of a response, which are text, to advantages of the tokens that the policy wrote. No torch, no engine.

A tokenizer might split the text into other tokens than the policy's, so the text is never encoded again: tokens are placed by
the text that each adds when decoded.
"""

from __future__ import annotations

import bisect
import json
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from hero_rl.contrib.process.advantages import NO_STEPS, StepAdvantages, Steps, spread_over_tokens, step_advantages
from hero_rl.errors import InputError
from hero_rl.pipeline import Batch, HybridReward, Signals
from hero_rl.rewards import RewardRule
from hero_rl.scorers.steps import step_ends
from hero_rl.types import FloatArray, IntArray, Rollout, Scorer, StepScorer

Decode: TypeAlias = Callable[[Sequence[int]], str]
"""Token ids to text without special tokens."""


class Tokenizer(Protocol):
    """The used part of a tokenizer of transformers."""

    decode: Callable[..., Any]

    def __call__(self, text: Any, *, add_special_tokens: bool = ...) -> Any:
        """Return ``{"input_ids": [...]}``."""
        ...


def ends_of(scorer: Scorer, rollout: Rollout) -> IntArray:
    """Return the ends of the steps that a scorer scores, in characters of ``Rollout.response``, shape (steps,).

    A scorer without ``step_ends`` splits as ``scorers.steps.split_steps``.
    """
    own = scorer.step_ends(rollout) if isinstance(scorer, StepScorer) else None
    return step_ends(rollout) if own is None else own


class StepReader:
    """Finds the tokens of each step of a response.

    Returns ``NO_STEPS`` where the numbers of steps and scores differ, and where the tokens do not decode to the response (a
    tool's output in between, a parsed message).
    """

    def __init__(self, decode: Decode, *, anchor: Sequence[int] = ()) -> None:
        """Read with ``decode`` of the policy's tokenizer.

        ``anchor``: tokens of any plain text, such as "a", to decode other tokens behind: some tokenizers drop a space at the
        beginning of a text.
        """
        self._decode, self._anchor = decode, list(anchor)
        self._before = decode(self._anchor) if self._anchor else ""
        self._pieces: dict[int, str] = {}

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> StepReader:
        """Return a reader for a tokenizer of transformers."""

        def decode(token_ids: Sequence[int]) -> str:
            return tokenizer.decode(list(token_ids), skip_special_tokens=True)

        return cls(decode, anchor=tokenizer("a", add_special_tokens=False)["input_ids"])

    def read(self, response: str, scores_S: FloatArray, ends_S: IntArray, token_ids: Sequence[int]) -> Steps:
        """Return the steps of one response.

        A token belongs to the step in which it begins; whatever follows the last step, such as an end token, belongs to it.

        Args:
            response: the text that was scored.
            scores_S: of its steps.
            ends_S: where each step ends in the text, in characters.
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
        """Return the steps from ``write_steps`` if these tokens decode to the text that it had; else ``NO_STEPS``."""
        found = json.loads(written) if written else None
        if not found or not found["scores"] or not token_ids:
            return NO_STEPS
        text = self._decode(token_ids)
        if _checksum(text) != found["text"]:
            return NO_STEPS
        scores_S = np.array([math.nan if score is None else score for score in found["scores"]], dtype=np.float64)
        return self.read(text, scores_S, np.array(found["ends"], dtype=np.intp), token_ids)

    def _counts(self, token_ids: Sequence[int], text: str, ends_S: IntArray) -> IntArray | None:
        """Return how many tokens it takes to reach the end of each step, shape (S,); None if they do not decode to ``text``."""
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
        if token_id not in self._pieces:
            self._pieces[token_id] = self._decode([*self._anchor, token_id])[len(self._before) :]
        return self._pieces[token_id]


def write_steps(response: str, scores_S: FloatArray, ends_S: IntArray) -> str:
    """Return step scores as JSON, for engines that carry plain values between processes.

    Never "", which stands for a reward model without step scores. A checksum of ``response`` goes along. ``ends_S`` are the
    ends of the steps in characters of the text; if their number is not that of the scores, there are no scores.
    """
    if len(scores_S) != len(ends_S):
        scores_S, ends_S = np.zeros(0), np.zeros(0, dtype=np.intp)
    scores = [score if math.isfinite(score) else None for score in np.asarray(scores_S, dtype=np.float64).tolist()]
    return json.dumps({"text": _checksum(response), "ends": np.asarray(ends_S).tolist(), "scores": scores})


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def shape_steps(rule: RewardRule, batch: Batch, steps_B: Sequence[Steps]) -> tuple[StepAdvantages, dict[str, float]]:
    """Return the advantages of a batch's steps under ``rule.steps``, and two numbers to log.

    ``steps_shaped`` is the share of responses whose steps differ in their advantage; ``steps_size`` the mean over all tokens
    of steps of the distance between a token's advantage and its response's.
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


class LocalSteps:
    """The steps of one process's rows, for an engine that gathers rows over processes: ``HeroTrainer``."""

    def __init__(self, reward: HybridReward, tokenizer: Callable[[], Tokenizer]) -> None:
        """Read with ``tokenizer()``, which is first called when there are rows: TRL finds it late.

        Raises:
            InputError: the reward model gives no step scores.
        """
        self._reward, self._tokenizer = reward, tokenizer
        self._scorer()
        self._reader: StepReader | None = None
        self.rows: list[Steps] = []
        """Of the last batch."""

    def read(self, rollouts: Sequence[Rollout], signals: Signals, token_ids: Sequence[Sequence[int]]) -> None:
        """Keep the steps of these rows."""
        scorer = self._scorer()  # it may have been replaced during the run
        reader = self._reader = self._reader or StepReader.of(self._tokenizer())
        scores = signals.step_scores or (NO_STEPS.scores,) * len(rollouts)
        self.rows = [
            reader.read(rollout.response, scores_S, ends_of(scorer, rollout), ids)
            for rollout, scores_S, ids in zip(rollouts, scores, token_ids, strict=True)
        ]

    def shape(self, batch: Batch, steps_B: Sequence[Steps], mine: slice, width: int) -> tuple[FloatArray, dict[str, float]]:
        """Return the advantages of the tokens of rows ``mine``, shape (rows, width), and the numbers of ``shape_steps``."""
        found, numbers = shape_steps(self._reward.rule, batch, steps_B)
        return spread_over_tokens(batch.advantages[mine], found.steps[mine], steps_B[mine], width=width), numbers

    def _scorer(self) -> StepScorer:
        scorer, rule = self._reward.scorer, self._reward.rule
        if isinstance(scorer, StepScorer):
            return scorer
        raise InputError(
            f"the rule {rule.name!r} shapes the advantages of steps, and the reward model {scorer and scorer.name!r} scores "
            "none; give a process reward model (ProcessScorer; in recipes: reward_model.name = 'process:PATH')"
        )
