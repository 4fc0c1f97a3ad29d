"""A launch script and a configuration for verl: the paper's settings, for any model and any number of GPUs, ready to edit.

Plain text with a comment wherever the paper is silent; verl's own configuration fills in the rest. Problems become the rows
that verl trains on, with both the prompt and the bare problem, which the reward model needs.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from hero_rl.data.problems import VERDICT_COLUMNS
from hero_rl.data.tables import read_records
from hero_rl.errors import InputError, require
from hero_rl.files import locked, replacing
from hero_rl.rewards import make_rule

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
_CHAT_TEMPLATE = """\
    # Silent: the prompt format. A base model made from Llama, whose tokenizer has no chat template: bare text.
    custom_chat_template: "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""
PAPER_RM, DEFAULT_RM = "nvidia/AceMath-7B-RM", "Skywork/Skywork-Reward-V2-Qwen3-4B"
_SYSTEM_PROMPT = """\
    # The system turn of the model's own card; the paper does not mention one.
    system_prompt: "Please reason step by step, and check your final answer within \\\\boxed{}."
"""
STEP_PROMPTS = 128
FILES = ("hero.yaml", "run.sh", "reward_model.sh")
REGIMES: Mapping[str, float] = {"verifiable": 0.05, "hard": 0.1, "mixed": 0.1}
"""Half-width of HERO's bands for each training set of the paper."""


POLICIES: Mapping[str, Mapping[str, Any]] = {
    "qwen3-4b": {
        "TITLE": "Qwen3-4B-Base", "POLICY": "Qwen/Qwen3-4B-Base", "N": 8, "MAX_RESPONSE": 8192, "KL_COEF": 0.0,
        "CHAT_TEMPLATE": "",
    },
    "octothinker-8b": {
        "TITLE": "OctoThinker-8B-Hybrid-Base", "POLICY": "OctoThinker/OctoThinker-8B-Hybrid-Base", "N": 16,
        "MAX_RESPONSE": 4096, "KL_COEF": 0.001, "CHAT_TEMPLATE": _CHAT_TEMPLATE,
    },
}  # fmt: skip
"""The paper's two policies, with the values in the templates that depend on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlRecipe:
    """The options of ``hero recipe verl``."""

    model: str
    """A key of ``POLICIES``, a Hugging Face id, or a folder."""
    regime: str = "mixed"
    rule: str = "hero"
    policy_path: str | None = None
    """The cold-started checkpoint; None: the base model itself."""
    reward_model: str | None = None
    """By default ``PAPER_RM`` for the paper's policies, ``DEFAULT_RM`` for others."""
    reward_model_urls: tuple[str, ...] = ("http://127.0.0.1:8000",)
    max_response: int | None = None
    """Tokens; by default the paper's, or 4096."""
    nodes: int = 8
    gpus_per_node: int = 4
    problems: Path | None = None
    validation: Path | None = None


def write_recipe(recipe: VerlRecipe, folder: Path) -> list[Path]:
    """Write a configuration, two scripts and, where problems are given, data to ``folder``; return their paths.

    Raises:
        InputError: an unknown regime or rule, a model that is no id, a problem file that cannot be used, a folder that is not
            empty.
        MissingDependencyError: problems are given and pyarrow is not installed.
    """
    policy = _policy(recipe)
    band = _lookup(REGIMES, recipe.regime, "--regime")
    for option, value in (("nodes", recipe.nodes), ("gpus", recipe.gpus_per_node), ("max-response", policy["MAX_RESPONSE"])):
        if value < 1:
            raise InputError(f"--{option} {value}: must be at least 1")
    values = _values(recipe, policy, band)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already, and not an empty folder; give a new one")
    given = {"train": recipe.problems, "validation": recipe.validation}
    data = {name: _rows(path, name, chat=not policy["CHAT_TEMPLATE"]) for name, path in given.items() if path is not None}

    with locked(folder), replacing(folder) as partial:  # an empty folder is replaced, one that was filled meanwhile is not
        partial.mkdir()
        for name in FILES:
            text = (resources.files("hero_rl") / "recipes" / "verl" / name).read_text(encoding="utf-8")
            (partial / name).write_text(_Capitals(text).safe_substitute(values), encoding="utf-8")
            (partial / name).chmod(0o755 if name.endswith(".sh") else 0o644)
        for name, rows in data.items():
            _write_parquet(partial / f"{name}.parquet", rows)
    return [folder / name for name in (*FILES, *(f"{name}.parquet" for name in data))]


