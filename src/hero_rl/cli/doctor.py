"""`hero doctor`: what is installed."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from importlib import metadata

from packaging.requirements import Requirement

from hero_rl import __version__
from hero_rl.cli import show
from hero_rl.errors import install_command
from hero_rl.imports import installed_versions
from hero_rl.sandbox import available_cpus
from hero_rl.verifiers.math.antlr import TESTED_ANTLR

DISTRIBUTION = "hero-rl"
PACKAGES = (
    "numpy", "torch", "transformers", "trl", "accelerate", "datasets", "pyarrow", "math-verify", "antlr4-python3-runtime",
    "sympy", "latex2sympy2-extended", "matplotlib", "jinja2", "fastapi", "duckdb", "inspect-ai", "scipy", "peft", "deepspeed",
    "vllm", "ray", "verl", "slime", "flash-attn", "tensorboard", "wandb",
)  # fmt: skip
"""Packages that are looked up, needed here or not: people report these versions with a problem."""


def doctor(as_json: show.Json = False) -> None:
    """Say what is installed, and which versions; `hero reward show` says which settings would cancel or hurt.

    \b
    Example:
      hero doctor
    """  # noqa: D301  # \b is meant: it keeps the lines of the examples apart
    versions = {name: _version(name) for name in PACKAGES}
    missing = _missing()
    problems = _problems(versions)
    devices = _devices() if versions["torch"] else []
    if as_json:
        show.print_json(
            {
                "hero_rl": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cpus": available_cpus(),
                "devices": devices,
                "versions": versions,
                "missing": {extra: names for extra, names in missing.items() if names},
                "problems": problems,
            }
        )
        return
    rows = [(DISTRIBUTION, __version__), ("python", platform.python_version()), ("platform", platform.platform())]
    rows += [("cpus", str(available_cpus()))]
    rows += [("devices", ", ".join(devices) or ("torch sees no GPU" if versions["torch"] else "not looked: no torch"))]
    rows += [(name, version or "-") for name, version in versions.items()]
    show.print_table("installed", rows, right=True)
    states = [
        (extra, f"missing {', '.join(names)}: {install_command(extra)}" if names else "installed")
        for extra, names in missing.items()
    ]
    show.print_table("extras", states, header=("extra", "state"))
    for problem in problems:
        show.warn(problem)
    if not problems:
        sys.stdout.write("No problem found.\n")


def _version(name: str) -> str | None:
    return installed_versions(name).get(name)


def _requirements() -> list[tuple[Requirement, str]]:
    """Return what this distribution asks for, and the extra that asks ("": the base), from its own metadata."""
    extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    found: list[tuple[Requirement, str]] = []
    for requirement in map(Requirement, metadata.requires(DISTRIBUTION) or []):
        marker = requirement.marker
        found += [(requirement, one) for one in ("", *extras) if marker is None or marker.evaluate({"extra": one})][:1]
    return found


def _missing() -> dict[str, list[str]]:
    """Return the packages of each extra that are not installed."""
    found = {extra: list[str]() for _, extra in _requirements() if extra not in ("", "all")}
    for requirement, extra in _requirements():
        if extra in found and requirement.name != DISTRIBUTION and _version(requirement.name) is None:
            found[extra].append(requirement.name)
    return found


def _problems(versions: dict[str, str | None]) -> list[str]:
    """Return a sentence per installed version that the tests do not cover."""
    problems: list[str] = []
    for requirement, extra in _requirements():
        name, version = requirement.name, _version(requirement.name)
        if name == "antlr4-python3-runtime" or (extra == "verl" and versions["verl"] is None):
            continue  # has a line of its own below; or nobody uses it here
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{name} {version} is not a tested version: pip install '{name}{requirement.specifier}'")
    antlr = versions["antlr4-python3-runtime"]
    if antlr is not None and antlr not in TESTED_ANTLR:
        problems.append(f"the maths verifier is tested with ANTLR {', '.join(TESTED_ANTLR)}; {antlr} may change verdicts")
    return list(dict.fromkeys(problems + (_verl_problems() if versions["verl"] is not None else [])))


def _verl_problems() -> list[str]:
    """Return what keeps the trainer modes from appearing in verl, which says nothing of it itself."""
    problems: list[str] = []
    if not any(point.name == "hero" for point in metadata.entry_points(group="verl.plugins")):
        problems.append("verl does not see the plugin of hero-rl: install hero-rl into verl's environment, not beside it")
    for module, package in (("transfer_queue", "TransferQueue>=0.1.10"), ("cachetools", "cachetools>=5")):
        if importlib.util.find_spec(module) is None:
            problems.append(f"verl's V1 trainers need {module!r}, which is not installed: pip install '{package}'")
    for needed in map(Requirement, ("hydra-core>=1.3", "omegaconf>=2.3")):
        version = _version(needed.name)
        if version is None or version not in needed.specifier:
            problems.append(f"verl needs {needed}, found {version or 'none'}: pip install '{needed}'")
    return problems


def _devices() -> list[str]:
    """Return the GPUs that torch sees."""
    torch = importlib.import_module("torch")
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return devices + (["mps"] if torch.backends.mps.is_available() else [])
