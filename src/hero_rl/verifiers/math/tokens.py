r"""Cleaned text to tokens - numbers, single letters, commands, signs, words - and a position among them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.notation import WORDS
from hero_rl.verifiers.math.signs import is_foreign
from hero_rl.verifiers.math.tree import Node

TokenKind: TypeAlias = Literal["number", "letter", "command", "sign", "word"]

MAX_TOKENS = 800
"""More tokens than this are not read: no answer to a problem is that long, and every later cost grows with it."""


MAX_DEPTH = 120
"""Of the descent: a pair of parentheses costs three."""


class Unreadable(ValueError):
    """The text is no mathematics that this grammar knows; the message is a reason code."""


class Token(NamedTuple):
    """One token and whether white space stood before it."""

    kind: TokenKind
    text: str
    spaced: bool


_TOKEN = re.compile(
    r"(?P<space>\s*)(?:(?P<number>\d+(?:\.\d+|\.(?=\\overline|\\dot))?|\.\d+)|(?P<word>\\text\{[^{}]*\})|(?P<command>\\[A-Za-z]+|\\[{}%$|#&_\\])"
    r"|(?P<letters>[A-Za-z]+)|(?P<sign>[-+*/^_=<>()\[\]{}|,;:!'.&\"]))"
)
_SAME = {"infinity": "infty", "oo": "infty", "inf": "infty"}
_SPLIT = re.compile("|".join(sorted(WORDS, key=len, reverse=True)))
_MAX_PRODUCT_LETTERS = 5
_PLAIN_WORDS = frozenset(("not", "the", "and", "are", "but", "for", "all", "any", "was", "non"))
_VOWEL_WORD = re.compile(r"[A-Z]?[a-z]*[aeiou][a-z]*")


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a cleaned text.

    A run of letters is a known name (``sqrt``), or a product of up to five single letters; anything longer is prose, and so
    are two such runs with nothing but a space between them.

    Raises:
        Unreadable: a sign that is no mathematics, prose, or too many tokens.
    """
    tokens: list[Token] = []
    position, text, run_before = 0, text.rstrip(), False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable("prose" if _says_something(text[position:].lstrip()[0]) else "sign_unknown")
        position = match.end()
        spaced = bool(match["space"])
        if match["letters"]:
            if spaced and run_before and len(match["letters"]) > 1 and match["letters"] not in WORDS:
                raise Unreadable("prose")
            run_before = len(match["letters"]) > 1 and match["letters"] not in WORDS
            tokens += _letters(match["letters"], spaced)
        else:
            run_before = False
            kind = match.lastgroup
            tokens.append(Token(kind, match[kind], spaced))  # type: ignore[arg-type]
        if len(tokens) > MAX_TOKENS:
            raise Unreadable("too_long")
    return tokens


def _says_something(sign: str) -> bool:
    """Return whether a sign that is no token is a letter or some mathematics all the same."""
    return is_foreign(sign) or (sign.isalpha() and not sign.isascii())


def _letters(run: str, spaced: bool) -> list[Token]:
    if len(run) == 1:
        return [Token("letter", run, spaced)]
    name = _SAME.get(run.lower(), run.lower())
    if name in WORDS:
        return [Token("command", f"\\{name}", spaced)]
    known = _SPLIT.search(run)
    if known and len(run) - len(known.group()) <= _MAX_PRODUCT_LETTERS:
        before, after = run[: known.start()], run[known.end() :]
        tokens = _letters(before, spaced) if before else []
        tokens.append(Token("command", f"\\{_SAME.get(known.group(), known.group())}", spaced and not before))
        return tokens + (_letters(after, False) if after else [])
    if run in _PLAIN_WORDS or len(run) > _MAX_PRODUCT_LETTERS or (len(run) >= 4 and _VOWEL_WORD.fullmatch(run)):
        raise Unreadable("prose")
    return [Token("letter", letter, spaced and index == 0) for index, letter in enumerate(run)]


class Cursor:
    """A position in a list of tokens."""

    def __init__(self, tokens: list[Token]):
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._has_scripts = any(token.text == "_" for token in tokens)

    def peek(self, ahead: int = 0) -> str | None:
        """Return the text of the next token, or of one further on; None at the end."""
        at = self._at + ahead
        return self._tokens[at].text if 0 <= at < len(self._tokens) else None

    def _kind(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].kind if 0 <= at < len(self._tokens) else ""

    def _spaced(self, ahead: int = 0) -> bool:
        at = self._at + ahead
        return at >= len(self._tokens) or self._tokens[at].spaced

    def _take(self) -> str:
        """Return the text of the next token, which is taken."""
        if self._at >= len(self._tokens):
            raise Unreadable("syntax")
        self._at += 1
        return self._tokens[self._at - 1].text

    def _expect(self, text: str) -> None:
        if self._take() != text:
            raise Unreadable("syntax")

    def _accept(self, text: str) -> bool:
        """Return whether the next token is this one, which is then taken."""
        if self.peek() != text:
            return False
        self._at += 1
        return True

    def _split_number(self) -> str:
        r"""Return the first digit of the number that comes next, as LaTeX reads ``\frac12`` and ``\log_35``; the rest stays."""
        text = self._take()
        if len(text) > 1 and text.isdecimal():
            self._at -= 1
            self._tokens[self._at] = Token("number", text[1:], False)
        return text[:1] if text.isdecimal() else text

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable("too_deep")

    def _deeper(self, rule: Callable[[], Node]) -> Node:
        """Apply a rule one level further down."""
        self._descend()
        tree = rule()
        self._depth -= 1
        return tree
