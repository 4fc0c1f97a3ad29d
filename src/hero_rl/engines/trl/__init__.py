"""HERO on TRL: ``HeroTrainer``, a ``GRPOTrainer`` whose reward is a ``HybridReward``.

    trainer = HeroTrainer(
        model="Qwen/Qwen3-0.6B",
        reward=HybridReward(MathVerifier(), LocalScorer("nvidia/AceMath-7B-RM"), hero()),
        args=HeroConfig("runs/hero", scale_rewards="none"),
        train_dataset=problems,  # columns: prompt, reference
    )
    trainer.train()

Needs the extra ``train``; importing this module alone does not load TRL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hero_rl.errors import require

if TYPE_CHECKING:
    from hero_rl.engines.trl.trainer import HeroConfig, HeroTrainer

__all__ = ["HeroConfig", "HeroTrainer"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("trl", extra="train", purpose="hero_rl.engines.trl")
    from hero_rl.engines.trl import trainer

    return getattr(trainer, name)
