"""What every scorer and every verifier promises, each promise once: ``PROMISES`` are functions of a ``Case``.

A scorer gives numbers and a verifier verdicts; both give one value a rollout, in order, that nothing but the rollout decides.
"""

from __future__ import annotations

import asyncio
import math
import pickle
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from helpers.servers import Faults, Server
from hero_rl.errors import HeroError
from hero_rl.types import Rollout, Scorer, Verdict, Verifier

Subject: TypeAlias = Scorer | Verifier
Value: TypeAlias = float | Verdict

ROWS = 8
HURRIED_S = 0.4
BOUND_S = 60.0
"""Far above what anything here takes on a busy machine; a hang is longer."""
ODD = (
    "", " ", "\x00", "\ud800", "a\udfffb", "\u202e)1(\u202c", "فارسی ٣", "🧮👩\u200d👩\u200d👧", "\u200b\u200d\ufeff4\u2060",
    "e\u0301" * 40, "\r\n\u2028\x85", "<eos><pad></s><|im_end|>", "{problem}{{}}%s", "\\boxed{", "}}}{{{", "$$\\frac{", "NaN",
    "null", "𝟙𝟚½", "\x1b[31m\x07",
)  # fmt: skip
"""Short texts that something on the way may stumble over: no scalar value, no character, no direction, no width."""
HUGE = 1_000_000


def is_missing(value: Value) -> bool:
    """NaN, or an abstention or a verdict that is marked as failed; both have a reason."""
    return value.failed or value.label == "abstain" if isinstance(value, Verdict) else math.isnan(value)


@dataclass(kw_only=True)
class Case:
    """One kind of scorer or verifier, and what a test has to know of it."""

    make: Callable[[], Subject]
    """A new object; equal to the others that this made."""
    row: Callable[[int], Rollout]
    """A rollout that is judged without trouble, another for another number; not all of ``ROWS`` get the same value."""
    bad: Rollout | None = None
    """A rollout that this cannot judge, and says so as ``says_so`` knows."""
    says_so: Callable[[Value], bool] = is_missing
    others: Sequence[Callable[[], Subject]] = ()
    """Of other identities. None of them: it has no identity."""
    expected: Callable[[Rollout], Value] | None = None
    tolerance: float = 0.0
    server: Server | None = None
    """Whose faults can be switched on."""
    hurried: Callable[[], Subject] | None = None
    """As ``make``, but each request is tried once and for ``HURRIED_S``."""
    seen: list[Subject] = field(default_factory=list)

    @property
    def subject(self) -> Subject:
        """The object that all promises share, for some start processes or load a model."""
        if not self.seen:
            self.seen.append(self.make())
        return self.seen[0]

    def rows(self, count: int = ROWS) -> list[Rollout]:
        return [self.row(number) for number in range(count)]

    def check(self, found: Sequence[Value], expected: Sequence[Value]) -> None:
        """Equal one by one, numbers up to the tolerance."""
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            if isinstance(one, float) and isinstance(other, float):
                assert math.isclose(one, other, abs_tol=self.tolerance, rel_tol=0.0) or (math.isnan(one) and math.isnan(other))
            else:
                assert one == other


def ask(subject: Subject, rows: Sequence[Rollout]) -> list[Value]:
    """The values of ``rows``, whose types are right."""
    return _values(subject.score(rows) if isinstance(subject, Scorer) else subject.verify(rows))


async def aask(subject: Subject, rows: Sequence[Rollout]) -> list[Value]:
    """As ``ask``, by the other method."""
    return _values(await (subject.ascore(rows) if isinstance(subject, Scorer) else subject.averify(rows)))


def _values(found: object) -> list[Value]:
    if isinstance(found, np.ndarray):
        assert (found.dtype, found.ndim) == (np.float64, 1)
        assert not np.isinf(found).any()
        return [float(score) for score in found]
    assert isinstance(found, list)
    for one in found:
        assert isinstance(one, Verdict)
        assert one.label in ("correct", "incorrect", "abstain")
        assert one.reason
        assert one.reason == one.reason.lower().replace(" ", "_")
    return list(found)


def order_duplicates_and_company_change_nothing(case: Case) -> None:
    rows = case.rows()
    values = ask(case.subject, rows)
    assert len(set(map(str, values))) > 1, "a constant proves nothing"
    if case.expected is not None:
        case.check(values, [case.expected(row) for row in rows])
    case.check([ask(case.subject, [row])[0] for row in rows[:3]], values[:3])
    places = [*np.random.default_rng(0).permutation(ROWS).tolist(), 0, 0, ROWS - 1]
    case.check(ask(case.subject, [rows[place] for place in places]), [values[place] for place in places])
    case.check(ask(case.subject, tuple(rows)), values)


