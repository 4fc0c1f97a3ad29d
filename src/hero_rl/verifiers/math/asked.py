"""Which unit, noun or percentage a question asks for, and which words after a number may therefore be left out or added."""

from __future__ import annotations

import re
from functools import lru_cache

from hero_rl.verifiers.math.units import EACH, EMPTY, SIZES, Unit, factor, measure_name, read_unit
from hero_rl.verifiers.math.words import COMPARING, LOADED, singular, words_in

_FUNCTION_WORDS = words_in(
    """the a an of in on for from to by with each every all per these those such that there their his her its is are can be
    different distinct possible total many exactly only in both it this which who have has"""
)
_COUNTED = words_in(
    """way solution student person people child boy girl man men woman women child children friend player team member page book
    apple orange banana egg cookie candy candie marble ball coin card ticket car bus bike toy pencil pen box boxe bag bottle cup
    plate chair table room house tree flower dog cat bird fish animal horse cow sheep chicken side edge vertex vertice
    face diagonal triangle rectangle circle line digit integer number element term factor divisor prime subset permutation
    combination arrangement path step move game vote value root item piece part thing object group row column
    sticker slice stamp shirt seat passenger worker employee customer guest block tile
    bead stone clip crayon balloon cake pizza cupcake question problem word letter sentence function outcome choice possibility
    possibilitie tuple triplet ordered region intersection matche"""
)
_ALWAYS_COUNTED = words_in(
    "way solution possibility possibilitie outcome choice value number integer element item person people"
)
_COUNTERS = frozenset("本个人次种只条张元头棵辆台件支块名位层页题组颗朵盒箱袋瓶杯间座艘架份双对")
_MONEY = re.compile(
    r"\\\$|\bdollar|\bcents?\b|\bprice|\bcosts?\b|\bmoney\b|\bpa(?:y|id)\b|\bearn|\bspen[dt]|\bprofit|\bsalar|\bworth\b|"
    r"\brevenue|\bincome|\bsell|\bsold\b|\bbuy|\bbought\b|\bsav(?:e|ed|ings)\b|\bfees?\b|\binvest|\bbill\b|[€£¥₹元]|\beuro|"
    r"\brupee|\bRs\b|\byuan\b|\byen\b",
    re.IGNORECASE,
)
_ANGLE = re.compile(
    r"\bdegrees\b|\bdegree measure|\b(?:what|find|determine|compute|calculate|measure|value|size)\b[^.?!]{0,80}"
    r"(?:\bangle|\\angle|∠|\bbearing\b|\binclination)|度|角",
    re.IGNORECASE,
)
_TRIGONOMETRIC = re.compile(r"\b(?:sin|cos|tan|cot|sec|csc|sine|cosine|tangent)\b", re.IGNORECASE)
_RADIANS = re.compile(r"\bradians?\b(?!\s*(?:per|/))|弧度", re.IGNORECASE)
_TEMPERATURE = re.compile(
    r"\b(?:what|find|calculate|determine|compute|give|estimate)\b[^.?!]{0,60}\btemperature\b|"
    r"\bin (?:degrees )?(?:celsius|fahrenheit)|\bin \$?\{?\s*\}?\^?\{?(?:\\circ|°)",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL | re.IGNORECASE)
