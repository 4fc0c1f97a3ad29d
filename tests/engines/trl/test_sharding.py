"""The configurations for sharded training that come with the package; FSDP's runs for real, on two processes of a CPU.

They get the variables that `accelerate launch` sets. DeepSpeed does not install on a CPU, so its files are only read.
"""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from accelerate.commands.config.config_args import load_config_from_file

from helpers import forks, tiny, trl_worker

FOLDER = Path(str(resources.files("hero_rl") / "recipes" / "accelerate"))
STAGES = {"zero2.yaml": 2, "zero3.yaml": 3}


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    (folder / "say.py").write_text("import json, os; print(json.dumps(dict(os.environ)))")
    launch = ["-m", "accelerate.commands.launch", "--config_file", FOLDER / "fsdp.yaml", "--num_processes", "1"]
    said = forks.run([*launch, "--mixed_precision", "no", "--main_process_port", "0", folder / "say.py"], check=True)
    variables = json.loads(said.stdout.splitlines()[-1])
    settings = {name: text for name, text in variables.items() if name.startswith(("ACCELERATE_", "FSDP_"))}
    names = ("straddling", "uninterrupted", "continued")
    forks.run_ranks(2, trl_worker.__file__, folder, *names, env=os.environ | settings)
    return folder


def read(folder: Path, name: str, rank: int = 0) -> tuple[np.ndarray, dict]:
    result = json.loads((folder / name / f"rank{rank}.json").read_text())
    return np.load(folder / name / f"rank{rank}.npz")["parameters"], result


@pytest.mark.parametrize("name", ["fsdp.yaml", *STAGES])
def test_accelerate_reads_every_file_with_nothing_unknown(name: str) -> None:
    config = load_config_from_file(str(FOLDER / name))
    assert str(getattr(config.distributed_type, "value", config.distributed_type)) == (
        "FSDP" if name == "fsdp.yaml" else "DEEPSPEED"
    )
    assert (config.num_processes, config.mixed_precision, config.use_cpu) == (8, "bf16", False)
    if name in STAGES:
        assert config.deepspeed_config["zero_stage"] == STAGES[name]
    else:
        assert config.fsdp_config["fsdp_version"] == 2


def test_a_file_with_an_unknown_key_is_refused_by_the_loader_used_here(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text((FOLDER / "fsdp.yaml").read_text() + "num_procs: 8\n")
    with pytest.raises(ValueError, match="num_procs"):
        load_config_from_file(str(tmp_path / "wrong.yaml"))


def test_fsdp_on_two_processes_ends_where_one_process_does(sharded: Path, tmp_path: Path) -> None:
    trl_worker.main(tmp_path, ["straddling"])
    alone, (first, result) = read(tmp_path, "straddling"), read(sharded, "straddling")
    assert (result["world"], result["kinds"]) == (2, ["DTensor"])  # or the policy was not sharded at all
    assert alone[1]["kinds"] == ["Parameter"]
    assert result["state"] == alone[1]["state"] == read(sharded, "straddling", 1)[1]["state"]
    np.testing.assert_allclose(first, alone[0], rtol=0, atol=1e-6)
    assert np.abs(first - tiny.flat(tiny.model())).max() > 1e-2


def test_a_sharded_run_continues_from_its_checkpoint_as_if_it_had_never_stopped(sharded: Path) -> None:
    for rank in (0, 1):
        whole, continued = read(sharded, "uninterrupted", rank), read(sharded, "continued", rank)
        assert continued[1]["state"] == whole[1]["state"]
        assert continued[1]["state"]["state"]["updates"] == 6
        np.testing.assert_array_equal(continued[0], whole[0])
