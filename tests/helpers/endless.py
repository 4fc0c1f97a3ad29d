"""A verifier function that can work for ever, in a module that a worker imports at once."""

from hero_rl.types import Rollout


def patient(rollout: Rollout) -> bool:
    """Return whether the response is the reference; never return where it says "endless"."""
    while "endless" in rollout.response:
        pass
    return rollout.response == rollout.reference
