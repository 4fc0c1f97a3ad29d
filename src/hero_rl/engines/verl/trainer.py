"""The trainer modes ``hero_sync``, ``hero_colocate_async`` and ``hero_separate_async``: verl's own with shaped rewards.

Three methods of verl's V1 trainers are extended, and all call ``super()``:

    _compute_advantage    before: raw signals -> shaped rewards of whole groups; after: advantages times prompt weights, and
                          shared out over a response's tokens where the rule shapes steps
    _save_checkpoint      the rule's state is saved beside verl's own
    _load_checkpoint      and restored

All three are private to verl, so it is pinned to one minor release and a test checks them. GRPO, RLOO, Dr. GRPO, KL, rollout
correction, filtering and validation are verl's own. All of it runs in the one process that drives the training, so there is one
state.
"""

# verl, Ray and their kind are in an environment of their own (`make test-verl`), which the type checker does not see.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import logging
import os
import uuid
import warnings
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf, open_dict
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import (
    PPOTrainer,
    PPOTrainerColocateAsync,
    PPOTrainerSeparateAsync,
    PPOTrainerSync,
    register_trainer,
)
from verl.utils import tensordict_utils

from hero_rl.data.tables import ROLLOUTS
from hero_rl.engines.rollout_files import batch_rows, write_rows
from hero_rl.engines.verl.reward import read_rollout
from hero_rl.engines.verl.settings import UNGROUPED, check_config, estimator_of, read_settings, scale_of
from hero_rl.engines.wire import Rollouts, Row, column_reward, compared, read_rows
from hero_rl.errors import InputError, SettingsWarning
from hero_rl.files import write_text
from hero_rl.pipeline import Batch, HybridReward
from hero_rl.rewards import Scale

logger = logging.getLogger(__name__)

STATE_FILE = "hero_rl.json"
"""In verl's checkpoint folder ``global_step_N``, beside ``data.pt``."""


