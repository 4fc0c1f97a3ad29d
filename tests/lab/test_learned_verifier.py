"""The lab's learned verifier: what it reads, what rules decide for it, and that its recorded facts are true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs the lab extra")

import torch

from hero_lab.cold_start import ColdStartSettings
from hero_lab.families.chain import FORMS, parse_answer, render
from hero_lab.learned_verifier import (
    AnswerVerifier,
    LearnedVerifierSettings,
    boxed,
    boxed_answer,
    load_learned_verifier,
    questions,
    sampled,
    train_learned_verifier,
    training_questions,
    training_split,
    verifier_split,
)
from hero_lab.models import load_policy
from hero_lab.prepare import MODEL, Prepared, prepare, read_facts
from hero_lab.reward_model import RewardModelSettings
from hero_lab.settings import plan_run
from hero_lab.signals import make_verifier
from hero_lab.task import build_items, split_problems
from hero_lab.towers import FIELDS, Towers, TowersConfig, towers_tokenizer
from hero_rl.measures import auroc
from hero_rl.types import Rollout
from hero_rl.verifiers.learned import Thresholds, encode
from hero_rl.verifiers.math.extract import find_answer

SMALL = ColdStartSettings(steps=120, batch_size=64, warmup_steps=5)
SMALL_REWARD = RewardModelSettings(rows=2000, batch_size=32)
SMALL_VERIFIER = LearnedVerifierSettings(samples=1, epochs=4)
RUN = plan_run("cascade", cold_start=SMALL, reward_model=SMALL_REWARD, learned_verifier=SMALL_VERIFIER)


@pytest.fixture(scope="module")
def made(lab_cache: Path) -> Prepared:
    torch.set_num_threads(1)
    return prepare(RUN, lab_cache)


def folder_of(made: Prepared) -> Path:
    assert made.learned_verifier is not None
    return made.learned_verifier


def load(made: Prepared) -> AnswerVerifier:
    return load_learned_verifier(folder_of(made) / MODEL)


def read_fields(*texts: str) -> np.ndarray:
    """The token ids of problem, reference and answer."""
    return np.array(encode(towers_tokenizer(), *texts))


def rollout(answer: str, *, reference: str = "19/4", finished: bool = True) -> Rollout:
    return Rollout(prompt_id="p", problem="^4*6-5:4H", reference=reference, response=f"24;19;{answer}", finished=finished)


def test_every_reference_and_every_right_answer_fits_its_field() -> None:
    tokenizer = towers_tokenizer()
    texts = {problem.in_words() for problems in split_problems().values() for problem in problems}
    texts |= {render(problem.value, form) for problem in split_problems()["train"] for form in FORMS}
    assert max(len(tokenizer.tokenize(text)) for text in texts) <= FIELDS["\nReference:"]
    ids = read_fields("^4*6-5:4H", "two nine over five", "24;19;1234567")
    assert "".join(tokenizer.convert_ids_to_tokens(ids.tolist())) == "Problem:^4*6-5:4H\nReference:cjkf\nAnswer:24;19;1234567$"
    assert len(ids) <= tokenizer.model_max_length


def test_the_network_reads_all_of_its_three_fields_and_nothing_of_the_padding() -> None:
    network = Towers(TowersConfig(num_labels=1, pad_token_id=0)).eval().requires_grad_(False)
    texts = [("^4*6-5:4H", "19/4", "4.75"), ("^4*6-5:4V", "19/4", "4.75"), ("^4*6-5:4H", "19/5", "4.75"),
             ("^4*6-5:4H", "19/4", "4.7"), ("^4*6-5:4H", "19/4", "4.75")]  # fmt: skip
    rows = [read_fields(*text) for text in texts]
    width = max(map(len, rows)) + 3
    logits = network(torch.tensor(np.array([np.pad(row, (0, width - len(row))) for row in rows]))).logits[:, 0]
    assert len(set(logits[:4].tolist())) == 4
    assert float(logits[4]) == pytest.approx(float(logits[0]), abs=1e-6)
    assert network(torch.tensor(rows[0])[None]).logits[0, 0] == pytest.approx(float(logits[0]), abs=1e-6)


def test_only_the_answer_of_a_finished_response_is_read() -> None:
    assert boxed(rollout("475%")).response == r"\boxed{475%}"
    assert boxed(rollout("475%", finished=False)).response == boxed(rollout("")).response == ""
    for problem in split_problems()["train"][::40]:
        for form in FORMS:
            assert find_answer(boxed(rollout(render(problem.value, form))).response) == render(problem.value, form)


def test_what_it_learns_from_is_labelled_by_the_oracle_and_is_of_training_problems_only(made: Prepared) -> None:
    learn_from, kept_back = training_split(seed=0)
    assert set(learn_from) | set(kept_back) == set(split_problems()["train"])
    assert not set(learn_from) & set(kept_back)
    policy = load_policy(made.policy)
    rows = training_questions(policy, learn_from, SMALL_VERIFIER, seed=0)
    by_prompt = {problem.prompt(tag): problem for problem in learn_from for tag in ("V", "H")}
    for row in rows:
        assert row.correct == (parse_answer(boxed_answer(row.rollout)) == by_prompt[row.rollout.problem].value)
    assert 0.005 < np.mean([row.correct for row in rows]) < 0.9
    assert 0.8 * len(rows) < read_facts(folder_of(made))["examples"] <= len(rows)  # equal ones are one example
    split = verifier_split(seed=0)
    assert {split.part_of(row.rollout) for row in rows} == {"train"}


def test_the_recorded_facts_are_those_of_the_saved_model_on_problems_of_the_test(made: Prepared) -> None:
    verifier, facts = load(made).verifier, read_facts(folder_of(made))
    asked = questions(
        sampled(load_policy(made.policy), split_problems()["rm_test"], count=8, seed=0), np.random.default_rng([0, 8])
    )
    hard = [row for row in asked if row.rollout.problem.endswith("H")]
    labels = np.array([row.correct for row in hard])
    scores = verifier.logits([row.rollout for row in hard])
    assert facts["auroc_H"] == pytest.approx(auroc(scores, labels), abs=0.01)
    accepted = scores >= verifier.thresholds.accept_above
    assert facts["recall_H"] == pytest.approx(accepted[labels].mean(), abs=0.01)
    assert facts["fpr_H"] == pytest.approx(accepted[~labels].mean(), abs=0.01)
    # Better than chance by far more than 1600 answers of 200 problems could be by luck.
    assert facts["auroc_H"] > 0.6
    assert facts["recall_H"] > facts["fpr_H"]


def test_the_same_seed_gives_the_same_learned_verifier_and_another_seed_another(made: Prepared, tmp_path: Path) -> None:
    policy = load_policy(made.policy)  # of the same seed for both: that policies are is in test_models.py
    weights, facts = {}, {}
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        facts[seed] = train_learned_verifier(policy, SMALL_VERIFIER, seed=seed, folder=folder, scratch=tmp_path / f"s{seed}")
        weights[seed] = (folder / "model.safetensors").read_bytes()
    assert {**read_facts(folder_of(made)), **facts[0]} == read_facts(folder_of(made))
    assert weights[0] == (folder_of(made) / MODEL / "model.safetensors").read_bytes()
    assert weights[1] != weights[0]


def test_limits_decide_and_what_a_rule_can_tell_is_not_asked(made: Prepared) -> None:
    verifier = load(made)
    rows = [rollout("4.75"), rollout(""), rollout("4.75", finished=False), rollout("1", reference="")]
    for limits, label in (((-1e9, -1e9), "correct"), ((1e9, 1e9), "incorrect"), ((1e9, -1e9), "abstain")):
        verifier.verifier.thresholds = Thresholds(*limits)
        first, *others = verifier.verify(rows)
        assert (first.label, first.learned) == (label, True)
        assert [(one.label, one.reason, one.learned) for one in others] == [
            ("incorrect", "no_answer", False), ("incorrect", "no_answer", False), ("abstain", "reference_missing", False),
        ]  # fmt: skip
    assert verifier.verify([]) == []


def test_the_steps_of_a_response_do_not_sway_it(made: Prepared) -> None:
    verifier = load(made)
    rows = [rollout("4.75"), rollout("4.75")]
    rows[1] = Rollout(prompt_id="p", problem="^4*6-5:4H", reference="19/4", response="1;1;4.75", finished=True)
    one, other = verifier.verify(rows)
    assert one == other


def test_the_cascade_asks_only_where_the_strict_verifier_says_different(made: Prepared) -> None:
    cascade = make_verifier(RUN, made)
    learned = load(made)
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
