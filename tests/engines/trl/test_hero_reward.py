"""``HeroReward``, a plain reward function, trains as ``HeroTrainer`` does: advantages, parameters, state.

Run by ``make test-trl`` under several TRL releases, too; below 1.6 there is no ``HeroTrainer``, and the advantages are compared
with ``HybridReward.batch``.
"""

from __future__ import annotations

import logging
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import trl
from packaging.version import Version
from trl import GRPOTrainer

from helpers import tiny
from helpers.places import DOCS
from hero_rl import HeroReward, HybridReward
from hero_rl.data.tables import read_records
from hero_rl.errors import InputError, SettingsWarning, SignalError
from hero_rl.rewards import RewardRule, gated, gdpo, hero, hero_adaptive, naive_sum, process, rm_only, verifier_only

TRL = Version(trl.__version__)
RULES = [
    hero(alpha=0.1, beta=0.1), hero(w_min=1.0, w_max=1.0), hero_adaptive(), naive_sum(), gated(), gdpo(),
    hero(drop="verdicts"),
    verifier_only(), rm_only(),
]  # fmt: skip


class Recording(GRPOTrainer):
    """Keeps the advantages that the policy is trained with."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        self.__dict__.setdefault("used", []).append(output["advantages"].double().numpy().copy())
        return output


def build(folder: Path, rule: RewardRule | None = None, *, others: Any = (), data: Any = None, **options: Any) -> Recording:
    reward = HybridReward(tiny.Letters(), tiny.Characters(), rule or hero(alpha=0.1, beta=0.1), max_failure_rate=1.0)
    evaluation = options.pop("eval_dataset", None)
    config = tiny.config(folder, **options)
    # below 1.0 TRL shows a reward function nothing of itself
    own = HeroReward(reward, args=config if Version("1.0") > TRL else None, eos_token_ids=[1])
    return Recording(
        tiny.model(), [own, *others], config, train_dataset=tiny.problems() if data is None else data, eval_dataset=evaluation,
        processing_class=tiny.tokenizer(),
    )  # fmt: skip


def function(trainer: Recording) -> HeroReward:
    return trainer.reward_funcs[0]  # type: ignore[return-value]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_advantages_are_those_of_the_batch(rule: RewardRule, tmp_path: Path) -> None:
    trainer = build(tmp_path, rule, max_steps=3)
    trainer.train()
    again = HybridReward(tiny.Letters(), tiny.Characters(), rule, max_failure_rate=1.0)
    seen = function(trainer).reward.verifier.seen  # type: ignore[union-attr]
    assert len(seen) == 3
    for rollouts, used in zip(seen, trainer.used, strict=True):
        batch = again.batch(rollouts, np.arange(len(rollouts)) // 8, scale="none")
        np.testing.assert_allclose(used, batch.advantages, rtol=0, atol=1e-6)
    assert function(trainer).reward.state_dict() == again.state_dict()
    if rule.stateful:
        assert trainer.state.stateful_callbacks["hero_rl"] == again.state_dict()


@pytest.mark.skipif(Version("1.6") > TRL, reason="HeroTrainer needs TRL 1.6")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_parameters_and_state_end_where_those_of_hero_trainer_do(rule: RewardRule, tmp_path: Path) -> None:
    from hero_rl.engines.trl.trainer import HeroTrainer

    # Adam would turn the rounding of gradients near zero into steps of full size
    options = {"max_steps": 4, "optim": "sgd", "learning_rate": 0.5}
    by_function = build(tmp_path / "a", rule, **options)
    by_function.train()
    reward = HybridReward(tiny.Letters(), tiny.Characters(), rule, max_failure_rate=1.0)
    config = tiny.config(tmp_path / "b", **options)
    trainer = HeroTrainer(tiny.model(), reward, config, train_dataset=tiny.problems(), processing_class=tiny.tokenizer())
    trainer.train()
    assert trainer.reward.state_dict() == function(by_function).reward.state_dict()
    np.testing.assert_allclose(tiny.parameters(by_function), tiny.parameters(trainer), rtol=0, atol=1e-6)
    assert np.abs(tiny.parameters(trainer) - tiny.flat(tiny.model())).max() > 1e-3


@pytest.mark.parametrize("told_by", ["the trainer", "a column"])
def test_evaluation_never_feeds_the_state(told_by: str, tmp_path: Path) -> None:
    if told_by == "the trainer" and Version("1.0") > TRL:
        pytest.skip("TRL below 1.0 does not show a reward function its trainer")
    train, held_out = tiny.problems(), tiny.problems(4)
    if told_by == "a column":
        train, held_out = (
            data.add_column("split", [name] * len(data)) for data, name in ((train, "train"), (held_out, "test"))
        )
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 16, "num_generations_eval": 4}
    trainer = build(tmp_path, max_steps=2, data=train, eval_dataset=held_out, **evaluation)
    trainer.train()
    seen = function(trainer).reward.verifier.seen  # type: ignore[union-attr]
    assert len(seen) == 4  # two of training, two of evaluation
    assert function(trainer).reward.state.updates == 2  # type: ignore[attr-defined]


@pytest.mark.skipif(Version("1.0") > TRL, reason="TRL below 1.0 does not show a reward function its trainer")
def test_evaluation_is_known_where_the_model_is_back_in_training_mode(tmp_path: Path) -> None:
    """As in Unsloth's trainer, which calls ``for_training`` between sampling and rewards."""

    class Unsloths(Recording):
        def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
            was = self.model.training
            self.model.train()
            try:
                return super()._calculate_rewards(*args, **kwargs)
            finally:
                self.model.train(was)

    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 16, "num_generations_eval": 8}
    trainer = build(tmp_path, max_steps=2, eval_dataset=tiny.problems(4), **evaluation)
    trainer.__class__ = Unsloths
    trainer.train()
    trainer.evaluate()
    assert function(trainer).reward.state.updates == 2  # type: ignore[attr-defined]


