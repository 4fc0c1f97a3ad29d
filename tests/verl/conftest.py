"""One Ray and one TransferQueue for the whole folder: starting them takes most of the time. Needs `make test-verl`."""

from __future__ import annotations

import os

# Workers inherit these, so they are set before Ray is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("PYTEST_TIMEOUT", "1500")  # the one deadline of a test; most of it is Ray starting

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("verl", reason="needs verl: make test-verl")
sys.path.insert(0, str(Path(__file__).parent))

import ray
import transfer_queue as tq
from omegaconf import OmegaConf

logging.getLogger("transfer_queue").setLevel(logging.ERROR)  # a line at every call about its number of threads

LOGICAL_CPUS = 4
"""What Ray hands out to actors, not what it uses: two for the queue, and two for reward workers."""


@pytest.fixture(scope="session")
def queue() -> Iterator[None]:
    """TransferQueue on Ray, with one storage unit."""
    ray.init(
        num_cpus=LOGICAL_CPUS, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    )
    tq.init(OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
    yield
    tq.close()
    ray.shutdown()
