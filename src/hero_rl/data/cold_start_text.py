r"""Two tests of a response's text: is it English, and did it come to an end? Simple rules, no models.

There is no language identification library here: those are made for prose, name a language for "$x=2$", too, and a model that
mixes languages shows it in its letters and its little words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from hero_rl.verifiers.boxes import find_boxes

P_ACCENTED = 0.02
"""Share of letters that may be Latin ones beyond ASCII, as in Poincaré."""
ACCENTED = 5
"""So many may be in any text."""
MIN_WORDS = 20
"""Texts with fewer words outside of mathematics are judged by letters and foreign words alone."""
P_ENGLISH = 0.05
"""Share of words that are little English words; in English prose it is a third, among formulas less."""
MAX_AFTER_ANSWER_CHARS = 300
"""A response that goes on for longer after its last box did not stop at its answer."""
MAX_REPEATS = 4
"""How often a line of ``LINE_CHARS`` or more may occur: a fifth time is a loop."""
LINE_CHARS = 20

_MATHS = re.compile(  # bounded: the time must not grow with the square of a text's length
    r"\$\$[^$]*\$\$|\$[^$]*\$|\\\[.{0,2000}?\\\]|\\\(.{0,2000}?\\\)|\\begin\{(\w{1,20}\*?)\}.{0,2000}?\\end\{\1\}|```.{0,20000}?```|"
    r"\\boxed\{[^{}]*\}|\\[A-Za-z]+",
    re.DOTALL,
)
_WORD = re.compile(r"[^\W\d_]+")
_ENGLISH = frozenset(
    _WORD.findall(
        "the of and to is in that we for are this be with so since then if it have has can which by let from now therefore "
        "thus find given when there not each use first next value where because hence"
    )
)
_FOREIGN = frozenset(
    _WORD.findall(  # French, Spanish, Portuguese, German, Italian, Dutch, Polish, Turkish, Indonesian
        "le les des une est donc nous avec pour qui que el los las del por con una es entonces como para uma não dos então "
        "der das und ist wir mit ein eine nicht sich auf il della che sono quindi di het een niet voor wij jest się oraz bir "
        "ve için yang dan untuk adalah dengan"
    )
)
_NEXT_TURN = re.compile(
    r"(?<!\A)^[ \t]*(?:#+ *)?\**(?:(?:user|human|assistant|instruction)|(?:new |next )?(?:question|problem) *\d*) *\**:|"
    r"<\|(?:im_start|start_header_id|user|assistant|endoftext)\|>|\[INST\]",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(r"""(?:[.!?)\]}$"'`*>|]|\\\)|\\\]|。)\s*\Z""")


def is_english(text: str) -> bool:
    """Return True if a text is in English, formulas aside.

    No letter of another script than Latin and Greek, anywhere; few Latin letters beyond ASCII (``ACCENTED``, ``P_ACCENTED``);
    not more little words of other languages than English ones; and among ``MIN_WORDS`` or more words at least ``P_ENGLISH``
    little English ones.

    >>> is_english("Since $x=2$, the sum is 4."), is_english("Donc la somme est 4 et nous avons le reste.")
    (True, False)
    """
    letters = [sign for sign in text if sign.isalpha() and not sign.isascii()]
    scripts = {_script(sign) for sign in letters}
    if scripts - {"LATIN", "GREEK", "MATHS"}:
        return False
    prose = _MATHS.sub(" ", text)
    words = [word.casefold() for word in _WORD.findall(prose)]
    accented = sum(_script(sign) == "LATIN" for sign in prose if not sign.isascii() and sign.isalpha())
    if accented > max(ACCENTED, P_ACCENTED * sum(map(len, words))):
        return False
    english, foreign = (sum(word in known for word in words) for known in (_ENGLISH, _FOREIGN))
    return foreign <= english and (len(words) < MIN_WORDS or english >= P_ENGLISH * len(words))


def is_finished(text: str, finished: bool | None) -> bool:
    r"""Return True if a response came to an end of its own, and stopped there.

    What the row says (``finished``) counts before all else: a response that was cut off is out. In addition, no response may
    go on with a turn of somebody else, go on for more than ``MAX_AFTER_ANSWER_CHARS`` after its last box, or say one line over
    and over. Where the row does not say, the text must also look whole: no open box, thought or code block, and the end of a
    sentence or formula at its end.

    >>> is_finished(r"So it is \boxed{4}.", None), is_finished("So it is 4. Then we", None), is_finished("It is 4.", False)
    (True, False, False)
    """
    if finished is False or _NEXT_TURN.search(text) or _loops(text):
        return False
    boxes, open_box = find_boxes(text)
    end = boxes[-1].end if boxes else 0
    if boxes and len(text[end:].strip()) > MAX_AFTER_ANSWER_CHARS:
        return False
    if finished:
        return True
    whole = text.count("<think>") <= text.count("</think>") and text.count("```") % 2 == 0 and open_box < end
    return whole and _END.search(text) is not None


def _loops(text: str) -> bool:
    seen: dict[str, int] = {}
    for line in text.splitlines():
        line = line.strip()
        if len(line) >= LINE_CHARS:
            seen[line] = seen.get(line, 0) + 1
            if seen[line] > MAX_REPEATS:
                return True
    return False


@lru_cache(maxsize=4096)
def _script(sign: str) -> str:
    """Return the first word of a letter's name in Unicode (LATIN, GREEK, CJK, CYRILLIC); MATHS for letters that are signs."""
    if "\u2100" <= sign <= "\u214f" or "\U0001d400" <= sign <= "\U0001d7ff":  # letterlike symbols; mathematical alphabets
        return "MATHS"
    word = unicodedata.name(sign, "MATHS").partition(" ")[0].partition("-")[0]
    return {"MICRO": "GREEK", "FEMININE": "LATIN", "MASCULINE": "LATIN", "SUPERSCRIPT": "MATHS", "MODIFIER": "MATHS"}.get(
        word, word
    )
