"""The part of a response that a judge sees: its final answer, or its end."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.boxes import last_boxed
from hero_rl.verifiers.judge.clean import REMOVED, clean
from hero_rl.verifiers.judge.values import is_value, may_be_asked
from hero_rl.verifiers.math.extract import extract_answer

Send: TypeAlias = Literal["answer", "response"]
Unfit: TypeAlias = Literal["no_final_answer", "no_value", "foreign_words"]

MAX_PROBLEM_CHARS = 6_000
_SLACK = 4
"""Characters are counted after cleaning; before it, this many times as many are looked at."""


class Fields(NamedTuple):
    """The texts that are put into the prompt."""

    problem: str
    reference: str
    answer: str
    answer_too_long: bool = False
    reference_too_long: bool = False
    unfit: Unfit | None = None
    """Why a judge may not be asked about this answer."""


def read_fields(
    problem: object,
    reference: object,
    response: object,
    *,
    send: Send,
    max_chars: int,
    special_tokens: tuple[str, ...],
    use_problem: bool = True,
) -> Fields:
    r"""Return the cleaned fields of one rollout. Anything may be missing or of another type than text; nothing raises.

    The answer is the final one where it can be found (``\boxed{...}``, ``<answer>``, "the answer is ...", or a response that is
    short). An answer is never cut: what is cut off could be what makes it wrong. Where none is found, or with
    ``send="response"``, it is the end of the response after the thinking. With ``send="answer"``, ``unfit`` says which answers
    no judge may see: where the reference is a value, the end of a response, and a final answer with words that no value is
    written with (see ``values``).
    """
    whole = _text(response)
    found = extract_answer(whole, as_written=True).text if send == "answer" else ""
    if found:
        answer = clean(found[: _SLACK * max_chars + 1], extra_markers=special_tokens, one_line=True).strip("* ")
        too_long = len(answer) > max_chars or len(found) > _SLACK * max_chars
    else:
        answer = _end(_after_thinking(whole), max_chars, special_tokens)
        too_long = False
    expected = _text(reference)
    boxed = last_boxed(expected)
    expected = expected if boxed is None else boxed
    asked = _both_ends(_text(problem), MAX_PROBLEM_CHARS, special_tokens)
    target = clean(expected[: max_chars + 1], strictness="field", extra_markers=special_tokens, one_line=True)
    return Fields(
        problem=asked if use_problem else "",
        reference=target,
        answer=answer,
        answer_too_long=too_long,
        reference_too_long=len(expected.strip()) > max_chars,
        unfit=_unfit(answer, target, asked, found=bool(found)) if send == "answer" else None,
    )


def _unfit(answer: str, reference: str, problem: str, *, found: bool) -> Unfit | None:
    if is_value(reference):
        return "no_final_answer" if not found else None if may_be_asked(answer, reference, problem) else "no_value"
    return None if not found or may_be_asked(answer, reference, problem) else "foreign_words"


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _after_thinking(text: str) -> str:
    return text.rpartition("</think>")[2].partition("<think>")[0]


def _end(text: str, max_chars: int, special_tokens: tuple[str, ...]) -> str:
    cleaned = clean(text[-_SLACK * max_chars :], extra_markers=special_tokens)
    # Cleaned again: a cut through the middle of something harmless can leave something that is not.
    return cleaned if len(cleaned) <= max_chars else clean(cleaned[-max_chars:], extra_markers=special_tokens)


def _both_ends(text: str, max_chars: int, special_tokens: tuple[str, ...]) -> str:
    half = max_chars // 2
    if len(text) > max_chars:
        text = f"{text[:half]}\n{REMOVED}\n{text[-half:]}"
    return clean(text, strictness="field", extra_markers=special_tokens)
