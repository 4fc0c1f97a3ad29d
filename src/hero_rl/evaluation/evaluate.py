"""One evaluation: sample and grade with inspect_ai, count, write."""

from __future__ import annotations

import json
import platform
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from hero_rl.errors import SignalError
from hero_rl.evaluation.benchmarks import Problem, ProblemSet
from hero_rl.evaluation.metrics import group_answers
from hero_rl.evaluation.page import ROLLOUTS, Example, write_page
from hero_rl.evaluation.plan import Plan, Planned
from hero_rl.evaluation.results import BenchmarkResult, Counts, ProblemResult, Results, measure, write_results
from hero_rl.evaluation.run import prepare_folder, sample_and_grade
from hero_rl.evaluation.tasks import FIELD, response_text, verdict_of
from hero_rl.files import replacing
from hero_rl.imports import installed_versions
from hero_rl.types import Progress, Verdict

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import Model

PACKAGES = ("hero-rl", "inspect-ai", "torch", "transformers", "numpy", "math-verify", "openai")
CUT_OFF = ("max_tokens", "model_length")
MAX_ERROR_CHARS = 300
EXAMPLES = 12
"""Responses on the page, of problems drawn by a hash: those that come first in a benchmark are often of one kind."""
_VALUES = {"correct": 1, "incorrect": 0}


class Collected(NamedTuple):
    """The contents of the logs."""

    results: Results
    examples: Sequence[Example]


def evaluate(
    folder: Path, plan: Plan, model: Model, *, resume: bool, max_failure_rate: float, progress: Progress, command: str
) -> Collected:
    """Run an evaluation, write its files into ``folder`` (see ``run``) and return what was found.

    ``max_failure_rate`` is the largest share of a benchmark's responses that may be missing, or that the verifier may break on;
    ``progress`` is called with the benchmark, the responses done and their total; ``command`` goes into the page's footer.

    Raises:
        InputError: the folder cannot be used, or holds another evaluation.
        SignalError: too many responses failed, or the verifier broke on too many. Finished responses are kept.
    """
    prepare_folder(folder, plan, resume=resume)
    logs = sample_and_grade(folder, plan, model, progress)
    found = collect(folder, plan, logs, max_failure_rate=max_failure_rate)
    write_page(folder, found.results, found.examples, command=command)
    # last: where it is, the evaluation is complete
    write_results(folder, found.results)
    return found


def collect(folder: Path, plan: Plan, logs: Sequence[EvalLog], *, max_failure_rate: float) -> Collected:
    """Write ``rollouts.jsonl`` from the headers of inspect_ai's logs and return the results.

    Raises:
        SignalError: too many responses failed; the others are in ``rollouts.jsonl`` and in the logs.
    """
    places = {log.eval.task: log.location for log in logs}
    benchmarks: dict[str, BenchmarkResult] = {}
    examples: list[Example] = []
    with replacing(folder / ROLLOUTS) as partial, partial.open("w", encoding="utf-8") as file:
        for planned in plan.benchmarks:
            name = planned.problems.name
            benchmarks[name], noted = _read_log(places[name], planned, file)
            examples += noted
    for planned in plan.benchmarks:
        _check(planned, benchmarks[planned.problems.name].counts, max_failure_rate)
    settings = plan.settings()
    shared = {name: settings[name] for name in ("prompt", "sampling", "fingerprint")}
    return Collected(Results(model=plan.model, settings=shared, benchmarks=benchmarks, facts=_facts(plan)), examples)


