"""The rewards of stored rollouts under another rule, computed as in training: a batch per step, the state moves on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hero_rl.errors import InputError
from hero_rl.pipeline import Signals, assemble
from hero_rl.rewards import RULES, RewardRule, make_rule, rule_settings
from hero_rl.types import LEARNED_YES, json_number
from hero_rl.view.store import MOST_SHOWN, RECORDED, Store

MOST_KEPT = 6
"""Tables of recomputed rewards that are kept."""
NAMES = ("reward", "weight", "advantage")


class Rules:
    """Rules by choice: ``recorded``, a name such as ``hero``, or a name with alpha, ``hero@0.2``."""

    def __init__(self, store: Store, given: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Offer every rule of the catalogue, and with these settings the ones in ``given``."""
        self.store, self.given = store, dict(given or {})
        self.kept: dict[str, str] = {}

    def offered(self) -> list[dict[str, Any]]:
        """Return the choices for the signals that the files have, each with its alpha (None: it has none)."""
        facts = self.store.facts
        found = [{"name": RECORDED, "alpha": None}] if facts["rewards"] else []
        for name in {**self.given, **RULES} if facts["verdicts"] else ():
            if self.rule(name).needs_scores and not facts["scores"]:
                continue
            settings = {**rule_settings(name), **self.given.get(name, {})}
            found.append({"name": name, "alpha": settings.get("alpha")})
        return found

    def rule(self, choice: str) -> RewardRule:
        """Return the rule of a choice.

        Raises:
            InputError: an unknown name (modules of a user's own only if they were given), or a wrong alpha.
        """
        name, _, alpha = choice.partition("@")
        if name not in RULES and name not in self.given:
            raise InputError(f"rule {name!r} is unknown; choose one of {', '.join({**self.given, **RULES})}")
        settings = {key: value for key, value in self.given.get(name, {}).items() if key not in ("name", "scale")}
        if alpha:
            try:
                settings["alpha"] = float(alpha)
            except ValueError:
                raise InputError(f"alpha={alpha!r} is no number") from None
        rule = make_rule(name, settings)
        return replace(rule, scale=self.given.get(name, {}).get("scale", rule.scale))

    def table(self, choice: str) -> str:
        """Return the name of the table with the rewards of a choice, computed on first use; raises as ``rule``."""
        if choice in ("", RECORDED):
            return "rows"
        rule = self.rule(choice)
        with self.store.lock:
            if choice in self.kept:
                self.kept[choice] = self.kept.pop(choice)  # the latest is the last
                return self.kept[choice]
            if not self.store.facts["verdicts"] and rule.needs_verdicts:
                raise InputError(f"the rule {rule.name!r} needs verdicts, and the files have none; run `hero score` first")
            found = recompute(self.store, rule)
            name = f"made_{next(self.store.numbers)}"
            columns = ", ".join(("id", "gid", *NAMES))
            cursor = self.store.database.cursor()
            cursor.register("found", found)
            cursor.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM found")
            cursor.unregister("found")
            self.kept[choice] = name
            if len(self.kept) > MOST_KEPT:
                # a request that still reads the oldest has it in its own transaction
                self.store.execute(f"DROP TABLE {self.kept.pop(next(iter(self.kept)))}")
            return name

    def columns(self, choice: str, gid: int) -> dict[str, list[float | None]]:
        """Return rewards, weights and advantages of a group's responses, in the order of ``Store.group``."""
        query = f"SELECT {', '.join(NAMES)} FROM {self.table(choice)} WHERE gid = $gid ORDER BY id LIMIT {MOST_SHOWN}"
        rows = self.store.execute(query, {"gid": gid}).fetchall()
        return {name: [json_number(row[at]) for row in rows] for at, name in enumerate(NAMES)}


def recompute(store: Store, rule: RewardRule) -> dict[str, Any]:
    """Return id, gid, reward, weight and advantage of every row, as arrays; NaN: left out of its group."""
    read = store.execute(f"""
        SELECT gid, coalesce(rm_score, 'nan') AS score,
            CASE WHEN verdict > 0 AND learned THEN {LEARNED_YES} ELSE coalesce(verdict, 'nan') END::DOUBLE AS verdict
        FROM rows ORDER BY id
    """).fetchnumpy()
    gids, scores, verdicts = (np.asarray(read[name]) for name in ("gid", "score", "verdict"))
    places = store.execute("SELECT run, coalesce(step, -1) FROM groups ORDER BY gid").fetchall()
    batches, batch_P = np.unique(np.array(places), axis=0, return_inverse=True)
    order = np.argsort(batch_P.ravel()[gids], kind="stable")
    ends = np.cumsum(np.bincount(batch_P.ravel()[gids]))
    found = {name: np.full(gids.size, np.nan) for name in NAMES}
    state = rule.init()
    for at, rows in enumerate(np.split(order, ends[:-1])):
        if at and batches[at][0] != batches[at - 1][0]:
            state = rule.init()  # the next run
        made = assemble(rule, Signals.plain(verdicts[rows], scores[rows]), gids[rows], state)
        state = made.state
        for name, values in zip(NAMES, (made.rewards, made.weights, made.advantages), strict=True):
            found[name][rows] = values
    return {"id": np.arange(gids.size), "gid": gids, **found}
