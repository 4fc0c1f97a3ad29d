from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the lab extra")

import torch

from hero_lab import models
from hero_lab.cold_start import ColdStartSettings, train_policy
from hero_lab.corpus import demonstrations
from hero_lab.evaluate import sample_items
from hero_lab.families import CHAIN, FAMILIES
from hero_lab.families.chain import deal_error_rates
from hero_lab.family import TaskName
from hero_lab.noise import ChanceScorer
from hero_lab.prepare import MODEL, load_scorer, prepare, read_facts
from hero_lab.reward_model import GOES_ON, RewardModelSettings, Tier, training_sources
from hero_lab.settings import plan_run
from hero_lab.signals import make_scorer
from hero_lab.task import build_items, oracle, problem_of_prompt, split_problems
from hero_rl.learning.folders import read_training
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout, Scorer

SMALL = ColdStartSettings(steps=20, batch_size=32, warmup_steps=2)
SMALL_REWARD = RewardModelSettings(rows=2000, batch_size=32, robust_steps=2)
RUN = plan_run("hero", cold_start=SMALL, reward_model=SMALL_REWARD)


@pytest.fixture(scope="module")
def cache(lab_cache: Path) -> Path:
    torch.set_num_threads(1)
    return lab_cache


def test_fast_encoding_is_what_the_tokenizer_gives_and_decodes_to_the_same_text() -> None:
    texts = ["^4*6-5:4H24;19;4.75$", "^1+2*3:2V3;9;4.5$", "^1+2*3:2V3_/%", "^6"]
    ids = models.encode(texts, length=CHAIN.sequence_length)
    tokenizer = models.build_tokenizer()
    wanted = tokenizer(texts, padding="max_length", max_length=CHAIN.sequence_length, return_tensors="np")["input_ids"]
    assert np.array_equal(ids, wanted)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == [text.removesuffix("$") for text in texts]
    decoded, finished = models.decode(ids)
    assert decoded == [text.removesuffix("$") for text in texts]
    assert finished == [True, True, False, False]


def test_a_reward_model_learns_from_whole_responses_and_from_beginnings() -> None:
    sources = training_sources(RewardModelSettings(rows=2000), deal_error_rates(0), seed=0)
    problems = problem_of_prompt(CHAIN)
    assert len(sources.rows) == 2000
    for row in sources.rows:
        assert row.correct == oracle(problems[row.rollout.problem], row.rollout.response)
    assert 0.1 < np.mean([row.correct for row in sources.rows]) < 0.8
    assert len(sources.pairs) > 100
    for pair in sources.pairs:
        (*chosen, _), (*rejected, _) = pair.chosen.split(";"), pair.rejected.split(";")
        assert pair.chosen.endswith(";" + GOES_ON)
        steps = problems[pair.prompt].steps[: len(chosen)]
        assert len(chosen) == len(rejected)
        assert (tuple(chosen) == steps, tuple(rejected) == steps) == (True, False)


def test_training_lowers_the_loss_on_demonstrations(tmp_path: Path) -> None:
    def loss(model: torch.nn.Module) -> float:
        rows = demonstrations(split_problems()["development"], 256, deal_error_rates(0), np.random.default_rng(9))
        ids = torch.from_numpy(models.encode([row.prompt + row.response + "$" for row in rows], length=CHAIN.sequence_length))
        labels = ids.masked_fill(ids == models.PAD_ID, -100)
        labels[:, : CHAIN.prompt_length] = -100
        with torch.no_grad():
            return float(model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss)

    trained = train_policy(SMALL, deal_error_rates(0), seed=0, output_dir=tmp_path)
    assert loss(trained) < 0.8 * loss(models.new_policy(0))


def test_models_are_made_once_are_the_same_for_a_seed_and_leave_nothing_half_made(cache: Path, tmp_path: Path) -> None:
    made = prepare(RUN, cache)

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for folder in made.folders for path in folder.rglob("*") if path.is_file()}

    before = times()
    assert prepare(RUN, cache) == made
    assert times() == before
    again = prepare(RUN, tmp_path)
    for one, other in zip(made.folders, again.folders, strict=True):
        [first], [second] = (list(folder.rglob("model.safetensors")) for folder in (one, other))
        assert first.read_bytes() == second.read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    facts = read_facts(made.reward_model)
    assert {"auroc_pooled_H", "auroc_within_H", "auroc_pooled_V", "auroc_within_V", "score_mean"} <= facts.keys()


