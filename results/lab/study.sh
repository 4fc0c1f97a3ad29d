#!/usr/bin/env bash
# The lab's comparison: three regimes, with and without KL, five seeds, every rule with the settings that tune.py chose on
# development prompts. Resumable: a run that has its result is not repeated. About an hour of two cores.
#
#     bash results/lab/study.sh [OUT]        then   python results/lab/summarize.py
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-runs/study}
hero=.venv/bin/hero
keep() { gzip -9 -n < "$out/results.jsonl" > "results/lab/$1.jsonl.gz"; }

for regime in hard verifiable mixed; do
    $hero lab --regime "$regime" --seeds 0-4 --out "$out"
    keep "$regime-kl0"
done
$hero lab --regime hard --kl 0.05 --seeds 0-4 --out "$out"
keep hard-kl0.05
for regime in verifiable mixed; do
    $hero lab --regime "$regime" --kl 0.05 --seeds 0-4 --rules "verifier_only rm_only naive_sum hero" --out "$out"
    keep "$regime-kl0.05"
done

# Ablations, on hard prompts without KL.
$hero lab --regime hard --seeds 0-4 --out "$out" \
    --rules "hero hero:singleton=center hero:weighting=false"
keep "ablations-kl0"
