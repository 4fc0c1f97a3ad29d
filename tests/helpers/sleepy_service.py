"""`python sleepy_service.py SETTINGS`: a reward service whose verifier sleeps, for tests of queue, deadlines and departures.

A response "sleep 0.5" takes half a second; every verdict is "correct" if the response holds a 1. The scorer reads `rm_score`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence

from hero_rl.engines.service.app import create_app
from hero_rl.engines.service.server import listen, serve, url_of
from hero_rl.engines.service.service import RewardService
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.engines.service.store import StateStore
from hero_rl.engines.service.tokens import Token
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero
from hero_rl.scorers import ColumnScorer
from hero_rl.types import Rollout, Verdict, Verifier


class Sleepy(Verifier):
    name = "sleepy"

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        await asyncio.sleep(self._seconds(rollouts))
        if any("crash" in rollout.response for rollout in rollouts):
            raise ZeroDivisionError("a fault of the verifier")
        return self._verdicts(rollouts)

    def _seconds(self, rollouts: Sequence[Rollout]) -> float:
        words = [rollout.response.split() for rollout in rollouts]
        return max([float(word[1]) for word in words if word[:1] == ["sleep"]], default=0.0)

    def _verdicts(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [Verdict("correct" if "1" in rollout.response else "incorrect", "looked") for rollout in rollouts]


def main() -> None:
    options = json.loads(sys.argv[1])
    state = options.pop("state", None)
    tokens = [Token("tester", options.pop("token"))] if "token" in options else []
    settings = ServiceSettings(tokens=tuple(tokens), **options)
    store = StateStore(state, settings)
    service = RewardService(HybridReward(Sleepy(), ColumnScorer("rm_score"), hero()), store, settings)
    sock = listen("127.0.0.1", 0)
    serve(
        create_app(service),
        sock,
        on_ready=lambda: os.write(1, json.dumps({"url": url_of(sock)}).encode() + b"\n"),
        drain_s=settings.drain_s,
    )


if __name__ == "__main__":
    main()
