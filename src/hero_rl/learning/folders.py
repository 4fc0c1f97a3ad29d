"""The folder of a trained model: whole or absent.

config.json, *.safetensors, tokenizer files   the model, as transformers saves it
split.json                                    which problems it has seen
rows.jsonl.gz, pairs.jsonl.gz                 what it was made from, held-out rows included
training.json                                 how: settings, counts, versions, the last loss
verifier.json                                 learned verifier only: its limits
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from hero_rl.errors import InputError, first_line
from hero_rl.files import locked, replacing, write_text
from hero_rl.imports import installed_versions

TRAINING_FILE = "training.json"
_PACKAGES = ("hero-rl", "torch", "transformers", "trl", "numpy", "math-verify")


def check_new(folder: Path) -> None:
    """Raise unless a model may be written to ``folder``.

    Raises:
        InputError: it exists already, its parent does not, or there is no permission.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists already; give the model a folder of its own (-o), or delete this one")
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {str(folder.parent)!r} does not exist; make it first")
    if not os.access(folder.parent, os.W_OK):
        raise InputError(f"{folder}: no permission to write in {str(folder.parent)!r}")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write to, which becomes ``folder`` when the block ends well and is removed when it does not.

    Raises:
        InputError: as ``check_new``, or another process is writing it.
    """
    check_new(folder)
    with locked(folder), replacing(folder) as partial:
        partial.mkdir()
        yield partial


def write_training(folder: Path, facts: Mapping[str, object]) -> None:
    """Write how a model was made."""
    write_text(folder / TRAINING_FILE, json.dumps({**facts, "versions": installed_versions(*_PACKAGES)}, indent=1) + "\n")


def read_training(folder: Path, kind: str) -> dict[str, object]:
    """Return how a model was made.

    Args:
        folder: of the model.
        kind: what it has to be: ``"reward model"`` or ``"verifier"``.

    Raises:
        InputError: not the folder of such a model.
    """
    path = folder / TRAINING_FILE
    try:
        facts = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
        found = facts["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: is not the folder of a {kind} that was trained here ({first_line(error)})") from error
    if found != kind:
        raise InputError(f"{folder}: holds a {found}, and a {kind} is needed")
    return facts
