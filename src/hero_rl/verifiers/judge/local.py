"""``LocalJudge``: a judge on this machine: a transformers language model that replies greedily, many prompts at once.

What it is not: a serving engine. For more than a small model or a small share of the rollouts, serve the judge (vLLM, SGLang).
"""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hero_rl.models.batching import micro_batches
from hero_rl.models.generator import Generator
from hero_rl.models.loading import require_transformers
from hero_rl.models.local import LocalModel, check_positive, name_of, open_model, stoppable
from hero_rl.models.tokenizing import RefusedByTemplateError, special_texts
from hero_rl.verifiers.judge.backend import NoReply, Outcome, Reply
from hero_rl.verifiers.judge.formats import Template

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_TOKENS_PER_BATCH = 32_768
"""Padded prompt tokens and room for the replies, over all rows that are generated together."""
BATCH_SIZE = 64


class LocalJudge:
    """Greedy replies of a causal language model; sampling settings that come with the checkpoint are not used.

    Prompts are sorted by length, padded on the left and generated in micro-batches. A reply is the one that the prompt gets
    alone, up to rounding: where two tokens are as good as equal, another batch may choose the other.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | PreTrainedModel,
        *,
        tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None = None,
        chat_template_kwargs: Mapping[str, object] | None = None,
        batch_size: int = BATCH_SIZE,
        max_tokens_per_batch: int = MAX_TOKENS_PER_BATCH,
        max_length: int | None = None,
        device: str | torch.device | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the model.

        Args:
            model: a folder, a Hugging Face id, or a module that is already loaded.
            tokenizer: by default the one saved beside the model. A loaded module needs one.
            chat_template_kwargs: for the chat template, such as ``{"enable_thinking": False}``.
            batch_size: most prompts of one generation.
            max_tokens_per_batch: most tokens of one generation, padding and replies included; a longer prompt goes alone.
            max_length: of prompt and reply in tokens; a prompt that leaves no room is not asked (``prompt_too_long``). None:
                what tokenizer and model declare.
            device: by default the current GPU where there is one; a loaded module stays where it is.
            dtype: such as ``"float32"`` or ``"bfloat16"``; ``"auto"``: that of the checkpoint. None: as ``LocalScorer``.
            revision: of a Hugging Face id.
            trust_remote_code: run model code that comes with the checkpoint.

        Raises:
            InputError: no such model, no tokenizer, nothing to pad with, or an option out of range.
            MissingDependencyError: torch or transformers is not installed.
        """
        arguments = {key: value for key, value in locals().items() if key != "self"}
        require_transformers("a judge on this machine")
        self._arguments = arguments
        self.name = f"local:{name_of(model)}"
        check_positive(self.name, batch_size=batch_size, max_tokens_per_batch=max_tokens_per_batch, max_length=max_length)
        self.local: LocalModel = open_model(
            model, "AutoModelForCausalLM", name=self.name, of_what="a language model", tokenizer=tokenizer, device=device,
            dtype=dtype, revision=revision, trust_remote_code=trust_remote_code,
        )  # fmt: skip
        self._generator = Generator(self.local)
        self._chat_kwargs = dict(chat_template_kwargs or {})
        self._batch_size, self._max_tokens_per_batch = batch_size, max_tokens_per_batch
        self._max_length = max_length or self.local.max_length()
        self.special_tokens: tuple[str, ...] = special_texts(self.local.tokenizer)

    @property
    def identity(self) -> str:
        """``LocalModel.identity``, what the chat template is told, and the longest row. Decoding is always greedy."""
        fields = {**self.local.identity(), "chat_template_kwargs": self._chat_kwargs, "max_length": self._max_length}
        return f"{self.name} {json.dumps(fields, sort_keys=True)}"

    async def ask(self, prompts: Sequence[str], *, template: Template, max_tokens: int) -> list[Outcome]:
        """Return one reply per prompt, in order, from a thread that stops at the next token when this is cancelled."""
        return await stoppable(self._ask, prompts, template, max_tokens)

    def close(self) -> None:
        """Do nothing: memory goes when the judge does."""

    def __reduce__(self) -> tuple[object, ...]:
        return functools.partial(LocalJudge, **self._arguments), ()

    def _ask(self, stop: threading.Event, prompts: Sequence[str], template: Template, max_tokens: int) -> list[Outcome]:
        outcomes: list[Outcome] = [NoReply("refused")] * len(prompts)
        encoded: list[list[int]] = [[] for _ in prompts]
        with self.local.in_use():
            for place, prompt in enumerate(prompts):
                try:
                    ids = self._generator.encode(
                        [{"role": "user", "content": prompt}], plain=template == "plain", **self._chat_kwargs
                    )
                except RefusedByTemplateError as error:
                    outcomes[place] = NoReply("refused", str(error))
                    continue
                if 0 < len(ids) <= self._max_length - max_tokens:
                    encoded[place] = ids
                else:
                    words = f"{len(ids)} tokens and {max_tokens} for the reply; the model takes {self._max_length}"
                    outcomes[place] = NoReply("prompt_too_long", words)
            for batch in micro_batches(
                [place for place, ids in enumerate(encoded) if ids], [len(ids) for ids in encoded], max_rows=self._batch_size,
                max_tokens=self._max_tokens_per_batch, extra_tokens=max_tokens, max_padding=1.0,
            ):  # fmt: skip
                if stop.is_set():
                    break
                replies = self._generator.generate([encoded[place] for place in batch], max_tokens, stop=stop)
                for place, reply in zip(batch, replies, strict=True):
                    outcomes[place] = Reply(reply.text, cut_off=not reply.finished)
        return outcomes
