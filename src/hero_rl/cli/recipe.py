"""`hero recipe`: launch scripts and configurations for an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import show
from hero_rl.engines.verl.recipe import DEFAULT_RM, PAPER_RM, POLICIES, REGIMES, VerlRecipe, write_recipe
from hero_rl.rewards import RULES

HELP = "Write launch scripts and configurations for an engine."


def verl(
    model: Annotated[str, typer.Option(help=f"The policy: {', '.join(POLICIES)}, a Hugging Face id or a folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A new folder.")],
    regime: Annotated[str, typer.Option(help=f"The training problems: {', '.join(REGIMES)}.")] = "mixed",
    rule: Annotated[str, typer.Option(help=f"The reward rule: {', '.join(RULES)}.")] = "hero",
    policy: Annotated[
        str | None, typer.Option(metavar="PATH", help="The cold-started checkpoint to train; by default the base model itself.")
    ] = None,
    reward_model: Annotated[
        str | None,
        typer.Option(metavar="ID", help=f"Served; by default {PAPER_RM} for the paper's policies, else {DEFAULT_RM}."),
    ] = None,
    reward_model_url: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Where the reward model is served; repeat it for replicas.")
    ] = None,
    max_response: Annotated[int | None, typer.Option(help="Tokens of a response; default: the paper's, or 4096.")] = None,
    nodes: Annotated[int, typer.Option(help="Machines.")] = 8,
    gpus: Annotated[int, typer.Option(help="GPUs of each.")] = 4,
    problems: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Problems to train on: one {problem, reference} a row.")
    ] = None,
    validation: Annotated[Path | None, typer.Option(metavar="FILE", help="Problems to validate on, once an epoch.")] = None,
    as_json: show.Json = False,
) -> None:
    """Write a launch script and a configuration for verl: HERO's settings (arXiv 2510.07242), ready to edit.

    DIR gets run.sh, hero.yaml (what differs from verl's defaults, with a comment wherever the paper is silent), reward_model.sh
    and, where problems are given, the data that verl reads.

    \b
    Examples:
      hero recipe verl --model Qwen/Qwen3-8B --nodes 2 --gpus 8 --problems problems.jsonl -o qwen-8b
      hero recipe verl --model qwen3-4b --regime hard --problems hard.jsonl -o qwen-hard
      qwen-hard/reward_model.sh &
      qwen-hard/run.sh
    """  # noqa: D301  # the backspace is typer's mark for lines that are not to be joined
    urls = tuple(reward_model_url or ("http://127.0.0.1:8000",))
    written = write_recipe(
        VerlRecipe(
            model=model, regime=regime, rule=rule, policy_path=policy, reward_model=reward_model, reward_model_urls=urls,
            max_response=max_response, nodes=nodes, gpus_per_node=gpus, problems=problems, validation=validation,
        ),
        output,
    )  # fmt: skip
    if as_json:
        show.print_json({"folder": str(output), "files": [path.name for path in written]})
        return
    what = {
        "hero.yaml": "what differs from verl's defaults",
        "run.sh": "starts the training",
        "reward_model.sh": "serves the reward model, with vLLM",
        "train.parquet": "problems in verl's form",
        "validation.parquet": "problems in verl's form",
    }
    show.print_table(str(output), [(path.name, what[path.name]) for path in written])


COMMANDS = {"verl": verl}
