"""Signals that are retrained during a run: what a round is given, what replaces what, and resuming. Real TRL, tiny models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import tiny
from hero_rl.contrib.refresh import Loaded, Rescaled, hero_rm, load_scorer, refresh_signals
from hero_rl.data import Columns, read_rollouts
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.errors import HeroError, InputError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero, verifier_only
from hero_rl.scorers import LocalScorer
from hero_rl.types import FloatArray, Rollout, Verdict


class Times(tiny.Characters):
    """The scores of ``Characters`` times a number, and whether it was closed."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.closed = factor, False

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        return await super().ascore(rollouts) * self.factor

    def close(self) -> None:
        self.closed = True


class Log:
    """A ``Train`` and ``Load`` that keep what they are called with; the model of step N multiplies by N."""

    def __init__(self) -> None:
        self.trained: list[tuple[str, str | None, str]] = []
        self.loaded: list[str] = []
        self.scorers: list[Times] = []

    def train(self, rows: Path, before: Path | None, folder: Path) -> None:
        self.trained.append((rows.name, before.name if before else None, folder.name))
        folder.mkdir()
        (folder / "factor").write_text(folder.name.removeprefix("round-"))

    def load(self, folder: Path) -> Loaded:
        self.loaded.append(folder.name)
        self.scorers.append(Times(float((folder / "factor").read_text())))
        return Loaded(scorer=self.scorers[-1])


def build(
    folder: Path, log: Log, *, every: int = 2, verifier: Any = None, scorer: Any = None, decide: Any = None, **options: Any
) -> HeroTrainer:
    reward = HybridReward(verifier or tiny.Letters(), scorer or Times(1.0), hero())
    saves = {"save_strategy": "steps", "save_steps": 1, "max_steps": 5}
    trainer = HeroTrainer(
        tiny.model(), reward, tiny.config(folder / "run", **(saves | options)), train_dataset=tiny.problems(),
        eval_dataset=tiny.problems(4), processing_class=tiny.tokenizer(),
    )  # fmt: skip
    refresh_signals(
        trainer, folder / "rounds", every=every, train=log.train, load=log.load, start=folder / "first", decide=decide
    )
    return trainer


def rows_of(folder: Path, step: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rounds" / f"round-{step:06d}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log, HeroTrainer, Times]:
    folder, log, first = tmp_path_factory.mktemp("done"), Log(), Times(1.0)
    evaluation = {
        "eval_strategy": "steps", "eval_steps": 1, "num_generations_eval": 4, "per_device_eval_batch_size": 16
    }  # fmt: skip
    trainer = build(folder, log, scorer=first, **evaluation)
    trainer.train()
    return folder, log, trainer, first


def test_every_round_goes_on_from_the_last_one_and_none_is_held_after_the_end(
    done: tuple[Path, Log, HeroTrainer, Times],
) -> None:
    _, log, _, _ = done
    assert log.trained == [
        ("round-000002.jsonl", "first", "round-000002"),
        ("round-000004.jsonl", "round-000002", "round-000004"),
    ]
    assert log.loaded == ["round-000002", "round-000004"]


def test_the_newest_signals_are_in_use_in_the_old_units_and_replaced_ones_are_closed(
    done: tuple[Path, Log, HeroTrainer, Times],
) -> None:
    _, log, trainer, first = done
    used = trainer.reward.scorer
    assert isinstance(used, Rescaled)
    assert used.scorer is log.scorers[1]
    assert used.factor == pytest.approx(1 / 4)  # the model of step 4 multiplies by 4
    assert [first.closed, log.scorers[0].closed, log.scorers[1].closed] == [True, True, False]
    row = Rollout(prompt_id="p", problem="1+1=?", reference="2", response="ab")
    np.testing.assert_allclose(used.score([row]), tiny.Characters().score([row]))


def test_a_round_holds_the_decided_rows_of_its_steps_and_nothing_of_evaluation(
    done: tuple[Path, Log, HeroTrainer, Times],
) -> None:
    folder, _, trainer, _ = done
    for step in (2, 4, 6):
        rows = rows_of(folder, step)
        assert {row["step"] for row in rows} == {one for one in (step - 1, step) if one <= 5}
        assert len(rows) <= 32
        for row in rows:
            assert "z" not in row["response"]  # on which Letters abstains
            assert row["correct"] == int(bool(set("ae13") & set(row["response"])))
    judged = trainer.reward.verifier
    assert isinstance(judged, tiny.Letters)
    sampled = sum(len(batch) for batch in judged.seen)
    assert sum(len(rows_of(folder, step)) for step in (2, 4, 6)) <= 5 * 16 < sampled  # the rest was evaluation


class Guessing(tiny.Letters):
    def judge(self, rollout: Rollout, /) -> Verdict:
        verdict = super().judge(rollout)
        return Verdict("incorrect", "guessed", learned=True) if verdict.label == "abstain" else verdict


def test_rows_may_be_labelled_by_the_rules_of_another_verifier_than_the_rewards(tmp_path: Path) -> None:
    build(tmp_path, Log(), decide=Guessing(correct="bc"), max_steps=2).train()
    rows = rows_of(tmp_path, 2)
    assert rows
    for row in rows:
        assert "z" not in row["response"]  # what a model said of it is not learned from
        assert row["correct"] == int(bool(set("bc") & set(row["response"])))


