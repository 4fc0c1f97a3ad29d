"""Rollouts in a DuckDB table on disk: read once, then filtered and grouped without holding them in memory."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hero_rl.data import Columns
from hero_rl.errors import InputError, require
from hero_rl.view.sources import NO_REFERENCE, converted, direct, run_names

READING, BROWSING = "192MB", "128MB"
"""Memory of DuckDB; what does not fit is on disk."""
PAGE = 50
"""Groups per page of the list."""
MOST_SHOWN = 500
"""Responses of one group."""
EXCERPT = 240
RECORDED = "recorded"
"""The rewards, weights and advantages that the files have."""

KINDS: Mapping[str, str] = {
    "rejected_high": "verdict = 0 AND rm_score >= $high",
    "accepted_low": "verdict > 0 AND rm_score <= $low",
    "abstained": "verdict IS NULL",
    "wrong": "(verdict > 0) <> (correct > 0)",
    "cut": "finished = false",
}
"""Filters of responses; a group is listed if one of its responses passes."""
GROUP_KINDS: Mapping[str, str] = {
    "no_gradient": "strongest <= 1e-9",
    "mixed": "accepted > 0 AND accepted < n",
}
SORTS: Mapping[str, str] = {
    "file": "gid",
    "suspect": "top_rejected DESC NULLS LAST, gid",
    "advantage": "strongest DESC NULLS LAST, gid",
    "spread": "spread DESC NULLS LAST, gid",
    "accepted": "accepted / n, gid",
    "length": "longest DESC, gid",
}


class Query(NamedTuple):
    """A page of the list of groups; None and "" leave a filter out."""

    kind: str = ""
    text: str = ""
    step: int | None = None
    run: int | None = None
    min_chars: int | None = None
    max_chars: int | None = None
    sort: str = "file"
    offset: int = 0
    limit: int = PAGE


class Store:
    """The rollouts of one or two paths, as tables: ``texts``, ``rows`` (numbers) and ``groups``."""

    def __init__(self, paths: Sequence[Path], columns: Columns = NO_REFERENCE) -> None:
        """Read the rollouts at each path, as ``columns`` says, into a temporary database, which ``close`` removes.

        Raises:
            InputError: no files, or rows that are no rollouts (the message has file and line).
            MissingDependencyError: duckdb is not installed.
        """
        self.duckdb: Any = require("duckdb", extra="view", purpose="hero view")
        self.runs = run_names(paths)
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)  # of tables with recomputed rewards
        self.folder = Path(tempfile.mkdtemp(prefix="hero-view-"))
        try:
            self.database = self.duckdb.connect(
                str(self.folder / "rollouts.duckdb"),
                config={"memory_limit": READING, "threads": 2, "temp_directory": str(self.folder)},
            )
            self._load(paths, columns)
            self.execute(f"SET memory_limit = '{BROWSING}'")
        except BaseException as error:
            self.close()
            if isinstance(error, RuntimeError) and "interrupted" in str(error):  # what DuckDB makes of Ctrl-C
                raise KeyboardInterrupt from None
            raise

    def close(self) -> None:
        """Remove the temporary database; safe to call twice."""
        if hasattr(self, "database"):
            self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Run a statement on a connection of its own and return its cursor."""
        used = {name: value for name, value in (parameters or {}).items() if f"${name}" in sql}
        return self.database.cursor().execute(sql, used or None)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the result of a query, a mapping per row."""
        cursor = self.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _load(self, sources: Sequence[Path], columns: Columns) -> None:
        files = [self.folder / f"{run}.jsonl" for run in range(len(sources))]
        runs = list(zip(range(len(sources)), sources, files, strict=True))
        try:
            found = [
                direct(self.rows, source, columns, run) or converted(source, columns, file, run) for run, source, file in runs
            ]
            self._read(found)
        except self.duckdb.Error:  # the reader of every command reads more, or says in which line it fails
            self._read([converted(source, columns, file, run) for run, source, file in runs])
        for file in files:
            file.unlink(missing_ok=True)

    def _read(self, selects: Sequence[str]) -> None:
        rows = " UNION ALL BY NAME ".join(selects)
        self.execute(f"CREATE OR REPLACE TABLE texts AS SELECT row_number() OVER () - 1 AS id, * FROM ({rows})")
        self.execute("""
            CREATE OR REPLACE TABLE groups AS SELECT row_number() OVER (ORDER BY first) - 1 AS gid, * FROM (
                SELECT run, step, prompt_id, min(id) AS first, any_value(problem) AS problem, any_value(reference) AS reference,
                    hash(any_value(problem)) AS key, count(*) AS n,
                    count(*) FILTER (verdict > 0) AS accepted, count(*) FILTER (verdict = 0) AS rejected,
                    max(rm_score) - min(rm_score) AS spread, max(rm_score) FILTER (verdict = 0) AS top_rejected,
                    max(chars) AS longest
                FROM texts GROUP BY run, step, prompt_id)
        """)
        self.execute("""
            CREATE OR REPLACE TABLE rows AS SELECT t.id, g.gid, t.run, t.step, t.verdict, t.learned, t.rm_score,
                t.reward, t.weight, t.advantage, t.correct, t.finished, t.chars
            FROM texts t JOIN groups g
                ON t.run = g.run AND t.prompt_id = g.prompt_id AND t.step IS NOT DISTINCT FROM g.step
            ORDER BY t.id
        """)
        self.facts = self.rows("""
            SELECT count(*) AS responses, count(verdict) AS verdicts, count(rm_score) AS scores, count(reward) AS rewards,
                count(correct) AS labels, count(finished) AS endings, min(step) AS first_step, max(step) AS last_step,
                max(chars) AS longest, quantile_cont(rm_score, 0.25) AS low, quantile_cont(rm_score, 0.75) AS high,
                quantile_cont(rm_score, 0.01) AS score_from, quantile_cont(rm_score, 0.99) AS score_to,
                (SELECT count(*) FROM groups) AS groups FROM rows
        """)[0]

    def groups(self, query: Query, *, table: str = "rows") -> dict[str, Any]:
        """Return one page of the groups that pass, and how many there are in all.

        Args:
            query: the filters; a value of ``kind`` or ``sort`` that is unknown raises ``InputError``.
            table: the table with the advantages, ``rows`` or one of ``Rules.table``.
        """
        for name, value, known in (("kind", query.kind, ("", *KINDS, *GROUP_KINDS)), ("sort", query.sort, tuple(SORTS))):
            if value not in known:
                raise InputError(f"{name}={value!r} is unknown; choose one of {', '.join(filter(None, known))}")
        found = self.rows(f"""
            WITH hit AS (SELECT gid, count(*) AS hits FROM rows WHERE {_conditions(query)} GROUP BY gid),
                made AS (SELECT gid, max(abs(coalesce(advantage, 0))) AS strongest FROM {table} GROUP BY gid)
            SELECT gid, run, step, prompt_id, left(problem, {EXCERPT}) AS excerpt, n, accepted, rejected, spread, strongest,
                hits, count(*) OVER () AS total
            FROM groups JOIN hit USING (gid) JOIN made USING (gid)
            WHERE {GROUP_KINDS.get(query.kind, "true")} ORDER BY {SORTS[query.sort]} LIMIT $limit OFFSET $offset
        """, self._values(query))  # fmt: skip
        total = found[0]["total"] if found else 0
        return {"total": total, "groups": [{name: group[name] for name in group if name != "total"} for group in found]}

    def group(self, gid: int, query: Query | None = None) -> dict[str, Any]:
        """Return a group with its responses, where else its prompt is, and its like in the other run.

        Raises:
            InputError: there is no such group.
        """
        query = query or Query()
        if not (found := self.rows("SELECT * FROM groups WHERE gid = $gid", {"gid": gid})):
            raise InputError(f"group {gid}: there is none; groups are 0 to {self.facts['groups'] - 1}")
        group = found[0]
        ids = "(SELECT id FROM rows WHERE gid = $gid)"
        responses = self.rows(f"""
            SELECT id, response, verdict, learned, reason, rm_score, reward, weight, advantage, correct, finished, chars,
                steps, step_scores
            FROM texts WHERE id IN {ids} ORDER BY id LIMIT {MOST_SHOWN}
        """, {"gid": gid})  # fmt: skip
        hits = f"SELECT id FROM rows WHERE gid = $gid AND {_conditions(query, searching=f'id IN {ids} AND')}"
        chosen = {row["id"] for row in self.rows(hits, {"gid": gid, **self._values(query)})}
        for row in responses:
            row["hit"] = row["id"] in chosen
        same = self.rows(
            "SELECT gid, run, step, n, accepted FROM groups WHERE key = $key ORDER BY run, step, gid LIMIT 400", group
        )
        others = [one for one in same if one["run"] != group["run"]]
        other = min(others, key=lambda one: abs((one["step"] or 0) - (group["step"] or 0)), default=None)
        del group["key"]
        return {"group": group, "rows": responses, "same": same, "other": other["gid"] if other else None}

    def _values(self, query: Query) -> dict[str, Any]:
        return {**query._asdict(), "low": self.facts["low"], "high": self.facts["high"]}


def _conditions(query: Query, searching: str = "") -> str:
    """Return the condition on a row; a text in small letters is found in any case."""
    found = [KINDS.get(query.kind, "true")]
    found += [f"{name} = ${name}" for name in ("step", "run") if getattr(query, name) is not None]
    found += ["chars >= $min_chars"] * (query.min_chars is not None) + ["chars <= $max_chars"] * (query.max_chars is not None)
    if query.text:
        texts, groups = (_contain(query, *names) for names in (("response", "reason"), ("problem", "reference", "prompt_id")))
        found.append(
            f"id IN (SELECT id FROM texts WHERE {searching} ({texts})) OR gid IN (SELECT gid FROM groups WHERE {groups})"
        )
    return " AND ".join(f"({one})" for one in found)


def _contain(query: Query, *columns: str) -> str:
    lower = query.text == query.text.lower()
    return " OR ".join(f"contains({f'lower({name})' if lower else name}, $text)" for name in columns)
