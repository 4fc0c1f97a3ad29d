"""CachedScorer and CachedVerifier: the same results, each computed once, and no failure kept."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.cache import Cache, CachedScorer, CachedStepScorer, CachedVerifier, RolloutKey, digest
from hero_rl.errors import InputError
from hero_rl.loop import in_thread
from hero_rl.scorers import ColumnScorer
from hero_rl.types import FloatArray, Rollout, Scorer, StepScorer, StepScores, Verdict, Verifier
from hero_rl.verifiers import ColumnVerifier, ExactVerifier, HendrycksVerifier, MathVerifier, MathVerifyVerifier

any_text = st.text(st.characters(codec=None), max_size=8)  # lone surrogates included
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)


class Lengths(Scorer):
    """Scores a response by its length; an empty one has no score. Keeps what it was asked."""

    name = "lengths"

    def __init__(self, identity: str = "lengths-1") -> None:
        self.identity = identity
        self.asked: list[list[Rollout]] = []
        self.closed = 0

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        await asyncio.sleep(0.05)
        self.asked.append(list(rollouts))
        return np.array([len(row.response) or np.nan for row in rollouts], dtype=np.float64)

    def close(self) -> None:
        self.closed += 1


class Words(Lengths, StepScorer):
    """As ``Lengths``, with the length of each word as a step."""

    name = "words"

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        steps = tuple(np.array([float(len(word)) for word in row.response.split()]) for row in rollouts)
        return StepScores(await self.ascore(rollouts), steps)


class Moody(Verifier):
    """Says correct, fails on "hang", abstains on "vague"; keeps what it was asked."""

    name = "moody"
    identity = "moody-1"

    def __init__(self) -> None:
        self.asked: list[list[Rollout]] = []

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        self.asked.append(list(rollouts))
        return [self._judge(row.response) for row in rollouts]

    def _judge(self, response: str) -> Verdict:
        if response == "hang":
            return Verdict("abstain", "timeout", failed=True)
        if response == "vague":
            return Verdict("abstain", "unsure")
        return Verdict(
            "correct", "fine", detail=f"{response} | \ud800 \udc00 ü", learned=response == "model", generous=response == "about"
        )


def rows(*responses: str, **fields: object) -> list[Rollout]:
    return [
        Rollout(**{"prompt_id": f"p{i}", "problem": "q", "reference": "r", "response": text, **fields})  # type: ignore[arg-type]
        for i, text in enumerate(responses)
    ]


def test_scores_are_the_scorers_own_in_order_and_computed_once(tmp_path: Path) -> None:
    inner = Lengths()
    with Cache(tmp_path / "c") as cache:
        scorer = CachedScorer(inner, cache)
        assert scorer.score(rows("bb", "a", "bb", "ccc", "a")).tolist() == [2, 1, 2, 3, 1]
        assert [row.response for row in inner.asked[0]] == ["bb", "a", "ccc"]
        assert scorer.score(rows("ccc", "dddd", "a")).tolist() == [3, 4, 1]
        assert [row.response for row in inner.asked[1]] == ["dddd"]
        assert scorer.score([]).tolist() == []
        assert len(inner.asked) == 2
        assert scorer.stats == (8, 2, 2, 0, 4, 0)
        assert scorer.stats.hit_rate == pytest.approx(2 / 6)
        assert scorer.take_metrics() == {"score_cache/hit_rate": 2 / 6, "score_cache/saved": 0.5}
        assert scorer.take_metrics() == {"score_cache/hit_rate": 0.0, "score_cache/saved": 0.0}
    assert isinstance(scorer, Scorer)
    assert not isinstance(scorer, StepScorer)


def test_a_new_process_finds_them_and_another_model_does_not(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        CachedScorer(Lengths(), cache).score(rows("a", "bb"))
    with Cache(tmp_path / "c") as cache:
        same, other = Lengths(), Lengths("lengths-2")
        assert CachedScorer(same, cache).score(rows("bb", "a")).tolist() == [2, 1]
        assert CachedScorer(other, cache).score(rows("bb", "a")).tolist() == [2, 1]
        assert (len(same.asked), len(other.asked)) == (0, 1)
        moody = Moody()
        moody.identity = "lengths-1"
        CachedVerifier(moody, cache).verify(rows("a"))
        assert len(moody.asked) == 1  # a score is not a verdict, whatever the identity


def test_without_a_cache_duplicates_are_still_computed_once() -> None:
    inner = Lengths()
    scorer = CachedScorer(inner)
    assert scorer.score(rows("a", "a", "bb")).tolist() == [1, 1, 2]
    assert scorer.score(rows("a")).tolist() == [1]
    assert [len(asked) for asked in inner.asked] == [2, 1]


def test_failures_are_never_kept(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        lengths, moody = Lengths(), Moody()
        scorer, verifier = CachedScorer(lengths, cache), CachedVerifier(moody, cache)
        for _ in range(2):
            assert np.isnan(scorer.score(rows("", "a", ""))).tolist() == [True, False, True]
            assert [verdict.failed for verdict in verifier.verify(rows("hang", "vague", "hang"))] == [True, False, True]
        assert [[row.response for row in asked] for asked in lengths.asked] == [["", "a"], [""]]
        assert [[row.response for row in asked] for asked in moody.asked] == [["hang", "vague"], ["hang"]]
        assert scorer.stats.not_kept == verifier.stats.not_kept == 2
        assert cache.stats().rows == 2


def test_verdicts_come_back_whole(tmp_path: Path) -> None:
    asked = rows("x", "model", "vague")
    with Cache(tmp_path / "c") as cache:
        first = CachedVerifier(Moody(), cache).verify(asked)
        again = Moody()
        assert CachedVerifier(again, cache).verify(asked) == first == Moody().verify(asked)
        assert again.asked == []
    assert isinstance(CachedVerifier(Moody()), Verifier)


def test_step_scores_are_kept_with_the_scores(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        inner = Words()
        scorer = CachedScorer(inner, cache)
        assert isinstance(scorer, CachedStepScorer)
        assert isinstance(scorer, StepScorer)
        found = scorer.score_steps(rows("aa b", "ccc", "aa b"))
        again = asyncio.run(scorer.ascore_steps(rows("aa b", "ccc", "aa b")))
        for scores, steps in (found, again):
            assert scores.tolist() == [4, 3, 4]
            assert [step.tolist() for step in steps] == [[2, 1], [3], [2, 1]]
        assert scorer.score(rows("ccc")).tolist() == [3]
        assert len(inner.asked) == 1


def test_what_has_no_identity_is_refused_with_the_reason(tmp_path: Path) -> None:
    for part in (ColumnScorer("rm"), ColumnVerifier("label")):
        wrap = CachedScorer if isinstance(part, Scorer) else CachedVerifier
        with pytest.raises(InputError, match=r"has no identity .*mistaken for one of another model"):
            wrap(part)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["problem", "messages", "reference", "response", "finished", "steps"])
def test_every_field_that_can_decide_a_result_is_part_of_the_key(field: str) -> None:
    key, (row,) = RolloutKey("score", "m"), rows("a")
    other = {"messages": ({"role": "user", "content": "q"},), "finished": False, "steps": ("a",)}.get(field, "other")
    assert key(row) != key(dataclasses.replace(row, **{field: other}))
    assert key(row) == key(dataclasses.replace(row, prompt_id="other", extra={"x": 1}))


@given(values, values)
def test_two_values_have_one_digest_only_if_they_are_equal_in_type_and_content(one: object, other: object) -> None:
    same = repr(one) == repr(other) or (
        isinstance(one, dict)
        and isinstance(other, dict)
        and repr(sorted(one.items(), key=repr)) == repr(sorted(other.items(), key=repr))
    )
    if same:
        assert digest(one) == digest(other)
    elif type(one) is not type(other) or one != other:
        assert digest(one) != digest(other)


def test_text_cannot_be_moved_from_one_field_to_the_next() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("1") != digest(1) != digest(True)
    assert digest(["a"], "b") != digest(["a", "b"])
    assert digest("\ud800\udc00") != digest("\U00010000")


def test_a_row_of_which_no_key_can_be_made_is_computed_every_time(tmp_path: Path) -> None:
    odd = rows("a", "a", reference=object())
    with Cache(tmp_path / "c") as cache:
        inner = Lengths()
        scorer = CachedScorer(inner, cache)
        assert scorer.score(odd).tolist() == [1, 1]
        assert scorer.score(odd).tolist() == [1, 1]
        assert [len(asked) for asked in inner.asked] == [2, 2]
        assert cache.stats().rows == 0


def test_sync_and_async_give_the_same(tmp_path: Path) -> None:
    batch = rows("bb", "a", "bb", "")
    with Cache(tmp_path / "c") as cache:
        cold = asyncio.run(CachedScorer(Lengths(), cache).ascore(batch))
        warm = CachedScorer(Lengths(), cache).score(batch)
        assert np.array_equal(cold, warm, equal_nan=True)
        assert asyncio.run(CachedVerifier(Moody(), cache).averify(batch)) == Moody().verify(batch)


def test_tasks_that_ask_the_same_at_once_share_one_computation(tmp_path: Path) -> None:
    inner = Lengths()
    scorer = CachedScorer(inner, Cache(tmp_path / "c"))

    async def scenario() -> list[list[float]]:
        batches = [rows("a", "bb"), rows("bb", "ccc"), rows("a", "ccc")]
        return [found.tolist() for found in await asyncio.gather(*(scorer.ascore(batch) for batch in batches))]

    assert asyncio.run(scenario()) == [[1, 2], [2, 3], [1, 3]]
    assert sorted(row.response for asked in inner.asked for row in asked) == ["a", "bb", "ccc"]
    assert scorer.stats.shared == 3


def test_threads_that_ask_the_same_at_once_share_one_computation() -> None:
    class Slow(Lengths):
        async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
            started.set()
            await in_thread(go_on.wait, 20)
            return await super().ascore(rollouts)

    inner, started, go_on, found = Slow(), threading.Event(), threading.Event(), []
    scorer = CachedScorer(inner)
    first = threading.Thread(target=lambda: found.append(scorer.score(rows("a", "bb")).tolist()))
    first.start()
    assert started.wait(20)
    second = threading.Thread(target=lambda: found.append(scorer.score(rows("bb", "a")).tolist()))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    go_on.set()
    first.join()
    second.join()
    assert sorted(found) == [[1, 2], [2, 1]]
    assert len(inner.asked) == 1


def test_who_waits_for_a_cancelled_task_computes_for_himself() -> None:
    inner = Lengths()
    scorer = CachedScorer(inner)

    async def scenario() -> tuple[list[float], bool]:
        first = asyncio.ensure_future(scorer.ascore(rows("a")))
        second = asyncio.ensure_future(scorer.ascore(rows("a", "bb")))
        third = asyncio.ensure_future(scorer.ascore(rows("a")))
        await asyncio.sleep(0.01)
        third.cancel()  # one who waits takes nobody with him
        first.cancel()
        return (await second).tolist(), first.cancelled() and third.cancelled()

    assert asyncio.run(scenario()) == ([1, 2], True)
    assert scorer.score(rows("a")).tolist() == [1]


def test_an_error_reaches_the_caller_and_blocks_nobody_afterwards() -> None:
    class Broken(Lengths):
        broken = True

        async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
            if self.broken:
                raise OSError("no such model")
            return await super().ascore(rollouts)

    inner = Broken()
    scorer = CachedScorer(inner)
    with pytest.raises(OSError, match="no such model"):
        scorer.score(rows("a"))
    inner.broken = False
    assert scorer.score(rows("a")).tolist() == [1]


def test_a_blocking_call_inside_a_running_loop_does_not_wait_for_its_tasks() -> None:
    scorer = CachedScorer(Lengths())

    async def scenario() -> tuple[list[float], list[float]]:
        task = asyncio.ensure_future(scorer.ascore(rows("a")))
        await asyncio.sleep(0.01)
        return scorer.score(rows("a")).tolist(), (await task).tolist()

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == ([1], [1])


def test_a_stored_value_that_cannot_be_read_is_computed_again(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        scorer, (row,) = CachedScorer(Lengths(), cache), rows("a")
        key = RolloutKey("score", "lengths-1")(row)
        assert key is not None
        for unreadable in (b"odd", np.array([np.inf]).tobytes()):
            cache.put_many({key: unreadable})
            assert scorer.score([row]).tolist() == [1]
            assert cache.get_many([key]) == {key: np.array([1.0]).tobytes()}


def test_pickling_and_closing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    inner = Words()
    scorer, verifier = CachedScorer(inner, cache), CachedVerifier(ExactVerifier(), cache)
    scorer.score(rows("a"))
    copy, verifier_copy = pickle.loads(pickle.dumps((scorer, verifier)))
    assert copy.score(rows("a")).tolist() == [1]
    assert copy.stats.stored == 1
    assert verifier_copy.verify(rows("r"))[0].label == "correct"
    scorer.close()
    scorer.close()
    assert inner.closed == 2
    assert cache.get_many([]) == {}
    for part in (cache, copy.cache, verifier_copy.cache):
        part.close()


def test_identities_tell_apart_what_judges_differently() -> None:
    with MathVerifier(workers=1) as one, MathVerifier(workers=2) as two:
        assert one.identity == two.identity
    others = [
        MathVerifier(policy="strict"), MathVerifier(deadline_s=1), MathVerifier(use_problem=False), MathVerifyVerifier(),
        MathVerifyVerifier(deadline_s=1), ExactVerifier(), HendrycksVerifier(),
    ]  # fmt: skip
    identities = {one.identity, *(other.identity for other in others)}
    assert len(identities) == 8
    assert all("hero-rl=" in identity for identity in identities)
    assert "antlr4-python3-runtime=" in one.identity
    for other in others:
        other.close()


def test_a_warm_read_of_thousands_of_rows_costs_little(tmp_path: Path) -> None:
    import time

    batch = rows(*(f"{i} " * 200 for i in range(4000)))
    with Cache(tmp_path / "c") as cache:
        scorer = CachedScorer(Lengths(), cache)
        scorer.score(batch)
        started = time.process_time()
        scorer.score(batch)
        assert time.process_time() - started < 2.0  # measured: 0.07; a query for each row takes longer
        assert scorer.stats.hit_rate == 0.5
