r"""Domains of variables: ``k \in \mathbb{Z}``, ``for all odd primes p``, ``n \ge 0``, ``k = 0, \pm 1, \pm 2, \ldots``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

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
_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
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
    r"""The text with ``k = 0, \pm 1, \pm 2, \ldots`` and its like written as membership, after another statement.

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
    r"""What a text says about the values of letters; empty where only letters are named, None where it says something else.

    >>> read_domains(r"k \in \mathbb{Z}")["k"].base, read_domains("for all odd primes p")["p"].parity
    ('Z', 'odd')
    """
    if len(text) > 200 or not text.strip():
        return None
    found: dict[str, Domain] = {}
    rest = _TEXT.sub(r" \1 ", counted_domains("where " + text))
    for pattern, read in ((_IN_LIST, _listed), (_MEMBERSHIP, _member), (_BETWEEN, _between), (_BOUNDED, _bounded)):
        rest = pattern.sub(lambda match, read=read: _note(found, read(match)), rest)
    rest = _MIRRORED.sub(lambda match: _note(found, {match[3]: _bound(_TURNED[match[2]], match[1])}), rest)
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


def _note(found: dict[str, Domain], new: Domains) -> str:
    for letter, domain in new.items():
        found[letter] = both(found[letter], domain) if letter in found else domain
    return " "


def both(a: Domain, b: Domain) -> Domain:
    """The values that belong to two domains."""
    low, low_open = (a.low, a.low_open) if b.low is None or (a.low is not None and a.low > b.low) else (b.low, b.low_open)
    high, high_open = (
        (a.high, a.high_open) if b.high is None or (a.high is not None and a.high < b.high) else (b.high, b.high_open)
    )
    plain = (
        (a.natural or b.natural) and low == 0 and not low_open and not (a.low == 0 and b.low == 0 and a.natural != b.natural)
    )
    base = "Z" if {a.base, b.base} == {"Z", ""} else a.base or b.base
    if {a.base, b.base} == {"P", "Z"}:
        base = "P"
    return Domain(
        base, low, low_open, high, high_open, a.parity or b.parity, plain, a.values or b.values, a.nonzero or b.nonzero
    )


def _letters(text: str) -> list[str]:
    return re.findall("[A-Za-z]", text)


def _listed(match: re.Match[str]) -> Domains:
    values = tuple(sorted({Fraction(part) for part in match[2].replace(" ", "").split(",") if re.fullmatch(r"-?\d+", part)}))
    if match[3]:
        return {match[1]: Domain("Z", min(values, default=None))}
    return {match[1]: Domain("Z", values=values)}


def _member(match: re.Match[str]) -> Domains:
    base = re.findall("[A-Z]", match[2])[-1]
    script = re.sub(r"[\s{}_^]", "", match[3])
    domain = Domain("Z", Fraction(0), natural=True) if base == "N" else Domain(base if base in "ZQRCP" else "?")
    zero = {"Z": Domain(low=Fraction(1)), "N": Domain(low=Fraction(1))}.get(base, Domain(low=Fraction(0), low_open=True))
    if script in ("*", r"\ast"):
        domain = Domain("Z", Fraction(1)) if base == "N" else domain._replace(nonzero=True)
    elif script in ("+", ">0", "+*", "*+", "1", r"\ge1"):
        domain = Domain("Z" if base == "N" else domain.base, zero.low, zero.low_open)
    elif script in ("0", r"\ge0", "0+", "+0"):
        domain = Domain("Z" if base == "N" else domain.base, Fraction(0))
    elif script in ("-", "<0"):
        domain = Domain(domain.base, high=Fraction(0), high_open=True)
    elif re.fullmatch(r"\\ge-?\d{1,9}", script):
        domain = Domain(domain.base, Fraction(script[3:]))
    elif script:
        domain = Domain("?" + script)
    return dict.fromkeys(_letters(match[1]), _whole_ends(domain))


def _between(match: re.Match[str]) -> Domains:
    return {match[3]: both(_bound(_TURNED[match[2]], match[1]), _bound(match[4], match[5]))}


