"""Run `hero` in this process."""

import io
import json
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from hero_rl.cli import main


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of an error with exit code 2."""
    assert main([*map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def hero(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `hero` would do as a process started in ``folder``, without the second that a process takes to start."""
    out, errors, path = io.StringIO(), io.StringIO(), list(sys.path)
    with chdir(folder or Path.cwd()), redirect_stdout(out), redirect_stderr(errors), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        try:
            code = main([*map(str, arguments)])
        finally:
            sys.path[:] = path  # functions of the user's own are looked for in the folder
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())
