#!/usr/bin/env bash
# Reports of finished studies -> the kept results beside this file, the tables in docs/study, their figures in docs/figures.
#
#     bash results/study/publish.sh PLAN OUT          e.g.  situations runs/situations
set -euo pipefail
cd "$(dirname "$0")/../.."
plan=$1 out=$2
.venv/bin/hero lab study "results/study/$plan.toml" -o "$out" --report-only
mkdir -p docs/study
for file in "$out"/*.jsonl.gz; do
    name=$(basename "$file" .jsonl.gz)
    grep -q "^name = \"$name\"" "results/study/$plan.toml" || continue
    cp "$file" results/study/
    for figure in curves differences state forecast; do
        # only those that a page shows
        if [ -f "$out/$name-$figure.png" ] && [ -f "docs/figures/study-$name-$figure.png" ]; then cp "$out/$name-$figure.png" "docs/figures/study-$name-$figure.png"; fi
    done
done
cp "$out/tables.md" "docs/study/$plan.md"
