"""The tests of ``HeroReward`` on the trainer that Unsloth makes of TRL's: `make test-adapters` runs them

Unsloth rewrites ``trl.GRPOTrainer`` where it is imported; on a CPU it does so only when asked. Its models bring
``for_training`` and ``for_inference``, which need a GPU; here the tiny model gets the two of its own.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import unsloth.models.rl  # pyright: ignore[reportMissingImports]

unsloth.models.rl._patch_trl_rl_trainers("grpo_trainer")

import trl  # noqa: E402  # after the rewriting

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import tiny  # noqa: E402

make = tiny.model


def model(**options: Any) -> Any:
    made = make(**options)
    made.for_training = lambda *_, **__: made.train()
    made.for_inference = lambda *_, **__: made.eval()
    return made


tiny.model = model
assert trl.GRPOTrainer.__name__ == "UnslothGRPOTrainer"
NAMES = "advantages_are or never_feeds or beside_other"
sys.exit(pytest.main(["tests/engines/trl/test_hero_reward.py", "-p", "no:cacheprovider", "-k", NAMES, *sys.argv[1:]]))
