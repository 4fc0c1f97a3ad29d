"""The five judge formats, as data: which prompt, how its reply is read, how long it may be.

The structure of a prompt (field names, tags, the words of the verdict) is what the judge was trained on and is kept. The
sentences are this project's own: to use the exact text of a model's card, give it as a file (``prompt=``).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

from hero_rl.errors import InputError, first_line
from hero_rl.verifiers.judge.replies import Decision, read_correct, read_final_decision, read_letter, read_true

Template: TypeAlias = Literal["chat", "plain"]
FormatName: TypeAlias = Literal["compass", "xverify", "general", "tinyv", "generic"]

NO_PROBLEM = "(not given)"
_PLACEHOLDER = re.compile(r"\{(problem|reference|answer|mark)\}")
_MAX_PROMPT_FILE_CHARS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeFormat:
    """One way to ask a judge and to read its reply."""

    name: FormatName
    read: Callable[[str], Decision | None]
    """The decision in a reply, or None where there is none."""
    max_tokens: int
    """Of the reply, at most."""
    template: Template
    """``chat``: the prompt is one user turn; ``plain``: it is the text that the model continues."""


FORMATS: dict[str, JudgeFormat] = {
    one.name: one
    for one in (
        JudgeFormat(name="compass", read=read_letter, max_tokens=16, template="chat"),
        JudgeFormat(name="xverify", read=read_correct, max_tokens=16, template="chat"),
        JudgeFormat(name="general", read=read_final_decision, max_tokens=1024, template="plain"),
        JudgeFormat(name="tinyv", read=read_true, max_tokens=8, template="chat"),
        JudgeFormat(name="generic", read=read_final_decision, max_tokens=512, template="chat"),
    )
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text with places for ``{problem}`` (optional), ``{reference}`` and ``{answer}``; other braces mean nothing."""

    text: str

    def fill(self, *, problem: str, reference: str, answer: str) -> str:
        """Return the prompt for one answer. Places are filled at once: ``{reference}`` inside an answer stays as it is.

        ``{mark}`` is a line to put around the answer, which no answer can contain: it is a hash of the whole answer.
        """
        mark = f"----- {hashlib.sha256(answer.encode()).hexdigest()[:16]}"
        fields = {"problem": problem or NO_PROBLEM, "reference": reference, "answer": answer, "mark": mark}
        return _PLACEHOLDER.sub(lambda match: fields[match.group(1)], self.text)

    @property
    def fingerprint(self) -> str:
        """A hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def find_format(name: str) -> JudgeFormat:
    """Return the format of that name; raise InputError where there is none."""
    if name not in FORMATS:
        raise InputError(f"format={name!r} is unknown; use one of {', '.join(FORMATS)}")
    return FORMATS[name]


def load_prompt(format_name: str, path: str | os.PathLike[str] | None = None) -> Prompt:
    """Return the prompt in a file, or the one that comes with the format.

    Raises:
        InputError: the file cannot be read, is no prompt, or lacks a place for the reference or the answer.
    """
    if path is None:
        source = resources.files("hero_rl.verifiers.judge") / "prompts" / f"{format_name}.txt"
        return Prompt(source.read_text(encoding="utf-8").removesuffix("\n"))
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"prompt={str(file)!r} cannot be read: {first_line(error)}; give a text file in UTF-8") from error
    if len(text) > _MAX_PROMPT_FILE_CHARS:
        raise InputError(f"prompt={str(file)!r} has {len(text)} characters; a prompt has at most {_MAX_PROMPT_FILE_CHARS}")
    found = set(_PLACEHOLDER.findall(text))
    missing = [f"{{{name}}}" for name in ("reference", "answer") if name not in found]
    if missing:
        raise InputError(
            f"prompt={str(file)!r} has no {' and no '.join(missing)}; write {{problem}}, {{reference}} and {{answer}} where "
            "these go"
        )
    return Prompt(text.removesuffix("\n"))
