"""An estimate of the memory that each card needs, by part: to choose a batch before anything is downloaded.

What is counted, in bytes, with w bytes a weight (2 in bfloat16), P parameters, B responses of T tokens in a forward pass:

    weights         P w
    training        16 for each weight of an adapter (float32: itself, gradient, two moments of AdamW), else 3 P w
    activations     the input of each of L layers, B T hidden w each, and one layer in full with its gradients; all layers in
                    full if they are not recomputed (trl.activation_checkpointing)
    logits          TRL's tiles, at most 4,096 tokens x 32,768 words, twice in float32
    reference       P w if trl.beta > 0; an adapter needs none
    reward model    its weights and one layer of reward_model.max_tokens_per_batch tokens in full, if this process loads it
    sampling        vLLM's share of the card, or the keys and values of a generation batch
    CUDA            1 GiB for the context and libraries

A layer in full keeps 4 hidden + 3 heads x head size + 4 intermediate numbers for each token, of 4 bytes (norms are float32; a
test measures a Qwen3 with an adapter), and 2 for the gradients; no matrix of T x T, as in flash attention. Sharding divides
weights, training and reference by the cards. What sampling holds is freed before training where vLLM sleeps
(vllm.enable_sleep_mode) or is not used, so that only the larger of both counts. Not counted: fragmentation, and an evaluation
batch larger than a training batch. The sum was not compared with a GPU: expect to be off by a fifth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hero_rl.engines.trl.arguments import grpo_given
from hero_rl.engines.trl.recipe import Loaded, Lora, default_dtype
from hero_rl.errors import InputError, first_line
from hero_rl.models.known import resolve

if TYPE_CHECKING:
    from transformers import PretrainedConfig

GIB = 2**30
CUDA_GIB = 1.0
PROMPT_TOKENS = 1024
"""Of a recipe that does not limit its prompts."""
_TILE = (4096, 32768)
_SMALLER = {
    "sampling": "vllm.gpu_memory_utilization", "activations": "batch.responses_per_device",
    "logits": "batch.responses_per_device",
    "reward model": "reward_model.max_tokens_per_batch, or serve it", "training": "[policy.lora], or shard it",
    "weights": "a smaller policy, policy.dtype", "reference": "trl.beta = 0, or [policy.lora]",
}  # fmt: skip


class Sizes(NamedTuple):
    """Sizes of a model that the formula needs."""

    parameters: int
    linear: tuple[tuple[str, int], ...]
    """Name, and inputs plus outputs, of each linear layer but the output: rank x that is the size of its adapter."""
    layers: int
    hidden: int
    attention: int
    """Heads x head size."""
    key_value: int
    intermediate: int

    @property
    def per_token(self) -> int:
        """Numbers that a layer keeps for a token."""
        return 4 * self.hidden + 3 * self.attention + 4 * self.intermediate


def sizes_of(config: PretrainedConfig, *, head: bool = True) -> Sizes:
    """Return the sizes of a model, without its weights; ``head``: with the output layer of a language model."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    with torch.device("meta"):
        model = (AutoModelForCausalLM if head else AutoModel).from_config(config)
    output = model.get_output_embeddings()
    linear = ((name, one) for name, one in model.named_modules() if isinstance(one, torch.nn.Linear) and one is not output)
    text = config.get_text_config()
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    key_values = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return Sizes(
        sum(each.numel() for each in model.parameters()),
        tuple((name, one.in_features + one.out_features) for name, one in linear),
        text.num_hidden_layers, text.hidden_size, text.num_attention_heads * head_size, key_values * head_size,
        text.intermediate_size,
    )  # fmt: skip


def adapter_size(sizes: Sizes, lora: Lora) -> int:
    """Return the weights of an adapter."""
    named = [lora.target_modules] if isinstance(lora.target_modules, str) else lora.target_modules
    return lora.r * sum(size for name, size in sizes.linear if named == ["all-linear"] or name.rpartition(".")[2] in named)


