"""``JudgeVerifier``: a language model says whether an answer is equivalent to the reference.

What it is not: a proof. A judge can be argued into a yes, so its verdicts are marked ``learned``. Put rules in front of it (a
cascade), and let no learned yes outrank one of theirs.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hero_rl.errors import InputError
from hero_rl.loop import in_thread
from hero_rl.types import Rollout, Verdict, Verifier
from hero_rl.verifiers.judge.answers import Send, read_fields
from hero_rl.verifiers.judge.backend import JudgeBackend, NoReply, Outcome
from hero_rl.verifiers.judge.formats import FormatName, JudgeFormat, Template, find_format, load_prompt
from hero_rl.verifiers.judge.master_keys import missing_answer
from hero_rl.verifiers.judge.remote import RemoteJudge

MAX_CHARS = 2_000
CLEANING_RULES = 5
"""Counts up with every change of what is cleaned, refused or read, so that stored verdicts of older rules are not reused."""

_SMALLEST_MAX_CHARS = 16
_SHOWN_CHARS = 100
_logger = logging.getLogger(__name__)


class _Row(NamedTuple):
    verdict: Verdict | None
    """Settled without the judge."""
    prompt: str = ""
    shown: str = ""


class JudgeVerifier(Verifier):
    r"""Asks a judge about each rollout: correct where it says yes.

    Verdicts that came from the judge have ``learned=True``; those settled before it is asked are a rule's and have not.

    ==================== =========== ========================================================================================
    reason               label
    ==================== =========== ========================================================================================
    judge_yes            correct     the judge said so
    judge_no             incorrect   the judge said so
    judge_invalid        incorrect   CompassVerifier's C: the response holds no gradable answer
    unparseable_reply    abstain     the reply holds no verdict
    reply_cut_off        abstain     the reply ran into ``max_tokens`` before a verdict
    timeout, refused ... abstain     no reply (``failed=True``): the kind of ``EndpointError``
    prompt_too_long      abstain     not asked: more tokens than a local model takes
    empty_answer         incorrect   not asked: no letter or digit in the answer
    no_answer            incorrect   not asked: the answer is only the opening words of a solution
    answer_too_long      incorrect   not asked: the answer is longer than ``max_chars``
    no_value             abstain     not asked: the reference is a value, the answer holds none or other words beside it
    no_final_answer      abstain     not asked: the reference is a value, the response says nowhere which is its answer
    foreign_words        abstain     not asked: the answer has other words than problem, reference and mathematics
    reference_missing    abstain     not asked
    reference_too_long   abstain     not asked
    ==================== =========== ========================================================================================
    """

    learned = True

    def __init__(
        self,
        backend: str | Sequence[str] | JudgeBackend,
        *,
        format: FormatName = "compass",
        prompt: str | os.PathLike[str] | None = None,
        send: Send = "answer",
        use_problem: bool = True,
        max_chars: int = MAX_CHARS,
        max_tokens: int | None = None,
        template: Template | None = None,
        model: str | None = None,
        api_key: str | None = None,
        api_key_env: str | None = None,
        extra_body: Mapping[str, object] | None = None,
        tokenizer: str | None = None,
        concurrency: int | None = None,
    ) -> None:
        """Check the options; nothing is asked yet.

        Args:
            backend: the address of a server with the OpenAI interface, the addresses of several replicas, or a ``RemoteJudge``
                or ``LocalJudge``.
            format: which model it is: ``compass`` (CompassVerifier), ``xverify``, ``general`` (general-verifier), ``tinyv``, or
                ``generic`` for any instruction-following model.
            prompt: a text file with ``{problem}``, ``{reference}`` and ``{answer}``, in place of the format's own prompt.
            send: ``"answer"``: only the final answer where it can be found, else the end of the response, or nothing where the
                reference is a value; ``"response"``: the end of the response.
            use_problem: whether the judge sees the problem.
            max_chars: of the answer, the response's end and the reference.
            max_tokens: of the reply; None: what the format needs. A prompt that asks for reasoning needs more.
            template: ``"chat"`` or ``"plain"``; None: as the format's model was trained.
            model: of an address: see ``RemoteJudge``, also for the following five.
            api_key: of an address.
            api_key_env: the environment variable with that key, for a served model.
            extra_body: further fields of each request to a served model.
            tokenizer: of a served model: its special tokens are taken out of every field.
            concurrency: most requests to a served model under way, over all replicas.

        Raises:
            InputError: an option out of range, or a prompt file that is none.
            MissingDependencyError: the HTTP library is not installed.
        """
        self._format: JudgeFormat = find_format(format)
        _check_options(send, max_chars, max_tokens, template)
        self._prompt = load_prompt(format, prompt)
        for_address = {
            "model": model, "api_key": api_key, "api_key_env": api_key_env, "extra_body": extra_body,
            "tokenizer": tokenizer, "concurrency": concurrency,
        }  # fmt: skip
        self._backend = _backend(backend, for_address)
        self.send: Send = send
        self.use_problem = use_problem
        self.max_chars = max_chars
        self.max_tokens = max_tokens or self._format.max_tokens
        self.template: Template = template or self._format.template
        self.name = f"judge:{format}"

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict.

        Raises:
            EndpointError: the model's name was left to the server, and the server did not give it.
        """
        fields = {
            "format": self._format.name, "prompt": self._prompt.fingerprint, "send": self.send, "problem": self.use_problem,
            "max_chars": self.max_chars, "max_tokens": self.max_tokens, "template": self.template, "rules": CLEANING_RULES,
            "special_tokens": sorted(self._backend.special_tokens),
        }  # fmt: skip
        return f"judge:{json.dumps(fields, sort_keys=True)} {self._backend.identity}"

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given; cancelling it cancels what is under way."""
        rows = await in_thread(lambda: [self._row(rollout) for rollout in rollouts])
        asked = list(dict.fromkeys(row.prompt for row in rows if row.verdict is None))
        outcomes = await self._backend.ask(asked, template=self.template, max_tokens=self.max_tokens)
        return self._verdicts(rows, dict(zip(asked, outcomes, strict=True)))

    def close(self) -> None:
        """Close the backend; safe to call twice."""
        self._backend.close()

    def prompt_for(self, rollout: Rollout) -> str | None:
        """Return the prompt that the judge would get, or None where it would not be asked."""
        return self._row(rollout).prompt or None

    def _row(self, rollout: Rollout) -> _Row:
        fields = read_fields(
            rollout.problem, rollout.reference, rollout.response, send=self.send, max_chars=self.max_chars,
            special_tokens=tuple(self._backend.special_tokens), use_problem=self.use_problem,
        )  # fmt: skip
        shown = f"{fields.answer[:_SHOWN_CHARS]} | {fields.reference[:_SHOWN_CHARS]}"
        if fields.reference_too_long:
            return _Row(Verdict("abstain", "reference_too_long", detail=shown))
        if not fields.reference:
            return _Row(Verdict("abstain", "reference_missing", detail=shown))
        if fields.answer_too_long:
            return _Row(Verdict("incorrect", "answer_too_long", detail=shown))
        missing = missing_answer(fields.answer, fields.reference)
        if missing is not None:
            return _Row(Verdict("incorrect", missing, detail=shown))
        if fields.unfit is not None:
            return _Row(Verdict("abstain", fields.unfit, detail=shown))
        prompt = self._prompt.fill(problem=fields.problem, reference=fields.reference, answer=fields.answer)
        return _Row(None, prompt, shown)

    def _verdicts(self, rows: Sequence[_Row], outcomes: Mapping[str, Outcome]) -> list[Verdict]:
        verdicts = [row.verdict or self._verdict(row.shown, outcomes[row.prompt]) for row in rows]
        unread = [one for one in verdicts if one.reason in ("unparseable_reply", "reply_cut_off")]
        if unread:
            asked = sum(row.verdict is None for row in rows)  # more than outcomes: equal questions are asked once
            _logger.warning(
                "%s: %d of %d replies hold no verdict; one of them: %s", self.name, len(unread), asked, unread[0].detail
            )
        return verdicts

    def _verdict(self, shown: str, outcome: Outcome) -> Verdict:
        if isinstance(outcome, NoReply):
            failed = outcome.reason != "prompt_too_long"  # another try would end in the same way
            return Verdict("abstain", outcome.reason, failed=failed, detail=outcome.detail, learned=True)
        decision = self._format.read(outcome.text)
        if decision == "yes":
            return Verdict("correct", "judge_yes", detail=shown, learned=True)
        if decision is not None:
            return Verdict("incorrect", f"judge_{decision}", detail=shown, learned=True)
        reason = "reply_cut_off" if outcome.cut_off else "unparseable_reply"
        end = " ".join(outcome.text.split())[-_SHOWN_CHARS:]
        return Verdict("abstain", reason, detail=f"{shown} | reply: {end}", learned=True)


def _backend(backend: str | Sequence[str] | JudgeBackend, for_address: Mapping[str, object]) -> JudgeBackend:
    given = {name: value for name, value in for_address.items() if value is not None}
    if isinstance(backend, str) or (isinstance(backend, Sequence) and all(isinstance(one, str) for one in backend)):
        return RemoteJudge(backend, **given)  # pyright: ignore[reportArgumentType]
    if given:
        raise InputError(f"{', '.join(given)}: these go with an address; a backend object has them already")
    if not callable(getattr(backend, "ask", None)):
        raise InputError(f"backend={backend!r} is neither an address nor a judge backend (RemoteJudge, LocalJudge)")
    return backend  # pyright: ignore[reportReturnType]


def _check_options(send: str, max_chars: int, max_tokens: int | None, template: str | None) -> None:
    if send not in ("answer", "response"):
        raise InputError(f"send={send!r} is unknown; use 'answer' or 'response'")
    if template not in (None, "chat", "plain"):
        raise InputError(f"template={template!r} is unknown; use 'chat' or 'plain', or leave it out")
    if max_chars < _SMALLEST_MAX_CHARS:
        raise InputError(f"max_chars={max_chars} must be at least {_SMALLEST_MAX_CHARS}")
    if max_tokens is not None and max_tokens < 1:
        raise InputError(f"max_tokens={max_tokens} must be at least 1")
