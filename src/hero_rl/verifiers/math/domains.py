r"""Domains of variables: ``k \in \mathbb{Z}``, ``for all odd primes p``, ``n \ge 0``, and the ends of texts that state them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.latex import TURNED, relation_chain

DomainRelation: TypeAlias = Literal["same", "left_out", "differ"]

WHOLE_LETTERS = frozenset("ijklmnN")
"""Letters that stand for integers where the text says no more."""


class Domain(NamedTuple):
    """The values that a letter may take."""

    base: str = ""
    """``Z``, ``Q``, ``R``, ``C``, ``P`` (primes), ``constant`` (an arbitrary one); "": only bounds are known."""
    low: Fraction | None = None
    low_open: bool = False
    high: Fraction | None = None
    high_open: bool = False
    parity: str = ""
    """``odd`` or ``even``."""
    natural: bool = False
    """Natural numbers: authors disagree whether they begin with 0 or 1. ``low`` is 0 then."""
    values: tuple[Fraction, ...] = ()
    """The members where they are listed."""
    nonzero: bool = False


INTEGERS = Domain("Z")
Domains: TypeAlias = Mapping[str, Domain]

_SET = r"\\mathbb\{[A-Z]\}|[NZQRC](?![A-Za-z])"
_SCRIPT = r"(?:\s*[_^]\s*(?:\{[^{}]*\}|\\ast|[-+*\d]))*"
_MEMBERSHIP = re.compile(rf"((?:[A-Za-z]\s*,\s*){{0,5}}[A-Za-z])\s*\\in\s*({_SET})({_SCRIPT})")
_IN_LIST = re.compile(r"([A-Za-z])\s*\\in\s*\\\{([-\d\s,]{1,60})(,\s*\\ldots)?\s*\\\}")
_BOUND = r"-?\d{1,9}(?:/\d{1,6})?"
_BETWEEN = re.compile(rf"({_BOUND})\s*(<|\\le)\s*([A-Za-z])\s*(<|\\le)\s*({_BOUND})(?!\s*[\w^/*(\\])")
_BOUNDED = re.compile(rf"((?:[A-Za-z]\s*,\s*){{0,5}}[A-Za-z])\s*(<|>|\\le|\\ge|\\ne)\s*({_BOUND})(?!\s*[\w^/*(\\])")
_MIRRORED = re.compile(rf"({_BOUND})\s*(<|>|\\le|\\ge)\s*([A-Za-z])(?![A-Za-z])")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_LETTER = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)?|\\[A-Za-z]+|[^\s]")
_FILLER = frozenset(
    ("all", "any", "some", "every", "each", "is", "are", "an", "the", "where", "for", "with", "number", "numbers", "of", "in",
    "be", "can", "being", "let", "denotes", "and", "that", "such", "as", "must", "over", "given", "here", "to", "on")
)  # fmt: skip
_PUNCTUATION = frozenset((",", ";", ".", "(", ")", "[", "]", r"\forall", r"\quad", r"\text", "{", "}", "$", ":"))
_BASES = {
    "integer": "Z", "integers": "Z", "whole": "Z", "real": "R", "reals": "R", "rational": "Q", "rationals": "Q",
    "complex": "C", "prime": "P", "primes": "P", "constant": "constant", "constants": "constant", "arbitrary": "",
    "fixed": "constant", "integration": "constant", "parameter": "", "parameters": "", "free": "",
}  # fmt: skip
_PLAIN_MEMBER = re.compile(
    r"(?<![A-Za-z\\])([A-Za-z])\s*(?:\\in|(?<=\s)(?:in|belongs to)\s)\s*(?:\{\s*([NZQR])\s*\}|([NZQR]))(?![A-Za-z])"
)
_ALL_SIGNS = r"(?:\s*,\s*\\pm\s*\d+)+\s*,?\s*(?:\\ldots)?"
_COUNTED = re.compile(rf"(?<![A-Za-z\\])([A-Za-z])\s*=\s*(?:0{_ALL_SIGNS}|(-?\d+)(?:\s*,\s*-?\d+)+\s*,?\s*\\ldots)")
_ENDLESS = re.compile(
    r"(?<![A-Za-z\\])([A-Za-z])\s*=\s*\\ldots(?:\s*,\s*-?\d+)+\s*,\s*\\ldots|"
    r"(?<![A-Za-z\\])([A-Za-z])\s*\\in\s*\\\{\s*(?:\\ldots\s*,)?\s*(?:0(?:\s*,\s*\\pm\s*\d+)+|-\d+[-\d\s,]*)\s*,?\s*\\ldots\s*\\\}"
)


def counted_domains(text: str) -> str:
    r"""Return the text with ``k = 0, \pm 1, \pm 2, \ldots`` and its like written as membership, after another statement.

    >>> counted_domains(r"k\pi, k = 0, 1, 2, \ldots")
    'k\\pi, k \\in \\mathbb{Z}_{\\ge 0}'
    """
    if "in" in text or "belongs to" in text:
        text = _PLAIN_MEMBER.sub(lambda match: rf"{match[1]} \in \mathbb{{{match[2] or match[3]}}}", text)
    if r"\ldots" not in text and r"\pm" not in text:
        return text

    def spelled(match: re.Match[str]) -> str:
        if not text[: match.start()].strip(" ,(["):
            return match.group()
        begin = match[2] if match.re is _COUNTED else None
        letter = match[1] or match[2]
        return rf"{letter} \in \mathbb{{Z}}" + (rf"_{{\ge {begin}}}" if begin is not None else "")

    return _ENDLESS.sub(spelled, _COUNTED.sub(spelled, text))


@lru_cache(maxsize=1024)
def read_domains(text: str) -> Domains | None:
    r"""Return the domains of the letters in a text; empty where only letters are named, None where it says something else.

    >>> read_domains(r"k \in \mathbb{Z}")["k"].base, read_domains("for all odd primes p")["p"].parity
    ('Z', 'odd')
    """
    if len(text) > 200 or not text.strip():
        return None
    found: dict[str, Domain] = {}
    rest = _TEXT.sub(r" \1 ", counted_domains("where " + text))
    for pattern, read in (
        (_IN_LIST, _listed),
        (_MEMBERSHIP, _member),
        (_BETWEEN, lambda m: {m[3]: both(_bound(TURNED[m[2]], m[1]), _bound(m[4], m[5]))}),
        (_BOUNDED, lambda m: dict.fromkeys(_LETTER.findall(m[1]), _bound(m[2], m[3]))),
        (_MIRRORED, lambda m: {m[3]: _bound(TURNED[m[2]], m[1])}),
    ):
        for match in pattern.finditer(rest):
            found |= {letter: both(found.get(letter, domain), domain) for letter, domain in read(match).items()}
        rest = pattern.sub(" ", rest)
    worded = _in_words(rest)
    if worded is None:
        return None
    letters, said = worded
    for letter in letters:
        found.setdefault(letter, Domain())
    if said != Domain():
        if not found:
            return None
        found = {letter: both(domain, said) for letter, domain in found.items()}
    return {letter: domain for letter, domain in found.items() if domain != Domain()}


def both(a: Domain, b: Domain) -> Domain:
    """Return the values that belong to two domains."""
    lows = [(one.low, one.low_open) for one in (a, b) if one.low is not None]
    highs = [(one.high, not one.high_open) for one in (a, b) if one.high is not None]
    low, low_open = max(lows, default=(None, False))
    high, high_closed = min(highs, default=(None, True))
    said_twice = a.low == b.low == 0 and a.natural != b.natural
    natural = (a.natural or b.natural) and low == 0 and not low_open and not said_twice
    base = "P" if {a.base, b.base} == {"P", "Z"} else a.base or b.base
    values, nonzero = a.values or b.values, a.nonzero or b.nonzero
    return Domain(base, low, low_open, high, not high_closed, a.parity or b.parity, natural, values, nonzero)


def _listed(match: re.Match[str]) -> Domains:
    values = tuple(sorted({Fraction(part) for part in match[2].replace(" ", "").split(",") if re.fullmatch(r"-?\d+", part)}))
    return {match[1]: Domain("Z", min(values, default=None)) if match[3] else Domain("Z", values=values)}


def _member(match: re.Match[str]) -> Domains:
    base = re.findall("[A-Z]", match[2])[-1]
    script = re.sub(r"[\s{}_^]", "", match[3])
    domain = Domain("Z" if base == "N" else base if base in "ZQRCP" else "?")
    if not script:
        domain = domain._replace(low=Fraction(0), natural=True) if base == "N" else domain
    elif script in ("*", r"\ast"):
        domain = domain._replace(low=Fraction(1)) if base == "N" else domain._replace(nonzero=True)
    elif script in ("+", ">0", "+*", "*+", "1", r"\ge1"):
        domain = domain._replace(low=Fraction(int(base in "ZN")), low_open=base not in "ZN")
    elif script in ("-", "<0"):
        domain = domain._replace(high=Fraction(0), high_open=True)
    elif begin := re.fullmatch(r"\\ge(-?\d{1,9})|(0)\+?|\+0", script):
        domain = domain._replace(low=Fraction(begin[1] or 0))
    else:
        domain = Domain("?" + script)
    return dict.fromkeys(_LETTER.findall(match[1]), _whole_ends(domain))


def _bound(relation: str, end: str) -> Domain:
    value = Fraction(end)
    if relation == r"\ne":
        return Domain(nonzero=True) if value == 0 else Domain("?" + end)
    if relation in ("<", r"\le"):
        return Domain(high=value, high_open=relation == "<")
    return Domain(low=value, low_open=relation == ">")


def _whole_ends(domain: Domain) -> Domain:
    """Open ends of integers as closed ones."""
    if domain.base not in ("Z", "P"):
        return domain
    low, high = domain.low, domain.high
    if low is not None and domain.low_open:
        low = Fraction(math.floor(low) + 1)
    if high is not None and domain.high_open:
        high = Fraction(math.ceil(high) - 1)
    return domain._replace(low=low, low_open=False, high=high, high_open=False)


def _in_words(text: str) -> tuple[list[str], Domain] | None:
    """Return the letters that stand alone in a text, and what its words say; None where a word is none of a domain's."""
    letters: list[str] = []
    said = Domain()
    words = [word for word in _WORD.findall(text) if word not in _PUNCTUATION]
    for word, behind in zip_longest(words, words[1:], fillvalue=""):
        lower = word.lower()
        if len(word) == 1 and word.isalpha():
            article = word == "a" and len(behind) > 1 and behind not in ("is", "be", "are")
            letters += [] if article else [word]
        elif lower in _BASES:
            said = both(said, Domain(_BASES[lower]))
        elif lower in ("odd", "even"):
            said = said._replace(parity=lower)
        elif lower in ("positive", "negative", "nonnegative", "non-negative", "natural", "nonzero", "non-zero"):
            said = both(said, _SIGNED[lower.replace("-", "")])
        elif lower not in _FILLER:
            return None
    if said.parity and not said.base:
        said = said._replace(base="Z")
    return letters, _whole_ends(said)


