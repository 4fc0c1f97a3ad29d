"""The reward on the command line: a file, ``--set``, and short flags for the quick case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from hero_rl.config import RewardConfig, read_reward
from hero_rl.part_names import API_KEY, REWARD_MODELS, VERIFIERS, names
from hero_rl.rewards import RULES
from hero_rl.toml_layers import Layer, assignment, read_file
from hero_rl.types import Scorer, Verifier

RewardFile: TypeAlias = Annotated[
    Path | None, typer.Option("--reward", metavar="FILE", help="The reward as a TOML file; `hero reward init` writes one.")
]
Assignments: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set any key of the reward file, such as rule.w_max=2; repeatable."),
]
RuleName: TypeAlias = Annotated[
    str | None, typer.Option("--rule", help="How verdict and score become a reward; default: hero.", metavar="NAME")
]
VerifierName: TypeAlias = Annotated[
    str | None, typer.Option("--verifier", help="Who says what is correct; default: math.", metavar="NAME")
]
RewardModelName: TypeAlias = Annotated[
    str | None, typer.Option("--reward-model", help="Who gives scores; needed by most rules.", metavar="NAME")
]
Policy: TypeAlias = Annotated[
    str | None, typer.Option(help="Of the maths verifier: strict or balanced (may abstain), or binary (never).")
]
Alpha: TypeAlias = Annotated[float | None, typer.Option(help="Half-width of the band of incorrect responses.")]
Beta: TypeAlias = Annotated[float | None, typer.Option(help="Half-width of the band of correct responses; alpha + beta < 1.")]
MaxFailureRate: TypeAlias = Annotated[
    float | None, typer.Option(help="Stop where a larger share of rows fails; default: 0.1.", metavar="SHARE")
]

_KEYS: Mapping[str, tuple[str, ...]] = {
    "rule": ("rule", "name"), "verifier": ("verifier", "name"), "reward_model": ("reward_model", "name"),
    "policy": ("verifier", "policy"), "alpha": ("rule", "alpha"), "beta": ("rule", "beta"),
    "max_failure_rate": ("max_failure_rate",),
}  # fmt: skip
VERIFIER_NAMES = f"Verifiers:      {names(VERIFIERS)}"
NAMES = f"""Rules:          {", ".join(RULES)}, module:function
{VERIFIER_NAMES}, none
Reward models:  {names(REWARD_MODELS)}
Settings:       `hero reward show` lists the keys for --set and the file; docs/reward.md explains them.

Servers get the key in the environment variable {API_KEY}, if it is set."""


def load(reward: Path | None, assignments: Sequence[str] | None, *, signals: bool = True, **flags: object) -> RewardConfig:
    """Return the reward of ``--reward``, short flags and ``--set``, the last the strongest.

    Args:
        reward: the file.
        assignments: of ``--set``.
        signals: as in ``load_reward``.
        flags: short flags by name; None: not given.

    Raises:
        InputError: as ``load_reward``.
    """
    return read_reward(sources(reward, assignments, **flags), signals=signals)


def sources(reward: Path | None, assignments: Sequence[str] | None, **flags: object) -> list[list[Layer]]:
    """Return the layers of ``load``, the strongest first."""
    said = [
        Layer("--" + name.replace("_", "-"), _nested(_KEYS[name], value)) for name, value in flags.items() if value is not None
    ]
    sets = [assignment(text) for text in reversed(assignments or [])]
    return [sets, said, [read_file(reward)] if reward else []]


def _nested(key: tuple[str, ...], value: object) -> dict[str, Any]:
    found: Any = value
    for part in reversed(key):
        found = {part: found}
    return found


def decided_by(verifier: Verifier | None) -> list[tuple[str, str]]:
    """Return rows for a table that say who decided what; none without a cascade."""
    counts = decisions(verifier)
    if counts is None:
        return []
    return [
        ("decided by rule", str(counts["symbolic_correct"] + counts["symbolic_incorrect"])),
        ("decided by a model", str(counts["learned_correct"] + counts["learned_incorrect"])),
        ("questions to the model", str(counts["questions"])),
        ("over budget", str(counts["over_budget"])),
    ]


def decisions(verifier: Verifier | None) -> Mapping[str, int] | None:
    """The counts of a cascade, which say who decided what; None without one."""
    return verifier.decisions() if verifier is not None else None


def cache_use(verifier: Verifier | None, scorer: Scorer | None = None) -> dict[str, dict[str, int | float]]:
    """What came out of the cache, by part; empty without one. A cascade's two verifiers count apart."""
    return {name: use for part in (verifier, scorer) if part is not None for name, use in part.cache_use().items()}


def cache_rows(used: Mapping[str, Mapping[str, int | float]]) -> list[tuple[str, str]]:
    """Rows for a table that say how often the cache knew the result."""
    return [(f"cache hits, {name}", f"{use['stored']} of {use['stored'] + use['computed']}") for name, use in used.items()]
