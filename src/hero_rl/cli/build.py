"""Short strings to objects: the one place that knows `math`, `column:NAME` and `local:PATH`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hero_rl import rewards
from hero_rl.errors import InputError
from hero_rl.rewards import APPENDIX, MAIN_TEXT, RewardRule
from hero_rl.rewards.weights import WeightSettings
from hero_rl.types import Scorer, Verifier

PRESETS: Mapping[str, WeightSettings] = {"appendix": APPENDIX, "main-text": MAIN_TEXT}


T = TypeVar("T")


class VerifierOptions(NamedTuple):
    """What commands and recipes can say about a verifier; None: the verifier's own default."""

    policy: str | None = None
    deadline_s: float | None = None
    workers: int | None = None


def _math(argument: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import MathVerifier

    return MathVerifier(**_given(**options._asdict()))


def _exact(argument: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import ExactVerifier

    _refuse("--verifier exact", policy=options.policy, deadline=options.deadline_s)
    return ExactVerifier()


def _hendrycks(argument: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers.compat import HendrycksVerifier

    _refuse("--verifier hendrycks", policy=options.policy, deadline=options.deadline_s)
    return HendrycksVerifier()


def _math_verify(argument: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers.compat import MathVerifyVerifier

    _refuse("--verifier math_verify", policy=options.policy)
    return MathVerifyVerifier(**_given(deadline_s=options.deadline_s, workers=options.workers))


def _column_verifier(argument: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import ColumnVerifier

    _refuse(f"--verifier column:{argument}", policy=options.policy, deadline=options.deadline_s)
    return ColumnVerifier(argument)


def _column_scorer(argument: str) -> Scorer:
    from hero_rl.scorers import ColumnScorer

    return ColumnScorer(argument)


def _local_scorer(argument: str) -> Scorer:
    from hero_rl.scorers import LocalScorer

    return LocalScorer(argument)


VERIFIERS: Mapping[str, Callable[[str, VerifierOptions], Verifier]] = {
    "math": _math,
    "exact": _exact,
    "hendrycks": _hendrycks,
    "math_verify": _math_verify,
    "column": _column_verifier,
}
SCORERS: Mapping[str, Callable[[str], Scorer]] = {"column": _column_scorer, "local": _local_scorer}
ARGUMENTS: Mapping[str, str] = {"column": "NAME", "local": "PATH"}
"""Short strings that need something after a colon, and what it is."""


def make_rule(name: str, options: Mapping[str, object], *, preset: str | None = None) -> RewardRule:
    """The rule of that name, as ``rewards.make_rule`` makes it; messages speak of options of the command.

    Args:
        name: a key of ``rewards.RULES``.
        options: its arguments; None: not given.
        preset: a key of ``PRESETS`` for what ``options`` leaves open.

    Raises:
        InputError: an unknown name, an option that the rule does not have, a value out of range.
    """
    _lookup(rewards.RULES, name, "--rule")
    given = _given(**options)
    if preset is not None:
        given = {**_lookup(PRESETS, preset, "--preset"), **given}
    known = rewards.rule_settings(name)
    foreign = [key for key in given if key not in known]
    if foreign:
        own = [key for key in known if key in options]
        raise InputError(
            f"the rule {name!r} has no option {_flags(foreign)}"
            + (" (from --preset)" if preset is not None and not set(foreign) & set(_given(**options)) else "")
            + f"; it has {_flags(own) if own else 'none of the options for rules'}"
        )
    return rewards.make_rule(name, given)


def make_verifier(spec: str, options: VerifierOptions | None = None) -> Verifier | None:
    """The verifier that a string such as `math` or `column:correct` names; None for `none`.

    Raises:
        InputError: unknown name, missing argument, an option that this verifier does not have.
        MissingDependencyError: the verifier's package is not installed.
    """
    options = options or VerifierOptions()
    if spec == "none":
        _refuse("--verifier none", policy=options.policy, deadline=options.deadline_s)
        return None
    name, argument = _split(spec, VERIFIERS, "--verifier")
    return VERIFIERS[name](argument, options)


def check_scorer(spec: str) -> None:
    """Nothing, where `make_scorer` has a chance; costs nothing, while making one may load gigabytes.

    Raises:
        InputError: unknown name, missing argument, a path that does not exist.
    """
    name, argument = _split(spec, SCORERS, "--reward-model")
    path = Path(argument).expanduser()
    if name == "local" and not path.exists() and (argument[0] in "./~" or argument.count("/") != 1):
        raise InputError(
            f"--reward-model {spec}: no such folder as {argument!r}; give the folder of a saved transformers "
            "sequence-classification model, or the id of one on the Hugging Face hub (owner/name)"
        )


def make_scorer(spec: str) -> Scorer:
    """The reward model that a string such as `column:rm_score` or `local:PATH` names.

    Raises:
        InputError: as ``check_scorer``, or the model cannot be loaded.
        MissingDependencyError: transformers is not installed.
    """
    check_scorer(spec)
    name, argument = _split(spec, SCORERS, "--reward-model")
    return SCORERS[name](argument)


def column_of(spec: str | None) -> tuple[str, ...]:
    """The one column that `column:NAME` reads; nothing for other strings."""
    name, _, argument = (spec or "").partition(":")
    return (argument,) if name == "column" and argument else ()


def names(table: Mapping[str, object]) -> str:
    """The short strings of a table as people type them: `math, exact, column:NAME`."""
    return ", ".join(f"{name}:{ARGUMENTS[name]}" if name in ARGUMENTS else name for name in table)


def _split(spec: str, table: Mapping[str, object], option: str) -> tuple[str, str]:
    name, colon, argument = spec.partition(":")
    _lookup(table, name, option)
    wanted = ARGUMENTS.get(name)
    if wanted and not argument:
        raise InputError(f"{option} {spec}: nothing after the colon; write {name}:{wanted}, such as {_EXAMPLES[name]}")
    if colon and not wanted:
        raise InputError(f"{option} {spec}: {name!r} takes nothing after a colon; write {name}")
    return name, argument


_EXAMPLES = {"column": "column:correct", "local": "local:./my-reward-model"}


def _lookup(table: Mapping[str, T], name: str, option: str) -> T:
    if name not in table:
        raise InputError(f"{option} {name}: unknown; choose one of {names(table)}")
    return table[name]


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _refuse(what: str, **options: object) -> None:
    foreign = list(_given(**options))
    if foreign:
        raise InputError(f"{what} has no option {_flags(foreign)}; leave it out")


def _flags(names: list[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)
