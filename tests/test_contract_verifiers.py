"""Every verifier keeps every promise of ``helpers.contract``, those that ask a server under its faults as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from helpers import contract, tiny
from helpers.contract import HURRIED_S, LASTING, PROMISES, Case, Value
from helpers.servers import Faults, running
from hero_rl.cache import Cache, CachedVerifier
from hero_rl.types import Rollout, Scorer, Verdict, Verifier
from hero_rl.verifiers import (
    ByField,
    ChoiceVerifier,
    ColumnVerifier,
    ExactVerifier,
    HendrycksVerifier,
    MathVerifier,
    MathVerifyVerifier,
)
from hero_rl.verifiers.cascade import Cascade
from hero_rl.verifiers.gym import GymVerifier
from hero_rl.verifiers.judge import FORMATS, JudgeVerifier, LocalJudge, RemoteJudge
from hero_rl.verifiers.learned import FORMAT, SETTINGS_FILE, LearnedVerifier
from hero_rl.verifiers.votes import all_of, any_of, majority

POISON = "poison"
Wrap: TypeAlias = Callable[[Verifier], Verifier]
HURRIED: dict[str, Any] = {"timeout_s": HURRIED_S, "total_timeout_s": HURRIED_S, "attempts": 1}
YES = {
    "compass": "A",
    "xverify": "[Correct]",
    "general": "Final Decision: Yes",
    "tinyv": "True",
    "generic": "Final Decision: Yes",
}
NO = {
    "compass": "B",
    "xverify": "[Incorrect]",
    "general": "Final Decision: No",
    "tinyv": "False",
    "generic": "Final Decision: No",
}


def row(number: int) -> Rollout:
    """Every other one is correct; one of each kind needs more than a look at the text."""
    right = number % 2 == 0
    reference, answer = str(number), str(number if right else number + 1)
    if number in (2, 3):
        reference, answer = "\\sqrt{8}", "2\\sqrt{2}" if right else "3\\sqrt{2}"
    return Rollout(
        prompt_id=str(number // 3), problem=f"what is {number}-0?", reference=reference, response=f"so \\boxed{{{answer}}}",
        extra={"label": right},
    )  # fmt: skip


NO_REFERENCE = replace(row(0), reference="", extra={"label": None})


def rule(stack: ExitStack, folder: Path, *, make: Callable[[], Verifier], others: Sequence[Callable[[], Verifier]]) -> Case:
    return Case(make=make, row=row, bad=NO_REFERENCE, others=others)


def maths(stack: ExitStack, folder: Path, *, policy: Any) -> Case:
    def make(policy: Any = policy, *, deadline_s: float = 20.0) -> Verifier:
        return MathVerifier(policy=policy, workers=1, deadline_s=deadline_s)

    def says_so(value: Value) -> bool:
        """``binary`` never abstains; the reason stays."""
        label = "incorrect" if policy == "binary" else "abstain"
        return isinstance(value, Verdict) and (value.label, value.reason) == (label, "reference_missing")

    others = [partial(make, other) for other in ("strict", "balanced", "binary") if other != policy]
    return Case(make=make, row=row, bad=NO_REFERENCE, says_so=says_so, others=[*others, lambda: make(deadline_s=19.0)])


def choice(stack: ExitStack, folder: Path) -> Case:
    def row_of_choice(number: int) -> Rollout:
        one = row(number)
        options = [str(number + 5), one.reference, "none of the above"]
        claim = "(B)" if number % 2 == 0 else f"A. {options[0]}"
        return replace(one, response=f"so it is\n\n{claim}", extra={"options": options})

    bad = replace(row_of_choice(0), extra={"options": "A, B"})
    return Case(make=ChoiceVerifier, row=row_of_choice, bad=bad, others=[lambda: ChoiceVerifier(policy="strict")])


def gym(stack: ExitStack, folder: Path) -> Case:
    """Its scorers; a task's metadata is a column."""
    pytest.importorskip("reasoning_gym", reason="reasoning-gym needs a C compiler to install")
    extra = {"reasoning_gym": '{"source_dataset": "chain_sum"}'}

    def make(**options: Any) -> Verifier:
        return GymVerifier(workers=1, **options)

    bad = replace(row(0), extra={"reasoning_gym": "{}"})
    return Case(make=make, row=lambda number: replace(row(number), extra=extra), bad=bad, others=[lambda: make(threshold=0.5)])


