r"""Signs beyond ASCII: one spelling for those that look or mean alike, in prose and formulas, and then commands for them.

A sign that is not known here makes a number beside it something else, nobody knows what: see ``is_foreign``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ALIKE = {
    sign: plain
    for signs, plain in (
        ("−‐‑‒﹣－➖˗", "-"), ("＋﹢➕", "+"), ("＝﹦", "="), ("∕⁄／", "/"), ("∗＊", "*"), ("∙⋅‧", "⋅"), ("✕✖⨯╳", "×"),
        ("∶", ":"), ("≦⩽", "≤"), ("≧⩾", "≥"), ("≒", "≈"), ("˚º", "°"), ("⌀⦰", "∅"), ("∣❘", "|"), ("٫", "."), ("٬", ","),
        ("′ʹ", "'"), ("″", "''"),
        ("➗", "÷"), ("％﹪", r"\%"), ("∆", "Δ"), ("\u2126", "Ω"), ("µ", "μ"), ("‾", "¯"), ("；﹔", ";"), ("〜～", "~"),
        ("ℓ", "l"),
        ("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
        ("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufe0e\ufe0f\ufeff", ""),
    )
    for sign in signs
}  # fmt: skip
_KEPT = frozenset("，：！？")
"""Wide signs that are those of prose; a colon between digits is none."""
_ODD = re.compile(r"[^\x00-\x7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_OPERAND = r"(?!\$?\\boxed)(?=[\d.$\\(√π∞]|[A-Za-zα-ω](?![^\W\d_]))"
_NO_PROSE = r"(?![aIA-J]\b)(?!\$?[\w.,]+\$?\s+[^\W\d_]{2})"
_DASHES = (
    # a minus sign, as it is typeset; a dash in prose has words at its side, or behind what stands at its side
    (re.compile(rf"(?<![^\W\d_]{{2}})–{_OPERAND}"), "-"),
    (
        re.compile(
            rf"(?:(?:(?<!\([A-J]\))(?<=[\d)}}$²³])|(?<=[\s(=][k-z]))\s?|(?<=[=<>≤≥] )|(?<= is ))–\s{_NO_PROSE}{_OPERAND}"
        ),
        "-",
    ),
    (re.compile(rf"(?<![^\W\d_])—(?![$A-Za-zα-ω]){_OPERAND}"), "-"),
    (re.compile(r"(?<!=)(?<!= )—(?=\$?\\boxed)"), "— "),
    (re.compile(r"(?<=\d)：(?=\d)"), ":"),
    (re.compile(r"(?<=\d)\s?∘(?!\s?[A-Za-z(])|(?<=\d)∘(?=[CF]\b)"), "°"),
    (re.compile(r"(?<=[\d)}\w])[^\S\n]?[•‧・]\s?(?!\\boxed)(?=[\d(\\]|[a-z]\b)"), "⋅"),
    (re.compile(r"(?<!\w)Ø(?!\w)"), "∅"),
)
_SCRIPTS = {
    chr(code): (kind, unicodedata.normalize("NFKC", chr(code)).replace("−", "-"))
    for code in (0xB2, 0xB3, 0xB9, *range(0x2B0, 0x2E5), *range(0x1D2C, 0x1D6B), *range(0x2070, 0x209D))
    for kind, mark in (("^", "<super> "), ("_", "<sub> "))
    if re.fullmatch(mark + "[0-9A-F]{4}", unicodedata.decomposition(chr(code)))
}
_SCRIPT_RUNS = [re.compile("[" + "".join(sign for sign, (kind, _) in _SCRIPTS.items() if kind == mark) + "]+") for mark in "^_"]
_ROOTS = {"√": "", "∛": "[3]", "∜": "[4]"}
_SIMPLE_ROOT = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z])")
_CIRCLED_RUN = re.compile(r"[\u2460-\u2473](?:[\s,，、和及与]*[\u2460-\u2473])+")
CIRCLED = re.compile(r"[\u2460-\u2473]")
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta", "ϑ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi",
    "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta", "Σ": "Sigma", "Ω": "Omega", "Γ": "Gamma", "Φ": "Phi",
    "Θ": "Theta", "Λ": "Lambda", "Ψ": "Psi", "Π": "Pi", "Ξ": "Xi",
}  # fmt: skip
_COMMANDS = {sign: f"\\{name} " for sign, name in _GREEK.items()} | {
    "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "⋅": r"\cdot ", "±": r"\pm ", "∓": r"\mp ", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ", "≅": r"\cong ", "∼": r"\sim ", "∝": r"\propto ", "∞": r"\infty ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∉": r"\notin ", "⊂": r"\subset ", "⊆": r"\subseteq ", "∖": r"\setminus ",
    "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "°": r"^\circ ", "∘": r"\circ ", "℃": r"^\circ \text{C}", "℉": r"^\circ \text{F}", "¢": r"\text{cents}",
    "’": "'", "‘": "'", "“": '"', "”": '"', "，": ",", "、": ",", "：": ":", "。": ".", "–": "-", "—": "-",
    "⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
    "…": r"\ldots ", "⋯": r"\ldots ", "∠": r"\angle ", "△": r"\triangle ", "∀": r"\forall ", "∃": r"\exists ",
    "∧": r"\land ", "∨": r"\lor ", "¬": r"\neg ", "→": r"\to ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ",
    "∂": r"\partial ", "⊥": r"\perp ", "∥": r"\parallel ", "√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "ℏ": r"\hbar ",
}  # fmt: skip
_HARMLESS = frozenset("→⟶⟵⇒⟹⇔⟺↔∠∀∃▷◻◼◾∴∵∎≡≈·⋅±×÷≤≥≠√∞∪∩∈∅°℃℉½⅓⅔¼¾")
"""Signs that end a formula, lead to one, or are read as parts of it."""
_ODD_PUNCTUATION = frozenset("‰‱⌊⌋⌈⌉⟨⟩")
_ODD_CATEGORIES = frozenset(("Sm", "Sk", "No", "Nl", "Lm", "Mn", "Mc", "Me", "Cf", "Co"))
"""Of Unicode: mathematics, numbers that are no digits, marks on other signs, and what cannot be seen."""


def plain_signs(text: str) -> str:
    """Return a text of prose or of mathematics with one spelling for signs that look or mean alike.

    >>> plain_signs("x = –5, 3⁄4 m², 5—a prime")
    'x = -5, 3/4 m^2, 5—a prime'
    """
    if text.isascii():
        return text
    text = _CIRCLED_RUN.sub(lambda run: ", ".join(CIRCLED.findall(run.group())), text)
    text = _ODD.sub(lambda match: _plain(match.group()), text)
    for pattern, plain in _DASHES:
        text = pattern.sub(plain, text)
    for pattern in _SCRIPT_RUNS:
        text = pattern.sub(_script, text)
    return text


def _script(run: re.Match[str]) -> str:
    """Return small raised or lowered signs as an exponent or an index; a minus before a number is one of the number."""
    kind = _SCRIPTS[run.group()[0]][0]
    content = "".join(_SCRIPTS[sign][1] for sign in run.group())
    following = run.string[run.end() : run.end() + 1]
    if content == "-":
        return content
    return kind + content if len(content) == 1 and not following.isalnum() else f"{kind}{{{content}}}"


@lru_cache(maxsize=2048)
def _plain(sign: str) -> str:
    """Return the usual sign for one that looks or means the same."""
    if (plain := _ALIKE.get(sign)) is not None:
        return plain
    if (digit := unicodedata.decimal(sign, None)) is not None:
        return str(digit)
    wide = unicodedata.normalize("NFKC", sign)
    font = unicodedata.decomposition(sign).startswith(("<font>", "<wide>", "<narrow>", "<small>"))
    return wide if font and len(wide) == 1 and sign not in _KEPT and sign not in _COMMANDS else sign


def latex_signs(text: str) -> str:
    """Return a formula of plain signs in ASCII, with commands, as far as its signs are known."""
    if text.isascii():
        return text
    text = _SIMPLE_ROOT.sub(lambda match: f"\\sqrt{_ROOTS[match[1]]}{{{match[2]}}}", text)
    return "".join(sign if sign.isascii() else _command(sign) for sign in text)


@lru_cache(maxsize=2048)
def _command(sign: str) -> str:
    if sign in _COMMANDS:
        return _COMMANDS[sign]
    value = None if unicodedata.category(sign) == "Lo" else unicodedata.numeric(sign, None)
    if value is None:
        wide = unicodedata.normalize("NFKC", sign)
        return wide if len(wide) == 1 and wide.isascii() else sign
    if value == int(value):
        return str(int(value))
    top, slash, bottom = unicodedata.normalize("NFKC", sign).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}" if slash else sign


def is_foreign(sign: str) -> bool:
    """Return whether a sign is mathematics, or part of a number, of which nothing here knows the meaning."""
    if not sign or sign.isascii() or sign in _HARMLESS:
        return False
    return sign in _ODD_PUNCTUATION or unicodedata.category(sign) in _ODD_CATEGORIES
