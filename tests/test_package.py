"""The package as a whole: what importing it costs, its layers, its errors, and the examples in its docstrings."""

import doctest
import importlib
import pickle
import subprocess
import sys

import pytest

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
    with pytest.raises(errors.MissingDependencyError, match=r"a figure needs the package 'no_such_package'.*hero-rl\[report\]"):
        errors.require("no_such_package.inner", extra="report", purpose="a figure")


def test_a_broken_package_is_not_taken_for_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import surely_not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed_anywhere") as caught:
        errors.require("half_there", extra="math", purpose="x")
    assert not isinstance(caught.value, errors.HeroError)
