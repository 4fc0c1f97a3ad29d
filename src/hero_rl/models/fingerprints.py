"""Fingerprints of models and tokenizers: equal texts mean equal scores.

``weights_fingerprint`` covers every weight as it lies in memory, not the files that it came from: it is the same for a copy of
the folder, for other shards or another file format, and it changes with a single weight. Its price is one pass over the weights
(integer sums on the device where they are), not a cryptographic hash of gigabytes; it guards against mistakes, not against
someone who builds a collision.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CHUNK = 1 << 22
_NOT_THE_MODEL = (
    "_name_or_path", "_commit_hash", "transformers_version", "architectures", "dtype", "use_cache", "id2label", "label2id",
)  # fmt: skip
"""Where a model came from, what the weights' own types say already, and names of labels."""


def weights_fingerprint(model: torch.nn.Module) -> str:
    """Return 32 hex digits for the names, shapes, types and values of all parameters and saved buffers.

    A weighted sum of the bits in 64-bit integers for every four million words: odd weights, so that no change of a single
    word can go unseen. The same on every device.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(json.dumps(_sums(tensor)).encode())
    return digest.hexdigest()


def config_fingerprint(model: PreTrainedModel) -> str:
    """Return 32 hex digits for the class and the configuration, paths and versions left out."""
    table = {key: value for key, value in model.config.to_dict().items() if key not in _NOT_THE_MODEL}
    return _digest([type(model).__name__, table])


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return 32 hex digits for the vocabulary, the rules, the special tokens and the chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    return _digest([type(tokenizer).__name__, rules, special, getattr(tokenizer, "chat_template", None)])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _sums(tensor: torch.Tensor) -> list[int]:
    import torch

    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    if raw.numel() % 4:
        raw = torch.nn.functional.pad(raw, (0, -raw.numel() % 4))
    words = raw.view(torch.int32)
    count = min(_CHUNK, words.numel())
    # 64-bit golden-ratio multiplier as a signed number; the products wrap around
    weights = torch.arange(1, count + 1, device=words.device) * -7046029254386353131 | 1
    return [int((part.long() * weights[: part.numel()]).sum()) for part in words.split(_CHUNK)]
