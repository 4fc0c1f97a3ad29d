"""How each kind of reward-model server is asked, and how its answer is read. Data and pure functions; nothing is sent here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hero_rl.http import JSON


class WrongShapeError(ValueError):
    """A reply that is not what this kind of server answers; the message says what it was."""


class Reading(NamedTuple):
    """One rollout as it goes to a server: as text, with its token ids where they are known, or as a conversation."""

    text: str = ""
    ids: tuple[int, ...] | None = None
    messages: tuple[Mapping[str, str], ...] = ()
    """Not empty: the server applies its own chat template."""
    add_special_tokens: bool = True
    """Whether the server has to add what its tokenizer puts around a text (BOS); a chat template has put it there itself."""
    closed: bool = True
    """Whether the response has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One protocol."""

    name: str
    path: str
    payload: Callable[[Sequence[Reading], str | None, bool], dict[str, object]]
    """(rows, model name, raw) -> what is posted. ``raw=False`` asks for what the server would give unasked: the squashed
    score, where it has one."""
    read: Callable[[JSON, int], list[float | None]]
    """(reply, rows) -> one number per row, None where it is none. Raises WrongShapeError."""
    tokens: Callable[[JSON], int | None] = lambda _: None
    """How many tokens the server read, over all rows of the reply; None: it does not say."""
    has_raw: bool = False
    """Whether the request says that raw scores are wanted."""
    takes_messages: bool = False
    takes_special: bool = False
    """Whether the request says if the server adds special tokens."""
    closes: bool = False
    """The server itself puts the end of sequence behind every text."""
    pairs: bool = False
    """The server strips a text of white space and reads it as the second of a pair, after an empty first one."""
    models_path: str | None = None
    """Where it says which model it serves."""
    start: str
    """How such a server is started, for messages."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by name: its functions are not data."""
        return _by_name, (self.name,)


def _by_name(name: str) -> Dialect:
    return DIALECTS[name]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _rows(value: object, rows: int, what: str) -> list[object]:
    if not isinstance(value, list):
        raise WrongShapeError(f"{what} is {_shape(value)} and not a list")
    if len(value) != rows:
        raise WrongShapeError(f"{what} has {len(value)} entries for {rows} texts")
    return value


def _entry(value: object, key: str, what: str) -> object:
    if not isinstance(value, Mapping) or key not in value:
        raise WrongShapeError(f"{what} is {_shape(value)} and has no {key!r}")
    return value[key]


def _only(value: object, what: str) -> object:
    if not isinstance(value, list):
        raise WrongShapeError(f"{what} is {_shape(value)} and not a list of one number")
    if len(value) != 1:
        raise WrongShapeError(
            f"{what} has {len(value)} numbers; a reward model has one output (num_labels=1) and one score per text, not token"
        )
    if isinstance(value[0], list):
        raise WrongShapeError(f"{what} has one score per token; expected one per text (is this a token classifier?)")
    return value[0]


