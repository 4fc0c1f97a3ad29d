"""`hero reward`: the reward file, checked and shown, or begun."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import options, show
from hero_rl.config import RewardConfig
from hero_rl.config_checks import RULE_KEYS, SCORER_KEYS, VERIFIER_KEYS
from hero_rl.errors import InputError
from hero_rl.files import write_text
from hero_rl.imports import Setting, describe, import_object
from hero_rl.part_names import REWARD_MODELS, VERIFIERS, Kind, names
from hero_rl.parts import scorer_kinds, verifier_kinds
from hero_rl.rewards import RULES
from hero_rl.rewards.catalogue import find_rule
from hero_rl.toml_layers import dump

HELP = f"""The reward file: rule, verifier and reward model in one place, for every command and engine.

\b
{options.NAMES}
"""
KEYS: Mapping[str, str] = {
    "scale": "Normalisation of the advantages: none, group or batch; by default what suits the rule.",
    "fallback": "A second verifier, usually a model, for what the first leaves open.",
    "ask": "When it is asked: where the first says abstain, incorrect, both, or generous (abstain and generous yes).",
    "max_questions": "Most questions to it per batch.",
    "by_score": "With `max_questions`: ask about the response with the prompt's highest score first, and not in a drawn order.",
    "cache": "A file that keeps results between runs.",
    "max_failure_rate": "A larger share of failed rows among the last 256 of a run, or in a larger batch, is an error.",
    "on_unhealthy": "Where scores or lengths show that something broke in mid-run (no spread, a jump, clipping): warn or stop.",
}
"""Keys that are no argument of a constructor."""


@options.spread
def show_reward(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A reward file.", show_default=False)] = None,
    rule: options.RuleName = None,
    verifier: options.VerifierName = None,
    reward_model: options.RewardModelName = None,
    policy: options.Policy = None,
    alpha: options.Alpha = None,
    beta: options.Beta = None,
    assignments: options.Assignments = None,
    as_json: show.Json = False,
) -> None:
    """Check a reward and print it with every default filled in; warnings say what would cancel or hurt.

    \b
    Examples:
      hero reward show reward.toml --set rule.k=2
      hero reward show --rule naive_sum --reward-model column:rm_score
    """  # noqa: D301  # \b is meant: it keeps the lines of the example apart
    config = options.load(
        file, assignments, signals=file is not None, rule=rule, verifier=verifier, reward_model=reward_model, policy=policy,
        alpha=alpha, beta=beta,
    )  # fmt: skip
    if as_json:
        show.print_json({**config.resolved(), "warnings": config.warnings()})
        return
    sys.stdout.write(dump(config.resolved()))
    for warning in config.warnings():
        show.warn(warning)


def init(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")] = Path("reward.toml"),
    rule: options.RuleName = None,
    verifier: options.VerifierName = None,
    reward_model: options.RewardModelName = None,
) -> None:
    """Write a commented reward file: every setting with its default and what it means, ready to edit.

    \b
    Example:
      hero reward init -o reward.toml --reward-model local:./my-reward-model
    """  # noqa: D301  # \b is meant: it keeps the lines of the example apart
    if output.exists() or not output.parent.is_dir():
        why = "exists already; give another name" if output.exists() else f"there is no folder {output.parent}; give a file"
        raise InputError(f"{output}: {why} with --output")
    # the model may be yet to come
    config = options.load(rule=rule, verifier=verifier, reward_model=reward_model, signals=False, present=False)
    write_text(output, commented(config))
    sys.stdout.write(f"{output}: edit it, then check it with: hero reward show {output}\n")


def commented(config: RewardConfig) -> str:
    """Return the text of a reward file in which every default is a comment."""
    model = config.reward_model["name"] if config.reward_model else "column:rm_score"
    tables = {
        "rule": (
            config.rule_table["name"],
            f"{', '.join(RULES)}, module:function",
            RULE_KEYS,
            describe(find_rule(config.rule_table["name"])),
        ),
        "verifier": (judge := config.verifier["name"], names(VERIFIERS), VERIFIER_KEYS, _described(verifier_kinds(judge))),
        "reward_model": (model, names(REWARD_MODELS), SCORER_KEYS, _described(scorer_kinds(model))),
    }
    lines = ["# A reward: how a verifier's verdict and a reward model's score become one number per response."]
    lines += ["# Lines that begin with '#' show the defaults. Check the file with: hero reward show FILE", ""]
    lines += _lines([Setting(name, getattr(config, name), KEYS[name]) for name in ("max_failure_rate", "on_unhealthy")])
    for table, (name, known, keys, settings) in tables.items():
        general = [Setting(key, default, KEYS[key]) for key, default in keys.items()]
        lines += ["", f"[{table}]", *_wrapped(f"One of {known}."), f'name = "{name}"', *_lines([*general, *settings])]
    return "\n".join(lines) + "\n"


def _described(kinds: Iterable[Kind]) -> list[Setting]:
    found = [one for kind in kinds for one in describe(import_object(kind.target)) if one.name not in kind.hidden]
    return list({one.name: one for one in found}.values())


def _lines(settings: Iterable[Setting]) -> list[str]:
    lines: list[str] = []
    for one in settings:
        plain = isinstance(one.default, bool | int | float | str)
        lines += ["", *_wrapped(one.text)]
        lines.append(f"# {dump({one.name: one.default}).strip()}" if plain else f"# {one.name} =")
    return lines


def _wrapped(text: str) -> list[str]:
    import textwrap

    plain = text.replace("``", "").replace('"', "'")
    return [f"# {line}" for line in textwrap.wrap(plain[:1].upper() + plain[1:], width=110)]


COMMANDS = {"show": show_reward, "init": init}
