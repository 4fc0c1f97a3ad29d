"""What a data file was made from and how, beside the file, so that it can be made again bit for bit.

A manifest has no time and no path in it: the same input, options and versions give the same manifest.
"""

from __future__ import annotations

import hashlib
import json
import platform
import unicodedata
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from hero_rl.cache import MATH_PACKAGES

_CHUNK_BYTES = 2**20
READERS = ("datasets", "pyarrow", "huggingface_hub")
JUDGES = MATH_PACKAGES


def beside(path: Path, kind: str) -> Path:
    """The path of a companion: `problems.jsonl.gz` and `manifest.json` give `problems.manifest.json`."""
    name = path.name
    for suffix in (".jsonl.gz", ".jsonl"):
        name = name.removesuffix(suffix)
    return path.with_name(f"{name}.{kind}")


def file_facts(path: Path) -> dict[str, object]:
    """Name, size and SHA-256 of a file."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def folder_facts(path: Path) -> dict[str, object]:
    """Name and size of a folder, and one SHA-256 over the names and contents of its files."""
    content = hashlib.sha256()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        content.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode("utf-8", "surrogateescape"))
    size = sum(file.stat().st_size for file in files)
    return {"folder": path.resolve().name, "files": len(files), "bytes": size, "sha256": content.hexdigest()}


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            content.update(chunk)
    return content.hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, of Unicode's tables, of this package and of others that decide the output; only what is there."""
    found = {"python": platform.python_version(), "unicode": unicodedata.unidata_version}
    for name in ("hero-rl", *packages):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_manifest(path: Path, facts: Mapping[str, object], outputs: Mapping[str, Path], rows: Mapping[str, int]) -> None:
    """Write the facts and, by name, the size and hash of each output.

    Args:
        path: where to.
        facts: command, source, options, seed, counts, versions.
        outputs: the files as they are named when everything is done, and where they lie now.
        rows: rows of each of them.
    """
    described = {
        name: {"rows": rows[name], "bytes": file.stat().st_size, "sha256": sha256(file)} for name, file in outputs.items()
    }
    path.write_text(json.dumps({**facts, "outputs": described}, indent=2, allow_nan=False) + "\n", encoding="utf-8")