def _shape(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object with " + (", ".join(repr(key) for key in list(value)[:6]) or "nothing in it")
    return {list: "a list", str: "a text", type(None): "null", bool: "a truth value"}.get(type(value), "a number")


def _vllm_payload(rows: Sequence[Reading], model: str | None, raw: bool) -> dict[str, object]:
    payload: dict[str, object] = {"use_activation": not raw}
    if model is not None:
        payload["model"] = model
    if rows[0].messages:  # the protocol has one conversation per request
        payload |= {"messages": list(rows[0].messages), "add_special_tokens": False}
        return payload if rows[0].closed else payload | {"continue_final_message": True}
    return payload | {"input": [row.text for row in rows], "add_special_tokens": rows[0].add_special_tokens}


def _vllm_pooling_payload(rows: Sequence[Reading], model: str | None, raw: bool) -> dict[str, object]:
    return {**_vllm_payload(rows, model, raw), "task": "classify"}


def _by_index(reply: JSON, rows: int, key: str, value: Callable[[object, str], object]) -> list[float | None]:
    """Return the numbers of entries that say which text they belong to; the reply may have another order."""
    scores: dict[object, float | None] = {}
    for place, entry in enumerate(_rows(_entry(reply, key, "the reply"), rows, f"'{key}'")):
        index = entry.get("index", place) if isinstance(entry, Mapping) else place
        scores[index] = _number(value(entry, f"'{key}[{place}]"))
    if set(scores) != set(range(rows)):
        raise WrongShapeError(f"the indices in '{key}' are not those of the texts")
    return [scores[place] for place in range(rows)]


def _vllm_reader(key: str) -> Callable[[JSON, int], list[float | None]]:
    def number(entry: object, where: str) -> object:
        return _only(_entry(entry, key, f"{where}'"), f"{where}.{key}'")

    return lambda reply, rows: _by_index(reply, rows, "data", number)


def _vllm_tokens(reply: JSON) -> int | None:
    usage = reply.get("usage") if isinstance(reply, dict) else None
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count > 0 else None


def _sglang_payload(rows: Sequence[Reading], model: str | None, raw: bool) -> dict[str, object]:
    del raw
    payload: dict[str, object] = {} if model is None else {"model": model}
    if all(row.ids is not None for row in rows):
        return payload | {"input_ids": [list(row.ids or ()) for row in rows]}
    return payload | {"text": [row.text for row in rows]}


def _sglang_read(reply: JSON, rows: int) -> list[float | None]:
    entries = _rows(reply, rows, "the reply")
    return [
        _number(_only(_entry(entry, "embedding", f"entry {place}"), f"'embedding' of entry {place}"))
        for place, entry in enumerate(entries)
    ]


def _sglang_tokens(reply: JSON) -> int | None:
    counts = [
        meta.get("prompt_tokens")
        for entry in (reply if isinstance(reply, list) else [])
        if isinstance(entry, dict) and isinstance(meta := entry.get("meta_info"), dict)
    ]
    return sum(counts) if counts and all(isinstance(count, int) for count in counts) else None  # type: ignore[arg-type]


def _tei_payload(rows: Sequence[Reading], model: str | None, raw: bool) -> dict[str, object]:
    del model
    # A flat list of two texts is one pair to TEI, so every text goes in a list of its own.
    return {"inputs": [[row.text] for row in rows], "truncate": False, "raw_scores": raw}


def _tei_read(reply: JSON, rows: int) -> list[float | None]:
    entries = _rows(reply, rows, "the reply")
    return [_number(_entry(_only(entry, f"entry {place}"), "score", f"entry {place}")) for place, entry in enumerate(entries)]


def _openrlhf_payload(rows: Sequence[Reading], model: str | None, raw: bool) -> dict[str, object]:
    del model, raw
    return {"query": [row.text for row in rows]}


def _openrlhf_read(reply: JSON, rows: int) -> list[float | None]:
    rewards = [_number(value) for value in _rows(_entry(reply, "rewards", "the reply"), rows, "'rewards'")]
    logs = reply.get("extra_logs") if isinstance(reply, dict) else None
    # The protocol has no missing reward: `hero serve` sends 0 in its place, and says so here.
    told = logs.get("rm_ok") if isinstance(logs, dict) else None
    if not isinstance(told, list) or len(told) != rows:
        return rewards
    return [reward if ok else None for reward, ok in zip(rewards, told, strict=True)]


def _infinity_payload(rows: Sequence[Reading], model: str | None, raw: bool) -> dict[str, object]:
    # It serves a model with one output as a reranker, which reads pairs; with an empty query the document is all the text.
    payload: dict[str, object] = {"query": "", "documents": [row.text for row in rows], "raw_scores": raw}
    return payload if model is None else payload | {"model": model}


def _infinity_read(reply: JSON, rows: int) -> list[float | None]:
    return _by_index(reply, rows, "results", lambda entry, where: _entry(entry, "relevance_score", f"{where}'"))


_START_VLLM = "vllm serve MODEL --runner pooling --convert classify"
DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="vllm", path="/classify", payload=_vllm_payload, read=_vllm_reader("probs"), tokens=_vllm_tokens,
            has_raw=True, takes_messages=True, takes_special=True, models_path="/v1/models", start=_START_VLLM,
        ),
        Dialect(
            name="vllm-pooling", path="/pooling", payload=_vllm_pooling_payload, read=_vllm_reader("data"),
            tokens=_vllm_tokens, has_raw=True, takes_messages=True, takes_special=True, models_path="/v1/models",
            start=_START_VLLM,
        ),
        Dialect(
            name="sglang", path="/classify", payload=_sglang_payload, read=_sglang_read, tokens=_sglang_tokens,
            models_path="/v1/models", start="python -m sglang.launch_server --model-path MODEL --is-embedding",
        ),
        Dialect(
            name="tei", path="/predict", payload=_tei_payload, read=_tei_read, has_raw=True,
            models_path="/info", start="text-embeddings-router --model-id MODEL",
        ),
        Dialect(
            name="openrlhf", path="/get_reward", payload=_openrlhf_payload, read=_openrlhf_read, closes=True,
            start="python -m openrlhf.cli.serve_rm",
        ),
        Dialect(
            name="infinity", path="/rerank", payload=_infinity_payload, read=_infinity_read, has_raw=True, pairs=True,
            models_path="/models", start="infinity_emb v2 --model-id MODEL",
        ),
    )
}  # fmt: skip
