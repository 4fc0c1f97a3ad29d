"""Which prompts a model may learn from: one split by problem text, the same for every model made from one file.

The part of a problem follows from its normalised text and the seed alone. So the reward model and the learned verifier share
their held-out prompts without knowing of each other, a problem keeps its part when rows are added, and two spellings of one
problem never stand on both sides.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from hero_rl.errors import InputError, first_line
from hero_rl.files import write_text
from hero_rl.types import Rollout

Part: TypeAlias = Literal["train", "calibration", "held_out"]
PARTS: tuple[Part, ...] = get_args(Part)
SPLIT_FILE = "split.json"
_VERSION = 1
_NOISE = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|[,;:!])|[\s$~.,;:!?*_`'\"{}]+")
_BIG = re.compile(r"\\[dt]frac\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """How problems are dealt out."""

    seed: int = 0
    p_held_out: float = 0.2
    """Share of problems that no model is trained on: what ``eval`` grades on."""
    p_calibration: float = 0.1
    """Share of problems on which the learned verifier's limits are chosen; no model is trained on them either."""

    def __post_init__(self) -> None:
        for name, value in (("p_held_out", self.p_held_out), ("p_calibration", self.p_calibration)):
            if not 0.0 <= value < 1.0:
                raise InputError(f"{name}={value}: must lie in [0, 1); it is a share of the problems")
        if self.p_held_out + self.p_calibration >= 1.0:
            raise InputError(
                f"held-out share {self.p_held_out} and calibration share {self.p_calibration} leave no problem to train on"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The part of every problem that was dealt out so far, by the problem's key."""

    settings: SplitSettings
    parts: Mapping[str, Part]

    def part_of(self, rollout: Rollout) -> Part | None:
        """The part of the rollout's problem; None for a problem that is not in the split."""
        return self.parts.get(problem_key(rollout.problem, rollout.prompt_id))

    def counts(self) -> dict[str, int]:
        """Problems in each part."""
        found = Counter(self.parts.values())
        return {part: found[part] for part in PARTS}


def problem_key(problem: str, prompt_id: str = "") -> str:
    r"""A short hash of the problem's text, blind to case, white space, punctuation and LaTeX layout.

    A problem without text is known by its ``prompt_id``.

    >>> problem_key("Find $\\dfrac{1}{2} + x$.") == problem_key("find \\frac12+x")
    True
    """
    text = _NOISE.sub("", _BIG.sub(r"\\frac", unicodedata.normalize("NFKC", problem).casefold()))
    return hashlib.sha256((text or f"prompt {prompt_id}").encode("utf-8", "surrogatepass")).hexdigest()[:20]


def make_split(rollouts: Iterable[Rollout], settings: SplitSettings, *, earlier: Split | None = None) -> Split:
    """The split that holds every problem of the rollouts.

    Args:
        rollouts: rows of one ``prompt_id`` stay together even where their problem texts differ.
        settings: seed and shares.
        earlier: a split whose problems keep their parts.
    """
    parts: dict[str, Part] = {}
    if earlier:
        parts.update(earlier.parts)
    for keys in _together(rollouts):
        known: list[Part] = [parts[key] for key in keys if key in parts]
        part = known[0] if known else _draw(min(keys), settings)
        parts.update((key, part) for key in keys if key not in parts)
    return Split(settings=settings, parts=parts)


def save_split(path: Path, split: Split) -> None:
    """Write the split; the file says which problems a model has seen."""
    content = {
        "version": _VERSION,
        **asdict(split.settings),
        "counts": split.counts(),
        "problems": dict(sorted(split.parts.items())),
    }
    write_text(path, json.dumps(content, indent=1) + "\n")


def load_split(source: Path) -> Split:
    """Read what ``save_split`` wrote.

    Args:
        source: the file, or the folder of a model that has one.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = source / SPLIT_FILE if source.is_dir() else source
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = SplitSettings(
            seed=int(content["seed"]), p_held_out=float(content["p_held_out"]), p_calibration=float(content["p_calibration"])
        )
        parts: dict[str, Part] = content["problems"]
        if content["version"] != _VERSION or not set(parts.values()) <= set(PARTS):
            raise ValueError("written by another version")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; it is written by `hero rm train` and `hero verifier train`") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no split of problems ({first_line(error)})") from error
    return Split(settings=settings, parts=parts)


def find_split(folder: str) -> Split | None:
    """The split beside a model; None where the model was not made here."""
    path = Path(folder).expanduser() / SPLIT_FILE
    return load_split(path) if path.is_file() else None


def seen_by(splits: Sequence[Split], rollout: Rollout) -> bool:
    """Whether any of the models behind the splits learned from, or was calibrated on, the rollout's problem."""
    return any(split.part_of(rollout) in ("train", "calibration") for split in splits)


def _draw(key: str, settings: SplitSettings) -> Part:
    digest = hashlib.sha256(f"{settings.seed}:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < settings.p_held_out:
        return "held_out"
    return "calibration" if place < settings.p_held_out + settings.p_calibration else "train"


def _together(rollouts: Iterable[Rollout]) -> list[list[str]]:
    """Keys that must share a part: joined by a prompt id, directly or in a chain. In the order of first sight."""
    parent: dict[str, str] = {}
    first_of_prompt: dict[str, str] = {}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for rollout in rollouts:
        key = problem_key(rollout.problem, rollout.prompt_id)
        parent.setdefault(key, key)
        other = first_of_prompt.setdefault(rollout.prompt_id, key)
        if other != key:
            parent[root(key)] = root(other)
    found: dict[str, list[str]] = {}
    for key in parent:
        found.setdefault(root(key), []).append(key)
    return list(found.values())
