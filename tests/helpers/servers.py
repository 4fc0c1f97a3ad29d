"""Real HTTP servers that speak the protocols of reward-model servers and of chat completions, with faults to switch on.

    with servers.running("vllm") as server:            in a thread of this process
        ... server.url, server.seen, server.faults.reply = "null"
    with servers.process("vllm", slow_s=0.1) as (url, child):        in a process of its own, to be killed
        child.kill()
    with servers.running("chat", reply=lambda messages: "A") as server:     POST /v1/chat/completions, /v1/completions

The score of a text is ``score_of(text)``; of a conversation, that of ``chat_text(messages)``. One token is one word; the
tokenizer adds one BOS where it is asked to.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MODEL = "tiny-rm"
BOS = "<s>"
EOS = "</s>"


def score_of(text: str) -> float:
    """A number in [-4, 4] that any change of the text changes."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return round(int.from_bytes(digest[:4], "big") / 2**32 * 8 - 4, 6)


def chat_text(messages: Sequence[dict[str, str]], *, closed: bool = True) -> str:
    """The chat template of the servers."""
    return "".join(f"<|{turn['role']}|>{turn['content']}" for turn in messages) + (EOS if closed else "")


@dataclass
class Faults:
    """What goes wrong. The counters count down; the rest holds until it is changed."""

    slow_s: float = 0.0
    fail_times: int = 0
    """Answer 500 so many times."""
    rate_limit_times: int = 0
    """Answer 429 so many times, with ``retry_after`` in the header of that name."""
    retry_after: str | None = "0.1"
    drop_times: int = 0
    """Break the connection in the middle of the reply so many times."""
    refuse_status: int = 0
    """Answer every request with this status."""
    message: str = "refused by the test"
    """What an error says; ``{authorization}`` becomes the header."""
    reply: str = "right"
    """right | wrong_shape | nan | null | text | inf | bool | short | constant | squashed | html | two_classes"""
    poison: str = ""
    """A request with a text that contains this is answered with ``poison_status``."""
    poison_status: int = 400
    poison_null: str = ""
    """The score of a text that contains this is null."""
    ignores_raw: bool = False
    """Squash the score although the raw one is asked for, as an old server does."""
    other_raw: bool = False
    """The raw score is not the one that is squashed, as where a server leaves out a part of the model."""
    refuses_activation: bool = False
    """Serve raw scores alone, and refuse requests for others, as ``hero serve`` does."""
    double_bos: bool = False
    """Add a BOS although none is asked for."""


@dataclass
class Server:
    """A running server, as its test sees it."""

    url: str
    protocol: str
    faults: Faults = field(default_factory=Faults)
    model: str = MODEL
    reply: Callable[[list[dict[str, Any]]], str] = lambda messages: "yes"
    """What a chat completion answers to its messages; may wait."""
    score: Callable[[str], float] = score_of
    tokens: Callable[[str, bool], int] = lambda text, special: len(text.split()) + special
    """How many tokens a text has, with or without what the tokenizer puts around it."""
    seen: list[tuple[str, Any]] = field(default_factory=list)
    """(path, payload) of every request, in the order of arrival, those that were refused included."""
    headers: list[dict[str, str]] = field(default_factory=list)
    clients: set[Any] = field(default_factory=set)
    """The (host, port) that requests came from: one for each connection."""
    in_flight: int = 0
    most_in_flight: int = 0

    def posted(self, path: str) -> list[Any]:
        return [payload for seen, payload in self.seen if seen == path and payload is not None]


def _value(server: Server, text: str, raw: bool) -> float | None:
    faults = server.faults
    if faults.poison_null and faults.poison_null in text:
        return None
    if faults.reply == "constant":
        return 1.0
    value = server.score(text) * (2 if raw and faults.other_raw else 1)
    return value if raw and faults.reply != "squashed" and not faults.ignores_raw else 1 / (1 + math.exp(-value))


def _values(server: Server, texts: Sequence[str], *, raw: bool) -> list[Any]:
    values: list[Any] = [_value(server, text, raw) for text in texts]
    special = {"nan": math.nan, "null": None, "text": "0.7", "inf": math.inf, "bool": True}
    if server.faults.reply in special:
        values = [special[server.faults.reply]] * len(values)
    return values[:-1] if server.faults.reply == "short" else values