def by_field(stack: ExitStack, folder: Path) -> Case:
    def routed(number: int) -> Rollout:
        return replace(row(number), extra={"source": "text" if number % 3 else 1})

    def make(text: Callable[[], Verifier] = ExactVerifier) -> Verifier:
        return ByField("source", {"text": text(), "1": HendrycksVerifier()})

    return Case(make=make, row=routed, bad=replace(routed(0), reference=""), others=[lambda: make(HendrycksVerifier)])


def judge(
    stack: ExitStack, folder: Path, *, format_name: Any = "compass", wrap: Wrap = lambda verifier: verifier, bad: int = 1
) -> Case:
    """A server whose judge flips a coin, which the prompt alone decides."""
    words = (YES[format_name], NO[format_name])
    server = stack.enter_context(
        running("chat", Faults(poison=POISON), reply=lambda messages: words[sum(messages[0]["content"].encode()) % 2])
    )

    def make(options: dict[str, Any] | None = None, **more: Any) -> Verifier:
        return wrap(JudgeVerifier(RemoteJudge(server.url, **options or {}), format=format_name, template="chat", **more))

    return Case(
        make=make, row=row, bad=replace(row(bad), problem=POISON), server=server, hurried=lambda: make(HURRIED),
        others=[lambda: make({"revision": "2"}), lambda: make(max_chars=99), lambda: make(use_problem=False)],
    )  # fmt: skip


def local_judge(stack: ExitStack, folder: Path) -> Case:
    """An untrained model: no reply is a verdict, and the detail shows which it was."""
    prompt = folder / "prompt.txt"
    prompt.write_text("{problem}{reference}={answer}")
    backend = LocalJudge(tiny.model(), tokenizer=tiny.tokenizer(), batch_size=3, max_length=120)

    def make(**more: Any) -> JudgeVerifier:
        return JudgeVerifier(backend, format="tinyv", prompt=prompt, **more)

    return Case(
        make=make, row=row, bad=replace(row(1), problem="1" * 200),
        others=[lambda: make(max_tokens=3), lambda: make(use_problem=False)],
    )  # fmt: skip


def learned(stack: ExitStack, folder: Path) -> Case:
    make = partial(_learned, folder)
    return Case(
        make=make, row=row, bad=replace(row(1), problem="1" * 300),
        others=[lambda: make(threshold=0.6), lambda: make(dtype="bfloat16")],
    )  # fmt: skip


