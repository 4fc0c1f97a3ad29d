"""TRL's two configurations from a recipe: what it passes through, checked, on top of this project's defaults."""

from __future__ import annotations

import dataclasses
import logging
import os
import typing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hero_rl.config_checks import check_table
from hero_rl.engines.trl.recipe import Batch, Loaded, Policy, Sft, default_dtype
from hero_rl.errors import InputError, install_command, require
from hero_rl.models.loading import default_device, fast_dtype
from hero_rl.rewards import RewardRule
from hero_rl.toml_layers import KeyPath

if TYPE_CHECKING:
    from trl.trainer.sft_config import SFTConfig

    from hero_rl.engines.trl import HeroConfig

_BATCH_ARGUMENTS = (
    "per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "generation_batch_size",
)  # fmt: skip
_ELSEWHERE = {
    "output_dir": "output_dir or --output",
    "seed": "seed",
    "model_init_kwargs": "[policy]",
    "trust_remote_code": "policy.trust_remote_code",
    "resume_from_checkpoint": "--resume",
}
_VLLM = "vllm_"

logger = logging.getLogger(__name__)


def grpo_given(loaded: Loaded) -> dict[str, Any]:
    """Return the arguments in ``[trl]`` and ``[vllm]``; raises InputError for one that is unknown, wrong, or said elsewhere."""
    from hero_rl.engines.trl import HeroConfig

    elsewhere = _ELSEWHERE | {"reward_weights": "[rule]", "use_vllm": "a table [vllm]"}
    if loaded.recipe.batch:
        elsewhere |= dict.fromkeys(_BATCH_ARGUMENTS, "[batch]")
    types = _types(HeroConfig)
    ours = {name.removeprefix(_VLLM): types.pop(name) for name in list(types) if name.startswith(_VLLM)}
    elsewhere |= {_VLLM + name: f"vllm.{name}" for name in ours}
    given = _given(loaded, ("trl",), loaded.recipe.trl, types, elsewhere, "arguments of TRL's GRPOConfig")
    if loaded.recipe.vllm is None:
        return given
    what = "arguments of TRL's GRPOConfig that begin with vllm_"
    vllm = _given(loaded, ("vllm",), loaded.recipe.vllm, ours, {}, what)
    return given | {"use_vllm": True} | {_VLLM + name: value for name, value in vllm.items()}


def sft_given(loaded: Loaded) -> dict[str, Any]:
    """Return the arguments in ``[sft.trl]``, checked; raises as ``grpo_given``."""
    from trl.trainer.sft_config import SFTConfig

    elsewhere = _ELSEWHERE | {"num_train_epochs": "sft.epochs", "eos_token": "policy.eos_token"}
    values = loaded.recipe.sft.trl if loaded.recipe.sft else {}
    return _given(loaded, ("sft", "trl"), values, _types(SFTConfig), elsewhere, "arguments of TRL's SFTConfig")


def _types(config_class: type) -> dict[str, Any]:
    hints = typing.get_type_hints(config_class)
    return {one.name: hints[one.name] for one in dataclasses.fields(config_class) if one.init}


def _given(
    loaded: Loaded, table: KeyPath, values: dict[str, Any], types: dict[str, Any], reserved: dict[str, str], what: str
) -> dict[str, Any]:
    """Return the values of a table, checked to be of these types; ``reserved`` are set elsewhere."""
    keys = [(*table, name) for name in values if name in reserved]
    if keys:
        said = (f"{loaded.where(*key)}: {'.'.join(key)!r} is set by {reserved[key[-1]]}; leave it out here" for key in keys)
        raise InputError("\n".join(said))
    return check_table(loaded.layers, table, values, types, what, strict=False)


def grpo_config(loaded: Loaded, given: dict[str, Any], rule: RewardRule, folder: Path) -> HeroConfig:
    """Return the configuration of reinforcement learning; raises InputError for values that TRL refuses together.

    ``given`` is from ``grpo_given``; the rule's own normalisation is the default of ``scale_rewards``.
    """
    from hero_rl.engines.trl import HeroConfig

    recipe = loaded.recipe
    values = _defaults(HeroConfig, recipe.seed, given) | {"scale_rewards": rule.scale} | given
    if recipe.batch:
        values |= _batch_arguments(loaded, recipe.batch, given.get("num_generations", 8))
    return _config(f"{loaded.where('trl')}: [trl]", HeroConfig, values, recipe.policy, folder)


