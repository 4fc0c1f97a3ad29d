"""The models that every rule of a seed starts from, made once and kept in a folder.

    cache/policy-<digest>/          the starting policy, its tokenizer, facts.json
    cache/reward-<tier>-<digest>/   model/: the reward model, facts.json; only the facts where the tier is ``chance``
    cache/verifier-<digest>/        model/: the learned verifier, where a rule asks for one, facts.json

A folder appears complete or not at all.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hero_lab.cold_start import ColdStartSettings, train_policy
from hero_lab.corpus import with_mistakes, without_errors_below
from hero_lab.evaluate import sample_items, within_auroc
from hero_lab.families import FAMILIES
from hero_lab.family import Family, Rates
from hero_lab.learned_verifier import train_learned_verifier
from hero_lab.models import build_tokenizer, load_policy
from hero_lab.noise import ChanceScorer, SumScorer
from hero_lab.presets import LEARNED
from hero_lab.reward_model import LikelihoodScorer, ShownScorer, train_scalar, training_sources
from hero_lab.settings import RunSettings, digest
from hero_lab.task import TAGS, build_items
from hero_rl.files import replacing
from hero_rl.measures import auroc
from hero_rl.scorers import LocalScorer
from hero_rl.types import Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FACTS, MODEL = "facts.json", "model"
"""Subfolder of what ``hero_rl.learning`` made."""
_logger = logging.getLogger(__name__)
_SAMPLES_FOR_AUROC = 8


class Prepared(NamedTuple):
    """Where the models of one seed and tier are."""

    policy: Path
    reward_model: Path
    learned_verifier: Path | None = None
    """None where no rule asks for one."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(folder for folder in self if folder is not None)

    def facts(self) -> dict[str, Any]:
        """Return what was measured of each model, by its name here."""
        return {name: read_facts(folder) for name, folder in self._asdict().items() if folder is not None}


def models_of(run: RunSettings, cache: Path) -> Prepared:
    """Return where the models of a run are, or will be."""
    start = [run.seed, run.task, asdict(run.cold_start), *([run.mistakes] if run.mistakes != 1.0 else [])]
    name = f"{run.task}-seed{run.seed}"
    return Prepared(
        cache / f"policy-{name}-{digest(start)}",
        cache / f"reward-{run.tier}-{name}-{digest([*start, run.tier, asdict(run.reward_model)])}",
        cache / f"verifier-{name}-{digest([*start, asdict(run.learned_verifier)])}" if run.verifier in LEARNED else None,
    )


