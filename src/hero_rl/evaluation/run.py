"""One evaluation from its settings to its folder.

settings.json     what was asked for; a resumed run must ask for the same
logs/             inspect_ai's logs: every prompt, response and verdict (`inspect view --log-dir DIR/logs`)
rollouts.jsonl    every response as a rollout, with its verdict: `hero audit`, `hero score` and `hero verify` read it
results.json      the numbers, and the verdicts that `hero eval compare` compares
report.html       the numbers for people, with figures; numbers.json and each figure as a file beside it
view.html         every response to the problems that the page shows a response of
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hero_rl.errors import InputError, SignalError, require
from hero_rl.evaluation.plan import Plan, Planned
from hero_rl.files import check_empty, write_text
from hero_rl.toml_layers import differences
from hero_rl.types import Progress

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog
    from inspect_ai.model import Model

SETTINGS = "settings.json"
LOGS = "logs"


def check_folder(folder: Path, *, resume: bool) -> None:
    """Raise InputError if ``folder`` is not empty or, with ``resume``, if it has no evaluation."""
    if not resume:
        check_empty(folder, "the evaluation", SETTINGS)
    elif not (folder / SETTINGS).is_file():
        raise InputError(f"{folder}: there is no evaluation to resume here (no {SETTINGS}); leave out --resume to start one")


def prepare_folder(folder: Path, plan: Plan, *, resume: bool) -> None:
    """Write ``settings.json``, or check that it is the same; raises as ``check_folder``, or names the settings that differ."""
    check_folder(folder, resume=resume)
    settings = json.loads(json.dumps(plan.settings()))
    path = folder / SETTINGS
    if resume:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); start a new evaluation with another --output") from error
        changed = differences(before, settings)
        if changed:
            raise InputError(
                f"{folder}: what is asked for differs from the evaluation to resume in {', '.join(changed)}; take these back, "
                "or start a new one with --output"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")


def sample_and_grade(folder: Path, plan: Plan, model: Model, progress: Progress) -> list[EvalLog]:
    """Sample and grade what is missing, and return the headers of inspect_ai's logs, one per benchmark.

    Responses that earlier calls completed are kept, those that failed are tried again. A log with failures has the status
    `error` and all other responses.

    Raises:
        SignalError: inspect_ai could not run.
        KeyboardInterrupt: Ctrl-C; what was completed is kept.
    """
    require("inspect_ai", extra="eval", purpose="hero eval")
    from inspect_ai import eval_set

    from hero_rl.evaluation.tasks import make_task

    kept = kept_responses(folder)
    tasks = [make_task(plan, one, _counter(one, kept.get(one.problems.name, 0), progress)) for one in plan.benchmarks]
    with _quiet():
        _, logs = eval_set(
            tasks, log_dir=str(folder / LOGS), model=model, display="none", retry_attempts=0,
            fail_on_error=True, continue_on_fail=True, ctl_server=False, log_dir_allow_dirty=True, log_level="error",
            max_tasks=1, max_connections=plan.concurrency, max_samples=2 * plan.concurrency, max_retries=plan.retries,
            attempt_timeout=max(1, round(plan.timeout_s)), log_model_api=False, score_display=False,
        )  # fmt: skip
    if len(logs) < len(tasks):
        raise KeyboardInterrupt
    broken = next((log for log in logs if log.status != "success" and log.location and not _has_samples(log)), None)
    if broken is not None:
        reason = broken.error.message if broken.error else f"it ended with the status {broken.status!r}"
        raise SignalError(f"{broken.eval.task}: nothing could be sampled: {reason.strip().splitlines()[-1]}")
    return logs


def kept_responses(folder: Path) -> dict[str, int]:
    """Return how many responses per benchmark earlier calls have completed, without those that a crash left in a buffer."""
    if not (folder / LOGS).is_dir():
        return {}
    from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries

    kept: dict[str, int] = {}
    for info in list_eval_logs(str(folder / LOGS)):
        name = read_eval_log(info, header_only=True).eval.task
        done = sum(one.error is None and bool(one.scores) for one in read_eval_log_sample_summaries(info))
        kept[name] = max(kept.get(name, 0), done)
    return kept


def _has_samples(log: EvalLog) -> bool:
    from inspect_ai.log import read_eval_log_sample_summaries

    return bool(read_eval_log_sample_summaries(str(log.location)))


def _counter(planned: Planned, done: int, progress: Progress) -> Callable[[], None]:
    total = len(planned.problems.problems) * planned.samples
    progress(planned.problems.name, done, total)

    def finished() -> None:
        nonlocal done
        done = min(done + 1, total)
        progress(planned.problems.name, done, total)

    return finished


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep inspect_ai off stdout, and silence warnings of libraries: they repeat what the results say."""
    loggers = [logging.getLogger(name) for name in ("inspect_ai", "httpx", "httpx2", "openai", "transformers")]
    root = logging.getLogger()  # inspect_ai sets its level, and so everybody's, to that of its own display
    levels = [logger.level for logger in (*loggers, root)]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(sys.stderr if os.environ.get("HERO_DEBUG") else nowhere),
        ):
            yield
    finally:
        for logger, level in zip((*loggers, root), levels, strict=True):
            logger.setLevel(level)
