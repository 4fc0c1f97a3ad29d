"""Result files: whole or absent, and with the versions of what made them."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from hero_rl.files import write_text
from hero_rl.imports import installed_versions

_VERSIONED = ("hero-rl", "torch", "transformers", "trl", "accelerate", "datasets", "numpy")


def versions() -> dict[str, str]:
    """Versions of what a result depends on, and the processor architecture."""
    return {"python": platform.python_version(), "machine": platform.machine(), **installed_versions(*_VERSIONED)}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the file, whole or not at all; two arms of equal settings may write one result at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, allow_nan=False))
