"""Tokenizers: found, asked for conversations, and their ids as tensors. Torch and transformers load inside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hero_rl.errors import InputError, first_line
from hero_rl.models.hub import hub_or_cache
from hero_rl.models.known import resolve
from hero_rl.models.loading import LOADING_ERRORS, adapter_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

TokenIds: TypeAlias = NDArray[np.int32]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
MAX_CHARS_PER_TOKEN = 64
"""Longer tokens are rare: runs of white space."""


class RefusedByTemplateError(ValueError):
    """The chat template takes no such conversation."""


def load_tokenizer(
    name: str, source: str | os.PathLike[str], *, revision: str | None = None, trust_remote_code: bool = False, **options: Any
) -> PreTrainedTokenizerBase:
    """Return the tokenizer saved beside a model.

    Raises:
        InputError: there is none.
    """
    from transformers import AutoTokenizer

    source = resolve(source)
    absent = (
        f"{name}: {source} has no tokenizer that can be loaded; give the one that the model was trained with (tokenizer=...)"
    )
    if Path(source).is_dir() and not any((Path(source) / file).is_file() for file in _TOKENIZER_FILES):
        if (adapter := adapter_of(name, source)) is None:
            raise InputError(absent)
        return load_tokenizer(name, adapter["base"], revision=adapter.get("revision"), **options)
    try:
        with hub_or_cache(source):
            return AutoTokenizer.from_pretrained(
                source, revision=revision or "main", trust_remote_code=trust_remote_code, **options
            )
    except LOADING_ERRORS as error:
        raise InputError(f"{absent}: {first_line(error)}") from error


def find_tokenizer(
    name: str, source: str | None, tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None, **hub: Any
) -> PreTrainedTokenizerBase:
    """Return the tokenizer given or named, or else the one beside the model at ``source``.

    Raises:
        InputError: there is none.
    """
    tokenizer = source if tokenizer is None else tokenizer
    if tokenizer is None:
        raise InputError(f"{name}: a loaded model needs its tokenizer; give tokenizer=...")
    return load_tokenizer(name, tokenizer, **hub) if isinstance(tokenizer, str | os.PathLike) else tokenizer


def apply_template(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Mapping[str, Any]]], **options: Any
) -> list[str]:
    """Return the texts that the chat template makes of conversations; one call for many is a fifth faster.

    Raises:
        RefusedByTemplateError: it makes none of one of them.
    """
    from jinja2 import TemplateError

    try:
        texts = tokenizer.apply_chat_template([list(turns) for turns in conversations], tokenize=False, **options)  # pyright: ignore
        return cast("list[str]", texts)
    except (ValueError, TypeError, TemplateError) as error:
        raise RefusedByTemplateError(f"the chat template refuses the conversation: {first_line(error)}") from error


def special_texts(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the texts that the tokenizer turns into special tokens, sorted."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted(added | set(tokenizer.all_special_tokens)))


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool = True) -> list[int]:
    """Return the token ids of a text; ``special``: with what the tokenizer puts around every text, such as BOS."""
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])  # pyright: ignore[reportArgumentType]


def pair_ids(tokenizer: PreTrainedTokenizerBase, first: str, second: str) -> list[int]:
    """Return the token ids of two texts as a cross-encoder reads them, with what the tokenizer puts around and between."""
    return list(tokenizer(first, second)["input_ids"])  # pyright: ignore[reportArgumentType]


def check_length(texts: Iterable[str], max_length: int) -> None:
    """Raise InputError if one is so long that it must have more tokens: tokenizing it could take minutes."""
    longest = max(map(len, texts), default=0)
    if longest > (most := MAX_CHARS_PER_TOKEN * max_length):
        raise InputError(f"a text of {longest} characters; max_length={max_length} tokens are taken to have {most} at most")


def padded(rows: Sequence[Sequence[int] | np.ndarray], pad_id: int, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask (1 where a token is real), both of shape (rows, longest), on the CPU."""
    import torch

    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(len(row))
        ids[place, span] = row
        mask[place, span] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
