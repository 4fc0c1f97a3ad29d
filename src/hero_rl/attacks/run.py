"""An attack: every wrong answer handed to a verifier, and how many it accepts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from hero_rl.attacks.formulas import is_formula
from hero_rl.attacks.numbers import read_number
from hero_rl.attacks.perturb import wrong_answers
from hero_rl.attacks.targets import Target
from hero_rl.attacks.text import Wrong
from hero_rl.data.problem_text import draw
from hero_rl.errors import InputError, SignalError
from hero_rl.measures import Estimate, share_interval
from hero_rl.measures.failures import too_many_failures
from hero_rl.report import json_values
from hero_rl.types import Progress, Rollout, Verdict, Verifier

CHUNK = 512
KEYS = ("tautology", "empty", "placeholder", "everything", "opener", "injection")
COPIES = ("copied equation", "copied formula", "copied number", "copied problem")
FORMS = ("numbers", "formulas", "others")
"""Of references: plain numbers, formulas with one value, and whatever has parts, relations or words."""


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
    """References it was tried on."""
    fooled: int
    """References on which an attack was accepted."""
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
    """The results of an attack."""

    verifier: str
    references: int
    problems: int
    kinds: Sequence[KindReport]
    groups: Sequence[KindReport]
    """Master keys, copies, perturbations by the form of the reference, and all attacks."""
    accepted: Sequence[Accepted]
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    """Abstentions by reason."""
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
        verifier: gets ordinary rollouts, some hundred at a time.
        targets: problems with their references (``read_targets``).
        labelled: responses with a trusted label, for recall and false positive rate.
        seed: chooses the places and digits that are changed; the same seed gives the same attacks.
        max_failure_rate: largest share of attacks on which the verifier may break.
        progress: called with the number of references done.

    Raises:
        InputError: no targets.
        SignalError: the verifier failed on more than ``max_failure_rate`` of the attacks, and on more than one.
    """
    if not targets:
        raise InputError("attack: no references; give at least one")
    start = time.perf_counter()
    tried: list[tuple[int, str, str]] = []
    accepted: list[Accepted] = []
    reasons: Counter[str] = Counter()
    failures = 0
    pending = ((number, one) for number, target in enumerate(targets) for one in _attacks(target, seed))
    while chunk := list(islice(pending, CHUNK)):
        verdicts = verifier.verify([targets[number].rollout(one.response) for number, one in chunk])
        for (number, one), verdict in zip(chunk, verdicts, strict=True):
            tried.append((number, one.kind, "failed" if verdict.failed else verdict.label))
            if tried[-1][2] == "correct":
                accepted.append(Accepted(targets[number], one, verdict))
            elif tried[-1][2] != "incorrect":
                reasons[verdict.reason] += 1
        failures += sum(verdict.failed for verdict in verdicts)
        progress("attack", chunk[-1][0] + 1, len(targets))
        if len(tried) >= CHUNK:
            _check(verifier, failures, len(tried), max_failure_rate)
    _check(verifier, failures, len(tried), max_failure_rate)
    trade = _trade(verifier, labelled, progress)
    problems = {key: number for number, key in enumerate(dict.fromkeys(one.problem or one.reference for one in targets))}
    kinds, groups = _by_kind(targets, np.array([problems[one.problem or one.reference] for one in targets]), tried)
    return AttackReport(
        verifier=verifier.name, references=len(targets), problems=len(problems), kinds=kinds, groups=groups, accepted=accepted,
        reasons=dict(reasons.most_common()), seconds=time.perf_counter() - start, labelled=trade,
    )  # fmt: skip


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
    found: list[tuple[bool, str, str]] = []
    while chunk := list(islice(rows, CHUNK)):
        verdicts = verifier.verify([rollout for rollout, _ in chunk])
        found += [
            (right, verdict.label, rollout.problem or rollout.reference)
            for (rollout, right), verdict in zip(chunk, verdicts, strict=True)
        ]
        progress("labelled", len(found), None)
    if not found:
        return None
    rights, labels, problems = zip(*found, strict=True)
    truth, yes = np.array(rights), np.array(labels) == "correct"
    recall, fpr = share_interval(yes, truth, problems), share_interval(yes, ~truth, problems)
    return Trade(int(truth.sum()), int((~truth).sum()), recall, fpr, labels.count("abstain"))


def _by_kind(
    targets: Sequence[Target], problem_T: np.ndarray, tried: Sequence[tuple[int, str, str]]
) -> tuple[list[KindReport], list[KindReport]]:
    """Return a row per kind, and a row per group of kinds, all attacks last."""
    place, kinds, outcomes = (np.array(column) for column in zip(*tried, strict=True))
    got = outcomes == "correct"

    def row(label: str, among: np.ndarray) -> KindReport:
        yes, no, unsure, broken = (
            int((outcomes[among] == outcome).sum()) for outcome in ("correct", "incorrect", "abstain", "failed")
        )
        references, fooled = np.unique(place[among]).size, np.unique(place[among & got]).size
        rate = share_interval(got, among, problem_T[place])
        return KindReport(label, int(among.sum()), yes, no, unsure, broken, references, fooled, rate)

    seen = dict.fromkeys(kinds.tolist())
    order = [kind for kind in (*KEYS, *COPIES) if kind in seen] + [kind for kind in seen if kind not in KEYS + COPIES]
    key, copy = np.isin(kinds, KEYS), np.isin(kinds, COPIES)
    forms = np.array([_form(one.reference) for one in targets])[place]
    perturbed = [(f"perturbed {form}", ~key & ~copy & (forms == form)) for form in FORMS if (forms == form).any()]
    groups = [("master keys", key), ("copies", copy), *perturbed, ("all", np.ones(kinds.size, dtype=np.bool_))]
    return [row(kind, kinds == kind) for kind in order], [row(name, among) for name, among in groups]


def _form(reference: str) -> str:
    if read_number(reference) is not None:
        return "numbers"
    return "formulas" if is_formula(reference) else "others"


def accepted_row(one: Accepted) -> dict[str, object]:
    """Return an accepted attack as a row of a rollouts file, with what the verifier compared in ``detail``."""
    return {
        "prompt_id": one.target.prompt_id, "problem": one.target.problem, "reference": one.target.reference,
        "response": one.attack.response, "correct": 0, "verdict": 1, "attack": one.attack.kind, "attack_name": one.attack.name,
        "answer": one.attack.answer, "reason": one.verdict.reason, "detail": one.verdict.detail, "row": one.target.where,
    }  # fmt: skip
