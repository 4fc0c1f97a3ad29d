"""Reward model and learned verifier of a run, retrained together every few steps on its own rollouts.

What is learned from are the verdicts of the strict verifier, never the oracle. Of these, "correct" is right, and "incorrect" on
a hard prompt means little: nine in ten right answers get it. So a rejection is believed only where the answer can be told to be
wrong without comparing forms: the response was cut off, its answer is in no form at all, or it is in the reference's own form
and stands for something else (two decimals, say). All other rejected responses are left out.

    reward model       every verified response of a step should score above every one surely wrong, whatever their prompts
    learned verifier   a verified answer equals its reference, and one surely wrong differs from it

Both go on learning from the rows they were made from, half and half, so that they do not forget. All rows of the run so far are
used, not only the newest: there are few verified ones in a round.

The score keeps its unit: one standard deviation over the starting policy's responses to the ``rm_test`` prompts.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hero_lab.eval_callback import Observer
from hero_lab.evaluate import Yardstick, sample_items, within_auroc
from hero_lab.families import chain, equations, units
from hero_lab.family import TaskName
from hero_lab.learned_verifier import (
    ANSWER_LENGTH,
    EquivalenceVerifier,
    LearnedVerifierSettings,
    Question,
    fit,
    training_questions,
    training_split,
)
from hero_lab.models import PAD_ID
from hero_lab.noise import SumScorer
from hero_lab.reward_model import ScalarScorer, labelled_rows, sequences, step_loss, training_arrays
from hero_lab.settings import RunSettings
from hero_lab.task import answer_of, build_items
from hero_rl.measures import auroc
from hero_rl.types import FloatArray, Rollout, Scorer, Verifier
from hero_rl.verifiers.cascade import Cascade

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hero_rl.pipeline import HybridReward

STEPS = 80
"""Optimizer steps of a round."""
LEARNING_RATE = 1e-3
ORIGINAL_ROWS = 64
VERIFIED_ROWS = 16
REJECTED_ROWS = 48
"""Rows of one optimizer step; every verified one is compared with every rejected one."""
VERIFIER_EPOCHS = 3
"""Passes of a round over decided and as many original questions, for the learned verifier."""
PAIR_LOSS = 0.5
"""Weight of the pairs beside the loss on original rows."""
_SAMPLES = 8
_DIGITS = re.compile(r"\d+")


_PARSERS: dict[TaskName, Callable[[str], object | None]] = {
    "chain": chain.parse_answer, "equations": equations.parse_answer, "units": units.parse_answer
}  # fmt: skip


class Rows(NamedTuple):
    """Rollouts of a run that the strict verifier decided in a way that can be believed."""

    verified: list[Rollout]
    rejected: list[Rollout]


class Refresher:
    """Collects the rollouts of a run, and retrains its signals in place when a round is due."""

    def __init__(self, settings: RunSettings, observer: Observer, policy: PreTrainedModel, reward: HybridReward) -> None:
        """Retrain what the reward listens to.

        Args:
            settings: of the run.
            observer: has the strict verifier; hears of the score's new mean on the starting policy's responses.
            policy: as it is at the start; its responses are the unit of the score.
            reward: its reward model (the scalar part, where it is a mixture) and its learned verifier, where it has them.
        """
        self.settings, self.observer = settings, observer
        self.scorer = None if reward.scorer is None else find_scalar(reward.scorer)
        self.verifier = find_learned(reward.verifier)
        self.rows = Rows([], [])
        self.rounds: list[dict[str, Any]] = []
        self.seconds = 0.0
        """Spent on diagnosis: fresh samples, judged by the oracle."""
        family, seed = observer.yardstick.family, settings.seed
        items = build_items("rm_test", "mixed", seed=seed, family=family)
        self._start = sample_items(policy, items, count=_SAMPLES, seed=seed, family=family).rollouts
        self._fresh = build_items("development", settings.regime, seed=seed, family=family)
        self._original: tuple[np.ndarray, np.ndarray] | None = None
        self._questions: list[Question] | None = None
        self._policy = policy if self.verifier is None else copy.deepcopy(policy)

    @property
    def yardstick(self) -> Yardstick:
        """What the policy is measured with at this time."""
        return self.observer.yardstick

    def hear(self, rollouts: Sequence[Rollout], signals: object) -> None:
        """Keep a batch, with the strict verifier's verdicts of it, whoever gave those that the run is trained on."""
        for rollout, verdict in zip(rollouts, self.yardstick.strict.verify(rollouts), strict=True):
            if verdict.label == "correct":
                self.rows.verified.append(rollout)
            elif verdict.label == "incorrect" and surely_wrong(rollout, self.settings.task):
                self.rows.rejected.append(rollout)

    def after_step(self, policy: PreTrainedModel, step: int) -> None:
        """Hold a round where one is due; none after the last step, for nobody would use what it made."""
        if step % self.settings.refresh_every or step >= self.settings.steps:
            return
        looking = time.perf_counter()
        samples = sample_items(policy, self._fresh, count=_SAMPLES, seed=self.settings.seed, family=self.yardstick.family)
        before = self._diagnosis(samples.rollouts, samples.correct_PG)
        started = time.perf_counter()
        facts: dict[str, Any] = {"step": step, "verified": len(self.rows.verified), "rejected": len(self.rows.rejected)}
        if self.scorer is not None and self.rows.verified and self.rows.rejected:
            facts |= self._refresh_scorer(self.scorer, step)
        if self.verifier is not None:
            facts |= self._refresh_verifier(self.verifier, step)
        facts["seconds"] = time.perf_counter() - started
        after = self._diagnosis(samples.rollouts, samples.correct_PG)
        self.seconds += time.perf_counter() - looking - facts["seconds"]
        self.rounds.append(facts | {name: {"before": before[name], "after": after[name]} for name in before})

    def _refresh_scorer(self, scorer: ScalarScorer, step: int) -> dict[str, float]:
        import torch

        settings, family = self.settings, self.yardstick.family
        if self._original is None:
            rates = family.deal_error_rates(settings.seed)
            rows = labelled_rows(
                settings.reward_model, rates, seed=settings.seed, negatives=settings.tier != "broken", family=family
            )
            self._original = training_arrays(rows, family=family)
        rank_verified(
            scorer, self.rows, self._original, step_weight=settings.reward_model.step_loss,
            rng=np.random.default_rng([settings.seed, 10, step]),
        )  # fmt: skip
        scale = float(scorer.score(self._start).std())
        with torch.no_grad():
            scorer.model.get_parameter("score.weight").div_(scale)
        mean = float(self.yardstick.scorer.score(self._start).mean())
        self.observer.yardstick = self.yardstick._replace(score_mean=mean)
        return {"scale": scale, "score_mean": mean}

    def _refresh_verifier(self, verifier: EquivalenceVerifier, step: int) -> dict[str, int]:
        settings = self.settings.learned_verifier
        if self._questions is None:
            self._questions = original_questions(self._policy, settings, seed=self.settings.seed)
        asked = decided_questions(self.rows)
        seed = [self.settings.seed, 11, step]
        kept = np.random.default_rng(seed).permutation(len(self._questions))[: max(len(asked), settings.batch_size)]
        rows = [*asked, *(self._questions[i] for i in kept.tolist())]
        fit(verifier.network, rows, replace(settings, epochs=VERIFIER_EPOCHS), seed=self.settings.seed + step)
        verifier.identity = f"lab-learned:refreshed:{self.settings.digest}:{step}"  # or a cascade would give old answers
        return {
            "questions_same": sum(one.equivalent for one in asked),
            "questions_other": sum(not one.equivalent for one in asked),
        }

    def _diagnosis(self, rollouts: Sequence[Rollout], correct_PG: FloatArray) -> dict[str, float]:
        """By the oracle on fresh samples: for the result file alone, no model learns from it."""
        found: dict[str, float] = {}
        if self.scorer is not None:
            scores = self.yardstick.scorer.score(rollouts)
            found |= {"auroc_within": within_auroc(scores.reshape(correct_PG.shape), correct_PG)}
            found |= {"auroc": auroc(scores, correct_PG.ravel())}
        if self.verifier is not None:
            correct = correct_PG.ravel() > 0
            accepted = np.array([verdict.label == "correct" for verdict in self.verifier.verify(rollouts)])
            found |= {"verifier_recall": _mean(accepted[correct]), "verifier_fpr": _mean(accepted[~correct])}
        return found


