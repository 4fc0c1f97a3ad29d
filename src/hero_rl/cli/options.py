"""Options that commands share: each group is a NamedTuple, whose fields ``spread`` makes options of a command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias, get_type_hints

import typer

from hero_rl.cli import show
from hero_rl.config import RewardConfig, read_reward
from hero_rl.data.formats import NAMES as FORMATS
from hero_rl.data.rollouts import Columns, layout_of, rollout_records
from hero_rl.data.tables import first_records
from hero_rl.errors import InputError
from hero_rl.part_names import API_KEY, REWARD_MODELS, VERIFIERS, column_of, names
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
    str | None, typer.Option("--rule", help="Rule that combines verdict and score; default: hero.", metavar="NAME")
]
VerifierName: TypeAlias = Annotated[
    str | None, typer.Option("--verifier", help="Decides which responses are correct; default: math.", metavar="NAME")
]
RewardModelName: TypeAlias = Annotated[
    str | None, typer.Option("--reward-model", help="Scores each response; needed by most rules.", metavar="NAME")
]
Policy: TypeAlias = Annotated[
    str | None, typer.Option(help="Of the maths verifier: strict or balanced (may abstain), or binary (never).")
]
Workers: TypeAlias = Annotated[
    int | None, typer.Option(help="Processes of a verifier that has some; default: one per CPU.", min=1)
]
Alpha: TypeAlias = Annotated[float | None, typer.Option(help="Half-width of the band of incorrect responses.")]
Beta: TypeAlias = Annotated[float | None, typer.Option(help="Half-width of the band of correct responses; alpha + beta < 1.")]
MaxFailureRate: TypeAlias = Annotated[
    float | None, typer.Option(help="Stop where a larger share of rows fails; default: 0.1.", metavar="SHARE")
]
Prompts: TypeAlias = Annotated[
    str | None, typer.Option("--group-by", help="Column that tells prompts apart; default: prompt_id, or the problem and step.")
]

Format: TypeAlias = Annotated[
    str, typer.Option("--format", help=f"Whose rollouts these are: {', '.join(FORMATS)}.", metavar="NAME")
]
Places: TypeAlias = Annotated[
    str | None,
    typer.Option("--columns", help="Where columns stand; paths too.", metavar="problem=input,reference=extra_info.answer,..."),
]

VERIFIER_NAMES = f"Verifiers:      {names(VERIFIERS)}"
NAMES = f"""Rules:          {", ".join(RULES)}, module:function
{VERIFIER_NAMES}, none
Reward models:  {names(REWARD_MODELS)}
Settings:       `hero reward show` lists the keys for --set and the file; docs/settings.md explains them.

