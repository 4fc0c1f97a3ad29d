"""The lab's learned verifier: problem, reference and answer in, equivalent or not out. It sees no steps of the response.

It knows the task family ``chain`` and no other.

It learns from responses of the starting policy to training problems, labelled by the oracle, and from made-up wrong ones. Its
limits are chosen on training problems that were kept back, and it is graded on ``rm_test`` problems, as the reward model is:
neither was trained on those.

By default it is as good as model-based verifiers are on hard answers (the paper's Table 1: recall 0.5 at a false-positive rate
of 0.06), which takes 6,000 questions and about two seconds. With 24,000 it is nearly an oracle, and would leave a rule nothing
to be careful about.

``hero_rl.verifiers.LearnedVerifier`` and ``hero verifier train`` do the same for real models. They are not used here: their
text (``Problem: ... Reference: ... Answer: ...``) is half fixed words, which the lab's alphabet lacks, and they look for an
answer where prose has it, not after the last semicolon. Nor is the lab's decoder: in 20 seconds it did not learn to compare
two numbers (docs/log.md). The limits, the mark ``learned`` and the codes of verdicts are theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hero_lab.corpus import Demonstration, garbled, mismatched
from hero_lab.evaluate import sample_items
from hero_lab.families import CHAIN
from hero_lab.family import DIGIT_WORDS, Problem
from hero_lab.models import END_TOKEN, encode, vocabulary_size
from hero_lab.task import Item, answer_of, oracle, reference_form, split_problems
from hero_rl.errors import require
from hero_rl.learning.thresholds import choose_thresholds
from hero_rl.loop import in_thread
from hero_rl.measures import auroc, recall_at_fpr
from hero_rl.models.fingerprints import folder_fingerprint
from hero_rl.types import FloatArray, Rollout, Verdict, Verifier
from hero_rl.verifiers.learned import Thresholds

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import ModuleDict
    from transformers import PreTrainedModel

PROMPT_LENGTH = CHAIN.prompt_length
REFERENCE_LENGTH = 6
"""Characters, a word being one: ``14_1/2`` and ``two nine over five`` fit."""
ANSWER_LENGTH = 8
"""A longer answer is in none of the five forms, and is not judged."""
TEXT_LENGTH = PROMPT_LENGTH + REFERENCE_LENGTH + ANSWER_LENGTH + 1
_OF_WORD: dict[str, str] = dict(zip((*DIGIT_WORDS, "over"), "abcdefghijk", strict=True))
_ALPHABET = CHAIN.alphabet + "".join(_OF_WORD.values())
"""One character more for each word of a reference in words. Nobody else reads them."""
_VOCABULARY = vocabulary_size(_ALPHABET)
_SAMPLES_FOR_TEST = 8
_WEIGHTS = "model.safetensors"
_TRAINING_NOISE = 1_000_000
"""Added to the seed, so that what is learned from is not what is tested on under another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedVerifierSettings:
    """How the learned verifier is taught."""

    samples: int = 2
    """Responses of the starting policy to each prompt: every training problem under both tags."""
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 3e-3
    width: int = 128
    embedding: int = 32
    """Numbers that stand for a problem, a reference or an answer."""
    p_mismatched: float = 0.1
    """Share of rows whose response was written for another prompt."""
    p_garbled: float = 0.1
    """Share of rows whose response was spoilt by random edits."""
    p_calibration: float = 0.1
    """Share of the training problems that are kept back to choose the limits on."""
    p_fpr: float = 0.05
    """Largest share of wrong answers that it may accept, on the starting policy's responses."""
    p_fnr: float = 0.05
    """Largest share of right answers that it may reject."""


class Question(NamedTuple):
    """What the model is asked, and the right answer."""

    prompt: str
    reference: str
    answer: str
    equivalent: bool


class Trained(NamedTuple):
    """A learned verifier and what was measured of it."""

    network: ModuleDict
    facts: dict[str, Any]
    """Limits, and AUROC, recall and false-positive rate on the test problems."""


