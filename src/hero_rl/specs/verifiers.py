"""Verifiers by name, with a fallback behind them and a cache before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from hero_rl.errors import InputError
from hero_rl.specs.strings import address, api_key, example, given, is_url, refuse, split
from hero_rl.types import Verifier

if TYPE_CHECKING:
    from hero_rl.cache import Cache
    from hero_rl.verifiers.judge.formats import FormatName

OPTION = "--verifier"
_JUDGES: Mapping[str, str] = {
    "compass": "compass", "xverify": "xverify", "general": "general", "tinyv": "tinyv", "judge": "generic",
}  # fmt: skip


class VerifierOptions(NamedTuple):
    """What commands and recipes can say about a verifier; None: the verifier's own default."""

    policy: str | None = None
    deadline_s: float | None = None
    workers: int | None = None
    fallback: str | None = None
    """A second verifier, usually a model, for what the first leaves open."""
    ask: str | None = None
    """When the second is asked: where the first says ``abstain``, ``incorrect``, ``both``, or ``generous``."""
    max_questions: int | None = None
    """Most questions to the second per batch."""
    cache: Path | None = None
    """A file that keeps verdicts between runs."""


def _math(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import MathVerifier

    return MathVerifier(**given(policy=options.policy, deadline_s=options.deadline_s, workers=options.workers))


def _exact(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import ExactVerifier

    refuse(f"{OPTION} {spec}", policy=options.policy, deadline=options.deadline_s)
    return ExactVerifier()


def _hendrycks(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import HendrycksVerifier

    refuse(f"{OPTION} {spec}", policy=options.policy, deadline=options.deadline_s)
    return HendrycksVerifier()


def _math_verify(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import MathVerifyVerifier

    refuse(f"{OPTION} {spec}", policy=options.policy)
    return MathVerifyVerifier(**given(deadline_s=options.deadline_s, workers=options.workers))


def _choice(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import ChoiceVerifier

    refuse(f"{OPTION} {spec}", deadline=options.deadline_s)
    return ChoiceVerifier(**given(policy=options.policy))


def _column(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers import ColumnVerifier

    refuse(f"{OPTION} {spec}", policy=options.policy, deadline=options.deadline_s)
    return ColumnVerifier(argument)


def _learned(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers.learned import LearnedVerifier

    refuse(f"{OPTION} {spec}", policy=options.policy, deadline=options.deadline_s)
    return LearnedVerifier(argument)


def _judge(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers.judge import JudgeVerifier, LocalJudge

    refuse(f"{OPTION} {spec}", policy=options.policy, deadline=options.deadline_s)
    format_name = cast("FormatName", _JUDGES[spec.partition(":")[0]])
    if not is_url(argument):
        return JudgeVerifier(LocalJudge(argument), format=format_name)
    model, urls = address(argument, spec=spec, option=OPTION)
    return JudgeVerifier(urls, format=format_name, model=model, api_key=api_key())


def _panel(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers.votes import all_of, any_of, majority

    name, members = spec.partition(":")[0], _members(spec, argument)
    own = VerifierOptions(workers=options.workers)
    voters = [_single(member, own._replace(policy=options.policy if member == "math" else None)) for member in members]
    return {"any_of": any_of, "all_of": all_of, "majority": majority}[name](*voters)


def _members(spec: str, argument: str) -> list[str]:
    members: list[str] = []
    for part in argument.split(","):
        # a second address belongs to the judge before it: NAME:URL,URL are replicas
        if members and is_url(members[-1]) and part.strip().startswith(("http://", "https://")):
            members[-1] += f",{part.strip()}"
        else:
            members.append(part.strip())
    if len(members) < 2:
        raise InputError(f"{OPTION} {spec}: one voter is no vote; write {spec.partition(':')[0]}:A,B,...")
    return members


def _by(argument: str, spec: str, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers.by import ByField

    column, members = _routes(spec, argument)
    taken = {name: _takes(members.values(), name) for name in ("policy", "deadline_s")}
    refuse(
        f"{OPTION} {spec}", policy=None if taken["policy"] else options.policy,
        deadline=None if taken["deadline_s"] else options.deadline_s,
    )  # fmt: skip
    made = {member: _single(member, _share(member, options)) for member in dict.fromkeys(members.values())}
    return ByField(column, {value: made[member] for value, member in members.items()})


_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "math": ("policy", "deadline_s", "workers"), "choice": ("policy",), "math_verify": ("deadline_s", "workers"),
}  # fmt: skip
"""Which options go on from ``by:COLUMN`` to each of its verifiers."""


def _takes(members: Iterable[str], option: str) -> bool:
    return any(option in _OPTIONS.get(member, ()) for member in members)


def _share(member: str, options: VerifierOptions) -> VerifierOptions:
    return VerifierOptions(**{name: getattr(options, name) for name in _OPTIONS.get(member, ("workers",))})


class _Routes(NamedTuple):
    column: str
    members: dict[str, str]
    """For each value of the column the string of its verifier."""


def _routes(spec: str, argument: str, *, option: str = OPTION) -> _Routes:
    column, _, rest = argument.partition(":")
    if not column.strip():
        raise InputError(f"{option} {spec}: no column; write by:COLUMN:VALUE=NAME,..., such as {example('by')}")
    members: dict[str, str] = {}
    last = ""
    for part in rest.split(","):
        value, equals, member = part.partition("=")
        if last and (not equals or part.strip().startswith(("http://", "https://"))):
            members[last] += f",{part.strip()}"  # of a verifier with commas of its own: any_of:math,exact
            continue
        last = value.strip()
        if not equals or not last or not member.strip() or last in members:
            why = f"{last!r} stands there twice" if last in members else f"{part.strip()!r} is no VALUE=NAME"
            raise InputError(f"{option} {spec}: {why}; write by:COLUMN:VALUE=NAME,..., such as {example('by')}")
        members[last] = member.strip()
    return _Routes(column.strip(), members)


_PANELS = ("any_of", "all_of", "majority")
VERIFIERS: Mapping[str, Callable[[str, str, VerifierOptions], Verifier]] = {
    "math": _math,
    "exact": _exact,
    "hendrycks": _hendrycks,
    "math_verify": _math_verify,
    "choice": _choice,
    "column": _column,
    "learned": _learned,
    **dict.fromkeys(_JUDGES, _judge),
    **dict.fromkeys(_PANELS, _panel),
    "by": _by,
}


def route_column(spec: str | None) -> str | None:
    """Return the column that ``by:COLUMN:...`` routes by; None for other strings."""
    name, _, argument = (spec or "").partition(":")
    return argument.partition(":")[0] if name == "by" else None


def check_verifier(spec: str, *, option: str = OPTION) -> None:
    """Nothing, where `make_verifier` has a chance; costs nothing. ``option``: what messages call it.

    Raises:
        InputError: unknown name, missing argument, an address that is none, a vote of one.
    """
    if spec == "none":
        return
    name, argument = split(spec, VERIFIERS, option)
    if name in _JUDGES and is_url(argument):
        address(argument, spec=spec, option=option)
    if name in _PANELS:
        for member in _members(spec, argument):
            if member == "none":
                raise InputError(f"{option} {spec}: 'none' has no vote; leave it out")
            check_verifier(member, option=f"{option} {spec}:")
    if name == "by":
        for member in _routes(spec, argument, option=option).members.values():
            if member == "none" or member.startswith("by:"):
                raise InputError(f"{option} {spec}: {member!r} cannot be one of its verifiers; name one that judges by itself")
            check_verifier(member, option=f"{option} {spec}:")


def make_verifier(spec: str, options: VerifierOptions | None = None) -> Verifier | None:
    """The verifier that a string such as `math` or `column:correct` names, with its fallback; None for `none`.

    Raises:
        InputError: unknown name, missing argument, an option that this verifier does not have.
        MissingDependencyError: the verifier's package is not installed.
    """
    options = options or VerifierOptions()
    if spec == "none":
        refuse(
            f"{OPTION} none", policy=options.policy, deadline=options.deadline_s, fallback=options.fallback, ask=options.ask,
            max_questions=options.max_questions,
        )  # fmt: skip
        return None
    check_verifier(spec)
    _check_fallback(options)
    if options.fallback is None:
        refuse(f"{OPTION} {spec} without --fallback", ask=options.ask, max_questions=options.max_questions)
    cache = _open(options.cache)
    first = _kept(_single(spec, options), cache)
    if options.fallback is None:
        return first
    return _cascade(first, _kept(_single(options.fallback, VerifierOptions(workers=options.workers)), cache), options)


def _check_fallback(options: VerifierOptions) -> None:
    """Before anything is loaded: are the options about the second verifier possible?"""
    from hero_rl.verifiers.cascade import Ask

    if options.fallback == "none":
        raise InputError("--fallback none: a fallback must be able to answer; leave the option out")
    if options.fallback is not None:
        check_verifier(options.fallback, option="--fallback")
    if options.ask is not None and options.ask not in get_args(Ask):
        raise InputError(f"--ask {options.ask}: unknown; choose one of {', '.join(get_args(Ask))}")


def _single(spec: str, options: VerifierOptions) -> Verifier:
    name, argument = split(spec, VERIFIERS, OPTION)
    return VERIFIERS[name](argument, spec, options)


def _cascade(first: Verifier, second: Verifier, options: VerifierOptions) -> Verifier:
    from hero_rl.verifiers.cascade import Ask, Cascade

    return Cascade(first, second, ask=cast(Ask, options.ask or "abstain"), budget=options.max_questions)


def _open(path: Path | None) -> Cache | None:
    if path is None:
        return None
    from hero_rl.cache import Cache

    return Cache(path)


def _kept(verifier: Verifier, cache: Cache | None) -> Verifier:
    if cache is None or verifier.identity is None:
        return verifier
    from hero_rl.verifiers.cached import CachedVerifier

    return CachedVerifier(verifier, cache)
