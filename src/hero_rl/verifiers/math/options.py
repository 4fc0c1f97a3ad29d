"""The options of a multiple-choice question: letters and texts, from the question or from a field of the row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

MAX_OPTIONS = len(ascii_uppercase)
_MAX_CHARS = 200

_MARK = re.compile(
    r"(?:\\text(?:bf|rm)?\s*\{|\\mathrm\s*\{|\*\*)?\s*(?<![A-Za-z\\])\(?([A-Z])(?:\*\*)?\s*[).:](?:\s*\)?\s*\})?(?:\*\*)?"
)
_FIRST_TWO = (re.compile(r"A(?:\*\*)?\s*[).:]"), re.compile(r"B(?:\*\*)?\s*[).:]"))
_NEW_LINE = re.compile(r"(?:^|\n)\s*[-*]?\s*$")
_BULLET = re.compile(r"\n\s*[-*]\s*$")
_INSTRUCTION = re.compile(
    r"(?<=\S)\s+(?:Please|Answer|Choose|Select|Put|Write|Give|Respond|Think|Let's think|Explain|Show|"
    r"Your (?:final )?answer)\b.*",
    re.DOTALL,
)
_OWN_MARK = re.compile(r"\s*(?:\(\s*([A-Za-z])\s*\)|([A-Za-z])\s*[).:])\s*(.*)", re.DOTALL)


def options_in_question(text: str) -> dict[str, str]:
    """Return the options that a question lists, {} where it lists none.

    Three letters or more, from A on and each followed by something; or two that each begin a line.
    """
    if not all(mark.search(text) for mark in _FIRST_TWO):
        return {}
    found: dict[str, str] = {}
    best = _last_run(text, list(_MARK.finditer(text)))
    for index, mark in enumerate(best):
        end = best[index + 1].start() if index + 1 < len(best) else len(text)
        content = _BULLET.sub("", text[mark.end() : min(end, mark.end() + _MAX_CHARS)])
        if index + 1 == len(best):
            content = _INSTRUCTION.sub("", content.partition("\n")[0])
        found[mark.group(1)] = content.strip().strip("$\\ ,;").removesuffix(r"\qquad").removesuffix(r"\quad").strip()
    return found if all(found.values()) else {}


def _last_run(text: str, marks: list[re.Match[str]]) -> list[re.Match[str]]:
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for mark in marks:
        if mark.group(1) == "A":
            run = [mark]
        elif run and ord(mark.group(1)) == ord(run[-1].group(1)) + 1:
            run.append(mark)
        begin_lines = all(_NEW_LINE.search(text[max(0, one.start() - 20) : one.start(1)].rstrip("(*")) for one in run)
        if len(run) >= 3 or (len(run) == 2 and begin_lines):
            best = list(run)
    return best


def options_of_field(value: object) -> dict[str, str] | None:
    """Return the options that a row's field ``options`` lists; None for a value that lists none.

    Args:
        value: a mapping from letters to texts, or a list of texts, for A, B, C and so on. Texts may begin with their letter.

    >>> options_of_field(["3", "5"]), options_of_field({"a": "yes", "b": "no"}), options_of_field(["A) 3", "B) 5"])
    ({'A': '3', 'B': '5'}, {'A': 'yes', 'B': 'no'}, {'A': '3', 'B': '5'})
    """
    if isinstance(value, Mapping):
        # null: another row of the Parquet file has that letter
        pairs = [(str(letter).strip().upper(), content) for letter, content in value.items() if content is not None]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) <= MAX_OPTIONS:
        pairs = list(zip(ascii_uppercase, value, strict=False))
    else:
        return None
    texts = {letter: str(content).strip() for letter, content in pairs if _is_content(content)}
    proper = all(len(letter) == 1 and letter in ascii_uppercase for letter in texts)
    if not proper or not 2 <= len(texts) == len(pairs) or not all(texts.values()):
        return None
    return _without_own_marks(texts)


def _is_content(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _without_own_marks(texts: dict[str, str]) -> dict[str, str]:
    marks = {letter: _OWN_MARK.fullmatch(content) for letter, content in texts.items()}
    if all(mark and (mark[1] or mark[2]).upper() == letter and mark[3] for letter, mark in marks.items()):
        return {letter: mark[3].strip() for letter, mark in marks.items() if mark}
    return texts
