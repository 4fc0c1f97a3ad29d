"""Places are given out in turns by key, within their number."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from hero_rl.turns import Turns


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def run(turns: Turns, keys: list[str]) -> list[str]:
    """The order in which requests under these keys get their places, each held until those before it are through."""
    order: list[str] = []

    async def one(key: str) -> None:
        async with turns.place(key):
            order.append(key)
            await asyncio.sleep(0)

    await asyncio.gather(*map(one, keys))
    return order


def test_many_of_one_key_do_not_come_before_one_of_another() -> None:
    assert asyncio.run(run(Turns(1), list("aaaabc"))) == list("aabcaa")


def test_a_key_that_holds_none_gets_an_extra_place_at_once() -> None:
    async def main() -> tuple[list[bool], int, int]:
        turns = Turns(2, extra=1)
        async with turns.place("a"), turns.place("a"):
            free = [turns.free("a"), turns.free("b")]
            async with turns.place("b"):
                free.append(turns.free("c"))
                waits = asyncio.create_task(run(turns, ["c"]))
                await settle()
                held = turns.held
            await waits
        return free, held, turns.held

    assert asyncio.run(main()) == ([False, True, False], 3, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12), st.integers(1, 3), st.integers(0, 2))
def test_no_place_is_lost_or_given_twice_whoever_leaves(requests: list[tuple[str, bool]], places: int, extra: int) -> None:
    async def main() -> None:
        turns, most, go = Turns(places, extra=extra), 0, asyncio.Event()

        async def one(key: str) -> None:
            nonlocal most
            async with turns.place(key):
                most = max(most, turns.held)
                await go.wait()

        tasks = [(asyncio.create_task(one(key)), leaves) for key, leaves in requests]
        await settle()
        for task, leaves in tasks:
            if leaves:
                task.cancel()
        await settle()
        go.set()
        await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        assert most <= places + extra
        assert (turns.held, turns.waiting) == (0, 0)
        assert turns.free("a")

    asyncio.run(main())


def test_a_request_that_comes_as_another_one_leaves_is_not_forgotten() -> None:
    async def main() -> bool:
        turns, go = Turns(1), asyncio.Event()

        async def one() -> None:
            async with turns.place("a"):
                await go.wait()

        first = asyncio.create_task(one())
        await settle()
        waits = asyncio.create_task(one())
        await settle()
        waits.cancel()
        go.set()  # the place is free, and the next request comes, before the one that was cancelled has left
        later = asyncio.create_task(one())
        await asyncio.wait({later}, timeout=5)
        await asyncio.gather(first, waits, return_exceptions=True)
        return later.done()

    assert asyncio.run(main())


def test_a_place_beyond_the_usual_number_goes_to_a_key_that_holds_none() -> None:
    async def main() -> tuple[int, int]:
        turns, gone, go = Turns(1, extra=1), asyncio.Event(), asyncio.Event()

        async def one(key: str, until: asyncio.Event) -> None:
            async with turns.place(key):
                await until.wait()

        tasks = [asyncio.create_task(one(*each)) for each in (("a", gone), ("b", go), ("b", go), ("c", go))]
        await settle()
        before = turns.held
        gone.set()
        await settle()
        after = turns.held
        go.set()
        await asyncio.gather(*tasks)
        return before, after

    assert asyncio.run(main()) == (2, 2)
