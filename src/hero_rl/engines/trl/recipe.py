"""A training run as data: everything that a recipe (TOML) may say, with types and defaults, one class per table.

Recipes in: ``--set`` assignments, a reward file, the recipe and what it extends, merged and checked. Every message names the
file and line, or the --set, that the value came from. Nothing is built or trained here.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from hero_rl.config import RewardConfig, read_reward
from hero_rl.config_checks import KEYS, combined, reason_of
from hero_rl.errors import InputError
from hero_rl.models.loading import fast_dtype, require_transformers
from hero_rl.toml_layers import KeyPath, Layer, assignment, read_file, unknown_key, where

MAX_EXTENDS = 5
OPTIONAL_TABLES = (("sft",), ("batch",), ("vllm",), ("policy", "lora"))
"""``sft = false`` takes away what an extended recipe has; so does ``reward_model = false``."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Lora(_Table):
    """``[policy.lora]``: train an adapter (peft's ``LoraConfig``) and leave the weights as they are."""

    r: PositiveInt = 16
    alpha: PositiveInt = 32
    """Scale of the adapter: alpha / r."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    target_modules: str | list[str] = "all-linear"
    """Names of layers; "all-linear": every linear one but the output."""


class Policy(_Table):
    """``[policy]``: the model that is trained."""

    model: str
    """A folder, a Hugging Face id, or a name of `hero models`."""
    tokenizer: str | None = None
    """By default the model's own."""
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] | None = None
    """Of the weights; ``trl.bf16`` is what TRL computes in. None: see ``default_dtype``."""
    attn_implementation: str | None = None
    eos_token: str | None = None
    """For base models whose chat template closes a turn with another token than the tokenizer's end of sequence."""
    trust_remote_code: bool = False
    lora: Lora | None = None


class ProblemColumns(_Table):
    """``[data.columns]``: columns of the file, or paths into them (``reward_model.ground_truth``)."""

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


class Machine(_Table):
    """``[machine]``: what the recipe was made for; nothing but the estimate of ``--show`` reads it."""

    cards: PositiveInt = 1
    card_gib: PositiveFloat | None = None
    """Memory of a card; a card that is found on this machine goes before it."""
    sharded: bool = False
    """Weights, gradients and optimizer state are split over the cards (FSDP, ZeRO-3)."""


class Recipe(_Table):
    """All of a recipe but its reward, which is described as in a reward file; an empty text means unset."""

    description: str = ""
    policy: Policy
    data: Data
    sft: Sft | None = None
    batch: Batch | None = None
    vllm: dict[str, Any] | None = None
    """Any argument of TRL's GRPOConfig that begins with ``vllm_``, without that; None: sample with transformers."""
    trl: dict[str, Any] = {}
    """Any other argument of TRL's GRPOConfig."""
    machine: Machine = Machine()
    seed: int = 0
    rollouts: NonNegativeInt = 8
    """Prompts per step whose rollouts are written to ``rollouts/`` in the run folder; 0: none."""
    output_dir: str | None = None
    """By default ``runs/`` and the recipe's name."""


