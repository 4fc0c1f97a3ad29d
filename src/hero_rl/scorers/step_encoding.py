"""How a process reward model is shown a response: where each step ends in its tokens. No model, no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from hero_rl.errors import InputError, first_line
from hero_rl.models.tokenizing import apply_template, ids_of, special_texts
from hero_rl.scorers.step_heads import Head
from hero_rl.scorers.steps import is_numbered, split_steps
from hero_rl.scorers.text import with_system
from hero_rl.types import Rollout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Text: TypeAlias = Literal["chat", "joined", "pieces"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFormat:
    """The text that a process reward model was trained to read, and where its steps end."""

    separator: str
    """Put after every step. The model is read at its (last) token."""
    head: Head
    """``"labels"``: two outputs per token; ``"value"``: one; ``"tokens"``: two words of a language model's vocabulary."""
    text: Text
    """``"chat"``: through the tokenizer's chat template, and ``"joined"``: as one text; there the separator has to be a single
    token. ``"pieces"``: problem, steps and separators are tokenised one by one and put together."""
    system_prompt: str | None = None
    """Chat only: the system turn; replaces the prompt's own. None: the prompt's own, if any."""
    before: str = ""
    """Between problem and first step, where there is no chat."""
    between: str = ""
    """After a separator, before the next step."""
    step_prefix: str = ""
    """Put before a step that does not begin with "Step 1:" or the like; ``{number}`` counts from 1."""
    eos: bool = False
    """Close with the end-of-sequence token, where there is no chat."""
    every_line: bool = False
    """A response without ``steps`` is split at every line rather than at blank lines."""
    positive: int = 1
    """Labels only: which of the two outputs means that the step is right."""
    good: str = "+"
    """Tokens only: the word that means that the step is right."""
    bad: str = "-"
    """Tokens only: the word that means that it is wrong."""

    def __post_init__(self) -> None:
        """Raise InputError for an unknown kind of text or head, no separator, or a label that there is not."""
        if self.text not in ("chat", "joined", "pieces") or self.head not in ("labels", "value", "tokens"):
            raise InputError(
                f"StepFormat: text={self.text!r}, head={self.head!r}; choose text 'chat', 'joined' or 'pieces' and head "
                "'labels', 'value' or 'tokens'"
            )
        if not self.separator or self.positive not in (0, 1):
            raise InputError(
                f"StepFormat: separator={self.separator!r} must not be empty, positive={self.positive!r} is 0 or 1"
            )


STEP_FORMATS: Mapping[str, StepFormat] = {
    "qwen": StepFormat(
        separator="<extra_0>",
        head="labels",
        text="chat",
        system_prompt="Please reason step by step, and put your final answer within \\boxed{}.",
    ),
    "skywork": StepFormat(separator="\n", head="value", text="pieces", before="\n", every_line=True),
    "math-shepherd": StepFormat(
        separator=" ки", head="tokens", text="joined", before=" ", between="\n", step_prefix="Step {number}: "
    ),
    "trl": StepFormat(separator="\n", head="labels", text="pieces"),
}
"""How each known kind is shown a response.

    qwen            Qwen2.5-Math-PRM, Qwen2.5-Math-7B-PRM800K     two labels at the special token ``<extra_0>``, in a chat
    skywork         Skywork-o1-Open-PRM                           a value head at the line end after each step
    math-shepherd   math-shepherd-mistral-7b-prm                  a language model's "+" against "-" at " ки"
    trl             trained by TRL's PRMTrainer (TRL <= 1.13)     two labels at the line end after each step
"""


