"""verl finds the plugin by itself, and a broken one is not silent."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from verl.trainer.ppo.v1 import PPOTrainer

from hero_rl.errors import install_command

MODES = ["hero_colocate_async", "hero_separate_async", "hero_sync"]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_verl_registers_the_modes() -> None:
    code = "import verl, sys; print(sorted(sys.modules['verl.trainer.ppo.v1.trainer_base'].TRAINER_REGISTRY))"
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == str(["colocate_async", *MODES, "separate_async", "sync"])


def test_a_plugin_that_cannot_be_loaded_says_so_where_verl_would_be_silent() -> None:
    done = run("import sys; sys.modules['transfer_queue'] = None; import verl; print('verl goes on')")
    assert done.stdout.strip().endswith("verl goes on")
    assert "hero_sync, hero_colocate_async and hero_separate_async are not available" in done.stderr
    assert "transfer_queue" in done.stderr
    assert install_command("verl") in done.stderr


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("__init__", ["self", "config"]),
        ("_compute_advantage", ["self", "batch", "metrics"]),
        ("_save_checkpoint", ["self"]),
        ("_load_checkpoint", ["self"]),
    ],
)
def test_the_private_methods_that_are_extended_have_not_changed(method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(PPOTrainer, method)).parameters) == parameters
