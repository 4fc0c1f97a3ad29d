"""``kl_unit="oracle"``: the KL coefficient follows the estimated scale. (Two processes, kill and resume: test_processes.py.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import tiny
from hero_rl.engines.trl import HeroTrainer
from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule, hero, rm_only, verifier_only
from hero_rl.rewards.scale import ScaleEstimate

TRUE_REWARD = {"kl_unit": "oracle", "verifier_recall": 0.5}


def build(folder: Path, rule: RewardRule | None = None, **options: Any) -> HeroTrainer:
    rule = rule or hero()
    reward = HybridReward(tiny.Letters(), tiny.Characters() if rule.needs_scores else None, rule)
    args = tiny.config(folder, **({"beta": 0.5} | options))
    tiny.model().save_pretrained(folder / "start")
    return HeroTrainer(
        tiny.loaded(folder / "start"), reward, args, train_dataset=tiny.problems(), processing_class=tiny.tokenizer()
    )


def test_the_coefficient_is_the_one_given_times_the_scale_step_by_step(tmp_path: Path) -> None:
    trainer = build(tmp_path, max_steps=3, **TRUE_REWARD)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "hero/kl_coefficient" in entry]
    assert len(logged) == 3
    for entry in logged:
        assert entry["hero/kl_coefficient"] == pytest.approx(0.5 * max(0.05, entry["hero/scale_estimate"]))
    assert len({entry["hero/kl_coefficient"] for entry in logged}) == 3
    assert trainer.beta == 0.5 * trainer.reward.scale.kl_factor
    assert trainer.reward.scale.reliability.recall == 0.5


def test_the_loss_takes_that_coefficient(tmp_path: Path) -> None:
    """Two steps on one batch, of which the second has a KL: as plain TRL with the coefficient of that batch."""
    twice = {"max_steps": 2, "num_iterations": 2, "optim": "sgd", "learning_rate": 0.5}
    first = build(tmp_path / "a", **twice, **TRUE_REWARD)
    first.train()
    same = build(tmp_path / "b", **twice, beta=first.beta)
    same.train()
    plain = build(tmp_path / "c", **twice)
    plain.train()
    ours, theirs, other = (tiny.flat(trainer.model) for trainer in (first, same, plain))
    assert abs(first.beta - 0.5) > 0.01
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(ours - other).max() > 1e-6


def test_a_resumed_run_goes_on_with_the_same_coefficients(tmp_path: Path) -> None:
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, **TRUE_REWARD}
    whole = build(tmp_path, **options)
    whole.train()
    resumed = build(tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.reward.scale == whole.reward.scale
    assert resumed.beta == whole.beta
    np.testing.assert_array_equal(tiny.flat(resumed.model), tiny.flat(whole.model))


def test_without_it_nothing_changes_and_the_scale_is_logged_for_every_rule(tmp_path: Path) -> None:
    for number, rule in enumerate((hero(), verifier_only(), rm_only())):
        trainer = build(tmp_path / str(number), rule)
        trainer.train()
        assert trainer.beta == 0.5
        assert not any("hero/kl_coefficient" in entry for entry in trainer.state.log_history)
        assert all(entry["hero/scale_estimate"] for entry in trainer.state.log_history if "loss" in entry)


REFUSED = {
    "no KL": ({"beta": 0.0}, "is a unit of the KL coefficient, and beta=0"),
    "unknown": ({"kl_unit": "nats"}, "kl_unit='nats'"),
    "recall": ({"verifier_recall": 40.0}, "recall=40 must lie in"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_without_meaning_are_refused(case: str, tmp_path: Path) -> None:
    options, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        build(tmp_path, **(TRUE_REWARD | options))


def test_a_reward_without_a_verifier_has_no_scale(tmp_path: Path) -> None:
    reward = HybridReward(None, tiny.Characters(), rm_only())
    assert reward.scale == ScaleEstimate.of(rm_only())
    with pytest.raises(InputError, match="estimates the scale of the advantages from verdicts; give a verifier"):
        HeroTrainer(tiny.model(), reward, tiny.config(tmp_path, beta=0.1, **TRUE_REWARD), train_dataset=tiny.problems())
