"""The real packages of other trainers, in a folder of their own because their requirements conflict with ours; and rollouts."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from helpers import tiny
from hero_rl.pipeline import Batch, HybridReward
from hero_rl.rewards import hero
from hero_rl.types import Rollout

FOLDER = Path(__file__).parents[2] / ".adapters"
GROUP = 8


class _Nothing:
    """Any name of an absent package; as a decorator it leaves a class as it is."""

    def __new__(cls, *arguments: object) -> object:
        return arguments[0] if arguments and isinstance(arguments[0], type) else super().__new__(cls)


class _Absent(ModuleType):
    __path__: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # some ask for it to see what is installed

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


@contextmanager
def packages(*absent: str, bare: tuple[str, ...] = ()) -> Iterator[None]:
    """Make the installed trainers importable for a block.

    ``absent`` are modules that do not install on a CPU: what is imported from them is there, and can do nothing. ``bare`` are
    packages whose ``__init__`` is not run, so that a module of theirs can be imported without all that the others ask for.
    """
    if not FOLDER.is_dir():
        pytest.skip("needs the packages of other trainers: make test-adapters")
    before = dict(sys.modules)
    sys.path.append(str(FOLDER))
    sys.modules.update({name: _Absent(name) for name in absent})
    for name in bare:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [str(FOLDER.joinpath(*name.split(".")))]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name in (*absent, *bare) or (name not in before and file and file.startswith(str(FOLDER))):
                del sys.modules[name]
        sys.modules.update({name: before[name] for name in (*absent, *bare) if name in before})


def reward() -> HybridReward:
    return HybridReward(tiny.Letters(), tiny.Characters(), hero(alpha=0.1, beta=0.1))


def groups(count: int = 4) -> list[list[Rollout]]:
    """Random letters, as an untrained policy samples them."""
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), (count, GROUP, 6))
    return [
        [
            Rollout(prompt_id=f"p{place}", problem=f"{place}+{place}=?", reference=str(2 * place), response="".join(row))
            for row in group
        ]
        for place, group in enumerate(letters)
    ]


def wanted(rollouts: list[list[Rollout]]) -> list[Batch]:
    """HERO's own results, where each group is a batch."""
    judge = reward()
    batches = [judge.batch(group) for group in rollouts]
    assert all(np.abs(batch.advantages).max() > 0.1 for batch in batches)
    kinds = {str(verdict) for batch in batches for verdict in batch.signals.verdicts}
    assert kinds == {"0.0", "1.0", "nan"} or len(rollouts) < 4
    return batches


class Sampler:
    """Hands out the responses of each problem in their order, as an engine would return them."""

    def __init__(self, rollouts: list[list[Rollout]]) -> None:
        self.left = {group[0].problem: [one.response for one in group] for group in rollouts}
        self.tokenizer = tiny.tokenizer()

    async def sample(self, prompt: str) -> list[int]:
        """The token ids, the last of which ends the sequence."""
        problem = next(problem for problem in self.left if problem in prompt)
        response = self.left[problem].pop(0)
        await asyncio.sleep(0)
        return [*self.tokenizer.encode(response), self.tokenizer.eos_token_id]
