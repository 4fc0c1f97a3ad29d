"""One wrong answer, and how wrong answers are written down."""

from __future__ import annotations

from typing import NamedTuple


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
