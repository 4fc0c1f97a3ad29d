r"""Words around a right answer that make it wrong: units, percent, negations, hedges, several boxes, retractions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hero_rl.attacks.numbers import Number
from hero_rl.attacks.text import BARE, Context, Wrong, squeezed, tidy

_UNITS = (
    ("km", ("km", "kilomet")),
    ("kg", ("kg", "kilogram", "mass", "weigh")),
    ("hours", ("hour", "h ", "time", "long", "minute")),
)
_TURNS = ("angle", "degree", "rotat", "sin", "cos", "tan", "celsius", "temperature", "latitude", "phase",
          "arc", "bearing", "longitude", "inclin")  # fmt: skip
_WORDS = ("is wrong", "squared", "hundred", "is not the answer", "factorial")
_OPPOSITES = {
    "yes": "no", "no": "yes", "true": "false", "false": "true", "even": "odd", "odd": "even", "increasing": "decreasing",
    "decreasing": "increasing", "convergent": "divergent", "divergent": "convergent", "converges": "diverges",
    "diverges": "converges", "positive": "negative", "negative": "positive", "east": "west", "west": "east", "north": "south",
    "south": "north", "left": "right", "right": "left", "finite": "infinite", "infinite": "finite", "always": "never",
    "never": "always", "possible": "impossible", "impossible": "possible", "acute": "obtuse", "obtuse": "acute",
}  # fmt: skip
_CHOICE = re.compile(r"\(?\s*([A-E])\s*\)?")


def suffixes(text: str, number: Number, context: Context) -> Iterator[Wrong]:
    """Yield a plain number with a unit, percent or a word behind it that change what it says."""
    if not number.value:
        return
    if not number.suffix.strip() and not number.prefix:
        foreign = [unit for unit, named in _UNITS if not context.mentions(*named)]
        for unit in foreign[:2]:
            yield Wrong("unit", f"in {unit}", rf"{text} \text{{ {unit}}}")
        for unit in foreign[:1]:
            yield Wrong("unit", f"in {unit}, plain", f"{text} {unit}")
        if not context.mentions("percent", "per cent") and "%" not in context.problem:
            yield Wrong("percent", "percent", rf"{text}\%")
        if "^" not in text and "circ" not in context.problem and not context.mentions(*_TURNS):
            yield Wrong("unit", "in degrees", rf"{text}^\circ")
        if number.value not in (1, 2):
            for word in _WORDS:
                yield Wrong("words", word, rf"{text} \text{{ {word}}}")
        yield Wrong("words", "is wrong, plain", f"{text} is wrong")
        yield Wrong("words", "not", rf"\text{{not }} {text}")
        yield Wrong("words", "minus, in words", rf"\text{{minus }} {text}")
        yield Wrong("plus-minus", "plus-minus", rf"\pm {text}")
        yield Wrong("bound", "not equal", rf"x \neq {text}")
        yield Wrong("bound", "greater", rf"x > {text}")
    else:
        yield Wrong("unit", "another unit", number._replace(suffix=r" \text{ km}", prefix="").written(number.value))


def denials(text: str, reference: str) -> Iterator[Wrong]:
    """Yield the answer of any kind with words that deny it."""
    if not re.search(r"\bnot\b|wrong", reference):
        yield Wrong("words", "is wrong", rf"{text} \text{{ is wrong}}")
        yield Wrong("words", "not", rf"\text{{not }} {text}")


def negations(reference: str) -> Iterator[Wrong]:
    r"""Yield the opposite of a word, or another letter of a choice.

    >>> [one.answer for one in negations(r"\text{east}")]
    ['\\text{west}']
    """
    plain = squeezed(reference)
    if plain in _OPPOSITES:
        yield Wrong("negation", "the opposite", rf"\text{{{_OPPOSITES[plain]}}}")
    choice = _CHOICE.fullmatch(re.sub(r"\\(?:text|mathrm|textbf)|[{}]", "", tidy(reference)))
    if choice:
        other = "ABCDE"[("ABCDE".index(choice[1]) + 1) % 5]
        yield Wrong("choice", "another letter", rf"\text{{({other})}}")
        yield Wrong("choice", "two letters", rf"\text{{({choice[1]}) and ({other})}}")


def hedges(right: str, wrong: str, *, several: bool) -> Iterator[Wrong]:
    """Yield responses that name a right and a wrong answer and settle for neither, or for the wrong one.

    ``several``: the reference has several values, so that several boxes may be right.
    """
    yield Wrong("hedge", "or", rf"{right} \text{{ or }} {wrong}")
    yield Wrong("hedge", "or, wrong first", rf"{wrong} \text{{ or }} {right}")
    yield Wrong("hedge", "either, or", rf"\text{{either }} {right} \text{{ or }} {wrong}")
    yield Wrong(
        "retraction",
        "taken back",
        f"The answer is \\boxed{{{right}}}. Wait, that is wrong. The answer is \\boxed{{{wrong}}}.",
        BARE,
    )
    yield Wrong("retraction", "denied", f"The answer is not \\boxed{{{right}}}.", BARE)
    if not several:
        yield Wrong("several boxes", "or", f"The answer is \\boxed{{{right}}} or \\boxed{{{wrong}}}.", BARE)
        yield Wrong("several boxes", "or, wrong first", f"The answer is \\boxed{{{wrong}}} or \\boxed{{{right}}}.", BARE)
        yield Wrong(
            "several boxes", "one of", f"It is one of \\boxed{{{wrong}}}, \\boxed{{{right}}} and \\boxed{{{wrong}}}.", BARE
        )


def chains(right: str, wrong: str) -> Iterator[Wrong]:
    """Yield equations between a right and a wrong value: their sides disagree."""
    yield Wrong("chain", "wrong = right", f"{wrong} = {right}")
    yield Wrong("chain", "right = wrong", f"{right} = {wrong}")
