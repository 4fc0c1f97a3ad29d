"""A problem with its reference, as it is read and as it is written: one JSON object a line."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

from hero_rl.data.problem_text import problem_digest, tidy_text
from hero_rl.data.write import json_line
from hero_rl.errors import InputError, clip
from hero_rl.verifiers.boxes import last_boxed
from hero_rl.verifiers.gym import COLUMN as METADATA
from hero_rl.verifiers.latex import split_list
from hero_rl.verifiers.math.fields import COLUMNS as FIELDS

VERDICT_COLUMNS = tuple(sorted({*FIELDS, METADATA} - {"reference"}))
"""Columns beside problem and reference that verifiers read."""

Several: TypeAlias = Literal["alternatives", "together"]
SEVERAL: tuple[Several, ...] = get_args(Several)
"""The meaning of a list of answers. ``alternatives``: each alone is right. ``together``: all of them are the answer."""
Form: TypeAlias = Literal["text", "boxed", "hashes"]
"""Where in its column the reference is: all of it; in the last box of a solution; behind the last `####`."""


class Problem(NamedTuple):
    """One problem, tidied."""

    problem: str
    references: tuple[str, ...]
    """The reference, and what else is right, in the source's order; empty: none was given."""
    source: str
    metadata: str = ""
    """Of a task of reasoning-gym, as JSON text: what its scorer needs."""

    @property
    def prompt_id(self) -> str:
        """The first half of the text's SHA-256, in hex: the same text has the same one in every file."""
        return problem_digest(self.problem).hex()


def make_problem(problem: object, reference: object, source: str, *, form: Form, several: Several) -> Problem:
    """Return the problem of one row; nulls and blanks give an empty text, and no references.

    Args:
        problem: a text or null.
        reference: a text, a number, a list of them, or null.
        source: name of the data set.
        form: the place of the reference in its column.
        several: the meaning of a list.

    Raises:
        InputError: a value of another type; the message has no file and line.
    """
    if problem is not None and not isinstance(problem, str):
        raise InputError(f"the problem must be a text, got {clip(repr(problem), 60)}")
    items = reference if isinstance(reference, list | tuple) else [reference]
    texts = [found for item in items if (found := _reference(item, form))]
    if several == "together" and len(texts) > 1:
        texts = [_together(texts)]
    return Problem(tidy_text(problem or ""), tuple(dict.fromkeys(texts)), source)


def problem_line(problem: Problem) -> str:
    """Return the output line: prompt_id, problem, reference, source; references where more than one is right; metadata."""
    row: dict[str, object] = {
        "prompt_id": problem.prompt_id, "problem": problem.problem, "reference": problem.references[0],
        "source": problem.source,
    }  # fmt: skip
    if len(problem.references) > 1:
        row["references"] = list(problem.references)
    if problem.metadata:
        row[METADATA] = problem.metadata
    return json_line(row)


def _reference(value: object, form: Form) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"the reference must be a text, a number or a list of them, got {clip(repr(value), 60)}")
    text = str(value)
    if form == "boxed":
        text = last_boxed(text) or ""
    elif form == "hashes":
        text = text.rpartition("####")[2] if "####" in text else ""
    return tidy_text(text)


def _together(texts: list[str]) -> str:
    for text in texts:
        if len(split_list(text)) > 1:
            raise InputError(
                f"the answer {clip(repr(text), 60)} is a list itself, so that joining it with others by commas would lose "
                "where it ends; put it into brackets, or leave --several at alternatives"
            )
    return ", ".join(texts)
