"""Time and memory of `hero view` on many rollouts, over HTTP as a browser asks.

    python benchmarks/view.py [--rows 1000000] [--json]

Makes a Parquet file of random responses (100 words each, 16 per prompt), starts the command, and asks for pages as the browser
does. Targets with a million rows on two free cores: first page from the start of the command and filters at most 1 s each, peak
memory of the process at most 500 MB. --lines measures the same rows as JSON Lines, which have to be copied first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np

WORDS = "let the value of x be so we get sum 3 4 12 frac equals then therefore answer is number prime divide both sides by root"
ASKED = {
    "a page": "groups", "one group": "groups/1000?rule=recorded", "rejected, high score": "groups?kind=rejected_high",
    "abstained": "groups?kind=abstained", "no gradient": "groups?kind=no_gradient", "sorted": "groups?sort=suspect",
    "length": "groups?min_chars=600", "step": "groups?step=7", "search, rare": "groups?text=boxed{777777}",
    "search, frequent": "groups?text=divide+both", "another rule, first time": "groups?rule=hero@0.2",
    "another rule, again": "groups?rule=hero@0.2&kind=no_gradient",
}  # fmt: skip


def write_rollouts(path: Path, rows: int) -> None:
    """Write ``rows`` random rollouts."""
    import pyarrow
    from pyarrow import parquet

    words, rng, writer = np.array(WORDS.split()), np.random.default_rng(0), None
    for start in range(0, rows, 50_000):
        row = np.arange(start, min(start + 50_000, rows))
        prompt = row // 16
        verdict = rng.choice([1.0, 0.0, np.nan], row.size, p=[0.45, 0.5, 0.05])
        texts = words[rng.integers(0, words.size, (row.size, 100))]
        table = pyarrow.table({
            "step": prompt // 64, "prompt_id": [f"p{one % 5000}" for one in prompt],
            "problem": [f"Problem {one % 5000}: what is ${one % 5000} + 1$?" + " Consider all cases." * 5 for one in prompt],
            "reference": [str(one % 5000 + 1) for one in prompt],
            "response": [f"{' '.join(text)} \\boxed{{{one}}}" for one, text in zip(row, texts, strict=True)],
            "verdict": verdict, "reason": np.where(verdict == 1.0, "equal", "different"), "weight": np.ones(row.size),
            "rm_score": rng.normal(size=row.size), "reward": np.nan_to_num(verdict), "advantage": np.nan_to_num(verdict) - 0.5,
        })  # fmt: skip
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def measure(path: Path) -> dict[str, float]:
    """Return seconds per request, best of three where it is not a first time, and the peak memory in MB."""
    command = [sys.executable, "-m", "hero_rl.cli", "view", str(path), "--port", "0", "--json"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            with urlopen(said["url"] + "api/groups") as answer:
                answer.read()
            found = {"reading": said["seconds"], "first page, from the start of the command": time.perf_counter() - start}
            for name, asked in ASKED.items():
                times = []
                for _ in range(1 if "first" in name else 3):
                    start = time.perf_counter()
                    with urlopen(said["url"] + "api/" + asked) as answer:
                        answer.read()
                    times.append(time.perf_counter() - start)
                found[name] = round(min(times), 3)
            status = Path(f"/proc/{process.pid}/status").read_text()
            found["peak memory, MB"] = int(status.split("VmHWM:")[1].split()[0]) * 1024 // 10**6
        finally:
            process.terminate()
    return found


def main() -> None:
    """Print a line per measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rollouts.parquet"
        write_rollouts(path, options.rows)
        if options.lines:
            import duckdb

            path, source = path.with_suffix(".jsonl"), path
            duckdb.connect().execute(f"COPY (FROM '{source}') TO '{path}' (FORMAT json)")
        found = {"rows": options.rows, "file, MB": path.stat().st_size // 1_000_000, **measure(path)}
    print(json.dumps(found) if options.json else "\n".join(f"{name:<28} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