def sft_config(loaded: Loaded, sft: Sft, given: dict[str, Any], folder: Path) -> SFTConfig:
    """Return the configuration of the cold start; arguments as ``grpo_config``."""
    from trl.trainer.sft_config import SFTConfig

    # TRL's own default cuts every example at 1024 tokens, which takes the answer away from a long solution
    values = _defaults(SFTConfig, loaded.recipe.seed, given) | {"max_length": None, "save_strategy": "epoch"} | given
    values |= {"num_train_epochs": sft.epochs, "eos_token": loaded.recipe.policy.eos_token or None}
    return _config(f"{loaded.where('sft', 'trl')}: [sft.trl]", SFTConfig, values, loaded.recipe.policy, folder)


def _defaults(config_class: type, seed: int, given: dict[str, Any]) -> dict[str, Any]:
    """Return this project's defaults; everything else is TRL's default."""
    import torch

    device = default_device("cpu" if given.get("use_cpu") else None)
    # recomputed activations save memory on a GPU and only cost time on a CPU; transformers 5.23 warns of the old name
    old, new = "gradient_checkpointing", "activation_checkpointing"
    recompute = {} if old in given else {new if new in _types(config_class) else old: device.type != "cpu"}
    return recompute | {
        "bf16": not given.get("fp16") and fast_dtype(device=device) == "bfloat16",
        "seed": seed, "report_to": _report_to(), "logging_steps": 1, "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }  # fmt: skip


def _config(where: str, config_class: type, values: dict[str, Any], policy: Policy, folder: Path) -> Any:
    try:
        return config_class(**values, output_dir=str(folder), model_init_kwargs=init_kwargs(policy))
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"{where}: {error}") from error


def _batch_arguments(loaded: Loaded, batch: Batch, num_generations: int) -> dict[str, int]:
    """Return TRL's batch sizes, in forward passes of this many processes, from sizes in prompts."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    at_once = batch.responses_per_device * processes
    per_step = batch.prompts_per_step * num_generations
    if per_step % at_once:
        raise InputError(
            f"{loaded.where('batch', 'responses_per_device')}: {batch.prompts_per_step} prompts a step x {num_generations} "
            f"responses = {per_step} do not divide by {batch.responses_per_device} a device x {processes} processes; change "
            "responses_per_device or the number of processes"
        )
    if batch.prompts_per_generation % batch.prompts_per_step:
        raise InputError(
            f"{loaded.where('batch', 'prompts_per_generation')}: prompts_per_generation={batch.prompts_per_generation} is no "
            f"multiple of prompts_per_step={batch.prompts_per_step}"
        )
    accumulation = per_step // at_once
    return {
        "per_device_train_batch_size": batch.responses_per_device,
        "gradient_accumulation_steps": accumulation,
        "steps_per_generation": accumulation * (batch.prompts_per_generation // batch.prompts_per_step),
    }


def _report_to() -> str:
    if find_spec("tensorboard") or find_spec("tensorboardX"):
        return "tensorboard"
    logger.warning("tensorboard is not installed, so metrics go to history.jsonl alone: %s", install_command("train"))
    return "none"


def adapter_config(policy: Policy) -> Any:
    """Return peft's configuration of the adapter, or None if the weights themselves are trained."""
    if policy.lora is None:
        return None
    peft = require("peft", extra="train", purpose="[policy.lora]")
    lora = policy.lora
    return peft.LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.target_modules, task_type="CAUSAL_LM",
        revision=policy.revision or None,
    )  # fmt: skip


def init_kwargs(policy: Policy) -> dict[str, Any]:
    """Return the arguments with which the policy's weights are loaded."""
    arguments = {
        "dtype": policy.dtype or default_dtype(policy), "revision": policy.revision,
        "attn_implementation": policy.attn_implementation, "trust_remote_code": policy.trust_remote_code or None,
    }  # fmt: skip
    return {name: value for name, value in arguments.items() if value}
