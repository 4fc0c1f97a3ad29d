r"""The answer in a reference: as it stands, or in a whole solution, with what it says is the same."""

from __future__ import annotations

import re

from hero_rl.verifiers.boxes import find_boxes
from hero_rl.verifiers.math.claims import Source, marked_claims
from hero_rl.verifiers.math.extract import MAX_BARE_CHARS, FoundAnswer, extract_answer, last_sentence, runs_of_boxes
from hero_rl.verifiers.math.words import number_in_words

_OR = re.compile(
    r"^(?P<one>.{1,400}?)\s*(?:\\text\s*\{\s*)?\(\s*(?:\\text\s*\{)?\s*(?:(?:or|i\.e\.,?|that is,?|equivalently|=|\\approx|≈|"
    r"approx\.?|approximately)\s*\}?\s*)?(?P<other>[^()]{1,100}(?:\([^()]*\)[^()]{0,50})?)\)\s*\}?\s*$",
    re.DOTALL,
)
_EXPLICIT_OR = re.compile(r"\(\s*(?:\\text\s*\{)?\s*(?:or|i\.e\.|that is|equivalently|=|\\approx|≈|approx)", re.IGNORECASE)
_PRINTED_LIST = re.compile(r"\[\s*(?:'[^']*'|\"[^\"]*\")(?:\s*,\s*(?:'[^']*'|\"[^\"]*\"))*\s*\]")
"""A list of strings as Python prints it, ``['1', '2']``."""
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z]{2,}|[()\[\]{},;!])")
_SINGLE = re.compile(r"(?<!\\)\\(?![\\])")
_UNIT_TEXT = r"\\(?:text|mathrm|mathbf|textrm)\s*\{[^{}]{1,30}\}(?:\s*\^\s*\{?-?\d\}?)?"
_UNIT_BEHIND = re.compile(rf"[\s$~]{{0,20}}((?:\\[,;~ ])?\s{{0,5}}{_UNIT_TEXT}(?:[\s~]{{0,5}}{_UNIT_TEXT}){{0,5}})")


def extract_reference(reference: str) -> FoundAnswer:
    r"""Return the answer in a reference: its text as a rule, and what it claims last where it is a whole solution.

    Commands escaped twice, ``\\frac``, are repaired. A reference ``3/4 (or 0.75)`` has its alternatives in ``also``.
    """
    text = undouble(reference.strip().replace("\x08oxed", "\\boxed"))
    if _PRINTED_LIST.fullmatch(text):
        text = ", ".join(one or other for one, other in re.findall(r"'([^']*)'|\"([^\"]*)\"", text))
    if runs := runs_of_boxes(text, find_boxes(text)[0]):
        unit = _UNIT_BEHIND.match(text, runs[-1].end) if len(runs) == 1 else None
        return _with_alternatives(f"{runs[-1].text}{' ' + unit[1].strip() if unit else ''}", runs[-1].source)
    marked = [claim for claim in marked_claims(text) if claim.source in ("tag", "hashes")] if "#" in text or "<" in text else []
    if marked:
        return _with_alternatives(marked[-1].text, marked[-1].source)
    if re.match(r"\s*解\s*[:：]", text) and (found := last_sentence(text, "")) is not None and found.text:
        return found
    if len(text) > 100 and len(re.findall(r"[.!?]\s", text)) >= 1:
        found = extract_answer(text)
        if found.source == "phrase" or (len(text) > MAX_BARE_CHARS and found.text):
            return found
    return _with_alternatives(text, "whole")


def undouble(text: str) -> str:
    r"""Return the text with ``\\frac`` for ``\frac`` repaired: where every command has two backslashes."""
    if "\\\\" not in text or not _DOUBLED.search(text):
        return text
    single = _SINGLE.search(re.sub(r"\\\\", "", text))
    if single is not None or (re.search(r"\\\\[A-Za-z]{2,}", text) is None):
        return text
    return text.replace("\\\\", "\\")


def _with_alternatives(text: str, source: Source) -> FoundAnswer:
    found = alternatives(text)
    return FoundAnswer(found[0], source, also=found[1:])


def alternatives(text: str) -> tuple[str, ...]:
    r"""Return the forms of one value that a text offers: ``3/4 (or 0.75)``, ``12 (twelve)``; else the text alone."""
    match = _OR.match(text)
    if match is None or not re.search(r"\w", match["one"]):
        return (text,)
    explicit = _EXPLICIT_OR.search(text) is not None
    other = re.sub(r"\\text\s*\{([^{}]*)\}?", r" \1 ", match["other"]).strip(" $}")
    if not explicit and (number_in_words(other) is None or not re.fullmatch(r"[-+$\d.,\s]+", match["one"])):
        return (text,)
    return match["one"].strip(), other
