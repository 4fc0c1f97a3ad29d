"""any_of, all_of, majority: the truth table, failures, whose vote was decisive, and that they work side by side."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import threading
from collections.abc import Sequence

import pytest

from hero_rl.errors import InputError
from hero_rl.loop import in_thread
from hero_rl.types import Rollout, Verdict, Verifier
from hero_rl.verifiers import ColumnVerifier, ExactVerifier, HendrycksVerifier
from hero_rl.verifiers.votes import Panel, all_of, any_of, majority

LETTERS = {"c": "correct", "i": "incorrect", "a": "abstain"}


class Says(Verifier):
    """Gives the same verdict to every row: c, i or a; C, I, A as a model; f: broken; g: broken, called incorrect."""

    def __init__(self, letter: str) -> None:
        self.name = self.identity = f"says-{letter}"
        failed = letter in "fg"
        label = {"f": "abstain", "g": "incorrect"}.get(letter) or LETTERS[letter.lower()]
        self.verdict = Verdict(label, "said", failed=failed, learned=letter.isupper())  # type: ignore[arg-type]
        self.closed = 0

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        return [self.verdict] * len(rollouts)

    def close(self) -> None:
        self.closed += 1


ROW = Rollout(prompt_id="p", problem="", reference="r", response="x")


def vote(make, letters: str, **options: int) -> Verdict:
    panel = make(*map(Says, letters), **options)
    (verdict,) = panel.verify([ROW])
    assert asyncio.run(panel.averify([ROW])) == [verdict]
    return verdict


@pytest.mark.parametrize(
    ("votes", "any_says", "all_say", "most_say"),
    [
        ("cc", "correct", "correct", "correct"),
        ("ci", "correct", "incorrect", "abstain"),
        ("ca", "correct", "abstain", "abstain"),
        ("ii", "incorrect", "incorrect", "incorrect"),
        ("ia", "abstain", "incorrect", "abstain"),
        ("aa", "abstain", "abstain", "abstain"),
        ("cci", "correct", "incorrect", "correct"),
        ("cca", "correct", "abstain", "correct"),
        ("cii", "correct", "incorrect", "incorrect"),
        ("cia", "correct", "incorrect", "abstain"),
        ("caa", "correct", "abstain", "abstain"),
        ("iia", "abstain", "incorrect", "incorrect"),
        ("cf", "correct", "abstain", "abstain"),
        ("if", "abstain", "incorrect", "abstain"),
        ("ig", "abstain", "incorrect", "abstain"),
        ("ccf", "correct", "abstain", "correct"),
        ("ciif", "correct", "incorrect", "incorrect"),
    ],
)  # fmt: skip
def test_the_truth_table_in_every_order(votes: str, any_says: str, all_say: str, most_say: str) -> None:
    for order in set(itertools.permutations(votes)):
        letters = "".join(order)
        assert vote(any_of, letters).label == any_says
        assert vote(all_of, letters).label == all_say
        assert vote(majority, letters).label == most_say


@pytest.mark.parametrize(
    ("make", "votes", "failed"),
    [
        (any_of, "cf", False), (any_of, "if", True), (any_of, "af", True), (any_of, "ia", False), (any_of, "ig", True),
        (all_of, "if", False), (all_of, "cf", True), (all_of, "ca", False),
        (majority, "ccf", False), (majority, "cif", True), (majority, "caf", True), (majority, "cia", False),
    ],
)  # fmt: skip
def test_it_failed_where_nothing_is_decided_and_a_vote_is_missing_for_a_failure(make, votes: str, failed: bool) -> None:
    assert vote(make, votes).failed is failed


@pytest.mark.parametrize(
    ("make", "votes", "learned"),
    [
        (any_of, "cC", False), (any_of, "iC", True), (any_of, "iI", True), (any_of, "ii", False), (any_of, "aC", True),
        (all_of, "iI", False), (all_of, "cI", True), (all_of, "cC", True), (all_of, "cA", False),
        (majority, "ccC", False), (majority, "cCi", True), (majority, "ccI", False), (majority, "CCi", True),
    ],
)  # fmt: skip
def test_it_is_learned_where_the_rules_alone_would_not_have_said_so(make, votes: str, learned: bool) -> None:
    assert vote(make, votes).learned is learned


def test_a_quorum_and_the_reasons() -> None:
    assert vote(majority, "caa", quorum=1)[:2] == ("correct", "majority_correct")
    assert vote(majority, "cca", quorum=3)[:2] == ("abstain", "no_quorum")
    assert vote(majority, "ciaa", quorum=2)[:2] == ("abstain", "tie")
    assert vote(majority, "cii")[:2] == ("incorrect", "majority_incorrect")
    assert vote(any_of, "ci").reason == "any_correct"
    assert vote(any_of, "ii").reason == "all_incorrect"
    assert vote(all_of, "cc").reason == "all_correct"
    assert vote(all_of, "ci").detail == "says-c: correct (said); says-i: incorrect (said)"
    assert vote(all_of, "ca").reason == "undecided"


def test_the_verifiers_work_at_the_same_time() -> None:
    class Meets(Says):
        async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
            await in_thread(together.wait, 20)  # goes on only when all three are at work
            return await super().averify(rollouts)

    together = threading.Barrier(3)
    panel = majority(*(Meets(letter) for letter in "cci"))
    assert panel.verify([ROW])[0].label == "correct"
    assert asyncio.run(panel.averify([ROW]))[0].label == "correct"


def test_an_error_of_one_reaches_the_caller_and_stops_the_other_tasks() -> None:
    class Broken(Says):
        async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
            raise OSError("no such model")

    class Patient(Says):
        cancelled = False

        async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            return []

    patient = Patient("c")
    for panel in (any_of(Broken("c"), Says("c")), any_of(Says("c"), Broken("c"))):
        with pytest.raises(OSError, match="no such model"):
            panel.verify([ROW])
    with pytest.raises(OSError, match="no such model"):
        asyncio.run(any_of(patient, Broken("c")).averify([ROW]))
    assert patient.cancelled


def test_it_is_a_verifier_that_pickles_nests_and_closes() -> None:
    panel = any_of(ExactVerifier(), all_of(HendrycksVerifier(), ColumnVerifier("label")))
    assert isinstance(panel, Verifier)
    assert panel.name == "any_of(exact, all_of(hendrycks, column:label))"
    rows = [Rollout(prompt_id="p", problem="", reference="2", response=r"\boxed{2.}", extra={"label": 1})]
    assert pickle.loads(pickle.dumps(panel)).verify(rows) == panel.verify(rows)
    assert panel.verify([]) == []
    parts = [Says("c"), Says("i")]
    with majority(*parts):
        pass
    assert [part.closed for part in parts] == [1, 1]
    copy = pickle.loads(pickle.dumps(majority(*parts)))
    assert copy.verify([ROW])[0].reason == "tie"


def test_the_identity_names_the_parts_and_the_way_of_counting() -> None:
    parts = [Says("c"), Says("i"), Says("a")]
    identities = {make(*parts).identity for make in (any_of, all_of, majority)} | {majority(*parts, quorum=1).identity}
    assert len(identities) == 4
    assert any_of(*parts).identity == any_of(*parts).identity
    assert any_of(*parts, ColumnVerifier("label")).identity is None


def test_closing_closes_all_although_one_refuses() -> None:
    class Stuck(Says):
        def close(self) -> None:
            raise OSError("stuck")

    after = Says("c")
    with pytest.raises(OSError, match="stuck"):
        any_of(Stuck("c"), after).close()
    assert after.closed == 1


def test_too_few_verifiers_and_an_impossible_quorum_are_refused() -> None:
    with pytest.raises(InputError, match="needs two verifiers or more"):
        any_of(Says("c"))
    for quorum in (0, 3):
        with pytest.raises(InputError, match=f"quorum={quorum}"):
            majority(Says("c"), Says("i"), quorum=quorum)


def test_a_verifier_that_loses_rows_is_named() -> None:
    class Short(Says):
        async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
            return []

    with pytest.raises(InputError, match="'says-i' gave 0 verdicts for 1"):
        Panel("own", lambda votes: (votes[0], "first"), [Says("c"), Short("i")]).verify([ROW])  # type: ignore[arg-type]
