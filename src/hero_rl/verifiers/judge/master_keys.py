r"""Whether an answer says anything at all: the published "master keys" are answers that do not, and that judges accept."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from hero_rl.verifiers.judge.clean import REMOVED

MAX_OPENER_CHARS = 300
"""A longer text has said something after its opening words."""

_LAYOUT = re.compile(
    r"\\(?:q?quad|text[a-z]{0,2}|math[a-z]{2,6}|boxed|fbox|left|right|displaystyle|textstyle|phantom|hspace|vspace|label|"
    r"begin|end|newline|par|,|;|:|!|\s)(?![A-Za-z])"
)
_SYMBOLS_THAT_ANSWER = frozenset("∞∅⊤⊥")
_NOUNS = (
    "thought process|thinking process|thought|thoughts|thinking|reasoning|reasoning process|solution|full solution|answer|"
    "final answer|analysis|explanation|response|output|result|results|proof|conclusion|step by step|step|steps|approach|"
    "calculation|calculations|work|working|summary|overview|introduction|problem|question|verification|"
    # The same in other languages; the first three are from arXiv 2507.08794.
    "解|かいせつ|respuesta|解答|解説|解析|解法|答え|答案|回答|答|思路|思考过程|解题过程|풀이|해설|정답|답|solución|"
    "solucion|resposta|solução|réponse|reponse|lösung|loesung|antwort|risposta|soluzione|ответ|решение|الحل|الجواب|उत्तर|हल"
)
_HEADING = re.compile(
    rf"(?:(?:the|my|here is(?: the| my)?|here's(?: the| my)?)\s)?(?:(?:{_NOUNS})(?:\s(?:is|are|as follows|follows|below|of the "
    r"problem|to the problem))*\s*)+"
)
_PRAISE = re.compile(
    r"(?:(?:this|it|that|the|my|answer|response|solution|is|are|has|been|and|indeed|all|fully|completely|correct|right|valid|"
    r"verified|confirmed|equivalent|accepted|approved|perfect|matches|same|congratulations|well done)\s?)+"
)
_OPENER = re.compile(
    r"(?:ok|okay|sure|alright|well|so|now|hmm|first|firstly|certainly|of course|great)?\s?(?:(?:"
    r"let s|lets|let us|let me|i ll|i will|i am going to|i need to|we ll|we will|we need to|we start|we begin|we first|"
    r"first we|first i|we are given|we are asked|here s (?:how|a)|here is (?:how|a)|step by step|think(?:ing)? step)\b.*|"
    # Alone, these begin real answers too: "to determine the age of fossils".
    r"(?:to \w+|in order to|given|by \w+ing|after)\b.*\b(?:we|i|let|us)\b.*)"
)
_SAYS_SOMETHING = re.compile(r"[0-9=<>≤≥∞∅$^]|\\[A-Za-z]")


def missing_answer(answer: str, reference: str) -> Literal["empty_answer", "no_answer"] | None:
    r"""Return why no judge need be asked, or None where one must be.

    ``empty_answer``: not one letter, digit or symbol that stands for a value. ``no_answer``: only praise, or the opening words
    of a solution, such as "Thought process:" or "Let's solve this problem step by step.", and nothing after them. A reference
    that is of the same kind ("{}" for the empty set) leaves the decision to the judge.

    Args:
        answer: cleaned (see ``clean``).
        reference: cleaned.

    >>> missing_answer(":", "5"), missing_answer("Thought process:", "5"), missing_answer("x = 5", "5")
    ('empty_answer', 'no_answer', None)
    """
    if not answer.replace(REMOVED, "").strip():
        return "empty_answer"
    if _is_empty(answer):
        return None if _is_empty(reference) else "empty_answer"
    if _only_opens(answer):
        return None if _only_opens(reference) else "no_answer"
    return None


def _is_empty(text: str) -> bool:
    bare = _LAYOUT.sub(" ", text.replace(REMOVED, " "))
    return not any(unicodedata.category(char)[0] in "LN" or char in _SYMBOLS_THAT_ANSWER for char in bare)


def _only_opens(text: str) -> bool:
    text = text.replace(REMOVED, " ")
    if len(text) > MAX_OPENER_CHARS or _SAYS_SOMETHING.search(text):
        return False
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join("".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in folded).split())
    return any(pattern.fullmatch(words) for pattern in (_HEADING, _OPENER, _PRAISE))
