"""Reward model and learned verifier of a run, retrained together by ``hero_rl.contrib.refresh`` on its own rollouts.

What is learned from are the verdicts of the strict verifier, never the oracle. Of these, "correct" is right, and "incorrect" on
a hard prompt means little: nine in ten right answers get it. So a rejection is believed only where the answer can be told to be
wrong without comparing forms: the response was cut off, its answer is in no form at all, or it is in the reference's own form
and stands for something else (two decimals, say). All other rejected responses are left out.

Both go on learning from rows they were made from, so that they do not forget. All rows of the run so far are used, not only the
newest: there are few verified ones in a round.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hero_lab.eval_callback import Observer
from hero_lab.evaluate import Samples, sample_items, verifier_quality, within_auroc
from hero_lab.families import FAMILIES, chain, equations, units
from hero_lab.family import TaskName
from hero_lab.learned_verifier import boxed, verifier_split
from hero_lab.prepare import FACTS, MODEL, Prepared
from hero_lab.presets import LEARNED
from hero_lab.reward_model import shown, whole_split
from hero_lab.settings import RunSettings
from hero_lab.signals import make_reward, make_strict_verifier
from hero_lab.task import Item, StrictVerifier, answer_of, build_items
from hero_rl.contrib.refresh import Loaded, refresh_signals
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.reward_model import Sources, earlier_sources, train_reward_model
from hero_rl.learning.training import TrainSettings
from hero_rl.learning.verifier_model import earlier_rows, train_verifier
from hero_rl.measures import auroc
from hero_rl.types import Rollout, RowVerifier, Verdict

if TYPE_CHECKING:
    from hero_rl.engines.trl import HeroTrainer

LEARNING_RATE = 1e-3
ORIGINAL_PROMPTS = 300
"""Prompts of a round whose rows the reward model was made from."""
VERIFIER_EPOCHS = 3
_SAMPLES = 8
_DIGITS = re.compile(r"\d+")
_PARSERS: dict[TaskName, Callable[[str], object | None]] = {
    "chain": chain.parse_answer, "equations": equations.parse_answer, "units": units.parse_answer
}  # fmt: skip


class SureVerifier(RowVerifier):
    """The strict verifier where it can be believed; it abstains on rejections that another form may explain."""

    name = "strict-sure"

    def __init__(self, strict: StrictVerifier, task: TaskName) -> None:
        """Believe ``strict`` on the prompts of a family."""
        self.strict = strict
        self.task: TaskName = task

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout."""
        verdict = self.strict.judge(rollout)
        if verdict.label == "incorrect" and not surely_wrong(rollout, self.task):
            return Verdict("abstain", "may_be_another_form")
        return verdict


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


