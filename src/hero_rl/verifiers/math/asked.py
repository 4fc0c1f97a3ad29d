"""Which unit, noun or percentage a question asks for, and which words after a number may therefore be left out or added."""

from __future__ import annotations

import re
from functools import lru_cache

from hero_rl.verifiers.math.units import EMPTY, Unit, factor, measure_name, read_unit
from hero_rl.verifiers.math.words import COMPARING, LOADED


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FUNCTION_WORDS = _words(
    """the a an of in on for from to by with each every all per these those such that there their his her its is are can be
    different distinct possible total many exactly only in both it this which who have has"""
)
_COUNTED = _words(
    """way solution student person people child boy girl man men woman women child children friend player team member page book
    apple orange banana egg cookie candy candie marble ball coin card ticket car bus bike toy pencil pen box boxe bag bottle cup
    plate chair table room house tree flower dog cat bird fish animal horse cow sheep chicken side edge vertex vertice
    face diagonal triangle rectangle circle line digit integer number element term factor divisor prime subset permutation
    combination arrangement path step move game vote value root item piece part thing object group row column
    sticker slice stamp shirt seat passenger worker employee customer guest block tile
    bead stone clip crayon balloon cake pizza cupcake question problem word letter sentence function outcome choice possibility
    possibilitie tuple triplet ordered region intersection matche"""
)
_COUNTERS = frozenset("本个人次种只条张元头棵辆台件支块名位层页题组颗朵盒箱袋瓶杯间座艘架份双对")
_CURRENCY = re.compile(
    r"\\\$|\bdollar|\bcents?\b|\bprice|\bcosts?\b|\bmoney\b|\bpa(?:y|id)\b|\bearn|\bspen[dt]|\bprofit|\bsalar|\bworth\b|"
    r"\brevenue|\bincome|\bsell|\bsold\b|\bbuy|\bbought\b|\bsav(?:e|ings)\b|\bfees?\b|\binvest|\binterest\b|"
    r"(?<![$\d])\$\d[\d,.]*(?![\d,.$])(?=\s+[a-z])|[€£¥₹元]|\beuro",
    re.IGNORECASE,
)  # fmt: skip
_ANGLE = re.compile(
    r"\bdegrees?\b|\bangles?\b|\\circ\b|°|\\angle|∠|\bbearing\b|\btemperature|\brotat|\barc\b|度|角", re.IGNORECASE
)
_RADIANS = re.compile(r"\bradians?\b|\bangles?\b|\\angle|∠|弧度", re.IGNORECASE)
_PERCENT = re.compile(
    r"\b(?:what|which|find|determine|calculate|compute|give|state|express|write|estimate)\b[^.?!]{0,60}?"
    r"(?:\bpercent|\bper cent|\brate\b)|"
    r"\b(?:as|in|nearest|how many)\s+(?:an?\s+|the\s+)?(?:[a-z]+\s+){0,3}percent|\bin\s+\(?\\?%|\(\s*(?:in\s+)?\\?%\s*\)|"
    r"\b(?:what|nearest|as an?)\s+\$?\\?%|"
    r"\bpercent(?:age)?s?\s+(?:of|by|that|change|increase|decrease|is|are|error|profit|loss|yield|composition)\b[^.!]*\?|百分",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"\b(?:how many|how much|number of|in(?: units of)?|nearest(?: (?:tenth|hundredth|thousandth|whole|half))?(?: (?:of )?an?)?"
    r"|unit:?)\s+((?:square |cubic )?[A-Za-zµ]+(?:\^\{?-?\d\}?)?(?:\s+(?:squared|cubed))?"
    r"(?:(?:\s*/\s*|\s*\*\s*|\s+per\s+)[A-Za-zµ]+(?:\^\{?-?\d\}?)?){0,3})",
    re.IGNORECASE,
)
_DRESSING = re.compile(r"\\(?:text|mathrm|textrm|operatorname|rm|mbox)\s*\{?|[${}~]|\\[,;:! ()\[\]]")
_WORD = re.compile(r"[^\W\d_]+")
_NO_MENTION = frozenset(
    ("in", "at", "as", "a", "am", "an", "to", "be", "do", "second", "are", "us", "or", "h", "point", "pt", "s", "t", "d", "m",
     "he", "has", "turn", "turns")
)  # fmt: skip
"""Words that are rarely units: "at point A", "he has Ann's", "turns around"."""
_SIZES = (
    (re.compile(r"\barea\b", re.IGNORECASE), 2), (re.compile(r"\bvolume\b", re.IGNORECASE), 3),
    (re.compile(r"\b(?:length|distance|perimeter|radius|diameter|height|width|circumference|far)\b", re.IGNORECASE), 1),
)  # fmt: skip


