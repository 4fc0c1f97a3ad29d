r"""Typed comparison: two cleaned texts are read as things of a kind, and compared as such. Bounded effort, no sympy."""

from __future__ import annotations

import re
from functools import partial

from hero_rl.verifiers.latex import TURNED, Chain, relation_chain, split_list
from hero_rl.verifiers.math.chemistry import compare_chemistry
from hero_rl.verifiers.math.choices import Same, compare_choices, compare_statements
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.copies import is_given, is_part_of, what_is_left
from hero_rl.verifiers.math.decoys import are_one_number, decoys, misread
from hero_rl.verifiers.math.domains import relate_domains
from hero_rl.verifiers.math.equations import compare_equations
from hero_rl.verifiers.math.evaluate import evaluate, fast, symbols
from hero_rl.verifiers.math.families import compare_families
from hero_rl.verifiers.math.fields import NO_FIELDS, Fields, check_fields, hints_for, order_is_open, with_fields
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, all_of, different, equal, unsure
from hero_rl.verifiers.math.intervals import compare_regions, has_symbolic_ends, whole_ends
from hero_rl.verifiers.math.labelled import all_symbols, compare_labelled, with_bound_renamed, with_constant_renamed
from hero_rl.verifiers.math.labels import changes_value
from hero_rl.verifiers.math.matrices import multiple_of_identity
from hero_rl.verifiers.math.numerals import compare_numerals
from hero_rl.verifiers.math.parts import are_labelled, compare_parts
from hero_rl.verifiers.math.pieces import compare_pieces
from hero_rl.verifiers.math.problem import Hints, integer_letters
from hero_rl.verifiers.math.quantities import compare_ratios, with_asked_unit
from hero_rl.verifiers.math.reading import ONE_OF, Reading, read
from hero_rl.verifiers.math.regions import compare_letters, read_region, region_letters
from hero_rl.verifiers.math.sampling import constant_ratio, points
from hero_rl.verifiers.math.sequences import compare_sequences
from hero_rl.verifiers.math.sought import remainder, says_order, with_decimal_points
from hero_rl.verifiers.math.statements import same_list, same_statement, says_no_more
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.times import compare_moments
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import minus
from hero_rl.verifiers.math.words import EXCLUSIVE, keyword_of, same_word

_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
_TO_WORK_OUT = re.compile(r"[-+*^=!(]|\\(?!frac\{\d+\}\{\d+\}$)[a-z]|(?<=\d)/(?=\d+\D)")
_LETTERS_IN_A_ROW = re.compile(r"[A-Z](?:[\s,<>]*[A-Z])+")
_SIMPLE = re.compile(r"(?:[-+*/^().\d\s{}]|\\(?:frac|sqrt|pi|cdot|times|pm|circ)(?![A-Za-z])|\\[%$])*")
"""Numbers and what is made of them: no text of another kind."""
_AFTER_COMMAND = re.compile(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])")
_CONDITION = re.compile(r"(?:\\in\s*)?((?<=\\in)\s*\S.*|[A-Za-z]\s*(?:[<>]|\\[lgn]e(?![A-Za-z])).*)")
_LETTER_ALONE = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")
_MANY = frozenset(("infinity", "infinitely many"))
_GARBAGE = frozenset(
    ("syntax", "sign_unknown", "numbers_side_by_side", "contradiction", "repeated_factorial", "digits_of_another_base")
)


