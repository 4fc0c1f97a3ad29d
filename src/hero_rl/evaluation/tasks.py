"""A benchmark as a task of inspect_ai: one sample per problem, one epoch per response, a verifier of ours as the scorer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from inspect_ai import Epochs, Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageSystem,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
)
from inspect_ai.scorer import CORRECT, INCORRECT, NOANSWER, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from hero_rl.errors import SignalError
from hero_rl.evaluation.benchmarks import Problem
from hero_rl.evaluation.plan import Plan, Planned
from hero_rl.evaluation.policies import Prompt
from hero_rl.types import Label, Rollout, Verdict, Verifier

FIELD = "verdict"
"""Name of the scorer in inspect_ai's log."""
VALUES = {"correct": CORRECT, "incorrect": INCORRECT, "abstain": NOANSWER}
MAX_SEED = 2**31 - 1
MIN_FAILURES = 16
"""Fewest failures in a row after which the other responses are given up."""


def response_seed(seed: int, problem: str, number: int) -> int:
    """Return the seed of one response, in [0, 2^31 - 1)."""
    digest = hashlib.sha256(f"{seed}/{number}/{problem}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % MAX_SEED


def make_task(plan: Plan, planned: Planned, finished: Callable[[], None]) -> Task:
    """Return the task of one benchmark; ``finished`` is called after each response."""
    problems, sampling = planned.problems, plan.sampling
    return Task(
        name=problems.name,
        dataset=MemoryDataset([_sample(problem, plan.prompt) for problem in problems.problems], name=problems.source),
        solver=sample_response(sampling.seed, give_up_after=max(MIN_FAILURES, plan.concurrency)),
        scorer=graded_by(planned.verifier, finished),
        epochs=Epochs(planned.samples, "mean"),
        config=GenerateConfig(temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens),
        metadata={"prompt_format": plan.prompt.format, "seed": sampling.seed},
    )


def _sample(problem: Problem, prompt: Prompt) -> Sample:
    turns: list[ChatMessage] = [ChatMessageSystem(content=prompt.system)] if prompt.system else []
    return Sample(
        id=problem.id,
        input=[*turns, ChatMessageUser(content=prompt.text(problem.text))],
        target=list(problem.references),
        metadata={"problem": problem.text},
    )


def sample_response(seed: int, *, give_up_after: int) -> Solver:
    """Return a solver that samples one response under a seed of its own.

    After ``give_up_after`` failures in a row the others fail at once: with a server that is gone every response would otherwise
    need all of its tries.
    """
    failures = 0

    # inspect_ai tells runs apart by the arguments of the decorated function, so it has those alone that decide a response
    @solver(name="hero_rl/sample_response")
    def make(seed: int) -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            nonlocal failures
            if failures >= give_up_after:
                raise SignalError(f"not tried, because the {failures} responses before it failed")
            try:
                state = await generate(state, seed=response_seed(seed, str(state.sample_id), state.epoch))
            except Exception:
                failures += 1
                raise
            failures = 0
            return state

        return solve

    return cast(Solver, make(seed=seed))


def graded_by(verifier: Verifier, finished: Callable[[], None]) -> Scorer:
    """Return the verifier as a scorer of inspect_ai: C, I, or N for an abstention, which counts as not correct."""

    @scorer(metrics=[accuracy(), stderr()], name=FIELD)
    def make(grader: str) -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            problem, response = str(state.metadata["problem"]), response_text(state.output)
            rollouts = [Rollout(prompt_id="", problem=problem, reference=one, response=response) for one in target]
            place, verdict = best(await verifier.averify(rollouts))
            finished()
            return Score(
                value=VALUES[verdict.label], answer=verdict.detail.partition(" | ")[0] or None, explanation=verdict.detail,
                metadata={"label": verdict.label, "reason": verdict.reason, "failed": verdict.failed,
                          "learned": verdict.learned, "detail": verdict.detail, "reference": rollouts[place].reference},
            )  # fmt: skip

        return score

    return cast(Scorer, make(grader=verifier.name))


def response_text(output: ModelOutput) -> str:
    """Return the whole response; reasoning, which inspect_ai keeps apart, comes first, as it was written."""
    if output.empty:
        return ""
    content = output.message.content
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if isinstance(part, ContentReasoning | ContentText))


def best(verdicts: Sequence[Verdict]) -> tuple[int, Verdict]:
    """Return place and verdict over several references: correct if one is equal, else an abstention if there is one."""
    order: dict[Label, int] = {"correct": 0, "abstain": 1, "incorrect": 2}
    return min(enumerate(verdicts), key=lambda one: order[one[1].label])


def verdict_of(metadata: Mapping[str, Any] | None) -> Verdict | None:
    """Return the verdict that ``graded_by`` wrote into a score; None without one."""
    if not metadata or "label" not in metadata:
        return None
    return Verdict(
        metadata["label"], str(metadata["reason"]), bool(metadata["failed"]), str(metadata["detail"]), bool(metadata["learned"])
    )
