"""Process rewards: the scores of a response's steps shape the advantages of its tokens, for the rule ``process``."""

from hero_rl.contrib.process.advantages import NO_STEPS, StepAdvantages, Steps, spread_over_tokens, step_advantages
from hero_rl.contrib.process.tokens import LocalSteps, StepReader, ends_of, shape_steps, write_steps

__all__ = [
    "NO_STEPS",
    "LocalSteps",
    "StepAdvantages",
    "StepReader",
    "Steps",
    "ends_of",
    "shape_steps",
    "spread_over_tokens",
    "step_advantages",
    "write_steps",
]