class HeroMixin(PPOTrainer):
    """Shapes rewards between verl's reward workers and its advantage estimator.

    Logged beside verl's own metrics, under ``hero/``: the known numbers of ``Batch.summary``. verl's ``critic/score`` and
    ``critic/rewards`` are the shaped rewards. Validation is unchanged: ``val-core/.../acc`` is the verifier.

    Reference: HERO (arXiv 2510.07242). Departs from the paper: weights multiply advantages, not rewards.
    """

    base_mode: ClassVar[str]
    """The extended mode of verl."""

    def __init__(self, config: DictConfig) -> None:
        """Take verl's configuration with the table ``hero`` (see ``settings``).

        Raises:
            InputError: settings under which the rule cannot work.
        """
        settings = read_settings(config.get("hero"))
        values = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))
        for problem in check_config(values, settings):
            warnings.warn(problem, SettingsWarning, stacklevel=2)
            logger.warning("hero-rl: %s", problem)  # Ray shows logs of its actors, and not always their warnings
        self.hero: HybridReward = column_reward(
            settings.rule, max_failure_rate=settings.max_failure_rate, on_unhealthy=settings.on_unhealthy
        )
        self.hero.scale = settings.scale
        self._settings, self._kept_step = settings, -1
        self._grouped = estimator_of(values) not in UNGROUPED
        self._scale: Scale = scale_of(values)
        self._reader: Any = None
        with open_dict(config):  # verl compares this name with those of its own modes
            config.trainer.v1.trainer_mode = self.base_mode
        super().__init__(config)

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """Put verl's advantages of shaped rewards, times the prompt weights, into the queue.

        Raises:
            SignalError: too many signals failed.
        """
        data = tq.kv_batch_get(batch.keys, batch.partition_id, select_fields=["uid", "rm_scores", "extra_fields"])
        uids = [str(uid) for uid in data.pop("uid").tolist()]
        found = read_rows(_rows(batch, uids, data.pop("extra_fields").tolist()))
        if found is None:
            return super()._compute_advantage(batch, metrics)
        made = self.hero.batch(found.signals, found.groups, scale=self._scale, eps=1e-6)
        rewards = found.by_row(made.rewards, padding=np.nan)
        alone = np.isnan(rewards) & ~_is_padding(batch)
        _put(batch, rm_scores=_on_last_token(data["rm_scores"], rewards), uid=_set_apart(uids, alone))
        output = super()._compute_advantage(batch, metrics)
        if alone.any():
            _put(batch, uid=uids)
        weighted = self._weigh(batch, found, made)
        largest = np.array([float(row[row.abs().argmax()]) if row.numel() else 0.0 for row in weighted])
        made = made._replace(advantages=largest[found.final])  # verl's estimator has more in it: KL, other baselines
        numbers = {name: value for name, value in made.summary.items() if not np.isnan(value)}
        if self.hero.rule.steps is not None:
            numbers |= self._shape_steps(batch, found, made, weighted)
        if self._settings.kl_unit == "oracle":
            # workers keep kl_loss_coef: with smaller advantages it weighs more. Adam makes up for the size of the sum.
            numbers["kl_factor"] = made.scale.kl_factor
            weighted = [row / made.scale.kl_factor for row in weighted]
        _put(batch, advantages=_jagged(weighted))
        metrics.update({f"hero/{name}": value for name, value in numbers.items()})
        self._keep_rollouts(batch, found, made)
        return output

    def _keep_rollouts(self, batch: KVBatchMeta, found: Rollouts, made: Batch) -> None:
        """Write the first prompts of a step's (first mini-)batch for `hero view`, in the folder of the checkpoints."""
        settings, step = self._settings, getattr(self, "global_steps", 0)  # set when training begins
        chosen = np.flatnonzero(made.groups < settings.rollouts).tolist()
        if not chosen or self._kept_step == step:
            return
        self._kept_step = step
        folder = Path(self.config.trainer.default_local_dir) / ROLLOUTS
        try:
            data = tq.kv_batch_get([batch.keys[found.final[row]] for row in chosen], batch.partition_id)
            texts = [
                [self.tokenizer.decode(ids.tolist(), skip_special_tokens=True) for ids in data[name].unbind()]
                for name in ("prompts", "responses")
            ]
            extras, models = (
                list(data[name]) if name in data else [{}] * len(chosen) for name in ("extra_info", "reward_model")
            )
            rollouts = {}
            for row, prompt, response, extra, model in zip(chosen, *texts, extras, models, strict=True):
                extra, reference = {"question": prompt, **extra}, model.get("ground_truth", "")
                rollouts[row] = read_rollout("", response, reference, extra, settings.problem_key, needs_problem=False)
            rows = batch_rows(rollouts, found.signals, made, step=step, prompts=settings.rollouts)
            write_rows(folder / f"step_{step:06d}.parquet", rows)
        except Exception as error:  # noqa: BLE001  # the run is worth more
            logger.warning("hero-rl: the rollouts of step %d are not kept in %s: %r", step, folder, error)

    def _weigh(self, batch: KVBatchMeta, found: Rollouts, made: Batch) -> list[torch.Tensor]:
        """Return the advantages in the queue times the prompt weights: one tensor per row, shape (tokens,)."""
        # verl gives a response without a rival its whole reward as its advantage; compared with nothing, it has none.
        counts = compared(made.rewards, made.groups) if self._grouped else ~np.isnan(made.rewards)
        factors = found.by_row(np.where(counts, made.weights, 0.0), padding=1.0)
        rows = tq.kv_batch_get(batch.keys, batch.partition_id, select_fields=["advantages"])["advantages"].unbind()
        return [row * factor for row, factor in zip(rows, factors.tolist(), strict=True)]

    def _shape_steps(self, batch: KVBatchMeta, found: Rollouts, made: Batch, weighted: list[torch.Tensor]) -> dict[str, float]:
        """Add the difference of each step's advantage from its response's to ``weighted``, in place; return the metrics.

        Raises:
            InputError: the reward model gives no step scores.
        """
        if not any(found.steps):
            raise InputError(
                f"the rule {self.hero.rule.name!r} shapes the advantages of steps, and no response of the batch has step "
                "scores: hero.reward_model.name must name a process reward model, such as process:PATH"
            )
        from hero_rl.contrib.process import StepReader, shape_steps

        reader = self._reader = self._reader or StepReader.of(self.tokenizer)  # verl has none yet when the trainer is made
        data = tq.kv_batch_get(batch.keys, batch.partition_id, select_fields=["responses", "response_mask"])
        responses, masks = data["responses"].unbind(), data["response_mask"].unbind()
        steps = [
            # tokens that the policy did not write (a tool's) have no advantage
            reader.read_written(written if bool(masks[row].all()) else "", responses[row].tolist())
            for row, written in zip(found.final.tolist(), found.steps, strict=True)
        ]
        shaped, numbers = shape_steps(self.hero.rule, made, steps)
        for row, advantage, values, known in zip(
            found.final.tolist(), made.advantages.tolist(), shaped.steps, steps, strict=True
        ):
            if known.lengths.size:
                moved = np.repeat(values - advantage, known.lengths)
                weighted[row] = weighted[row] + torch.as_tensor(moved, dtype=weighted[row].dtype)
        return numbers

    def _save_checkpoint(self) -> None:
        """Save as verl does, with the rule's state in the checkpoint."""
        # First, because verl's last act names the checkpoint as the one to resume from.
        folder = Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}"
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / STATE_FILE, json.dumps(self.hero.state_dict()) + "\n")
        super()._save_checkpoint()

    def _load_checkpoint(self) -> None:
        """Resume as verl does, and continue the rule's state.

        Raises:
            InputError: the checkpoint has no state, and the rule needs one; or it is another rule's.
        """
        super()._load_checkpoint()
        if self.global_steps == 0:
            return
        trainer = self.config.trainer
        resumed = trainer.resume_from_path if trainer.resume_mode == "resume_path" else None
        file = Path(resumed or os.path.join(trainer.default_local_dir, f"global_step_{self.global_steps}")) / STATE_FILE
        if file.is_file():
            self.hero.load_state_dict(json.loads(file.read_text(encoding="utf-8")))
        elif self.hero.rule.stateful:
            raise InputError(
                f"{file} is missing: the checkpoint was not written by a hero trainer mode, and the rule "
                f"{self.hero.rule.name!r} cannot continue its state. Start a new run from its weights instead"
            )


