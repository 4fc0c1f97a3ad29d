"""A reward model on this machine: a transformers sequence classifier with one output.

The text that is scored has to be the text the reward model was trained on, token for token. ``encode`` therefore follows
TRL's RewardTrainer: the chat template where the tokenizer has one; otherwise problem + response and the end-of-sequence token.
What it is not: no quantisation, no sharding of one model over several GPUs, no server (see ``remote`` reward models for that).
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from hero_rl.errors import InputError, require
from hero_rl.loop import in_thread
from hero_rl.pretrained import load_tokenizer, on_its_gpu
from hero_rl.scorers.local_text import Eos, Template, make_encoder
from hero_rl.types import FloatArray, Rollout, Scorer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hero_rl.scorers.batching import TokenIds
    from hero_rl.scorers.local_forward import Work

BATCH_SIZE = 512
MAX_TOKENS_PER_BATCH = 32_768
"""On a GPU; a 7B model in bfloat16 needs about 4 GB of activations for them."""
MAX_TOKENS_PER_BATCH_CPU = 8_192
"""Larger batches are no faster on a CPU: their activations leave its caches."""

_logger = logging.getLogger(__name__)


class LocalScorer(Scorer):
    """The scalar that a sequence classifier gives each rollout.

    Rows are sorted by length and scored in micro-batches within a budget of tokens, at most 5% of them padding; where the model
    allows it, the tokens that the responses to one prompt share at their beginning are computed once. The result is in the
    original order and does not depend on which rows came together, beyond rounding (1e-5 in float32; in bfloat16 the model's
    own precision, about 0.5% of the score). A row that is longer than ``max_length``, that has no token at all, that the chat
    template refuses, or whose score is not finite is missing (NaN). Nothing is ever cut: a reward model that judges by the last
    token would judge a response without its answer.

    Calls from several threads take turns. A pickled scorer is its options: where it arrives, the checkpoint is loaded again
    (by the same path, or the same commit of a Hugging Face id); a module given by hand travels with its weights.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | PreTrainedModel,
        *,
        tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None = None,
        template: Template | None = None,
        system_prompt: str | None = None,
        eos: Eos = "always",
        batch_size: int = BATCH_SIZE,
        max_tokens_per_batch: int | None = None,
        max_length: int | None = None,
        share_prefix: bool = True,
        compile: bool = False,
        device: str | torch.device | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the model.

        Args:
            model: a folder, a Hugging Face id, or a module that is already loaded.
            tokenizer: of the reward model; by default the one saved beside it. A loaded module needs one.
            template: ``"chat"``: the tokenizer's chat template over the prompt's messages and the response; ``"plain"``: the
                text problem + response, as TRL joins prompt and completion. None: chat if the tokenizer has a template.
            system_prompt: chat only: the system turn that the reward model was trained with; replaces the prompt's own.
            eos: which rows are closed by the end-of-sequence token (chat: by what the template puts after the last turn).
                ``"always"``: all, as RewardTrainer trains, whatever happened to the response. ``"finished"``: all but those
                with ``finished=False``, for a reward model that was shown cut-off responses as such. ``"never"``: none, for
                one that was trained on text without it.
            batch_size: most rows of one forward pass.
            max_tokens_per_batch: most tokens of one forward pass, padding and shared prefixes included; a longer row goes
                alone. This bounds the memory. None: 32,768 on a GPU, 8,192 on a CPU.
            max_length: in tokens; longer rows have no score. None: what tokenizer and model declare. A larger number is
                allowed for models with rotary positions, which run beyond the length they were made for.
            share_prefix: compute the shared beginning of a prompt's responses once, where the model is found to allow it.
            compile: run whole rows through torch.compile. The first batch then takes minutes, and prefixes are not shared.
            device: by default the current GPU where there is one; a loaded module stays where it is.
            dtype: such as ``"float32"`` or ``"bfloat16"``; ``"auto"``: that of the checkpoint. None: that of the checkpoint
                too, but float32 runs in bfloat16 on a GPU that has it, and float16 in float32 on a CPU.
            revision: of a Hugging Face id.
            trust_remote_code: run model code that comes with the checkpoint.

        Raises:
            InputError: no such model, more than one output, no reward head in the checkpoint, no tokenizer, no template where
                one is asked for, no token to pad with, no compiler, or an option out of range.
            MissingDependencyError: torch or transformers is not installed.
        """
        arguments = {key: value for key, value in locals().items() if key != "self"}
        require("torch", extra="train", purpose="the reward model 'local'")
        require("transformers", extra="train", purpose="the reward model 'local'")
        _check_options(arguments)
        from hero_rl.scorers import local_loading as loading
        from hero_rl.scorers.local_forward import Forward, Limits, Work

        loads = {"revision": revision, "trust_remote_code": trust_remote_code}
        if isinstance(model, str | os.PathLike):
            source = os.path.expanduser(model)
            self.name = f"local:{source}"
            self._model = loading.load_model(source, device=device, dtype=dtype, **loads)
            tokenizer = source if tokenizer is None else tokenizer
        else:
            self.name = f"local:{type(model).__name__}"
            if tokenizer is None:
                raise InputError(f"{self.name}: a loaded reward model needs its tokenizer; give tokenizer=...")
            loading.check_outputs(self.name, model.config)
            self._model = model if device is None else model.to(device)  # pyright: ignore[reportArgumentType]
        self._tokenizer = (
            load_tokenizer(self.name, os.path.expanduser(tokenizer), **loads)
            if isinstance(tokenizer, str | os.PathLike)
            else tokenizer
        )
        self._arguments = arguments
        self._pad_id = loading.settle_padding(self.name, self._tokenizer, self._model.config)
        self._encoder = make_encoder(self.name, self._tokenizer, template=template, system_prompt=system_prompt, eos=eos)
        self.template: Template = self._encoder.template
        self.max_length = loading.settle_length(self.name, self._tokenizer, self._model, max_length)
        compiled = loading.compile_model(self.name, self._model) if compile else None
        self._share = share_prefix and not compile
        self._forward = Forward(self._model, pad_id=self._pad_id, compiled=compiled)
        on_cpu = next(self._model.parameters()).device.type == "cpu"
        budget = max_tokens_per_batch or (MAX_TOKENS_PER_BATCH_CPU if on_cpu else MAX_TOKENS_PER_BATCH)
        self._limits = Limits(batch_size, budget, loading.settle_boundary(self._model))
        self._own_weights: str | None = None
        self._lock = threading.Lock()
        self.last_work: Work = Work(0, 0, 0, 0)

    @property
    def identity(self) -> str:
        """A text that is equal for two scorers only if they give equal scores, up to rounding.

        It holds the text options, the type of the numbers, and fingerprints of configuration, tokenizer and weights: the
        commit of a Hugging Face id, else a sum over every weight as loaded (a copy of a folder is the same model; a file
        overwritten after loading changes nothing). Weights of a module given by hand may change, so they are summed each time.
        The device, the batch limits, sharing and compilation are left out: they change rounding only.
        """
        from hero_rl.scorers import local_identity as fingerprints

        return "local:" + json.dumps(
            {
                "weights": self._weights(), "config": fingerprints.config_fingerprint(self._model),
                "tokenizer": fingerprints.tokenizer_fingerprint(self._tokenizer), "template": self.template,
                "system_prompt": self._encoder.system_prompt, "eos": self._encoder.eos, "max_length": self.max_length,
                "pad_id": self._pad_id, "dtype": str(self._model.dtype).removeprefix("torch."),
            },
            sort_keys=True,
        )  # fmt: skip

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the raw output of the reward head, from a thread that stops after its micro-batch when this is cancelled."""
        stop = threading.Event()
        try:
            return await in_thread(self._score, rollouts, stop)
        finally:
            stop.set()

    def encode(self, rollout: Rollout) -> list[int]:
        """The token ids that the reward model reads for one rollout."""
        return self._encoder.encode(rollout)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._arguments | {"revision": self._commit() or self._arguments["revision"]},)

    def _score(self, rollouts: Sequence[Rollout], stop: threading.Event | None) -> FloatArray:
        with self._lock:
            encoded = self._encoder.encode_all(rollouts, stop=stop)
            return self._score_encoded(encoded, [rollout.prompt_id for rollout in rollouts], stop)

    def _score_encoded(self, encoded: Sequence[TokenIds], keys: Sequence[str], stop: threading.Event | None) -> FloatArray:
        """The scores of rows of token ids; rows of one key may share a prefix. The caller holds the lock."""
        fits = [place for place, ids in enumerate(encoded) if 0 < len(ids) <= self.max_length]
        if len(fits) < len(encoded) and not (stop and stop.is_set()):
            _logger.warning(
                "%s: %d of %d rows have no score: empty, refused by the chat template, or longer than max_length=%d tokens",
                self.name, len(encoded) - len(fits), len(encoded), self.max_length,
            )  # fmt: skip
        was_training = self._model.training
        self._model.eval()
        try:
            with on_its_gpu(self._model):
                scores, self.last_work = self._forward.run(encoded, keys, fits, self._limits, share=self._share, stop=stop)
        finally:
            self._model.train(was_training)
        scores[~np.isfinite(scores)] = np.nan
        return scores

    def _commit(self) -> str | None:
        return getattr(self._model.config, "_commit_hash", None) if self._from_source else None

    @property
    def _from_source(self) -> bool:
        return isinstance(self._arguments["model"], str | os.PathLike)

    def _weights(self) -> str:
        from hero_rl.scorers.local_identity import weights_fingerprint

        if commit := self._commit():
            return f"commit {commit}"
        if self._own_weights is None or not self._from_source:
            self._own_weights = weights_fingerprint(self._model)
        return self._own_weights


def _rebuild(arguments: dict[str, Any]) -> LocalScorer:
    return LocalScorer(**arguments)


def _check_options(options: dict[str, Any]) -> None:
    template, eos = options["template"], options["eos"]
    if template not in (None, *get_args(Template)):
        raise InputError(f"template={template!r} is unknown; choose 'chat' or 'plain', or leave it out")
    if eos not in get_args(Eos):
        raise InputError(f"eos={eos!r} is unknown; choose 'always', 'finished' or 'never'")
    for name in ("batch_size", "max_tokens_per_batch", "max_length"):
        if options[name] is not None and options[name] < 1:
            raise InputError(f"{name}={options[name]} must be at least 1")