def _vllm(server: Server, payload: dict[str, Any], key: str) -> Any:
    if payload.get("model", server.model) != server.model:
        return _error(server, 404, f"The model `{payload['model']}` does not exist.")
    if "messages" in payload:
        texts = [chat_text(payload["messages"], closed=not payload.get("continue_final_message", False))]
        special = payload.get("add_special_tokens", False)
    elif "input" in payload:
        texts = [payload["input"]] if isinstance(payload["input"], str) else payload["input"]
        special = payload.get("add_special_tokens", True)
    else:
        return _error(server, 400, "Field required: input")
    if server.faults.refuses_activation and payload.get("use_activation"):
        return _error(server, 400, "this service serves raw rewards")
    read = sum(server.tokens(text, special) + server.faults.double_bos for text in texts)
    values = _values(server, texts, raw=payload.get("use_activation") is False)
    twice = 2 if server.faults.reply == "two_classes" else 1
    return {
        "id": "1", "object": "list", "created": 1, "model": server.model,
        "data": [{"index": i, key: [value] * twice} for i, value in enumerate(values)],
        "usage": {"prompt_tokens": read, "total_tokens": read},
    }  # fmt: skip


def _vllm_classify(server: Server, payload: dict[str, Any]) -> Any:
    return _vllm(server, payload, "probs")


def _vllm_pooling(server: Server, payload: dict[str, Any]) -> Any:
    return _vllm(server, payload, "data") if payload.get("task") == "classify" else _error(server, 400, "Unsupported task")


def _sglang_classify(server: Server, payload: dict[str, Any]) -> Any:
    if ("text" in payload) == ("input_ids" in payload):
        return _error(server, 400, "Either text or input_ids should be provided.")
    if "text" in payload:
        texts, counts = payload["text"], [server.tokens(text, True) for text in payload["text"]]
    else:
        texts, counts = [str(ids) for ids in payload["input_ids"]], [len(ids) for ids in payload["input_ids"]]
    values = _values(server, texts, raw=True)
    return [
        {"embedding": [value], "meta_info": {"id": str(i), "prompt_tokens": count}}
        for i, (value, count) in enumerate(zip(values, counts, strict=False))
    ]


def _tei_predict(server: Server, payload: dict[str, Any]) -> Any:
    given, raw = payload.get("inputs"), payload.get("raw_scores", False)
    if not given or len(given) > 32:
        return _error(server, 422, "batch size > maximum allowed batch size 32")
    if isinstance(given, str) or isinstance(given[0], str):  # one text, or one pair of texts
        text = given if isinstance(given, str) else " ".join(given)
        return [{"score": value, "label": "LABEL_0"} for value in _values(server, [text], raw=raw)]
    return [[{"score": value, "label": "LABEL_0"}] for value in _values(server, [" ".join(text) for text in given], raw=raw)]


def _tei_tokenize(server: Server, payload: dict[str, Any]) -> Any:
    special = payload.get("add_special_tokens", True)
    return [[{"id": 0, "text": "x", "special": False}] * server.tokens(text, special) for text in payload["inputs"]]


def _openrlhf_reward(server: Server, payload: dict[str, Any]) -> Any:
    values = _values(server, [text.removesuffix(EOS) + EOS for text in payload["query"]], raw=True)
    return {"rewards": values, "scores": values, "extra_logs": {"dummy_scores": values}}


def _infinity_rerank(server: Server, payload: dict[str, Any]) -> Any:
    if payload.get("model", server.model) != server.model:
        return _error(server, 400, "Invalid model")
    texts = [" ".join(filter(None, (payload["query"].strip(), text.strip()))) for text in payload["documents"]]
    values = list(enumerate(_values(server, texts, raw=payload.get("raw_scores", False))))
    return {"object": "rerank", "results": [{"relevance_score": value, "index": i} for i, value in reversed(values)]}


def _chat(server: Server, payload: dict[str, Any]) -> Any:
    if payload.get("model", server.model) != server.model:
        return _error(server, 404, f"The model `{payload['model']}` does not exist.")
    message = {"role": "assistant", "content": server.reply(payload["messages"])}
    return {
        "id": "1", "object": "chat.completion", "created": 1, "model": server.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }  # fmt: skip


def _completion(server: Server, payload: dict[str, Any]) -> Any:
    answer = _chat(server, payload | {"messages": [{"role": "user", "content": payload["prompt"]}]})
    if isinstance(answer, dict):
        answer["choices"] = [{"index": 0, "text": answer["choices"][0]["message"]["content"], "finish_reason": "stop"}]
    return answer


def _models(server: Server) -> Any:
    return {"object": "list", "data": [{"id": server.model, "object": "model", "root": server.model, "created": time.time()}]}


