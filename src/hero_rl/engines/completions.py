"""From the rows of a trainer (prompts, completions, columns) to rollouts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from hero_rl.data.formats import assistant_text, last_user_turn
from hero_rl.data.rollouts import Reference, read_reference
from hero_rl.errors import InputError
from hero_rl.types import Rollout

Prompt: TypeAlias = str | Sequence[Mapping[str, Any]]


def to_rollouts(
    prompts: Sequence[Prompt],
    completions: Sequence[Prompt],
    completion_ids: Sequence[Sequence[int]] | None,
    columns: Mapping[str, Any],
    ends: Collection[int] | None,
    *,
    needs_reference: bool,
) -> list[Rollout]:
    """Return the rows of a trainer as rollouts.

    ``completion_ids`` are the tokens of the completions and ``ends`` those that end one; None: it is unknown whether a response
    is finished.
    """
    finished: Sequence[bool | None] = [None] * len(completions)
    if completion_ids is not None and ends is not None:
        finished = [bool(ids) and ids[-1] in ends for ids in completion_ids]
    elif isinstance(cut := columns.get("is_truncated"), list):  # ms-swift's
        finished = [not value for value in cut]
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    return [
        to_rollout(prompt, completion, {name: values[row] for name, values in lists.items()}, finished=end,
                   needs_reference=needs_reference)
        for row, (prompt, completion, end) in enumerate(zip(prompts, completions, finished, strict=True))
    ]  # fmt: skip


def to_rollout(
    prompt: Prompt,
    completion: Prompt,
    row: Mapping[str, Any],
    *,
    finished: bool | None = None,
    needs_reference: bool = True,
) -> Rollout:
    """Return one row of a TRL batch as a rollout.

    Args:
        prompt: text, or a conversation.
        completion: text, or the messages that the policy added.
        row: the other columns of the dataset row. Without ``problem`` (the bare problem text), the problem is the prompt's
            text or its last user turn. The rest becomes ``Rollout.extra``.
        finished: whether the policy ended the completion itself.
        needs_reference: False: the row needs no ``reference``, because there is no verifier.

    Raises:
        InputError: no reference, or an object, an empty list or a list of lists in its place.
    """
    if needs_reference and row.get("reference") is None:
        raise InputError(no_reference(row, where="the training data"))
    messages = () if isinstance(prompt, str) else tuple(prompt)
    problem = row.get("problem")
    if not isinstance(problem, str):
        last = last_user_turn(prompt)
        problem = last if isinstance(last, str) else ""
    answer = row.get("reference")
    reference = read_reference(answer)
    if reference is None and needs_reference and isinstance(answer, Mapping | Sequence):
        raise InputError(f"a 'reference' of the training data is {str(answer)[:60]!r}; give text, a number, or a list of them")
    reference = reference or Reference("" if answer is None else str(answer), ())
    return Rollout(
        prompt_id=str(row.get("prompt_id", "")),
        problem=problem,
        reference=reference.text,
        response=completion if isinstance(completion, str) else assistant_text(completion),
        messages=messages,
        finished=finished,
        extra={name: value for name, value in row.items() if name not in ("prompt_id", "problem", "reference")}
        | reference.columns,
    )


def no_reference(columns: Iterable[str], *, where: str) -> str:
    """Return the message for data without references."""
    known = sorted(columns)
    what = "a row with an empty (null) 'reference'" if "reference" in known else "no column 'reference'"
    return (
        f"{where}: {what} (columns: {', '.join(known) or 'none'}); a verifier needs the reference answer of every prompt: "
        "rename or add it"
    )
