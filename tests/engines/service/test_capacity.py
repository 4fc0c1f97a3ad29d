"""The queues of benchmarks/capacity.py against what is known of queues, and its arithmetic against figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.places import load_benchmark

capacity = load_benchmark("capacity")


def test_one_server_waits_as_pollaczek_and_khinchine_say() -> None:
    arrivals = np.cumsum(np.random.default_rng(0).exponential(1.0, 200_000))
    load = 0.7  # constant work: mean wait = load / (2 (1 - load)) x work
    waits = capacity.serve(arrivals, np.full(len(arrivals), load), 1).done - arrivals - load
    assert waits.mean() == pytest.approx(load * load / (2 * (1 - load)), rel=0.05)


def test_work_that_waits_is_shared_out_evenly() -> None:
    done = capacity.serve(np.zeros(6), np.full(6, 2.0), 3).done
    np.testing.assert_array_equal(done, [2, 2, 2, 4, 4, 4])


def test_a_replica_takes_what_waits_up_to_its_budget_and_finishes_it_together() -> None:
    # the first goes alone at time 0; at time 1 three wait, of which two fit into 20 tokens; the last goes at time 3
    served = capacity.serve_batches(np.array([0.0, 0.5, 0.6, 0.7]), np.ones(4), np.full(4, 10.0), 1, 20)
    np.testing.assert_array_equal(served.done, [1, 3, 3, 4])
    assert served.busy_s == 4


def test_decoding_gets_faster_as_responses_finish() -> None:
    inputs = capacity.Inputs(
        policy_params=1.0,
        cache_bytes=1.0,
        bandwidth=1.0,
        decode_efficiency=1.0,
        prompt_tokens=0,
        gpus=1,
        prompts=1,
        responses=2,
    )
    # both run for 2 tokens with a context of 1 on average: 2 x (2 + 2); then one for 2 tokens with 3: 2 x (2 + 3)
    np.testing.assert_allclose(capacity.sampling_times(np.array([[4.0, 2.0]]), inputs), [[8.0, 18.0]])


def test_tokens_a_second_follow_from_operations() -> None:
    inputs = capacity.Inputs(reward_params=1e9, reward_layers=10, reward_width=1000, prompt_tokens=0, mean_tokens=1000.0)
    assert capacity.reward_tokens_per_s(inputs, 0.5) == pytest.approx(0.5 * 989e12 / (2e9 + 4 * 1000 * 500 * 10))
