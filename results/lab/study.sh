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

for kl in 0 0.05; do
    for regime in hard verifiable mixed; do
        $hero lab --regime "$regime" --kl "$kl" --seeds 0-4 --out "$out"
        keep "$regime-kl$kl"
    done
done

# Ablations and more rivals, on hard prompts without KL.
$hero lab --regime hard --seeds 0-4 --out "$out" \
    --rules "hero hero:singleton=center hero:weighting=false naive_sum:rule_weight=0.5 gated"
keep "ablations-kl0"
