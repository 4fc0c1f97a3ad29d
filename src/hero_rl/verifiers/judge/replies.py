"""Reads a judge's reply: yes, no, invalid, or nothing that can be read.

One function per format. Each reads the text after the last ``</think>``; of several verdicts the last one counts.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Decision: TypeAlias = Literal["yes", "no", "invalid"]

_W = r"[\s:=*_\"'`\\{}\[\]()$.>-]{0,24}"
_NOT_A_MENU = r"(?!\s*(?:/|\||,?\s*or\b))"
_FINAL_DECISION = re.compile(
    rf"final\s{{1,3}}decision{_W}(?:is\b{_W})?(?:boxed{_W}|text(?:bf)?{_W})*\b(yes|no)\b{_NOT_A_MENU}", re.IGNORECASE
)
_BOXED_LETTER = re.compile(r"\\?boxed\s*\{\s*(?:\\text(?:bf)?\s*\{\s*)?([ABC])\s*\}", re.IGNORECASE)
_LETTER = re.compile(r"\W*([ABC])\b\W*(?:(?:IN)?CORRECT|INVALID|INCOMPLETE|REPETITIVE|REFUSAL)?\W*", re.IGNORECASE)
_LETTER_WORD = re.compile(r"\W*(CORRECT|INCORRECT|INVALID)\W*", re.IGNORECASE)
_FINAL_LETTER = re.compile(rf"final\s{{1,3}}judge?ment{_W}([ABC])\b{_NOT_A_MENU}", re.IGNORECASE)
_JUDGEMENT = re.compile(rf"judge?ment{_W}\b(correct|incorrect)\b{_NOT_A_MENU}", re.IGNORECASE)
_WORD = re.compile(r"[\W_]*(correct|incorrect)[\W_]*", re.IGNORECASE)
_TRUTH_FIRST = re.compile(r"[\W_]*(true|false)\b", re.IGNORECASE)
_TRUTH_AFTER_MARK = re.compile(rf"answer{_W}\b(true|false)\b{_NOT_A_MENU}", re.IGNORECASE)
_YES_OR_NO = re.compile(r"[\W_]*(yes|no)[\W_]*", re.IGNORECASE)

_LETTERS: dict[str, Decision] = {"A": "yes", "B": "no", "C": "invalid"}
_LETTER_WORDS: dict[str, Decision] = {"CORRECT": "yes", "INCORRECT": "no", "INVALID": "invalid"}


def read_final_decision(reply: str) -> Decision | None:
    """Read general-verifier and the generic judge: the last ``Final Decision: Yes`` or ``No``; or nothing but that word.

    >>> read_final_decision("The two are equal. **Final Decision:** Yes")
    'yes'
    """
    text = _after_thinking(reply)
    return _of(_last(_FINAL_DECISION, text) or _whole(_YES_OR_NO, text), yes="yes")


def read_letter(reply: str) -> Decision | None:
    r"""Read CompassVerifier: the last ``\boxed{A}``, ``B`` or ``C``; or ``Final Judgment: A``; or nothing but the letter.

    >>> read_letter("B"), read_letter(r"Final Judgment: \boxed{C} - REFUSAL"), read_letter("A bat costs 5 cents")
    ('no', 'invalid', None)
    """
    text = _after_thinking(reply)
    letter = _last(_BOXED_LETTER, text) or _last(_FINAL_LETTER, text) or _whole(_LETTER, text)
    if letter is not None:
        return _LETTERS[letter.upper()]
    word = _whole(_LETTER_WORD, text)
    return None if word is None else _LETTER_WORDS[word.upper()]


def read_correct(reply: str) -> Decision | None:
    """Read xVerify: nothing but ``Correct`` or ``Incorrect``, in brackets or not; or the last one after ``Judgement:``.

    Words inside a sentence do not count: "Incorrect" contains "correct", and "not correct" says the opposite.

    >>> read_correct("[Incorrect]"), read_correct("This is not correct")
    ('no', None)
    """
    text = _after_thinking(reply)
    return _of(_whole(_WORD, text) or _last(_JUDGEMENT, text), yes="correct")


def read_true(reply: str) -> Decision | None:
    """Read TinyV: the last ``True`` or ``False`` after ``Answer:``, where its thinking variants put it; or the first word.

    >>> read_true("True"), read_true("It is not true")
    ('yes', None)
    """
    text = _after_thinking(reply)
    first = _TRUTH_FIRST.match(text)
    return _of(_last(_TRUTH_AFTER_MARK, text) or (first.group(1) if first else None), yes="true")


def _after_thinking(reply: str) -> str:
    reply = reply.rpartition("</think>")[2]
    return reply.partition("<think>")[0]  # never closed: the judge had not come to its verdict


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match.group(1)
    return found


def _whole(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.fullmatch(text)
    return match.group(1) if match else None


def _of(word: str | None, *, yes: str) -> Decision | None:
    if word is None:
        return None
    return "yes" if word.casefold() == yes else "no"
