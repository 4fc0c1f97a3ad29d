"""Keys and identities: a result is kept under a hash of who computed it and of everything it was computed from.

Two different inputs never share a key: every value is written with its type and its length before it is hashed. Text goes in
as UTF-8 that lets lone surrogates pass, so that odd Unicode is neither refused nor mixed up.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hero_rl.errors import InputError
from hero_rl.imports import installed_versions
from hero_rl.types import Rollout, Scorer, Verifier

KEY_FORMAT = 1
"""Part of every key: raise it when the same inputs should no longer find what was stored before."""
MATH_PACKAGES = ("math-verify", "latex2sympy2_extended", "antlr4-python3-runtime", "sympy", "mpmath", "pint")
"""Distributions under the maths verifiers; verdicts change with the ANTLR runtime, for one."""
_VERIFIERS = Path(__file__).parents[1] / "verifiers"


class RolloutKey:
    """Makes the keys of the results of one verifier or reward model.

    Everything in the rollout counts but ``prompt_id``, which is only a label, and of ``extra`` all columns but those that the
    verifier or reward model says it reads.

    >>> key = RolloutKey("score", "model-a")
    >>> one = Rollout(prompt_id="p", problem="1+1", reference="2", response="2")
    >>> other = Rollout(prompt_id="q", problem="1+1", reference="2", response="2")
    >>> key(one) == key(other), key(one) == RolloutKey("score", "model-b")(one)
    (True, False)
    """

    def __init__(self, kind: str, identity: str, columns: Sequence[str] = ()) -> None:
        """Take the kind of the results, such as ``"score"``, and the columns of ``extra`` that decide them."""
        self._made_of = kind, identity, tuple(columns)
        self._columns = tuple(columns)
        self._begin = hashlib.sha256(_encode((KEY_FORMAT, kind, identity)))

    def __call__(self, rollout: Rollout) -> bytes | None:
        """Return 32 bytes; None for a rollout that holds something other than text, numbers, lists and mappings of them."""
        fields = (
            rollout.problem, rollout.messages, rollout.reference, rollout.response, rollout.finished, rollout.steps,
        )  # fmt: skip
        read = {name: rollout.extra[name] for name in self._columns if name in rollout.extra}
        try:
            encoded = _encode((*fields, read) if read else fields)
        except TypeError:
            return None
        key = self._begin.copy()
        key.update(encoded)
        return key.digest()

    def __reduce__(self) -> tuple[object, ...]:
        """Return what remakes it: the beginning of a hash cannot be pickled."""
        return RolloutKey, self._made_of


def digest(*values: object) -> bytes:
    """Return 32 bytes that are the same for equal values in every process, and in practice for no others.

    Raises:
        TypeError: a value that is neither text, number, None, list nor mapping.
    """
    return hashlib.sha256(_encode(values)).digest()


def check_identity(what: str, part: Verifier | Scorer) -> str:
    """Return the identity of a verifier or a reward model.

    Raises:
        InputError: it has none, so that nobody could tell whether a stored result is still its own.
    """
    identity = part.identity
    if not isinstance(identity, str) or not identity:
        raise InputError(
            f"{what} has no identity (a text that names everything but the rollout that decides its results: model, revision, "
            "template, options), so a result stored today could be mistaken for one of another model tomorrow; use it without "
            "the cache, or give it an 'identity'"
        )
    return identity


@functools.cache
def code_identity(*sources: str, packages: tuple[str, ...] = ()) -> str:
    """Return a text that changes whenever these sources or packages do; a version number is not enough between releases.

    Args:
        sources: files and folders of ``hero_rl.verifiers``, such as ``"exact.py"`` or ``"math"``.
        packages: distributions whose versions count.
    """
    content = hashlib.sha256()
    for source in sources:
        path = _VERIFIERS / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            # an installation without sources has the version below, and nothing more exact
            content.update(file.name.encode() + (file.read_bytes() if file.is_file() else b""))
    found = installed_versions("hero-rl", *packages)
    versions = [f"{name}={found.get(name, 'absent')}" for name in ("hero-rl", *packages)]
    return ", ".join([f"code={content.hexdigest()[:16]}", *versions])


def _encode(value: object) -> bytes:
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: object, parts: list[bytes]) -> None:
    match value:
        case str():
            text = value.encode("utf-8", "surrogatepass")
            parts += (b"s%d:" % len(text), text)
        case None | bool():
            parts.append(b"N" if value is None else b"T" if value else b"F")
        case int():
            parts.append(b"i%d;" % value)
        case float():
            parts.append(b"d" + struct.pack("<d", value))
        case bytes():
            parts += (b"b%d:" % len(value), value)
        case list() | tuple():
            parts.append(b"l%d:" % len(value))
            for item in value:
                _write(item, parts)
        case Mapping():
            parts.append(b"m%d:" % len(value))
            parts += sorted(_encode(item) for item in value.items())
        case np.generic():
            _write(value.item(), parts)
        case _:
            raise TypeError(f"no key can be made of a {type(value).__name__}")