def test_a_round_is_a_rollouts_file_with_one_group_a_prompt(done: tuple[Path, Log, HeroTrainer, Times]) -> None:
    folder, _, _, _ = done
    path = folder / "rounds" / "round-000002.jsonl"
    rows = [row.rollout for row in read_rollouts(path, Columns(labels=("correct",), scores=("rm_score",)))]
    assert len({(row.prompt_id, row.problem, row.reference) for row in rows}) == len({row.prompt_id for row in rows})
    assert {row.problem for row in rows} <= {f"{i}+{i}=?" for i in range(8)}


def test_a_resumed_run_loads_the_round_of_its_checkpoint_and_drops_later_rows(tmp_path: Path) -> None:
    build(tmp_path, Log()).train()
    before = rows_of(tmp_path, 4)
    log = Log()
    trainer = build(tmp_path, log)
    trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert log.loaded == ["round-000002", "round-000004"]
    assert log.trained == [("round-000004.jsonl", "round-000002", "round-000004")]
    assert rows_of(tmp_path, 4) == before  # step 3 was kept, and step 4 sampled again, as the first time
    assert isinstance(trainer.reward.scorer, Rescaled)
    assert trainer.reward.scorer.factor == pytest.approx(1 / 4)


def test_a_last_line_that_a_killed_run_left_unfinished_is_dropped(tmp_path: Path) -> None:
    build(tmp_path, Log()).train()
    path = tmp_path / "rounds" / "round-000004.jsonl"
    before = rows_of(tmp_path, 4)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + '\n{"prompt_id": "ab')
    build(tmp_path, Log()).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert rows_of(tmp_path, 4) == before


def test_a_new_run_refuses_the_rounds_of_another(tmp_path: Path) -> None:
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / "round-000002.jsonl").touch()
    with pytest.raises(InputError, match="holds rounds of another run .round-000002.jsonl.; resume that run"):
        build(tmp_path, Log()).train()


class Learned(tiny.Letters):
    """Says "correct" as a model would, and "incorrect" by rule."""

    def judge(self, rollout: Rollout, /) -> Verdict:
        verdict = super().judge(rollout)
        return verdict._replace(learned=verdict.label == "correct")


def test_what_a_model_said_is_not_learned_from_and_one_kind_of_rows_trains_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    trainer = build(tmp_path, log, verifier=Learned())
    trainer.train()
    assert {row["correct"] for row in rows_of(tmp_path, 2)} == {0}
    assert log.trained == []
    assert isinstance(trainer.reward.scorer, Times)
    assert "round-000002.jsonl has not both correct and incorrect rows; nothing is retrained" in caplog.text


def test_settings_without_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every=0 must be at least 1"):
        build(tmp_path, Log(), every=0)
    with pytest.raises(InputError, match="give refresh_signals the folder of the first reward model"):
        hero_rm()(tmp_path / "rows.jsonl", None, tmp_path / "new")
    with pytest.raises(HeroError, match="hero rm train .*has no config.json"):
        hero_rm()(tmp_path / "no.jsonl", tmp_path, tmp_path / "new")


def test_hero_rm_retrains_a_real_reward_model_in_a_process_of_its_own(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    tiny.model().save_pretrained(tmp_path / "policy")
    first = AutoModelForSequenceClassification.from_pretrained(tmp_path / "policy", num_labels=1)
    first.save_pretrained(tmp_path / "first")
    tiny.tokenizer().save_pretrained(tmp_path / "first")
    reward = HybridReward(tiny.Letters(), LocalScorer(tmp_path / "first"), hero())
    trainer = HeroTrainer(
        tiny.model(), reward, tiny.config(tmp_path / "run", max_steps=3), train_dataset=tiny.problems(),
        processing_class=tiny.tokenizer(),
    )  # fmt: skip
    refresh_signals(
        trainer, tmp_path / "rounds", every=2, start=tmp_path / "first", load=load_scorer,
        train=hero_rm("--learning-rate", "1e-3", "--held-out-share", "0.1", "--batch-size", "4"),
    )  # fmt: skip
    trainer.train()
    facts = json.loads((tmp_path / "rounds" / "round-000002" / "training.json").read_text())
    assert facts["base"] == str(tmp_path / "first")
    assert facts["steps"] > 0
    assert trainer.reward.scorer is not None
    assert trainer.reward.scorer.name == f"local:{tmp_path / 'rounds' / 'round-000002'}"


def test_a_reward_without_a_verifier_is_refused(tmp_path: Path) -> None:
    from hero_rl.rewards import rm_only

    trainer = HeroTrainer(
        tiny.model(), HybridReward(None, Times(1.0), rm_only()), tiny.config(tmp_path), train_dataset=tiny.problems(),
        processing_class=tiny.tokenizer(),
    )  # fmt: skip
    with pytest.raises(InputError, match="no verifier, so no rule decides what to learn from"):
        refresh_signals(trainer, tmp_path, every=1, train=Log().train, load=Log().load)


def test_a_rule_without_scores_may_refresh_its_verifier_alone(tmp_path: Path) -> None:
    new = tiny.Letters(correct="b")
    trainer = HeroTrainer(
        tiny.model(), HybridReward(tiny.Letters(), None, verifier_only()), tiny.config(tmp_path, max_steps=2),
        train_dataset=tiny.problems(), processing_class=tiny.tokenizer(),
    )  # fmt: skip
    refresh_signals(
        trainer, tmp_path / "rounds", every=1, train=lambda rows, before, folder: folder.mkdir(),
        load=lambda folder: Loaded(verifier=new),
    )  # fmt: skip
    trainer.train()
    assert trainer.reward.verifier is new
    assert len(new.seen) == 1
