"""`hero view`: browse rollouts in a browser, or write one page to send."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Annotated
from urllib.parse import urlencode

import typer

from hero_rl.cli import options, show
from hero_rl.config import RewardConfig
from hero_rl.errors import InputError, require
from hero_rl.files import write_text

HELP = """Browse rollouts in a browser: by prompt, with verdicts, scores, rewards and advantages.

PATH is a file, a folder or a pattern of rollouts in any format that `hero audit` reads, or the folder of a training run. A
second PATH is shown beside the first. --rule and --set recompute the rewards under another rule.

\b
Examples:
  hero view runs/hero
  hero view scored.jsonl --rule hero --set rule.alpha=0.2
  hero view before.parquet after.parquet
  hero view runs/hero --kind rejected_high --html suspects.html
"""


@options.spread
def view(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH [PATH]", help="Rollouts.")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one self-contained page and stop.")] = None,
    rule: options.RuleName = None,
    reward: options.RewardFile = None,
    assignments: options.Assignments = None,
    *,
    reading: options.Reading,
    kind: Annotated[
        str, typer.Option(help="Begin with these groups: rejected_high, accepted_low, abstained, no_gradient ...")
    ] = "",
    text: Annotated[str, typer.Option(help="Begin with groups with this text.")] = "",
    step: Annotated[float | None, typer.Option(help="Begin with groups of this step.")] = None,
    sort: Annotated[str, typer.Option(help="file, suspect, advantage, spread, accepted, length.")] = "file",
    limit: Annotated[int, typer.Option(help="Of --html: most groups.", min=1, max=500)] = 50,
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8500,
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the token; default: made up and printed.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    if len(paths) > 2:
        raise InputError(f"hero view: {len(paths)} paths; give one, or two to compare")
    for module in ("duckdb", "fastapi", "uvicorn"):
        require(module, extra="view", purpose="hero view")
    if html is None:  # imported while the files are read
        threading.Thread(target=importlib.import_module, args=("hero_rl.view.app",), daemon=True).start()
    from hero_rl.view.page import self_contained
    from hero_rl.view.rules import Rules
    from hero_rl.view.store import Query, Store

    columns, *_ = [reading.columns(path, needs_reference=False) for path in paths]
    config = options.load(reward, assignments, signals=False, rule=rule)
    title = " | ".join(str(path) for path in paths)
    start = time.perf_counter()
    with contextlib.closing(Store(paths, columns)) as store:
        rules = Rules(store, _given(config))
        seconds = round(time.perf_counter() - start, 2)
        facts = {"responses": store.facts["responses"], "groups": store.facts["groups"], "seconds": seconds}
        if html is not None:
            query = Query(kind=kind, text=text, step=step, sort=sort, limit=limit)
            write_text(html, self_contained(store, rules, query, title=title))
            show.print_json({**facts, "html": str(html)}) if as_json else sys.stdout.write(f"hero view: wrote {html}\n")
            return
        begin = {
            "filter": kind,
            "search": text,
            "step": None if step is None else f"{step:.15g}",
            "sort": "" if sort == "file" else sort,
        }
        fragment = urlencode({name: value for name, value in begin.items() if value not in ("", None)})
        _serve(store, rules, title, (host, port, token_env), fragment, facts if as_json else None)


def _given(config: RewardConfig) -> dict[str, dict[str, object]]:
    """Return the rule that a flag or a file sets, with its settings; none if nothing does."""
    named = any("rule" in layer.values for layer in config.layers if layer.values)
    return {config.rule_table["name"]: dict(config.rule_table)} if named else {}


def _serve(store, rules, title: str, address: tuple[str, int, str | None], fragment: str, facts) -> None:  # type: ignore[no-untyped-def]
    import uvicorn

    from hero_rl.cli.serve import read_token
    from hero_rl.engines.service.server import listen, url_of
    from hero_rl.view.app import LOOPBACK, create_app

    host, port, token_env = address
    token = read_token(token_env) if token_env else None if host in LOOPBACK else secrets.token_urlsafe(16)
    sock = listen(host, port)
    app = create_app(store, rules, title=title, token=token)
    fragment = "&".join(filter(None, (f"token={token}" if token else "", fragment)))
    url = url_of(sock) + (f"/#{fragment}" if fragment else "/")
    if facts is not None:
        show.print_json({**facts, "url": url, "pid": os.getpid()})
    else:
        counts = store.facts
        sys.stdout.write(
            f"hero view: {counts['responses']:,} responses in {counts['groups']:,} groups; open {url} (Ctrl-C stops)\n"
        )
        sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, server_header=False, ws="none"))
    before = signal.getsignal(signal.SIGHUP)

    def hang_up(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before)  # uvicorn raises the signal again when it has stopped
        server.handle_exit(number, frame)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, hang_up)
    server.run(sockets=[sock])
