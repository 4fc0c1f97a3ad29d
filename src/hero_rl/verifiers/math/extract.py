r"""Extraction: what a response claims last; ``gold`` reads references with it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from hero_rl.verifiers.boxes import MAX_RESPONSE_CHARS, Box, find_boxes
from hero_rl.verifiers.math.around import also_said, is_changed, is_disowned, is_struck
from hero_rl.verifiers.math.claims import Claim, Source, denies_answer, is_hedged, marked_claims, taken_back, value_end
from hero_rl.verifiers.math.formulas import masked
from hero_rl.verifiers.math.sentences import CUT, UNCLEAR, stated_in
from hero_rl.verifiers.math.signs import plain_signs
from hero_rl.verifiers.math.standing import concluded_behind, has_another_behind, is_guess, is_rough, is_sample, superseded
from hero_rl.verifiers.math.words import count_words

MAX_BARE_CHARS = 300
"""A response without any mark is taken to *be* the answer up to this length; of a longer one the last sentence is read."""
NEAR_CHARS = 300
"""Of a text before its last box, so much is searched for other claims."""
MAX_BOXES = 100
"""Of more boxes only the last ones are read."""
_END_CHARS = 4_000
"""Sentences are read in so much of a response's end."""
_MAX_SENTENCES = 4
_MAX_SENTENCE_CHARS = 300
_NEAR_CHARS = 150
"""Two boxes further apart than this are not parts of one answer, unless labels say so."""

_BETWEEN_BOXES = re.compile(
    r"[\s$.,;&*•]*(?:\\q?quad|\\[,;])?[\s$]*(?:(?:\\text\{)?\s*\b(?:and|or)\b(?:\s+also)?\s*\}?)?[\s$,;]*(?:\\q?quad)?"
    r"(?:(?:[A-Za-z](?:_\{?\w\}?)?|\([A-Za-z, ]{3,20}\))\s*=)?[\s$]*(?:\\\(|\\\[)?[\s$]*"
)
_CLOSING = re.compile(r"^[\s$]*(?:\\\)|\\\])")
_PART = re.compile(
    r"\(\s*(?:[a-h]|i{1,3}|iv|v)\s*\)|\b[Pp]art\s+\(?(?:[a-hA-H]|\d|i{1,3})\)?(?![a-z])|(?:^|\n)\s*\**(?:[a-h]|\d)[).](?=\s)"
)
_MAX_LABEL = 40
_BRACKETS = ("(", r"\left(", r"\langle")
_LETTER_LABEL = re.compile(r"(?<![A-Za-z\\])([A-Za-z](?:_\{?\w\}?)?)\s*=[\s$]*(?:\\\(|\\\[)?[\s$]*$")
_TUPLE_LABEL = re.compile(r"(\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])+\s*\))\s*=[\s$]*$")
_NOT_BOTH = re.compile(r"[\s$,.;:)\]\\(—-]*(?:\\text\{\s*,?\s*)?(?:but |though )?(?:not both|only one of)\b", re.IGNORECASE)
_SENTENCE_BREAK = re.compile(r"[.!?]\s|\n\s*\n")
_RESTATED = re.compile(
    r"[\s$.,;]*(?:\\\)|\\\])?[\s$.,;(]*(?:that is|i\.\s?e\.|which is|or equivalently|equivalently|or rather|in other words|"
    r"or simply|or,? in decimals?|=|\\approx|≈|approximately|also known as|or about)\b[\w\s,]{0,30}[$\\(\[\s]*",
    re.IGNORECASE,
)
_IN_CASES = re.compile(r"^[^.!?\n]*(?:\b(?:if|or|either|otherwise|case)\b|;)[^.!?\n]*$")
_THOUGHT_END = re.compile(r"</(?:think(?:ing)?|reasoning|scratchpad)>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷", re.IGNORECASE)
_THOUGHT = re.compile(r"<(?:think(?:ing)?|reasoning|scratchpad)>|\[THINK\]|<\|begin_of_thought\|>|◁think▷", re.IGNORECASE)
_NEXT_TURN = re.compile(r"\n(?:\#{1,4} ?)?\*{0,2}(?:Question|Problem|Q|Human|User|Exercise)\*{0,2} ?\d{0,3} ?[:.]")
_RECHECKED = re.compile(
    r"\b(?:let me|let us|let's|i'll|i will) (?:\w+ )?(?:double[- ]?check|re-?check|reconsider|re-?think|redo|recount|"
    r"recalculate)",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"<!--(?:(?!<!--|-->).){0,2000}-->|\n[ \t]*%[^\n]*", re.DOTALL)
