"""Settings, data and failures: what is refused, what is warned of, what is logged, and what TRL release this stands on."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from helpers import tiny
from helpers.tally import tally
from hero_rl.engines.completions import to_rollout
from hero_rl.engines.hero_reward import end_tokens
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.errors import InputError, SettingsWarning, SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule, gated, hero, rm_only, verifier_only
from hero_rl.types import Rollout


def reward(rule: RewardRule | None = None, **options: Any) -> HybridReward:
    return HybridReward(tiny.Letters(), tiny.Characters(), rule or hero(), **options)


def build(args: GRPOConfig, signals: HybridReward | None = None, *, data: Any = None, **options: Any) -> HeroTrainer:
    data = tiny.problems() if data is None else data
    return HeroTrainer(
        tiny.model(), signals or reward(), args, train_dataset=data, processing_class=tiny.tokenizer(), **options
    )


# --- the TRL release --------------------------------------------------------------------------------------------------


def test_another_signature_in_trl_is_refused_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """What HeroTrainer extends is private to TRL; a release that has it otherwise must say so before a run starts."""
    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", lambda self, inputs, extra: {})
    monkeypatch.delitem(sys.modules, "hero_rl.engines.trl.trainer")
    with pytest.raises(
        ImportError, match=r"_generate_and_score_completions\(self, inputs\), and TRL .* use hero_rl.HeroReward"
    ):
        importlib.import_module("hero_rl.engines.trl.trainer")


def test_trl_still_has_the_attributes_that_are_read(tmp_path: Path) -> None:
    plain = GRPOTrainer(
        tiny.model(), lambda completions, **_: [0.0] * len(completions), tiny.config(tmp_path),
        train_dataset=tiny.problems(), processing_class=tiny.tokenizer(),
    )  # fmt: skip
    assert plain._logs["advantages"].maxlen == 16
    assert set(plain._metrics) == {"train", "eval"}
    assert (plain.num_generations, plain.num_generations_eval) == (8, 8)
    assert end_tokens(plain) == [1]
    assert plain.state.stateful_callbacks is not None


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [hero(), gated()], ids=lambda rule: rule.name)
def test_trls_default_normalisation_warns_where_it_undoes_the_bands(rule: RewardRule, tmp_path: Path) -> None:
    for scale in ("group", True):
        with pytest.warns(SettingsWarning, match=r"scale='group'.*scale_rewards='none'"):
            build(tiny.config(tmp_path, scale_rewards=scale), reward(rule))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SettingsWarning)
        build(tiny.config(tmp_path, scale_rewards="none"), reward(rule))
        build(tiny.config(tmp_path, scale_rewards="batch"), reward(rule))
        build(tiny.config(tmp_path, scale_rewards="group"), reward(verifier_only()))


def test_a_checkpoint_within_a_generation_cycle_warns(tmp_path: Path) -> None:
    cycle = {"steps_per_generation": 2, "num_iterations": 2, "save_strategy": "steps"}
    with pytest.warns(SettingsWarning, match=r"save_steps=6 is no multiple of the 4 optimizer steps"):
        build(tiny.config(tmp_path, save_steps=6, **cycle))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SettingsWarning)
        build(tiny.config(tmp_path, save_steps=8, **cycle))
        build(tiny.config(tmp_path, save_steps=6, **cycle), reward(verifier_only()))  # no state to feed twice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward_weights": [1.0, 0.5]}, r"reward_weights=\[1.0, 0.5\] has no meaning.*leave it unset"),
        ({"multi_objective_aggregation": "normalize_then_sum"}, r"'normalize_then_sum' has no meaning here"),
        ({"remove_unused_columns": True}, r"remove_unused_columns=True would drop the column 'reference'"),
    ],
)
def test_settings_that_would_bypass_the_rule_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        build(tiny.config(tmp_path, **options))


def test_reward_functions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes one `reward`, not `reward_funcs`"):
        build(tiny.config(tmp_path), reward_funcs=[lambda **_: [0.0]])


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["train_dataset", "eval_dataset['second']"])
def test_data_without_references_is_refused_before_training(which: str, tmp_path: Path) -> None:
    bare = tiny.problems().rename_column("reference", "answer")
    data = {"data": bare} if which == "train_dataset" else {"eval_dataset": {"first": tiny.problems(), "second": bare}}
    with pytest.raises(InputError) as error:
        build(tiny.config(tmp_path), **data)
    assert f"{which}: no column 'reference' (columns: answer, difficulty, prompt)" in str(error.value)


def test_a_null_reference_is_refused_before_training(tmp_path: Path) -> None:
    data = Dataset.from_dict({"prompt": ["1+1=?"] * 3, "reference": ["2", None, "2"]})
    with pytest.raises(InputError, match="train_dataset: row 1 has an empty .null. 'reference'"):
        build(tiny.config(tmp_path), data=data)


def test_streamed_data_without_references_is_refused_at_the_first_batch(tmp_path: Path) -> None:
    data = tiny.problems().rename_column("reference", "answer").to_iterable_dataset().map(lambda row: row)
    try:
        trainer = build(tiny.config(tmp_path), data=data)
    except NotImplementedError as error:
        pytest.skip(str(error))  # TRL before 1.7
    with pytest.raises(InputError, match=r"no column 'reference' \(columns: answer, difficulty\)"):
        trainer.train()


def test_without_a_verifier_no_reference_is_needed(tmp_path: Path) -> None:
    trainer = build(
        tiny.config(tmp_path, max_steps=1), HybridReward(None, tiny.Characters(), rm_only()),
        data=tiny.problems().remove_columns("reference"),
    )  # fmt: skip
    trainer.train()
    assert trainer.state.log_history[0]["hero/abstained"] == 1.0


def test_plain_prompts_become_rollouts(tmp_path: Path) -> None:
    verifier = tiny.Letters()
    trainer = build(tiny.config(tmp_path, max_steps=4), HybridReward(verifier, tiny.Characters(), hero()))
    trainer.train()
    seen = [rollout for batch in verifier.seen for rollout in batch]
    assert {rollout.problem for rollout in seen} == {f"{i}+{i}=?" for i in range(8)}
    for rollout in seen:
        number = rollout.extra["difficulty"]
        assert (rollout.problem, rollout.reference, rollout.messages) == (f"{number}+{number}=?", str(2 * number), ())
        # At most 8 tokens of one character each, and an end token that does not show.
        assert rollout.finished is True or len(rollout.response) == 8
    assert 0 < sum(rollout.finished is True for rollout in seen) < len(seen)
    assert all(rollout.finished is True for rollout in seen if len(rollout.response) < 8)


def test_conversations_become_rollouts(tmp_path: Path) -> None:
    verifier = tiny.Letters()
    trainer = build(
        tiny.config(tmp_path, max_steps=1, log_completions=True, num_completions_to_print=1),
        HybridReward(verifier, tiny.Characters(), hero()), data=tiny.problems(chat=True),
    )  # fmt: skip
    trainer.train()
    assert len(verifier.seen[0]) == 16
    for rollout in verifier.seen[0]:
        number = rollout.extra["difficulty"]
        assert rollout.problem == f"{number}+{number}=?"
        assert rollout.messages == ({"role": "user", "content": rollout.problem},)
        assert rollout.reference == str(2 * number)
        assert 0 < len(rollout.response) <= 8
        assert "<|" not in rollout.problem


def test_a_problem_column_and_a_prompt_id_win_over_the_prompt() -> None:
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "user", "content": "last"},
    ]
    answer = [{"role": "assistant", "content": "4"}, {"role": "tool", "content": "no"}, {"role": "assistant", "content": None}]
    row = {"reference": 4, "prompt_id": 17, "source": "here"}
    assert to_rollout(turns, answer, row) == Rollout(
        prompt_id="17", problem="last", reference="4", response="4\n", messages=tuple(turns), extra={"source": "here"}
    )
    assert to_rollout(turns, answer, row | {"problem": "2+2"}).problem == "2+2"
    blocks = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "see "}, {"type": "text", "text": "this"}]}
    ]
    assert to_rollout(blocks, "x", row).problem == "see this"


# --- failures and logs ------------------------------------------------------------------------------------------------


def test_too_many_failures_stop_the_run_and_leave_the_state_alone(tmp_path: Path) -> None:
    verifier = tiny.Letters(fail=lambda rollout: rollout.extra["difficulty"] < 7)
    trainer = build(tiny.config(tmp_path), HybridReward(verifier, tiny.Characters(), hero(), max_failure_rate=0.0))
    with pytest.raises(SignalError, match=r"of the last 16 rows failed in letters and characters; at most 0% of 256 may"):
        trainer.train()
    assert trainer.reward.state.updates == 0
    tolerant = build(tiny.config(tmp_path), HybridReward(verifier, tiny.Characters(), hero(), max_failure_rate=1.0))
    tolerant.train()
    assert tolerant.state.log_history[0]["hero/failure_rate"] >= 0.5


@pytest.mark.parametrize("rule", [hero(), verifier_only()], ids=lambda rule: rule.name)
def test_metrics_without_a_value_are_left_out_of_tensorboard(
    rule: RewardRule, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    scorer = tiny.Characters() if rule.needs_scores else None
    # Nothing is ever correct: no score of a correct response, no mixed prompt.
    signals = HybridReward(tiny.Letters(correct=""), scorer, rule)
    trainer = build(tiny.config(tmp_path, report_to="tensorboard"), signals)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert not [record for record in caplog.records if "log a value" in record.message]
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert "train/hero/groups_all_incorrect" in tags
    assert "train/hero/score_correct" not in tags
    assert ("train/hero/score_incorrect" in tags) == (scorer is not None)
    assert all(np.isfinite(event.value) for tag in tags for event in events.Scalars(tag))


def test_a_run_in_which_nothing_can_be_learned_says_so_within_two_steps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[int, str]] = []
    nothing = HybridReward(tiny.Letters(correct=""), None, verifier_only())
    trainer = build(tiny.config(tmp_path, max_steps=4), nothing)
    note = logging.Handler()
    note.emit = lambda record: seen.append((trainer.state.global_step, record.getMessage()))  # type: ignore[method-assign]
    with caplog.at_level(logging.INFO, "hero_rl.engines.exchange"):
        logging.getLogger("hero_rl.engines.exchange").addHandler(note)
        trainer.train()
        logging.getLogger("hero_rl.engines.exchange").removeHandler(note)
    (before, look), (steps, warning) = seen
    assert (before, steps) == (0, 1)  # before the first update, and before the second
    assert look.startswith(
        "the first batch, 16 responses: 0% accepted, 0 of 2 prompts with both verdicts and 2 without a gradient, "
    )
    assert "nothing can be learned: no response has an advantage, 2 batches in a row (4 prompts). The verifier acc" in warning
    assert [entry["loss"] for entry in trainer.state.log_history[:4]] == [0.0] * 4
    assert "time/reward_model" not in trainer.state.log_history[0]


def test_a_run_that_learns_is_not_warned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tiny.config(tmp_path, max_steps=4)).train()
    assert "nothing can be learned" not in caplog.text


def test_every_number_of_the_summary_is_logged_each_step(tmp_path: Path) -> None:
    trainer = build(tiny.config(tmp_path, max_steps=2))
    trainer.train()
    entry = trainer.state.log_history[1]
    shares = [entry[f"hero/groups_{kind}"] for kind in ("mixed", "all_correct", "all_incorrect")]
    assert sum(shares) == pytest.approx(1.0)
    assert 0.4 < entry["hero/weight_min"] <= entry["hero/weight_mean"] <= entry["hero/weight_max"] < 3.0
    assert entry["hero/sigma_mean"] > 0.0
    assert entry["hero/failure_rate"] == 0.0
    assert entry["reward"] == pytest.approx(entry["rewards/shaped/mean"])
    times = [entry[f"time/{part}"] for part in ("sampling", "verifier", "reward_model", "forward_backward")]
    assert min(times) > 0.0
    assert times[0] + max(times[1:3]) + times[3] < entry["step_time"]
    assert entry["time/sampled_tokens_per_s"] * times[0] == pytest.approx(16 * entry["completions/mean_length"])
    assert 0.1 < entry["memory/peak_gib"] < 100.0


def test_what_the_rules_state_says_of_itself_is_logged_after_each_batch(tmp_path: Path) -> None:
    trainer = build(tiny.config(tmp_path, max_steps=2), HybridReward(tiny.Letters(), None, tally()))
    trainer.train()
    first, second = trainer.state.log_history[:2]
    assert first["hero/share_so_far"] == first["hero/correct"]
    # the first batch is worth half by then: (0.5 first + second) / 1.5
    expected = (0.5 * first["hero/correct"] + second["hero/correct"]) / 1.5
    assert second["hero/share_so_far"] == trainer.reward.state.metrics()["share_so_far"] == pytest.approx(expected)