def _learned(folder: Path, **options: Any) -> LearnedVerifier:
    """An untrained one."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    if not (folder / SETTINGS_FILE).is_file():
        torch.manual_seed(0)
        shape: dict[str, Any] = tiny.model().config.to_dict() | {"num_labels": 1, "max_position_embeddings": 256}
        LlamaForSequenceClassification(LlamaConfig(**shape)).save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        settings = {"format": FORMAT, "max_length": 200, "accept_above": 0.01, "reject_below": -0.01}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings))
    return LearnedVerifier(folder, **options)


def cached(inner: Callable[[ExitStack, Path], Case]) -> Callable[[ExitStack, Path], Case]:
    def build(stack: ExitStack, folder: Path) -> Case:
        case = inner(stack, folder)
        cache = Cache(folder / "cache.db")
        stack.callback(cache.close)

        def around(one: Callable[[], Any]) -> Callable[[], Verifier]:
            return lambda: CachedVerifier(one(), cache)

        hurried = around(case.hurried) if case.hurried else None
        return replace(case, make=around(case.make), others=[around(other) for other in case.others], hurried=hurried)

    return build


def _of(build: Callable[..., Case], **options: Any) -> Callable[[ExitStack, Path], Case]:
    return lambda stack, folder: build(stack, folder, **options)


def _cascade(verifier: Verifier) -> Verifier:
    return Cascade(ExactVerifier(), verifier, ask="incorrect")


CASES: dict[str, Callable[[ExitStack, Path], Case]] = {
    "exact": _of(rule, make=ExactVerifier, others=(HendrycksVerifier,)),
    "column": _of(rule, make=lambda: ColumnVerifier("label"), others=()),
    **{f"math-{policy}": _of(maths, policy=policy) for policy in ("strict", "balanced", "binary")},
    "choice": choice,
    "by": by_field,
    "reasoning-gym": gym,
    "cached-by": cached(by_field),
    "hendrycks": _of(rule, make=HendrycksVerifier, others=(ExactVerifier,)),
    "math_verify": _of(
        rule, make=lambda: MathVerifyVerifier(workers=1, deadline_s=4.0), others=(lambda: MathVerifyVerifier(workers=1),)
    ),
    **{f"judge-{name}": _of(judge, format_name=name) for name in FORMATS},
    "judge-local": local_judge,
    "learned": learned,
    "cascade": _of(judge, wrap=_cascade),
    "any_of": _of(judge, wrap=lambda verifier: any_of(ExactVerifier(), verifier)),
    "all_of": _of(judge, wrap=lambda verifier: all_of(ExactVerifier(), verifier), bad=0),
    "majority": _of(judge, wrap=lambda verifier: majority(ExactVerifier(), HendrycksVerifier(), verifier, quorum=3)),
    "cached-judge": cached(_of(judge)),
    "cached-cascade": cached(_of(judge, wrap=_cascade)),
    "cached-learned": cached(learned),
}
ALL_BY_JUDGE = [name for name in CASES if name.removeprefix("cached-").startswith("judge") and name != "judge-local"]
"""Every verdict is the judge's, so that none is left when it fails."""


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with ExitStack() as stack:
        case = CASES[request.param](stack, tmp_path_factory.mktemp("verifier"))
        yield case
        for subject in case.seen:
            subject.close()
            subject.close()


@pytest.mark.parametrize("case", CASES, indirect=True)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_verifier_keeps_the_promise(case: Case, promise: Callable[[Case], None]) -> None:
    promise(case)


@pytest.mark.parametrize("case", ALL_BY_JUDGE, indirect=True)
@pytest.mark.parametrize("fault", LASTING)
def test_a_server_at_fault_gives_failed_abstentions(case: Case, fault: str) -> None:
    contract.a_lasting_fault_gives_no_value_and_passes(case, LASTING[fault])


@pytest.mark.parametrize("case", ALL_BY_JUDGE, indirect=True)
def test_a_passing_fault_is_passed_over(case: Case) -> None:
    contract.a_passing_fault_costs_nothing(case)


def test_a_typed_program_takes_every_verifier(tmp_path: Path) -> None:
    """For a type checker: what stands here is accepted as the protocol, without a cast."""
    exact, judge = ExactVerifier(), JudgeVerifier(LocalJudge(tiny.model(), tokenizer=tiny.tokenizer()))
    verifiers: list[Verifier] = [
        exact, ColumnVerifier("label"), MathVerifier(workers=1), HendrycksVerifier(), MathVerifyVerifier(workers=1), judge,
        JudgeVerifier("http://127.0.0.1:9"), Cascade(exact, judge), any_of(exact, judge), all_of(exact, judge),
        majority(exact, judge), CachedVerifier(exact), _learned(tmp_path), ChoiceVerifier(), ByField("source", {"a": exact}),
    ]  # fmt: skip
    assert all(isinstance(one, Verifier) and not isinstance(one, Scorer) for one in verifiers)
