"""``JudgeBackend``: the language model behind a judge. ``RemoteJudge`` and ``LocalJudge`` are two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from hero_rl.verifiers.judge.formats import Template


class Reply(NamedTuple):
    """The text that the model wrote."""

    text: str
    cut_off: bool = False
    """It ran into the limit of tokens."""


class NoReply(NamedTuple):
    """Why there is none."""

    reason: str
    """A short code: ``timeout``, ``unreachable``, ``rate_limited``, ``server_error``, ``refused``, ``bad_reply``,
    ``prompt_too_long``."""
    detail: str = ""


Outcome: TypeAlias = Reply | NoReply


class JudgeBackend(Protocol):
    """A language model that is asked one prompt per row. It never raises for a row: it gives a ``NoReply``."""

    name: str

    @property
    def identity(self) -> str:
        """Everything about the model and its sampling that decides a reply."""
        ...

    @property
    def special_tokens(self) -> Sequence[str]:
        """Texts that its tokenizer turns into special tokens, as far as known: they are taken out of every field."""
        ...

    async def ask(self, prompts: Sequence[str], *, template: Template, max_tokens: int) -> list[Outcome]:
        """Return one outcome per prompt, in order."""
        ...

    def close(self) -> None:
        """Release connections; safe to call twice."""
        ...
