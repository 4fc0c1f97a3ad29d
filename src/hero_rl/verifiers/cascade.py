"""``Cascade``: a second verifier, usually a model, is asked only where the first one leaves something open.

A rule that says "correct" is right nearly always; its abstentions, and some of its rejections, are where a model helps. A model
can be argued into a yes, so it never overrules a "correct", its verdicts carry a mark, and it is shown the answer, not the
response that argues for it.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from hero_rl.cache import RolloutKey, code_identity, digest
from hero_rl.errors import HeroError, InputError, SettingsWarning
from hero_rl.loop import in_thread
from hero_rl.types import Ask, FloatArray, Label, Rollout, Verdict, Verifier, one_each
from hero_rl.verifiers.choice import ChoiceVerifier
from hero_rl.verifiers.combined import CombinedVerifier
from hero_rl.verifiers.math.extract import find_answer
from hero_rl.verifiers.math.verifier import MathVerifier

Send: TypeAlias = Literal["answer", "response"]

NEVER_ASKED = frozenset({"no_answer", "empty_answer", "answer_too_long", "reference_missing", "reference_too_long", "no_label"})
"""Reasons of the first verifier that leave a second nothing to judge: no answer, or nothing to hold it against. A response
without an answer is what attacks on models look like: a colon, "Thought process:", a plea."""

_ASKED: dict[str, frozenset[Label]] = {
    "abstain": frozenset({"abstain"}),
    "incorrect": frozenset({"incorrect"}),
    "both": frozenset({"abstain", "incorrect"}),
    "generous": frozenset({"abstain"}),
}
_logger = logging.getLogger(__name__)


class CascadeCounts(NamedTuple):
    """Rows by who decided them; ``str()`` gives one line.

    ``rows`` is the sum of the four decided, ``abstained`` and ``failures``. The rest says what was asked of the second.
    """

    rows: int = 0
    symbolic_correct: int = 0
    symbolic_incorrect: int = 0
    learned_correct: int = 0
    """Verdicts that a model gave, here or in the first verifier, and that are marked so."""
    learned_incorrect: int = 0
    abstained: int = 0
    failures: int = 0
    """Rows whose verdict is marked as failed, whatever its label."""
    asked: int = 0
    """Rows on which the second verifier was heard."""
    questions: int = 0
    """Different questions that were put to it: what the model had to be run for."""
    over_budget: int = 0
    """Rows that would have been asked about, but for the budget; they are counted above, too."""

    def plus(self, other: CascadeCounts) -> CascadeCounts:
        """Return the sum."""
        return CascadeCounts(*(one + two for one, two in zip(self, other, strict=True)))

    def since(self, earlier: CascadeCounts) -> CascadeCounts:
        """Return the difference to ``earlier``."""
        return CascadeCounts(*(now - then for now, then in zip(self, earlier, strict=True)))

    def shares(self) -> dict[str, float]:
        """Return each count as a share of the rows, in [0, 1], by names for a log; ``questions`` as it is."""
        rows = max(self.rows, 1)
        shares = {
            f"cascade/{name}": count / rows for name, count in self._asdict().items() if name not in ("rows", "questions")
        }
        return {**shares, "cascade/questions": float(self.questions)}

    def __str__(self) -> str:
        """One line for a log."""
        return (
            f"{self.rows} rows: by rule {self.symbolic_correct} correct, {self.symbolic_incorrect} incorrect; by model "
            f"{self.learned_correct} correct, {self.learned_incorrect} incorrect; {self.abstained} open, "
            f"{self.failures} failed; {self.questions} questions for {self.asked} rows, {self.over_budget} rows over budget"
        )


class _Plan(NamedTuple):
    firsts: list[Verdict]
    questions: list[Rollout]
    """The questions to ask, each once."""
    places: dict[int, int]
    """For each row that is asked about, its question."""
    over_budget: frozenset[int]
    """Rows that are not, for want of budget."""


class Cascade(CombinedVerifier):
    """Returns the verdicts of the first verifier, and those of the second where the first leaves something open.

    A "correct" of the first is final, unless ``ask="generous"`` has it examined. Where the second decides, the reason is
    ``learned_`` and the second's reason, and the verdict is marked as learned. Where it was asked in vain, the first
    verdict stands, with a reason of both; where it broke, the verdict is marked as failed as well. Where the budget did not
    suffice, the reason ends in ``_over_budget``. More stages: give a cascade as ``first``.
    """

    def __init__(
        self,
        first: Verifier,
        second: Verifier,
        *,
        ask: Ask = "abstain",
        budget: int | None = None,
        by_score: bool = False,
        send: Send = "answer",
        ask_failed: bool = False,
        never_ask: Collection[str] = NEVER_ASKED,
        learned: bool = True,
    ) -> None:
        """Put the second behind the first.

        Args:
            first: usually a rule, such as ``MathVerifier``.
            second: usually a model, such as a judge. Rows with the same question are asked once if it has an ``identity``.
            ask: where the first says so: ``"abstain"``; ``"incorrect"``, as TinyV does; ``"both"``; ``"generous"``: where it
                abstains, and where its "correct" rests on a generous reading. If the second rejects such an answer, nobody
                knows: the row abstains. If it agrees, the first verdict stands.
            budget: most questions of one batch; None: no limit. Prompts take turns, in an order that is drawn from the content
                of the batch, so that it does not depend on the order of rows, and no prompt is always the last.
            by_score: of a prompt's questions, ask the one with the highest reward-model score first; needs a budget, and does
                nothing where there are no scores. Gains if the second's mistakes are not the reward model's, else loses. With
                one question per prompt: the appeals of arXiv 2510.00915, which are drawn at random.
            send: what the second reads: ``"answer"``: the final answer, boxed, without the text that argues for it (the whole
                response where no answer is found); ``"response"``: all of it.
            ask_failed: also where the first *broke* (a crash), and its label is one that is asked about.
            never_ask: reasons of the first on which the second is not asked.
            learned: the second is a model: a "correct" that it does not mark itself is marked all the same. False: it is
                another rule, or marks everything itself.

        Raises:
            InputError: an option out of range.
        """
        if ask not in _ASKED:
            raise InputError(f"ask={ask!r} is unknown; choose one of {', '.join(_ASKED)}")
        if send not in ("answer", "response"):
            raise InputError(f"send={send!r} is unknown; choose 'answer' or 'response'")
        if budget is not None and budget < 0:
            raise InputError(f"budget={budget} must be 0 or more, or None for no limit")
        if by_score and budget is None:
            raise InputError("by_score=True says which questions come first, and without a budget all are asked; give a budget")
        if isinstance(first, MathVerifier | ChoiceVerifier) and first.policy == "binary" and ask == "abstain":
            warnings.warn(
                f"cascade: {first.name} with policy='binary' never abstains, so {second.name} will never be asked; use "
                "policy='balanced', or ask='incorrect'",
                SettingsWarning,
                stacklevel=2,
            )
        self.first, self.second, self.ask, self.budget, self.send = first, second, ask, budget, send
        self.by_score = by_score
        self._combine(f"{first.name}+{second.name}", (first, second))
        self.ask_failed, self.never_ask, self.learned = ask_failed, frozenset(never_ask), learned
        self._key = RolloutKey("question", "", second.columns)
        self._lock = threading.Lock()
        self._counts = self._reported = CascadeCounts()

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given."""
        return await self.averify_scored(rollouts, np.full(len(rollouts), np.nan))

    async def averify_scored(self, rollouts: Sequence[Rollout], scores_B: FloatArray, /) -> list[Verdict]:
        """Return one verdict per rollout; ``by_score`` uses the scores, shape (B,), NaN where missing."""
        plan = await in_thread(self._plan, rollouts, await self.first.averify(rollouts), scores_B)
        return self._merge(plan, await self.second.averify(plan.questions) if plan.questions else [])

    @property
    def identity(self) -> str | None:
        """Everything but the rollout that decides a verdict.

        None where one of the two has none, or a budget lets the rest of the batch decide: put the cache around ``second``.
        """
        first, second = self.first.identity, self.second.identity
        if first is None or second is None or self.budget is not None:
            return None
        options = (self.ask, self.send, self.ask_failed, sorted(self.never_ask), self.learned)
        code = code_identity("cascade.py", "math", "boxes.py", "latex.py")
        return f"cascade(first={first}, second={second}, options={options}, {code})"

    @property
    def counts(self) -> CascadeCounts:
        """Since this was made."""
        return self._counts

    def take_metrics(self) -> dict[str, float]:
        """Return shares of the rows since the last call, for a training log, and what caches before the two counted."""
        with self._lock:
            counts, self._reported = self._counts.since(self._reported), self._counts
        found = counts.shares()
        for stage, part in (("first", self.first), ("second", self.second)):
            found |= {f"{stage}_{name}": value for name, value in part.take_metrics().items()}
        return found

    def decisions(self) -> Mapping[str, int]:
        """Return ``counts`` by name."""
        return self._counts._asdict()

    def cache_use(self) -> dict[str, dict[str, int | float]]:
        """Return how often the caches of the two knew the verdict; that of the second is named ``fallback``."""
        second = {"fallback" if name == "verifier" else name: use for name, use in self.second.cache_use().items()}
        return self.first.cache_use() | second

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock out, which cannot cross to another process."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Add a lock of its own."""
        vars(self).update(state, _lock=threading.Lock())

    def _plan(self, rollouts: Sequence[Rollout], firsts: list[Verdict], scores_B: FloatArray) -> _Plan:
        one_each(self.first.name, firsts, rollouts)
        rows = [row for row, verdict in enumerate(firsts) if self._wants(verdict)]
        asked = {row: self._question(rollouts[row]) for row in rows}
        names = self._names(asked)
        groups = {row: digest(str(rollouts[row].prompt_id), str(rollouts[row].problem)) for row in rows}
        best: dict[bytes, float] = {}
        for row in rows if self.by_score else ():
            best[names[row]] = max(best.get(names[row], -math.inf), float(np.nan_to_num(scores_B[row], nan=-math.inf)))
        chosen = _choose({row: (groups[row], names[row]) for row in rows}, self.budget, best)
        order: dict[bytes, int] = {}
        questions: list[Rollout] = []
        places: dict[int, int] = {}
        for row in rows:
            if (name := names[row]) in chosen:
                if name not in order:
                    order[name] = len(order)
                    questions.append(asked[row])
                places[row] = order[name]
        return _Plan(firsts, questions, places, frozenset(rows) - places.keys())

    def _wants(self, verdict: Verdict) -> bool:
        asked = verdict.label in _ASKED[self.ask] or (self.ask == "generous" and verdict.generous)
        asked = asked and verdict.reason not in self.never_ask
        return asked and (self.ask_failed or not verdict.failed)

    def _question(self, rollout: Rollout) -> Rollout:
        answer = find_answer(rollout.response) if self.send == "answer" and isinstance(rollout.response, str) else ""
        if not answer:
            return rollout
        boxed = f"\\boxed{{{answer}}}"
        readable = find_answer(boxed) == answer  # not so where its own braces do not match
        return dataclasses.replace(rollout, response=boxed if readable else answer, steps=())

    def _names(self, asked: dict[int, Rollout]) -> dict[int, bytes]:
        """Return the same name for rows to which the second has to say the same."""
        keys = {row: self._key(question) or digest(row) for row, question in asked.items()}
        if self._tells_apart():
            return keys
        seen: Counter[bytes] = Counter()  # without an identity it may read anything, such as another column of the row
        for row, key in keys.items():
            seen[key] += 1
            keys[row] = digest(key, seen[key])
        return keys

    def _tells_apart(self) -> bool:
        """Return whether equal questions get equal answers from the second: whether it has an identity."""
        try:
            return self.second.identity is not None
        except HeroError:  # it has one, and the server that knows it does not answer
            return True

    def _merge(self, plan: _Plan, seconds: list[Verdict]) -> list[Verdict]:
        one_each(self.second.name, seconds, plan.questions)
        verdicts = list(plan.firsts)
        for row, place in plan.places.items():
            verdicts[row] = self._decide(plan.firsts[row], seconds[place])
        for row in plan.over_budget:
            verdicts[row] = verdicts[row]._replace(reason=f"{verdicts[row].reason}_over_budget")
        self._count(verdicts, plan)
        return verdicts

    def _decide(self, first: Verdict, second: Verdict) -> Verdict:
        stage = "learned" if second.learned or (self.learned and second.label == "correct") else "second"
        reason = f"{stage}_{second.reason.removeprefix('learned_')}"
        detail = f"{self.second.name}: {second.detail}" if second.detail else self.second.name
        if second.label == "abstain" or second.failed:
            failed = first.failed or second.failed
            return first._replace(reason=f"{first.reason}_{reason}", failed=failed, detail=f"{first.detail}; {detail}")
        if first.label == "correct":
            agrees = second.label == "correct"
            return first if agrees else Verdict("abstain", f"{first.reason}_{reason}", detail=f"{first.detail}; {detail}")
        return Verdict(second.label, reason, detail=detail, learned=stage == "learned")

    def _count(self, verdicts: list[Verdict], plan: _Plan) -> None:
        counts = dict.fromkeys(CascadeCounts._fields, 0)
        for verdict in verdicts:
            decided = f"{'learned' if verdict.learned else 'symbolic'}_{verdict.label}"
            counts["failures" if verdict.failed else "abstained" if verdict.label == "abstain" else decided] += 1
        counts |= {
            "rows": len(verdicts), "asked": len(plan.places), "questions": len(plan.questions),
            "over_budget": len(plan.over_budget),
        }  # fmt: skip
        batch = CascadeCounts(**counts)
        with self._lock:
            self._counts = self._counts.plus(batch)
        _logger.info("%s: %s", self.name, batch)


def _choose(wanted: dict[int, tuple[bytes, bytes]], budget: int | None, best: Mapping[bytes, float]) -> frozenset[bytes]:
    """Return the questions that are asked, given each row's group and question, and the best score of a question if known.

    Groups take turns, each with one question per turn, the best first. What that leaves open is decided by a hash that all of
    the batch goes into: the same batch in another order asks the same, and another batch draws anew. A question of several
    groups takes the turn of one.
    """
    if budget is None:
        return frozenset(question for _, question in wanted.values())
    draw = digest(sorted(question for _, question in wanted.values()))
    groups: dict[bytes, set[bytes]] = {}
    for group, question in wanted.values():
        groups.setdefault(group, set()).add(question)
    lines = [
        sorted(groups[group], key=lambda question: (-best.get(question, -math.inf), digest(draw, question)))
        for group in sorted(groups, key=lambda group: digest(draw, group))
    ]
    chosen: set[bytes] = set()
    for turn in range(max(map(len, lines), default=0)):
        for line in lines:
            if len(chosen) < budget and turn < len(line):
                chosen.add(line[turn])
    return frozenset(chosen)
