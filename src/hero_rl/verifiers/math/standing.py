r"""Whether a claim stands: a text may show one as an example of the format, as its earlier answer, or as a rough guess.

``extract`` asks this of the one claim that would count; the words directly around a box are read in ``around``.
"""

from __future__ import annotations

import re

_BEFORE_CHARS = 120
_BEHIND_CHARS = 200
_NEAR_CHARS = 60
_LAST_SENTENCE = re.compile(r".*(?:(?<!e\.g)(?<!e\. g)[.!?。]['\"”*_)]*\s|\n)", re.DOTALL)
_OPEN = r"[$\\(\[{*_~\s\"“:]*"

_SAMPLE = re.compile(
    r"(?:\bsuch as|\blike(?: so| this)?|(?:^\W*|(?<!in )(?<!into )(?<!within )\bthe )(?:(?:expected|required|output|answer|"
    r"response) ){0,2}(?:format|template|placeholder)(?: (?:is|would be|should be|must be|looks like)(?: as follows)?)?|"
    r"\b(?:put|write|enclose|give|format|present|place|box|state|express|report|provide|submit|wrap)\b[^.\n]{0,30}"
    r"\byour (?:final )?answers?\b[^.\n]{0,40})[,:]?" + _OPEN + "$",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"(?:\be\.\s?g\.?|\bfor (?:example|instance)|\b(?:an? )?(?:example|sample)(?: (?:answer|response|output))?"
    r"(?: is| would be)?)[,:]?" + _OPEN + "$",
    re.IGNORECASE,
)
_SAMPLE_BEHIND = re.compile(
    r"[\s$*_)}\]\\]*[,;(–—-]?\s*(?:such as this\b|like (?:this|so)\b|for (?:example|instance|illustration)\b|as an (?:example|"
    r"illustration)\b|e\.\s?g\.|in this (?:way|format|form|style)\b|"
    r"is (?:just |only )?(?:an? )?(?:example|sample|placeholder)\b)",
    re.IGNORECASE,
)
_ASKS_EXAMPLE = re.compile(r"\b(?:example|instance|such|an? (?:\w+ )?(?:pair|number|function|set|value))\b", re.IGNORECASE)

_ANOTHER = re.compile(r"[\s$*_.,;)\]\\]*\s[\s$*_(\[\\]*(-?[\d.,/]*\d)[\s$*_.)\]\\]*")
_FORMER = re.compile(
    r"\b(?:(?:previous|earlier|old|former|first|initial|original|prior|preceding|outdated)(?: \w+)? (?:answer|value|result|"
    r"attempt|guess|try|claim|calculation|solution|response|estimate|box|version|draft|computation)|"
    r"(?:first|originally|initially) (?:wrote|got|had|put|boxed|said|thought)|previously|earlier|at first|initially|originally|"
    r"formerly|old|before (?:the )?(?:correct|fix|revis|re-?check)\w*)\b",
    re.IGNORECASE,
)
_FORMER_BEHIND = re.compile(
    r"[\s$*_)}\]\\]*(?:\((?:old|previous|former|original|outdated|superseded|before)(?: \w+)?\)|(?:was|were) (?:my|the|our) "
    r"(?:previous|earlier|old|former|first|initial|original|prior)\b|(?:->|→|,|;|\(|and|but)?\s*(?:later |then |now )?"
    r"(?:corrected|revised|updated|amended|changed|replaced|superseded)\b(?: (?:to|by|with)\b))",
    re.IGNORECASE,
)
_LATTER = re.compile(
    r"^[^\n]{0,60}?\b(?:now|new|after\w*|correct(?:ed|ion)?|revised|updated|instead|actually|but|however|second|final(?:ly)?|"
    r"really|turns? out|should|today)\b(?P<value>[^\n]{0,80}?[\d\\][^\n]{0,20})",
    re.IGNORECASE,
)

_ASKED_BEHIND = re.compile(
    r"(?:\b(?:but|however|now|so|thus|hence|therefore),? (?:the|this|our) (?:question|problem) (?:asks?|asked|wants?|is asking)"
    r"\b[^.\n=]{0,80}?(?:\bis\b|=|:)|"
    r"(?<!step )(?<!step, )(?<!step \d, )\bthe (?:requested|required|desired|wanted|sought)(?: \w+)? (?:is|=|equals))"
    r"\s*[$\\(*]*(?P<value>-?\d+)",
    re.IGNORECASE,
)
"""Behind a claim: another value, which is said to be the one that was asked for."""