def _info(server: Server) -> Any:
    return {
        "model_id": server.model, "model_sha": "abc123", "max_client_batch_size": 32,
        "model_type": {"classifier": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
    }  # fmt: skip


_POST: dict[str, dict[str, Callable[[Server, dict[str, Any]], Any]]] = {
    "vllm": {"/classify": _vllm_classify, "/pooling": _vllm_pooling},
    "sglang": {"/classify": _sglang_classify},
    "tei": {"/predict": _tei_predict, "/tokenize": _tei_tokenize},
    "openrlhf": {"/get_reward": _openrlhf_reward},
    "infinity": {"/rerank": _infinity_rerank},
    "chat": {"/v1/chat/completions": _chat, "/v1/completions": _completion},
}
_GET: dict[str, dict[str, Callable[[Server], Any]]] = {
    "vllm": {"/v1/models": _models},
    "sglang": {"/v1/models": _models},
    "tei": {"/info": _info},
    "openrlhf": {},
    "infinity": {"/models": _models},
    "chat": {"/v1/models": _models},
}
PROTOCOLS = tuple(_POST)


def _error(server: Server, status: int, message: str) -> Response:
    body = {"error": message} if server.protocol == "tei" else {"object": "error", "message": message, "code": status}
    return Response(json.dumps(body), status, media_type="application/json")


def _fault(server: Server, request: Request, body: str) -> Response | None:
    """The reply that is due to a fault, or none."""
    faults = server.faults
    if faults.drop_times > 0:
        faults.drop_times -= 1
        return Response(b'{"half', headers={"Content-Length": "100"}, media_type="application/json")
    if faults.rate_limit_times > 0:
        faults.rate_limit_times -= 1
        wait = {"Retry-After": faults.retry_after} if faults.retry_after is not None else {}
        return Response(json.dumps({"error": {"message": "slow down"}}), 429, headers=wait)
    if faults.fail_times > 0:
        faults.fail_times -= 1
        return _error(server, 500, "out of memory")
    if faults.refuse_status:
        authorization = request.headers.get("authorization", "")
        return _error(server, faults.refuse_status, faults.message.replace("{authorization}", authorization))
    if faults.poison and faults.poison in body:
        return _error(server, faults.poison_status, "This model's maximum context length is 512 tokens.")
    return None


async def _answer(server: Server, request: Request, work: Callable[[Server, dict[str, Any]], Any]) -> Response:
    body = await request.body()
    payload = json.loads(body)
    server.seen.append((request.url.path, payload))
    server.headers.append(dict(request.headers))
    server.clients.add(tuple(request.client or ()))
    server.in_flight += 1
    server.most_in_flight = max(server.most_in_flight, server.in_flight)
    try:
        if server.faults.slow_s:
            await asyncio.sleep(server.faults.slow_s)
        broken = _fault(server, request, body.decode("utf-8", "replace"))
        # A reply hook may wait: it must not hold up the other requests.
        result = broken if broken is not None else await asyncio.to_thread(work, server, payload)
    finally:
        server.in_flight -= 1
    if isinstance(result, Response):
        return result
    if server.faults.reply == "html":
        return Response("<html>a gateway's page</html>", media_type="text/html")
    if server.faults.reply == "wrong_shape":
        result = {"result": "fine"}
    return Response(json.dumps(result), media_type="application/json")  # NaN as Python writes it


def _post(server: Server, path: str, work: Callable[[Server, dict[str, Any]], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await _answer(server, request, work)

    return Route(path, endpoint, methods=["POST"])


def _get(server: Server, path: str, work: Callable[[Server], Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        server.seen.append((request.url.path, None))
        if server.faults.refuse_status == 401:  # of a server that wants a key everywhere
            return _error(server, 401, server.faults.message)
        return Response(json.dumps(work(server)), media_type="application/json")

    return Route(path, endpoint, methods=["GET"])


def build(server: Server) -> Starlette:
    """The application behind ``server``."""
    posts = [_post(server, path, work) for path, work in _POST[server.protocol].items()]
    return Starlette(routes=posts + [_get(server, path, work) for path, work in _GET[server.protocol].items()])


@contextmanager
def running(protocol: str, faults: Faults | None = None, *, port: int = 0, **options: Any) -> Iterator[Server]:
    """A server in a thread of this process. ``options``: fields of ``Server``, such as ``reply`` and ``model``."""
    with _listening(port) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(url=url, protocol=protocol, faults=faults or Faults(), **options)
        host = uvicorn.Server(uvicorn.Config(build(server), log_level="critical", lifespan="off"))
        thread = threading.Thread(target=host.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            _wait_until(lambda: host.started)
            yield server
        finally:
            host.should_exit = host.force_exit = True
            thread.join(10)


@contextmanager
def process(protocol: str, **faults: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(url, process): a server of its own, killed at the end if it was not before."""
    child = subprocess.Popen(
        [sys.executable, "-m", "helpers.servers", protocol, json.dumps(faults)],
        cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert url, "the server did not start"
        yield url, child
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()  # type: ignore[union-attr]


def unused_url() -> str:
    """An address at which nobody listens."""
    with _listening() as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _listening(port: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        yield listener


def _wait_until(true: Callable[[], bool], *, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.005)


def main() -> None:
    """Serve until killed; the address is the first line of the output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("faults", type=json.loads)
    options = parser.parse_args()
    with _listening() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(url=url, protocol=options.protocol, faults=Faults(**options.faults))
        listener.listen(128)
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(build(server), log_level="critical", lifespan="off")).run(sockets=[listener])


if __name__ == "__main__":
    main()
