"""Process reward models: a probability for every step of a response, and one score put together from them.

Four kinds are known (``STEP_FORMATS``), each read exactly as its authors read it; another one is a ``StepFormat`` of yours.
What it is not: no generative critics, no training (a token classifier is trained with transformers' Trainer), no server.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from hero_rl.errors import InputError, first_line
from hero_rl.models.batching import BATCH_SIZE, micro_batches
from hero_rl.models.known import resolve
from hero_rl.models.loading import default_device, fast_dtype, load_config, require_transformers
from hero_rl.models.local import LocalModel, check_positive, name_of, stoppable
from hero_rl.models.tokenizing import check_length, find_tokenizer, padded
from hero_rl.scorers.step_encoding import STEP_FORMATS, StepEncoder, StepFormat
from hero_rl.scorers.step_heads import check_reads, has_value_head, load_step_model, log_odds, wrap_step_model
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
            dtype: such as ``"bfloat16"``; ``"auto"``: that of the checkpoint. None: as ``LocalScorer``.
            revision: of a Hugging Face id.
            trust_remote_code: run model code that comes with the checkpoint. The known kinds do not need it.

        Raises:
            InputError: no such model, a head that does not fit the style, a separator that is no token of its own, no chat
                template where one is needed, or an option out of range.
            MissingDependencyError: torch or transformers is not installed.
        """
        arguments = {key: value for key, value in locals().items() if key != "self"}
        require_transformers("the reward model 'process'")
        check_aggregate(aggregate)
        self._arguments = arguments
        self.aggregate: Aggregate = aggregate
        self.logit, self.batch_size = logit, batch_size
        self.name = f"process:{name_of(model)}"
        check_positive(self.name, batch_size=batch_size, max_tokens_per_batch=max_tokens_per_batch, max_length=max_length)
        source = resolve(model) if isinstance(model, str | os.PathLike) else None
        hub: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        config: PretrainedConfig = (
            load_config(self.name, source, **hub)
            if source is not None
            else getattr(model, "config", None) or model.pretrained_model.config  # pyright: ignore
        )
        words = find_tokenizer(self.name, source, tokenizer, **hub)
        self.format = _settle_style(self.name, style, source, model, config, words, revision)
        self._encoder = StepEncoder(self.name, self.format, words)
        self._pad_id = _pad_id(words, config)
        reads = self.format.positive, self._encoder.tokens
        if source is not None:
            dtype = dtype or fast_dtype(config.dtype, device)
            self._steps = load_step_model(self.name, source, config, self.format.head, *reads, dtype=dtype, **hub)
        else:
            self._steps = wrap_step_model(self.name, cast("torch.nn.Module", model), self.format.head, *reads)
        if source is not None or device is not None:
            self._steps.whole.to(default_device(device))
        check_reads(self.name, self._steps, int(getattr(config.get_text_config(), "vocab_size", 1)))
        body = cast("PreTrainedModel", self._steps.body)
        self.local = LocalModel(self.name, body, words, from_source=source is not None, whole=self._steps.whole)
        self.max_length = self.local.max_length(max_length)
        self.max_tokens_per_batch = self.local.token_budget(max_tokens_per_batch)

    @property
    def identity(self) -> str:
        """A text that is equal for two scorers only if they give equal numbers, up to rounding.

        It holds the format, the options that change numbers, and ``LocalModel.identity``.
        """
        reading = {"format": asdict(self.format), "aggregate": self.aggregate, "logit": self.logit}
        fields = {**self.local.identity(), **reading, "max_length": self.max_length}
        return "process:" + json.dumps(fields, sort_keys=True)

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """Return the scores, and the probability (or log-odds) of every step: of ``Rollout.steps`` where given, else as split.

        A thread computes, and stops after its forward pass when this is cancelled.
        """
        return await stoppable(self._score_steps, rollouts)

    def step_ends(self, rollout: Rollout, /) -> IntArray:
        """Return where each step that is scored ends in the response, in characters; shape (steps,)."""
        return step_ends(rollout, every_line=self.format.every_line)

    def encode(self, rollout: Rollout) -> tuple[list[int], list[int]]:
        """Return the token ids that the model reads for a rollout, and the place of each step's end in them."""
        return self._encoder.encode(rollout)

    def __reduce__(self) -> tuple[Any, ...]:
        revision = self.local.commit or self._arguments["revision"]
        return functools.partial(ProcessScorer, **self._arguments | {"revision": revision}), ()

    def _score_steps(self, stop: threading.Event, rollouts: Sequence[Rollout]) -> StepScores:
        with self.local.in_use():
            encoded = [([], []) if stop.is_set() else self._encode_or_nothing(rollout) for rollout in rollouts]
            odds = self._log_odds(encoded, stop)
        scores = np.array([aggregate_steps(steps, self.aggregate, logit=self.logit) for steps in odds], dtype=np.float64)
        return StepScores(scores, tuple(odds if self.logit else map(probability, odds)))

    def _log_odds(self, encoded: Sequence[tuple[list[int], list[int]]], stop: threading.Event) -> list[FloatArray]:
        """Return the log-odds of each row's steps; none where missing."""
        steps: list[FloatArray] = [np.empty(0) for _ in encoded]
        lengths = [len(ids) for ids, _ in encoded]
        fits = [place for place, length in enumerate(lengths) if 0 < length <= self.max_length]
        if len(fits) < len(encoded) and not stop.is_set():
            _logger.warning(
                "%s: %d of %d rows have no score: empty, refused by the chat template, with a step end that cannot be told, or "
                "longer than max_length=%d tokens",
                self.name, len(encoded) - len(fits), len(encoded), self.max_length,
            )  # fmt: skip
        for batch in micro_batches(
            fits, lengths, max_rows=self.batch_size, max_tokens=self.max_tokens_per_batch, boundary=self.local.boundary()
        ):
            if stop.is_set():
                break
            for place, odds in zip(batch, self._forward([encoded[place] for place in batch]), strict=True):
                # Some of a response's steps would be misleading: one that is not a number makes the response missing.
                steps[place] = odds if np.isfinite(odds).all() else np.empty(0)
        return steps

    def _encode_or_nothing(self, rollout: Rollout) -> tuple[list[int], list[int]]:
        try:
            check_length((rollout.problem, rollout.response, "".join(rollout.steps)), self.max_length)
            return self.encode(rollout)
        except (ValueError, TypeError) as error:
            # One odd response must not end a run.
            who, why = rollout.prompt_id, first_line(error)
            _logger.warning("%s: a response of prompt %r cannot be encoded: %s", self.name, who, why)
            return [], []

    def _forward(self, batch: Sequence[tuple[list[int], list[int]]]) -> list[FloatArray]:
        """Return the log-odds of each row's steps."""
        import torch

        ids, mask = padded([tokens for tokens, _ in batch], self._pad_id)
        counts = [len(ends) for _, ends in batch]
        rows = torch.arange(len(batch)).repeat_interleave(torch.tensor(counts))
        columns = torch.tensor([end for _, ends in batch for end in ends])
        odds = log_odds(self._steps, *(part.to(self.local.device) for part in (ids, mask, rows, columns)))
        flat = odds.to(device="cpu", dtype=torch.float64).numpy()
        return np.split(flat, np.cumsum(counts)[:-1])


def _settle_style(
    name: str, style: Style | StepFormat, source: str | None, model: object, config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase, revision: str | None,
) -> StepFormat:  # fmt: skip
    known = ", ".join(map(repr, STEP_FORMATS))
    if isinstance(style, StepFormat):
        return style
    if style != "auto":
        if style not in STEP_FORMATS:
            raise InputError(f"style={style!r} is unknown; choose 'auto', {known}, or give a StepFormat")
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
        f"{name}: cannot tell what kind of process reward model this is ({seen}); give style= one of {known}, or a StepFormat. "
        "A language model may be one of the Math-Shepherd kind, or no reward model at all"
    )


def _pad_id(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int:
    """Return any id that the model knows: what is padded is masked, and comes after all that is read."""
    for known in (config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(known, int) and 0 <= known < config.get_text_config().vocab_size:
            return known
    return 0
