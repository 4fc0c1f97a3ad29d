"""Saved transformers models and tokenizers: found or refused with one clear message. Torch loads inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hero_rl.errors import InputError, first_line

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_FSDP_LOADING = "FSDP_CPU_RAM_EFFICIENT_LOADING"


def on_its_gpu(model: torch.nn.Module) -> AbstractContextManager[object]:
    """Make the GPU that a model lies on the current one of this thread: some libraries' kernels run on no other."""
    import torch

    device = next(model.parameters()).device
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def check_source(name: str, source: str) -> None:
    """Nothing, where ``source`` is the folder of a saved model or may be a Hugging Face id.

    Args:
        name: what the message is about, such as ``"local:my-model"``.
        source: a path or an id.

    Raises:
        InputError: a folder without a model, or a path to nothing.
    """
    looks_local = source.startswith((".", "/", "~")) or source.count("/") > 1
    if Path(source).is_dir():
        if not (Path(source) / "config.json").is_file():
            raise InputError(f"{name}: the folder {source} has no config.json; give the folder of a saved transformers model")
    elif looks_local or Path(source).exists():
        raise InputError(
            f"{name}: no such folder as {source}; give the folder of a saved model or a Hugging Face id (owner/name)"
        )


def load_config(name: str, source: str, *, revision: str | None = None, trust_remote_code: bool = False) -> PretrainedConfig:
    """The configuration of a saved model.

    Raises:
        InputError: no such model, or one that cannot be read.
    """
    from transformers import AutoConfig

    check_source(name, source)
    try:
        return AutoConfig.from_pretrained(source, revision=revision or "main", trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise unavailable(name, source, error) from error


def load_tokenizer(
    name: str, source: str, *, revision: str | None = None, trust_remote_code: bool = False, **options: Any
) -> PreTrainedTokenizerBase:
    """The tokenizer saved beside a model.

    Raises:
        InputError: there is none.
    """
    from transformers import AutoTokenizer

    absent = (
        f"{name}: {source} has no tokenizer that can be loaded; give the one that the model was trained with (tokenizer=...)"
    )
    if Path(source).is_dir() and not any((Path(source) / file).is_file() for file in _TOKENIZER_FILES):
        raise InputError(absent)
    try:
        return AutoTokenizer.from_pretrained(
            source, revision=revision or "main", trust_remote_code=trust_remote_code, **options
        )
    except (OSError, ValueError, KeyError, ImportError, TypeError) as error:
        raise InputError(f"{absent}: {first_line(error)}") from error


def load_whole(
    name: str, source: str, auto: type[Any], *, of_what: str, dtype: str | torch.dtype | None = None, **options: Any
) -> PreTrainedModel:
    """A saved model with all of its weights, whole on every process, in evaluation mode, where transformers put it.

    Args:
        name: what the message is about.
        source: a folder or a Hugging Face id.
        auto: the transformers class that loads it, such as ``AutoModelForCausalLM``.
        of_what: what the model should be, for the message when it is something else.
        dtype: a type or its name; None or "auto": the checkpoint's own.
        options: further arguments of ``from_pretrained``.

    Raises:
        InputError: no such model, one that cannot be read, weights that are missing, or an unknown ``dtype``.
    """
    check_source(name, source)
    kind = dtype_of(dtype) if dtype is None or isinstance(dtype, str) else dtype
    try:
        with unsharded():
            loaded = auto.from_pretrained(source, dtype=kind, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise unavailable(name, source, error) from error
    model, info = cast("tuple[PreTrainedModel, dict[str, list[str]]]", loaded)
    missing = sorted(info["missing_keys"])
    if missing:
        # transformers would fill them with random numbers
        raise InputError(f"{name}: the checkpoint has no weights for {', '.join(missing[:3])}; is it {of_what}?")
    return model.eval()


def dtype_of(name: str | None) -> torch.dtype | str:
    """The torch type of that name; "auto" for None.

    Raises:
        InputError: there is none.
    """
    import torch

    if name is None or name == "auto":
        return "auto"
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise InputError(f"dtype={name!r} is unknown; choose 'float32', 'bfloat16', 'float16' or 'auto'")
    return dtype


def default_device(asked: str | torch.device | None) -> torch.device:
    """The device asked for; else the current GPU where there is one, else the CPU."""
    import torch

    return torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def unsharded() -> Iterator[None]:
    """Within it, models load whole on every process, although the run shards its policy.

    transformers decides by global settings that speak of the policy. Under DeepSpeed ZeRO-3 every process would hold a part of
    the reward model. Under FSDP, processes but the first may wait for values that are only ever sent to the policy (5.23 treats
    missing weights and buffers so), and then would score with noise, without any error.
    """
    from transformers.integrations import deepspeed

    fsdp = os.environ.pop(_FSDP_LOADING, None)
    zero3 = getattr(deepspeed, "_hf_deepspeed_config_weak_ref", None)
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if fsdp is not None:
            os.environ[_FSDP_LOADING] = fsdp
        deepspeed._hf_deepspeed_config_weak_ref = zero3


def unavailable(name: str, source: str, error: BaseException) -> InputError:
    """The error to raise where transformers could not load ``source``."""
    if Path(source).is_dir():
        return InputError(f"{name}: cannot load the model in {source}: {first_line(error)}")
    return InputError(
        f"{name}: cannot get {source!r}: there is no such folder here, and it is not in the Hugging Face cache and cannot be "
        f"downloaded ({first_line(error)})"
    )
