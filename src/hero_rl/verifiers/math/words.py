"""Answers in words: yes and no, none and infinitely many, number words and ordinals, and other text."""

from __future__ import annotations

import re
from fractions import Fraction


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_SAME: dict[str, tuple[str, ...]] = {
    "yes": ("yes", "true", "it is true", "correct", "是", "是的", "对", "正确", "да", "oui", "ja", "sí"),
    "no": ("no", "false", "it is false", "not true", "否", "不是", "不对", "错误", "不正确", "нет", "non", "nein"),
    "none": (
        "none", "no solution", "no solutions", "no real solution", "no real solutions", "there are no solutions",
        "there is no solution",
        "no integer solutions", "no such numbers", "no such number", "no such integers", "no such integer", "no answer exists",
        "no such function", "no such functions", "no such functions exist", "no such function exists", "empty set",
        "the empty set",
        r"\emptyset", r"\{\}", r"\{ \}", "does not exist", "doesn't exist", "dne", "do not exist", "none exist",
        "no solutions exist",
        "no such integers exist", "no such numbers exist", "there are none", "not exist", "no such n", "no such n exist",
        "no real roots", "impossible", "not possible", "it is impossible", "it is not possible", "inconsistent",
        "无解", "不存在", "无实数解", "无实根", "нет решений", "keine lösung", "aucune solution", "sin solución",
    ),
    "sufficient and necessary": (
        "necessary and sufficient", "sufficient and necessary", "necessary and sufficient condition",
        "a necessary and sufficient condition", "sufficient and necessary condition", "充要条件", "充分必要条件", "充要",
        "充分且必要条件",
    ),
    "sufficient only": (
        "sufficient but not necessary", "sufficient but not necessary condition", "a sufficient but not necessary condition",
        "a sufficient but not a necessary condition", "sufficient and not necessary", "充分不必要条件", "充分而不必要条件",
        "充分非必要条件", "充分不必要",
    ),
    "necessary only": (
        "necessary but not sufficient", "necessary but not sufficient condition", "a necessary but not sufficient condition",
        "a necessary but not a sufficient condition", "necessary and not sufficient", "必要不充分条件", "必要而不充分条件",
        "必要非充分条件", "必要不充分",
    ),
    "neither sufficient nor necessary": (
        "neither sufficient nor necessary", "neither necessary nor sufficient",
        "neither a sufficient nor a necessary condition",
        "neither sufficient nor necessary condition", "既不充分也不必要条件", "既非充分也非必要条件",
    ),
    "undefined": ("undefined", "not defined", "indeterminate"),
    "infinitely many": ("infinitely many", "infinite", "infinitely many solutions", "infinite solutions",
    "there are infinitely many", "无穷多", "无数", "无穷多个", "无数个"),
    "neither": ("neither", "neither even nor odd", "neither odd nor even", "neither function"),
    "even": ("even", "even function", "an even function", "even number", "even numbers", "偶函数", "偶数"),
    "odd": ("odd", "odd function", "an odd function", "odd number", "odd numbers", "奇函数", "奇数"),
}  # fmt: skip
_CLOSED_CLASSES = (
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"],
)
_SAME.update({word: (word,) for words in _CLOSED_CLASSES for word in words})
EXCLUSIVE: tuple[frozenset[str], ...] = (
    frozenset(("yes", "no")),
    frozenset(("sufficient and necessary", "sufficient only", "necessary only", "neither sufficient nor necessary")),
    frozenset(("even", "odd", "neither")),
    *(frozenset(words) for words in _CLOSED_CLASSES),
)  # fmt: skip
"""Words of which at most one is true."""
_NO_SUCH = re.compile(
    r"(?:there (?:is|are|exists?|exist) )?no (?:\w+ ){0,2}(?:solutions?|roots?|answers?|values?|"
    r"arrangements?|integers?|numbers?|functions?|triples?|pairs?|triangles?|such (?:\w+ )?\w+)"
    r"(?: (?:exists?|for \w+|here|is possible|are possible))?|(?:the )?(?:constraints?|conditions?|equations?|system)"
    r"(?: (?:is|are))? inconsistent"
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
_DIGIT_ORDINAL = re.compile(r"(\d{1,9})\s*(?:\^?\{?\s*(?:st|nd|rd|th)(?![a-z])\s*\}?)\s*(.*)")
_CHINESE_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000}
_SILENT = _words("a an the is are was were be it its that this there will would so does do did has have and")
_NEGATIONS: dict[str, str] = dict.fromkeys(
    ("doesn't", "don't", "isn't", "aren't", "cannot", "can't", "won't", "didn't", "n't"), "not"
)
_ONE_FORM = {
    "converges": "convergent", "converge": "convergent", "converging": "convergent", "diverges": "divergent",
    "diverge": "divergent", "diverging": "divergent", "false": "false", "increases": "increasing", "decreases": "decreasing",
}  # fmt: skip
_OPPOSITES = {"convergent": "divergent", "divergent": "convergent"}
_SUBJECTS = _words("series sequence integral function relation system statement condition answer limit equation graph curve")
"""What a short statement is about: the question says it, and one of two statements may leave it out."""
_WORD_OR_SIGN = re.compile(r"\\[A-Za-z]+|[^\W\d_]+(?:'[a-z]+)?|\d+(?:\.\d+)?|[^\s\w.,;:\"“”?]|_")
_SPOKEN_FIRST = re.compile(r"\W*(?:yes|no)\s*(?:[,.;:!—–-]|\b(?:because|since|it|they)\b)", re.IGNORECASE)
_TAKES_BACK = _words("yes no but only unless if except maybe however doubt")
_DENIES = _words(
    """not never none neither nor cannot without false untrue incorrect wrong impossible invalid fails fail contradiction
    undecidable unknown unlikely"""
)
_AFFIRMS = _words("true correct right possible valid indeed holds always")
_SAYS_NO_MORE = _words(
    """no none not do does doesn't exist exists such there is are solution solutions root roots answer answers value values
    possible real for here the an any valid set empty infinitely infinite many number of them"""
)
"""Words of "no solution" and "infinitely many solutions" that say nothing about which ones."""
_INTEGERS = re.compile(r"\bintegers?\b|\bintegral\b|\bwhole\b|\bnatural\b|\bprimes?\b|mathbb\s*\{?[ZN]", re.IGNORECASE)
_COMPLEX = re.compile(r"\bcomplex\b|\bimaginary\b|mathbb\s*\{?C", re.IGNORECASE)
_LIMIT = re.compile(r"\blimits?\b|\\lim|\bderivative|\bdifferentiable", re.IGNORECASE)
_ANY_NUMBER = _words("a an the any all every each must be is are it n number numbers integer integers function")
LOADED = _words(
    """not no never none nor neither without except wrong incorrect false untrue isn't ain't invalid fake minus plus times
    negative opposite inverse reciprocal half halves third fourth fifth sixth seventh eighth ninth tenth quarter hundredth
    thousandth squared cubed cube root double twice triple thrice doubled factorial mod modulo base power percent percentage
    two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion trillion dozen gross score if unless instead but or and zero infinity divided multiplied
    sin cos tan log ln exp degree radian inch approximately about nearly almost roughly around maybe perhaps probably possibly
    was were should would could"""
)
"""Words that change a number beside them, or take it back: never left out."""
COMPARING = _words(
    """more less fewer least most than over under above below up down out square point pair greater larger smaller
    before after ago later earlier older younger at bigger"""
)
"""Words that change a number, unless the question has the very phrase: ``how many more marbles``."""
_LEAD_IN = re.compile(
    r"^(?:\\text\{\s*)?(?:about|approximately|approx\.?|exactly|only|just|roughly|around|is|are|so|thus|"
    r"therefore|hence|[a-zA-Z] is|we (?:get|have)|there (?:is|are)|"
    r"it(?: is|'s)|(?:the|a|an) [A-Za-z ]{1,60}? (?:is|are|equals)|answer:?|equals?|either|both)\b"
    r"\s*\}?\s*(?=\S)",
    re.IGNORECASE,
)
_ANOTHER_VALUE = re.compile(
    r"\b(?:not|no|never|wrong|incorrect|false|invalid|fake|except|without|instead|twice|double|triple|half|"
    r"rejected|excluded|extraneous|previous|earlier|my first|answer (?:plus|minus|times|squared|cubed)|"
    r"(?:simpler|easier|similar|related|different) (?:question|problem|case)|"
    r"(?:second|third)[ -]\w+(?:st|most))\b|\b(?:of|for|than|in) (?:the|my) answer\b|"
    r"^\s*(?:the|an?) (?:square|cube|reciprocal|inverse|opposite|negative|complement|logarithm)"
    r"(?: of .*)? (?:is|are|equals)"
)
_CHINESE_LEAD_IN = re.compile(r"^(?:所以|因此|故|即)?(?:最终|最后)?(?:的)?(?:答案|结果|答)\s*(?:是|为|[:：])\s*")
MAX_WORDS = 60


