#!/usr/bin/env bash
# $TITLE, $REGIME problems, rule $RULE. Arguments go to verl: ./run.sh trainer.nnodes=1 trainer.n_gpus_per_node=8
#
# Before: hero-rl with its extra `verl` and vLLM in one environment on every node, a Ray cluster (`ray start`) where there is
# more than one node, and the reward model running (reward_model.sh).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
train="$here/train.parquet" validation="$here/validation.parquet"

if [ ! -f "$train" ]; then
    echo "$train is missing: write it with  hero recipe verl ... --problems problems.jsonl" >&2
    exit 2
fi
# verl hides why a plugin cannot be loaded, and then says that it does not know the trainer mode.
python3 -c 'import hero_rl.engines.verl.plugin'

[ -f "$validation" ] || validation=$train  # verl wants one; test_freq decides whether it is used
quoted() { local mark="'"; printf "'%s'" "${1//$mark/\\$mark}"; }  # as hydra reads a path that holds what means something to it
exec python3 -m verl.trainer.main_ppo --config-dir "$here" --config-name hero \
    "data.train_files=$(quoted "$train")" "data.val_files=$(quoted "$validation")" \
    "trainer.default_local_dir=$(quoted "$here/checkpoints")" "$@"