def shorten(reference: str) -> str:
    """The reference with one character for each word.

    >>> shorten("one nine over four"), shorten("19/4")
    ('bjke', '19/4')
    """
    return "".join(_OF_WORD.get(word, word) for word in reference.split(" "))


def encode_questions(rows: Sequence[tuple[str, str, str]]) -> np.ndarray:
    """Token ids, shape (B, TEXT_LENGTH), of prompts, references and answers: each field at a place of its own."""
    texts = (
        prompt + shorten(reference).ljust(REFERENCE_LENGTH, "\0") + answer.ljust(ANSWER_LENGTH, "\0") + END_TOKEN
        for prompt, reference, answer in rows
    )
    return encode(list(texts), length=TEXT_LENGTH, alphabet=_ALPHABET)


def training_split(settings: LearnedVerifierSettings, *, seed: int) -> tuple[list[Problem], list[Problem]]:
    """The training problems to learn from, and those kept back for the limits."""
    problems = split_problems()["train"]
    order = np.random.default_rng([seed, 5]).permutation(len(problems)).tolist()
    held_back = max(1, round(settings.p_calibration * len(order)))
    return [problems[i] for i in order[held_back:]], [problems[i] for i in order[:held_back]]


def sampled(policy: PreTrainedModel, problems: Sequence[Problem], *, count: int, seed: int) -> list[Demonstration]:
    """Finished responses of the policy to every problem under both tags, ``count`` each."""
    items = [Item(problem=problem, tag=tag, reference="") for problem in problems for tag in ("V", "H")]
    found = sample_items(policy, items, count=count, seed=seed)
    owners = [item for item in items for _ in range(count)]
    return [
        Demonstration(item.problem, item.tag, rollout.response)
        for item, rollout in zip(owners, found.rollouts, strict=True)
        if rollout.finished
    ]


def questions(rows: Sequence[Demonstration], rng: np.random.Generator) -> list[Question]:
    """What to ask of responses, each beside a reference drawn for it; those that rules decide are left out."""
    found = [
        Question(
            row.prompt, reference_form(row.problem, row.tag, rng), answer_of(row.response), oracle(row.problem, row.response)
        )
        for row in rows
    ]
    return [one for one in found if 0 < len(one.answer) <= ANSWER_LENGTH]


def training_questions(
    policy: PreTrainedModel, problems: Sequence[Problem], settings: LearnedVerifierSettings, *, seed: int
) -> list[Question]:
    """Shuffled questions to learn from: the policy's own responses, some of them exchanged or spoilt."""
    rng = np.random.default_rng([seed, 6])
    rows = sampled(policy, problems, count=settings.samples, seed=_TRAINING_NOISE + seed)
    rows = [rows[i] for i in rng.permutation(len(rows)).tolist()]
    first = int(len(rows) * settings.p_mismatched)
    second = first + int(len(rows) * settings.p_garbled)
    rows = [*mismatched(rows[:first], rng), *garbled(rows[first:second], rng), *rows[second:]]
    asked = questions(rows, rng)
    return [asked[i] for i in rng.permutation(len(asked)).tolist()]


def train_learned_verifier(policy: PreTrainedModel, settings: LearnedVerifierSettings, *, seed: int) -> Trained:
    """A small network with its limits, and how good it is on problems that nothing was trained on.

    Args:
        policy: the starting policy; its responses are what is learned from. It is not changed.
        settings: amount of data and how it is used.
        seed: of the network, the data and their order.
    """
    learn_from, kept_back = training_split(settings, seed=seed)
    rows = training_questions(policy, learn_from, settings, seed=seed)
    network = new_network(settings, seed=seed)
    fit(network, rows, settings, seed=seed)
    held_rows = sampled(policy, kept_back, count=_SAMPLES_FOR_TEST, seed=_TRAINING_NOISE + seed)
    held = questions(held_rows, np.random.default_rng([seed, 7]))
    chosen = choose_thresholds(
        logits(network, [one[:3] for one in held]), [one.equivalent for one in held], p_fpr=settings.p_fpr, p_fnr=settings.p_fnr
    )
    facts: dict[str, Any] = {
        "kind": "learned_verifier", "examples": len(rows), "share_equivalent": float(np.mean([one.equivalent for one in rows])),
        "calibration_examples": len(held), **chosen.thresholds._asdict(),
        "parameters": sum(weights.numel() for weights in network.parameters()),
    }  # fmt: skip
    test = sampled(policy, split_problems()["rm_test"], count=_SAMPLES_FOR_TEST, seed=seed)
    asked = questions(test, np.random.default_rng([seed, 8]))
    for tag in ("V", "H"):
        facts |= _grade(network, chosen.thresholds, [one for one in asked if one.prompt.endswith(tag)], tag)
    return Trained(network, facts)


