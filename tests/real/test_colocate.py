"""vLLM inside the training process, as TRL's `vllm_mode="colocate"` has it."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

from helpers import real


def test_hero_trainer_takes_a_step_with_vllm_in_its_process(smollm2: Path, tmp_path: Path) -> None:
    python = real.need(real.VLLM / "vllm").with_name("python")
    script = Path(__file__).with_name("colocate.py")
    path = os.pathsep.join([str(script.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        ["timeout", "--kill-after=5", "900", python, script, smollm2, tmp_path / "run"], text=True, capture_output=True,
        env={**os.environ, **real.VLLM_ENVIRONMENT, "PYTHONPATH": path}, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    step = json.loads(done.stdout.splitlines()[-1])[0]
    assert math.isfinite(step["loss"])
    assert step["grad_norm"] > 0
    assert step["completions/mean_length"] > 1
    # what vLLM says of its tokens is what the trained model says of them: the same weights, in float32 on both sides
    assert step["sampling/sampling_logp_difference/max"] < 1e-2
