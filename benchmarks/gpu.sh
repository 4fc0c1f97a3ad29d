#!/usr/bin/env bash
# Benchmarks for one GPU, in under 9 minutes on an H200: a JSON file per part in $OUT (results/benchmarks), and a summary.
#
#     bash benchmarks/gpu.sh           # scorer: LocalScorer's tokens/s; trainer: HeroTrainer against GRPOTrainer; study: its step
#     bash benchmarks/gpu.sh --toy     # all parts at toy size on the CPU
#
# A part that fails or takes too long does not stop the others; the exit code is then 1. $PYTHON (python3) needs torch,
# transformers and TRL, and no network. Bring what it lacks as wheels in .whl/; for Python 3.12 with torch, transformers,
# accelerate and pandas, but nothing of this project, these 5 MB:
#     pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
#         --platform manylinux2014_x86_64 -d .whl trl==1.16.0 datasets==5.2.0 dill==0.4.1 multiprocess==0.70.19 pydantic==2.14.3 \
#         pydantic_core==2.50.4 annotated-types==0.8.0 typing-inspection==0.4.5 typing_extensions==4.16.0
set -u
OUT=$(realpath -m "${OUT:-$(dirname "$0")/../results/benchmarks}")
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if compgen -G ".whl/*.whl" >/dev/null; then
  "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$scratch/site" .whl/*.whl || exit 1
  PYTHONPATH=$scratch/site${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} HF_HUB_OFFLINE=1
failed=""

# part NAME SECONDS PROGRAM ARGUMENTS...
part() {
  local name=$1 limit=$2
  shift 2
  if timeout --kill-after=10 "$limit" "$PYTHON" "$@" >"$scratch/$name.json" 2>"$scratch/log"; then
    mv "$scratch/$name.json" "$OUT/gpu-$name.json"
    echo "$name: $("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["summary"])' "$OUT/gpu-$name.json")"
  else
    echo "$name: failed with exit code $? (124: longer than $limit s)"
    tail -n 15 "$scratch/log"
    failed+=" $name"
  fi
}

if [ "${1:-}" = --toy ]; then
  export CUDA_VISIBLE_DEVICES=
  scorer=(--models toy --rows 8 --longest 64 --matrix 128)
  trainer=(--rounds 2 --steps 1 --hidden 64 --layers 1 --rows 8 --tokens 4)
  study=(--toy --prompts 2 --group 4 --steps 2)
else
  scorer=()
  trainer=(--rounds 8 --steps 3 --hidden 1024 --layers 12 --rows 256 --tokens 64)
  study=()
  if ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "no GPU that torch sees; --toy runs on the CPU" >&2
    exit 1
  fi
fi
part scorer 150 benchmarks/scorer_gpu.py "${scorer[@]}"
part trainer 180 benchmarks/trainer.py --json "${trainer[@]}"
part study 150 benchmarks/study_step.py "${study[@]}"
if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