def new_network(settings: LearnedVerifierSettings, *, seed: int) -> ModuleDict:
    """An untrained network: one tower for each field, and a head that compares what they make of it."""
    import torch
    from torch.nn import Linear, ModuleDict, ReLU, Sequential

    torch.manual_seed(seed)
    width, embedding = settings.width, settings.embedding
    fields = {"problem": PROMPT_LENGTH, "reference": REFERENCE_LENGTH, "answer": ANSWER_LENGTH}
    parts = {
        name: Sequential(Linear(length * _VOCABULARY, width), ReLU(), Linear(width, embedding))
        for name, length in fields.items()
    }
    parts["head"] = Sequential(Linear(3 * embedding, width), ReLU(), Linear(width, 1))
    network = ModuleDict({**parts, "distance": Linear(1, 1)})
    with torch.no_grad():  # equal embeddings are equivalent, until it has learnt better
        network.get_parameter("distance.weight").fill_(-1.0)
        network.get_parameter("distance.bias").fill_(1.0)
    return network


def _forward(network: ModuleDict, ids_BT: Tensor) -> Tensor:
    """Shape (B,), logits of equivalence."""
    import torch

    one_hot = torch.nn.functional.one_hot(ids_BT[:, :-1], _VOCABULARY).float()
    problem, reference, answer = (
        network[name](part.flatten(1))
        for name, part in zip(
            ("problem", "reference", "answer"),
            one_hot.split([PROMPT_LENGTH, REFERENCE_LENGTH, ANSWER_LENGTH], dim=1),
            strict=True,
        )
    )
    difference = reference - answer
    compared = network["head"](torch.cat([difference, reference * answer, problem], dim=1))
    return (compared + network["distance"](difference.square().sum(1, keepdim=True)))[:, 0]


