"""Answers in words: yes and no, none and infinitely many, number words and ordinals; what may stand around an answer."""

from __future__ import annotations

import re
from fractions import Fraction


def words_in(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


TEXT = re.compile(r"\\text\{([^{}]*)\}")
_PHRASES = {
    "yes": "yes|true|it is true|correct|是|是的|对|正确|да|oui|ja|sí",
    "no": "no|false|it is false|not true|否|不是|不对|错误|不正确|нет|non|nein",
    "none": r"none|empty set|the empty set|\emptyset|\{\}|\{ \}|does not exist|doesn't exist|dne|do not exist|none exist|"
    "there are none|not exist|impossible|not possible|it is impossible|it is not possible|inconsistent|无解|不存在|"
    "无实数解|无实根|нет решений|keine lösung|aucune solution|sin solución",
    "sufficient and necessary": "necessary and sufficient|sufficient and necessary|充要条件|充分必要条件|充要|充分且必要条件",
    "sufficient only": "sufficient but not necessary|sufficient but not a necessary|sufficient and not necessary|"
    "充分不必要条件|充分而不必要条件|充分非必要条件|充分不必要",
    "necessary only": "necessary but not sufficient|necessary but not a sufficient|necessary and not sufficient|必要不充分条件|"
    "必要而不充分条件|必要非充分条件|必要不充分",
    "neither sufficient nor necessary": "neither sufficient nor necessary|neither necessary nor sufficient|"
    "neither a sufficient nor a necessary|既不充分也不必要条件|既非充分也非必要条件",
    "undefined": "undefined|not defined|indeterminate",
    "infinitely many": "infinite|infinite solutions|无穷多|无数|无穷多个|无数个",
    "neither": "neither|neither even nor odd|neither odd nor even",
    "even": "even|偶函数|偶数",
    "odd": "odd|奇函数|奇数",
}
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_CANONICAL = {phrase: name for name, phrases in _PHRASES.items() for phrase in phrases.split("|")}
_CANONICAL |= {word: word for word in DAYS + MONTHS}
_KIND = re.compile(r"(?:an? )?(.+?)(?: (?:condition|function|numbers?))?")
EXCLUSIVE: tuple[frozenset[str], ...] = (
    frozenset(("yes", "no")),
    frozenset(("sufficient and necessary", "sufficient only", "necessary only", "neither sufficient nor necessary")),
    frozenset(("even", "odd", "neither")), frozenset(DAYS), frozenset(MONTHS),
)  # fmt: skip
"""Words of which at most one is true."""
_NO_SUCH = re.compile(
    r"(?:there (?:is|are|exists?|exist) )?no (?:\w+ ){0,2}(?:solutions?|roots?|answers?|values?|arrangements?|integers?|"
    r"numbers?|functions?|triples?|pairs?|triangles?|such (?:\w+ )?\w+)(?: (?:exists?|for \w+|here|is possible|are possible))?|"
    r"(?:the )?(?:constraints?|conditions?|equations?|system)(?: (?:is|are))? inconsistent"
)
_ENDLESS = re.compile(r"(?:there (?:is|are|exist) )?(?:infinitely many|an infinite number of)(?: \w+){0,3}")
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
NUMBER_WORD = rf"(?:zero|{_ONES}|{_TEENS}|(?:{_TENS})(?:-(?:{_ONES}))?)\b"
SMALL_NUMBERS = {word: value for value, word in enumerate(f"zero|{_ONES}|{_TEENS}".split("|"))}
_ROUND_NUMBERS = {word: 10 * value for value, word in enumerate(_TENS.split("|"), 2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = (
    {f"{word}th": value for word, value in SMALL_NUMBERS.items() if value > 3}
    | {f"{word[:-1]}ieth": value for word, value in _ROUND_NUMBERS.items()}
    | {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12, "hundredth": 100}
)
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
_DIGIT_ORDINAL = re.compile(r"(\d{1,9})\s*(?:\^?\{?\s*(?:st|nd|rd|th)(?![a-z])\s*\}?)\s*(.*)")
_CHINESE_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000}
NEGATIONS: dict[str, str] = dict.fromkeys(
    ("doesn't", "don't", "isn't", "aren't", "cannot", "can't", "won't", "didn't", "n't"), "not"
)
_SPOKEN_FIRST = re.compile(r"\W*(?:yes|no)\s*(?:[,.;:!—–-]|\b(?:because|since|it|they)\b)", re.IGNORECASE)
_TAKES_BACK = words_in("yes no but only unless if except maybe however doubt")
_DENIES = words_in(
    """not never none neither nor cannot without false untrue incorrect wrong impossible invalid fails fail contradiction
    undecidable unknown unlikely"""
)
_AFFIRMS = words_in("true correct right possible valid indeed holds always")
_SAYS_NO_MORE = words_in(
    """no none not do does doesn't exist exists such there is are solution solutions root roots answer answers value values
    possible real for here the an any valid set empty infinitely infinite many number of them"""
)
"""Words of "no solution" and "infinitely many solutions" that say nothing about which ones."""
_INTEGERS = re.compile(r"\bintegers?\b|\bintegral\b|\bwhole\b|\bnatural\b|\bprimes?\b|mathbb\s*\{?[ZN]", re.IGNORECASE)
_COMPLEX = re.compile(r"\bcomplex\b|\bimaginary\b|mathbb\s*\{?C", re.IGNORECASE)
_LIMIT = re.compile(r"\blimits?\b|\\lim|\bderivative|\bdifferentiable", re.IGNORECASE)
_ANY_NUMBER = words_in("a an the any all every each must be is are it n number numbers integer integers function")
LOADED = words_in(
    """not no never none nor neither without except wrong incorrect false untrue isn't ain't invalid fake minus plus times
    negative opposite inverse reciprocal half halves third fourth fifth sixth seventh eighth ninth tenth quarter hundredth
    thousandth squared cubed cube root double twice triple thrice doubled factorial mod modulo base power percent percentage
    two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion trillion dozen gross score if unless instead but or and zero infinity divided multiplied
    divide divides divisible exceed exceeds
    sin cos tan log ln exp degree radian inch approximately about nearly almost roughly around maybe perhaps probably possibly
    was were should would could"""
)
"""Words that change a number beside them, or take it back: never left out."""
COMPARING = words_in(
    """more less fewer least most than over under above below up down out square point pair greater larger smaller
    before after ago later earlier older younger at bigger"""
)
"""Words that change a number, unless the question has the very phrase: ``how many more marbles``."""
_LEAD_IN = re.compile(
    r"^(?:\\text\{\s*)?(?:about|approximately|approx\.?|exactly|only|just|roughly|around|is|are|so|thus|therefore|hence|"
    r"[a-zA-Z] is|we (?:get|have)|there (?:is|are)|it(?: is|'s)|(?:the|a|an) [A-Za-z ]{1,60}? (?:is|are|equals)|answer|"
    r"equals?|either|both)\b\s*:?\s*\}?\s*:?\s*(?=\S)",
    re.IGNORECASE,
)
_ANOTHER_VALUE = re.compile(
    r"\b(?:not|no|never|wrong|incorrect|false|invalid|fake|except|without|instead|twice|double|triple|half|rejected|excluded|"
    r"extraneous|previous|earlier|my first|answer (?:plus|minus|times|squared|cubed)|(?:simpler|easier|similar|related|"
    r"different) (?:question|problem|case)|(?:second|third)[ -]\w+(?:st|most))\b|\b(?:of|for|than|in) (?:the|my) answer\b|"
    r"^\s*(?:the|an?) (?:square|cube|reciprocal|inverse|opposite|negative|complement|logarithm)(?: of .*)? (?:is|are|equals)"
)
_CHINESE_LEAD_IN = re.compile(r"^(?:所以|因此|故|即)?(?:最终|最后)?(?:的)?(?:答案|结果|答)\s*(?:是|为|[:：])\s*")
_FUNCTIONS = words_in("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log exp max min gcd lcm mod det")
_BARE_WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{3,}")
_MARKED_WORDS = re.compile(r"\\(?:begin|end|text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{[^{}]*\}")


def plain_words(text: str) -> str:
    r"""Return the text in lower case, without ``\text``, punctuation and quotation marks."""
    text = TEXT.sub(r" \1 ", text)
    return " ".join(re.sub(r"[\"“”`*]|[.,;:!?](?=\s|$)", " ", text).lower().split())


def known_word(text: str) -> str | None:
    """Return the name of a set phrase: ``yes``, ``none``, ``infinitely many`` and so on; None for anything else."""
    plain = plain_words(text) if len(text) < 80 else ""
    if plain in _CANONICAL:
        return _CANONICAL[plain]
    if _ENDLESS.fullmatch(plain):
        return "infinitely many"
    if _NO_SUCH.fullmatch(plain):
        return "none"
    noun = _KIND.fullmatch(plain)
    name = _CANONICAL.get(noun[1]) if noun else None
    return name if any(name in names for names in EXCLUSIVE[1:3]) else None


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
    stem = singular(word)
    if stem in ("number", "function", "triple", "pair", "triangle", "arrangement", "constraint", "condition", "equation",
                "system", "inconsistent", "impossible", "dne", "n", "it", "k", "x"):  # fmt: skip
        return True
    return re.search(rf"\b{re.escape(stem)}", problem, re.IGNORECASE) is not None


def keyword_of(text: str) -> str | None:
    """Return which of yes, no, even and odd a longer statement turns on; None where it is not that plain.

    >>> keyword_of("Yes, it is possible"), keyword_of("any even number"), keyword_of("not even")
    ('yes', 'even', None)
    """
    words = plain_words(text).split()
    if words and words[0] in ("yes", "no"):
        plain = _SPOKEN_FIRST.match(TEXT.sub(r" \1 ", text)) is not None or len(words) == 1
        rest = [NEGATIONS.get(word, word) for word in words[1:]]
        denials = [one for one in rest if one in _DENIES or one.endswith("n't")]
        contrary = denials if words[0] == "yes" else len(denials) > 1 or (not denials and not _AFFIRMS.isdisjoint(rest))
        return words[0] if plain and _TAKES_BACK.isdisjoint(rest) and not contrary else None
    if len(words) > 2 and words[-3].startswith("number") and words[-2] == "of":
        words = words[:-2]
    found = [word for word in words if word in ("even", "odd")]
    return found[0] if len(found) == 1 and _ANY_NUMBER.issuperset(set(words) - set(found)) else None


def number_in_words(text: str) -> Fraction | None:
    """Return the number that words spell, ordinals and simple fractions included.

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
    """Return ``三十一`` as 31 and ``三分之一`` as a third; None for anything else."""
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
        if word in SMALL_NUMBERS or word in _ROUND_NUMBERS:
            current += SMALL_NUMBERS.get(word, _ROUND_NUMBERS.get(word, 0))
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


def singular(word: str) -> str:
    """Return a word without its plural ``s``."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def count_words(text: str) -> int:
    r"""Return how many bare words of a language a text has; functions, environments and ``\text{...}`` are none."""
    return sum(word.lower() not in _FUNCTIONS for word in _BARE_WORD.findall(_MARKED_WORDS.sub(" ", text)))


def without_lead_in(text: str) -> str:
    """Return the text without words at its start that only lead to the answer: ``The total is``, ``it is``, ``about``.

    >>> without_lead_in("The total is 12"), without_lead_in("the wrong answer is 12")
    ('12', 'the wrong answer is 12')
    """
    for _ in range(2):
        match = _LEAD_IN.match(text) or _CHINESE_LEAD_IN.match(text)
        if match is None or _ANOTHER_VALUE.search(re.sub(r"\\text\{|\}", " ", match.group().lower())):
            break
        text = text[match.end() :]
    return text
