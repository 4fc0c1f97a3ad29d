"""Hints in the question about its answer: rounding, order, form, choices. Text only; nothing is solved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple

from hero_rl.verifiers.math.choices import options_in_question
from hero_rl.verifiers.math.sought import asks_in_order
from hero_rl.verifiers.math.words import words_in

MAX_PROBLEM_CHARS = 20_000


class Tolerance(NamedTuple):
    """How far a number may be from the reference."""

    size: Fraction
    relative: bool
    """True: a share of the reference; False: in its own units."""


def _says(pattern: str) -> cached_property[bool]:
    """Return a property: whether the question has the pattern, in any case."""
    found = re.compile(pattern, re.IGNORECASE | re.DOTALL)

    def says(hints: Hints) -> bool:
        return found.search(hints.text) is not None

    return cached_property(says)


class Hints:
    """Hints of a question about comparing answers, each worked out when it is first asked for.

    An empty text says nothing. Whatever is passed by keyword is known, and not looked for in the text.
    """

    tolerance: Tolerance | None = None
    """How far a number may be off; the question's text never says so, a field of the row may."""
    unit_is_given: bool = False
    """A field of the row names the unit of the reference, which an answer may leave out."""

    def __init__(self, text: str = "", **known: object):
        self.text = text
        """The text itself."""
        self.__dict__.update(known)

    def knowing(self, **known: object) -> Hints:
        """Return the hints with other values for some of them."""
        return Hints(**(self.__dict__ | known))  # type: ignore[arg-type]

    @property
    def given(self) -> bool:
        """Whether there was a problem text at all."""
        return bool(self.text)

    @cached_property
    def rounding(self) -> Fraction | None:
        """The place to round to, as a step: 1/100 for two decimals."""
        phrases = [match.group().lower() for match in _ROUND.finditer(self.text) if _PLACE_WORDS.search(match.group())]
        return next((step for phrase in phrases for place, step in reversed(_PLACES) if re.search(place, phrase)), None)

    @cached_property
    def approximate(self) -> bool:
        """An approximate value is asked for or used in the text."""
        return self.rounding is not None or self._about

    @cached_property
    def ordered(self) -> bool:
        """The order of several answers matters."""
        return self._in_order or self._in_parts or asks_in_order(self.text)

    @cached_property
    def monotonic(self) -> bool:
        """Intervals of increase or decrease: authors disagree whether their ends belong to them."""
        return self._on_intervals and not self._of_parameter

    @cached_property
    def letters(self) -> frozenset[str]:
        """Letters, Greek ones as commands, that the text uses as names: an answer may not use others for them."""
        return letters_of(self.text)

    @cached_property
    def choices(self) -> Mapping[str, str]:
        """Letters of a multiple-choice question and what they stand for."""
        return options_in_question(self.text)

    exact = _says(
        r"\bexact\b|common fraction|simplest (?:radical )?form|simplified (?:radical|fraction|radical form)|"
        r"in terms of \$?\\?pi|in lowest terms|reduced fraction|radical form|as a (?:simplified )?fraction|"
        r"as (?:a )?mixed number|frac\{[mpa]\}\{[nqb]\}"
    )
    """An exact value, a common fraction or simplest radical form is asked for."""
    multiple = _says(r"multiplicit|multiset|\brepeat|\bmedian\b|\bdata set\b|\bsequence\b")
    """Repeated elements count: roots with multiplicity, multisets."""
    several = _says(r"\b(?:roots|solutions|zeros|zeroes|eigenvalues|critical (?:points|numbers))\b")
    """Roots or solutions are asked for: square brackets then enclose a list."""
    whole = _says(r"\bintegers?\b|\bintegral\b|\bwhole numbers?|\bnatural\b|\bprimes?\b|mathbb\s*\{?[ZN]")
    """Integers are asked about."""
    factored = _says(r"\bfactor(?:ed|ize|ise|ization|ise[d]?)?\b(?! of)|factored form|as a product of")
    """A factored form is asked for."""
    expanded = _says(r"\bexpand(?:ed)?\b|standard form|descending (?:powers|degree)|in the form \$?a ?x\^")
    """An expanded form is asked for."""
    simplified = _says(r"\bsimplify\b")
    """An expression is to be simplified."""
    general = _says(
        r"\\i*int(?![a-z])|\bintegra(?:l|te)|antiderivative|primitive|differential equation|general solution|"
        r"\ball\b[^.?]{0,40}\bfunctions\b|[a-z]''|[yuxv]'|\bd[a-z]\s*/\s*d[a-z]\b|frac\{d[a-z]?\}\{d[a-z]\}"
    )
    """An antiderivative or the general solution of a differential equation is asked for: constants may be arbitrary."""
    positive = _says(
        r"\bpositive\b|> ?0\b|\\(?:gt|mathbb\{R\}\^\+)|\b(?:lengths?|sides?|radius|radii|mass(?:es)?|distances?|semi-ax[ei]s|"
        r"natural number|height|speed|area)\b"
    )
    """Its letters stand for lengths, masses and the like, or are said to be positive."""
    segments = _says(r"\b(?:segment|side|edge|chord|diagonal|altitude)s?\b")
    """Sides or segments are asked about, which are named by their ends in either order."""
    _about = _says(
        r"approximat|\bestimate|roughly|≈|\\approx|round(?:ed)?\b|nearest|decimal places|significant (?:figures|digits)|"
        r"\buse\b[^.]{0,20}\\?pi\b|\btake\b[^.]{0,20}\\?pi|3\.14|22/7"
    )
    _in_order = _says(
        r"\brespectively\b|(?:list|give|write|enter|state|arrange|order|sort|rank)\w*\b[^.?]{0,60}\bin (?:increasing|"
        r"decreasing|ascending|descending|alphabetical|numerical|the correct|that|this) order|\bordered list\b|\b(?:list|give|"
        r"write|enter|arrange|order|sort|rank)\w*\b[^.?]{0,80}\bfrom (?:least|smallest|lowest|greatest|largest|highest)\b|"
        r"\bin (?:which|what) order\b|\brank (?:the|these|them)\b|\border (?:the|these)\b|from [a-z]+est to [a-z]+est"
    )
    _in_parts = _says(r"(?-i:\((?:a|i)\)\s+[A-Za-z].*\((?:b|ii)\)\s+[A-Za-z])")
    _on_intervals = _says(
        r"\bintervals?\b[^.?]{0,60}(?:\bin|\bde)creas|(?:in|de)creasing (?:interval|on which)|"
        r"monotonic(?:ally)?(?: \w+)? intervals?|"
        r"\bintervals? of (?:mono|in|de|con(?:cav|vex))|"
        r"where[^.?]{0,40}\b(?:(?:in|de)creas|concav|convex)|单调(?:递[增减])?区间"
    )
    _of_parameter = _says(
        r"取值范围|\b(?:range|values?)(?: of values)? (?:of|for) (?:the )?(?:(?:real|parameter|constant|number|numbers) )*"
        r"\$?\\?(?:[a-wyz]|lambda|mu|alpha)(?![a-z])|\bfor (?:which|what)(?: [a-z]{3,}){0,4} \$?(?:[a-wyz]|\\lambda)(?![a-z])"
    )
    """A parameter is sought, and whether its range has its ends is no convention."""


