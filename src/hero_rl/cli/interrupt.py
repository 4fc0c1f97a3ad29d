"""Ctrl-C and SIGTERM while a verifier works: its processes end at once instead of at their deadlines."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hero_rl.types import Verifier


@contextmanager
def closing(verifier: Verifier | None) -> Iterator[None]:
    """Close the verifier when the block ends, and as soon as a signal asks the program to stop."""
    if verifier is None:
        yield
        return
    handled = [signal.SIGINT, signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    earlier = {number: signal.getsignal(number) for number in handled}

    def stop(number: int, frame: FrameType | None) -> None:
        # in a thread of its own: the interrupted code may hold the lock that close takes
        threading.Thread(target=verifier.close, name="hero-close", daemon=True).start()
        previous = earlier[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            raise SystemExit(128 + number)

    for number, previous in earlier.items():
        if previous is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, previous in earlier.items():
            signal.signal(number, previous)
        verifier.close()
