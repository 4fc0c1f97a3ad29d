"""The self-test of ``RemoteScorer``: what could not be used does not get past it, and the error says what to change."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from helpers import servers, tiny
from helpers.servers import EOS, Faults, running, score_of
from hero_rl.errors import InputError, SignalError
from hero_rl.scorers.dialects import DIALECTS
from hero_rl.scorers.remote import RemoteScorer
from hero_rl.types import Rollout

PLAIN: dict[str, Any] = {"template": "plain", "eos_token": EOS}
PROTOCOL = {name: "vllm" if name == "vllm-pooling" else name for name in DIALECTS}
ROW = Rollout(prompt_id="p", problem="1+1=", reference="2", response="2")


def in_unit_range(text: str) -> float:
    return (score_of(text) + 4) / 8


@pytest.mark.parametrize("dialect", PROTOCOL)
def test_a_server_that_answers_everything_alike_is_refused(dialect: Any) -> None:
    with running(PROTOCOL[dialect], Faults(reply="constant")) as server:
        scorer = RemoteScorer(server.url, dialect=dialect, **PLAIN)
        for _ in range(2):  # a test that failed is not forgotten
            with pytest.raises(InputError, match="same score, 1, to 5 clearly different texts"):
                scorer.score([ROW])


@pytest.mark.parametrize("dialect", ["vllm", "vllm-pooling", "tei", "infinity"])
@pytest.mark.parametrize("faults", [Faults(ignores_raw=True), Faults(reply="squashed")])
def test_a_server_that_squashes_whatever_it_is_asked_is_refused(dialect: Any, faults: Faults) -> None:
    with running(PROTOCOL[dialect], faults) as server:
        with pytest.raises(InputError, match=r"lies in \[0, 1\].*unit_range=True"):
            RemoteScorer(server.url, dialect=dialect, **PLAIN).check()
        RemoteScorer(server.url, dialect=dialect, unit_range=True, **PLAIN).check()


@pytest.mark.parametrize("dialect", ["vllm", "vllm-pooling", "tei", "infinity"])
def test_a_model_whose_raw_scores_lie_in_the_unit_range_passes(dialect: Any, caplog: pytest.LogCaptureFixture) -> None:
    with running(PROTOCOL[dialect], score=in_unit_range) as server:
        RemoteScorer(server.url, dialect=dialect, **PLAIN).check()
    assert "lies in [0, 1]" not in caplog.text


def test_a_server_of_raw_scores_alone_passes(caplog: pytest.LogCaptureFixture) -> None:
    with running("vllm", Faults(refuses_activation=True)) as server:
        scorer = RemoteScorer(server.url, dialect="vllm", **PLAIN)
        scorer.check()
        assert caplog.text == ""
        server.score = in_unit_range
        scorer.check()
        assert "lies in [0, 1]" in caplog.text


def test_raw_scores_that_do_not_belong_to_the_activated_ones_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with running("vllm") as server:
        scorer = RemoteScorer(server.url, dialect="vllm", **PLAIN)
        scorer.check()
        assert "do not belong" not in caplog.text
        server.faults.other_raw = True
        scorer.check()
        assert "do not belong" in caplog.text


@pytest.mark.parametrize("dialect", ["sglang", "openrlhf"])
def test_where_the_raw_score_cannot_be_asked_for_the_unit_range_is_a_warning(
    dialect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with running(PROTOCOL[dialect], Faults(reply="squashed")) as server, caplog.at_level(logging.WARNING):
        RemoteScorer(server.url, dialect=dialect, **PLAIN).check()
        assert "lies in [0, 1]" in caplog.text
        caplog.clear()
        RemoteScorer(server.url, dialect=dialect, unit_range=True, **PLAIN).check()
        assert "lies in" not in caplog.text


@pytest.mark.parametrize("served", ["vllm", "sglang", "tei", "openrlhf", "infinity"])
def test_another_dialect_is_recognised_by_its_answers(served: str) -> None:
    with running(served) as server:
        for dialect in [dialect for dialect in PROTOCOL if PROTOCOL[dialect] != served]:
            with pytest.raises(InputError, match=f"It looks like dialect='{served}"):
                RemoteScorer(server.url, dialect=dialect, **PLAIN).check()  # type: ignore[arg-type]


def test_a_server_of_nothing_we_know_is_refused_with_how_to_start_one() -> None:
    with running("chat") as server:
        with pytest.raises(InputError, match="vllm serve MODEL --runner pooling") as caught:
            RemoteScorer(server.url, dialect="vllm", **PLAIN).check()
        assert "looks like" not in str(caught.value)


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "tei", "infinity"])
def test_a_model_that_is_not_served_is_named_with_those_that_are(dialect: Any) -> None:
    words = f"does not serve 'big-rm' but '{servers.MODEL}'"
    with running(PROTOCOL[dialect]) as server, pytest.raises(InputError, match=words):
        RemoteScorer(server.url, dialect=dialect, model="big-rm", **PLAIN).check()


@pytest.mark.parametrize("dialect", PROTOCOL)
def test_scores_that_are_no_numbers_and_replies_of_another_shape_are_refused(dialect: Any) -> None:
    with running(PROTOCOL[dialect]) as server:
        scorer = RemoteScorer(server.url, dialect=dialect, **PLAIN)
        for reply in ("nan", "null", "inf", "text", "bool"):
            server.faults.reply = reply
            with pytest.raises(InputError, match="no finite number to 5 of 5"):
                scorer.check()
        for reply in ("wrong_shape", "short", "html"):
            server.faults.reply = reply
            with pytest.raises(InputError, match="dialect"):
                scorer.check()


def test_a_classifier_of_two_classes_is_refused() -> None:
    words = "2 numbers; a reward model has one output"
    with running("vllm", Faults(reply="two_classes")) as server, pytest.raises(InputError, match=words):
        RemoteScorer(server.url, dialect="vllm", **PLAIN).check()


@pytest.mark.parametrize(("extra", "words"), [(1, "reads 1 more token per text.*doubled BOS"), (-1, "not the tokenizer")])
@pytest.mark.parametrize("dialect", ["vllm", "vllm-pooling", "tei"])
def test_a_doubled_bos_and_another_tokenizer_are_refused(dialect: Any, extra: int, words: str) -> None:
    tokenizer = tiny.tokenizer()

    def count(text: str, special: bool) -> int:
        return len(tokenizer(text)["input_ids"]) + extra

    with running(PROTOCOL[dialect], tokens=count) as server, pytest.raises(InputError, match=words):
        RemoteScorer(server.url, dialect=dialect, tokenizer=tokenizer).check()


def test_a_server_that_adds_a_bos_although_none_is_asked_for_is_refused() -> None:
    tokenizer = tiny.tokenizer()
    with running("vllm", Faults(double_bos=True), tokens=lambda text, special: len(tokenizer(text)["input_ids"])) as server:
        with pytest.raises(InputError, match="doubled BOS.*add_bos_token"):
            RemoteScorer(server.url, dialect="vllm", tokenizer=tokenizer).check()
        server.faults.double_bos = False
        RemoteScorer(server.url, dialect="vllm", tokenizer=tokenizer).check()


def test_replicas_of_different_models_are_refused() -> None:
    def check(dialect: Any, words: str, **second: Any) -> None:
        with running(dialect) as one, running(dialect, **second) as other, pytest.raises(InputError, match=words):
            RemoteScorer([one.url, other.url], dialect=dialect, **PLAIN).check()

    check("openrlhf", "replicas must serve the same model", score=lambda text: -score_of(text))
    check("vllm", "replicas must be alike", model="other")


def test_a_dead_server_is_a_failed_signal_and_a_dead_replica_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    dead = servers.unused_url()
    with pytest.raises(SignalError, match="cannot be asked for scores.*unreachable"):
        RemoteScorer(dead, dialect="openrlhf", attempts=1, **PLAIN).score([ROW])
    with running("openrlhf") as server:
        RemoteScorer([dead, server.url], dialect="openrlhf", attempts=1, **PLAIN).check()
    assert "without this replica" in caplog.text


def test_a_missing_key_is_asked_for() -> None:
    with running("vllm", Faults(refuse_status=401)) as server, pytest.raises(InputError, match="wants a key.*api_key="):
        RemoteScorer(server.url, dialect="vllm", **PLAIN).check()


def test_a_template_that_takes_no_conversation_is_refused() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no assistant turns') }}"
    with running("vllm") as server, pytest.raises(InputError, match="no assistant turns"):
        RemoteScorer(server.url, dialect="vllm", tokenizer=tokenizer).check()


def test_the_self_test_can_be_left_out() -> None:
    with running("openrlhf", Faults(reply="constant")) as server:
        scorer = RemoteScorer(server.url, dialect="openrlhf", self_test=False, **PLAIN)
        assert scorer.score([ROW]).tolist() == [1.0]
        assert len(server.posted("/get_reward")) == 1
