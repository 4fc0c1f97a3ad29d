r"""Multiple choice: the options of a question, and which of them a text names: by letter, by letter and text, or by text alone.

What follows a letter must be the text of that option: ``B. 5 or C. 7`` names two options, and ``B: no, C`` names none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple, TypeAlias

from hero_rl.verifiers.latex import split_list
from hero_rl.verifiers.math.clean import clean
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, different, equal, unsure
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
_LONE_LETTER = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")


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
    known = _Options(options or _own_option(reference), same)
    expected, given = known.named(reference), known.named(answer)
    if not any(isinstance(named, Finding) or (named and named.by != "text") for named in (expected, given)):
        return None
    only_letters = any(isinstance(named, Named) and named.by in _LETTERS_ALONE for named in (expected, given))
    if isinstance(expected, Finding) or isinstance(given, Finding):
        found = expected if isinstance(expected, Finding) else given
        return found if isinstance(found, Finding) and (len(options) > 1 or only_letters) else None
    if expected is None:
        texts = known.texts_of(given.letters) if given else []
        finding = same(texts[0], reference) if len(texts) == 1 else None
        return unsure("choice_unclear") if finding and finding.relation == "equal" else finding
    return known.letter_against_content(expected, answer) if given is None else known.compare(expected, given)


_LETTERS_ALONE = ("letter", "small letter", "word of letters")


def name_options(text: str, options: Mapping[str, str], same: Same) -> Named | Finding | None:
    """Return the options that a cleaned text names; None for a text that names none, a finding where it names them badly."""
    return _Options(options, same).named(text)


class _Options:
    """The options of a question by their letters, in cleaned text."""

    def __init__(self, options: Mapping[str, str], same: Same):
        self._texts = {letter: clean(content) for letter, content in options.items()}
        self._same = same
        self._certain = len(options) > 1
        self._letters = frozenset(options) if self._certain else frozenset(LETTERS)

    def compare(self, expected: Named, given: Named) -> Finding:
        by = {expected.by, given.by}
        if expected.letters != given.letters:
            for one, other in ((expected, given), (given, expected)):
                of_all = len(one.letters) == 1 and _key(self._texts.get(min(one.letters), "")) == "all of the above"
                if of_all and len(other.letters) > 1:
                    return unsure("choice_unclear")
            return different("different") if by & {"small letter", "word of letters"} else DIFFERENT
        if by == {"word of letters"}:
            return unsure("choice_unclear")
        if "text" in by:
            return equal("equal_choice")
        return equal("equal_letter") if by & {"small letter", "word of letters", "letter and unknown text"} else EQUAL

    def letter_against_content(self, expected: Named, answer: str) -> Finding | None:
        """Compare a reference that names a letter with an answer that is none of the options."""
        texts = self.texts_of(expected.letters)
        if len(texts) != 1:
            return self._letters_against_contents(expected, answer)
        finding = self._same(texts[0], answer)
        if finding.relation == "different" and expected.letters & set(_LONE_LETTER.findall(answer)):
            return unsure("choice_conflict")
        return unsure("choice_unclear") if finding.relation == "equal" else finding

    def _letters_against_contents(self, expected: Named, answer: str) -> Finding | None:
        """Compare several letters with an answer that lists the texts of options; None where it lists something else."""
        parts = split_list(answer)
        if not expected.letters <= frozenset(self._texts) or not 1 < len(parts) <= len(self._texts):
            return None
        found = [self._by_text(part) for part in parts]
        if any(len(one) != 1 for one in found):
            return unsure("choice_unclear") if all(found) else None
        return equal("equal_choice") if {one[0] for one in found} == expected.letters else DIFFERENT

    def texts_of(self, letters: frozenset[str]) -> list[str]:
        return [self._texts[letter] for letter in letters if letter in self._texts]

    def named(self, text: str) -> Named | Finding | None:
        """Return what ``name_options`` does."""
        plain = _plain(text)
        letters = _by_letters(plain, self._letters, certain=self._certain)
        if letters is not None:
            others = {letter for letter, content in self._texts.items() if _plain(content) == plain}
            return unsure("choice_unclear") if others - letters.letters else letters
        if _is_hedge(plain, self._letters):
            return different("several_choices")
        marked = self._by_marks(plain)
        if marked is not None:
            return marked
        bare = _ONE_THEN_TEXT.match(plain)
        if bare and bare[1] in self._by_text(plain[bare.end() :]):
            return Named(frozenset(bare[1]), "letter and text")
        found = self._by_text(text)
        if len(found) > 1:
            return unsure("choice_unclear")
        return Named(frozenset(found), "text") if found else None

    def _by_marks(self, plain: str) -> Named | Finding | None:
        """Return the letters that are marked as such (``(B)``, ``B.``), each with the text that follows it."""
        marks = [mark for mark in _BEGINS.finditer(plain) if (mark[1] or mark[2]) in self._letters]
        if not self._certain and any("-" in mark.group() for mark in marks):
            return None
        if not marks or plain[: marks[0].start()].strip():
            return None
        letters = [mark[1] or mark[2] for mark in marks]
        whole = plain[marks[0].end() :].strip()
        if letters[0] in self._by_text(whole):
            return Named(frozenset(letters[0]), "letter and text")
        if len(set(letters)) == 1:
            return self._unknown_text(letters[0], whole)
        ends = [*(mark.start() for mark in marks[1:]), len(plain)]
        rests = [_JOINT.sub("", plain[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
        if any(re.search(r"(?:^|\s)(?:or|\|)$|^(?:or)\b", rest, re.IGNORECASE) for rest in rests):
            return different("several_choices")
        if any(rest and letter not in self._by_text(rest) for letter, rest in zip(letters, rests, strict=True)):
            return unsure("choice_conflict")
        return Named(frozenset(letters), "letter and text")

    def _unknown_text(self, letter: str, rest: str) -> Named | Finding | None:
        """Return one letter with a text that is not known to be that option's."""
        if not rest or _CALCULATES.match(rest):
            return None
        mentioned = set(re.findall(r"(?<![A-Za-z\\])[B-Z](?![A-Za-z])|\([A-Z]\)", rest)) - {letter}
        doubtful = _DOUBT.search(rest) is not None or any(mark.strip("()") in self._letters for mark in mentioned)
        if letter in self._texts or doubtful or self._by_text(rest):
            return unsure("choice_conflict")
        return Named(frozenset(letter), "letter and unknown text")

    def _by_text(self, text: str) -> list[str]:
        """Return the options whose text this is: literally, or else by comparison."""
        if not text:
            return []
        key = _key(text)
        literal = [letter for letter, content in self._texts.items() if _key(content) == key]
        if literal:
            return literal
        found = {letter: self._same(content, text) for letter, content in self._texts.items()}
        return [letter for letter, one in found.items() if one.relation == "equal" and one.reason != "equal_words"]


