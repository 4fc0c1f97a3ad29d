"""verl's own command trains a tiny policy on a CPU in the mode hero_sync, is stopped, and goes on.

Everything is verl's: Ray, TransferQueue, agent loop, reward workers, FSDP2 (on gloo), checkpoints, validation. ``cpu_verl``
adds a platform and a rollout server through verl's registries, for it brings neither for CPUs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hero_rl.data import read_rollouts

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of 20 thousand parameters, its tokenizer, and eight problems."""
    sys.path.insert(0, str(HERE.parent))
    import pyarrow
    import pyarrow.parquet

    from helpers import tiny

    made = tmp_path_factory.mktemp("training")
    tiny.model().save_pretrained(made / "policy")
    tiny.tokenizer().save_pretrained(made / "policy")
    rows = [
        {
            "data_source": "sums", "prompt": [{"role": "user", "content": f"{i}+{i}=?"}], "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(2 * i)},
            "extra_info": {"index": i, "problem": f"{i}+{i}=?"},
        }
        for i in range(8)
    ]  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), made / "problems.parquet")
    return made


def train(folder: Path, steps: int, *options: str, mode: str = "hero_sync") -> dict[int, dict[str, float]]:
    """The metrics of each step, as verl prints them."""
    model, function = "actor_rollout_ref.model", "+reward.custom_reward_function.reward_kwargs"
    rollout, actor = "actor_rollout_ref.rollout", "actor_rollout_ref.actor"
    overrides = [
        f"trainer.v1.trainer_mode={mode}", "algorithm.adv_estimator=grpo", "algorithm.norm_adv_by_std_in_grpo=False",
        f"data.train_files={folder}/problems.parquet", f"data.val_files={folder}/problems.parquet", "data.train_batch_size=4",
        "data.max_prompt_length=32", "data.max_response_length=8", "data.dataloader_num_workers=0",
        f"{model}.path={folder}/policy", f"{model}.use_remove_padding=False", f"{model}.enable_gradient_checkpointing=False",
        f"+{model}.override_config.attn_implementation=eager",
        f"{actor}.strategy=fsdp2", f"{actor}.ppo_mini_batch_size=4", f"{actor}.ppo_micro_batch_size_per_gpu=16",
        f"{actor}.optim.lr=1e-2", f"{actor}.use_torch_compile=False", f"{actor}.fsdp_config.use_torch_compile=False",
        f"{rollout}.name=transformers_cpu", f"{rollout}.n=4", f"{rollout}.log_prob_micro_batch_size_per_gpu=16",
        f"{rollout}.tensor_model_parallel_size=1", f"{rollout}.agent.num_workers=1", f"{rollout}.free_cache_engine=False",
        f"{rollout}.n_gpus_per_node=1", f"{rollout}.calculate_log_probs=True", "reward.num_workers=1",
        "reward.custom_reward_function.path=pkg://hero_rl.engines.verl.reward",
        f"{function}.hero=${{hero}}",
        '+hero.verifier.name="helpers.tiny:Letters"', '+hero.reward_model.name="helpers.tiny:Characters"',
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1", "trainer.device=cpu", "trainer.nnodes=1",
        "trainer.n_gpus_per_node=1", f"trainer.total_training_steps={steps}", "trainer.total_epochs=10", "trainer.save_freq=1",
        "trainer.test_freq=1", "trainer.val_before_train=False", "trainer.logger=[console]",
        f"trainer.default_local_dir={folder}/{mode}",
        "ray_kwargs.ray_init.num_cpus=10", "+ray_kwargs.ray_init.num_gpus=2", "+ray_kwargs.ray_init.include_dashboard=False",
        *options,
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment |= {
        "VERL_USE_EXTERNAL_MODULES": "cpu_verl",
        "VERL_ENGINE_DEVICE": "cuda",  # verl registers FSDP for cuda and npu; the platform says where it really runs
        "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}",
        "RAY_prestart_worker_first_driver": "0",
        "CPU_VERL_WEIGHTS": str(folder),
        "VERL_LOGGING_LEVEL": "WARNING",  # at INFO, verl 0.9.1 stops at a mistake in a log line of separate_async
    }
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    found: dict[int, dict[str, float]] = {}
    for number, line in re.findall(r"step:(\d+) - (.*)", done.stdout):
        pairs = (part.rsplit(":", 1) for part in line.split(" - "))
        values = {name: re.sub(r"^np\.\w+\((.*)\)$", r"\1", text) for name, text in pairs}
        found[int(number)] = {name: float(value) for name, value in values.items()}
    return found


def state(folder: Path, step: int, *, mode: str = "hero_sync") -> dict[str, float]:
    return json.loads((folder / mode / f"global_step_{step}" / "hero_rl.json").read_text())["state"]


def test_verls_command_trains_on_shaped_rewards_and_resumes(folder: Path) -> None:
    first = train(folder, 2)
    assert sorted(first) == [1, 2]
    for metrics in first.values():
        assert metrics["hero/failure_rate"] == 0.0
        assert metrics["critic/score/min"] >= -0.0501
        assert metrics["critic/score/max"] <= 1.0501
        assert metrics["actor/grad_norm"] > 0.0
        assert (8 * metrics["val-core/sums/acc/mean@1"]).is_integer()  # the bare verdict on eight problems
        # the server sampled from the weights that the trainer has: those before step 1, and those after it
        assert metrics["training/rollout_probs_diff_mean"] < 0.02
    assert first[1]["hero/weight_max"] > 1.7 > first[1]["hero/weight_min"]
    assert [state(folder, step)["updates"] for step in (1, 2)] == [1, 2]
    kept = [row.rollout for row in read_rollouts(folder / "hero_sync")]
    assert {rollout.extra["step"] for rollout in kept} == {1, 2}
    assert all(rollout.problem and rollout.reference and rollout.extra["reason"] for rollout in kept)
    assert all((rollout.extra["verdict"] == 1) == (rollout.extra["reward"] > 0.5) for rollout in kept)

    again = train(folder, 3)
    assert sorted(again) == [3]
    assert state(folder, 3)["updates"] == 3
    before = state(folder, 2)
    assert again[3]["hero/sigma_mean"] == pytest.approx(before["total"] / before["weight"], rel=1e-12)


def test_step_scores_reach_the_tokens_of_a_real_run(folder: Path) -> None:
    steps = train(
        folder, 1, "+hero.rule.name=process", "+hero.rule.gamma=0.3", f"trainer.default_local_dir={folder}/process",
        'hero.reward_model.name="helpers.tiny:Pairs"',
    )  # fmt: skip
    assert steps[1]["hero/steps_shaped"] > 0.5  # the workers' texts are those that the trainer decodes
    assert 0.0 < steps[1]["hero/steps_size"] < 0.3 * steps[1]["hero/weight_max"]
    assert steps[1]["critic/advantages/max"] > 0.0
    assert steps[1]["actor/grad_norm"] > 0.0


SEPARATE = (
    "trainer.v1.separate_async.parameter_sync_step=2", "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8", "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.hybrid_engine=False", "actor_rollout_ref.rollout.nnodes=1",
    "actor_rollout_ref.rollout.checkpoint_engine.backend=folder",
)  # fmt: skip


@pytest.mark.parametrize(("mode", "options", "updates"), [("hero_colocate_async", (), 1), ("hero_separate_async", SEPARATE, 2)])
def test_it_trains_while_the_next_batch_is_sampled(mode: str, options: tuple[str, ...], updates: int, folder: Path) -> None:
    steps = train(folder, 2, *options, mode=mode)
    assert sorted(steps) == [1, 2]
    assert all(metrics["hero/weight_max"] > metrics["hero/weight_min"] for metrics in steps.values())
    assert all(metrics["actor/grad_norm"] > 0.0 for metrics in steps.values())
    assert state(folder, 2, mode=mode)["updates"] == 2 * updates  # once a mini-batch
