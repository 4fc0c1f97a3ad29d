"""Evaluate the policy during a run: on development prompts for the learning curve, on held-out prompts a few times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from hero_lab.evaluate import Yardstick, curve_point, full_evaluation
from hero_lab.settings import RunSettings
from hero_lab.task import build_items

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Report = Callable[[dict[str, Any]], None]
"""Takes one progress event: ``{"step": 10, "accuracy": 0.41, ...}``, on development prompts."""


class Observer(TrainerCallback):
    """Evaluates the policy where it is due. This never changes the run: random states are put back.

    And gives every step its own random state, the same for all rules.
    """

    def __init__(self, settings: RunSettings, yardstick: Yardstick, report: Report) -> None:
        """Evaluate a run with ``yardstick``; ``report`` hears of the curve."""
        self.settings, self.yardstick, self.report = settings, yardstick, report
        self.curve: list[dict[str, Any]] = []
        self.held_out: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0
        family = yardstick.family
        self._development = build_items("development", settings.regime, seed=settings.seed, family=family)
        # Both kinds of prompt unless told otherwise: what a rule does to the kind not trained on is part of its result.
        regime = "mixed" if settings.held_out_tags == "both" else settings.regime
        self._held_out = build_items("held_out", regime, seed=settings.seed, family=family)
        self._due = {"start": 0, "early": settings.early, "end": settings.steps} | {f"step{at}": at for at in settings.looks}

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Seed the step."""
        torch.manual_seed(self.settings.training_seed * 1_000_003 + state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Look at the policy after the step."""
        self.look(model, state.global_step)

    def look(self, policy: PreTrainedModel, step: int) -> None:
        """Evaluate where it is due at this step; what the rule says of its state goes with the curve."""
        started = time.perf_counter()
        settings = self.settings
        if step % settings.curve_every == 0 or step == settings.steps:
            count, seed = settings.development_samples, settings.seed
            point = curve_point(policy, self._development, self.yardstick, count=count, seed=seed).numbers
            rule = self.yardstick.reward.state.metrics() if step else {}
            self.curve.append({"step": step, **point} | ({"rule": rule} if rule else {}))
            self.report(self.curve[-1])
        due = [name for name, at in self._due.items() if at == step]
        if due:
            held_out = self._evaluate(policy)
            self.held_out |= {name: {"step": step, **held_out} for name in due}
        self.seconds += time.perf_counter() - started

    def _evaluate(self, policy: PreTrainedModel) -> dict[str, Any]:
        """One entry a tag: ``V`` and ``H`` prompts are different questions and are never averaged."""
        count, seed = self.settings.held_out_samples, self.settings.seed
        tags = dict.fromkeys(item.tag for item in self._held_out)
        by_tag = {tag: [item for item in self._held_out if item.tag == tag] for tag in tags}
        return {tag: full_evaluation(policy, items, self.yardstick, count=count, seed=seed) for tag, items in by_tag.items()}
