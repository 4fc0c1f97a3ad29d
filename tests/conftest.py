"""Settings for every test: one thread a process, no network, `helpers` importable, and how many examples hypothesis tries."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# torch spins when several test processes share the cores, and reads this once, when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

# A run under nohup ignores it, and so would the processes that tests start and stop.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Until the tests are collected: looking for garbage among the imports takes a fifth of their time. Every training of TRL looks
# for it, too, which took longer over a million imported objects than all the rest; so these are frozen (below).
gc.disable()

# pytest's importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

# the assertions that every scorer and verifier shares explain themselves as those of a test do
pytest.register_assert_rewrite("helpers.contract")


# By default the same examples every time and everywhere, so that a failure comes from the change under test and not from luck.
# `make fuzz` tries new examples every time, thirty times as many, and prints how to repeat a failure. No deadlines: how long an
# example takes depends on the machine.
settings.register_profile("quick", max_examples=100, deadline=None, derandomize=True)
settings.register_profile(
    "more", max_examples=3000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Leave what was imported out of the search for garbage, and fork the process that `helpers.forks` forks from."""
    from helpers import forks

    gc.enable()
    if not session.items:  # the process that hands tests out
        yield
        return
    gc.freeze()
    with forks.ready():
        yield


@pytest.fixture(scope="session")
def lab_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the lab's models that all test processes share: what one has made, the others find."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "lab-models"