def compare_typed(reference: str, answer: str, problem: str, fields: Fields = NO_FIELDS) -> Finding:
    """Return how a cleaned answer relates to a cleaned reference, given the text of the question ("": not known).

    ``different`` is said only where both were understood as the same kind of thing; ``unsure`` names the obstacle.
    """
    if (obstacle := check_fields(fields)) is not None:
        return obstacle
    reference, answer = with_fields(reference, answer, fields)
    if _squeezed(reference) == _squeezed(answer) and reference:
        return EQUAL
    hints = hints_for(problem, fields)
    finding = _compare_hinted(reference, answer, problem, hints)
    if finding.relation == "different" and fields.ordered is False and read(reference).kind == read(answer).kind == "tuple":
        return unsure("order_unclear")
    if finding.relation == "equal" and _is_copied(answer, hints):
        return unsure("copied_from_question")
    if finding.relation == "equal" and (undone := what_is_left(reference, answer, problem)):
        return unsure(undone)
    if finding.relation == "equal" and (doubt := misread(reference, answer, problem)):
        return unsure(doubt)
    if finding.reason == "equal_converted" and is_given(answer, read(answer).unit, problem):
        return unsure("copied_from_question")
    said = fields.ordered is None and not hints.ordered and says_order(problem)
    if finding.relation == "equal" and (said or order_is_open(hints, fields)):
        in_order = _compare_hinted(reference, answer, problem, hints.knowing(ordered=True))
        return in_order if in_order.relation == "equal" else unsure("order_unclear")
    return finding


def _is_copied(answer: str, hints: Hints) -> bool:
    """Return whether an answer is an expression of the question, in whatever order: what was to be worked out is no answer."""
    text = _squeezed(answer)
    if hints.choices or len(text) < 2 or not _TO_WORK_OUT.search(text):
        return False
    return text in _squeezed(clean(hints.text)) or is_part_of(answer, hints.text)


def _compare_hinted(reference: str, answer: str, problem: str, hints: Hints) -> Finding:
    choice = _compare_choices(reference, answer, hints)
    if choice is not None:
        return choice

    if r"\text{mod" not in reference and (stated := remainder(answer, problem)) is not None:
        answer = stated

    def same(one: str, other: str) -> Finding:
        return _compare_guarded(read(one), read(other), hints)

    plain = _SIMPLE.fullmatch(reference) and _SIMPLE.fullmatch(answer)
    simple = plain and not are_labelled(reference, answer)
    if not plain and _are_joined_otherwise(read(reference), read(answer)):
        return unsure("and_or_or")
    other_kind = compare_moments(reference, answer, problem)
    if not simple:
        other_kind = other_kind or _compare_other_kinds(reference, answer, problem, hints, same)
    if other_kind is not None:
        return other_kind
    if plain and not simple:  # (1) 2 (2) 5 is no product
        return unsure("number_of_answers")
    pointed = with_decimal_points(reference, answer, problem)
    if pointed is not None and _compare_guarded(read(pointed[0]), read(pointed[1]), hints).relation == "equal":
        return equal("equal_decimal_comma")
    finding = _compare_guarded(read(reference), read(answer), hints)
    if finding.relation == "equal" and pointed is not None and ";" in answer and ";" not in reference:
        return unsure("undecided")  # 0,5 is a number there, and 0; 5 are two
    return (compare_parts(reference, answer, same) or finding) if finding.relation == "unsure" else finding


def _are_joined_otherwise(a: Reading, b: Reading) -> bool:
    """Return whether values of several letters, or statements, are joined by ``or`` on one side and not on the other."""
    return a.form != b.form and (ONE_OF in (a.form, b.form) or (a.kind == b.kind == "list" and a.form != "" != b.form))


def _compare_other_kinds(reference: str, answer: str, problem: str, hints: Hints, same: Same) -> Finding | None:
    """Compare texts of a kind of their own: reactions, numerals, families, pieces, labelled parts; None: of no such."""
    return (
        compare_chemistry(reference, answer)
        or compare_numerals(reference, answer, problem)
        or compare_families(reference, answer, problem, hints)
        or compare_pieces(reference, answer, same)
        or (compare_parts(reference, answer, same) if are_labelled(reference, answer) else None)
    )