class Rounds:
    """Trains and loads the signals of a run's rounds, and says what the oracle thinks of them."""

    def __init__(self, settings: RunSettings, models: Prepared, observer: Observer, trainer: HeroTrainer, folder: Path) -> None:
        """Let the rounds of a run begin."""
        self.settings, self.models, self.observer, self.trainer = settings, models, observer, trainer
        self.rows: list[LabelledRow] = []
        """Everything that was decided so far."""
        self.rounds: list[dict[str, Any]] = []
        self._is_new = False
        family = FAMILIES[settings.task]
        self._fresh = build_items("development", settings.regime, seed=settings.seed, family=family)
        start = build_items("rm_test", "mixed", seed=settings.seed, family=family)
        self._start = self._sample(start).rollouts
        decide = SureVerifier(make_strict_verifier(settings), settings.task)
        refresh_signals(trainer, folder, every=settings.refresh_every, train=self.train, load=self.load, decide=decide)

    def train(self, rows: Path, before: Path | None, folder: Path) -> None:
        """Train the signals of a round, as ``refresh_signals`` asks for it."""
        self._samples = self._sample(self._fresh)
        found = [json.loads(line) for line in rows.read_text().splitlines()]
        fields = ("prompt_id", "problem", "reference", "response", "finished")
        for row in found:
            self.rows.append(LabelledRow(Rollout(**{name: row[name] for name in fields}), row["correct"] == 1, "rule"))
        verified = sum(row.correct for row in self.rows)
        facts = {"step": found[-1]["step"], "verified": verified, "rejected": len(self.rows) - verified}
        facts |= {name: {"before": value} for name, value in self._diagnosis().items()}
        started = time.perf_counter()
        folder.mkdir()
        if self.trainer.reward.scorer is not None:
            self._train_scorer(before / "reward_model" if before else self.models.reward_model, folder / "reward_model")
        if self.models.learned_verifier is not None and self.settings.verifier in LEARNED:
            old = before / "verifier" if before else self.models.learned_verifier
            facts |= self._train_verifier(old, folder / "verifier")
        self.rounds.append(facts | {"seconds": time.perf_counter() - started})

    def load(self, folder: Path) -> Loaded:
        """Return the signals of a round's folder."""
        self._is_new = True
        scorer, verifier = folder / "reward_model", folder / "verifier"
        models = self.models._replace(
            reward_model=scorer if scorer.exists() else self.models.reward_model,
            learned_verifier=verifier if verifier.exists() else self.models.learned_verifier,
        )
        reward = make_reward(self.settings, models)
        return Loaded(scorer=reward.scorer, verifier=reward.verifier)

    def settle(self) -> None:
        """Measure with the signals in use, and note what a new one is worth; to be called before the next look."""
        if not self._is_new:
            return
        self._is_new = False
        reward, yardstick = self.trainer.reward, self.observer.yardstick
        if reward.scorer is not None:
            mean = float(reward.scorer.score(self._start).mean())
            yardstick = yardstick._replace(scorer=reward.scorer, score_mean=mean)
        if yardstick.verifier is not None:
            yardstick = yardstick._replace(verifier=reward.verifier)
        self.observer.yardstick = yardstick
        for name, value in self._diagnosis().items():
            self.rounds[-1][name]["after"] = value

    def _train_scorer(self, old: Path, new: Path) -> None:
        settings, size = self.settings, self.settings.reward_model.batch_size
        rng = np.random.default_rng([settings.seed, 10, len(self.rounds)])
        original = earlier_sources(self.models.reward_model / MODEL).rows
        prompts = sorted({row.rollout.problem for row in original})
        kept = {prompts[i] for i in rng.permutation(len(prompts))[:ORIGINAL_PROMPTS].tolist()}
        decided = [row._replace(rollout=shown(row.rollout)) for row in self.rows]
        rows = [*decided, *(row for row in original if row.rollout.problem in kept)]
        new.mkdir()
        train_reward_model(
            Sources(rows, []), whole_split(FAMILIES[settings.task]), str(old / MODEL), new / MODEL,
            max_pairs_per_prompt=settings.reward_model.pairs_per_prompt,
            settings=TrainSettings(learning_rate=LEARNING_RATE, batch_size=size, seed=settings.seed),
        )  # fmt: skip
        (new / FACTS).write_bytes((old / FACTS).read_bytes())

    def _train_verifier(self, old: Path, new: Path) -> dict[str, int]:
        """Learn from decided answers and as many original questions; choose the limits anew, on original ones."""
        assert self.models.learned_verifier is not None
        settings, seed = self.settings.learned_verifier, self.settings.seed
        split, original = verifier_split(seed=seed), earlier_rows(self.models.learned_verifier / MODEL)
        asked = [row._replace(rollout=boxed(row.rollout)) for row in self.rows if split.part_of(row.rollout) == "train"]
        asked = [row for row in asked if row.rollout.response]
        first = [row for row in original if split.part_of(row.rollout) == "train"]
        rng = np.random.default_rng([seed, 11, len(self.rounds)])
        kept = [first[i] for i in rng.permutation(len(first))[: max(len(asked), settings.batch_size)].tolist()]
        rows = [*asked, *kept, *(row for row in original if split.part_of(row.rollout) == "calibration")]
        new.mkdir()
        train_verifier(
            rows, split, str(old / MODEL), new / MODEL, maths=StrictVerifier(),
            settings=settings.for_learning(seed=seed, epochs=VERIFIER_EPOCHS),
        )  # fmt: skip
        same = sum(row.correct for row in asked)
        return {"questions_same": same, "questions_other": len(asked) - same}

    def _diagnosis(self) -> dict[str, float]:
        """By the oracle on fresh samples: for the result file alone, no model learns from it."""
        found: dict[str, float] = {}
        rollouts, correct_PG = self._samples.rollouts, self._samples.correct_PG
        scorer, verifier = self.trainer.reward.scorer, self.trainer.reward.verifier
        if scorer is not None:
            scores = scorer.score(rollouts)
            found |= {"auroc_within": within_auroc(scores.reshape(correct_PG.shape), correct_PG)}
            found |= {"auroc": auroc(scores, correct_PG.ravel())}
        if verifier is not None and self.settings.verifier in LEARNED:
            quality = verifier_quality(verifier, self._samples)
            found |= {name: quality[f"own_{name}"] for name in ("verifier_recall", "verifier_fpr")}
        return found

    def _sample(self, items: Sequence[Item]) -> Samples:
        policy: Any = self.trainer.model
        return sample_items(policy, items, count=_SAMPLES, seed=self.settings.seed, family=FAMILIES[self.settings.task])
