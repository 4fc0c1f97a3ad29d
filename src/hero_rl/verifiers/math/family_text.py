r"""Reading families of numbers: ``\pi/4 + k\pi, k \in \mathbb{Z}``, ``x \equiv 3 \pmod 7``, ``all odd integers``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import lcm

from hero_rl.verifiers.latex import brackets, builder_halves, relation_chain, split_at, split_list
from hero_rl.verifiers.math.domains import (
    INTEGERS,
    WHOLE_LETTERS,
    Domain,
    as_integers,
    both,
    counted_domains,
    read_domains,
    split_qualifier,
)
from hero_rl.verifiers.math.evaluate import symbols
from hero_rl.verifiers.math.members import HIDDEN, Family, Member, every
from hero_rl.verifiers.math.sampling import expand_signs
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.words import SMALL_NUMBERS, TEXT

_MAX_CHARS = 400
_PARAMETERS = frozenset("abcdhijklmnpqrstuvNKM")
_SOLUTIONS = re.compile(
    r"^(?:\\text\{\s*)?(?:the )?(?:general )?(?:solutions?|answers?)(?: set)?(?: (?:is|are))?:?\s*\}?\s*:?\s*", re.IGNORECASE
)
_OF_THE_FORM = re.compile(
    r"^(?:\\text\{\s*)?(?:(?:all|any|every) )?"
    r"(?P<noun>(?:positive |non-?negative )?(?:numbers?|integers?)) of the form\s*\}?\s*",
    re.IGNORECASE,
)
_SUCH_THAT = re.compile(
    r"^(?:\\text\{\s*)?(?:(?:all|any|every|the|those) )?"
    r"(?P<noun>(?:positive |non-?negative )?(?:integers?|numbers?))\s*\}?\s*[A-Za-z]?\s*"
    r"(?:\\text\{\s*)?(?:such that|with|satisfying|for which|where)\s*\}?\s*(?=[A-Za-z]\s*(?:\\equiv|=))",
    re.IGNORECASE,
)
_SET = re.compile(r"\\mathbb\{[ZN]\}(?:\s*[_^].{1,9})?")
_LABEL = re.compile(r"^(\\?[A-Za-z]+|[A-Za-z]_\{?\d\}?)\s*(?:=|\\in(?![A-Za-z]))\s*(?=\S)")
_TRAILING_MOD = re.compile(r"\(?\s*\\text\{\s*mod\s*\}\s*\{?\s*(\d+)\s*\}?\s*\)?")
_MOD = re.compile(r"\(?\s*\\text\{\s*mod\s+(\d{1,9})\s*\}\s*\)?$")
_MOD_OF = re.compile(r"^([A-Za-z])\s*\\text\{\s*mod\s+(\d{1,9})\s*\}\s*(?:=|\\equiv)\s*(-?\d{1,9})$")
_CONGRUENT = re.compile(
    r"^(?:\\text\{)?\s*(?:(?:all|any|every|the|those)\s+)?(?:(?:integers?|numbers?)\s*\}?\s*)?(?:(?:\\text\{\s*)?(?:that are|"
    r"which are)\s+)?(?P<letter>(?<![A-Za-z\\])[A-Za-z](?=[\s\\]))?\s*(?:\\text\{\s*)?(?:(?:that )?(?:is|are|"
    r"must be)\s+)?congruent to\s*\}?\s*(?P<rests>-?\d{1,4}(?:[\s,{}]|\\text|and|or|\d{1,4})*?)\s*(?:\\text\{\s*)?\(?(?:modulo|"
    r"mod)\s*\}?\s*(?P<modulus>\d{1,9})\s*\}?\)?$",
    re.IGNORECASE,
)
_NOT_CONGRUENT = re.compile(
    r"([A-Za-z])\s*\\(?:not\s*\\equiv|nequiv|not\s*=)\s*(-?\d{1,4})\s*\(?\s*\\text\{\s*mod\s+(\d{1,2})\s*\}\s*\)?$"
)
_DIVIDES = re.compile(r"^(\d{1,9})\s*\|\s*([A-Za-z])$")


@lru_cache(maxsize=2048)
def read_family(text: str) -> Family | None:
    r"""Return the family that a cleaned text describes; None for others. A list of numbers is one without parameters.

    >>> read_family(r"n \equiv 1 \text{mod 4}").has_parameter
    True
    """
    if not text or len(text) > _MAX_CHARS:
        return None
    try:
        return _read(_TRAILING_MOD.sub(r" \\text{mod \1}", counted_domains(text)))
    except (Unreadable, ZeroDivisionError, ValueError):
        return None


def _read(text: str) -> Family | None:
    text = rf"n \in {text}" if _SET.fullmatch(text) else _CONGRUENT.sub(_congruence_of, text)
    form = _OF_THE_FORM.match(text) or _SUCH_THAT.match(text)
    if form is None:
        text = _SOLUTIONS.sub("", text)
        worded = _phrase(text)
        return worded if worded is not None else _listed(_unbuilt(text), Family(()))
    sign = form["noun"].lower()
    low = Fraction(1) if sign.startswith("positive") else Fraction(0) if sign.startswith("non") else None
    return _listed(_unbuilt(text[form.end() :]), Family((), certain=True, low=low))


def _listed(text: str, family: Family) -> Family | None:
    """Return the elements of a list added to a family, and what is said of their letters."""
    counted = _counted(text)
    if counted is not None:
        return counted
    domains: dict[str, Domain] = {}
    for part in _parts(text):
        said = None if r"\ne" in part else read_domains(part)
        if said:
            domains |= {letter: both(domains.get(letter, Domain()), domain) for letter, domain in said.items()}
            continue
        if family.without and re.fullmatch(r"-?\d{1,9}", part):
            family = family._replace(without=(*family.without, Fraction(part)))
            continue
        found = _one(part, family.label)
        if found is None or (found.label and family.label and found.label != family.label):
            return None
        family = _joined(family, found)
    if not family.members and len(domains) == 1:
        family = family._replace(label=next(iter(domains)))
    return _with_domains(family, domains) if family.members or family.label else None


def _counted(text: str) -> Family | None:
    r"""Return ``2, 4, 6, \ldots``: three numbers or more with equal steps, and so on."""
    terms = [term for term in split_at(text, ",") if term]
    if len(terms) < 4 or terms[-1] != r"\ldots" or not all(re.fullmatch(r"-?\d{1,9}", term) for term in terms[:-1]):
        return None
    numbers = [int(term) for term in terms[:-1]]
    steps = {y - x for x, y in pairwise(numbers)}
    if len(steps) != 1 or 0 in steps:
        return None
    return Family((every(steps.pop(), number(numbers[0]), Domain("Z", Fraction(0))),), certain=True)


def _joined(a: Family, b: Family) -> Family:
    return Family(
        (*a.members, *b.members),
        a.label or b.label,
        a.certain or b.certain,
        b.low if a.low is None else a.low,
        b.high if a.high is None else a.high,
        (*a.without, *b.without),
        a.of_integers or b.of_integers,
    )


def _with_domains(family: Family, domains: dict[str, Domain]) -> Family | None:
    bounds = domains.pop(family.label, Domain())
    members = family.members
    if bounds != Domain() and not family.has_parameter:
        counted = as_integers(bounds)
        family = family._replace(of_integers=bounds.base != "Z", certain=family.certain or bounds.base == "Z")
        members, bounds = (*members, every(1, number(0), counted)), Domain()
    members = tuple(
        one._replace(domain=as_integers(domains[one.letter])) if one.letter in domains and one.domain is None else one
        for one in members
    )
    if any(name not in {one.letter for one in members} or not _counts(name, said) for name, said in domains.items()):
        return None
    certain = family.certain or any(one.letter and one.domain is not None for one in members)
    return _bounded(family._replace(members=members, certain=certain), bounds)


def _counts(letter: str, domain: Domain) -> bool:
    """Return whether a letter with a domain stands for integers: ``u > 0`` alone is said of real numbers, too."""
    return letter in WHOLE_LETTERS or domain.base not in ("", "R") or bool(domain.parity or domain.values)


def _bounded(family: Family, bounds: Domain) -> Family | None:
    r"""Return the family with what is said of its numbers themselves: ``n \ge 5``."""
    if bounds.base not in ("", "Z") or bounds.parity or bounds.values or bounds.nonzero:
        return family if bounds == Domain("R") else None
    bounds = as_integers(bounds)
    low = bounds.low if family.low is None else family.low
    return family._replace(low=low, high=bounds.high)


def _unbuilt(text: str) -> str:
    r"""Return ``\{2k+1 | k \in \mathbb{Z}\}`` without its braces: statement and condition side by side."""
    label = _LABEL.match(text)
    rest = text[label.end() :] if label else text
    enclosed = brackets(rest)
    if enclosed is None or enclosed[0] != r"\{":
        return text
    halves = builder_halves(enclosed[1])
    if halves is None:
        return (label[0] if label else "") + enclosed[1]
    head, condition = halves
    if re.fullmatch(r"[A-Za-z]", head):
        return condition
    if re.fullmatch(r"[A-Za-z]\s*\\in\s*\\mathbb\{[ZNR]\}(?:\^\{?[+*]\}?)?", head):
        return f"{condition}, {head}" if r"\mathbb{R}" not in head else condition
    return f"{head}, {condition}"


def _parts(text: str) -> Iterator[str]:
    """Return the elements of a list, a qualifier at the end of one as an element of its own; a modulus distributed."""
    parts: list[str] = []
    for part in split_list(re.sub(r",\s*\}", "},", text)):
        core, qualifier, is_domain = split_qualifier(part)
        if qualifier and is_domain and core and not read_domains(part):
            parts += [core, qualifier]
        else:
            parts.append(part)
    moduli = [match for part in parts if (match := _MOD.search(part))]
    if len(moduli) == 1 and len(parts) > 1 and r"\equiv" in parts[0] and _MOD.search(parts[0]) is None:
        parts = [part if _MOD.search(part) else f"{part} {moduli[0].group()}" for part in parts]
    label = re.match(r"[A-Za-z]\s*\\equiv", parts[0]) if parts else None
    for at, part in enumerate(parts):
        yield f"{label.group()} {part}" if label and at and _MOD.search(part) and r"\equiv" not in part else part


def _one(part: str, label: str) -> Family | None:
    """Return one element of a list."""
    worded = _phrase(part)
    if worded is not None:
        return worded
    hole = re.fullmatch(r"([A-Za-z])\s*\\ne\s*(-?\d{1,9})", part)
    if hole:
        return Family((every(1, number(0)),), hole[1], without=(Fraction(hole[2]),), of_integers=True)
    congruence = _congruence(part)
    if congruence is not None:
        return congruence
    chain = relation_chain(part)
    match = _LABEL.match(part)
    if match and chain.relations in (["="], [r"\in"]):
        label, part = match[1], chain.sides[1]
    elif chain.relations:
        return None
    inner = brackets(part)
    if inner is not None and inner[0] == r"\{":
        found = _read(part)
        return None if found is None or found.label else found._replace(label=label)
    trees = expand_signs(parse(part))
    members: list[Member] = []
    for tree in trees:
        letters = symbols(tree)
        if len(letters) > 1 or not letters <= _PARAMETERS or label in letters:
            return None
        members.append(Member(tree, next(iter(letters), "")))
    return Family(tuple(members), label)


def _congruence_of(match: re.Match[str]) -> str:
    """Return ``n is congruent to 2 or 3 modulo 4`` in signs."""
    rests = ", ".join(re.findall(r"-?\d+", match["rests"]))
    return rf"{match['letter'] or 'n'} \equiv {rests} \text{{mod {match['modulus']}}}"


def _congruence(part: str) -> Family | None:
    match = _NOT_CONGRUENT.match(part)
    if match and int(match[3]) > 1:
        modulus = int(match[3])
        others = [number(rest) for rest in range(modulus) if (rest - int(match[2])) % modulus]
        return _residues(match[1], others, modulus)
    match = _MOD_OF.match(part)
    if match:
        return _residues(match[1], [number(int(match[3]))], int(match[2]))
    match = _DIVIDES.match(part)
    if match:
        return _residues(match[2], [number(0)], int(match[1]))
    chain = relation_chain(part)
    modulus = _MOD.search(chain.sides[-1])
    if len(chain.relations) != 1 or chain.relations[0] not in (r"\equiv", "=") or modulus is None:
        return None
    if not re.fullmatch("[A-Za-z]", chain.sides[0]):
        return None
    trees = expand_signs(parse(chain.sides[1][: modulus.start()]))
    return None if any(symbols(tree) for tree in trees) else _residues(chain.sides[0], trees, int(modulus[1]))


def _residues(label: str, trees: list[Node], modulus: int) -> Family | None:
    if modulus < 1:
        return None
    return Family(tuple(every(modulus, tree) for tree in trees), label, certain=True)


# ------------------------------------------------------------------------------------------- sets of integers in words

_LEAD = re.compile(
    r"^(?:(?:all|any|every|each|exactly|precisely|only|the|are|is)\s+)*(?:(?:values? of|those)\s+)?(?:(?:integers?|numbers?|"
    r"values?)\s+)?(?:(?!a\s)([A-Za-z])\s+)?(?:(?:must be|can be|such that|that|is|are|for which|where|with|"
    r"being)\s+)*(?:(?!a\s)([A-Za-z])\s+(?:is|are)\s+)?(?:(?:all|any|every|an?|the|which are)\s+)*"
)
_SIGN = {"positive": Domain(low=Fraction(1)), "negative": Domain(high=Fraction(-1)), "nonnegative": Domain(low=Fraction(0))}
_INCLUDED = ("at least", "at most", r"\le", r"\ge")
_PARITY_FIRST = re.compile(r"^(odd|even) (positive|negative|natural|non-?negative)(?= )")
_MAX_REST = 20
_COUNT = r"(\d{1,9}|two|three|four|five|six|seven|eight|nine|ten|twelve)"
_PHRASE = re.compile(
    r"(?P<sign>positive|natural|negative|non-?negative)?\s*(?P<parity>odd|even)?\s*"
    r"(?:(?P<noun>integers?|numbers?|whole numbers?|natural numbers?)|(?P<prime>primes?(?: numbers?)?)|"
    rf"(?P<multiple>(?:integer )?multiples? of {_COUNT}(?: (?P<either>or) {_COUNT})?)|"
    rf"(?P<power>(?:perfect )?powers? of {_COUNT})|"
    r"(?P<square>(?:perfect )?squares?(?: numbers?)?|square numbers?)|(?P<cube>(?:perfect )?cubes?))?"
    rf"\s*(?P<divisible>(?:that are )?(?P<never>not )?divisible by {_COUNT}(?: (?P<joint>and|or)(?: by)? {_COUNT})?)?"
    r"(?:\s+(?P<name>[A-Za-z]))?(?:\s*(?:with\s+)?(?:(?P=name)|[A-Za-z])?\s*(?P<bound>greater than or equal to|at least|"
    r"greater than|larger than|more than|less than|at most|\\ge|\\le|>|<)\s*(?P<end>-?\d{1,9}))?(?:\s*,?\s*(?:except|excluding|"
    r"other than|different from|but not|not equal to)(?: for)?\s+(?P<without>-?\d{1,9}(?:\s*(?:,|and|or)\s*-?\d{1,9})*))?"
)


def _phrase(text: str) -> Family | None:
    """Return ``all odd integers``, ``multiples of 2 or 3``, ``n is prime``; None for anything else."""
    plain = " ".join(TEXT.sub(r" \1 ", text).replace("{", " ").replace("}", " ").lower().split())
    if not re.search(r"[a-z]{3}", plain) or len(plain) > 120:
        return None
    lead = _LEAD.match(plain)
    assert lead is not None
    phrase = _PARITY_FIRST.sub(r"\2 \1", plain[lead.end() :].strip())
    match = _PHRASE.fullmatch(phrase)
    if match is None:
        return None
    label = lead[1] or lead[2] or match["name"] or ""
    kinds = [match[kind] for kind in ("noun", "prime", "multiple", "power", "square", "cube", "divisible")]
    if not any(kinds) and not (match["parity"] and label):
        return None
    members = _worded_members(match)
    if members is None:
        return None
    bounds = both(_SIGN.get((match["sign"] or "").replace("-", ""), Domain()), _bound(match["bound"], match["end"]))
    without = tuple(Fraction(one) for one in re.findall(r"-?\d+", match["without"] or ""))
    return Family(members, label, certain=True, low=bounds.low, high=bounds.high, without=without)


def _bound(relation: str | None, end: str) -> Domain:
    if relation is None:
        return Domain()
    upper, included = relation in ("at most", r"\le", "less than", "<"), "equal" in relation or relation in _INCLUDED
    value = Fraction(end) + (0 if included else -1 if upper else 1)
    return Domain(high=value) if upper else Domain(low=value)


def _worded_members(match: re.Match[str]) -> tuple[Member, ...] | None:
    whole = "integer" in (match["noun"] or "") and match["sign"] != "natural"
    natural = match["sign"] == "natural" or "natural" in (match["noun"] or "")
    domain = INTEGERS if whole or match["sign"] == "negative" or (match["sign"] and not natural) else None
    hidden = Node("sym", (), None, HIDDEN)
    counted = re.findall(rf"\b{_COUNT}\b", match["multiple"] or match["divisible"] or match["power"] or "")
    counts = [SMALL_NUMBERS[one] if one.isalpha() else int(one) for one in counted]
    kind = match["prime"] or match["multiple"] or match["power"] or match["square"] or match["cube"]
    narrowed = match["parity"] and (match["square"] or match["cube"])
    if 0 in counts or (match["parity"] and counts) or narrowed or (kind and match["divisible"]):
        return None
    if match["prime"]:
        return None if match["parity"] == "even" else (Member(hidden, HIDDEN, Domain("P", parity=match["parity"] or "")),)
    if match["power"]:
        return (Member(Node("pow", (number(counts[0]), hidden)), HIDDEN, Domain("Z", Fraction(0))),) if counts[0] > 1 else None
    if match["square"] or match["cube"]:
        return (Member(Node("pow", (hidden, number(2 if match["square"] else 3))), HIDDEN, None),)
    if match["never"]:
        single = len(counts) == 1 and counts[0] <= _MAX_REST
        return tuple(every(counts[0], number(rest), domain) for rest in range(1, counts[0])) if single else None
    if counts:
        counts = [lcm(*counts)] if match["joint"] == "and" else counts
        return tuple(every(count, number(0), domain) for count in counts)
    if match["parity"]:
        return (every(2, number(int(match["parity"] == "odd")), domain),)
    if natural:
        return (every(1, number(0), Domain("Z", Fraction(0), natural=True)),)
    return (every(1, number(0), domain),) if "integer" in (match["noun"] or "") else None
