"""The lab's learned verifier: what it reads, what rules decide for it, and that its recorded facts are true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the lab extra")

import torch

from hero_lab.cold_start import ColdStartSettings
from hero_lab.families.chain import FORMS, in_words, parse_answer, render
from hero_lab.learned_verifier import (
    TEXT_LENGTH,
    EquivalenceVerifier,
    LearnedVerifierSettings,
    encode_questions,
    load_learned_verifier,
    logits,
    new_network,
    questions,
    sampled,
    shorten,
    training_questions,
    training_split,
)
from hero_lab.models import load_policy
from hero_lab.prepare import Prepared, prepare, read_facts
from hero_lab.reward_model import RewardModelSettings
from hero_lab.run import make_verifier
from hero_lab.settings import LabSettings
from hero_lab.task import build_items, split_problems
from hero_rl.measures import auroc
from hero_rl.types import LEARNED_YES, Rollout
from hero_rl.verifiers.learned import Thresholds

SMALL = ColdStartSettings(steps=120, batch_size=64, warmup_steps=5)
SMALL_REWARD = RewardModelSettings(rows=320, batch_size=32)
SMALL_VERIFIER = LearnedVerifierSettings(samples=2, epochs=4)


@pytest.fixture(scope="module")
def made(lab_cache: Path) -> Prepared:
    torch.set_num_threads(1)
    return prepare(lab_cache, SMALL, SMALL_REWARD, tier="hackable", seed=0, learned_verifier=SMALL_VERIFIER)


def folder_of(made: Prepared) -> Path:
    assert made.learned_verifier is not None
    return made.learned_verifier


def rollout(answer: str, *, reference: str = "19/4", finished: bool = True) -> Rollout:
    return Rollout(prompt_id="p", problem="^4*6-5:4H", reference=reference, response=f"24;19;{answer}", finished=finished)


def test_every_reference_fits_its_field_and_every_right_answer_is_asked_about() -> None:
    for problems in split_problems().values():
        for problem in problems:
            texts = [render(problem.value, form) for form in FORMS]
            rows = [(problem.prompt("H"), text, answer) for text in (*texts, in_words(problem.value)) for answer in texts]
            assert encode_questions(rows).shape == (30, TEXT_LENGTH)
    assert shorten("two nine over five") == "cjkf"


def test_different_references_and_answers_are_different_texts() -> None:
    values = sorted({problem.value for problem in split_problems()["train"]})
    references = [text for value in values for text in (in_words(value), *(render(value, form) for form in FORMS))]
    ids = encode_questions([("^4*6-5:4H", reference, "1") for reference in dict.fromkeys(references)])
    assert len(np.unique(ids, axis=0)) == len(dict.fromkeys(references))


def test_what_it_learns_from_is_labelled_by_the_oracle_and_is_of_training_problems_only(made: Prepared) -> None:
    learn_from, kept_back = training_split(SMALL_VERIFIER, seed=0)
    assert set(learn_from) | set(kept_back) == set(split_problems()["train"])
    assert not set(learn_from) & set(kept_back)
    policy = load_policy(made.policy)
    rows = training_questions(policy, learn_from, SMALL_VERIFIER, seed=0)
    by_prompt = {problem.prompt(tag): problem for problem in learn_from for tag in ("V", "H")}
    for one in rows:
        assert one.equivalent == (parse_answer(one.answer) == by_prompt[one.prompt].value)
    assert 0.005 < np.mean([one.equivalent for one in rows]) < 0.9
    assert read_facts(folder_of(made))["examples"] == len(rows)


def test_the_recorded_facts_are_those_of_the_saved_model_on_problems_of_the_test(made: Prepared) -> None:
    verifier, facts = load_learned_verifier(folder_of(made)), read_facts(folder_of(made))
    asked = questions(
        sampled(load_policy(made.policy), split_problems()["rm_test"], count=8, seed=0), np.random.default_rng([0, 8])
    )
    hard = [one for one in asked if one.prompt.endswith("H")]
    labels = np.array([one.equivalent for one in hard])
    scores = logits(verifier.network, [one[:3] for one in hard])
    assert facts["auroc_H"] == pytest.approx(auroc(scores, labels), abs=0.01)
    accepted = scores >= verifier.thresholds.accept_above
    assert facts["recall_H"] == pytest.approx(accepted[labels].mean(), abs=0.01)
    assert facts["fpr_H"] == pytest.approx(accepted[~labels].mean(), abs=0.01)
    # Better than chance by far more than 1600 answers of 200 problems could be by luck.
    assert facts["auroc_H"] > 0.6
    assert facts["recall_H"] > facts["fpr_H"]


def test_the_same_seed_gives_the_same_learned_verifier_and_another_seed_another(made: Prepared, tmp_path: Path) -> None:
    weights = {}
    for seed in (0, 1):
        again = prepare(tmp_path, SMALL, SMALL_REWARD, tier="hackable", seed=seed, learned_verifier=SMALL_VERIFIER)
        weights[seed] = (folder_of(again) / "model.safetensors").read_bytes()
        facts = read_facts(folder_of(again))
        if seed == 0:
            assert {**facts, "seconds": 0} == {**read_facts(folder_of(made)), "seconds": 0}
    assert weights[0] == (folder_of(made) / "model.safetensors").read_bytes()
    assert weights[1] != weights[0]
    assert not list(tmp_path.glob(".*"))


def test_limits_decide_and_what_a_rule_can_tell_is_not_asked() -> None:
    network = new_network(LearnedVerifierSettings(), seed=0)
    accept = EquivalenceVerifier(network, Thresholds(-1e9, -1e9))
    reject = EquivalenceVerifier(network, Thresholds(1e9, 1e9))
    unsure = EquivalenceVerifier(network, Thresholds(1e9, -1e9))
    rows = [rollout("4.75"), rollout(""), rollout("4.75", finished=False), rollout("123456789"), rollout("1", reference="")]
    for verifier, label in ((accept, "correct"), (reject, "incorrect"), (unsure, "abstain")):
        first, *others = verifier.verify(rows)
        assert (first.label, first.learned) == (label, True)
        assert [(one.label, one.reason, one.learned) for one in others] == [
            ("incorrect", "no_answer", False),
            ("incorrect", "unfinished", False),
            ("abstain", "answer_too_long", False),
            ("abstain", "reference_missing", False),
        ]
    assert accept.verify(rows)[0].value == LEARNED_YES
    assert accept.verify([]) == []


def test_the_steps_of_a_response_do_not_sway_it(made: Prepared) -> None:
    verifier = load_learned_verifier(folder_of(made))
    rows = [rollout("4.75"), rollout("4.75")]
    rows[1] = Rollout(prompt_id="p", problem="^4*6-5:4H", reference="19/4", response="1;1;4.75", finished=True)
    one, other = verifier.verify(rows)
    assert one == other


def test_the_cascade_asks_only_where_the_strict_verifier_says_different(made: Prepared) -> None:
    run = LabSettings(rules=("cascade",)).runs()[0]
    cascade = make_verifier(run, made)
    learned = load_learned_verifier(folder_of(made))
    items = build_items("development", "hard", seed=0)[:50]
    rows = [
        Rollout(
            prompt_id=item.prompt, problem=item.prompt, reference=item.reference, response=f"1;1;{answer}", finished=finished
        )
        for item in items
        for answer in (item.reference[:7], render(item.problem.value, "decimal"), render(item.problem.value, "percent"), "")
        for finished in (True, False)
    ]
    for row, both, own in zip(rows, cascade.verify(rows), learned.verify(rows), strict=True):
        answer = row.response.rpartition(";")[2]
        if row.finished is False:
            assert (both.label, both.reason) == ("incorrect", "unfinished")
        elif answer == row.reference:
            assert (both.label, both.learned) == ("correct", False)
        elif own.label != "abstain" and answer:
            assert (both.label, both.learned) == (own.label, True)
        else:
            assert both.label == "incorrect"


def test_files_of_a_learned_verifier_hold_no_nan(made: Prepared) -> None:
    text = (folder_of(made) / "facts.json").read_text()
    facts = json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    assert {"auroc_H", "recall_H", "fpr_H", "precision_H", "auroc_rejected_V"} <= facts.keys()
