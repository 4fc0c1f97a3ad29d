"""Encoded rows through a sequence classifier with one output: padded micro-batches, shared beginnings computed once.

Imports torch and transformers: import it where a model is in use, not at the top of a light module.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from hero_rl.errors import InputError, first_line
from hero_rl.models.batching import MAX_PADDING, Round, micro_batches, rounds, shared_prefixes
from hero_rl.models.local import moving_rope
from hero_rl.models.tokenizing import TokenIds, padded
from hero_rl.types import FloatArray

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Work:
    """Tokens and forward passes of a call of ``run``."""

    real_tokens: int = 0
    computed_tokens: int = 0
    """With padding."""
    saved_tokens: int = 0
    """Not computed because other rows had them at their beginning too."""
    forwards: int = 0

    def add(self, lengths: Sequence[int]) -> None:
        """Count one forward pass over rows of these lengths."""
        self.real_tokens += sum(lengths)
        self.computed_tokens += len(lengths) * max(lengths)
        self.forwards += 1


class Limits(NamedTuple):
    """How much goes through the model at a time; see ``micro_batches``."""

    rows: int
    tokens: int
    boundary: int | None = None
    max_padding: float = MAX_PADDING


class _HeldLayer(DynamicLayer):
    """One layer's keys and values of some prefixes. Rows read those of their prefix; nothing is ever added.

    An ordinary cache would keep the keys of every row in every layer until the end; here they live as long as their layer.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, which: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.which = keys, values, which
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the prefixes and of the new tokens."""
        keys, values = cast("torch.Tensor", self.keys), cast("torch.Tensor", self.values)
        return (
            torch.cat([keys.index_select(0, self.which), key_states], dim=-2),
            torch.cat([values.index_select(0, self.which), value_states], dim=-2),
        )


class _Held(NamedTuple):
    """Caches of a round's prefixes, one row each, padded on the right."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    lengths: list[int]


