"""Which rows go through a model together: plain arithmetic on lengths, no torch.

Two costs are traded. Rows of unequal length are padded, and padding is computed and thrown away; rows that share their first
tokens (the responses to one prompt) would have them computed once each.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from hero_rl.models.tokenizing import TokenIds

BATCH_SIZE = 512
MAX_PADDING = 0.05
"""Largest share of padding in a micro-batch, so that at least 95% of all computed tokens are real."""
MIN_PREFIX_TOKENS = 16
"""A shorter shared beginning costs more in copies than it saves."""
MIN_SAVED = 0.1
"""Least share of a group's tokens that sharing has to save: attention over a cache needs an explicit mask and copies."""


class SharedPrefix(NamedTuple):
    """Rows that begin with the same tokens."""

    rows: tuple[int, ...]
    """Places in the list of encoded rows."""
    tokens: int
    """How many tokens they share; each row has more than these."""


class Round(NamedTuple):
    """Groups whose prefixes are held at the same time."""

    groups: tuple[SharedPrefix, ...]
    """The longest prefix first."""
    held_tokens: int
    """Tokens of all their caches, padding included."""


def micro_batches(
    places: Sequence[int], lengths: Sequence[int], *, max_rows: int, max_tokens: int, extra_tokens: int = 0,
    max_padding: float = MAX_PADDING, boundary: int | None = None,
) -> list[list[int]]:  # fmt: skip
    """Return ``places`` in micro-batches, the longest rows first: where memory does not suffice, it fails at once.

    Rows are sorted by length, and a micro-batch takes the next one as long as its padded size stays within ``max_tokens`` and
    its padding within ``max_padding``. Among all cuts of the sorted rows that keep these limits, this has the fewest.

    >>> micro_batches([0, 1, 2, 3], [10, 99, 100, 10], max_rows=8, max_tokens=1000)
    [[2, 1], [0, 3]]

    Args:
        places: which rows, as indices of ``lengths``.
        lengths: tokens of every row.
        max_rows: most rows of a micro-batch.
        max_tokens: most tokens of a micro-batch, padding included; a longer row goes alone.
        extra_tokens: tokens that each row brings beside its own: those of a cache that it attends to, or of its reply.
        max_padding: in [0, 1]: largest share of padding.
        boundary: rows longer than this never go with rows that are not.
    """
    batches: list[list[int]] = []
    width = real = 0
    for place in sorted(places, key=lambda place: (-lengths[place], place)):
        length = lengths[place]
        if batches:
            rows = len(batches[-1]) + 1
            fits = rows <= max_rows and rows * (width + extra_tokens) <= max_tokens
            apart = boundary is not None and length <= boundary < width
            if fits and not apart and real + length >= (1.0 - max_padding) * rows * width:
                batches[-1].append(place)
                real += length
                continue
        batches.append([place])
        width = real = length
    return batches


def shared_prefixes(
    encoded: Sequence[TokenIds], keys: Sequence[Hashable], places: Sequence[int], *, pad_id: int
) -> list[SharedPrefix]:
    """Return the groups of ``places`` where computing the first tokens once pays.

    The prefix is the longest common beginning of the *full* encodings, so that tokens across the seam of prompt and response
    are as they are without sharing. It ends before the last token that is not ``pad_id`` of every row, because that is where
    the model reads the score.

    Args:
        encoded: token ids of every row.
        keys: rows with the same key have the same prompt.
        places: rows to look at.
        pad_id: by which the model finds the last token that counts.
    """
    by_key: dict[Hashable, list[int]] = {}
    for place in places:
        by_key.setdefault(keys[place], []).append(place)
    groups: list[SharedPrefix] = []
    for rows in by_key.values():
        if len(rows) == 1:
            continue
        shared = min(_last_counting(encoded[row], pad_id) for row in rows)
        for row in rows[1:]:
            shared = _common(encoded[rows[0]], encoded[row], shared)
        total = sum(len(encoded[row]) for row in rows)
        if shared >= MIN_PREFIX_TOKENS and (len(rows) - 1) * shared >= MIN_SAVED * total:
            groups.append(SharedPrefix(tuple(rows), shared))
    return groups


def rounds(groups: Sequence[SharedPrefix], *, max_tokens: int) -> list[Round]:
    """Return ``groups`` in rounds whose caches, padded to the longest, take at most half of ``max_tokens``.

    The other half is for the rows. A group whose prefix alone is longer is left out: its rows are better scored whole.
    """
    limit = max_tokens // 2
    packed: list[list[SharedPrefix]] = []
    for group in sorted(groups, key=lambda group: (-group.tokens, group.rows)):
        if group.tokens > limit:
            continue
        if packed and (len(packed[-1]) + 1) * packed[-1][0].tokens <= limit:
            packed[-1].append(group)
        else:
            packed.append([group])
    return [Round(tuple(round_), len(round_) * round_[0].tokens) for round_ in packed]


def _common(first: TokenIds, second: TokenIds, at_most: int) -> int:
    differ = np.flatnonzero(first[:at_most] != second[:at_most])
    return int(differ[0]) if len(differ) else at_most


def _last_counting(ids: TokenIds, pad_id: int) -> int:
    places = np.flatnonzero(ids != pad_id)
    return int(places[-1]) if len(places) else 0
