r"""Multiple choice: which options a text names, by letter, by letter and text, or by text alone.

What follows a letter must be the text of that option: ``B. 5 or C. 7`` names two options, and ``B: no, C`` names none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, different, equal, unsure
from hero_rl.verifiers.math.split import split_list
from hero_rl.verifiers.math.words import plain_words

Same: TypeAlias = Callable[[str, str], Finding]
"""Compares two cleaned texts: the option's, and the answer's."""

LETTERS = "ABCDEFGHIJ"
"""The letters that may name an option where the options are not known."""
MAX_CHARS = 600
"""A longer text names no option."""

_TEXT = re.compile(r"\\text\{([^{}]*)\}|^\s*\{([^{}]*)\}")
_LEAD = re.compile(
    r"^(?:(?:the\s+)?(?:(?:correct|right|final|best)\s+)?(?:answer|option|choice)s?\s*(?:is|are|:)?\s*)+(?=[(\[]?\s*[A-Za-z](?![a-z]))",
    re.IGNORECASE,
)
_CAPITAL = re.compile("[A-Z]")
"""Letters of options that are not known are capitals."""
_ONE = re.compile(r"[(\[]?\s*([A-Za-z])\s*[)\]]?\s*[.:]?")
_ONE_THEN_TEXT = re.compile(r"([A-Z])\s+(?=\S)")
_LOWER = frozenset("abcdfghj")
"""Small letters that may stand for an option; ``e`` and ``i`` are numbers."""
# every space has one place where it can match: otherwise a sentence takes exponential time
_MARKED = r"(?:[(\[]\s*)?[A-Z](?:\s*[)\]])?[.:]?"
_SEVERAL = re.compile(rf"{_MARKED}(?:\s*(?:(?:,\s*and\b|,|;|&|\band\b)\s*)?{_MARKED})+")
_LONE = r"(?:[(\[]\s*)?(?<![A-Z])[A-Z](?![A-Z])(?:\s*[)\]])?[.:]?"
_HEDGE = re.compile(
    rf"(?:either\s+)?{_LONE}(?:\s*(?:(?:,\s*(?:and|or)\b|,|;|&|/|\||\b(?:and|or)\b)\s*)?{_LONE})+", re.IGNORECASE
)
_BEGINS = re.compile(r"(?<![A-Za-z\\])(?:[(\[]\s*([A-Z])\s*[)\]]|([A-Z])\s*(?:[).:]|-(?=\s)))[.:]?")
_JOINT = re.compile(r"^[\s,;&]*(?:and\b)?\s*|[\s,;&]*(?:\band)?\s*$")
_DOUBT = re.compile(
    r"\b(?:or|not|no|nor|neither|either|none|but|except|wrong|incorrect|false|maybe|perhaps|instead|rather|unless|if|actually|"
    r"wait)\b|n't\b|\?",
    re.IGNORECASE,
)
_ALL_OR_NONE = re.compile(
    r"(all|none) (?:of )?(?:the )?(?:above|these|those|others?|options?|choices?|answers?|statements?|foregoing)"
    r"(?: above| listed)?(?: are (?:correct|true|right))?"
)
_CALCULATES = re.compile(
    r"-(?!\d)|[+*/^_=<>|&!']|\\(?:cdot|times|cup|cap|setminus|to|le|ge|in|subset|div|pm)(?![A-Za-z])|[(\[]?[A-Z][)\]]?$"
)
"""The beginning of what is calculated with a letter, rather than the text of an option."""
_MATHS = re.compile(r"[\\=<>+*/^_{}|]|\d")


class Named(NamedTuple):
    """The options that a text names."""

    letters: frozenset[str]
    by: str
    """``letter``, ``small letter``, ``word of letters`` (may be a product or a segment: the options are not known), ``letter
    and text``, ``letter and unknown text`` or ``text``."""


def named_letters(text: str) -> str | None:
    r"""Return the letters that a cleaned text consists of, sorted: ``B``, or ``ABD``; None for anything else.

    >>> named_letters("(B)"), named_letters("D, A"), named_letters("BE+1")
    ('B', 'AD', None)
    """
    named = _by_letters(_plain(text), frozenset(LETTERS), certain=False)
    return "".join(sorted(named.letters)) if named else None


def compare_choices(reference: str, answer: str, options: Mapping[str, str], same: Same) -> Finding | None:
    """Compare the options that two cleaned texts name; None where neither names one by its letter.

    Args:
        reference: a cleaned text.
        answer: a cleaned text.
        options: letters and the texts of the options; empty where they are not known.
        same: compares the text of an option with another text.
    """
    if max(len(reference), len(answer)) > MAX_CHARS:
        return None
    if not options and not _CAPITAL.search(reference) and not _CAPITAL.search(answer):
        return None
    known = len(options) > 1
    options = options or _own_option(reference)
    expected = name_options(reference, options, same)
    given = name_options(answer, options, same)
    if not _is_by_letter(expected) and not _is_by_letter(given):
        return None
    if not known and not _is_only_letters(expected) and not _is_only_letters(given) and Finding in map(type, (expected, given)):
        return None
    if isinstance(expected, Finding):
        return expected
    if isinstance(given, Finding):
        return given
    if expected is None:
        return _content_against_letter(reference, given, options, same)
    if given is None:
        return _letter_against_content(expected, answer, options, same)
    return _compare_named(expected, given, options)


def _is_by_letter(named: Named | Finding | None) -> bool:
    return isinstance(named, Finding) or (named is not None and named.by != "text")


def _is_only_letters(named: Named | Finding | None) -> bool:
    return isinstance(named, Named) and named.by in ("letter", "small letter", "word of letters")


def _compare_named(expected: Named, given: Named, options: Mapping[str, str]) -> Finding:
    by = {expected.by, given.by}
    if expected.letters != given.letters:
        if any(
            _stands_for_all(one, options) and len(other.letters) > 1 for one, other in ((expected, given), (given, expected))
        ):
            return unsure("choice_unclear")
        return different("different") if by & {"small letter", "word of letters"} else DIFFERENT
    if by == {"word of letters"}:
        return unsure("choice_unclear")
    if "text" in by:
        return equal("equal_choice")
    return equal("equal_letter") if by & {"small letter", "word of letters", "letter and unknown text"} else EQUAL


def _stands_for_all(named: Named, options: Mapping[str, str]) -> bool:
    return len(named.letters) == 1 and _key(clean(options.get(min(named.letters), ""))) == "all of the above"


def _content_against_letter(reference: str, given: Named | None, options: Mapping[str, str], same: Same) -> Finding | None:
    """The answer names a letter, and the reference is none of the options."""
    contents = [options[letter] for letter in given.letters if letter in options] if given else []
    if len(contents) != 1:
        return None
    finding = same(clean(contents[0]), reference)
    return unsure("choice_unclear") if finding.relation == "equal" else finding


def _letter_against_content(expected: Named, answer: str, options: Mapping[str, str], same: Same) -> Finding | None:
    """The reference names a letter, and the answer is none of the options."""
    contents = [options[letter] for letter in expected.letters if letter in options]
    if len(contents) != 1:
        return _letters_against_contents(expected, answer, options, same)
    finding = same(clean(contents[0]), answer)
    if finding.relation == "different" and expected.letters & set(re.findall(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", answer)):
        return unsure("choice_conflict")
    return unsure("choice_unclear") if finding.relation == "equal" else finding


def _letters_against_contents(expected: Named, answer: str, options: Mapping[str, str], same: Same) -> Finding | None:
    """Compare several letters with an answer that lists the texts of options; None where it lists something else."""
    parts = split_list(answer)
    if not expected.letters <= frozenset(options) or not 1 < len(parts) <= len(options):
        return None
    found = [_by_text(part, options, same) for part in parts]
    if any(len(one) != 1 for one in found):
        return unsure("choice_unclear") if all(found) else None
    return equal("equal_choice") if {one[0] for one in found} == expected.letters else DIFFERENT


def name_options(text: str, options: Mapping[str, str], same: Same) -> Named | Finding | None:
    """Return the options that a cleaned text names; None for a text that names none, a finding where it names them badly."""
    plain = _plain(text)
    known = frozenset(options) if len(options) > 1 else frozenset(LETTERS)
    letters = _by_letters(plain, known, certain=len(options) > 1)
    if letters is not None:
        others = {letter for letter, content in options.items() if _plain(clean(content)) == plain}
        return unsure("choice_unclear") if others - letters.letters else letters
    if _is_hedge(plain, known):
        return different("several_choices")
    marked = _by_marks(plain, known, options, same)
    if marked is not None:
        return marked
    bare = _ONE_THEN_TEXT.match(plain)
    if bare and bare[1] in options and _is_text_of(bare[1], plain[bare.end() :], options, same):
        return Named(frozenset(bare[1]), "letter and text")
    found = _by_text(text, options, same)
    if len(found) > 1:
        return unsure("choice_unclear")
    return Named(frozenset(found), "text") if found else None


def _by_letters(plain: str, known: frozenset[str], *, certain: bool) -> Named | None:
    """``certain``: it is known that the question has these options."""
    if match := _ONE.fullmatch(plain):
        letter = match[1].upper()
        small = match[1] != letter
        if letter not in known or (small and not (certain and (match[1] in _LOWER or ")" in plain))):
            return None
        return Named(frozenset(letter), "small letter" if small else "letter")
    if _SEVERAL.fullmatch(plain):
        letters = re.findall(r"[A-Z]", plain)
        if known.issuperset(letters) and len(set(letters)) == len(letters):
            return Named(frozenset(letters), "letter" if certain or not plain.isalpha() else "word of letters")
    return None


def _is_hedge(plain: str, known: frozenset[str]) -> bool:
    if not _HEDGE.fullmatch(plain) or not re.search(r"\bor\b|/|\|", plain, re.IGNORECASE):
        return False
    letters = re.findall(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", plain)
    return len(letters) > 1 and known.issuperset(letters)


def _by_marks(plain: str, known: frozenset[str], options: Mapping[str, str], same: Same) -> Named | Finding | None:
    """Letters that are marked as such (``(B)``, ``B.``), each with the text that follows it."""
    marks = [mark for mark in _BEGINS.finditer(plain) if (mark[1] or mark[2]) in known]
    if len(options) < 2 and any("-" in mark.group() for mark in marks):
        return None
    if not marks or plain[: marks[0].start()].strip():
        return None
    first = marks[0][1] or marks[0][2]
    whole = plain[marks[0].end() :].strip()
    if first in options and _is_text_of(first, whole, options, same):
        return Named(frozenset(first), "letter and text")
    ends = [*(mark.start() for mark in marks[1:]), len(plain)]
    rests = [_JOINT.sub("", plain[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    letters = [mark[1] or mark[2] for mark in marks]
    if len(set(letters)) > 1:
        return _several_marks(letters, rests, options, same)
    return _unknown_text(first, whole, known, options, same)


def _several_marks(letters: list[str], rests: list[str], options: Mapping[str, str], same: Same) -> Named | Finding:
    if any(re.search(r"(?:^|\s)(?:or|\|)$|^(?:or)\b", rest, re.IGNORECASE) for rest in rests):
        return different("several_choices")
    for letter, rest in zip(letters, rests, strict=True):
        if rest and (letter not in options or not _is_text_of(letter, rest, options, same)):
            return unsure("choice_conflict")
    return Named(frozenset(letters), "letter and text")


def _unknown_text(
    letter: str, rest: str, known: frozenset[str], options: Mapping[str, str], same: Same
) -> Named | Finding | None:
    """One letter, and a text that is not known to be that option's."""
    if not rest or _CALCULATES.match(rest):
        return None
    mentioned = set(re.findall(r"(?<![A-Za-z\\])[B-Z](?![A-Za-z])|\([A-Z]\)", rest)) - {letter}
    doubtful = _DOUBT.search(rest) is not None or any(mark.strip("()") in known for mark in mentioned)
    if letter in options or doubtful or _by_text(rest, options, same):
        return unsure("choice_conflict")
    return Named(frozenset(letter), "letter and unknown text")