def _policy(recipe: VerlRecipe) -> dict[str, Any]:
    """Return the values of the paper's policy of that name, or those of any other model."""
    name = recipe.model
    if name not in POLICIES and "/" not in name:
        close = difflib.get_close_matches(name, POLICIES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(POLICIES)},"
        raise InputError(f"--model {name}: {hint} or give a Hugging Face id (owner/name) or a folder (./name)")
    other = {"TITLE": name, "POLICY": name, "N": 8, "MAX_RESPONSE": 4096, "KL_COEF": 0.0, "CHAT_TEMPLATE": ""}
    found = {"REWARD_MODEL_ID": PAPER_RM if name in POLICIES else DEFAULT_RM, **POLICIES.get(name, other)}
    found |= {"REWARD_MODEL_ID": recipe.reward_model} if recipe.reward_model else {}
    found |= {"MAX_RESPONSE": recipe.max_response} if recipe.max_response is not None else {}
    # the prompt, and what the reward model's template adds
    return {"RM_LENGTH": found["MAX_RESPONSE"] + 2048, **found}


def _values(recipe: VerlRecipe, policy: Mapping[str, Any], band: float) -> dict[str, Any]:
    rule = make_rule(recipe.rule, {"alpha": band, "beta": band} if recipe.rule in ("hero", "gated") else {})
    if rule.steps is not None:
        raise InputError(
            f"--rule {rule.name}: the recipe's reward model is a server, and no server scores steps; write the recipe for "
            "'hero', and see docs/process.md, verl, for what to change"
        )
    table = {"name": rule.name, **rule.settings}
    validates = recipe.validation is not None
    cards = recipe.nodes * recipe.gpus_per_node
    step = -(-STEP_PROMPTS // cards) * cards  # verl wants an equal share for each GPU
    return {
        **policy,
        "REGIME": recipe.regime,
        "RULE": rule.name,
        "RULE_TABLE": "\n".join(f"    {name}: {json.dumps(value)}" for name, value in table.items()),
        # GDPO's source standardises over the batch, which verl does in this estimator
        "ESTIMATOR": "reinforce_plus_plus_baseline" if rule.scale == "batch" else "grpo",
        "BY_STD": _yaml(rule.scale == "group"),
        "POLICY": _yaml(recipe.policy_path or policy["POLICY"]),
        "MAX_TOKENS": 2 * (1024 + policy["MAX_RESPONSE"]),
        "USE_KL": _yaml(policy["KL_COEF"] > 0.0),
        "STEP": step,
        "BATCH": 4 * step,
        "REWARD_MODEL": _yaml(f"vllm:{policy['REWARD_MODEL_ID']}@{','.join(recipe.reward_model_urls)}"),
        "SYSTEM_PROMPT": _SYSTEM_PROMPT if policy["REWARD_MODEL_ID"] == PAPER_RM else "",
        "NODES": recipe.nodes,
        "GPUS": recipe.gpus_per_node,
        "TEST_FREQ": "3" if validates else "-1",
        "VALIDATE": _yaml(validates),
        "NAME": f"{recipe.model.strip('./').replace('/', '-')}-{recipe.regime}-{rule.name}",
    }


def _yaml(value: object) -> str:
    """Return a value as YAML reads it: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


class _Capitals(Template):
    """Fills in ``$NAME`` in capitals only: the scripts have variables of their own, in small letters."""

    idpattern = "[A-Z_]+"
    flags = re.NOFLAG  # Template's default would ignore the case
    braceidpattern = "(?!)"


def _rows(path: Path, split: str, *, chat: bool) -> list[dict[str, Any]]:
    """Return problems as verl's data set reads them."""
    rows = []
    for number, record in enumerate(read_records(path)):
        values = record.values
        for name in ("problem", "reference"):
            if not isinstance(values.get(name), str) or not str(values[name]).strip():
                raise InputError(
                    f"{record.where}: {name!r} is {values.get(name)!r}; each row needs the texts 'problem' and 'reference'"
                )
        problem, reference = str(values["problem"]), str(values["reference"])
        fields = {name: values[name] for name in VERDICT_COLUMNS if values.get(name) is not None}
        # with a chat template the instruction is a system turn, so that the user turn is the bare problem
        prompt = [{"role": "user", "content": problem if chat else f"{problem}\n{INSTRUCTION}\nSolution: "}]
        if chat:
            prompt.insert(0, {"role": "system", "content": INSTRUCTION})
        rows.append(
            {
                "data_source": f"hero/{split}",
                "prompt": prompt,
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": reference},
                "extra_info": {"index": number, "split": split, "problem": problem, **fields},
            }
        )
    return rows


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    require("pyarrow", extra="verl", purpose="hero recipe verl --problems")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _lookup(table: Mapping[str, Any], name: str, option: str) -> Any:
    if name not in table:
        raise InputError(f"{option} {name}: unknown; choose one of {', '.join(table)}")
    return table[name]
