"""Every error that hero-rl raises on purpose.

    HeroError
    ├── InputError (ValueError)        a file, a column or a value that the user gave is wrong        exit code 2
    │   └── BandOverlapError           alpha + beta >= 1: the two verdict bands would overlap
    ├── MissingDependencyError (ImportError)   an optional package is not installed                   exit code 2
    └── SignalError (RuntimeError)     a verifier or reward model failed on too much, or broke        exit code 1
        ├── UnhealthyError             it shows that it broke, with ``on_unhealthy = "stop"``
        └── TooHardError               verification took more CPU time than one request may use

    SettingsWarning (UserWarning)      settings that run, but cancel or undo what was asked for

A message has three parts: what was wrong, the value seen, what to do. All are picklable: they cross process boundaries.
"""

from __future__ import annotations

import importlib
import json
import re
import urllib.parse
from collections.abc import Iterable
from types import ModuleType


class HeroError(Exception):
    """Root of the tree: catch this to catch everything that hero-rl raises on purpose."""


class InputError(HeroError, ValueError):
    """A file, a column, an option or a value that the user gave is wrong."""


class BandOverlapError(InputError):
    """alpha + beta >= 1, so that an incorrect response could outrank a correct one."""


class MissingDependencyError(HeroError, ImportError):
    """An optional package is needed and not installed; the message names the extra."""


class SignalError(HeroError, RuntimeError):
    """A verifier or a reward model failed on more than is allowed, or shows that it broke in mid-run."""


class UnhealthyError(SignalError):
    """Scores or lengths show that a reward model or the policy broke in mid-run: the same batch would show it again."""


class TooHardError(SignalError):
    """Verification took more CPU time than one request may use; its verdicts are unknown, and nothing broke."""


class SettingsWarning(UserWarning):
    """Settings that run, but cancel or undo what was asked for."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: dotted name to import, such as ``"math_verify"``.
        extra: the extra of this distribution that installs it.
        purpose: the subject of the message: ``"the verifier 'math'"``.

    Raises:
        MissingDependencyError: the module's top-level package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top_level = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top_level:
            raise  # the package is there and one of its own imports is broken: not ours to explain
        raise MissingDependencyError(
            f"{purpose} needs the package {top_level!r}, which is not installed: {install_command(extra)}"
        ) from error


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation, from the clone, file or URL that it came from."""
    from importlib import metadata  # slow to import

    try:
        installed = metadata.distribution("hero-rl")
        installer, text = installed.read_text("INSTALLER"), installed.read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # run from a folder of sources
        installer = text = None
    command = "uv pip install" if (installer or "").strip() == "uv" else "pip install"
    origin = json.loads(text or "{}")  # https://packaging.python.org/specifications/direct-url
    url: str = origin.get("url", "")
    if "dir_info" in origin:
        folder = urllib.parse.unquote(url.removeprefix("file://"))
        return f"{command} {'-e ' * bool(origin['dir_info'].get('editable'))}'{folder}[{extra}]'"
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f"{command} 'hero-rl[{extra}]{' @ ' * bool(url)}{url}'"


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise ``InputError`` unless ``value`` is one of the choices."""
    if value not in (known := tuple(choices)):
        raise InputError(f"{name}={value!r} is unknown; choose one of {', '.join(known)}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def printable(text: str) -> str:
    """Return a text whose control characters, which could command a terminal, are escaped."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


MAX_SHOWN_CHARS = 60


def shown(value: object) -> str:
    """Return a value and its kind for a message."""
    if value is None:
        return "null"
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "the string", bool: "the flag"}
    return f"{kinds.get(type(value), 'the number')} {clip(repr(value), MAX_SHOWN_CHARS)}"


def clip(text: str, most: int = 80) -> str:
    """Return at most ``most`` characters of a text, for a message.

    >>> clip("abcdef", 5)
    'ab...'
    """
    return text if len(text) <= most else text[: most - 3] + "..."
