from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hero_lab.families import CHAIN, FAMILIES
from hero_lab.family import Family
from hero_lab.noise import ChanceScorer, SumScorer, normal_of, uniform_of
from hero_lab.prepare import Prepared
from hero_lab.reward_model import RewardModelSettings
from hero_lab.settings import plan_run
from hero_lab.signals import make_scorer
from hero_lab.study.plan import read_plan
from hero_lab.task import StrictVerifier, build_items
from hero_rl.errors import InputError
from hero_rl.types import Rollout, Scorer, Verifier

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


def rows(family: Family, *, right: bool, count: int = 4000) -> list[Rollout]:
    """Right answers in all their forms, or wrong ones: those of other problems."""
    items = build_items("train", "hard", seed=0, family=family)
    rng = np.random.default_rng(0)
    found: list[Rollout] = []
    while len(found) < count:
        item, other = (items[i] for i in rng.integers(len(items), size=2))
        answer = (item if right else other).problem.render(int(rng.integers(family.forms)))
        if item.problem.accepts(answer) == right:
            found.append(Rollout(prompt_id=item.prompt, problem=item.prompt, reference=item.reference, response=f";{answer}"))
    return found


def accepted(verifier: Verifier, rollouts: list[Rollout]) -> list[bool]:
    return [verdict.label == "correct" for verdict in verifier.verify(rollouts)]


@families
@pytest.mark.parametrize("recall", [0.0, 0.3, 0.8, 1.0])
def test_recall_is_the_share_of_right_answers_that_are_accepted_and_no_wrong_one_is(family: Family, recall: float) -> None:
    verifier = StrictVerifier(family=family, recall=recall)
    assert np.mean(accepted(verifier, rows(family, right=True))) == pytest.approx(recall, abs=0.03)
    assert not any(accepted(verifier, rows(family, right=False)))


def test_the_same_answer_to_the_same_prompt_always_gets_the_same_verdict_whatever_the_steps() -> None:
    right, wrong = rows(CHAIN, right=True, count=200), rows(CHAIN, right=False, count=200)
    verifier = StrictVerifier(recall=0.5)
    first = accepted(verifier, right + wrong)
    assert first == accepted(StrictVerifier(recall=0.5), right + wrong)
    others = [
        Rollout(prompt_id=r.prompt_id, problem=r.problem, reference=r.reference, response="9;9" + r.response)
        for r in right + wrong
    ]
    assert first == accepted(verifier, others)
    assert first != accepted(StrictVerifier(recall=0.5, seed=1), right + wrong)


@families
def test_false_positives_are_that_share_of_wrong_answers_and_right_ones_are_judged_as_before(family: Family) -> None:
    strict, lax = (StrictVerifier(family=family, false_positives=share) for share in (0.0, 0.05))
    right, wrong = rows(family, right=True), rows(family, right=False, count=20_000)
    assert accepted(strict, right) == accepted(lax, right)
    assert not any(accepted(strict, wrong))
    assert np.mean(accepted(lax, wrong)) == pytest.approx(0.05, abs=0.01)
    assert accepted(lax, wrong) == accepted(StrictVerifier(family=family, false_positives=0.05), wrong)


def test_more_recall_only_adds_accepted_answers() -> None:
    some = rows(CHAIN, right=True, count=500)
    few, many = (accepted(StrictVerifier(recall=share), some) for share in (0.2, 0.6))
    assert all(more or not less for less, more in zip(few, many, strict=True))


def test_cut_off_and_missing_answers_are_wrong_and_missing_references_abstain_at_any_recall() -> None:
    prompt = build_items("train", "hard", seed=0)[0].prompt
    row = {"prompt_id": "p", "problem": prompt, "reference": "1/2"}
    verifier = StrictVerifier(recall=1.0)
    verdicts = verifier.verify(
        [
            Rollout(**row, response="1;1;1", finished=False),
            Rollout(**row, response="1;1;"),
            Rollout(**row | {"reference": ""}, response="1;1;1"),
        ]
    )
    assert [verdict.label for verdict in verdicts] == ["incorrect", "incorrect", "abstain"]


def test_hashed_noise_is_uniform_and_normal_and_fixed_by_its_parts() -> None:
    uniform = np.array([uniform_of(0, i) for i in range(10_000)])
    assert np.histogram(uniform, bins=10, range=(0, 1))[0] == pytest.approx(np.full(10, 1000), abs=150)
    normal = np.array([normal_of(0, i) for i in range(10_000)])
    assert (normal.mean(), normal.std()) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05))
    assert uniform_of(0, "ab", "c") == uniform_of(0, "ab", "c") != uniform_of(0, "a", "bc")