class Classifier:
    """A loaded model and its detected properties.

    ``causal``: a decoder in which no token sees what comes after it, with an ordinary cache in every layer and fixed positions.
    Its rows need no attention mask for padding on the right, and can share a beginning. It is decided by the structure and
    then by a trial: three short rows have to score the same in both ways. Everything else takes the plain way with a mask.
    """

    def __init__(
        self, model: PreTrainedModel, limits: Limits, *, pad_id: int, share: bool, compiled: Callable[..., Any] | None = None
    ) -> None:
        """Wrap a model.

        Args:
            model: has one output.
            limits: of a micro-batch.
            pad_id: by which the model finds the last token that counts.
            share: compute shared beginnings once where that pays and the model allows it.
            compiled: whole rows go through this instead.
        """
        self.model, self.limits, self.pad_id, self.share = model, limits, pad_id, share
        self.last_work = Work()
        self._call = model if compiled is None else compiled
        accepted = inspect.signature(model.forward).parameters
        self._no_cache = {"use_cache": False} if "use_cache" in accepted else {}
        self._causal: bool | None = None

    @property
    def causal(self) -> bool:
        """See the class; tried once, when first asked for."""
        if self._causal is None:
            self._causal = _looks_causal(self.model) and self._trial()
        return self._causal

    @torch.inference_mode()
    def run(
        self, encoded: Sequence[TokenIds], keys: Sequence[Hashable], *, max_length: int, stop: threading.Event | None = None
    ) -> FloatArray:
        """Return scores, shape (len(encoded),); NaN for a row that is empty or too long.

        Args:
            encoded: token ids of every row.
            keys: rows with the same key have the same prompt.
            max_length: in tokens; longer rows have no score.
            stop: where it is set, the rest is left out.
        """
        scores = np.full(len(encoded), np.nan)
        lengths = [len(ids) for ids in encoded]
        places = [place for place, length in enumerate(lengths) if 0 < length <= max_length]
        self.last_work = Work()
        planned: list[Round] = []
        if self.share and self.causal:
            planned = rounds(shared_prefixes(encoded, keys, places, pad_id=self.pad_id), max_tokens=self.limits.tokens)
        grouped = {row for round_ in planned for group in round_.groups for row in group.rows}
        limits = self.limits
        for batch in micro_batches(
            [place for place in places if place not in grouped], lengths, max_rows=limits.rows, max_tokens=limits.tokens,
            max_padding=limits.max_padding, boundary=limits.boundary,
        ):  # fmt: skip
            if stop is not None and stop.is_set():
                return scores
            scores[batch] = self._whole([encoded[place] for place in batch])
            self.last_work.add([lengths[place] for place in batch])
        for round_ in planned:
            self._round(encoded, round_, scores, stop)
        scores[~np.isfinite(scores)] = np.nan
        return scores

    def _round(self, encoded: Sequence[TokenIds], round_: Round, scores: FloatArray, stop: threading.Event | None) -> None:
        held = self._hold([encoded[group.rows[0]][: group.tokens] for group in round_.groups])
        which = {row: number for number, group in enumerate(round_.groups) for row in group.rows}
        tails = {row: encoded[row][round_.groups[number].tokens :] for row, number in which.items()}
        lengths = [len(tails.get(row, ())) for row in range(len(encoded))]
        for batch in micro_batches(
            list(which), lengths, max_rows=self.limits.rows, max_tokens=self.limits.tokens - round_.held_tokens,
            extra_tokens=round_.groups[0].tokens,
        ):  # fmt: skip
            if stop is not None and stop.is_set():
                return
            scores[batch] = self._tails(held, [which[row] for row in batch], [tails[row] for row in batch])
            self.last_work.add([lengths[row] for row in batch])
        self.last_work.saved_tokens += sum((len(group.rows) - 1) * group.tokens for group in round_.groups)

    def _whole(self, rows: Sequence[TokenIds]) -> FloatArray:
        ids, mask = self._pad(rows)
        masked = {} if self._causal or bool(mask.all()) else {"attention_mask": mask.to(ids.device)}
        return _column(self._call(input_ids=ids, **masked, **self._no_cache).logits)

    def _hold(self, prefixes: Sequence[TokenIds]) -> _Held:
        lengths = [len(prefix) for prefix in prefixes]
        layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        for batch in micro_batches(range(len(prefixes)), lengths, max_rows=self.limits.rows, max_tokens=self.limits.tokens):
            ids, _ = self._pad([prefixes[place] for place in batch])
            cache = DynamicCache(config=self.model.config)
            self.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
            for number, layer in enumerate(cast("list[DynamicLayer]", cache.layers)):
                parts = cast("torch.Tensor", layer.keys), cast("torch.Tensor", layer.values)
                if number == len(layers):
                    keys, values = (
                        part.new_zeros((len(prefixes), part.shape[1], max(lengths), part.shape[3])) for part in parts
                    )
                    layers.append((keys, values))
                for whole, part in zip(layers[number], parts, strict=True):
                    whole[batch, :, : part.shape[-2]] = part
            self.last_work.add([lengths[place] for place in batch])
        return _Held(layers, lengths)

    def _tails(self, held: _Held, which: Sequence[int], tails: Sequence[TokenIds]) -> FloatArray:
        ids, tail_mask = self._pad(tails)
        starts = torch.tensor([held.lengths[number] for number in which])
        width = int(starts.max())
        mask = torch.cat([(torch.arange(width) < starts[:, None]).long(), tail_mask], dim=1).to(ids.device)
        positions = (starts[:, None] + torch.arange(ids.shape[1])).to(ids.device)
        chosen = torch.tensor(which, device=ids.device)
        cache = DynamicCache()
        cache.layers += [_HeldLayer(k[:, :, :width], v[:, :, :width], chosen.to(k.device)) for k, v in held.layers]
        output = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        return _column(output.logits)

    def _pad(self, rows: Sequence[TokenIds]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids on the model's device and mask on the CPU."""
        ids, mask = padded(rows, self.pad_id)
        return ids.to(next(self.model.parameters()).device), mask

    @torch.inference_mode()
    def _trial(self) -> bool:
        vocabulary = self.model.config.get_text_config().vocab_size
        rng = np.random.default_rng(0)
        first, second, third = rng.integers(0, vocabulary, (3, 13), dtype=np.int32)
        encoded = [first, np.concatenate([first[:7], second[:4]]), third]
        for ids in encoded:
            ids[ids == self.pad_id] = (self.pad_id + 1) % vocabulary
        try:
            with_mask = np.array([self._whole([row])[0] for row in encoded])
            held = self._hold([encoded[0][:7], encoded[2][:4]])
            tails = self._tails(held, [0, 0, 1], [encoded[0][7:], encoded[1][7:], encoded[2][4:]])
            self._causal = True  # without a mask, for the next line
            without_mask = self._whole(encoded)
        except (TypeError, ValueError, RuntimeError, AttributeError, LookupError) as error:
            _logger.info("shared prefixes are off for %s: %s", type(self.model).__name__, first_line(error))
            return False
        finally:
            self._causal = None
            self.last_work = Work()
        rounding = 1e-4 if self.model.dtype in (torch.float32, torch.float64) else 0.05
        tolerance = rounding * max(1.0, float(np.abs(with_mask).max()))
        same = all(float(np.abs(scores - with_mask).max()) <= tolerance for scores in (tails, without_mask))
        if not same:
            _logger.info("shared prefixes are off for %s: scores with them differ", type(self.model).__name__)
        return same


def check_outputs(name: str, config: PretrainedConfig) -> None:
    """Raise InputError unless the model has one output."""
    outputs = getattr(config, "num_labels", None)
    if outputs != 1:
        raise InputError(
            f"{name}: the model has {outputs} outputs (num_labels); a reward model has one. A classifier with more cannot be "
            "used; one that was trained with a single output needs num_labels=1 in its config"
        )


def settle_padding(name: str, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int:
    """Return the id to pad with, which is also the one by which the model finds the last token that counts.

    The checkpoint's own comes first: with another, its last-token search would stop at the padding. Otherwise the
    tokenizer's padding token, and its end-of-sequence token where it has none, as RewardTrainer chooses.

    Raises:
        InputError: no such token is known.
    """
    text_config = config.get_text_config()
    known = text_config.pad_token_id
    if known is None or not 0 <= known < text_config.vocab_size:
        known = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if known is None:
        raise InputError(f"{name}: neither a padding nor an end-of-sequence token is known; set the tokenizer's pad_token")
    text_config.pad_token_id = int(known)  # pyright: ignore[reportArgumentType]
    return text_config.pad_token_id


def _looks_causal(model: PreTrainedModel) -> bool:
    accepted = inspect.signature(model.forward).parameters
    config = model.config
    if config.is_encoder_decoder or not {"past_key_values", "position_ids", "use_cache"} <= accepted.keys():
        return False
    if moving_rope(config) or model.base_model is model:
        return False
    layers = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _column(logits: torch.Tensor) -> FloatArray:
    return logits[:, 0].to(device="cpu", dtype=torch.float64).numpy()
