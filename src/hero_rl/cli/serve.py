"""`hero serve`: the reward service over HTTP."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hero_rl.cli import options, show
from hero_rl.config import RewardConfig
from hero_rl.engines.service.settings import MIB, ServiceSettings
from hero_rl.errors import InputError, require

if TYPE_CHECKING:
    from hero_rl.engines.service.service import RewardService

_LIMITS = ServiceSettings()
HELP = f"""The reward service over HTTP.

Scores whole groups (POST /v1/score_group, /v1/score_groups) and keeps the state of each run_id. Also speaks the protocol of
OpenRLHF (/get_reward): responses to one prompt in one call are a group, a response alone gets raw parts.
GET /openapi.json describes everything, /healthz and /metrics are for operators. Stops on SIGTERM when what runs is done.

\b
Example:
  hero serve --reward reward.toml --port 8400 --state ./service-state

\b
{options.NAMES}
"""


@options.spread
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8400,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where states are kept; without it they end with the process.")
    ] = None,
    rollouts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep a few rollouts of each batch there, for `hero view DIR/RUN`.")
    ] = None,
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the token that clients must send.")
    ] = None,
    *,
    described: options.RewardOptions,
    max_running: Annotated[int, typer.Option(help="Requests worked on at a time.")] = _LIMITS.max_running,
    max_queued: Annotated[int, typer.Option(help="Requests that may wait; further ones get 429.")] = _LIMITS.max_queued,
    max_body_mib: Annotated[int, typer.Option(help="Largest request.")] = _LIMITS.max_body_bytes // MIB,
    request_deadline: Annotated[float, typer.Option(help="Seconds for a request that names none.")] = _LIMITS.deadline_s,
    max_verify_cpu: Annotated[
        float, typer.Option(help="CPU seconds for verifying one request, beyond 1 per response.")
    ] = _LIMITS.max_verify_s,
    keep_answers: Annotated[int, typer.Option(help="Answers kept for retries.")] = _LIMITS.max_answers,
    drain: Annotated[float, typer.Option(help="Seconds for what runs to finish after SIGTERM.")] = _LIMITS.drain_s,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as one JSON object.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, extra="serve", purpose="hero serve")
    if rollouts is not None:
        require("pyarrow", extra="view", purpose="hero serve --rollouts")
        show.check_folder("--rollouts", rollouts)
    from hero_rl.engines.service.app import create_app
    from hero_rl.engines.service.server import listen, url_of
    from hero_rl.engines.service.server import serve as run

    config = described.load()
    settings = ServiceSettings(
        max_running=max_running, max_queued=max_queued, max_body_bytes=max_body_mib * MIB, deadline_s=request_deadline,
        max_held_bytes=max(_LIMITS.max_held_bytes, max_body_mib * MIB), max_answers=keep_answers, drain_s=drain,
        max_verify_s=max_verify_cpu,
        token=read_token(token_env),
    )  # fmt: skip
    sock = listen(host, port)
    service = _service(config, state, settings, rollouts)

    def ready() -> None:
        if as_json:
            show.print_json(
                {**service.describe(), "url": url_of(sock), "pid": os.getpid(), "state": str(state) if state else None}
            )
        else:
            sys.stdout.write(
                f"hero serve: listening on {url_of(sock)} ({config.rule.name}, {config.verifier['name']}, "
                f"{config.reward_model['name'] if config.reward_model else 'no reward model'})\n"
            )
        sys.stdout.flush()
        if settings.token is None and not ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
            show.warn(f"{host} can be reached from other machines and everybody there may use it: give --token-env")
        if state is None:
            show.warn("no --state: the states of runs live as long as this process")

    run(create_app(service), sock, on_ready=ready, drain_s=drain)


def _service(config: RewardConfig, state: Path | None, settings: ServiceSettings, rollouts: Path | None) -> RewardService:
    from hero_rl.engines.service.batching import BatchingScorer
    from hero_rl.engines.service.service import RewardService
    from hero_rl.engines.service.store import StateStore
    from hero_rl.scorers import LocalScorer

    judge, scorer = config.make_verifier(), config.make_scorer()
    if judge is not None:
        judge.warm()  # or the first requests wait for the worker processes
    store = StateStore(state, settings)
    shared = BatchingScorer(scorer) if isinstance(scorer, LocalScorer) else scorer
    reward = config.put_together(judge, shared)
    return RewardService(reward, store, settings, description=config.resolved(), rollouts=rollouts)


def read_token(name: str | None) -> str | None:
    """Return the token in an environment variable; None where no name is given; raises InputError if it is not set."""
    if name is None:
        return None
    token = os.environ.get(name, "")
    if not token:
        raise InputError(f"--token-env {name}: the environment variable is not set, or empty; put the token there")
    return token
