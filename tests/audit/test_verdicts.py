"""The audit's verdict on each rule: it follows the truth, and no useless score is ever advised."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from helpers.places import SHARED
from hero_rl.audit import audit
from hero_rl.audit.table import Table
from hero_rl.audit.verdicts import gain_at_most, rule_text, rule_verdicts, scores_problem
from hero_rl.measures import FEW_PROMPTS
from hero_rl.rewards import RULES, as_rule, hero, naive_sum, verifier_only
from hero_rl.rewards.groups import Groups
from hero_rl.types import FloatArray, IntArray


def table(groups: IntArray, labels: FloatArray, verdicts: FloatArray, scores: FloatArray | None) -> Table:
    ones = np.ones(groups.size)
    return Table(
        groups=groups, labels=labels, verdicts={"v": verdicts}, scores={} if scores is None else {"s": scores}, chars=ones,
        repetition=ones * np.nan, steps=ones * np.nan,
    )  # fmt: skip


def world(seed: int, *, prompts: int = 250, size: int = 8, recall: float = 0.5, shift: float = 1.5) -> Table:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(prompts), size)
    right = (rng.random(groups.size) < rng.beta(0.7, 1.2, prompts)[groups]).astype(np.float64)
    verdicts = right * (rng.random(groups.size) < recall)
    return table(groups, right, verdicts, shift * right + rng.normal(size=groups.size))


def changed(seen: Table, scores: FloatArray) -> Table:
    return table(seen.groups, seen.labels, seen.verdicts["v"], scores)


def judged(seen: Table):
    return rule_verdicts(seen, hero(), verifier="v", scorer="s")


def by_name(seen: Table):
    return {one.rule: one for one in judged(seen).rules}


def test_a_good_reward_model_beside_a_verifier_that_misses_half_helps_and_the_best_rule_is_advised() -> None:
    found = audit(world(0), hero())
    verdicts = found.verdicts
    assert verdicts is not None
    assert verdicts.best is not None
    assert verdicts.best.says == "helps"
    assert 1.0 < verdicts.best.working.low <= verdicts.best.working.value < verdicts.ceiling
    assert found.headline.startswith(f"{verdicts.best.rule} helps: ")
    assert found.advice[0].about == "rule"
    assert found.advice[0].value == verdicts.best.rule
    assert {one.rule for one in verdicts.rules} >= {"hero", "hero, weighting=False", "hero_adaptive", "gdpo", "gated"}


def test_hero_adaptive_is_judged_with_the_upper_end_of_the_interval_of_the_recall() -> None:
    """Ten of forty right responses are accepted, a prompt each: the 95% interval is .138 to .409."""
    right = np.ones(80)
    right[1::2] = 0.0
    verdicts = np.where(np.arange(80) < 20, right, 0.0)
    seen = table(np.arange(80) // 2, right, verdicts, np.linspace(-1.0, 1.0, 80))
    assert [name for name in by_name(seen) if "recall" in name] == ["hero_adaptive, recall=0.41"]


USELESS = {
    "random": lambda scores, groups, rng: rng.normal(size=scores.size),
    "constant": lambda scores, groups, rng: np.full(scores.size, 0.3),
    "constant in each prompt": lambda scores, groups, rng: groups * 1.0,
    "the row's number": lambda scores, groups, rng: np.arange(scores.size) * 1.0,
    "the row's number, backwards": lambda scores, groups, rng: -(np.arange(scores.size) ** 3.0),
    "the place in its prompt": lambda scores, groups, rng: np.exp(np.arange(scores.size) % 8 / 2.0),
    "missing": lambda scores, groups, rng: np.full(scores.size, np.nan),
    "negated": lambda scores, groups, rng: -scores,
}


@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("sorted_rows", [False, True])
def test_useless_scores_are_never_advised(kind: str, sorted_rows: bool) -> None:
    """Right responses first in every prompt as well, where an index separates them from the wrong ones."""
    for seed, prompts in ((0, 250), (1, 40), (2, 4)):
        seen = world(seed, prompts=prompts)
        if sorted_rows:
            order = np.lexsort((-seen.labels, seen.groups))
            seen = table(seen.groups[order], seen.labels[order], seen.verdicts["v"][order], seen.scores["s"][order])
        found = audit(changed(seen, USELESS[kind](seen.scores["s"], seen.groups, np.random.default_rng(seed))), hero())
        assert found.verdicts is not None
        assert found.verdicts.best is None
        assert all(one.says != "helps" for one in found.verdicts.rules)
        assert [one.value for one in found.advice if one.about == "rule"] == ["verifier_only"]


def test_random_scores_are_not_advised_in_a_hundred_audits() -> None:
    assert all(judged(world(seed, prompts=40, shift=0.0)).best is None for seed in range(100))


def test_scores_that_rank_are_not_taken_for_an_index() -> None:
    seen = world(0, prompts=30)
    assert scores_problem(seen.scores["s"], Groups(seen.groups, 30)) == ""
    order = np.lexsort((-seen.labels, seen.groups))  # right ones first: related to the order, and no index
    assert scores_problem(seen.scores["s"][order], Groups(seen.groups[order], 30)) == ""
    pairs = np.repeat(np.arange(3), 2)  # three pairs may be in order by chance
    assert scores_problem(np.array([1.0, 2, 1, 3, 0, 5]), Groups(pairs, 3)) == ""
    assert "order of the rows" in scores_problem(np.arange(32.0), Groups(np.repeat(np.arange(4), 8), 4))


def test_groups_of_one_say_so_and_advise_nothing() -> None:
    seen = world(0, prompts=40, size=1)
    found = audit(seen, hero())
    assert found.verdicts is not None
    assert found.verdicts.rules == []
    assert "every prompt has one response" in found.headline
    assert not any(one.about == "rule" for one in found.advice)


def test_few_labels_and_none_are_not_enough_evidence_and_say_how_many_would_be() -> None:
    seen = world(0, prompts=60)
    for labels, said in (
        (np.full(seen.rows, np.nan), "no trusted labels"),
        (np.where(seen.groups < 8, seen.labels, np.nan), ""),
    ):
        found = audit(table(seen.groups, labels, seen.verdicts["v"], seen.scores["s"]), hero())
        assert found.verdicts is not None
        assert {one.says for one in found.verdicts.rules} == {"not enough evidence"}
        assert all(said in one.evidence and "more labelled prompts" in one.missing for one in found.verdicts.rules)
        assert "cannot be said" in found.headline
        assert (found.verdicts.to_label > 0) == bool(said)
    assert found.verdicts.mixed < FEW_PROMPTS
    half = np.where(np.arange(seen.rows) % 2, seen.labels, np.nan)
    partly = audit(table(seen.groups, half, seen.verdicts["v"], seen.scores["s"]), hero()).headline
    assert "no prompt has right and wrong responses and a trusted label for each" in partly
    rejects_all = audit(table(seen.groups, seen.labels, 0.0 * seen.labels, seen.scores["s"]), hero()).headline
    assert "what the verifier accepts does not follow the labels" in rejects_all


def test_the_labels_that_are_asked_for_bound_the_gain() -> None:
    seen = world(0, prompts=200)
    blind = table(seen.groups, np.full(seen.rows, np.nan), seen.verdicts["v"], seen.scores["s"])
    found = judged(blind)
    # with none of n right, at most 1 - .05^(1/n) are right, at 95%; that share leaves a gain of .2
    share = 1.0 - 0.05 ** (1.0 / found.to_label)
    assert gain_at_most(blind, "v", share) <= 1.2
    assert gain_at_most(blind, "v", 1.0 - 0.05 ** (1.0 / (found.to_label - 1))) > 1.2 - 1e-3
    assert [gain for _, gain in found.if_missed] == sorted(gain for _, gain in found.if_missed)


def test_without_a_reward_model_it_says_what_could_be_gained_at_most() -> None:
    seen = world(0)
    found = audit(table(seen.groups, seen.labels, seen.verdicts["v"], None), verifier_only())
    assert found.verdicts is not None
    assert found.verdicts.rules == []
    assert found.verdicts.ceiling == pytest.approx(1.0 / found.verdicts.verifier.value**2)
    assert f"{found.verdicts.ceiling:.2f} times as many rollouts work" in found.headline


def test_a_perfect_verifier_leaves_nothing_to_gain() -> None:
    found = audit(world(0, recall=1.0), hero())
    assert found.verdicts is not None
    assert found.verdicts.ceiling == pytest.approx(1.0)
    assert found.verdicts.best is None
    assert "even a perfect reward model" in found.headline


def test_a_large_unit_saturates_the_weights_and_the_audit_says_so() -> None:
    seen = world(0)
    for unit, warned in ((1.0, False), (150.0, True)):
        found = audit(changed(seen, unit * seen.scores["s"]), hero())
        assert any(one.about == "weights" for one in found.advice) == warned


def test_a_rule_of_ones_own_is_judged_beside_the_others() -> None:
    def mine(verdicts_B, scores_B, groups_B):
        return verdicts_B

    found = {one.rule: one for one in rule_verdicts(world(0), as_rule(mine), verifier="v", scorer="s").rules}
    assert found["mine"].working.value == pytest.approx(1.0)
    assert found["mine"].says == "not enough evidence"
    assert rule_text(naive_sum(rule_weight=0.25)) == "naive_sum, rule_weight=0.25"
    assert [rule_text(make()) for make in RULES.values()] == list(RULES)


REAL = SHARED / "rewardmath_scores.jsonl"
CHANCE = ("beaver", "grm_gemma", "oasst-rm")


def real(model: str, recall: float) -> Table:
    """Return 249 real prompts with 8 of 10 responses, a reward model's scores, and a verifier that misses at random."""
    rng = np.random.default_rng(0)
    rows = [json.loads(line) for line in REAL.read_text().splitlines()]
    picked = [(row, int(j)) for row in rows for j in rng.permutation(10)[:8]]
    scores = np.array([row["scores"][model][j] for row, j in picked], dtype=np.float64)
    labels = np.array([row["correct"][j] for row, j in picked], dtype=np.float64)
    return table(np.repeat(np.arange(len(rows)), 8), labels, labels * (rng.random(labels.size) < recall), scores)


