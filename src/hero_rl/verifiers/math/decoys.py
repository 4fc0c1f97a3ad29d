r"""Decoys: an answer that a comparison accepts must not pass for something else than the reference, too.

Before a "correct" that is not literal, the same comparison is asked about near misses of the reference: plus one, negated,
doubled, a letter exchanged, an element dropped or added, another word. An answer that fits one of them, ``x = x`` or
a formula that swallows constants, says nothing about the reference. A decoy is made only where it surely differs from the
reference, which is decided here by numbers and spelling and never by the comparison that is being examined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice

from hero_rl.verifiers.math.arbitrary import constants_of
from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, fast, symbols, walk
from hero_rl.verifiers.math.findings import EQUAL, Finding
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.reading import Reading
from hero_rl.verifiers.math.rounding import written_decimal
from hero_rl.verifiers.math.sampling import rename
from hero_rl.verifiers.math.syntax import Node, number
from hero_rl.verifiers.math.values import constant
from hero_rl.verifiers.math.words import keyword_of

MAX_DECOYS = 12
_PER_ELEMENT = 2
_ELEMENTS = 3
_PARAMETERS = frozenset("kmnjl")
_DIFFERS = 1e-6
_POINTS = tuple(
    {"at": Fraction(top, 1013), "step": Fraction(step, 997)} for top, step in ((1409, 211), (733, 389), (2917, -571))
)
_OTHER_WORDS = ("yes", "no", "none", "infinitely many", "even", "odd", "monday", "tuesday")
_RELATIONS = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\cup": r"\cap", r"\cap": r"\cup"}
_RANGE = re.compile(r"\d+\s*-\s*\d+")
_POINT = re.compile(r"\b(?:vertex|points?|coordinates|pairs?|center|centre|centroid|focus|midpoint)\b", re.IGNORECASE)
_NO_IT_IS = re.compile(r"\bno,? (?:since |because |as |for )?(?:it|this|that) is (?:an? )?(?!not\b)([a-z]{3,})", re.IGNORECASE)
_CALCULATED = re.compile(r"\(?[A-J]\)?\s*(?:[+*^/]|\\(?:cdot|times)(?![A-Za-z]))")
_OPTION = re.compile(r"\(?[A-J]\)?")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def are_one_number(finding: Finding, reference: Reading, answer: Reading) -> bool:
    """Return whether numbers, or as many elements that are numbers, were found equal as such.

    Each of them has one value, so that none equals a decoy as well: no decoy is needed where no generous reading was.
    """
    if reference.kind != answer.kind or len(reference.items) != len(answer.items):
        return False
    if reference.items:
        return finding == EQUAL and all(_value(item) is not None for item in reference.items + answer.items)
    x, y = _value(reference), _value(answer)
    if x is None or y is None:
        return False
    return finding == EQUAL or reference.tree == answer.tree or (isinstance(x, Fraction) and isinstance(y, Fraction) and x == y)


def _value(reading: Reading) -> Value | None:
    return constant(reading.tree) if reading.kind == "value" and reading.tree is not None else None


def decoys(reference: Reading, hints: Hints) -> Iterator[Reading]:
    """Yield readings that surely differ from the reference, at most ``MAX_DECOYS``."""
    return islice(_decoys(reference, hints), MAX_DECOYS)


def _decoys(reading: Reading, hints: Hints) -> Iterator[Reading]:
    if reading.kind == "value" and reading.tree is not None:
        for tree in _other_trees(reading.tree, hints):
            yield reading._replace(tree=tree, text=f"decoy of {reading.text}")
    elif reading.kind == "word":
        endless = {"infinity", "infinitely many"}
        same = endless if reading.form in endless else {"no", "none"} if reading.form == "no" else {reading.form}
        yield from (reading._replace(form=word, text=word) for word in _OTHER_WORDS if word not in same)
    elif reading.kind in ("text", "relation"):
        yield from (reading._replace(text=text) for text in _other_texts(reading))
    elif reading.kind == "equation":
        yield from _other_equations(reading)
    elif reading.items:
        yield from _other_elements(reading, hints)


def misread(reference: str, answer: str, problem: str) -> str:
    """Return why a reference may mean something else than what an answer is equal to; "" where it does not."""
    if _RANGE.fullmatch(reference) and not answer.startswith(reference[:1]):
        return "reference_unclear"  # 3-5 is a range, not minus two
    if reference.startswith("(") and "<" in answer and _POINT.search(problem):
        return "brackets_differ"
    if (spoken := _NO_IT_IS.search(answer)) and spoken[1].lower() in problem.lower():
        return "words"  # is it rational? No, it is rational.
    option = _OPTION.fullmatch(reference)
    return "choice_unclear" if option and _CALCULATED.match(answer) else ""


def decoys_of_text(text: str) -> list[str]:
    """Return near misses of a reference that only another parser can read: a number, a letter, a sign, a bound exchanged.

    One of them may mean the same by chance (``x^2 + y^2`` with its letters exchanged); that costs an abstention.
    """
    found: list[str] = []
    numbers = list(_NUMBER.finditer(text))
    for match in (*numbers[:1], *numbers[1:][-1:]):
        found.append(text[: match.start()] + str(int(float(match.group())) + 1) + text[match.end() :])
    if letter := re.search(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", text):
        found.append(f"{text[: letter.start()]}{'p' if letter.group() == 'q' else 'q'}{text[letter.end() :]}")
    exchanged = [text.replace(old, new, 1) for old, new in ((r"\infty", "7"), ("+", "-"), ("-", "+")) if old in text]
    return found + exchanged[:1]


# ------------------------------------------------------------------------------------------- values


def _other_trees(tree: Node, hints: Hints) -> Iterator[Node]:
    if any(node.op in ("pm", "mp") for node in walk(tree)):
        yield Node("add", (tree, number(1)))
    else:
        yield from (decoy for decoy in _near_misses(tree, hints) if _surely_differ(tree, decoy))


def _near_misses(tree: Node, hints: Hints) -> Iterator[Node]:
    names = symbols(tree)
    if not names:
        yield from (_shifted_constant(tree), Node("neg", (tree,)), Node("mul", (number(2), tree)))
        return
    constants = set(constants_of(tree, hints, known=True))
    if constants:
        for variable in sorted(names - constants)[:1]:
            yield Node("add", (tree, Node("pow", (Node("sym", (), None, variable), number(7)))))
        return
    yield Node("add", (tree, number(1)))
    yield Node("mul", (number(2), tree))
    if not names & _PARAMETERS - hints.letters:
        yield Node("neg", (tree,))
    yield from _other_letters(tree, names & hints.letters if hints.given else names)
    yield from _other_operators(tree)


def _shifted_constant(tree: Node) -> Node:
    """Return a constant a little off, in the same notation: what a rounding cannot explain."""
    if written_decimal(tree) is None:
        return Node("add", (tree, number(1)))
    if tree.op != "num" or tree.value is None:
        return Node("mul", (number(Fraction(11, 10)), tree))
    shift = 1 if abs(tree.value) < 100 else abs(tree.value) // 10
    value = tree.value + shift
    return Node("num", (), value, f"{float(value):.{len(tree.name.partition('.')[2])}f}")


def _other_equations(reading: Reading) -> Iterator[Reading]:
    """Yield the equation with one side shifted; scaling a side, or another letter, may change nothing."""
    for index, side in enumerate(reading.items):
        if side.tree is not None:
            shifted = side._replace(tree=Node("add", (side.tree, number(1))))
            items = (*reading.items[:index], shifted, *reading.items[index + 1 :])
            yield reading._replace(items=items, text=f"decoy of {reading.text}")


def _other_letters(tree: Node, names: frozenset[str]) -> Iterator[Node]:
    for name in sorted(names)[:_ELEMENTS]:
        if len(name) == 1 and name.isalpha() and name not in _PARAMETERS:
            yield rename(tree, {name: name.swapcase()})
    plain = sorted(name for name in names if len(name) == 1)
    if len(plain) >= 2:
        yield rename(tree, {plain[0]: plain[1]})


def _other_operators(tree: Node) -> Iterator[Node]:
    """Yield the tree with the sign of one term turned, and with one exponent raised."""
    for node in islice((node for node in walk(tree) if node.op == "add" and len(node.args) >= 2), 1):
        last = node.args[-1]
        turned = last.args[0] if last.op == "neg" else Node("neg", (last,))
        yield _with(tree, node, node._replace(args=(*node.args[:-1], turned)))
    for node in islice((node for node in walk(tree) if node.op == "pow"), 1):
        yield _with(tree, node, node._replace(args=(node.args[0], Node("add", (node.args[1], number(1))))))


def _with(tree: Node, old: Node, new: Node) -> Node:
    if tree is old:
        return new
    return tree._replace(args=tuple(_with(arg, old, new) for arg in tree.args)) if tree.args else tree


def _surely_differ(a: Node, b: Node) -> bool:
    """Return whether two trees clearly differ in value at some point."""
    names = sorted(symbols(a) | symbols(b))
    for point in _POINTS:
        values = {name: point["at"] + index * point["step"] for index, name in enumerate(names)}
        try:
            x, y = (complex(evaluate(tree, values, fast())) for tree in (a, b))
        except (Undefined, OverflowError):
            continue
        if abs(x - y) > _DIFFERS * max(abs(x), abs(y)):
            return True
        if not names:
            break
    return False


# ------------------------------------------------------------------------------------------- texts and collections


def _other_texts(reading: Reading) -> Iterator[str]:
    text = reading.text
    keyword = keyword_of(text) if reading.kind == "text" else None
    if keyword in ("yes", "no"):
        yield re.sub(keyword, "no" if keyword == "yes" else "yes", text, count=1, flags=re.IGNORECASE)
        return
    for match in islice(_NUMBER.finditer(text), _ELEMENTS):  # by a fraction: angles may agree a whole number apart
        yield f"{text[: match.start()]}{int(float(match.group()))}.37{text[match.end() :]}"
    for old, new in _RELATIONS.items():
        if old in text:
            yield text.replace(old, new)
    if reading.kind == "text":
        yield f"not {text}"
        yield f"{text} only if it is odd"


def _other_elements(reading: Reading, hints: Hints) -> Iterator[Reading]:
    items, reading = reading.items, reading._replace(text=f"decoy of {reading.text}")
    for index, item in list(enumerate(items))[:_ELEMENTS]:
        if _stands_alone(items, index):
            for decoy in islice(_decoys(item, hints), _PER_ELEMENT):
                yield reading._replace(items=(*items[:index], decoy, *items[index + 1 :]))
    if reading.kind in ("list", "set"):
        yield reading._replace(items=(*items, Reading("value", "7919", tree=number(7919))))
        if len(items) > 1 and _stands_alone(items, len(items) - 1):
            yield reading._replace(items=items[:-1])
    if reading.kind == "tuple" and len(items) > 1:
        first, last = items[0].tree, items[-1].tree
        if first and last and _surely_differ(first, last):
            yield reading._replace(items=(items[-1], *items[1:-1], items[0]))


def _stands_alone(items: Sequence[Reading], index: int) -> bool:
    """Return whether no other element may have the value of this one, so that the collection changes without it."""
    own = items[index].tree
    rest = [item for at, item in enumerate(items) if at != index]
    if own is None:
        return items[index] not in rest
    return all(item.tree is not None and r"\pm" not in item.text and _surely_differ(own, item.tree) for item in rest)