def says_something(unit: Unit, problem: str = "") -> bool:
    """Whether words after a number change it or take it back: ``squared``, ``is wrong``, ``out of 20``."""
    modulus = re.fullmatch(r"mod (\w{1,12})", unit.name)
    if modulus and re.search(rf"mod(?:ulo|\W)\W{{0,9}}{modulus[1]}\b", problem):
        return False
    if unit.kind != "noun" or unit.name.startswith("degree "):
        return False
    words = unit.name.split()
    return any(word in LOADED or word in COMPARING or not _WORD.fullmatch(word) for word in words)


@lru_cache(maxsize=4096)
def may_be_added(unit: Unit, problem: str) -> bool:
    """Whether an answer may have a unit or words that its reference has not: the question has them, or they say nothing."""
    if unit.kind == "currency":
        return not problem or _CURRENCY.search(problem) is not None
    if unit.kind == "degree":
        return _ANGLE.search(problem) is not None
    if unit.kind == "radian":
        return _RADIANS.search(problem) is not None
    if unit.kind == "measure":
        return bool(problem) and _is_unit_of(unit, problem)
    return _is_noun_of(unit.name, problem)


def _is_noun_of(name: str, problem: str) -> bool:
    if name.startswith("degree "):
        return re.search(r"temperature|celsius|fahrenheit|\\circ|°", problem, re.IGNORECASE) is not None
    if name in EMPTY:
        return True
    words = name.split()
    lowered = problem.lower()
    in_problem = {_stem(word) for word in _WORD.findall(lowered)}
    if any(word in LOADED or not _WORD.fullmatch(word) for word in words):
        return False
    if any(word in COMPARING for word in words):
        return len(words) > 1 and " ".join(words) in " ".join(_stem(word) for word in _WORD.findall(lowered))
    if all(word in _COUNTERS or (not word.isascii() and word in problem) for word in words):
        return True
    known = [word in _COUNTED or _stem(word) in in_problem for word in words]
    fine = all(yes or word in _FUNCTION_WORDS for yes, word in zip(known, words, strict=True))
    return fine and any(yes and word not in _FUNCTION_WORDS and len(word) > 2 for yes, word in zip(known, words, strict=True))


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _is_unit_of(unit: Unit, problem: str) -> bool:
    asked = asked_unit(problem, unit)
    if asked is not None:
        return factor(unit, asked) == 1
    mentioned = _mentioned(problem)
    names = [name for name, _ in unit.factors]
    if not all(name in mentioned for name in names):
        return False
    if len(names) == 1 and ("meter" in names[0] or names[0] in ("inch", "foot", "yard", "mile")):
        wanted = [power for pattern, power in _SIZES if pattern.search(problem[-200:])]
        if len(wanted) == 1 and unit.factors[0][1] != wanted[0]:
            return False
    rivals = mentioned - set(names)
    return not any(_same_dimension(name, rival) for name in names for rival in rivals)


def _same_dimension(name: str, other: str) -> bool:
    one, two = (Unit("measure", f"{each}^1", ((each, 1),)) for each in (name, other))
    return factor(one, two) is not None


@lru_cache(maxsize=256)
def _mentioned(problem: str) -> frozenset[str]:
    """The names of all units of measure that a text has as words."""
    words = set(_WORD.findall(_plain(problem))) - _NO_MENTION
    names = (name for name in map(measure_name, words) if name)
    return frozenset(part for name in names for part in name.split("_per_"))  # who drives at 30 mph drives miles


def _plain(problem: str) -> str:
    return _DRESSING.sub(" ", problem)


@lru_cache(maxsize=1024)
def asked_unit(problem: str, like: Unit) -> Unit | None:
    """The unit that a question asks for, of the dimension of another one; None where it names none."""
    found: Unit | None = None
    for match in _ASKED.finditer(_plain(problem)):
        words = match[1]
        for text in (words, " ".join(words.split()[:2]), words.split()[0]):
            unit = read_unit(text)
            if unit is not None and unit.kind == like.kind != "noun" and factor(unit, like) is not None:
                found = unit
                break
    return found


@lru_cache(maxsize=1024)
def asks_percent(problem: str) -> bool:
    """Whether a question asks for a percentage."""
    return _PERCENT.search(problem) is not None
