"""Saved transformers models and tokenizers: found or refused with one clear message. Torch loads inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hero_rl.errors import InputError, first_line

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_FSDP_LOADING = "FSDP_CPU_RAM_EFFICIENT_LOADING"


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
    name: str, source: str, *, revision: str | None = None, trust_remote_code: bool = False, **options: str
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
