"""Rollouts as other tools write them, row by row to the columns of our own format.

Sources of the columns: verl 0.9.1 (``RayPPOTrainer._write_generations``, data preprocessing), TRL 1.16 (``GRPOTrainer.log``),
NeMo-Gym (``rollout_collection.py``, August 2026), prime-rl (``FileMonitor``, August 2026; before it ``save_rollouts``, in the
format of verifiers 0.1) and OpenRLHF (``batch_inference.py``, in its releases until 0.9).
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from hero_rl.errors import InputError, shown
from hero_rl.types import LEARNED_YES

TEXTS = ("problem", "reference", "response")
OWN = (*TEXTS, "prompt_id")
Places: TypeAlias = Mapping[str, tuple[str, ...]]


class Format(NamedTuple):
    """The columns of one tool."""

    known_by: tuple[str, ...]
    """Places that every row has."""
    places: Places
    """By column of ours, where it may stand; the first place that a row has counts."""


_REFERENCES = ("reference", "answer", "expected_answer", "ground_truth", "solution")
FORMATS: Mapping[str, Format] = {
    "hero": Format(TEXTS, {name: (name,) for name in TEXTS}),
    "nemo-gym": Format(
        ("responses_create_params", "response.output"),
        {"problem": ("responses_create_params.input",), "reference": _REFERENCES, "response": ("response.output",)},
    ),
    "prime-rl": Format(
        ("prompt", "completion", "example_id"),
        {"problem": ("prompt",), "reference": ("answer", "info.answer"), "response": ("completion",)},
    ),
    "verl": Format(("input", "output", "gts"), {"problem": ("input",), "reference": ("gts",), "response": ("output",)}),
    "verl-data": Format(
        ("prompt", "reward_model.ground_truth"),
        {"problem": ("prompt",), "reference": ("reward_model.ground_truth",), "response": ("responses", "response", "output")},
    ),
    "trl": Format(
        ("prompt", "completion"), {"problem": ("prompt",), "reference": _REFERENCES, "response": ("completion",)}
    ),
    "openrlhf": Format(
        ("input", "output"),
        {"problem": ("input",), "reference": ("label", *_REFERENCES), "response": ("output",), "rm_score": ("reward",)},
    ),
}  # fmt: skip
NAMES = ("auto", *FORMATS)
_GUESSED: Places = {
    "problem": ("problem", "question", "prompt", "query"), "reference": _REFERENCES,
    "response": ("response", "responses", "completion", "completions", "output", "outputs", "generations"),
}  # fmt: skip
_NOT_SPREAD = frozenset({"reference", "problem", "prompt", "messages", "options"})


class Layout(NamedTuple):
    """How the rows of one source are read."""

    format: str
    places: Mapping[str, str]
    """By column of ours, its place in a row; columns that are nowhere are left out."""

    @property
    def is_own(self) -> bool:
        """Whether every column has our own name."""
        return all(name == path for name, path in self.places.items())


def find_layout(first: Mapping[str, object], form: str = "auto", names: Mapping[str, str] | None = None) -> Layout:
    """Return how a source is read, from its first row.

    Args:
        first: the columns of the row.
        form: one of ``NAMES``.
        names: by column of ours, its place, as the user says; they count more than those of the format.

    Raises:
        InputError: an unknown format, or a row that is not in it.
    """
    if form not in NAMES:
        close = difflib.get_close_matches(form, NAMES, n=1)
        raise InputError(
            f"--format {form}: unknown; " + (f"did you mean {close[0]}?" if close else f"one of {', '.join(NAMES)}")
        )
    row = next(unpacked(first), first)
    found = form if form != "auto" else next((name for name, one in FORMATS.items() if _has(row, one.known_by)), "")
    if form not in ("auto", "hero") and not _has(row, missing := FORMATS[form].known_by):
        raise InputError(
            f"--format {form}: a row needs {', '.join(missing)} (this row has: {', '.join(first) or 'no columns'}); leave "
            "--format out, or name the columns with --columns problem=COLUMN,reference=COLUMN,response=COLUMN"
        )
    for path in (names or {}).values():
        value_at(row, path)  # raises for what is not there
    places = FORMATS[found].places if found else _GUESSED
    chosen = {name: path for name, paths in places.items() if (path := next((p for p in paths if _has(row, (p,))), None))}
    if not found and "response" not in chosen:
        chosen = {}  # problems, perhaps: read_targets has names of its own for them
    return Layout(found or "hero", {**{name: name for name in row if name in OWN}, **chosen, **(names or {})})


def translated(
    values: Mapping[str, object], layout: Layout, *, keep: Collection[str] = (), cells: bool = False
) -> Iterator[Mapping[str, object]]:
    """Yield the rollouts of one row, with the columns of our format; a column without a place is left out.

    A list of responses gives one rollout each, and lists of the same length beside it are dealt out.

    Args:
        values: the row.
        layout: where its columns stand.
        keep: columns that stay under their own names, too.
        cells: the values are texts, as in CSV: numbers, flags and lists in them are read.
    """
    for row in unpacked(values):
        if cells:
            texts = {layout.places.get(name) for name in OWN}
            row = {name: value if name in texts else _cell(value) for name, value in row.items()}
        found = {name: value_at(row, path) for name, path in layout.places.items() if _has(row, (path,))}
        moved = {path for name, path in layout.places.items() if name != path and path not in keep}
        rest = {name: value for name, value in row.items() if name not in moved and name not in layout.places}
        if _is_conversation(found.get("problem")):
            rest["prompt"] = found["problem"]
            found["problem"] = last_user_turn(found["problem"])
        if rest.get("verdict") == LEARNED_YES:  # in the table of HeroTrainer
            rest |= {"verdict": 1, "learned": True}
        response = found.get("response")
        if isinstance(response, list) and response and not _is_conversation(response):
            yield from _dealt({**found, **rest}, response)
            continue
        if response == [] and layout.format != "hero":
            found["response"] = ""  # cut off before the first word
        yield {**found, **rest} | ({"response": _response_text(response)} if response else {})


def _dealt(row: Mapping[str, object], responses: Sequence[object]) -> Iterator[Mapping[str, object]]:
    many = [n for n, v in row.items() if isinstance(v, list) and len(v) == len(responses) and n not in _NOT_SPREAD]
    for number, response in enumerate(responses):
        own = {name: cast("list[object]", row[name])[number] for name in many}
        yield {**row, **own, "response": _response_text(response)}


def value_at(row: Mapping[str, object], path: str) -> object:
    """Return the value of a column, or of a place inside one: ``reward_model.ground_truth``, ``messages.0.content``.

    Raises:
        InputError: there is none; the message has no file and line.

    >>> value_at({"prompt": [{"role": "user", "content": "1+1?"}], "a.b": 2}, "prompt.0.content")
    '1+1?'
    """
    if path in row:
        return row[path]
    value: object = row
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            inside = f"; {part!r} is not in {shown(value)}" if value is not row else ""
            raise InputError(f"missing column {path!r} (this row has: {', '.join(row) or 'no columns'}{inside})")
    return value


def last_user_turn(value: object) -> object:
    """Return the text of the last user turn of a conversation; any other value as it is.

    >>> last_user_turn([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}])
    '1+1?'
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    turns = [turn_text(turn) for turn in value if isinstance(turn, Mapping) and turn.get("role") == "user"]
    return turns[-1] if turns else value