_SIGNED = {
    "positive": Domain(low=Fraction(0), low_open=True),
    "negative": Domain(high=Fraction(0), high_open=True),
    "nonnegative": Domain(low=Fraction(0)),
    "natural": Domain("Z", Fraction(0), natural=True),
    "nonzero": Domain(nonzero=True),
}


def as_integers(domain: Domain) -> Domain:
    """Return a domain of integers where its base is left open."""
    return _whole_ends(domain._replace(base=domain.base or "Z"))


def _settled(letter: str, domain: Domain) -> Domain:
    return as_integers(domain) if letter in WHOLE_LETTERS else _whole_ends(domain)


_COUNTS_FROM = re.compile(
    r"\bpositive|\bnatural|non-?negative|\bsequence|\bseries\b|\bterms?\b|\bprogression|\bn-?th\b|[<>]|\\(?:g|l)e|_\{?[nkmij]\b|"
    r"mathbb\s*\{?N|\bcount|\bhow many|\bnumber of|正|数列",
    re.IGNORECASE,
)
"""A question whose letters count something, or are bounded: that they are positive may go without saying."""


_OF_POSITIVE = re.compile(r"\\mathbb\s*\{?R\}?\s*[_^]\s*\{?\s*(?:\+|>\s*0)|\bpositive reals?\b", re.IGNORECASE)
_POSITIVE = frozenset(Domain(base, Fraction(0), low_open=True) for base in ("", "R"))