_COMMENT_FIRST = re.compile(r"[ \t]*%[^\n]*")
_END_TOKEN = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|end_of_text|end|end▁of▁sentence)\|>|<end_of_turn>|<eos>|</s>")
_SENTENCE = re.compile(
    r"[.!?。]+[*_\"”)\]]*(?=\s+(?=[^a-z\s]|[a-z]\s*=)|\s*$)|。|\n(?<!:\n)(?<! is\n)(?<! are\n)(?<! get\n)(?<! have\n)(?:\s*\n|"
    r"(?=\s*(?:[-*#]\s|\*\*|\d+[.)]\s|[^\n]{0,12}\s*$)))|(?:\\\]|\$\$|\\end\{[a-z]+\*?\})\s*(?=(?:[A-Z][a-z]|\\text))"
)
_FILLER = re.compile(
    r"[\s*_#]*(?:i hope|let me know|feel free|please|if you (?:have|need)|hope this|good luck|thank|equality (?:holds|occurs)|"
    r"this (?:matches|confirms|completes|is consistent|agrees|approach|shows|demonstrates|function is|means that the|"
    r"result (?:is|holds)|(?:minimum|maximum|bound|value|happens|occurs)?\s?(?:is )?(?:achieved|attained|reached|when))|"
    r"we (?:can|have) (?:verif|check|confirm)|(?:that|it) is (?:the|our|my) (?:final )?answer)"
)
_SPOKEN = re.compile(r"(?:thus|so|hence|therefore|it|this|the [a-z]+ (?:is|are)|no|we|there)\b,?\s")
_CONCLUDED = re.compile(
    r"[,;]\s*(?:and )?(?:so|hence|thus|therefore|we get|which gives)\b(?=[^\n]*\d)|\n\s*\n\s*(?:Add|Subtract|Divide|Multiply|"
    r"So|Hence|Thus|Therefore|Then)\b|[\u4e00-\u9fff](?:为|是|得|得到|等于|共有?)\s*[-$\d]|[故所以因此][^，。]{0,12}[\d$]|原式\s*\$?\s*="
)
_CHAIN = re.compile(r"=(?![^=]*(?:\b(?:and|or)\b|[,;\n]\s*[A-Za-z]\w*\s*=))[^=]*=")
_LAST_LINE = re.compile(r"(?P<name>[A-Za-z])[^\n]*=[^\n]*\n\s*(?P=name)\s*=[^\n=]*$")
"""Steps of one line, ``F = ma = 12``, or of two, of which the last has the value."""
_PRODUCT = re.compile(r"(?<=\d )x(?= \$?\d[\d.,]*(?: x \$?\d[\d.,]*)* = )")
"""The letter in ``4 x 6 = 24``, which is a sign."""
_LINES = re.compile(r"(?:([A-Za-z])\s*=\s*[-\d./]+\s*\n\s*(?!\1)){1,5}[A-Za-z]\s*=\s*[-\d./]+")
_SENTENCE_END = re.compile(r"[.!?\n](?=\s|$)")
_MIN_CHARS = 15
_BOXED = ("box", "boxes")
_ADVERSE = re.compile(
    r"\b(?:but|however|although|yet to|still need|next|unless|except|remains to)\b|^\W*(?:then|now|after that|afterwards)\b"
)


class FoundAnswer(NamedTuple):
    """The final answer of a text as it stands there."""

    text: str
    source: Source
    """``boxes``: several different boxes that stand side by side, joined by commas; ``none``: there is no answer."""
    bare: str = ""
    """The answer without nouns that are no units; "" where that is the same."""
    also: tuple[str, ...] = ()
    """Other statements of the answer in the text; it counts only where all agree."""
    doubt: str = ""
    """Why no answer is taken although something is claimed: ``retracted``, ``hedged``, ``claim_unclear``."""
    rough: bool = False
    """It is called about right only, which is no answer where an exact one is asked for."""