def rank_verified(
    scorer: ScalarScorer,
    rows: Rows,
    original: tuple[np.ndarray, np.ndarray],
    *,
    step_weight: float,
    rng: np.random.Generator,
    steps: int = STEPS,
) -> None:
    """Train a reward model in place: exact labels on original rows, and verified rows above rejected ones.

    The loss of a step is that of the original training, plus ``PAIR_LOSS`` x mean softplus(rejected - verified).

    Args:
        scorer: whose model is trained.
        rows: decided rollouts, of both kinds.
        original: token ids and labels, as ``training_arrays`` gives them.
        step_weight: of the loss at the semicolons of original rows.
        rng: draws the rows of each step.
        steps: of the optimizer, the learning rate falling to zero on a cosine.
    """
    import torch

    model, (ids, labels) = scorer.model, original
    verified, rejected = sequences(rows.verified, scorer.family), sequences(rows.rejected, scorer.family)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(steps):
        own = rng.integers(len(ids), size=ORIGINAL_ROWS)
        rows_of_step = {"input_ids": torch.from_numpy(ids[own]), "labels": torch.from_numpy(labels[own])}
        rows_of_step["attention_mask"] = torch.ones_like(rows_of_step["input_ids"])
        loss = step_loss(model, rows_of_step, step_weight=step_weight)
        above = verified[torch.from_numpy(rng.integers(len(verified), size=VERIFIED_ROWS))]
        below = rejected[torch.from_numpy(rng.integers(len(rejected), size=REJECTED_ROWS))]
        batch = torch.cat([above, below])
        hidden = model.get_submodule("model")(input_ids=batch, attention_mask=torch.ones_like(batch))[0]
        last = (batch != PAD_ID).sum(1) - 1
        scores = model.get_submodule("score")(hidden[torch.arange(len(batch)), last])[:, 0]
        gaps = scores[VERIFIED_ROWS:][None, :] - scores[:VERIFIED_ROWS][:, None]
        loss = loss + PAIR_LOSS * torch.nn.functional.softplus(gaps).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def decided_questions(rows: Rows) -> list[Question]:
    """What verified and rejected answers teach about equivalence, each once.

    >>> from hero_rl.types import Rollout
    >>> row = dict(prompt_id="", problem="^4*6-5:4H", reference="4.75")
    >>> [same, other] = [Rollout(**row, response=f"24;19;{text}") for text in ("4.75", "4.5")]
    >>> [(one.answer, one.equivalent) for one in decided_questions(Rows([same], [other]))]
    [('4.75', True), ('4.5', False)]
    """
    found = [
        Question(row.problem, row.reference, answer_of(row.response), right)
        for kept, right in ((rows.verified, True), (rows.rejected, False))
        for row in kept
        if row.finished is not False
    ]
    return list(dict.fromkeys(one for one in found if 0 < len(one.answer) <= ANSWER_LENGTH))


