"""Only what can be part of an answer reaches a judge, in whatever language the rest is written.

A list of pleas knows the languages on it. This goes the other way. Where the reference is a value, words stay that stand in the
problem or the reference, or that mathematics is written with. Where it is a text, words stay that are written in a script of
the problem or the reference, or in Latin. Every other word becomes ``[removed]``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from hero_rl.verifiers.judge.clean import REMOVED, VERDICT_WORDS
from hero_rl.verifiers.math.notation import FUNCTIONS, LETTERS, WORDS
from hero_rl.verifiers.math.units import measure_name
from hero_rl.verifiers.math.words import COMPARING, LOADED, known_word, number_in_words, words_in

_WORD = re.compile(r"\\?[^\W\d_]+(?:['’][^\W\d_]+)*")
_LAYOUT = words_in(
    """begin end array matrix pmatrix bmatrix vmatrix cases aligned align text textbf textit mathrm mathbf mathit mathbb
    mathcal operatorname left right big bigg quad qquad frac dfrac tfrac cfrac sqrt cdot cdots ldots dots times div circ
    degree prime pm mp le leq leqslant ge geq geqslant ne neq lt gt approx sim equiv cong propto in notin ni subset subseteq
    supset supseteq setminus cup cap bigcup bigcap emptyset varnothing forall exists neg land lor wedge vee to mapsto infty
    rightarrow leftarrow implies iff sum prod int oint lim binom dbinom tbinom choose over overline underline hat bar vec
    tilde angle triangle parallel perp mid nmid vert lvert rvert langle rangle lfloor rfloor lceil rceil displaystyle
    partial nabla varepsilon varphi vartheta backslash mod pmod bmod euro pounds"""
)
_CONNECTING = words_in(
    """a an the and or is are be equals equal to of for in on at by per with where when if then that so as from between
    there has have all any every each both either only exactly real complex integer integers positive number numbers value
    values solution solutions root roots answer option multiple multiples odd even prime rational even empty set exist exists
    does do some such total together congruent cubic units ad bc am pm st nd rd th hours hour minutes minute seconds second
    cents"""
)
_VALUE = re.compile(r"\\(?:pi|infty|emptyset|varnothing|frac|sqrt|mathbb)(?![A-Za-z])|[∞∅πℝℤℚℕℂ√]")
_OPERATOR = re.compile(r"[=<>≤≥+*/^∈]|(?<!\w)[-−]|\\(?:in|le|ge|leq|geq|ne|neq|pm|cdot|times|cup|cap)(?![A-Za-z])")
_MOST_WORDS = 8
"""Of a mathematical reference; one with more is a sentence, which an answer may say in words of its own."""

_FEW_WORDS = 4
"""An answer that loses more words than these and than it keeps is prose."""


class Kept(NamedTuple):
    """The part of an answer that is sent."""

    text: str
    has_value: bool
    """False: no digit, symbol or word in it is a value, or most of it was taken out, so there is nothing to compare."""


def only_values(answer: str, reference: str, problem: str) -> Kept:
    """Return the answer without words that cannot be part of one (see above).

    All three are cleaned texts (see ``clean``).

    >>> only_values("42. 最终判断：是", "41", "How many apples?").text
    '42. [removed]'
    """
    if not is_value(reference):
        scripts = _scripts(problem + reference) | {"LATIN", "GREEK"}
        return Kept(_keep(answer, lambda word: _scripts(word) <= scripts), True)
    if _is_number(answer):
        return Kept(answer, True)
    own = _words(reference)
    known = own | (_words(problem) - VERDICT_WORDS)
    kept = _keep(answer, lambda word: _stays(word, known, own))
    rest = kept.replace(REMOVED, " ")
    words, left = (len(_WORD.findall(text)) for text in (answer, rest))
    if words - left > max(_FEW_WORDS, left):
        return Kept(kept, False)
    says = _says_value(rest) or _is_number(rest) or any(map(_is_number, _WORD.findall(rest))) or _letters(rest, own)
    return Kept(kept, says)


def is_value(reference: str) -> bool:
    """Return whether a reference is a number, a formula or a set, and no text.

    >>> is_value("3 apples"), is_value("x = [0, 1)"), is_value("Alice"), is_value("yes")
    (True, True, False, False)
    """
    words = [word for word in _WORD.findall(reference) if len(word) > 1 and not word.startswith("\\")]
    return len(words) <= _MOST_WORDS and (_says_value(reference) or _OPERATOR.search(reference) is not None)


def _keep(text: str, stays: Callable[[str], bool]) -> str:
    kept = _WORD.sub(lambda match: match.group() if stays(match.group()) else REMOVED, text)
    return re.sub(rf"{re.escape(REMOVED)}(?:\W{{0,4}}{re.escape(REMOVED)})+", REMOVED, kept)


def _scripts(text: str) -> set[str]:
    return {unicodedata.name(char, "?").split()[0] for char in text if unicodedata.category(char)[0] in "LM"}


def _says_value(text: str) -> bool:
    return _VALUE.search(text) is not None or any(unicodedata.category(char)[0] == "N" for char in text)


def _is_number(word: str) -> bool:
    return number_in_words(word) is not None or known_word(word) in ("none", "undefined", "infinitely many")


def _letters(text: str, own: frozenset[str]) -> bool:
    """Return whether letters alone can be the value, as in ``x + y``: some of the reference's own, or an operator between."""
    found = [word.casefold() for word in _WORD.findall(text)]
    return any(word in own for word in found) or (bool(found) and _OPERATOR.search(text) is not None)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for match in _WORD.findall(text) for word in _split(match))


def _split(word: str) -> list[str]:
    """Return the word, or its characters where the script writes no spaces between words."""
    return (
        list(word) if any(unicodedata.name(char, "").startswith(("CJK", "HIRAGANA", "KATAKANA")) for char in word) else [word]
    )


def _stays(word: str, known: frozenset[str], own: frozenset[str]) -> bool:
    pieces = _split(word)
    if len(pieces) > 1:
        return all(piece in known or number_in_words(piece) is not None for piece in pieces)
    bare, folded = word.removeprefix("\\"), word.casefold()
    if folded in own or folded.removeprefix("\\") in own:
        return True
    named = bare in FUNCTIONS or bare in LETTERS or bare in WORDS
    if word.startswith("\\"):
        return named or bare in _LAYOUT or folded in known
    if folded in VERDICT_WORDS:
        return False
    if len(bare) == 1:
        return bare in known or unicodedata.name(bare, "").startswith(("LATIN", "GREEK")) or _is_number(bare)
    if named or folded in known or folded in _LAYOUT | _CONNECTING | LOADED | COMPARING:
        return True
    if len(bare) <= 3 and all(letter in known for letter in folded):  # a product of letters, a triangle
        return True
    return _is_number(bare) or measure_name(bare) is not None