class StepEncoder:
    """Turns rollouts into token ids and the places where steps end.

    A response is untrusted text: special tokens that it spells out (a policy could write ``<extra_0>`` to have more steps, or
    end its turn and go on as the user) are taken apart with a space before they reach the tokenizer, and so is the separator.
    """

    def __init__(self, name: str, style: StepFormat, tokenizer: PreTrainedTokenizerBase) -> None:
        """Settle the ids of separator and words; raise InputError where the tokenizer lacks what the format needs."""
        self._name, self._format, self._tokenizer = name, style, tokenizer
        if style.text == "chat" and not getattr(tokenizer, "chat_template", None):
            raise InputError(f"{name}: this style shows the response in a chat, and the tokenizer has no chat template")
        if style.eos and tokenizer.eos_token_id is None:
            raise InputError(f"{name}: eos=True needs an end-of-sequence token, and the tokenizer has none")
        self._separator = self._separator_ids()
        self.tokens = (self._word(style.good), self._word(style.bad)) if style.head == "tokens" else None
        specials = {*special_texts(tokenizer), style.separator.strip()}
        # the longest first, so that of two that begin alike the whole is found
        spelled = sorted((token for token in specials if token.strip()), key=lambda token: (-len(token), token))
        self._specials = re.compile("|".join(map(re.escape, spelled))) if spelled else None
        self._try_out()

    def encode(self, rollout: Rollout) -> tuple[list[int], list[int]]:
        """Return token ids, and the place of each step's end in them, increasing; both empty for a response without text.

        Steps given in ``rollout.steps`` are taken as they are; split ones lose the white space around them.

        Raises:
            ValueError: the ends cannot be told: the separator's token occurs more or less often than there are steps.
        """
        given = rollout.steps or [step.strip() for step in split_steps(rollout.response, every_line=self._format.every_line)]
        steps = [self._numbered(self._tame(step), number) for number, step in enumerate(given, start=1)]
        if not any(step.strip() for step in given):
            return [], []
        if self._format.text == "pieces":
            return self._pieces(rollout, steps)
        joined = self._format.between.join(step + self._format.separator for step in steps)
        ids = self._chat(rollout, joined) if self._format.text == "chat" else self._joined(rollout, joined)
        ends = [place for place, token in enumerate(ids) if token == self._separator[0]]
        if len(ends) != len(steps):
            raise InputError(f"{len(steps)} steps have {len(ends)} separators {self._format.separator!r} among their tokens")
        return ids, ends

    def _pieces(self, rollout: Rollout, steps: Sequence[str]) -> tuple[list[int], list[int]]:
        bos = cast("int | None", self._tokenizer.bos_token_id)
        texts = [self._format.between, self._tame(rollout.problem) + self._format.before, *steps]
        encoding = self._tokenizer(texts, add_special_tokens=False)
        between, problem, *pieces = cast("list[list[int]]", encoding["input_ids"])
        ids = ([] if bos is None else [bos]) + problem
        ends: list[int] = []
        for number, piece in enumerate(pieces):
            ids += (between if number else []) + piece + self._separator
            ends.append(len(ids) - 1)
        return ids + self._closing(ids), ends

    def _joined(self, rollout: Rollout, steps: str) -> list[int]:
        ids = ids_of(self._tokenizer, self._tame(rollout.problem) + self._format.before + steps)
        return ids + self._closing(ids)

    def _closing(self, ids: Sequence[int]) -> list[int]:
        eos = cast("int", self._tokenizer.eos_token_id)
        return [eos] if self._format.eos and ids[-1] != eos else []

    def _chat(self, rollout: Rollout, steps: str) -> list[int]:
        turns: list[Mapping[str, str]] = [
            {**turn, "content": self._tame(turn["content"])} if isinstance(turn.get("content"), str) else turn
            for turn in rollout.messages or ({"role": "user", "content": rollout.problem},)
        ]
        turns = [*with_system(turns, self._format.system_prompt), {"role": "assistant", "content": steps}]
        return self._plain(apply_template(self._tokenizer, [turns])[0])

    def _plain(self, text: str) -> list[int]:
        return ids_of(self._tokenizer, text, special=False)

    def _numbered(self, step: str, number: int) -> str:
        prefix = self._format.step_prefix
        return step if not prefix or is_numbered(step) else prefix.format(number=number) + step

    def _tame(self, text: str) -> str:
        """Return the text without special tokens."""
        if self._specials is None:
            return text
        return self._specials.sub(lambda found: found[0][0] + " " + found[0][1:], text)

    def _separator_ids(self) -> list[int]:
        separator, unknown = self._format.separator, self._tokenizer.unk_token_id
        # A tokenizer that marks the beginning of words knows " x" as the single token of "x".
        candidates = [self._plain(separator), self._plain(separator.strip())] if separator.strip() else [self._plain(separator)]
        if self._format.text == "pieces":
            candidates = [ids for ids in candidates[:1] if ids]
        else:
            candidates = [ids for ids in candidates if len(ids) == 1]
        for ids in candidates:
            if unknown is None or unknown not in ids:
                return ids
        raise InputError(
            f"{self._name}: the separator {separator!r} is {len(self._plain(separator))} tokens or unknown to this tokenizer, "
            "and has to be one that it knows; is this the tokenizer of the reward model, and the style its own?"
        )

    def _word(self, word: str) -> int:
        ids = self._plain(word)
        if len(ids) != 1 or ids[0] == self._tokenizer.unk_token_id:
            raise InputError(
                f"{self._name}: {word!r}, which says whether a step is right, is {len(ids)} tokens or unknown to this "
                "tokenizer, and has to be one that it knows"
            )
        return ids[0]

    def _try_out(self) -> None:
        probe = Rollout(prompt_id="", problem="1 + 1 = ?", reference="", response="", steps=("1 + 1 = 2.", "The answer is 2."))
        try:
            self.encode(probe)
        except ValueError as error:
            raise InputError(f"{self._name}: the tokenizer does not fit this style: {first_line(error)}") from error
