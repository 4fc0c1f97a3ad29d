"""``ByField``: each row goes to the verifier that a column names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from hero_rl.errors import InputError
from hero_rl.loop import together
from hero_rl.types import Rollout, Verdict, Verifier
from hero_rl.verifiers.fingerprint import code_identity, columns_of

MAX_SHOWN_CHARS = 80


class ByField(Verifier):
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
        self._distinct = tuple({id(verifier): verifier for verifier in verifiers.values()}.values())
        self.learned = any(verifier.learned for verifier in self._distinct)
        self.columns = tuple(sorted({column, *columns_of(*self._distinct)}))
        self.name = f"by:{column}({', '.join(f'{value}={verifier.name}' for value, verifier in self.verifiers.items())})"

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in order; the verifiers work side by side.

        Raises:
            InputError: a row lacks the column, or has a value that no verifier is given for.
        """
        shares = self._shares(rollouts)
        found = await together(*(verifier.averify([rollouts[row] for row in rows]) for verifier, rows in shares))
        return self._in_order(rollouts, shares, found)

    @property
    def identity(self) -> str | None:
        """Everything but the rollout that decides a verdict; None where one of the verifiers has none."""
        parts = {value: verifier.identity for value, verifier in sorted(self.verifiers.items())}
        if None in parts.values():
            return None
        named = "; ".join(f"{value!r}={identity}" for value, identity in parts.items())
        return f"by({self.column!r}: {named}; {code_identity('by.py')})"

    def warm(self) -> None:
        """Warm all."""
        for verifier in self._distinct:
            verifier.warm()

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

    def close(self) -> None:
        """Close all, the others although one refuses; safe to call twice."""
        with ExitStack() as stack:
            for verifier in self._distinct:
                stack.callback(verifier.close)

    def _by_first_value(self) -> list[tuple[str, Verifier]]:
        first = {id(verifier): value for value, verifier in reversed(self.verifiers.items())}
        return [(first[id(verifier)], verifier) for verifier in self._distinct]

    def _shares(self, rollouts: Sequence[Rollout]) -> list[tuple[Verifier, list[int]]]:
        """The verifiers that have something to do, and their rows."""
        rows: dict[int, list[int]] = {}
        for row, rollout in enumerate(rollouts):
            rows.setdefault(id(self._verifier_of(rollout)), []).append(row)
        return [(verifier, rows[id(verifier)]) for verifier in self._distinct if id(verifier) in rows]

    def _verifier_of(self, rollout: Rollout) -> Verifier:
        if self.column not in rollout.extra:
            columns = ", ".join(sorted(map(str, rollout.extra))) or "none"
            raise InputError(
                f"verifier 'by:{self.column}': the row of prompt_id {rollout.prompt_id!r} has no column {self.column!r}; "
                f"its extra columns: {columns}"
            )
        value = rollout.extra[self.column]
        found = self.verifiers.get(_text(value))
        if found is None:
            raise InputError(
                f"verifier 'by:{self.column}': the row of prompt_id {rollout.prompt_id!r} has the value "
                f"{repr(value)[:MAX_SHOWN_CHARS]}; known are {', '.join(map(repr, self.verifiers))}"
            )
        return found

    def _in_order(
        self, rollouts: Sequence[Rollout], shares: Sequence[tuple[Verifier, list[int]]], found: Sequence[list[Verdict]]
    ) -> list[Verdict]:
        verdicts: dict[int, Verdict] = {}
        for (verifier, rows), theirs in zip(shares, found, strict=True):
            if len(theirs) != len(rows):
                raise InputError(f"the verifier {verifier.name!r} gave {len(theirs)} verdicts for {len(rows)} rollouts")
            verdicts |= dict(zip(rows, theirs, strict=True))
        return [verdicts[row] for row in range(len(rollouts))]


def _text(value: object) -> str:
    """A value as JSON writes it, text without its quotation marks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
