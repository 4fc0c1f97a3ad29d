"""Preference pairs from labelled rollouts: a correct response over an incorrect one to the same prompt.

At most a few per prompt, so that easy-to-pair prompts do not crowd out the others, and chosen so that the better response is
the longer one about as often as the shorter one: else length alone would win, and the reward model would learn length.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from hero_rl.data.tables import read_records
from hero_rl.errors import InputError
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.splits import problem_key
from hero_rl.types import Rollout

MAX_PAIRS_PER_PROMPT = 8
MAX_LENGTH_SKEW = 0.1
"""How far the share of pairs whose better response is the longer one may be from a half, where the data allow."""
_MAX_CANDIDATES = 48
"""Responses of each kind that are looked at per prompt."""


class Pair(NamedTuple):
    """Two responses to one prompt, of which the first is better."""

    prompt: str
    chosen: str
    rejected: str


class Pairs(NamedTuple):
    """Pairs, and what they are like."""

    pairs: list[Pair]
    prompts: int
    """Prompts that gave a pair: those with correct and incorrect responses."""
    uniform_prompts: int
    """Prompts that gave none."""
    dropped_for_balance: int
    """Pairs that were left out because too many had the longer response as the better one (or the shorter)."""


def make_pairs(rows: Sequence[LabelledRow], *, max_per_prompt: int = MAX_PAIRS_PER_PROMPT, seed: int = 0) -> Pairs:
    """Pairs inside prompts, bounded and balanced in length.

    Pairs are taken in rounds, one a prompt and round. In each, a pair of the direction (better one longer, or shorter) that is
    behind so far comes first, and among those one of the responses that were used least. Where one direction still has more
    than a share of 1/2 + ``MAX_LENGTH_SKEW``, its surplus is dropped from the latest rounds, but never a prompt's only pair and
    never more than half of all: where nearly all wrong responses are longer, no choice of pairs can hide that.

    Args:
        rows: labelled rollouts; a response that occurs as correct and as incorrect is left out.
        max_per_prompt: most pairs of one prompt.
        seed: of the order in which pairs are tried.

    Raises:
        InputError: ``max_per_prompt`` below 1.
    """
    if max_per_prompt < 1:
        raise InputError(f"pairs per prompt: {max_per_prompt} must be at least 1")
    prompts = _candidates(rows, seed)
    mixed = {key: one for key, one in prompts.items() if one.correct and one.wrong}
    drawn = _draw_pairs(list(mixed.values()), max_per_prompt)
    kept = _balanced(drawn)
    return Pairs([pair for _, pair in kept], len(mixed), len(prompts) - len(mixed), len(drawn) - len(kept))


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file with the columns ``prompt``, ``chosen`` and ``rejected``.

    Each is a text, or a list of turns with ``role`` and ``content`` that ends, for the prompt, in the user's turn, and for
    the others holds the assistant's one turn.

    Raises:
        InputError: a missing column, another shape, or two equal responses; with file and line.
    """
    pairs: list[Pair] = []
    for record in read_records(path):
        where = record.where
        pair = Pair(*(_text(record.values, name, where) for name in ("prompt", "chosen", "rejected")))
        if pair.chosen == pair.rejected:
            raise InputError(f"{where}: chosen and rejected are the same text")
        pairs.append(pair)
    return pairs


def share_chosen_longer(pairs: Sequence[Pair]) -> float:
    """Share of the pairs whose better response has more characters, equal ones counting half; NaN without pairs."""
    signs = [_direction(pair) for pair in pairs]
    return 0.5 + sum(signs) / (2 * len(signs)) if signs else math.nan


class _Prompt(NamedTuple):
    problem: str
    correct: list[str]
    wrong: list[str]
    order: list[tuple[int, int]]
    """Places in both lists, shuffled."""


