"""The page at ``/``: plain HTML that loads nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from hero_rl.engines.service.service import RewardService
from hero_rl.toml_layers import dump

MOST_RUNS = 50
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>hero-rl reward service</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.5rem; margin-bottom: 0 }} h2 {{ font-size: 1.1rem; margin-top: 2rem }}
div {{ overflow-x: auto }} table {{ border-collapse: collapse }}
th, td {{ text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid #8884 }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums }}
pre {{ background: #8881; padding: .75rem 1rem; overflow-x: auto; border-radius: .25rem }}
</style></head><body>
<h1>hero-rl reward service</h1>
<p>Gives whole groups of responses their hybrid reward: a verifier's verdicts, refined by a reward model.</p>
<p>It is <strong>{status}</strong>: {running} requests at work, {queued} waiting. Version {version}.</p>
<p><a href="healthz">Health</a> · <a href="metrics">Metrics for Prometheus</a> · <a href="v1/runs">Runs as JSON</a> ·
<a href="openapi.json">All requests and answers (OpenAPI)</a></p>
<h2>Reward</h2>
<div><table>{parts}</table></div>
<details><summary>As a reward file</summary><pre>{reward}</pre></details>
<h2>Runs</h2>
{runs}
<h2>Use it</h2>
<pre>from hero_rl.engines.service.client import RewardClient, make_group

with RewardClient("http://HOST:PORT", run_id="my-run"{token}) as client:
    batch = client.score_groups([make_group(problem, reference, responses)])
    batch.advantages</pre>
</body></html>
"""
_PARTS = {"Rule": "rule", "Verifier": "verifier", "Reward model": "reward_model", "Scale of advantages": "scale"}
_RUN = ("Run", "Rule", "Batches counted", "Requests since the start", "Last seen")


def page(service: RewardService, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the page; ``runs`` as in ``RewardService.list_runs``."""
    about = service.describe()
    parts = ((name, about[key] or "none") for name, key in _PARTS.items())
    rows = (
        (one["run_id"], one["rule"], one["updates"], one["requests"], f"{one['last_seen']:%Y-%m-%d %H:%M:%S} UTC")
        for one in runs
    )
    table = f"<div><table>{_row(_RUN, 'th')}{''.join(map(_row, rows))}</table></div>" if runs else "<p>None yet.</p>"
    return _PAGE.format(
        parts="".join(map(_row, parts)), reward=escape(dump(service.description or {})),
        runs=table + (f"<p>The last {len(runs)} of {service.store.runs}.</p>" if len(runs) < service.store.runs else ""),
        token=", token=TOKEN" if service.settings.tokens else "",
        **{name: escape(str(about[name])) for name in ("status", "running", "queued", "version")},
    )  # fmt: skip


def _row(values: Iterable[object], cell: str = "td") -> str:
    kinds = ((" class=number" if isinstance(value, int) else "", escape(str(value))) for value in values)
    return "<tr>" + "".join(f"<{cell}{kind}>{text}</{cell}>" for kind, text in kinds) + "</tr>"