NOTHING = FoundAnswer("", "none")
UNCLEAR_CLAIM = NOTHING._replace(doubt="claim_unclear")


def find_answer(response: str) -> str:
    """Return the text of ``extract_answer``."""
    return extract_answer(response).text


def extract_answer(response: str, problem: str = "", *, as_written: bool = False) -> FoundAnswer:
    r"""Return what a response claims last, or ``NOTHING``.

    Outside of ``<think>`` this is the last of: a box, ``<answer>``, ``#### answer``, "the answer is ...", a heading such as
    "Final Answer", an option named as correct. Where a text has none of them, it is the value that its last sentence states, or
    the whole text when it is short. A claim that is taken back counts only where a new one follows. Different boxes
    with nothing but a connective between them are one answer of several parts: a list where the reference is a list, a hedge
    where it is not.

    Args:
        response: any text.
        problem: the question; of several numbers in a last sentence, those that the question gives are not the answer.
        as_written: leave signs as they are, where a model reads the answer, and not the parser.
    """
    text = response[-MAX_RESPONSE_CHARS:].replace("\x08oxed", "\\boxed")
    text = _answering(text if as_written else plain_signs(text))
    if "%" in text or "<!--" in text:
        first = _COMMENT_FIRST.match(text)
        text = ("\n" if first else "") + _COMMENT.sub("\n", text[first.end() :] if first else text)
    boxes, cut_off = find_boxes(text)
    cut_short = len(boxes) > MAX_BOXES
    boxes = boxes[-MAX_BOXES:]
    claims = _all_claims(text, boxes, problem)
    if claims and claims[0].source in ("phrase", "hashes") and (before := _before_turn(text, claims[0], problem)):
        return before
    if claims and (turn := _NEXT_TURN.search(text, claims[0].end)):  # a base model goes on with another question
        text, claims = text[: turn.start()], [claim for claim in claims if claim.end <= turn.start()]
        cut_off = cut_off if cut_off < turn.start() else -1
    if not claims and not boxes:
        return _unmarked(text, problem, cut_off)
    if not claims:
        behind = _SENTENCE_END.search(text, boxes[-1].end)
        boxed = any(box.content for box in boxes)
        return _restated(text[behind.end() :] if behind else "", problem) if boxed else NOTHING
    last = claims[-1]
    if cut_short and last.start == boxes[0].start:
        return UNCLEAR_CLAIM
    repeats = text[cut_off:].replace(" ", "").startswith("\\boxed{" + last.text.replace(" ", ""))
    if last.start <= cut_off < last.end or (cut_off > last.end and not repeats):
        return UNCLEAR_CLAIM
    return _settled(text, claims, problem)


def _all_claims(text: str, boxes: list[Box], problem: str) -> list[Claim]:
    """Return all claims in order. What is said around a box, as in "the answer is" and a box, is the box's claim."""
    claims = marked_claims(text, max(0, boxes[-1].start - NEAR_CHARS) if boxes else 0, frozenset(box.start for box in boxes))
    disowned = [box for box in boxes if is_disowned(text, box.start, box.end)]
    claims = [one for one in claims if not any(one.start <= box.start < one.end for box in disowned)]
    boxes = [box for box in boxes if box not in disowned]
    starts = [box.start for box in boxes]
    alone: list[Claim] = []
    for claim in claims:
        before = bisect_left(starts, claim.start)
        inside = before > 0 and claim.start < boxes[before - 1].end
        if not inside and before == bisect_left(starts, claim.end):
            alone.append(claim)
    return [
        claim
        for claim in sorted(runs_of_boxes(text, boxes) + alone, key=lambda claim: claim.start)
        if claim.source == "phrase" or not is_sample(text, claim.start, value_end(text, claim), problem)
    ]