@pytest.mark.parametrize("tier", ["hackable", "robust", "chance"])
def test_scores_of_every_tier_have_unit_spread_on_the_starting_policy(cache: Path, tier: Tier) -> None:
    made = prepare(replace(RUN, tier=tier), cache)
    scorer = load_scorer(made.reward_model)
    assert isinstance(scorer, Scorer)
    policy = models.load_policy(made.policy)
    scores = np.concatenate(
        [
            scorer.score(sample_items(policy, build_items("rm_test", regime, seed=0), count=8, seed=0).rollouts)
            for regime in ("verifiable", "hard")
        ]
    )
    assert scores.std() == pytest.approx(1.0, abs=0.05 if tier == "chance" else 1e-3)
    assert scores.mean() == pytest.approx(read_facts(made.reward_model)["score_mean"], abs=1e-3)


def test_the_reward_model_is_one_of_the_product(cache: Path) -> None:
    made = prepare(RUN, cache)
    folder = made.reward_model / MODEL
    assert read_training(folder, "reward model")["base"] == str(made.policy)
    rows = [
        Rollout(prompt_id="p", problem="^4*6-5:4H", reference="19/4", response=response, finished=finished)
        for response, finished in (("24;19;4.75", True), ("24;19;19/4", True), ("24;19;4.754321", False), ("", True))
    ]
    ours = load_scorer(made.reward_model).score(rows)
    assert len(set(ours.round(6))) == len(rows)
    scale = read_facts(made.reward_model)["scale"]
    rows[2] = replace(rows[2], response="24;19;4.754321" + GOES_ON)  # as one that was cut off is read
    np.testing.assert_allclose(LocalScorer(folder).score(rows) / scale, ours, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 4])
def test_a_reward_model_may_have_fewer_or_more_layers_than_the_policy(cache: Path, layers: int) -> None:
    sized = prepare(replace(RUN, reward_model=replace(SMALL_REWARD, layers=layers)), cache)
    plain = prepare(RUN, cache)
    assert sized.policy == plain.policy
    assert sized.reward_model != plain.reward_model
    assert json.loads((sized.reward_model / MODEL / "config.json").read_text())["num_hidden_layers"] == layers


@pytest.mark.parametrize("task", ["equations", "units"])
def test_models_of_another_family_read_and_write_its_alphabet(cache: Path, task: TaskName) -> None:
    family = FAMILIES[task]
    made = prepare(replace(RUN, tier="robust", task=task), cache)
    assert {read_facts(folder)["task"] for folder in made.folders} == {task}
    items = build_items("development", "hard", seed=0, family=family)[:20]
    policy = models.load_policy(made.policy)
    assert policy.config.vocab_size == 2 + len(family.alphabet)
    found = sample_items(policy, items, count=2, seed=0, family=family)
    assert found.sequences.shape == (40, family.sequence_length)
    assert set("".join(rollout.response for rollout in found.rollouts)) <= set(family.alphabet)
    assert np.isfinite(load_scorer(made.reward_model).score(found.rollouts)).all()


def test_noise_comes_on_top_of_the_score(cache: Path) -> None:
    made = prepare(RUN, cache)
    assert set(made.facts()) == {"policy", "reward_model"}
    rows = [Rollout(prompt_id="p", problem="^4*6-5:4H", reference="19/4", response=text) for text in ("24;19;4.75", "24;;1")]
    plain, noisy = make_scorer(RUN, made).score(rows), make_scorer(replace(RUN, score_noise=2.0), made).score(rows)
    np.testing.assert_allclose(noisy - plain, 2.0 * ChanceScorer(seed=0).score(rows), atol=1e-5)


def test_sampling_is_fixed_by_its_seed_and_leaves_torchs_randomness_alone(cache: Path) -> None:
    policy = models.load_policy(prepare(RUN, cache).policy)
    items = build_items("development", "hard", seed=0)[:20]
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = sample_items(policy, items, count=4, seed=0)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(first.sequences, sample_items(policy, items, count=4, seed=0).sequences)
    assert not torch.equal(first.sequences, sample_items(policy, items, count=4, seed=1).sequences)
    assert [row.problem for row in first.rollouts] == [item.prompt for item in items for _ in range(4)]
    assert first.correct_PG.shape == (20, 4)
