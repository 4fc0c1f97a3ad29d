"""Rollouts as DuckDB sees them: an index of numbers in memory, the texts in Parquet files."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hero_rl.data import Columns
from hero_rl.errors import InputError, require
from hero_rl.files import stamps
from hero_rl.view.sources import COLUMNS, NO_REFERENCE, listed, parquet_files, run_names, select, table

COPYING_BYTES, BROWSING_BYTES = 192_000_000, 112_000_000
"""Memory of DuckDB; what does not fit is on disk."""
PAGE = 50
"""Groups per page of the list."""
MOST_SHOWN = 500
"""Responses of one group."""
EXCERPT = 240
OF_GROUP = ("prompt_id", "problem", "reference", "step")
SEARCHED = ("response", "reason", "problem", "reference", "prompt_id")
RECORDED = "recorded"
"""The rewards, weights and advantages that the files have."""

KINDS: Mapping[str, str] = {
    "rejected_high": "verdict = 0 AND rm_score >= $high",
    "accepted_low": "verdict > 0 AND rm_score <= $low",
    "abstained": "verdict IS NULL",
    "wrong": "(verdict > 0) <> (correct > 0)",
    "cut": "finished = false",
    "generous": "generous",
}
"""Filters of responses; a group is listed if one of its responses passes."""
GENEROUS = "verdict > 0 AND starts_with(reason, 'equal_') AND reason NOT IN ('equal_symbolically', 'equal_within_tolerance')"
"""``Verdict.generous``, told from the reason (docs/math-reference.md)."""
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
    step: float | None = None
    run: int | None = None
    min_chars: int | None = None
    max_chars: int | None = None
    sort: str = "file"
    offset: int = 0
    limit: int = PAGE


class Store:
    """The rollouts of one or two paths, as tables: ``texts``, ``rows`` (numbers) and ``groups``."""

    def __init__(self, paths: Sequence[Path], columns: Columns = NO_REFERENCE) -> None:
        """Index the rollouts at each path, read as ``columns`` says; copies are in a folder that ``close`` removes.

        Raises:
            InputError: no files, or rows that are no rollouts (the message has file and line).
            MissingDependencyError: duckdb is not installed.
        """
        self.duckdb: Any = require("duckdb", extra="view", purpose="hero view")
        self.runs = run_names(paths)
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)  # of tables with recomputed rewards
        self.folder = Path(tempfile.mkdtemp(prefix="hero-view-"))
        try:
            self.database = self.duckdb.connect(
                ":memory:", config={"memory_limit": f"{COPYING_BYTES}B", "threads": 2, "temp_directory": str(self.folder)}
            )
            try:
                self._index(paths, columns)
            except self.duckdb.Error:  # the reader of every command reads more, or says in which line it fails
                self._index(paths, columns, plain=False)
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

    def changed(self) -> bool:
        """Return whether a file that is queried was written, moved or deleted since it was indexed."""
        try:
            return stamps(*self.files) != self.stamps
        except OSError:  # one is gone
            return True

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Run a statement on a connection of its own and return its cursor."""
        used = {name: value for name, value in (parameters or {}).items() if f"${name}" in sql}
        return self.database.cursor().execute(sql, used or None)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the result of a query, a mapping per row."""
        cursor = self.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def texts(self, ids: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
        """Return columns of some rows, in the order of ``ids``, from the few files that have them."""
        found: dict[int, dict[str, Any]] = {}
        files = np.searchsorted(self.starts, ids, side="right") - 1
        for at in np.unique(files):
            start, file = int(self.starts[at]), [self.files[at]]
            inside = ", ".join(str(one - start) for one, place in zip(ids, files, strict=True) if place == at)
            query = select(file, self._kinds(file), f"{start} + file_row_number AS id", names)
            found |= {row["id"]: row for row in self.rows(f"{query} WHERE file_row_number IN ({inside})")}
        return [found[one] for one in ids]

    def _kinds(self, files: Sequence[Path]) -> dict[str, str]:
        return {row["column_name"]: row["column_type"] for row in self.rows(f"DESCRIBE SELECT * FROM {table(files)}")}

    def _index(self, paths: Sequence[Path], columns: Columns, *, plain: bool = True) -> None:
        """Make ``groups``, ``rows`` and the view ``texts``, and find ``facts``."""
        self.files: list[Path] = []
        self.starts = np.zeros(1, dtype=np.int64)  # the first id in each file; the last: all rows
        selects: list[str] = []
        for run, path in enumerate(paths):
            files = parquet_files(self.rows, path, columns, self.folder / f"{run}.parquet", plain=plain)
            counted = self.rows(f"SELECT count(*) AS n, file_index AS file FROM {table(files)} GROUP BY file")
            counts = np.zeros(len(files), dtype=np.int64)
            for row in counted:
                counts[row["file"]] = row["n"]
            ends = self.starts[-1] + np.cumsum(counts)
            starts = f"({[int(self.starts[-1]), *ends[:-1].tolist()]}::BIGINT[])"
            number = f"{starts}[(file_index + 1)::BIGINT] + file_row_number AS id"
            selects.append(select(files, self._kinds(files), f"{run} AS run, {number}"))
            self.files, self.starts = [*self.files, *files], np.append(self.starts, ends)
        self.stamps = stamps(*self.files)
        (chunk,) = self.rows(f"SELECT max(total_compressed_size) AS bytes FROM parquet_metadata({listed(self.files)})")
        self.execute(f"SET memory_limit = '{BROWSING_BYTES + 2 * chunk['bytes']}B'")  # a chunk is read whole
        self.execute(f"CREATE OR REPLACE VIEW texts AS {' UNION ALL BY NAME '.join(selects)}")
        self.execute("""
            CREATE OR REPLACE TABLE groups AS SELECT row_number() OVER (ORDER BY first) - 1 AS gid, * FROM (
                SELECT run, step, prompt_id, min(id) AS first, any_value(hash(problem)) AS key, count(*) AS n,
                    count(*) FILTER (verdict > 0) AS accepted, count(*) FILTER (verdict = 0) AS rejected,
                    max(rm_score) - min(rm_score) AS spread, max(rm_score) FILTER (verdict = 0) AS top_rejected
                FROM texts GROUP BY run, step, prompt_id)
        """)
        self.execute(f"""
            CREATE OR REPLACE TABLE rows AS SELECT t.id, g.gid, t.run, t.step, t.verdict, t.learned, t.rm_score,
                t.reward, t.weight, t.advantage, t.correct, t.finished, {GENEROUS} AS generous
            FROM texts t JOIN groups g
                ON t.run = g.run AND t.prompt_id = g.prompt_id AND t.step IS NOT DISTINCT FROM g.step
        """)
        self.facts = self.rows("""
            SELECT * EXCLUDE (q), q[1] AS score_from, q[2] AS low, q[3] AS high, q[4] AS score_to FROM (SELECT
                count(*) AS responses, count(verdict) AS verdicts, count(rm_score) AS scores, count(reward) AS rewards,
                count(correct) AS labels, count(finished) AS endings, count(*) FILTER (generous) AS generous,
                min(step) AS first_step, max(step) AS last_step,
                quantile_cont(rm_score, [0.01, 0.25, 0.75, 0.99]) AS q, (SELECT count(*) FROM groups) AS groups FROM rows)
        """)[0]

    def _measure_lengths(self) -> None:
        """Make ``lengths`` if it is not there yet: it takes a look at every response."""
        with self.lock:
            self.execute("""
                CREATE TABLE IF NOT EXISTS lengths AS
                SELECT id, gid, length(response) AS chars FROM texts JOIN rows USING (id)
            """)

    def groups(self, query: Query, *, table: str = "rows") -> dict[str, Any]:
        """Return one page of the groups that pass, and how many there are in all.

        Args:
            query: the filters; a value of ``kind`` or ``sort`` that is unknown raises ``InputError``.
            table: the table with the advantages, ``rows`` or one of ``Rules.table``.
        """
        for name, value, known in (("kind", query.kind, ("", *KINDS, *GROUP_KINDS)), ("sort", query.sort, tuple(SORTS))):
            if value not in known:
                raise InputError(f"{name}={value!r} is unknown; choose one of {', '.join(filter(None, known))}")
        if query.sort == "length" or query.min_chars is not None or query.max_chars is not None:
            self._measure_lengths()
        longest = "JOIN (SELECT gid, max(chars) AS longest FROM lengths GROUP BY gid) USING (gid)"
        found = self.rows(f"""
            WITH hit AS (SELECT gid, count(*) AS hits FROM rows WHERE {_conditions(query)} GROUP BY gid),
                made AS (SELECT gid, max(abs(coalesce(advantage, 0))) AS strongest FROM {table} GROUP BY gid)
            SELECT gid, run, step, prompt_id, first, n, accepted, rejected, spread, strongest, hits, count(*) OVER () AS total
            FROM groups JOIN hit USING (gid) JOIN made USING (gid) {longest if query.sort == "length" else ""}
            WHERE {GROUP_KINDS.get(query.kind, "true")} ORDER BY {SORTS[query.sort]} LIMIT $limit OFFSET $offset
        """, self._values(query))  # fmt: skip
        total = found[0]["total"] if found else 0
        problems = self.texts([group["first"] for group in found], ["problem"])
        for group, text in zip(found, problems, strict=True):
            group["excerpt"] = text["problem"][:EXCERPT]
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
        chosen = _conditions(query._replace(text="", min_chars=None, max_chars=None))
        passing = self.rows(
            f"SELECT id, ({chosen}) IS TRUE AS hit FROM rows WHERE gid = $gid ORDER BY id LIMIT {MOST_SHOWN}",
            {"gid": gid, **self._values(query)},
        )
        responses = self.texts([row["id"] for row in passing], COLUMNS)
        group |= {name: responses[0][name] for name in ("problem", "reference")}
        for row, passed in zip(responses, passing, strict=True):
            row["chars"] = len(row["response"])
            row["hit"] = passed["hit"] and _has_text(query, row)
        same = self.rows(
            "SELECT gid, run, step, n, accepted FROM groups WHERE key = $key ORDER BY run, step, gid LIMIT 400", group
        )
        others = [one for one in same if one["run"] != group["run"]]
        other = min(others, key=lambda one: abs((one["step"] or 0) - (group["step"] or 0)), default=None)
        del group["key"]
        rows = [{name: value for name, value in row.items() if name not in OF_GROUP} for row in responses]
        return {"group": group, "rows": rows, "same": same, "other": other["gid"] if other else None}

    def _values(self, query: Query) -> dict[str, Any]:
        return {**query._asdict(), "low": self.facts["low"], "high": self.facts["high"]}


def _conditions(query: Query) -> str:
    """Return the condition on a row; a text in small letters is found in any case."""
    found = [KINDS.get(query.kind, "true")]
    found += [f"{name} = ${name}" for name in ("step", "run") if getattr(query, name) is not None]
    found += ["chars >= $min_chars"] * (query.min_chars is not None) + ["chars <= $max_chars"] * (query.max_chars is not None)
    if any("chars" in one for one in found):
        found = [one if "chars" not in one else f"id IN (SELECT id FROM lengths WHERE {one})" for one in found]
    if query.text:
        how, long = "contains({}, $text)", "contains({}, $text)"
        if query.text == query.text.lower():  # of long texts, a pattern is twice as quick
            how, long = "contains(lower({}), $text)", "regexp_matches({}, regexp_escape($text), 'i')"
        texts = " OR ".join((long if name == "response" else how).format(name) for name in SEARCHED)
        found.append(f"id IN (SELECT id FROM texts WHERE {texts})")
    return " AND ".join(f"({one})" for one in found)


def _has_text(query: Query, row: Mapping[str, Any]) -> bool:
    """Return whether a response passes the filters that look at texts, as ``_conditions`` does."""
    whole = [row[name].lower() if query.text == query.text.lower() else row[name] for name in SEARCHED]
    long_enough = (query.min_chars or 0) <= row["chars"] <= (row["chars"] if query.max_chars is None else query.max_chars)
    return long_enough and any(query.text in text for text in whole)
