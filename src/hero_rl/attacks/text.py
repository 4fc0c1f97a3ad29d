r"""Wrong answers, references and problems as text: tidied, split at commas outside brackets, formulas between dollar signs."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_PROBLEM_CHARS = 20_000
"""Of a longer problem only this much is read."""
_SPACES = re.compile(r"\\[,;:! ]|~|\s+")
_SIZES = re.compile(r"\\(?:left|right|displaystyle|[bB]ig[gG]?[lr]?)(?![A-Za-z])")
_STYLES = {"\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cfrac": "\\frac", "−": "-", "\\$": "$", "\\leqslant": "\\leq",
           "\\geqslant": "\\geq", "\\cdots": "\\ldots", "\\dots": "\\ldots"}  # fmt: skip
_STYLE = re.compile(
    "|".join(re.escape(key) + ("(?![A-Za-z])" if key[0] == "\\" and key[-1].isalpha() else "") for key in _STYLES)
)
_MATH = re.compile(r"\$\$(.{1,600}?)\$\$|\$(.{1,600}?)\$|\\\[(.{1,600}?)\\\]|\\\((.{1,600}?)\\\)", re.DOTALL)
_WORDY = re.compile(r"\\(?:text|mathrm|operatorname|mbox|textbf|textit)\s*\*?\s*\{[^{}]*\}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa", "lambda",
    "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
    "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega", "ell", "hbar",
)  # fmt: skip
_GREEK = re.compile(r"\\(" + "|".join(GREEK) + r")(?![A-Za-z])")
_APPROXIMATE = re.compile(
    r"round|approx|estimat|significant|nearest|decimal|roughly|about how|order of magnitude|closest|accura|precision",
    re.IGNORECASE,
)


def tidy(text: str) -> str:
    r"""Return the answer without dollar signs, sizes of brackets and a full stop at its end; one space for each gap.

    >>> tidy(r"$\left( 3, \dfrac{\pi}{2} \right)$.")
    '( 3, \\frac{\\pi}{2} )'
    """
    text = text.strip()
    for left, right in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(left) and text.endswith(right):
            text = text[2:-2]
    text = _SIZES.sub("", _STYLE.sub(lambda match: _STYLES[match[0]], text))
    money = re.fullmatch(r"\$\s*([\d,.]+)", text.strip())
    text = text if money else text.replace("$", "")
    return _SPACES.sub(" ", text).strip().removesuffix(".").strip()


def squeezed(text: str) -> str:
    r"""Return what is left when layout, braces and the names of fonts go: for finding out that two texts say the same.

    >>> squeezed(r"$\text{east}$ ") == squeezed("East.")
    True
    """
    text = re.sub(r"\\(?:text|mathrm|mathbf|operatorname|mbox|textbf|textit|boxed)(?![A-Za-z])", "", tidy(text))
    return re.sub(r"[\s{}$*·]|\\cdot|\\times", "", text).casefold()


def in_order(text: str) -> bool:
    """Return whether every bracket of the text is closed, in the right order; half-open intervals count as closed."""
    depth = 0
    for token in re.findall(r"\\[{}]|[()\[\]{}]", text):
        depth += 1 if token in ("\\{", "(", "[", "{") else -1
        if depth < 0:
            return False
    return depth == 0


def split_top(text: str, mark: str = ",") -> list[str]:
    r"""Split at a mark outside all brackets.

    >>> split_top("(1,2), (3,4)")
    ['(1,2)', '(3,4)']
    """
    parts, depth, start, place = [], 0, 0, 0
    while place < len(text):
        char = text[place]
        if char == "\\" and text[place : place + 2] in ("\\{", "\\}"):
            depth += 1 if text[place + 1] == "{" else -1
            place += 2
            continue
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and text.startswith(mark, place):
            parts.append(text[start:place].strip())
            place += len(mark)
            start = place
            continue
        place += 1
    return [*parts, text[start:].strip()]


def math_spans(problem: str) -> list[str]:
    """Return the formulas between dollar signs or LaTeX's brackets, in order, each once."""
    found = (next(group for group in match.groups() if group is not None) for match in _MATH.finditer(problem))
    return list(dict.fromkeys(tidy(span) for span in found if span.strip()))


def letters_of(text: str) -> frozenset[str]:
    r"""Return the letters that a piece of mathematics uses, Greek ones by name.

    >>> sorted(letters_of(r"2 R \sin\theta + a_1"))
    ['R', 'a', 'theta']
    """
    greek = frozenset(_GREEK.findall(text))
    rest = _COMMAND.sub(" ", _GREEK.sub(" ", _WORDY.sub(" ", text)))
    return greek | frozenset(re.findall(r"[A-Za-z]", rest))


class Context(NamedTuple):
    """The facts about a problem that decide which perturbations are surely wrong."""

    problem: str
    letters: frozenset[str]
    """Letters in its formulas, or single ones in its text."""
    approximate: bool
    """It asks for, or speaks of, rounded values."""
    hints: str = ""
    """Other facts about the answer, such as its unit."""

    def mentions(self, *words: str) -> bool:
        """Return whether a word of the problem starts with one of these, in any case."""
        text = f"{self.problem} {self.hints}"
        return any(re.search(rf"(?<![A-Za-z]){re.escape(word)}", text, re.IGNORECASE) for word in words)


def context_of(problem: str, hints: str = "") -> Context:
    """Read a problem once for all of its perturbations."""
    problem = problem[:MAX_PROBLEM_CHARS]
    letters = frozenset[str]().union(*(letters_of(span) for span in math_spans(problem)))
    letters |= frozenset(re.findall(r"(?<![A-Za-z'])[A-Za-z](?![A-Za-z'])", problem))
    return Context(problem, letters, _APPROXIMATE.search(problem) is not None, hints)


class Wrong(NamedTuple):
    """A claim that is wrong for a reference."""

    kind: str
    """Its family, such as ``sign`` or ``copied number``: what rates are given by."""
    name: str
    """One in the family, such as ``doubled``."""
    answer: str
    """The claim, as it would stand in a box; of an attack that is a whole response, the response."""
    template: str = "The answer is \\boxed{{{answer}}}."
    """The response around it."""

    @property
    def response(self) -> str:
        """The response that makes the claim."""
        return self.template.format(answer=self.answer)


BARE = "{answer}"
"""The template of an attack that is a whole response."""
