from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

pytest.importorskip("trl", reason="needs the lab extra")

from helpers import forks
from hero_lab.cold_start import ColdStartSettings
from hero_lab.compare import UPDATE
from hero_lab.grid import Event, execute, read_result, result_path
from hero_lab.learned_verifier import LearnedVerifierSettings
from hero_lab.prepare import is_complete, models_of, prepare
from hero_lab.results import write_json
from hero_lab.reward_model import RewardModelSettings
from hero_lab.settings import RunSettings, plan_runs
from hero_rl.errors import InputError

Collect: TypeAlias = Callable[[list[RunSettings], Path], list[Event]]


def small_runs(*rules: str, regime: str = "hard", steps: int = 3) -> list[RunSettings]:
    runs = plan_runs(
        rules, regime=regime, steps=steps, early=2, cold_start=ColdStartSettings(steps=20, batch_size=32, warmup_steps=2),
        reward_model=RewardModelSettings(rows=2000, batch_size=32, robust_steps=2),  # as in test_models.py
        learned_verifier=LearnedVerifierSettings(samples=1, epochs=1), prompts_per_step=4, group_size=4, held_out_samples=1,
        development_samples=1, curve_every=2, held_out_tags="trained",
    )  # fmt: skip
    return list(runs)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture
def collect(lab_cache: Path) -> Collect:
    """Do the runs, with the models that the tests of the lab share."""
    return lambda runs, out: list(execute(runs, out=out, cache=lab_cache))


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if event.kind != "progress"]


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    training = [
        {key: value for key, value in entry.items() if "time" not in key and "memory" not in key}
        for entry in result["training"]
    ]
    models = {name: {**result[name], "seconds": 0} for name in ("policy", "reward_model")}
    return {key: value for key, value in result.items() if key != "timing"} | models | {"training": training}


def test_a_grid_makes_models_then_runs_and_writes_one_result_a_run(out: Path) -> None:
    runs = small_runs("hero", "verifier_only", regime="mixed")
    events = list(execute(runs, out=out, jobs=2))
    assert kinds(events)[:2] == ["preparing", "prepared"]
    assert sorted(kinds(events)[2:]) == ["finished", "finished", "started", "started"]
    assert {event.data["step"] for event in events if event.kind == "progress"} == {0, 2, 3}
    for run in runs:
        result = json.loads(result_path(run, out).read_text())
        assert result["digest"] == run.digest
        assert [point["step"] for point in result["curve"]] == [0, 2, 3]
        assert {name: held["step"] for name, held in result["held_out"].items()} == {"start": 0, "early": 2, "end": 3}
        for tag in "VH":
            end = result["held_out"]["end"][tag]
            assert len(end["correct_P"]) == len(end["greedy_P"]) == end["prompts"] == 300
            assert sum(end["correct_P"]) / 300 == pytest.approx(end["accuracy"]["mean"])
            assert end["accuracy"]["low"] <= end["accuracy"]["mean"] <= end["accuracy"]["high"]
    ours, theirs = (read_result(run, out) for run in runs)
    assert ours is not None
    assert theirs is not None
    # The same starting policy, prompts and sampling noise for both rules; after the first step they part.
    starts = [one["held_out"]["start"]["H"] for one in (ours, theirs)]
    assert starts[0] | dict.fromkeys(UPDATE) == starts[1] | dict.fromkeys(UPDATE)
    for one in (ours, theirs):  # measures of the update are noted at every look; unknown (None) where all responses are wrong
        assert all(set(UPDATE) <= look.keys() for look in [*one["curve"], *(held["H"] for held in one["held_out"].values())])
    assert ours["held_out"]["end"] != theirs["held_out"]["end"]
    assert not list(out.rglob("*.partial"))
    assert not list(out.rglob("*.log"))


def test_a_run_of_another_family_with_every_knob_says_what_its_verifier_is_worth_and_looks_when_told(tmp_path: Path) -> None:
    small = small_runs("hero_adaptive")[0]
    run = replace(
        small, task="units", tier="robust", verifier_recall=0.5, score_noise=1.0, kl=0.05, kl_unit="oracle",
        looks=(1, 2),
    )  # fmt: skip
    assert kinds(list(execute([run], out=tmp_path))) == ["preparing", "prepared", "started", "finished"]
    result = read_result(run, tmp_path)
    assert result is not None
    held_out = result["held_out"]
    assert {name: held["step"] for name, held in held_out.items()} == {"start": 0, "early": 2, "end": 3, "step1": 1, "step2": 2}
    assert held_out["early"] == held_out["step2"]
    assert set(held_out["end"]) == {"step", "H"}
    assert held_out["end"]["H"]["own_verifier_pass"] == held_out["end"]["H"]["verifier_pass"]
    assert held_out["end"]["H"]["own_verifier_fpr"] == 0.0
    assert all("hero/kl_coefficient" in entry for entry in result["training"])
    assert result["reward_model"]["tier"] == "robust"
    assert "rule" not in result["curve"][0]
    assert all("rule" in point for point in result["curve"][1:])


