"""``RemoteScorer`` against real servers of every dialect: right scores in order, and what fails is NaN with a reason."""

from __future__ import annotations

import asyncio
import math
import pickle
import threading
import time
from typing import Any

import numpy as np
import pytest

from helpers import servers, tiny
from helpers.servers import EOS, Faults, chat_text, running, score_of
from hero_rl.errors import InputError, SignalError
from hero_rl.scorers.dialects import DIALECTS
from hero_rl.scorers.remote import RemoteScorer
from hero_rl.types import Rollout, Scorer

PLAIN: dict[str, Any] = {"template": "plain", "eos_token": EOS}
PROTOCOL = {name: "vllm" if name == "vllm-pooling" else name for name in DIALECTS}
ROUTE = {name: dialect.path for name, dialect in DIALECTS.items()}


def rollouts(count: int, **fields: Any) -> list[Rollout]:
    return [
        Rollout(prompt_id=str(i // 4), problem=f"problem {i // 4}? ", reference="", response=f"response {i}", **fields)
        for i in range(count)
    ]


def plain_score(rollout: Rollout) -> float:
    return score_of(rollout.problem + rollout.response + EOS)


def requests(server: servers.Server, route: str) -> list[Any]:
    """What was posted after the self-test."""
    return [payload for payload in server.posted(route) if "What is 17 + 25" not in str(payload)]


@pytest.mark.parametrize("dialect", PROTOCOL)
def test_every_dialect_gives_the_raw_scores_in_order(dialect: Any) -> None:
    rows = rollouts(100)
    with running(PROTOCOL[dialect], Faults(slow_s=0.005)) as server:
        scorer = RemoteScorer(server.url, dialect=dialect, rows_per_request=7, concurrency=4, **PLAIN)
        assert isinstance(scorer, Scorer)
        scores = scorer.score(rows)
        assert scores.dtype == np.float64
        assert scores.tolist() == [plain_score(row) for row in rows]
        assert scorer.score([]).shape == (0,)
        assert scorer.last_failures == {}
        assert server.most_in_flight <= 4
        assert len(requests(server, ROUTE[dialect])) == math.ceil(100 / 7)
        assert asyncio.run(scorer.ascore(rows)).tolist() == scores.tolist()
        assert pickle.loads(pickle.dumps(scorer)).score(rows[:3]).tolist() == scores[:3].tolist()
        scorer.close()
        scorer.close()
        assert scorer.score(rows[:1]).tolist() == scores[:1].tolist(), "opened again as needed"


def test_two_texts_are_not_a_pair_to_tei() -> None:
    rows = rollouts(2)
    with running("tei") as server:
        assert RemoteScorer(server.url, dialect="tei", **PLAIN).score(rows).tolist() == [plain_score(row) for row in rows]


def test_conversations_go_to_vllm_as_they_are() -> None:
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"})
    rows = [
        Rollout(prompt_id="p", problem="2+2?", reference="4", response="4", messages=turns),
        Rollout(prompt_id="p", problem="2+2?", reference="4", response="It is", messages=turns, finished=False),
        Rollout(prompt_id="q", problem="3+3?", reference="6", response="6"),
    ]
    answered = {"role": "assistant", "content": "4"}
    with running("vllm") as server:
        assert RemoteScorer(server.url, dialect="vllm").score(rows)[0] == score_of(chat_text([*turns, answered]))
        assert requests(server, "/classify")[0]["model"] == servers.MODEL
        judged = RemoteScorer(server.url, dialect="vllm-pooling", eos="finished", system_prompt="Judge.").score(rows)
        asked = [{"role": "system", "content": "Judge."}, turns[1]]
        cut_off = [*asked, {"role": "assistant", "content": "It is"}]
        assert judged.tolist() == [
            score_of(chat_text([*asked, answered])),
            score_of(chat_text(cut_off, closed=False)),
            score_of(chat_text([asked[0], {"role": "user", "content": "3+3?"}, {"role": "assistant", "content": "6"}])),
        ]


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "tei", "openrlhf"])
def test_a_tokenizer_forms_the_text_here_and_no_special_token_is_doubled(dialect: Any) -> None:
    tokenizer = bos_tokenizer()
    row = Rollout(prompt_id="p", problem="2+2=?", reference="4", response="4")
    written = "<s><|user|>2+2=?<|assistant|>4"

    def count(text: str, special: bool) -> int:
        return len(tokenizer(text, add_special_tokens=special)["input_ids"])

    with running(PROTOCOL[dialect], tokens=count) as server:
        score = RemoteScorer(server.url, dialect=dialect, tokenizer=tokenizer).score([row])[0]
        sent = requests(server, ROUTE[dialect])[-1]
        ids = tokenizer(written, add_special_tokens=False)["input_ids"]
        if dialect == "vllm":
            assert (sent["input"], sent["add_special_tokens"]) == ([written], False)
            assert score == score_of(written)
        elif dialect == "sglang":
            assert sent["input_ids"] == [ids]
        else:
            text = sent["query"][0] if dialect == "openrlhf" else sent["inputs"][0][0]
            assert tokenizer(text)["input_ids"] == ids, "the server's tokenizer adds the BOS"


