"""A verifier that a test names as ``helpers.burning:judge``: a response "burn 2.5" takes so many seconds of CPU time."""

from __future__ import annotations

import time

from hero_rl.types import Rollout


def judge(rollout: Rollout) -> bool:
    words = rollout.response.split()
    end = time.process_time() + (float(words[1]) if words[0] == "burn" else 0.0)
    while time.process_time() < end:
        pass
    return True
