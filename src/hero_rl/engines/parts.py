"""Verifier, reward model and rule from plain settings, for engines that are configured by files of their own.

verl and slime hand a function nothing but what their configuration says, so what judges a response is described by short names
and plain values, as in commands and recipes. An import path (``my_package.judges:make_judge``) brings in verifiers and reward
models of your own.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hero_rl.errors import InputError, first_line
from hero_rl.rewards import RewardRule, make_rule
from hero_rl.specs import VERIFIERS, VerifierOptions, make_verifier
from hero_rl.types import Scorer, Verifier

REMOTE_SCORER = "hero_rl.scorers.remote:RemoteScorer"


def plain(value: object) -> Any:
    """The value with every mapping a dict and every sequence a list, whatever the configuration library made of them."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return value


def rule_from(settings: Mapping[str, Any] | None, *, by_token: bool = False) -> RewardRule:
    """The rule that ``{"name": "hero", "alpha": 0.05, ...}`` names; HERO with its defaults for None.

    Args:
        settings: the rule's name and arguments.
        by_token: the engine has an advantage for every token, and so takes rules that shape steps.

    Raises:
        InputError: as ``rewards.make_rule``, or a rule that shapes steps where that cannot be done.
    """
    given = dict(plain(settings or {}))
    rule = make_rule(str(given.pop("name", "hero")), given)
    if rule.steps is not None and not by_token:
        raise InputError(
            f"the rule {rule.name!r} shapes the advantages of tokens, which here are one a response; use it with HeroTrainer "
            "(`hero train`) or verl, or take 'hero', whose rewards are the same"
        )
    return rule


def verifier_from(name: str = "math", options: Mapping[str, Any] | None = None) -> Verifier:
    """The verifier that a short string names, or an import path ``module:callable``.

    Args:
        name: as ``--verifier`` of the commands (``math``, ``compass:MODEL@URL``, ``any_of:math,exact``), or an import path.
        options: keyword arguments: those of ``specs.VerifierOptions`` (``policy``, ``fallback``, ``max_questions`` ...), or of
            your own callable.

    Raises:
        InputError: no such name, or arguments that it does not take.
        MissingDependencyError: its package is not installed.
    """
    kind, colon, _ = name.partition(":")
    if colon and kind not in VERIFIERS:
        return cast(Verifier, _make(f"verifier {name!r}", name, options))
    given = dict(plain(options or {}))
    unknown = [key for key in given if key not in VerifierOptions._fields]
    if unknown:
        raise InputError(
            f"verifier {name!r} cannot take {', '.join(map(repr, unknown))}; it takes {', '.join(VerifierOptions._fields)}"
        )
    if given.get("cache"):
        given["cache"] = Path(given["cache"]).expanduser()
    verifier = make_verifier(name, VerifierOptions(**given))
    if verifier is None:
        raise InputError(f"verifier {name!r} gives no verdicts, and they are needed here; name one that does")
    return verifier


def scorer_from(settings: Mapping[str, Any] | None) -> Scorer | None:
    """The reward model that a table of settings describes; None for None.

    Args:
        settings: ``{"url": ..., "dialect": "vllm", "model": ..., ...}``, the arguments of ``RemoteScorer``; or
            ``{"class": "module:callable", ...}`` with the arguments of your own.

    Raises:
        InputError: no URL, a class that cannot be imported, or arguments that it does not take.
    """
    if not settings:
        return None
    given = dict(plain(settings))
    own = given.pop("class", None)
    if own is not None:
        return cast(Scorer, _make(f"reward model {own!r}", str(own), given))
    urls = given.pop("url", None) or given.pop("urls", None)
    if not urls:
        raise InputError(
            f"reward_model={given}: no 'url' of the server; give url (one, or a list of equal servers) and dialect"
        )
    return cast(Scorer, _make(f"reward model at {urls}", REMOTE_SCORER, given, urls))


def _make(what: str, path: str, options: Mapping[str, Any] | None, *arguments: object) -> object:
    module, _, name = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name is not None and not module.startswith(error.name):
            raise  # the module is there and something that it imports is not
        raise InputError(f"{what}: cannot import {path!r} ({first_line(error)}); write module:callable") from error
    try:
        return factory(*arguments, **dict(plain(options or {})))
    except TypeError as error:
        raise InputError(f"{what} cannot take {dict(options or {})}: {error}") from error
