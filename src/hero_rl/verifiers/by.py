"""``ByField``: each row goes to the verifier that a column names."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from hero_rl.aside import beside
from hero_rl.errors import InputError
from hero_rl.types import Rollout, Verdict, Verifier
from hero_rl.verifiers.fingerprint import code_identity, columns_of

MAX_SHOWN_CHARS = 80


class ByField:
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
        self.learned = any(getattr(verifier, "learned", False) for verifier in self._distinct)
        self.columns = tuple(sorted({column, *columns_of(*self._distinct)}))
        self.name = f"by:{column}({', '.join(f'{value}={verifier.name}' for value, verifier in self.verifiers.items())})"

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in order; the verifiers work side by side.

        Raises:
            InputError: a row lacks the column, or has a value that no verifier is given for.
        """
        shares = self._shares(rollouts)
        if not shares:
            return []
        (verifier, rows), *others = shares
        waiting = [
            beside(functools.partial(other.verify, [rollouts[row] for row in theirs]), name="hero-by")
            for other, theirs in others
        ]
        first = verifier.verify([rollouts[row] for row in rows])
        return self._in_order(rollouts, shares, [first, *(one.result() for one in waiting)])

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """As ``verify``, without blocking the event loop."""
        shares = self._shares(rollouts)
        tasks = [asyncio.ensure_future(verifier.averify([rollouts[row] for row in rows])) for verifier, rows in shares]
        try:
            return self._in_order(rollouts, shares, list(await asyncio.gather(*tasks)))
        except BaseException:  # where one fails, gather would leave the others at work for nobody
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict.

        Raises:
            AttributeError: one of the verifiers has none.
        """
        parts: list[str] = []
        for value, verifier in sorted(self.verifiers.items()):
            identity = getattr(verifier, "identity", None)
            if not isinstance(identity, str):
                raise AttributeError(f"no identity: the verifier {verifier.name!r} has none")
            parts.append(f"{value!r}={identity}")
        return f"by({self.column!r}: {'; '.join(parts)}; {code_identity('by.py')})"

    @property
    def stats(self) -> dict[str, object]:
        """The statistics of each verifier that keeps some, by the first value that goes to it."""
        found: dict[str, object] = {}
        for value, verifier in self._by_first_value():
            stats = getattr(verifier, "stats", None)
            found |= {} if stats is None else {value: stats}
        return found

    def take_metrics(self) -> dict[str, float]:
        """Return what the verifiers counted since the last call, each under its value, for a training log."""
        found: dict[str, float] = {}
        for value, verifier in self._by_first_value():
            take = getattr(verifier, "take_metrics", None)
            found |= {f"{value}/{name}": number for name, number in (take() if take is not None else {}).items()}
        return found

    def close(self) -> None:
        """Close all, the others although one refuses; safe to call twice."""
        with ExitStack() as stack:
            for verifier in self._distinct:
                stack.callback(verifier.close)

    def __enter__(self) -> ByField:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
