"""``LocalModel``: a model and its tokenizer in use: one caller at a time, on its device, in evaluation mode."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from hero_rl.errors import InputError
from hero_rl.loop import in_thread
from hero_rl.models.known import resolve
from hero_rl.models.loading import default_device, dtype_of, fast_dtype, load_config, load_whole
from hero_rl.models.tokenizing import find_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")
P = ParamSpec("P")

NO_LIMIT = 10**9
"""Tokenizers without a length limit say 1e30."""
MAX_TOKENS_PER_BATCH = 32_768
"""On a GPU; a 7B model in bfloat16 needs about 4 GB of activations for them."""
MAX_TOKENS_PER_BATCH_CPU = 8_192
"""Larger batches are no faster on a CPU: their activations leave its caches."""
MOVING_ROPE = ("dynamic", "longrope")
"""Rotary positions whose frequencies depend on the longest row of the batch."""

_logger = logging.getLogger(__name__)


class LocalModel:
    """A loaded model and its tokenizer."""

    def __init__(
        self, name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, from_source: bool,
        whole: torch.nn.Module | None = None,
    ) -> None:  # fmt: skip
        """Take over what was loaded.

        Args:
            name: what messages are about.
            model: has the configuration.
            tokenizer: of the model.
            from_source: it came from a folder or the hub, so nobody else changes its weights.
            whole: ``model`` and what was put on top of it.
        """
        self.name, self.model, self.tokenizer, self.from_source = name, model, tokenizer, from_source
        self.whole = model if whole is None else whole
        self.lock = threading.Lock()
        self._weights = ""

    @property
    def device(self) -> torch.device:
        """Where its first weight lies."""
        return next(self.model.parameters()).device

    @property
    def commit(self) -> str | None:
        """The commit of a Hugging Face id; None for a folder or a module."""
        return getattr(self.model.config, "_commit_hash", None) if self.from_source else None

    @property
    def dtype(self) -> str:
        """The type of its numbers, such as ``"float32"``."""
        return str(self.model.dtype).removeprefix("torch.")

    def identity(self) -> dict[str, str]:
        """Return fingerprints of weights, configuration and tokenizer, and the type of the numbers.

        The weights' is the commit of a Hugging Face id, else a sum over every weight as loaded: a copy of a folder is the same
        model, and a file overwritten after loading changes nothing. A module given by hand may change and is summed each time.
        """
        from hero_rl.models import fingerprints

        if self.commit is None and not (self._weights and self.from_source):
            self._weights = fingerprints.weights_fingerprint(self.whole)
        return {
            "weights": f"commit {self.commit}" if self.commit is not None else self._weights,
            "config": fingerprints.config_fingerprint(self.model),
            "tokenizer": fingerprints.tokenizer_fingerprint(self.tokenizer), "dtype": self.dtype,
        }  # fmt: skip

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have the model alone, in evaluation mode, without gradients, and with its GPU as the current one of this thread."""
        import torch

        # some libraries' kernels run on no GPU but the current one
        on_its_gpu = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
        with self.lock, on_its_gpu, torch.inference_mode():
            was_training = self.whole.training
            self.whole.eval()
            try:
                yield
            finally:
                self.whole.train(was_training)

    def token_budget(self, asked: int | None) -> int:
        """Return how many tokens go through the model at once: ``asked``, or the default of its device."""
        return asked or (MAX_TOKENS_PER_BATCH_CPU if self.device.type == "cpu" else MAX_TOKENS_PER_BATCH)

    def max_length(self, asked: int | None = None) -> int:
        """Return the longest row in tokens that it takes: ``asked``, or what tokenizer and model declare.

        Raises:
            InputError: more than the model has positions for, where it would fail or change the scores of other rows.
        """
        positions = position_count(self.model)
        if asked is None:
            return min(int(self.tokenizer.model_max_length), positions, NO_LIMIT)
        if asked > positions:
            words = f"{self.name}: max_length={asked} is more than the {positions} positions"
            if _position_table(self.model) is not None:
                raise InputError(f"{words} that the model has learnt")
            if moving_rope(self.model.config) == "dynamic":
                raise InputError(
                    f"{words} the model was made for, and with its 'dynamic' rotary positions a longer row would change the "
                    "scores of rows beside and after it"
                )
            _logger.warning("%s the model was made for", words)
        return asked

    def boundary(self) -> int | None:
        """Return the length at which the rotary frequencies change for all rows of a batch; None: nowhere.

        Rows on its two sides must not come together, or a long row would change the scores of short ones.
        """
        if moving_rope(self.model.config) != "longrope":
            return None
        key = "original_max_position_embeddings"
        lengths = [table[key] for table in _rope_tables(self.model.config) if key in table]
        return int(min(lengths)) if lengths else None


