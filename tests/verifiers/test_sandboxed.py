"""Verifiers with worker processes of their own: settings out of range, dying workers, what is sent to them."""

from __future__ import annotations

import os
import pickle

import pytest

from hero_rl.config import read_reward
from hero_rl.errors import InputError
from hero_rl.toml_layers import Layer
from hero_rl.types import Rollout
from hero_rl.verifiers import MathVerifier, MathVerifyVerifier
from hero_rl.verifiers.function import FunctionVerifier


def rollout(response: str) -> Rollout:
    return Rollout(prompt_id="p", problem="1+1", reference="2", response=response)


@pytest.mark.parametrize("name", ["math", "math_verify"])
@pytest.mark.parametrize(("key", "value"), [("workers", 0), ("workers", -1), ("deadline_s", 0.0), ("deadline_s", float("nan"))])
def test_a_reward_file_refuses_workers_and_deadlines_out_of_range(name: str, key: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"verifier\.{key} = .*(greater than 0|less than inf)"):
        read_reward([[Layer("file", {"verifier": {"name": name, key: value}})]])


def test_constructors_refuse_them_too() -> None:
    for verifier in (MathVerifier, MathVerifyVerifier):
        for key, value in (("workers", 0), ("deadline_s", float("nan")), ("deadline_s", float("inf"))):
            with pytest.raises(InputError, match=key):
                verifier(**{key: value})  # type: ignore[arg-type]


def test_a_copy_has_the_options_and_workers_of_its_own() -> None:
    with MathVerifier(policy="strict", deadline_s=2.5, workers=1, use_problem=False) as verifier:
        copy = pickle.loads(pickle.dumps(verifier))
    with copy:
        assert (copy.policy, copy.deadline_s, copy.use_problem) == ("strict", 2.5, False)
        assert copy.identity == verifier.identity
        assert copy.verify([rollout(r"\boxed{2}")])[0].label == "correct"


def test_a_function_that_ends_its_process_costs_a_fork_per_row_and_no_new_start() -> None:
    def leaves(rollout: Rollout) -> bool:
        if rollout.response == "leave":
            os._exit(7)
        return True

    with FunctionVerifier(leaves, workers=1) as verifier:
        verifier.warm()
        warm_process = verifier._sandbox.worker_pids[0]
        verdicts = verifier.verify([rollout("leave"), rollout("stay")] * 8)
        assert [verdict.reason for verdict in verdicts] == ["crash", "accepted"] * 8
        assert verifier._sandbox.worker_pids[0] == warm_process
        assert verifier._sandbox.stats.respawns == 8


def test_a_large_function_is_sent_once_per_worker_and_not_with_every_row() -> None:
    table = os.urandom(8 << 20)  # as base64 eleven of the 16 MiB that one message may have

    def in_table(rollout: Rollout) -> bool:
        return len(table) == 8 << 20 and rollout.response != "no"

    with FunctionVerifier(in_table, workers=1) as verifier:
        labels = [verdict.label for verdict in verifier.verify([rollout("yes"), rollout("no")] * 50)]
    assert labels == ["correct", "incorrect"] * 50
