"""The problems and references of a file, each pair once, and its labelled responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hero_rl.data.problem_text import draw
from hero_rl.data.rollouts import Columns, rollout_records
from hero_rl.data.tables import Record
from hero_rl.errors import InputError
from hero_rl.types import Rollout

REFERENCES = ("reference", "references", "answers", "answer")
PROBLEMS = ("problem", "question", "prompt")
_OWN = frozenset({"problem", "reference", "response", "prompt_id", "finished", "steps"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A problem with its reference: what a verifier is attacked on."""

    problem: str
    reference: str
    prompt_id: str
    alternatives: tuple[str, ...] = ()
    """Other right answers."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Other columns of its row, for verifiers that read them."""
    where: str = ""
    """File and line."""

    @property
    def key(self) -> tuple[str, str]:
        """Problem and reference, which tell it apart from other targets."""
        return self.problem, self.reference

    def rollout(self, response: str) -> Rollout:
        """Return a response to it."""
        return Rollout(
            prompt_id=self.prompt_id, problem=self.problem, reference=self.reference, response=response, extra=self.extra
        )


def read_targets(path: Path, columns: Columns | None = None, *, limit: int | None = None, seed: int = 0) -> list[Target]:
    """Return the targets of a file of rollouts or problems, in its order; only those drawn stay in memory.

    The problem stands in `problem`, `question` or `prompt`; the reference in `reference`, `references`, `answers` or `answer`.
    Of a list in one of the last three, the first is the reference and the others are right, too.

    Args:
        path: rollouts or problems.
        columns: how they are read.
        limit: draw so many of them, by a hash of their text; None: take all.
        seed: of the draw.

    Raises:
        InputError: a broken row, a row without a reference column, or no reference at all.
    """
    found: dict[tuple[str, str], Target] = {}
    for record in rollout_records(path, columns):
        target = _target(record)
        if target.reference.strip():
            found.setdefault(target.key, target)
        if limit is not None and len(found) >= 2 * limit:
            found = _drawn(found, limit, seed)
    if limit is not None:
        found = _drawn(found, limit, seed)
    if not found:
        raise InputError(f"{path}: every reference is empty; an attack needs references to perturb")
    return list(found.values())


def _drawn(found: dict[tuple[str, str], Target], limit: int, seed: int) -> dict[tuple[str, str], Target]:
    chosen = set(sorted(found, key=lambda key: draw(seed, *key))[:limit])
    return {key: target for key, target in found.items() if key in chosen}


def labelled_rollouts(
    path: Path, targets: list[Target], columns: Columns | None = None, label: str = "correct"
) -> Iterator[tuple[Rollout, bool]]:
    """Yield the responses to these targets that have a trusted label."""
    wanted = {target.key for target in targets}
    for record in rollout_records(path, columns):
        response, correct = record.values.get("response"), record.values.get(label)
        if not isinstance(response, str) or correct not in (0, 1):
            continue
        target = _target(record)
        if target.key in wanted:
            yield target.rollout(response), bool(correct)


def _target(record: Record) -> Target:
    values, where = record.values, record.where
    column = next((name for name in REFERENCES if values.get(name) is not None), None)
    if column is None:
        raise InputError(
            f"{where}: no reference (this row has: {', '.join(values) or 'no columns'}); "
            f"name the column {', '.join(REFERENCES)}"
        )
    texts = _texts(values[column], where, column)
    if column == "reference" and len(texts) > 1:
        texts = [", ".join(texts)]  # parts of one answer
    more = values.get("references") if column == "reference" else None
    texts += _texts(more, where, "references") if more is not None else []
    problem = next((values[name] for name in PROBLEMS if isinstance(values.get(name), str)), "")
    prompt = values.get("prompt_id", values.get("id", record.number))
    return Target(
        problem=str(problem), reference=texts[0] if texts else "", prompt_id=str(prompt),
        alternatives=tuple(dict.fromkeys(text for text in texts[1:] if text != texts[0])),
        extra={name: value for name, value in values.items() if name not in _OWN}, where=where,
    )  # fmt: skip


def _texts(value: object, where: str, column: str) -> list[str]:
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise InputError(f"{where}: column {column!r} must be a text, a number or a list of them, got {value!r:.60}")
    return [str(item) for item in items]
