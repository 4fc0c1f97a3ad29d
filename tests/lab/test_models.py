from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the lab extra")

import torch

from hero_lab import models
from hero_lab.cold_start import ColdStartSettings, train_policy
from hero_lab.corpus import Demonstration, demonstrations
from hero_lab.evaluate import sample_items
from hero_lab.families import CHAIN, FAMILIES
from hero_lab.families.chain import ChainProblem, deal_error_rates
from hero_lab.family import TaskName
from hero_lab.noise import ChanceScorer
from hero_lab.prepare import load_scorer, prepare, read_facts
from hero_lab.reward_model import RewardModelSettings, ScalarScorer, Tier, training_arrays
from hero_lab.run import make_scorer
from hero_lab.settings import LabSettings
from hero_lab.task import build_items, split_problems
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout, Scorer

SMALL = ColdStartSettings(steps=20, batch_size=32, warmup_steps=2)
SMALL_REWARD = RewardModelSettings(rows=320, batch_size=32, robust_steps=2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("cache")


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


def test_reward_labels_stand_at_the_semicolons_and_at_the_end() -> None:
    problem = ChainProblem(4, "*", 6, "-", 5, 4)
    ids, labels = training_arrays([Demonstration(problem, "H", "24;18;4.75"), Demonstration(problem, "H", "24;;;")])
    text = "^4*6-5:4H24;18;4.75$"
    assert [(place, label) for place, label in enumerate(labels[0]) if label >= 0] == [
        (text.index(";"), 1.0), (text.rindex(";"), 0.0), (text.index("$"), 1.0),
    ]  # fmt: skip
    assert [label for label in labels[1] if label >= 0] == [1.0, 0.0, 0.0]
    assert ids.shape == labels.shape == (2, CHAIN.sequence_length)


def test_training_lowers_the_loss_on_demonstrations(cache: Path) -> None:
    def loss(model: torch.nn.Module) -> float:
        rows = demonstrations(split_problems()["development"], 256, deal_error_rates(0), np.random.default_rng(9))
        ids = torch.from_numpy(models.encode([row.prompt + row.response + "$" for row in rows], length=CHAIN.sequence_length))
        labels = ids.masked_fill(ids == models.PAD_ID, -100)
        labels[:, : CHAIN.prompt_length] = -100
        with torch.no_grad():
            return float(model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss)

    trained = train_policy(SMALL, deal_error_rates(0), seed=0, output_dir=cache / "scratch")
    assert loss(trained) < 0.8 * loss(models.new_policy(0))


def test_models_are_made_once_are_the_same_for_a_seed_and_leave_nothing_half_made(cache: Path, tmp_path: Path) -> None:
    made = prepare(cache, SMALL, SMALL_REWARD, tier="hackable", seed=0)
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    assert prepare(cache, SMALL, SMALL_REWARD, tier="hackable", seed=0) == made
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == times
    again = prepare(tmp_path, SMALL, SMALL_REWARD, tier="hackable", seed=0)
    for one, other in zip(made.folders, again.folders, strict=True):
        assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    facts = read_facts(made.reward_model)
    assert {"auroc_pooled_H", "auroc_within_H", "auroc_pooled_V", "auroc_within_V", "score_mean"} <= facts.keys()


@pytest.mark.parametrize("tier", ["hackable", "broken", "robust", "chance"])
def test_scores_of_every_tier_have_unit_spread_on_the_starting_policy(cache: Path, tier: Tier) -> None:
    made = prepare(cache, SMALL, SMALL_REWARD, tier=tier, seed=0)
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


def test_the_saved_reward_model_scores_the_same_through_the_general_scorer(cache: Path) -> None:
    made = prepare(cache, SMALL, SMALL_REWARD, tier="hackable", seed=0)
    rows = [
        Rollout(prompt_id="p", problem="^4*6-5:4H", reference="19/4", response=response, finished=finished)
        for response, finished in (("24;19;4.75", True), ("24;19;19/4", True), ("24;19;4.754321", False), ("", True))
    ]
    ours = load_scorer(made.reward_model).score(rows)
    assert len(set(ours.round(6))) == len(rows)
    np.testing.assert_allclose(LocalScorer(made.reward_model, eos="finished").score(rows), ours, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 4])
def test_a_reward_model_may_have_fewer_or_more_layers_than_the_policy(cache: Path, layers: int) -> None:
    sized = prepare(cache, SMALL, replace(SMALL_REWARD, layers=layers), tier="hackable", seed=0)
    plain = prepare(cache, SMALL, SMALL_REWARD, tier="hackable", seed=0)
    assert sized.policy == plain.policy
    assert sized.reward_model != plain.reward_model
    scorer = load_scorer(sized.reward_model)
    assert isinstance(scorer, ScalarScorer)
    assert scorer.model.config.num_hidden_layers == layers


@pytest.mark.parametrize("task", ["equations", "units"])
def test_models_of_another_family_read_and_write_its_alphabet(cache: Path, task: TaskName) -> None:
    family = FAMILIES[task]
    made = prepare(cache, SMALL, SMALL_REWARD, tier="robust", seed=0, task=task)
    assert {read_facts(folder)["task"] for folder in made.folders} == {task}
    items = build_items("development", "hard", seed=0, family=family)[:20]
    policy = models.load_policy(made.policy)
    assert policy.config.vocab_size == 2 + len(family.alphabet)
    found = sample_items(policy, items, count=2, seed=0, family=family)
    assert found.sequences.shape == (40, family.sequence_length)
    assert set("".join(rollout.response for rollout in found.rollouts)) <= set(family.alphabet)
    assert np.isfinite(load_scorer(made.reward_model).score(found.rollouts)).all()


def test_a_mixture_of_tiers_adds_their_scores_and_noise_comes_on_top(cache: Path) -> None:
    made = prepare(cache, SMALL, SMALL_REWARD, tier="hackable", seed=0, robust_too=True)
    assert made.robust_model is not None
    assert set(made.facts()) == {"policy", "reward_model", "robust_model"}
    run = LabSettings(rules=("hero",), hackable=0.25).runs()[0]
    rows = [Rollout(prompt_id="p", problem="^4*6-5:4H", reference="19/4", response=text) for text in ("24;19;4.75", "24;;1")]
    parts = [load_scorer(folder).score(rows) for folder in (made.robust_model, made.reward_model)]
    mixed = make_scorer(run, made)
    np.testing.assert_allclose(mixed.score(rows), 0.75 * parts[0] + 0.25 * parts[1], atol=1e-5)
    noisy = make_scorer(replace(run, score_noise=2.0), made).score(rows)
    np.testing.assert_allclose(noisy - mixed.score(rows), 2.0 * ChanceScorer(seed=0).score(rows), atol=1e-5)


def test_sampling_is_fixed_by_its_seed_and_leaves_torchs_randomness_alone(cache: Path) -> None:
    policy = models.load_policy(prepare(cache, SMALL, SMALL_REWARD, tier="hackable", seed=0).policy)
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