_ORDER = re.compile(
    r"\b(?:order|first|second|third|last|before|after|respectively|rank|win\w*|then|steps?|sequence|correspond\w*|each|match\w*)\b",
    re.IGNORECASE,
)


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


def same_word(reference: str, answer: str, problem: str) -> bool:
    """Return whether two phrases of one set, ``none`` or ``infinitely many``, say it of the same things.

    >>> same_word("none", "no integer solution", "Solve in integers."), same_word("no solution", "no unique solution", "")
    (True, False)
    """
    expected, given = plain_words(reference), plain_words(answer)
    if not given.isascii() or not expected.isascii():
        return True
    if _LIMIT.search(problem) and ("exist" in expected or "dne" in expected) != ("exist" in given or "dne" in given):
        return False
    here, there = (set(re.findall(r"(?<![\\a-z])[a-z']+", text)) for text in (expected, given))
    if "real" in here ^ there and _COMPLEX.search(problem):
        return False
    return all(word in _SAYS_NO_MORE or _is_said(word, problem, "such" in here | there) for word in here ^ there)


def _is_said(word: str, problem: str, such: bool) -> bool:
    """Return whether a word of a phrase names what the question asks for; ``such`` refers to it."""
    if word.startswith("integer"):
        return such or _INTEGERS.search(problem) is not None
    stem = _plural(word)
    if stem in ("number", "function", "triple", "pair", "triangle", "arrangement", "constraint", "condition", "equation",
                "system", "inconsistent", "impossible", "dne", "n", "it", "k", "x"):  # fmt: skip
        return True
    return re.search(rf"\b{re.escape(stem)}", problem, re.IGNORECASE) is not None


