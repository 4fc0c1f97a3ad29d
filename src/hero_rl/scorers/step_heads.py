"""Process reward models on this machine: how each kind is loaded, and the one number it gives for a step.

Whatever the head, that number is the log-odds that the step is right:

    labels    two outputs per token (softmax):              positive minus negative logit
    value     one output per token (sigmoid):               that output
    tokens    the vocabulary of a language model (softmax   logit of the good token minus that of the bad one
              over two of its tokens):

so that softmax over two and sigmoid of one are the same function of it. The head is computed only where a step ends.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from hero_rl.errors import InputError, first_line
from hero_rl.models.loading import LOADING_ERRORS, load_whole

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

Head: TypeAlias = Literal["labels", "value", "tokens"]

_OUTPUTS: dict[Head, int] = {"labels": 2, "value": 1, "tokens": 2}
_HEAD_KEYS: dict[Head, str] = {"labels": "score.", "value": "v_head."}
_AFTER_THE_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling")
_WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


class StepModel(NamedTuple):
    """A model that can be asked about steps."""

    body: torch.nn.Module
    """With ``head``: gives ``last_hidden_state``. Without: gives the logits of every token itself."""
    head: torch.nn.Module | None
    tokens: tuple[int, int] | None
    """(good, bad) of a language model's vocabulary: only these two rows of the head are computed."""
    positive: int
    """Which of two outputs says that the step is right."""
    options: Mapping[str, bool]
    """Further arguments of ``body``."""
    whole: torch.nn.Module
    """All of it, to be moved between devices and switched to evaluation."""
    outputs: int
    """Of the head, for a token."""


