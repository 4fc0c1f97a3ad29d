"""``HeroReward`` in what stands on TRL: each framework's own way to name a reward function, and its own advantages.

Unsloth's trainer is in ``unsloth_trainer.py`` (`make test-unsloth`); Axolotl's and Oumi's is TRL's (`make test-trl`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trl
from transformers import TrainerState

from helpers.adapters import GROUP, groups, packages, reward
from hero_rl import HeroReward

ARGS = SimpleNamespace(num_generations=GROUP, scale_rewards="none")
CRYPTOGRAPHY = [".".join(["cryptography", "hazmat", "primitives", "asymmetric", "ed25519"][:depth]) for depth in range(1, 6)]


def test_ms_swift_computes_heros_advantages() -> None:
    """Its own reward rows, its call of a plugin's reward function, and its advantages; two batches, of which the second
    starts from the state of the first."""
    rollouts = groups()
    with packages(*CRYPTOGRAPHY, "dacite", "json_repair"):
        from swift.rewards import orms  # pyright: ignore[reportMissingImports]
        from swift.rl_core.advantage import compute_advantages  # pyright: ignore[reportMissingImports]
        from swift.rl_core.data import GRPOSample  # pyright: ignore[reportMissingImports]
        from swift.rl_core.grpo_algorithm import compute_rewards_per_func  # pyright: ignore[reportMissingImports]

        orms["hero"] = lambda args=None, **_: HeroReward(reward(), args=args, reference="solution")
        own, state, ours = orms["hero"](args=ARGS), TrainerState(), reward()
        for start in (0, 2):
            batch = [one for group in rollouts[start : start + 2] for one in group]
            samples = [
                GRPOSample(
                    messages=[{"role": "user", "content": one.problem}, {"role": "assistant", "content": one.response}],
                    prompt_id=one.prompt_id, extra={"solution": one.reference}, finish_reason="stop",
                )
                for one in batch
            ]  # fmt: skip
            per_function = compute_rewards_per_func(samples, [own], [None], torch.device("cpu"), trainer_state=state)
            advantages, _ = compute_advantages(per_function, torch.ones(1), GROUP, scale_rewards="none")
            wanted = ours.batch(batch, scale="none").advantages
            np.testing.assert_allclose(advantages.numpy(), wanted, rtol=0, atol=1e-6)
    assert state.stateful_callbacks["hero_rl"] == ours.state_dict()
    assert ours.state.updates == 2  # type: ignore[attr-defined]


@pytest.mark.skipif(not trl.__version__.startswith("1.9."), reason="Axolotl needs TRL 1.9: make test-adapters")
def test_axolotl_finds_the_function_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reward.toml").write_text('[rule]\nname = "verifier_only"\n[verifier]\nname = "exact"\n')
    (tmp_path / "my_reward.py").write_text('from hero_rl import HeroReward\n\nreward = HeroReward("reward.toml")\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with packages("numba"):
        from axolotl.core.trainers.grpo import GRPOStrategy  # pyright: ignore[reportMissingImports]

        found = GRPOStrategy.get_reward_func("my_reward.reward")
    del sys.modules["my_reward"]
    assert isinstance(found, HeroReward)
    assert found.__name__ == "hero_verifier_only"


def test_oumi_builds_the_registered_function() -> None:
    with packages("mlflow", "wandb", "pexpect"):
        from oumi.builders.rewards import build_reward_functions  # pyright: ignore[reportMissingImports]
        from oumi.core.configs import TrainerType, TrainingParams  # pyright: ignore[reportMissingImports]
        from oumi.core.registry import RegistryType, register  # pyright: ignore[reportMissingImports]

        own = HeroReward(reward(), args=ARGS)
        register("hero", RegistryType.REWARD_FUNCTION)(own)
        params = TrainingParams(trainer_type=TrainerType.TRL_GRPO, reward_functions=["hero"])
        assert build_reward_functions(params) == [own]