def test_rules_with_a_learned_verifier_run_and_train_one_only_when_asked(out: Path, lab_cache: Path, collect: Collect) -> None:
    assert models_of(small_runs("hero")[0], lab_cache).learned_verifier is None
    runs = small_runs("learned_verifier", "cascade", "hero_cascade:learned_credit=0.5")
    assert [run.verifier for run in runs] == ["learned", "cascade", "cascade"]
    events = collect(runs, out)
    assert [event.kind for event in events if event.kind in ("prepared", "failed")] == ["prepared"]
    results = [read_result(run, out) for run in runs]
    for result in results:
        assert result is not None
        assert 0.0 < result["learned_verifier"]["fpr_H"] < 0.5
        assert {"own_verifier_pass", "own_verifier_fpr"} <= result["held_out"]["end"]["H"].keys()
    learned, cascade, hero = (result["held_out"]["start"]["H"] for result in results if result)
    assert cascade == hero  # the same verdicts on the same responses
    # A cascade accepts all that either of its two accepts.
    assert cascade["own_verifier_pass"] >= max(learned["own_verifier_pass"], learned["verifier_pass"])
    assert learned["own_verifier_pass"] > 0.0


def test_a_learned_verifier_that_is_not_used_is_no_part_of_the_digest() -> None:
    run = small_runs("hero")[0]
    other = LearnedVerifierSettings(samples=3)
    assert replace(run, learned_verifier=other).digest == run.digest
    assert replace(run, verifier="cascade").digest != replace(run, verifier="cascade", learned_verifier=other).digest


def test_the_same_seed_gives_the_same_result_in_another_process(out: Path, tmp_path: Path, collect: Collect) -> None:
    run = small_runs("hero", regime="mixed")[0]
    collect([run], out)
    collect([run], tmp_path)
    first, second = read_result(run, out), read_result(run, tmp_path)
    assert first is not None
    assert second is not None
    assert without_times(first) == without_times(second)


def test_a_finished_run_is_not_run_again_and_takes_the_name_it_is_asked_for_by(out: Path, collect: Collect) -> None:
    runs = small_runs("hero", regime="mixed")
    collect(runs, out)
    renamed = replace(runs[0], label="another name")
    events = collect([renamed], out)
    assert kinds(events) == ["reused"]
    assert events[0].data["settings"]["label"] == "another name"


def test_a_file_that_is_no_result_is_named(tmp_path: Path, collect: Collect) -> None:
    run = small_runs("hero")[0]
    result_path(run, tmp_path).parent.mkdir(parents=True)
    for content in ("{", "[]", '{"digest": "of another run"}'):
        result_path(run, tmp_path).write_text(content)
        with pytest.raises(InputError, match=run.file_name):
            collect([run], tmp_path)


def test_a_run_that_fails_or_is_killed_is_reported_and_the_others_go_on(out: Path, lab_cache: Path) -> None:
    good = small_runs("rm_only")[0]
    bad = replace(small_runs("naive_sum")[0], rule_settings={"width": 1})  # refused in the child, which makes the rule
    doomed = small_runs("gated", steps=10_000)[0]
    events: list[Event] = []
    for event in execute([doomed, bad, good], out=out, jobs=2, cache=lab_cache):
        events.append(event)
        if event.kind == "progress" and event.run == doomed:
            for child in multiprocessing.active_children():
                if child.name == "gated-seed0":
                    os.kill(child.pid or 0, signal.SIGKILL)
    ends = {event.run.rule: event for event in events if event.kind in ("finished", "failed")}
    assert {rule: event.kind for rule, event in ends.items()} == {
        "gated": "failed", "naive_sum": "failed", "rm_only": "finished",
    }  # fmt: skip
    assert ends["gated"].data["error"].startswith("killed by signal 9")
    assert "Error" in ends["naive_sum"].data["error"]
    assert read_result(doomed, out) is None
    assert read_result(good, out) is not None


def test_models_that_cannot_be_made_fail_their_runs_and_leave_no_folder(tmp_path: Path) -> None:
    run = small_runs("hero")[0]
    run = replace(run, cold_start=replace(run.cold_start, batch_size=0))
    events = list(execute([run], out=tmp_path))
    assert kinds(events) == ["preparing", "failed", "failed"]
    assert not any(map(is_complete, models_of(run, tmp_path / "cache").folders))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_leaving_the_loop_kills_the_children(out: Path, lab_cache: Path) -> None:
    run = small_runs("hero", steps=10_000)[0]
    events = execute([run], out=out, cache=lab_cache)
    for event in events:
        if event.kind == "progress":
            break
    children = [child for child in multiprocessing.active_children() if child.name == "hero-seed0"]
    assert len(children) == 1
    events.close()  # type: ignore[attr-defined]
    assert not children[0].is_alive()
    assert read_result(run, out) is None


@pytest.mark.parametrize(("to_all", "kind"), [(True, signal.SIGINT), (False, signal.SIGKILL)], ids=["control-c", "kill-9"])
def test_children_end_with_the_command(tmp_path: Path, lab_cache: Path, to_all: bool, kind: signal.Signals) -> None:
    """That an interrupt of the parent alone ends them: the test above."""
    [run] = small_runs("hero", steps=10_000)
    prepare(run, lab_cache)
    path = tmp_path / "main.py"
    path.write_text(f"""
import multiprocessing, pickle
from pathlib import Path
from hero_lab.grid import execute
if __name__ == "__main__":
    run = pickle.loads({pickle.dumps(run)!r})
    for event in execute([run], out=Path({str(tmp_path)!r}), cache=Path({str(lab_cache)!r})):
        if event.kind == "progress":
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)
""")
    process = forks.Process([path], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        children = [int(word) for word in process.stdout.readline().split()]
        assert children
        (os.killpg if to_all else os.kill)(process.pid, kind)
        process.wait(timeout=120)
        assert process.returncode != 0
        assert not any(_alive(pid) for pid in children)
    finally:
        process.kill()


def _alive(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def test_a_result_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())