def _compare_guarded(reference: Reading, answer: Reading, hints: Hints) -> Finding:
    """Compare two readings; an answer that fits a decoy of the reference as well says nothing, and is not accepted."""
    reference, answer = with_asked_unit(reference, hints.text), with_asked_unit(answer, hints.text)
    if hints.several and {reference.kind, answer.kind} & {"list", "set", "value"}:
        reference, answer = _bracketed_list(reference), _bracketed_list(answer)
    finding = compare_readings(reference, answer, hints)
    if finding.relation != "equal" or reference == answer or are_one_number(finding, reference, answer):
        return finding
    wrong = decoys(reference, hints)
    if hints.tolerance is not None:  # what is near enough to the reference is no decoy
        wrong = [decoy for decoy in wrong if compare_readings(reference, decoy, hints).relation != "equal"]
        hints = hints.knowing(tolerance=None)
    if any(compare_readings(decoy, answer, hints).relation == "equal" for decoy in wrong):
        return unsure("not_discriminating")
    return finding


def _bracketed_list(reading: Reading) -> Reading:
    return reading._replace(kind="list") if reading.kind == "tuple" and reading.form == "[]" else reading


def _squeezed(text: str) -> str:
    return _SPACE.sub("", _AFTER_COMMAND.sub("\\1\0", text))


def _compare_choices(reference: str, answer: str, hints: Hints) -> Finding | None:
    def same(option: str, text: str) -> Finding:
        return compare_readings(read(option), read(text), hints)

    if len(reference) == 2 and reference.isalpha() and answer == reference[::-1] and hints.segments:
        return equal("equal_renamed")
    if _LETTERS_IN_A_ROW.fullmatch(reference) and _LETTERS_IN_A_ROW.fullmatch(answer) and hints.ordered:
        letters = [re.findall("[A-Z]", text) for text in (reference, answer)]
        return EQUAL if letters[0] == letters[1] else unsure("order_unclear")
    found = compare_choices(reference, answer, hints.choices, same)
    if found is None:
        return None if hints.ordered else compare_statements(reference, answer)
    one, other = (_LETTER_ALONE.findall(text) for text in (reference, answer))
    if found.relation == "equal" and hints.ordered and one != other and sorted(one) == sorted(other):
        return unsure("order_unclear")
    return found


def compare_readings(a: Reading, b: Reading, hints: Hints) -> Finding:
    """Return how two readings relate, the domains of their variables included."""
    if a == b:
        return EQUAL
    if a.domain and b.domain:
        b = with_constant_renamed(a, b, hints)
    finding = _compare_kinds(a, b, hints)
    if finding.relation != "equal":
        return finding
    if b.label and changes_value(b.label, f"{a.label} {hints.text}"):
        return unsure("labels_differ")
    if a.qualifier != b.qualifier:
        return unsure("conditions_differ")
    if a.domain == b.domain:
        return finding
    domains = relate_domains(a.domain, b.domain, hints.text)
    if domains == "differ":  # the question may say itself which values the variables take
        member = _CONDITION.search(a.domain or b.domain) if not (a.domain and b.domain) else None
        if member is None or _squeezed(member[1]) not in _squeezed(clean(hints.text)):
            return unsure("conditions_differ")
    return finding if domains == "same" or finding.lenient else equal("equal_domain_left_out")


def _compare_kinds(a: Reading, b: Reading, hints: Hints) -> Finding:
    if "nothing" in (a.kind, b.kind):
        return different("answer_unreadable") if b.kind == "nothing" else unsure("reference_unreadable")
    if "word" in (a.kind, b.kind):
        return _compare_words(a, b, hints)
    if "text" in (a.kind, b.kind):
        return _compare_text(a, b, hints)
    region = _compare_as_regions(a, b, hints)
    if region is not None:
        return region
    if "equation" in (a.kind, b.kind) and {a.kind, b.kind} <= {"equation", "value"}:
        return compare_equations(a, b, hints)
    if a.kind == b.kind == "value":
        return compare_labelled(a, b, hints)
    if "ratio" in (a.kind, b.kind):
        return compare_ratios(a, b, hints)
    return _compare_parts(a, b, hints)


