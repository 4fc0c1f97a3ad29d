"""Rounds of a lab run: what is learned from, that the score keeps its unit, and that the oracle teaches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the lab extra")

import torch

from hero_lab.cold_start import ColdStartSettings
from hero_lab.eval_callback import Observer
from hero_lab.evaluate import Yardstick, sample_items
from hero_lab.families import CHAIN, FAMILIES
from hero_lab.family import Family
from hero_lab.learned_verifier import LearnedVerifierSettings, load_learned_verifier
from hero_lab.models import load_policy
from hero_lab.noise import ChanceScorer, SumScorer
from hero_lab.prepare import Prepared, load_scorer, prepare
from hero_lab.refresh import Refresher, Rows, decided_questions, find_learned, find_scalar, rank_verified, surely_wrong
from hero_lab.reward_model import RewardModelSettings, ScalarScorer, labelled_rows, training_arrays
from hero_lab.run import make_verifier, run
from hero_lab.settings import RunSettings
from hero_lab.task import StrictVerifier, build_items
from hero_rl.errors import InputError
from hero_rl.measures import auroc
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero
from hero_rl.types import Rollout

SMALL = ColdStartSettings(steps=120, batch_size=64, warmup_steps=5)
SMALL_REWARD = RewardModelSettings(rows=640, batch_size=32)
SMALL_VERIFIER = LearnedVerifierSettings(samples=1, epochs=2)


@pytest.fixture(scope="module")
def made(lab_cache: Path) -> Prepared:
    torch.set_num_threads(1)
    return prepare(lab_cache, SMALL, SMALL_REWARD, tier="hackable", seed=0, learned_verifier=SMALL_VERIFIER)


def settings(**options: Any) -> RunSettings:
    defaults: dict[str, Any] = {
        "label": "hero", "rule": "hero", "rule_settings": {}, "scale": "none", "learning_rate": 1e-4, "kl": 0.0,
        "regime": "mixed", "tier": "hackable", "seed": 0, "steps": 4, "early": 2, "curve_every": 4,
        "prompts_per_step": 8, "held_out_samples": 1, "development_samples": 1, "cold_start": SMALL,
        "reward_model": SMALL_REWARD, "learned_verifier": SMALL_VERIFIER,
    }  # fmt: skip
    return RunSettings(**(defaults | options))


def rollout(response: str, *, reference: str = "4.75", finished: bool = True) -> Rollout:
    return Rollout(prompt_id="p", problem="^4*6-5:4H", reference=reference, response=response, finished=finished)


def test_a_rejection_is_believed_only_where_no_forms_need_comparing() -> None:
    sure = [rollout("24;19;4.5"), rollout("24;19;4//5"), rollout("24;19;4.75", finished=False), rollout("24;19;")]
    open_ = [rollout("24;19;19/4"), rollout("24;19;18/4"), rollout("24;19;475%"), rollout("24;19;38/8", reference="19/4")]
    words = [rollout("24;19;4.5", reference="one nine over four")]
    assert [surely_wrong(row, "chain") for row in (*sure, *open_, *words)] == [True] * 4 + [False] * 5


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_right_answer_is_never_surely_wrong(family: Family) -> None:
    for problem in family.problems()[::50]:
        texts = [problem.render(form) for form in range(family.forms)]
        for reference in (*texts, problem.in_words()):
            rows = [rollout(f"1;{text}", reference=reference) for text in texts]
            assert not any(surely_wrong(row, family.name) for row in rows)


def test_verified_and_rejected_answers_are_asked_about_once_each_and_cut_off_ones_never() -> None:
    rejected = [rollout("24;19;4.5"), rollout("20;18;4.5"), rollout("24;19;4.2", finished=False), rollout("24;19;")]
    asked = decided_questions(Rows([rollout("24;19;4.75")], rejected))
    assert [(one.answer, one.equivalent) for one in asked] == [("4.75", True), ("4.5", False)]


def test_ranking_verified_above_rejected_responses_teaches_what_is_right(made: Prepared) -> None:
    """Verdicts of the strict verifier on V prompts, on which it misses nothing: the order by the oracle has to get better."""
    scorer = load_scorer(made.reward_model)
    assert isinstance(scorer, ScalarScorer)
    policy = load_policy(made.policy)
    train = sample_items(policy, build_items("train", "verifiable", seed=0)[:400], count=8, seed=0).rollouts
    verdicts = [verdict.label for verdict in StrictVerifier().verify(train)]
    rows = Rows(
        *([row for row, label in zip(train, verdicts, strict=True) if label == one] for one in ("correct", "incorrect"))
    )
    test = sample_items(policy, build_items("rm_test", "verifiable", seed=0), count=8, seed=1)
    before = auroc(scorer.score(test.rollouts), test.correct_PG.ravel())
    original = training_arrays(labelled_rows(SMALL_REWARD, CHAIN.deal_error_rates(0), seed=0, negatives=True))
    rank_verified(scorer, rows, original, step_weight=0.5, rng=np.random.default_rng(0))
    assert auroc(scorer.score(test.rollouts), test.correct_PG.ravel()) > before + 0.02  # .05 to .12 more were seen


def test_the_same_rows_and_seed_give_the_same_model(made: Prepared) -> None:
    original = training_arrays(labelled_rows(SMALL_REWARD, CHAIN.deal_error_rates(0), seed=0, negatives=True))
    rows = Rows([rollout("24;19;4.75")], [rollout("24;19;4.5"), rollout("24;19;19/4")])
    found: list[list[float]] = []
    for _ in range(2):
        scorer = load_scorer(made.reward_model)
        assert isinstance(scorer, ScalarScorer)
        rank_verified(scorer, rows, original, step_weight=0.5, rng=np.random.default_rng(0), steps=2)
        found.append(scorer.score(rows.rejected).tolist())
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0] != pytest.approx(load_scorer(made.reward_model).score(rows.rejected).tolist(), abs=1e-3)


def test_the_score_keeps_its_unit_and_the_curve_its_zero(made: Prepared) -> None:
    chosen, policy = settings(refresh_every=2), load_policy(made.policy)
    scorer = load_scorer(made.reward_model)
    observer = Observer(chosen, Yardstick(scorer, 0.0, StrictVerifier()), lambda event: None)
    refresher = Refresher(chosen, observer, policy, HybridReward(StrictVerifier(), scorer, hero()))
    batch = sample_items(policy, build_items("train", "verifiable", seed=0)[:20], count=8, seed=0).rollouts
    refresher.hear(batch, None)
    assert 0 < len(refresher.rows.verified) + len(refresher.rows.rejected) <= 160
    refresher.after_step(policy, 1)
    assert refresher.rounds == []
    refresher.after_step(policy, 2)
    [only] = refresher.rounds
    assert only["step"] == 2
    start = sample_items(policy, build_items("rm_test", "mixed", seed=0), count=8, seed=0).rollouts
    scores = scorer.score(start)
    assert scores.std() == pytest.approx(1.0, abs=1e-5)
    assert observer.yardstick.score_mean == pytest.approx(scores.mean(), abs=1e-5)


def test_a_run_notes_its_rounds(made: Prepared, tmp_path: Path) -> None:
    found = run(settings(refresh_every=2, verifier="cascade"), made, tmp_path / "run.json")
    [only] = found["refresh"]  # of step 2: nobody would use what a round of step 4 makes
    assert only["step"] == 2
    assert 0 < only["verified"] + only["rejected"] <= 2 * 8 * 8
    assert only["seconds"] > 0
    assert only["questions_same"] > 0
    assert set(only["auroc_within"]) == set(only["verifier_recall"]) == {"before", "after"}


def test_a_run_without_rounds_is_what_it_was(made: Prepared, tmp_path: Path) -> None:
    assert settings(refresh_every=0).digest == settings().digest
    assert settings(refresh_every=2).digest != settings().digest
    plain = run(settings(), made, tmp_path / "plain.json")
    late = run(settings(refresh_every=4), made, tmp_path / "late.json")  # the first round would be after the last step
    assert "refresh" not in plain
    assert late["refresh"] == []
    assert plain["curve"] == late["curve"]


def test_the_parts_that_can_be_retrained_are_found(made: Prepared) -> None:
    scorer = load_scorer(made.reward_model)
    assert find_scalar(scorer) is scorer
    assert find_scalar(SumScorer([(SumScorer([(scorer, 1.0)]), 1.0), (ChanceScorer(), 0.5)])) is scorer
    assert find_scalar(ChanceScorer()) is None
    assert find_learned(make_verifier(settings(verifier="cascade"), made)) is not None
    assert find_learned(make_verifier(settings(), made)) is None
    assert made.learned_verifier is not None
    learned = load_learned_verifier(made.learned_verifier)
    assert find_learned(learned) is learned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refresh_every": -1}, "must not be negative"),
        ({"refresh_every": 2, "tier": "robust"}, "tier='robust' is no classifier"),
    ],
)
def test_settings_without_meaning_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings(**options)
