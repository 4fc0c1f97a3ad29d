"""Many runs in child processes: a few at a time, one thread each, models first, finished ones never again.

Children come from a fork server that has imported TRL once, because importing it takes a fifth of a run's time. Each child
writes its own result file, so a comparison that is interrupted goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from hero_lab.prepare import Prepared, is_complete, models_of, prepare
from hero_lab.settings import RunSettings
from hero_rl.errors import InputError

EventKind: TypeAlias = Literal["prepared", "preparing", "reused", "started", "progress", "finished", "failed"]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_PRELOAD = ("torch", "trl", "datasets", "transformers.trainer", "hero_lab.run", "hero_rl.engines.trl.trainer")
_LOG_TAIL_LINES = 15


class Event(NamedTuple):
    """Something that happened to a run, or to the models of a seed."""

    kind: EventKind
    run: RunSettings
    """Which run; for ``preparing`` and ``prepared``, the first one that needs the models."""
    data: dict[str, Any]
    """``progress``: a point of the learning curve. ``prepared``: facts of each model. ``finished``
    and ``reused``: the result. ``failed``: ``error``, the last lines that the child wrote."""


class _Job(NamedTuple):
    """One child process and what it is for."""

    run: RunSettings
    is_preparation: bool
    log: Path
    process: ForkServerProcess
    pipe: Connection


def result_path(run: RunSettings, out: Path) -> Path:
    """Where the result of a run is, or will be."""
    return out / "runs" / run.file_name


def read_result(run: RunSettings, out: Path) -> dict[str, Any] | None:
    """The finished result of a run, or None.

    Raises:
        InputError: there is a file of that name that is not the run's result.
    """
    path = result_path(run, out)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["digest"] == run.digest:
            # The label is only a name, and may be another one this time.
            return content | {"settings": content["settings"] | {"label": run.label}}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a result of hero lab ({error}); remove it to run this again") from error
    raise InputError(f"{path} holds the result of another run; remove it to run this again")


def execute(runs: Sequence[RunSettings], *, out: Path, jobs: int = 2, cache: Path | None = None) -> Iterator[Event]:
    """Do every run that has no result yet, and tell what happens as it happens.

    Closing the generator, or an exception in it such as Ctrl-C, kills the children.

    Args:
        runs: what to do, in this order; a run starts once the models of its seed and tier are there.
        out: folder of results.
        jobs: child processes at a time.
        cache: folder of models; by default ``out / "cache"``.
    """
    cache = out / "cache" if cache is None else cache
    waiting: list[RunSettings] = []
    for run in runs:
        result = read_result(run, out)
        if result is None:
            waiting.append(run)
        else:
            yield Event("reused", run, result)
    running: list[_Job] = []
    failed_models: set[Prepared] = set()
    try:
        while waiting or running:
            while len(running) < jobs and (job := _next_job(waiting, running, out, cache)) is not None:
                running.append(job)
                yield Event("preparing" if job.is_preparation else "started", job.run, {})
            for job, message in _messages(running):
                if message is not None:
                    yield Event("progress", job.run, message)
                    continue
                running.remove(job)
                event = _ended(job, out, cache)
                yield event
                if event.kind == "failed" and job.is_preparation:
                    failed_models.add(models_of(job.run, cache))
            for run in [run for run in waiting if models_of(run, cache) in failed_models]:
                waiting.remove(run)
                yield Event("failed", run, {"error": "its models could not be made"})
    finally:
        _kill(running)


def _next_job(waiting: list[RunSettings], running: Sequence[_Job], out: Path, cache: Path) -> _Job | None:
    """Start what can start now, taken out of ``waiting`` where it is a run; None: everything left waits for models."""
    for run in waiting:
        if all(map(is_complete, models_of(run, cache).folders)):
            waiting.remove(run)
            return _start(run, False, result_path(run, out).with_suffix(".log"), out, cache)
    # Two preparations of one seed share the policy: one after the other.
    busy = {models_of(job.run, cache).policy for job in running if job.is_preparation}
    for run in waiting:
        models = models_of(run, cache)
        if models.policy not in busy:
            return _start(run, True, cache / f"{models.reward_model.name}.log", out, cache)
    return None


def _start(run: RunSettings, is_preparation: bool, log: Path, out: Path, cache: Path) -> _Job:
    log.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(_ONE_THREAD, PYTHONWARNINGS="ignore:resource_tracker")  # for the fork server; killed runs leave locks
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOAD))
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_child, args=(run, is_preparation, out, cache, log, sender), daemon=True,
        name=f"{'models' if is_preparation else run.label}-seed{run.seed}",
    )  # fmt: skip
    process.start()
    sender.close()
    return _Job(run, is_preparation, log, process, receiver)


def _child(run: RunSettings, is_preparation: bool, out: Path, cache: Path, log: Path, sender: Connection) -> None:
    """Do the job in a child process, with output to the log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the parent ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        if is_preparation:
            import torch

            torch.set_num_threads(1)
            prepare(run, cache)
        else:
            from hero_lab.run import run as run_one

            run_one(run, models_of(run, cache), result_path(run, out), report=sender.send)
    except BaseException:  # noqa: BLE001  # the parent reads it from the log, whatever it is
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _end_with_parent() -> None:
    """End this process when the one that asked for it is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _messages(running: Sequence[_Job]) -> Iterator[tuple[_Job, dict[str, Any] | None]]:
    """Wait, and yield what the children sent; None from a child that is gone."""
    by_pipe = {job.pipe: job for job in running}
    for ready in wait(list(by_pipe)):
        assert isinstance(ready, Connection)
        job = by_pipe[ready]
        try:
            yield job, ready.recv()
        except (EOFError, OSError):
            ready.close()
            yield job, None


def _ended(job: _Job, out: Path, cache: Path) -> Event:
    """The end of a child whose pipe is closed, as an event."""
    job.process.join()
    if job.process.exitcode == 0:
        if job.is_preparation:
            job.log.unlink(missing_ok=True)
            return Event("prepared", job.run, models_of(job.run, cache).facts())
        result = read_result(job.run, out)
        if result is not None:
            job.log.unlink(missing_ok=True)
            return Event("finished", job.run, result)
    return Event("failed", job.run, {"error": _why(job), "log": str(job.log)})


def _why(job: _Job) -> str:
    code = job.process.exitcode
    ending = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
    try:
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join([ending, *lines[-_LOG_TAIL_LINES:]])


def _kill(running: Sequence[_Job]) -> None:
    """End all children, by force where asking is not enough."""
    processes = [job.process for job in running]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + 2.0
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
