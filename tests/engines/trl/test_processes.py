"""Two processes train as one does, and a killed run continues as if nothing had happened.

Real processes: two ranks (gloo, CPU) and kill -9, started once for all tests of this file. The variables they get are those of
``torchrun``, which test_train_command.py uses.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from helpers import forks, tiny, trl_worker
from hero_rl.types import FloatArray

WORKER = str(Path(trl_worker.__file__))
ERRORS = {
    "verifier_raises_on_one_rank": (
        "SignalError", "process 1 of 2: verifier or reward model raised ZeroDivisionError: no verdict today"
    ),
    "input_error_on_one_rank": ("InputError", "process 1 of 2: row 3: reference is empty; fill it in"),
    "function_raises_on_one_rank": (
        "SignalError", "process 1 of 2: verifier or reward model raised ZeroDivisionError: no verdict today"
    ),
    "scorer_raises_on_one_rank": (
        "SignalError", "process 0 of 2: verifier or reward model raised MemoryError: no room for 3 rows"
    ),
}  # fmt: skip
PARTS = (
    "straddling", "true_reward", "by_function", "function_alone", "shaped_steps", "reused", "evaluated",
    "broken_on_one_rank", *ERRORS, "uninterrupted",
)  # fmt: skip
PATIENCE_S = 200.0


class Outcome(NamedTuple):
    parameters: FloatArray
    result: dict[str, Any]


def run_until_killed(folder: Path, processes: int, *names: str) -> None:
    """Run the names, then ``killed``, and kill -9 every process of it in the middle of its fifth step."""
    with (folder / "killed.log").open("w") as log:
        command, streams = [WORKER, folder, *names, "killed"], {"stdout": log, "stderr": log}
        ranks = forks.ranks(processes, *command, **streams) if processes > 1 else [forks.Process(command, **streams)]
        try:
            deadline = time.monotonic() + PATIENCE_S
            # The state is what a checkpoint writes last; after it comes a step that takes a minute.
            while not (folder / "killed" / "checkpoint-4" / "trainer_state.json").exists():
                assert all(rank.poll() is None for rank in ranks), (folder / "killed.log").read_text()[-3000:]
                assert time.monotonic() < deadline, "no checkpoint in time"
                time.sleep(0.1)
            time.sleep(1.0)
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
    assert not (folder / "killed" / "rank0.json").exists(), "the run ended before it was killed"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    run_until_killed(folder, 2, *PARTS)
    forks.run_ranks(2, WORKER, folder, "resumed")
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    run_until_killed(folder, 1, "straddling", "true_reward", "shaped_steps", "uninterrupted")
    trl_worker.main(folder, ["resumed", "evaluated"])  # a new process as far as the killed one is concerned
    return folder


def outcome(folder: Path, name: str, rank: int = 0) -> Outcome:
    result = json.loads((folder / name / f"rank{rank}.json").read_text())
    return Outcome(np.load(folder / name / f"rank{rank}.npz")["parameters"], result)


@pytest.mark.parametrize(
    "name", ["straddling", "true_reward", "shaped_steps", "reused", "evaluated", "uninterrupted", "resumed"]
)
def test_both_ranks_end_with_the_same_parameters_and_state(two: Path, name: str) -> None:
    first, second = outcome(two, name, 0), outcome(two, name, 1)
    assert first.result["world"] == 2
    assert first.result["state"] == second.result["state"]
    np.testing.assert_array_equal(first.parameters, second.parameters)


@pytest.mark.parametrize("name", ["straddling", "true_reward", "shaped_steps", "evaluated"])
def test_two_processes_end_where_one_does(one: Path, two: Path, name: str) -> None:
    """24 rows in 3 groups a step either way, sampled by `sample_by_row`: TRL's own sampler has other noise in each process."""
    alone, together = outcome(one, name), outcome(two, name)
    assert alone.result["world"] == 1
    assert alone.result["state"]["state"]["updates"] == 3
    assert alone.result["state"] == together.result["state"]
    np.testing.assert_allclose(together.parameters, alone.parameters, rtol=0, atol=1e-6)
    assert np.abs(alone.parameters - tiny.flat(tiny.model())).max() > 1e-2  # and both have gone somewhere


@pytest.mark.parametrize("rank", [0, 1])
def test_a_reward_function_ends_where_hero_trainer_does(one: Path, two: Path, rank: int) -> None:
    """Groups lie across processes, and the run evaluates: the function gathers them and leaves the state alone."""
    by_function, by_trainer = outcome(two, "by_function", rank), outcome(two, "evaluated", rank)
    assert by_function.result["state"] == by_trainer.result["state"] == outcome(one, "straddling").result["state"]
    np.testing.assert_allclose(by_function.parameters, by_trainer.parameters, rtol=0, atol=1e-6)


def test_processes_that_exchange_nothing_keep_their_rollouts_apart(two: Path) -> None:
    files = sorted(path.name for path in (two / "function_alone" / "rollouts").iterdir())
    assert files == [f"step_{step:06d}.rank{rank}.parquet" for step in (1, 2) for rank in (0, 1)]


def test_metrics_of_two_processes_are_those_of_one(one: Path, two: Path) -> None:
    alone, together = outcome(one, "evaluated").result["log"], outcome(two, "evaluated").result["log"]
    keys = {key for entry in alone for key in entry if "hero/" in key}
    assert {"hero/correct", "eval_hero/correct", "eval_hero/advantage_correct", "hero/sigma_mean"} <= keys
    for first, second in zip(alone, together, strict=True):
        assert {key: second.get(key) for key in keys} == pytest.approx({key: first.get(key) for key in keys}, abs=1e-6)


def test_evaluation_on_two_processes_leaves_training_as_it_is(two: Path) -> None:
    with_evaluation, without = outcome(two, "evaluated"), outcome(two, "straddling")
    assert with_evaluation.result["state"] == without.result["state"]
    # not bit for bit: see test_evaluation.py
    np.testing.assert_allclose(with_evaluation.parameters, without.parameters, rtol=0, atol=1e-6)


def test_the_state_moves_once_a_generation_however_often_it_serves(two: Path) -> None:
    assert outcome(two, "reused").result["state"]["state"]["updates"] == 2  # 8 steps, 4 to each generation


def test_failures_on_one_rank_stop_all_ranks(two: Path) -> None:
    errors = [json.loads((two / "broken_on_one_rank" / f"rank{rank}.json").read_text())["error"] for rank in (0, 1)]
    assert errors[0] == errors[1]
    assert "4 of the last 8 rows failed in letters and characters" in errors[0]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_on_one_rank_stops_all_ranks_with_the_same_message(two: Path, name: str) -> None:
    """Were it raised where it happened, the other rank would wait in a gather; the runs after this one would not start."""
    results = [json.loads((two / name / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    kind, message = ERRORS[name]
    assert [(result["kind"], result["error"]) for result in results] == [(kind, message)] * 2
    at_fault = int(message.split()[1])
    assert results[at_fault]["cause"] != "None"  # where it happened, the traceback is kept
    assert results[1 - at_fault]["cause"] == "None"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_continues_bit_for_bit(one: Path, two: Path, processes: int) -> None:
    folder = one if processes == 1 else two
    for rank in range(processes):
        uninterrupted, resumed = outcome(folder, "uninterrupted", rank), outcome(folder, "resumed", rank)
        assert resumed.result["state"] == uninterrupted.result["state"]
        assert resumed.result["state"]["state"]["updates"] == 6
        np.testing.assert_array_equal(resumed.parameters, uninterrupted.parameters)
        assert resumed.result["world"] == processes