def _bounded(match: re.Match[str]) -> Domains:
    return dict.fromkeys(_letters(match[1]), _bound(match[2], match[3]))


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
    low = domain.low
    high = domain.high
    if low is not None and domain.low_open:
        low = Fraction(low.numerator // low.denominator + 1)
    if high is not None and domain.high_open:
        high = Fraction(-(-high.numerator // high.denominator) - 1)
    return domain._replace(low=low, low_open=False, high=high, high_open=False)


def _in_words(text: str) -> tuple[list[str], Domain] | None:
    """The letters that stand alone in a text, and what its words say; None where a word is none of a domain's."""
    letters: list[str] = []
    said = Domain()
    words = [word for word in _WORD.findall(text) if word not in _PUNCTUATION]
    for at, word in enumerate(words):
        lower = word.lower()
        if len(word) == 1 and word.isalpha():
            article = (
                word == "a" and at + 1 < len(words) and len(words[at + 1]) > 1 and words[at + 1] not in ("is", "be", "are")
            )
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


def _settled(letter: str, domain: Domain) -> Domain:
    if not domain.base and letter in WHOLE_LETTERS:
        domain = domain._replace(base="Z")
    return _whole_ends(domain)


def as_integers(letter: str, domain: Domain) -> Domain:
    """A domain whose base is left open, for a letter that stands for integers."""
    return _settled(letter, domain if domain.base else domain._replace(base="Z"))


_COUNTS_FROM = re.compile(
    r"\bpositive|\bnatural|non-?negative|\bsequence|\bseries\b|\bterms?\b|\bprogression|\bn-?th\b|[<>]|\\(?:g|l)e|_\{?[nkmij]\b|"
    r"mathbb\s*\{?N|\bcount|\bhow many|\bnumber of|正|数列",
    re.IGNORECASE,
)
"""A question whose letters count something, or are bounded: that they are positive may go without saying."""


def relate_domains(a: str, b: str, problem: str = "") -> DomainRelation:
    """How the qualifiers of a reference and of an answer relate as domains; either may be empty.

    ``left_out``: one side leaves out what goes without saying, or the answer adds that a variable is positive where the
    question, which might say so, is not known.
    """
    x, y = (read_domains(one) if one.strip() else {} for one in (a, b))
    if x is None or y is None:
        return "differ"
    here = {letter: _settled(letter, domain) for letter, domain in x.items()}
    there = {letter: _settled(letter, domain) for letter, domain in y.items()}
    if here and there:
        if here.keys() == there.keys():
            pairs = [(here[letter], there[letter]) for letter in here]
        elif len(here) == len(there):
            pairs = list(zip(sorted(here.values(), key=repr), sorted(there.values(), key=repr), strict=True))
        else:
            only = [domain for letter, domain in {**here, **there}.items() if (letter in here) != (letter in there)]
            shared = here.keys() & there.keys()
            if not all(_goes_without_saying(domain) for domain in only):
                return "differ"
            return "left_out" if all(here[one] == there[one] for one in shared) else "differ"
        if all(one == other for one, other in pairs):
            return "same"
        return "left_out" if all(_nearly_same(one, other) for one, other in pairs) else "differ"
    if not here and not there:
        return "same"
    if not here and _narrows(there, problem):
        return "differ"
    if all(_goes_without_saying(domain) for domain in (here or there).values()):
        return "left_out"
    return "left_out" if not here and not problem and all(_is_sign(domain) for domain in there.values()) else "differ"


def _narrows(there: Domains, problem: str) -> bool:
    """Return whether an answer's domain narrows what the reference leaves open: to integers, or to positive ones."""
    if problem and any(one.low is not None for one in there.values()) and not _COUNTS_FROM.search(problem):
        return True
    whole = re.search(r"\binteger|\bnatural|整数", problem, re.IGNORECASE) is not None
    return not whole and any(one.base == "Z" and letter not in WHOLE_LETTERS for letter, one in there.items())


def _is_sign(domain: Domain) -> bool:
    """Return whether a domain only says that something is positive or not negative."""
    return domain._replace(low=None, low_open=False) in (Domain(), Domain("R")) and domain.low == 0


def _nearly_same(a: Domain, b: Domain) -> bool:
    """Equal up to whether natural numbers begin with 0."""
    if a == b:
        return True
    if a.natural == b.natural:
        return False
    natural, other = (a, b) if a.natural else (b, a)
    return other == natural._replace(natural=False, low=other.low) and other.low in (0, 1)


def _goes_without_saying(domain: Domain) -> bool:
    """Whether a domain may be left out: all integers, all reals, any constant, or the indices of a sequence."""
    if domain.base == "constant" or domain in (Domain("R"), Domain("C"), INTEGERS):
        return True
    return domain.base == "Z" and domain.low in (0, 1) and domain._replace(low=None, natural=False) == INTEGERS
