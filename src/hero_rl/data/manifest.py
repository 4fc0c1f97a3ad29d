"""The manifest of a data file: its inputs and options, beside the file, so that it can be made again bit for bit.

A manifest has no time and no path in it: the same input, options and versions give the same manifest.
"""

from __future__ import annotations

import hashlib
import json
import platform
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from hero_rl.data.tables import files_of
from hero_rl.files import sha256
from hero_rl.imports import installed_versions
from hero_rl.types import Verifier


def beside(path: Path, kind: str) -> Path:
    """Return the path of a companion: `problems.jsonl.gz` and `manifest.json` give `problems.manifest.json`."""
    return path.with_name(f"{path.name.removesuffix('.gz').removesuffix('.jsonl')}.{kind}")


def file_facts(path: Path) -> dict[str, object]:
    """Return name, size and SHA-256 of a file."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def source_facts(source: Path) -> dict[str, object]:
    """Return ``file_facts`` of a file, ``folder_facts`` of a folder, and those of each file that a pattern finds."""
    if source.is_file():
        return file_facts(source)
    return folder_facts(source) if source.is_dir() else {"files": [file_facts(path) for path in files_of(source)]}


def folder_facts(path: Path) -> dict[str, object]:
    """Return name and size of a folder, and one SHA-256 over the names and contents of its files."""
    content = hashlib.sha256()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        content.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode("utf-8", "surrogateescape"))
    size = sum(file.stat().st_size for file in files)
    return {"folder": path.resolve().name, "files": len(files), "bytes": size, "sha256": content.hexdigest()}


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, of Unicode's tables, of this package and of others that decide the output."""
    found = {"python": platform.python_version(), "unicode": unicodedata.unidata_version}
    return {**found, **installed_versions("hero-rl", *packages)}


def verifier_facts(spec: str, verifier: Verifier) -> dict[str, object]:
    """Return the verifier's name in commands, its own name, and everything that decides a verdict, if it can say it."""
    return {"verifier": spec, "name": verifier.name, "identity": verifier.identity}


def write_manifest(path: Path, facts: Mapping[str, object], outputs: Mapping[str, Path], rows: Mapping[str, int]) -> None:
    """Write the facts, and rows, size and hash of each output; ``outputs`` has final names and present places."""
    described = {
        name: {"rows": rows[name], "bytes": file.stat().st_size, "sha256": sha256(file)} for name, file in outputs.items()
    }
    path.write_text(json.dumps({**facts, "outputs": described}, indent=2, allow_nan=False) + "\n", encoding="utf-8")