def _is_text_of(letter: str, text: str, options: Mapping[str, str], same: Same) -> bool:
    """Whether a text is that option's, and not another's as well."""
    return letter in _by_text(text, options, same)


def _by_text(text: str, options: Mapping[str, str], same: Same) -> list[str]:
    """The options whose text this is: literally, or else by comparison."""
    if not text:
        return []
    literal = [letter for letter, content in options.items() if _key(clean(content)) == _key(text)]
    if literal:
        return literal
    found = {letter: same(clean(content), text) for letter, content in options.items()}
    return [letter for letter, one in found.items() if one.relation == "equal" and one.reason != "equal_words"]


def _own_option(reference: str) -> dict[str, str]:
    """The option that a reference such as ``B. 12`` gives itself."""
    plain = _plain(reference)
    mark = _BEGINS.match(plain)
    rest = plain[mark.end() :].strip() if mark else ""
    if not mark or not rest or "-" in mark.group() or _BEGINS.search(rest) or _CALCULATES.match(rest):
        return {}
    return {(mark[1] or mark[2]): rest}


def _key(text: str) -> str:
    r"""What two texts have in common that are the same but for case, punctuation and ``\text``."""
    plain = _plain(text)
    if _MATHS.search(plain):
        return plain.replace(" ", "")
    words = plain_words(plain)
    phrase = _ALL_OR_NONE.fullmatch(words)
    if phrase or words in ("all", "none"):
        return f"{words.split()[0]} of the above"
    return words if re.search("[A-Za-z]{2}", words) else plain