def relate_domains(a: str, b: str, problem: str = "") -> DomainRelation:
    """Return how the qualifiers of a reference and of an answer relate as domains; either may be empty.

    ``left_out``: one side leaves out what goes without saying, or what the question says.
    """
    x, y = (read_domains(one) if one.strip() else {} for one in (a, b))
    if x is None or y is None:
        return "differ"
    here = {letter: _settled(letter, domain) for letter, domain in x.items()}
    there = {letter: _settled(letter, domain) for letter, domain in y.items()}
    if here and there:
        shared = here.keys() & there.keys()
        pairs = [(here[letter], there[letter]) for letter in shared]
        only = [domain for letter, domain in {**here, **there}.items() if letter not in shared]
        if only and len(here) == len(there):
            pairs, only = list(zip(sorted(here.values(), key=repr), sorted(there.values(), key=repr), strict=True)), []
        if all(one == other for one, other in pairs) and all(map(_goes_without_saying, only)):
            return "left_out" if only else "same"
        return "left_out" if not only and all(_nearly_same(one, other) for one, other in pairs) else "differ"
    if not here and not there:
        return "same"
    if not here and set(there.values()) <= _POSITIVE and _OF_POSITIVE.search(problem):
        return "left_out"
    if not here and _narrows(there, problem):
        return "differ"
    return "left_out" if all(map(_goes_without_saying, (here or there).values())) else "differ"


