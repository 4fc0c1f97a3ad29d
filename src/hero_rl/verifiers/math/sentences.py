r"""The value that a sentence states: ``Therefore, the area is $12$ square units.`` says ``12``.

A sentence is cut into words and formulas; grammar is read only as far as needed to tell which formula is stated. Where several
could be, the answer is "unclear", never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_SENTENCE_CHARS = 1_500
_MAX_NOUNS = 4


class Stated(NamedTuple):
    """A value that a text states."""

    text: str
    """With the words that belong to it: ``15 red cookies``."""
    bare: str
    """Without nouns that are no units: ``15``."""
    start: int = 0
    end: int = 0


UNCLEAR = Stated("", "")
"""Several values are stated, and nothing tells which of them is meant."""

_FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|lg|exp|sqrt|max|min|gcd|lcm|mod|det|pi|infinity|inf"
)
_TOKEN = re.compile(
    r"(?P<math>\$\$[^$]{1,1000}\$\$|\\\[(?:(?!\\\]).){1,1000}\\\]|\\\((?:(?!\\\)).){1,1000}\\\)|"
    r"\\begin\{(?P<env>[a-z]+\*?)\}(?:(?!\\end).){1,1000}\\end\{(?P=env)\}|"
    r"(?<![\\\d])\$(?=[^\s$])(?P<inline>(?:\\\$|[^$]){1,400}?)(?<=[^\s\\])\$(?!\d)|`[^`\n]{1,100}`)"
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
_UNIT = re.compile(
    r"\s*-?(?:(?:\\text|\\mathrm)?\{?\s*)?(?:(?:(?:square|sq\.?|cubic|cu\.?)\s+)?(?:percent(?:age points)?|per ?cent|%|"
    r"\\%|°|degrees?|radians?|"
    r"dollars?|cents?|euros?|pounds?|yen|yuan|rupees?|units?|"
    r"(?:kilo|centi|milli|deci|micro|nano)?(?:met(?:er|re)s?|lit(?:er|re)s?|grams?|watts?|joules?|newtons?|volts?|hertz|"
    r"pascals?|seconds?)|"
    r"km|cm|mm|dm|nm|m|kg|mg|g|ml|mL|L|ft|in(?!\s+[A-Za-z])|yd|mi|lbs?|oz|mph|kph|feet|foot|inch(?:es)?|yards?|miles?|"
    r"acres?|hectares?|"
    r"tons?|tonnes?|"
    r"ounces?|gallons?|quarts?|pints?|cups?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|secs?|moles?|"
    r"[Kk]elvin|Celsius|Fahrenheit|hundred|thousand|million|billion|trillion|dozen|squared|cubed|"
    r"thirds?|halves|half|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|factorial|"
    r"times(?=\s+[\d$\\])|"
    r"(?:or|and) (?:more|less|fewer|above|below|greater|higher|lower|over|under|smaller|larger|a half)|out of \d+|"
    r"below zero|at most|at least|negative|a\.?m\.?|p\.?m\.?)"
    r"(?![A-Za-z])|(?:米|厘米|千米|元|度|秒|分|小时)|\s*/\s*[A-Za-z]+(?:\s*\^\s*\{?-?\d\}?)?|\s*\bof\s+[\d$\\]\S*|"
    r"\s*\bper\s+[a-z]+\b|\s*\^\{?[23]\}?|[²³])\}?"
)
_BOUND = re.compile(
    r"(?:\b(?:at (?:least|most)|(?:more|less|fewer|greater|larger|smaller|higher|lower) than(?: or equal to)?|over|"
    r"under|above|"
    r"below|up to|no (?:more|less|fewer) than|between|from)\s*[*_]*)$",
    re.IGNORECASE,
)
_ADVERBS = (
    r"(?:(?:therefore|thus|hence|then|indeed|simply|just|only|also|exactly|precisely|approximately|about|around|roughly|"
    r"equal to|given by|found to be|calculated to be|the (?:number|value|set|fraction|integer|expression|function|"
    r"equation|point|"
    r"ordered (?:pair|triple)|interval|angle|matrix|vector|polynomial)|a total of|now|still|actually|in fact|as follows|"
    r"clearly|going to be|seen to be|either|both|all|equals?|be|is|are|thought to be|certainly|definitely|probably|likely|"
    r"simplified to|computed to be|always|option|choice|letter|really|a|an|of)\b[\s:,]*)*"
)
_COPULA = re.compile(
    r"(?:\b(?:is|are|was|were|be|been|equals?|equal to|becom(?:es?|ing)|gives?(?: (?:us|you))?|gave|gets?|getting|got|"
    r"obtain(?:s|ed)?|yields?|total(?:s|ing)?(?: of)?|comes? (?:out )?to|amounts? to|adds? up to|sums? to|simplif(?:y|"
    r"ies) to|"
    r"reduces? to|evaluates? to|conclude(?: that)?|"
    r"works? out (?:to|as)|turns? out to be|es|est|ist|lautet|é|è)\b|[:：=≈]|是|为|等于|得|共|есть|равно|равен)[\s*_:]*"
    + _ADVERBS
    + r"[\s*_(\"“]*$",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(
    r"\b(?:when|if|where|since|because|given|while|whereas|whose|with|assuming|after|before|unless|so that|"
    r"using|by|from|out of|instead of|rather than|compared|than|until|"
    r"as (?=\$|\\|[A-Za-z] ?=|it|we|the)|once|to (?:achieve|make|get|reach|have|ensure|reduce|satisfy|cover))\b",
    re.IGNORECASE,
)
_MARKER = re.compile(
    r"\b(?:therefore|thus|hence|so|consequently|accordingly|conclu\w+|finally|in total|altogether|in summary|in all|overall|"
    r"we (?:get|have|find|obtain|see|conclude)|as a result|which means|this (?:means|gives|shows)|it follows|total|"
    r"ultimately|"
    r"i get|i find|i obtain|will|would|must|needs? to|final|result|sum|value|"
    r"in the end|to sum up|this leaves|left)\b|[∴⇒]|\\therefore|\\implies|因此|所以|故|答|共|总|donc|also|daher|por lo tanto",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"[,;]\s*(?:and )?(?:so|therefore|thus|hence|meaning|giving|yielding|which (?:gives|means|is|equals|yields))\b", re.I
)
_NO_CLAIM = re.compile(
    r"\b(?:wrong|incorrect|impossible|contradict\w*|mistaken?|guess\w*|maybe|perhaps|possibly|unsure|not sure|don't know|"
    r"do not know|cannot be determined|can't (?:be|determine)|cannot determine|might be|could be|may be|unclear|"
    r"step \d+|either|not possible|misunderst\w*)\b|"
    r"^\W*(?:let us|let's|let me|let|next|now|suppose|assume|consider|try|case \d+|we (?:need to|must|should|now|"
    r"will (?:now|use|find)))\b",
    re.IGNORECASE,
)
_DENIED_BEFORE = re.compile(
    r"(?:(?:\b(?:not|never|nor|neither)|n't)\s+(?:equal to\s+|equal\s+|be\s+)?|"
    r"\b(?:divisible by|divides|multiples? of|factors? of|powers? of|modulo|in base|prime to)\s+)[*_(\"“]*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[*_)\"”]*\s*(?:is|are|was|were|can|could|does|do|would)(?:n't|\s*not)\b|[*_)\"”]*\s*(?:is|was|are) (?:excluded|"
    r"ruled out|too)",
    re.IGNORECASE,
)  # fmt: skip
_LONE_LETTER = re.compile(r"[\s*_(\\{\[\"“`$]*(?:\\text(?:bf)?\{\s*\(?)?([A-J])[)}\]\"”`$*_.:\s]*")
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*|__([^_\n]{1,200})__|\\(?:mathbf|textbf|underline)\{([^{}\n]{1,200})\}")
_RELATION = re.compile(r"(?<![<>!\\:])=")
_NUMBER_WORD = re.compile(
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|"
    r"seventeen|eighteen|"
    r"nineteen|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-(?:one|two|three|four|five|six|seven|eight|"
    r"nine))?)\b",
    re.IGNORECASE,
)


_FORMULA = re.compile(
    r"\$\$[^$]{1,1000}\$\$|\\\[(?:(?!\\\]).){1,1000}\\\]|\\\((?:(?!\\\)).){1,1000}\\\)|(?<![\\\d])\$(?=[^\s$])(?:\\\$|"
    r"[^$\n]){1,400}?(?<=[^\s\\])\$(?!\d)",
    re.DOTALL,
)


def masked(text: str) -> str:
    """The text with what is inside formulas blotted out, character by character, so that only sentences are seen."""
    return _FORMULA.sub(_blotted, text)


def _blotted(match: re.Match[str]) -> str:
    formula = match.group()
    size = 1 if formula[0] == "$" and formula[1] != "$" else 2
    if size == 1 and _is_prose(formula[1:-1]):
        return formula
    return formula[:size] + "0" * (len(formula) - 2 * size) + formula[-size:]


class _Run(NamedTuple):
    """Formula tokens side by side, with at least one value among them."""

    start: int
    end: int
    has_math: bool


def formulas(sentence: str) -> list[_Run]:
    """The stretches of a sentence that are mathematics, in order."""
    return list(_runs(sentence))


def _runs(sentence: str) -> Iterator[_Run]:
    start = end = -1  # of the run so far; end: of its last token that may end it
    value = math = False
    before = ""  # kind of the last token
    for kind, begin, stop in _tokens(sentence):
        operand = kind in ("math", "number", "letter", "function", "command")
        apart = operand and before in ("math", "number", "letter") and begin > end and kind != "command" and start >= 0
        colon = kind == "sign" and sentence[begin] == ":" and not sentence[stop : stop + 1].isdigit()
        broken = kind in ("word", "ordinal", "other") or apart or colon
        if broken and start >= 0:
            if value:
                yield _Run(start, end, math)
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
        yield _Run(start, end, math)


def _tokens(sentence: str) -> Iterator[tuple[str, int, int]]:
    at = 0
    while at < len(sentence):
        match = _TOKEN.search(sentence, at)
        if match is None:
            return
        kind, stop = match.lastgroup or "other", match.end()
        if kind in ("inline", "env"):
            kind = "math"
        if kind == "math" and match["inline"] is not None and _is_prose(match["inline"]):
            number = _TOKEN.match(sentence, match.start() + 1)  # $60 is money, and no formula begins here
            if number is not None and number.lastgroup == "number":
                yield "number", match.start(), number.end()
                at = number.end()
                continue
            at = match.start() + 1
            continue
        if kind == "letter" and _is_article(sentence, match.start(), stop):
            kind = "word"
        yield kind, match.start(), stop
        at = stop


def _is_prose(content: str) -> bool:
    bare = re.sub(r"\\(?:text|mathrm|operatorname|textbf|mathbf|textit)\{[^{}]*\}|\\[A-Za-z]+", " ", content + " ")
    return any(not _KNOWN.fullmatch(word) for word in _PROSE.findall(bare))


def _is_article(sentence: str, begin: int, stop: int) -> bool:
    if not sentence[begin].isascii():
        return True
    return sentence[begin] in "aAI" and re.match(r"\s+(?![-+=<>*/^≈≤≥])\S|'", sentence[stop:]) is not None


def stated_at_start(text: str) -> Stated | None:
    """The value that a text begins with, as after "the answer is"; None where it begins with words."""
    skipped = re.match(r"[\s*_:(\"“]*" + _ADVERBS + r"[\s*_(\"“]*", text, re.IGNORECASE)
    at = skipped.end() if skipped else 0
    opened = re.search(r"[(]\s*$", text[:at])  # a bracket of the value itself, as in "(2, 3)"
    at = opened.start() if opened else at
    for run in _runs(text[: at + MAX_SENTENCE_CHARS]):
        if run.start < at and run.end > at:
            return _as_stated(text, run)
        if run.start >= at:
            return _as_stated(text, run) if not text[at : run.start].strip(" \t\n*_") else None
    return None


def stated_in(sentence: str, problem: str = "", *, marked: bool = False) -> Stated | None:
    """The value that a sentence states; None where it states none, ``UNCLEAR`` where it may be one of several.

    Args:
        sentence: one sentence.
        problem: the question; of several numbers, those that it gives are not the answer.
        marked: something before the sentence says that it holds the answer.
    """
    sentence = sentence[-MAX_SENTENCE_CHARS:]
    if letter := _LONE_LETTER.fullmatch(sentence):
        return Stated(letter[1], letter[1], 0, len(sentence))
    if sentence.rstrip().endswith("?") or _is_open(sentence):
        return None
    runs = [run for run in _runs(sentence) if _is_value(sentence, run)]
    denied = [run for run in runs if _is_denied(sentence, run)]
    if _NO_CLAIM.search(_words_only(sentence, runs)) or (denied and len(denied) == len(runs)):
        return None
    runs = [run for run in runs if run not in denied]
    if not runs:
        return _in_words(sentence)
    return _chosen(sentence, runs, problem, marked or _MARKER.search(sentence) is not None)


def _chosen(sentence: str, runs: list[_Run], problem: str, concludes: bool) -> Stated | None:
    bold = [run for run in runs if _in_bold(sentence, run)]
    if bold and len({_key(sentence, run) for run in bold}) == 1:
        return _as_stated(sentence, bold[-1])
    aside = _subordinate(sentence)
    last = max((match.start() for match in _CONCLUDES.finditer(sentence)), default=-1)
    after = [run for run in runs if run.start > last >= 0]
    if after and len(after) < len(runs):
        if any(_is_told(sentence, run) for run in after):
            runs = after
        elif any(_is_told(sentence, run) for run in runs):
            return UNCLEAR
    main = [run for run in runs if not any(begin <= run.start < stop for begin, stop in aside)]
    for telling in ([run for run in main if _is_told(sentence, run)], [run for run in runs if _follows_is(sentence, run)]):
        if telling:
            return _as_stated(sentence, telling[-1])
    alone = main or runs
    if not concludes and len(sentence.split()) > 3:
        return None
    if len({_key(sentence, run) for run in alone}) > 1 and problem:
        new = [run for run in alone if not _occurs(sentence[run.start : run.end], problem)]
        alone = new or alone
    if len({_key(sentence, run) for run in alone}) == 1:
        return _as_stated(sentence, alone[-1])
    return UNCLEAR


def _is_open(sentence: str) -> bool:
    """Whether a formula is cut off: the response ended before its end."""
    rest = _TOKEN.sub(lambda token: "" if token.lastgroup in ("math", "inline", "env", "number") else token.group(), sentence)
    return r"\(" in rest or r"\[" in rest or r"\begin" in rest or sentence.count("{") > sentence.count("}")


def _is_value(sentence: str, run: _Run) -> bool:
    """Not a mere name, as in "triangle $ABC$" or "for all $n$", unless it stands where a value is told."""
    text = sentence[run.start : run.end]
    if re.search(r"\d|\\(?:frac|sqrt|pi|infty|emptyset|mathbb)|[=∞π½¼¾⅓⅔]", text):
        return not re.fullmatch(r"[$\\(\[\s]*[A-Za-z]_\{?\d\}?[$\\)\]\s]*", text) or _is_told(sentence, run)
    return _follows_is(sentence, run)


def _is_told(sentence: str, run: _Run) -> bool:
    """Whether something says "is", "equals" or "=" just before or within a formula."""
    if _follows_is(sentence, run):
        return True
    text = sentence[run.start : run.end]
    return _RELATION.search(text) is not None or re.search(r"\\(?:approx|in)(?![A-Za-z])|≈", text) is not None


def _follows_is(sentence: str, run: _Run) -> bool:
    return _COPULA.search(sentence[max(0, run.start - 120) : run.start]) is not None


def _is_denied(sentence: str, run: _Run) -> bool:
    after = sentence[run.end : run.end + 60]
    return (
        _DENIED_BEFORE.search(sentence[max(0, run.start - 30) : run.start]) is not None
        or _DENIED_AFTER.match(after) is not None
    )


def _subordinate(sentence: str) -> list[tuple[int, int]]:
    """Where clauses are that say something beside the point: from "when", "since", ... to the next comma."""
    found = []
    for match in _SUBORDINATE.finditer(sentence):
        comma = re.search(r"[,;](?=\s)", sentence[match.end() :])
        found.append((match.start(), match.end() + comma.start() if comma else len(sentence)))
    return found


def _in_bold(sentence: str, run: _Run) -> bool:
    return any(match.start() <= run.start and run.end <= match.end() for match in _BOLD.finditer(sentence))


def _words_only(sentence: str, runs: list[_Run]) -> str:
    for run in reversed(runs):
        if run.has_math:
            sentence = f"{sentence[: run.start]} {sentence[run.end :]}"
    return sentence


def _key(sentence: str, run: _Run) -> str:
    return re.sub(r"[\s$\\()\[\]{},*_]|text|mathrm", "", sentence[run.start : run.end])


def _occurs(value: str, problem: str) -> bool:
    digits = re.sub(r"[^\d./]", "", value).strip(".")
    return bool(digits) and re.search(rf"(?<![\d.]){re.escape(digits)}(?![\d]|\.\d)", problem.replace(",", "")) is not None


def _in_words(sentence: str) -> Stated | None:
    for match in _NUMBER_WORD.finditer(sentence):
        rest = sentence[match.end() :]
        if _COPULA.search(sentence[max(0, match.start() - 120) : match.start()]) and not re.match(
            r"\s+(?:of|after|by|side)\b", rest
        ):
            return Stated(match.group(), match.group(), match.start(), match.end())
    return None


def _as_stated(sentence: str, run: _Run) -> Stated:
    bounded = _BOUND.search(sentence[max(0, run.start - 40) : run.start])
    text = _last_side(sentence[run.start : run.end])
    lead = f"{bounded.group().strip('*_ ')} " if bounded else ""
    end = run.end
    bold = re.match(r"[*_]{1,2}(?=\s)", sentence[end:])
    end = bold.end() + end if bold else end
    units = ""
    while (unit := _UNIT.match(sentence, end)) is not None and unit.end() > end:
        units += sentence[end : unit.end()].replace("-", " ", 1) if sentence[end] == "-" else sentence[end : unit.end()]
        end = unit.end()
    nouns = re.match(rf"(?:\s+[A-Za-z]+(?:-[A-Za-z]+)*){{1,{_MAX_NOUNS}}}(?=[\s*_]*(?:[.,;!)]|$))", sentence[end:])
    bare = f"{lead}{text}{units}".rstrip(" *_")
    return Stated(f"{bare}{nouns.group()}" if nouns else bare, bare, run.start, end)


def _last_side(text: str) -> str:
    r"""Of a chain ``P = 2(a+b) = 16`` its ends, ``P = 16``, or the last alone where the first is no name.

    A chain of numbers is left whole: whether its sides agree is for the comparison to say.
    """
    text = text.strip()
    body = re.sub(r"^(?:\$\$?|\\\[|\\\(|`)|(?:\$\$?|\\\]|\\\)|`)$", "", text)
    body = re.sub(r"\\(?:begin|end)\{(?:align|aligned|equation|gather|split|eqnarray)\*?\}", " ", body)
    if re.search(r"\\begin|[$]|\\[(\[]|\b(?:and|or)\b|,(?!\d{3})|;|\\q?quad", body):
        return text  # more than one statement
    body = body.replace("&=", "=").replace("& =", "=")
    sides = [side.strip(" \n&") for side in _RELATION.split(body)]
    if len(sides) < 3 or not sides[-1] or not re.search(r"\d", sides[-1]):
        return text if len(sides) < 2 or sides[0] else sides[-1]
    first = sides[0].rpartition(r"\\")[2].strip()
    if not re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", first)):
        return text if re.fullmatch(r"[-+*/().\d\s]*", first) else sides[-1]
    last = sides[-1].removesuffix(r"\\").strip(" .")
    named = re.fullmatch(r"\\text\{[^{}]*\}|[A-Za-z](?:_\{?\w+\}?)?|[A-Z]{2,3}|\\angle\s*[A-Z]+|[A-Za-z]\([^()=]*\)", first)
    return f"{first} = {last}" if named else last
