r"""Sets of integers in words: ``all odd integers``, ``multiples of 2 or 3``, ``n is prime``."""

from __future__ import annotations

import re
from fractions import Fraction
from math import lcm

from hero_rl.verifiers.math.domains import INTEGERS, Domain
from hero_rl.verifiers.math.members import HIDDEN, Family, Member, every
from hero_rl.verifiers.math.syntax import Node, number
from hero_rl.verifiers.math.words import number_in_words

_TEXT = re.compile(r"\\text\{([^{}]*)\}")

_LEAD = re.compile(
    r"^(?:(?:all|any|every|each|exactly|precisely|only|the|are|is)\s+)*(?:(?:values? of|those)\s+)?"
    r"(?:(?:integers?|numbers?|values?)\s+)?(?:(?!a\s)([A-Za-z])\s+)?"
    r"(?:(?:must be|can be|such that|that|is|are|for which|where|with|being)\s+)*"
    r"(?:(?!a\s)([A-Za-z])\s+(?:is|are)\s+)?(?:(?:all|any|every|an?|the|which are)\s+)*"
)
_SIGN = {
    "positive": (Fraction(1), None), "natural": (None, None), "negative": (None, Fraction(-1)),
    "nonnegative": (Fraction(0), None), "non-negative": (Fraction(0), None), "": (None, None),
}  # fmt: skip
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
    r"(?:\s+(?P<name>[A-Za-z]))?"
    r"(?:\s*(?:with\s+)?(?:(?P=name)|[A-Za-z])?\s*"
    r"(?P<bound>greater than or equal to|at least|greater than|larger than|more than|less than|at most|\\ge|\\le|>|<)"
    r"\s*(?P<end>-?\d{1,9}))?"
    r"(?:\s*,?\s*(?:except|excluding|other than|different from|but not|not equal to)(?: for)?"
    r"\s+(?P<without>-?\d{1,9}(?:\s*(?:,|and|or)\s*-?\d{1,9})*))?"
)


def read_number_phrase(text: str) -> Family | None:
    """``all odd integers``, ``multiples of 2 or 3``, ``n is prime``; None for anything else."""
    plain = " ".join(_TEXT.sub(r" \1 ", text).replace("{", " ").replace("}", " ").lower().split())
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
    low, high = _SIGN[match["sign"] or ""]
    if match["bound"]:
        low, high = _tightened(low, high, match["bound"], Fraction(match["end"]))
    without = tuple(Fraction(one) for one in re.findall(r"-?\d+", match["without"] or ""))
    return Family(members, label, certain=True, low=low, high=high, without=without)


def _worded_members(match: re.Match[str]) -> tuple[Member, ...] | None:
    whole = "integer" in (match["noun"] or "") and match["sign"] != "natural"
    natural = match["sign"] == "natural" or "natural" in (match["noun"] or "")
    domain = INTEGERS if whole or match["sign"] == "negative" or (match["sign"] and not natural) else None
    hidden = Node("sym", (), None, HIDDEN)
    counts = [
        _count(one) for one in re.findall(rf"\b{_COUNT}\b", match["multiple"] or match["divisible"] or match["power"] or "")
    ]
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


def _count(text: str) -> int:
    value = number_in_words(text) if text.isalpha() else Fraction(text)
    return int(value or 0)


def _tightened(
    low: Fraction | None, high: Fraction | None, relation: str, end: Fraction
) -> tuple[Fraction | None, Fraction | None]:
    if relation in ("greater than or equal to", "at least", r"\ge"):
        return end if low is None else max(low, end), high
    if relation in ("at most", r"\le"):
        return low, end if high is None else min(high, end)
    if relation in ("less than", "<"):
        return low, end - 1 if high is None else min(high, end - 1)
    return end + 1 if low is None else max(low, end + 1), high
