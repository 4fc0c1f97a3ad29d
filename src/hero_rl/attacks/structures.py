r"""Tuples, lists, sets, intervals, unions, matrices, equations and inequalities with one part changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hero_rl.attacks.formulas import formula_changes, free_letters, is_formula
from hero_rl.attacks.numbers import far_apart, read_number
from hero_rl.attacks.text import Context, Wrong, in_order, letters_of, split_top, squeezed, tidy
from hero_rl.attacks.values import same_value

_RELATIONS = {"<": ">", ">": "<", "\\leq": "\\geq", "\\geq": "\\leq", "\\le": "\\ge", "\\ge": "\\le", "≤": "≥", "≥": "≤"}
_STRICT = {"<": "\\leq ", ">": "\\geq ", "\\leq": "<", "\\geq": ">", "\\le": "<", "\\ge": ">", "≤": "<", "≥": ">"}
_RELATION = re.compile(r"<|>|≤|≥|\\(?:leq|geq|le|ge)(?![A-Za-z])")
_HARD = re.compile(
    r"\\(?:text|mathrm|in|pm|mp|ldots|mathbb|begin|to|mid|equiv|quad|infty|forall|setminus)(?![A-Za-z])|…|\.\.\.|;|:|&"
)
_TURN = {"(": "[", "[": "(", ")": "]", "]": ")"}
_HEAD = re.compile(r"(?P<name>[A-Za-z](?:_\{?\w\}?)?|\\[A-Za-z]+)\s*\(\s*(?P<letters>[A-Za-z](?:\s*,\s*[A-Za-z])*)\s*\)")


class Items(NamedTuple):
    """A list with the brackets around it, if any."""

    opening: str
    parts: tuple[str, ...]
    closing: str

    def written(self, parts: tuple[str, ...]) -> str:
        """Write other parts in the same brackets."""
        return f"{self.opening}{', '.join(parts)}{self.closing}"


def structure_changes(text: str, context: Context, pick: int) -> Iterator[Wrong]:
    """Yield wrong answers for a reference that has parts; none for plain numbers, formulas and words."""
    text = tidy(text)
    if len(split_top(text, "\\cup")) > 1 or is_interval(text, context):
        yield from _interval_changes(text)
    elif (items := read_items(text)) is not None:
        yield from _item_changes(items, context, pick)
    elif _RELATION.search(text):
        yield from _relation_changes(text)
    elif text.count("=") == 1:
        yield from _equation_changes(text, context, pick)
    elif "\\begin{pmatrix}" in text or "\\begin{bmatrix}" in text:
        yield from _matrix_changes(text, context, pick)


def read_items(text: str) -> Items | None:
    r"""Read a tuple, a set in braces or a list without brackets, of two parts or more.

    >>> read_items("(1, 2)").parts
    ('1', '2')
    """
    text = tidy(text)
    if _HARD.search(text) or not in_order(text) or _RELATION.search(text):
        return None
    for opening, closing in (("(", ")"), ("\\{", "\\}")):
        inside = text[len(opening) : len(text) - len(closing)]
        if text.startswith(opening) and text.endswith(closing) and in_order(inside) and inside == inside.strip("\\"):
            parts = tuple(split_top(inside))
            return Items(opening, parts, closing) if len(parts) > 1 and all(parts) else None
    if read_number(text) is not None:
        return None  # 58,500
    parts = tuple(split_top(text))
    return Items("", parts, "") if len(parts) > 1 and all(parts) and "=" not in text else None


def is_interval(text: str, context: Context) -> bool:
    """Return whether two values in brackets are an interval and no pair."""
    match = re.fullmatch(r"([(\[])(.+)([)\]])", text)
    if match is None or len(split_top(match[2])) != 2 or not in_order(match[2]):
        return False
    mixed = (match[1] == "[") != (match[3] == "]")
    named = context.mentions("interval" if match[1] == "[" else "interval notation")
    return mixed or "\\infty" in text or named


def _interval_changes(text: str) -> Iterator[Wrong]:
    pieces = split_top(text, "\\cup")
    if len(set(map(squeezed, pieces))) < len(pieces):
        return
    if len(pieces) > 1:
        yield Wrong("elements", "one dropped", r" \cup ".join(pieces[:-1]))
        yield Wrong("elements", "one dropped", r" \cup ".join(pieces[1:]))
    read = [match for piece in pieces if (match := re.fullmatch(r"([(\[])([^,]+),([^,]+)([)\]])", piece))]
    if len(read) < len(pieces):
        return
    for place, match in enumerate(read[:2]):
        left, low, high, right = match[1], match[2].strip(), match[3].strip(), match[4]
        rest = lambda piece, place=place: r" \cup ".join([*pieces[:place], piece, *pieces[place + 1 :]])  # noqa: E731
        touched = [squeezed(end) for number, other in enumerate(read) if number != place for end in other.group(2, 3)]
        if "infty" not in low and squeezed(low) not in touched:
            yield Wrong("brackets", "the first changed", rest(f"{_TURN[left]}{low}, {high}{right}"))
        if "infty" not in high and squeezed(high) not in touched:
            yield Wrong("brackets", "the last changed", rest(f"{left}{low}, {high}{_TURN[right]}"))
        end = read_number(high)
        if end is not None and len(pieces) == 1:
            yield Wrong("elements", "an end moved", f"{left}{low}, {end.written(end.value + 1)}{right}")
    if len(pieces) == 1 and squeezed(read[0][2]) != squeezed(read[0][3]):
        yield Wrong("order", "reversed", f"{read[0][1]}{read[0][3].strip()}, {read[0][2].strip()}{read[0][4]}")


def _item_changes(items: Items, context: Context, pick: int) -> Iterator[Wrong]:
    parts = items.parts
    if any("=" in part for part in parts) or any(free_letters(part, context) for part in parts):
        return
    distinct = not any(_alike(a, b) for i, a in enumerate(parts) for b in parts[:i])
    place = pick % len(parts)
    if distinct:
        yield Wrong("elements", "one dropped", items.written(parts[:place] + parts[place + 1 :]))
        yield from _changed_elements(items, context, place)
    if items.opening == "(" and not _alike(parts[0], parts[-1]) and _order_matters(context, len(parts)):
        yield Wrong("order", "reversed", items.written(parts[::-1]))
        if len(parts) > 2 and not _alike(parts[0], parts[1]):
            yield Wrong("order", "two exchanged", items.written((parts[1], parts[0], *parts[2:])))


def _changed_elements(items: Items, context: Context, place: int) -> Iterator[Wrong]:
    parts = items.parts
    numbers = [number for part in parts if (number := read_number(part)) is not None]
    if len(numbers) == len(parts):
        values, chosen = {number.value for number in numbers}, numbers[place]
        if items.opening != "(":
            yield Wrong("elements", "one added", items.written((*parts, chosen.written(max(values) + 1))))
        for name, value in (("one more", chosen.value + 1), ("doubled", 2 * chosen.value), ("sign", -chosen.value)):
            if value not in values and all(far_apart(number, value, context) for number in numbers):
                changed = (*parts[:place], chosen.written(value), *parts[place + 1 :])
                yield Wrong("elements", f"one changed: {name}", items.written(changed))
        return
    if is_formula(parts[place]):
        for one in formula_changes(parts[place], context, place):
            if one.kind in ("off by one", "number inside") and not any(_alike(one.answer, part) for part in parts):
                changed = (*parts[:place], one.answer, *parts[place + 1 :])
                yield Wrong("elements", f"one changed: {one.name}", items.written(changed))
                return


def _alike(a: str, b: str) -> bool:
    return squeezed(a) == squeezed(b) or same_value(a, b)


def _order_matters(context: Context, length: int) -> bool:
    if context.mentions("unordered", "in any order", "order does not", "regardless of order"):
        return False
    named = re.search(r"\(\s*\\?\w+" + r"\s*,\s*\\?\w+" * (length - 1) + r"\s*\)", context.problem)
    return named is not None or context.mentions("ordered", "coordinates", "point", "vector")


def _relation_changes(text: str) -> Iterator[Wrong]:
    if _HARD.search(text) or "," in text or "=" in text:
        return
    turned = _RELATION.sub(lambda match: _RELATIONS[match[0]], text)
    yield Wrong("relation", "turned", turned)
    yield Wrong("relation", "strict or not", _RELATION.sub(lambda match: _STRICT[match[0]], text, count=1))
    sides = [side.strip() for side in _RELATION.split(text)]
    end = read_number(sides[-1]) if len(sides) == 2 else None
    if end is not None:
        yield Wrong("relation", "the bound moved", text[: len(text) - len(sides[-1])] + end.written(end.value + 1))


def _equation_changes(text: str, context: Context, pick: int) -> Iterator[Wrong]:
    left, right = (side.strip() for side in text.split("="))
    if _HARD.search(text) or not right or not left or not in_order(right):
        return
    head = _HEAD.fullmatch(left)
    bound = letters_of(head["letters"]) if head else frozenset[str]()
    if not head and len(letters_of(left)) > 1 and not letters_of(left) <= context.letters:
        return  # a name of the reference's own
    if (number := read_number(right)) is not None:
        for name, value in (("one more", number.value + 1), ("doubled", 2 * number.value), ("the other sign", -number.value)):
            if far_apart(number, value, context):
                yield Wrong("equation", name, f"{left} = {number.written(value)}")
    elif is_formula(right):
        for one in formula_changes(right, context, pick, bound | (letters_of(left) if not head else frozenset())):
            if one.kind in ("off by one", "sign", "scaled", "number inside", "exponent"):
                yield Wrong("equation", f"right side: {one.kind}, {one.name}", f"{left} = {one.answer}")


def _matrix_changes(text: str, context: Context, pick: int) -> Iterator[Wrong]:
    match = re.fullmatch(r"\\begin\{([pb]matrix)\}(.+)\\end\{\1\}", text)
    if match is None or context.mentions("eigenvector", "direction", "normal vector", "example"):
        return
    entries = re.split(r"(&|\\\\)", match[2])
    place = pick % (len(entries) // 2 + 1) * 2
    number = read_number(entries[place])
    if number is None:
        return
    for name, value in (("one more", number.value + 1), ("the other sign", -number.value)):
        if far_apart(number, value, context):
            changed = [*entries[:place], f" {number.written(value)} ", *entries[place + 1 :]]
            yield Wrong("elements", f"an entry changed: {name}", rf"\begin{{{match[1]}}}{''.join(changed)}\end{{{match[1]}}}")