_SUM_OF_MONEY = re.compile(r"(?<![\\$])\$\d[\d,]*(?:\.\d\d)?[,.]? (?=[a-z]{2,} )", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.?!。？])\s+|\n+")
_PERCENT = re.compile(
    r"\b(?:what|which|find|determine|calculate|compute|give|state|express|write|estimate)\b[^.?!]{0,60}?(?:\bpercent|"
    r"\bper cent|\b(?:interest|growth|tax|inflation|discount|annual) rate\b)|\b(?:as|in|nearest|how many)\s+(?:an?\s+|"
    r"the\s+)?(?:[a-z]+\s+){0,3}percent|\bin\s+\(?\\?%|\(\s*(?:in\s+)?\\?%\s*\)|\b(?:what|nearest|as an?)\s+\$?\\?%|"
    r"\bpercent(?:age)?s?\s+(?:of|by|that|change|increase|decrease|is|are|error|profit|loss|yield|composition)\b[^.!]*\?|百分",
    re.IGNORECASE,
)
_EACH = re.compile(r"\b(?:per|each|every|apiece|rate|wage|average|unit|daily|annual|annually|(?:hour|week|month|year)ly)\b")
_TOTAL = re.compile(r"\b(?:total|altogether|in all|combined)\b")
_SEVERAL = r"(?:\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|these|all))"
_ASKED = re.compile(
    r"\b(?:how many|how much|number of|in(?: units of)?|nearest(?: (?:tenth|hundredth|thousandth|whole|half))?(?: (?:of )?an?)?"
    r"|unit:?)\s+((?:square |cubic )?[A-Za-zµ]+(?:\^\{?-?\d\}?)?(?:\s+(?:squared|cubed))?"
    r"(?:(?:\s*/\s*|\s*\*\s*|\s+per\s+)[A-Za-zµ]+(?:\^\{?-?\d\}?)?){0,3})",
    re.IGNORECASE,
)
_DRESSING = re.compile(r"\\(?:text|mathrm|textrm|operatorname|rm|mbox)\s*\{?|[${}~]|\\[,;:! ()\[\]]")
_WORD = re.compile(r"[^\W\d_]+")
_EXPONENT = re.compile(r"\}?\s*\^\s*\{?\s*(-?\d)\s*\}?")
_RUN = re.compile(r"(?:square |cubic )?[^\W\d_]+(?:\^-?\d)?(?:(?: ?/ ?| per )[^\W\d_]+(?:\^-?\d)?){0,3}(?: squared| cubed)?")
_UPRIGHT = re.compile(r"\\(?:mathrm|text|textrm)\s*\{([^{}]{1,40})\}")
_LONE_UNIT = re.compile(r"\d\s*\$?\s*([mgsNJWVAKCLhFT])(?![\w({^_])")
_NO_MENTION = words_in("in at as a am an to be do second are us or h point pt he has turn turns")
"""Words that are rarely units: "at point A", "he has Ann's", "turns around"."""
_HOW_MANY = re.compile(
    r"\b(?:how (?:many|much|far)|number of|what)\s+((?:(?!(?:are|is|do|does|did|will|would|can|could|has|have|had|were|"
    r"was|than|should|must|and|or)\b)[A-Za-z]+\s*){1,6})",
    re.IGNORECASE,
)
_GROUPS = words_in("pair dozen group set pack box bag team row stack bunch carton crate case")
_ERA = re.compile(r"b ?c(?: ?e)?")
_SIZES = (
    (re.compile(r"\barea\b", re.IGNORECASE), 2), (re.compile(r"\bvolume\b", re.IGNORECASE), 3),
    (re.compile(r"\b(?:length|distance|perimeter|radius|diameter|height|width|circumference|far)\b", re.IGNORECASE), 1),
)  # fmt: skip


def says_something(unit: Unit, problem: str = "") -> bool:
    """Return whether words after a number change it or take it back: ``squared``, ``is wrong``, ``out of 20``."""
    modulus = re.fullmatch(r"mod (\w{1,12})", unit.name)
    if modulus and re.search(rf"mod(?:ulo|\W)\W{{0,9}}{modulus[1]}\b", problem):
        return False
    if unit.kind != "noun" or unit.name.startswith("degree "):
        return False
    if unit.name in SIZES:
        return not _may_be_size(unit, problem)
    if _ERA.fullmatch(unit.name):
        return True
    words = unit.name.split()
    return any(word in LOADED or word in COMPARING or not _WORD.fullmatch(word) for word in words)


