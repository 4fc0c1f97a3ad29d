"""pass@k and maj@k of n responses to a problem, and which responses vote for the same answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from hero_rl.errors import InputError
from hero_rl.verifiers.math.extract import find_answer
from hero_rl.verifiers.math.literal import tidy
from hero_rl.verifiers.math.stages import MAX_ANSWER_CHARS, Pair, compare_pair

MAX_SUBSETS = 3000
"""More subsets than this are sampled instead of listed."""
NO_VOTE = -1
"""Stands for a response without an answer."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Return the probability that one of k responses is correct, estimated from n: 1 - C(n - c, k) / C(n, k).

    Unbiased for k up to n; 1 - (1 - c/n)^k, which is sometimes used, is too low.

    Args:
        samples: n, the responses sampled.
        correct: c, those that are correct.
        k: how many may be tried, at most n.

    Raises:
        InputError: a number out of range.

    Reference: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    >>> pass_at_k(4, 2, 2)  # of the six pairs one has no correct response
    0.8333333333333334
    """
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise InputError(
            f"pass_at_k: samples={samples}, correct={correct}, k={k}: need 0 <= correct <= samples and 1 <= k <= samples"
        )
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def maj_at_k(votes: Sequence[int], correct: Sequence[float], k: int, *, seed: int = 0) -> float:
    """Return the probability that the most frequent answer among k responses is correct.

    The mean over all subsets of k of the n responses (over ``MAX_SUBSETS`` random ones where there are more). Responses
    without an answer do not vote; a subset without votes is wrong. Where several answers have the most votes, one of them is
    drawn: the value is the mean over them. Where equal answers were graded differently, an answer counts as the share of its
    votes that were found correct.

    Args:
        votes: for each response the number of its answer; ``NO_VOTE`` where it has none.
        correct: for each response 1 or 0.
        k: size of the vote, at most n.
        seed: of the random subsets.

    Raises:
        InputError: a number out of range.

    >>> maj_at_k([0, 0, 1], [1, 1, 0], 3)
    1.0
    >>> maj_at_k([0, 1], [1, 0], 2)  # a tie
    0.5
    """
    n = len(votes)
    if not 1 <= k <= n or len(correct) != n:
        raise InputError(f"maj_at_k: {n} votes, {len(correct)} verdicts, k={k}: need one verdict per vote and 1 <= k <= votes")
    if math.comb(n, k) <= MAX_SUBSETS:
        subsets = list(combinations(range(n), k))
    else:
        rng = np.random.default_rng(seed)
        subsets = [tuple(rng.permutation(n)[:k].tolist()) for _ in range(MAX_SUBSETS)]
    return float(np.mean([_majority(votes, correct, subset) for subset in subsets]))


def _majority(votes: Sequence[int], correct: Sequence[float], subset: Sequence[int]) -> float:
    counts = Counter(votes[i] for i in subset if votes[i] != NO_VOTE)
    if not counts:
        return 0.0
    most = max(counts.values())
    leaders = [answer for answer, count in counts.items() if count == most]
    right = Counter[int]()
    for i in subset:
        right[votes[i]] += correct[i]  # pyright: ignore[reportArgumentType]
    return float(np.mean([right[answer] / most for answer in leaders]))


def sizes(samples: int) -> list[int]:
    """Return the k that are reported for n responses: powers of two up to n, and n.

    >>> sizes(8), sizes(6)
    ([1, 2, 4, 8], [1, 2, 4, 6])
    """
    powers = [2**i for i in range(samples.bit_length()) if 2**i <= samples]
    return powers if powers and powers[-1] == samples else [*powers, samples]


def group_answers(responses: Sequence[str]) -> list[int]:
    r"""Return the number of each response's answer, from 0; ``NO_VOTE`` without one.

    Answers are the same if their texts agree after clean-up (``tidy``) or the verifier's comparison in this process finds them
    equal without a generous reading. The symbolic comparison in the sandbox is not used, which can split votes and never merges
    different answers. An answer joins the first one that it equals.

    >>> group_answers([r"\boxed{1/2}", r"\boxed{0.5}", r"\boxed{3}", ""])
    [0, 0, 1, -1]
    """
    forms: dict[str, int] = {}
    leaders: list[str] = []
    votes: list[int] = []
    for response in responses:
        answer = find_answer(response).strip()
        if not answer or len(answer) > MAX_ANSWER_CHARS:
            votes.append(NO_VOTE)
            continue
        form = tidy(answer)
        if form not in forms:
            same = next((i for i, leader in enumerate(leaders) if _equal(leader, answer)), None)
            forms[form] = len(leaders) if same is None else same
            if same is None:
                leaders.append(answer)
        votes.append(forms[form])
    return votes


def _equal(first: str, second: str) -> bool:
    finding = compare_pair(Pair(first, second)).finding
    return finding.relation == "equal" and not finding.lenient
