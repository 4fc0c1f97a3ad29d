r"""The places where a text says what its answer is, and where it takes that back.

A claim is marked by a box, a tag, ``####``, "the answer is", a heading or an option named; ``sentences`` reads the value that
stands there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.formulas import masked
from hero_rl.verifiers.math.sentences import CUT, is_idle, stated_at_start, stated_in

Source: TypeAlias = Literal["box", "boxes", "tag", "hashes", "phrase", "sentence", "whole", "none"]

MAX_PHRASES = 60
"""Of more phrases only the last ones are read."""
_MAX_WORDS = 12
_MAX_CLAIM_CHARS = 600
_MAX_TAIL_CHARS = 3_000
"""So much behind a claim is searched for words that take it back."""


class Claim(NamedTuple):
    """One place where a text says what its answer is."""

    text: str
    bare: str
    """Without nouns that are no units; the same as ``text`` where there are none."""
    start: int
    end: int
    source: Source


_TAG = re.compile(r"<answer>([^<]{1,2000})</answer>", re.IGNORECASE)
_HASHES = re.compile(r"####([^\n]{1,2000})")
_HEADING_WORDS = re.compile(
    r"[\s*_]*(?:(?:the )?(?:final )?(?:answer|result|conclusion)[.:]?$|"
    r"(?:step|part|case|method|solution|approach|proof|note|example|problem|question|\d+\.\s)\b)",
    re.IGNORECASE,
)
_IS = r"(?:is\b|are\b|be\b|was\b|=|[:：]|would be\b|should be\b|must be\b|will be\b)"
_PHRASES: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (words, re.compile(pattern + r"[\s*_:：]{0,40}", re.IGNORECASE))
    for words, pattern in (
        (("answer", "Answer", "ANSWER"),
         r"\banswers?\b[*_\"”)\s]{0,10}(?:\([a-z ]{1,20}\)\s{0,3})?(?:to (?:the(?! (?:previous|earlier|other|last)\b)|this|"
         r"our|your|part)\b[^.\n:=$\\]{0,80}?|"
         r"for (?:the|this|part)\b[^.\n:=$\\]{0,50}?|seems to|appears to|comes out to|turns out to)?[*_\s]{0,10}" + _IS),
        (("option", "Option", "choice", "Choice", "alternative"),
         r"\b(?:option|choice|alternative)\s{0,3}(?:is\b(?! (?:in)?correct)|:)"),
        (("答案", "结果"), r"(?:答案|结果)\s{0,3}(?:是|为|[:：]|】)"),
        (("故选", "因此选", "所以选", "应选"), r"(?:故选|因此选|所以选|应选)\s{0,3}[:：]?"),
        (("答",), r"(?<![^\s。.])答\s{0,3}[:：]"),
        (("respuesta", "Respuesta", "réponse", "Réponse", "risposta", "Risposta", "resposta", "Resposta"),
         r"\b(?:respuesta|réponse|risposta|resposta)\b(?:\s(?:final|finale|correcta|corretta))?\s{0,3}(?:es\b|est\b|é\b|"
         r"è\b|:)"),
        (("Antwort", "Lösung", "Ergebnis"), r"\b(?:Antwort|Lösung|Ergebnis)\s{0,3}(?:ist\b|lautet\b|:)"),
        (("Ответ", "ответ"), r"ответ\s{0,3}(?::|—|-|есть)"),
        (("答え",), r"答え\s{0,3}(?:は|[:：])"),
        (("정답", "답"), r"(?:정답|답)\s{0,3}(?:은|:)"),
        (("áp án", "áp số"), r"áp (?:án|số)\s{0,3}(?:là|:)"),
    )
)  # fmt: skip
"""Words that may begin a claim, each with the pattern that it has to match."""
_TO_BOX = re.compile(r"[\s*_:]*(?:\$\$?|\\[(\[])?\s*")
_TITLE_WORDS = ("answer", "Answer", "ANSWER", "result", "Result", "conclusion", "Conclusion")
_TITLE_BEFORE = re.compile(
    r"(?:^|\n)[ \t>_]{0,8}(?:\#{1,6}[ \t]{0,3}\**|\*\*|\\(?:sub){0,2}section\*?\{|\\textbf\{)[ \t]{0,3}"
    r"(?:the |my )?(?:final )?$",
    re.IGNORECASE,
)
_TITLE_AFTER = re.compile(r"[a-zA-Z]{6,10}[.:]?[ \t]{0,3}(?:\*\*|\}|\n)[\s*_:]{0,40}")
_LETTER = re.compile(
    r"[\s*_\"“`$(\[{\\]*(?:text(?:bf)?\{)?(?:(?:option|choice|letter|therefore|thus|hence|then|clearly|"
    r"indeed)\s+)?[*_(]*([A-J])[)\]*_}$]*(?=[\s.:,;!*\"”`]|$)",
    re.IGNORECASE,
)
_OPTION_THEN_TURN = re.compile(
    r"[\s*_(]{0,5}[A-J][)*_]{0,3}(?=[.!;,][\s*_]+(?:(?:oh|but|or|so|hmm+|no)\b[,.]? )?(?:wait|actually|scratch|hold on|sorry|"
    r"oops|hmm+|correction|on second thought|on reflection,|i meant?\b|my (?:mistake|bad)|i take (?:that|it)|\(?edit|"
    r"both (?:[A-J]|of them|options|answers)\b|(?:this|that)(?:['’]s| is| was) (?:\w+ )?"
    r"(?:wrong|incorrect|not|an? (?:error|mistake)|mistaken|false)|"
    r"(?:it['’]s|it is|make that|i mean|rather|no,) (?:[Oo]ption )?\(?(?-i:[A-J])\b))",
    re.IGNORECASE,
)
"""An option, and words that take it back or add another: no text of that option."""
_TWO_LETTERS = re.compile(r"[:.)]?\s*(?:or\b|and\b|&|,|/|\||not\b)\s*[(*]*[A-J]\b|[?\s]+[(*]*[A-J][)*?.\s]*$")
_NEW_SENTENCE = re.compile(
    r"[*_)]*\.\s+(?:I|This|That|It|We|The|So|Therefore|Hence|Thus|Because|Since|Note|Please|Let|Hope|As)\s"
)
_OPTION_WORDS = (
    "option", "Option", "choice", "Choice", "answer", "statement", "Statement", "select", "choose", "pick",
    "it is", "it must be",
)  # fmt: skip
_NAMED_OPTION = re.compile(
    r"\b(?:option|choice|answer|statement)\s{0,3}[*_]{0,2}\(?((?-i:[A-J]))\)?[*_]{0,2}\s*(?:is|must be|"
    r"would be)\s+(?:the\s+)?(?:correct|right|best|answer|true)\b|(?<=[Ss]o )(?:it is|"
    r"it must be) \(?((?-i:[B-HJ]))\)?(?=[.,!;\n]|\s*$)|\b(?:choose|select|pick)\s{1,3}(?:option |choice |"
    r"answer )?[*_]{0,2}\(?((?-i:[A-HJ]))[*_)]{0,3}(?=[.,!\n]|\s*$)",
    re.IGNORECASE,
)
_NOT_AN_ANSWER = re.compile(
    r"(?:(?:\w+ )?not\b|(?:the |my )?(?:final |correct )?answer\b|n't\b|correct\b|right\b|wrong\b|incorrect\b|in the form|"
    r"in (?:simplest|terms|units|its)|as follows|given\b|below\b|above\b|obtained\b|found\b|unique\b|already\b|expressed\b|"
    r"rounded\b|simplified\b|clear\b|known\b|unknown\b|indeed (?:correct|right)|consistent\b|reasonable\b|supposed\b|"
    r"expected\b|based\b|because\b|derived\b|independent\b|therefore\W*$|that\b|a (?:number|positive)|to (?:the|be)\b|"
    r"verified\b|confirmed\b|as\b|then\b)"
)
_HYPOTHETICAL = re.compile(
    r"\b(?:(?:half|twice|thrice|double|triple|than|bound (?:for|on)|in|(?<!value )(?<!form )of) (?:the|my|our)|"
    r"(?:text)?book['’]s|(?:student|teacher|friend)['’]s|previous|earlier|old|initial|(?:his|my|our) first) (?:correct |right |"
    r"final )?$|\b(?:if|whether|suppose|assume|assuming|unless|verify(?: that)?|check(?: that)?|(?:not|n't|never|"
    r"hardly) (?:true|the case|correct|right|so)|false|untrue|(?<!no )doubt\w*|den(?:y|ies)|think|thought|says?|said|"
    r"claims?|claimed|expect\w*|wish|not|isn't|cannot|can't|someone|would|(?:cannot|can't|can not) be|"
    r"(?:refuse|hesitate|decline) to \w+|"
    r"(?:nobody|no one|would) (?:\w+ )?say)\s+(?:that\s+)?(?:the|my|our|your|this|an?|his|her|their)?\s*(?:correct |right |"
    r"final |real |naive |wrong |first )?$|\b(?:wrong|incorrect|mistaken|false|erroneous|naive|tempting|rejected|invalid|"
    r"second|third|next|backup|other|alternative)(?: final| first| best)? $"
)
_DENYING = re.compile(
    r"not|n't|never|hardly|doubt|deny|denies|false|untrue|refuse|hesitate|decline|nobody|no one|wish|wrong|incorrect|mistaken|"
    r"erroneous|invalid|rejected|unless|whether|half|twice|thrice|double|triple|than |bound |\bof "
)
_CLAUSE_END = re.compile(
    r"[.!?。]+(?=[*_\"”)]*(?:\s|$))|[.。](?=[\u4e00-\u9fff])|。|\?|\n|,\s+(?=(?:which|since|because|as|so|where|not|making|"
    r"meaning|i\.e|but|when|if|altogether|in total|and (?:hence|so|thus|the|we|it|this|that))\b)|\s+(?=(?:because|since|which|"
    r"as (?:required|desired|we))\b)|\s+\((?=(?:since|because|as|which|where|see)\b)|"
    r"\s[-–—]+\s(?=[A-Za-z]{2}(?![A-Za-z]?[\^_({\\\d]))",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(r"(?:\b(?:i\.e|e\.g|approx|resp|vs|cf|Eq|eq|No|St|Mr|Mrs|Dr|sq|[A-Z])|\b[A-J])$")

_RETRACTION = re.compile(
    r"\b(?:no,?\s+wait|wait,?\s+(?:no|that|this|the answer|it)|scratch that|correction\b|just kidding\b|edit(?:ed)?:|"
    r"but (?:no\b|negative\b|squared\b|cubed\b|doubled\b|halved\b|inverted\b|(?:with )?(?:the|an?) (?:\w+ )?sign\b)|"
    r"which (?:must|should|has to|needs to|still needs to) be (?:doubled|halved|tripled|squared|multiplied|divided|negated)|"
    r"but (?:that|this|it|i) (?:\w+ )?(?:ignor|forg[eo]t|miss|neglect|overlook|fail|double[- ]count|includ|exclud)\w*|"
    r"on second thou?ght|on reflection,|i mean(?:t\b(?! (?:to|that|by|for))| \(?[b-j]\b)|hold on|oops|"
    r"i (?:take (?:that|it|this) back|retract|disagree|was wrong|made (?:a |an )?(?:mistake|"
    r"error)|misread|miscalculated|forgot|must correct|need to correct|need to (?:redo|re-?check))|sorry\b|my (?:mistake|bad)|"
    r"(?:that|this|it|which|answer|result|value|above|calculation|box|previous\w*|claim)\s*(?:'s|is|was|must be|seems|looks|"
    r"cannot be|can't be|can not be|isn't|is not|wasn't|was not)\s+(?:(?:clearly|definitely|certainly|actually|obviously|also|"
    r"probably|surely|just|all|not|still|in fact|of course|simply|quite)\s+)*(?:wrong|incorrect|right\b(?<=not right)|"
    r"correct\b(?<=not correct)|correct\b(?<=n't correct)|right\b(?<=n't right)|true\b(?<=not true)|mistaken?|a mistake|"
    r"an error|impossible|false|invalid|the answer\b(?<=not the answer)|my answer\b(?<=not my answer))|ignore (?:that|"
    r"the above|the previous|this|the box|the answer|it)|i lied\b|(?:was|is) (?:only |just )?a joke\b|(?:it|that|this|which|"
    r"answer|value|result) should (?:have been|instead be|actually be|really be|rather be)\b|(?:now i (?:see|get|find|have|"
    r"realize)|instead,?) (?:that )?(?:it|the \w+) (?:should|must|is)\b|(?:corrected|revised|updated):|(?:corrected|revised|"
    r"updated|amended) (?:answer|value|result)\b|(?:contradict\w*|no such (?:number|value|solution)s? exists?))"
)
_TURN = re.compile(
    r"(?:^|[.!?\n]\s*|^[\s$.,;*_})\]\\–—-]*)(?:(?:oh,? )?wait\b|no[,.!:]|no\s+(?:it|the answer)|actually,?\s|hmm+\b|but wait|"
    r"or rather|rather,|instead,|hold on|however, (?:the|this) (?:answer|result))"
)
_WRONG_AFTER = re.compile(
    r"\s*[–—(-]+\s*(?:wrong|incorrect|false|mistaken|not (?:really|true|correct|right|my|our))\b|[\s$.,;*_})\]\\]*(?:is|was|"
    r"are|would be|cannot be|can't be)\s+(?:\w+\s+){0,2}(?:wrong|incorrect|false|mistaken|impossible|not (?:correct|right|"
    r"the answer|possible)|a (?:mistake|guess)|too (?:large|small|big|high|low))"
)
_HEDGE = re.compile(
    r"(?<!for )(?<!of )\bboth (?:options? |answers? )?\(?[a-j]\)? and \(?[a-j]\b\)?(?:[.!]| (?:(?:would|will|do|seem to) )?"
    r"(?:work|hold|fit|apply)\b| (?:are|seem|look|(?:could|can|might|may) be) (?!not\b)(?:\w+ )?(?:right|correct|true|valid|"
    r"possible|acceptable|answers)\b)|"
    r"\bor else\b|\bequally (?:possible|likely|plausible|valid|good)\b|^[\s$.,;*_})\]\\]*or (?:yes|no|true|false)\b|\b(?:i am|"
    r"i'm|we are|we're|but|though)\s+(?:\w+\s+)?(?:not (?:entirely |really |completely |quite )?(?:sure|certain|confident)|"
    r"unsure|uncertain)|\b(?:not sure|just a guess|only a guess|a wild guess|this is a guess|i(?:'m| am) guessing|"
    r"i don't (?:really )?know|i do not know|i could be wrong|i may be wrong|i might be wrong|no idea)\b|\b(?:or|"
    r"but)\s+(?:maybe|perhaps|possibly|it (?:could|might|may)(?: also)? be|(?:could|might|may) (?:also )?be)\b|\b(?:another|"
    r"the other|a second|a further|one more) (?:\w+ )?(?:solution|answer|root|value)\s*(?:is|would be|=)|\b(?:is|"
    r"are) also (?:an? |the )?(?:\w+ )?(?:solutions?|answers?|roots?)\b|\b(?:another|the other|one) (?:possible|possibility|"
    r"candidate|option is)\b|\b(?:it|answer)\s+(?:could|might|may) (?:also|equally|instead) be\b|^[\s$.,;*_})\]\\]*(?:or|"
    r"alternatively|otherwise|else),?\s+(?:it is\s+)?(?:[$\\(*\d\-]|[a-j]\b)|^[\s$.,;*_})\]\\]*(?:also|and|possibly|perhaps|"
    r"as well as|not counting),?\s+(?:[a-z]\s*=\s*)?[$\\(]*-?\d[\d.,/]*[$)\\\s]*(?:[.!\n]|$)|"
    r"\bif (?:not|wrong|that(?:'s| is) wrong),|\b(?:backup|alternative|second|fallback)"
    r"(?: answer| choice| guess| option)?:\s*[$\\(]*-?\d|^[\s$.,;*_})\]\\]*(?:no(?=[,.:;!])|nope\b|"
    r"or (?:rather|better)\b)"
)
_SECOND_THOUGHT = re.compile(
    r"[$\s]*\s\$?-?\d|[$\s]*;\s*if\b|\s*(?:vs\.?|versus)\s|\s+(?:is|was)\s|"
    r"\s*,\s*[\"'](?:answer|alt|other|option|result)\w*[\"']\s*:|"
    r"[$\s]*(?:oder|ou(?: bien)?|o|или|或者?|または|또는|hoặc|lub|oppure|か)\s*[$\\(]*-?\d|\s*(?:ではな|じゃな|가 아)|"
    r"[\s)]*(?:short of|shy of|above|below|beyond)\s+\w|"
    r"[\s)]*(?:more|less|fewer|greater|larger|smaller) than (?:you|we|i|the|that)\b|"
    r"\s*,?\s*(?:multiplied|divided|increased|decreased|reduced|raised)\b|"
    r"\s*in (?:base|the list|this list|the table|the row)\b|\s*mod(?:ulo)?\b|"
    r"\s*(?:for|at)\b.*\band\b.*\b(?:for|at)\b|"
    r"[:.)]?\s*[,;–—-]{0,2}\s*(?:no(?=[,.:;!])|nope\b|(?:oh,? )?wait\b|or (?:rather|better|maybe|perhaps)\b)|\+(?!\w)|"
    r"\s*(?:less|more|fewer|greater|larger|smaller) than\s+[$\\(]*(?:\d|[a-z]\b)|"
    r"\s*(?:over|in|out of|to the(?: power(?: of)?)?|times|plus|minus|divided by|multiplied by|choose)\s+[$\\(]*(?:\d|[b-z]\b)|"
    r"[\s,]*(?:root\s+\d|pi\b|point\s+\w|[ie]\b(?!\.\w)(?=\W*$)|factorial\b)|\s*,\s*(?:squared|cubed|doubled|halved|tripled)\b|"
    r"\s*(?:if|when|provided|in case|as long as)\b.*\b(?:and|or|but|otherwise|else)\b|"
    r"[\s,]*(?:otherwise|unless|except|excluding|besides|"
    r"as well as|along with|together with|in addition to|followed by|not counting|plus|up to (?:a|an|the) |modulo|in base|"
    r"in (?:binary|octal|hexadecimal)|(?:read|written) in base|with an? (?:minus|negative|opposite)|taken twice|"
    r"then (?:add|subtract|multiply|double|halve|square|divide)|(?:and )?also [$\\(]*-?\d)|"
    r"[\s,(]*(?:with )?(?:a )?(?:remainder|rem)\b|\s+(?:doubled|halved|tripled|squared|cubed|times \w+|isn't\b|fails\b|"
    r"and up\b|below\b|less\b|short\b|left \d|b\.?c\.?(?![a-z])|false\b)|\s*(?:[✗✘❌✖👎]|==|<su[pb]>)|"
    r"[`*_]{1,2}\s+[`*_]{1,2}[$(]*-?\d|\s*\((?:rejected|extraneous|false|wrong|incorrect|invalid|excluded)\)|"
    r"\s*(?:h|hours?|hrs?|min(?:ute)?s?|days?|weeks?|years?|feet|foot|ft|yards?|pounds?|lbs?|dollars?|degrees?|km|m)\.?\s+"
    r"(?:and\s+)?\d+\s*[a-z]",
    re.DOTALL,
)
"""Words that make a claim two, ``4, no, 6``, or something else: ``4 less than 10``, ``4, but negative``, ``4 h 30 min``."""
_RESTORED = re.compile(
    r"\b(?:yes|correct(?: after all)?|right after all|confirm\w*|verif\w*|checks out|indeed|still|matches|consistent|holds)\b"
)


def marked_claims(text: str, begin: int = 0, boxes: frozenset[int] = frozenset()) -> list[Claim]:
    """Return the claims by tag, ``####``, phrase, heading or named option from a place on, in the order of the text.

    A phrase that leads to one of the boxes, given by their beginnings, is that box's claim, and its value is not read.
    """
    claims: dict[int, Claim] = {}
    for word, readers in _ASCII_MARKS if text.isascii() else _MARKS:
        at = text.rfind(word, begin)
        for _ in range(MAX_PHRASES):
            if at < 0:
                break
            found = next((one for read in readers if (one := read(text, at, boxes)) is not None), None)
            if found is not None:
                claims.setdefault(at, found)
            at = text.rfind(word, begin, at)
    return [claims[at] for at in sorted(claims)]


def _tagged_claim(text: str, at: int, _boxes: frozenset[int]) -> Claim | None:
    match = _TAG.match(text, at)
    content = match[1].strip() if match else ""
    return Claim(content, content, at, match.end(), "tag") if match and content else None


def _hashes_claim(text: str, at: int, _boxes: frozenset[int]) -> Claim | None:
    match = _HASHES.match(text, at)
    content = match[1].strip().strip("*_# ") if match else ""
    if match is None or not content or _HEADING_WORDS.match(content):
        return None
    stated = stated_at_start(content)
    if stated is None and text[match.end() : match.end() + 200].strip():
        return None
    return Claim(content, stated.bare if stated and stated.bare else content, at, match.end(), "hashes")


def _titled_claim(text: str, start: int, _boxes: frozenset[int]) -> Claim | None:
    """Return what stands under a heading: a value, or one sentence that states it; more than that is read from its end."""
    after = _TITLE_AFTER.match(text, start)
    if after is None or not _TITLE_BEFORE.search(text[max(0, start - 40) : start]):
        return None
    rest = text[after.end() : after.end() + _MAX_CLAIM_CHARS]
    claim = read_claim(text, after.end(), start)
    if claim is None or _LETTER.match(rest) or stated_at_start(rest):
        return claim
    return None if re.search(r"[\d$\\]", text[claim.end : claim.end + _MAX_TAIL_CHARS]) else claim


def _phrase_claim(pattern: re.Pattern[str], text: str, at: int, boxes: frozenset[int]) -> Claim | None:
    match = pattern.match(text, at)
    if match is None or _HYPOTHETICAL.search(text[max(0, at - 60) : at].lower()):
        return None
    if boxes and (lead := _TO_BOX.match(text, match.end())) and lead.end() in boxes:
        return Claim("", "", at, lead.end() + 1, "phrase")
    return read_claim(text, match.end(), at)


def denies_answer(sentence: str) -> bool:
    """Return whether a sentence tells what the answer is not, or not the answer: ``I doubt the answer is 5``."""
    words, phrase = _PHRASES[0]
    if not any(word in sentence for word in words):
        return False
    befores = (sentence[max(0, match.start() - 60) : match.start()].lower() for match in phrase.finditer(sentence))
    found = (_HYPOTHETICAL.search(before) for before in befores)
    return any(one is not None and _DENYING.search(one.group()) for one in found)


def _option_claim(text: str, at: int, _boxes: frozenset[int]) -> Claim | None:
    match = _NAMED_OPTION.match(text, at)
    if match is None or re.search(r"\b(?:not|n't)\s*$", text[max(0, at - 12) : at]):
        return None
    letter = match[1] or match[2] or match[3]
    return Claim(letter, letter, at, match.end(), "phrase")


_Reader: TypeAlias = Callable[[str, int, frozenset[int]], Claim | None]


_READERS: tuple[tuple[tuple[str, ...], _Reader], ...] = (
    (("<answer>", "<ANSWER>", "<Answer>"), _tagged_claim),
    (("####",), _hashes_claim),
    (_TITLE_WORDS, _titled_claim),
    *((words, partial(_phrase_claim, pattern)) for words, pattern in _PHRASES),
    (_OPTION_WORDS, _option_claim),
)
_MARKS = [
    (word, [read for words, read in _READERS if word in words])
    for word in dict.fromkeys(word for words, _ in _READERS for word in words)
]
"""The words that may begin a claim, each with what reads it, the first that succeeds first."""
_ASCII_MARKS = [(word, readers) for word, readers in _MARKS if word.isascii()]


def read_claim(text: str, at: int, start: int) -> Claim | None:
    """Return the claim that stands behind a mark which begins at ``start`` and ends at ``at``."""
    rest = text[at : at + _MAX_CLAIM_CHARS]
    turn = _OPTION_THEN_TURN.match(rest)
    whole = rest[: turn.end() if turn else _clause_end(rest)]
    told = whole.strip(' \t\n*_`"“”').removesuffix(".")
    asked = rest[len(whole) : len(whole) + 1] == "?"

    def claim(text: str, bare: str) -> Claim:
        return Claim(text, bare, start, at + len(whole), "phrase")

    letter = _lettered(whole)
    if letter is not None and not asked:
        return claim(*letter)
    if asked or not told or _NOT_AN_ANSWER.match(told.lower()):
        return None
    stated = stated_at_start(whole)
    if stated == CUT:
        return claim(told, told)
    if stated is not None:
        behind = whole[stated.end :]
        if _SECOND_THOUGHT.match(behind.lower()):
            return claim(told, told)
        wordy = re.search(r"[A-Za-z]{2}", re.sub(r"\\[A-Za-z]+|\\text\{[^{}]*\}", "", behind)) or re.match(r"[A-Za-z]{2}", told)
        return claim(stated.text if wordy else told, stated.bare)
    if re.search(r"\bif\b[^\n]*\belse\b", whole):
        return claim(told, told)
    inner = stated_in(whole, marked=True)
    if inner is not None and inner.text and (len(whole.split()) > 3 or not whole.isascii()):
        return claim(inner.text, inner.bare)
    return claim(told, told) if len(told.split()) <= _MAX_WORDS else None


def _lettered(whole: str) -> tuple[str, str] | None:
    """Return the option that a claim begins with, with its text and without: ``**B. 12**``; a hedge is left whole."""
    match = _LETTER.match(whole)
    if match is None:
        return None
    letter, behind = match[1], whole[match.end() :]
    explained = letter in "BCDEFGHJ" and re.match(r"\s+(?:but|not|is|because|since|as)\b", behind)
    if re.match(r"\s+[a-z]|\s*[-+=*/^<>(]", behind) and not explained:
        return None
    if _TWO_LETTERS.match(behind) or _SECOND_THOUGHT.match(behind.lower()):
        return whole.strip(), whole.strip()
    content = "" if _NEW_SENTENCE.match(behind) else behind.strip(" .*_):")
    has_content = content and re.match(r"[.:)]", whole[match.end(1) :].lstrip("*_"))
    return (f"{letter}. {content}" if has_content else letter), letter


def _clause_end(text: str) -> int:
    begin = len(text) - len(text.lstrip(" \t\n*_#:"))
    for match in _CLAUSE_END.finditer(masked(text), begin):
        abbreviated = match.group().startswith(".") and _ABBREVIATION.search(text[: match.start()])
        if not abbreviated or match.end() >= len(text.rstrip()):
            return match.start()
    return len(text)


def value_end(text: str, claim: Claim) -> int:
    """Return where the value of a claim ends, which may have more words behind it: ``the answer is 5, I suppose``."""
    at = text.find(claim.bare, claim.start, claim.end)
    return at + len(claim.bare) if at >= 0 else claim.end


def taken_back(text: str, at: int) -> int:
    """Return where after ``at`` a text takes back what it claimed before; -1 where it does not."""
    tail = text[at : at + _MAX_TAIL_CHARS].lower()
    if is_idle(tail):
        return -1
    found = _WRONG_AFTER.match(tail) or _RETRACTION.search(tail)
    places = [match.end() for match in (found, _TURN.search(tail)) if match is not None]
    if not places or (found is None and _RESTORED.search(tail[places[0] :])):
        return -1
    return at + min(places)


def is_hedged(text: str, at: int) -> bool:
    """Return whether a text, after ``at``, doubts what it claimed before, or offers another answer beside it."""
    tail = text[at : at + 400].lower()
    return not is_idle(tail) and _HEDGE.search(tail) is not None
