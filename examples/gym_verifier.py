"""The scorers of reasoning-gym (PyPI) as verifiers, one per data set.

    hero score rollouts.jsonl -o scored.jsonl --reward-model column:rm_score --verifier \
        by:data_source:gsm8k=math,chain_sum=gym_verifier:judge,leg_counting=gym_verifier:judge

Each row has the data set's name in `data_source` and the entry's `metadata` beside problem and reference.
"""

import reasoning_gym

from hero_rl import Rollout


def judge(rollout: Rollout) -> bool:
    """Return whether the data set's own scorer gives the answer full marks."""
    score = reasoning_gym.get_score_answer_fn(rollout.extra["data_source"])
    entry = {"question": rollout.problem, "answer": rollout.reference, "metadata": rollout.extra["metadata"]}
    answer = rollout.response.rpartition("<answer>")[2].partition("</answer>")[0].strip()
    return score(answer, entry) == 1.0
