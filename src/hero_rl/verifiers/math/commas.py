"""Decimal commas: ``3,14`` is a number where the question's language writes them, and two numbers elsewhere."""

from __future__ import annotations

import re
from functools import lru_cache

_COMMA = re.compile(r"(?<![\d,.])(\d+),(\d+)(?![\d,])")
_OTHER_WORDS = frozenset(
    (
        "der", "die", "das", "und", "ist", "wie", "viele", "eine", "mit", "von", "berechne", "bestimme", "le", "la", "les",
        "est",
        "combien", "calculer", "une", "des", "quelle", "quel", "el", "los", "cuántos", "calcula", "cuál", "una", "por", "che",
        "quanti", "calcolare", "della", "qual", "quantos", "calcule", "uma",
    )
)  # fmt: skip
_TASKS = frozenset(
    ("calculez", "calculer", "déterminez", "déterminer", "trouvez", "trouver", "arrondir", "arrondissez", "arrondi", "combien",
     "résoudre", "résolvez", "berechne", "berechnen", "bestimme", "bestimmen", "wieviel", "wieviele", "runde", "gerundet",
     "löse", "calcolare", "determinare", "arrotondare", "quanti")
)  # fmt: skip
"""Words of French, German and Italian that no English question has; in Spanish many countries write points."""


def with_decimal_points(reference: str, answer: str, problem: str) -> tuple[str, str] | None:
    """Both texts with decimal points for decimal commas; None where there are none, or nothing says that they are such.

    The question's language says so, or its words; without a question a reference such as ``0,25`` does.
    """
    if "," not in reference and "," not in answer:
        return None
    if problem:
        if not has_decimal_commas(problem):
            return None
    elif not re.fullmatch(r"-?0,\d{2,}", reference) or "," in answer:
        return None
    texts = reference, answer
    changed = tuple(text if text.startswith("(") and ";" not in text else _COMMA.sub(r"\1.\2", text) for text in texts)
    return (changed[0], changed[1]) if changed != texts else None


@lru_cache(maxsize=1024)
def has_decimal_commas(problem: str) -> bool:
    """Whether a question is in a language that writes decimal commas, or says that it does."""
    if "decimal comma" in problem.lower() or len(re.findall(r"[\u0400-\u04ff]", problem[:2000])) >= 10:
        return True
    words = re.findall(r"[^\W\d_]+", problem[:2000].lower())
    return len(_OTHER_WORDS.intersection(words)) >= 3 or not _TASKS.isdisjoint(words)