@pytest.mark.skipif(not REAL.exists(), reason="the measuring data are not here")
@pytest.mark.parametrize("recall", [0.4, 0.7])
def test_the_order_of_rules_on_real_reward_models_is_the_one_measured_for_the_review(recall: float) -> None:
    """Weights of a large unit cost a third of the rollouts, no weights mends it; the raw sum breaks down."""
    for model in ("skywork_llama3", "Eurus-RM"):
        found = by_name(real(model, recall))
        assert found["hero"].says == "harms"
        assert found["hero"].working.value < 0.75
        assert found["hero, weighting=False"].working.value > found["hero"].working.high
    mean = Counter[str]()
    for model in ("skywork_llama3", "Eurus-RM", "internlm2", "internlm2_20b", "grm_llama3"):
        for name, one in by_name(real(model, recall)).items():
            mean[name.replace(f", recall={recall:g}", "")] += one.alignment.value / 5  # type: ignore[reportArgumentType]
        assert math.isfinite(sum(mean.values()))
    order = ("hero, weighting=False", "hero", "gdpo", "rm_only, normalize=zscore")
    assert [mean[name] for name in order] == sorted((mean[name] for name in order), reverse=True)


@pytest.mark.skipif(not REAL.exists(), reason="the measuring data are not here")
def test_real_reward_models_at_chance_negated_and_shuffled_ones_are_never_advised() -> None:
    for model in CHANCE:
        assert judged(real(model, 0.4)).best is None
    good = real("internlm2", 0.4)
    best = judged(good).best
    assert best is not None
    assert best.rule.startswith(("hero_adaptive", "gated", "hero, weighting=False"))
    assert judged(changed(good, -good.scores["s"])).best is None
    shuffled = np.random.default_rng(0).permutation(good.scores["s"])
    assert judged(changed(good, shuffled)).best is None
