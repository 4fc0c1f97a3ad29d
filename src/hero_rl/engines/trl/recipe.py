"""A training run as data: everything that a recipe (TOML) may say, with types and defaults.

One class per table; ``recipe_files`` reads the files. Nothing is loaded, built or trained here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Policy(_Table):
    """``[policy]``: the model that is trained."""

    model: str
    """A folder or a Hugging Face id."""
    tokenizer: str | None = None
    """By default the model's own."""
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    """Of the weights; ``trl.bf16`` is what TRL computes in."""
    attn_implementation: str | None = None
    eos_token: str | None = None
    """For base models whose chat template closes a turn with another token than the tokenizer's end of sequence."""
    trust_remote_code: bool = False


class ProblemColumns(_Table):
    """``[data.columns]``: what the columns are called in the file."""

    problem: str = "problem"
    reference: str = "reference"


class Data(_Table):
    """``[data]``: problems with reference answers, and how a problem becomes a prompt."""

    path: str
    """A .jsonl, .jsonl.gz or .parquet file, or a Hugging Face dataset id."""
    name: str | None = None
    """Configuration of a Hugging Face dataset."""
    split: str = "train"
    eval_path: str | None = None
    """By default ``path``, if ``eval_split`` is given."""
    eval_split: str | None = None
    limit: PositiveInt | None = None
    """Take the first so many problems."""
    eval_limit: PositiveInt | None = None
    columns: ProblemColumns = ProblemColumns()
    max_prompt_length: PositiveInt | None = None
    """In tokens; problems with longer prompts are left out."""
    format: Literal["chat", "plain"] | None = None
    """Chat template or bare text; by default chat if the tokenizer has a template."""
    system_prompt: str | None = None
    prompt_template: str = "{problem}"
    """The text, or user turn, in which ``{problem}`` is replaced."""


class SftColumns(_Table):
    """``[sft.columns]``: what the columns are called in the file."""

    problem: str = "problem"
    response: str = "response"


class Sft(_Table):
    """``[sft]``: the cold start before reinforcement learning."""

    path: str
    """Problems with the responses to imitate: a file of rollouts that were found correct, or a Hugging Face dataset id."""
    name: str | None = None
    split: str = "train"
    limit: PositiveInt | None = None
    columns: SftColumns = SftColumns()
    epochs: PositiveFloat = 2.0
    trl: dict[str, Any] = {}
    """Any other argument of TRL's SFTConfig."""


class Batch(_Table):
    """``[batch]``: batch sizes in prompts, the same on any number of processes."""

    prompts_per_generation: PositiveInt
    """Prompts that are sampled before the policy moves."""
    prompts_per_step: PositiveInt
    """Prompts of one optimizer step."""
    responses_per_device: PositiveInt
    """Responses of one forward and backward pass on one device: as many as its memory holds."""


class Recipe(_Table):
    """All of a recipe. The keys of the file are the fields of these classes; an empty text means unset."""

    description: str = ""
    policy: Policy
    data: Data
    sft: Sft | None = None
    rule: dict[str, Any] = {}
    """This and the next two: the reward, as in a reward file (``hero_rl.config``)."""
    verifier: dict[str, Any] = {}
    reward_model: dict[str, Any] | None = None
    batch: Batch | None = None
    trl: dict[str, Any] = {}
    """Any argument of TRL's GRPOConfig."""
    max_failure_rate: float = 0.1
    seed: int = 0
    output_dir: str | None = None
    """By default ``runs/`` and the recipe's name."""
