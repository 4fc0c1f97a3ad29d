"""Make what the page shows, and the page as one self-contained file."""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib
import importlib.util
import itertools
import json
import logging
import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hero_rl.errors import HeroError, InputError
from hero_rl.files import write_text
from hero_rl.types import Rollout, Verifier
from hero_rl.view.rules import Rules
from hero_rl.view.sources import fitted
from hero_rl.view.store import GROUP_KINDS, KINDS, RECORDED, Query, Store

_logger = logging.getLogger(__name__)
MOST_CHARS = 4_000_000
"""Of responses on a page of ``write_groups``."""
STATIC = Path(str(resources.files("hero_rl.view").joinpath("static")))
POLICY = (
    "default-src 'none'; script-src {script}; style-src {script}; font-src {font}; connect-src {connect}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""No script runs but the page's own; text of a model cannot add one."""
SERVED = POLICY.format(script="'self'", font="'self'", connect="'self'") + "; frame-ancestors 'none'"


def about(store: Store, rules: Rules, *, title: str) -> dict[str, Any]:
    """Return what the page shows around the groups."""
    offered = rules.offered()
    chosen = next(iter(rules.given), None) or next((rule["name"] for rule in offered), RECORDED)
    return {"title": title, "runs": store.runs, "rules": offered, "rule": chosen, "facts": store.facts}


def detail(store: Store, rules: Rules, gid: int, choices: Sequence[str], query: Query | None = None) -> dict[str, Any]:
    """Return a group with its rewards under each choice; raises as ``Store.group`` and ``Rules.table``."""
    return {**store.group(gid, query), "made": [rules.columns(choice, gid) for choice in choices]}


def explain(store: Store, row: int) -> dict[str, Any]:
    """Return what the verifier ``math`` says of one response now, with what it compared; it runs in its sandbox.

    Raises:
        InputError: there is no such row.
        MissingDependencyError: math-verify is not installed.
    """
    if not 0 <= row < store.facts["responses"]:
        raise InputError(f"response {row}: there is none; responses are 0 to {store.facts['responses'] - 1}")
    (texts,) = store.texts([row], ("problem", "reference", "response"))
    del texts["id"]
    (verdict,) = _verifier().verify([Rollout(prompt_id="", **texts)])
    return {"verdict": verdict.label, "reason": verdict.reason, "detail": verdict.detail, "generous": verdict.generous}


@functools.cache
def _verifier() -> Verifier:
    from hero_rl.verifiers.math import MathVerifier  # takes a third of a second, which the first page need not wait for

    return MathVerifier(workers=1)


def self_contained(store: Store, rules: Rules, query: Query, *, title: str) -> str:
    """Return the page of a selection as one HTML file that needs nothing else and sends nothing.

    It has the rewards of the rules in ``Rules.given``, of ``recorded`` and of ``hero``; others cannot be computed there.
    """
    top = about(store, rules, title=title)
    kept = [rule for rule in top["rules"] if rule["name"] in (RECORDED, "hero", *rules.given)]
    names = [rule["name"] for rule in kept]
    found = store.groups(query, table=rules.table(top["rule"]))
    if not found["groups"]:
        raise InputError("--html: no group passes the filters; leave one out")
    details = {group["gid"]: detail(store, rules, group["gid"], names, query) for group in found["groups"]}
    others = {one["other"] for one in details.values()} - {None, *details}  # of two runs, both sides are shown
    details |= {gid: detail(store, rules, gid, names, query) for gid in sorted(others)}
    for kind in (*KINDS, *GROUP_KINDS):
        passing = store.groups(query._replace(kind=kind), table=rules.table(top["rule"]))["groups"]
        for group in found["groups"]:
            group.setdefault("kinds", []).extend([kind] * any(one["gid"] == group["gid"] for one in passing))
    data = {"about": {**top, "rules": [{**rule, "alpha": None} for rule in kept]}, **found, "details": details}
    return _inline(data)


def write_groups(path: Path, rows: Sequence[Mapping[str, Any]], *, title: str) -> list[str]:
    """Write the page of some rollouts and return, per row, the fragment that leads to it.

    Groups that would bring the texts above ``MOST_CHARS`` are left out: the fragment of their rows is "". So are all where
    duckdb is not installed or cannot read them; a page of an earlier call is removed then.

    Args:
        path: of the page.
        rows: as ``sources.row_of``, whole groups.
        title: of the page.
    """
    groups: dict[tuple[Any, str], list[Mapping[str, Any]]] = {}
    places: list[tuple[tuple[Any, str], int]] = []
    for row in map(fitted, rows):  # as they will be read
        key = (row["step"], row["prompt_id"])
        groups.setdefault(key, []).append(row)
        places.append((key, len(groups[key])))
    sizes = itertools.accumulate(sum(len(row["response"]) for row in members) for members in groups.values())
    kept = {key: gid for gid, (key, size) in enumerate(zip(groups, sizes, strict=True)) if size <= MOST_CHARS}
    if not kept or importlib.util.find_spec("duckdb") is None:
        path.unlink(missing_ok=True)  # of an earlier call
        return [""] * len(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "groups.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for key in kept for row in groups[key]), encoding="utf-8")
        try:
            with contextlib.closing(Store([file])) as store:
                write_text(path, self_contained(store, Rules(store), Query(limit=len(kept)), title=title))
        except (HeroError, importlib.import_module("duckdb").Error) as error:  # the report that leads here is worth more
            _logger.warning("%s is left out: %s", path, error)
            path.unlink(missing_ok=True)
            return [""] * len(rows)
    return [f"group={kept[key]}&response={number}" if key in kept else "" for key, number in places]


def _inline(data: dict[str, Any]) -> str:
    """Return ``index.html`` with styles, fonts, scripts and data inside, which run by a nonce that no text can know."""
    nonce = secrets.token_urlsafe(16)

    def style(match: re.Match[str]) -> str:
        file = STATIC / match[1]
        rules = re.sub(r"url[(]([^)]*)[)]", lambda url: _font(file.parent / url[1]), file.read_text("utf-8"))
        return f'<style nonce="{nonce}">{rules}</style>'

    def script(match: re.Match[str]) -> str:
        code = (STATIC / match[1]).read_text("utf-8").replace("</script", "<\\/script")
        return f'<script nonce="{nonce}">{code}</script>'

    text = (STATIC / "index.html").read_text("utf-8")
    text = re.sub(r'<link rel="stylesheet" href="static/([^"]*)">', style, text)
    scripts = "".join(script(match) for match in re.finditer(r'<script src="static/([^"]*)" defer></script>', text))
    text = re.sub(r'<script src="static/[^"]*" defer></script>\n?', "", text)
    policy = POLICY.format(script=f"'nonce-{nonce}'", font="data:", connect="'none'")
    encoded = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    held = f'<script type="application/json" id="data" nonce="{nonce}">{encoded}</script>'
    text = text.replace("<!-- policy -->", f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
    return text.replace("</body>", held + scripts + "</body>")


def _font(file: Path) -> str:
    if file.suffix != ".woff2":
        return "url(data:,)"  # older formats, never reached
    return f"url(data:font/woff2;base64,{base64.b64encode(file.read_bytes()).decode()})"
