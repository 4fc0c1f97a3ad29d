"""Check the prose of docstrings, messages and pages for turns of phrase that are not plain English.

    python .ci/prose.py [PATH ...]      src, README.md and docs where no path is given

Prints a line per find and exits with 1 if there is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# A docstring says what a function returns or does, in the imperative.
OPENINGS = re.compile(r"(Nothing\b|What\b|As ``|Whether and\b|Where\b.*:$)")
THINGS = (
    "advantage|answer|batch|call|case|cell|character|check|column|completion|digit|entry|example|file|forward|group|judge|key|label|layer|line|"
    "message|metric|model|name|number|page|pair|part|policy|problem|process|processor|prompt|question|rank|reason|recipe|record|"
    "request|response|result|reward|rollout|row|rule|run|sample|score|seed|state|step|task|test|text|thread|token|trial|value|"
    "verdict|verifier|weight|worker"
)
# "one verdict a rollout" is "one verdict per rollout"
PER = re.compile(rf"\b(?:one|two|a) (?:{THINGS})s? (?:a|an) (?:{THINGS})\b(?! of)")


def main(arguments: list[str]) -> int:
    """Return 1 if something was found, after printing it."""
    paths = [Path(argument) for argument in arguments] or [Path("src"), Path("README.md"), Path("docs")]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    finds = [find for file in files for find in find_in(file)]
    sys.stdout.writelines(f"{find}\n" for find in finds)
    return bool(finds)


def find_in(file: Path) -> Iterator[str]:
    """Yield ``file:line: text`` per turn of phrase that should not be there."""
    if file.suffix not in (".py", ".md") or file.name == "log.md":
        return
    text = file.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if PER.search(line):
            yield f"{file}:{number}: say per: {line.strip()}"
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                docstring = ast.get_docstring(node)
                if docstring and OPENINGS.match(docstring):
                    yield f"{file}:{node.body[0].lineno}: say what it returns or does: {docstring.splitlines()[0]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
