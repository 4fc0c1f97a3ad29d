"""``ByField``: each row goes to the verifier that a column names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hero_rl.cache import code_identity
from hero_rl.errors import InputError
from hero_rl.loop import together
from hero_rl.types import Rollout, Verdict, Verifier, one_each, read_column
from hero_rl.verifiers.combined import CombinedVerifier

MAX_SHOWN_CHARS = 80


class ByField(CombinedVerifier):
    """Route each row to one of several verifiers by the value of a column, such as ``data_source`` or ``answer_type``.

    >>> from hero_rl.verifiers import ColumnVerifier, ExactVerifier
    >>> verifier = ByField("data_source", {"gsm8k": ExactVerifier(), "labelled": ColumnVerifier("correct")})
    >>> verifier.name
    'by:data_source(gsm8k=exact, labelled=column:correct)'

    Args:
        column: a column of the rows, in ``Rollout.extra``.
        verifiers: values of that column and the verifier of each; one verifier may serve several values. Numbers and flags in
            the column count as their JSON text.

    Raises:
        InputError: no column, or no verifiers.
    """

    def __init__(self, column: str, verifiers: Mapping[str, Verifier]) -> None:
        if not column or not verifiers:
            raise InputError(f"ByField(column={column!r}) needs a column and one verifier or more, and has {len(verifiers)}")
        self.column = column
        self.verifiers = dict(verifiers)
        named = ", ".join(f"{value}={verifier.name}" for value, verifier in self.verifiers.items())
        self._combine(f"by:{column}({named})", tuple(self.verifiers.values()), [column])

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in order; the verifiers work side by side.

        Raises:
            InputError: a row lacks the column, or has a value that no verifier is given for.
        """
        shares = self._shares(rollouts)
        found = await together(*(verifier.averify([rollouts[row] for row in rows]) for verifier, rows in shares))
        verdicts: dict[int, Verdict] = {}
        for (verifier, rows), theirs in zip(shares, found, strict=True):
            verdicts |= zip(rows, one_each(verifier.name, theirs, rows), strict=True)
        return [verdicts[row] for row in range(len(rollouts))]

    @property
    def identity(self) -> str | None:
        """Everything but the rollout that decides a verdict; None where one of the verifiers has none."""
        parts = {value: verifier.identity for value, verifier in sorted(self.verifiers.items())}
        if None in parts.values():
            return None
        named = "; ".join(f"{value!r}={identity}" for value, identity in parts.items())
        return f"by({self.column!r}: {named}; {code_identity('by.py')})"

    def take_metrics(self) -> dict[str, float]:
        """Return what the verifiers counted since the last call, each under its value, for a training log."""
        return {
            f"{value}/{name}": number
            for value, verifier in self._by_first_value()
            for name, number in verifier.take_metrics().items()
        }

    def cache_use(self) -> dict[str, dict[str, int | float]]:
        """Return how often the verifiers' caches knew the result, each under its value."""
        return {
            f"{name}, {value}": use for value, verifier in self._by_first_value() for name, use in verifier.cache_use().items()
        }

    def _by_first_value(self) -> list[tuple[str, Verifier]]:
        first = {id(verifier): value for value, verifier in reversed(self.verifiers.items())}
        return [(first[id(verifier)], verifier) for verifier in self._parts]

    def _shares(self, rollouts: Sequence[Rollout]) -> list[tuple[Verifier, list[int]]]:
        """The verifiers that have something to do, and their rows."""
        rows: dict[int, list[int]] = {}
        for row, rollout in enumerate(rollouts):
            rows.setdefault(id(self._verifier_of(rollout)), []).append(row)
        return [(verifier, rows[id(verifier)]) for verifier in self._parts if id(verifier) in rows]

    def _verifier_of(self, rollout: Rollout) -> Verifier:
        value = read_column(rollout, self.column, f"verifier 'by:{self.column}'")
        found = self.verifiers.get(_text(value))
        if found is None:
            raise InputError(
                f"verifier 'by:{self.column}': the row of prompt_id {rollout.prompt_id!r} has the value "
                f"{repr(value)[:MAX_SHOWN_CHARS]}; known are {', '.join(map(repr, self.verifiers))}"
            )
        return found


def _text(value: object) -> str:
    """A value as JSON writes it, text without its quotation marks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
