r"""The text directly around a box: it has to be harmless, a label, a unit, a full stop, for the box to be the answer.

``-\boxed{5}`` says minus five, "more than \boxed{5}" says no number at all, and "x = \boxed{5} is extraneous" disowns it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hero_rl.verifiers.math.formulas import FORMULA, is_cut
from hero_rl.verifiers.math.sentences import is_idle
from hero_rl.verifiers.math.words import words_in

_WINDOW = 600
"""So much of a text is looked at before and behind a box."""
_LEAD = 120
"""So much of what stands before a box may tell what it is to it."""
_SIGNS = "×÷·⋅±∓≤≥≠√∪∩∠∞½¼¾⅓⅔∀∃–—−"
"""Beside a box these change it; other signs that are no ASCII are words of other scripts or ornaments."""

_LABEL = r"(?:[A-Za-z](?:_\{?\w{1,3}\}?)?\s*(?:=|\\approx|≈|:)\s*)?"
_OPEN = r"[$\\(\[{*_~\s\"“]*"
_SPACING = re.compile(
    r"\\(?:[,;:! ]|displaystyle|left|right|bigl?|bigr|large|Large|huge|Huge|hfill|limits)(?![A-Za-z])|~|\\q?quad(?![A-Za-z])"
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|mathit|rm|bf)\s*\{([^{}]*)\}")
_WRAPPER = re.compile(
    r"(?:^|[^\\A-Za-z}^_])$|\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|boldsymbol|bm|underline|bf|rm|large|Large|"
    r"huge|Huge|displaystyle|mathsf|mathtt|emph|fbox|framebox|boxed|ensuremath|center|section\*?|subsection\*?|paragraph|"
    r"tag\*?)\s*$|\\(?:color|textcolor|colorbox|begin)\s*\{[^{}]*\}\s*$|\\(?:color|textcolor|colorbox|begin)\s*$"
)
_ROW = re.compile(
    r"\\\\(?:\[[^\]]*\])?|&|\n|(?:;|(?<!\d),|,(?!\Z))(?![^()\[\]]*[)\]])|\\q?quad|\\(?:implies|Rightarrow|Longrightarrow|iff|"
    r"Leftrightarrow|to|rightarrow|longrightarrow|therefore|because|hence)(?![A-Za-z])|⇒|∴|\\begin\{[a-z*]+\}(?:\{[^{}]*\})?"
)
_LABELLED = re.compile(
    r"(?:=|:|≈|∈|\\(?:approx|in|equiv|colon|cong|simeq|doteq|sim)(?![A-Za-z])|\\text\w*\{(?:[^{}]*[^{}\d\s])?\s*\}|"
    r"\bis|\bare)\s*$"
)
_BOUNDED = re.compile(r"(?:[≤≥]|[<>]=|\\[lg]eq?(?:slant)?)\s*$")
_WRAPPED = re.compile(r"\\\$\s*$|\\color\s*\{\w+\}|(?:\\[A-Za-z]+\*?\s*(?:\{[^{}]*\}\s*)?)?\{\s*$")
_HALF_OPEN = re.compile(r"\([^()\[\]]*\]")
_PARTS = re.compile(r"\\begin\{(?:cases|[bpvBV]?matrix)\}")
_NAMED = (
    r"(?:\b(?i:question|problem|task|part|step|case|exercise|example|solution|option|choice|answer|ans|equation|lemma|q)\b\W{1,4}"
    r"\(?(?:\d{1,3}(?:\.\d{1,2})?|[A-Ja-j]|[ivxIVX]{1,4})\b\)?|"
    r"^\W*(?:\d{1,3}|[A-Ja-j]|[ivxIVX]{1,4})(?:\)|\.(?=[\s*$]|\\\()))"
)
_FORMATTED = re.compile(
    r"\\(?:text(?!color)\w*|emph|underline|mbox|(?:sub)*section\*?|paragraph\*?|(?:text)?color\s*\{\w+\})\s*\{([^{}]*)\}|"
    r"\{\s*\\(?:bf|it|rm|em|sf|sc|tt|[lL]arge|LARGE|[hH]uge)(?:series|shape|family)?(?![A-Za-z])([^{}]*)\}|"
    r"\\item\s*\[[^\[\]]*\]|\\color\s*\{\w+\}|\\footnote\w*\s*\{[^{}]*\}"
)
_NESTED = 2
"""Commands that format words are read in one another this deep: ``{\\large \\textbf{Answer:}}``."""
_BEFORE = re.compile(
    "(?:"
    + "|".join(
        (
            r"^[\s>#]*(?:\|\s+)?",  # nothing: a heading, a quotation
            r"^\W*[-–—*•](?=\s)",  # a mark of a list
            rf"{_NAMED}[.:]?",
            r"^[^(\[]*(?<![^\s*])[A-J]\)(?=[\s*])|\*\*[A-J](?=\*\*)",  # an option: "is C) ", "**C** "
            r"(?<![\w)])[(\[]\**(?:[A-Ja-j]|\d{1,2})\**[)\]]",
            rf"(?:{_NAMED}|[^\W\d_]{{3}}|[\"”’'*_:.!?}}]|[^\W\d_]{{2}}\)|\([A-Ja-j]\))(?<!\bare)(?<!equals)(?<!gives)"
            r"(?:\s+|(?<=:))[-–—]+(?=\s)",  # a dash behind words or a label
            r"(?<![\d.])\.+|\d\.(?=\s)|[^\W\d_]{2}[!?]|[\"”`@~]|(?<!\b[a-df-z])['’]",  # an end of words
            r"(?<!\d)(?<!\d\s):|\d:(?=\s)",
            r"(?<![!<>])=|≈|[-=]>|\\(?:approx|simeq|equiv|cong|in)",  # a label's relation
            r"(?<![\\A-Za-z\d])(?!(?:sin|cos|tan|cot|sec|csc|log|ln|lg|exp|sqrt|pi|mod)\b)[^\W\d_]{2,}(?:['’-][^\W\d_]+)*",
            r"[^\W\d_]{12}|(?<![^\W_])[aA]|[^\W\d_]{3}\s+e|^R/|\.[^\W\d_]",  # very long words, and words of one letter
            rf"(?![{_SIGNS}\u0370-\u03ff])[^\x00-\x7f]",
            r"<[/|]?[A-Za-z][^<>]{0,40}>",
            r"^\W*\|\s.*\s\||^\|\W*[^\W\d_]{4}[^|]*\|",  # a cell of a table
            r"[(\[][^()]*(?:[^\W\d_]{2}|[=<>])[^()]*[)\]]",  # an aside
            r"\{?\\(?:n|noindent|item|centering|newline|par|bf|rm|it|\w*skip|left|right)|\\[\\,;:! $]",
        )
    )
    + r")(?:\\[(\[]|\\[A-Za-z]+\*?\{|[$({\[*_\s\"“`])*\Z"
)
"""Words, a label, a mark of a list, a full stop: before a box they leave it as it is."""
_STATES = re.compile(
    r"(?:[=<>≤≥≈≡∈:→⇒∴]|\\(?:approx|equiv|in|to|[lg]eq?|neq?|therefore|because|implies|iff|\w*arrow|text\w*|q?quad)(?![A-Za-z]))"
    r"(?!.*(?:[-+*/^·⋅×÷(]|\\(?:cdot|times|div|pm|sqrt))\s*\Z)",
    re.DOTALL,
)
"""In a formula that stands before a box: it says something of its own, and is no factor or sign of what is in the box."""
_CLOSING = re.compile(r"(?:[*)\]}\"”`]|_(?![\w{\\]))*(?:\$\$?(?!\d)|\\[)\]])?(?:[*)\]}\"”`]|_(?![\w{\\]))*")
_BEHIND = re.compile(
    r"[^\S\n]*(?:"
    + "|".join(
        (
            r"$|\n|!+(?!\S)|[.,:;?](?!\d)|[^\W\d_]|\$",
            r"[\"“”'’`%°&~#@=]|\^\s*\{?\s*\\?(?:circ|prime|deg)|/(?:/|[^\W\d_]{2}|[smhgLd]\b)",
            rf"(?![{_SIGNS}])[^\x00-\x7f]",
            r"[-=]+>|<(?:[-=]+\s|/?[A-Za-z]|\|)|\|(?=\s+[^\s\d]|\s*$)",  # an arrow, a tag, a cell of a table
            r"[-–—]+(?=\s*$|\s?(?:[aAI]\s)?(?:[^\W\d_]{3}|[^\W\d_]{2}\s)|\s[(\"*])",  # a dash before words
            r"\*+\s*(?:$|\n|[^\s\d$\\(]|\([^\W\d_]{2})|_+(?:\W|$)",  # an end or a beginning of emphasis
            r"\\(?:\W|(?:n(?:otag|onumber)?|text\w*|math(?:rm|bf|it)|mbox|f?box(?:ed)?|q?quad|end|begin|tag|label|"
            r"[hv]space|newline|par|item|hfill|\w*skip|\w*square|checkmark|qed\w*|\w*arrow|implies|iff|approx|simeq|circ|degree|left|right|"
            r"because|therefore|in|color|footnote\w*)(?![A-Za-z]))",
            r"\[(?:\^?\d{1,2}|/?[A-Z]{3,})\]",  # a footnote, the end of a turn
        )
    )
    + r")|\s+(?:[(\[]|\d+-?[^\W\d_]{2})|[(\[](?=[^\W\d_]{2}|[^\x00-\x7f]|[mgsLh]\))"
)
"""Behind a box these leave it as it is; letters and formulas are looked at in ``is_cut``."""
_EXACT_ONLY = re.compile(
    r"\b(?:(?:more|less|fewer|greater|larger|smaller|higher|lower|bigger|older|younger|other) than(?: or equal to)?|"
    r"exceed(?:s|ing)?|(?:at (?:most|least)|up to|no (?:more|less|fewer) than|(?:upper|lower) bound(?: is| of)?:?|"
    r"bounded (?:by|above by|below by))|different from|close to|near|nearly|almost|is (?:over|under|above|below)|"
    r"between [^.\n]{1,20} and|\b(?:is|are|ranges?|anywhere|lies?|var(?:y|ies)) from [^.\n]{1,20} to)\s*(?:a |an |the |is )?"
    + _OPEN
    + "$"
)
_EXTREME = re.compile(
    r"\b(?:m(?:ax|in)\w*|least|most|great\w+|small\w+|larg\w+|few\w+|high\w+|low\w+|bound\w*|more|less|than|exceed\w*|close\w*|"
    r"nearly|almost|old\w*|inequalit\w+)\b"
)
_CHANGED = re.compile(
    r"\b(?:twice|thrice|double|triple|half|minus|plus|times|negative|(?:one|two|three)[- ](?:half|thirds?|quarters?|fourths?|"
    r"fifths?)|the (?:square|cube|reciprocal|inverse|opposite|negative|complement|square root|cube root|factorial|"
    r"absolute value|double|triple|sum|difference|product|quotient|remainder)|square root|cube root|root|multiples?|factors?|"
    r"powers?|divisors?|percent)(?: of)?\s*(?:the )?" + _OPEN + _LABEL + "$|"
    r"\b(?:twice|thrice|double|triple|half|(?<!value )(?<!form )(?<!statement )of) (?:the|our|"
    r"my) (?:\w+ )?answer\s*(?:is|=|equals|:)\s*"
    + _OPEN + _LABEL + r"$|\banswer (?:plus|minus|times|divided by|squared|cubed|doubled)\b[^.\n]{0,30}$"
)  # fmt: skip
_DISOWNED_BEFORE = re.compile(
    r"(?:(?:^|[.!?\n])\s*not:\s+|"
    r"\b(?:not|never|(?:do|did|should|would|is|was)n['’]t|cannot be|can't be|wrong to say|instead of|rather than|nor|"
    r"without|unlike|except(?: for)?|excluding|other than|apart from|besides|rul(?:e|es|ed|ing) out|reject(?:s|ed|ing)?|"
    r"discard(?:s|ed|ing)?|exclud(?:e|es|ed)|eliminat(?:e|es|ed)|dismiss(?:es|ed)?|throw out|disregard(?:s|"
    r"ed)?)\s+(?:(?:equal to|equal|be|just|simply|write|say|put|choose|answer with|the|that|value|solution|root|answer|option|"
    r"case|possibility|it is)\s+){0,4}|\bif (?:the |my |our )?(?:answer|value|result|number)\s+(?:were|was|is)\s+|\b(?:wrong|"
    r"incorrect|mistaken|false|erroneous|naive|tempting|extraneous|invalid|rejected|flawed|misleading)(?:ly)?\s+(?:(?:final|"
    r"first|initial|common)\s+)?(?:answers?|solutions?|roots?|values?|choices?|results?|guess(?:es)?|responses?|"
    r"options?)?[^.,;:\n]{0,30}?(?:\s*(?:is|are|was|were|would be|:|=|gives?|of)\s*)|\b(?:mistake|error|trap|misconception|"
    r"temptation|my (?:first|initial) (?:guess|thought|try|attempt))\s*(?:is|was|would be|:)\s+[^.,;:\n]{0,30}|\b(?:someone|"
    r"somebody|people|many|most|some|others|one (?:might|may|could)|you (?:might|may|could)|he|she|they|"
    r"students?)\b[^.\n]{0,40}\b(?:claims?|says?|said|thinks?|thought|claimed|guess(?:es|ed)?|answers?|answered|argues?|"
    r"believes?|assumes?|suggests?)\s+(?:that\s+)?(?:(?:it|the answer) (?:is|was|should be|"
    r"would be)\s+)?)" + _OPEN + _LABEL + "$|~~\\s*$"
)  # fmt: skip
_NOT_A_SOLUTION = (
    r"(?:wrong|incorrect|false|mistaken|impossible|extraneous|rejected|discarded|excluded|eliminated|ruled out|invalid|"
    r"inadmissible|spurious|irrelevant|not (?:a |an |the )?(?:\w+ )?(?:correct|right|answer|possible|valid|solution|root|"
    r"allowed|acceptable|admissible|true|in the (?:domain|range|interval))|a (?:mistake|guess|trap)|too (?:large|small|big|"
    r"high|low)|outside)"
)
_DISOWNED_AFTER = re.compile(
    r"[\s$*_})\]\\]*\?|[\s$*_})\]\\]*(?:→|->|=>|⇒)\s*[$\\\d]|[\s$.,;:*_})\]\\]*(?:[❌✗✘×🚫]|~~)|[\s$.,;*_})\]\\]*(?:(?:which|"
    r"that|this|it|but(?: this| that| it)?)\s+)?(?:is|was|are|would be|must be|can be|has to be|should be|cannot be|"
    r"can't be)\s+(?:\w+\s+){0,2}?" + _NOT_A_SOLUTION + r"\b|"
    r"[\s$.,;:*_})\]\\]*[(\[–—-]?\s*(?:\\text\{\s*\(?)?(?:rejected|reject|extraneous|wrong|incorrect|invalid|discard(?:ed)?|"
    r"not (?:valid|a solution|allowed|possible|accepted))\b|"
    r"[\s$*_})\]\\]*(?:,?\s*(?:which|but (?:this|that|it))\s+)?(?:(?:does|do|did|can|could|would)(?:\s*not|n['’]t)\s+"
    r"(?:satisf|work|hold|solve|fit|count|lie|belong|fulfil|meet|qualif|make sense|give)|"
    r"cannot (?:work|hold|be)|fails?\b|violates?\b|contradicts?\b|forgets?\b|ignores?\b|neglects?\b|overlooks?\b|misses\b)"
)  # fmt: skip
_WOULD_BE = re.compile(r"\b(?:would|could|might) (?:be|have been|equal|give|become)\b[^.\n]{0,30}$")
_SCALE = re.compile(
    r"[\s$*_})\]\\]*(?:\\text\w*\{)?\s*(?P<word>\\?%|(?:hundred|thousand|million|billion|trillion|dozen|lakhs?|crores?|bn|"
    r"percent|per cent|percentage)\b)",
    re.IGNORECASE,
)
_WORD_BEHIND = re.compile(
    r"[\s$*_})\]\\~]*(?:\\text\w*\{)?\s*(?:(?:squared|cubed|factorial|halves|thirds|fifths|tenths|hundredths|thousandths|"
    r"score)\b(?! (?:points?|goals?))|(?:over|in|out of|to the(?: power(?: of)?)?|times|plus|minus|divided by|multiplied by|"
    r"mod(?:ulo)?|choose|to(?! \d+ (?:dec|sig|s\W?f|d\W?p|pla|dig)))\s+[$\\({]*(?:\d|[nkx]\b)|"
    r"(?:or|and) (?:more|less|fewer|greater|above|below|higher|lower|a half)\b|"
    r"(?:otherwise|unless|only if)\b)"
)
_COMPARED_BEHIND = re.compile(
    r"[\s$*_})\]\\~]*(?:(?:more|less|fewer|greater|larger|smaller) than\b|at (?:most|least)\b|"
    r"is an? (?:\w+ )?(?:upper|lower) bound\b)"
)
_OTHER_BEFORE = re.compile(
    r"^\W*[$\\(]*-?[\d.,/]+[$)\s\\]*\bor\b[\s$\\(]*$|"
    r"(?:[A-Za-z]\s*=\s*)[^=\n.]{1,30}?[\s$]*(?:\\text\{)?\s*\bor\b[}\s$\\(]*(?:[A-Za-z]\s*=\s*)?$|"
    r"(?:\bare|\bis|=|\beither|:)\s*[\s$\\(]*-?\d[^=\n.]{0,30}?(?:\bor\b|\band\b)[}\s$\\(]*$|"
    r"(?P<label>\b[A-Za-z])\s*=\s*[^=\n.]{1,30}?\band\b[}\s$\\(]*(?P=label)\s*=\s*$"
)
_OTHER_BEHIND = re.compile(
    r"[\s$)\]\\]*(?:\\text\{)?\s*,?\s*(?:or|and)\b(?:\s+also)?[}\s$\\(]*(?:[A-Za-z]\s*=\s*)?[-−]?(?:\d|\\d?frac|\\sqrt)|"
    r"[\s$.,;)\]\\]*[^.\n]{0,40}\b(?:is|are) (?:also|another|the other|a second) (?:an? |the )?(?:\w+ )?(?:solutions?|"
    r"answers?|roots?)\b|"
    r"[\s$.,;)\]\\]*(?:another|the other|a second|a further) (?:\w+ )?(?:solution|answer|root|value)\s*(?:is|would be|:|=)",
    re.IGNORECASE,
)
_JOINED = re.compile(r"(?:or|and)\b[}\s$\\(]*(?:[A-Za-z]\s*=\s*)?$")
"""How every match of ``_OTHER_BEFORE`` ends."""
_CASE = re.compile(
    r"^\W*(?:in |for )?(?:case|scenario)\s*\(?(?:\d|[A-Da-d]\b|[ivIV]+\b|one|two|three)[^.\n]*$|"
    r"^\W*(?P<if>(?:if|when|for|assuming|suppose|in case)\b[^.\n]{1,80}?)(?:,|\bthen\b|\bthe (?:final )?answer\b|:)[^.\n]*$",
    re.IGNORECASE,
)
_IF_BEHIND = re.compile(
    r"[\s$*_})\]\\,]*(?:\\text\{)?\s*(?P<if>(?:if|when|unless|provided|assuming)\b[^.\n]{1,80})", re.IGNORECASE
)
_CONDITION_WORDS = words_in("if when for the is are we of a an and to in has have be then all there")
_SENTENCE_START = re.compile(r".*(?:[.!?。]['\"”*_)]*\s|\n)", re.DOTALL)
_EQUAL_BEHIND = re.compile(r"[\s\\,;}]*=\s*([^$\n=]{1,80}?)\s*(?=\\\)|\\\]|\$|\n|=|\\\\|\.\s|\.?$|\\end)")
_ROW_END = re.compile(r"\\\\|\n\s*&?\s*[A-Z\\]|\\end|\\tag|\\text|\\q?quad|&")
_OPERATOR = re.compile(
    r"[\^!_+*/<>|\d(√×÷±−-]|\\(?:times|cdot|div|pm|mp|ne|neq|g[te]|l[te]|[lg]eq?|pi|sqrt|d?frac|cup|cap|sin|cos|"
    r"ln|log|implies|Rightarrow)(?![A-Za-z])|[a-z](?![A-Za-z])"
)
_STRUCK = re.compile(r"\\(?:[bx]?cancel|sout|st|xout|hcancel)(?![A-Za-z])|~~")


def is_struck(text: str) -> bool:
    r"""Return whether a part of an answer is crossed out: ``\cancel{B}``."""
    return _STRUCK.search(text) is not None


def is_disowned(text: str, start: int, end: int) -> bool:
    r"""Return whether a box is not what the text claims: ``it is not \boxed{5}``, ``\boxed{5} is extraneous``."""
    before, behind = text[max(0, start - 120) : start].lower(), text[end : end + 120].lower()
    if not is_idle(behind) and (_DISOWNED_AFTER.match(behind) or (_IF_BEHIND.match(behind) and _WOULD_BE.search(before))):
        return True
    return _DISOWNED_BEFORE.search(before) is not None


def also_said(text: str, content: str, end: int) -> list[str]:
    r"""Return what the words behind a box make of it, ``5 million``, ``5\%``, and what it is set equal to."""
    tail = text[end : end + 120]
    found: list[str] = []
    if scale := _SCALE.match(tail):
        found.append(f"{content}\\%" if scale["word"] in ("%", r"\%") else f"{content} {scale['word']}")
    if equal := _EQUAL_BEHIND.match(tail):
        found.append(equal[1].strip(" .,"))
    return found


def is_changed(text: str, start: int, end: int, problem: str = "") -> bool:
    r"""Return whether a box is a part of something larger: a formula, a comparison, a list, a case.

    Args:
        text: the whole text.
        start: where the box begins.
        end: one past its closing brace.
        problem: the question; a bound is the answer where it asks for a largest or smallest value, and a condition that it
            states itself is none of the answer's.
    """
    sentence, behind = _sentence_before(text, start), text[end : end + _WINDOW]
    formula = _formula_around(text, start, end)
    if _in_formula(text, start, end, formula, problem) or not _stands_apart(text, start, end, formula, problem):
        return True
    if _is_enclosed(sentence) or _CHANGED.search(sentence.lower()) or is_cut(text, start, end, problem):
        return True
    if _EXACT_ONLY.search(sentence.lower()) and not _asks_extreme(problem):
        return True
    if _JOINED.search(sentence) and _OTHER_BEFORE.search(sentence):
        return True
    return _is_case(_CASE.search(sentence), problem) or (not is_idle(behind) and _is_changed_behind(behind, problem))


@lru_cache(maxsize=1024)
def _asks_extreme(problem: str) -> bool:
    return _EXTREME.search(problem.lower()) is not None


def _is_changed_behind(behind: str, problem: str) -> bool:
    if _WORD_BEHIND.match(behind.lower()) or _OTHER_BEHIND.match(behind):
        return True
    compared = _COMPARED_BEHIND.match(behind.lower()) and not _asks_extreme(problem)
    return bool(compared) or _is_case(_IF_BEHIND.match(behind), problem)


def _is_case(match: re.Match[str] | None, problem: str) -> bool:
    """Return whether there is a condition, and one that the question does not state."""
    if match is None:
        return False
    condition = (match["if"] or "").lower()
    words = set(re.findall(r"\w+", condition)) - _CONDITION_WORDS
    special = re.search(r"\b(?:even|odd|positive|negative|prime)\b", condition)
    return not words or (special is not None and not words.issubset(re.findall(r"\w+", problem.lower())))


def _sentence_before(text: str, at: int) -> str:
    """Return the sentence that goes on at a place, as far as that."""
    before = text[max(0, at - _WINDOW) : at]
    first = _SENTENCE_START.match(before)
    return before[first.end() :] if first else before


def _stands_apart(text: str, start: int, end: int, formula: tuple[int, int], problem: str) -> bool:
    """Return whether what stands before and behind a box, or the formula that is nothing but the box, leaves it as it is."""
    begin, stop = formula
    if not _SPACING.sub("", text[begin:start]).strip(r"$\([{ " + "\n"):
        row = _ROW.split(_sentence_before(text, begin))[-1]
        for _ in range(_NESTED):
            row = _FORMATTED.sub(r"**\1\2**", row)
        row = _SPACING.sub(" ", row)
        at = max(0, len(row) - _LEAD)
        last = next((one for one in FORMULA.finditer(row) if one.end() >= len(row.rstrip(" *_("))), None)
        harmless = (_STATES if last else _BEFORE).search(last.group()[1:-1] if last else row, 0 if last else at)
        if row.strip() and not harmless and not (_BOUNDED.search(row) and _asks_extreme(problem)):
            said = last.group() if last else row.rstrip(r" *_($\[").rpartition(" ")[2]
            repeated = [said.strip(r"$\()[]* "), *re.findall(r"^\W*([A-J])\b", row)]
            if not any(f"{{{one}}}" in text[start:end].replace(" ", "") for one in repeated):
                return False
    if stop > end and text[end:stop].strip(" \n.,;$)]\\"):
        return True
    closing = _CLOSING.match(text, stop)
    return _BEHIND.match(text[closing.end() if closing else stop :][:_WINDOW]) is not None


def _formula_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span of the formula that a box stands in; that of the box where it stands in none."""
    around = text[max(0, start - 8) : start].rstrip()[-2:], text[end : end + 8].lstrip(" \n.")[:2]
    if around in ((r"\(", r"\)"), (r"\[", r"\]")):  # it is the whole of a formula
        return text.rindex("\\", 0, start), text.index("\\", end) + 2
    begin = max(text.rfind("\n\n", max(0, start - 2_000), start), start - 2_000, 0)
    found = (one.span() for one in FORMULA.finditer(text[begin : end + 1_000]) if one.start() <= start - begin < one.end())
    first, last = next(found, (0, 0))
    return (first + begin, last + begin) if last >= end - begin else (start, end)


