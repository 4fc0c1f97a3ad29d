"""Bare texts, token ids and conversations through a local reward model, for clients that speak vLLM's ``/classify``."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, cast

from hero_rl.engines.service.gather import Gather
from hero_rl.errors import InputError, first_line
from hero_rl.loop import in_thread
from hero_rl.scorers import LocalScorer
from hero_rl.types import FloatArray

Ids: TypeAlias = Sequence[int]


class TextScores(NamedTuple):
    """What the reward model says of some texts."""

    scores: FloatArray
    """Shape (B,), raw; NaN where missing."""
    tokens: int
    """Read in all."""


class TextScorer:
    """A ``LocalScorer`` for what is not a rollout: same model, same batches, same lock."""

    def __init__(self, scorer: LocalScorer):
        self.model = scorer.name.removeprefix("local:")
        self._scorer = scorer
        self._gather: Gather[Ids] = Gather(functools.partial(in_thread, scorer.score_ids))

    async def ascore(self, inputs: Sequence[str | Ids], *, add_special_tokens: bool) -> TextScores:
        """The scores of texts, or of token ids, as they stand.

        Raises:
            InputError: a number that is no token of the model.
        """
        return await self._score(await in_thread(self._encode, inputs, add_special_tokens))

    async def ascore_conversation(self, messages: Sequence[Mapping[str, str]], *, closed: bool) -> TextScores:
        """The score of a conversation in the reward model's own template.

        Args:
            messages: its turns.
            closed: False: what the template puts behind the last turn is left out.

        Raises:
            InputError: there is no template, or it refuses the conversation.
        """
        return await self._score([await in_thread(self._apply_template, messages, closed)])

    async def _score(self, encoded: Sequence[Ids]) -> TextScores:
        return TextScores(await self._gather(encoded), sum(map(len, encoded)))

    def _encode(self, inputs: Sequence[str | Ids], add_special_tokens: bool) -> list[Ids]:
        encoded: list[Ids] = []
        for one in inputs:
            if isinstance(one, str):
                one = cast("list[int]", self._scorer.tokenizer(one, add_special_tokens=add_special_tokens)["input_ids"])
            elif max(one) >= self._scorer.vocabulary_size:
                raise InputError(f"token id {max(one)} is none of {self.model!r}, which has {self._scorer.vocabulary_size}")
            encoded.append(one)
        return encoded

    def _apply_template(self, messages: Sequence[Mapping[str, str]], closed: bool) -> Ids:
        from jinja2 import TemplateError

        if not getattr(self._scorer.tokenizer, "chat_template", None):
            raise InputError(f"{self.model!r} has no chat template; send the text as input")
        try:
            encoding = self._scorer.tokenizer.apply_chat_template(
                list(messages),  # pyright: ignore[reportArgumentType]
                tokenize=True, return_dict=True, continue_final_message=not closed,
            )  # fmt: skip
        except (ValueError, TypeError, TemplateError) as error:
            raise InputError(f"the chat template of {self.model!r} refuses the conversation: {first_line(error)}") from error
        return cast("list[int]", encoding["input_ids"])  # pyright: ignore[reportArgumentType,reportCallIssue,reportIndexIssue]
