r"""Cleaning: one spelling for what is written in many ways. Text to text, no mathematics.

What comes out uses only: digits, letters, ASCII signs, LaTeX commands that say something, and ``\text{...}`` for words.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hero_rl.verifiers.math.notation import WORDS, function_name
from hero_rl.verifiers.math.signs import CIRCLED, latex_signs, plain_signs

_CONTROL = {"\x0c": r"\f", "\x08": r"\b", "\x0b": r"\v", "\x07": r"\a"}
_BROKEN_TAB = re.compile(r"\t(?=(?:ext|imes|heta|an|au|frac|riangle)(?:[^A-Za-z]|bf|it|rm|$))")
_BROKEN_RETURN = re.compile(r"\r(?=(?:ight|ho|angle)[^A-Za-z])")
_BROKEN_FRAC = re.compile(r"(?<![A-Za-z\\])rac(?=\s*\{)")

_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n")
_PERCENT = re.compile(r"(?<!\\)%")
_STRAY = re.compile(r"(?<!\\)\\(?=\d)")
_INVISIBLE = re.compile(r"\\(?:phantom|hphantom|vphantom|hspace|vspace|label|tag|color)\*?\s*\{[^{}]*\}")
_SIZED_DOT = re.compile(r"\\(?:left|right)\s*\.")
_SPACING = re.compile(r"(?<!\\)\\(?:[,;:!>~ ]|q?quad(?![A-Za-z])|enspace(?![A-Za-z])|thinspace(?![A-Za-z]))|~")
_LONE_BACKSLASH = re.compile(r"(?<!\\)\\$")
_THOUSANDS_BRACED = re.compile(r"(?<=\d)(?:\{,\}|\\,|,?\s*\\!|\{\s*\\,\s*\}|\\ )\s*(?=\d{3}(?!\d))")
_NEGATIVE_SPACE = re.compile(r"\\!")
_WRAPPERS = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|mathit|mathcal|mathsf|mathtt|mathnormal|underline|fbox|boxed|ensuremath|mathop|emph|cancel|vec|"
    r"overrightarrow|hat|uline|pmb|mathord)\s*\{([^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*)\}"
)
_COLORED = re.compile(r"\\textcolor\s*\{[^{}]*\}\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_TEXTS = re.compile(r"\\(?:text|textbf|textit|textrm|textsf|texttt|textnormal|mathrm|mbox|hbox|operatorname\*?)\s*\{([^{}]*)\}")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_SAME_COMMAND = {
    name: spelling
    for names, spelling in (
        ("dfrac tfrac cfrac", r"\frac"), ("dbinom tbinom", r"\binom"), ("leqslant leqq leq", r"\le"),
        ("geqslant geqq geq", r"\ge"), ("neq", r"\ne "), ("lt", "<"), ("gt", ">"), ("dots cdots dotsc dotsb vdots", r"\ldots "),
        ("varnothing O", r"\emptyset "), ("varepsilon", r"\epsilon"), ("varphi", r"\phi"), ("vartheta", r"\theta"),
        ("varrho", r"\rho"), ("varsigma", r"\sigma"), ("degree", r"^\circ "), ("lvert rvert vert mid", "|"), ("lbrace", r"\{"),
        ("rbrace", r"\}"), ("lbrack", "["), ("rbrack", "]"), ("backslash smallsetminus", r"\setminus "),
        ("land wedge", r"\text{ and }"), ("lor vee", r"\text{ or }"), ("isin", r"\in "), ("to rightarrow mapsto", r"\to "),
        ("doteq", r"\approx "), ("colon", ":"),
        ("left right middle displaystyle textstyle limits nolimits bigg Bigg big Big bigl bigr Bigl Bigr biggl biggr bf rm it "
         "sf tt boldmath large Large normalsize small centering hfill nonumber mathstrut strut", " "),
    )
    for name in names.split()
}  # fmt: skip
"""Commands that say the same as another one, or nothing but how large something is written."""
_ALIASES = (
    ("=", re.compile(r"\\not\s*=(?![A-Za-z])"), r"\\ne "),
    ("=", re.compile(r"<=|=<"), r"\\le "),
    ("=", re.compile(r">="), r"\\ge "),
    ("=", re.compile(r"(?<!\d)!="), r"\\ne "),
    ("...", re.compile(r"\.\.\.+"), r"\\ldots "),
    ("^", re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z])|\{\s*o\s*\}|(?<=\d\^)o(?![A-Za-z]))"), r"^\\circ "),
    (r"\prime", re.compile(r"\^\s*\{\s*\\prime\s*\}|\^\s*\\prime(?![A-Za-z])"), "'"),
    ("bb", re.compile(r"\\(?:mathbb|Bbb)\s*([A-Z])(?![A-Za-z])"), r"\\mathbb{\1}"),
    ("->", re.compile(r"->"), r"\\to "),
    ("{", re.compile(r"(?<=\d)\s*\\(?:mathrm|text)\s*\{\s*[eE]\s*\}\s*(?=[+-]?\d)"), "e"),
    ("**", re.compile(r"\*\*"), "^"),
    (r"\&", re.compile(r"\\&"), r"\\text{ and }"),
    ("(mod", re.compile(r"\\text\s*\{\s*\(mod\s+(\w+)\)\s*\}|\(mod\s+(\w+)\)"), r"\\text{mod \1\2}"),
    ("mod", re.compile(r"\(?\s*\\(?:pmod|bmod|mod)\s*\{?\s*(\w+)\s*\}?\s*\)?"), r"\\text{mod \1}"),
)
"""A text that has to be there, a pattern, and its replacement."""
_PER_CENT = re.compile(r"(?<=[\d}])\s*(?:\\text\{\s*)?(?:percentage(?! *points?)|percent|per cent)\s*(?:\}|\b)")
_E_NOTATION = re.compile(r"(?<=\d)[eE]([+-]?\d{1,4})(?![\d.A-Za-z])")
_SCALE = re.compile(r"(?<=\d)\s*(\\text\{\s*)?(dozen|hundred|thousand|lakhs?|million|crores?|billion|bn|trillion)\b(\s*\})?")
_SCALES = {
    "dozen": "12", "hundred": "10^{2}", "thousand": "10^{3}", "million": "10^{6}", "billion": "10^{9}", "trillion": "10^{12}",
    "lakh": "10^{5}", "lakhs": "10^{5}", "crore": "10^{7}", "crores": "10^{7}", "bn": "10^{9}",
}  # fmt: skip
_UNIT_VECTOR = re.compile(
    r"\\(?:mathbf|vec|hat|boldsymbol|overrightarrow|bm)\s*\{?\s*(?:\\(?:hat|mathbf|vec)\s*\{?\s*)?(?:([ijk])|\\([ij])math)(?![A-Za-z])\s*(?:\}\s*){0,2}"
)
_MARKDOWN = re.compile(r"^\s*(\*\*|__|\*|`)(.+?)\1([.!]?)\s*$", re.DOTALL)
_CURRENCY_DOLLAR = re.compile(r"^\s*-?\s*\$\s*(?=[\d.])")
_COUNTED_DELIMITERS = re.compile(r"(?<!\\)\$\$?|(?<!\\)\\[()]|(?<!\\)\\[\[\]]")
_THOUSANDS = re.compile(r"(?<![\d.,(\[{])(\d{1,3})((?:,\d{3})+)(?![\d,])")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d,])")
_UPRIGHT_UNITS = re.compile(r"[mgsNJWVAKCLhFTHlS](?:\^-?\d)?(?:\s*(?:[/.*]|\\cdot)?\s*[mgsNJWVAKCLhFTHlS](?:\^-?\d)?){0,5}")
_OLD_ROMAN = re.compile(r"\{\\rm(?![A-Za-z])([^{}]*)\}|\\(?:mathrm|text)\s+([A-Za-z])(?![A-Za-z])")
_POWERS_OF_UNITS = re.compile(r"\\(?:mathrm|text|textrm|rm)\s*\{(?:[^{}]|\^\s*\{\s*-?\d\s*\})*\}")
_AFTER_NUMBER = re.compile(r"(?:[\d})]|\\pi|[A-Za-z]|\x00\{[^{}]*\}(?:\s*\^\s*\{?-?\d\}?)?\s*(?:/|\\cdot|[-*(.])?)\s*$")
_ALTOGETHER = re.compile(r"[\s,]*(?:\\text\{\s*,?\s*)?\b(?:altogether|in total|in all)\s*\}?$")
_SHORT_FUNCTION = re.compile(r"tg|sh|ch")
_ARGUMENT = re.compile(r"\s*[A-Za-z0-9({|\\]")
_NUMBER_THEN_WORDS = re.compile(r"([-+]?\d[\d.,/]*)\s+([A-Za-z].*)", re.DOTALL)
_MAX_ROUNDS = 6
_BRACE = re.compile(r"(?<!\\)[{}]")
_UNBALANCED = re.compile(r"^\}")
_SIMPLE_REST = re.compile(r"\s*(?:[\d.]+|[A-Za-z]|\\[A-Za-z]+)\s*")
_LEFT = re.compile(r"\\left\s*([(\[])")
_CUT_RIGHT = re.compile(r"\\right\s*(\$*\s*)$")
_CLOSING = {"(": ")", "[": "]"}
_BRACKETED_LABELS = re.compile(r"\(\d{1,2}\)(?:[\s,]*(?:\\text\{)?(?:\s*and\b)?\s*\}?[\s,]*\(\d{1,2}\))*")

_TIMES_TEN = re.compile(r"(?<=\d)\s+[xX]\s+(?=10\s*\^)|(?<=\d\.\d)\s?[xX]\s?(?=10\s*\^)")
_EXTREME = re.compile(r"\\(max|min|gcd|lcm)\s*(?:\\\{|\{\s*\\\{)([^{}\\]{1,60})(?:\\\}\s*\}|\\\})")
_INTEGRATION_CONSTANT = re.compile(r"(?<=[+])\s*(?:\\text\{\s*)?(?:const(?:ant)?|Konst(?:ante)?)(?![A-Za-z])\.?\s*\}?\s*$")
_CIS = re.compile(
    r"(?:\\text\{\s*cis\s*\}|\\cis(?![A-Za-z])|(?<![A-Za-z\\])cis(?![a-z]))\s*"
    r"(\([^()]{1,40}\)|\{[^{}]{1,40}\}|\\frac\s*\{[^{}]*\}\s*\{[^{}]*\}|-?[\d.]*(?:\\pi|\d|\\theta)(?:/\d+)?(?:\s*\^\\circ)?)"
)
_ROW = re.compile(r"\[\s*((?:\{?-?\d+(?:\.\d+)?\}?\s+){1,7}\{?-?\d+(?:\.\d+)?\}?)\s*\](?=\s*\^)")
_COMMAND_OR_NAME = re.compile(r"\\[A-Za-z]+|[A-Za-z]+")


def with_labels_alike(raw: tuple[str, str], cleaned: tuple[str, str]) -> tuple[str, str]:
    """Return two cleaned texts with labels in brackets, ``(1)(3)``, as those in circles, where one of them has circles."""
    if not any(CIRCLED.search(text) for text in raw):
        return cleaned
    one, other = (", ".join(re.findall(r"\d+", text)) if _BRACKETED_LABELS.fullmatch(text) else text for text in cleaned)
    return one, other


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    r"""Return the text in one spelling: see the module.

    >>> clean(r"$\dfrac{1}{2}\,\mathrm{cm}$.")
    '\\frac{1}{2} \\text{cm}'
    """
    text = latex_signs(plain_signs(repaired(text)))
    if "%" in text:
        text = _PERCENT.sub(r"\\%", _COMMENT.sub("", text))
    text = _undelimit(_STRAY.sub("", text))
    if "\\" in text or "{" in text:
        text = _without_layout(text)
    for needed, pattern, replacement in _ALIASES:
        if needed in text:
            text = pattern.sub(replacement, text)
    if "\\" in text or "~" in text:
        text = _UNIT_VECTOR.sub(lambda match: f"\\{match[1] or match[2]}vec ", text)
        text = _unwrap(_SPACING.sub(" ", _E_NOTATION.sub(r"\\times 10^{\1}", text)))
    else:
        text = _E_NOTATION.sub(r"\\times 10^{\1}", text)
    if "per" in text:
        text = _PER_CENT.sub(r"\\%", text)
    text = _THOUSANDS.sub(lambda match: match.group().replace(",", ""), _trim(text))
    text = _respelled(_SCALE.sub(_scale, _SPACED_THOUSANDS.sub(lambda match: match.group().replace(" ", ""), text)))
    return " ".join(text.split())


def _without_layout(text: str) -> str:
    """Return the text without commands that only say how it looks, and each other command by its usual name."""
    text = _THOUSANDS_BRACED.sub("", text)
    text = _SIZED_DOT.sub("", _NEGATIVE_SPACE.sub("", text))
    text = _POWERS_OF_UNITS.sub(lambda match: re.sub(r"\^\s*\{\s*(-?\d)\s*\}", r"^\1", match.group()), text)
    text = _OLD_ROMAN.sub(lambda match: f"\\mathrm{{{match[1] or match[2] or ''}}}", text).replace("{:}", ":")
    return _COMMAND.sub(lambda match: _SAME_COMMAND.get(match[1], match[0]), _INVISIBLE.sub("", text))


def repaired(text: str) -> str:
    r"""Undo what an unescaped backslash did on the way here: ``\f`` of ``\frac`` read as a form feed, and the like."""
    if not text.isprintable():
        for sign, spelling in _CONTROL.items():
            text = text.replace(sign, spelling)
        text = _BROKEN_RETURN.sub(r"\\r", _BROKEN_TAB.sub(r"\\t", text))
    if text.startswith("ext"):
        text = re.sub(r"^ext(?=(?:bf|it|rm)?\{)", r"\\text", text)
    return _BROKEN_FRAC.sub(r"\\frac", text)


def mended(text: str) -> str:
    r"""Return a reference with the one brace or bracket that it lacks at an end: ``\frac{1}{2``, ``\left(0,1\right``.

    >>> mended(r"\frac{1}{2"), mended(r"$\left(0,1\right$"), mended(r"\sqrt{2+1")
    ('\\frac{1}{2}', '$\\left(0,1\\right)$', '\\sqrt{2+1')
    """
    if cut := _CUT_RIGHT.search(text):
        opened = _LEFT.findall(text)
        if len(opened) == 1:
            text = f"{text[: cut.start()]}\\right{_CLOSING[opened[0]]}{cut[1]}"
    braces = [(match.start(), match.group()) for match in _BRACE.finditer(text)]
    missing = sum(1 if brace == "{" else -1 for _, brace in braces)
    if missing == 1:
        body = text.rstrip("$. ")
        if text.lstrip("$ ").startswith("{") and not _UNBALANCED.search("".join(brace for _, brace in braces[1:])):
            return text.replace("{", "", 1)
        if braces[-1][1] == "{" and _SIMPLE_REST.fullmatch(body[braces[-1][0] + 1 :]):
            return f"{body}}}{text[len(body) :]}"
    return text


def _undelimit(text: str) -> str:
    markdown = _MARKDOWN.match(text)
    if markdown:
        text = markdown.group(2) + markdown.group(3)
    if text.count("$") - text.count(r"\$") == 1:
        text = _CURRENCY_DOLLAR.sub(lambda match: match.group().replace("$", r"\$"), text)
    return _COUNTED_DELIMITERS.sub(" ", text)


def _unwrap(text: str) -> str:
    for _ in range(_MAX_ROUNDS):
        before = text
        text = _TEXTS.sub(_text_or_math, _COLORED.sub(r"\1", _WRAPPERS.sub(r"{\1}", text)))
        if text == before:
            break
    return (_upright(text) if "\x01" in text else text).replace("\x00", r"\text")


def _upright(text: str) -> str:
    r"""Return the text with each upright letter, ``\mathrm{K}``, as a unit where it stands after a number or a unit."""
    done, *rest = text.split("\x01")
    for part in rest:
        content, _, after = part[1:].partition("}")
        is_unit = _AFTER_NUMBER.search(done[-40:]) is not None and not re.match(r"\s*[_(]", after)
        done += f" \x00{{{content}}}{after}" if is_unit or len(re.findall("[A-Za-z]{2}", content)) else f"{content}{after}"
    return done


def _text_or_math(match: re.Match[str]) -> str:
    content = match.group(1).strip()
    # a word is an operator by its command, or a short one by the argument after it
    applied = _SHORT_FUNCTION.fullmatch(content) and _ARGUMENT.match(match.string, match.end())
    if content == "det" or function_name(content, operator="operatorname" in match.group() or bool(applied)):
        return f"\\{content} "
    if (len(content) > 1 or match.group().startswith(r"\mathrm")) and _UPRIGHT_UNITS.fullmatch(content):
        return f"\x01{{{content}}}"
    if content == "" or (len(content) == 1 and not match.group().startswith(r"\text")):
        return content or " "
    if not re.search(r"[A-Za-z]{2}|%", content) and re.search(r"[\d(]", content):
        return f" {content} "
    if _is_plain_formula(content):
        return f" {content} "
    counted = _NUMBER_THEN_WORDS.fullmatch(content)
    return f" {counted[1]} \x00{{{counted[2]}}}" if counted else f" \x00{{{content}}}"


def _scale(match: re.Match[str]) -> str:
    opened = match[1] if match[1] and not match[3] else ""
    closed = match[3] if match[3] and not match[1] else ""
    return f" \\times {_SCALES[match[2]]} {opened}{closed}"


def _trim(text: str) -> str:
    text = _LONE_BACKSLASH.sub("", text.strip())
    while text and (text[-1] in ".,;:" or text.endswith(r"\\")) and not text.endswith(r"\ldots"):
        text = text[:-2].rstrip() if text.endswith(r"\\") else text[:-1].rstrip()
    return _ALTOGETHER.sub("", text) or text


def _respelled(text: str) -> str:
    r"""Return a text that is cleaned otherwise with ``3.2 x 10^-5``, ``2 cis 60°``, ``+ const`` in the usual spelling."""
    text = _TIMES_TEN.sub(r"\\times ", text)
    if "[" in text:
        text = _ROW.sub(lambda match: f"[{','.join(match[1].split())}]", text)
    text = _EXTREME.sub(r"\\\1(\2)", text)
    if "onst" in text and not re.search(r"(?<![A-Za-z\\])C(?![A-Za-z])", text):
        text = _INTEGRATION_CONSTANT.sub("C", text)
    return _CIS.sub(_polar, text) if "cis" in text else text


def _polar(match: re.Match[str]) -> str:
    angle = match[1].strip().removeprefix("(").removesuffix(")") if match[1].startswith("(") else match[1]
    return rf"(\cos({angle})+i\sin({angle}))"


def _is_plain_formula(text: str) -> bool:
    """Return whether text is a formula with no word in it but names of functions and single letters: ``1/2 - sqrt(3)/4``."""
    if not re.search(r"[-+*/^=(]|\d\s*\\?[A-Za-z]", text):
        return False
    names = _COMMAND_OR_NAME.findall(text)
    known = all(name.startswith("\\") or len(name) == 1 or name in WORDS for name in names)
    return known and any(len(name) > 1 for name in names) and re.search(r"(?<![A-Za-z\\])[a-zA-Z] [a-zA-Z]\b", text) is None
