"""The network of the lab's learned verifier: a transformers classifier that ``hero_rl.learning`` trains like any other.

It reads ``Problem: ...``, ``Reference: ...``, ``Answer: ...`` one character per token, with one small tower for each field and
a head that compares what the towers make of them. The lab's decoder did not learn to compare two numbers in 20 seconds
(docs/log.md). Importing this module registers the network with transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, ModuleDict, ReLU, Sequential
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from hero_lab.families import CHAIN
from hero_lab.family import DIGIT_WORDS
from hero_lab.models import END_TOKEN, PAD_ID, PAD_TOKEN, character_tokenizer

FIELDS = {"Problem:": CHAIN.prompt_length, "\nReference:": 6, "\nAnswer:": CHAIN.response_length - 1}
"""Marker and longest content of each field, in characters: a digit word is one."""
_WORDS = dict(zip((*DIGIT_WORDS, "over"), "abcdefghijk", strict=True))
_SPECIAL = (PAD_TOKEN, END_TOKEN, *FIELDS)
_TOKENS = (*_SPECIAL, *CHAIN.alphabet, *_WORDS.values())


def towers_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of the three fields: markers and characters, spaces dropped, a word of a reference one character."""
    return character_tokenizer(_TOKENS, length=sum(FIELDS.values()) + len(FIELDS) + 1, replaced={**_WORDS, " ": ""})


class TowersConfig(PreTrainedConfig):
    """The size of the network."""

    model_type = "hero-lab-towers"

    def __init__(self, width: int = 128, embedding: int = 32, **options: Any) -> None:
        """Set the width of the hidden layers and of the embedding of a field."""
        super().__init__(**options)
        self.width, self.embedding = width, embedding


class Towers(PreTrainedModel):
    """One logit for whether the answer equals the reference."""

    config_class = TowersConfig

    def __init__(self, config: TowersConfig) -> None:
        """Make an untrained network, for which equal embeddings are equivalent."""
        super().__init__(config)
        width, embedding = config.width, config.embedding
        self.towers = ModuleDict({
            str(place): Sequential(Linear(length * len(_TOKENS), width), ReLU(), Linear(width, embedding))
            for place, length in enumerate(FIELDS.values())
        })  # fmt: skip
        self.head = Sequential(Linear(3 * embedding, width), ReLU(), Linear(width, 1))
        self.distance = Linear(1, 1)
        with torch.no_grad():
            self.distance.weight.fill_(-1.0)
            self.distance.bias.fill_(1.0)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Keep what the layers' own constructors drew."""

    def forward(self, input_ids: Tensor, labels: Tensor | None = None, **unused: Any) -> SequenceClassifierOutput:
        """Return the logits, shape (B, 1), and with labels the cross-entropy."""
        problem, reference, answer = (
            self.towers[str(place)](_one_hot(input_ids, len(_SPECIAL) - len(FIELDS) + place, length).flatten(1))
            for place, length in enumerate(FIELDS.values())
        )
        difference = reference - answer
        compared = self.head(torch.cat([difference, reference * answer, problem], dim=1))
        logits = compared + self.distance(difference.square().sum(1, keepdim=True))
        loss = None if labels is None else torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _one_hot(ids_BT: Tensor, marker: int, length: int) -> Tensor:
    """The characters between a marker and the next special token, shape (B, length, tokens)."""
    start_B = (ids_BT == marker).int().argmax(1)
    places = start_B[:, None] + 1 + torch.arange(length, device=ids_BT.device)
    padded = torch.nn.functional.pad(ids_BT, (0, length + 1), value=PAD_ID)
    found = padded.gather(1, places)
    found = found.masked_fill((found < len(_SPECIAL)).cumsum(1) > 0, PAD_ID)
    return torch.nn.functional.one_hot(found, len(_TOKENS)).float()


AutoConfig.register(TowersConfig.model_type, TowersConfig)
AutoModelForSequenceClassification.register(TowersConfig, Towers)