def _compare_parts(a: Reading, b: Reading, hints: Hints) -> Finding:
    a, b = with_bound_renamed(*_as_matrices(a, b))
    if (r"\mp" in a.text) != (r"\mp" in b.text):
        return unsure("undecided")  # signs that go together, and signs that go apart
    if not {a.kind, b.kind} & {"list", "set", "tuple", "matrix"}:
        return unsure("not_comparable")
    finding = compare_sequences(a, b, hints, partial(compare_readings, hints=hints))
    if finding.reason == "equal_renamed" and len(all_symbols(a)) != len(all_symbols(b)):
        return unsure("letters_differ")
    return finding


def _as_matrices(a: Reading, b: Reading) -> tuple[Reading, Reading]:
    """``-2I`` or ``[[1,2],[3,4]]`` beside a matrix as the matrix that it is."""
    if (a.kind == "matrix") == (b.kind == "matrix"):
        return a, b
    matrix, other = (a, b) if a.kind == "matrix" else (b, a)
    height, _, width = matrix.form.partition("x")
    items: tuple[Reading, ...] = ()
    if other.kind == "tuple" and all(row.kind == "tuple" for row in other.items):
        fits = len(other.items) == int(height) and all(len(row.items) == int(width) for row in other.items)
        items = tuple(item for row in other.items for item in row.items) if fits else ()
    elif other.tree is not None and height == width:
        rows = multiple_of_identity(other.tree, int(height)) or ()
        items = tuple(Reading("value", other.text, tree=entry) for row in rows for entry in row)
    written_out = matrix._replace(items=items, text=other.text) if items else other
    return (a, written_out) if matrix is a else (written_out, b)


def _compare_words(a: Reading, b: Reading, hints: Hints) -> Finding:
    if a.kind == b.kind == "word":
        if a.form == b.form or {a.form, b.form} == _MANY:
            narrow = a.form in ("none", "infinitely many") and b.form in ("none", "infinitely many")
            return EQUAL if not narrow or same_word(a.text, b.text, hints.text) else unsure("words")
        if {a.form, b.form} == {"no", "none"} and all("possible" in text for text in (a.text + b.text, hints.text)):
            return equal("equal_words")  # is it possible? It is impossible.
        exclusive = any({a.form, b.form} <= words for words in EXCLUSIVE)
        return DIFFERENT if exclusive or {a.form, b.form} <= _MANY | {"none"} else unsure("words")
    word, other = (a, b) if a.kind == "word" else (b, a)
    if other.kind == "text":
        return _compare_text(a, b, hints)
    if other.kind == "list" and word.form in ("yes", "no") and (found := _compare_by_keyword(a, b, hints)):
        return found
    if word.form == "none" and other.kind == "value" and other.text == "0":
        return unsure("words")  # no solution, and the number of solutions
    if word.form in ("infinity", "infinitely many", "none", "undefined"):
        return different("kinds_differ")
    return unsure("words")


def _compare_text(a: Reading, b: Reading, hints: Hints) -> Finding:
    listed = not hints.ordered and same_list(a.text, b.text, hints.text)
    if a.kind == b.kind == "text" and (listed or same_statement(a.text, b.text)):
        return equal("equal_words")
    if hints.given and says_no_more(a.text, b.text, hints.text):
        return equal("equal_words")
    by_keyword = _compare_by_keyword(a, b, hints)
    if by_keyword is not None:
        return by_keyword
    if a.kind == "text":
        return unsure("reference_in_words" if a.form == "prose" else "reference_unreadable")
    if b.form in _GARBAGE:
        return different("answer_unreadable") if b.form != "syntax" else unsure("answer_unreadable")
    return unsure("answer_in_words" if b.form == "prose" else "answer_not_understood")


