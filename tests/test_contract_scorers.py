"""Every scorer keeps every promise of ``helpers.contract``, those behind real servers with faults as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import contract, process_models, tiny
from helpers.contract import HURRIED_S, LASTING, PROMISES, SCORES_ONLY, Case
from helpers.servers import EOS, Faults, chat_text, running, score_of
from helpers.service import save_reward_model, serving
from hero_rl.cache import Cache, CachedScorer
from hero_rl.scorers import ColumnScorer, LocalScorer
from hero_rl.scorers.dialects import DIALECTS
from hero_rl.scorers.process import ProcessScorer
from hero_rl.scorers.remote import RemoteScorer
from hero_rl.types import Rollout, Scorer, StepScorer

POISON = "poison"
SERVED = {**{name: name.partition("-")[0] for name in DIALECTS}, "vllm-messages": "vllm"}
HURRIED: dict[str, Any] = {"timeout_s": HURRIED_S, "total_timeout_s": HURRIED_S, "attempts": 1}


def row(number: int) -> Rollout:
    return Rollout(
        prompt_id=str(number // 3), problem=f"what is {number // 3}+1=?", reference="2",
        response=f"it is {number}+{number * 7}.", extra={"rm": number / 4},
    )  # fmt: skip


def column(stack: ExitStack, folder: Path) -> Case:
    bad = replace(row(0), extra={"rm": None})
    return Case(make=lambda: ColumnScorer("rm"), row=row, bad=bad, expected=lambda rollout: float(rollout.extra["rm"]))


def local(stack: ExitStack, folder: Path, *, chat: bool) -> Case:
    model = _reward_model(folder / "model", chat=chat)
    bad = replace(row(0), response="1" * 3000)  # more than the model has positions for
    return Case(
        make=lambda: LocalScorer(model, batch_size=3),
        row=row,
        bad=bad,
        others=[lambda: LocalScorer(model, eos="never"), lambda: LocalScorer(model, max_length=100)],
        tolerance=1e-5,
    )


def process(stack: ExitStack, folder: Path) -> Case:
    path = folder / "model"
    process_models.labels_model().save_pretrained(path)
    process_models.build_tokenizer().save_pretrained(path)

    def make(**options: Any) -> ProcessScorer:
        return ProcessScorer(path, style="trl", **options)

    return Case(
        make=make, row=row, bad=replace(row(0), response="x" * 300), tolerance=1e-6,
        others=[lambda: make(aggregate="mean"), lambda: make(logit=True), lambda: make(max_length=99)],
    )  # fmt: skip


def remote(stack: ExitStack, folder: Path, *, dialect: str) -> Case:
    server = stack.enter_context(running(SERVED[dialect], Faults(poison=POISON)))
    server.model = f"rm-{dialect}"
    options: dict[str, Any] = {"dialect": dialect.removesuffix("-messages"), "rows_per_request": 3}
    if dialect != "vllm-messages":
        options |= {"template": "plain", "eos_token": EOS}

    def expected(rollout: Rollout) -> float:
        if dialect == "vllm-messages":
            turns = (("user", rollout.problem), ("assistant", rollout.response))
            return score_of(chat_text([{"role": role, "content": text} for role, text in turns]))
        return score_of(rollout.problem + rollout.response + EOS)

    def make(**more: Any) -> RemoteScorer:
        return RemoteScorer(server.url, **options | more)

    return Case(
        make=make, row=row, bad=replace(row(0), response=POISON), expected=expected, server=server,
        hurried=lambda: make(**HURRIED),        others=[lambda: make(revision="2"), lambda: make(revision="3")],
    )  # fmt: skip


def served(model: Path, url: str, *, dialect: str) -> Case:
    """A real model behind ``hero serve``, which has to say what the same model says here."""
    here = LocalScorer(model)

    def make(**more: Any) -> RemoteScorer:
        return RemoteScorer(url, **{"dialect": dialect, "tokenizer": str(model), "rows_per_request": 3} | more)

    return Case(
        make=make, row=row, bad=replace(row(0), response="1" * 3000), expected=lambda rollout: float(here.score([rollout])[0]),
        tolerance=1e-5, others=[lambda: make(revision="2")],
    )  # fmt: skip


def cached(inner: Callable[[ExitStack, Path], Case]) -> Callable[[ExitStack, Path], Case]:
    def build(stack: ExitStack, folder: Path) -> Case:
        case = inner(stack, folder)
        cache = Cache(folder / "cache.db")
        stack.callback(cache.close)
        make, others = case.make, case.others

        def around(one: Callable[[], Any]) -> Callable[[], Scorer]:
            return lambda: CachedScorer(one(), cache)

        hurried = around(case.hurried) if case.hurried else None
        return replace(case, make=around(make), others=[around(other) for other in others], hurried=hurried)

    return build


def _reward_model(folder: Path, *, chat: bool) -> Path:
    save_reward_model(folder)
    if not chat:
        tokenizer = tiny.tokenizer()
        tokenizer.chat_template = None
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        tokenizer.save_pretrained(folder)
    return folder


def _of(build: Callable[..., Case], **options: Any) -> Callable[[ExitStack, Path], Case]:
    return lambda stack, folder: build(stack, folder, **options)


CASES: dict[str, Callable[[ExitStack, Path], Case]] = {
    "column": column,
    "local-chat": _of(local, chat=True),
    "local-plain": _of(local, chat=False),
    "process": process,
    **{f"remote-{dialect}": _of(remote, dialect=dialect) for dialect in SERVED},
    "cached-local": cached(_of(local, chat=True)),
    "cached-process": cached(process),
    "cached-remote": cached(_of(remote, dialect="openrlhf")),
}
SERVED_HERE = {"served-openrlhf": "openrlhf"}
BEHIND_SERVERS = [name for name in CASES if "remote" in name]


@pytest.fixture(scope="module")
def hero_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    model = _reward_model(tmp_path_factory.mktemp("served") / "model", chat=False)
    options = ("--rule", "rm_only", "--verifier", "none", "--max-failure-rate", "1", "--reward-model", f"local:{model}")
    with serving(*options) as server:
        yield model, server.url


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with ExitStack() as stack:
        if request.param in SERVED_HERE:
            case = served(*request.getfixturevalue("hero_serve"), dialect=SERVED_HERE[request.param])
        else:
            case = CASES[request.param](stack, tmp_path_factory.mktemp("scorer"))
        yield case
        for subject in case.seen:
            subject.close()
            subject.close()


@pytest.mark.parametrize("case", [*CASES, *SERVED_HERE], indirect=True)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_scorer_keeps_the_promise(case: Case, promise: Callable[[Case], None]) -> None:
    promise(case)


@pytest.mark.parametrize("case", BEHIND_SERVERS, indirect=True)
@pytest.mark.parametrize("fault", LASTING | SCORES_ONLY)
def test_a_server_at_fault_gives_no_score_and_is_waited_for_in_vain_once(case: Case, fault: str) -> None:
    contract.a_lasting_fault_gives_no_value_and_passes(case, (LASTING | SCORES_ONLY)[fault])


@pytest.mark.parametrize("case", BEHIND_SERVERS, indirect=True)
def test_a_passing_fault_is_passed_over(case: Case) -> None:
    contract.a_passing_fault_costs_nothing(case)


def test_a_typed_program_takes_every_scorer(tmp_path: Path) -> None:
    """For a type checker: what stands here is accepted as the protocol, without a cast."""
    model = _reward_model(tmp_path / "model", chat=True)
    plain: list[Scorer] = [ColumnScorer("rm"), LocalScorer(model), RemoteScorer("http://127.0.0.1:9", dialect="vllm")]
    steps: StepScorer = ProcessScorer(process_models.labels_model(), style="trl", tokenizer=process_models.build_tokenizer())
    around: list[Scorer] = [CachedScorer(one) for one in (plain[1], steps)]
    assert all(isinstance(one, Scorer) for one in (*plain, steps, *around))
    assert [isinstance(one, StepScorer) for one in (*plain, steps, *around)] == [False] * 3 + [True, False, True]
