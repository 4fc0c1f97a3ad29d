r"""A problem's text: the form that is written out, the key it is known by, and the tokens that texts are compared on.

What is written out differs from the source in white space and in Unicode's choice between equivalent encodings, and in nothing
that could change the meaning: no NFKC (which makes x2 of x²), no rewriting of LaTeX, no change of case. Comparing is another
matter: tokens are blind to layout, and only decide which problems are left out.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

_INVISIBLE = re.compile("[\u200b\ufeff]")
_BLANKS = re.compile(r"[^\S\n]+")
_AROUND_BREAK = re.compile(r" ?\n ?")
_MANY_BREAKS = re.compile(r"\n{3,}")

_LAYOUT = re.compile(
    r"\\(?:left|right|displaystyle|limits|q?quad|hspace\{[^{}]*\}|[bB]ig[gG]?[lr]?|text|textbf|textit|mathrm|mathbf|mathit|mbox|"
    r"begin\{[a-z*]+\}|end\{[a-z*]+\})(?![A-Za-z])|\\[,;:! ()\[\]]"
)
_THOUSANDS = re.compile(r"(?<=\d)(?:\\[,!]|\{,\}|,)(?=\d{3}(?!\d))")
_SHORT_FRACTION = re.compile(r"(?<=frac)\s*(\d)\s*(\d)")
_UNSPACED = "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
"""Scripts without spaces: a sign is a word."""
_TOKEN = re.compile(rf"{_UNSPACED}|\d+(?:\.\d+)?|(?:(?!{_UNSPACED})[^\W\d_])+|[-+*/=<>^_()\[\]|%!∘]")
_SAME = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "leq": "le", "leqslant": "le", "≤": "le", "geq": "ge", "geqslant": "ge",
    "≥": "ge", "neq": "ne", "≠": "ne", "π": "pi", "×": "times", "·": "cdot", "∞": "infty", "∘": "circ", "−": "-", "–": "-",
}  # fmt: skip
_SIGNS = re.compile("[" + "".join(sign for sign in _SAME if len(sign) == 1 and not sign.isascii()) + "°]")


def tidy_text(text: str) -> str:
    r"""Return the text in Unicode NFC, with single spaces, no spaces at line ends and no more than one empty line.

    >>> tidy_text("  Find\u00a0 $x$. \r\n\r\n\r\n\r\nThen  stop. ")
    'Find $x$.\n\nThen stop.'
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _BLANKS.sub(" ", _INVISIBLE.sub("", text))
    return _MANY_BREAKS.sub("\n\n", _AROUND_BREAK.sub("\n", text)).strip()


def problem_digest(problem: str) -> bytes:
    """Return 16 bytes that the tidied text is known by."""
    return hashlib.sha256(problem.encode("utf-8", "surrogatepass")).digest()[:16]


def draw(seed: int, *parts: str | bytes) -> int:
    """Return a number in [0, 2**64) that looks random and depends on the arguments alone, for random choices.

    Whatever has the smallest numbers is the sample. It is the same for every order of the input, and a smaller sample is a
    part of a larger one.
    """
    content = hashlib.blake2b(str(seed).encode(), digest_size=8)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        content.update(len(raw).to_bytes(8, "big") + raw)
    return int.from_bytes(content.digest(), "big")


def tokens(text: str) -> list[str]:
    r"""Return words, numbers and signs of a text, blind to case, white space, punctuation, dollar signs and LaTeX layout.

    >>> tokens(r"Find  $\dfrac{1}{2} + X$.") == tokens(r"find \(\frac12+x\)")
    True
    >>> tokens(r"$x \leq 1{,}000$")
    ['x', 'le', '1000']
    """
    text = _SHORT_FRACTION.sub(r" \1 \2", _THOUSANDS.sub("", _LAYOUT.sub(" ", text)))
    text = _SIGNS.sub(lambda match: f" {_SAME.get(match[0], 'circ')} ", text)
    text = unicodedata.normalize("NFKC", text).casefold()
    found: list[str] = _TOKEN.findall(text)
    return [_SAME.get(token, token) for token in found]