_CONCLUDED_BEHIND = re.compile(
    r"(?:[.\n]|\$\$|\\\])\s*(?:so|thus|hence|therefore),? (?:(?:the|our) (?:(?:final|total|required|requested|desired) )?"
    r"(?:answer|result|total|sum|number|value|difference|product)\b[^.\n=\d\\]{0,40} (?:is|equals)|"
    r"there (?:is|are)(?= [^.]*total))\s*[$(*]*(?P<value>-?\d+(?:\.\d+)?)[$)*]*(?: [a-z ]+)?[.\s]*\Z",
    re.IGNORECASE,
)
"""At the end of a text: a conclusion with a number."""
_CHECK = re.compile(r"\b(?:check|verif(?:y|ication)|confirm|note)\b", re.IGNORECASE)
_GUESS_WORDS = (
    r"(?:maybe|perhaps|possibly|presumably|something like|somewhere (?:around|near|about|between)|plus or minus|"
    r"i(?:['’]d| would)? (?:guess|suppose)|guess (?:is|would be|of)|vielleicht|peut-être|quizás?|tal vez|forse|возможно|可能)"
)
_GUESS_BEFORE = re.compile(
    rf"\b(?:{_GUESS_WORDS}|answer (?:could|might|may)(?: well| also)? be)\b[^.,;:\n]{{0,30}}{_OPEN}$", re.IGNORECASE
)
_STOPGAP = re.compile(
    r"\b(?:guess(?=:)|(?:dummy|placeholder|filler|default|random|arbitrary)"
    r"(?: (?:value|number|answer|choice|output|of|is))*|as a test|"
    r"(?:could not|couldn['’]t|cannot|can['’]t|unable to|failed to) (?:solve|answer|figure|compute)\b[^.;\n]{0,40})[:,]?"
    + _OPEN
    + "$",
    re.IGNORECASE,
)
"""Before a box: a number that stands in for the answer."""
_GUESS_INSIDE = re.compile(rf"\b(?:{_GUESS_WORDS}|(?:could|might|may)(?: well| also)? be)\b", re.IGNORECASE)
_GUESS_BEHIND = re.compile(
    r"[^.!?\n]{0,30}?(?:\b(?:maybe|perhaps|possibly|presumably|i(?:['’]d| would)? (?:guess|suppose)|or something|plus or minus|"
    r"who knows)\b|(?<=[,(]) ?probably\b)",
    re.IGNORECASE,
)
_ROUGH_BEFORE = re.compile(
    r"\b(?:roughly|about|around|circa|more or less|in the (?:neighbou?rhood|vicinity|region) of|give or take)\s*(?:is )?"
    + _OPEN + r"$|[约約](?:等于|为|是|有)?\s*\$?\Z",
    re.IGNORECASE,
)  # fmt: skip
_APPROXIMATELY = re.compile(r"\bapproximately\s*" + _OPEN + "$", re.IGNORECASE)
"""Before a box it is a habit of speech; elsewhere it doubts an exact value."""
_ROUGH_INSIDE = re.compile(
    r"\b(?:about|roughly|around|approximately|circa|ungefähr|etwa|environ|casi|(?:vicinity|region|"
    r"neighbou?rhood) of)\b[\s}*_$\\(]*-?\d|\d[\s}*_$\\),]*(?:-?ish\b|or so\b|more or less\b|give or take\b|or thereabouts\b)|"
    r"(?:около|примерно|约|約)\s*-?\d|\{\s*(?:\\approx(?![a-z])|\\sim(?![a-z])|≈|~)\s*-?\d",
    re.IGNORECASE,
)
_ROUGH_BEHIND = re.compile(
    r"[\s$*_)}\]\\]*(?:-?ish\b|[^.!?\n]{0,30}?(?:\bor so\b|\bmore or less\b|\bgive or take\b|\bor thereabouts\b|"
    r"(?<=[,(]) ?(?:roughly|approximately)\b))",
    re.IGNORECASE,
)


def _signs(text: str) -> tuple[str, ...]:
    """Return pieces of text without which a pattern cannot match: looking for them is quicker."""
    return tuple(text.split("|"))


