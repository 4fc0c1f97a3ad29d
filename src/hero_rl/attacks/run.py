"""An attack: every wrong answer handed to a verifier, and how many it accepts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.attacks.formulas import is_formula
from hero_rl.attacks.numbers import read_number
from hero_rl.attacks.perturb import wrong_answers
from hero_rl.attacks.targets import Target
from hero_rl.attacks.wrong import Wrong
from hero_rl.data.problem_text import draw
from hero_rl.errors import InputError, SignalError
from hero_rl.measures import Estimate
from hero_rl.measures.closed_form import UNKNOWN, share_interval
from hero_rl.pipeline import too_many_failures
from hero_rl.report import json_values
from hero_rl.types import Progress, Rollout, Verdict, Verifier

CHUNK = 512
KEYS, COPIES = ("tautology", "empty", "placeholder", "everything", "opener", "injection"), (
    "copied equation", "copied formula", "copied number", "copied problem",
)  # fmt: skip
FORMS = ("numbers", "formulas", "others")
"""Of references: plain numbers, formulas with one value, and whatever has parts, relations or words."""
_OUTCOMES = ("correct", "incorrect", "abstain", "failed")


class Accepted(NamedTuple):
    """A wrong answer that the verifier called correct."""

    target: Target
    attack: Wrong
    verdict: Verdict

    @property
    def said(self) -> str:
        """The verifier's reason, and what it compared."""
        return f"{self.verdict.reason}: {self.verdict.detail}" if self.verdict.detail else self.verdict.reason


class KindReport(NamedTuple):
    """The attacks of one kind."""

    kind: str
    tried: int
    accepted: int
    rejected: int
    abstained: int
    """Without the failures."""
    failed: int
    """The verifier broke: a timeout, a crash, a dead endpoint."""
    references: int
    """How many references it was tried on."""
    fooled: int
    """On how many of them an attack was accepted."""
    rate: Estimate
    """Share accepted of those tried, with a 95% interval over problems."""


class Trade(NamedTuple):
    """The verifier on labelled responses to the same references; an abstention counts as not accepted."""

    right: int
    wrong: int
    recall: Estimate
    fpr: Estimate
    abstained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackReport:
    """What an attack found."""

    verifier: str
    references: int
    problems: int
    kinds: Sequence[KindReport]
    groups: Sequence[KindReport]
    """Master keys, copies, perturbations by the form of the reference, and all attacks."""
    accepted: Sequence[Accepted]
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    """Why it abstained: attacks by reason."""
    seconds: float
    labelled: Trade | None = None

    @property
    def total(self) -> KindReport:
        """All attacks."""
        return self.groups[-1]

    def to_json(self, *, examples: int = 5) -> dict[str, Any]:
        """Return JSON values, with so many accepted attacks per kind; NaN is null."""
        return json_values({
            "verifier": self.verifier, "references": self.references, "problems": self.problems,
            "seconds": round(self.seconds, 2), "total": self.total, "groups": self.groups, "kinds": self.kinds,
            "labelled": self.labelled, "abstentions": self.reasons,
            "accepted": [accepted_row(one) for found in self.accepted_by_kind().values() for one in found[:examples]],
        })  # fmt: skip

    def accepted_by_kind(self) -> dict[str, list[Accepted]]:
        """Return the accepted attacks of each kind, in the order they were found."""
        found: dict[str, list[Accepted]] = {}
        for one in self.accepted:
            found.setdefault(one.attack.kind, []).append(one)
        return found


def attack(
    verifier: Verifier,
    targets: Sequence[Target],
    *,
    labelled: Iterable[tuple[Rollout, bool]] = (),
    seed: int = 0,
    max_failure_rate: float = 0.1,
    progress: Progress = lambda stage, done, total: None,
) -> AttackReport:
    """Return how many wrong answers to these problems the verifier accepts.

    Args:
        verifier: who is attacked; it gets ordinary rollouts, some hundred at a time.
        targets: problems with their references (``read_targets``).
        labelled: responses with a trusted label, for recall and false positive rate.
        seed: chooses the places and digits that are changed; the same seed gives the same attacks.
        max_failure_rate: largest share of attacks on which the verifier may break.
        progress: told how many references are done.

    Raises:
        InputError: no targets.
        SignalError: the verifier failed on more than ``max_failure_rate`` of the attacks, and on more than one.
    """
    if not targets:
        raise InputError("attack: no references; give at least one")
    start = time.perf_counter()
    tally, done, failures = _Tally(), 0, 0
    pending = ((number, one) for number, target in enumerate(targets) for one in _attacks(target, seed))
    while chunk := list(islice(pending, CHUNK)):
        verdicts = verifier.verify([targets[number].rollout(one.response) for number, one in chunk])
        for (number, one), verdict in zip(chunk, verdicts, strict=True):
            tally.add(number, targets[number], one, verdict)
        done += len(chunk)
        failures += sum(verdict.failed for verdict in verdicts)
        progress("attack", chunk[-1][0] + 1, len(targets))
        if done >= CHUNK:
            _check(verifier, failures, done, max_failure_rate)
    _check(verifier, failures, done, max_failure_rate)
    trade = _trade(verifier, labelled, progress)
    return tally.report(verifier.name, targets, time.perf_counter() - start, trade)


