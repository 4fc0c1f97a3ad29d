"""What result files have in common: whole or absent, no NaN, and what made them."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hero_rl.engines.trl.run_folder import package_versions

_VERSIONED = ("hero-rl", "torch", "transformers", "trl", "accelerate", "datasets", "numpy")


def versions() -> dict[str, str]:
    """Versions of what a result depends on, and the processor architecture."""
    return {"python": platform.python_version(), "machine": platform.machine(), **package_versions(_VERSIONED)}


def without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in cast("list[Any]", value)]
    return None if isinstance(value, float) and math.isnan(value) else value


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
