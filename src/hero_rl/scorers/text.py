"""The text that a reward model reads for a rollout: the one it was trained on, token for token. Nothing is ever cut.

As TRL's RewardTrainer forms it: the chat template over the prompt's messages and the response, or problem + response; closed by
the end of sequence or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from hero_rl.errors import InputError
from hero_rl.models.tokenizing import apply_template
from hero_rl.types import Rollout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Template: TypeAlias = Literal["chat", "plain"]
RemoteTemplate: TypeAlias = Literal["chat", "messages", "plain"]
Eos: TypeAlias = Literal["always", "finished", "never"]


class Form(NamedTuple):
    """How rollouts become what a reward model reads. Made by ``make_form``; see ``LocalScorer`` for the options."""

    template: RemoteTemplate
    tokenizer: PreTrainedTokenizerBase | None
    system_prompt: str | None
    eos: Eos
    eos_token: str
    """The end of a plain text."""

    def closes(self, rollout: Rollout) -> bool:
        """Return whether the response is shown as one that has ended."""
        return self.eos == "always" or (self.eos == "finished" and rollout.finished is not False)

    def conversation(self, rollout: Rollout) -> list[Mapping[str, str]]:
        """Return the prompt's turns and the response as the last; ``system_prompt`` replaces the prompt's own."""
        turns: list[Mapping[str, str]] = list(rollout.messages) or [{"role": "user", "content": rollout.problem}]
        return [*with_system(turns, self.system_prompt), {"role": "assistant", "content": rollout.response}]

    def texts(self, rollouts: Sequence[Rollout]) -> list[str]:
        """Return the text of each rollout, in order.

        Raises:
            RefusedByTemplateError: the chat template does not take one of the conversations.
        """
        if self.template == "plain":
            pairs = [(one.problem + one.response, self.eos_token if self.closes(one) else "") for one in rollouts]
            return [text if text.endswith(end) else text + end for text, end in pairs]
        closed = {self.closes(one) for one in rollouts}
        if len(closed) > 1:  # a call of the template closes all or none
            return [text for one in rollouts for text in self.texts([one])]
        assert self.tokenizer is not None
        conversations = [self.conversation(one) for one in rollouts]
        return apply_template(self.tokenizer, conversations, continue_final_message=closed == {False})

    def settings(self) -> dict[str, str | None]:
        """Return what of it decides a score."""
        chat = getattr(self.tokenizer, "chat_template", None) if self.template == "chat" else None
        return {
            "template": self.template, "chat_template": str(chat) if chat else None, "system_prompt": self.system_prompt,
            "eos": self.eos, "eos_token": self.eos_token,
        }  # fmt: skip


def with_system(turns: list[Mapping[str, str]], system_prompt: str | None) -> list[Mapping[str, str]]:
    """Return the turns with this system turn in place of their own; None: as they are."""
    if system_prompt is None:
        return turns
    return [{"role": "system", "content": system_prompt}, *(turn for turn in turns if turn.get("role") != "system")]


def make_form(
    name: str, tokenizer: PreTrainedTokenizerBase | None, *, template: RemoteTemplate | None, system_prompt: str | None,
    eos: Eos, eos_token: str | None = None, closes: bool = False,
) -> Form:  # fmt: skip
    """Return the form that the options ask for; ``closes``: whoever reads the text closes it.

    Raises:
        InputError: an unknown option, or one that the tokenizer cannot give.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if eos not in get_args(Eos):
        raise InputError(f"eos={eos!r} is unknown; choose 'always', 'finished' or 'never'")
    if template == "chat" and not has_template:
        raise InputError(
            f"{name}: template='chat' and there is no chat template; give a tokenizer=... with one, or template='plain'"
        )
    settled = template or ("chat" if has_template else "plain")
    if settled != "plain" or eos == "never":
        eos_token = ""
    elif eos_token is None:
        eos_token = getattr(tokenizer, "eos_token", None)
    if settled == "plain" and system_prompt is not None:
        raise InputError(f"{name}: system_prompt is for template='chat'; a plain text has no system turn")
    if eos_token is None and not closes:
        raise InputError(
            f"{name}: eos={eos!r} needs an end-of-sequence token and "
            + (
                "no tokenizer is given; give eos_token=... or tokenizer=..."
                if tokenizer is None
                else "the tokenizer has none; set its eos_token"
            )
            + ", or give eos='never' if the reward model was trained without one"
        )
    return Form(settled, tokenizer, system_prompt, eos, eos_token or "")
