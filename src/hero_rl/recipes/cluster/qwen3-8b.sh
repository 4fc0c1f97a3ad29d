#!/usr/bin/env bash
# HERO on several machines with verl: Qwen3-8B on 2 nodes of 8 cards of 80 GB, a reward model on cards of its own (or another
# machine's). Change the model and the numbers as you like; docs/verl.md has every option. Not run by this project at this size.
# Before: hero-rl with its extra `verl` and vLLM in one environment on every node, and a Ray cluster (`ray start`).
set -euo pipefail
hf download Qwen/Qwen3-8B
hf download Skywork/Skywork-Reward-V2-Qwen3-8B  # Apache-2.0
hero data prepare open-r1/DAPO-Math-17k-Processed --config en --columns problem=prompt,reference=solution -o problems.jsonl
hero recipe verl --model Qwen/Qwen3-8B --reward-model Skywork/Skywork-Reward-V2-Qwen3-8B --max-response 8192 \
    --nodes 2 --gpus 8 --problems problems.jsonl -o qwen3-8b
echo "next: qwen3-8b/reward_model.sh where the reward model is to run, then qwen3-8b/run.sh"