@lru_cache(maxsize=4096)
def may_be_added(unit: Unit, problem: str) -> bool:
    """Return whether an answer may have a unit or words that its reference lacks: the question has them or they say nothing."""
    question = _question(problem)
    if unit.kind == "currency":
        asked = [one for one in asked_units(problem) if one.kind == "currency"]
        if asked:
            return factor(unit, asked[-1]) == 1
        return not problem or _MONEY.search(question) is not None or _SUM_OF_MONEY.search(problem) is not None
    if unit.kind == "degree":
        return _ANGLE.search(question) is not None and _TRIGONOMETRIC.search(question) is None
    if unit.kind == "radian":
        return _RADIANS.search(question) is not None
    if unit.name in SIZES:
        return _may_be_size(unit, problem)
    if _ERA.fullmatch(unit.name):
        return False
    if unit.kind == "measure":
        return bool(problem) and _is_unit_of(unit, problem)
    return _is_noun_of(unit.name, problem)


def _may_be_size(unit: Unit, problem: str) -> bool:
    """Return whether a number of squares or cubes may answer a question: it asks for no other dimension alone."""
    asked = [power for pattern, power in _SIZES if pattern.search(_question(problem))]
    return not asked or SIZES[unit.name] in asked


def _question(problem: str) -> str:
    """Return the last two sentences of a problem that say anything."""
    parts = _SENTENCE.split(_FIGURE.sub(" ", problem).strip())
    return " ".join([part for part in parts if len(part.split()) > 1 or not part.isascii()][-2:])


def _is_noun_of(name: str, problem: str) -> bool:
    if name.startswith("degree "):
        return _TEMPERATURE.search(_question(problem)) is not None
    if name in EMPTY:
        return True
    words = name.split()
    if any(word in LOADED or not _WORD.fullmatch(word) for word in words):
        return False
    asked = _counted_nouns(problem)
    if any(word in COMPARING for word in words):
        return len(words) > 1 and any(" ".join(one[at : at + len(words)]) == name for one in asked for at in (0, 1))
    if not _is_counted(words, asked):
        return False
    if all(word in _COUNTERS or (not word.isascii() and word in problem) for word in words):
        return True
    closed = _ALWAYS_COUNTED if problem else _COUNTED
    in_problem = {singular(word) for word in _WORD.findall(problem.lower())}
    telling = [word for word in words if word not in _FUNCTION_WORDS]
    known = all(word in closed or singular(word) in in_problem for word in telling)
    return known and any(len(word) > 2 for word in telling)


@lru_cache(maxsize=1024)
def _counted_nouns(problem: str) -> tuple[tuple[str, ...], ...]:
    """Return the words after each "how many" and its like in the question, up to a verb or a comparison."""
    found = [match[1].lower() for match in _HOW_MANY.finditer(_question(problem))]
    return tuple(tuple(singular(word) for word in _WORD.findall(one)) for one in found)


def _is_counted(words: list[str], asked: tuple[tuple[str, ...], ...]) -> bool:
    """Return whether the thing that words name is what a question counts, where it counts things that are known by name."""
    head = words[words.index("of") - 1] if "of" in words[1:] else words[-1]
    things = [word for one in asked for word in one if word in _COUNTED or word == head]
    return not things or head in things or head in _ALWAYS_COUNTED or head not in _COUNTED | _GROUPS


def _is_unit_of(unit: Unit, problem: str) -> bool:
    asked = asked_units(problem)
    alike = [one for one in asked if factor(unit, one) is not None]
    if asked:
        return bool(alike) and factor(unit, alike[-1]) == 1
    mentioned = _mentioned(problem)
    names = [name for name, _ in unit.factors]
    if unit.name in mentioned and len(names) > 1:
        return True
    if not mentioned.issuperset(names) and not (_asks_size(names[0], problem) and f"part:{names[0]}" in mentioned):
        return False
    if len(names) == 1 and ("meter" in names[0] or names[0] in ("inch", "foot", "yard", "mile")):
        wanted = [power for pattern, power in _SIZES if pattern.search(problem[-200:])]
        if len(wanted) == 1 and unit.factors[0][1] != wanted[0]:
            return False
    rivals = {name for name in mentioned - set(names) if "^" not in name and ":" not in name}
    return not any(_same_dimension(name, rival) for name in names for rival in rivals)


