"""`hero serve`: the reward service over HTTP."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import typer

from hero_rl import __version__
from hero_rl.cli import options, show
from hero_rl.config import RewardConfig
from hero_rl.config_checks import blamed, check_table, placed
from hero_rl.engines.service.settings import MIB, ServiceSettings
from hero_rl.engines.service.tokens import Token
from hero_rl.errors import InputError, check_choice, require
from hero_rl.toml_layers import Layer, merged, where

if TYPE_CHECKING:
    from hero_rl.engines.service.service import RewardService

_LIMITS = ServiceSettings()
_logger = logging.getLogger(__name__)
HELP = f"""The reward service over HTTP.

Scores whole groups (POST /v1/score_group, /v1/score_groups) and keeps the state of each run_id. Also speaks the protocol of
OpenRLHF (/get_reward): responses to one prompt in one call are a group, a response alone gets raw parts. The page at / is for
people, GET /openapi.json describes everything, /v1/runs, /healthz and /metrics are for operators. Stops on SIGTERM when what
runs is done. The options from --host to --drain may stand in the reward file, in a table [service], as may named tokens.

\b
Examples:
  hero serve --reward reward.toml --port 8400 --state ./service-state
  hero serve reward.toml

\b
{options.NAMES}
"""


class ServiceOptions(NamedTuple):
    """The options that a reward file may have in ``[service]``."""

    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all of this machine's.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8400
    state: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            envvar="HERO_STATE",
            help="Where states are kept: a folder, or postgresql://USER@HOST/DATABASE, which several replicas may share; "
            "without it they end with the process.",
        ),
    ] = None
    rollouts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep a few rollouts of each batch there, for `hero view DIR/RUN`.")
    ] = None
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the token that clients must send.")
    ] = None
    log_format: Annotated[
        str, typer.Option(metavar="text|json", help="With json, an object per event and request; with text, warnings alone.")
    ] = "text"
    max_running: Annotated[int, typer.Option(help="Requests worked on at a time.")] = _LIMITS.max_running
    max_queued: Annotated[int, typer.Option(help="Requests that may wait; further ones get 429.")] = _LIMITS.max_queued
    max_body_mib: Annotated[int, typer.Option(help="Largest request.")] = _LIMITS.max_body_bytes // MIB
    request_deadline: Annotated[float, typer.Option(help="Seconds for a request that names none.")] = _LIMITS.deadline_s
    max_verify_cpu: Annotated[float, typer.Option(help="CPU seconds for verifying one request, beyond 1 per response.")] = (
        _LIMITS.max_verify_s
    )
    keep_answers: Annotated[int, typer.Option(help="Answers kept for retries.")] = _LIMITS.max_answers
    drain: Annotated[float, typer.Option(help="Seconds for what runs to finish after SIGTERM.")] = _LIMITS.drain_s

    def settings(self, tokens: Sequence[Token]) -> ServiceSettings:
        """Return the limits of the service; raises InputError for one out of range."""
        own = [Token("default", read_token(self.token_env))] if self.token_env else []
        if own and any(token.name == "default" for token in tokens):
            raise InputError(
                f"token_env={self.token_env!r}: the token in that variable is called 'default'; give [service.tokens.default] "
                "another name, or leave token_env out"
            )
        return ServiceSettings(
            max_running=self.max_running, max_queued=self.max_queued, max_body_bytes=self.max_body_mib * MIB,
            deadline_s=self.request_deadline, max_held_bytes=max(_LIMITS.max_held_bytes, self.max_body_mib * MIB),
            max_answers=self.keep_answers, drain_s=self.drain, max_verify_s=self.max_verify_cpu, tokens=(*own, *tokens),
        )  # fmt: skip


@options.spread
def serve(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="As --reward.", show_default=False)] = None,
    *,
    service: ServiceOptions,
    described: options.RewardOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as one JSON object.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, extra="serve", purpose="hero serve")
    if file is not None and described.reward is not None:
        raise InputError(f"hero serve {file} --reward {described.reward}: give one reward file")
    config = options.load(**described._replace(reward=file or described.reward)._asdict())
    given = {name for name in ServiceOptions._fields if "DEFAULT" not in str(context.get_parameter_source(name))}
    service, tokens = read_service(config.layers, service, given)
    if service.rollouts is not None:
        require("pyarrow", extra="view", purpose="hero serve --rollouts")
        show.check_folder("--rollouts", service.rollouts)
    from hero_rl.engines.service.app import create_app
    from hero_rl.engines.service.logs import log_as_json
    from hero_rl.engines.service.server import listen
    from hero_rl.engines.service.server import serve as run

    with blamed(config.layers, "service", ServiceOptions._fields):
        check_choice("log_format", service.log_format, ("text", "json"))
        settings = service.settings(tokens)
    if service.log_format == "json":
        log_as_json()
    for warning in config.warnings():
        _logger.warning(warning)
    sock = listen(service.host, service.port)
    made = _service(config, service.state, settings, service.rollouts)

    run(create_app(made), sock, on_ready=lambda: _say(made, sock, config, service, as_json=as_json), drain_s=service.drain)


def _say(made: RewardService, sock: socket.socket, config: RewardConfig, given: ServiceOptions, *, as_json: bool) -> None:
    """Say where the service listens, and what its operator may have overlooked."""
    from hero_rl.engines.service.server import url_of

    model = config.reward_model["name"] if config.reward_model else "no reward model"
    says = f"listening on {url_of(sock)} ({config.rule.name}, {config.verifier['name']}, {model})"
    _logger.info(says)
    if as_json:
        state = made.store.name if given.state else None
        show.print_json({**made.describe(), "url": url_of(sock), "pid": os.getpid(), "state": state})
    elif given.log_format == "text":
        sys.stdout.write(f"hero serve: {says}\n")
        sys.stdout.flush()
    if not made.settings.tokens and not ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
        says = "can be reached from other machines and everybody there may use it: give --token-env or [service.tokens]"
        _logger.warning("%s %s", given.host, says)
    if given.state is None:
        _logger.warning("no --state: the states of runs live as long as this process")


def read_service(layers: Sequence[Layer], flags: ServiceOptions, given: Collection[str]) -> tuple[ServiceOptions, list[Token]]:
    """Return the options, from ``[service]`` where no flag was ``given``, and the named tokens.

    Raises:
        InputError: unknown keys, values of the wrong type, or a token that is not there; with file and line.
    """
    table = merged(layers).get("service", {})
    if not isinstance(table, Mapping):
        raise InputError(f"{where(layers, ('service',))}: service = {table!r}: give a table [service]")
    types = {**get_type_hints(ServiceOptions), "tokens": dict[str, dict[str, Any]]}
    said = {name: value for name, value in table.items() if value != ""}  # as elsewhere in the file
    values = check_table(layers, ("service",), said, types, "keys of [service]")
    tokens = [_token(layers, name, one) for name, one in (values.pop("tokens", None) or {}).items()]
    return flags._replace(**{name: value for name, value in values.items() if name not in given}), tokens


def _token(layers: Sequence[Layer], name: str, table: Mapping[str, Any]) -> Token:
    key = ("service", "tokens", name)
    values = check_table(layers, key, table, {"env": str, "file": Path, "requests_per_minute": float}, "keys of a token")
    with placed(where(layers, key)):
        if ("env" in values) == ("file" in values):
            raise InputError(f"the token {name!r} needs one of env (a variable that has it) and file (a file that has it)")
        try:
            said = f"the token {name!r}: env ="
            secret = read_token(values["env"], said) if "env" in values else values["file"].read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", "it is not UTF-8")
            raise InputError(f"the token {name!r}: {values['file']} cannot be read: {why}") from error
        token = Token(name, secret)
    with placed(where(layers, (*key, "requests_per_minute"))):
        return replace(token, requests_per_minute=values.get("requests_per_minute"))


def _service(config: RewardConfig, state: str | None, settings: ServiceSettings, rollouts: Path | None) -> RewardService:
    from hero_rl.engines.service.batching import BatchingScorer
    from hero_rl.engines.service.service import RewardService
    from hero_rl.engines.service.store import StateStore
    from hero_rl.scorers import LocalScorer

    judge, scorer = config.make_verifier(), config.make_scorer()
    if judge is not None:
        judge.warm()  # or the first requests wait for the worker processes
    description = config.resolved()
    store = StateStore(state, settings, reward=json.dumps([__version__, description], sort_keys=True))
    shared = BatchingScorer(scorer) if isinstance(scorer, LocalScorer) else scorer
    reward = config.put_together(judge, shared)
    return RewardService(reward, store, settings, description=description, rollouts=rollouts)


def read_token(name: str, option: str = "--token-env") -> str:
    """Return the token in an environment variable; raises InputError if it is not set."""
    token = os.environ.get(name, "")
    if not token:
        raise InputError(f"{option} {name}: the environment variable is not set, or empty; put the token there")
    return token