def surely_wrong(rollout: Rollout, task: TaskName) -> bool:
    """Whether a rejected response is wrong as far as can be told without comparing one form with another.

    >>> from hero_rl.types import Rollout
    >>> row = dict(prompt_id="", problem="^4*6-5:4H", reference="19/4")
    >>> [surely_wrong(Rollout(**row, response=f"24;19;{text}"), "chain") for text in ("18/4", "38/8", "4.5", "4//5")]
    [True, False, False, True]
    """
    answer, parse = answer_of(rollout.response), _PARSERS[task]
    if rollout.finished is False or parse(answer) is None:
        return True
    same_form = _DIGITS.sub("0", rollout.reference) == _DIGITS.sub("0", answer)
    return same_form and parse(answer) != parse(rollout.reference)


def original_questions(policy: PreTrainedModel, settings: LearnedVerifierSettings, *, seed: int) -> list[Question]:
    """What the learned verifier was made from."""
    learn_from, _ = training_split(settings, seed=seed)
    return training_questions(policy, learn_from, settings, seed=seed)


def find_scalar(scorer: Scorer) -> ScalarScorer | None:
    """The reward model that can be retrained: the scorer itself, or the scalar part of a mixture."""
    parts = [part for part, _ in scorer.parts] if isinstance(scorer, SumScorer) else [scorer]
    found = [find_scalar(part) if isinstance(part, SumScorer) else part for part in parts]
    return next((part for part in found if isinstance(part, ScalarScorer)), None)


def find_learned(verifier: Verifier | None) -> EquivalenceVerifier | None:
    """The learned verifier of a run: the verifier itself, or the one that a cascade asks."""
    second = verifier.second if isinstance(verifier, Cascade) else verifier
    return second if isinstance(second, EquivalenceVerifier) else None


def _mean(flags: np.ndarray) -> float:
    return float(flags.mean()) if flags.size else float("nan")
