"""The lab's learned verifier: ``hero_rl.learning`` on answers of the starting policy, with a network of its own (``towers``).

It knows the task family ``chain`` and no other. It learns from responses to training problems, labelled by the oracle, and from
spoilt ones. Its limits are chosen on training problems that were kept back, and it is graded on ``rm_test`` problems, as the
reward model is: neither was trained on those.

By default it is about as good as model-based verifiers are on hard answers (the paper's Table 1: recall 0.5 at a false positive
rate of 0.06). With four times the questions it is nearly an oracle, and would leave a rule nothing to be careful about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic.dataclasses import dataclass

from hero_lab.corpus import Demonstration, spoilt
from hero_lab.evaluate import sample_items, share
from hero_lab.family import CHECKED, Problem
from hero_lab.models import PAD_ID
from hero_lab.task import Item, StrictVerifier, answer_of, oracle, reference_form, split_problems
from hero_rl.learning.examples import ExampleSettings
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.splits import Part, Split, SplitSettings, problem_key
from hero_rl.learning.training import TrainSettings
from hero_rl.learning.verifier_model import VerifierSettings, train_verifier
from hero_rl.measures import auroc
from hero_rl.types import Rollout, Verdict, Verifier
from hero_rl.verifiers.learned import LearnedVerifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SAMPLES_FOR_TEST = 8
_P_CALIBRATION = 0.1
_P_SPOILT = 0.1
"""Share of rows whose response was written for another prompt, and of those whose response was spoilt by random edits."""
_TRAINING_NOISE = 1_000_000
"""Added to the seed, so that what is learned from is not what is tested on under another name."""


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class LearnedVerifierSettings:
    """How the learned verifier is taught."""

    samples: int = 2
    """Responses of the starting policy to each prompt: every training problem under both tags."""
    epochs: int = 10
    batch_size: int = 128

    def for_learning(self, *, seed: int, epochs: int | None = None) -> VerifierSettings:
        """Return the settings as ``hero_rl.learning`` takes them: answers of responses alone, nothing made up."""
        train = TrainSettings(
            epochs=epochs or self.epochs, learning_rate=3e-3, batch_size=self.batch_size, warmup=0.0, seed=seed
        )  # fmt: skip
        examples = ExampleSettings(rewrites=0, corruptions=0, swaps=0, answers_per_kind=1_000)
        return VerifierSettings(train=train, examples=examples, p_fpr=0.05, p_fnr=0.05)


def boxed(rollout: Rollout) -> Rollout:
    """Return the rollout as a response that is its boxed answer, and nothing where it was cut off."""
    answer = "" if rollout.finished is False else answer_of(rollout.response)
    return replace(rollout, response=rf"\boxed{{{answer}}}" if answer else "")


def training_split(*, seed: int) -> tuple[list[Problem], list[Problem]]:
    """Return the training problems to learn from, and those kept back to choose the limits on."""
    problems = split_problems()["train"]
    order = np.random.default_rng([seed, 5]).permutation(len(problems)).tolist()
    held_back = round(_P_CALIBRATION * len(order))
    return [problems[i] for i in order[held_back:]], [problems[i] for i in order[:held_back]]


def verifier_split(*, seed: int) -> Split:
    """Return the same as a split of ``hero_rl.learning``."""
    both = zip(("train", "calibration"), training_split(seed=seed), strict=True)
    parts: dict[str, Part] = {problem_key(one.prompt(tag)): part for part, own in both for one in own for tag in ("V", "H")}
    return Split(settings=SplitSettings(), parts=parts)


def sampled(policy: PreTrainedModel, problems: Sequence[Problem], *, count: int, seed: int) -> list[Demonstration]:
    """Return finished responses of the policy to every problem under both tags, ``count`` each."""
    items = [Item(problem=problem, tag=tag, reference="") for problem in problems for tag in ("V", "H")]
    found = sample_items(policy, items, count=count, seed=seed)
    owners = [item for item in items for _ in range(count)]
    return [
        Demonstration(item.problem, item.tag, rollout.response)
        for item, rollout in zip(owners, found.rollouts, strict=True)
        if rollout.finished
    ]


def questions(rows: Sequence[Demonstration], rng: np.random.Generator) -> list[LabelledRow]:
    """Return answers of responses, labelled by the oracle, each beside a reference drawn for it."""
    found: list[LabelledRow] = []
    for row in rows:
        reference = reference_form(row.problem, row.tag, rng)
        rollout = Rollout(prompt_id=row.prompt, problem=row.prompt, reference=reference, response=row.response)
        found.append(LabelledRow(boxed(rollout), oracle(row.problem, row.response), "given"))
    return [row for row in found if row.rollout.response]


def training_questions(
    policy: PreTrainedModel, problems: Sequence[Problem], settings: LearnedVerifierSettings, *, seed: int
) -> list[LabelledRow]:
    """Return shuffled questions to learn from: the policy's own responses, some of them exchanged or spoilt."""
    rng = np.random.default_rng([seed, 6])
    rows = sampled(policy, problems, count=settings.samples, seed=_TRAINING_NOISE + seed)
    return questions(spoilt(rows, _P_SPOILT, rng), rng)