Servers get the key in the environment variable {API_KEY}, if it is set."""


class RewardOptions(NamedTuple):
    """All options that describe a reward."""

    reward: RewardFile = None
    rule: RuleName = None
    verifier: VerifierName = None
    reward_model: RewardModelName = None
    policy: Policy = None
    workers: Workers = None
    alpha: Alpha = None
    beta: Beta = None
    assignments: Assignments = None
    max_failure_rate: MaxFailureRate = None

    def load(self) -> RewardConfig:
        """Return the reward, after warnings of what in it would cancel or hurt; raises as ``load``."""
        config = load(**self._asdict())
        for warning in config.warnings():
            show.warn(warning)
        return config


class VerifierOptions(NamedTuple):
    """The options that describe a verifier."""

    reward: RewardFile = None
    verifier: VerifierName = None
    policy: Policy = None
    workers: Workers = None
    assignments: Assignments = None
    max_failure_rate: MaxFailureRate = None

    def load(self) -> RewardConfig:
        """Return a reward with this verifier; raises as ``load``."""
        return load(signals=False, **self._asdict())


class Reading(NamedTuple):
    """The options that say how rollouts are read."""

    form: Format = "auto"
    places: Places = None

    def columns(self, source: Path, group_by: str | None = "prompt_id", **needs: Any) -> Columns:
        """Return how the source is read, after a line on stderr that says what was recognised, if it is not our own format."""
        places = pairs("--columns", (self.places or "").split(","))
        columns = Columns(group_by=group_by, format=self.form, places=places, **needs)
        (first,) = first_records(source)
        layout = layout_of(first, columns)
        told: list[str] = []
        if not layout.is_own:
            told.append(f"read as {layout.format} ({', '.join(f'{name}={path}' for name, path in layout.places.items())})")
        row = next(rollout_records(source, columns)).values
        if group_by == "prompt_id" and "prompt_id" not in row:
            told.append("without prompt_id: responses to the same problem" + " at one step" * ("step" in row) + " are a group")
        if told:
            show.note(f"{source}: {'; '.join(told)}")
        return columns


def needs_references(config: RewardConfig) -> bool:
    """Return whether verdicts come from more than a column."""
    verifier = config.verifier
    return verifier["name"] != "none" and not (column_of(verifier["name"]) and not verifier.get("fallback"))


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the NAME=VALUE texts as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not text.strip():
            continue
        if not (name and equals and value):
            raise InputError(f"{option} {text}: expected NAME=VALUE")
        found[name] = value
    return found


def spread(command: Callable[..., object]) -> Callable[..., object]:
    """Return a command with an option per field of each parameter that is a NamedTuple."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if hasattr(kind, "_fields")}
    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        if one.name not in groups:
            parameters.append(one.replace(kind=one.KEYWORD_ONLY, annotation=hints[one.name]))
            continue
        defaults = groups[one.name]._field_defaults
        parameters += [
            inspect.Parameter(name, one.KEYWORD_ONLY, annotation=kind, default=defaults.get(name, one.empty))
            for name, kind in get_type_hints(groups[one.name], include_extras=True).items()
        ]

    @functools.wraps(command)
    def run(**given: Any) -> object:
        made = {name: kind(**{field: given.pop(field) for field in kind._fields}) for name, kind in groups.items()}
        return command(**given, **made)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def load(
    reward: Path | None = None,
    assignments: Sequence[str] | None = None,
    *,
    signals: bool = True,
    present: bool = True,
    **flags: Any,
) -> RewardConfig:
    """Return the reward of ``--reward``, short flags by name and ``--set``, the last the strongest; as ``read_reward``."""
    said = [Layer("--" + name.replace("_", "-"), _layer(name, value)) for name, value in flags.items() if value is not None]
    sets = [assignment(text) for text in reversed(assignments or [])]
    return read_reward([sets, said, [read_file(reward)] if reward else []], signals=signals, present=present)


def _layer(flag: str, value: object) -> dict[str, Any]:
    if flag in ("alpha", "beta"):
        return {"rule": {flag: value}}
    if flag in ("policy", "workers"):
        return {"verifier": {flag: value}}
    return {flag: value if flag == "max_failure_rate" else {"name": value}}


def counted(verifier: Verifier | None, scorer: Scorer | None = None) -> dict[str, Any]:
    """Return who decided what in a cascade, and by part how often a cache knew the result."""
    parts = [part for part in (verifier, scorer) if part is not None]
    return {
        "decided": verifier.decisions() if verifier is not None else None,
        "cache": {name: use for part in parts for name, use in part.cache_use().items()},
    }


def counted_rows(counts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of a table for what ``counted`` returns."""
    rows: list[tuple[str, str]] = []
    if (decided := counts["decided"]) is not None:
        rows = [
            ("decided by rule", str(decided["symbolic_correct"] + decided["symbolic_incorrect"])),
            ("decided by a model", str(decided["learned_correct"] + decided["learned_incorrect"])),
            ("questions to the model", str(decided["questions"])),
            ("over budget", str(decided["over_budget"])),
        ]
    used = counts["cache"].items()
    return rows + [(f"cache hits, {name}", f"{use['stored']} of {use['stored'] + use['computed']}") for name, use in used]
