"""The stages of one check that run in the caller's process, in order, and what is left for the sandbox.

extraction -> fast path -> cleaning -> typed comparison (with numeric sampling) -> the symbolic comparison in the sandbox,
if any.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

from hero_rl.sandbox import Outcome
from hero_rl.verifiers.latex import relation_chain
from hero_rl.verifiers.math.clean import clean, mended, repaired, with_labels_alike
from hero_rl.verifiers.math.copies import is_left_as_given, what_is_left
from hero_rl.verifiers.math.extract import MAX_BARE_CHARS, FoundAnswer, extract_answer
from hero_rl.verifiers.math.fields import NO_FIELDS, Fields
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, different, unsure
from hero_rl.verifiers.math.gold import alternatives, extract_reference, undouble
from hero_rl.verifiers.math.guards import is_cut_off, too_heavy
from hero_rl.verifiers.math.literal import literal_relation, tidy
from hero_rl.verifiers.math.problem import read_problem
from hero_rl.verifiers.math.typed import compare_typed
from hero_rl.verifiers.math.words import count_words

_APART = re.compile(r"\}[\s$\\\])]{0,10}\n[ \t]*\n[\s$\\\[(]{0,10}\\boxed")
_IN_A_ROW = re.compile(
    r"\\boxed\{[^{}\n]{1,40}\}[^.\n\\]{0,60}\band\b[^.\n\\]{0,60}\\boxed\{[^{}\n]{1,40}\}[^.\n\\]{0,40}(?:\.|$)"
)
"""Two boxes in one sentence that say different things: each may be a part of the answer."""
_MAY_BE_ROUGH = re.compile(
    r"\.\d|≈|\\(?:approx|sim|sqrt|pi|d?frac|ln|log|e\b|sin|cos|tan)|/|10\s*\^|\b(?:about|approx|around|roughly)"
)
"""In a reference: its value, or the one that is shown for it, may be rounded."""
_NO_DIGITS = re.compile(r"\D+")
log = logging.getLogger(__name__)

MAX_ANSWER_CHARS = 2_000
"""A longer answer is incorrect, and a longer reference abstains, without being looked at."""
MAX_DETAIL_CHARS = 200
MIN_COPY_CHARS = 20
MAX_ALTERNATIVES = 4
"""Of more statements of one answer only the first are asked whether they agree."""

_FOR_SYMPY = frozenset(("undecided", "reference_unreadable", "answer_not_understood", "answer_unreadable"))
"""Where the typed comparison could not tell although both sides look like mathematics."""


class Pair(NamedTuple):
    """A reference, the answer that was found in a response, and the question."""

    reference: str
    answer: str
    problem: str = ""
    fields: Fields = NO_FIELDS


class ForSympy(NamedTuple):
    """Two cleaned texts for the sandbox."""

    reference: str
    answer: str


class Stage(NamedTuple):
    """The result of the stages before the sandbox."""

    finding: Finding
    forms: tuple[str, str]
    """The normal forms that were compared: the answer's and the reference's."""
    name: str
    """Which stage spoke: ``extraction``, ``literal`` or ``typed``."""
    wants_sympy: bool = False
    """Whether the symbolic comparison may tell more."""
    failed: bool = False
    """The comparison itself broke, which is a mistake in this package."""

    @property
    def for_sympy(self) -> ForSympy | None:
        """The normal forms for the symbolic comparison; None where it is not wanted."""
        if not self.wants_sympy:
            return None
        # percent signs written out: how math-verify reads them depends on the ANTLR runtime
        answer, reference = (form.replace(r"\%", r"\cdot\frac{1}{100}") for form in self.forms)
        return ForSympy(reference, answer)

    @property
    def detail(self) -> str:
        """The normal forms, the answer's first, for the row."""
        return " | ".join(form[:MAX_DETAIL_CHARS] for form in self.forms)


def find_pair(reference: object, response: object, problem: str = "", fields: Fields | str = NO_FIELDS) -> Pair | Stage:
    """Return what has to be compared, or the finding where there is nothing to compare."""
    if isinstance(fields, str):
        return _nothing(unsure("field_invalid"), fields)
    response = response if isinstance(response, str) else ""
    copied = len(response) > MIN_COPY_CHARS and _is_within(response, problem)  # nothing but a piece of the question
    found = FoundAnswer("", "none") if copied else extract_answer(response, problem)
    pair = pair_of(reference, found, response, problem, fields)
    if found.source == "sentence" and len(response) <= MAX_BARE_CHARS:
        whole = pair_of(reference, FoundAnswer(response.strip(), "whole", rough=found.rough), "", problem, fields)
        if isinstance(whole, Pair) and compare_pair(whole).finding.relation == "equal":
            return whole  # the response is nothing but an answer in words
    apart = found.source == "boxes" and _APART.search(response) is not None
    apart = apart or (found.source == "box" and _IN_A_ROW.search(response) is not None)
    if apart and isinstance(pair, Pair) and compare_pair(pair).finding.reason == "number_of_answers":
        return _nothing(unsure("claims_conflict"), pair.answer)  # a second try as likely as a second part
    return pair


def _is_within(response: str, problem: str) -> bool:
    """Return whether a response stands in the question, word for word."""
    question = " ".join(problem.split())
    return " ".join(response.split(None, 5)[:5]) in question and " ".join(response.split()) in question


