"""The reward file: rule, verifier and reward model described once, for every command and every engine.

    [rule]                      name, scale (of advantages), and the arguments of the rule's constructor
    [verifier]                  name, fallback, ask, max_questions, by_score, cache, the arguments of the verifier's constructor
    [reward_model]              name, cache, and the arguments of the reward model's constructor
    max_failure_rate = 0.1      a larger share of failed rows, of the last 256, is an error
    on_unhealthy = "warn"       or "stop", where scores or lengths show that something broke

``name`` is one of ours or ``module:function``. A training recipe has the same three tables and more; verl and slime have them
in a table ``hero`` of their own configuration. Nothing is loaded or asked until ``make``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from hero_rl import parts
from hero_rl.config_checks import (
    DEFAULTS,
    KEYS,
    SCORER_KEYS,
    TABLES,
    VERIFIER_KEYS,
    blamed,
    check_fallback,
    combined,
    placed,
    read_part,
    read_rate,
    read_rule,
)  # fmt: skip
from hero_rl.errors import InputError, check_choice
from hero_rl.part_names import JUDGES, VERIFIERS, check_scorer, check_verifier, column_of, members_of, names
from hero_rl.pipeline import HybridReward, OnUnhealthy
from hero_rl.rewards import RewardRule, check_scale, rule_settings
from hero_rl.toml_layers import Layer, assignment, read_file, unknown_key, where
from hero_rl.types import Scorer, Verifier


class RewardConfig(NamedTuple):
    """A checked description of one reward."""

    rule: RewardRule
    rule_table: Mapping[str, Any]
    """This and the next two: the name and the settings that were given."""
    verifier: Mapping[str, Any]
    reward_model: Mapping[str, Any] | None
    max_failure_rate: float
    on_unhealthy: OnUnhealthy
    layers: tuple[Layer, ...]
    """Sources of the values, the strongest first."""

    def where(self, *key: str) -> str:
        """Return file and line of a key."""
        return where(self.layers, key)

    def make(self) -> HybridReward:
        """Return the reward; loads models and starts nothing else.

        Raises:
            InputError: a setting that a part refuses, or a model that cannot be loaded.
            MissingDependencyError: a package is not installed.
        """
        return self.put_together(self.make_verifier(), self.make_scorer())

    def put_together(self, verifier: Verifier | None, scorer: Scorer | None) -> HybridReward:
        """Return the reward with parts that were made before."""
        return HybridReward(verifier, scorer, self.rule, max_failure_rate=self.max_failure_rate, on_unhealthy=self.on_unhealthy)

    def make_verifier(self) -> Verifier | None:
        """Return the verifier with its fallback behind it and its cache before it; None for ``none``."""
        own = {name: value for name, value in self.verifier.items() if name != "name" and name not in VERIFIER_KEYS}
        with blamed(self.layers, "verifier", own):
            first = parts.make_verifier(self.verifier["name"], own)
        if first is None:
            return None
        cache = _open_cache(self.verifier.get("cache"))
        if (second := self.verifier.get("fallback")) is None:
            return _keep_verdicts(first, cache)
        from hero_rl.verifiers.cascade import Cascade

        with placed(self.where("verifier", "fallback")):
            share = {"workers": own["workers"]} if "workers" in own and "workers" in parts.verifier_settings(second) else {}
            fallback = parts.make_verifier(second, share)
        assert fallback is not None  # refused before
        ask, budget = self.verifier.get("ask", VERIFIER_KEYS["ask"]), self.verifier.get("max_questions")
        return Cascade(
            _keep_verdicts(first, cache), _keep_verdicts(fallback, cache), ask=ask, budget=budget, by_score=self._by_score
        )

    @property
    def _by_score(self) -> bool:
        return self.verifier.get("by_score", VERIFIER_KEYS["by_score"])

    def need_verifier(self) -> Verifier:
        """Return what ``make_verifier`` does; raises InputError for ``none``."""
        verifier = self.make_verifier()
        if verifier is None:
            with placed(self.where("verifier", "name")):
                raise InputError(f"a verifier is needed here; choose one of {names(VERIFIERS)}")
        return verifier

    def make_scorer(self) -> Scorer | None:
        """Return the reward model with its cache before it; None without one."""
        if self.reward_model is None:
            return None
        own = {name: value for name, value in self.reward_model.items() if name not in ("name", *SCORER_KEYS)}
        with blamed(self.layers, "reward_model", own):
            scorer = parts.make_scorer(self.reward_model["name"], own)
        cache = _open_cache(self.reward_model.get("cache"))
        if cache is None or scorer.identity is None:
            return scorer
        from hero_rl.cache import CachedScorer

        return CachedScorer(scorer, cache)

    def label_columns(self) -> tuple[str, ...]:
        """Return the columns from which verdicts are read."""
        return (*column_of(self.verifier["name"]), *column_of(self.verifier.get("fallback")))

    def score_columns(self) -> tuple[str, ...]:
        """Return the columns from which scores are read."""
        return column_of(self.reward_model["name"]) if self.reward_model else ()

    def is_named(self, table: str) -> bool:
        """Return True if some source names the part of this table."""
        return any(isinstance(values := layer.values.get(table), Mapping) and "name" in values for layer in self.layers)

    def with_verifier(self, name: str) -> RewardConfig:
        """Return the same reward with another verifier, which takes over the cache and the settings that it has, too."""
        check_verifier(name)
        return self._replace(verifier=_taken_over(name, parts.verifier_settings(name), self.verifier))

    def without_fallback(self) -> RewardConfig:
        """Return the same reward whose verifier is asked alone."""
        known = parts.verifier_settings(self.verifier["name"])
        return self._replace(verifier=_taken_over(self.verifier["name"], known, self.verifier))

    def with_reward_model(self, name: str) -> RewardConfig:
        """Return the same reward with another reward model, as ``with_verifier``."""
        check_scorer(name)
        return self._replace(reward_model=_taken_over(name, parts.scorer_settings(name), self.reward_model or {}))

    def resolved(self) -> dict[str, Any]:
        """Return the whole reward with every default filled in, as the file could say it; what is unset is absent."""
        name = self.rule_table["name"]
        rule = {"name": name, "scale": self.rule.scale, **rule_settings(name), **self.rule_table}
        verifier = {**VERIFIER_KEYS, **parts.verifier_settings(self.verifier["name"]), **self.verifier}
        if verifier["fallback"] is None:
            del verifier["ask"], verifier["by_score"]
        tables = {"rule": rule, "verifier": {"name": verifier.pop("name"), **verifier}}
        if (model := self.reward_model) is not None:
            tables["reward_model"] = {"name": model["name"], **SCORER_KEYS, **parts.scorer_settings(model["name"]), **model}
        said: dict[str, Any] = {"max_failure_rate": self.max_failure_rate, "on_unhealthy": self.on_unhealthy}
        for table, values in tables.items():
            said[table] = {key: text for key, value in values.items() if (text := _as_toml(value)) is not None}
        return said

    def warnings(self) -> list[str]:
        """Return a sentence per setting that would cancel or hurt."""
        settings, model = self.rule.settings, self.reward_model
        found = [check_scale(self.rule, self.rule.scale)]
        if settings.get("weight_on") == "reward" and self.rule.scale == "group":
            found.append(
                "weight_on='reward' with scale='group' cancels: the weight is one number per group, and is divided out again"
            )
        if model is not None and not self.rule.needs_scores and not self._by_score:
            found.append(f"the rule {self.rule.name!r} uses no scores: the reward model is run, and changes no reward")
        if set(self.label_columns()) & set(self.score_columns()):
            found.append("verdict and score are the same column: the score adds nothing to the verdict")
        judges = [self.verifier["name"], self.verifier.get("fallback") or ""]
        if settings.get("learned_credit") == 1.0 and any(map(_is_learned, judges)):
            found.append(
                "learned_credit=1: a model's 'correct' counts as much as a rule's, and a model can be talked into one; a value "
                "below 1 keeps them apart"
            )
        if self.verifier.get("policy") == "binary":
            found.append(
                "policy='binary' calls incorrect what it cannot read; 'balanced' abstains, and abstentions are counted"
            )
        return [sentence for sentence in found if sentence]


def load_reward(path: Path | None = None, assignments: Sequence[str] = (), *, signals: bool = True) -> RewardConfig:
    """Return the reward that a file and assignments describe; HERO with the maths verifier for what they leave open.

    Args:
        path: a TOML file; None: none.
        assignments: such as ``rule.alpha=0.1``, stronger than the file, the last one the strongest.
        signals: check that verifier and reward model give what the rule needs; False where others give the signals.

    Raises:
        InputError: unknown key or name, a value of the wrong type or out of range, a missing signal; with file and line.
    """
    sets = [assignment(text) for text in reversed(assignments)]
    return read_reward([sets, [read_file(path)] if path is not None else []], signals=signals)


def read_reward(
    sources: Sequence[Sequence[Layer]],
    *,
    signals: bool = True,
    present: bool = True,
    only: Sequence[str] = KEYS,
    others: Sequence[str] = ("service",),
) -> RewardConfig:
    """Return the reward that some layers describe.

    Args:
        sources: layers in groups, the strongest first. A group that names another rule, verifier or reward model starts
            that table anew: settings of the one before do not apply to it.
        signals: as in ``load_reward``.
        present: the folder of a model must be there already; False where a file is only looked at.
        only: the keys of ``KEYS`` that are read.
        others: further keys that may be there; ``hero serve`` reads ``[service]``.

    Raises:
        InputError: as ``load_reward``.
    """
    layers = tuple(layer for group in sources for layer in group)
    found = combined(sources)
    for key in found:
        if key not in KEYS and key not in others:
            raise InputError(unknown_key(where(layers, (key,)), (key,), KEYS, "keys of a reward"))
    found = {**DEFAULTS.values, **{key: value for key, value in found.items() if key in only}}
    tables = {table: read_part(layers, table, found.get(table), present=present) for table in TABLES}
    rule, verifier = tables["rule"] or {}, tables["verifier"] or {}
    check_fallback(layers, verifier)
    rate, reaction = read_rate(layers, found["max_failure_rate"]), found["on_unhealthy"]
    with placed(where(layers, ("on_unhealthy",))):
        check_choice("on_unhealthy", reaction, get_args(OnUnhealthy))
    config = RewardConfig(read_rule(layers, rule), rule, verifier, tables["reward_model"], rate, reaction, layers)
    if signals:
        _check_signals(config)
    return config


def read_table(
    table: Mapping[str, Any] | None, own: Mapping[str, Any], *, only: Sequence[str] = KEYS, below: Sequence[Layer] = ()
) -> tuple[RewardConfig, dict[str, Any]]:
    """Return the reward in an engine's table ``hero``, and the keys of its own that the table may have besides.

    Args:
        table: keys of a reward file, ``reward`` (the path of one, weaker than the rest) and the engine's own.
        own: the engine's own keys with their defaults.
        only: as in ``read_reward``.
        below: what counts where neither the table nor its file says anything.

    Raises:
        InputError: as ``load_reward``.
    """
    if not isinstance(table, Mapping | None):
        raise InputError(f"hero = {table!r}: give a table 'hero', with keys such as rule, verifier and reward_model")
    given = plain(table or {})
    settings = {key: given.pop(key, default) for key, default in own.items()}
    file = given.pop("reward", None)
    for key in given:
        if key not in KEYS:
            raise InputError(unknown_key("hero", (key,), [*KEYS, "reward", *own], "keys of the table 'hero'"))
    files = [read_file(Path(file).expanduser())] if file else []
    return read_reward([[Layer("hero", given)], files, below], signals=False, only=only), settings


def plain(value: object) -> Any:
    """Return the value with plain containers, whatever a configuration library made of them."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return value


