"""``LocalJudge``: a judge on this machine: a transformers language model that replies greedily, many prompts at once.

What it is not: a serving engine. For more than a small model or a small share of the rollouts, serve the judge (vLLM, SGLang).
"""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from hero_rl.errors import InputError, first_line, require
from hero_rl.loop import in_thread
from hero_rl.pretrained import default_device, load_tokenizer, load_whole, on_its_gpu
from hero_rl.verifiers.judge.backend import NoReply, Outcome, Reply
from hero_rl.verifiers.judge.formats import Template
from hero_rl.verifiers.judge.pretrained import fingerprint, pad_id, stop_ids

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

MAX_TOKENS_PER_BATCH = 32_768
"""Padded prompt tokens and room for the replies, over all rows that are generated together."""
BATCH_SIZE = 64
NO_LIMIT = 10**9

_logger = logging.getLogger(__name__)


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
            dtype: such as ``"float32"`` or ``"bfloat16"``; by default that of the checkpoint.
            revision: of a Hugging Face id.
            trust_remote_code: run model code that comes with the checkpoint.

        Raises:
            InputError: no such model, no tokenizer, nothing to pad with, or an option out of range.
            MissingDependencyError: torch or transformers is not installed.
        """
        require("torch", extra="train", purpose="a judge on this machine")
        require("transformers", extra="train", purpose="a judge on this machine")
        limits = {"batch_size": batch_size, "max_tokens_per_batch": max_tokens_per_batch, "max_length": max_length}
        for option, value in limits.items():
            if value is not None and value < 1:
                raise InputError(f"{option}={value} must be at least 1")
        self._remake = functools.partial(
            LocalJudge, model, tokenizer=tokenizer, chat_template_kwargs=chat_template_kwargs, batch_size=batch_size,
            max_tokens_per_batch=max_tokens_per_batch, max_length=max_length, device=device, dtype=dtype, revision=revision,
            trust_remote_code=trust_remote_code,
        )  # fmt: skip
        self._revision = revision
        options: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
        if isinstance(model, str | os.PathLike):
            source = os.path.expanduser(model)
            self.name = f"local:{source}"
            from transformers import AutoModelForCausalLM

            model = load_whole(self.name, source, AutoModelForCausalLM, of_what="a language model", dtype=dtype, **options)
            self._model = model.to(default_device(device))  # pyright: ignore[reportArgumentType]
            tokenizer = source if tokenizer is None else tokenizer
        else:
            self.name = f"local:{type(model).__name__}"
            if tokenizer is None:
                raise InputError(f"{self.name}: a loaded model needs its tokenizer; give tokenizer=...")
            self._model = model if device is None else model.to(device)  # pyright: ignore[reportArgumentType]
        self._tokenizer = (
            load_tokenizer(self.name, os.path.expanduser(tokenizer), **options)
            if isinstance(tokenizer, str | os.PathLike)
            else tokenizer
        )
        self._chat_kwargs: dict[str, Any] = dict(chat_template_kwargs or {})
        self._batch_size = batch_size
        self._max_tokens_per_batch = max_tokens_per_batch
        positions = getattr(self._model.config.get_text_config(), "max_position_embeddings", None) or NO_LIMIT
        self._max_length = max_length or min(int(self._tokenizer.model_max_length), int(positions), NO_LIMIT)
        self._stop_ids = stop_ids(self._model, self._tokenizer)
        self._pad_id = pad_id(self.name, self._tokenizer, self._stop_ids)
        special = {str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        self.special_tokens: tuple[str, ...] = tuple(sorted(special | set(self._tokenizer.all_special_tokens)))
        self._lock = threading.Lock()
        self._fingerprint = ""

    @property
    def identity(self) -> str:
        """Weights (a hash of all of them, computed once), tokenizer, template and lengths. Decoding is always greedy."""
        if not self._fingerprint:
            self._fingerprint = fingerprint(self._model, self._tokenizer)
        fields = {
            "chat_template_kwargs": self._chat_kwargs, "max_length": self._max_length, "dtype": str(self._model.dtype),
        }  # fmt: skip
        return f"{self.name}@{self._fingerprint} {json.dumps(fields, sort_keys=True)}"

    async def ask(self, prompts: Sequence[str], *, template: Template, max_tokens: int) -> list[Outcome]:
        """Return one reply per prompt, in order, from a thread that stops at the next token when this is cancelled."""
        stop = threading.Event()
        try:
            return await in_thread(self._ask, prompts, template, max_tokens, stop)
        finally:
            stop.set()

    def close(self) -> None:
        """Nothing to stop; memory goes when the judge does."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as its options; a model that was given by its folder is loaded again."""
        return self._remake, ()

    def _ask(self, prompts: Sequence[str], template: Template, max_tokens: int, stop: threading.Event) -> list[Outcome]:
        encoded = [self._encode(prompt, template) for prompt in prompts]
        outcomes: list[Outcome] = [_unencoded(ids, max_tokens, self._max_length) for ids in encoded]
        fits = [place for place, ids in enumerate(encoded) if isinstance(ids, list) and self._room(ids, max_tokens)]
        fits.sort(key=lambda place: -len(encoded[place]))
        settings = self._settings(max_tokens)
        with self._lock, on_its_gpu(self._model):
            was_training = self._model.training
            self._model.eval()
            try:
                for batch in self._batches(fits, [len(ids) for ids in encoded], max_tokens):
                    if stop.is_set():
                        break
                    rows = [cast("list[int]", encoded[place]) for place in batch]
                    for place, reply in zip(batch, self._generate(rows, settings, stop), strict=True):
                        outcomes[place] = reply
            finally:
                self._model.train(was_training)
        return outcomes

    def _encode(self, prompt: str, template: Template) -> list[int] | str:
        from jinja2 import TemplateError

        if template == "plain":
            return list(self._tokenizer(prompt)["input_ids"])  # pyright: ignore[reportArgumentType]
        try:
            encoding = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=True, return_dict=True,
                **self._chat_kwargs,
            )  # fmt: skip
        except (ValueError, TemplateError) as error:
            return first_line(error)
        return cast("list[int]", encoding["input_ids"])  # pyright: ignore[reportArgumentType,reportCallIssue,reportIndexIssue]

    def _room(self, ids: Sequence[int], max_tokens: int) -> bool:
        return 0 < len(ids) <= self._max_length - max_tokens

    def _batches(self, order: Sequence[int], lengths: Sequence[int], max_tokens: int) -> Iterator[Sequence[int]]:
        start = 0
        while start < len(order):
            rows = max(1, min(self._batch_size, self._max_tokens_per_batch // (lengths[order[start]] + max_tokens)))
            yield order[start : start + rows]
            start += rows

    def _settings(self, max_tokens: int) -> GenerationConfig:
        from transformers import GenerationConfig

        # Each is named: what is left out would come from the checkpoint, whose penalties change even greedy replies.
        return GenerationConfig(
            max_new_tokens=max_tokens, min_new_tokens=0, do_sample=False, num_beams=1, num_return_sequences=1,
            repetition_penalty=1.0, encoder_repetition_penalty=1.0, no_repeat_ngram_size=0, length_penalty=1.0,
            temperature=1.0, top_p=1.0, top_k=50, suppress_tokens=[], begin_suppress_tokens=[], bad_words_ids=None,
            eos_token_id=self._stop_ids or None, pad_token_id=self._pad_id, use_cache=True,
        )  # fmt: skip

    def _generate(self, rows: Sequence[Sequence[int]], settings: GenerationConfig, stop: threading.Event) -> list[Reply]:
        import torch

        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self._pad_id)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, longest - len(row) :] = torch.tensor(row)
            mask[place, longest - len(row) :] = 1
        place = self._model.device
        with torch.inference_mode():
            sequences = self._model.generate(  # pyright: ignore[reportCallIssue]
                input_ids=ids.to(place), attention_mask=mask.to(place), generation_config=settings,
                stopping_criteria=[_stopper(stop)],
            )  # fmt: skip
        return [self._reply(sequence) for sequence in sequences[:, longest:].tolist()]

    def _reply(self, ids: list[int]) -> Reply:
        ends = [place for place, token in enumerate(ids) if token in self._stop_ids]
        written = ids[: ends[0]] if ends else ids
        return Reply(str(self._tokenizer.decode(written, skip_special_tokens=True)), cut_off=not ends)


def _stopper(stop: threading.Event) -> Callable[..., torch.Tensor]:
    import torch

    def criterion(ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        return torch.full((ids.shape[0],), stop.is_set(), device=ids.device, dtype=torch.bool)

    return criterion


def _unencoded(ids: list[int] | str, max_tokens: int, max_length: int) -> NoReply:
    if isinstance(ids, str):
        return NoReply("refused", f"the chat template refuses the prompt: {ids}")
    return NoReply("prompt_too_long", f"{len(ids)} tokens and {max_tokens} for the reply; the model takes {max_length}")
