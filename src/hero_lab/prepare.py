"""The models that every rule of a seed starts from, made once and kept in a folder.

    cache/policy-<digest>/          the starting policy, its tokenizer, facts.json
    cache/reward-<tier>-<digest>/   the reward model, its tokenizer, facts.json; only the facts where the tier is ``chance``
    cache/verifier-<digest>/        the learned verifier, where a rule asks for one, and facts.json

A folder appears complete or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hero_lab.cold_start import ColdStartSettings, train_policy
from hero_lab.corpus import without_errors_below
from hero_lab.evaluate import sample_items, within_auroc
from hero_lab.families import FAMILIES
from hero_lab.family import Family, TaskName
from hero_lab.learned_verifier import LearnedVerifierSettings, save_learned_verifier, train_learned_verifier
from hero_lab.models import build_tokenizer, load_policy
from hero_lab.noise import ChanceScorer
from hero_lab.reward_model import LikelihoodScorer, RewardModelSettings, ScalarScorer, Tier, train_scalar
from hero_lab.settings import digest, without_later_defaults
from hero_lab.task import TAGS, build_items
from hero_rl.measures import auroc
from hero_rl.types import Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_logger = logging.getLogger(__name__)
_SAMPLES_FOR_AUROC = 8


class Prepared(NamedTuple):
    """Where the models of one seed and tier are."""

    policy: Path
    reward_model: Path
    learned_verifier: Path | None = None
    """None where no rule asks for one."""
    robust_model: Path | None = None
    """The other reward model where the score is a mixture of two tiers; ``reward_model`` is then the hackable one."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(folder for folder in self if folder is not None)

    def facts(self) -> dict[str, Any]:
        """What was measured of each model, by its name here."""
        return {name: read_facts(folder) for name, folder in self._asdict().items() if folder is not None}


def policy_folder(cache: Path, settings: ColdStartSettings, *, seed: int, task: TaskName = "chain") -> Path:
    """Where the starting policy of a seed belongs."""
    return cache / f"policy-{_prefix(task)}seed{seed}-{digest(['policy', asdict(settings), seed, *_task(task)])}"


def reward_model_folder(
    cache: Path,
    cold_start: ColdStartSettings,
    settings: RewardModelSettings,
    *,
    tier: Tier,
    seed: int,
    task: TaskName = "chain",
) -> Path:
    """Where the reward model of a seed and tier belongs; it depends on the policy that it starts from."""
    depends_on = [tier, without_later_defaults(asdict(settings)), asdict(cold_start), seed, *_task(task)]
    return cache / f"reward-{tier}-{_prefix(task)}seed{seed}-{digest(depends_on)}"


def _task(task: TaskName) -> list[str]:
    """What a family adds to a digest: nothing for the first one, whose models were there before there were others."""
    return [] if task == "chain" else [task]


def _prefix(task: TaskName) -> str:
    return "" if task == "chain" else f"{task}-"


def learned_verifier_folder(
    cache: Path, cold_start: ColdStartSettings, settings: LearnedVerifierSettings, *, seed: int
) -> Path:
    """Where the learned verifier of a seed belongs; it depends on the policy whose responses it learns from."""
    return cache / f"verifier-seed{seed}-{digest(['verifier', asdict(settings), asdict(cold_start), seed])}"


def prepare(
    cache: Path,
    cold_start: ColdStartSettings,
    reward_model: RewardModelSettings,
    *,
    tier: Tier,
    seed: int,
    learned_verifier: LearnedVerifierSettings | None = None,
    task: TaskName = "chain",
    robust_too: bool = False,
) -> Prepared:
    """The starting policy and what judges it, from the cache or trained now.

    Args:
        cache: folder of the models.
        cold_start: how the policy is taught.
        reward_model: how the reward models are.
        tier: of the reward model.
        seed: of everything.
        learned_verifier: how a learned verifier is taught; None: there is none.
        task: the family.
        robust_too: make the robust reward model as well, to mix the two.
    """
    family = FAMILIES[task]
    policy = policy_folder(cache, cold_start, seed=seed, task=task)
    if not is_complete(policy):
        _logger.info("training the starting policy of seed %d", seed)
        with _atomic_folder(policy) as folder:
            _make_policy(folder, cold_start, seed, family)
    rewards: dict[Tier, Path] = {}
    tiers: tuple[Tier, ...] = (tier, "robust") if robust_too else (tier,)
    for one in tiers:
        rewards[one] = reward_model_folder(cache, cold_start, reward_model, tier=one, seed=seed, task=task)
        if not is_complete(rewards[one]):
            _logger.info("training the %s reward model of seed %d", one, seed)
            with _atomic_folder(rewards[one]) as folder:
                _make_reward_model(folder, policy, reward_model, one, seed, family)
    models = Prepared(policy, rewards[tier], robust_model=rewards["robust"] if robust_too else None)
    if learned_verifier is None:
        return models
    verifier = learned_verifier_folder(cache, cold_start, learned_verifier, seed=seed)
    if not is_complete(verifier):
        _logger.info("training the learned verifier of seed %d", seed)
        with _atomic_folder(verifier) as folder:
            _make_learned_verifier(folder, policy, learned_verifier, seed)
    return models._replace(learned_verifier=verifier)


