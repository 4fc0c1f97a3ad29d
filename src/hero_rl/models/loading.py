"""Saved transformers models: found, or refused with one clear message. Torch loads inside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hero_rl.errors import InputError, first_line, require
from hero_rl.models.hub import hub_or_cache

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

_ADAPTER = "adapter_config.json"
_FSDP_LOADING = "FSDP_CPU_RAM_EFFICIENT_LOADING"
LOADING_ERRORS = (Exception,)
"""Damaged files: safetensors, tokenizers and torch raise kinds of their own, down to a plain ``Exception``."""


def require_transformers(purpose: str) -> None:
    """Raise MissingDependencyError unless torch and transformers are installed; ``purpose`` is what needs them."""
    for module in ("torch", "transformers"):
        require(module, extra="train", purpose=purpose)


def check_source(name: str, source: str) -> None:
    """Raise unless ``source`` is the folder of a saved model or may be a Hugging Face id.

    Args:
        name: what the message is about, such as ``"local:my-model"``.
        source: a path or an id.

    Raises:
        InputError: a folder without a model, or a path to nothing.
    """
    looks_local = source.startswith((".", "/", "~")) or source.count("/") > 1
    if Path(source).is_dir():
        if not holds_model(Path(source)):
            raise InputError(f"{name}: the folder {source} has no config.json; give the folder of a saved transformers model")
    elif looks_local or Path(source).exists():
        raise InputError(
            f"{name}: no such folder as {source}; give the folder of a saved model or a Hugging Face id (owner/name)"
        )


def holds_model(folder: Path) -> bool:
    """Return whether a whole model or an adapter was saved in the folder."""
    return any((folder / file).is_file() for file in ("config.json", _ADAPTER))


def adapter_of(name: str, source: str) -> dict[str, Any] | None:
    """Return peft's configuration of the adapter in a folder; None if the folder holds a whole model, or is none.

    Raises:
        InputError: it does not say which model the adapter belongs to.
    """
    path = Path(source) / _ADAPTER
    if not path.is_file() or (Path(source) / "config.json").is_file():
        return None
    try:
        found = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        return found | {"base": os.path.expanduser(found["base_model_name_or_path"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name}: {path} does not name the model that the adapter belongs to ({first_line(error)})") from error


def refuse_adapter(name: str, source: str) -> None:
    """Raise InputError where ``source`` is the folder of an adapter, which transformers would load frozen and train beside."""
    if adapter := adapter_of(name, source):
        raise InputError(
            f"{name}: {source} is an adapter to {adapter['base']}; merge both into a whole model first (see docs/training.md)"
        )


def load_config(name: str, source: str, *, revision: str | None = None, trust_remote_code: bool = False) -> PretrainedConfig:
    """Return the configuration of a saved model.

    Raises:
        InputError: no such model, or one that cannot be read.
    """
    from transformers import AutoConfig

    check_source(name, source)
    if adapter := adapter_of(name, source):
        return load_config(f"{name}: base of the adapter", adapter["base"], revision=adapter.get("revision"))
    try:
        with hub_or_cache(source):
            return AutoConfig.from_pretrained(source, revision=revision or "main", trust_remote_code=trust_remote_code)
    except LOADING_ERRORS as error:
        raise _unavailable(name, source, error) from error


def load_whole(
    name: str, source: str, auto: str, *, of_what: str, dtype: str | None = None, revision: str | None = None, **options: Any
) -> PreTrainedModel:
    """Return a saved model with all of its weights, whole on every process, in evaluation mode, where transformers put it.

    Args:
        name: what the message is about.
        source: a folder or a Hugging Face id; an adapter is put on the model that it names, unmerged, because rounding to
            bfloat16 would take away what it changes.
        auto: the name of the transformers class that loads it, such as ``"AutoModelForCausalLM"``.
        of_what: what the model should be, for the message when it is something else.
        dtype: such as ``"bfloat16"``; None or "auto": the checkpoint's own.
        revision: of a Hugging Face id.
        options: further arguments of ``from_pretrained``.

    Raises:
        InputError: no such model, one that cannot be read, weights that are missing, or an unknown ``dtype``.
    """
    import transformers

    check_source(name, source)
    if adapter := adapter_of(name, source):
        peft = require("peft", extra="train", purpose=f"the adapter in {source}")
        whole = f"{name}: base of the adapter"
        model = load_whole(
            whole, adapter["base"], auto, of_what=of_what, dtype=dtype, revision=adapter.get("revision"), **options
        )
        try:
            peft.PeftModel.from_pretrained(model, source)
        except LOADING_ERRORS as error:
            raise _unavailable(name, source, error) from error
        model.config._commit_hash = None  # which is that of the base alone
        return model.eval()
    options |= {"dtype": dtype_of(dtype), "revision": revision or "main"}
    try:
        with unsharded(), hub_or_cache(source):
            loaded = getattr(transformers, auto).from_pretrained(source, output_loading_info=True, **options)
    except LOADING_ERRORS as error:
        raise _unavailable(name, source, error) from error
    model, info = cast("tuple[PreTrainedModel, dict[str, list[str]]]", loaded)
    missing = sorted(info["missing_keys"])
    if missing:
        # transformers would fill them with random numbers
        raise InputError(f"{name}: the checkpoint has no weights for {', '.join(missing[:3])}; is it {of_what}?")
    return model.eval()


def dtype_of(name: str | None) -> torch.dtype | str:
    """Return the torch type of that name; "auto" for None.

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


def fast_dtype(own: object = "float32", device: str | torch.device | None = None) -> str:
    """Return the type in which a device computes a model of type ``own``, where nobody asks for another.

    bfloat16 in place of float32 on a GPU that has it. float32 on a CPU, where bfloat16 takes five times as long.
    """
    import torch

    where, kept = default_device(device), str(own or "float32").removeprefix("torch.")
    if where.type == "cuda" and kept == "float32" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float32" if where.type == "cpu" else kept


def default_device(asked: str | torch.device | None) -> torch.device:
    """Return the device asked for; else the current GPU where there is one, else the CPU."""
    import torch

    return torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def unsharded() -> Iterator[None]:
    """Within it, load models whole on every process, although the run shards its policy.

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


def _unavailable(name: str, source: str, error: BaseException) -> InputError:
    if Path(source).is_dir() or not isinstance(error, OSError | ValueError | KeyError | ImportError):
        return InputError(f"{name}: cannot load the model in {source}: {first_line(error)}")
    return InputError(
        f"{name}: cannot get {source!r}: there is no such folder here nor name in `hero models`, and it is not in the Hugging "
        f"Face cache and cannot be downloaded ({first_line(error)})"
    )
