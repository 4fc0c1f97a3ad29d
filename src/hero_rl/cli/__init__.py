"""The `hero` command. Exit codes: 0 fine, 1 failure, 2 bad usage or input, 130 interrupted."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, ModuleType
from typing import Annotated, NoReturn, cast

import typer
from typer.core import TyperGroup

from hero_rl import __version__
from hero_rl.errors import HeroError, InputError, MissingDependencyError, SettingsWarning, printable

COMMANDS = {
    "lab": "Train the built-in tiny models on this machine and compare reward rules.",
    "train": "Train a policy from a recipe (TOML) with TRL.",
    "reward": "The reward file: check it, see its defaults and what would hurt, begin one.",
    "score": "Rollouts to scored rollouts: verdicts, scores, rewards, weights, advantages.",
    "verify": "Rollouts to verdicts.",
    "data": "Prepare problems; split them into verifiable and hard-to-verify; choose a cold start.",
    "audit": "Labelled rollouts: how reliable verifier and reward model are, what a rule would do.",
    "view": "Browse rollouts in a browser, or write one page to send.",
    "eval": "Sample a policy on benchmarks and grade it; compare two evaluations.",
    "rm": "Train a reward model, or measure one: pair accuracy, AUROC inside groups, calibration.",
    "verifier": "Train a small learned verifier, or measure one.",
    "models": "Models with a short name; get them, or one in a GGUF file.",
    "serve": "The reward service over HTTP.",
    "recipe": "Write launch scripts and configurations for an engine.",
    "demo": "Score, audit and view a small file that comes with the package.",
    "doctor": "What is installed, and which versions.",
}
"""Each command is the function of its name in the module of its name (`hero_rl.cli.score.score`), with its help in the module's
`HELP` or else in the function's docstring. A module with a `COMMANDS` of its own (a mapping of name to function) is a group:
`hero rm train`; its `GROUP`, if any, is the class of the group, its `CALLBACK`, if any, what runs where none is named.
A module is imported only when its command is run, so that one whose packages are missing does not break the others."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hero ARGV`, by default with the arguments of this process, and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["version"]:
        arguments = ["--version"]
    warnings.showwarning = _show_warning
    # what transformers would say of a checkpoint's weights is checked, and refused in words of our own
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # else two lines per retry where there is no network
    if not sys.stderr.isatty():
        for variable in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
            os.environ.setdefault(variable, "1")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    # ours alone: transformers and its kind have handlers of their own
    for name in ("hero_rl", "hero_lab"):
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return _run(arguments, handle_signals=argv is None)
    finally:
        for name in ("hero_rl", "hero_lab"):
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(logging.NOTSET)


def _run(arguments: list[str], *, handle_signals: bool) -> int:
    if handle_signals:
        for number, handler in ((signal.SIGTERM, _stop), (signal.SIGHUP, _hang_up)):  # a half-written file is removed then, too
            if signal.getsignal(number) is not signal.SIG_IGN:  # as of nohup
                signal.signal(number, handler)
    try:
        words = arguments
        if "_HERO_COMPLETE" in os.environ:  # a shell asks what may follow; its words are in the environment
            words = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]
            os.environ["COLUMNS"] = "1000"  # typer wraps descriptions, and fish takes each line for a candidate
        elif not arguments:
            make_app(None)(args=["--help"], prog_name="hero", standalone_mode=False)
            return 2
        command = next((argument for argument in words if not argument.startswith("-")), None)
        with _output(arguments):
            result = make_app(command)(args=arguments, prog_name="hero", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        # whoever read stdout has gone; Python would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  # the edge of the program: every error becomes one line and an exit code
        if "--debug" in arguments or os.environ.get("HERO_DEBUG"):
            traceback.print_exc()
        return _fail(*_explain(error))
    code = result if isinstance(result, int) else 0
    return _interrupted() if code == 130 else code


def _output(arguments: list[str]) -> AbstractContextManager[None]:
    if "--json" not in arguments or "-h" in arguments or "--help" in arguments:
        return nullcontext()
    from hero_rl.cli.show import json_alone

    return json_alone()


def make_app(command: str | None) -> typer.Typer:
    """Return the program, with ``command`` ready to run and the others listed."""
    app = typer.Typer(
        rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
        help="HERO: hybrid ensemble reward optimization.",
    )  # fmt: skip
    app.callback()(_root)
    for name, summary in COMMANDS.items():
        module = _load(name) if name == command else None
        if module is not None and hasattr(module, "COMMANDS"):
            app.add_typer(_group(module, summary), name=name)
            continue
        function = getattr(module, name) if module else _placeholder
        app.command(name, help=getattr(module, "HELP", None) if module else summary, short_help=summary)(function)
    return app


def _group(module: ModuleType, summary: str) -> typer.Typer:
    """Return the commands of a module such as ``hero_rl.cli.rm``, one level down."""
    kind = getattr(module, "GROUP", TyperGroup)
    group = typer.Typer(cls=kind, rich_markup_mode=None, help=getattr(module, "HELP", summary), short_help=summary)
    for name, function in cast("Mapping[str, Callable[..., object]]", module.COMMANDS).items():
        group.command(name)(function)
    if hasattr(module, "CALLBACK"):
        group.callback(invoke_without_command=True, help=getattr(module, "HELP", summary))(module.CALLBACK)
    return group


def _load(name: str) -> ModuleType:
    module_name = "hero_lab.command" if name == "lab" else f"{__name__}.{name}"
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise InputError(f"hero {name}: this installation does not have the command") from error


def _placeholder() -> None:
    """Stand in for a command that is listed and not run."""


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"hero-rl {__version__}\n")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", hidden=True)] = False,
) -> None:
    """Options of `hero` itself; `--debug` is read in ``main``."""


def _explain(error: Exception) -> tuple[str, int]:
    """Return message and exit code."""
    format_message = getattr(error, "format_message", None)
    if format_message is not None:  # typer's own: unknown option, missing argument, value of the wrong type
        context = getattr(error, "ctx", None)
        return f"{format_message()} (see {context.command_path if context else 'hero'} --help)", 2
    if isinstance(error, InputError | MissingDependencyError):
        return str(error), 2
    if isinstance(error, HeroError):
        return str(error), 1
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {error.strerror or error}", 1
    return f"unexpected {type(error).__name__}: {error} (HERO_DEBUG=1 shows where)", 1


def _fail(message: str, code: int) -> int:
    # a file, or its name, may hold text that the terminal's encoding, or any, cannot show
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(f"error: {printable(message)}\n".encode(encoding, "backslashreplace").decode(encoding))
    return code


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(("warning: " if record.levelno >= logging.WARNING else "") + super().format(record))


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: object) -> None:
    if issubclass(category, SettingsWarning):
        sys.stderr.write(f"warning: {printable(str(message))}\n")
    elif not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
        sys.stderr.write(f"warning: {category.__name__}: {printable(str(message))} ({filename}:{lineno})\n")


_stopped_by = signal.SIGINT


def _stop(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does, to whoever handles it: asyncio, an evaluation, a run."""
    global _stopped_by
    _stopped_by, ctrl_c = signal.Signals(number), signal.getsignal(signal.SIGINT)
    if not callable(ctrl_c):  # ignored, as in the background of a script
        raise KeyboardInterrupt
    ctrl_c(signal.SIGINT, frame)


def _hang_up(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _interrupted() -> int:
    return _fail("interrupted" if _stopped_by == signal.SIGINT else f"interrupted by {_stopped_by.name}", 128 + _stopped_by)