@register_trainer("hero_sync")
class HeroSync(HeroMixin, PPOTrainerSync):
    """verl's ``sync`` with shaped rewards."""

    base_mode = "sync"


@register_trainer("hero_colocate_async")
class HeroColocateAsync(HeroMixin, PPOTrainerColocateAsync):
    """verl's ``colocate_async`` with shaped rewards."""

    base_mode = "colocate_async"


@register_trainer("hero_separate_async")
class HeroSeparateAsync(HeroMixin, PPOTrainerSeparateAsync):
    """verl's ``separate_async`` with shaped rewards. The rule's state moves once per mini-batch."""

    base_mode = "separate_async"


def _is_padding(batch: KVBatchMeta) -> np.ndarray:
    """Return the rows that verl added to fill the batch, shape (R,); they hold a copy of the first row's signals."""
    return np.array([bool(tag.get("is_padding", False)) for tag in batch.tags], dtype=bool)


def _rows(batch: KVBatchMeta, uids: list[str], extra_fields: list[Any]) -> list[Row]:
    rows = []
    for key, uid, extra, padding in zip(batch.keys, uids, extra_fields, _is_padding(batch), strict=True):
        rollout, _, index = key.rpartition("_")  # {uid}_{session}_{output}
        info = (extra or {}).get("reward_extra_info", {}) if not padding else None
        rows.append(Row(uid, rollout, int(index), info))
    return rows


def _on_last_token(rm_scores: torch.Tensor, rewards_R: np.ndarray) -> torch.Tensor:
    """Return the shaped rewards where verl keeps a reward; 0 where left out or padding."""
    rows = []
    for row, reward in zip(rm_scores.unbind(), np.nan_to_num(rewards_R, nan=0.0).tolist(), strict=True):
        filled = torch.zeros_like(row)
        filled[-1:] = reward
        rows.append(filled)
    return _jagged(rows)


def _set_apart(uids: list[str], alone: np.ndarray) -> list[str]:
    """Return prompt ids in which each response left out is a group of its own, so that no baseline contains it."""
    return [f"{uid}-left-out-{uuid.uuid4().hex}" if out else uid for uid, out in zip(uids, alone, strict=True)]


def _jagged(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def _put(batch: KVBatchMeta, **fields: torch.Tensor | list[str]) -> None:
    values: TensorDict = tensordict_utils.get_tensordict(dict(fields))
    tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=values)