_PLACES: tuple[tuple[str, Fraction], ...] = (
    (r"\bwhole|\binteger|\bunits?\b", Fraction(1)), (r"tenth|one decimal|1 decimal", Fraction(1, 10)),
    (r"hundredth|two decimal|2 decimal|cent\b|penny", Fraction(1, 100)),
    (r"thousandth|three decimal|3 decimal", Fraction(1, 1000)),
    (r"ten[- ]thousandth|four decimal|4 decimal", Fraction(1, 10_000)), (r"ten\b", Fraction(10)), (r"hundred\b", Fraction(100)),
    (r"thousand\b", Fraction(1000)),
)  # fmt: skip
_ROUND = re.compile(
    r"(?:round(?:ed|ing)?|nearest|correct to|accurate to|express(?:ed)?[^.]{0,40} to|"
    r"approximat\w*[^.]{0,30} to|to within)[^.?]{0,60}",
    re.IGNORECASE,
)
_PLACE_WORDS = re.compile(r"nearest|decimal|round|place|digit", re.IGNORECASE)
_FORMULA = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_COMMAND = re.compile(r"\\(?:text|mathrm|operatorname|begin|end)\s*\{[^{}]*\}|\\([A-Za-z]+)")
_LETTER = re.compile(r"[A-Za-z]")
_BARE_NAME = re.compile(
    r"(?<![A-Za-z\\])[a-z](?=th\b)|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|(?<=[\d)^_=+*/(-])[A-Za-z]{1,3}(?![A-Za-z])|(?<![A-Za-z])[A-Za-z]{1,3}(?=[\^_=(])"
)
_ARTICLES = re.compile(r"(?<![A-Za-z$\\^_=+*/(-])(?:a|A|I)(?= [A-Za-z]{2})")
_GREEK = words_in(
    """alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi omega Delta Omega Sigma Phi Theta Lambda ell"""
)
_INTEGER_LETTER = re.compile(
    r"\b(?:[Ii]ntegers?|[Nn]atural (?:numbers?|values?)|[Ww]hole numbers?|[Pp]rimes?)[\s$\\(]{0,4}([a-zA-Z])(?![A-Za-z])"
    r"(?<!\ba)|(?<![A-Za-z\\(])([a-zA-Z])(?:\\\))?[\s$]{0,3}(?:(?:is|be|denotes?) an? (?:[a-z]+ )?(?:integer|natural number|"
    r"whole number)\b|(?:\\in|∈)\s*\\?(?:mathbb)?\s*\{?\s*[ZNℤℕ])"
)


@lru_cache(maxsize=2048)
def read_problem(text: str) -> Hints:
    """Return what a problem's text says about its answer; an empty text says nothing."""
    text = text[-MAX_PROBLEM_CHARS:]
    return Hints(text if text.strip() else "")


@lru_cache(maxsize=1024)
def integer_letters(text: str) -> frozenset[str]:
    """Return the letters that a question says stand for integers."""
    return frozenset(one or other for one, other in _INTEGER_LETTER.findall(text))


def letters_of(text: str) -> frozenset[str]:
    r"""Return the letters that a text uses as names, in formulas and alone; too many rather than too few.

    >>> sorted(letters_of(r"A block of mass $m$ rests on an n x n board; $\theta$ is given."))
    ['\\theta', 'm', 'n', 'x']
    """
    found: set[str] = set()
    for match in _FORMULA.finditer(text):
        found |= _letters_of_formula(next(part for part in match.groups() if part is not None))
    found |= _letters_of_formula(" ".join(f"\\{name}" for name in _COMMAND.findall(text) if name in _GREEK))
    bare = _ARTICLES.sub(" ", _FORMULA.sub(" ", text))
    return frozenset(found.union(*(set(run) for run in _BARE_NAME.findall(bare))))


def _letters_of_formula(text: str) -> set[str]:
    greek = {f"\\{name}" for name in _COMMAND.findall(text) if name in _GREEK}
    return greek.union(_LETTER.findall(_COMMAND.sub(" ", text)))
