"""A response in steps, and the scores of the steps in one number. Text and numbers only; no model, no torch."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import numpy as np

from hero_rl.errors import InputError
from hero_rl.types import FloatArray, IntArray, Rollout

Aggregate: TypeAlias = Literal["min", "mean", "last", "product"]
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"(?:^|(?<=\n))[ \t]{0,12}(```|~~~)[^\n]*")
_BLOCK = re.compile(r"(?<!\\)\\(?P<bracket>[\[\]])|(?P<dollars>\$\$)|\\(?P<side>begin|end)\{(?P<name>[A-Za-z]{1,40}\*?)\}")
_STEP_WORD = r"step[ \t]{1,4}\d{1,4}[ \t*_]{0,4}[:.)\u2013\u2014-]"
_HEADING = re.compile(r"[ \t#>*_-]{0,12}" + _STEP_WORD, re.IGNORECASE)
_INLINE = re.compile(r"(?<=[ \t])" + _STEP_WORD, re.IGNORECASE)


def split_steps(text: str, *, every_line: bool = False) -> tuple[str, ...]:
    r"""Return the steps of a response, in order: ``"".join(steps) == text``, so that no character is lost.

    The first of these rules that gives two steps or more is taken:

    1. a step begins after a blank line, and at a line that begins with "Step 3:" (``**Step 3:**`` and ``### Step 3.`` too);
    2. a step is a line;
    3. a step begins at "Step 3:" inside the line.

    Nothing is cut inside a code fence, ``\[ ... \]``, ``$$ ... $$`` or ``\begin{x} ... \end{x}``, where that block is closed.
    White space between two steps stays at the end of the first; no step is white space alone.

    Args:
        text: the response.
        every_line: begin with rule 2, for reward models that were trained on lines.

    Returns:
        The steps; none for a text without a visible character.

    >>> split_steps("First.\n\nThen\n\\[\n\nx = 1\n\\]\n\nDone.")
    ('First.\n\n', 'Then\n\\[\n\nx = 1\n\\]\n\n', 'Done.')
    """
    if not text.strip():
        return ()
    blocks = _blocks(text)
    rules = (_line_starts, _inline_starts) if every_line else (_paragraph_starts, _line_starts, _inline_starts)
    cuts: list[int] = []
    for rule in rules:
        cuts = [cut for cut in rule(text) if not _inside(cut, blocks)]
        if cuts:
            break
    edges = [0, *cuts, len(text)]
    return tuple(text[start:end] for start, end in itertools.pairwise(edges))


def step_ends(rollout: Rollout, *, every_line: bool = False) -> IntArray:
    """Return where each step ends in the response, in characters: of ``Rollout.steps`` where given, else as split.

    Args:
        rollout: the response.
        every_line: as in ``split_steps``.

    Returns:
        Shape (steps,), not decreasing; none where the steps given are not the response's text in order.

    >>> step_ends(Rollout(prompt_id="", problem="", reference="", response="1;2", steps=("1;", "2"))).tolist()
    [2, 3]
    """
    if not rollout.steps:
        steps = split_steps(rollout.response, every_line=every_line)
        return np.cumsum([len(step) for step in steps], dtype=np.intp)
    ends: list[int] = []
    for step in rollout.steps:
        start = rollout.response.find(step, ends[-1] if ends else 0)
        if start < 0:
            return np.zeros(0, dtype=np.intp)
        ends.append(start + len(step))
    return np.array(ends, dtype=np.intp)


def aggregate_steps(log_odds: FloatArray, aggregate: Aggregate, *, logit: bool = False) -> float:
    """Return one number for a response from the log-odds that each of its steps is right.

    With p = 1 / (1 + exp(-log_odds)):

        min       min p           the response is as good as its weakest step
        mean      mean p
        last      p of the last   what is thought of it at its end
        product   prod p          the chance that all are right, if they were independent; shrinks with the number of steps

    and in logits: min, mean or last of the log-odds; for the product the sum of log p, which no number of steps underflows.

    Args:
        log_odds: shape (steps,), finite.
        aggregate: which of the four.
        logit: False: a probability in [0, 1]. True: unbounded as above (the product: at most 0).

    Returns:
        The number; NaN for no steps.

    >>> aggregate_steps(np.array([0.0, 0.0]), "product")
    0.25
    """
    if len(log_odds) == 0:
        return float("nan")
    if aggregate == "product":
        log_p = float(-np.logaddexp(0.0, -log_odds).sum())
        return log_p if logit else float(np.exp(log_p))
    values = log_odds if logit else probability(log_odds)
    if aggregate == "min":
        return float(values.min())
    return float(values.mean() if aggregate == "mean" else values[-1])


def probability(log_odds: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-log_odds)), without overflow; same shape."""
    return np.exp(-np.logaddexp(0.0, -log_odds))


def check_aggregate(aggregate: str) -> None:
    """Raise InputError for an unknown way to aggregate."""
    if aggregate not in AGGREGATES:
        raise InputError(f"aggregate={aggregate!r} is unknown; choose one of {', '.join(AGGREGATES)}")


def is_numbered(step: str) -> bool:
    """Return whether a step begins with "Step 3:" or the like."""
    return _HEADING.match(step) is not None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for match in _LINE.finditer(text):
        yield match.start(), match.group()


def _paragraph_starts(text: str) -> list[int]:
    starts: list[int] = []
    seen, blank = False, False
    for start, line in _lines(text):
        if not line.strip():
            blank = True
            continue
        if seen and (blank or _HEADING.match(line)):
            starts.append(start)
        seen, blank = True, False
    return starts


def _line_starts(text: str) -> list[int]:
    return [start for start, line in _lines(text) if line.strip()][1:]


def _inline_starts(text: str) -> list[int]:
    first = len(text) - len(text.lstrip())
    return [match.start() for match in _INLINE.finditer(text) if match.start() > first]


def _blocks(text: str) -> list[tuple[int, int]]:
    """Return sorted spans, disjoint, that no step may end in; one pass over openings and closings, linear in the text."""
    fences = list(_FENCE.finditer(text))
    spans = [(opening.start(), closing.end()) for opening, closing in zip(fences[::2], fences[1::2], strict=False)]
    fenced = list(spans)
    opened: dict[str, list[int]] = {}
    for match in _BLOCK.finditer(text):
        if _inside(match.start(), fenced):
            continue
        kind = match["name"] or match["dollars"] or "["
        waiting = opened.setdefault(kind, [])
        closes = match["side"] == "end" or match["bracket"] == "]" or (match["dollars"] and waiting)
        if not closes:
            waiting.append(match.start())
        elif waiting:
            spans.append((waiting.pop(), match.end()))
    return _merged(spans)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _inside(place: int, spans: list[tuple[int, int]]) -> bool:
    """Return whether ``place`` is within a span and not at its edge."""
    before = bisect.bisect_left(spans, (place, -1)) - 1
    return before >= 0 and spans[before][0] < place < spans[before][1]
