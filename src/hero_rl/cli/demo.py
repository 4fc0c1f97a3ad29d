"""`hero demo`: score, audit and view a small file of rollouts that comes with the package."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import make_app, show
from hero_rl.errors import require

ROLLOUTS = Path(__file__).with_name("demo.jsonl")
"""Problems, responses, scores and labels invented for this demonstration; no model wrote them."""
STEPS = (
    "hero score {folder}/rollouts.jsonl -o {folder}/scored.jsonl --rule hero --verifier math --workers 1"
    " --reward-model column:rm_score",
    "hero audit {folder}/scored.jsonl -o {folder}/audit",
    "hero view {folder}/scored.jsonl --html {folder}/view.html",
)


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the files.")] = Path("hero-demo"),
) -> None:
    """Score, audit and view a small file of invented rollouts, on the CPU, in less than half a minute.

    Prints each command before it runs, so that the same lines can be used on other rollouts.
    """
    for module in ("math_verify", "matplotlib", "jinja2", "duckdb"):
        require(module, extra="math,report,view", purpose="hero demo")
    show.check_folder("--output", output)
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROLLOUTS, output / "rollouts.jsonl")
    start = time.perf_counter()
    for step in STEPS:
        sys.stdout.write(f"\n$ {step.format(folder=shlex.quote(str(output)))}\n")
        sys.stdout.flush()
        arguments = [part.format(folder=output) for part in step.split()[1:]]
        make_app(arguments[0])(args=arguments, prog_name="hero", standalone_mode=False)
    sys.stdout.write(
        f"\nDone in {time.perf_counter() - start:.0f} s. The rollouts are invented: they show the tools, not a result.\n"
        f"Open {output / 'view.html'} in a browser (the responses), and {output / 'audit' / 'report.html'} (the audit).\n"
    )
