"""A position in a list of tokens, and the steps that every rule of the grammar takes."""

from __future__ import annotations

from hero_rl.verifiers.math.tokens import Token, Unreadable

MAX_DEPTH = 120
"""Of the descent: a pair of parentheses costs three."""


class Cursor:
    """What has been read of a list of tokens, and what comes next."""

    def __init__(self, tokens: list[Token]):
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._has_scripts = any(token.text == "_" for token in tokens)

    def peek(self, ahead: int = 0) -> str | None:
        """The text of the next token, or of one further on; None at the end."""
        at = self._at + ahead
        return self._tokens[at].text if 0 <= at < len(self._tokens) else None

    def _kind(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].kind if 0 <= at < len(self._tokens) else ""

    def _spaced(self, ahead: int = 0) -> bool:
        at = self._at + ahead
        return at >= len(self._tokens) or self._tokens[at].spaced

    def _take(self) -> Token:
        if self._at >= len(self._tokens):
            raise Unreadable("syntax")
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _expect(self, text: str) -> None:
        if self._take().text != text:
            raise Unreadable("syntax")

    def _accept(self, text: str) -> bool:
        """Whether the next token is this one, which is then taken."""
        if self.peek() != text:
            return False
        self._at += 1
        return True

    def _split_number(self) -> str:
        r"""The first digit of the number that comes next, as LaTeX reads ``\frac12`` and ``\log_35``; the rest stays."""
        token = self._take()
        if len(token.text) > 1 and token.text.isdecimal():
            self._at -= 1
            self._tokens[self._at] = Token("number", token.text[1:], False)
        return token.text[:1] if token.text.isdecimal() else token.text

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable("too_deep")