def no_rollouts_give_no_values(case: Case) -> None:
    for subject in (case.subject, *(() if case.seen else (case.make(),))):
        assert ask(subject, []) == []
        assert asyncio.run(aask(subject, [])) == []


def tasks_loops_and_threads_at_once_give_what_one_by_one_gives(case: Case) -> None:
    rows, subject = case.rows(), case.subject
    values = ask(subject, rows)
    orders = [np.random.default_rng(seed).permutation(ROWS).tolist() for seed in range(4)]

    async def tasks() -> None:
        found = await asyncio.gather(*(aask(subject, [rows[place] for place in order]) for order in orders))
        for order, one in zip(orders, found, strict=True):
            case.check(one, [values[place] for place in order])
        case.check(ask(subject, rows), values)  # as in a notebook, whose loop is running

    with ThreadPoolExecutor(4) as threads:
        loops = [threads.submit(asyncio.run, tasks()) for _ in range(2)]
        plain = [threads.submit(ask, subject, [rows[place] for place in order]) for order in orders]
        for order, one in zip(orders, plain, strict=True):
            case.check(one.result(BOUND_S), [values[place] for place in order])
        for one in loops:
            one.result(BOUND_S)


def odd_text_gets_a_value_of_its_own_and_touches_no_other(case: Case) -> None:
    rows = case.rows(4)
    values = ask(case.subject, rows)
    odd = [replace(rows[0], response=text) for text in ODD]
    odd += [replace(rows[1], response=f"so \\boxed{{{text}}}", prompt_id="boxed") for text in ODD]
    odd += [replace(rows[0], problem=text, reference=text, prompt_id="odd") for text in ODD]
    started = time.monotonic()
    found = ask(case.subject, [*odd, *rows])
    assert time.monotonic() - started < BOUND_S
    case.check(found[len(odd) :], values)
    case.check([ask(case.subject, [row])[0] for row in odd[::7]], found[: len(odd) : 7])
    case.check(asyncio.run(aask(case.subject, odd[::-1])), found[: len(odd)][::-1])