def _read_log(place: str, planned: Planned, file: TextIO) -> tuple[BenchmarkResult, list[Example]]:
    problems = planned.problems
    found: list[ProblemResult] = []
    examples: list[Example] = []
    errors: list[str] = []
    judged: list[Verdict] = []
    cut_off = tokens = 0
    for problem, samples in _by_problem(place, problems, planned.samples):
        verdicts, responses = list[Verdict](), list[str]()
        for sample in samples:
            graded = _metadata(sample)
            verdict = verdict_of(graded)
            if sample is None or sample.error is not None or verdict is None:
                errors.append(_error(sample))
                continue
            row = _row(problems.name, problem, sample, verdict) | {"reference": graded["reference"]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            verdicts.append(verdict)
            responses.append(row["response"])
            cut_off += row["finished"] is False
            tokens += row["tokens"] or 0
        values = tuple(_VALUES.get(verdict.label) for verdict in verdicts)
        found.append(ProblemResult(problem.id, values, tuple(group_answers(responses))))
        judged += verdicts
        examples += _worth_reading(problems.name, problem, verdicts, responses)
        examples = sorted(examples, key=lambda one: zlib.crc32(one.where.encode("utf-8", "surrogatepass")))[:EXAMPLES]
    counts = Counts(
        responses=len(judged), abstained=sum(one.label == "abstain" for one in judged),
        grader_failed=sum(one.failed for one in judged), failed=len(errors), cut_off=cut_off,
        mean_tokens=tokens / max(1, len(judged)), first_error=next(iter(errors), ""),
    )  # fmt: skip
    title = problems.benchmark.title if problems.benchmark.path else problems.name
    result = BenchmarkResult(
        name=problems.name, title=title, settings=planned.settings(), problems=found, counts=counts,
        metrics=measure(found, planned.samples),
    )  # fmt: skip
    return result, examples


def _by_problem(place: str, problems: ProblemSet, epochs: int) -> Iterator[tuple[Problem, list[EvalSample | None]]]:
    """Yield each problem with its responses; None for one that the log does not have."""
    from inspect_ai.log import read_eval_log_sample_summaries, read_eval_log_samples_by_id

    there = {(str(one.id), one.epoch) for one in read_eval_log_sample_summaries(place)}
    for problem in problems.problems:
        wanted = [(problem.id, epoch) for epoch in range(1, epochs + 1) if (problem.id, epoch) in there]
        found = read_eval_log_samples_by_id(
            place, wanted, resolve_attachments="core", exclude_fields={"events", "store", "timelines"}
        )
        by_epoch = {sample.epoch: sample for sample in found}
        yield problem, [by_epoch.get(epoch) for epoch in range(1, epochs + 1)]


def _metadata(sample: EvalSample | None) -> Mapping[str, Any]:
    scores = sample.scores if sample is not None else None
    return (scores[FIELD].metadata if scores and FIELD in scores else None) or {}


def _error(sample: EvalSample | None) -> str:
    if sample is None:
        return "not sampled"
    text = sample.error.message if sample.error is not None else "not graded"
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[0].strip()[:MAX_ERROR_CHARS] if lines else "unknown error"


def _row(name: str, problem: Problem, sample: EvalSample, verdict: Verdict) -> dict[str, Any]:
    finished = {"stop": True, **dict.fromkeys(CUT_OFF, False)}.get(sample.output.stop_reason)
    usage = sample.output.usage
    return {
        "prompt_id": f"{name}/{problem.id}",
        "problem": problem.text,
        "reference": problem.references[0],
        "response": response_text(sample.output),
        "finished": finished,
        "verdict": _VALUES.get(verdict.label),
        "reason": verdict.reason,
        **({"learned": verdict.learned and verdict.label == "correct"} if verdict.learned else {}),
        "benchmark": name,
        "sample": sample.epoch,
        "tokens": usage.output_tokens if usage is not None else None,
        **({"answers": list(problem.references)} if len(problem.references) > 1 else {}),
    }


def _worth_reading(name: str, problem: Problem, verdicts: Sequence[Verdict], responses: Sequence[str]) -> list[Example]:
    """Return the problem's first response that is abstained on, or wrong with an answer."""
    for verdict, response in zip(verdicts, responses, strict=True):
        if verdict.label == "abstain" or (verdict.label == "incorrect" and verdict.reason != "no_answer"):
            why = f"{'no verdict' if verdict.label == 'abstain' else 'incorrect'}: {verdict.reason}"
            return [Example(why, f"{name}/{problem.id}", problem.text, problem.references[0], response)]
    return []


def _check(planned: Planned, counts: Counts, max_failure_rate: float) -> None:
    name, asked = planned.problems.name, len(planned.problems.problems) * planned.samples
    if counts.failed == asked:
        raise SignalError(f"{name}: all {asked} responses failed: {counts.first_error}")
    if counts.failed > max_failure_rate * asked:
        raise SignalError(
            f"{name}: {counts.failed} of {asked} responses failed ({counts.first_error}); the others are kept: --resume "
            "tries these again, --max-failure-rate accepts more"
        )
    if counts.grader_failed > max(1.0, max_failure_rate * asked):
        raise SignalError(
            f"{name}: the grader {planned.grader} broke on {counts.grader_failed} of {asked} responses; the responses are in "
            f"{ROLLOUTS} (hero verify grades them again); --max-failure-rate accepts more"
        )


def _facts(plan: Plan) -> dict[str, Any]:
    return {
        "prompt_source": plan.prompt_source,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": installed_versions(*PACKAGES),
    }
