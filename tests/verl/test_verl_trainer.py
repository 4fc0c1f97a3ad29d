"""verl's real trainers, queue and estimators: the policy is trained on what the rule says, and on nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transfer_queue as tq
from here import Response, advantages, config, put, read
from torchdata.stateful_dataloader import StatefulDataLoader
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.v1 import PPOTrainerSync, get_trainer_cls
from verl.utils.tensordict_utils import get_tensordict

from hero_rl.engines.verl.trainer import STATE_FILE, HeroSync
from hero_rl.errors import InputError, SettingsWarning, SignalError
from hero_rl.rewards import RewardRule, gated, gdpo, group_advantages, hero, naive_sum, rm_only, verifier_only
from hero_rl.types import FloatArray

pytestmark = pytest.mark.usefixtures("queue")

NAN = float("nan")
RULES = [
    hero(),
    hero(alpha=0.2, beta=0.2, singleton="center"),
    gated(),
    verifier_only(),
    rm_only(),
    naive_sum(),
    gdpo(),
    hero(drop="verdicts"),
]
NONE, GROUP = "algorithm.norm_adv_by_std_in_grpo=False", "algorithm.norm_adv_by_std_in_grpo=True"


def batch_of(seed: int, *, groups: int = 6, missing: bool = True) -> list[Response]:
    """Ragged groups (one of them a lone response), ragged lengths, some abstentions, some missing scores."""
    rng = np.random.default_rng(seed)
    responses = []
    for group in range(groups):
        for _ in range(1 if group == groups - 1 else int(rng.integers(2, 6))):
            verdict = NAN if rng.random() < 0.1 else float(rng.random() < 0.5)
            score = NAN if missing and rng.random() < 0.08 else float(rng.normal(verdict == 1.0, 1.0 + group))
            responses.append(Response(f"g{group}", verdict, score, (int(rng.integers(1, 9)),)))
    return responses


def trainer(rule: RewardRule, *overrides: str) -> HeroSync:
    settings = [f"+hero.rule.{name}={'none' if value is None else value}" for name, value in rule.settings.items()]
    return HeroSync(config(f"+hero.rule.name={rule.name}", *settings, "+hero.max_failure_rate=1.0", *overrides))


def expected(rule: RewardRule, batches: list[list[Response]], scale: Any) -> list[FloatArray]:
    """From the signals alone: the rule with its own state, and our normalisation with verl's constant."""
    state, wanted = rule.init(), []
    for batch in batches:
        groups = [response.group for response in batch]
        output = rule.apply([one.verdict for one in batch], [one.score for one in batch], groups, state)
        state = output.state
        wanted.append(group_advantages(output.rewards, groups, scale=scale, weights_B=output.weights, eps=1e-6))
    return wanted


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_advantages_are_the_rules_batch_after_batch(rule: RewardRule) -> None:
    hero_trainer, batches = trainer(rule, NONE), [batch_of(seed) for seed in (1, 2, 3)]
    for responses, want in zip(batches, expected(rule, batches, "none"), strict=True):
        batch = hero_trainer._compute_advantage(put(responses), {})
        assert np.abs(want).max() > 0.0
        np.testing.assert_allclose(advantages(batch), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", [hero(), verifier_only(), rm_only()], ids=lambda rule: rule.name)
def test_advantages_are_the_rules_divided_by_the_groups_spread_too(rule: RewardRule) -> None:
    hero_trainer, batches = trainer(rule, GROUP, "+hero.allow_group_std=True"), [batch_of(seed) for seed in (1, 2)]
    for responses, want in zip(batches, expected(rule, batches, "group"), strict=True):
        got = advantages(hero_trainer._compute_advantage(put(responses), {}))
        # rewards reach verl as float32: half a unit in the last place of 1, divided by a spread of 0.01 or so
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("estimator", ["rloo", "rloo_vectorized"])
def test_rloo_gets_the_rewards_and_the_weights(estimator: str) -> None:
    responses = batch_of(4, missing=False)
    got = advantages(trainer(hero(), f"algorithm.adv_estimator={estimator}")._compute_advantage(put(responses), {}))
    groups = np.array([response.group for response in responses])
    sizes = np.array([(groups == group).sum() for group in groups])
    want = expected(hero(), [responses], "none")[0] * sizes / np.maximum(sizes - 1, 1)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_weights_do_not_cancel_and_would_in_the_rewards() -> None:
    responses = batch_of(5, missing=False)
    override = (GROUP, "+hero.allow_group_std=True")
    bare = advantages(trainer(hero(weighting=False), *override)._compute_advantage(put(responses), {}))
    weighted = advantages(trainer(hero(), *override)._compute_advantage(put(responses), {}))
    weighing_rewards = trainer(hero(), *override)
    rule = weighing_rewards.hero.rule

    def weigh(*arguments: Any) -> Any:
        output = rule.apply_checked(*arguments)
        return output._replace(rewards=output.rewards * output.weights, weights=np.ones_like(output.weights))

    weighing_rewards.hero.rule = dataclasses.replace(rule, apply_checked=weigh)
    cancelled = advantages(weighing_rewards._compute_advantage(put(responses), {}))
    moved = np.abs(bare) > 1e-2
    ratio = weighted[moved] / bare[moved]
    assert ratio.min() < 0.9
    assert ratio.max() > 2.5  # the weights of Eq. 4, group by group
    np.testing.assert_allclose(cancelled[moved], bare[moved], rtol=1e-3)  # gone, but for the constant in the divisor


def test_kl_in_the_reward_stays_verls() -> None:
    """The shaped reward less beta times verl's own penalty, all of it times the weight."""
    responses = batch_of(6, missing=False)
    got = advantages(
        trainer(
            hero(), "algorithm.use_kl_in_reward=True", "algorithm.kl_penalty=kl", "algorithm.kl_ctrl.kl_coef=0.1"
        )._compute_advantage(put(responses), metrics := {})
    )
    output = hero().apply(*zip(*[(one.verdict, one.score, one.group) for one in responses], strict=True), hero().init())
    penalised = output.rewards - 0.1 * 0.5 * np.array([one.tokens[0] for one in responses])
    want = group_advantages(penalised, [one.group for one in responses], weights_B=output.weights)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert "actor/reward_kl_penalty" in metrics


def test_kl_in_true_reward_divides_the_advantages_by_the_scale() -> None:
    """The loss -A / scale + coefficient KL is that of A and of the scaled coefficient, but for one factor."""
    responses, in_loss = batch_of(6, missing=False), "actor_rollout_ref.actor.use_kl_loss=True"
    want = advantages(trainer(hero(), in_loss)._compute_advantage(put(responses), {}))
    scaled = trainer(hero(), in_loss, "+hero.kl_unit=oracle", "+hero.verifier_recall=0.5")
    got = advantages(scaled._compute_advantage(put(responses), metrics := {}))
    assert metrics["hero/kl_factor"] == scaled.hero.scale.kl_factor != 1.0
    np.testing.assert_allclose(got * metrics["hero/kl_factor"], want, rtol=1e-5, atol=1e-7)


def test_rows_that_verl_adds_to_fill_a_batch_count_for_nothing() -> None:
    responses = batch_of(7, missing=False)
    plain, padded = trainer(hero()), trainer(hero())
    want = advantages(plain._compute_advantage(put(responses), wanted := {}))
    batch = upsample_batch_to_divisible_size(put(responses), 32, eos_token_id=0)
    assert len(batch) == 32 > len(responses)
    # moved among the others, as verl's balancing does
    order = np.random.default_rng(0).permutation(32)
    batch.reorder(order.tolist())
    got = advantages(padded._compute_advantage(batch, metrics := {}))
    np.testing.assert_array_equal(got[order >= len(responses)], 0.0)
    np.testing.assert_allclose(got[np.argsort(order)][: len(responses)], want, atol=1e-6)  # sums are in another order
    assert padded.hero.state == pytest.approx(plain.hero.state, rel=1e-12)
    ours = {name: value for name, value in wanted.items() if name.startswith("hero/")}
    assert len(ours) > 10
    assert {name: metrics[name] for name in ours} == pytest.approx(ours, rel=1e-5)


def test_the_outputs_of_one_rollout_share_its_advantage_and_count_once() -> None:
    responses = batch_of(8, missing=False)
    split = [one._replace(tokens=(3, 2, 4)[: 1 + i % 3]) for i, one in enumerate(responses)]
    hero_trainer = trainer(hero())
    batch = hero_trainer._compute_advantage(put(split, shuffle=1), {})
    (want,) = expected(hero(), [responses], "none")
    got = dict(zip(batch.keys, advantages(batch), strict=True))
    assert len(got) == sum(len(one.tokens) for one in split) > len(responses)
    per_rollout: dict[str, set[float]] = {}
    for key, value in got.items():
        per_rollout.setdefault(key.rpartition("_")[0], set()).add(value)
    assert all(len(values) == 1 for values in per_rollout.values())
    np.testing.assert_allclose(
        sorted(v for values in per_rollout.values() for v in values), np.sort(np.unique(want)), atol=1e-6
    )


def test_what_a_rule_leaves_out_is_in_no_baseline_and_keeps_its_prompt() -> None:
    responses = [Response("a", 1.0, NAN), Response("a", 0.0, 3.0), Response("a", 1.0, 1.0), Response("b", 1.0, 2.0)]
    batch = put(responses)
    before = read(batch, "uid")
    got = advantages(trainer(rm_only())._compute_advantage(batch, {}))
    np.testing.assert_allclose(got, [0.0, 1.0, -1.0, 0.0])
    assert read(batch, "uid") == before


def test_a_lone_response_has_no_advantage_where_verl_would_give_it_its_whole_reward() -> None:
    responses = [Response("a", 1.0, 1.0), Response("b", 1.0, 1.0), Response("b", 0.0, 0.0)]
    plain = PPOTrainerSync(config("trainer.v1.trainer_mode=sync"))
    assert advantages(plain._compute_advantage(put(responses), {}))[0] == 1.0
    assert advantages(trainer(hero())._compute_advantage(put(responses), {}))[0] == 0.0


def test_too_many_failures_stop_the_run_and_leave_the_state_alone() -> None:
    hero_trainer = HeroSync(config("+hero.max_failure_rate=0.0"))
    hero_trainer._compute_advantage(put(batch_of(9, missing=False)), {})
    state = hero_trainer.hero.state
    dead = [one._replace(score=NAN) for one in batch_of(9, missing=False)]
    with pytest.raises(SignalError, match="the reward model.*Is an endpoint down"):
        hero_trainer._compute_advantage(put(dead), {})
    assert hero_trainer.hero.state == state


def test_a_batch_of_nothing_but_padding_passes() -> None:
    batch = put([Response("a", 1.0, 1.0), Response("a", 0.0, 0.0)])
    tagged = KVBatchMeta(keys=batch.keys, tags=[{**tag, "is_padding": True} for tag in batch.tags], partition_id="train")
    hero_trainer = HeroSync(config())
    hero_trainer._compute_advantage(tagged, {})
    assert hero_trainer.hero.state.updates == 0


def test_a_reward_function_without_verdicts_is_refused_with_what_it_must_return() -> None:
    batch = put([Response("a", 1.0, 1.0), Response("a", 0.0, 0.0)])
    infos = [{"reward_extra_info": {"score": 1.0}}] * 2
    tq.kv_batch_put(keys=batch.keys, partition_id="train", fields=get_tensordict({"extra_fields": infos}))
    with pytest.raises(InputError, match="no 'acc'.*must return 'acc'"):
        HeroSync(config())._compute_advantage(batch, {})


def test_what_undoes_the_rule_is_refused_or_warned_about() -> None:
    with pytest.raises(InputError, match=r"blows the band up.*norm_adv_by_std_in_grpo=False"):
        HeroSync(config(GROUP))
    with pytest.warns(SettingsWarning, match="blows the band up"):
        HeroSync(config(GROUP, "+hero.allow_group_std=True"))
    with pytest.raises(InputError, match="enable_resource_pool"):
        HeroSync(config("reward.reward_model.enable=True"))


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_each_mode_runs_as_the_one_of_verl_that_it_extends(mode: str) -> None:
    separate = (
        "data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=4", "actor_rollout_ref.rollout.nnodes=1",
        "trainer.v1.separate_async.parameter_sync_step=2", "actor_rollout_ref.rollout.n_gpus_per_node=1",
        "actor_rollout_ref.rollout.checkpoint_engine.backend=nccl",
    )  # fmt: skip
    theirs, ours = get_trainer_cls(mode), get_trainer_cls(f"hero_{mode}")
    assert issubclass(ours, theirs)
    made = ours(config(f"trainer.v1.trainer_mode=hero_{mode}", *(separate if mode == "separate_async" else ())))
    assert made.trainer_mode == mode
    assert type(made.replay_buffer) is type(theirs._build_replay_buffer(made))
    responses = batch_of(10)
    (want,) = expected(hero(), [responses], "none")
    made.hero.max_failure_rate = 1.0
    np.testing.assert_allclose(advantages(made._compute_advantage(put(responses), {})), want, atol=1e-6)


class Workers:
    """Stands in for verl's remote model workers, whose checkpoints are theirs."""

    def save_checkpoint(self, path: str, *_: Any, **__: Any) -> None:
        Path(path).mkdir(parents=True)

    def load_checkpoint(self, **_: Any) -> None:
        pass


def resumable(folder: Path, *overrides: str) -> HeroSync:
    made = HeroSync(config(f"trainer.default_local_dir={folder}", "+hero.max_failure_rate=1.0", *overrides))
    made.actor_rollout_wg, made.train_dataloader = Workers(), StatefulDataLoader(range(8))
    made._load_checkpoint()
    return made


@pytest.mark.parametrize("mode", ["auto", "resume_path"])
def test_a_resumed_run_continues_bit_for_bit(mode: str, tmp_path: Path) -> None:
    first = resumable(tmp_path)
    assert first.global_steps == 0
    for seed in (11, 12):
        first._compute_advantage(put(batch_of(seed)), {})
    first.global_steps = 2
    first._save_checkpoint()
    want = advantages(first._compute_advantage(put(batch_of(13)), {}))

    path = [] if mode == "auto" else ["trainer.resume_mode=resume_path", f"trainer.resume_from_path={tmp_path}/global_step_2"]
    again = resumable(tmp_path, *path)
    assert again.global_steps == 2
    np.testing.assert_array_equal(advantages(again._compute_advantage(put(batch_of(13)), {})), want)
    assert again.hero.state == first.hero.state

    fresh = advantages(trainer(hero())._compute_advantage(put(batch_of(13)), {}))
    assert np.abs(fresh - want).max() > 1e-3  # without the state it would have been another step


def test_a_checkpoint_of_somebody_else_is_refused(tmp_path: Path) -> None:
    first = resumable(tmp_path)
    first._compute_advantage(put(batch_of(14)), {})
    first.global_steps = 1
    first._save_checkpoint()
    with pytest.raises(InputError, match="of rule 'hero'"):
        resumable(tmp_path, "+hero.rule.name=gated")
    (tmp_path / "global_step_1" / STATE_FILE).unlink()
    with pytest.raises(InputError, match="was not written by a hero trainer mode"):
        resumable(tmp_path)
    assert resumable(tmp_path, "+hero.rule.name=verifier_only").global_steps == 1
