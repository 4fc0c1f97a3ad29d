"""`hero doctor`: what is installed."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
import sys
from importlib import metadata
from typing import Annotated, NamedTuple

import typer

from hero_rl.cli import show
from hero_rl.sandbox import available_cpus
from hero_rl.verifiers.math.antlr import TESTED_ANTLR

HELP = """What is installed, and which versions; `hero reward show` says which settings would cancel or hurt.

\b
Example:
  hero doctor
"""

DISTRIBUTION = "hero-rl"
PACKAGES = (
    "numpy", "torch", "transformers", "trl", "accelerate", "datasets", "pyarrow", "math-verify", "antlr4-python3-runtime",
    "sympy", "latex2sympy2-extended", "matplotlib", "jinja2", "peft", "deepspeed", "vllm", "ray", "verl", "slime", "flash-attn",
    "tensorboard", "wandb",
)  # fmt: skip
"""What is looked up, whether or not this project needs it: people report these versions with a problem."""


class Extra(NamedTuple):
    """An extra of this distribution, and what of it is not installed."""

    name: str
    missing: list[str]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    versions = {name: _version(name) for name in PACKAGES}
    extras = _extras()
    problems = _problems(versions)
    devices = _devices() if versions["torch"] else []
    if as_json:
        show.print_json(
            {
                "hero_rl": metadata.version(DISTRIBUTION),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cpus": available_cpus(),
                "devices": devices,
                "versions": versions,
                "missing": {extra.name: extra.missing for extra in extras if extra.missing},
                "problems": problems,
            }
        )
        return
    rows = [(DISTRIBUTION, metadata.version(DISTRIBUTION)), ("python", platform.python_version())]
    rows += [("cpus", str(available_cpus()))]
    rows += [("devices", ", ".join(devices) or ("torch sees no GPU" if versions["torch"] else "not looked: no torch"))]
    rows += [(name, version or "-") for name, version in versions.items()]
    show.print_table("installed", rows, right=True)
    show.print_table("extras", [(extra.name, _advice(extra)) for extra in extras], header=("extra", "state"))
    for problem in problems:
        show.warn(problem)
    if not problems:
        sys.stdout.write("No problem found.\n")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> list[Extra]:
    """Every extra of the distribution, from its own metadata, with the packages that are not installed."""
    info = metadata.metadata(DISTRIBUTION)
    extras = {name: Extra(name, []) for name in info.get_all("Provides-Extra") or []}
    for requirement in metadata.requires(DISTRIBUTION) or []:
        name, extra = _parts(requirement)
        if extra in extras and name != DISTRIBUTION and _version(name) is None:
            extras[extra].missing.append(name)
    return [extra for extra in extras.values() if extra.name != "all"]


def _parts(requirement: str) -> tuple[str, str]:
    """Package name and extra of a line such as `trl<1.17,>=1.16; extra == 'train'`."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
    return name.group() if name else "", extra.group(1) if extra else ""


def _problems(versions: dict[str, str | None]) -> list[str]:
    """Installed versions that the tests do not cover, a line each."""
    problems: list[str] = []
    for requirement in metadata.requires(DISTRIBUTION) or []:
        name, extra = _parts(requirement)
        if name == "antlr4-python3-runtime" or (extra == "verl" and versions["verl"] is None):
            continue  # has a line of its own below; or nobody uses it here
        version = _version(name)
        wanted = re.findall(r"(>=|<|==)\s*([0-9][0-9.]*)", requirement.partition(";")[0])
        if version is not None and not all(_holds(version, sign, limit) for sign, limit in wanted):
            limits = ",".join(sign + limit for sign, limit in wanted)
            problems.append(f"{name} {version} is not a tested version: pip install '{name}{limits}'")
    antlr = versions["antlr4-python3-runtime"]
    if antlr is not None and antlr not in TESTED_ANTLR:
        problems.append(f"the maths verifier is tested with ANTLR {', '.join(TESTED_ANTLR)}; {antlr} may change verdicts")
    return list(dict.fromkeys(problems + (_verl_problems() if versions["verl"] is not None else [])))


def _verl_problems() -> list[str]:
    """What keeps the trainer modes from appearing in verl, which says nothing of it itself."""
    problems: list[str] = []
    if not any(point.name == "hero" for point in metadata.entry_points(group="verl.plugins")):
        problems.append("verl does not see the plugin of hero-rl: install hero-rl into verl's environment, not beside it")
    for module, package in (("transfer_queue", "TransferQueue>=0.1.10"), ("cachetools", "cachetools>=5")):
        if importlib.util.find_spec(module) is None:
            problems.append(f"verl's V1 trainers need {module!r}, which is not installed: pip install '{package}'")
    for name, least in (("hydra-core", "1.3"), ("omegaconf", "2.3")):
        version = _version(name)
        if version is None or not _holds(version, ">=", least):
            problems.append(f"verl needs {name}>={least}, found {version or 'none'}: pip install '{name}>={least}'")
    return problems


def _holds(version: str, sign: str, limit: str) -> bool:
    have, want = _release(version), _release(limit)
    have += (0,) * (len(want) - len(have))
    if sign == "==":
        return have[: len(want)] == want
    return have >= want if sign == ">=" else have < want


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _advice(extra: Extra) -> str:
    if not extra.missing:
        return "installed"
    return f"missing {', '.join(extra.missing)}: pip install '{DISTRIBUTION}[{extra.name}]'"


def _devices() -> list[str]:
    """GPUs that torch sees."""
    torch = importlib.import_module("torch")
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return devices + (["mps"] if torch.backends.mps.is_available() else [])
