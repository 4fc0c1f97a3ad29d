"""``RemoteJudge``: a judge behind any server with the OpenAI chat interface: vLLM, SGLang, llama.cpp, a provider."""

from __future__ import annotations

import functools
import json
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import cast

from hero_rl.errors import InputError
from hero_rl.http import JSON, EndpointError, EndpointPool
from hero_rl.loop import run_sync
from hero_rl.verifiers.judge.backend import NoReply, Outcome, Reply
from hero_rl.verifiers.judge.formats import Template

_SET_HERE = ("model", "messages", "prompt", "stream", "n")


class RemoteJudge:
    """Asks ``/v1/chat/completions`` (or ``/v1/completions`` where the format is plain text) at temperature 0.

    Several addresses are replicas of one model: requests are spread over them and move on when one fails. See
    ``hero_rl.http.EndpointPool`` for timeouts, retries and limits.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        model: str | None = None,
        revision: str = "",
        api_key: str | None = None,
        api_key_env: str | None = None,
        extra_body: Mapping[str, object] | None = None,
        tokenizer: str | None = None,
        concurrency: int = 32,
        timeout_s: float = 60.0,
        total_timeout_s: float = 180.0,
        attempts: int = 4,
    ) -> None:
        """Check the options; nothing is sent yet.

        Args:
            urls: such as ``"http://localhost:8000"``. An address without a path gets ``/v1``; one with a path stays as it is.
            model: as the server names it; None: the first that the server lists.
            revision: any text that tells apart two models served under one name; goes into ``identity`` only.
            api_key: sent as a bearer token.
            api_key_env: the environment variable that holds the key; it is read when the judge is made or unpickled, so that a
                pickled judge does not carry the key.
            extra_body: further fields of every request, such as ``{"chat_template_kwargs": {"enable_thinking": False}}``; they
                replace our own, and None leaves one out (``{"max_tokens": None, "max_completion_tokens": 64}``).
            tokenizer: of the served model, by its Hugging Face id or folder, whose special tokens are taken out of every field.
                None: only the usual ones of chat templates are.
            concurrency: most requests under way at once.
            timeout_s: for one try.
            total_timeout_s: for one request with all its tries.
            attempts: most tries of one request.

        Raises:
            InputError: an address or an option that cannot be used, or an environment variable that is not set.
            MissingDependencyError: the HTTP library is not installed, or ``tokenizer`` is given and transformers is not.
        """
        self._remake = functools.partial(
            RemoteJudge, urls, model=model, revision=revision, api_key=api_key, api_key_env=api_key_env,
            extra_body=extra_body, tokenizer=tokenizer, concurrency=concurrency, timeout_s=timeout_s,
            total_timeout_s=total_timeout_s, attempts=attempts,
        )  # fmt: skip
        self._extra = _checked_extra(extra_body or {})
        self._pool = EndpointPool(
            [with_version(url) for url in ([urls] if isinstance(urls, str) else urls)],
            api_key=_key(api_key, api_key_env), concurrency=concurrency, timeout_s=timeout_s,
            total_timeout_s=total_timeout_s, attempts=attempts,
        )  # fmt: skip
        self._revision = revision
        self._model = model
        self.name = f"remote:{model}" if model else "remote"
        self.special_tokens: tuple[str, ...] = _special_tokens(self.name, tokenizer) if tokenizer else ()

    @property
    def identity(self) -> str:
        """Model name, revision and sampling; not the address. Asks the server for the name where none was given.

        Raises:
            EndpointError: the server did not say.
        """
        model = self._model or self._take_model(run_sync(self._pool.get("/models")))
        fields = {"model": model, "revision": self._revision, "temperature": 0.0} | self._extra
        return "remote:" + json.dumps(fields, sort_keys=True)

    async def ask(self, prompts: Sequence[str], *, template: Template, max_tokens: int) -> list[Outcome]:
        """Return one outcome per prompt, in order; cancelling it cancels the requests."""
        if not prompts:
            return []
        try:
            model = self._model or self._take_model(await self._pool.get("/models"))
        except EndpointError as error:
            return [_outcome(error)] * len(prompts)
        path = "/chat/completions" if template == "chat" else "/completions"
        payloads = [self._payload(prompt, model, template, max_tokens) for prompt in prompts]
        return [_outcome(reply) for reply in await self._pool.post_all(path, payloads)]

    def close(self) -> None:
        """Close the connections; safe to call twice. A later question opens them again."""
        self._pool.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as its options; the copy opens connections of its own."""
        return self._remake, ()

    def _payload(self, prompt: str, model: str, template: Template, max_tokens: int) -> dict[str, object]:
        asked: dict[str, object] = (
            {"messages": [{"role": "user", "content": prompt}]} if template == "chat" else {"prompt": prompt}
        )
        payload = {"model": model, **asked, "temperature": 0.0, "max_tokens": max_tokens, **self._extra}
        return {key: value for key, value in payload.items() if value is not None}

    def _take_model(self, listed: JSON) -> str:
        rows = listed.get("data") if isinstance(listed, dict) else None
        first = rows[0] if isinstance(rows, list) and rows else None
        name = first.get("id") if isinstance(first, dict) else None
        if not isinstance(name, str) or not name:
            raise EndpointError("the server lists no model; give its name (model=...)", kind="bad_reply")
        self._model = name
        return name


def with_version(url: str) -> str:
    """Return the address of an OpenAI-compatible server, with ``/v1`` if it has no path."""
    try:
        path = urllib.parse.urlsplit(url).path
    except ValueError:
        return url  # the pool says what is wrong with it
    return url if path.strip("/") else url.rstrip("/") + "/v1"


def _special_tokens(name: str, tokenizer: str) -> tuple[str, ...]:
    from hero_rl.models.loading import require_transformers
    from hero_rl.models.tokenizing import load_tokenizer, special_texts

    require_transformers("the special tokens of a judge's tokenizer")
    return special_texts(load_tokenizer(name, tokenizer))


def _key(api_key: str | None, variable: str | None) -> str | None:
    if variable is None:
        return api_key
    if api_key is not None:
        raise InputError("api_key and api_key_env were both given; give one of them")
    if not os.environ.get(variable, "").strip():
        raise InputError(f"api_key_env={variable!r}: there is no such environment variable, or it is empty; set it to the key")
    return os.environ[variable]


def _checked_extra(extra: Mapping[str, object]) -> dict[str, object]:
    set_here = sorted(set(extra) & set(_SET_HERE))
    if set_here:
        raise InputError(f"extra_body has {', '.join(set_here)}, which the judge sets itself; leave them out")
    try:
        return cast("dict[str, object]", json.loads(json.dumps(dict(extra), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise InputError(f"extra_body cannot be sent as JSON: {error}") from error


def _outcome(reply: JSON | EndpointError) -> Outcome:
    if isinstance(reply, EndpointError):
        return NoReply(reply.kind, str(reply))
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return NoReply("bad_reply", "the reply has no choices")
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text", 0)
    if text is not None and not isinstance(text, str):
        return NoReply("bad_reply", "the reply has no text")
    return Reply(text or "", cut_off=choice.get("finish_reason") == "length")
