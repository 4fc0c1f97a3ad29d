"""A plain function as a reward model."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hero_rl.errors import HeroError, InputError, SignalError, clip
from hero_rl.imports import refuse_missing, refuse_settings
from hero_rl.loop import in_thread
from hero_rl.types import FloatArray, Rollout, Scorer

DEADLINE_S = 600.0
_ERRORS = (Exception, SystemExit, KeyboardInterrupt)
"""The last two would end the loop or the thread in which they are raised."""


def as_scorer(scorer: Scorer | Callable[..., Any], **settings: Any) -> Scorer:
    """Return a reward model that calls a function; a reward model as it is.

    Args:
        scorer: ``f(rollouts) -> one number per rollout``; NaN or None where there is no score.
        settings: keyword arguments of the function, and of ``FunctionScorer``.

    Raises:
        InputError: neither a reward model nor a function.
    """
    if isinstance(scorer, Scorer):
        refuse_settings(f"the reward model {scorer.name!r}", settings)
        return scorer
    if isinstance(scorer, type) or not callable(scorer):
        raise InputError(f"a reward model is a Scorer or a function of rollouts, not {scorer!r}")
    refuse_missing("the reward model", scorer, settings)
    return FunctionScorer(scorer, **settings)


class FunctionScorer(Scorer):
    """A reward model that asks a function, in a thread of this process: it may hold a model."""

    def __init__(self, function: Callable[..., Any], *, deadline_s: float = DEADLINE_S, **settings: Any) -> None:
        """Wrap ``function``.

        Args:
            function: see ``as_scorer``; it may be a coroutine function.
            deadline_s: seconds of wall time for one batch; a function that takes longer is an error.
            settings: keyword arguments of the function.

        Raises:
            InputError: a deadline that is not above 0.
        """
        if not deadline_s > 0:
            raise InputError(f"deadline_s={deadline_s!r} must be greater than 0")
        self.name = getattr(function, "__name__", type(function).__name__)
        self.function, self.deadline_s, self.settings = function, deadline_s, settings

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores, shape (B,); NaN where missing.

        Raises:
            SignalError: the function raised, or took too long.
            InputError: it did not return one number per rollout.
        """
        try:
            async with asyncio.timeout(self.deadline_s):
                if _is_coroutine_function(self.function):
                    # on another loop: a function that blocks must not hold up this deadline
                    call = asyncio.run_coroutine_threadsafe(self._await(rollouts), _loop_of(os.getpid()))
                    result = await asyncio.wrap_future(call)
                else:
                    result = await in_thread(self._call, rollouts)
        except TimeoutError:
            raise SignalError(
                f"the reward model {self.name!r} gave no scores for {len(rollouts)} rollouts within {self.deadline_s:g} s "
                "(reward_model.deadline_s)"
            ) from None
        return self._checked(result, rollouts)

    def _call(self, rollouts: Sequence[Rollout]) -> Any:
        try:
            return self.function(list(rollouts), **self.settings)
        except HeroError:
            raise
        except _ERRORS as error:
            raise self._raised(error) from error

    async def _await(self, rollouts: Sequence[Rollout]) -> Any:
        try:
            return await self.function(list(rollouts), **self.settings)
        except HeroError:
            raise
        except _ERRORS as error:
            raise self._raised(error) from error

    def _raised(self, error: BaseException) -> SignalError:
        return SignalError(f"the reward model {self.name!r} raised {type(error).__name__}: {error}")

    def _checked(self, result: Any, rollouts: Sequence[Rollout]) -> FloatArray:
        rows = len(rollouts)
        try:
            values: list[Any] = [result] if isinstance(result, str | bytes | Mapping) else list(result)
            if any(isinstance(one, str | bytes | Mapping) for one in values):
                raise TypeError("no numbers")
            scores = np.array([np.nan if one is None else float(one) for one in values], dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the reward model {self.name!r} gave {result!r:.80}; return one number per rollout") from error
        if scores.shape != (rows,):
            raise InputError(f"the reward model {self.name!r} gave {scores.size} scores for {rows} rollouts; return one each")
        if np.isinf(scores).any():
            place = int(np.flatnonzero(np.isinf(scores))[0])
            raise InputError(
                f"the reward model {self.name!r} gave {scores[place]} for row {place}, a response to prompt "
                f"{clip(rollouts[place].prompt_id)!r}: its score overflowed (float32 ends at 3.4e38) or was divided by 0. "
                "Return a finite score, or NaN where there is none"
            )
        return scores


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


@functools.cache
def _loop_of(process: int) -> asyncio.AbstractEventLoop:
    """Return the loop on which a process runs coroutine functions; connections that they keep open stay usable on it."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=f"hero-function-{process}", daemon=True).start()
    return loop
