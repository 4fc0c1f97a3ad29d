"""Which rows go through a model together: every row once, within the limits, with little padding; shared prefixes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.places import SHARED
from hero_rl.models.batching import SharedPrefix, micro_batches, rounds, shared_prefixes

DATA = SHARED
PAD = 0


@given(
    lengths=st.lists(st.integers(1, 300), max_size=60),
    max_rows=st.integers(1, 20),
    max_tokens=st.integers(1, 2000),
    extra_tokens=st.integers(0, 50),
)
def test_micro_batches_hold_every_row_once_within_the_limits(
    lengths: list[int], max_rows: int, max_tokens: int, extra_tokens: int
) -> None:
    places = list(range(len(lengths)))
    batches = micro_batches(places, lengths, max_rows=max_rows, max_tokens=max_tokens, extra_tokens=extra_tokens)
    assert sorted(place for batch in batches for place in batch) == places
    for batch in batches:
        width = max(lengths[place] for place in batch)
        assert len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * (width + extra_tokens) <= max_tokens
        assert sum(lengths[place] for place in batch) >= 0.95 * len(batch) * width
    flat = [lengths[place] for batch in batches for place in batch]
    assert flat == sorted(flat, reverse=True)


def ids(*tokens: int) -> np.ndarray:
    return np.array(tokens, dtype=np.int32)


def test_a_shared_prefix_is_the_longest_common_beginning_of_the_full_encodings() -> None:
    same = list(range(2, 22))
    encoded = [ids(*same, 30, 31), ids(*same, 32), ids(*same[:18], 33, 33, 33), ids(*same, 34)]
    assert shared_prefixes(encoded, "aaab", [0, 1, 2, 3], pad_id=PAD) == [SharedPrefix((0, 1, 2), 18)]
    assert shared_prefixes(encoded, "aaab", [0, 1, 3], pad_id=PAD) == [SharedPrefix((0, 1), 20)]


def test_a_shared_prefix_leaves_every_row_the_token_at_which_it_is_scored() -> None:
    same = list(range(2, 22))
    encoded = [ids(*same, PAD), ids(*same, PAD)]
    # 21 tokens are common, but the score is read at place 19, the last that is not padding
    assert shared_prefixes(encoded, "aa", [0, 1], pad_id=PAD) == [SharedPrefix((0, 1), 19)]


def test_a_prefix_that_saves_little_is_not_shared() -> None:
    short = [ids(*range(2, 17), 30), ids(*range(2, 17), 31)]
    assert shared_prefixes(short, "aa", [0, 1], pad_id=PAD) == []
    rest = [30] * 200
    long = [ids(*range(2, 22), 31, *rest), ids(*range(2, 22), 32, *rest)]
    assert shared_prefixes(long, "aa", [0, 1], pad_id=PAD) == []  # saves 20 of 442


def test_held_prefixes_take_at_most_half_of_the_budget() -> None:
    made = [SharedPrefix((i, i + 100), tokens) for i, tokens in enumerate([30, 70, 20, 25, 10])]
    packed = rounds(made, max_tokens=120)
    assert [[group.tokens for group in round_.groups] for round_ in packed] == [[30, 25], [20, 10]]
    assert [round_.held_tokens for round_ in packed] == [60, 40]


@pytest.mark.parametrize("file", ["processbench_gsm8k.jsonl", "processbench_math.jsonl"])
def test_at_least_95_percent_of_the_tokens_are_real_on_responses_of_real_length(file: str) -> None:
    if not (DATA / file).is_file():
        pytest.skip(f"../shared/data/{file} is not here: it is measured with, not part of the project")
    lines = (DATA / file).read_text(encoding="utf-8").splitlines()
    lengths = [len(row["problem"] + row["response"]) // 3 for row in map(json.loads, lines)]
    computed = 0
    for start in range(0, len(lengths) - 63, 64):
        batches = micro_batches(range(start, start + 64), lengths, max_rows=512, max_tokens=8192)
        computed += sum(len(batch) * lengths[batch[0]] for batch in batches)
    assert sum(lengths[: len(lengths) // 64 * 64]) >= 0.95 * computed