def _compare_by_keyword(a: Reading, b: Reading, hints: Hints) -> Finding | None:
    """``Yes, because ...`` against ``yes``: a statement that turns on one word, and that word."""
    if {a.kind, b.kind} not in ({"text", "word"}, {"list", "word"}):
        return None
    text, word = (b, a) if a.kind == "word" else (a, b)
    keyword = keyword_of(text.text)
    return None if keyword is None else _compare_words(text._replace(kind="word", form=keyword), word, hints)


def _compare_as_regions(a: Reading, b: Reading, hints: Hints) -> Finding | None:
    if not _is_interval_like(a) or not _is_interval_like(b):
        return unsure("kinds_differ") if "relation" in (a.kind, b.kind) else None
    if a.kind == b.kind == "tuple" and a.form == b.form == "()":
        return None
    if (several := compare_letters(a.text, b.text, hints.letters)) is not None:
        return several
    x, y = read_region(a.text), read_region(b.text)
    if x is None or y is None:
        return _compare_chains(a, b, hints) if a.kind == b.kind == "relation" else unsure("not_comparable")
    if a.kind == b.kind == "tuple" and (len(a.items) != 2 or a.form == b.form):
        return None
    if a.kind == b.kind == "relation" and has_symbolic_ends(x):
        chains = _compare_chains(a, b, hints)
        if chains.relation == "equal":
            return chains
    relation = compare_regions(x, y)
    if relation in ("ends_differ", "different") and hints.whole and compare_regions(whole_ends(x), whole_ends(y)) == "equal":
        named = region_letters(a.text) | region_letters(b.text)  # the same integers, where a question speaks of integers
        whole = named and named <= integer_letters(hints.text)
        return equal("equal_domain_left_out") if whole else unsure("conditions_differ")
    by_ends = equal("equal_but_for_ends") if hints.monotonic else different("ends_differ")
    return {"equal": EQUAL, "different": DIFFERENT, "unknown": unsure("undecided"), "ends_differ": by_ends}[relation]


def _is_interval_like(reading: Reading) -> bool:
    return reading.kind == "relation" or (
        reading.kind == "tuple" and len(reading.items) == 2 and not reading.form.startswith(r"\l")
    )


def _compare_chains(a: Reading, b: Reading, hints: Hints) -> Finding:
    """Two chains such as ``a > b > c``, side by side, or one of them read from right to left."""
    left, right = relation_chain(a.text), relation_chain(b.text)
    one_each = len(split_list(a.text)) <= 1 and len(split_list(b.text)) <= 1
    if not one_each or not left.relations or len(left.relations) != len(right.relations):
        return unsure("not_comparable")
    turned = Chain(right.sides[::-1], [TURNED.get(one, one) for one in reversed(right.relations)])
    for other in (right, turned):
        if other.relations == left.relations:
            found = all_of([compare_readings(read(x), read(y), hints) for x, y in zip(left.sides, other.sides, strict=True)])
            if found.relation == "equal":
                return found
    return _compare_inequalities(left, right) if len(left.relations) == 1 else unsure("undecided")


def _compare_inequalities(left: Chain, right: Chain) -> Finding:
    """``2x > 6y`` and ``x - 3y > 0``: the same half-space where the zero forms have a constant positive ratio."""
    try:
        forms = [minus(*map(parse, one.sides)) for one in (left, right)]
        if not constant_ratio(*forms):
            return unsure("undecided")
        point = next(points(sorted(symbols(forms[0])), whole=False)).values
        same_sign = (evaluate(forms[0], point, fast()) > 0) == (evaluate(forms[1], point, fast()) > 0)
    except (Unreadable, ValueError, TypeError):
        return unsure("undecided")
    expected = left.relations[0] if same_sign else TURNED.get(left.relations[0], left.relations[0])
    return EQUAL if expected == right.relations[0] else DIFFERENT