def huge_text_ends_in_time_and_touches_no_other(case: Case) -> None:
    rows = case.rows(3)
    values = ask(case.subject, rows)
    response = "ab 12. " * (HUGE // 14) + "\\boxed{" + "1+" * (HUGE // 4) + "1}"
    huge = [replace(rows[0], response=response), replace(rows[1], problem="{" * (HUGE // 10), reference="\u200d" * HUGE)]
    started = time.monotonic()
    found = ask(case.subject, [rows[0], *huge, *rows[1:]])
    assert time.monotonic() - started < BOUND_S
    case.check([found[0], *found[-2:]], values)


def one_bad_row_costs_one_row(case: Case) -> None:
    assert case.bad is not None
    rows = case.rows()
    values = ask(case.subject, rows)
    middle = ROWS // 2
    for found in (
        ask(case.subject, [*rows[:middle], case.bad, *rows[middle:]]),
        asyncio.run(aask(case.subject, [*rows[:middle], case.bad, *rows[middle:]])),
    ):
        assert case.says_so(found[middle])
        case.check(found[:middle] + found[middle + 1 :], values)
    assert case.says_so(ask(case.subject, [case.bad])[0])


def a_cancelled_call_takes_nothing_along(case: Case) -> None:
    """Neither the object nor a task that waits for the same rows."""
    rows = [replace(row, response=f"now {row.response}") for row in case.rows()]  # not what a cache has

    async def cancel() -> list[Value]:
        first, second = (asyncio.create_task(aask(case.subject, rows)) for _ in range(2))
        await asyncio.sleep(0.05)
        assert not (case.server and first.done()), "the server is slow"
        first.cancel()
        await asyncio.wait([first], timeout=BOUND_S)
        assert first.cancelled() or not case.server
        return await second

    ask(case.subject, case.rows(1))
    if case.server:
        case.server.faults.slow_s = 0.3
    try:
        found = asyncio.run(cancel())
    finally:
        if case.server:
            case.server.faults.slow_s = 0.0
    case.check(found, ask(case.subject, rows))
    if case.expected is not None:
        case.check(found, [case.expected(row) for row in rows])


def a_pickled_copy_gives_the_same(case: Case) -> None:
    rows = case.rows()
    values = ask(case.subject, rows)
    fresh = case.make()
    copies = [pickle.loads(pickle.dumps(one)) for one in (case.subject, fresh)]
    fresh.close()
    try:
        for copy in copies:
            assert (type(copy), copy.name, _identity(copy)) == (type(fresh), fresh.name, _identity(fresh))
        case.check(ask(copies[0], rows), values)
        case.check(asyncio.run(aask(copies[0], rows)), values)
    finally:
        for copy in copies:
            copy.close()


def the_identity_is_that_of_equals_and_of_no_other(case: Case) -> None:
    identity = _identity(case.subject)
    if not case.others:
        assert identity is None
        return
    assert isinstance(identity, str)
    assert identity
    made = [case.make(), *(other() for other in case.others)]
    try:
        assert _identity(made[0]) == identity
        ask(case.subject, case.rows(2))
        assert _identity(case.subject) == identity, "use does not change it"
        assert len({_identity(one) for one in made}) == len(made)
    finally:
        for one in made:
            one.close()


def close_may_come_at_any_time_and_twice(case: Case) -> None:
    """What is closed then either works again or says that it is closed."""
    fresh = case.make()
    fresh.close()
    fresh.close()
    rows = case.rows(2)
    try:
        found = ask(fresh, rows)
    except HeroError as error:
        assert "closed" in str(error)  # noqa: PT017  # the other way to keep the promise
        found = None
    if found is not None:
        case.check(found, ask(case.subject, rows))
    fresh.close()


def it_is_what_the_protocol_asks_for(case: Case) -> None:
    assert isinstance(case.subject, Scorer) != isinstance(case.subject, Verifier)
    assert isinstance(case.subject.name, str)
    assert case.subject.name


def _identity(subject: Subject) -> str | None:
    try:
        return subject.identity
    except HeroError:
        return None


PROMISES: tuple[Callable[[Case], None], ...] = (
    it_is_what_the_protocol_asks_for,
    no_rollouts_give_no_values,
    order_duplicates_and_company_change_nothing,
    tasks_loops_and_threads_at_once_give_what_one_by_one_gives,
    odd_text_gets_a_value_of_its_own_and_touches_no_other,
    huge_text_ends_in_time_and_touches_no_other,
    one_bad_row_costs_one_row,
    a_cancelled_call_takes_nothing_along,
    a_pickled_copy_gives_the_same,
    the_identity_is_that_of_equals_and_of_no_other,
    close_may_come_at_any_time_and_twice,
)

LASTING = {
    "slow": Faults(slow_s=4 * HURRIED_S),
    "server error": Faults(fail_times=10_000),
    "rate limit": Faults(rate_limit_times=10_000),
    "dropped": Faults(drop_times=10_000),
    "wrong shape": Faults(reply="wrong_shape"),
    "no JSON": Faults(reply="html"),
}
"""Faults under which no row has a value."""
SCORES_ONLY = {reply: Faults(reply=reply) for reply in ("nan", "inf", "null", "text", "bool", "short")}


def a_lasting_fault_gives_no_value_and_passes(case: Case, faults: Faults) -> None:
    """Missing, in time, by both methods; and the right values as soon as it is over, so nothing of it was kept."""
    assert case.server is not None
    assert case.hurried is not None
    rows = [replace(row, problem=f"{row.problem} {id(faults)}") for row in case.rows(ROWS + 1)]  # not what a cache has
    subject = case.hurried()
    _once_well(subject, [rows.pop()])  # past the self-test
    case.server.faults = replace(faults)
    started = time.monotonic()
    try:
        found = [*ask(subject, rows), *asyncio.run(aask(subject, rows))]
    finally:
        case.server.faults = Faults()
    assert time.monotonic() - started < BOUND_S / 2
    assert all(is_missing(value) for value in found)
    assert all(value.failed for value in found if isinstance(value, Verdict)), "a failure that is counted as one"
    values = _once_well(subject, rows)
    subject.close()
    if case.expected is not None:
        case.check(values, [case.expected(row) for row in rows])


def _once_well(subject: Subject, rows: Sequence[Rollout]) -> list[Value]:
    """The values as soon as none is missing: on a busy machine a healthy server may miss ``HURRIED_S``, too."""
    end = time.monotonic() + BOUND_S
    while True:
        with suppress(HeroError):
            values = ask(subject, rows)
            if not any(is_missing(value) for value in values):
                return values
        assert time.monotonic() < end, "it does not recover"


def a_passing_fault_costs_nothing(case: Case) -> None:
    assert case.server is not None
    rows = [replace(row, problem=f"{row.problem} passing") for row in case.rows()]
    ask(case.subject, case.rows(1))
    case.server.faults = Faults(fail_times=1, drop_times=1, rate_limit_times=1, retry_after="0.05")
    try:
        found = ask(case.subject, rows)
    finally:
        case.server.faults = Faults()
    case.check(found, ask(case.subject, rows))
    assert not any(is_missing(value) for value in found)
