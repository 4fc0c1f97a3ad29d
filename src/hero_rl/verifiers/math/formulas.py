"""Where a sentence has mathematics: its words and its formulas told apart, with and without delimiters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hero_rl.verifiers.math.signs import is_foreign
from hero_rl.verifiers.math.units import SHORT_UNITS

_FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|lg|exp|sqrt|max|min|gcd|lcm|mod|det|pi|infinity|inf"
)
TOKEN = re.compile(
    r"(?P<math>\$\$[^$]{1,1000}\$\$|\\\[(?!\\\]).{1,1000}?\\\]|\\\((?!\\\)).{1,1000}?\\\)|"
    r"\\begin\{(?P<env>[a-z]+\*?)\}(?:(?!\\end).){1,1000}\\end\{(?P=env)\}|"
    r"\$(?:(?<![\\\d]\$)|(?<!\\\$)(?=\\[a-z]))(?=[^\s$])(?P<inline>(?:\\\$|[^$]){1,400}?)(?<=[^\s\\])\$(?!\d)|`[^`\n]{1,100}`)"
    r"|(?P<ordinal>\d[\d,]*(?:-?(?:st|nd|rd|th)\b|\^\{?(?:\\text\{)?(?:st|nd|rd|th)\b\}{0,2}|-[A-Za-z]+|[A-Za-z]{2,}))"
    r"|(?P<number>(?:(?:\\?\$|[€£¥₹])\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?![\d,/])|\d+)(?:\.\d+)?"
    r"(?:\s\d+/\d+|/\d+)?(?:[eE][-+]?\d+)?(?:\s?(?:\\?%|°|\^\\circ))?|(?:\\?\$)?\.\d+|[∞π½¼¾⅐-⅞])"
    rf"|(?P<function>\b(?:{_FUNCTIONS})\b)"
    r"|(?P<command>(?!\\end\b)\\[A-Za-z]+\*?|\\[^A-Za-z])"
    r"|(?P<joint>\b(?:and|or|to)\b)"
    r"|(?P<word>[^\W\d_]{2,}(?:['’\-][^\W\d_]+)*)"
    r"|(?P<letter>[^\W\d_])"
    r"|(?P<comma>[,;，、])"
    r"|(?P<sign>[-+*/=<>()\[\]{}|!^_:&~±∓√×÷−·⋅≈≡≤≥≠∪∩'])"
    r"|(?P<other>\S)",
    re.DOTALL,
)
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}(?=[\s,.])")
_KNOWN = re.compile(rf"(?:{_FUNCTIONS}|and|or)")
_UNIT_FRACTION = (
    r"\\[dt]?frac\s*\{\s*(?:\\(?:text|mathrm)\{)?(?:[kcm]?m|mi|[km]?g|mol|[kM]?J|L)\}?\s*\}\s*"
    r"\{\s*(?:\\(?:text|mathrm)\{)?(?:s|h|min|c?m|L|kg|mol)(?:\^\{?[23]\}?)?\}"
)
"""A unit of two: ``\\frac{m}{s}``."""
_SHORT_UNITS = "|".join(
    sorted(
        SHORT_UNITS
        | {"kB", "KB", "MB", "GB", "TB", "cc", "ha", "sq", "pt", "qt", "kr", "rs", "am", "AM", "PM", "BC", "AD", "TV"}
    )
)
_FACTOR = re.compile(
    rf"(?:\$\$?|\\\(|\\\[)\s*(?!{_UNIT_FRACTION}|(?:{_SHORT_UNITS}|[mgshdlLNJVWKCFATH])(?![A-Za-z])|\\[^\w%]|[.,;:!']|"
    r"\^\s*\{?\s*\\circ|\\(?:text\w*|math(?:rm|bf)|q?quad|\w*square|Box|p?mod|checkmark|degree|circ|mu|Omega|AA|\w*dots|star|qed)(?![A-Za-z]))"
    r"(?!.*(?:[=<>≤≥≠≈]|\\(?:[lg]eq?|ne|approx|equiv|in|to|\w*arrow|implies|iff|text)(?![A-Za-z])))",
    re.DOTALL,
)
"""A formula that is a factor of the number before it, and neither its unit nor a statement."""
_ALONE = re.compile(r"(?:\$|\\\()\s*[A-Za-z]\s*(?:\$|\\\))\s+(?!for\b|where\b)[^\W\d_]{2}")
"""A letter with words behind it: ``5 $x$ being positive``."""
_VARIABLE = re.compile(
    r"(?:[bcefi-kn-rt-z](?!['’.]\w)(?!\s*=)(?!(?:\s+|-)(?!for\b|where\b)[^\W\d_]{2})|[adghlms](?=\s*\+)|"
    r"[A-Z]\s?\d|[A-Za-z]\s*[-*/]\s*\d)"
)
_VARIABLES = re.compile(
    rf"(?!(?:{_SHORT_UNITS}|by|my|hm|vs)\b)(?i:a[bckpqrxyz]|uv|[b-df-hj-np-tv-z]{{2}}|abc|bcd|[x-z]{{3}}|pqr|rst|[k-n]{{3}})"
    r"(?=\s*(?:[-+*/^_]|[.,;)$]*\s*(?:\n|$)|[.,;]\s))"
)
"""Letters side by side at the end, which are no word and no unit: ``5 ab.``"""
_SQUARE_UNITS = re.compile(r"u\s?\^\s?\{?[23]\}?(?![\w^])")
_U = re.compile(r"(?<![A-Za-z\\])u(?![A-Za-z])")
_APPLIED = re.compile(r"(?:a?sin|cos|tan|cot|sec|csc|arc\w+|log|ln|lg|exp|sqrt|pi|π)\b(?! of)")
_MORE_BEHIND = re.compile(
    r" ?(?![μΩ])[α-ωΑ-Ω](?![^\W\d_])|[ \t]*\+| +: +\d| ?\([a-z]\s*[-+*/^]\s*[\da-z]\s*\)|"
    r"[ \t]*\\(?:sqrt|pi|[dt]?frac|binom)(?![A-Za-z])|\^(?!\s*\{?\s*\\circ)|"
    r"[ \t]*[-·⋅×÷±]\s?[A-Za-z]{1,3}[\^_({\\\d]|[ \t]*(?:[–—]\s?(?=[\d$\\])|→\s?(?=[\d$\\])|base\s+\d|mod\b)|[.…⋯]+\d|"
    r"[ \t]*(?:[万萬亿億만억천백십]|千(?![克米瓦卡焦帕赫])|百(?!分点)|十|兆(?![赫瓦欧帕])|分の|分之|又|点\s?\d|割|"
    r"个半|半|多|余|餘|几|左右|以上|以下|以内|以外|未満|次方|"
    r"的[^，。]{0,8}(?:[倍方根数]|分之)|[加减減乘除](?!号)|(?:或|到|至|和|与|か|から)\s?[$\\\d])"
)
_CLOSED = re.compile(r"^\s?(?:\$\$?|\\\)|\\\])(?=[\s.,;:!?)*]|[^\x00-\x7f]|$)")
_NAME_BEFORE = re.compile(r"(?<!Rs)(?<!kr)[a-z]\Z")
_MORE_BEFORE = re.compile(
    r"(?:[–—]|[负負第模减減乘除]|(?<!增)加|乘以|除以|减去|根号|零下|マイナス|마이너스\s?|"
    r"(?:[不非](?:可?能|会|應|应该?)?|大[于於]|小[于於]|不[到足]|不[少多小大]于|多于|少于|将近|可能|也许|(?P<bound>至少|至多|最多|最少|不?超[过過]))"
    r"(?:等[于於]|为|是|得|有)?\s?)[*_$(]*\Z"
)
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
    """Yield the stretches of a sentence that are mathematics, in order; nothing ends one within braces."""
    start = end = -1  # of the run so far; end: of its last token that may end it
    value = math = False
    depth = 0
    before = ""  # kind of the last token
    for kind, begin, stop in tokens(sentence):
        sign = sentence[begin] if kind == "sign" else ""
        operand = kind in ("math", "number", "letter", "function", "command")
        apart = operand and before in ("math", "number", "letter") and begin > end and kind != "command" and start >= 0
        apart = apart and not _multiplies(sentence, before, kind, begin, stop)
        colon = sign == ":" and not sentence[stop : stop + 1].isdigit()
        broken = depth <= 0 and (kind in ("word", "ordinal", "other") or apart or colon)
        if broken and start >= 0:
            if value:
                yield Run(start, end, math)
            start, value, math, depth = -1, False, False, 0
        if broken and not apart:
            before = kind
            continue
        if start < 0 and (kind in ("joint", "comma") or (sign and sign in "=)]}:*/&~'!<>_^|")):
            before = kind
            continue
        if start < 0:
            start, depth = begin, 0
        depth += (sign == "{") - (sign == "}")
        if kind not in ("joint", "comma") and not (sign and sign in "+-*/=<>([{:&^_~'"):
            end = stop
        value = value or kind in ("math", "number") or (kind == "command" and stop - begin > 2)
        math = math or kind == "math"
        before = kind
    if start >= 0 and value:
        yield Run(start, end, math)


def _multiplies(sentence: str, before: str, kind: str, begin: int, end: int) -> bool:
    """Return whether a token with space before it goes on with what is before that: ``3 $x^2$``, ``3 x + 1``, ``4 π``."""
    if kind == "letter" and before != "math":
        alone = re.match(r"\s*(?:[-+*/^_]|[.,;)]?\s*$|[.,;]\s)", sentence[end:])
        joined = before == "letter" and re.match(r"[a-z]\s*=", sentence[begin:])
        return bool(joined or (alone and _VARIABLE.match(sentence, begin)))
    return before == "number" and _goes_on(sentence, kind, begin, end)


def _goes_on(text: str, kind: str, begin: int, end: int) -> bool:
    """Return whether a token is a factor of a number before it: a formula or a function, no letter that prose is about."""
    if kind not in ("math", "function", "number"):
        return False
    about = kind == "math" and _ALONE.match(text, begin)
    return not about and (_FACTOR if kind == "math" else _APPLIED).match(text[:end], begin) is not None


def is_cut(text: str, start: int, end: int, problem: str = "") -> bool:
    """Return whether what stands beside a value makes another value of it, which nothing here reads: ``5万``, ``⌊5``, ``5 2``.

    The question may itself ask for the number behind such a word: ``至少``.
    """
    before, behind = text[max(0, start - 12) : start], _CLOSED.sub("", text[end : end + 200].lstrip("*_"))
    more = _MORE_BEFORE.search(before)
    if (more and not (more["bound"] and more["bound"] in problem)) or (text[start].isdigit() and _NAME_BEFORE.search(before)):
        return True
    beside = behind.lstrip(" *_")
    if _MORE_BEHIND.match(behind) or is_foreign(before.rstrip(" *_$(")[-1:]) or is_foreign(beside[:1]):
        return True
    following = next(tokens(beside), None) if beside[:1] not in ("", "\n") else None
    if following is None or following[1] > (beside[0] == "$"):
        return False
    kind, begin, stop = following
    if kind == "word":
        return _VARIABLES.match(beside, begin) is not None
    if kind == "letter":
        return _VARIABLE.match(beside) is not None and (not _SQUARE_UNITS.match(beside) or _U.search(problem) is not None)
    return (kind == "number" and beside[0] not in "$€£¥₹\\.") or _goes_on(beside, kind, 0, stop)


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