def test_infinity_scores_no_row_of_which_it_would_read_other_tokens() -> None:
    fine, ends_in_blank = (Rollout(prompt_id="p", problem="2+2=", reference="4", response=text) for text in ("4", "4 "))
    options: dict[str, Any] = {"dialect": "infinity", "template": "plain", "eos": "never"}
    with running("infinity") as server:
        scorer = RemoteScorer(server.url, tokenizer=tiny.tokenizer(), **options)
        scores = scorer.score([fine, ends_in_blank])
        assert scores[0] == score_of("2+2=4")
        assert np.isnan(scores[1])
        assert scorer.last_failures == {"not_formed": 1}
        with pytest.raises(InputError, match="reads it as the second of a pair"):
            RemoteScorer(server.url, tokenizer=bos_tokenizer(), **options).check()


def bos_tokenizer() -> Any:
    """As ``tiny.tokenizer``, with a chat template that writes a BOS and a tokenizer that adds one."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.chat_template = "<s>" + tiny.CHAT_TEMPLATE
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.convert_tokens_to_ids("<s>"))]
    )
    return tokenizer


@pytest.mark.parametrize("dialect", PROTOCOL)
def test_what_is_no_score_is_missing_and_never_a_number(dialect: Any) -> None:
    rows = rollouts(8)
    with running(PROTOCOL[dialect]) as server:
        scorer = RemoteScorer(server.url, dialect=dialect, **PLAIN)
        scorer.check()
        for reply in ("nan", "null", "inf", "text", "bool", "wrong_shape", "short", "html"):
            server.faults.reply = reply
            assert np.isnan(scorer.score(rows)).all()
            kind = "bad_reply" if reply in ("wrong_shape", "short", "html") else "not_a_number"
            assert scorer.last_failures == {kind: 8}
        server.faults.reply = "right"
        assert scorer.score(rows).tolist() == [plain_score(row) for row in rows]


def test_a_server_that_turns_into_a_two_class_one_gives_no_scores() -> None:
    with running("vllm") as server:
        scorer = RemoteScorer(server.url, dialect="vllm", **PLAIN)
        scorer.check()
        server.faults.reply = "two_classes"
        assert np.isnan(scorer.score(rollouts(3))).all()


@pytest.mark.parametrize("dialect", PROTOCOL)
def test_one_row_that_a_server_refuses_costs_one_row(dialect: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows = rollouts(40)
    with running(PROTOCOL[dialect], Faults()) as server:
        scorer = RemoteScorer(server.url, dialect=dialect, attempts=1, **PLAIN)
        scorer.check()
        server.faults.poison = "response 21"
        for status in (400, 413, 422, 500):
            server.faults.poison_status = status
            server.seen.clear()
            scores = scorer.score(rows)
            assert np.flatnonzero(np.isnan(scores)).tolist() == [21]
            assert np.delete(scores, 21).tolist() == [plain_score(row) for i, row in enumerate(rows) if i != 21]
            assert scorer.last_failures == {"server_error" if status == 500 else "refused": 1}
            assert len(server.posted(ROUTE[dialect])) == 3 + 2 * 4, "16 rows are halved four times"
        assert "1 of 40 rows have no score" in caplog.text


def test_one_row_without_a_number_costs_one_row_and_no_further_request() -> None:
    with running("vllm", Faults(poison_null="response 2")) as server:
        scores = RemoteScorer(server.url, dialect="vllm", **PLAIN).score(rollouts(5))
        assert np.flatnonzero(np.isnan(scores)).tolist() == [2]
        assert len(requests(server, "/classify")) == 1


def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    with running("vllm") as server:
        scorer = RemoteScorer(server.url, dialect="vllm", attempts=1, rows_per_request=16, **PLAIN)
        scorer.check()
        server.faults.refuse_status = 400
        assert np.isnan(scorer.score(rollouts(160))).all()
        assert len(requests(server, "/classify")) == 10 + 20, "split once, to no avail"
        server.seen.clear()
        server.faults.refuse_status = 401
        assert np.isnan(scorer.score(rollouts(160))).all()
        assert len(requests(server, "/classify")) == 10, "a key does not depend on the text"
        assert scorer.last_failures == {"refused": 160}


def test_a_share_of_failures_above_the_limit_raises() -> None:
    rows = rollouts(10)
    with running("openrlhf") as server:
        scorer = RemoteScorer(server.url, dialect="openrlhf", max_failure_rate=0.1, **PLAIN)
        scorer.check()
        server.faults.poison_null = "response 3"
        assert np.isnan(scorer.score(rows)).sum() == 1
        server.faults.poison_null = "response"
        with pytest.raises(SignalError, match=r"10 of 10 rows have no score \(not_a_number 10\).*max_failure_rate"):
            scorer.score(rows)


def test_the_total_timeout_bounds_a_batch_of_a_server_that_hangs() -> None:
    with running("vllm") as server:
        scorer = RemoteScorer(server.url, dialect="vllm", timeout_s=0.3, total_timeout_s=0.5, concurrency=2, **PLAIN)
        scorer.check()
        server.faults.slow_s = 30
        started = time.monotonic()
        assert np.isnan(scorer.score(rollouts(320))).all()
        assert time.monotonic() - started < 25
        assert scorer.last_failures == {"timeout": 320}


@pytest.mark.parametrize("dialect", ["vllm", "openrlhf"])
def test_killing_one_of_two_replicas_in_mid_batch_loses_nothing(dialect: Any) -> None:
    rows = rollouts(600)
    name = PROTOCOL[dialect]
    with servers.process(name, slow_s=0.03) as (first, _), servers.process(name, slow_s=0.03) as (second, victim):
        scorer = RemoteScorer([first, second], dialect=dialect, rows_per_request=4, concurrency=6, **PLAIN)
        scorer.check()
        killer = threading.Timer(0.3, victim.kill)
        killer.start()
        scores = scorer.score(rows)
        assert killer.finished.is_set(), "it was killed before the batch ended"
        assert victim.wait(10) == -9
        assert scores.tolist() == [plain_score(row) for row in rows]
        assert scorer.last_failures == {}
        scorer.close()


def test_a_cancelled_batch_stops_asking() -> None:
    async def run(scorer: RemoteScorer) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scorer.ascore(rollouts(64)), 0.3)

    with running("vllm") as server:
        scorer = RemoteScorer(server.url, dialect="vllm", rows_per_request=1, concurrency=2, **PLAIN)
        scorer.check()
        server.faults.slow_s = 60
        server.seen.clear()
        started = time.monotonic()
        asyncio.run(run(scorer))
        assert time.monotonic() - started < 30
        time.sleep(0.1)
        assert len(server.posted("/classify")) <= 2
        scorer.close()


def test_batches_may_come_from_a_running_loop_and_from_threads_at_once() -> None:
    rows = rollouts(20)
    expected = [plain_score(row) for row in rows]

    async def run(scorer: RemoteScorer) -> None:
        assert scorer.score(rows).tolist() == expected  # as in a notebook
        assert [batch.tolist() for batch in await asyncio.gather(*(scorer.ascore(rows) for _ in range(5)))] == [expected] * 5

    with running("vllm") as server:
        scorer = RemoteScorer(server.url, dialect="vllm", **PLAIN)
        asyncio.run(run(scorer))
        got: list[list[float]] = []
        threads = [threading.Thread(target=lambda: got.append(scorer.score(rows).tolist())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [expected] * 4
        tests = [payload for payload in server.posted("/classify") if "17 + 25" in str(payload)]
        assert [payload["use_activation"] for payload in tests] == [False, True], "one self-test"


@pytest.mark.parametrize("dialect", PROTOCOL)
def test_odd_and_huge_texts_arrive(dialect: Any) -> None:
    texts = ["", "\u0000", "\U0001f600\u202e ف\u0301", "x" * 300_000, "\n\n", "<|endoftext|>", "NaN", '{"a": [']
    rows = [Rollout(prompt_id="p", problem="", reference="", response=text) for text in texts]
    half = Rollout(prompt_id="p", problem="", reference="", response="half \ud800 pair")
    with running(PROTOCOL[dialect]) as server:
        scores = RemoteScorer(server.url, dialect=dialect, **PLAIN).score([*rows, half])
        # Infinity would strip the line breaks: rather no score than that of another text
        expected = [np.nan if dialect == "infinity" and row.response == "\n\n" else plain_score(row) for row in rows]
        np.testing.assert_equal(scores[:-1], expected)
        assert scores[-1] == score_of("half \ufffd pair" + EOS)


def test_rows_that_are_too_long_or_that_the_template_refuses_are_not_sent() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = (
        "{% if 'bad' in messages[-1]['content'] %}{{ raise_exception('no') }}{% endif %}" + tiny.CHAT_TEMPLATE
    )
    rows = [Rollout(prompt_id="p", problem="1+1", reference="", response=text) for text in ("2", "bad", "2" * 400, "3")]
    with running("vllm", tokens=lambda text, special: len(tokenizer(text)["input_ids"])) as server:
        scorer = RemoteScorer(server.url, dialect="vllm", tokenizer=tokenizer, max_length=300, self_test=False)
        scores = scorer.score(rows)
        assert np.isnan(scores).tolist() == [False, True, True, False]
        assert scorer.last_failures == {"not_formed": 1, "too_long": 1}
        assert sum(len(payload["input"]) for payload in server.posted("/classify")) == 2


def test_objects_of_equal_identity_give_equal_results_and_others_differ() -> None:
    shifted = bos_tokenizer()  # the same template, other ids
    shifted.chat_template = tiny.CHAT_TEMPLATE
    shifted.add_tokens(["17"])
    with (
        running("vllm") as server, running("vllm", model="other") as other, running("openrlhf") as nameless,
        running("sglang") as sglang,
    ):  # fmt: skip
        base = RemoteScorer(server.url, dialect="vllm", **PLAIN).identity
        assert RemoteScorer(server.url, dialect="vllm", model=servers.MODEL, rows_per_request=3, **PLAIN).identity == base
        others = [
            RemoteScorer(other.url, dialect="vllm", **PLAIN),
            RemoteScorer(server.url, dialect="vllm-pooling", **PLAIN),
            RemoteScorer(server.url, dialect="vllm", revision="step-100", **PLAIN),
            RemoteScorer(server.url, dialect="vllm", template="plain", eos="never"),
            RemoteScorer(server.url, dialect="vllm"),
            RemoteScorer(server.url, dialect="vllm", system_prompt="Judge."),
            RemoteScorer(server.url, dialect="vllm", tokenizer=tiny.tokenizer()),
            RemoteScorer(sglang.url, dialect="sglang", tokenizer=tiny.tokenizer()),
            RemoteScorer(sglang.url, dialect="sglang", tokenizer=shifted),
            RemoteScorer(nameless.url, dialect="openrlhf", **PLAIN),
            RemoteScorer(nameless.url, dialect="openrlhf", revision="r", **PLAIN),
        ]
        assert len({base, *(scorer.identity for scorer in others)}) == len(others) + 1
        assert RemoteScorer(server.url, dialect="vllm", api_key="sk-secret", **PLAIN).identity == base


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/get_reward"])
def test_an_address_with_the_usual_ending_is_understood(suffix: str) -> None:
    with running("openrlhf") as server:
        scores = RemoteScorer(server.url + suffix, dialect="openrlhf", template="plain").score(rollouts(2))
        assert scores.tolist() == [plain_score(row) for row in rollouts(2)]


def test_options_that_cannot_be_are_refused_before_anything_is_sent() -> None:
    url = servers.unused_url()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"dialect": "vllm2"}, "choose 'vllm'"),
        ({"dialect": "tei"}, "give tokenizer="),
        ({"dialect": "tei", "template": "messages"}, "takes no conversations"),
        ({"dialect": "vllm", "template": "chat"}, "tokenizer"),
        ({"dialect": "vllm", "template": "plain"}, r"no tokenizer is given; give eos_token=\.\.\."),
        ({"dialect": "vllm", "template": "other"}, "unknown"),
        ({"dialect": "vllm", "eos": "sometimes"}, "unknown"),
        ({"dialect": "openrlhf", "template": "plain", "eos": "never"}, "closes every text itself"),
        ({"dialect": "vllm", "max_length": 10}, "tokenizer"),
        ({"dialect": "vllm", "rows_per_request": 0}, "at least 1"),
        ({"dialect": "vllm", "max_failure_rate": 1.5}, "max_failure_rate"),
        ({"dialect": "vllm", "template": "plain", "eos": "never", "system_prompt": "x"}, "system"),
    ]
    for options, words in wrong:
        with pytest.raises(InputError, match=words):
            RemoteScorer(url, **options)
