"""The options of every command as a page of the site (a hook of mkdocs), and doctests as code (an extension of griffe)."""

from __future__ import annotations

import contextlib
import io
import os
import re

from griffe import Extension, Module, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from hero_rl.cli import COMMANDS, main


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page ``options.md``."""
    os.environ["COLUMNS"] = "110"
    lines = ["# Options of every command\n", "What `hero COMMAND --help` prints.\n"]
    for name in COMMANDS:
        text = _help(name)
        lines.append(_section(f"hero {name}", text))
        lines += [_section(f"hero {name} {inner}", _help(name, inner)) for inner in _inner(text)]
    files.append(File.generated(config, "options.md", content="\n".join(lines)))
    return files


def _help(*command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if main([*command, "--help"]) != 0:
            raise PluginError(f"hero {' '.join(command)} --help failed")
    return out.getvalue()


def _inner(text: str) -> list[str]:
    """Return the names of the commands of a group, from its help."""
    listed = text.partition("\nCommands:\n")[2].splitlines()
    return [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "]


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.strip()}\n```\n"


class Doctests(Extension):
    """Fence the doctests of docstrings, which Markdown would take for quotations."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Rewrite the docstring of an object, once it is read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^([ ]*)>>> (?:.+\n?)+", _fenced, obj.docstring.value)

    def on_package(self, *, pkg: Module, **_: object) -> None:
        """Rewrite the docstring of the package, which is no object to ``on_object``."""
        self.on_object(obj=pkg)


def _fenced(found: re.Match[str]) -> str:
    return f"{found[1]}```pycon\n{found[0].rstrip()}\n{found[1]}```\n"
