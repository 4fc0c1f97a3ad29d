"""Is an answer nothing but the question, or has it yet to be solved? Compared as trees, in any order, without idle parts."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from functools import lru_cache

from hero_rl.verifiers.latex import relation_chain, split_list
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.evaluate import symbols, walk
from hero_rl.verifiers.math.labels import is_label, is_product
from hero_rl.verifiers.math.sampling import compare_trees
from hero_rl.verifiers.math.sought import AXES, asks_equation, squeezed
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node
from hero_rl.verifiers.math.units import Unit, factor, read_unit

MAX_FORMULAS = 40
MAX_PROBLEM_CHARS = 5_000
_UNIT_CHARS = 40
_REWRITE = re.compile(
    r"\b(?:convert|write|express|change|simplify|rewrite|round|reduce)\s+(?:the (?:fraction|number|decimal|expression|ratio) )?"
    r"(.{1,60}?)(?=\s+(?:as|in|to|into)\b|[.?!](?:\s|$)|$)",
    re.IGNORECASE,
)
_TEXT = re.compile(r"\\text\s*\{[^{}]*\}")
_NO_LETTER = re.compile(
    r"\\(?:[dt]?frac|sqrt|pi|cdot|times|div|pm|infty|circ|ln|log|sin|cos|tan|arc\w+|cup|text|mathbb|left|right)(?![A-Za-z])|"
    r"(?<![A-Za-z])[ei](?![A-Za-z])"
)
_ANY_FORM = re.compile(
    r"\b(?:lines?|planes?|asymptotes?|ax[ie]s|directrix|curve|locus|circles?|tangent|normal|bisector|equations? of|"
    r"(?:equation|inequality|constraint|condition)s? (?:for|that|which|represent\w*|describ\w*|model\w*))\b",
    re.IGNORECASE,
)
_SIZE = re.compile(r"^\s*\|\s*([A-Za-z])\s*\|\s*$")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?|-?\\frac\{\d+\}\{\d+\}|-?\d+/\d+")
_QUOTIENT = re.compile(r"\\frac\{\d+\}\{\d+\}|\d+/\d+")
_UNWORKED = re.compile(
    r"\\(?:gcd|lcm|lim|i*int|sum|prod|det|max|min)(?![A-Za-z])|\\(?:text|operatorname)\{\s*(?:gcd|lcm)|"
    r"\\d?frac\s*\{\s*(?:d|\\partial)\s*\}\s*\{\s*(?:d|\\partial)\s*[a-z]|(?:[+*]|\\cdot|\\times)\s*\\[cl]?dots"
)
"""Notation that is left to be worked out whatever the answer is."""
_UNWORKED_NUMBER = re.compile(r"\\(?:lfloor|lceil|operatorname|sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_FUNCTION = re.compile(r"\\(?:log|ln|binom|arc[a-z]+|sqrt\[)(?![A-Za-z])")
_OPERATION = re.compile(r"(?<=[\w})])\s*(?:[-+*!]|\\cdot|\\times|\^(?!\s*\{?\s*\\circ))|\\(?:binom|sqrt)(?![A-Za-z])")
_SCIENTIFIC = re.compile(r"-?[\d.]+\s*(?:\\times|\\cdot)\s*10\s*\^\s*(?:\d|\{\s*-?\d+\s*\})")
_LOWEST = re.compile(
    r"\blowest terms|\bsimplest form|\breduced? (?:fraction|form|to)|\bsimplified fraction|\bsimplify\b", re.IGNORECASE
)
_ARITHMETIC = re.compile(r"[\d.\s(){}]+(?:(?:[-+*]|\\cdot|\\times)[\d.\s(){}]+)+")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{?(\w+)\}?\s*\{?(\w+)\}?")
_UNDRESSED = re.compile(r"\\(?:text|mathrm)|[{}\s$~\\]")
_FORMULA = re.compile(r"\$\$?([^$]{2,200})\$\$?|\\\((.{2,200}?)\\\)|\\\[(.{2,200}?)\\\]", re.DOTALL)


def is_part_of(answer: str, problem: str) -> bool:
    """Return whether a cleaned answer, as a tree, stands in a formula of the question.

    >>> is_part_of("b+2^{5}+0", "What is $2^5 + b$?"), is_part_of("32", "What is $2^5$?")
    (True, False)
    """
    try:
        tree = _ordered(parse(answer))
    except Unreadable:
        return False
    return tree.op != "num" and tree in _expressions(problem)


def is_to_rewrite(answer: str, problem: str) -> bool:
    """Return whether an answer is what a question asks to write in another form, as it stands there.

    >>> is_to_rewrite("0.5", "Write 0.5 as a common fraction."), is_to_rewrite("0.5", "Write 1/2 as a decimal.")
    (True, False)
    """
    given = _to_rewrite(problem)
    return bool(given) and _plain(answer) in given


def is_to_work_out(reference: str, answer: str, problem: str) -> bool:
    r"""Return whether an answer leaves the number asked for to be worked out: a limit, a sum, or the question's own numbers.

    >>> is_to_work_out("6", r"2\cdot 3", "What is 2 times 3?"), is_to_work_out("6", "7-1", "What is 2 times 3?")
    (True, False)
    """
    reference, answer = (relation_chain(clean(text)).sides[-1].strip() for text in (reference, answer))
    if not problem or _leaves_function(reference, answer, problem):
        return bool(problem)
    if not _PLAIN_NUMBER.fullmatch(reference):
        return False
    if _OPERATION.search(answer) and not _SCIENTIFIC.fullmatch(answer) and _is_worth(problem, reference):
        return True
    quotient = reference.isdecimal() and _QUOTIENT.fullmatch(answer) is not None
    if not quotient and (_PLAIN_NUMBER.fullmatch(answer) or not _ARITHMETIC.fullmatch(answer)):
        return False
    return set(_NUMBER.findall(problem[-MAX_PROBLEM_CHARS:])).issuperset(_NUMBER.findall(answer))


def _leaves_function(reference: str, answer: str, problem: str) -> bool:
    r"""Return whether an answer has a function to be worked out that the reference has not: ``\int_0^1 t\,dt`` for 1/2."""
    if _UNWORKED.search(reference) or _UNWORKED.search(answer):
        return not _UNWORKED.search(reference)
    if re.search("[A-Za-z]", _NO_LETTER.sub(" ", reference)) or _UNWORKED_NUMBER.search(reference):
        return False
    if _UNWORKED_NUMBER.search(answer):
        return True
    left = set(_FUNCTION.findall(answer)) - set(_FUNCTION.findall(reference)) if "." not in reference else ()
    return any(name in problem for name in left)


@lru_cache(maxsize=1024)
def _is_worth(problem: str, value: str) -> bool:
    """Return whether a formula of the question has this value: it is to be worked out, and not written in another way."""
    with suppress(Unreadable):
        expected = _ordered(parse(value))
        return any(
            tree.args and not symbols(tree) and compare_trees(tree, expected) == "equal" for tree in _expressions(problem)
        )
    return False


@lru_cache(maxsize=1024)
def _to_rewrite(problem: str) -> frozenset[str]:
    return frozenset(_plain(match[1]) for match in _REWRITE.finditer(problem[-MAX_PROBLEM_CHARS:]))


def _plain(text: str) -> str:
    return re.sub("[()]", "", _UNDRESSED.sub("", _FRACTION.sub(r"\1/\2", text)))


def is_left_as_given(reference: str, answer: str, problem: str) -> bool:
    """Return whether an answer is what the question gives, which was to be rewritten or worked out."""
    return (
        is_to_rewrite(answer, problem)
        or is_to_work_out(reference, answer, problem)
        or (problem != "" and _is_in_form_given(reference, answer, problem))
    )


def _is_in_form_given(reference: str, answer: str, problem: str) -> bool:
    r"""Return whether a number is in the notation that was to be left, or a fraction not in the lowest terms asked for.

    >>> _is_in_form_given("0.375", r"\frac{6}{16}", r"Express $\frac{3}{8}$ as a decimal.")
    True
    """
    kind, wanted = _notation(answer), _notation(reference)
    if kind == wanted == "fraction" and _LOWEST.search(problem):
        return math.gcd(*map(int, re.findall(r"\d+", _plain(answer)))) > 1
    return kind != wanted and kind != "" != wanted and kind in map(_notation, _to_rewrite(problem))


def _notation(text: str) -> str:
    plain = _plain(text).strip(" -")
    if re.fullmatch(r"\d+[/:]-?\d+", plain):
        return "fraction"
    return "decimal" if re.fullmatch(r"\d*\.(?:\d|overline|dot|ldots|dots|\.\.)+", plain) else ""


def what_is_left(reference: str, answer: str, problem: str) -> str:
    """Return why an answer, equal or not, leaves to be done what the question asks, as a reason code; "" where it does not."""
    if is_left_as_given(reference, answer, problem):
        return "copied_from_question"
    return "not_solved" if is_unsolved(reference, answer, problem) else ""


def is_unsolved(reference: str, answer: str, problem: str) -> bool:
    r"""Return whether an answer has yet to be solved for the letter for which the reference is, ``3x > 6`` for ``x > 2``.

    Without a question nothing is known to be sought. The equation of a line may have any form, unless the question says that
    it wants one letter; any other formula has to have the reference's letter alone.

    >>> is_unsolved("x > 2", "3x > 6", "Solve 3x > 6."), is_unsolved("x = 2", "x - 2 = 0", "Which line is it?")
    (True, False)
    """
    solved = {_solved_for(part) for part in split_list(reference)} if problem.strip() else ()
    if len(solved) != 1 or not (found := solved.pop()):
        return False
    letter, is_constant = found[0], not found[1]
    name = rf"[\s$\\({{]*(?:the )?(?:variable |letter )?[\s$\\({{]*{re.escape(letter)}(?![A-Za-z])"
    if is_constant and _ANY_FORM.search(problem) and not re.search(r"\b[Ss]olv", problem):
        return False
    is_curve = letter in AXES and not AXES.isdisjoint(found[1]) and "inverse" not in problem
    if (
        not is_constant
        and (is_curve or asks_equation(problem))
        and not re.search(
            rf"\bsolv\w*\b.{{0,200}}\bfor{name}|\b(?:express|write|find){name}.{{0,60}}\b(?:in terms of|as a function of)|"
            rf"\b(?:find|determine|what is){name}[\s$)}}\\]*[.?]|"
            rf"\bmake{name}.{{0,9}}\bthe subject|\brearrang\w+.{{0,200}}\bfor{name}",
            problem,
            re.IGNORECASE | re.DOTALL,
        )
    ):
        return False
    parts = split_list(answer)
    sized = len(parts) == 1 and squeezed(answer) not in squeezed(problem)
    given = [_solved_for(part, sized) for part in parts if {*relation_chain(part).relations} - {r"\in"}]
    return any(one is None or (one[0] != letter and (letter in one[1] or is_product(one[0], letter))) for one in given)


def _solved_for(text: str, sized: bool = True) -> tuple[str, str] | None:
    """Return the name that is alone on a side of a relation and on no other, and the letters of the other sides."""
    chain = relation_chain(_TEXT.sub(" ", text))
    if sized and "=" not in chain.relations:  # |x| < 1 is solved for x
        chain = chain._replace(sides=[_SIZE.sub(r"\1", side) for side in chain.sides])
    alone = [side for side in chain.sides if is_label(side)]
    if not chain.relations or len(alone) != 1:
        return None
    rest = " ".join(_NO_LETTER.sub(" ", side) for side in chain.sides if side != alone[0])
    others = "".join(re.findall(r"\\?[A-Za-z]+", rest))
    return None if alone[0] in others else (alone[0], others)


def is_given(answer: str, unit: Unit | None, problem: str) -> bool:
    """Return whether a question has a quantity itself, with its number and its unit, so that it was to be converted.

    >>> is_given("90 km/h", read_unit("km/h"), "Convert 90 km/h to m/s.")
    True
    """
    number = re.match(r"-?\d[\d.,]*(?<=\d)", answer.strip())
    if number is None:
        return False
    if unit is None:  # a letter that may be one: 250 g
        return _UNDRESSED.sub("", answer) in _UNDRESSED.sub("", problem)
    found = re.finditer(rf"(?<![\d.]){re.escape(number.group())}(?![\d]|\.\d)", problem[-MAX_PROBLEM_CHARS:])
    behind = [problem[match.end() : match.end() + _UNIT_CHARS] for match in found]
    if unit.kind == "degree":
        return any(re.match(r"\s*(?:\^?\s*\{?\s*\\circ|°|degrees?)", text) for text in behind)
    return bool(unit.name) and any(_begins_with(text, unit) for text in behind)


def _begins_with(text: str, unit: Unit) -> bool:
    """Return whether the first word, or the first two or three, are the unit."""
    words = re.sub(r"\\(?:text|mathrm|textrm|rm)\s*\{|[${}~\\]", " ", text).lstrip("- ").split()
    for count in (3, 2, 1):
        first = " ".join(words[:count]).rstrip(".,;:?!)")
        other = read_unit(first) if first and len(words) >= count else None
        if other and (other.name == unit.name or (other.kind == unit.kind != "noun" and factor(other, unit) == 1)):
            return True
    return False


@lru_cache(maxsize=512)
def _expressions(problem: str) -> frozenset[Node]:
    """Return the expressions in the formulas of a question, their parts included."""
    found: set[Node] = set()
    for match in list(_FORMULA.finditer(problem))[:MAX_FORMULAS]:
        for side in relation_chain(clean(match[1] or match[2] or match[3])).sides:
            try:
                found.update(walk(_ordered(parse(side))))
            except Unreadable:
                continue
    return frozenset(found)


def _ordered(tree: Node) -> Node:
    """Return a tree with sums and products flat and sorted, without names of numerals, zeros added and ones multiplied."""
    if not tree.args:
        return tree._replace(name="") if tree.op == "num" else tree
    args = [_ordered(arg) for arg in tree.args]
    if tree.op in ("add", "mul"):
        idle = 0 if tree.op == "add" else 1
        flat = [part for arg in args for part in (arg.args if arg.op == tree.op else (arg,))]
        args = sorted((part for part in flat if part.value != idle or part.op != "num"), key=repr)
        if len(args) == 1:
            return args[0]
    return tree._replace(args=tuple(args))
