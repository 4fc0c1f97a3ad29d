"""Hypothesis strategies that several tests share."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st


def examples(quick: int, **options: Any) -> settings:
    """This many examples in `make test`, and thirty times as many in `make fuzz`."""
    return settings(max_examples=max(1, quick * settings.default.max_examples // 100), **options)


@st.composite
def batches(draw, score=None, verdicts=(0.0, 1.0, np.nan)):
    """Verdicts, scores and shuffled group labels of 1 to 40 responses in up to 6 ragged groups."""
    size = draw(st.integers(1, 40))
    if score is None:
        score = st.floats(-100, 100, allow_nan=False, width=32)
    return (
        np.array(draw(st.lists(st.sampled_from(verdicts), min_size=size, max_size=size))),
        np.array(draw(st.lists(score, min_size=size, max_size=size)), dtype=np.float64),
        np.array(draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))),
    )


any_score = st.one_of(
    st.floats(-1e30, 1e30, allow_nan=False), st.just(float("nan")), st.sampled_from([0.0, 1e-300, -1e-300, 1e100, -1e100])
)