def _taken_over(name: str, known: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **{key: value for key, value in before.items() if key == "cache" or key in known}}


def _check_signals(config: RewardConfig) -> None:
    rule = config.rule
    if rule.needs_scores and config.reward_model is None:
        with placed(config.where("rule", "name")):
            raise InputError(
                f"the rule {rule.name!r} needs reward-model scores; name one (reward_model.name, or --reward-model): "
                "column:rm_score for scores in the file, local:PATH for a model"
            )
    if config.verifier.get("by_score") and config.reward_model is None:
        with placed(config.where("verifier", "by_score")):
            raise InputError("by_score needs reward-model scores; name a reward model, or leave it out")
    if rule.needs_verdicts and config.verifier["name"] == "none":
        with placed(config.where("verifier", "name")):
            raise InputError(f"the rule {rule.name!r} needs verdicts; name a verifier")


def _is_learned(name: str) -> bool:
    return name.partition(":")[0] in (*JUDGES, "learned") or any(map(_is_learned, members_of(name)))


def _as_toml(value: Any) -> Any:
    """Return a default as TOML can hold it; None for what it cannot."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_as_toml(each) for each in value]
    return {key: _as_toml(each) for key, each in value.items()} if isinstance(value, Mapping) else None


def _open_cache(path: str | None) -> Any:
    if path is None:
        return None
    from hero_rl.cache import Cache

    return Cache(Path(path).expanduser())


def _keep_verdicts(verifier: Verifier, cache: Any) -> Verifier:
    if cache is None or verifier.identity is None:
        return verifier
    from hero_rl.cache import CachedVerifier

    return CachedVerifier(verifier, cache)
