"""A plain function as a verifier, run in the sandbox under a deadline.

Our end sends the function and the rollouts as bytes; ``call`` runs in a worker and sends back verdicts as plain data.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hero_rl.errors import InputError
from hero_rl.imports import import_object, refuse_missing, refuse_settings
from hero_rl.sandbox import Outcome, SandboxSettings, Seconds, Workers
from hero_rl.types import VERDICT_VALUES, Rollout, Verdict, Verifier
from hero_rl.verifiers.sandboxed import SandboxedVerifier, without_value

_log = logging.getLogger(__name__)
DEADLINE_S = 10.0
MEMORY_BYTES = 4 << 30
"""Of one worker: more than the maths verifier needs, for the function may import what it likes."""
_CHECK = "hero_rl.verifiers.function:make_check"
_WARM_UP = "hero_rl.verifiers.function:warm_up"


def as_verifier(verifier: Verifier | Callable[..., Any], **settings: Any) -> Verifier:
    """Return a verifier that calls a function; a verifier as it is.

    Args:
        verifier: ``f(rollout) -> bool | Verdict | None`` (None: abstain), or ``f(rollouts)``, by the name of its first
            parameter, which returns one of these per rollout.
        settings: keyword arguments of the function, and of ``FunctionVerifier``.

    Raises:
        InputError: neither a verifier nor a function.
    """
    if isinstance(verifier, Verifier):
        refuse_settings(f"the verifier {verifier.name!r}", settings)
        return verifier
    if isinstance(verifier, type) or not callable(verifier):
        raise InputError(f"a verifier is a Verifier or a function of a rollout, not {verifier!r}")
    refuse_missing("the verifier", verifier, settings)
    return FunctionVerifier(verifier, **settings)


class FunctionVerifier(SandboxedVerifier):
    """A verifier that asks a function, in worker processes.

    True is correct, False incorrect, None an abstention; a ``Verdict`` stands as it is, and 1 and 0 count as True and False.
    More CPU time or memory than it may use is an abstention, ``too_hard``. An exception, a crash, no answer for five times the
    deadline, and any other result are failed abstentions: counted, and too many raise.
    """

    def __init__(
        self, function: Callable[..., Any], *, deadline_s: Seconds = DEADLINE_S, workers: Workers = None, **settings: Any
    ) -> None:
        """Wrap ``function``.

        Args:
            function: see ``as_verifier``. One of an importable module goes to the workers by name, any other (of a script, a
                notebook, a closure) by value. It may be a coroutine function.
            deadline_s: seconds of CPU time for one call: one rollout, or the batch of a function that takes a batch. One that
                waits for something has five times as long.
            workers: worker processes; None: one per CPU.
            settings: keyword arguments of the function.

        Raises:
            InputError: a function that cannot be sent to a worker.
        """
        self.name = getattr(function, "__name__", type(function).__name__)
        first = next(iter(inspect.signature(function).parameters), "")
        self._warned = False
        self._by_batch = first == "rollouts"
        self._payload = _encoded(function, settings)
        sandbox = SandboxSettings(workers=workers, deadline_s=deadline_s, memory_bytes=MEMORY_BYTES, warm_up=(_WARM_UP,))
        self._open(sandbox, function, **settings)

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in order."""
        if not rollouts:
            return []
        groups = [list(rollouts)] if self._by_batch else [[rollout] for rollout in rollouts]
        calls = [(_bytes(pickle.dumps(group)),) for group in groups]
        outcomes = await self._sandbox.run(_CHECK, calls, shared=(self._payload, self._by_batch))
        broken = next((one for one in outcomes if one.kind != "value"), None)
        if broken is not None and not self._warned:
            self._warned = True
            _log.warning("the verifier %r failed on a rollout: %s", self.name, broken.detail or broken.kind)
        return [verdict for group, outcome in zip(groups, outcomes, strict=True) for verdict in _verdicts(outcome, len(group))]


def _verdicts(outcome: Outcome, rows: int) -> list[Verdict]:
    if outcome.kind != "value":
        return [without_value(outcome)] * rows
    assert isinstance(outcome.value, list)
    found: list[Any] = outcome.value
    return [Verdict(*fields) for fields in found]


def _bytes(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _encoded(function: Callable[..., Any], settings: dict[str, Any]) -> str:
    """Return function and settings as text: by name where a worker can import it, else by value."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<locals>")
    if module in (None, "__main__") or "<" in name or module not in sys.modules:
        import cloudpickle

        try:
            return "value:" + _bytes(cloudpickle.dumps((function, settings)))
        except (TypeError, pickle.PicklingError) as error:
            raise InputError(
                f"the verifier {name!r} cannot be sent to a worker process ({error}); put it into a module, and what it needs "
                "into that module, too"
            ) from error
    return f"name:{module}:{name}:" + _bytes(pickle.dumps(settings))


def make_check(payload: str, by_batch: bool) -> Callable[[str], list[list[Any]]]:
    """Return the check of some rollouts: their verdicts as plain data. Runs in a worker, where the function is imported now."""
    kind, _, rest = payload.partition(":")
    if kind == "value":
        function, settings = pickle.loads(base64.b64decode(rest))
    else:
        module, name, encoded = rest.split(":")
        function, settings = import_object(f"{module}:{name}"), pickle.loads(base64.b64decode(encoded))

    def check(data: str) -> list[list[Any]]:
        rollouts: list[Rollout] = pickle.loads(base64.b64decode(data))
        result = function(rollouts if by_batch else rollouts[0], **settings)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        found = list(result) if by_batch else [result]
        if len(found) != len(rollouts):
            raise ValueError(f"{len(found)} verdicts for {len(rollouts)} rollouts; return one per rollout")
        return [list(_as_verdict(each)) for each in found]

    return check


def warm_up() -> None:
    """Import what a function that is sent by value needs."""
    import cloudpickle  # noqa: F401


async def _awaited(result: Any) -> Any:
    return await result


def _as_verdict(value: Any) -> Verdict:
    if isinstance(value, Verdict):
        if value.label not in VERDICT_VALUES or not isinstance(value.reason, str):
            raise TypeError(f"{value!r:.80} is no verdict: its label is one of {', '.join(VERDICT_VALUES)}, its reason a text")
        return value
    if value is None:
        return Verdict("abstain", "no_verdict")
    if isinstance(value, int | float | np.bool_ | np.integer | np.floating) and value in (0, 1):
        return Verdict("correct", "accepted") if value else Verdict("incorrect", "rejected")
    raise TypeError(f"{value!r} ({type(value).__name__}) is no verdict; return True, False, None or a Verdict")