def assistant_text(turns: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the assistant's turns of a conversation.

    >>> assistant_text([{"role": "assistant", "content": [{"type": "text", "text": "Two."}]}, {"role": "tool", "content": "2"}])
    'Two.'
    """
    return "\n".join(turn_text(turn) for turn in turns if turn.get("role") == "assistant")


def turn_text(turn: Mapping[str, Any]) -> str:
    """Return the text of a turn, whose content is a string, a list of blocks (some of them images), or null (a tool call)."""
    content = turn.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(block.get("text") or "" for block in content)


def unpacked(values: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the row, or what an episode of prime-rl holds: one row per agent's trace, named as verifiers 0.1 named them."""
    traces, task = values.get("traces"), values.get("task")
    if not isinstance(traces, list) or not isinstance(task, Mapping) or "data" not in task:
        yield values
        return
    group, work = values.get("group"), values.get("run")
    shared: dict[str, object] = {"prompt_id": group["id"]} if isinstance(group, Mapping) and "id" in group else {}
    with_step = {"run": work}
    if _has(with_step, ("run.work.step",)):
        shared["step"] = value_at(with_step, "run.work.step")
    for trace in traces:
        data = {**task["data"], **(trace.get("task") or {}).get("data", {})}
        nodes = [node["message"] for node in trace.get("nodes", ()) if node.get("sampled")]
        rewards = [one for one in (trace.get("rewards") or {}).values() if one]
        yield {
            **shared, **data, "example_id": data.get("idx"), "completion": nodes or "",
            "reward": math.fsum(one["score"] * one.get("weight", 1.0) for one in rewards),
            "agent": (trace.get("agent") or {}).get("name"), "metrics": trace.get("metrics"), "info": trace.get("info"),
        }  # fmt: skip


def _response_text(value: object) -> object:
    if isinstance(value, Mapping) and "role" in value:
        value = [value]
    return assistant_text(cast("list[Mapping[str, Any]]", value)) if _is_conversation(value) else value


def _has(row: Mapping[str, object], paths: Collection[str]) -> bool:
    try:
        for path in paths:
            value_at(row, path)
    except InputError:
        return False
    return True


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, Mapping) for turn in value)


def _cell(value: object) -> object:
    """Return a number, flag, list or object that a cell spells out; null for an empty one; else its text."""
    text = str(value).strip()
    if not text or text.lower() in ("nan", "null", "none"):
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        found = json.loads(text)
    except ValueError:
        return value
    return value if isinstance(found, float) and not math.isfinite(found) else found
