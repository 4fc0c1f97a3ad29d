"""Result files: whole or absent, and with the versions of what made them."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from hero_rl.imports import installed_versions

_VERSIONED = ("hero-rl", "torch", "transformers", "trl", "accelerate", "datasets", "numpy")


def versions() -> dict[str, str]:
    """Versions of what a result depends on, and the processor architecture."""
    return {"python": platform.python_version(), "machine": platform.machine(), **installed_versions(*_VERSIONED)}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write beside the file and rename, so that the file is whole or absent.

    Not ``hero_rl.files.write_text``: two arms of equal settings may write one result at once, so each process has its own name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