def keyword_of(text: str) -> str | None:
    """The one of ``yes``, ``no``, ``even`` and ``odd`` that a longer statement turns on; None where it is not that plain.

    >>> keyword_of("Yes, it is possible"), keyword_of("any even number"), keyword_of("not even")
    ('yes', 'even', None)
    """
    words = plain_words(text).split()
    if words and words[0] in ("yes", "no"):
        plain = _SPOKEN_FIRST.match(_TEXT.sub(r" \1 ", text)) is not None or len(words) == 1
        rest = [_NEGATIONS.get(word, word) for word in words[1:]]
        return words[0] if plain and _TAKES_BACK.isdisjoint(rest) and not _is_contrary(words[0], rest) else None
    if len(words) > 2 and words[-3].startswith("number") and words[-2] == "of":
        words = words[:-2]
    found = [word for word in words if word in ("even", "odd")]
    return found[0] if len(found) == 1 and _ANY_NUMBER.issuperset(set(words) - set(found)) else None


def _is_contrary(word: str, rest: list[str]) -> bool:
    """Return whether what follows yes or no may say the contrary: ``yes, it is not``, ``no, it is true``."""
    denials = [one for one in rest if one in _DENIES or one.endswith("n't")]
    return bool(denials) if word == "yes" else len(denials) > 1 or (not denials and not _AFFIRMS.isdisjoint(rest))


def number_in_words(text: str) -> Fraction | None:
    """The number that words spell, ordinals and simple fractions included.

    >>> number_in_words("twenty-one"), number_in_words("15th"), number_in_words("two thirds")
    (Fraction(21, 1), Fraction(15, 1), Fraction(2, 3))
    """
    plain = plain_words(text).removeprefix("the ")
    chinese = _chinese_number(plain)
    if chinese is not None:
        return chinese
    digits = _DIGIT_ORDINAL.fullmatch(re.sub(r"\s+(?=st\b|nd\b|rd\b|th\b)", "", plain))
    if digits and len(digits[2].split()) <= 2 and not any(word in LOADED or word in COMPARING for word in digits[2].split()):
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


