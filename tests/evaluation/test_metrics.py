"""pass@k and maj@k against enumeration, and the votes of answers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.strategies import examples
from hero_rl.errors import InputError
from hero_rl.evaluation.metrics import MAX_SUBSETS, group_answers, maj_at_k, pass_at_k, sizes
from hero_rl.evaluation.results import ProblemResult, measure
from hero_rl.measures import clustered_standard_error


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6)
    assert pass_at_k(8, 1, 1) == pytest.approx(1 / 8)
    assert pass_at_k(8, 1, 8) == 1.0
    assert pass_at_k(8, 0, 4) == 0.0
    assert pass_at_k(3, 2, 2) == 1.0  # only one is wrong, so no pair is without a right one


@examples(60)
@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_response(right: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(right)))
    subsets = list(combinations(right, k))
    assert pass_at_k(len(right), sum(right), k) == pytest.approx(np.mean([any(subset) for subset in subsets]))


def test_pass_at_k_is_unbiased_and_the_usual_short_cut_is_not() -> None:
    rng = np.random.default_rng(0)
    p, n, k = 0.2, 8, 4
    counts = rng.binomial(n, p, 20_000)
    truth = 1 - (1 - p) ** k
    assert np.mean([pass_at_k(n, int(c), k) for c in counts]) == pytest.approx(truth, abs=0.01)
    assert np.mean(1 - (1 - counts / n) ** k) < truth - 0.03


def test_maj_by_hand() -> None:
    assert maj_at_k([0, 0, 1], [1, 1, 0], 3) == 1.0
    assert maj_at_k([0, 1, 1], [1, 0, 0], 3) == 0.0
    assert maj_at_k([0, 1], [1, 0], 2) == 0.5  # a tie is drawn
    assert maj_at_k([0, 1, 2], [1, 0, 0], 3) == pytest.approx(1 / 3)
    assert maj_at_k([-1, -1, 0], [0, 0, 1], 3) == 1.0  # without an answer, no vote
    assert maj_at_k([-1, -1], [0, 0], 2) == 0.0
    # pairs of (right, right, wrong): one settled, two ties
    assert maj_at_k([0, 0, 1], [1, 1, 0], 2) == pytest.approx((1 + 0.5 + 0.5) / 3)
    # one vote of two for the same answer was found correct
    assert maj_at_k([0, 0], [1, 0], 2) == 0.5


def test_maj_at_1_is_the_mean_where_all_have_answers() -> None:
    assert maj_at_k([0, 1, 0, 2], [1, 0, 1, 0], 1) == pytest.approx(0.5)


def test_many_subsets_are_sampled_and_stay_the_same() -> None:
    votes, correct = [0] * 12 + [1] * 8, [1] * 12 + [0] * 8
    once = maj_at_k(votes, correct, 9)
    assert once == maj_at_k(votes, correct, 9)
    # hypergeometric: at least 5 of 9 from 12 right ones among 20
    from scipy.stats import hypergeom

    exact = float(hypergeom(20, 12, 9).sf(4))
    assert once == pytest.approx(exact, abs=4 * (exact * (1 - exact) / MAX_SUBSETS) ** 0.5)


def test_sizes_are_powers_of_two_and_all() -> None:
    assert [sizes(n) for n in (1, 6, 8)] == [[1], [1, 2, 4, 6], [1, 2, 4, 8]]


@pytest.mark.parametrize("bad", [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_numbers_out_of_range_are_refused(bad: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="pass_at_k"):
        pass_at_k(*bad)
    with pytest.raises(InputError, match="maj_at_k"):
        maj_at_k([0, 1], [1], 1)


def test_equal_answers_vote_together_however_they_are_written() -> None:
    texts = [r"\boxed{\frac{1}{2}}", r"so \boxed{0.5}", r"the answer is 1/2", r"\boxed{3}", "a long way without an end " * 30,
             r"\boxed{x+1}", r"\boxed{1+x}", r"\boxed{2x}"]  # fmt: skip
    assert group_answers(texts) == [0, 0, 0, 1, -1, 2, 2, 3]


def test_answers_equal_in_a_generous_reading_alone_do_not_merge() -> None:
    assert group_answers([r"\boxed{0.333}", r"\boxed{1/3}"]) == [0, 1]


def test_standard_error_of_pass_at_1_is_the_one_clustered_over_responses() -> None:
    rng = np.random.default_rng(3)
    rows = rng.binomial(1, rng.uniform(0, 1, (20, 1)), (20, 4))
    problems = [ProblemResult(str(i), tuple(map(int, row)), (0,) * 4) for i, row in enumerate(rows)]
    found = measure(problems, 4)["pass@1"]
    expected = clustered_standard_error(rows.ravel(), np.repeat(np.arange(20), 4), small_sample=True)
    assert found.value == pytest.approx(rows.mean())
    assert found.standard_error == pytest.approx(expected)


def test_abstentions_count_as_not_correct() -> None:
    found = measure([ProblemResult("a", (1, None), (0, 0)), ProblemResult("b", (None, None), (0, 1))], 2)
    assert found["pass@1"].value == pytest.approx(0.25)
    assert found["pass@2"].value == pytest.approx(0.5)


def test_nothing_right_still_has_an_interval() -> None:
    found = measure([ProblemResult(str(i), (0, 0), (0, 0)) for i in range(30)], 2)
    assert (found["pass@1"].low, found["pass@2"].low) == (0.0, 0.0)
    assert 0.05 < found["pass@1"].high < 0.2  # thirty problems, not sixty responses
    assert 0.05 < found["pass@2"].high < 0.2


def test_95_percent_intervals_cover_about_95_times_in_100() -> None:
    rng = np.random.default_rng(4)
    covered = drawn = 0
    for _ in range(200):
        p = rng.beta(0.8, 0.8, 60)  # true mean 0.5
        rows = rng.binomial(1, p[:, None], (60, 4))
        found = measure([ProblemResult(str(i), tuple(map(int, row)), (0,) * 4) for i, row in enumerate(rows)], 1)["pass@1"]
        covered += found.low <= 0.5 <= found.high
        drawn += found.bootstrap_low <= 0.5 <= found.bootstrap_high
    # 200 draws: a true 95% shows as 92% to 98%
    assert 0.91 <= covered / 200 <= 0.985
    assert 0.90 <= drawn / 200 <= 0.985