def parts(
    loaded: Loaded, given: Mapping[str, Any], sizes: Sizes, reward_model: Sizes | None, card_gib: float
) -> dict[str, float]:
    """Return GiB of a card by part, as the module says; ``given`` is from ``grpo_given``, a served reward model is None."""
    recipe, policy, batch = loaded.recipe, loaded.recipe.policy, loaded.recipe.batch
    width = 4 if (policy.dtype or default_dtype(policy)) == "float32" else 2
    shards = recipe.machine.cards if recipe.machine.sharded else 1
    rows = batch.responses_per_device if batch else given.get("per_device_train_batch_size", 8)
    length = (recipe.data.max_prompt_length or PROMPT_TOKENS) + given.get("max_completion_length", 512)
    tokens, in_full, gradients = rows * length, sizes.per_token * 4, sizes.per_token * 2
    recomputed = given.get("activation_checkpointing", given.get("gradient_checkpointing", True))
    kept = sizes.layers * (sizes.hidden * width if recomputed else in_full) + gradients + (in_full if recomputed else 0)
    trained = 16 * adapter_size(sizes, policy.lora) if policy.lora else 3 * sizes.parameters * width / shards
    found = {
        "weights": sizes.parameters * width / shards,
        "training": trained,
        "activations": tokens * kept,
        "logits": 8 * min(tokens, _TILE[0]) * _TILE[1],
        "reference": sizes.parameters * width / shards if given.get("beta", 0.0) and not policy.lora else 0.0,
    }
    if reward_model is not None:
        table = loaded.reward.reward_model or {}
        in_float32, batch_tokens = table.get("dtype") == "float32", table.get("max_tokens_per_batch", 32768)
        found["reward model"] = reward_model.parameters * (4 if in_float32 else 2) + batch_tokens * reward_model.per_token * 2
    if recipe.vllm is None:
        group = given.get("num_generations", 8)
        at_once = batch.prompts_per_generation * group / recipe.machine.cards if batch else rows
        found["sampling"] = at_once * length * 2 * sizes.key_value * sizes.layers * 2
    elif recipe.vllm.get("mode", "colocate") == "colocate":
        found["sampling"] = given.get("vllm_gpu_memory_utilization", 0.3) * card_gib * GIB
    return {name: size / GIB for name, size in found.items() if size} | {"CUDA": CUDA_GIB}


def total(found: Mapping[str, float], *, sleeps: bool) -> float:
    """Return the memory of all parts; where sampling ``sleeps`` during training, of the larger of both."""
    sampling, training = found.get("sampling", 0.0), found["activations"] + found["logits"]
    return sum(found.values()) - (min(sampling, training) if sleeps else 0.0)


def lines(loaded: Loaded) -> Iterator[str]:
    """Yield the estimate as lines of text, or one line with the reason why there is none.

    Raises:
        InputError: as ``grpo_given``.
    """
    given = grpo_given(loaded)
    kind, _, name = str((loaded.reward.reward_model or {}).get("name", "")).partition(":")
    try:
        card_gib, card = _card(loaded.recipe.machine.card_gib)
        judge = _sizes(name, head=False) if kind in ("local", "process") else None
        found = parts(loaded, given, _sizes(loaded.recipe.policy.model), judge, card_gib)
    except InputError as error:
        yield f"memory of a card: cannot be known here: {first_line(error)}"
        return
    needed = total(found, sleeps=loaded.recipe.vllm is None or bool(loaded.recipe.vllm.get("enable_sleep_mode")))
    yield f"memory of a card, estimated (engines/trl/memory.py says how): {needed:.1f} of {card_gib:.1f} GiB, {card}"
    for part, size in found.items():
        yield f"    {part:<14}{size:6.1f}"
    if needed > card_gib:
        largest = sorted((part for part in found if part in _SMALLER), key=lambda part: -found[part])[:3]
        hints = "; ".join(f"{part} ({_SMALLER[part]})" for part in largest)
        yield f"does not fit, by {needed - card_gib:.1f} GiB; the largest parts, and what makes them smaller: {hints}"


def _card(claimed: float | None) -> tuple[float, str]:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory / GIB, torch.cuda.get_device_name(0)
    if claimed is None:
        raise InputError("no card is found on this machine; give its memory with --set machine.card_gib=24")
    return claimed, "as [machine] says"


def _sizes(source: str, *, head: bool = True) -> Sizes:
    from transformers import AutoConfig

    source = resolve(source)
    try:
        return sizes_of(AutoConfig.from_pretrained(source, local_files_only=True), head=head)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"the config of {source} is not on this machine, or not that of a language model; hf download {source} config.json"
        ) from error