def _chinese_number(text: str) -> Fraction | None:
    """``三十一`` as 31 and ``三分之一`` as a third; None for anything else."""
    bottom, parts, top = text.partition("分之")
    if parts:
        values = _chinese_number(top), _chinese_number(bottom)
        return values[0] / values[1] if values[0] is not None and values[1] else None
    total, digit = 0, -1
    for sign in text:
        if sign in _CHINESE_DIGITS and digit < 1:
            digit = _CHINESE_DIGITS[sign]
        elif sign in _CHINESE_SCALES:
            total, digit = total + _CHINESE_SCALES[sign] * (1 if digit < 0 else digit), -1
        else:
            return None
    return Fraction(total + max(digit, 0)) if text else None


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


def same_statement(reference: str, answer: str) -> bool:
    r"""Whether two texts say the same in the same words: articles apart, each word, number, sign and operator counts.

    >>> same_statement("The series converges", r"\text{convergent}"), same_statement("at most n-1", "at most n+1")
    (True, False)
    """
    expected, given = _statement(reference), _statement(answer)
    if expected == given:
        return bool(expected)
    here, there = (tuple(word for word in words if word not in _SUBJECTS) for words in (expected, given))
    return bool(here) and here == there and (len(here) == len(expected) or len(there) == len(given))


def same_list(reference: str, answer: str, problem: str) -> bool:
    """Return whether two texts list the same things in words, where nothing in the question speaks of an order.

    >>> same_list("red, blue", "blue and red", "Which colours?"), same_list("Ann, Ben", "Ben, Ann", "Who was first, who last?")
    (True, False)
    """
    here, there = _listed(reference), _listed(answer)
    return len(here) > 1 and here == there and bool(problem) and not _ORDER.search(problem)


def _listed(text: str) -> frozenset[tuple[str, ...]]:
    """Return the things that a text lists; none where something in it is no plain word."""
    parts = [_statement(part) for part in re.split(r",|;|\band\b", _TEXT.sub(r" \1 ", text)) if part.strip(" .")]
    plain = all(part and all(word.isalpha() and len(word) > 1 and word not in LOADED for word in part) for part in parts)
    return frozenset(parts) if plain else frozenset()


def _statement(text: str) -> tuple[str, ...]:
    plain = _TEXT.sub(r" \1 ", text).replace("’", "'")
    plain = re.sub(r"^\s*A (?=[a-z]{4,}(?<!s)\b)", "", plain)
    found = _WORD_OR_SIGN.findall(plain)
    if len(found) > MAX_WORDS:
        return ()
    formula = re.search(r"[_^]\{?\d", plain) is not None  # in SO_4 the case of a letter tells elements apart
    kept = 2 if formula else 1
    words = [word if len(word) <= kept or word.startswith("\\") else word.lower() for word in found]
    words = [_NEGATIONS.get(word) or _ONE_FORM.get(word) or (str(_UNITS[word]) if word in _UNITS else word) for word in words]
    words = [_plural(word) for word in words if word not in _SILENT]
    for at in range(len(words) - 1, 0, -1):
        if words[at - 1] == "not" and words[at] in _OPPOSITES:
            words[at - 1 : at + 1] = [_OPPOSITES[words[at]]]
    return tuple(words)


def _plural(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "ies")) else word


def without_lead_in(text: str) -> str:
    """The text without words at its start that only lead to the answer: ``The total is``, ``it is``, ``about``.

    >>> without_lead_in("The total is 12"), without_lead_in("the wrong answer is 12")
    ('12', 'the wrong answer is 12')
    """
    for _ in range(2):
        match = _LEAD_IN.match(text) or _CHINESE_LEAD_IN.match(text)
        if match is None or not _changes_nothing(match.group()):
            break
        text = text[match.end() :]
    return text


def _changes_nothing(lead_in: str) -> bool:
    words = re.sub(r"\\text\{|\}", " ", lead_in.lower())
    return _ANOTHER_VALUE.search(words) is None
