"""Answers in words: yes and no, none and infinitely many, number words and ordinals, and other text."""

from __future__ import annotations

import re
from fractions import Fraction

_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_SAME: dict[str, tuple[str, ...]] = {
    "yes": ("yes", "true", "it is true", "correct"),
    "no": ("no", "false", "it is false", "not true"),
    "none": (
        "none", "no solution", "no solutions", "no real solution", "no real solutions", "there are no solutions",
        "there is no solution",
        "no integer solutions", "no such numbers", "no such number", "no such integers", "no such integer", "no answer exists",
        "no such function", "no such functions", "no such functions exist", "no such function exists", "empty set",
        "the empty set",
        r"\emptyset", r"\{\}", r"\{ \}", "does not exist", "doesn't exist", "dne", "do not exist", "none exist",
        "no solutions exist",
        "no such integers exist", "no such numbers exist", "there are none", "not exist", "no such n", "no such n exist",
        "no real roots",
    ),
    "undefined": ("undefined", "not defined", "indeterminate"),
    "infinitely many": ("infinitely many", "infinite", "infinitely many solutions", "infinite solutions",
    "there are infinitely many"),
    "neither": ("neither", "neither even nor odd", "neither odd nor even", "neither function"),
    "even": ("even", "even function", "an even function", "even number", "even numbers"),
    "odd": ("odd", "odd function", "an odd function", "odd number", "odd numbers"),
}  # fmt: skip
_CLOSED_CLASSES = (
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"],
)
_SAME.update({word: (word,) for words in _CLOSED_CLASSES for word in words})
EXCLUSIVE: tuple[frozenset[str], ...] = (
    frozenset(("yes", "no")), frozenset(("even", "odd", "neither")), *(frozenset(words) for words in _CLOSED_CLASSES)
)  # fmt: skip
"""Words of which at most one is true."""
_NO_SUCH = re.compile(
    r"(?:there (?:is|are|exists?|exist) )?no (?:\w+ ){0,2}(?:solutions?|roots?|answers?|values?|"
    r"such (?:\w+ )?\w+)(?: (?:exists?|for \w+|here))?"
)
_ENDLESS = re.compile(r"(?:there (?:is|are|exist) )?(?:infinitely many|an infinite number of)(?: \w+){0,3}")
_CANONICAL = {spelling: name for name, spellings in _SAME.items() for spelling in spellings}
_UNITS = {word: value for value, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"])}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10,
    "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16, "seventeenth": 17,
    "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30, "fortieth": 40, "fiftieth": 50, "hundredth": 100,
}  # fmt: skip
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
_DIGIT_ORDINAL = re.compile(r"(\d{1,9})\s*(?:\^?\{?\s*(?:st|nd|rd|th)\s*\}?)\s*(.*)")
_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "it",
        "its",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "and",
        "only",
        "that",
        "this",
        "there",
        "will",
        "would",
        "can",
        "answer",
        "so",
    ]
)
MAX_WORDS = 60


def plain_words(text: str) -> str:
    r"""The text in lower case, without ``\text``, punctuation and quotation marks."""
    text = _TEXT.sub(r" \1 ", text)
    return " ".join(re.sub(r"[\"“”`*]|[.,;:!?](?=\s|$)", " ", text).lower().split())


def known_word(text: str) -> str | None:
    """The name of a set phrase: ``yes``, ``none``, ``infinitely many`` and so on; None for anything else."""
    plain = plain_words(text) if len(text) < 80 else ""
    if plain in _CANONICAL:
        return _CANONICAL[plain]
    if _ENDLESS.fullmatch(plain):
        return "infinitely many"
    return "none" if _NO_SUCH.fullmatch(plain) else None


def keyword_of(text: str) -> str | None:
    """The one of ``yes``, ``no``, ``even`` and ``odd`` that a longer statement turns on; None where it is not that plain.

    >>> keyword_of("Yes, it is possible"), keyword_of("any even number"), keyword_of("not even")
    ('yes', 'even', None)
    """
    words = plain_words(text).split()
    if words and words[0] in ("yes", "no") and ("," in text or len(words) == 1):
        return words[0]
    if not {"not", "no", "neither", "never", "cannot", "except"}.isdisjoint(words):
        return None
    found = [word for word in words if word in ("even", "odd")]
    return found[0] if len(found) == 1 and len(words) <= 8 else None


def number_in_words(text: str) -> Fraction | None:
    """The number that words spell, ordinals and simple fractions included.

    >>> number_in_words("twenty-one"), number_in_words("15th"), number_in_words("two thirds")
    (Fraction(21, 1), Fraction(15, 1), Fraction(2, 3))
    """
    plain = plain_words(text).removeprefix("the ")
    digits = _DIGIT_ORDINAL.fullmatch(re.sub(r"\s+(?=st\b|nd\b|rd\b|th\b)", "", plain))
    if digits and len(digits[2].split()) <= 2:
        return Fraction(int(digits[1]))
    words = plain.replace("-", " ").replace(" and ", " ").split()
    if not words or len(words) > 12:
        return None
    part = _PARTS.get(words[-1]) or (_ORDINALS.get(words[-1].removesuffix("s")) if len(words) == 2 else None)
    if part and part > 2 - (words[-1] in _PARTS) and len(words) <= 2:
        top = _cardinal(words[:-1]) if len(words) == 2 else 1
        if top is not None and (len(words) == 2 or words[-1] in _PARTS) and top < 20:
            return Fraction(top, part)
    value = _cardinal(words)
    return None if value is None else Fraction(value)


def _cardinal(words: list[str]) -> int | None:
    total, current, seen = 0, 0, False
    for index, word in enumerate(words):
        last = index == len(words) - 1
        if word in _UNITS or word in _TENS:
            current += _UNITS.get(word, _TENS.get(word, 0))
        elif last and word in _ORDINALS:
            current = current * 100 if word == "hundredth" and current else current + _ORDINALS[word]
        elif word == "hundred" and current:
            current *= 100
        elif word in _SCALES and current:
            total, current = total + current * _SCALES[word], 0
        else:
            return None
        seen = True
    return total + current if seen else None


def content_words(text: str) -> tuple[str, ...]:
    """The words that carry meaning, in order, singular."""
    words = re.findall(r"[^\W_]+", plain_words(text))[:MAX_WORDS]
    kept = [word for word in words if word not in _STOP_WORDS] or words
    return tuple(word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in kept)