def _by_letters(plain: str, known: frozenset[str], *, certain: bool) -> Named | None:
    """Return ``certain``: it is known that the question has these options."""
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
    letters = _LONE_LETTER.findall(plain)
    return len(letters) > 1 and known.issuperset(letters)


def _own_option(reference: str) -> dict[str, str]:
    """Return the option that a reference such as ``B. 12`` gives itself."""
    plain = _plain(reference)
    mark = _BEGINS.match(plain)
    rest = plain[mark.end() :].strip() if mark else ""
    if not mark or not rest or "-" in mark.group() or _BEGINS.search(rest) or _CALCULATES.match(rest):
        return {}
    return {(mark[1] or mark[2]): rest}


def _key(text: str) -> str:
    r"""Return a text without case, punctuation and ``\text``, for comparing."""
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


# ------------------------------------------------------------------------------------------- the question's options

_MAX_OPTION_CHARS = 200

_OPTION_MARK = re.compile(
    r"(?:\\text(?:bf|rm)?\s*\{|\\mathrm\s*\{|\*\*)?\s*(?<![A-Za-z\\])\(?([A-Z])(?:\*\*)?\s*[).:](?:\s*\)?\s*\})?(?:\*\*)?"
)
_FIRST_TWO = (re.compile(r"A(?:\*\*)?\s*[).:]"), re.compile(r"B(?:\*\*)?\s*[).:]"))
_NEW_LINE = re.compile(r"(?:^|\n)\s*[-*]?\s*$")
_BULLET = re.compile(r"\n\s*[-*]\s*$")
_INSTRUCTION = re.compile(
    r"(?<=\S)\s+(?:Please|Answer|Choose|Select|Put|Write|Give|Respond|Think|Let's think|Explain|Show|"
    r"Your (?:final )?answer)\b.*",
    re.DOTALL,
)
_OWN_MARK = re.compile(r"\s*(?:\(\s*([A-Za-z])\s*\)|([A-Za-z])\s*[).:])\s*(.*)", re.DOTALL)


