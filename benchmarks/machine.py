"""The command, the device and the versions that a result was measured with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return command, device, threads and versions, for the top of a report."""
    import torch

    from hero_lab.results import versions

    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "threads": torch.get_num_threads(), "versions": versions(),
    }  # fmt: skip
