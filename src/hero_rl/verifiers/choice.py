"""The verifier ``choice``: multiple choice, by letter, by the text of an option, or both."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hero_rl.cache import MATH_PACKAGES, code_identity
from hero_rl.errors import InputError
from hero_rl.types import Rollout, RowVerifier, Verdict
from hero_rl.verifiers.math.antlr import check_math_verify
from hero_rl.verifiers.math.choices import Named, Same, compare_choices, name_options
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.extract import extract_answer
from hero_rl.verifiers.math.fields import COLUMNS, Fields, hints_for, read_fields
from hero_rl.verifiers.math.findings import POLICIES, Finding, Policy, judge, unsure
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.reading import read
from hero_rl.verifiers.math.stages import MAX_ANSWER_CHARS, MAX_DETAIL_CHARS
from hero_rl.verifiers.math.typed import compare_readings

_CHOSEN = re.compile(
    r"(?:\b(?:option|choice)\s+|[*(\[]{1,3})([A-Z])[*)\]]{0,3}\s+is\s+(?:the\s+)?(?:correct|right|best|true)\b|"
    r"(?<![A-Za-z])([A-Z])\s+is\s+the\s+(?:correct|right|best)\s+(?:answer|option|choice)\b|"
    r"\b(?:choose|select|pick|chose|go with)\s+(?:option\s+|choice\s+)?\**\(?([A-Z])\b",
    re.IGNORECASE,
)
_LAST_LINES = 5
_INDEX = re.compile(r"\d{1,2}")


class ChoiceVerifier(RowVerifier):
    r"""Compare the option that a response names with the right one, or several with several.

    The options come from the column ``options`` (a list of texts, or letters and texts) or else from the question. The
    reference is a letter, several letters (``ABD``), the text of an option, or a list of these; where the column
    ``answer_type`` is ``index``, it counts the options from 0.

    An answer is correct where it names exactly the options of the reference: by letter, by letter and that option's text, or
    by a text that one option alone has, as the maths comparison finds. A letter with another text, a text that two options
    have and a text that is none of the options abstain.

    Args:
        policy: as that of ``MathVerifier``; ``strict`` accepts only letters, and letters with the option's text.

    Raises:
        MissingDependencyError: the packages of the extra ``math`` are not installed.
        InputError: the policy is unknown.
    """

    name = "choice"
    columns = COLUMNS

    def __init__(self, *, policy: Policy = "balanced") -> None:
        if policy not in POLICIES:
            raise InputError(f"verifier 'choice': policy={policy!r} is unknown; use one of {', '.join(POLICIES)}")
        check_math_verify("the verifier 'choice'", stacklevel=3)
        self.policy: Policy = policy

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict."""
        code = code_identity("choice.py", "math", "boxes.py", "latex.py", packages=MATH_PACKAGES)
        return f"choice(policy={self.policy}, {code})"

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout."""
        fields = read_fields(rollout.extra)
        if isinstance(fields, str):
            return judge(unsure("field_invalid"), self.policy, fields)
        reference = rollout.reference.strip() if isinstance(rollout.reference, str) else ""
        if not reference or len(reference) > MAX_ANSWER_CHARS:
            return judge(unsure("reference_too_long" if reference else "reference_missing"), self.policy)
        hints = hints_for(rollout.problem if isinstance(rollout.problem, str) else "", fields)
        claims = claims_of(rollout.response, hints.text, hints.choices) if isinstance(rollout.response, str) else []
        if isinstance(claims, Finding):
            return judge(claims, self.policy)
        claims = [claim.strip() for claim in claims if claim.strip()]
        if not claims or max(map(len, claims)) > MAX_ANSWER_CHARS:
            return judge(Finding("different", "answer_too_long" if claims else "no_answer"), self.policy)
        first, *others = [compare_choice(reference, claim, hints, fields) for claim in claims]
        detail = f"{'; '.join(claims)[:MAX_DETAIL_CHARS]} | {reference[:MAX_DETAIL_CHARS]}"
        agree = all(other.relation == first.relation for other in others)
        return judge(first if agree else unsure("claims_conflict"), self.policy, detail)


def compare_choice(reference: str, answer: str, hints: Hints, fields: Fields) -> Finding:
    """Compare the options that a reference and an answer name.

    Args:
        reference: letters, the text of an option, or with the field ``answer_type`` of ``index`` the number of one.
        answer: what a response claims.
        hints: of the question and the fields; ``choices`` are the options.
        fields: of the row.
    """
    content = hints.knowing(choices={})

    def same(option: str, text: str) -> Finding:
        return compare_readings(read(option), read(text), content)

    options = hints.choices
    expected = _expected(reference, options, same, fields)
    if isinstance(expected, Finding):
        return expected
    given = clean(answer)
    return compare_choices(expected, given, options, same) or unsure("choice_unclear")


def _expected(reference: str, options: Mapping[str, str], same: Same, fields: Fields) -> str | Finding:
    """The letters that the reference stands for, or its text where the options are not known."""
    letters = sorted(options)
    if fields.answer_type.lower() == "index":
        if not _INDEX.fullmatch(reference) or int(reference) >= len(letters):
            return unsure("reference_unreadable")
        return letters[int(reference)]
    cleaned = clean(reference)
    named = name_options(cleaned, options, same)
    if isinstance(named, Finding):
        return unsure(named.reason if named.relation == "unsure" else "reference_unreadable")
    if isinstance(named, Named):
        return ", ".join(sorted(named.letters)) if options else cleaned
    parts = [name_options(clean(part), options, same) for part in reference.split(", ")] if fields.several else []
    if parts and all(isinstance(part, Named) for part in parts):
        return ", ".join(sorted({letter for part in parts if isinstance(part, Named) for letter in part.letters}))
    return unsure("reference_unreadable")


def claims_of(response: str, problem: str, options: Mapping[str, str]) -> list[str] | Finding:
    """Return what a response claims last, which has to agree where it is several texts; a finding where it is in doubt.

    Looked for in a box, a last line that is an option, a phrase ("the answer is"), and "option B is correct".
    """
    found = extract_answer(response, problem)
    if found.doubt in ("retracted", "hedged"):
        return unsure(found.doubt)
    if found.source in ("box", "boxes", "tag", "hashes"):
        return [found.text, *found.also]
    lines = [line.strip() for line in response.rpartition("</think>")[2].splitlines() if line.strip()][-_LAST_LINES:]
    if not lines:
        return []
    if _names_one(lines[-1], options):
        # of lines that each name an option, as in a list of all, none is chosen
        return [lines[-1]] if len(lines) < 2 or not _names_one(lines[-2], options) else unsure("claims_conflict")
    chosen = {(match[1] or match[2] or match[3]).upper() for match in _CHOSEN.finditer("\n".join(lines))}
    if len(chosen) > 1:
        return unsure("claims_conflict")
    if found.source == "phrase":
        return [found.text, *found.also]
    return [*chosen] or [found.text or lines[-1]]


def _names_one(line: str, options: Mapping[str, str]) -> bool:
    """Whether a line is nothing but an option, literally; lines that list the options do not count."""
    return len(line) <= MAX_ANSWER_CHARS and isinstance(name_options(clean(line), options, _unread), Named)


def _unread(option: str, text: str) -> Finding:
    return unsure("not_comparable")