def _asks_size(name: str, problem: str) -> bool:
    """Return whether a question asks for a time or a distance: a part of ``miles per hour`` may then be its unit."""
    question = _question(problem).lower()
    if re.search(r"how long|how much time|what time", question):
        return _same_dimension(name, "second")
    return re.search(r"how far|what distance|how long is", question) is not None and _same_dimension(name, "meter")


def _same_dimension(name: str, other: str) -> bool:
    one, two = (Unit("measure", f"{each}^1", ((each, 1),)) for each in (name, other))
    return factor(one, two) is not None


@lru_cache(maxsize=256)
def _mentioned(problem: str) -> frozenset[str]:
    """Return the units of measure in a text: a lone one by its name, powers and quotients (``cm^2``, ``m/s``) as a whole."""
    found = {name for text in _LONE_UNIT.findall(problem) if (name := measure_name(text))}
    upright = {text.strip(" ~") for text in _UPRIGHT.findall(problem)}
    for match in _RUN.finditer(_plain(problem)):
        text = match.group()
        if text.lower() in _NO_MENTION or (len(text) == 1 and text not in upright):
            continue
        unit = read_unit(text) if len(text) < 40 else None
        if unit is not None and unit.kind == "measure":
            found.add(unit.factors[0][0] if unit.factors[0][1] == len(unit.factors) == 1 else unit.name)
            found.update(f"part:{name}" for name, _ in unit.factors if len(unit.factors) > 1)
            found.update(part for name, _ in unit.factors if "_per_" in name for part in name.split("_per_"))
    return frozenset(found)


def _plain(problem: str) -> str:
    return " ".join(_DRESSING.sub(" ", _EXPONENT.sub(r"^\1", problem)).split())


def asked_unit(problem: str, like: Unit) -> Unit | None:
    """Return the unit that a question asks for, of the dimension of another one; None where it names none."""
    alike = [unit for unit in asked_units(problem) if unit.kind == like.kind and factor(unit, like) is not None]
    return alike[-1] if alike else None


@lru_cache(maxsize=1024)
def asked_units(problem: str) -> tuple[Unit, ...]:
    """Return the units of measure and of money that a question asks for: ``how many metres``, ``in km/h``."""
    found: list[Unit] = []
    for match in _ASKED.finditer(_plain(problem)):
        words = match[1].split()
        for text in (match[1], " ".join(words[:2]), words[0]):
            unit = read_unit(text) if text.lower() not in _NO_MENTION else None
            if unit is not None and unit.kind in ("measure", "currency"):
                found.append(unit)
                break
    return tuple(found)


@lru_cache(maxsize=1024)
def asks_rate(rate: str, problem: str) -> bool:
    """Return whether money may be for each of something, ``a month``: the question speaks of it and asks for no total.

    >>> asks_rate("month", "What is the fee per month?"), asks_rate("month", "What does he pay for 4 months?")
    (True, False)
    """
    last = _question(problem).lower()
    last = (_SENTENCE.split(last)[-1:] or [""])[0]
    if _EACH.search(last):
        return True
    return (
        (rate == EACH or rate in problem.lower())
        and not _TOTAL.search(last)
        and not re.search(rf"{_SEVERAL} {re.escape(rate)}s\b", last)
    )


@lru_cache(maxsize=1024)
def asks_percent(problem: str) -> bool:
    """Return whether a question asks for a percentage."""
    return _PERCENT.search(problem) is not None
