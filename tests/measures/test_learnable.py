"""A batch as a person would look at it, and a warning for batches in a row that teach nothing: numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hero_rl.measures.learnable import Look, Watch
from hero_rl.types import Rollout

ONE, FOUR = np.zeros(4, dtype=np.int64), np.arange(16) // 4


def rollouts(texts: str, *, finished: bool | None = True) -> list[Rollout]:
    return [Rollout(prompt_id="p", problem="?", reference="1", response=text, finished=finished) for text in texts]


def batch(moving: int = 0, *, prompts: int = 4, accepted: float = 0.0, cut_off: float = 0.0) -> Look:
    return Look(4 * prompts, prompts, accepted, moving, prompts - moving, 2.0, cut_off)


def test_the_numbers_of_a_batch() -> None:
    verdicts = np.array([1, 0, 0, np.nan] + [0] * 4 + [1] * 4 + [0, 2, 0, 0], dtype=float)
    advantages = np.array([1.0, -0.5, -0.5, 0.0] + [0.0] * 8 + [-0.1, 0.3, -0.1, -0.1])
    texts = [*rollouts("aabc"), *rollouts("aaaa", finished=False), *rollouts("abcd", finished=None), *rollouts("abba")]
    look = Look.of(verdicts, advantages, FOUR, texts)
    assert look == (16, 4, 6 / 16, 2, 2, (3 + 1 + 4 + 2) / 4, 4 / 12)
    assert str(look) == (
        "16 responses: 38% accepted, 2 of 4 prompts with both verdicts and 2 without a gradient, "
        "2.5 of 4 responses to a prompt distinct, 33% cut off"
    )
    assert "distinct" not in str(Look.of(verdicts, advantages, FOUR, []))


@pytest.mark.parametrize(
    ("look", "advice"),
    [(batch(accepted=0.0), "The verifier accepted none"), (batch(accepted=1.0), "The verifier accepted all"),
     (batch(accepted=0.5), "No prompt has responses of different reward"), (batch(4, cut_off=1.0), "allow more tokens")],
)  # fmt: skip
def test_a_run_that_cannot_learn_is_told_with_its_second_batch_what_to_do(look: Look, advice: str) -> None:
    watch = Watch()
    said = [watch.after(look) for _ in range(5)]
    assert [bool(text) for text in said] == [False, True, False, False, False]
    assert ("nothing can be learned: no response has an advantage, 2 batches in a row (8 prompts)" in said[1]) == (
        look.idle == 4
    )
    assert advice in said[1]


def test_later_the_warning_waits_until_it_is_improbable_and_comes_again() -> None:
    watch = Watch()
    assert not any(watch.after(batch(3)) for _ in range(10))  # a quarter of the prompts is usually without a gradient
    said = [bool(watch.after(batch())) for _ in range(4)]
    assert said == [False, True, False, False]  # 0.26**4 = 0.005, 0.26**8 = 2e-5
    assert not watch.after(batch(1))
    assert [bool(watch.after(batch())) for _ in range(4)].count(True) == 1
    hard = Watch()
    assert not any(hard.after(batch(1)) for _ in range(10))  # three quarters: 0.74**12 = 0.03
    assert [bool(hard.after(batch())) for _ in range(3)] == [False, False, False]
