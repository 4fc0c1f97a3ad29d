#!/usr/bin/env bash
# The reward model as a server for compute_score (hero.yaml: hero.reward_model.name). On a GPU that the training does not use; start as
# many as you have GPUs for, on ports or machines of their own, and name all of them: vllm:MODEL@URL,URL.
set -euo pipefail
# For AceMath-7B-RM, made for 4,096 positions. Rotary positions run further, with what loss of quality nobody has said.
export VLLM_ALLOW_LONG_MAX_MODEL_LEN=1
exec vllm serve $REWARD_MODEL_ID --runner pooling --convert classify --host 0.0.0.0 --port 8000 --max-model-len $RM_LENGTH "$@"
