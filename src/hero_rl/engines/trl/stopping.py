"""SIGTERM while a policy is trained: finish the step and save a checkpoint, as a preempted job needs it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from hero_rl.engines.exchange import all_processes, leave_processes
from hero_rl.engines.trl.run_folder import is_main_process

if TYPE_CHECKING:
    from transformers import Trainer

ONE_SIGNAL_S = 2.0
"""SIGTERMs within so many seconds are one: torchrun passes on what its processes often get themselves."""
NOTICE = b"SIGTERM: finishes this step, saves a checkpoint and ends; a second SIGTERM ends at once\n"


@contextmanager
def saving_at_sigterm(trainer: Trainer) -> Iterator[None]:
    """Within it, SIGTERM waits until the trainer has finished its step and saved a checkpoint; a second one does not.

    Then the handler from before is called, which should raise. Where it is the system's own, nothing is changed. The processes
    of a run stop after the same step, even if the signal reaches only one of them.
    """
    from transformers import TrainerCallback

    before = signal.getsignal(signal.SIGTERM)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    asked_at: float | None = None
    stopped = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = time.monotonic()
            if is_main_process():
                os.write(2, NOTICE)  # sys.stderr may be in the middle of a line
        elif time.monotonic() - asked_at > ONE_SIGNAL_S:
            before(number, frame)

    class Stop(TrainerCallback):
        """Asks at the end of each step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            nonlocal stopped
            asked, _rank = all_processes(asked_at is not None)
            if any(asked) and state.global_step < state.max_steps:
                control.should_save = control.should_training_stop = stopped = True

    trainer.add_callback(Stop())
    signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    if stopped:
        leave_processes()
        before(signal.SIGTERM, None)
        raise KeyboardInterrupt  # were it to return, an unfinished policy would be taken for the final one
