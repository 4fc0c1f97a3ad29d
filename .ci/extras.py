"""Install the built wheel with each extra alone, in a clean environment, and run the commands that need it.

    python .ci/extras.py [--newest] [EXTRA ...]      all but those that need torch or a compiler where none is named

`train`, `lab` and `verl` install torch, `gym` compiles: name them. Versions are those of constraints.txt, for verl of
constraints-verl.txt, or with --newest the newest ones, which a user gets. pip takes packages from wherever it is configured to.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTALL_S, COMMAND_S = 900, 120
SCORES = "--verifier exact --reward-model column:rm_score"
NOBODY = "http://127.0.0.1:9"
UNREACHED = f"2>error; cat error; grep -q {NOBODY} error && ! grep -q 'pip install' error"
"""The end of a command that asks a server where nobody listens: the message names the server, and no missing package."""
SERVE = """
import json, subprocess
from hero_rl.engines.service.client import RewardClient, make_group
command = "hero serve --port 0 --json --verifier exact --reward-model column:rm_score"
with subprocess.Popen(command.split(), stdout=subprocess.PIPE, text=True) as server:
    try:
        client = RewardClient(json.loads(server.stdout.readline())["url"])
        rows = [{"response": "2", "rm_score": 0.5}, {"response": "3", "rm_score": 0.1}]
        batch = client.score_groups([make_group("1+1", "2", rows)])
        assert batch.groups[0].advantages[0] > 0 > batch.groups[0].advantages[1], batch
    finally:
        server.terminate()
"""
COMMANDS = {
    "core": [
        "hero --version",
        "hero doctor",
        f"hero score rollouts.jsonl -o scored.jsonl {SCORES}",
        "hero verify rollouts.jsonl -o verdicts.jsonl --verifier exact",
        "hero reward init -o reward.toml --reward-model column:rm_score && hero reward show reward.toml",
        # the hint of a command whose extra is missing is a command that installs it
        'test "$(hero audit rollouts.jsonl --verifier exact -o audit 2>error >&2; echo $?)" = 2 && cat error',
        'sh -c "$(sed -n "s/.*not installed: //p" error)"',
        "hero audit rollouts.jsonl --verifier exact -o audit && test -s audit/report.html",
    ],
    "math": [
        "hero score rollouts.jsonl -o scored.jsonl --reward-model column:rm_score",
        "hero verify rollouts.jsonl -o v.jsonl",
    ],
    "report": ["hero audit rollouts.jsonl --verifier exact -o audit && test -s audit/report.html", "hero demo --help"],
    "remote": [f"hero verify rollouts.jsonl -o v.jsonl --verifier judge:{NOBODY} {UNREACHED}"],
    "serve": ["python serve.py"],
    "postgres": [f"! hero serve {SCORES} --state postgresql://hero@127.0.0.1:9/hero 2>error; cat error; grep -q refused error"],
    "view": ["hero view rollouts.jsonl --html page.html && test -s page.html"],
    "eval": [
        "hero eval run --list",
        f"hero eval run policy@{NOBODY} --data problems.jsonl -o eval {UNREACHED}",
        "python -c 'from hero_rl.measures import paired_difference as d; print(d([0, 0.5, 1], [0.5, 1, 1]))'",  # scipy
    ],
    "train": [
        "hero train --list",
        "python -c 'from hero_rl.engines.trl import HeroTrainer'",
    ],
    "lab": ["hero lab --steps 2 --rules hero && test -s runs/lab/report.html"],
    "gym": [
        "hero data prepare reasoning-gym:chain_sum,leg_counting -n 8 -o tasks.jsonl",
        """sed -E 's/("reference": ("[^"]*"))/\\1, "response": \\2/' tasks.jsonl >answered.jsonl""",
        "hero verify answered.jsonl -o v.jsonl --verifier reasoning-gym --json | grep '\"correct\": 8'",
    ],
    "verl": [
        "hero recipe verl --model qwen3-4b --regime hard --problems problems.jsonl -o recipe && test -s recipe/run.sh",
        "hero verify rollouts.jsonl -o v.jsonl",  # its own ANTLR
        "python -c 'from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY as r; import verl; r[\"hero_sync\"]'",
        "recipe/run.sh --cfg job >job && grep -q 'trainer_mode: hero_sync' job",  # verl composes the configuration, and ends
    ],
}
TORCH = ("train", "lab", "verl")
ON_REQUEST = (*TORCH, "gym")


def main() -> int:
    """Return 1 if an extra cannot be installed or one of its commands fails, after printing which."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=f"of {', '.join(COMMANDS)}")
    parser.add_argument("--newest", action="store_true", help="the newest versions, which a user gets")
    given = parser.parse_args()
    if unknown := set(given.extras) - set(COMMANDS):
        parser.error(f"no such extra: {', '.join(sorted(unknown))}; choose of {', '.join(COMMANDS)}")
    with tempfile.TemporaryDirectory(prefix="hero-extras-") as name:
        folder = Path(name)
        run(f"{sys.executable} -m pip wheel --quiet --no-deps --wheel-dir {folder} {ROOT}", folder, INSTALL_S)
        wheel = next(folder.glob("hero_rl-*.whl"))
        chosen = given.extras or [extra for extra in COMMANDS if extra not in ON_REQUEST]
        failed = [extra for extra in chosen if not check(extra, wheel, pinned=not given.newest)]
    say(f"failed: {', '.join(failed)}" if failed else "every extra runs its commands")
    return bool(failed)


def check(extra: str, wheel: Path, *, pinned: bool) -> bool:
    """Return whether one extra can be installed alone and its commands run."""
    start = time.monotonic()
    if pinned:
        os.environ["PIP_CONSTRAINT"] = str(ROOT / ("constraints-verl.txt" if extra == "verl" else "constraints.txt"))
    with tempfile.TemporaryDirectory(prefix=f"{extra}-", dir=wheel.parent) as name:
        folder = Path(name)
        rows = [
            {"prompt_id": f"p{p}", "problem": f"{p}+1", "reference": str(p + 1), "response": str(p + k), "rm_score": 0.1 * k}
            for p in range(6) for k in range(4)
        ]  # fmt: skip
        (folder / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[::4]))
        (folder / "serve.py").write_text(SERVE)
        wanted = wheel if extra == "core" else f"{wheel}[{extra}]"
        torch = ["pip install --quiet torch"] if extra in TORCH else []  # the build of the constraints, and not one for CUDA
        try:
            run(f"{sys.executable} -m venv venv", folder, INSTALL_S)
            for command in (*torch, f"pip install --quiet '{wanted}'"):
                run(command, folder, INSTALL_S)
            installed = time.monotonic()
            for command in COMMANDS[extra]:
                run(command, folder, COMMAND_S * (5 if extra in TORCH else 1))
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            output: bytes | str = error.output or ""  # bytes where time ran out
            say(f"{extra}: {error}\n{output.decode(errors='replace') if isinstance(output, bytes) else output}")
            return False
    say(f"{extra}: installed in {installed - start:.0f} s, commands ran in {time.monotonic() - installed:.0f} s")
    return True


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(command: str, folder: Path, timeout_s: float) -> None:
    """Run a shell command of the environment in ``folder``; raise with its output if it fails."""
    environment = {**os.environ, "PATH": f"{folder}/venv/bin:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, timeout=timeout_s, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