def open_model(
    model: str | os.PathLike[str] | PreTrainedModel, auto: str, *, name: str, of_what: str,
    tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None = None, device: str | torch.device | None = None,
    dtype: str | None = None, check: Callable[[str, PretrainedConfig], None] | None = None, **hub: Any,
) -> LocalModel:  # fmt: skip
    """Load a model and its tokenizer, or take loaded ones.

    Args:
        model: a folder, a Hugging Face id, or a module that is already loaded.
        auto: the name of the transformers class that loads it.
        name: what messages are about.
        of_what: what the model should be, for messages.
        tokenizer: None: the one saved beside the model.
        device: None: the current GPU where there is one; a loaded module stays where it is.
        dtype: None: ``fast_dtype``; "auto": the checkpoint's own.
        check: raises for a configuration that cannot be used, before the weights are loaded.
        hub: ``revision`` and ``trust_remote_code`` of a Hugging Face id.

    Raises:
        InputError: no such model, none that can be used, or no tokenizer.
    """
    source = resolve(model) if isinstance(model, str | os.PathLike) else None
    config = load_config(name, source, **hub) if source is not None else model.config  # pyright: ignore
    if check is not None:
        check(name, config)
    dtype_of(dtype)  # an unknown one is refused before anything large is loaded
    words = find_tokenizer(name, source, tokenizer, **hub)
    if source is not None:
        where = default_device(device)
        loaded = load_whole(
            name, source, auto, of_what=of_what, dtype=dtype or fast_dtype(config.dtype, where), config=config, **hub
        )
        loaded.to(where)  # pyright: ignore
        return LocalModel(name, loaded, words, from_source=True)
    if device is not None:
        model.to(device)  # pyright: ignore
    return LocalModel(name, model, words, from_source=False)  # pyright: ignore[reportArgumentType]


def name_of(model: object) -> str:
    """Return the folder or id of a model to be loaded, or the class of a loaded one."""
    return os.path.expanduser(model) if isinstance(model, str | os.PathLike) else type(model).__name__


def check_positive(name: str, **options: int | None) -> None:
    """Raise InputError where an option is below 1."""
    for option, value in options.items():
        if value is not None and value < 1:
            raise InputError(f"{name}: {option}={value} must be at least 1")


async def stoppable(function: Callable[Concatenate[threading.Event, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Await a function in a thread; the event that it gets is set when the caller is cancelled."""
    stop = threading.Event()
    try:
        return await in_thread(function, stop, *args, **kwargs)
    finally:
        stop.set()


def position_count(model: PreTrainedModel) -> int:
    """Return how many tokens the model was made for."""
    declared = getattr(model.config.get_text_config(), "max_position_embeddings", None) or NO_LIMIT
    table = _position_table(model)
    if table is not None and table.padding_idx is not None:
        # RoBERTa and its kin count positions from padding_idx + 1; the declared number includes the places before
        return min(int(declared), table.num_embeddings) - table.padding_idx - 1
    return int(declared)


def moving_rope(config: PretrainedConfig) -> str | None:
    """Return the kind of rotary positions that depend on the batch, where the model has them."""
    kinds = {table.get("rope_type") for table in _rope_tables(config)}
    return next((kind for kind in MOVING_ROPE if kind in kinds), None)


def _rope_tables(config: PretrainedConfig) -> list[dict[str, Any]]:
    parameters = getattr(config.get_text_config(), "rope_parameters", None) or {}
    return [parameters, *(value for value in parameters.values() if isinstance(value, dict))]


def _position_table(model: PreTrainedModel) -> torch.nn.Embedding | None:
    import torch

    tables = ("position_embeddings", "wpe", "embed_positions")
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and name.rpartition(".")[2] in tables:
            return module
    return None
