"""Tasks of reasoning-gym as problems: made here, without a download, and the same for the same seed."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hero_rl.data.problems import Problem
from hero_rl.errors import InputError, require
from hero_rl.verifiers.gym import score

PREFIX = "reasoning-gym:"
SIZE = 500
"""Tasks of each data set if no limit is given."""


def open_gym(name: str, difficulty: int | None, limit: int | None, seed: int, skipped: Counter[str]) -> Iterator[Problem]:
    """Return the tasks of ``reasoning-gym:NAME[,NAME...]``, in equal numbers; untidied, for a task may be about white space.

    Args:
        name: as above.
        difficulty: the level of each data set's own curriculum, from 0; None: the data set's default settings.
        limit: most tasks, over all data sets.
        seed: of the tasks.
        skipped: counts tasks, and those left out: without an answer of their own, or whose scorer does not accept it once the
            metadata went through JSON.

    Raises:
        InputError: an unknown data set, or no curriculum.
        MissingDependencyError: reasoning-gym is not installed.
    """
    require("reasoning_gym", extra="gym", purpose=name)
    names = [part.strip() for part in name.removeprefix(PREFIX).split(",") if part.strip()]
    made = [_data_set(one, difficulty, -(-(limit or SIZE * len(names)) // len(names)), seed) for one in names]
    if not made:
        raise InputError(f"{name}: names no data set; write {PREFIX}NAME[,NAME...], such as {PREFIX}chain_sum,leg_counting")
    return _tasks(made, skipped)


def _data_set(name: str, difficulty: int | None, size: int, seed: int) -> Any:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS, create_curriculum, has_curriculum

    if name not in DATASETS or name == "composite":
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(DATASETS))}"
        raise InputError(f"{PREFIX}{name}: reasoning-gym has no such data set; {hint}")
    if difficulty is None:
        return reasoning_gym.create_dataset(name, size=size, seed=seed)
    if not has_curriculum(name):
        raise InputError(f"--difficulty {difficulty}: {name!r} has no levels; leave it out")
    curriculum = create_curriculum(name)
    curriculum.set_global_level(difficulty)
    config = curriculum.generate_configuration({"size": size, "seed": seed})
    return DATASETS[name][0](config)


def _tasks(made: list[Any], skipped: Counter[str]) -> Iterator[Problem]:
    for data_set in made:
        for task in data_set:
            skipped["rows"] += 1
            problem = Problem(
                task["question"], (task["answer"],), task["metadata"]["source_dataset"], json.dumps(task["metadata"])
            )
            if not isinstance(task["answer"], str) or not task["answer"]:
                skipped["without a reference"] += 1
            elif score(problem.problem, task["answer"], problem.metadata, task["answer"]) != 1.0:
                skipped["not accepted by its own scorer"] += 1
            else:
                yield problem