def _candidates(rows: Sequence[LabelledRow], seed: int) -> dict[str, _Prompt]:
    labels: defaultdict[tuple[str, str], set[bool]] = defaultdict(set)
    problems: dict[str, str] = {}
    for row in rows:
        key = problem_key(row.rollout.problem, row.rollout.prompt_id)
        problems.setdefault(key, row.rollout.problem)
        labels[key, row.rollout.response].add(row.correct)
    found = {key: _Prompt(problem, [], [], []) for key, problem in problems.items()}
    for (key, response), kinds in labels.items():
        if len(kinds) == 1:
            (found[key].correct if True in kinds else found[key].wrong).append(response)
    for key, prompt in found.items():
        rng = np.random.default_rng([seed, int(key[:12], 16)])
        for side in (prompt.correct, prompt.wrong):
            side[:] = [side[i] for i in rng.permutation(len(side))[:_MAX_CANDIDATES].tolist()]
        both = list(itertools.product(range(len(prompt.correct)), range(len(prompt.wrong))))
        prompt.order.extend(both[i] for i in rng.permutation(len(both)).tolist())
    return found


def _draw_pairs(prompts: Sequence[_Prompt], max_per_prompt: int) -> list[tuple[int, Pair]]:
    """Round and pair, in the order they were drawn."""
    drawn: list[tuple[int, Pair]] = []
    uses = [(np.zeros(len(one.correct), dtype=int), np.zeros(len(one.wrong), dtype=int)) for one in prompts]
    left = [list(one.order) for one in prompts]
    ahead = 0  # pairs with the longer response as the better one, less the others
    for turn in range(max_per_prompt):
        for number, prompt in enumerate(prompts):
            if not left[number]:
                continue
            used_correct, used_wrong = uses[number]

            def cost(
                places: tuple[int, int],
                prompt: _Prompt = prompt,
                used: tuple[np.ndarray, np.ndarray] = (used_correct, used_wrong),
                ahead: int = ahead,
            ) -> tuple[int, int]:
                direction = _direction(Pair("", prompt.correct[places[0]], prompt.wrong[places[1]]))
                # the direction that is behind comes first, then the responses that were used least
                return direction * (ahead > 0) - direction * (ahead < 0), int(used[0][places[0]] + used[1][places[1]])

            best = min(left[number], key=cost)
            left[number].remove(best)
            used_correct[best[0]] += 1
            used_wrong[best[1]] += 1
            pair = Pair(prompt.problem, prompt.correct[best[0]], prompt.wrong[best[1]])
            ahead += _direction(pair)
            drawn.append((turn, pair))
    return drawn


def _balanced(drawn: Sequence[tuple[int, Pair]]) -> list[tuple[int, Pair]]:
    """The pairs without the surplus of one direction."""
    signs = [_direction(pair) for _, pair in drawn]
    ahead, kept = sum(signs), len(drawn)
    major = 1 if ahead > 0 else -1
    dropped: set[int] = set()
    for number in reversed(range(len(drawn))):
        # the first round is kept: it has each prompt's only pair
        if abs(ahead) <= 2 * MAX_LENGTH_SKEW * kept or drawn[number][0] == 0 or 2 * len(dropped) + 2 > len(drawn):
            break
        if signs[number] == major:
            dropped.add(number)
            ahead, kept = ahead - major, kept - 1
    return [one for number, one in enumerate(drawn) if number not in dropped]


def _direction(pair: Pair) -> int:
    """1 where the better response is longer, -1 where it is shorter, 0 where both are as long."""
    difference = len(pair.chosen) - len(pair.rejected)
    return (difference > 0) - (difference < 0)


def _text(values: Mapping[str, object], name: str, where: str) -> str:
    if name not in values:
        raise InputError(
            f"{where}: missing column {name!r} (this row has: {', '.join(values)}); a pair has prompt, chosen and rejected"
        )
    value = values[name]
    if isinstance(value, list):
        value = _only_turn(cast("list[object]", value))
    if not isinstance(value, str):
        raise InputError(
            f"{where}: column {name!r} must be a text or a list with one turn (role, content); put more turns into one text"
        )
    return value


def _only_turn(turns: list[object]) -> object:
    turn = turns[0] if len(turns) == 1 else None
    return cast("dict[str, object]", turn).get("content") if isinstance(turn, dict) else None


def as_rollout(pair: Pair) -> Rollout:
    """The prompt of a pair as the split knows it."""
    return Rollout(prompt_id=f"pair:{pair.prompt}", problem=pair.prompt, reference="", response=pair.chosen)