def pair_of(
    reference: object, found: FoundAnswer, response: str = "", problem: str = "", fields: Fields = NO_FIELDS
) -> Pair | Stage:
    """Return a reference and the answer that was found, or the finding where one of them is missing or contradicts itself."""
    known = extract_reference("" if reference is None else mended(repaired(str(reference))))
    expected = known.text.strip()
    if not expected:
        return _nothing(unsure(known.doubt or "reference_missing"), "")
    if len(expected) > MAX_ANSWER_CHARS:
        return _nothing(unsure("reference_too_long"), f"{len(expected)} characters")
    if found.rough and not (_MAY_BE_ROUGH.search(expected) or read_problem(problem).approximate):
        return _nothing(unsure("hedged"), found.text)
    if found.doubt:
        return _nothing(unsure(found.doubt), "")
    answer = _as_stated(found, expected, response).strip()
    if not answer:
        return _nothing(Finding("different", "no_answer"), "")
    if len(answer) > MAX_ANSWER_CHARS:
        return _nothing(Finding("different", "answer_too_long"), f"{len(answer)} characters")
    first, *others = alternatives(undouble(answer))
    if not agree(first, [*others, *found.also], problem, fields):
        return _nothing(unsure("claims_conflict"), "; ".join((answer, *found.also)))
    if not agree(expected, known.also, problem, fields):
        return _nothing(unsure("reference_unclear"), "; ".join((expected, *known.also)))
    return Pair(expected, first, problem, fields)


def _as_stated(found: FoundAnswer, expected: str, response: str) -> str:
    """Return the answer with or without the nouns of its sentence: with them only where the reference has words too."""
    one, other = _NO_DIGITS.sub("", response), _NO_DIGITS.sub("", expected)  # clean-up drops no digit
    if found.source == "sentence" and one == other and tidy(response) == tidy(expected):
        return response
    return found.text if not found.bare or count_words(expected) or r"\text" in expected else found.bare


def agree(one: str, others: Sequence[str], problem: str = "", fields: Fields = NO_FIELDS) -> bool:
    """Return whether other statements of one answer are equal to it."""
    pairs = (Pair(one, other, problem, fields) for other in others[:MAX_ALTERNATIVES])
    return all(compare_pair(pair).finding.relation == "equal" for pair in pairs)


def _nothing(finding: Finding, note: str) -> Stage:
    return Stage(finding, (note,) if note else (), "extraction")  # type: ignore[arg-type]


def compare_pair(pair: Pair) -> Stage:
    """Compare by the fast path or the typed comparison; never raises, and takes a bounded time."""
    try:
        return _compare(pair)
    except Exception as error:
        log.exception("the maths verifier failed on a pair; it abstains")
        return Stage(unsure("error"), (f"{type(error).__name__}: {pair.answer}", pair.reference), "typed", failed=True)


def _compare(pair: Pair) -> Stage:
    literal = literal_relation(pair.reference, pair.answer)
    if literal == "different" and pair.fields.tolerance is not None:
        literal = None
    if literal == "equal" and pair.answer != pair.reference and is_left_as_given(pair.reference, pair.answer, pair.problem):
        return Stage(unsure("copied_from_question"), (pair.answer, pair.reference), "literal")
    if literal is not None:
        return Stage(EQUAL if literal == "equal" else DIFFERENT, (pair.answer, pair.reference), "literal")
    reference, answer = clean(pair.reference), clean(pair.answer)
    if not (pair.reference.isascii() and pair.answer.isascii()):
        reference, answer = with_labels_alike((pair.reference, pair.answer), (reference, answer))
    finding = compare_typed(reference, answer, pair.problem, pair.fields)
    equals = relation_chain(reference).relations.count("=")
    if finding.reason == "reference_unreadable" and equals > 1 and (ends := ends_of_chain(reference)):
        finding = compare_typed(ends, answer, pair.problem, pair.fields)
    # math-verify takes an equation for its right-hand side, so it is not asked to compare one with something else
    wants_sympy = (
        finding.relation == "unsure"
        and finding.reason in _FOR_SYMPY
        and equals <= 1
        and bool(equals) == ("=" in relation_chain(answer).relations)
    )
    if wants_sympy and (undone := what_is_left(reference, answer, pair.problem)):
        finding, wants_sympy = unsure(undone), False
    elif wants_sympy and is_cut_off(answer) and not is_cut_off(reference):
        finding, wants_sympy = different("answer_unreadable"), False
    elif wants_sympy and (heavy := too_heavy(answer)):
        finding, wants_sympy = unsure(heavy), False
    elif wants_sympy and too_heavy(reference):
        finding, wants_sympy = unsure("reference_unreadable"), False
    return Stage(finding, (answer, reference), "typed", wants_sympy)


def ends_of_chain(text: str) -> str:
    """Return the name and the number at the ends of ``S = 2(a+b) = 16``; "" for any other chain."""
    chain = relation_chain(text)
    named = re.fullmatch(r"\s*[A-Za-z](?:_\{?\w+\}?)?\s*", chain.sides[0]) and set(chain.relations) == {"="}
    return f"{chain.sides[0]}={chain.sides[-1]}" if named and re.fullmatch(r"[-+*/().\d\s]+", chain.sides[-1]) else ""


def settle(stage: Stage, outcome: Outcome) -> Finding | None:
    """Return the finding after the symbolic comparison; None where that broke."""
    if outcome.kind != "value":
        return None
    if outcome.value == "equal":
        return Finding("equal", "equal_symbolically")
    if outcome.value == "not_discriminating":
        return unsure("not_discriminating")
    if stage.finding.reason == "answer_unreadable":
        return different("answer_unreadable") if outcome.value == "answer_unparsable" else stage.finding
    return DIFFERENT if outcome.value == "different" else stage.finding
