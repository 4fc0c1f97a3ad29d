"""The starting policy: SmolLM2-135M-Instruct, its vocabulary pruned to what the problems use, and a light cold start."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from problems import WRITTEN, Problem, draw_form

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def prune(folder: str, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model and its tokenizer with the tokens of ``texts`` alone, the special ones and those of single bytes.

    A merge is kept where its result is needed, so the texts are cut into the same tokens as before, and any other text into
    more and shorter ones. A fifth of this model's weights are its embeddings.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in content["model"]["merges"]]
    parts = {first + second: (first, second) for first, second in reversed(merges)}
    special = [token["content"] for token in content["added_tokens"]]
    names = {place: token for token, place in vocabulary.items()}
    needed = {names[place] for text in texts for place in tokenizer(text).input_ids}
    for token in (queue := [*needed]):
        queue += [part for part in parts.get(token, ()) if part not in needed]
        needed.update(parts.get(token, ()))
    kept = [token for token in vocabulary if token in needed or token in special or len(token) == 1]
    kept.sort(key=vocabulary.__getitem__)
    places = {token: place for place, token in enumerate(kept)}
    content["model"]["vocab"] = places
    content["model"]["merges"] = [list(pair) for pair in merges if "".join(pair) in needed]
    for token in content["added_tokens"]:
        token["id"] = places[token["content"]]
    smaller = type(tokenizer)(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)), eos_token=tokenizer.eos_token, pad_token=tokenizer.unk_token,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = torch.tensor([vocabulary[token] for token in kept])
    embeddings = torch.nn.Embedding(len(kept), model.config.hidden_size)
    embeddings.weight.data.copy_(model.get_input_embeddings().weight.data[rows])
    model.set_input_embeddings(embeddings)
    model.config.vocab_size = len(kept)
    model.tie_weights()
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id, config.bos_token_id = smaller.eos_token_id, smaller.pad_token_id, None
    model.generation_config.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    return model, smaller


def cold_start(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problems: list[Problem], *, epochs: int, learning_rate: float,
    seed: int, scratch: Path, bf16: bool,
) -> None:  # fmt: skip
    """Teach the model how responses look, on right ones."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rng = random.Random(seed)
    end = tokenizer.eos_token
    rows = [{"prompt": one.prompt, "completion": one.response(draw_form(rng, WRITTEN)) + end} for one in problems]
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(scratch), num_train_epochs=epochs, per_device_train_batch_size=16, learning_rate=learning_rate,
            lr_scheduler_type="cosine", warmup_steps=3, seed=seed, max_length=96, logging_steps=5, save_strategy="no",
            report_to="none", bf16=bf16, use_cpu=True, gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
