"""A process reward model that was trained, here and for a few seconds: ProcessScorer finds the wrong steps it never saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from transformers import LlamaConfig, LlamaForTokenClassification

from helpers.process_models import SHAPE, build_tokenizer
from hero_rl.scorers.process import ProcessScorer
from hero_rl.types import Rollout

DIGITS = 5
STEPS = 4
ENOUGH = 0.15
"""Training ends at this loss, averaged over so many updates: a coin's is 0.69."""
AVERAGED = 10
MAX_UPDATES = 1500
FLOOR = 0.85
"""Of AUROC; chance is .5. Twelve trainings, of four seeds under three kinds of kernels, gave .93 or more."""
Triple = tuple[int, int, int]


def triples() -> tuple[list[Triple], list[Triple], list[Triple]]:
    """Sums of two digits: right ones, and wrong ones in two parts, of which the second is never trained on."""
    everything = [(a, b, c) for a in range(DIGITS) for b in range(DIGITS) for c in range(2 * DIGITS - 1)]
    wrong = [triple for triple in everything if triple[0] + triple[1] != triple[2]]
    np.random.default_rng(0).shuffle(wrong)
    return [triple for triple in everything if triple[0] + triple[1] == triple[2]], wrong[:150], wrong[150:]


def draw(right: list[Triple], wrong: list[Triple], generator: np.random.Generator) -> tuple[list[Triple], np.ndarray]:
    """The sums of a response, each right or wrong by a coin, and which are right."""
    labels = generator.random(STEPS) < 0.5
    return [(right if label else wrong)[generator.integers(len(right if label else wrong))] for label in labels], labels


def respond(right: list[Triple], wrong: list[Triple], generator: np.random.Generator) -> tuple[Rollout, np.ndarray]:
    chosen, labels = draw(right, wrong, generator)
    steps = [f"{a}+{b}={c}" for a, b, c in chosen]
    return Rollout(prompt_id="p", problem="add", reference="", response="\n\n".join(steps)), labels


@pytest.fixture(scope="module")
def scorer() -> ProcessScorer:
    return ProcessScorer(train(), tokenizer=build_tokenizer())


def train(*, seed: int = 0) -> LlamaForTokenClassification:
    """A model trained on the text that TRL's PRMTrainer makes: prompt, then each step and the separator, which has the label.

    How many updates that takes depends on the seed and on the kernels of the machine, so the loss decides when it is enough.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    shape = SHAPE | {"hidden_size": 64, "intermediate_size": 128, "initializer_range": 0.02}
    model = LlamaForTokenClassification(LlamaConfig(**shape, num_labels=2))
    right, wrong, _ = triples()
    generator = np.random.default_rng([1, seed])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, 1.0, total_iters=20)
    prompt = [tokenizer.bos_token_id, *tokenizer("add", add_special_tokens=False)["input_ids"]]
    pieces = {(a, b, c): tokenizer(f"{a}+{b}={c}\n", add_special_tokens=False)["input_ids"] for a, b, c in [*right, *wrong]}
    losses: list[float] = []
    while len(losses) < AVERAGED or np.mean(losses[-AVERAGED:]) > ENOUGH:
        assert len(losses) < MAX_UPDATES, f"it does not learn: the loss is still {np.mean(losses[-AVERAGED:]):.2f}"
        ids, labels = [], []
        for _ in range(64):
            steps, truth = draw(right, wrong, generator)
            ids.append(prompt + [token for step in steps for token in pieces[step]])
            labels.append([-100] * len(prompt))
            for step, label in zip(steps, truth, strict=True):
                labels[-1] += [-100] * (len(pieces[step]) - 1) + [int(label)]
        loss = model(input_ids=torch.tensor(ids), labels=torch.tensor(labels)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warm_up.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return model


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return (ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))


def test_right_steps_rank_above_wrong_ones_never_seen(scorer: ProcessScorer) -> None:
    right, _, held_out = triples()
    rows, labels = zip(*(respond(right, held_out, np.random.default_rng([2, n])) for n in range(200)), strict=True)
    steps, truth = np.concatenate(scorer.score_steps(rows).steps), np.concatenate(labels)
    assert auroc(steps[truth], steps[~truth]) > FLOOR
    torch.manual_seed(0)
    untrained = ProcessScorer(LlamaForTokenClassification(scorer.local.whole.config), tokenizer=build_tokenizer())  # pyright: ignore
    steps = np.concatenate(untrained.score_steps(rows).steps)
    assert auroc(steps[truth], steps[~truth]) < 0.7, "without training there is nothing to find"


def test_responses_without_a_mistake_rank_above_those_with_one(scorer: ProcessScorer) -> None:
    right, _, held_out = triples()
    generator = np.random.default_rng(3)
    clean = [respond(right, right, generator)[0] for _ in range(60)]
    spoilt = [respond(right, held_out, np.random.default_rng([4, n])) for n in range(80)]
    spoilt = [row for row, labels in spoilt if not labels.all()]
    for aggregate in ("min", "product", "mean"):
        again = ProcessScorer(scorer.local.whole, tokenizer=build_tokenizer(), aggregate=aggregate)  # pyright: ignore
        assert auroc(again.score(clean), again.score(spoilt)) > FLOOR, aggregate