def test_a_resumed_run_continues_the_state_exactly(tmp_path: Path) -> None:
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = build(tmp_path / "whole", **options)
    whole.train()
    resumed = build(tmp_path / "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert function(resumed).reward.state_dict() == function(whole).reward.state_dict()
    np.testing.assert_array_equal(tiny.parameters(resumed), tiny.parameters(whole))


def test_a_checkpoint_without_the_rules_state_is_refused(tmp_path: Path) -> None:
    plain = GRPOTrainer(
        tiny.model(), lambda completions, **_: [float(len(text)) for text in completions],
        tiny.config(tmp_path, max_steps=2, save_strategy="steps", save_steps=1), train_dataset=tiny.problems(),
        processing_class=tiny.tokenizer(),
    )  # fmt: skip
    plain.train()
    with pytest.raises(InputError, match="checkpoint of step 1 holds no state of the rule 'hero'"):
        build(tmp_path, max_steps=2).train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def length(completions: list[str], **_: Any) -> list[float]:
    return [float(len(text)) for text in completions]


def test_beside_other_functions_their_centred_rewards_are_added(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """HERO's part has mean 0 in every group, so TRL's centring leaves it alone and centres the other's."""
    caplog.set_level(logging.INFO, "hero_rl")
    trainer = build(tmp_path, others=[length], max_steps=2, reward_weights=[1.0, 0.25])
    trainer.train()
    rollouts = function(trainer).reward.verifier.seen[0]  # type: ignore[union-attr]
    reward = HybridReward(tiny.Letters(), tiny.Characters(), hero(alpha=0.1, beta=0.1), max_failure_rate=1.0)
    lengths = np.array([len(rollout.response) for rollout in rollouts], dtype=float).reshape(-1, 8)
    expected = reward.batch(rollouts, np.arange(len(rollouts)) // 8, scale="none").advantages
    expected = expected + 0.25 * (lengths - lengths.mean(axis=1, keepdims=True)).ravel()
    np.testing.assert_allclose(trainer.used[0], expected, rtol=0, atol=1e-6)
    said = [record for record in caplog.records if "of the spread of the summed rewards is HERO's" in record.getMessage()]
    assert len(said) == 1
    assert "length" in said[0].getMessage()


def test_louder_functions_beside_it_give_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_and_train = build(tmp_path, others=[length], max_steps=2, reward_weights=[1.0, 10.0])
    build_and_train.train()
    assert any("speak louder than the verdicts" in record.getMessage() for record in caplog.records)


def test_a_function_without_a_number_in_the_first_batch_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its spread is then None or NaN in the log."""
    caplog.set_level(logging.INFO, "hero_rl")
    build(tmp_path, others=[lambda completions, **_: [None] * len(completions)], max_steps=2).train()
    assert any("100% of the spread" in record.getMessage() for record in caplog.records)


@pytest.mark.skipif(Version("1.0") > TRL, reason="TRL below 1.0 does not show a reward function its trainer")
def test_a_second_one_in_the_trainer_is_refused(tmp_path: Path) -> None:
    """Both would keep their state under one key of the checkpoint, and each would go on with the other's."""
    second = HeroReward(HybridReward(tiny.Letters(), tiny.Characters(), hero()))
    with pytest.raises(InputError, match="2 of the trainer's reward functions are HeroReward"):
        build(tmp_path, others=[second]).train()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_rewards": "group"}, "scale='group'"),
        ({"scale_rewards": "batch"}, "scale_rewards='batch' divides"),
        ({"multi_objective_aggregation": "normalize_then_sum"}, "scale='group'"),
    ],
)
def test_a_normalisation_that_undoes_the_rule_gives_a_warning(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.warns(SettingsWarning, match=message):
        build(tmp_path, max_steps=1, **options).train()


def test_the_right_normalisation_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hero_rl")
    with warnings.catch_warnings():
        warnings.simplefilter("error", SettingsWarning)
        build(tmp_path, max_steps=2).train()
    assert sum("the advantages of hero stay as they are" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.skipif(Version("1.0") > TRL, reason="TRL below 1.0 has no log_metric")
def test_the_numbers_of_the_batch_are_logged(tmp_path: Path) -> None:
    trainer = build(tmp_path, max_steps=1)
    trainer.train()
    logged = trainer.state.log_history[0]
    rollouts = function(trainer).reward.verifier.seen[0]  # type: ignore[union-attr]
    values = [verdict.value for verdict in tiny.Letters().verify(rollouts)]
    assert logged["hero/correct"] == pytest.approx(np.nanmean(np.nan_to_num(values)))
    assert logged["hero/rm_score"] == pytest.approx(tiny.Characters().score(rollouts).mean())
    assert logged["reward"] == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < logged["hero/reward"] < 1.0


def test_another_column_can_hold_the_reference(tmp_path: Path) -> None:
    reward = HybridReward(tiny.Letters(), tiny.Characters(), hero())
    config = tiny.config(tmp_path, max_steps=1)
    data = tiny.problems().rename_column("reference", "answer")
    own = HeroReward(reward, args=config, reference="answer")
    GRPOTrainer(tiny.model(), own, config, train_dataset=data, processing_class=tiny.tokenizer()).train()
    assert reward.verifier.seen[0][0].reference == str(2 * reward.verifier.seen[0][0].extra["difficulty"])  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no column 'reference'"):
        HeroReward(reward, args=config)(["a"] * 8, ["1+1=?"] * 8, answer=["2"] * 8)


def test_called_by_hand_it_returns_the_advantages() -> None:
    """Eight responses, the first correct. hero(0.1, 0.1): .9 + .1 x its place in its band; alone in it, it gets the middle."""
    args = type("Args", (), {"num_generations": 4, "scale_rewards": "none"})
    reward = HybridReward(tiny.Letters(), None, verifier_only())
    own = HeroReward(reward, args=args)
    assert own(["a", "b", "b", "b"], ["1+1=?"] * 4, reference=["2"] * 4) == [0.75, -0.25, -0.25, -0.25]
    with pytest.raises(InputError, match=r"3 rows are no whole groups of 4 responses"):
        own(["a", "b", "b"], ["1+1=?"] * 3, reference=["2"] * 3)
    with pytest.raises(InputError, match=r"HeroReward\(reward, args=args\)"):
        HeroReward(reward)(["a"] * 4, ["1+1=?"] * 4, reference=["2"] * 4)


@pytest.mark.parametrize("reference", [{"answer": "2"}, [], [["2"]]])
def test_a_reference_that_is_none_is_refused(reference: object) -> None:
    """Its text would be a reference that no response can match."""
    args = type("Args", (), {"num_generations": 2, "scale_rewards": "none"})
    own = HeroReward(HybridReward(tiny.Letters(), None, verifier_only()), args=args)
    with pytest.raises(InputError, match="give text, a number, or a list of them"):
        own(["a", "b"], ["1+1=?"] * 2, reference=[reference] * 2)
    assert own(["a", "b"], ["1+1=?"] * 2, reference=[2, 2.0]) == [0.5, -0.5]


def test_rollouts_are_kept_where_some_prompts_have_several_references(tmp_path: Path) -> None:
    args = type("Args", (), {"num_generations": 2, "scale_rewards": "none", "output_dir": str(tmp_path)})
    state = type("State", (), {"stateful_callbacks": {}, "global_step": 0, "log_history": []})
    own = HeroReward(HybridReward(tiny.Letters(), None, verifier_only()), args=args)
    own(list("abcd"), ["x"] * 2 + ["y"] * 2, trainer_state=state, reference=[["2"]] * 2 + [["3", "4"]] * 2)
    kept = pd.read_parquet(tmp_path / "rollouts" / "step_000001.rank0.parquet")
    assert [list(reference) for reference in kept["reference"]] == [["2"]] * 2 + [["3", "4"]] * 2


def test_too_many_failures_stop_the_run_and_leave_the_state_alone() -> None:
    args = type("Args", (), {"num_generations": 4, "scale_rewards": "none"})
    state = type("State", (), {"stateful_callbacks": {}, "global_step": 0, "log_history": []})
    reward = HybridReward(tiny.Letters(fail=lambda _: True), tiny.Characters(), hero(), max_failure_rate=0.0)
    with pytest.raises(SignalError, match="4 of the last 4 rows"):
        HeroReward(reward, args=args)(["a"] * 4, ["1+1=?"] * 4, trainer_state=state, reference=["2"] * 4)
    assert not state.stateful_callbacks


def test_it_can_be_pickled_and_reads_a_reward_file(tmp_path: Path) -> None:
    file = tmp_path / "reward.toml"
    file.write_text('[rule]\nname = "verifier_only"\n[verifier]\nname = "exact"\n')
    args = type("Args", (), {"num_generations": 2, "scale_rewards": "none"})
    own = pickle.loads(pickle.dumps(HeroReward(file)))
    own.args = args
    assert own.__name__ == "hero_verifier_only"
    assert own(["2", "3"], ["1+1=?"] * 2, reference=["2"] * 2) == [0.5, -0.5]


def test_rules_that_shape_steps_are_refused() -> None:
    with pytest.raises(InputError, match="shapes the advantages of tokens"):
        HeroReward(HybridReward(tiny.Letters(), tiny.Pairs(), process()))


@pytest.mark.parametrize("kind", ["HeroReward", "HeroTrainer"])
def test_the_rollouts_of_a_run_are_kept_with_what_it_was_trained_with(kind: str, tmp_path: Path) -> None:
    if kind == "HeroReward":
        trainer: Any = build(tmp_path, max_steps=2)
        reward = function(trainer).reward
    elif Version("1.6") > TRL:
        pytest.skip("HeroTrainer needs TRL 1.6")
    else:
        from hero_rl.engines.trl.trainer import HeroTrainer

        reward = HybridReward(tiny.Letters(), tiny.Characters(), hero(alpha=0.1, beta=0.1), max_failure_rate=1.0)
        config = tiny.config(tmp_path, max_steps=2)
        trainer = HeroTrainer(
            tiny.model(), reward, config, rollouts=1, train_dataset=tiny.problems(), processing_class=tiny.tokenizer()
        )
    trainer.train()
    prompts = 2 if kind == "HeroReward" else 1
    again = HybridReward(tiny.Letters(), tiny.Characters(), hero(alpha=0.1, beta=0.1), max_failure_rate=1.0)
    for step, rollouts in enumerate(reward.verifier.seen, 1):  # type: ignore[union-attr]
        batch = again.batch(rollouts, np.arange(16) // 8, scale="none")
        kept = pd.read_parquet(tmp_path / "rollouts" / f"step_{step:06d}.rank0.parquet")
        assert kept["response"].tolist() == [rollout.response for rollout in rollouts[: 8 * prompts]]
        assert kept["prompt_id"].tolist() == [f"step {step}, prompt {row // 8}" for row in range(8 * prompts)]
        assert set(kept["step"]) == {step}
        np.testing.assert_array_equal(kept["advantage"], batch.advantages[: 8 * prompts])
        np.testing.assert_array_equal(kept["verdict"].isna(), np.isnan(batch.signals.verdicts[: 8 * prompts]))
        np.testing.assert_array_equal(kept["rm_score"], batch.signals.scores[: 8 * prompts])
    # the folder of the run is enough: every command finds them
    assert sum(1 for _ in read_records(tmp_path)) == 16 * prompts


@pytest.mark.skipif(Version("1.0") > TRL, reason="below 1.0 a reward function needs args=..., as the page says")
def test_the_snippet_of_the_documentation_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    [snippet] = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "HeroReward" in text]
    for name, value in (
        ('"Qwen/Qwen3-0.6B"', '"policy"'),
        ('scale_rewards="none"', 'scale_rewards="none", max_steps=1, num_generations=4, max_completion_length=4'),
    ):
        assert name in snippet
        snippet = snippet.replace(name, value)
    for part in (tiny.model(), tiny.tokenizer()):
        part.save_pretrained(tmp_path / "policy")
    (tmp_path / "reward.toml").write_text('[verifier]\nname = "exact"\n[rule]\nname = "verifier_only"\n')
    monkeypatch.chdir(tmp_path)
    exec(snippet, {"problems": tiny.problems()})
    assert list((tmp_path / "runs" / "hero" / "rollouts").iterdir())