def log_odds(
    model: StepModel, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Return the log-odds at the places (rows, columns) of a padded batch: shape (steps,), float32.

    Args:
        model: the model and its head.
        ids: shape (B, T).
        mask: shape (B, T), 1 where a token is real.
        rows: shape (steps,), into B.
        columns: shape (steps,), into T.
    """
    import torch

    output = model.body(input_ids=ids, attention_mask=mask, **model.options)
    if model.head is None:
        logits = output.logits if hasattr(output, "logits") else output[0]
        picked = logits[rows.to(logits.device), columns.to(logits.device)].float()
    else:
        states = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
        hidden = states[rows.to(states.device), columns.to(states.device)]
        weights = dict(model.head.named_parameters())
        if model.tokens is None:
            # The value head of a bfloat16 model is often kept in float32, and the other way round.
            picked = model.head(hidden.to(next(iter(weights.values())).dtype)).float()
        else:
            two, bias = list(model.tokens), weights.get("bias")
            picked = torch.nn.functional.linear(hidden, weights["weight"][two], None if bias is None else bias[two]).float()
    if picked.shape[-1] != model.outputs:
        raise IndexError(f"{picked.shape[-1]} outputs per token, and not {model.outputs}")
    if model.outputs == 1:
        return picked[..., 0]
    return picked[..., model.positive] - picked[..., 1 - model.positive]


def load_step_model(
    name: str, source: str, config: PretrainedConfig, head: Head, positive: int, tokens: tuple[int, int] | None, *,
    dtype: str | None, revision: str | None, trust_remote_code: bool,
) -> StepModel:  # fmt: skip
    """Return the model of a folder or a Hugging Face id, on the CPU.

    Own heads of a checkpoint (``score.0``/``score.2`` of Qwen2.5-Math-PRM, ``v_head`` of Skywork-o1-Open-PRM) are read from
    its files, so that these models need no code from the checkpoint.

    Raises:
        InputError: the checkpoint has no such head.
    """
    import torch

    kinds = ", ".join(config.architectures or ()) or "no architecture named"
    load = functools.partial(
        load_whole, name, source, of_what=f"a process reward model of this style (the checkpoint is {kinds})", dtype=dtype,
        config=config, revision=revision, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    if head == "tokens":
        return wrap_step_model(name, load("AutoModelForCausalLM"), head, positive, tokens)
    if trust_remote_code and "AutoModel" in (getattr(config, "auto_map", None) or {}):
        return wrap_step_model(name, load("AutoModel"), head, positive, None)
    if any(kind.endswith("ForTokenClassification") for kind in config.architectures or ()):
        return wrap_step_model(name, load("AutoModelForTokenClassification"), head, positive, None)
    weights = _head_weights(source, _HEAD_KEYS[head], revision)
    if not weights:
        raise InputError(
            f"{name}: the checkpoint ({kinds}) has no weights of a step head ({_HEAD_KEYS[head]}*); is it a "
            "process reward model, or a language model without one? If its head is in code of its own, give "
            "trust_remote_code=True"
        )
    body = load("AutoModel")
    built = _built_head(name, weights, head)
    return StepModel(body, built, None, positive, _options(body), torch.nn.ModuleList([body, built]), _OUTPUTS[head])


def wrap_step_model(name: str, model: torch.nn.Module, head: Head, positive: int, tokens: tuple[int, int] | None) -> StepModel:
    """Return a module that is already loaded as it is to be asked.

    Raises:
        InputError: the module has no head of that kind.
    """
    value_head = getattr(model, "v_head", None)
    if head == "value" and value_head is not None:
        body = _body(name, getattr(model, "pretrained_model", model))
        return StepModel(body, value_head, None, positive, _options(body), model, 1)
    if head == "tokens":
        output_head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None  # pyright: ignore
        if getattr(output_head, "weight", None) is None:
            raise InputError(f"{name}: {type(model).__name__} has no language-model head, which this style reads")
        body = _body(name, model)
        return StepModel(body, output_head, tokens, 0, _options(body), model, 2)
    outputs = getattr(getattr(model, "config", None), "num_labels", _OUTPUTS[head])
    is_language_model = type(model).__name__.endswith("ForCausalLM")
    if is_language_model or outputs != _OUTPUTS[head]:
        seen = "a language model without a step head" if is_language_model else f"{outputs} outputs (num_labels)"
        raise InputError(
            f"{name}: {type(model).__name__} has {seen}; a process reward model of this style has {_OUTPUTS[head]} per token"
        )
    return StepModel(model, None, None, positive, _options(model), model, _OUTPUTS[head])


def check_reads(name: str, model: StepModel, vocabulary: int) -> None:
    """Raise unless the model gives what is read from it, by one forward pass over three tokens.

    A language model that changes its logits after the head (soft capping, scaling) would be read wrongly, and is refused.

    Raises:
        InputError: it does not give that.
    """
    import torch

    device = next(model.body.parameters()).device
    ids = torch.arange(3, device=device).remainder(max(vocabulary, 1))[None]
    mask = torch.ones_like(ids)
    places = torch.zeros(1, dtype=torch.long, device=device), torch.full((1,), 2, device=device)
    was_training = model.whole.training
    model.whole.eval()
    try:
        with torch.inference_mode():
            read = log_odds(model, ids, mask, *places)
            direct = model.whole(input_ids=ids, attention_mask=mask) if model.tokens is not None else None
    except (IndexError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{name}: the model does not give an output for every token: {first_line(error)}") from error
    finally:
        model.whole.train(was_training)
    if read.shape != (1,):
        raise InputError(f"{name}: the model gives an output of shape {tuple(read.shape)} for a step; one number is needed")
    if direct is not None and model.tokens is not None:
        good, bad = (direct.logits[0, 2, token].float() for token in model.tokens)
        tolerance = 1e-3 if direct.logits.dtype == torch.float32 else 0.2
        # Soft capping is hardly to be seen at small logits, so the configuration is asked, too.
        config = getattr(model.whole, "config", None)
        declared = any(getattr(config, key, None) not in (None, 0, 1) for key in _AFTER_THE_HEAD)
        if declared or not torch.allclose(read[0], good - bad, atol=tolerance, rtol=tolerance):
            raise InputError(
                f"{name}: {type(model.whole).__name__} changes its logits after the head (soft capping or scaling), which this "
                "scorer does not do"
            )


def has_value_head(source: str, revision: str | None) -> bool:
    """Return whether the checkpoint has a ``v_head``."""
    return bool(_head_weights(source, _HEAD_KEYS["value"], revision))


def _body(name: str, model: torch.nn.Module) -> torch.nn.Module:
    body = getattr(model, "base_model", None)
    if body is None or body is model:
        raise InputError(f"{name}: cannot tell the body of {type(model).__name__} from its head")
    return body


def _options(body: torch.nn.Module) -> dict[str, bool]:
    # A cache of keys and values, which decoders keep by default, would be memory for nothing.
    return {"use_cache": False} if "use_cache" in inspect.signature(body.forward).parameters else {}


def _head_weights(source: str, prefix: str, revision: str | None) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint whose names begin with ``prefix``, in float32, by the rest of their names."""
    from transformers.utils.hub import cached_file

    def find(file: str) -> Path | None:
        found = cached_file(
            source, file, revision=revision or "main", _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )  # fmt: skip
        return None if found is None else Path(found)

    path = next((found for file in _WEIGHT_FILES if (found := find(file))), None)
    if path is None:
        return {}
    if path.suffix != ".json":
        return _tensors_of(path, prefix)
    shards: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    weights: dict[str, torch.Tensor] = {}
    for shard in sorted({shard for key, shard in shards.items() if key.startswith(prefix)}):
        weights |= _tensors_of(find(shard) or path.parent / shard, prefix)
    return weights


def _tensors_of(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(os.fspath(path), framework="pt") as file:
                return {key.removeprefix(prefix): file.get_tensor(key).float() for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
        import torch

        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {key.removeprefix(prefix): value.float() for key, value in loaded.items() if key.startswith(prefix)}
    except LOADING_ERRORS as error:
        raise InputError(f"{path}: cannot be read: {first_line(error)}") from error


def _built_head(name: str, weights: Mapping[str, torch.Tensor], head: Head) -> torch.nn.Module:
    """Return the linear layers of a head, with ReLU between them, in float32."""
    import torch

    stems = sorted(
        (key.removesuffix("weight") for key in weights if key.endswith("weight")),
        key=lambda stem: [int(n) for n in re.findall(r"\d+", stem)],
    )
    layers: list[torch.nn.Module] = []
    known = set()
    for stem in stems:
        weight, bias = weights[f"{stem}weight"], weights.get(f"{stem}bias")
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
        layers += [torch.nn.ReLU(), layer] if layers else [layer]
        known |= {f"{stem}weight", f"{stem}bias"}
    unknown = sorted(set(weights) - known)
    outputs = weights[f"{stems[-1]}weight"].shape[0] if stems else 0
    if unknown or outputs != _OUTPUTS[head]:
        raise InputError(
            f"{name}: the checkpoint's head has {outputs} outputs{' and ' + ', '.join(unknown) if unknown else ''}; this style "
            f"has {_OUTPUTS[head]} per token"
        )
    return torch.nn.Sequential(*layers).eval()
