"""The lab's tokenizer and tiny networks: one character per token, about 150 thousand parameters, made from a config.

Architecture: OPT (learned positions, LayerNorm, ReLU), three layers of width 64. Of the decoder families in
transformers it was the quickest on one CPU thread at this size, because LayerNorm is one fused kernel where RMSNorm
and rotary positions are many small ones (see docs/log.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hero_lab.families import CHAIN
from hero_lab.family import Family
from hero_rl.errors import require

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import OPTConfig, PreTrainedModel, PreTrainedTokenizerFast

PAD_TOKEN = "<pad>"
END_TOKEN = "$"
POLICY_LAYERS = 3
PAD_ID, END_ID = 0, 1
_FIRST_CHAR_ID = 2


@lru_cache
def _ids(alphabet: str) -> np.ndarray:
    ids = np.full(128, PAD_ID, dtype=np.int64)
    ids[ord(END_TOKEN)] = END_ID
    for place, char in enumerate(alphabet):
        ids[ord(char)] = _FIRST_CHAR_ID + place
    return ids


def encode(texts: Sequence[str], *, length: int, alphabet: str = CHAIN.alphabet) -> np.ndarray:
    """Token ids, shape (B, length), padded on the right; what ``build_tokenizer`` gives, at array speed."""
    longest = max(map(len, texts), default=0)
    if longest > length:
        raise ValueError(f"a text of {longest} characters does not fit {length} tokens")
    padded = "".join(text.ljust(length, "\0") for text in texts).encode("ascii")
    return _ids(alphabet)[np.frombuffer(padded, dtype=np.uint8)].reshape(len(texts), length)


def decode(ids_BT: np.ndarray, *, alphabet: str = CHAIN.alphabet) -> tuple[list[str], list[bool]]:
    """The text before the end token of each row, and whether there was an end token."""
    characters = np.array(["", "", *alphabet])
    texts: list[str] = []
    finished: list[bool] = []
    for row in ids_BT:
        ends = np.flatnonzero(row == END_ID)
        cut = int(ends[0]) if len(ends) else len(row)
        texts.append("".join(characters[row[:cut]]))
        finished.append(bool(len(ends)))
    return texts, finished


def build_tokenizer(family: Family = CHAIN) -> PreTrainedTokenizerFast:
    """Return a transformers tokenizer of one token per character of the family's alphabet."""
    longest = family.sequence_length + 2  # a response that is cut off, a mark that it goes on, and an end token
    return character_tokenizer((PAD_TOKEN, END_TOKEN, *family.alphabet), length=longest)


def character_tokenizer(
    tokens: Sequence[str], *, length: int, replaced: Mapping[str, str] | None = None
) -> PreTrainedTokenizerFast:
    """Return a tokenizer of these tokens in the order of their ids; texts of ``replaced`` are replaced before."""
    require("tokenizers", extra="lab", purpose="hero lab")
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({token: place for place, token in enumerate(tokens)}, unk_token=PAD_TOKEN))
    core.normalizer = normalizers.Sequence([normalizers.Replace(*pair) for pair in (replaced or {}).items()])
    core.pre_tokenizer = pre_tokenizers.Split(Regex("|".join([*(one for one in tokens if len(one) > 1), "."])), "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD_TOKEN, eos_token=END_TOKEN, padding_side="right", model_max_length=length,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def model_config(family: Family = CHAIN) -> OPTConfig:
    """The configuration of the policy."""
    from transformers import OPTConfig

    return OPTConfig(
        vocab_size=_FIRST_CHAR_ID + len(family.alphabet), hidden_size=64, word_embed_proj_dim=64, ffn_dim=256,
        num_hidden_layers=POLICY_LAYERS, num_attention_heads=4, max_position_embeddings=32, dropout=0.0, layerdrop=0.0,
        init_std=0.06, activation_function="relu", pad_token_id=PAD_ID, bos_token_id=END_ID, eos_token_id=END_ID,
    )  # fmt: skip


def new_policy(seed: int, family: Family = CHAIN) -> PreTrainedModel:
    """An untrained causal language model."""
    require("transformers", extra="lab", purpose="hero lab")
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(model_config(family), attn_implementation="sdpa")
    model.generation_config.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    return model


def load_policy(folder: Path) -> PreTrainedModel:
    """A saved causal language model, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")


def sample(
    model: PreTrainedModel,
    prompt_ids: Tensor,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 1024,
    length: int = CHAIN.response_length,
) -> Tensor:
    """Response token ids, shape (B, length), sampled at a temperature, of which 0 is greedy.

    Torch's global random state is put back afterwards, so that looking at a policy never changes its training.
    """
    import torch

    was_training = model.training
    parts: list[Tensor] = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model.eval()
        for batch in prompt_ids.split(batch_size):
            out = model.generate(  # pyright: ignore[reportCallIssue]  # its mixin is untyped
                input_ids=batch,
                attention_mask=torch.ones_like(batch),
                max_new_tokens=length,
                do_sample=temperature > 0,
                temperature=temperature or 1.0,
                top_k=0,
                top_p=1.0,
            )[:, batch.shape[1] :]
            parts.append(torch.nn.functional.pad(out, (0, length - out.shape[1]), value=PAD_ID))
    model.train(was_training)
    return torch.cat(parts)
