"""The verifier ``reasoning-gym``: each task is judged by the scorer of the package that made it (reasoning-gym on PyPI)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hero_rl.cache import code_identity
from hero_rl.errors import InputError, require
from hero_rl.sandbox import Outcome, SandboxSettings, Seconds, Workers
from hero_rl.types import Rollout, Verdict, read_column
from hero_rl.verifiers.boxes import last_boxed
from hero_rl.verifiers.sandboxed import SandboxedVerifier, without_value

COLUMN = "reasoning_gym"
"""The task's metadata as JSON text, which the scorer needs; ``hero data prepare reasoning-gym:NAME`` writes it."""
MAX_ANSWER_CHARS = 100_000
_SCORE = "hero_rl.verifiers.gym:score"
_WARM_UP = "hero_rl.verifiers.gym:warm_up"


class GymVerifier(SandboxedVerifier):
    r"""Correct where the scorer of the task's data set gives at least ``threshold``.

    Scores are graded in [0, 1]: a part of the marks for a part of the answer, 0.01 for trying. Full marks are the default,
    because a verdict anchors the bands of the rule, and a policy soon finds what earns half of them. The answer is what stands
    in the last ``<answer>`` tags, else in the last ``\boxed{}``, else the whole response.

    Args:
        threshold: the score from which on a response is correct.
        deadline_s: seconds of CPU time for one response.
        workers: worker processes; None: one per CPU.

    Raises:
        InputError: a threshold outside (0, 1].
        MissingDependencyError: reasoning-gym is not installed.
    """

    name = "reasoning-gym"
    columns = (COLUMN,)

    def __init__(self, *, threshold: float = 1.0, deadline_s: Seconds = 10.0, workers: Workers = None):
        if not 0.0 < threshold <= 1.0:
            raise InputError(f"threshold={threshold!r} must lie in (0, 1]; it is the score from which on a response is correct")
        require("reasoning_gym", extra="gym", purpose="the verifier 'reasoning-gym'")
        self.threshold = threshold
        self._open(SandboxSettings(workers=workers, deadline_s=deadline_s, warm_up=(_WARM_UP,)), threshold=threshold)

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict."""
        code = code_identity("gym.py", "boxes.py", packages=("reasoning-gym",))
        return f"reasoning-gym(threshold={self.threshold}, deadline_s={float(self.deadline_s)}, {code})"

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in order.

        Raises:
            InputError: a row lacks the column ``reasoning_gym``.
        """
        calls = [
            (rollout.problem, rollout.reference, _text(read_column(rollout, COLUMN, "verifier 'reasoning-gym'")),
             find_answer(str(rollout.response or "")))
            for rollout in rollouts
        ]  # fmt: skip
        return [self._verdict(outcome) for outcome in await self._sandbox.run(_SCORE, calls)]

    def _verdict(self, outcome: Outcome) -> Verdict:
        if outcome.kind != "value":
            return without_value(outcome)
        if not isinstance(outcome.value, float):
            return Verdict("abstain", "no_scorer", detail=str(outcome.value))
        correct = outcome.value >= self.threshold
        return Verdict("correct" if correct else "incorrect", "scored", detail=f"{outcome.value:g}")


def find_answer(response: str) -> str:
    """Return the text of the last ``<answer>`` tags, of the last box, or all of a response without either."""
    _, opened, rest = response.rpartition("<answer>")
    if opened:
        return rest.partition("</answer>")[0].strip()
    boxed = last_boxed(response)
    return (response[-MAX_ANSWER_CHARS:] if boxed is None else boxed).strip()


def score(question: str, answer: str, metadata: str, given: str) -> float | str:
    """Return the score of one answer, or why the task has no scorer. Runs in a worker.

    A scorer that raises on an answer cannot read it: 0, if it gives the task's own answer full marks.
    """
    import reasoning_gym

    try:
        found = json.loads(metadata)
        scorer: Any = reasoning_gym.get_score_answer_fn(found["source_dataset"])
        entry = {"question": question, "answer": answer, "metadata": found}
        try:
            return float(scorer(given, entry))
        except Exception as error:  # noqa: BLE001  # prime_factorization raises on all that is no list of numbers
            return 0.0 if scorer(answer, entry) == 1.0 else f"the scorer raised {error!r}"
    except Exception as error:  # noqa: BLE001  # whatever a scorer does with metadata that is not its own
        return f"column {COLUMN!r} holds no metadata of a task of this version of reasoning-gym: {error!r}"


def warm_up() -> None:
    """Import the package, which takes seconds."""
    import reasoning_gym  # noqa: F401


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, Mapping) else str(value)