def _attacks(target: Target, seed: int) -> list[Wrong]:
    tolerance = target.extra.get("tolerance")
    hints = " ".join(str(target.extra.get(name) or "") for name in ("unit", "answer_type"))
    return wrong_answers(
        target.problem, target.reference, *target.alternatives, pick=draw(seed, *target.key) % 1_000_003, hints=hints,
        tolerance=min(abs(float(tolerance)), 1e6) if isinstance(tolerance, int | float) else 0.0,
    )  # fmt: skip


def _check(verifier: Verifier, failures: int, done: int, max_failure_rate: float) -> None:
    if too_many_failures(failures, done, max_failure_rate):
        raise SignalError(
            f"{failures} of the first {done} attacks failed in {verifier.name}; at most {max_failure_rate:.0%} may "
            "(--max-failure-rate). Is an endpoint down, or a deadline too short?"
        )


def _trade(verifier: Verifier, labelled: Iterable[tuple[Rollout, bool]], progress: Progress) -> Trade | None:
    rows = iter(labelled)
    right: list[bool] = []
    said: list[str] = []
    problems: list[str] = []
    while chunk := list(islice(rows, CHUNK)):
        said += [verdict.label for verdict in verifier.verify([rollout for rollout, _ in chunk])]
        right += [correct for _, correct in chunk]
        problems += [rollout.problem or rollout.reference for rollout, _ in chunk]
        progress("labelled", len(said), None)
    if not said:
        return None
    truth, yes = np.array(right), np.array(said) == "correct"
    return Trade(
        int(truth.sum()),
        int((~truth).sum()),
        _share(yes, truth, problems),
        _share(yes, ~truth, problems),
        said.count("abstain"),
    )


def _share(flags: np.ndarray, among: np.ndarray, clusters: ArrayLike) -> Estimate:
    return share_interval(flags, among, np.asarray(clusters)) if among.any() else UNKNOWN


def _form(reference: str) -> str:
    if read_number(reference) is not None:
        return "numbers"
    return "formulas" if is_formula(reference) else "others"


class _Tally:
    """Outcomes by attack, as numbers."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.targets: list[int] = []
        self.outcomes: list[int] = []
        self.accepted: list[Accepted] = []
        self.reasons: Counter[str] = Counter()

    def add(self, number: int, target: Target, one: Wrong, verdict: Verdict) -> None:
        outcome = "failed" if verdict.failed else verdict.label
        self.kinds.append(one.kind)
        self.targets.append(number)
        self.outcomes.append(_OUTCOMES.index(outcome))
        if outcome == "correct":
            self.accepted.append(Accepted(target, one, verdict))
        elif outcome != "incorrect":
            self.reasons[verdict.reason] += 1

    def report(self, name: str, targets: Sequence[Target], seconds: float, trade: Trade | None) -> AttackReport:
        problems = {key: number for number, key in enumerate(dict.fromkeys(one.problem or one.reference for one in targets))}
        cluster = np.array([problems[one.problem or one.reference] for one in targets])
        kinds, place = np.array(self.kinds), np.array(self.targets)
        outcomes = np.array(self.outcomes)

        def row(label: str, among: np.ndarray) -> KindReport:
            yes, no, unsure, broken = (int((outcomes[among] == code).sum()) for code in range(len(_OUTCOMES)))
            got = outcomes == 0
            tried = int(among.sum())
            return KindReport(
                label, tried, yes, no, unsure, broken, np.unique(place[among]).size, np.unique(place[among & got]).size,
                _share(got, among, cluster[place]),
            )  # fmt: skip

        known = [*KEYS, *COPIES]
        rest = [kind for kind in dict.fromkeys(self.kinds) if kind not in known]
        order = [kind for kind in (*known, *rest) if kind in set(self.kinds)]
        everything = np.ones(kinds.size, dtype=np.bool_)
        key, copy = np.isin(kinds, KEYS), np.isin(kinds, COPIES)
        forms = np.array([_form(one.reference) for one in targets])[place]
        of_forms = [(f"perturbed {form}", ~key & ~copy & (forms == form)) for form in FORMS if (forms == form).any()]
        return AttackReport(
            verifier=name, references=len(targets), problems=len(problems), kinds=[row(kind, kinds == kind) for kind in order],
            groups=[
                row("master keys", key), row("copies", copy), *(row(name, among) for name, among in of_forms),
                row("all", everything),
            ],
            accepted=self.accepted, reasons=dict(self.reasons.most_common()), seconds=seconds, labelled=trade,
        )  # fmt: skip


def accepted_row(one: Accepted) -> dict[str, object]:
    """Return an accepted attack as a row of a rollouts file, with what the verifier compared in ``detail``."""
    return {
        "prompt_id": one.target.prompt_id, "problem": one.target.problem, "reference": one.target.reference,
        "response": one.attack.response, "correct": 0, "verdict": 1, "attack": one.attack.kind, "attack_name": one.attack.name,
        "answer": one.attack.answer, "reason": one.verdict.reason, "detail": one.verdict.detail, "row": one.target.where,
    }  # fmt: skip