def options_in_question(text: str) -> dict[str, str]:
    """Return the options that a question lists, {} where it lists none.

    Three letters or more, from A on and each followed by something; or two that each begin a line.
    """
    if not all(mark.search(text) for mark in _FIRST_TWO):
        return {}
    found: dict[str, str] = {}
    best = _last_run(text, list(_OPTION_MARK.finditer(text)))
    for index, mark in enumerate(best):
        end = best[index + 1].start() if index + 1 < len(best) else len(text)
        content = _BULLET.sub("", text[mark.end() : min(end, mark.end() + _MAX_OPTION_CHARS)])
        if index + 1 == len(best):
            content = _INSTRUCTION.sub("", content.partition("\n")[0])
        found[mark.group(1)] = content.strip().strip("$\\ ,;").removesuffix(r"\qquad").removesuffix(r"\quad").strip()
    return found if all(found.values()) else {}


def _last_run(text: str, marks: list[re.Match[str]]) -> list[re.Match[str]]:
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for mark in marks:
        if mark.group(1) == "A":
            run = [mark]
        elif run and ord(mark.group(1)) == ord(run[-1].group(1)) + 1:
            run.append(mark)
        begin_lines = all(_NEW_LINE.search(text[max(0, one.start() - 20) : one.start(1)].rstrip("(*")) for one in run)
        if len(run) >= 3 or (len(run) == 2 and begin_lines):
            best = list(run)
    return best


def options_of_field(value: object) -> dict[str, str] | None:
    """Return the options that a row's field ``options`` lists; None for a value that lists none.

    Args:
        value: a mapping from letters to texts, or a list of texts, for A, B, C and so on. Texts may begin with their letter.

    >>> options_of_field(["3", "5"]), options_of_field({"a": "yes", "b": "no"}), options_of_field(["A) 3", "B) 5"])
    ({'A': '3', 'B': '5'}, {'A': 'yes', 'B': 'no'}, {'A': '3', 'B': '5'})
    """
    if isinstance(value, Mapping):
        # null: another row of the Parquet file has that letter
        pairs = [(str(letter).strip().upper(), content) for letter, content in value.items() if content is not None]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) <= len(ascii_uppercase):
        pairs = list(zip(ascii_uppercase, value, strict=False))
    else:
        return None
    texts = {letter: str(content).strip() for letter, content in pairs if _is_content(content)}
    proper = all(len(letter) == 1 and letter in ascii_uppercase for letter in texts)
    if not proper or not 2 <= len(texts) == len(pairs) or not all(texts.values()):
        return None
    return _without_own_marks(texts)


def _is_content(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _without_own_marks(texts: dict[str, str]) -> dict[str, str]:
    marks = {letter: _OWN_MARK.fullmatch(content) for letter, content in texts.items()}
    if all(mark and (mark[1] or mark[2]).upper() == letter and mark[3] for letter, mark in marks.items()):
        return {letter: mark[3].strip() for letter, mark in marks.items() if mark}
    return texts
