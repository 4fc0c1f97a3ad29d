"""Process reward models: a probability for every step of a response, and one score put together from them.

Four kinds are known (``STEP_FORMATS``), each read exactly as its authors read it; another one is a ``StepFormat`` of yours.
What it is not: no generative critics, no training (a token classifier is trained with transformers' Trainer), no server.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from hero_rl.errors import InputError, first_line, require
from hero_rl.loop import in_thread
from hero_rl.pretrained import dtype_of, load_config, load_tokenizer, on_its_gpu
from hero_rl.scorers.batching import micro_batches
from hero_rl.scorers.local import BATCH_SIZE, MAX_TOKENS_PER_BATCH, MAX_TOKENS_PER_BATCH_CPU
from hero_rl.scorers.local_loading import settle_boundary, settle_length
from hero_rl.scorers.step_encoding import STEP_FORMATS, StepEncoder, StepFormat
from hero_rl.scorers.step_heads import (
    StepModel,
    check_reads,
    has_value_head,
    load_step_model,
    log_odds,
    wrap_step_model,
)
from hero_rl.scorers.steps import Aggregate, aggregate_steps, check_aggregate, probability, step_ends
from hero_rl.types import FloatArray, IntArray, Rollout, StepScorer, StepScores

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Style: TypeAlias = Literal["auto", "qwen", "skywork", "math-shepherd", "trl"]

_logger = logging.getLogger(__name__)


class ProcessScorer(StepScorer):
    """A probability for every step, and their minimum, mean, last or product as the score.

    One forward pass over a whole response gives all its steps. Rows are sorted by length, padded on the right and scored by a
    token budget; the result is in the original order and does not depend on which rows came together, beyond rounding. A row
    that is empty, longer than ``max_length``, or that the chat template refuses is missing: NaN, and no steps. Nothing is cut.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | PreTrainedModel,
        *,
        style: Style | StepFormat = "auto",
        aggregate: Aggregate = "min",
        logit: bool = False,
        tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None = None,
        batch_size: int = BATCH_SIZE,
        max_tokens_per_batch: int | None = None,
        max_length: int | None = None,
        device: str | torch.device | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the model.

        Args:
            model: a folder, a Hugging Face id, or a module that is already loaded.
            style: how the model is shown a response and read: a name in ``STEP_FORMATS`` or a ``StepFormat``. ``"auto"``: from
                the checkpoint; a plain language model, which may or may not be of the Math-Shepherd kind, has to be named.
            aggregate: how the steps make the score: ``"min"``, ``"mean"``, ``"last"`` or ``"product"``.
            logit: give steps and scores as log-odds instead of probabilities (the product: as the sum of log p). Order is the
                same for min, last and product. In probabilities everything that the model is sure of lies within a hair of
                0 or 1, and min-max scaling inside a group sees only the doubtful ones; in logits one extreme step
                can take the whole range. Probabilities are the default, as published.
            tokenizer: by default the one saved beside the model. A loaded module needs one.
            batch_size: most rows of one forward pass.
            max_tokens_per_batch: most tokens of one forward pass, padding included; a longer row goes alone. None: 32,768 on a
                GPU, 8,192 on a CPU.
            max_length: in tokens; longer rows have no score. None: what tokenizer and model declare.
            device: by default the current GPU where there is one; a loaded module stays where it is.
            dtype: such as ``"bfloat16"``; by default that of the checkpoint.
            revision: of a Hugging Face id.
            trust_remote_code: run model code that comes with the checkpoint. The known kinds do not need it.

        Raises:
            InputError: no such model, a head that does not fit the style, a separator that is no token of its own, no chat
                template where one is needed, or an option out of range.
            MissingDependencyError: torch or transformers is not installed.
        """
        require("torch", extra="train", purpose="the reward model 'process'")
        require("transformers", extra="train", purpose="the reward model 'process'")
        self._arguments = {
            "model": model, "style": style, "aggregate": aggregate, "logit": logit, "tokenizer": tokenizer,
            "batch_size": batch_size, "max_tokens_per_batch": max_tokens_per_batch, "max_length": max_length,
            "device": device, "dtype": dtype, "revision": revision, "trust_remote_code": trust_remote_code,
        }  # fmt: skip
        check_aggregate(aggregate)
        _check_options(style, batch_size, max_tokens_per_batch, max_length)
        self.aggregate: Aggregate = aggregate
        self.logit = logit
        source = os.path.expanduser(model) if isinstance(model, str | os.PathLike) else None
        self.name = f"process:{source or type(model).__name__}"
        config: PretrainedConfig = (
            load_config(self.name, source, revision=revision, trust_remote_code=trust_remote_code)
            if source is not None
            else getattr(model, "config", None) or model.pretrained_model.config  # pyright: ignore
        )
        tokenizer = self._settle_tokenizer(source, tokenizer, revision, trust_remote_code)
        self.format = _settle_style(self.name, style, source, model, config, tokenizer, revision)
        self._encoder = StepEncoder(self.name, self.format, tokenizer)
        self._pad_id = _pad_id(tokenizer, config)
        self._commit = getattr(config, "_commit_hash", None) if source is not None else None
        self._from_source = source is not None
        self._own_weights: str | None = None
        self._tokenizer = tokenizer
        self._model = self._settle_model(model, source, config, device, dtype, revision, trust_remote_code)
        body = cast("PreTrainedModel", self._model.body)
        self.max_length = settle_length(self.name, tokenizer, body, max_length)
        self._boundary = settle_boundary(body)
        on_cpu = next(body.parameters()).device.type == "cpu"
        self.batch_size = batch_size
        self.max_tokens_per_batch = max_tokens_per_batch or (MAX_TOKENS_PER_BATCH_CPU if on_cpu else MAX_TOKENS_PER_BATCH)
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """A text that is equal for two scorers only if they give equal numbers, up to rounding.

        It holds the format, the options that change numbers, and fingerprints of configuration, tokenizer and weights: the
        commit of a Hugging Face id, else a sum over every weight (each time for a module given by hand, which may change).
        """
        from hero_rl.scorers.local_identity import config_fingerprint, tokenizer_fingerprint

        return "process:" + json.dumps(
            {
                "weights": self._weights(), "config": config_fingerprint(cast("PreTrainedModel", self._model.body)),
                "tokenizer": tokenizer_fingerprint(self._tokenizer), "format": asdict(self.format),
                "aggregate": self.aggregate, "logit": self.logit, "max_length": self.max_length,
                "dtype": str(next(self._model.body.parameters()).dtype).removeprefix("torch."),
            },
            sort_keys=True,
        )  # fmt: skip

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """Return the scores, and the probability (or log-odds) of every step: of ``Rollout.steps`` where given, else as split.

        A thread computes, and stops after its forward pass when this is cancelled.
        """
        stop = threading.Event()
        try:
            return await in_thread(self._score_steps, rollouts, stop)
        finally:
            stop.set()

    def step_ends(self, rollout: Rollout, /) -> IntArray:
        """Shape (steps,): where each step that is scored ends in the response, in characters."""
        return step_ends(rollout, every_line=self.format.every_line)

    def encode(self, rollout: Rollout) -> tuple[list[int], list[int]]:
        """The token ids that the model reads for a rollout, and the place of each step's end in them."""
        return self._encoder.encode(rollout)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments: a model that came from a folder or the hub is loaded again there, and not sent."""
        return _rebuild, (self._arguments | {"revision": self._commit or self._arguments["revision"]},)

    def _score_steps(self, rollouts: Sequence[Rollout], stop: threading.Event) -> StepScores:
        with self._lock, on_its_gpu(self._model.body):
            encoded = [([], []) if stop.is_set() else self._encode_or_nothing(rollout) for rollout in rollouts]
            was_training = self._model.whole.training
            self._model.whole.eval()
            try:
                odds = self._log_odds(encoded, stop)
            finally:
                self._model.whole.train(was_training)
        scores = np.array([aggregate_steps(steps, self.aggregate, logit=self.logit) for steps in odds], dtype=np.float64)
        return StepScores(scores, tuple(odds if self.logit else map(probability, odds)))

    def _log_odds(self, encoded: Sequence[tuple[list[int], list[int]]], stop: threading.Event) -> list[FloatArray]:
        """The log-odds of each row's steps; none where missing."""
        steps: list[FloatArray] = [np.empty(0) for _ in encoded]
        lengths = [len(ids) for ids, _ in encoded]
        fits = [place for place, length in enumerate(lengths) if 0 < length <= self.max_length]
        if len(fits) < len(encoded) and not stop.is_set():
            _logger.warning(
                "%s: %d of %d rows have no score: empty, refused by the chat template, with a step end that cannot be told, or "
                "longer than max_length=%d tokens",
                self.name, len(encoded) - len(fits), len(encoded), self.max_length,
            )  # fmt: skip
        limit = self._boundary or self.max_length
        for some in ([place for place in fits if lengths[place] > limit], [place for place in fits if lengths[place] <= limit]):
            for batch in micro_batches(some, lengths, max_rows=self.batch_size, max_tokens=self.max_tokens_per_batch):
                if stop.is_set():
                    return steps
                for place, odds in zip(batch, self._forward([encoded[place] for place in batch]), strict=True):
                    # Some of a response's steps would be misleading: one that is not a number makes the response missing.
                    steps[place] = odds if np.isfinite(odds).all() else np.empty(0)
        return steps

    def _encode_or_nothing(self, rollout: Rollout) -> tuple[list[int], list[int]]:
        from jinja2 import TemplateError

        try:
            return self.encode(rollout)
        except (ValueError, TypeError, TemplateError) as error:
            # One odd response must not end a run.
            _logger.warning(
                "%s: a response of prompt %r cannot be encoded: %s", self.name, rollout.prompt_id, first_line(error)
            )
            return [], []

    def _weights(self) -> str:
        from hero_rl.scorers.local_identity import weights_fingerprint

        if self._commit is not None:
            return f"commit {self._commit}"
        if self._own_weights is None or not self._from_source:
            self._own_weights = weights_fingerprint(self._model.whole)
        return self._own_weights

    def _forward(self, batch: Sequence[tuple[list[int], list[int]]]) -> list[FloatArray]:
        """The log-odds of each row's steps."""
        import torch

        width = max(len(ids) for ids, _ in batch)
        ids = torch.full((len(batch), width), self._pad_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (tokens, _) in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        counts = [len(ends) for _, ends in batch]
        rows = torch.arange(len(batch)).repeat_interleave(torch.tensor(counts))
        columns = torch.tensor([end for _, ends in batch for end in ends])
        device = next(self._model.body.parameters()).device
        with torch.inference_mode():
            odds = log_odds(self._model, *(part.to(device) for part in (ids, mask, rows, columns)))
        flat = odds.to(device="cpu", dtype=torch.float64).numpy()
        return np.split(flat, np.cumsum(counts)[:-1])

    def _settle_tokenizer(
        self,
        source: str | None,
        tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None,
        revision: str | None,
        trust_remote_code: bool,
    ) -> PreTrainedTokenizerBase:
        tokenizer = source if tokenizer is None else tokenizer
        if tokenizer is None:
            raise InputError(f"{self.name}: a loaded reward model needs its tokenizer; give tokenizer=...")
        if isinstance(tokenizer, str | os.PathLike):
            path = os.path.expanduser(tokenizer)
            return load_tokenizer(self.name, path, revision=revision, trust_remote_code=trust_remote_code)
        return tokenizer

    def _settle_model(
        self,
        model: Any,
        source: str | None,
        config: PretrainedConfig,
        device: str | torch.device | None,
        dtype: str | None,
        revision: str | None,
        trust_remote_code: bool,
    ) -> StepModel:
        import torch

        positive, tokens = self.format.positive, self._encoder.tokens
        if source is None:
            found = wrap_step_model(self.name, model, self.format.head, positive=positive, tokens=tokens)
            if device is not None:
                found.whole.to(device)
        else:
            found = load_step_model(
                self.name, source, config, self.format.head, positive=positive, tokens=tokens, dtype=dtype_of(dtype),
                revision=revision, trust_remote_code=trust_remote_code,
            )  # fmt: skip
            found.whole.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        check_reads(self.name, found, int(getattr(config.get_text_config(), "vocab_size", 1)))
        return found


def _rebuild(arguments: dict[str, Any]) -> ProcessScorer:
    return ProcessScorer(**arguments)


def _check_options(style: object, batch_size: int, max_tokens_per_batch: int | None, max_length: int | None) -> None:
    if not isinstance(style, StepFormat) and style != "auto" and style not in STEP_FORMATS:
        raise InputError(
            f"style={style!r} is unknown; choose 'auto', {', '.join(map(repr, STEP_FORMATS))}, or give a StepFormat"
        )
    for name, value in (("batch_size", batch_size), ("max_tokens_per_batch", max_tokens_per_batch), ("max_length", max_length)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value} must be at least 1")


def _settle_style(
    name: str,
    style: Style | StepFormat,
    source: str | None,
    model: object,
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    revision: str | None,
) -> StepFormat:
    if isinstance(style, StepFormat):
        return style
    if style != "auto":
        return STEP_FORMATS[style]
    qwen = STEP_FORMATS["qwen"]
    kinds = [*(config.architectures or ()), *([] if source else [type(model).__name__])]
    if any(kind.endswith("ForProcessRewardModel") for kind in kinds):
        return qwen
    if has_value_head(source, revision) if source is not None else hasattr(model, "v_head"):
        return STEP_FORMATS["skywork"]
    if any(kind.endswith("ForTokenClassification") for kind in kinds):
        return qwen if qwen.separator in tokenizer.get_vocab() else STEP_FORMATS["trl"]
    seen = ", ".join(kinds) or "no architecture named"
    raise InputError(
        f"{name}: cannot tell what kind of process reward model this is ({seen}); give style= one of "
        f"{', '.join(map(repr, STEP_FORMATS))}, or a StepFormat. A language model may be one of the Math-Shepherd kind, or no "
        "reward model at all"
    )


def _pad_id(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int:
    """Any id that the model knows: what is padded is masked, and comes after all that is read."""
    for known in (config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(known, int) and 0 <= known < config.get_text_config().vocab_size:
            return known
    return 0
