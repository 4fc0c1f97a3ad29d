"""Where a sentence has mathematics: its words and its formulas told apart, with and without delimiters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|lg|exp|sqrt|max|min|gcd|lcm|mod|det|pi|infinity|inf"
)
TOKEN = re.compile(
    r"(?P<math>\$\$[^$]{1,1000}\$\$|\\\[(?!\\\]).{1,1000}?\\\]|\\\((?!\\\)).{1,1000}?\\\)|"
    r"\\begin\{(?P<env>[a-z]+\*?)\}(?:(?!\\end).){1,1000}\\end\{(?P=env)\}|"
    r"\$(?<![\\\d]\$)(?=[^\s$])(?P<inline>(?:\\\$|[^$]){1,400}?)(?<=[^\s\\])\$(?!\d)|`[^`\n]{1,100}`)"
    r"|(?P<ordinal>\d[\d,]*(?:-?(?:st|nd|rd|th)\b|\^\{?(?:\\text\{)?(?:st|nd|rd|th)\b\}{0,2}|-[A-Za-z]+|[A-Za-z]{2,}))"
    r"|(?P<number>(?:(?:\\?\$|[€£¥₹])\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:\s\d+/\d+|/\d+)?(?:[eE][-+]?\d+)?"
    r"(?:\s?(?:\\?%|°|\^\\circ))?|(?:\\?\$)?\.\d+|[∞π½¼¾⅓⅔])"
    rf"|(?P<function>\b(?:{_FUNCTIONS})\b)"
    r"|(?P<command>\\[A-Za-z]+\*?|\\[^A-Za-z])"
    r"|(?P<joint>\b(?:and|or|to)\b)"
    r"|(?P<word>[^\W\d_]{2,}(?:['’\-][^\W\d_]+)*)"
    r"|(?P<letter>[^\W\d_])"
    r"|(?P<comma>[,;，、])"
    r"|(?P<sign>[-+*/=<>()\[\]{}|!^_:&~±√×÷−·⋅≈≤≥≠∪∩'])"
    r"|(?P<other>\S)",
    re.DOTALL,
)
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}(?=[\s,.])")
_KNOWN = re.compile(rf"(?:{_FUNCTIONS}|and|or)")
FORMULA = re.compile(
    r"\$\$[^$]{1,1000}\$\$|\\\[(?!\\\]).{1,1000}?\\\]|\\\((?!\\\)).{1,1000}?\\\)|\$(?<![\\\d]\$)(?=[^\s$])(?:\\\$|"
    r"[^$\n]){1,400}?(?<=[^\s\\])\$(?!\d)",
    re.DOTALL,
)


def masked(text: str) -> str:
    """Return the text with what is inside formulas blotted out, character by character, so that only sentences are seen."""
    return FORMULA.sub(_blotted, text)


def _blotted(match: re.Match[str]) -> str:
    formula = match.group()
    size = 1 if formula[0] == "$" and formula[1] != "$" else 2
    if size == 1 and _is_prose(formula[1:-1]):
        return formula
    return formula[:size] + "0" * (len(formula) - 2 * size) + formula[-size:]


class Run(NamedTuple):
    """Formula tokens side by side, with at least one value among them."""

    start: int
    end: int
    has_math: bool


def formulas(sentence: str) -> Iterator[Run]:
    """Yield the stretches of a sentence that are mathematics, in order."""
    start = end = -1  # of the run so far; end: of its last token that may end it
    value = math = False
    before = ""  # kind of the last token
    for kind, begin, stop in tokens(sentence):
        operand = kind in ("math", "number", "letter", "function", "command")
        apart = operand and before in ("math", "number", "letter") and begin > end and kind != "command" and start >= 0
        colon = kind == "sign" and sentence[begin] == ":" and not sentence[stop : stop + 1].isdigit()
        broken = kind in ("word", "ordinal", "other") or apart or colon
        if broken and start >= 0:
            if value:
                yield Run(start, end, math)
            start, value, math = -1, False, False
        if colon or kind in ("word", "ordinal", "other"):
            before = kind
            continue
        if start < 0 and (kind in ("joint", "comma") or (kind == "sign" and sentence[begin] in "=)]}:*/&~'!<>_^|")):
            before = kind
            continue
        if start < 0:
            start = begin
        if kind not in ("joint", "comma") and not (kind == "sign" and sentence[begin] in "+-*/=<>([{:&^_~'"):
            end = stop
        value = value or kind in ("math", "number") or (kind == "command" and stop - begin > 2)
        math = math or kind == "math"
        before = kind
    if start >= 0 and value:
        yield Run(start, end, math)


def tokens(sentence: str) -> Iterator[tuple[str, int, int]]:
    """Yield the tokens of a sentence: kind, begin and end."""
    at = 0
    while at < len(sentence):
        match = TOKEN.search(sentence, at)
        if match is None:
            return
        kind, stop = match.lastgroup or "other", match.end()
        if kind in ("inline", "env"):
            kind = "math"
        if kind == "math" and match["inline"] is not None and _is_prose(match["inline"]):
            number = TOKEN.match(sentence, match.start() + 1)  # $60 is money, and no formula begins here
            if number is not None and number.lastgroup == "number":
                yield "number", match.start(), number.end()
                at = number.end()
                continue
            at = match.start() + 1
            continue
        article = match.group() in ("a", "A", "I") and re.match(r"\s+(?![-+=<>*/^≈≤≥])\S|'", sentence[stop:])
        if kind == "letter" and (article or not match.group().isascii()):
            kind = "word"
        yield kind, match.start(), stop
        at = stop


def _is_prose(content: str) -> bool:
    bare = re.sub(r"\\(?:text|mathrm|operatorname|textbf|mathbf|textit)\{[^{}]*\}|\\[A-Za-z]+", " ", content + " ")
    return any(not _KNOWN.fullmatch(word) for word in _PROSE.findall(bare))
