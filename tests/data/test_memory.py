"""`hero score` keeps a few numbers of every row in memory and none of its texts."""

import json
import subprocess
import sys
from pathlib import Path

SCORE = """
import resource, sys
from hero_rl.cli import main
code = main(["score", sys.argv[1], "-o", sys.argv[2], "--rule", "hero", "--verifier", "column:correct",
             "--reward-model", "column:rm_score", "--json"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
raise SystemExit(code)
"""


def peak_bytes(folder: Path, prompts: int) -> int:
    source = folder / f"{prompts}.jsonl"
    with source.open("w") as file:
        for prompt in range(prompts):
            for sample in range(8):
                row = {"prompt_id": f"p{prompt}", "problem": "x" * 200, "reference": "1", "response": "y" * 400,
                       "correct": (prompt + sample) % 2, "rm_score": sample / 8}  # fmt: skip
                file.write(json.dumps(row) + "\n")
    command = [sys.executable, "-c", SCORE, str(source), str(folder / "out.jsonl")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["rows"] == 8 * prompts
    return int(finished.stderr.split()[-1])


def test_texts_are_not_kept(tmp_path):
    small, large = peak_bytes(tmp_path, 600), peak_bytes(tmp_path, 6_000)
    # the large file has 33 MB of text more; its 43,200 rows more may take 150 bytes each beside some slack
    assert large - small < 12e6