def test_chance_scores_the_text_and_knows_nothing() -> None:
    scorer = ChanceScorer(seed=3)
    assert isinstance(scorer, Scorer)
    right, wrong = rows(CHAIN, right=True, count=2000), rows(CHAIN, right=False, count=2000)
    scores = scorer.score(right)
    assert np.array_equal(scores, scorer.score(right))
    assert not np.array_equal(scores, ChanceScorer(seed=4).score(right))
    assert scores.mean() == pytest.approx(scorer.score(wrong).mean(), abs=0.1)


class Length(Scorer):
    """The length of the response."""

    name = "length"

    async def ascore(self, rollouts: Sequence[Rollout], /) -> np.ndarray:
        return np.array([float(len(rollout.response)) for rollout in rollouts])


def test_a_sum_of_scores_weighs_its_parts() -> None:
    some = rows(CHAIN, right=True, count=5)
    chance, length = ChanceScorer(), Length()
    mixed = SumScorer([(length, 0.25), (chance, 2.0)])
    np.testing.assert_allclose(mixed.score(some), 0.25 * length.score(some) + 2.0 * chance.score(some))
    np.testing.assert_allclose(asyncio.run(mixed.ascore(some)), mixed.score(some))
    mixed.close()


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"task": "algebra"}, "algebra"),
        ({"verifier_recall": 1.01}, "verifier_recall=1.01: input should be less than or equal to 1"),
        ({"score_noise": float("inf")}, "score_noise=inf: input should be a finite number"),
        ({"held_out_tags": "V"}, "held_out_tags='V'"),
        ({"looks": (30, 200)}, "200"),
        ({"curve_every": 0}, "curve_every=0"),
        ({"held_out_samples": 0}, "held_out_samples=0"),
        ({"reward_model": {"layers": 0}}, "reward_model.layers=0"),
        ({"task": "equations", "label": "hero:verifier=learned"}, "equations"),
    ],
)
def test_wrong_knobs_are_refused_with_the_value_seen(change: dict[str, object], seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        plan_run(**{"label": "hero", **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"task": "units"}, {"verifier_recall": 0.1}, {"score_noise": 0.5},
        {"held_out_tags": "trained"}, {"looks": (20,)}, {"curve_every": 5}, {"development_samples": 2},
        {"held_out_samples": 4}, {"reward_model": RewardModelSettings(layers=1)},
        {"false_positives": 0.01}, {"accepted_bonus": -1.0}, {"mistakes": 0.5},
    ],
)  # fmt: skip
def test_every_knob_is_part_of_the_digest(change: dict[str, object]) -> None:
    plain, changed = plan_run("hero"), plan_run("hero", **change)
    assert changed.digest != plain.digest
    assert all(getattr(changed, name) == value for name, value in change.items())


def test_the_unit_of_a_kl_penalty_counts_where_there_is_one() -> None:
    assert plan_run("hero", kl_unit="oracle", kl_recall=0.1).digest == plan_run("hero").digest
    assert plan_run("hero", kl=0.1, kl_recall=0.1).digest == plan_run("hero", kl=0.1).digest
    runs = [plan_run("hero", kl=0.1, **more) for more in ({}, {"kl_unit": "oracle"}, {"kl_unit": "oracle", "kl_recall": 0.1})]
    assert len({run.digest for run in runs}) == 3


def test_a_run_of_before_keeps_its_digest_when_settings_are_added() -> None:
    runs = read_plan(Path(__file__).parents[2] / "results" / "study" / "primary.toml").runs()
    kept = next(run for run in runs if (run.seed, run.task, run.label, run.tier) == (102, "units", "hero", "hackable"))
    assert kept.digest == "5622871110df"


def test_a_bonus_is_added_to_the_score_of_what_the_strict_verifier_accepts_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text('{"tier": "chance", "seed": 0}')
    models = Prepared(policy=tmp_path, reward_model=tmp_path)
    items = build_items("train", "hard", seed=0, family=CHAIN)[:200]
    some = [
        Rollout(prompt_id=item.prompt, problem=item.prompt, reference=item.reference, response=f";{item.problem.render(0)}")
        for item in items
    ]
    plain, more = (make_scorer(plan_run("hero", tier="chance", accepted_bonus=bonus), models) for bonus in (0.0, 1.5))
    yes = np.array(accepted(StrictVerifier(), some))
    assert 0 < yes.sum() < len(some)
    np.testing.assert_allclose(more.score(some) - plain.score(some), 1.5 * yes, atol=1e-12)