class Loaded(NamedTuple):
    """A recipe and its sources."""

    name: str
    """Without folder and suffix for a file, the packaged name otherwise."""
    recipe: Recipe
    reward: RewardConfig
    layers: tuple[Layer, ...]
    """The strongest first."""

    def where(self, *key: str) -> str:
        """Return file and line of a key, as messages begin."""
        return where(self.layers, key)

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default filled in, as TOML can hold it: what is unset is absent."""
        found = self.recipe.model_dump(exclude_none=True) | self.reward.resolved()
        found["policy"].setdefault("dtype", default_dtype(self.recipe.policy))
        return found


def default_dtype(policy: Policy) -> str:
    """Return the type of weights that nobody chose: bfloat16 for an adapter's base on a GPU that has it, else float32.

    Not for weights that are trained themselves: AdamW moves a weight by about the learning rate, and at 1e-6 that is less than
    half the distance between bfloat16 numbers from 5e-4 on, so that nearly all weights would stay where they are.
    """
    if policy.lora is None:
        return "float32"
    require_transformers("hero train")
    return fast_dtype()


def packaged() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    root = Path(str(resources.files("hero_rl") / "recipes"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.toml"))}


def load_recipe(name: str, assignments: Sequence[str] = (), *, reward: Path | None = None) -> Loaded:
    """Return the recipe of a file or of a packaged name, with a reward file and assignments on top.

    Args:
        name: path of a TOML file, or the name of a packaged recipe such as ``paper/qwen3-4b-hard``.
        assignments: such as ``trl.learning_rate=2e-6``; a value that is no TOML is taken as text.
        reward: a reward file, whose tables are stronger than those of the recipe.

    Raises:
        InputError: no such recipe, not TOML, an unknown key, a value of the wrong type or out of range.
    """
    sets = [assignment(text) for text in reversed(assignments)]
    for layer in sets:
        if "extends" in layer.values:
            raise InputError(f"{layer.label}: a recipe extends another in its file only")
    sources = [sets, [read_file(reward)] if reward else [], *([layer] for layer in _files(name))]
    layers = tuple(layer for group in sources for layer in group)
    found = combined(sources)
    found.pop("extends", None)
    for *parents, table in OPTIONAL_TABLES:
        inside = found.get(parents[0], {}) if parents else found
        if isinstance(inside, dict) and inside.get(table) is False:
            del inside[table]
    try:
        recipe = Recipe.model_validate({key: value for key, value in found.items() if key not in KEYS})
    except ValidationError as error:
        # a missing key is often only a misspelt one, which is then the message to read first
        items = sorted(error.errors(), key=lambda item: item["type"] == "missing")
        raise InputError("\n".join(_explain(item, layers) for item in items)) from None
    config = read_reward(sources, present=False, others=("extends", *Recipe.model_fields))
    return Loaded(name if name in packaged() else Path(name).stem, recipe, config, layers)


def _files(name: str) -> list[Layer]:
    """Return the recipe file and those that it extends, the strongest first."""
    layers: list[Layer] = []
    folder = Path()
    while True:
        path = _find(name, folder, layers)
        layers.append(read_file(path))
        parent = layers[-1].values.get("extends")
        if parent is None:
            return layers
        if not isinstance(parent, str):
            raise InputError(f"{where(layers, ('extends',))}: extends = {parent!r}: name one recipe, as text")
        if len(layers) > MAX_EXTENDS:
            raise InputError(f"{path}: more than {MAX_EXTENDS} recipes extend one another; is it a circle?")
        name, folder = parent, path.parent


def _find(name: str, folder: Path, layers: Sequence[Layer]) -> Path:
    known = packaged()
    path = folder / Path(name).expanduser()
    if path.is_file():
        return path
    if name in known:
        return known[name]
    source = f"{where(layers, ('extends',))}: " if layers else ""
    if path.is_dir():
        raise InputError(f"{source}{path}: is a folder; give a recipe file (TOML)")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; packaged recipes: {', '.join(known)}"
    raise InputError(f"{source}{path}: no such recipe, neither a file nor a packaged name{hint}")


def _explain(item: Any, layers: Sequence[Layer]) -> str:
    key = tuple(str(part) for part in item["loc"])
    place, name = where(layers, key), ".".join(key)
    if item["type"] == "extra_forbidden":
        known = [*_fields(key[:-1]), *(() if key[1:] else KEYS)]
        return unknown_key(place, key, known, f"keys of [{'.'.join(key[:-1])}]" if key[1:] else "keys")
    if item["type"] == "missing":
        return f"{place}: {name!r} is missing; add it, or give --set {name}=..."
    return f"{place}: {name} = {item['input']!r}: {reason_of(item)}"


def _fields(key: KeyPath) -> list[str]:
    model: Any = Recipe
    for part in key:
        annotation = model.model_fields[part].annotation
        model = next(
            kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)
        )
    return list(model.model_fields)
