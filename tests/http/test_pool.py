"""``EndpointPool`` against real servers: what is tried again and what is not, in bounded time, from any thread and loop."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import pickle
import random
import threading
import time

import pytest

from helpers import servers
from helpers.servers import Faults, running
from hero_rl.errors import InputError
from hero_rl.http import EndpointError, EndpointPool
from hero_rl.loop import run_sync

PATH = "/v1/chat/completions"


def ask(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}]}


def echo(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"]


def content(reply: object) -> object:
    assert isinstance(reply, dict), reply
    return reply["choices"][0]["message"]["content"]


def test_answers_come_in_the_order_of_the_payloads_over_kept_connections() -> None:
    def slower_first(messages: list[dict[str, str]]) -> str:
        time.sleep(0.02 if int(messages[0]["content"]) % 7 == 0 else 0.0)
        return messages[0]["content"]

    with running("chat", reply=slower_first) as server:
        pool = EndpointPool(server.url, concurrency=8)
        replies = run_sync(pool.post_all(PATH, [ask(str(i)) for i in range(100)]))
        assert [content(reply) for reply in replies] == [str(i) for i in range(100)]
        assert server.most_in_flight <= 8
        assert len(server.clients) <= 8, "connections are kept alive"
        assert run_sync(pool.post_all(PATH, [])) == []
        pool.close()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_broken_server_is_asked_again_and_no_more_than_allowed(status: int) -> None:
    with running("chat", Faults(refuse_status=status)) as server:
        with pytest.raises(EndpointError) as caught:
            run_sync(EndpointPool(server.url, attempts=2).post(PATH, ask("x")))
        assert (caught.value.kind, caught.value.status, len(server.seen)) == ("server_error", status, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
def test_other_statuses_are_final_at_the_first_try(status: int) -> None:
    with running("chat", Faults(refuse_status=status, message="word " * 500)) as server:
        with pytest.raises(EndpointError, match="word word") as caught:
            run_sync(EndpointPool(server.url).post(PATH, ask("x")))
        assert caught.value.kind == ("server_error" if status == 501 else "refused")
        assert (caught.value.status, len(server.seen)) == (status, 1)
        assert len(str(caught.value)) < 500


def test_what_heals_within_the_tries_is_answered() -> None:
    with running("chat", Faults(fail_times=1, drop_times=1, rate_limit_times=1), reply=echo) as server:
        assert content(run_sync(EndpointPool(server.url).post(PATH, ask("x")))) == "x"
        assert len(server.seen) == 4


def test_retry_after_is_waited_for_and_given_up_at_once_when_it_is_too_long() -> None:
    with running("chat", Faults(rate_limit_times=1, retry_after="0.4")) as server:
        started = time.monotonic()
        run_sync(EndpointPool(server.url).post(PATH, ask("x")))
        assert time.monotonic() - started >= 0.4
    with running("chat", Faults(rate_limit_times=99, retry_after="3600")) as server:
        started = time.monotonic()
        with pytest.raises(EndpointError) as caught:
            run_sync(EndpointPool(server.url, total_timeout_s=60).post(PATH, ask("x")))
        assert (caught.value.kind, caught.value.status) == ("rate_limited", 429)
        assert (len(server.seen), time.monotonic() - started < 30) == (1, True)


def test_a_reply_that_is_no_json_is_final() -> None:
    with running("chat", Faults(reply="html")) as server:
        with pytest.raises(EndpointError, match="no JSON") as caught:
            run_sync(EndpointPool(server.url).post(PATH, ask("x")))
        assert (caught.value.kind, len(server.seen)) == ("bad_reply", 1)


def test_the_total_timeout_holds_and_a_dead_server_costs_a_batch_one_of_them() -> None:
    with running("chat", Faults(slow_s=30)) as server:
        pool = EndpointPool(server.url, concurrency=4, timeout_s=0.3, total_timeout_s=0.7, attempts=99)
        replies = run_sync(pool.post_all(PATH, [ask("x")] * 40))
        assert len(server.seen) <= 12, "more than the first four of 40 were tried; in 0.7 s there are three tries of 0.3 s"
        assert {reply.kind for reply in replies if isinstance(reply, EndpointError)} == {"timeout"}
        assert len(replies) == 40
        pool.close()


def test_a_server_that_is_not_there_fails_soon_and_is_found_when_it_comes() -> None:
    url = servers.unused_url()
    pool = EndpointPool(url, concurrency=4, attempts=2)
    started = time.monotonic()
    replies = run_sync(pool.post_all(PATH, [ask("x")] * 50))
    assert all(isinstance(reply, EndpointError) and reply.kind == "unreachable" for reply in replies)
    assert time.monotonic() - started < 60


def test_killing_one_of_two_replicas_in_mid_batch_loses_nothing() -> None:
    with servers.process("vllm", slow_s=0.02) as (first, _), servers.process("vllm", slow_s=0.02) as (second, victim):
        pool = EndpointPool([first, second], concurrency=8)
        payloads = [{"input": [f"text {i}"], "use_activation": False} for i in range(300)]
        killer = threading.Timer(0.3, victim.kill)  # SIGKILL
        killer.start()
        replies = run_sync(pool.post_all("/classify", payloads))
        assert killer.finished.is_set(), "it was killed before the batch ended"
        assert victim.wait(10) == -9
        scores = [reply["data"][0]["probs"][0] if isinstance(reply, dict) else reply for reply in replies]  # type: ignore[call-overload, index]
        assert scores == [servers.score_of(f"text {i}") for i in range(300)]
        pool.close()


def test_a_replica_that_comes_back_is_used_again() -> None:
    with running("chat") as alive:
        url = servers.unused_url()
        pool = EndpointPool([alive.url, url], concurrency=4)
        assert all(isinstance(reply, dict) for reply in run_sync(pool.post_all(PATH, [ask("x")] * 20)))
        with running("chat", port=int(url.rpartition(":")[2])) as back:
            deadline = time.monotonic() + 60
            while not back.seen and time.monotonic() < deadline:
                assert all(isinstance(reply, dict) for reply in run_sync(pool.post_all(PATH, [ask("x")] * 8)))
                time.sleep(0.1)
            assert back.seen
        pool.close()


def test_work_is_spread_over_replicas() -> None:
    with running("chat", Faults(slow_s=0.01)) as first, running("chat", Faults(slow_s=0.01)) as second:
        run_sync(EndpointPool([first.url, second.url], concurrency=8).post_all(PATH, [ask("x")] * 100))
        assert len(first.seen) + len(second.seen) == 100
        assert min(len(first.seen), len(second.seen)) > 25


def test_a_cancelled_caller_leaves_nothing_under_way() -> None:
    async def run(url: str) -> float:
        pool = EndpointPool(url, concurrency=2)
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.post_all(PATH, [ask("x")] * 10), 0.2)
        pool.close()
        return time.monotonic() - started

    with running("chat", Faults(slow_s=60)) as server:
        assert asyncio.run(run(server.url)) < 30
        assert len(server.seen) <= 2, "what had not been sent never is"


def test_sync_calls_work_in_the_thread_of_a_running_loop_and_async_ones_on_any_loop() -> None:
    with running("chat", reply=echo) as server:
        pool = EndpointPool(server.url)

        async def run(text: str) -> tuple[object, object]:
            return content(run_sync(pool.post(PATH, ask(text)))), content(await pool.post(PATH, ask(text)))

        for text in ("a", "b"):  # a loop of its own each
            assert asyncio.run(run(text)) == (text, text)
        seen: list[object] = []
        threads = [
            threading.Thread(target=lambda i=i: seen.append(content(run_sync(pool.post(PATH, ask(str(i))))))) for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, seen)) == [str(i) for i in range(8)]
        pool.close()


def test_closing_twice_ends_what_is_under_way_and_a_later_request_reconnects() -> None:
    with running("chat", Faults(slow_s=1)) as server:
        pool = EndpointPool(server.url)
        got: list[object] = []
        thread = threading.Thread(target=lambda: got.extend(run_sync(pool.post_all(PATH, [ask("x")]))))
        thread.start()
        while not server.seen:
            time.sleep(0.005)
        pool.close()
        pool.close()
        thread.join(5)
        assert isinstance(got[0], EndpointError)
        assert "closed" in str(got[0])
        server.faults.slow_s = 0
        assert content(run_sync(pool.post(PATH, ask("x")))) == "yes"
        pool.close()


def _in_child(pool: EndpointPool, answers: multiprocessing.queues.Queue[object]) -> None:
    answers.put(content(run_sync(pool.post(PATH, ask("child")))))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_that_is_in_use_crosses_to_other_processes(method: str) -> None:
    with running("chat", reply=echo) as server:
        pool = EndpointPool(server.url)
        assert content(run_sync(pool.post(PATH, ask("before")))) == "before"
        assert content(run_sync(pickle.loads(pickle.dumps(pool)).post(PATH, ask("copy")))) == "copy"
        context = multiprocessing.get_context(method)
        answers = context.Queue()
        child = context.Process(target=_in_child, args=(pool, answers))
        child.start()
        assert answers.get(timeout=30) == "child"
        child.join(10)
        assert child.exitcode == 0
        assert content(run_sync(pool.post(PATH, ask("after")))) == "after"
        pool.close()


def test_the_key_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-very-secret"
    with (
        running("chat", Faults(refuse_status=401, message="bad key {authorization}")) as server,
        caplog.at_level(logging.DEBUG),
    ):
        pool = EndpointPool(server.url, api_key=key, headers={"X-Team": "hidden-team"})
        with pytest.raises(EndpointError) as caught:
            run_sync(pool.post(PATH, ask("x")))
        assert server.headers[0]["authorization"] == f"Bearer {key}"
        assert server.headers[0]["x-team"] == "hidden-team"
        for shown in (str(caught.value), repr(caught.value), repr(pool), str(pool.urls), caplog.text):
            assert not any(secret in shown for secret in (key, "hidden-team"))
        pool.close()


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="api_key") as caught:
        EndpointPool("http://user:pass-word@host:8000")
    assert "pass-word" not in str(caught.value)


def test_errors_keep_their_kind_across_processes() -> None:
    error = pickle.loads(pickle.dumps(EndpointError("words", kind="refused", status=404)))
    assert (str(error), error.kind, error.status) == ("words", "refused", 404)


def test_odd_text_arrives_as_it_was_sent_but_for_halves_of_surrogate_pairs() -> None:
    odd = "\u0000 \U0001f600 \ud800 \u202e ف " + "x" * 200_000
    with running("chat", reply=echo) as server:
        assert content(run_sync(EndpointPool(server.url).post(PATH, ask(odd)))) == odd.replace("\ud800", "\ufffd")
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (float("nan"), deep):
        with pytest.raises(InputError, match="JSON"):
            run_sync(EndpointPool(servers.unused_url()).post(PATH, {"x": value}))


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "http://host:99999", "http://host/?a=1", "", "http://a b"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no address"):
        EndpointPool(url)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"concurrency": 0}, {"attempts": 0}, {"timeout_s": 0}, {"total_timeout_s": float("inf")}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            EndpointPool("http://host", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be sent"):
        EndpointPool("http://host", api_key="two\nlines")
    with pytest.raises(InputError, match="no address"):
        EndpointPool([])


def test_a_proxy_for_the_outside_world_does_not_stand_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, servers.unused_url())
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running("chat") as server:
        for host in ("127.0.0.1", "localhost"):
            assert content(run_sync(EndpointPool(server.url.replace("127.0.0.1", host)).post(PATH, ask("x")))) == "yes"


def test_a_replica_that_hangs_costs_its_requests_one_timeout_and_no_answer() -> None:
    with running("chat", Faults(slow_s=60)) as hung, running("chat", Faults(slow_s=0.01), reply=echo) as alive:
        pool = EndpointPool([hung.url, alive.url], concurrency=8, timeout_s=0.5, total_timeout_s=5)
        replies = run_sync(pool.post_all(PATH, [ask(str(i)) for i in range(100)]))
        assert [content(reply) for reply in replies] == [str(i) for i in range(100)]
        assert len(hung.seen) < 12, "set aside after some timeouts, not tried by every request"
        pool.close()


def test_retries_leave_the_random_numbers_of_a_run_alone() -> None:
    random.seed(1)
    expected = random.random()
    with running("chat", Faults(fail_times=2)) as server:
        random.seed(1)
        run_sync(EndpointPool(server.url).post(PATH, ask("x")))
        assert random.random() == expected
