"""Problems in: from a file or a Hugging Face dataset to the prompts that TRL trains on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from hero_rl.config_checks import placed
from hero_rl.data.formats import last_user_turn, value_at
from hero_rl.data.problems import VERDICT_COLUMNS
from hero_rl.data.tables import SUFFIXES, files_of, hub_rows, read_values
from hero_rl.engines.trl.recipe import Data, Loaded, Sft
from hero_rl.errors import InputError, first_line
from hero_rl.part_names import route_column

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

Row: TypeAlias = dict[str, Any]
Turn: TypeAlias = dict[str, str]


class Problems(NamedTuple):
    """A dataset with the columns ``prompt``, ``problem`` and ``reference``, and those that decide verdicts."""

    dataset: Dataset
    too_long: int
    """Problems that were left out because their prompt is longer than ``max_prompt_length``."""


def load_problems(loaded: Loaded, tokenizer: PreTrainedTokenizerBase) -> Problems:
    """Return the training problems of a recipe; raises InputError for a place, column or value that is wrong."""
    data = loaded.recipe.data
    rows = _rows(loaded.where("data", "path"), data.path, data.name, data.split, data.limit)
    return _problems(loaded, tokenizer, rows, data.path)


def load_eval_problems(loaded: Loaded, tokenizer: PreTrainedTokenizerBase) -> Problems | None:
    """Return the evaluation problems of a recipe, or None if it names none; raises as ``load_problems``."""
    data = loaded.recipe.data
    if not data.eval_path and not data.eval_split:
        return None
    path = data.eval_path or data.path
    rows = _rows(loaded.where("data", "eval_path"), path, data.name, data.eval_split or data.split, data.eval_limit)
    return _problems(loaded, tokenizer, rows, path)


def load_cold_start(loaded: Loaded, sft: Sft, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Return prompts, in the form of the recipe's own, and the responses to imitate; raises as ``load_problems``."""
    from datasets import Dataset

    data = loaded.recipe.data
    where = loaded.where("sft", "path")
    examples: list[Row] = []
    for at, row in _rows(where, sft.path, sft.name, sft.split, sft.limit):
        prompt = _prompt(loaded, tokenizer, data, _text(at, row, sft.columns.problem, "sft.columns.problem"))
        response = _text(at, row, sft.columns.response, "sft.columns.response")
        completion = response if isinstance(prompt, str) else [{"role": "assistant", "content": response}]
        examples.append({"prompt": prompt, "completion": completion})
    if not examples:
        raise InputError(f"{where}: {sft.path}: has no rows; a cold start needs problems with responses")
    return Dataset.from_list(examples)


def _problems(loaded: Loaded, tokenizer: PreTrainedTokenizerBase, rows: Iterator[tuple[str, Row]], path: str) -> Problems:
    from datasets import Dataset
    from pyarrow import ArrowException

    data = loaded.recipe.data
    read = _columns_read(loaded)
    kept: list[Row] = []
    too_long = 0
    for at, row in rows:
        problem = _text(at, row, data.columns.problem, "data.columns.problem")
        prompt = _prompt(loaded, tokenizer, data, problem)
        if data.max_prompt_length is not None and _length(tokenizer, prompt) > data.max_prompt_length:
            too_long += 1
            continue
        reference = _text(at, row, data.columns.reference, "data.columns.reference", number=True)
        fields = {name: row[name] for name in read if row.get(name) is not None}
        kept.append({"prompt": prompt, "problem": problem, "reference": reference, **fields})
    if not kept:
        why = (
            f"all {too_long} prompts are longer than max_prompt_length={data.max_prompt_length}" if too_long else "has no rows"
        )
        raise InputError(f"{path}: {why}; there is nothing to train on")
    names = dict.fromkeys(name for row in kept for name in row)  # from_list takes the names of the first row
    try:
        return Problems(Dataset.from_list([{name: row.get(name) for name in names} for row in kept]), too_long)
    except ArrowException as error:
        raise InputError(f"{path}: one of the columns {', '.join(read)} is not of one type ({first_line(error)})") from error


def _columns_read(loaded: Loaded) -> list[str]:
    """Return the columns beside problem and reference that decide verdicts."""
    verifier = loaded.reward.verifier
    routes = (route_column(verifier["name"]), route_column(verifier.get("fallback")))
    return sorted({*VERDICT_COLUMNS, *(column for column in routes if column)} - {"reference", "prompt", "problem"})


def _prompt(loaded: Loaded, tokenizer: PreTrainedTokenizerBase, data: Data, problem: str) -> str | list[Turn]:
    has_template = bool(tokenizer.chat_template)
    if data.format == "chat" and not has_template:
        raise InputError(f"{loaded.where('data', 'format')}: format = 'chat' and the policy's tokenizer has no chat template")
    # str.replace, not str.format: problems and templates are full of braces
    text = data.prompt_template.replace("{problem}", problem)
    if data.format == "plain" or not has_template:
        if data.system_prompt:
            raise InputError(
                f"{loaded.where('data', 'system_prompt')}: plain prompts have no system turn; write it into prompt_template"
            )
        return text
    system: list[Turn] = [{"role": "system", "content": data.system_prompt}] if data.system_prompt else []
    return [*system, {"role": "user", "content": text}]


def _length(tokenizer: PreTrainedTokenizerBase, prompt: str | list[Turn]) -> int:
    if isinstance(prompt, str):
        return len(tokenizer(prompt)["input_ids"])  # pyright: ignore[reportArgumentType]
    encoding = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=True)
    return len(encoding["input_ids"])  # pyright: ignore[reportCallIssue,reportArgumentType,reportIndexIssue]


def _text(at: str, row: Row, column: str, key: str, *, number: bool = False) -> str:
    try:
        value = value_at(row, column)
    except InputError as error:
        raise InputError(f"{at}: {error}; or name it with {key}") from None
    value = last_user_turn(value) if key.endswith(".problem") else value
    if number and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{at}: column {column!r} holds {str(value)[:60]!r}; it must be a text that is not empty")
    return value


def _rows(where: str, path: str, name: str | None, split: str, limit: int | None) -> Iterator[tuple[str, Row]]:
    """Return place and values of each row, at most ``limit``."""
    file = Path(path).expanduser()
    if not file.exists() and not path.endswith(SUFFIXES) and path.count("/") <= 1:
        hint = f"there is no such file here either ({', '.join(SUFFIXES)})"
        rows = hub_rows(path, name, split, where=where, hint=hint)
    else:
        with placed(where):
            files_of(file)  # raises where there are none
        rows = read_values(file)
    return islice(((at, dict(values)) for at, values in rows), limit)
