"""Evaluate the policy during a run: on development prompts for the learning curve, on held-out prompts a few times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hero_lab.evaluate import Yardstick, curve_point, full_evaluation
from hero_lab.prepare import Prepared
from hero_lab.results import versions, write_json
from hero_lab.settings import RunSettings, digest
from hero_lab.task import Item, build_items
from hero_rl.errors import InputError
from hero_rl.report import json_values

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Report = Callable[[dict[str, Any]], None]
"""Takes one progress event: ``{"step": 10, "accuracy": 0.41, ...}``, on development prompts."""


class Observer:
    """Evaluates the policy where it is due. This never changes the run: random states are put back."""

    def __init__(self, settings: RunSettings, yardstick: Yardstick, report: Report, *, start: Path | None = None) -> None:
        """Evaluate a run with ``yardstick``; ``report`` hears of the curve, and ``start`` keeps what is seen at step 0."""
        self.settings, self.yardstick, self.report, self.start = settings, yardstick, report, start
        self.curve: list[dict[str, Any]] = []
        self.held_out: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0
        family = yardstick.family
        self._development = build_items("development", settings.regime, seed=settings.seed, family=family)
        # Both kinds of prompt unless told otherwise: what a rule does to the kind not trained on is part of its result.
        regime = "mixed" if settings.held_out_tags == "both" else settings.regime
        self._held_out = build_items("held_out", regime, seed=settings.seed, family=family)
        self._due = {"start": 0, "early": settings.early, "end": settings.steps} | {f"step{at}": at for at in settings.looks}

    def look(self, policy: PreTrainedModel, step: int, *, rule: Mapping[str, float] | None = None) -> None:
        """Evaluate where it is due at this step; ``rule`` is what the rule says of its state, for the curve."""
        started = time.perf_counter()
        settings = self.settings
        seen = self._first_look(policy) if step == 0 else {}
        if step % settings.curve_every == 0 or step == settings.steps:
            point = seen["point"] if seen else self._point(policy)
            self.curve.append({"step": step, **point} | ({"rule": dict(rule)} if rule else {}))
            self.report(self.curve[-1])
        due = [name for name, at in self._due.items() if at == step]
        if due:
            held_out = seen["held_out"] if seen else self._evaluate(policy)
            self.held_out |= {name: {"step": step, **held_out} for name in due}
        self.seconds += time.perf_counter() - started

    def _first_look(self, policy: PreTrainedModel) -> dict[str, Any]:
        """The evaluation at step 0, from the file, or made now and kept there: all rules of a seed start from one policy."""
        if self.start is not None and self.start.is_file():
            try:
                return json.loads(self.start.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{self.start} cannot be read ({error}); remove it") from error
        seen = json_values({"point": self._point(policy), "held_out": self._evaluate(policy)})
        if self.start is not None:
            write_json(self.start, seen)
        return seen

    def _point(self, policy: PreTrainedModel) -> dict[str, float]:
        return curve_point(
            policy, self._development, self.yardstick,
            count=self.settings.development_samples, seed=self.settings.seed,
        )  # fmt: skip

    def _evaluate(self, policy: PreTrainedModel) -> dict[str, Any]:
        """One entry a tag: ``V`` and ``H`` prompts are different questions and are never averaged."""
        by_tag: dict[str, list[Item]] = {}
        for item in self._held_out:
            by_tag.setdefault(item.tag, []).append(item)
        return {
            tag: full_evaluation(
                policy, items, self.yardstick, count=self.settings.held_out_samples, seed=self.settings.seed
            )
            for tag, items in by_tag.items()
        }  # fmt: skip


def start_file(cache: Path, settings: RunSettings, models: Prepared) -> Path:
    """Where the evaluation at step 0 is kept: one file for all that it depends on, of which the rule is no part."""
    names = (
        "verifier", "regime", "seed", "held_out_samples", "development_samples", "verifier_recall", "verifier_noise",
        "hackable", "score_noise", "held_out_tags",
    )  # fmt: skip
    depends_on = [[folder.name for folder in models.folders], [getattr(settings, name) for name in names], versions()]
    return cache / f"start-{settings.regime}-seed{settings.seed}-{digest(depends_on)}.json"