def is_complete(folder: Path) -> bool:
    """Whether a folder of the cache holds a finished model."""
    return (folder / "facts.json").is_file()


def read_facts(folder: Path) -> dict[str, Any]:
    """What was measured when the model was made: seconds, and for a reward model AUROC and score moments."""
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def load_scorer(folder: Path) -> Scorer:
    """The reward model of a folder, of any kind, ready to score."""
    import torch
    from transformers import AutoModelForSequenceClassification

    facts = read_facts(folder)
    family = FAMILIES[facts.get("task", "chain")]
    if facts["kind"] == "chance":
        return ChanceScorer(seed=facts["seed"])
    if facts["kind"] == "likelihood":
        return LikelihoodScorer(load_policy(folder), scale=facts["scale"], family=family)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return ScalarScorer(model, family=family)


def _make_policy(folder: Path, settings: ColdStartSettings, seed: int, family: Family) -> None:
    started = time.perf_counter()
    rates = family.deal_error_rates(seed)
    policy = train_policy(settings, rates, seed=seed, output_dir=folder / "scratch", family=family)
    facts = {"seconds": time.perf_counter() - started, "parameters": policy.num_parameters(), "task": family.name}
    _save(policy, folder, facts, family)


def _make_reward_model(
    folder: Path, policy: Path, settings: RewardModelSettings, tier: Tier, seed: int, family: Family
) -> None:
    started = time.perf_counter()
    start = load_policy(policy)
    rates = family.deal_error_rates(seed)
    scratch = folder / "scratch"
    known = {"tier": tier, "task": family.name}
    if tier == "chance":
        facts = _test_reward_model(ChanceScorer(seed=seed), start, seed, family)
        _write_facts(folder, facts | known | {"kind": "chance", "seconds": 0.0, "scale": 1.0, "seed": seed})
        return
    if tier == "robust":
        better = without_errors_below(rates, settings.robust_blind_rate)
        steps = ColdStartSettings(steps=settings.robust_steps, learning_rate=1e-3, warmup_steps=10)
        model = train_policy(steps, better, seed=seed, output_dir=scratch, model=load_policy(policy), family=family)
        scorer: Scorer = LikelihoodScorer(model, family=family)
    else:
        model = train_scalar(start, settings, rates, seed=seed, negatives=tier == "hackable", output_dir=scratch, family=family)
        scorer = ScalarScorer(model, family=family)
    seconds = time.perf_counter() - started
    facts = _test_reward_model(scorer, start, seed, family)
    scale = facts["score_std"]
    if isinstance(scorer, ScalarScorer):
        # One standard deviation of the starting policy's responses is one unit of the saved model's own score, so that a
        # raw sum of verdict and score is a sum of comparable things.
        import torch

        with torch.no_grad():
            model.get_parameter("score.weight").div_(scale)
        kind = "scalar"
    else:
        kind = "likelihood"
    facts |= known | {"kind": kind, "seconds": seconds, "scale": scale, "score_mean": facts["score_mean"] / scale}
    _save(model, folder, facts | {"score_std": 1.0}, family)


def _make_learned_verifier(folder: Path, policy: Path, settings: LearnedVerifierSettings, seed: int) -> None:
    started = time.perf_counter()
    trained = train_learned_verifier(load_policy(policy), settings, seed=seed)
    save_learned_verifier(folder, trained, settings)
    _write_facts(folder, trained.facts | {"seconds": time.perf_counter() - started})


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


def _save(model: PreTrainedModel, folder: Path, facts: dict[str, Any], family: Family) -> None:
    model.save_pretrained(folder)
    build_tokenizer(family).save_pretrained(folder)
    _write_facts(folder, facts)


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


@contextmanager
def _atomic_folder(target: Path) -> Iterator[Path]:
    """A new folder that becomes ``target`` when the block ends well, and vanishes otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        try:
            os.rename(folder, target)
        except OSError:
            if not is_complete(target):  # not merely another process that was quicker
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
