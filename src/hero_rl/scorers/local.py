"""A reward model on this machine: a transformers sequence classifier with one output."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hero_rl.errors import InputError, clip, first_line, require
from hero_rl.models.batching import BATCH_SIZE
from hero_rl.models.loading import require_transformers
from hero_rl.models.local import LocalModel, check_positive, name_of, open_model, stoppable
from hero_rl.models.tokenizing import TokenIds, check_length
from hero_rl.scorers.text import Eos, Template, make_form
from hero_rl.types import FloatArray, Rollout, Scorer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hero_rl.models.classifier import Work

_ENCODED_AT_A_TIME = 256

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
            max_length: in tokens; longer rows have no score, and those of more than 64 characters per token are not tokenized.
                None: what tokenizer and model declare. A larger number is allowed for models with rotary positions, which run
                beyond the length they were made for.
            share_prefix: compute the shared beginning of a prompt's responses once, where the model is found to allow it.
            compile: run whole rows through torch.compile. The first batch then takes minutes, and prefixes are not shared.
            device: by default the current GPU where there is one; a loaded module stays where it is.
            dtype: such as ``"float32"`` or ``"bfloat16"``; ``"auto"``: that of the checkpoint. None: that of the checkpoint
                too, but float32 runs in bfloat16 on a GPU that has it, and everything in float32 on a CPU.
            revision: of a Hugging Face id.
            trust_remote_code: run model code that comes with the checkpoint.

        Raises:
            InputError: no such model, more than one output, no reward head in the checkpoint, no tokenizer, no template where
                one is asked for, no token to pad with, no compiler, or an option out of range.
            MissingDependencyError: torch or transformers is not installed.
        """
        arguments = {key: value for key, value in locals().items() if key != "self"}
        require_transformers("the reward model 'local'")
        from hero_rl.models.classifier import Classifier, Limits, check_outputs, settle_padding

        if template not in (None, "chat", "plain"):
            raise InputError(f"template={template!r} is unknown; choose 'chat' or 'plain', or leave it out")
        self._arguments = arguments
        self.name = f"local:{name_of(model)}"
        check_positive(self.name, batch_size=batch_size, max_tokens_per_batch=max_tokens_per_batch, max_length=max_length)
        self.local: LocalModel = open_model(
            model, "AutoModelForSequenceClassification", name=self.name, tokenizer=tokenizer, device=device, dtype=dtype,
            of_what="a reward model (sequence classification), or a language model without a reward head",
            check=check_outputs, revision=revision, trust_remote_code=trust_remote_code,
        )  # fmt: skip
        self.form = make_form(self.name, self.local.tokenizer, template=template, system_prompt=system_prompt, eos=eos)
        self._pad_id = settle_padding(self.name, self.local.tokenizer, self.local.model.config)
        self.max_length = self.local.max_length(max_length)
        limits = Limits(batch_size, self.local.token_budget(max_tokens_per_batch), self.local.boundary())
        compiled = _compiled(self.local) if compile else None
        self._classifier = Classifier(
            self.local.model, limits, pad_id=self._pad_id, share=share_prefix and not compile, compiled=compiled
        )

    @property
    def identity(self) -> str:
        """A text that is equal for two scorers only if they give equal scores, up to rounding.

        It holds the text options and ``LocalModel.identity``. The device, the batch limits, sharing and compilation are left
        out: they change rounding only.
        """
        form = {"template": self.form.template, "system_prompt": self.form.system_prompt, "eos": self.form.eos}
        fields = {**self.local.identity(), **form, "max_length": self.max_length, "pad_id": self._pad_id}
        return "local:" + json.dumps(fields, sort_keys=True)

    @property
    def last_work(self) -> Work:
        """Tokens and forward passes of the last call."""
        return self._classifier.last_work

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the raw output of the reward head, from a thread that stops after its micro-batch when this is cancelled."""
        return await stoppable(self._score, rollouts)

    def encode(self, rollout: Rollout) -> list[int]:
        """Return the token ids that the reward model reads for one rollout."""
        return self._encode([rollout])[0]

    def __reduce__(self) -> tuple[Any, ...]:
        revision = self.local.commit or self._arguments["revision"]
        return functools.partial(LocalScorer, **self._arguments | {"revision": revision}), ()

    def _score(self, stop: threading.Event, rollouts: Sequence[Rollout]) -> FloatArray:
        with self.local.in_use():
            encoded: list[TokenIds] = []
            for start in range(0, len(rollouts), _ENCODED_AT_A_TIME):
                if stop.is_set():
                    return np.full(len(rollouts), np.nan)
                encoded += self._try_to_encode(rollouts[start : start + _ENCODED_AT_A_TIME])
            missing = sum(not 0 < len(ids) <= self.max_length for ids in encoded)
            if missing:
                _logger.warning(
                    "%s: %d of %d rows have no score: empty, refused by the chat template, or longer than max_length=%d tokens",
                    self.name, missing, len(encoded), self.max_length,
                )  # fmt: skip
            keys = [rollout.prompt_id for rollout in rollouts]
            scores_B = self._classifier.run(encoded, keys, max_length=self.max_length, stop=stop)
            lost = [row for row in np.flatnonzero(np.isnan(scores_B)) if 0 < len(encoded[row]) <= self.max_length]
            if lost and not stop.is_set():
                _logger.warning(
                    "%s: %d of %d scores are inf or NaN and so missing, the first for prompt %r; does %s overflow?",
                    self.name, len(lost), len(encoded), clip(keys[lost[0]]), self.local.model.dtype,
                )  # fmt: skip
            return scores_B

    def _encode(self, rollouts: Sequence[Rollout]) -> list[list[int]]:
        texts = self.form.texts(rollouts)
        check_length(texts, self.max_length)
        encoding = self.local.tokenizer(texts, add_special_tokens=self.form.template == "plain")
        return cast("list[list[int]]", encoding["input_ids"])

    def _try_to_encode(self, rollouts: Sequence[Rollout]) -> list[TokenIds]:
        try:
            return [np.asarray(ids, dtype=np.int32) for ids in self._encode(rollouts)]
        except (ValueError, TypeError) as error:
            # One odd response must not end a run; a template that refuses every row is caught by max_failure_rate.
            if len(rollouts) > 1:
                return [self._try_to_encode([rollout])[0] for rollout in rollouts]
            who, why = rollouts[0].prompt_id, first_line(error)
            _logger.warning("%s: a response of prompt %r cannot be encoded: %s", self.name, who, why)
            return [np.zeros(0, dtype=np.int32)]


def _compiled(local: LocalModel) -> Callable[..., torch.Tensor]:
    """Return the model behind torch.compile, for any batch size and length without a new compilation."""
    import torch

    if local.device.type == "cuda":
        require("triton", extra="train", purpose=f"{local.name} with compile=True on a GPU")
    elif not any(shutil.which(compiler) for compiler in (os.environ.get("CXX", "g++"), "clang++", "cl")):
        raise InputError(
            f"{local.name}: compile=True on a CPU needs a C++ compiler and there is none; install g++, or leave it out"
        )
    return torch.compile(local.model, dynamic=True)
