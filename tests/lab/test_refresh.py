"""Rounds of a lab run: what is learned from, that the score keeps its unit, and that the oracle teaches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the lab extra")

import torch

from hero_lab.cold_start import ColdStartSettings
from hero_lab.families import FAMILIES
from hero_lab.family import Family
from hero_lab.learned_verifier import LearnedVerifierSettings
from hero_lab.prepare import Prepared, prepare
from hero_lab.refresh import SureVerifier, surely_wrong
from hero_lab.reward_model import RewardModelSettings
from hero_lab.run import run
from hero_lab.settings import RunSettings, plan_run
from hero_lab.task import StrictVerifier
from hero_rl.data import read_rollouts
from hero_rl.errors import InputError
from hero_rl.types import Rollout

SMALL = ColdStartSettings(steps=120, batch_size=64, warmup_steps=5)
SMALL_REWARD = RewardModelSettings(rows=2000, batch_size=32)
SMALL_VERIFIER = LearnedVerifierSettings(samples=1, epochs=4)  # as in test_learned_verifier.py, which made it


@pytest.fixture(scope="module")
def made(lab_cache: Path) -> Prepared:
    torch.set_num_threads(1)
    return prepare(settings(verifier="cascade"), lab_cache)


def settings(**options: Any) -> RunSettings:
    defaults: dict[str, Any] = {
        "label": "hero", "regime": "mixed", "steps": 4, "early": 2, "curve_every": 4,
        "prompts_per_step": 8, "held_out_samples": 1, "development_samples": 1, "cold_start": SMALL,
        "reward_model": SMALL_REWARD, "learned_verifier": SMALL_VERIFIER,
    }  # fmt: skip
    return plan_run(**(defaults | options))


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


def test_other_rejections_are_abstained_on() -> None:
    verifier = SureVerifier(StrictVerifier(), "chain")
    rows = [rollout("24;19;4.75"), rollout("24;19;4.5"), rollout("24;19;19/4"), rollout("24;19;4.75", reference="")]
    assert [verdict.label for verdict in verifier.verify(rows)] == ["correct", "incorrect", "abstain", "abstain"]


def test_a_run_notes_its_rounds(made: Prepared, tmp_path: Path) -> None:
    found = run(settings(refresh_every=2, verifier="cascade"), made, tmp_path / "run.json")
    [only] = found["refresh"]  # of step 2: nobody would use what a round of step 4 makes
    for name in ("auroc", "auroc_within"):
        assert only[name]["after"] != only[name]["before"]
    assert only["step"] == 2
    assert 0 < only["verified"] + only["rejected"] <= 2 * 8 * 8
    assert only["seconds"] > 0
    assert only["questions_same"] > 0
    assert set(only["auroc_within"]) == set(only["verifier_recall"]) == {"before", "after"}


def test_a_run_without_rounds_is_what_it_was(made: Prepared, tmp_path: Path) -> None:
    assert settings(refresh_every=0).digest == settings().digest
    assert settings(refresh_every=2).digest != settings().digest
    plain = run(settings(), made, tmp_path / "plain.json")
    kept = [row.rollout for row in read_rollouts(tmp_path / "plain.parquet")]
    assert [sum(rollout.extra["step"] == step for rollout in kept) for step in (1, 2, 3, 4)] == [4 * 8] * 4
    late = run(settings(refresh_every=4), made, tmp_path / "late.json")  # the first round would be after the last step
    assert "refresh" not in plain
    assert late["refresh"] == []
    assert plain["curve"] == late["curve"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refresh_every": -1}, "refresh_every=-1: input should be greater than or equal to 0"),
        ({"refresh_every": 2, "tier": "robust"}, "tier='robust' is no classifier"),
    ],
)
def test_settings_without_meaning_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings(**options)
