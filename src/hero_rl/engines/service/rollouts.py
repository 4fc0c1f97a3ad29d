"""Rollouts of the service's runs, kept for `hero view` and `hero audit` by a thread of its own, which no request waits for."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore

from hero_rl.data.tables import ROLLOUTS
from hero_rl.engines.rollout_files import PROMPTS, batch_rows, write_rows
from hero_rl.pipeline import Batch
from hero_rl.types import Rollout

MOST_FILES, MOST_RUNS = 1000, 100
"""Files of a run, of which the oldest make room, and runs whose rollouts are kept."""
MOST_WAITING = 32
"""Batches that wait to be written; the next are left out."""

logger = logging.getLogger(__name__)


class RolloutFolder:
    """Keeps the first ``PROMPTS`` prompts of each batch in ``FOLDER/RUN/rollouts/step_N.parquet``."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder, self._files, self._full = folder, dict[str, list[Path]](), False
        self._thread, self._room = ThreadPoolExecutor(1, thread_name_prefix="hero-rollouts"), BoundedSemaphore(MOST_WAITING)

    def keep(self, run_id: str, rollouts: Sequence[Rollout], batch: Batch) -> None:
        """Have a batch written soon; returns at once."""
        if run_id not in self._files and len(self._files) >= MOST_RUNS:
            if not self._full:
                logger.warning("hero-rl: rollouts of run %s and later ones are not kept: %d are, the most", run_id, MOST_RUNS)
            self._full = True
        elif self._room.acquire(blocking=False):
            self._thread.submit(self._write, run_id, rollouts, batch)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._thread.shutdown()

    def _write(self, run_id: str, rollouts: Sequence[Rollout], batch: Batch) -> None:
        # a client's text: readable, and another folder for another run
        name = re.sub(r"[^A-Za-z0-9_-]", "_", run_id)[:80]
        folder = self._folder / f"{name}-{hashlib.sha256(run_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}" / ROLLOUTS
        try:
            if run_id not in self._files:
                numbered = [
                    path for path in folder.glob("step_*.parquet") if _number(path).isdecimal()
                ]  # of an earlier process
                self._files[run_id] = sorted(numbered, key=lambda path: int(_number(path)))
            files = self._files[run_id]
            step = 1 + (int(_number(files[-1])) if files else 0)
            files.append(folder / f"step_{step:06d}.parquet")
            write_rows(files[-1], batch_rows(dict(enumerate(rollouts)), batch.signals, batch, step=step, prompts=PROMPTS))
            while len(files) > MOST_FILES:
                files.pop(0).unlink(missing_ok=True)
        except Exception as error:  # noqa: BLE001  # the service is worth more than its rollouts
            logger.warning("hero-rl: rollouts are not kept in %s: %s: %s", folder, type(error).__name__, error)
        finally:
            self._room.release()


def _number(path: Path) -> str:
    return path.stem.removeprefix("step_")
