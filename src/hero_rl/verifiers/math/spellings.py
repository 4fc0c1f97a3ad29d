r"""Plain-text and other spellings of one thing: ``3.2 x 10^-5``, ``2 cis 60°``, ``+ const``."""

from __future__ import annotations

import re

from hero_rl.verifiers.math.notation import WORDS

_TIMES_TEN = re.compile(r"(?<=\d)\s+[xX]\s+(?=10\s*\^)|(?<=\d\.\d)\s?[xX]\s?(?=10\s*\^)")
_CHOSEN = re.compile(r"\\(max|min|gcd|lcm)\s*(?:\\\{|\{\s*\\\{)([^{}\\]{1,60})(?:\\\}\s*\}|\\\})")
_CONSTANT = re.compile(r"(?<=[+])\s*(?:\\text\{\s*)?(?:const(?:ant)?|Konst(?:ante)?)(?![A-Za-z])\.?\s*\}?\s*$")
_CIS = re.compile(
    r"(?:\\text\{\s*cis\s*\}|\\cis(?![A-Za-z])|(?<![A-Za-z\\])cis(?![a-z]))\s*"
    r"(\([^()]{1,40}\)|\{[^{}]{1,40}\}|\\frac\s*\{[^{}]*\}\s*\{[^{}]*\}|-?[\d.]*(?:\\pi|\d|\\theta)(?:/\d+)?(?:\s*\^\\circ)?)"
)
_ROW = re.compile(r"\[\s*((?:\{?-?\d+(?:\.\d+)?\}?\s+){1,7}\{?-?\d+(?:\.\d+)?\}?)\s*\](?=\s*\^)")
_COMMAND_OR_NAME = re.compile(r"\\[A-Za-z]+|[A-Za-z]+")


def respelled(text: str) -> str:
    r"""Return a text that is cleaned otherwise with the usual spelling for each of these.

    >>> respelled("3.2 x 10^-5"), respelled("x^2+const")
    ('3.2\\times 10^-5', 'x^2+C')
    """
    text = _TIMES_TEN.sub(r"\\times ", text)
    if "[" in text:
        text = _ROW.sub(lambda match: f"[{','.join(match[1].split())}]", text)
    text = _CHOSEN.sub(r"\\\1(\2)", text)
    if "onst" in text and not re.search(r"(?<![A-Za-z\\])C(?![A-Za-z])", text):
        text = _CONSTANT.sub("C", text)
    return _CIS.sub(_polar, text) if "cis" in text else text


def _polar(match: re.Match[str]) -> str:
    angle = match[1].strip().removeprefix("(").removesuffix(")") if match[1].startswith("(") else match[1]
    return rf"(\cos({angle})+i\sin({angle}))"


def is_plain_formula(text: str) -> bool:
    """Return whether text is a formula with no word in it but names of functions and single letters: ``1/2 - sqrt(3)/4``.

    >>> is_plain_formula("1/2 - sqrt(3)/4"), is_plain_formula("2 apples"), is_plain_formula("n is even")
    (True, False, False)
    """
    if not re.search(r"[-+*/^=(]|\d\s*\\?[A-Za-z]", text):
        return False
    names = _COMMAND_OR_NAME.findall(text)
    known = all(name.startswith("\\") or len(name) == 1 or name in WORDS for name in names)
    return known and any(len(name) > 1 for name in names) and re.search(r"(?<![A-Za-z\\])[a-zA-Z] [a-zA-Z]\b", text) is None
