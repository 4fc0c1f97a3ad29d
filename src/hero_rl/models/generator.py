"""``Generator``: prompts continued by a causal language model, many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hero_rl.errors import InputError
from hero_rl.models.local import LocalModel
from hero_rl.models.tokenizing import apply_template, ids_of, padded

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig


class Continuation(NamedTuple):
    """The text that follows a prompt."""

    text: str
    tokens: int
    """The one that ended it included."""
    finished: bool
    """False: it ran into the limit of tokens."""


class Generator:
    """Takes the likeliest token at every place; sampling settings that come with the checkpoint are not used."""

    def __init__(self, local: LocalModel) -> None:
        """Settle what ends a continuation and what to pad with.

        Raises:
            InputError: there is nothing to pad with.
        """
        self.local = local
        tokenizer = local.tokenizer
        declared = getattr(local.model.generation_config, "eos_token_id", None)
        # the checkpoint's own list is longer than the tokenizer's one for chat models
        ids = declared if isinstance(declared, list) else [declared, tokenizer.eos_token_id]
        self.stops = sorted({int(one) for one in ids if one is not None})
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(self.stops), None)
        if pad is None:
            raise InputError(
                f"{local.name}: neither a padding nor an end-of-sequence token is known; set the tokenizer's pad_token"
            )
        self._pad_id = int(cast("int", pad))

    def encode(self, messages: Sequence[Mapping[str, str]], *, plain: bool, **options: Any) -> list[int]:
        """Return the token ids of a prompt.

        Args:
            messages: its turns.
            plain: the last turn as bare text, with the tokenizer's special tokens; otherwise the chat template's output.
            options: of the chat template.

        Raises:
            RefusedByTemplateError: the chat template takes no such conversation.
        """
        if plain:
            return ids_of(self.local.tokenizer, messages[-1]["content"])
        [text] = apply_template(self.local.tokenizer, [messages], add_generation_prompt=True, **options)
        return ids_of(self.local.tokenizer, text, special=False)

    def generate(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, *, stop: threading.Event | None = None,
        processors: Sequence[Callable[..., torch.Tensor]] = (),
    ) -> list[Continuation]:  # fmt: skip
        """Return one continuation per prompt, in order. The caller holds the model (``LocalModel.in_use``).

        Args:
            prompts: token ids; those of one call are padded on the left to the longest.
            max_tokens: of each continuation.
            stop: set: no further token is made.
            processors: change the logits before the likeliest token is taken.
        """
        from transformers import LogitsProcessorList

        ids, mask = padded(prompts, self._pad_id, left=True)
        place = self.local.device
        sequences = self.local.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids.to(place), attention_mask=mask.to(place), generation_config=self._settings(max_tokens),
            logits_processor=LogitsProcessorList(processors), stopping_criteria=[_stopper(stop)] if stop else [],
        )  # fmt: skip
        return [self._continuation(row) for row in cast("torch.Tensor", sequences)[:, ids.shape[1] :].tolist()]

    def _settings(self, max_tokens: int) -> GenerationConfig:
        from transformers import GenerationConfig

        # Each is named: what is left out would come from the checkpoint, whose penalties change even greedy replies.
        return GenerationConfig(
            max_new_tokens=max_tokens, min_new_tokens=0, do_sample=False, num_beams=1, num_return_sequences=1,
            repetition_penalty=1.0, encoder_repetition_penalty=1.0, no_repeat_ngram_size=0, length_penalty=1.0,
            temperature=1.0, top_p=1.0, top_k=50, suppress_tokens=[], begin_suppress_tokens=[], bad_words_ids=None,
            eos_token_id=self.stops or None, pad_token_id=self._pad_id, use_cache=True,
        )  # fmt: skip

    def _continuation(self, ids: list[int]) -> Continuation:
        end = next((place for place, token in enumerate(ids) if token in self.stops), None)
        written = ids if end is None else ids[:end]
        text = str(self.local.tokenizer.decode(written, skip_special_tokens=True))
        return Continuation(text, len(written) + (end is not None), end is not None)


def _stopper(stop: threading.Event) -> Callable[..., torch.Tensor]:
    import torch

    def criterion(ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        return torch.full((ids.shape[0],), stop.is_set(), device=ids.device, dtype=torch.bool)

    return criterion
