"""A batch as verl's agent loop leaves it in the queue, and verl's configuration as its command composes it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import transfer_queue as tq
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from hero_rl.engines.wire import to_info
from hero_rl.types import FloatArray, Verdict

OURS = (
    "trainer.v1.trainer_mode=hero_sync", "algorithm.adv_estimator=grpo", "algorithm.norm_adv_by_std_in_grpo=False",
    "actor_rollout_ref.rollout.n=4", "actor_rollout_ref.rollout.name=vllm", "+hero.rollouts=0",
    "reward.custom_reward_function.path=pkg://hero_rl.engines.verl.reward",
)  # fmt: skip


def config(*overrides: str) -> DictConfig:
    """verl's own configuration for a HERO run."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=[*OURS, *overrides])


class Response(NamedTuple):
    """One rollout: its group, its signals, and the number of tokens of each of its outputs."""

    group: str
    verdict: float
    """NaN: abstained."""
    score: float
    tokens: tuple[int, ...] = (5,)
    ids: tuple[int, ...] | None = None
    """Its tokens, where they matter; then it has one output."""
    steps: str = ""
    """As ``write_steps`` wrote them."""


def put(responses: Sequence[Response], *, shuffle: int | None = None) -> KVBatchMeta:
    """The batch in the queue, as ``AgentLoopWorkerTQ`` writes it: a row an output, keys ``{uid}_{session}_{output}``."""
    uids: dict[str, str] = {}
    sessions: dict[str, int] = {}
    keys, rows = [], []
    for response in responses:
        uid = uids.setdefault(response.group, uuid.uuid4().hex)
        session = sessions.get(response.group, 0)
        sessions[response.group] = session + 1
        outputs = response.tokens if response.ids is None else (len(response.ids),)
        for output, tokens in enumerate(outputs):
            keys.append(f"{uid}_{session}_{output}")
            rows.append(_row(uid, range(tokens) if response.ids is None else response.ids, _info(response)))
    order = list(range(len(keys))) if shuffle is None else np.random.default_rng(shuffle).permutation(len(keys)).tolist()
    keys, rows = [keys[i] for i in order], [rows[i] for i in order]
    tags = [{"status": "success", "seq_len": len(row["input_ids"])} for row in rows]
    tq.kv_batch_put(keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(rows), tags=tags)
    return KVBatchMeta(partition_id="train", keys=keys, tags=tags)


def read(batch: KVBatchMeta, field: str) -> list[Any]:
    """One field, a row an entry."""
    values = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=[field]).pop(field)
    return list(values.unbind()) if isinstance(values, torch.Tensor) else values.tolist()


def advantages(batch: KVBatchMeta) -> FloatArray:
    """Shape (rows,): the advantage of each row, which is the same at all of its tokens."""
    rows = read(batch, "advantages")
    for row in rows:
        assert torch.equal(row, row[:1].expand_as(row))
    return np.array([row[0].item() if len(row) else 0.0 for row in rows])


def _info(response: Response) -> Mapping[str, float | str]:
    label = "abstain" if np.isnan(response.verdict) else "correct" if response.verdict else "incorrect"
    return to_info(Verdict(label, "given"), response.score, response.steps)


def _row(uid: str, token_ids: Sequence[int], info: Mapping[str, float | str]) -> dict[str, Any]:
    prompt = torch.arange(3)
    responses, tokens = torch.tensor(list(token_ids)), len(token_ids)
    rm_scores = torch.zeros(tokens)
    rm_scores[-1] = float(info["score"])
    ids = torch.cat([prompt, responses])
    return {
        "uid": uid, "prompts": prompt, "responses": responses, "input_ids": ids, "attention_mask": torch.ones_like(ids),
        "position_ids": torch.arange(len(ids)), "response_mask": torch.ones(tokens, dtype=torch.int64),
        "loss_mask": torch.ones(tokens, dtype=torch.int64), "rm_scores": rm_scores,
        "old_log_probs": torch.full((tokens,), -1.0), "ref_log_prob": torch.full((tokens,), -1.5),
        "rollout_log_probs": torch.full((tokens,), -1.0), "extra_fields": {"reward_extra_info": dict(info)},
    }  # fmt: skip