def _narrows(there: Domains, problem: str) -> bool:
    """Return whether an answer's domain narrows what the reference leaves open: to integers, or to positive ones."""
    if problem and any(one.low is not None for one in there.values()) and not _COUNTS_FROM.search(problem):
        return True
    whole = re.search(r"\binteger|\bnatural|整数", problem, re.IGNORECASE) is not None
    return not whole and any(one.base == "Z" and letter not in WHOLE_LETTERS for letter, one in there.items())


def _nearly_same(a: Domain, b: Domain) -> bool:
    """Equal up to whether natural numbers begin with 0."""
    natural, other = (a, b) if a.natural else (b, a)
    begins_with_1 = natural.natural and not other.natural and other.low in (0, 1)
    return a == b or (begins_with_1 and other == natural._replace(natural=False, low=other.low))


def _goes_without_saying(domain: Domain) -> bool:
    """Return whether a domain may be left out: all integers, all reals, any constant, or the indices of a sequence."""
    if domain.base == "constant" or domain in (Domain("R"), Domain("C"), INTEGERS):
        return True
    return domain.base == "Z" and domain.low in (0, 1) and domain._replace(low=None, natural=False) == INTEGERS


# ------------------------------------------------------------------------------------------- at the end of a text

_SET_NAME = r"(?:\\mathbb\{[A-Z]\}|[A-Z])(?:\s*[_^]\s*(?:\{[^{}]*\}|[-+*\d>0]+))*(?:_?\{?[^{},\s]*\}?)?"
_DOMAIN_TAIL = re.compile(
    r"(?:\s*(?:[,;(\[]|\\quad|\\text\{\s*(?:,\s*)?(?:for|where|with|for (?:all|any|every|each|some)(?: integers?)?)\s*\}|for|"
    r"where|\\forall)+\s*(?:\\forall)?\s*(?<![A-Za-z\\])[A-Za-z](?:\s*,\s*[A-Za-z])*|\s(?:\\forall)?\s*[A-Za-z]|(?<=[})])[A-Za-z])"
    rf"\s*\\in\s*{_SET_NAME}\s*[)\]]?$"
)
_QUALIFIER = re.compile(
    r"[,;(]?\s*(?:\\text\{\s*[,(]?\s*(?:for (?:all|any|every|each|some)|where|with|for|if|when|as long as|such that)\b[^{}]*\}|"
    r"\b(?:for (?:all|any|every|each|some)|where)\b|\\forall)(?P<rest>.*)$",
    re.DOTALL,
)
_CONDITION_TAIL = re.compile(
    r"\s*(?:[,;]\s*(?:\\text\{\s*(?:where|with|for|if|when)\s*\})?|(?=\())\s*(\(?\s*(?P<letter>[A-Za-z])\s*(?:<|>|\\le|\\ge|\\ne)\s*-?\d+\s*\)?)$"
)
_TAIL_CHARS = 120


class Qualified(NamedTuple):
    """A statement, and what was said about it at its end."""

    core: str
    qualifier: str
    is_domain: bool
    """The qualifier only says which values a variable takes (``for all real x``)."""


def split_qualifier(text: str) -> Qualified:
    r"""Return the text without what it says at its end about its variables.

    >>> split_qualifier(r"k\pi, k \in \mathbb{Z}").core
    'k\\pi'
    """
    text = counted_domains(text)
    begin = _qualifier_begin(text)
    if begin <= 0:
        return Qualified(text, "", True)
    qualifier = text[begin:].strip(" ,;")
    return Qualified(text[:begin].rstrip(" ,;("), qualifier, read_domains(qualifier) is not None)


def _qualifier_begin(text: str) -> int:
    worded = r"\text{" in text or "for" in text or "where" in text
    match = _QUALIFIER.search(text) if worded else None
    if match is not None and match.start() > 0 and match.group().strip():
        return match.start()
    cut = max(0, len(text) - _TAIL_CHARS)
    match = _DOMAIN_TAIL.search(text[cut:]) if r"\in" in text else None
    if match is None:
        match = _CONDITION_TAIL.search(text[cut:])
        if match is not None:  # the letter must stand in the values of the statement, and not be what it is about
            chain = relation_chain(text[: cut + match.start()])
            values = re.search(rf"(?<![A-Za-z\\]){match['letter']}(?![A-Za-z])", chain.sides[-1])
            if values is None or not set(chain.relations) <= {"="}:
                return -1
    return cut + match.start() if match is not None and match.group().strip() else -1
