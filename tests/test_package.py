"""The package as a whole: what importing it costs, its layers, its errors, and the examples in its docstrings."""

import ast
import doctest
import importlib
import json
import pickle
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hero_rl
from helpers.places import ROOT
from hero_rl import errors

OPTIONAL = {
    "torch", "transformers", "trl", "datasets", "math_verify", "sympy", "pyarrow", "matplotlib", "jinja2", "typer", "rich",
    "pydantic", "scipy",
}  # fmt: skip


def test_importing_the_package_needs_numpy_only():
    code = "import sys, hero_rl, hero_rl.verifiers, hero_rl.scorers, hero_rl.engines.trl; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert OPTIONAL & set(loaded) == set()


def test_layers_import_downwards_only():
    run = subprocess.run([sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
                         capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_public_names_are_few_and_there():
    assert len(hero_rl.__all__) <= 30
    assert all(hasattr(hero_rl, name) for name in hero_rl.__all__)


def modules_with_examples():
    for file in sorted((ROOT / "src").rglob("*.py")):
        if ">>>" in file.read_text(encoding="utf-8"):
            yield ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("module", list(modules_with_examples()))
def test_examples_in_docstrings_are_true(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_errors_are_picklable_and_inherit_the_built_in_class():
    built_in = {
        "InputError": ValueError,
        "BandOverlapError": ValueError,
        "MissingDependencyError": ImportError,
        "SignalError": RuntimeError,
        "UnhealthyError": RuntimeError,
    }
    for name, base in built_in.items():
        error = pickle.loads(pickle.dumps(getattr(errors, name)("what, got, do")))
        assert isinstance(error, base)
        assert isinstance(error, errors.HeroError)
        assert str(error) == "what, got, do"


def test_a_missing_package_is_named_with_the_extra_that_installs_it():
    with pytest.raises(errors.MissingDependencyError, match=r"a figure needs the package 'no_such_package'.*\[report\]'"):
        errors.require("no_such_package.inner", extra="report", purpose="a figure")


@pytest.mark.parametrize(
    ("origin", "installer", "command"),
    [
        (None, "pip", "pip install 'hero-rl[math]'"),
        ({"url": "file:///home/my%20clone", "dir_info": {"editable": True}}, "pip", "pip install -e '/home/my clone[math]'"),
        ({"url": "file:///home/me/clone", "dir_info": {}}, "uv", "uv pip install '/home/me/clone[math]'"),
        (
            {"url": "https://host/hero-rl.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}, "pip",
            "pip install 'hero-rl[math] @ git+https://host/hero-rl.git@c0ffee'",
        ),
        ({"url": "https://host/hero.whl", "archive_info": {}}, "pip", "pip install 'hero-rl[math] @ https://host/hero.whl'"),
    ],
)  # fmt: skip
def test_the_hint_installs_from_where_hero_rl_came(
    origin: dict[str, object] | None, installer: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hero_rl-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: hero-rl\nVersion: 9\n")
    (folder / "INSTALLER").write_text(f"{installer}\n")
    if origin:
        (folder / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(tmp_path)
    assert errors.install_command("math") == command


def imported() -> dict[str, set[str]]:
    """The packages that our sources import at any depth, and the extras that ``require`` names for them."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules: list[str] = []
            extra = ""
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                named = {one.arg: one.value for one in node.keywords} | {"module": node.args[0]}
                if isinstance(named["module"], ast.Constant) and isinstance(named["extra"], ast.Constant):
                    modules, extra = [str(named["module"].value)], str(named["extra"].value)
            for top in {module.partition(".")[0] for module in modules} - {"hero_rl", "hero_lab", *sys.stdlib_module_names}:
                found.setdefault(top, set()).update({extra} - {""})
    return found


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def names(requirements: list[str]) -> set[str]:
    """The distributions that are asked for, with those of our own extras."""
    asked = [Requirement(text) for text in requirements]
    inner = [EXTRAS[extra] for one in asked if one.name == "hero-rl" for extra in one.extras]
    return {canonicalize_name(one.name) for one in asked} | set().union(*map(names, inner))


def with_their_own(distributions: set[str]) -> set[str]:
    """These and what they require themselves, as transformers does tokenizers; of those that are installed here."""
    here = distributions & {canonicalize_name(one.name) for one in metadata.distributions()}
    texts = [text for name in here for text in metadata.requires(name) or []]
    return distributions | {canonicalize_name(re.split(r"[^\w.-]", text)[0]) for text in texts}


def test_each_extra_and_each_import_is_required():
    """The extra that a hint names brings the package; and nothing is imported that no extra brings."""
    foreign = {"triton", "slime", "openrlhf", "verl", "transfer_queue", "tensordict", "omegaconf", "reasoning_gym"}
    places = metadata.packages_distributions()
    brings = {extra: with_their_own(names(texts)) for extra, texts in {**EXTRAS, "": PROJECT["dependencies"]}.items()}
    for module, hinted in imported().items():
        providers = {canonicalize_name(name) for name in places.get(module, [])}
        if module not in foreign:
            assert any(providers & brought for brought in brings.values()), f"no extra brings {module}"
            assert not (wrong := [extra for extra in hinted if not providers & brings[extra]]), f"{wrong} do not bring {module}"


def test_a_broken_package_is_not_taken_for_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import surely_not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed_anywhere") as caught:
        errors.require("half_there", extra="math", purpose="x")
    assert not isinstance(caught.value, errors.HeroError)