def train_learned_verifier(
    policy: PreTrainedModel, settings: LearnedVerifierSettings, *, seed: int, folder: Path, scratch: Path
) -> dict[str, Any]:
    """Train one from scratch into ``folder``, and return how good it is on problems that nothing was trained on."""
    import torch

    from hero_lab.towers import Towers, TowersConfig, towers_tokenizer

    torch.manual_seed(seed)
    Towers(TowersConfig(num_labels=1, pad_token_id=PAD_ID)).save_pretrained(scratch)
    towers_tokenizer().save_pretrained(scratch)
    learn_from, kept_back = training_split(seed=seed)
    held_rows = sampled(policy, kept_back, count=_SAMPLES_FOR_TEST, seed=_TRAINING_NOISE + seed)
    rows = training_questions(policy, learn_from, settings, seed=seed)
    rows += questions(held_rows, np.random.default_rng([seed, 7]))
    split = verifier_split(seed=seed)
    made = train_verifier(
        rows, split, str(scratch), folder, maths=StrictVerifier(), settings=settings.for_learning(seed=seed)
    )  # fmt: skip
    facts = {"kind": "learned_verifier", "examples": made["examples"], **made["limits"]}  # type: ignore[dict-item]
    test = questions(
        sampled(policy, split_problems()["rm_test"], count=_SAMPLES_FOR_TEST, seed=seed), np.random.default_rng([seed, 8])
    )
    verifier = LearnedVerifier(folder)
    for tag in ("V", "H"):
        facts |= _grade(verifier, [row for row in test if row.rollout.problem.endswith(tag)], tag)
    return facts


def _grade(verifier: LearnedVerifier, rows: Sequence[LabelledRow], tag: str) -> dict[str, float | None]:
    """Grade on one kind of prompt: overall, and where the strict verifier says no, which is what a cascade asks."""
    labels = np.array([row.correct for row in rows])
    scores = verifier.logits([row.rollout for row in rows])
    open_ = np.array([boxed_answer(row.rollout) != row.rollout.reference for row in rows])
    accepted = scores >= verifier.thresholds.accept_above
    found = {
        f"auroc_{tag}": auroc(scores, labels),
        f"auroc_rejected_{tag}": auroc(scores[open_], labels[open_]),
        f"recall_{tag}": share(accepted[labels]),
        f"fpr_{tag}": share(accepted[~labels]),
        f"precision_{tag}": share(labels[accepted]),
    }
    # Of V prompts the strict verifier rejects no right answer, so that there is nothing to rank.
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def boxed_answer(rollout: Rollout) -> str:
    """Return the answer inside the box of ``boxed``."""
    return rollout.response.removeprefix(r"\boxed{").removesuffix("}")


class AnswerVerifier(Verifier):
    """The learned verifier on the lab's responses: what follows the last semicolon is the answer, a cut-off one has none."""

    name = "lab-learned"
    learned = True

    def __init__(self, verifier: LearnedVerifier) -> None:
        """Ask ``verifier``."""
        self.verifier, self.identity = verifier, verifier.identity

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in order."""
        return await self.verifier.averify([boxed(rollout) for rollout in rollouts])


def load_learned_verifier(folder: Path) -> AnswerVerifier:
    """Return the learned verifier that ``prepare`` or a round of a run left in a folder."""
    import hero_lab.towers  # noqa: F401  # registers its network

    return AnswerVerifier(LearnedVerifier(folder))