def _settled(text: str, claims: list[Claim], problem: str) -> FoundAnswer:
    last, former = claims[-1], claims[-2] if len(claims) > 1 else None
    end = value_end(text, last)
    at = max(taken_back(text, last.end), superseded(text, last.start, end, problem))
    if at >= 0:
        return _restated(text[at:], problem)
    in_box = last.source in _BOXED
    if is_struck(last.text) or (in_box and is_changed(text, last.start, last.end, problem)):
        return UNCLEAR_CLAIM
    between = text[former.end : last.start] if former else ""
    near = len(between) <= _NEAR_CHARS
    alternatives = _NOT_BOTH.match(text, last.end) is not None
    doubted = alternatives or is_hedged(text, end) or (between != "" and near and is_hedged(between, 0))
    if doubted or is_guess(text, last.start, end, problem) or has_another_behind(text, last.end, last.text):
        return NOTHING._replace(doubt="hedged")
    also = also_said(text, last.text, last.end) if in_box else []
    boxed = next((claim for claim in reversed(claims[:-1]) if claim.source in _BOXED), None)
    if not in_box and boxed is not None:
        if not re.fullmatch(r"[A-J]", last.bare) and taken_back(text[: last.start], boxed.end) < 0:
            also.append(boxed.text)
    elif former and in_box and former.source == "box" and superseded(text, former.start, former.end, problem) < 0:
        if _RESTATED.fullmatch(between) or (near and _IN_CASES.search(between.lower())):
            also.append(former.text)
    elif former and _side_by_side(text, former, last):
        also.append(former.bare)
    check = _RECHECKED.search(text, last.end)
    again = last_sentence(text[check.end() :], problem) if check else None
    also += [again.bare or again.text] if again is not None and again.text else []
    also += [value] if (value := concluded_behind(text, last.end, last.bare)) else []
    also = [one for one in also if one not in (last.text, last.bare)]
    bare = last.bare if last.bare != last.text else ""
    return FoundAnswer(last.text, last.source, bare, tuple(also), rough=is_rough(text, last.start, end))


def _restated(text: str, problem: str) -> FoundAnswer:
    """Return the new claim after one that was taken back."""
    again = last_sentence(text, problem)
    return again if again is not None and again.text else NOTHING._replace(doubt="retracted")


def _side_by_side(text: str, one: Claim, other: Claim) -> bool:
    """Return whether a second "the answer is" follows a first at once, without a word of correction."""
    between = text[one.end : other.start]
    close = one.source == other.source == "phrase" and len(between.split()) <= 3 and not re.search(r"[A-Za-z]{4}", between)
    return close and taken_back(text[: other.start], one.end) < 0


def runs_of_boxes(text: str, boxes: list[Box]) -> list[Claim]:
    """Return boxes that are parts of one answer joined, each different content once; the others one by one."""
    runs: list[list[Box]] = []
    for box in boxes:
        if runs and _belong_together(text, runs[-1][-1], box):
            runs[-1].append(box)
        else:
            runs.append([box])
    claims = []
    for run in runs:
        contents = list(dict.fromkeys(box.content for box in run if box.content))
        joined = ", ".join(contents) if len(contents) != 1 else _with_tuple_label(text, run[0])
        if len(contents) > 1:
            joined = _with_labels(text, run) or joined
        claims.append(Claim(joined, joined, run[0].start, run[-1].end, "boxes" if len(contents) > 1 else "box"))
    return [claim for claim in claims if claim.text]


def _with_tuple_label(text: str, box: Box) -> str:
    """Return what a box has, with the letters in brackets before it, ``(y, x) =``, which say in which order it has them."""
    label = _TUPLE_LABEL.search(text, max(0, box.start - _MAX_LABEL), box.start) if box.content.startswith(_BRACKETS) else None
    return f"{label[1]} = {box.content}" if label else box.content


def _with_labels(text: str, run: list[Box]) -> str:
    """Return boxes joined with the letters before them, ``y = ``, or marks of parts in another order than they are counted."""
    run = [box for box in run if box.content]
    letters = [_LETTER_LABEL.search(text, max(0, box.start - _MAX_LABEL), box.start) for box in run]
    names = [match[1] for match in letters if match]
    if len(set(names)) == len(run) and not any("=" in box.content for box in run):
        alternatives = any(re.search(r"\bor\b", text[one.end : other.start]) for one, other in pairwise(run))
        between = r" \text{ or } " if alternatives else ", "
        return between.join(f"{name} = {box.content}" for name, box in zip(names, run, strict=True))
    ends = [max(0, run[0].start - _NEAR_CHARS), *(box.end for box in run)]
    found = [list(_PART.finditer(text, end, box.start)) for end, box in zip(ends, run, strict=False)]
    marks = [re.sub(r"part|\W", "", one[-1].group().lower()) for one in found if one]
    if len(set(marks)) == len(run) and marks != sorted(marks):
        return ", ".join(f"({mark}) {box.content}" for mark, box in zip(marks, run, strict=True))
    return ""


