r"""The value that a sentence states: ``Therefore, the area is $12$ square units.`` says ``12``.

A sentence is cut into words and formulas; grammar is read only as far as needed to tell which formula is stated. Where several
could be, the answer is "unclear", never a guess.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from hero_rl.verifiers.math.formulas import TOKEN, Run, formulas, is_cut
from hero_rl.verifiers.math.words import NUMBER_WORD

MAX_SENTENCE_CHARS = 1_500
_IDLE = " \t\n\r$.,;:})]\\"
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
CUT = Stated("", "", -1)
"""A value is stated of which only a part can be read."""

_UNIT = re.compile(
    r"\s*-?(?:(?:\\text|\\mathrm)?\{?\s*)?(?:(?:(?:square|sq\.?|cubic|cu\.?)\s+)?(?:percent(?:age points)?|per ?cent|%|\\%|°|"
    r"degrees?|radians?|dollars?|cents?|euros?|pounds?|yen|yuan|rupees?|units?|(?:kilo|centi|milli|deci|micro|"
    r"nano)?(?:met(?:er|re)s?|lit(?:er|re)s?|grams?|watts?|joules?|newtons?|volts?|hertz|pascals?|seconds?)|km|cm|mm|dm|nm|m|"
    r"kg|mg|g|ml|mL|L|ft|in(?!\s+\w)|yd|mi|lbs?|oz|mph|kph|feet|foot|inch(?:es)?|yards?|miles?|acres?|hectares?|tons?|tonnes?|"
    r"ounces?|gallons?|quarts?|pints?|cups?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|secs?|moles?|[Kk]elvin|"
    r"Celsius|Fahrenheit|hundred|thousand|million|billion|trillion|dozen|crores?|lakhs?|bn|squared|cubed|"
    r"thirds?|halves|half|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|"
    r"factorial|times(?=\s+[\d$\\])|(?:or|and) (?:more|less|"
    r"fewer|above|below|greater|higher|lower|over|under|smaller|larger|a half)|out of \d+|below zero|at most|at least|negative|"
    r"a\.?m\.?|p\.?m\.?)(?![A-Za-z])|(?:米|厘米|千米|元|度|秒|分|小时)|\s*/\s*[A-Za-z]+(?:\s*\^\s*\{?-?\d\}?)?|\s*\b(?:of|by|"
    r"to)\s+(?:\\?\$|\\\()?\d\S*|\s*\bper\s+[a-z]+\b|\s*\^\{?[23]\}?|[²³])\}?"
)
_WORDY = re.compile(r"(?<!\bis)(?<!\bare)(?<!\bbe)(?<!\bget)(?<!\bgives)(?<!\bto)(?<=[A-Za-z])\s*$")
_TERM = re.compile(r"[-+]\s")
"""A last term alone, with words before it: ``ab - 5``."""
_BOUND = re.compile(
    r"(?:\b(?:at (?:least|most)|(?:more|less|fewer|greater|larger|smaller|higher|lower) than(?: or equal to)?|over|under|above|"
    r"below|(?<!add )(?<!adds )(?<!adding )up to|no (?:more|less|fewer) than|between|from)\s*[*_]*)$",
    re.IGNORECASE,
)
_ADVERBS = (
    r"(?:(?:therefore|thus|hence|then|indeed|simply|just|only|also|exactly|precisely|approximately|about|around|roughly|"
    r"equal to|given by|found to be|calculated to be|the (?:number|value|set|fraction|integer|expression|function|equation|"
    r"point|ordered (?:pair|triple)|interval|angle|matrix|vector|polynomial)|a total of|now|still|actually|in fact|as follows|"
    r"clearly|going to be|seen to be|either|both|all|equals?|be|is|are|thought to be|certainly|definitely|probably|likely|"
    r"simplified to|computed to be|always|option|choice|letter|really|a|an|of|in)\b[\s:,]*)*"
)
_COPULA = re.compile(
    r"(?:\b(?:is|are|was|were|be|been|equals?|equal to|becom(?:es?|ing)|gives?(?: (?:us|you))?|gave|gets?|getting|got|"
    r"obtain(?:s|ed)?|yields?|total(?:s|ing)?(?: of)?|comes? (?:out )?to|amounts? to|adds? up to|sums? to|simplif(?:y|"
    r"ies) to|"
    r"reduces? to|evaluates? to|conclude(?: that)?|"
    r"\b(?:a|an) (?:value|total|sum|result|profit|cost|speed|score|average|length|area|volume|distance|amount|"
    r"probability) of|"
    r"works? out (?:to|as)|turns? out to be|es|est|ist|lautet|é|è)\b|[:：=≈]|是|为|等于|得到?|共有?|есть|равно|равен)[\s*_:]*"
    + _ADVERBS
    + r"[\s*_(\"“]*$"
)
_LEAD = re.compile(r"[\s*_:(\"“]*" + _ADVERBS + r"[\s*_(\"“]*", re.IGNORECASE)
_SO = re.compile(r"[,;]\s*(?:and )?\w+(?: \w+)?,?[\s$\\(*_]*")
_SUBORDINATE = re.compile(
    r"\b(?:when|if|where|since|because|given|while|whereas|whose|with|assuming|after|before|unless|so that|"
    r"using|by|from|out of|instead of|rather than|compared|than|until|"
    r"as (?=\$|\\|[A-Za-z] ?=|it|we|the)|once|to (?:achieve|make|get|reach|have|ensure|reduce|satisfy|cover))\b",
    re.IGNORECASE,
)
_MARKER = re.compile(
    r"\b(?:therefore|thus|hence|so|consequently|accordingly|conclu\w+|finally|in total|altogether|in summary|in all|overall|"
    r"we (?:get|have|find|obtain|see|conclude)|as a result|which means|this (?:means|gives|shows)|it follows|total|ultimately|"
    r"i get|i find|i obtain|will|would|must|needs? to|final|result|sum|value|in the end|to sum up|this leaves|left)\b|[∴⇒]|"
    r"\\therefore|\\implies|因此|所以|故|答|共|总|donc|also|daher|por lo tanto"
)
_CONCLUDES = re.compile(
    r"(?:[,;]\s*(?:and )?|\band )(?:so|therefore|thus|hence|meaning|giving|yielding|which (?:gives|means|is|equals|yields))\b",
    re.I,
)
_NO_CLAIM = re.compile(
    r"\b(?:wrong|incorrect|impossible|contradict\w*|mistaken?|guess\w*|maybe|perhaps|possibly|unsure|not sure|don't know|"
    r"do not know|cannot be determined|can't (?:be|determine)|cannot determine|might be|could be|may be|unclear|refuse|nobody|"
    r"no one|(?:cannot|can not) be that|answer to (?:an?|another|some)\b|answer (?:plus|minus|times|squared|cubed)|step \d+|"
    r"either|not possible|misunderst\w*|we assumed|(?:previous|earlier|old|initial|my first) (?:result|answer|value|"
    r"estimate) (?:is|was)|(?:half|twice|thrice|double|opposite|reciprocal|negative|digits?|bound|less|more|square) (?:of |"
    r"than |in |for |on )?(?:the|my|our) (?:\w+ )?(?:answer|result)|answer to the (?:previous|earlier|other|last)|(?:(?:not|"
    r"n't) (?:true|the case)|false|untrue) that)\b|^\W*(?:let us|let's|let me|let|next|now|suppose|assume|consider|try|"
    r"case \d+|we (?:need to|must|should|now|will (?:now|use|find)))\b"
)
_DENIED_BEFORE = re.compile(
    r"(?:(?:\b(?:not|cannot|never|nor|neither)|n't)\s+(?:equal to\s+|equal\s+|be\s+)?|"
    r"\b(?:не|nicht|pas|non|минус|menos|moins|meno|âm)\s+|不是\s*|"
    r"\b(?:divisible by|divides|multiples? of|factors? of|powers? of|(?:cubes?|squares?|roots?|reciprocal|factorial|logarithm|"
    r"inverse|opposite|successor|predecessor) of|modulo|in base|prime to|minus|negative|except(?: for| when| if| at)?|"
    r"excluding|other than|apart from|besides)\s+)[*_(\"“]*$"
)
_DENIED_AFTER = re.compile(
    r"[*_)\"”]*\s*(?:is|are|was|were|can|could|does|do|would)(?:n't|\s*not)\b|\s*in (?:the|this|our) (?:list|table)\b|"
    r"[*_)\"”]*\s*(?:is|was|are) (?:excluded|ruled out|too)"
)  # fmt: skip
_ANOTHER_VALUE = re.compile(
    r"\b(?P<word>twice|thrice|double|triple|half)\s(?:of\s)?(?:the|that|this|our|its|his|her|their|"
    r"[$\\]*[a-z]\b)[^.,;:=]{0,40}?\b(?:is|are|equals|was)\b|[\d}$)]\s*(?P<more>(?:more|less|fewer|greater|larger|smaller|"
    r"older|younger|longer|shorter|times (?:as|more|larger|bigger|greater|smaller|less|that|the))\b)",
    re.IGNORECASE,
)
"""A value that belongs to something else: ``twice the number is 6``, ``3 more than Ben``."""
_IF = re.compile(r"(?:if|unless|assuming)\b", re.IGNORECASE)
_HAS_VERB = re.compile(
    r"\W*(?:(?!(?:only|just|exactly|the|an?|about|or|and|makes?|leaves?|gives?)\b)[A-Za-z]{2,}\W+){2}", re.IGNORECASE
)
_LONE_LETTER = re.compile(r"[\s*_(\\{\[\"“`$]*(?:\\text(?:bf)?\{\s*\(?)?([A-J])[)}\]\"”`$*_.:\s]*")
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*|__([^_\n]{1,200})__|\\(?:mathbf|textbf|underline)\{([^{}\n]{1,200})\}")
_RELATION = re.compile(r"(?<![<>!\\:])=")
_TOLD_WITHIN = re.compile(rf"{_RELATION.pattern}|\\(?:approx|in)(?![A-Za-z])|≈")
_NONE = re.compile(
    r"\bno (?:such |real |integer |positive |other )*(?:solutions?|roots?|(?:integers?|numbers?|values?|functions?|primes?|"
    r"pairs?|triples?)(?= exists?\b))|\binfinitely many\b|\bdoes not exist\b",
    re.IGNORECASE,
)
_COUNTS = re.compile(r"\bhow many\b|\bnumber of\b", re.IGNORECASE)
_COUNTED = re.compile(r"\b(?:that|this|which) (?:makes?|leaves?|gives?)\s*$", re.IGNORECASE)
"""Before a number in words: ``That makes six``."""
_NONE_FOLLOWS = re.compile(
    r"(?:,|\b(?:so|hence|thus|therefore|that)\b)\s*(?:(?:and|so|hence|thus|therefore|which|this|it|we|means?|that|implies|"
    r"shows|tells us|conclude|there|(?:the|this) (?:equation|system|quadratic|polynomial|inequality|problem)|is|are|has|have|"
    r"exists?|can be|indeed|clearly),?\s+){0,8}[*_]{0,2}(?P<none>no (?:such |real |integer |positive |other )*(?:solutions?|"
    r"roots?))\b(?=[*_\s]*(?:exists?\b)?[*_\s]*(?:[.,;!]|$|(?:to|for|of) (?:the|this) (?:equation|system|inequality|problem)|"
    r"over\b|in the real|in real))",
    re.IGNORECASE,
)
"""A formula, and then that there is no solution: ``D = -3 < 0, so there are no real roots``."""
_OPTION_IS_RIGHT = re.compile(
    r"\W*(?:(?:[Ss]o|[Tt]hus|[Hh]ence|[Tt]herefore|[Oo]nly)\b,?\s+)?\(?([A-J])\)?[*_]{0,2}\s+(?:is|must be) (?:the )?"
    r"(?:(?:only )?correct|right|(?:correct |right |final )?answer)\b(?! (?:that|if|when|only))"
)
_DOES = re.compile(
    r"(?:\bnow (?:has|have|needs?|costs?|owns?)|^\W*(?:(?:so|thus|hence|therefore),? )?it (?:will )?(?:takes?|costs?|weighs?)"
    r"(?: (?:him|her|them|us|you))?)[\s$\\(*_]*$",
    re.IGNORECASE,
)
"""A verb whose object a sentence of one value states: ``it takes him 3 weeks``."""
_VERDICT = re.compile(
    r"\b(?:statement|claim|assertion|proposition|conjecture) is (?:therefore |thus |indeed )?[*_]{0,2}(true|false)[*_.!\s]*$",
    re.IGNORECASE,
)
_NUMBER_WORD = re.compile(NUMBER_WORD, re.IGNORECASE)


def is_idle(text: str) -> bool:
    """Return whether a text has nothing but the ends of formulas and sentences."""
    return not text.strip(_IDLE)


def stated_at_start(text: str) -> Stated | None:
    """Return the value that a text begins with, as after "the answer is"; None where it begins with words.

    ``CUT`` where it is only the beginning of a value.
    """
    skipped = _LEAD.match(text)
    at = skipped.end() if skipped else 0
    opened = re.search(r"[(]\s*$", text[:at])  # a bracket of the value itself, as in "(2, 3)"
    at = opened.start() if opened else at
    run = next((run for run in formulas(text[: at + MAX_SENTENCE_CHARS]) if run.end > at), None)
    if run is None or (run.start >= at and text[at : run.start].strip(" \t\n*_")):
        return None
    return _as_stated(text, run)


def stated_in(sentence: str, problem: str = "", *, marked: bool = False) -> Stated | None:
    """Return the value that a sentence states; None where it states none, ``UNCLEAR`` where it may be one of several.

    Args:
        sentence: one sentence.
        problem: the question; of several numbers, those that it gives are not the answer.
        marked: something before the sentence says that it holds the answer.
    """
    sentence = sentence[-MAX_SENTENCE_CHARS:]
    if letter := _LONE_LETTER.fullmatch(sentence):
        return _found(letter[1], letter.span())
    if sentence.rstrip().endswith(("?", "？")) or _is_open(sentence):
        return None
    if option := _OPTION_IS_RIGHT.match(sentence):
        return _found(option[1], (0, len(sentence)))
    runs = [run for run in formulas(sentence) if _is_value(sentence, run)]
    none = _NONE_FOLLOWS.search(sentence, runs[-1].end) if runs and not _NONE.search(problem) else None
    if another := _ANOTHER_VALUE.search(sentence, runs[-1].start - 80 if runs and runs[-1].start > 80 else 0):
        told = (another["word"] or another["more"]).lower().split()[0]
        if told not in problem.lower():
            return None
    words = sentence
    for run in reversed([run for run in runs if run.has_math]):
        words = f"{words[: run.start]} {words[run.end :]}"
    doubtful = _NO_CLAIM.search(words.lower())
    standing = [run for run in runs if not _is_denied(sentence, run)]
    if (doubtful and not (none and doubtful.group()[:6] in ("contra", "imposs"))) or (runs and not standing):
        return None
    if not runs:
        return _in_words(sentence)
    if none:
        return _found("0" if _COUNTS.search(problem) else none["none"], none.span("none"))
    return _chosen(sentence, standing, problem, marked or _MARKER.search(sentence.lower()) is not None)


def _found(text: str, span: tuple[int, int]) -> Stated:
    return Stated(text, text, *span)


def _chosen(sentence: str, runs: list[Run], problem: str, concludes: bool) -> Stated | None:
    bold = [match.span() for match in _BOLD.finditer(sentence)]
    in_bold = [run for run in runs if any(start <= run.start and run.end <= stop for start, stop in bold)]
    if len({_key(sentence, run) for run in in_bold}) == 1:
        return _as_stated(sentence, in_bold[-1])
    concluded = _behind_conclusion(sentence, runs)
    if not concluded:
        return UNCLEAR
    aside = _subordinate(sentence)
    main = [run for run in concluded if not any(begin <= run.start < stop for begin, stop in aside)]
    told = [run for run in main if _is_told(sentence, run)] or [run for run in concluded if _follows_is(sentence, run)]
    if any(_are_two_answers(sentence, one, other) for one, other in pairwise(told)):
        return UNCLEAR
    if told:
        return _as_stated(sentence, told[-1])
    if not main and any(_IF.match(sentence, begin) for begin, _ in aside):
        return UNCLEAR
    before = sentence[: runs[0].start]
    does = len(runs) == 1 and not aside and _DOES.search(before)
    if not concludes and not does and (len(sentence.split()) > 3 or _HAS_VERB.match(before)):
        return None
    return _only_new(sentence, runs if does and not concludes else main or concluded, problem)


def _behind_conclusion(sentence: str, runs: list[Run]) -> list[Run]:
    """Return the values behind ", so": all where nothing is told there or before, none where something before it is told."""
    last = max((match.start() for match in _CONCLUDES.finditer(sentence)), default=-1)
    after = [run for run in runs if run.start > last >= 0]
    if not after or len(after) == len(runs):
        return runs
    # nothing stands behind ", so" but one value: "4 triangles of area 4 each, so 16"
    alone = (
        len(after) == 1 and _SO.fullmatch(sentence, last, after[0].start) and not re.search(r"\w{3}", sentence[after[0].end :])
    )
    if alone or any(_is_told(sentence, run) for run in after):
        return after
    return [] if any(_is_told(sentence, run) for run in runs) else runs


def _only_new(sentence: str, runs: list[Run], problem: str) -> Stated:
    """Return the one value among several that the question does not give."""
    if len({_key(sentence, run) for run in runs}) > 1 and problem:
        given = problem.replace(",", "")
        runs = [run for run in runs if not _occurs(sentence[run.start : run.end], given)] or runs
    return _as_stated(sentence, runs[-1]) if len({_key(sentence, run) for run in runs}) == 1 else UNCLEAR


def _occurs(value: str, problem: str) -> bool:
    digits = re.sub(r"[^\d./]", "", value).strip(".")
    return bool(digits) and re.search(rf"(?<![\d.]){re.escape(digits)}(?![\d]|\.\d)", problem) is not None


def _is_open(sentence: str) -> bool:
    """Return whether a formula is cut off: the response ended before its end."""
    if sentence.count("{") > sentence.count("}"):
        return True
    if not any(begin in sentence for begin in ("\\(", "\\[", "\\b")):
        return False
    rest = TOKEN.sub(lambda token: "" if token.lastgroup in ("math", "inline", "env", "number") else token.group(), sentence)
    return any(begin in rest for begin in (r"\(", r"\[", r"\begin"))


def _is_value(sentence: str, run: Run) -> bool:
    """Return whether a formula is no mere name, as in "triangle $ABC$", unless it stands where a value is told."""
    text = sentence[run.start : run.end]
    if re.search(r"\d|\\(?:frac|sqrt|pi|infty|emptyset|mathbb)|[=∞π½¼¾⅓⅔]", text):
        return not re.fullmatch(r"[$\\(\[\s]*[A-Za-z]_\{?\d\}?[$\\)\]\s]*", text) or _is_told(sentence, run)
    return _follows_is(sentence, run)


def _is_told(sentence: str, run: Run) -> bool:
    """Return whether something says "is", "equals" or "=" just before or within a formula."""
    return _follows_is(sentence, run) or _TOLD_WITHIN.search(sentence[run.start : run.end]) is not None


def _are_two_answers(sentence: str, one: Run, other: Run) -> bool:
    """Return whether two values are told side by side: ``Ann is 12 and Bob is 15``."""
    between = sentence[one.end : other.start]
    if re.match(r"[^,;]{0,20},\s*(?:and )?(?:which|that is|i\.e\.|or)\b(?!\s+(?:if|when|is not|isn't))", between):
        return False  # the second is the first, worked out
    joined = re.search(r"\b(?:and|or|while|but)\b|,", between) or re.search(r"\b(?:and|or)\b", sentence[one.start : one.end])
    return joined is not None and _follows_is(sentence, one) and _key(sentence, one) != _key(sentence, other)


def _follows_is(sentence: str, run: Run) -> bool:
    return _COPULA.search(sentence[max(0, run.start - 120) : run.start].lower()) is not None


def _is_denied(sentence: str, run: Run) -> bool:
    before, after = sentence[max(0, run.start - 30) : run.start].lower(), sentence[run.end : run.end + 60].lower()
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after))


def _subordinate(sentence: str) -> list[tuple[int, int]]:
    """Return where clauses are that say something beside the point: from "when", "since", ... to the next comma."""
    commas = [match.start() for match in re.finditer(r"[,;](?=\s)", sentence)]
    begins = [match.span() for match in _SUBORDINATE.finditer(sentence)]
    return [(begin, next((comma for comma in commas if comma >= end), len(sentence))) for begin, end in begins]


def _key(sentence: str, run: Run) -> str:
    return re.sub(r"[\s$\\()\[\]{},*_]|text|mathrm", "", sentence[run.start : run.end])


def _in_words(sentence: str) -> Stated | None:
    if none := _NONE.search(sentence):
        return _found(none.group(), none.span())
    if verdict := _VERDICT.search(sentence):
        return _found(verdict[1], verdict.span(1))
    for match in _NUMBER_WORD.finditer(sentence):
        before = sentence[max(0, match.start() - 120) : match.start()].lower()
        told = _COPULA.search(before) or _DOES.search(before) or _COUNTED.search(before)
        if told and not re.match(r"\s+(?:of|after|by|side)\b", sentence[match.end() :]):
            return _found(match.group(), match.span())
    return None


def _as_stated(sentence: str, run: Run) -> Stated:
    bounded = _BOUND.search(sentence[max(0, run.start - 40) : run.start])
    lead = f"{bounded.group().strip('*_ ')} " if bounded else ""
    bold = re.match(r"[*_]{1,2}(?=\s)", sentence[run.end :])
    end = run.end + bold.end() if bold else run.end
    units = ""
    while (unit := _UNIT.match(sentence, end)) is not None and unit.end() > end:
        units += re.sub("^-", " ", unit.group())
        end = unit.end()
    term = _TERM.match(sentence, run.start) and _WORDY.search(sentence, 0, run.start)
    if term or is_cut(sentence, run.start, end):
        return CUT
    nouns = re.match(rf"(?:\s+[A-Za-z]+(?:-[A-Za-z]+)*){{1,{_MAX_NOUNS}}}(?=[\s*_]*(?:[.,;!)]|$))", sentence[end:])
    bare = f"{lead}{_last_side(sentence[run.start : run.end])}{units}".rstrip(" *_")
    return Stated(f"{bare}{nouns.group()}" if nouns else bare, bare, run.start, end)


def _last_side(text: str) -> str:
    r"""Return the ends of a chain ``P = 2(a+b) = 16``, or its last side alone where the first is no name.

    A chain of numbers is left whole: whether its sides agree is for the comparison to say.
    """
    text = text.strip()
    body = re.sub(r"^(?:\$\$?|\\\[|\\\(|`)|(?:\$\$?|\\\]|\\\)|`)$", "", text)
    body = re.sub(r"\\(?:begin|end)\{(?:align|aligned|equation|gather|split|eqnarray)\*?\}", " ", body)
    flat = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", body))
    if re.search(r"\\begin|[$]|\\[(\[]|\b(?:and|or)\b|,(?!\d{3})|;|\\q?quad", flat):
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
