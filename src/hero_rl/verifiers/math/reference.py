"""Can this reference be verified at all? The verifier run on the reference itself, without the literal short cut."""

from __future__ import annotations

from hero_rl.verifiers.math.choices import named_letters
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.evaluate import symbols
from hero_rl.verifiers.math.findings import EQUAL, Finding, unsure
from hero_rl.verifiers.math.gold import extract_reference
from hero_rl.verifiers.math.guards import too_heavy
from hero_rl.verifiers.math.literal import plain_number, tidy
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.reading import Reading, read
from hero_rl.verifiers.math.regions import read_region
from hero_rl.verifiers.math.sampling import expand_signs
from hero_rl.verifiers.math.sequences import all_of
from hero_rl.verifiers.math.stages import MAX_ANSWER_CHARS, Stage, agree
from hero_rl.verifiers.math.values import constant


def check_reference(reference: object, hints: Hints) -> Stage:
    """Return whether an equal answer would be found equal: ``equal``, or ``unsure`` with what stands in the way."""
    found = extract_reference("" if reference is None else str(reference))
    text = found.text.strip()
    if found.doubt or not agree(text, found.also):
        return Stage(unsure(found.doubt or "reference_unclear"), (text, text), "extraction")
    if not text or len(text) > MAX_ANSWER_CHARS:
        return Stage(unsure("reference_too_long" if text else "reference_missing"), ("", ""), "extraction")
    cleaned = clean(text)
    if plain_number(tidy(text)) is not None or named_letters(cleaned) is not None:
        return Stage(EQUAL, (cleaned, cleaned), "literal")
    finding = _check(read(cleaned))
    heavy = too_heavy(cleaned) is not None
    wants_sympy = finding.reason in ("undecided", "reference_unreadable") and not heavy
    return Stage(finding, (cleaned, cleaned), "typed", wants_sympy)


def _check(reading: Reading) -> Finding:
    if reading.kind == "word":
        return EQUAL
    if reading.kind in ("text", "nothing"):
        return unsure("reference_in_words" if reading.form == "prose" else "reference_unreadable")
    if reading.kind == "relation":
        return EQUAL if read_region(reading.text) is not None else unsure("undecided")
    if reading.items:
        return all_of([_check(item) for item in reading.items])
    if reading.tree is None:
        return unsure("reference_unreadable")
    known = all(symbols(tree) or constant(tree) is not None for tree in expand_signs(reading.tree))
    return EQUAL if known else unsure("undecided")
