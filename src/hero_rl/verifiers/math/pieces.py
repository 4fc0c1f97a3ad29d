r"""Functions in pieces, ``\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}``: compared part by part.

Conditions on one variable are sets of numbers. The two functions must live on the same set, and agree at exact points of every
part where a piece of one meets a piece of the other. Conditions in words must be the same words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache, reduce
from typing import NamedTuple

from hero_rl.verifiers.latex import pieces, relation_chain, split_at
from hero_rl.verifiers.math.domains import read_domains
from hero_rl.verifiers.math.evaluate import Undefined, evaluate, precise, symbols
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, all_of, unsure
from hero_rl.verifiers.math.intervals import REALS, Region, compare_regions, complement, intersect
from hero_rl.verifiers.math.parts import CompareTexts
from hero_rl.verifiers.math.regions import read_region
from hero_rl.verifiers.math.sampling import same_constant
from hero_rl.verifiers.math.syntax import Node, parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import walk
from hero_rl.verifiers.math.words import plain_words

MAX_PIECES = 10
_MAX_CHARS = 500
_CASES = re.compile(
    r"(?:(?P<label>[A-Za-z]\w*(?:\([^()=]*\))?)\s*=\s*)?(?:\\\{\s*)?"
    r"\\begin\{(cases|array|aligned|matrix)\}(?:\{[^{}]*\})?(.*)\\end\{\2\}\s*\.?",
    re.DOTALL,
)
_LABEL = re.compile(r"^[A-Za-z]\w*\([^()=]*\)\s*=\s*")
_IF = re.compile(r"\\text\{\s*,?\s*(?:if|when|for|where)\b([^{}]*)\}|(?<![A-Za-z\\])(?:if|when|for)(?![A-Za-z])")
_OTHERWISE = re.compile(
    r"\\text\{[\s,;]*(?:and\s*)?(?:otherwise|else|elsewhere)[\s,;]*\}|(?<![A-Za-z\\])(?:otherwise|else)(?![A-Za-z])"
)
_BRACKETED = re.compile(
    r"\s*([^(),;]*?(?:\([^()]*\)[^(),;]*?)*?)\s*\(\s*([^()]*?(?:=|<|>|\\le|\\ge|\\ne|\\in)[^()]*?)\s*\)\s*[,;]?"
)
_AND = re.compile(r"(?<![A-Za-z\\{])and(?=\s+-?[\d\\A-Za-z(])")
_WORDS = re.compile(r"\\text|(?<![A-Za-z\\])[A-Za-z]{3,}")
_FOLDING = frozenset(("abs", "root", "max", "min", "floor", "ceil", "sgn"))


class Piece(NamedTuple):
    """A value and where it holds; an empty condition: everywhere else."""

    value: str
    condition: str


@lru_cache(maxsize=1024)
def read_pieces(text: str) -> tuple[Piece, ...] | None:
    r"""Return the pieces of a cleaned text; None for a text that is not in pieces.

    >>> read_pieces(r"1 \text{if} x>0, 0 \text{otherwise}")
    (Piece(value='1', condition='x>0'), Piece(value='0', condition=''))
    """
    if len(text) > _MAX_CHARS:
        return None
    cases = _CASES.fullmatch(text)
    found = _rows(cases[3]) if cases else _worded(_LABEL.sub("", _AND.sub(",", text)))
    if found is None and "(" in text and relation_chain(text.replace("(", " ").replace(")", " ")).relations:
        found = _bracketed(_LABEL.sub("", text))
    if not found or not 2 <= len(found) <= MAX_PIECES or sum(not piece.condition for piece in found) > 1:
        return None
    found = [piece._replace(value=_LABEL.sub("", piece.value)) for piece in found]
    return tuple(found) if all(piece.value and not _WORDS.search(piece.value) for piece in found) else None


def _rows(content: str) -> list[Piece] | None:
    found: list[Piece] = []
    for row in split_at(content, r"\\"):
        if not row:
            continue
        cells = split_at(row, "&")
        if len(cells) == 1:
            return None
        found.append(Piece(cells[0].strip(" ,;."), _condition(" ".join(cells[1:]))))
    return found


def _condition(text: str) -> str:
    text = _IF.sub(lambda match: f" \\text{{{match[1]}}} " if match[1] and match[1].strip() else " ", text)
    return _OTHERWISE.sub(" ", text).strip(" ,;.")


def _worded(text: str) -> list[Piece] | None:
    """``1 if x > 0, 0 otherwise``, the elements separated by commas or ``and``."""
    if not (_IF.search(text) or _OTHERWISE.search(text)):
        return None
    found: list[Piece] = []
    for part in split_at(text, ",", ";", *_AND.findall(text)):
        if not part:
            continue
        otherwise = _OTHERWISE.search(part)
        condition = _IF.search(part)
        if otherwise:
            found.append(Piece((part[: otherwise.start()] + part[otherwise.end() :]).strip(" ,;."), ""))
        elif condition and condition.start() > 0:
            found.append(Piece(part[: condition.start()].strip(" ,;."), _condition(part[condition.start() :])))
        elif found and not condition and found[-1].condition and relation_chain(part).relations:
            found[-1] = found[-1]._replace(condition=f"{found[-1].condition}, {part}")
        else:
            return None
    return found


def _bracketed(text: str) -> list[Piece] | None:
    """``x (x > 0) 0 (x = 0)``: each value before its condition in brackets."""
    found: list[Piece] = []
    at = 0
    while at < len(text):
        match = _BRACKETED.match(text, at)
        if match is None or not match[1].strip() or match.end() == at:
            return None
        found.append(Piece(match[1].strip(" ,;"), match[2].strip()))
        at = match.end()
    return found


def compare_pieces(reference: str, answer: str, compare: CompareTexts) -> Finding | None:
    """How two texts relate of which at least one is a function in pieces; None where neither is, or nothing can be said."""
    a, b = read_pieces(reference), read_pieces(answer)
    if a is None and b is None:
        return None
    if a is not None and b is not None and (found := _by_condition(a, b, compare)) is not None:
        return found
    x, y = _on_regions(a, reference), _on_regions(b, answer)
    if x is None or y is None:
        return None
    names = {name for tree, _ in (*x, *y) for name in symbols(tree)} | _condition_letters(a) | _condition_letters(b)
    return _agree(x, y, names) if len(names) == 1 else None


def _by_condition(a: Sequence[Piece], b: Sequence[Piece], compare: CompareTexts) -> Finding | None:
    """Pieces whose conditions are written alike, or say the same words."""
    if len(a) != len(b):
        return None
    named = {_plain(piece.condition): piece.value for piece in b}
    if {_plain(piece.condition) for piece in a} != named.keys() or len(named) != len(b):
        return None
    return all_of([compare(piece.value, named[_plain(piece.condition)]) for piece in a])


def _plain(condition: str) -> str:
    domains = read_domains(condition)
    if domains and all(domain.parity or domain.base == "P" for domain in domains.values()):
        return repr(sorted(domains.items()))
    words = plain_words(condition) if r"\text" in condition and "\\" not in condition.replace(r"\text", "") else ""
    return words if words and not re.search(r"[<>=]", condition) else re.sub(r"\s", "", condition)


def _condition_letters(found: Sequence[Piece] | None) -> set[str]:
    return {piece.text for part in found or () for piece in pieces(part.condition) if re.fullmatch("[A-Za-z]", piece.text)}


def _on_regions(found: Sequence[Piece] | None, text: str) -> list[tuple[Node, Region]] | None:
    """Each value with the numbers where it holds; an expression that folds, ``|x|``, holds everywhere."""
    try:
        if found is None:
            tree = parse(_LABEL.sub("", text))
            folds = {node.name or node.op for node in walk(tree)} & _FOLDING
            return [(tree, REALS)] if folds and len(symbols(tree)) == 1 else None
        regions: list[tuple[Node, Region]] = []
        for piece in sorted(found, key=lambda piece: not piece.condition):  # "otherwise" comes last
            tree, chain = parse(piece.value), relation_chain(piece.condition)
            if not piece.condition:
                region = reduce(intersect, (complement(its) for _, its in regions), REALS)
            elif chain.relations == ["="]:
                region = read_region(rf"{chain.sides[0]} \in \{{{chain.sides[1]}\}}")
            else:
                region = read_region(piece.condition)
            if region is None:
                return None
            regions.append((tree, region))
    except (Unreadable, Undefined):
        return None
    return regions


def _agree(a: Sequence[tuple[Node, Region]], b: Sequence[tuple[Node, Region]], names: set[str]) -> Finding:
    domains = compare_regions(*(tuple(one for _, region in both for one in region) for both in (a, b)))
    if domains != "equal":
        return unsure("undecided" if domains == "unknown" else "conditions_differ")
    findings = [_agree_on(tree, region, b, next(iter(names))) for tree, region in a]
    return DIFFERENT if "different" in findings else EQUAL if set(findings) == {"equal"} else unsure("undecided")


def _agree_on(tree: Node, region: Region, b: Sequence[tuple[Node, Region]], name: str) -> str:
    """Return how one piece relates to the other function where it holds."""
    compared = 0
    for other, its in b:
        for at in _points(intersect(region, its)):
            try:
                x, y = (evaluate(one, {name: at}, precise()) for one in (tree, other))
            except Undefined:
                continue
            if not same_constant(x, y, noisy=True):
                return "different"
            compared += 1
    return "equal" if compared else "unknown"


def _points(region: Region) -> list[Fraction]:
    """Points inside each interval, its ends among them where they belong to it and are rational."""
    found: list[Fraction] = []
    for one in region:
        low, high = (None if end is None else evaluate(end, {}, precise()) for end in (one.low, one.high))
        ends = (low, one.low_closed), (high, one.high_closed)
        found += [end for end, closed in ends if closed and isinstance(end, Fraction)]
        begin = Fraction(str(low)) if low is not None else Fraction(str(high)) - 40 if high is not None else Fraction(-20)
        end = Fraction(str(high)) if high is not None else begin + 40
        inside = (1, 3, 7, 12, 18, 23, 29, 37, 44, 51, 57, 60) if begin < end else ()
        found += [begin + (end - begin) * Fraction(step, 61) for step in inside]
    return found