def _in_formula(text: str, start: int, end: int, formula: tuple[int, int], problem: str) -> bool:
    """Return whether a formula goes on before or behind a box, a label apart."""
    begin, stop = formula
    if formula == (start, end):
        return False
    if _PARTS.search(text, begin, start):
        return True
    size = 1 if text[begin] == "$" and text[begin + 1] != "$" else 2
    before = _SPACING.sub(" ", _TEXT.sub(r" \\text{\1} ", text[begin + size : start]))
    behind = text[end : stop - size]
    pairs = _HALF_OPEN.sub("", before)
    opened = pairs.rfind("(") if pairs.count("(") > pairs.count(")") else -1
    if opened >= 0 and "," in pairs[opened:] + behind.partition(")")[0]:
        return True
    row = _WRAPPED.sub(" ", _ROW.split(before)[-1])
    bare = re.search(r"[^\s{}.*(\[]", row) is None or _LABELLED.search(row) is not None
    return (not bare and not (_BOUNDED.search(row) and _asks_extreme(problem))) or _goes_on(behind)


def _goes_on(behind: str) -> bool:
    rest = _SPACING.sub(" ", _ROW_END.split(behind, maxsplit=1)[0]).strip(" .,;:{}\n)]")
    return _OPERATOR.match(rest) is not None and not re.match(r"\^\{?\s*\\circ|\^\{?[23]|\([^()\d]*\)|[mgsLh]\b", rest)


def _is_enclosed(sentence: str) -> bool:
    r"""Return whether a box stands in the argument of a command that changes it, ``\frac{1}{\boxed{5}}``."""
    depth = 0
    for match in reversed(list(re.finditer(r"(?<!\\)[{}]", sentence))):
        depth += 1 if match.group() == "}" else -1
        if depth < 0:
            if not _WRAPPER.search(sentence[: match.start()]):
                return True
            depth = 0
    return False