_SAMPLE_SIGNS = _signs("e.g|e. g|ample|instance|such as|like|ormat|emplate|lacehold|your |illustr|in this ")
_FORMER_SIGNS = _signs(
    "former|earl|previous|old|first|initial|original|prior|preced|outdated|before|corrected|revised|updated|amended|changed|"
    "replaced|superseded"
)
_GUESS_SIGNS = _signs(
    "maybe|perhaps|possibly|presumabl|something|somewhere|plus or minus|guess|suppose|who knows|could|might| may |probably|"
    "dummy|placeholder|filler|default|random|arbitrary|as a test|solve|unable|failed|can|vielleicht|peut-|quiz|tal vez|forse|"
    "возможно|可能"
)
_ROUGH_SIGNS = _signs(
    r"roughly|about|around|circa|more or less| or so|ish|or take|hood of|vicinity|region of|thereabouts|approximately|ungef|"
    r"etwa|environ|casi|около|примерно|约|約|\approx|\sim|≈|{~"
)


def is_sample(text: str, start: int, end: int, problem: str) -> bool:
    r"""Return whether a claim only shows the format: ``write your answer like \boxed{5}``; a question may ask for examples."""
    before, behind = text[max(0, start - _BEFORE_CHARS) : start], text[end : end + _NEAR_CHARS]
    if not _has((before + behind).lower(), _SAMPLE_SIGNS):
        return False
    before = _last_sentence(before)
    if _EXAMPLE.search(before) or _SAMPLE_BEHIND.match(behind):
        return _ASKS_EXAMPLE.search(problem) is None
    return _SAMPLE.search(before) is not None


def superseded(text: str, start: int, end: int, problem: str) -> int:
    r"""Return where a text goes on with a later claim after one that it calls an earlier one; -1 where it does not.

    ``Previously \boxed{5}; now 6``. A question about what was so earlier is answered by what was so earlier.
    """
    before, behind = text[max(0, start - _BEFORE_CHARS) : start], text[end : end + _BEHIND_CHARS]
    if (asked := _ASKED_BEHIND.search(behind)) and asked["value"] not in text[start:end]:
        return end + asked.start()
    if not _has((before + behind).lower(), _FORMER_SIGNS):
        return -1
    if changed := _FORMER_BEHIND.match(behind):
        return end + changed.end()
    former = _FORMER.search(_last_sentence(before))
    if former is None or former.group()[:5].lower().strip() in problem.lower():
        return -1
    latter = _LATTER.match(behind)
    return -1 if latter is None else end + latter.start("value")


def concluded_behind(text: str, end: int, value: str) -> str:
    """Return the number that the last sentence of a text concludes with, behind a claim of another number; "" for none.

    What a check comes to, ``Check: 10 + 18 = 28. So the sum is 28``, is no answer.
    """
    if not re.fullmatch(r"\$?-?\d+\$?", value.strip()):
        return ""
    found = _CONCLUDED_BEHIND.search(text, max(end, len(text) - _BEHIND_CHARS))
    return found["value"] if found and not _CHECK.search(text, end, found.start()) else ""


def has_another_behind(text: str, end: int, value: str) -> bool:
    """Return whether a text ends in another bare number behind a claim, on a line of its own: ``5``, and then ``6``."""
    if not 1 < len(text) - end < _NEAR_CHARS:
        return False
    another = _ANOTHER.fullmatch(text, end)
    return another is not None and another[1] not in value


def is_guess(text: str, start: int, end: int, problem: str = "") -> bool:
    """Return whether the words around a claim call it a guess: ``maybe 5``, ``5, I suppose``."""
    before, inside, behind = text[max(0, start - _BEFORE_CHARS) : start], text[start:end], text[end : end + _NEAR_CHARS]
    return _has((before + inside + behind).lower(), _GUESS_SIGNS) and (
        _GUESS_BEFORE.search(before) is not None
        or ((stopgap := _STOPGAP.search(before)) is not None and stopgap.group()[:6].lower() not in problem.lower())
        or _GUESS_INSIDE.search(inside) is not None
        or _GUESS_BEHIND.match(behind) is not None
    )


def is_rough(text: str, start: int, end: int) -> bool:
    """Return whether a claim is only about right: ``about 5``, ``5 or so``."""
    before, inside, behind = text[max(0, start - _BEFORE_CHARS) : start], text[start:end], text[end : end + _NEAR_CHARS]
    return _has((before + inside + behind).lower(), _ROUGH_SIGNS) and (
        _ROUGH_BEFORE.search(before) is not None
        or (_APPROXIMATELY.search(before) is not None and not inside.startswith("\\"))
        or _ROUGH_INSIDE.search(inside) is not None
        or _ROUGH_BEHIND.match(behind) is not None
    )


def _has(text: str, signs: tuple[str, ...]) -> bool:
    return any(sign in text for sign in signs)


def _last_sentence(text: str) -> str:
    first = _LAST_SENTENCE.match(text)
    return text[first.end() :] if first else text
