"""Verifiers and reward models from their names and settings.

The settings of a part are the keyword arguments of its constructor, so that a new one is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hero_rl.errors import InputError
from hero_rl.imports import build, check_settings, import_object, is_factory, settings_of, types_of
from hero_rl.part_names import (
    JUDGES,
    PANELS,
    REMOTE,
    REWARD_MODELS,
    VERIFIERS,
    Kind,
    address,
    api_key,
    check_scorer,
    check_verifier,
    is_import_path,
    is_url,
    members_of,
    routes_of,
    split,
)
from hero_rl.types import Scorer, Verifier


def verifier_settings(spec: str) -> dict[str, Any]:
    """Return the settings of a verifier with their defaults, by name; those of a vote or a route are its members'."""
    return _settings_in(verifier_kinds(spec))


def verifier_kinds(spec: str) -> Iterator[Kind]:
    """Yield what takes the settings of a verifier."""
    if spec == "none":
        return
    if is_import_path(spec, VERIFIERS):
        yield from _own_kinds(spec, "hero_rl.verifiers.function:FunctionVerifier")
        return
    name, argument = split(spec, VERIFIERS)
    yield VERIFIERS[name]
    for member in members_of(spec):
        yield from verifier_kinds(member)
    if name in JUDGES and not is_url(argument):
        yield Kind("hero_rl.verifiers.judge:LocalJudge")


def scorer_settings(spec: str) -> dict[str, Any]:
    """Return the settings of a reward model with their defaults, by name."""
    return _settings_in(scorer_kinds(spec))


def scorer_kinds(spec: str) -> list[Kind]:
    """Return what takes the settings of a reward model."""
    if is_import_path(spec, REWARD_MODELS):
        return _own_kinds(spec, "hero_rl.scorers.function:FunctionScorer")
    return [REWARD_MODELS[split(spec, REWARD_MODELS)[0]]]


def make_verifier(spec: str, settings: Mapping[str, Any] | None = None) -> Verifier | None:
    """Return the verifier of that name; None for ``none``.

    Raises:
        InputError: unknown name, missing argument, or a setting that this verifier does not have.
        MissingDependencyError: its package is not installed.
    """
    given = dict(settings or {})
    check_verifier(spec)
    check_settings(spec, given, verifier_settings(spec))
    if spec == "none":
        return None
    if is_import_path(spec, VERIFIERS):
        from hero_rl.verifiers.function import as_verifier

        return build(spec, import_object(spec), given, as_verifier)
    name, argument = split(spec, VERIFIERS)
    if name in JUDGES:
        return _judge(argument, spec, {**given, "format": JUDGES[name]})
    target = import_object(VERIFIERS[name].target)
    if name == "by":
        column, routes = routes_of(spec)
        made = {member: _member(member, given) for member in dict.fromkeys(routes.values())}
        return target(column, {value: made[member] for value, member in routes.items()})
    if name in PANELS:
        own = {key: value for key, value in given.items() if key in settings_of(target)}
        return target(*(_member(member, given) for member in members_of(spec)), **own)
    return target(*([argument] if argument else []), **given)


def make_scorer(spec: str, settings: Mapping[str, Any] | None = None) -> Scorer:
    """Return the reward model of that name.

    Raises:
        InputError: as ``check_scorer``, a setting that this reward model does not have, or a model that cannot be loaded.
        MissingDependencyError: its package is not installed.
    """
    given = dict(settings or {})
    check_scorer(spec)
    check_settings(spec, given, scorer_settings(spec))
    if is_import_path(spec, REWARD_MODELS):
        from hero_rl.scorers.function import as_scorer

        return build(spec, import_object(spec), given, as_scorer)
    name, argument = split(spec, REWARD_MODELS)
    target = import_object(REWARD_MODELS[name].target)
    if name not in REMOTE:
        return target(argument, **given)
    model, urls = address(argument, spec=spec)
    by_server = name.startswith("vllm") and given.get("template") in (None, "messages")
    if given.get("tokenizer") is None and not by_server:
        raise InputError(
            f"{spec}: add reward_model.tokenizer = PATH (a folder or hub id), whose chat template and end of sequence make the "
            "text that this server scores"
            + ("; or leave out reward_model.template, and the server applies its own" if name.startswith("vllm") else "")
        )
    return target(urls, dialect=name, model=model, api_key=api_key(), **given)


def types_in(kinds: Iterable[Kind]) -> dict[str, Any]:
    """Return the types of the settings that some constructors take, by name."""
    found = ((kind, types_of(import_object(kind.target))) for kind in kinds)
    return {key: value for kind, types in found for key, value in types.items() if key not in kind.hidden}


def _settings_in(kinds: Iterable[Kind]) -> dict[str, Any]:
    settings = ((kind, settings_of(import_object(kind.target))) for kind in kinds)
    return {key: value for kind, found in settings for key, value in found.items() if key not in kind.hidden}


def _own_kinds(path: str, wrapper: str) -> list[Kind]:
    value = import_object(path)
    if not callable(value):
        return []
    return [Kind(path)] if is_factory(value) else [Kind(path), Kind(wrapper)]


def _judge(argument: str, spec: str, settings: dict[str, Any]) -> Verifier:
    from hero_rl.verifiers.judge import JudgeVerifier, LocalJudge

    if is_url(argument):
        model, urls = address(argument, spec=spec)
        return JudgeVerifier(urls, model=model, api_key=api_key(), **settings)
    local = {name: settings.pop(name) for name in settings_of(LocalJudge) if name in settings}
    return JudgeVerifier(LocalJudge(argument, **local), **settings)


def _member(spec: str, settings: Mapping[str, Any]) -> Verifier:
    known = verifier_settings(spec)
    made = make_verifier(spec, {name: value for name, value in settings.items() if name in known})
    assert made is not None  # check_verifier has refused "none"
    return made
