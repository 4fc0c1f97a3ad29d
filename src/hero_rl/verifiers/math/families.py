r"""Families of numbers, ``\pi/4 + k\pi``, ``x \equiv 3 \pmod 7``, ``all odd integers``: compared as sets of numbers.

Members that are linear in their integer parameter are progressions, and unions of progressions are compared exactly, element by
element over a window that holds every finite end and a whole common period beyond it. Other members, ``2^k`` or the primes, are
compared as expressions with their first parameters side by side.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.domains import INTEGERS, WHOLE_LETTERS, Domain
from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, lifted, precise
from hero_rl.verifiers.math.family_text import read_family
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, equal, unsure
from hero_rl.verifiers.math.members import Family, Member, is_trigonometric
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.sampling import compare_trees, rename, substitute
from hero_rl.verifiers.math.syntax import Node, number

SetRelation: TypeAlias = Literal["equal", "different", "unknown"]

MAX_ELEMENTS = 3_000
"""Of one family in the window."""
MAX_MEMBERS = 24
_MAX_IMAGES = 4
_AGREES = 1e-35
_AMBIENT = re.compile(
    r"\b(positive|negative|non-?negative|natural)\s+(?:odd\s+|even\s+)?(?:integers?|numbers?|whole numbers?)?"
    r"(?:\s*(?:values?|solutions?)(?: of| for)?)?\s*(?:\\\(|\$)?\s*([A-Za-z])(?![A-Za-z])|"
    r"\b(positive|negative|non-?negative|natural)\s+(?:integers?|numbers?|whole numbers?)\s+solutions?\b",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(?:[A-Za-z]{1,3}\s*=)?(?:[-+*/^(){}.,\d\s]|\\(?:frac|sqrt|pi|cdot|times|%|\$)(?![A-Za-z]))*", re.ASCII)
_FROM_ZERO, _FROM_ONE = Domain("Z", Fraction(0)), Domain("Z", Fraction(1))
_ALL = re.compile(r"\b(?:all|every|each|which|integers?|solve|solutions?|values?)\b", re.IGNORECASE)


class Progression(NamedTuple):
    """``start + k period`` for the integers k from ``low`` to ``high``; a period of 0 is one number."""

    start: Value
    period: Value
    low: int | None = None
    high: int | None = None


def compare_families(reference: str, answer: str, problem: str, hints: Hints) -> Finding | None:
    """Compare two cleaned texts as families of numbers; return None where they are not both, or neither is for certain."""
    # the reading that may tell that there is no family goes first
    first, second = (reference, answer) if _has_no_letters(answer) else (answer, reference)
    one = None if _has_no_letters(first) else read_family(first)
    other = read_family(second) if one is not None and (one.has_parameter or not _has_no_letters(second)) else None
    if one is None or other is None or not (one.has_parameter or other.has_parameter):
        return None
    a, b = (one, other) if first is reference else (other, one)
    if (a.label and b.label and a.label != b.label) or len(a.members) > MAX_MEMBERS or len(b.members) > MAX_MEMBERS:
        return None
    used = hints.letters
    ambient = _ambient(problem, a.label or b.label)
    generous = (a.of_integers or b.of_integers) and ambient is None
    inequality, counted = (a, b) if a.of_integers else (b, a)
    if generous and not (inequality.label in WHOLE_LETTERS and counted.certain and not counted.of_integers):
        return None  # one side is no n >= 3 with a letter for integers, or the other does not speak of integers
    if any(member.letter in used and member.domain is None for member in a.members + b.members):
        return None  # a parameter is the question's own
    said = any(one.certain or one.of_integers for one in (a, b)) and not generous
    if not said and not generous and not any(is_trigonometric(one) or _is_sought(one, used, problem) for one in (a, b)):
        return None
    finding = _settle(_bounded_by(a, ambient), _bounded_by(b, ambient), given=hints.given)
    one_is_unbounded = (None, None) in ((a.low, a.high), (b.low, b.high))
    if finding.relation == "different" and a.periodic and b.periodic and one_is_unbounded:
        unbounded = [one._replace(low=None, high=None) for one in (a, b)]
        if (a, b) != tuple(unbounded) and _settle(*unbounded, given=hints.given).relation == "equal":
            return unsure("conditions_differ")
    if said or (finding.relation == "different" and not generous):
        return finding
    return equal("equal_domain_left_out") if finding.relation == "equal" else None


def _has_no_letters(text: str) -> bool:
    """Return whether a text is made of numbers alone, a label apart, so that no parameter can be in it."""
    return _NUMBERS.fullmatch(text) is not None


def _is_sought(family: Family, used: frozenset[str], problem: str) -> bool:
    """Return whether ``n = 3k`` answers a question for all n, which does not use the letter k."""
    return (
        family.has_parameter
        and family.label in used
        and family.letters <= frozenset("jklmn") - used
        and _ALL.search(problem) is not None
    )


def _ambient(problem: str, label: str) -> Domain | None:
    """Return what the question says about the numbers sought: ``find all positive integers n``."""
    found: dict[str, str] = {}
    for match in _AMBIENT.finditer(problem):
        found.setdefault(match[2] or "", (match[1] or match[3]).lower())
    word = found.get(label) or found.get("") or (next(iter(found.values())) if len(found) == 1 and not label else None)
    if word in ("positive", "negative", None):
        return {"positive": _FROM_ONE, "negative": Domain("Z", high=Fraction(-1))}.get(word or "")
    return Domain("Z", Fraction(0), natural=word == "natural")


def _bounded_by(family: Family, ambient: Domain | None) -> Family:
    if ambient is None:
        return family
    low = max((one for one in (family.low, ambient.low) if one is not None), default=None)
    high = min((one for one in (family.high, ambient.high) if one is not None), default=None)
    return family._replace(low=low, high=high)


# ------------------------------------------------------------------------------------------- domains left open


def _settle(a: Family, b: Family, *, given: bool) -> Finding:
    """Compare under the domains that are said; where one side leaves its domain open, under the usual ones."""
    open_a, open_b = _is_open(a), _is_open(b)
    whole = (a.low is not None or b.low is not None) and a.low == b.low
    if not open_a and not open_b:
        return _with_naturals(a, b)
    if open_a and open_b:
        found = _compare(_closed(a, INTEGERS), _closed(b, INTEGERS))
        if found != "equal":
            return _found(found)
        counted = _compare(_closed(a, _FROM_ZERO), _closed(b, _FROM_ZERO))
        return EQUAL if counted == "equal" or a.periodic or whole else equal("equal_domain_left_out")
    # a question that is known says where numbers begin, and an answer must not add that by itself
    settled = a.periodic or b.periodic or (given and not open_b)
    defaults = (INTEGERS,) if settled else (INTEGERS, _FROM_ZERO, _FROM_ONE)
    relations = [_compare(_closed(a, one), _closed(b, one)) for one in defaults]
    narrowed = (a.low, a.high) != (b.low, b.high) and relations[0] != "equal"  # "odd integers > 1" is no index from one
    if "equal" in relations and narrowed:
        return unsure("conditions_differ")
    if "equal" in relations:
        return EQUAL if whole and relations[0] == "equal" else equal("equal_domain_left_out")
    said = [member.domain for member in (*a.members, *b.members) if member.domain is not None]
    if any(_compare(_closed(a, one), _closed(b, one)) == "equal" for one in set(said)):
        return unsure("conditions_differ")
    return unsure("undecided") if "unknown" in relations else DIFFERENT


def _with_naturals(a: Family, b: Family) -> Finding:
    relations: list[SetRelation] = [_compare(_naturals(a, begin), _naturals(b, begin)) for begin in (0, 1)]
    if relations[0] == relations[1]:
        return _found(relations[0])
    known = any(member.domain is not None and member.domain.natural for member in a.members)
    return equal("equal_domain_left_out") if relations[1] == "equal" and known else unsure("conditions_differ")


def _found(relation: SetRelation) -> Finding:
    return EQUAL if relation == "equal" else DIFFERENT if relation == "different" else unsure("undecided")


def _is_open(family: Family) -> bool:
    return any(member.letter and member.domain is None for member in family.members)


def _closed(family: Family, domain: Domain) -> Family:
    members = tuple(one._replace(domain=domain) if one.letter and one.domain is None else one for one in family.members)
    return family._replace(members=members)


def _naturals(family: Family, begin: int) -> Family:
    def settled(member: Member) -> Member:
        if member.domain is None or not member.domain.natural:
            return member
        return member._replace(domain=member.domain._replace(natural=False, low=Fraction(begin)))

    return family._replace(members=tuple(settled(member) for member in family.members))


# ------------------------------------------------------------------------------------------- sets


def _compare(a: Family, b: Family) -> SetRelation:
    """Compare two families whose domains are all said."""
    (here, images), (there, others) = _parts(a), _parts(b)
    if images is None or others is None:
        return "unknown"
    plain = _same_numbers(here, there, a, b)
    if not images and not others:
        return plain
    if bool(images) != bool(others):
        return "unknown" if any(one.period != 0 for one in (here if others else there)) else "different"
    if (a.low, a.high, a.without, len(images)) != (b.low, b.high, b.without, len(others)) or len(images) > _MAX_IMAGES:
        return "unknown"
    if any(all(map(_same_image, images, order)) for order in itertools.permutations(others)):
        return plain
    return "different" if plain == "equal" and len(images) == 1 and images[0].domain == others[0].domain else "unknown"


def _parts(family: Family) -> tuple[list[Progression], list[Member] | None]:
    """Return the progressions of a family, and its members that are none."""
    progressions: list[Progression] = []
    images: list[Member] = []
    for member in family.members:
        found = _progressions(member)
        if found is not None:
            progressions += found
        elif member.letter and member.domain is not None and member.domain.base in ("Z", "P"):
            images.append(member)
        else:
            return progressions, None
    return progressions, images


def _progressions(member: Member) -> list[Progression] | None:
    try:
        if not member.letter:
            return [Progression(_at(member, 0), Fraction(0))]
        domain = member.domain
        if domain is None or domain.base != "Z":
            return None
        if domain.values:
            return [Progression(_at(member, int(value)), Fraction(0)) for value in domain.values]
        if domain.parity:
            return _strided(member, domain, 2, (int(domain.parity == "odd"),))
        return _strided(member, domain, 1, (0,)) or _strided(member, domain, 2, (0, 1))
    except Undefined:
        return None


def _strided(member: Member, domain: Domain, stride: int, remainders: Sequence[int]) -> list[Progression] | None:
    """Return the progressions of a member for the parameters with these remainders; None where one is no progression."""
    found: list[Progression] = []
    for remainder in remainders:
        heights = [_at(member, remainder + stride * step) for step in (0, 1, 2, 3, 11)]
        start, period = heights[0], heights[1] - heights[0]
        straight = all(_close(heights[index], start + step * period) for index, step in ((2, 2), (3, 3), (4, 11)))
        if domain.low is None:  # |k| is a line only above zero
            straight = straight and all(
                _close(_at(member, remainder + stride * step), start + step * period) for step in (-1, -7)
            )
        if not straight or _close(period, 0):
            return None
        low = None if domain.low is None else -((remainder - int(domain.low)) // stride)
        high = None if domain.high is None else (int(domain.high) - remainder) // stride
        whole = Progression(start, period, low, high)
        split = domain.nonzero and remainder == 0 and (low is None or low <= 0) and (high is None or high >= 0)
        found += [whole._replace(high=-1), whole._replace(low=1)] if split else [whole]
    return found


def _at(member: Member, step: int) -> Value:
    value = evaluate(member.tree, {member.letter: Fraction(step)} if member.letter else {}, precise())
    if value.imag != 0:
        raise Undefined("not real")
    return value.real  # of a complex number of mpmath, which has no order


def _close(a: Value, b: Value) -> bool:
    if isinstance(a, (Fraction, int)) and isinstance(b, (Fraction, int)):
        return a == b
    a, b = lifted(a), lifted(b)
    return bool(abs(a - b) <= _AGREES * max(abs(a), abs(b), 1))


def _same_numbers(a: Sequence[Progression], b: Sequence[Progression], of: Family, to: Family) -> SetRelation:
    """Return whether two unions of progressions are the same set of numbers."""
    period = _common_period([one.period for one in (*a, *b) if one.period != 0])
    if period is None:
        return "unknown"
    ends = [one.start + k * one.period for one in (*a, *b) for k in (one.low, one.high) if k is not None]
    ends += [one.start for one in (*a, *b) if one.low is None and one.high is None]
    ends += [one for one in (of.low, of.high, to.low, to.high, *of.without, *to.without) if one is not None]
    if not ends:
        return "equal"
    exact = all(isinstance(one, Fraction) for one in (*ends, period))
    if not exact:
        ends, period = [lifted(end) for end in ends], lifted(period)
    margin = period * Fraction(17, 16) if exact else period * 1.0625
    low, high = min(ends) - margin, max(ends) + margin
    here, there = _elements(a, low, high, of), _elements(b, low, high, to)
    if here is None or there is None:
        return "unknown"
    same = len(here) == len(there) and all(_close(x, y) for x, y in zip(here, there, strict=True))
    return "equal" if same else "different"


def _common_period(periods: Sequence[Value]) -> Value | None:
    """Return a number that all periods divide; None where there is none in reach."""
    if not periods:
        return Fraction(1)
    first = abs(periods[0])
    common = Fraction(1)
    for one in periods:
        ratio = _ratio(abs(one), first)
        if ratio is None:
            return None
        common = Fraction(math.lcm(common.numerator, ratio.numerator), math.gcd(common.denominator, ratio.denominator))
    return first * common if isinstance(first, Fraction) else first * lifted(common)


def _ratio(a: Value, b: Value) -> Fraction | None:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a / b
    quotient = lifted(a) / lifted(b)
    nearest = Fraction(float(quotient)).limit_denominator(2_000)
    return nearest if nearest > 0 and _close(quotient, nearest) else None


def _elements(parts: Sequence[Progression], low: Value, high: Value, family: Family) -> list[Value] | None:
    """Return the distinct numbers of a window in order; None where they are too many."""
    found: list[Value] = []
    for one in parts:
        if one.period == 0:
            found.append(one.start)
            continue
        ends = sorted(((low - one.start) / one.period, (high - one.start) / one.period))
        first, last = math.ceil(ends[0]), math.floor(ends[1])
        upward = one.period > 0
        first = first if one.low is None else max(first, one.low)
        last = last if one.high is None else min(last, one.high)
        if last - first + len(found) > MAX_ELEMENTS:
            return None
        found += [one.start + k * one.period for k in (range(first, last + 1) if upward else range(last, first - 1, -1))]
    if any(not isinstance(one, Fraction) for one in found):
        found = [lifted(one) for one in found]
    found = [one for one in found if _belongs(one, family)]
    found.sort()
    return [one for at, one in enumerate(found) if at == 0 or not _close(one, found[at - 1])]


def _belongs(value: Value, family: Family) -> bool:
    for end, sign in ((family.low, 1), (family.high, -1)):
        if end is not None and sign * lifted(value) < sign * lifted(end) and not _close(value, end):
            return False
    return not any(_close(value, one) for one in family.without)


def _same_image(a: Member, b: Member) -> bool:
    """Return whether two members that are no progressions are one: ``2^k`` from 0 on, and ``2^{k-1}`` from 1 on."""
    x, y = a.domain, b.domain
    if x is None or y is None or (x.base, x.parity, x.nonzero) != (y.base, y.parity, y.nonzero) or x.values or y.values:
        return False
    tree, other = rename(a.tree, {a.letter: "n"}), rename(b.tree, {b.letter: "n"})
    if x.base == "P" or x.low is None or y.low is None or x.high is not None or y.high is not None or x.parity:
        return x == y and compare_trees(tree, other) == "equal"
    name = Node("sym", (), None, "n")
    one, two = (substitute(each, "n", Node("add", (name, number(low)))) for each, low in ((tree, x.low), (other, y.low)))
    return compare_trees(one, two) == "equal"
