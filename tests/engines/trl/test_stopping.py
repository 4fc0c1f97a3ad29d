"""SIGTERM to `hero train`: the step is finished and saved; a second one ends at once; all processes end after the same step."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("trl")

from helpers import forks, tiny_files
from hero_rl.cli import main
from hero_rl.engines.trl import stopping

WAITING = """
import os
import time
from pathlib import Path

def score(rollouts):
    \"\"\"Judge two batches, and the third once a file says so.\"\"\"
    calls = Path(f"calls{os.environ.get('RANK', '0')}")
    calls.write_text((calls.read_text() if calls.exists() else "") + ".")
    while len(calls.read_text()) == 3 and not Path("go").exists():
        time.sleep(0.05)
    return [float(len(rollout.response)) for rollout in rollouts]
"""
SETTINGS = {"trl.save_steps": 100, "trl.max_steps": 5, "sft": "false", "reward_model.name": "waiting:score"}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    tiny_files.write(tmp_path)
    (tmp_path / "waiting.py").write_text(WAITING)
    return tmp_path


def arguments(**changes: object) -> list[str]:
    words = [word for key, value in {**SETTINGS, **changes}.items() for word in ("--set", f"{key}={value}")]
    return ["train", "tiny-cpu", "--output", "run", *words]


def wait_for_the_third_batch(workplace: Path, processes: Sequence[forks.Process]) -> None:
    deadline = time.monotonic() + 200
    calls = [workplace / f"calls{rank}" for rank in range(len(processes))]
    while not all(path.exists() and len(path.read_text()) == 3 for path in calls):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def steps(workplace: Path) -> list[int]:
    history = [json.loads(line) for line in (workplace / "run" / "history.jsonl").read_text().splitlines()]
    return [entry["step"] for entry in history if "reward" in entry]


def test_sigterm_finishes_the_step_saves_it_and_says_how_to_go_on(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = forks.hero(*arguments(), cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_the_third_batch(workplace, [process])
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    (workplace / "go").touch()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert stopping.NOTICE.decode() in errors
    assert "run/checkpoint-3 is kept; go on with the same command and --resume (-o run)" in errors.splitlines()
    assert errors.splitlines()[-1] == "error: interrupted by SIGTERM"
    assert "Traceback" not in errors
    assert steps(workplace) == [1, 2, 3]
    assert not (workplace / "run" / "final").exists()

    monkeypatch.chdir(workplace)
    assert main([*arguments(), "--resume"]) == 0
    assert steps(workplace) == [1, 2, 3, 4, 5]
    assert "goes on from step 3; the next batch, 32 responses: " in (said := capsys.readouterr().err)
    assert "the first batch, " not in said


class Trained:
    """What of a trainer is used here."""

    def add_callback(self, callback: object) -> None:
        self.callback = callback


def test_a_second_sigterm_ends_at_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, end)
    try:
        with stopping.saving_at_sigterm(Trained()):  # type: ignore[arg-type]
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)  # torchrun passes it on
            monkeypatch.setattr(stopping, "ONE_SIGNAL_S", 0.0)
            assert capfd.readouterr().err == stopping.NOTICE.decode()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_sigterm_to_one_process_ends_both_after_the_same_step(workplace: Path) -> None:
    changes = {"trl.use_cpu": "true", "batch.responses_per_device": 16}
    command = ["-m", "hero_rl.cli", *arguments(**changes)]
    processes = forks.ranks(2, *command, cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_the_third_batch(workplace, processes)
    processes[1].send_signal(signal.SIGTERM)
    (workplace / "go").touch()
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], errors
    assert [path.name for path in (workplace / "run").glob("checkpoint-*")] == ["checkpoint-3"]
    assert steps(workplace) == [1, 2, 3]
