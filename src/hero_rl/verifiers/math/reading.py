r"""The kind of thing that a cleaned answer is: a value, a list, a tuple, a matrix, an equation, a relation, a word, text."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache, reduce
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.latex import (
    TURNED,
    brackets,
    builder_halves,
    relation_chain,
    round_brackets,
    split_at,
    split_list,
    ungrouped,
    words_apart,
)
from hero_rl.verifiers.math.chains import converted_measure, near_enough, sides_agree
from hero_rl.verifiers.math.domains import split_qualifier
from hero_rl.verifiers.math.evaluate import Undefined, symbols
from hero_rl.verifiers.math.labels import FUNCTION_LABEL, is_denied, is_label
from hero_rl.verifiers.math.matrices import is_matrix_expression, matrix_value, vector_sum
from hero_rl.verifiers.math.regions import is_real_line
from hero_rl.verifiers.math.sampling import substitute
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.units import DEGREE, Unit, factor, read_unit, split_unit
from hero_rl.verifiers.math.words import known_word, number_in_words, without_lead_in

Kind: TypeAlias = Literal["value", "list", "tuple", "set", "ratio", "matrix", "equation", "relation", "word", "text", "nothing"]

MAX_LEVELS = 6
ONE_OF = "one of"
"""The form of a list of values of several letters of which not all need hold: ``x=1 or y=2``."""
_JOINING = re.compile(r"\\text\{\s*(and|or)\s*\}")
_STATEMENTS = re.compile(
    r"(?:(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|\\text\{\s*(?:and|or)\s*\}|\\(?:neg|lnot)(?![A-Za-z])|[()\s,])*"
)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?|[-+]?\d+/\d+|-?\\frac\{-?\d+\}\{\d+\}", re.ASCII)
_ARITHMETIC = re.compile(
    r"(?:[-+\d]|\\(?:frac|sqrt|pi)(?![A-Za-z]))(?:[-+*/^.\d {}()]|\\(?:frac|sqrt|pi|cdot|times)(?![A-Za-z]))*", re.ASCII
)
"""Arithmetic of numbers: no other kind, no unit and no words."""
_UNIT_VECTORS = (r"\ivec", r"\jvec", r"\kvec")


class Reading(NamedTuple):
    """One answer, understood."""

    kind: Kind
    text: str
    """The cleaned text of it."""
    tree: Node | None = None
    """For a value."""
    unit: Unit | None = None
    items: tuple[Reading, ...] = ()
    """For a list, tuple, set or ratio its elements; for an equation its two sides."""
    form: str = ""
    """For a tuple its two brackets; for a matrix its shape, as in ``2x3``; for a word its name; for a list the words between
    its elements where they matter; for text why it is not understood."""
    label: str = ""
    """The name before ``=`` where it only names the value: ``x``, ``f(x)``, ``Area``."""
    qualifier: str = ""
    """A condition at the end that says more than a domain."""
    domain: str = ""
    """Which values the variables take, where the end of the text says so."""


_MATRIX = re.compile(
    r"(?P<brace>\\\{\s*)?\\begin\{([pbBvV]?matrix|array|smallmatrix|cases|aligned)\}(?:\{[^{}]*\})?(.*)\\end\{\2\}\s*\.?",
    re.DOTALL,
)
_WORD_LABEL = re.compile(
    r"^(?![A-Z]+\s*:\s*[A-Z]+\s*=)(?:\\text\{\s*)?([A-Za-z][A-Za-z ]+\d*)\s*(?::\s*\}|\}\s*:|:)\s*(?=\S)(.*)$", re.DOTALL
)
_MIXED_PERCENT = re.compile(r"\d+\s*(?:\\frac\s*\{?\d+\}?\s*\{?\d+\}?|\d+/\d+)\s*\\%")
_ARC = re.compile(r"^([\d.]+)\s*\^\\circ\s*(?:([\d.]+)\s*'(?!'))?\s*(?:([\d.]+)\s*''|([\d.]+)\s*\\text\{\s*''\s*\})?$")
_WORDS = r"(\\text\{[^{}]{1,30}\}|[A-Za-z]{1,12})"
_COMPOUND = re.compile(rf"^(\d+)\s*{_WORDS}\s*(?:,|\\text\{{\s*and\s*\}}|and)?\s*(\d+(?:\.\d+)?)\s*{_WORDS}$")
_EXPLANATION = re.compile(
    r"(?<=\S)\s*(?:\(\s*\\text\{|\\text\{\s*,?\s*\(?|\()\s*(?:because|since)\b.*$|(?<=[\d)}]),? (?:because|since) .*$",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z](?:_\{?\w\}?)?")
_TO = re.compile(r"\s*\\text\{\s*(?:to|is to)\s*\}\s*|(?<=[\d)}]) to (?=[\d(\\])")
_CHANCES = re.compile(r"(\d{1,9})\s*(?:\\text\{\s*(?:in|out of)\s*\}|in|out of)\s*([1-9]\d{0,8})")
_LEADING_APPROX = re.compile(r"^\\(?:approx|sim|simeq)\s*")


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    r"""Return the reading of a cleaned text; never fails: what is not understood is ``text``.

    >>> read("(1,2)").kind, read("x=5").label, read("1,2").kind
    ('tuple', 'x', 'list')
    """
    try:
        if _NUMBER.fullmatch(text) or _ARITHMETIC.fullmatch(text):
            return Reading("value", text, tree=parse(text))
        return _read(round_brackets(text), MAX_LEVELS)
    except (Unreadable, Undefined) as error:
        return Reading("text", text, form=str(error))


def _read(text: str, levels: int) -> Reading:
    text = ungrouped(text.replace("{:}", ":"))
    if not text:
        return Reading("nothing", "")
    if levels == 0:
        raise Unreadable("too_deep")
    word = known_word(text) or ("infinity" if text in (r"\infty", r"+\infty", "inf", "+inf", "infinity") else None)
    if word:
        return Reading("word", text, form=word)
    text = _EXPLANATION.sub("", text)
    text = _LEADING_APPROX.sub("", without_lead_in(text))
    compound = _compound_measure(text)
    if compound is not None:
        return compound
    spelled = number_in_words(text) if re.search(r"[^\W\d_]{2}|[\u4e00-\u9fff]", text) else None
    if spelled is not None:
        return Reading("value", text, tree=number(spelled))
    core, qualifier, is_domain = split_qualifier(text)
    if not (qualifier and core) or (not is_domain and re.search("[,;]", qualifier)):
        return _statement(text, levels)
    found = _statement(core, levels)
    return found._replace(domain=qualifier) if is_domain else found._replace(qualifier=qualifier)


def _statement(text: str, levels: int) -> Reading:
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        return _matrix(matrix, text, levels)
    chain = relation_chain(text)
    if set(chain.relations) == {"="} and _has_set_operation(chain.sides[0]) and chain.sides[-1]:
        return _read(chain.sides[-1], levels - 1)._replace(label=chain.sides[0])
    if _has_set_operation(text) or not TURNED.keys().isdisjoint(chain.relations):
        return Reading("relation", text)
    solutions = _solutions(text, levels)
    if solutions is not None:
        return solutions
    parts = split_list(text)
    if len(parts) > 1:
        items = tuple(_read(part, levels - 1) for part in parts)
        return Reading("list", text, items=items, form=_joined_by(text, items))
    labelled = _WORD_LABEL.match(text)
    if labelled:
        if is_denied(labelled[1]):
            raise Unreadable("prose")
        return _read(labelled[2], levels - 1)._replace(label=labelled[1].strip())
    enclosed = brackets(text)
    if enclosed is not None:
        return _enclosed(enclosed, text, levels)
    vector = vector_sum(text) if not chain.relations else None
    if vector is not None:
        return Reading("tuple", text, items=tuple(Reading("value", text, tree=entry) for entry in vector), form="()")
    return _chain(text, levels)


def _joined_by(text: str, items: tuple[Reading, ...]) -> str:
    """Return the words between the elements where they matter: between values of several letters, or between statements."""
    words = [match[1] for match in _JOINING.finditer(words_apart(text))]
    if not words:
        return ""
    if _STATEMENTS.fullmatch(words_apart(text)):
        return " ".join(words)
    names = {item.label.partition("_")[0] for item in items if item.label}
    constants = all(item.tree is not None and not symbols(item.tree) for item in items)
    return ONE_OF if "or" in words and len(names) > 1 and constants else ""


def _solutions(text: str, levels: int) -> Reading | None:
    """``p=5, q=2; p=7, q=2``: a list of tuples, each with the same labels; None for other texts."""
    groups = [part for part in split_at(words_apart(text), ";", r"\text{or}") if part]
    if len(groups) < 2 or any(text.count(sign) for sign in ("<", ">", r"\ne", r"\le", r"\ge")):
        return None
    rows = [[relation_chain(part) for part in split_list(group)] for group in groups]
    names = [chain.sides[0] for chain in rows[0]]
    if len(set(names)) < max(2, len(names)) or not all(map(_NAME.fullmatch, names)):
        return None
    tuples: list[Reading] = []
    for row in rows:
        values = {chain.sides[0]: chain.sides[1] for chain in row if chain.relations == ["="]}
        if values.keys() != set(names) or len(row) != len(names):
            return None
        items = tuple(_read(values[name], levels - 1) for name in names)
        tuples.append(Reading("tuple", "", items=items, form="()", label=f"({','.join(names)})"))
    return Reading("list", text, items=tuple(tuples))


def _has_set_operation(text: str) -> bool:
    named = re.fullmatch(r"\\mathbb\{[RQZNC]\}.*", text) is not None or is_real_line(text)
    return named or len(split_at(text, r"\cup", r"\setminus", r"\cap")) > 1


def _matrix(match: re.Match[str], text: str, levels: int) -> Reading:
    rows = [row for row in split_at(match[3], r"\\") if row]
    if match["brace"] or match[2] in ("cases", "aligned"):
        return _system(rows, levels)
    cells = [split_at(row, "&") for row in rows]
    if match[2] in ("vmatrix", "Vmatrix") or match[3].count(r"\end{"):
        return _worked_out(text)
    if not cells or len({len(row) for row in cells}) != 1:
        raise Unreadable("matrix")
    items = tuple(_read(cell, levels - 1) for row in cells for cell in row)
    return Reading("matrix", text, items=items, form=f"{len(cells)}x{len(cells[0])}")


def _worked_out(text: str) -> Reading:
    value = matrix_value(text)
    if isinstance(value, Node):
        return Reading("value", text, tree=value)
    items = tuple(Reading("value", text, tree=entry) for row in value for entry in row)
    return Reading("matrix", text, items=items, form=f"{len(value)}x{len(value[0])}")


def _system(rows: list[str], levels: int) -> Reading:
    """Several equations under one brace are a list; a function in pieces is not read."""
    equations = [row.replace("&", " ").strip(" ,;") for row in rows]
    if not all(relation_chain(equation).relations == ["="] and r"\text{" not in equation for equation in equations):
        raise Unreadable("cases")
    return _read(", ".join(equations), levels - 1)


def _enclosed(enclosed: tuple[str, str, str], text: str, levels: int) -> Reading:
    opening, content, closing = enclosed
    if not content:
        return Reading("word", text, form="none") if opening == r"\{" else Reading("nothing", text)
    if opening == r"\{" and builder_halves(content):
        return Reading("relation", text)
    parts = split_list(content)
    if len(parts) == 1 and opening in ("(", "["):
        inner = _read(content, levels - 1)
        return inner if inner.kind != "text" else Reading("text", text, form=inner.form)
    items = tuple(_read(part, levels - 1) for part in parts)
    if opening == r"\{":
        return Reading("set", text, items=items)
    if opening == "(" and (joined := _joined_by(content, items)):
        return Reading("list", text, items=items, form=joined)
    if all(item.label for item in items) and len({item.label for item in items}) == len(items):
        return Reading("list", text, items=items)
    return Reading("tuple", text, items=items, form="()" if opening == r"\langle" else opening + closing)


def _chain(text: str, levels: int) -> Reading:
    chain = relation_chain(text)
    if not chain.relations:
        return _single(text)
    sides = [side for side in chain.sides if side]
    if len(sides) != len(chain.sides):
        if len(sides) != 1 or chain.sides[0] or chain.relations[0] not in ("=", r"\approx", r"\equiv", r"\to"):
            raise Unreadable("syntax")
        return _read(sides[0], levels - 1)
    if chain.relations[-1] == r"\approx":
        return _approximation(chain.sides, chain.relations, levels)
    if chain.relations == [r"\in"]:
        inner = _read(sides[1], levels - 1)
        return inner._replace(label=sides[0]) if inner.kind in ("set", "list") else Reading("relation", text)
    if chain.relations == [r"\equiv"] and is_label(sides[0]):
        if r"\text" in sides[0]:
            raise Unreadable("prose")  # "primes p" are not all p
        return _read(sides[1], levels - 1)._replace(label=sides[0])
    if set(chain.relations) != {"="}:
        raise Unreadable("relation")
    named = split_at(sides[0], ":")
    if len(named) > 1 and all(is_label(part) for part in named):
        return _read(" = ".join(sides[1:]), levels - 1)._replace(label=sides[0])
    return _equation(sides, text, levels)


def _approximation(sides: list[str], relations: list[str], levels: int) -> Reading:
    r"""``x = A \approx B``: the exact value where there is one, else the approximation."""
    cut = relations.index(r"\approx")
    exact = sides[: cut + 1]
    if len(exact) == 1 and is_label(exact[0]):
        return _read(sides[-1], levels - 1)._replace(label=exact[0])
    reading = _read(" = ".join(exact), levels - 1)
    if reading.tree is not None and not symbols(reading.tree) and not near_enough(reading.tree, sides[-1]):
        raise Unreadable("contradiction")
    return reading._replace(unit=split_unit(sides[-1])[1]) if reading.kind == "value" and reading.unit is None else reading


def _equation(sides: list[str], text: str, levels: int) -> Reading:
    alike = _alike(sides, text, levels)
    if alike is not None:
        return alike
    if is_label(sides[0]):
        value = _read(sides[-1], levels - 1)
        if not _mentions(value, sides[0]) and sides_agree(sides[1:]):
            return value._replace(label=sides[0]) if not value.label else Reading("text", text, form="contradiction")
        if len(sides) > 2:
            raise Unreadable("contradiction")
    trees = [parse(side) for side in sides]
    if not any(symbols(tree) for tree in trees):
        says_nothing = levels < MAX_LEVELS and len({side.replace(" ", "") for side in sides}) == 1  # one of several answers
        if says_nothing or not sides_agree(sides):
            raise Unreadable("contradiction")
        return _single(sides[-1])
    if len(sides) > 2:
        if sides_agree(sides):
            return _single(sides[-1])
        if not sides_agree(sides[1:]):
            raise Unreadable("contradiction")
        sides, trees = [sides[0], sides[-1]], [trees[0], trees[-1]]
    readings = tuple(Reading("value", side, tree=tree) for side, tree in zip(sides, trees, strict=True))
    return Reading("equation", text, items=readings)


def _alike(sides: list[str], text: str, levels: int) -> Reading | None:
    """``a = b = 3`` as a list of the values of a and b, ``20 m/s = 72 km/h`` as the last measure; None for other chains."""
    if (converted := converted_measure(sides)) is not None:
        return Reading("value", sides[-1], tree=converted[0], unit=converted[1])
    *names, last = sides
    if len(names) < 2 or len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)) or not re.search(r"\d", last):
        return None
    value = _read(last, levels - 1)
    if value.label or value.tree is None or symbols(value.tree):
        return None
    return Reading("list", text, items=tuple(value._replace(label=name) for name in names))


def _mentions(value: Reading, label: str) -> bool:
    if value.tree is None or FUNCTION_LABEL.match(label) or label.startswith(r"\frac"):
        return False
    try:
        return not symbols(parse(label)).isdisjoint(symbols(value.tree))
    except Unreadable:
        return False


def _single(text: str) -> Reading:
    if is_matrix_expression(text):
        return _worked_out(text)
    if (arc := _ARC.match(text)) and (arc[2] or arc[3] or arc[4]):
        degrees = Fraction(arc[1]) + Fraction(arc[2] or 0) / 60 + Fraction(arc[3] or arc[4] or 0) / 3600
        return Reading("value", text, tree=number(degrees), unit=DEGREE)
    chances = _CHANCES.fullmatch(text)
    if chances:
        return Reading("value", text, tree=number(Fraction(int(chances[1]), int(chances[2]))))
    parts = ratio_parts(text)
    if len(parts) > 1 and all(parts):
        return Reading("ratio", text, items=tuple(Reading("value", part, tree=parse(part)) for part in parts))
    core, unit = split_unit(text)
    if unit is None and core == text and r"\text{" in text:
        raise Unreadable("prose")
    try:
        tree = Node("pct", (parse(core[:-2]),)) if _MIXED_PERCENT.fullmatch(core) else parse(core)
    except Unreadable:
        if unit is None or unit.kind != "noun":
            raise
        raise Unreadable("prose") from None
    if "vec" in core and not symbols(tree).isdisjoint(_UNIT_VECTORS):
        return _vector(tree, text)
    if unit is None:
        tree, unit = _degrees(tree)
    return Reading("value", text, tree=tree, unit=unit)


def ratio_parts(text: str) -> list[str]:
    r"""Return the terms of a ratio, ``3:4:5`` or ``3 \text{to} 4 \text{to} 5``; the text itself where it is none."""
    spelled = _TO.sub(":", text) if _TO.search(text) and re.search(r"\d", text) else text
    return split_at(spelled, ":")


def _compound_measure(text: str) -> Reading | None:
    """``2 hours 30 minutes``, with or without ``and``, as one value in the first unit; None for anything else."""
    match = _COMPOUND.match(" ".join(words_apart(text).split())) if text[:1].isdigit() and len(text) < 120 else None
    if match is None:
        return None
    first, second = read_unit(match[2]), read_unit(match[4])
    ratio = factor(second, first) if first and second and first.kind == second.kind and first != second else None
    if ratio is None or ratio >= 1:
        return None
    return Reading("value", text, tree=number(Fraction(match[1]) + Fraction(match[3]) * ratio), unit=first)


def _vector(tree: Node, text: str) -> Reading:
    """``3i + 4j`` with unit vectors, as the tuple of its components."""
    parts: list[Reading] = []
    for name in _UNIT_VECTORS[: 3 if r"\kvec" in symbols(tree) else 2]:
        part = reduce(lambda part, other: substitute(part, other, number(int(other == name))), _UNIT_VECTORS, tree)
        parts.append(Reading("value", text, tree=part))
    return Reading("tuple", text, items=tuple(parts), form="()")


def _degrees(tree: Node) -> tuple[Node, Unit | None]:
    """Return an angle in degrees as its number and its unit."""
    if tree.op == "deg":
        return tree.args[0], DEGREE
    if tree.op in ("neg", "div"):
        inner, unit = _degrees(tree.args[0])
        return (Node(tree.op, (inner, *tree.args[1:])), unit) if unit else (tree, None)
    return tree, None