def prepare(run: RunSettings, cache: Path) -> Prepared:
    """Return the starting policy of a run and what judges it, from the cache or trained now."""
    models = models_of(run, cache)
    makers = (
        (models.policy, partial(_make_policy, run)),
        (models.reward_model, partial(_make_reward_model, run, models.policy)),
        (models.learned_verifier, partial(_make_learned_verifier, run, models.policy)),
    )
    for target, make in makers:
        if target is not None and not is_complete(target):
            _logger.info("training %s", target.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with replacing(target) as folder:
                    folder.mkdir()
                    make(folder)
                    shutil.rmtree(folder / "scratch", ignore_errors=True)
            except OSError:
                if not is_complete(target):  # not merely another process that was quicker
                    raise
    return models


def is_complete(folder: Path) -> bool:
    """Whether a folder of the cache holds a finished model."""
    return (folder / FACTS).is_file()


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what was measured when the model was made: seconds, and for a reward model AUROC and score moments."""
    return json.loads((folder / FACTS).read_text(encoding="utf-8"))


def load_scorer(folder: Path) -> Scorer:
    """Return the reward model of a folder, of any kind; its spread on the starting policy's responses is 1."""
    facts = read_facts(folder)
    if facts["tier"] == "chance":
        return ChanceScorer(seed=facts["seed"])
    if facts["tier"] == "robust":
        scorer: Scorer = LikelihoodScorer(load_policy(folder / MODEL), family=FAMILIES[facts["task"]])
    else:
        scorer = ShownScorer(LocalScorer(folder / MODEL))
    return SumScorer([(scorer, 1.0 / facts["scale"])])


def _rates(run: RunSettings) -> Rates:
    return with_mistakes(FAMILIES[run.task].deal_error_rates(run.seed), run.mistakes)


def _make_policy(run: RunSettings, folder: Path) -> None:
    started, family = time.perf_counter(), FAMILIES[run.task]
    policy = train_policy(run.cold_start, _rates(run), seed=run.seed, output_dir=folder / "scratch", family=family)
    _save(policy, folder, family)
    facts = {"seconds": time.perf_counter() - started, "parameters": policy.num_parameters(), "task": family.name}
    _write_facts(folder, facts)


def _make_learned_verifier(run: RunSettings, policy: Path, folder: Path) -> None:
    started = time.perf_counter()
    facts = train_learned_verifier(
        load_policy(policy), run.learned_verifier, seed=run.seed, folder=folder / MODEL, scratch=folder / "scratch"
    )
    _write_facts(folder, facts | {"seconds": time.perf_counter() - started})


def _make_reward_model(run: RunSettings, policy: Path, folder: Path) -> None:
    """Train it; one standard deviation of the starting policy's responses becomes the unit of its score.

    A raw sum of verdict and score is then a sum of comparable things.
    """
    started, family = time.perf_counter(), FAMILIES[run.task]
    settings, rates, seed, tier = run.reward_model, _rates(run), run.seed, run.tier
    if tier == "chance":
        scorer: Scorer = ChanceScorer(seed=seed)
    elif tier == "robust":
        better = without_errors_below(rates, settings.robust_blind_rate)
        steps = ColdStartSettings(steps=settings.robust_steps, learning_rate=1e-3, warmup_steps=10)
        scratch, start = folder / "scratch", load_policy(policy)
        model = train_policy(steps, better, seed=seed, output_dir=scratch, model=start, family=family)
        _save(model, folder / MODEL, family)
        scorer = LikelihoodScorer(model, family=family)
    else:
        sources = training_sources(settings, rates, seed=seed, family=family)
        train_scalar(policy, settings, sources, seed=seed, folder=folder / MODEL, scratch=folder / "scratch", family=family)
        scorer = ShownScorer(LocalScorer(folder / MODEL))
    seconds = time.perf_counter() - started
    facts = _test_reward_model(scorer, load_policy(policy), seed, family)
    scale = 1.0 if tier == "chance" else facts["score_std"]
    facts |= {"tier": tier, "task": family.name, "seed": seed, "seconds": seconds, "scale": scale}
    _write_facts(folder, facts | {"score_mean": facts["score_mean"] / scale, "score_std": facts["score_std"] / scale})


def _test_reward_model(scorer: Scorer, policy: PreTrainedModel, seed: int, family: Family) -> dict[str, Any]:
    """AUROC against the oracle on the starting policy's responses to the rm_test prompts, and moments of the score."""
    facts: dict[str, Any] = {}
    all_scores: list[np.ndarray] = []
    everything = build_items("rm_test", "mixed", seed=seed, family=family)
    for tag in TAGS["mixed"]:
        items = [item for item in everything if item.tag == tag]
        samples = sample_items(policy, items, count=_SAMPLES_FOR_AUROC, seed=seed, family=family)
        scores = scorer.score(samples.rollouts).reshape(samples.correct_PG.shape)
        facts[f"auroc_pooled_{tag}"] = auroc(scores.ravel(), samples.correct_PG.ravel())
        facts[f"auroc_within_{tag}"] = within_auroc(scores, samples.correct_PG)
        facts[f"accuracy_{tag}"] = float(samples.correct_PG.mean())
        all_scores.append(scores)
    pooled = np.concatenate(all_scores)
    return facts | {"score_mean": float(pooled.mean()), "score_std": float(pooled.std())}


def _save(model: PreTrainedModel, folder: Path, family: Family) -> None:
    model.save_pretrained(folder)
    build_tokenizer(family).save_pretrained(folder)


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