def _plain(text: str) -> str:
    for _ in range(2):
        text = _TEXT.sub(r" \1\2 ", text)
    text = " ".join(text.replace("**", " ").split()).strip(" ,;")
    return _LEAD.sub("", text).strip()


# ------------------------------------------------------------------------------------------- numbered statements

_ROMAN = "VIII|VII|VI|IV|IX|III|II|I|V|X"
_ALL_OF_THEM = re.compile(r"\b(?:only|and|both)\b")
_STATEMENTS = re.compile(
    rf"(?:(?:only|both|statements?)\s+)*(?:{_ROMAN})(?:\s*(?:,\s*and\b|,|;|&|\band\b)\s*(?:{_ROMAN}))*(?:\s+only)?",
    re.IGNORECASE,
)


def compare_statements(reference: str, answer: str) -> Finding | None:
    """Compare sets of numbered statements, such as ``I and III only``; None where one of the texts is no such set.

    The reference says ``and``, ``only`` or ``both``: without these it may be an order or a number.
    """
    if not _ALL_OF_THEM.search(reference):
        return None
    expected, given = _statements(reference), _statements(answer)
    if not expected or not given:
        return None
    return equal("equal_words") if expected == given else DIFFERENT


def _statements(text: str) -> frozenset[str]:
    plain = _plain(text) if len(text) <= MAX_CHARS else ""
    return frozenset(re.findall(rf"\b(?:{_ROMAN})\b", plain)) if _STATEMENTS.fullmatch(plain) else frozenset()