def fit(network: ModuleDict, rows: Sequence[Question], settings: LearnedVerifierSettings, *, seed: int) -> None:
    """Binary cross-entropy, Adam, the learning rate falling to zero on a cosine."""
    import torch

    ids = torch.from_numpy(encode_questions([one[:3] for one in rows]))
    labels = torch.tensor([float(one.equivalent) for one in rows])
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    batches = math.ceil(len(rows) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
    rng = np.random.default_rng([seed, 9])
    for _ in range(settings.epochs):
        for batch in torch.from_numpy(rng.permutation(len(rows))).split(settings.batch_size):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(_forward(network, ids[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def logits(network: ModuleDict, rows: Sequence[tuple[str, str, str]]) -> FloatArray:
    """Shape (B,), what the network says of prompts, references and answers; the sigmoid is a probability of equivalence."""
    import torch

    with torch.no_grad():
        return _forward(network, torch.from_numpy(encode_questions(rows))).double().numpy()


def _grade(network: ModuleDict, limits: Thresholds, rows: Sequence[Question], tag: str) -> dict[str, float | None]:
    """How good it is on one kind of prompt: overall, and where the strict verifier says no, which is what a cascade asks."""
    labels = np.array([one.equivalent for one in rows])
    scores = logits(network, [one[:3] for one in rows])
    open_ = np.array([one.reference != one.answer for one in rows])
    accepted = scores >= limits.accept_above
    found = {
        f"auroc_{tag}": auroc(scores, labels),
        f"auroc_rejected_{tag}": auroc(scores[open_], labels[open_]),
        f"recall_{tag}": _share(accepted[labels]),
        f"fpr_{tag}": _share(accepted[~labels]),
        f"precision_{tag}": _share(labels[accepted]),
        f"recall_at_fpr_1%_{tag}": recall_at_fpr(scores, labels, 0.01),
        f"recall_at_fpr_5%_{tag}": recall_at_fpr(scores, labels, 0.05),
    }
    # Of V prompts the strict verifier rejects no right answer, so that there is nothing to rank.
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if flags.size else float("nan")


class EquivalenceVerifier(Verifier):
    """Correct, incorrect or abstain from the lab's learned verifier. It reads the answer and never the steps.

    Cut-off responses and those without an answer are incorrect by rule; answers too long for any form abstain.
    """

    name = "lab-learned"
    learned = True

    def __init__(self, network: ModuleDict, thresholds: Thresholds, *, identity: str = "") -> None:
        """Use this network; ``load_learned_verifier`` reads one from disk.

        Args:
            network: from ``train_learned_verifier``.
            thresholds: of acceptance and rejection, in logits.
            identity: stands for network and thresholds; equal questions are asked once where there is one.
        """
        self.network, self.thresholds = network, thresholds
        self.identity = identity or None

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given, from a thread."""
        return await in_thread(self._verdicts, rollouts)

    def _verdicts(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        found = [_by_rule(rollout) for rollout in rollouts]
        asked = [place for place, verdict in enumerate(found) if verdict is None]
        rows = [(rollouts[i].problem, rollouts[i].reference, answer_of(rollouts[i].response)) for i in asked]
        verdicts = {place: self._judge(logit) for place, logit in zip(asked, logits(self.network, rows).tolist(), strict=True)}
        return [verdicts[place] if verdict is None else verdict for place, verdict in enumerate(found)]

    def _judge(self, logit: float) -> Verdict:
        detail = f"p={0.5 * (1.0 + math.tanh(logit / 2)):.4f}"
        if logit >= self.thresholds.accept_above:
            return Verdict("correct", "learned_equal", detail=detail, learned=True)
        if logit < self.thresholds.reject_below:
            return Verdict("incorrect", "learned_different", detail=detail, learned=True)
        return Verdict("abstain", "learned_unsure", detail=detail, learned=True)


def _by_rule(rollout: Rollout) -> Verdict | None:
    """The verdict where the model need not be asked, otherwise None."""
    if not rollout.reference:
        return Verdict("abstain", "reference_missing")
    if rollout.finished is False:
        return Verdict("incorrect", "unfinished")
    answer = answer_of(rollout.response)
    if not answer:
        return Verdict("incorrect", "no_answer")
    return Verdict("abstain", "answer_too_long") if len(answer) > ANSWER_LENGTH else None


def save_learned_verifier(folder: Path, trained: Trained, settings: LearnedVerifierSettings) -> None:
    """Write the network and its size; the facts are the caller's."""
    require("safetensors", extra="lab", purpose="hero lab")
    from safetensors.torch import save_file

    save_file(trained.network.state_dict(), folder / _WEIGHTS)
    size = {"width": settings.width, "embedding": settings.embedding}
    (folder / "config.json").write_text(json.dumps(size), encoding="utf-8")


def load_learned_verifier(folder: Path) -> EquivalenceVerifier:
    """The learned verifier that ``prepare`` left in a folder."""
    from safetensors.torch import load_file

    facts, size = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("facts.json", "config.json"))
    network = new_network(LearnedVerifierSettings(**size), seed=0)
    network.load_state_dict(load_file(folder / _WEIGHTS))
    limits = Thresholds(facts["accept_above"], facts["reject_below"])
    return EquivalenceVerifier(network, limits, identity=f"lab-learned:{folder_fingerprint(folder)}:{limits!r}")