def _belong_together(text: str, one: Box, other: Box) -> bool:
    between = _CLOSING.sub("", text[one.end : min(other.start, one.end + 2000)])
    if len(between) <= 40 and _BETWEEN_BOXES.fullmatch(between):
        return True
    before = text[max(0, one.start - _NEAR_CHARS) : one.start]
    if _PART.search(between) and _PART.search(before):
        return True
    joined = len(between) <= _NEAR_CHARS and not _SENTENCE_BREAK.search(between) and re.search(r"\band\b|\bwhile\b", between)
    return bool(joined) and _PART.search(before + between) is not None


def _before_turn(text: str, claim: Claim, problem: str) -> FoundAnswer | None:
    """Return what a base model states before it goes on with a question of its own, which the first claim answers."""
    match = _NEXT_TURN.search(text, 0, claim.start)
    found = _unmarked(text[: match.start()], problem, -1) if match and match.start() > _MIN_CHARS else NOTHING
    return found if found.text and found.source == "sentence" else None


def _unmarked(text: str, problem: str, cut_off: int) -> FoundAnswer:
    stripped = text.strip()
    if len(stripped) > MAX_BARE_CHARS:
        return NOTHING if cut_off >= 0 else last_sentence(stripped, problem) or NOTHING
    whole = FoundAnswer(stripped, "whole" if stripped else "none", rough=is_rough(stripped, 0, len(stripped)))
    if cut_off >= 0 or not stripped:
        return whole
    if _LINES.fullmatch(stripped):
        return whole._replace(text=", ".join(line.strip() for line in stripped.splitlines()))
    worked_out = _CHAIN.search(stripped) or _LAST_LINE.search(stripped) or _CONCLUDED.search(stripped)
    if count_words(stripped) < 3 and not worked_out and not _SPOKEN.match(stripped.lower()):
        return whole
    found = last_sentence(stripped, problem)
    return found if found is not None and found.text else whole


def last_sentence(text: str, problem: str) -> FoundAnswer | None:
    """Return what the last sentence states, or one shortly before it that no later one puts in doubt."""
    text = _PRODUCT.sub("×", text)
    unclear = False
    for sentence in islice(_sentences_from_end(text[-_END_CHARS:].rstrip()), _MAX_SENTENCES):
        if _FILLER.match(sentence.lower()):
            continue
        if denies_answer(sentence):
            break
        stated = stated_in(sentence, problem)
        if stated == CUT:
            return UNCLEAR_CLAIM
        if stated is not None and stated != UNCLEAR:
            if taken_back(sentence, stated.end) >= 0:
                return NOTHING._replace(doubt="retracted")
            said, bare = stated.text.strip(), stated.bare.strip()
            rough = is_rough(sentence, stated.start, stated.end)
            return FoundAnswer(said, "sentence", bare if bare != said else "", rough=rough)
        unclear = unclear or stated == UNCLEAR
        adverse = _ADVERSE.search(sentence.lower()) or taken_back(sentence, 0) >= 0 or is_hedged(sentence, 0)
        if adverse or sentence.rstrip().endswith(("?", "？")) or len(sentence) > _MAX_SENTENCE_CHARS:
            break
    return UNCLEAR_CLAIM if unclear else None


def _sentences_from_end(text: str) -> Iterator[str]:
    bounds = [0, *(match.end() for match in _SENTENCE.finditer(masked(text))), len(text)]
    for begin, stop in reversed(list(pairwise(bounds))):
        if re.search(r"\w", sentence := text[begin:stop].strip()):
            yield sentence


def _answering(text: str) -> str:
    """Return what is meant for the reader: after the last thought, and before one that is still open."""
    if "<" not in text and "◁" not in text and "k]" not in text.lower():
        return text
    text = text[max((match.end() for match in _THOUGHT_END.finditer(text)), default=0) :]
    for over in (_THOUGHT.search(text), _END_TOKEN.search(text)):
        if over and (text[: over.start()].strip() or over.re is _THOUGHT):
            text = text[: over.start()]
    return text
