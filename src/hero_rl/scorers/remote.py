"""A reward model behind HTTP: vLLM, SGLang, Text Embeddings Inference or OpenRLHF. One client, small dialects.

The text that is scored is formed here, as ``LocalScorer`` forms it, or by the server from the conversation (vLLM). What it is
not: no truncation, no retry of what a server refused for good, and no number that the server did not give.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from hero_rl.errors import InputError, SignalError, require
from hero_rl.http import EndpointPool
from hero_rl.loop import in_thread
from hero_rl.pretrained import load_tokenizer
from hero_rl.scorers import selftest
from hero_rl.scorers.dialects import DIALECTS, Dialect
from hero_rl.scorers.rounds import Failed, Rounds
from hero_rl.scorers.text import Eos, Form, Reading, RefusedByTemplateError, RemoteTemplate, make_form
from hero_rl.types import FloatArray, Rollout, Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DialectName: TypeAlias = Literal["vllm", "vllm-pooling", "sglang", "tei", "openrlhf"]

ROWS_PER_REQUEST = 16
"""Small: a server batches over requests by itself, and a request that fails costs no more than its rows."""
EXAMPLES_KEPT = 3

_logger = logging.getLogger(__name__)


class RemoteScorer(Scorer):
    """The scalar that a reward model on a server gives each rollout; NaN where none could be had, with the reason kept.

    Before the first batch a self-test asks every replica to score five fixed texts, and raises where the scores could not be
    used: squashed, all the same, another protocol, a doubled BOS, another model. ``check`` runs it at once.

    A request that the server refuses, or answers with something else than scores, is split until the row that it fails on is
    alone, so that one bad row costs one row. Requests are sent again only where ``EndpointPool`` says.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        dialect: DialectName,
        model: str | None = None,
        revision: str | None = None,
        tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None = None,
        template: RemoteTemplate | None = None,
        system_prompt: str | None = None,
        eos: Eos = "always",
        eos_token: str | None = None,
        max_length: int | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        rows_per_request: int = ROWS_PER_REQUEST,
        concurrency: int = 32,
        timeout_s: float = 60.0,
        total_timeout_s: float = 180.0,
        attempts: int = 4,
        max_failure_rate: float = 1.0,
        self_test: bool = True,
        unit_range: bool = False,
    ) -> None:
        """Check the settings and load the tokenizer; the server is first asked by ``check`` or the first batch.

        Args:
            urls: the address of the server, or those of several that serve the same model.
            dialect: what the server speaks.
            model: the name it serves the model by; by default the only one that it has.
            revision: a label of yours for what is served; part of ``identity``. Change it when the weights behind a name do.
            tokenizer: of the reward model (a folder, an id, or loaded). With it the text is formed here, token for token.
            template: ``"chat"``: the tokenizer's chat template over the prompt's messages and the response. ``"messages"``:
                the server applies its own to the conversation (vLLM; one row a request). ``"plain"``: problem + response.
                None: with a tokenizer, chat if it has a template and plain otherwise; without, messages where the dialect has
                them.
            system_prompt: as for ``LocalScorer``; not with plain.
            eos: which responses are closed, as for ``LocalScorer``.
            eos_token: what closes a plain text where no tokenizer says it.
            max_length: in tokens; longer rows have no score. Needs a tokenizer. Useful where a server cuts in silence.
            api_key: sent as a bearer token; never shown.
            headers: further headers.
            rows_per_request: most texts of one request.
            concurrency: most requests under way, over all replicas.
            timeout_s: for one try of one request.
            total_timeout_s: for one request with all tries.
            attempts: most tries of one request.
            max_failure_rate: more than this share of a batch without score raises; 1.0 leaves it to ``HybridReward``, whose
                limit is 0.1 over every kind of failure.
            self_test: test the server before the first batch.
            unit_range: the model's own scores lie in [0, 1], so that the self-test must not take them for squashed ones.

        Raises:
            InputError: an option out of range, or a template that tokenizer and dialect cannot give.
            MissingDependencyError: the HTTP library, or transformers for a tokenizer, is not installed.
        """
        if dialect not in DIALECTS:
            raise InputError(f"dialect={dialect!r} is unknown; choose {', '.join(map(repr, DIALECTS))}")
        if rows_per_request < 1 or not 0.0 <= max_failure_rate <= 1.0 or (max_length is not None and max_length < 1):
            raise InputError(
                f"rows_per_request={rows_per_request} and max_length={max_length} must be at least 1, and "
                f"max_failure_rate={max_failure_rate} in [0, 1]"
            )
        self.dialect: Dialect = DIALECTS[dialect]
        self._pool = EndpointPool(
            [_base(url, self.dialect) for url in ([urls] if isinstance(urls, str) else urls)],
            api_key=api_key, headers=headers, concurrency=concurrency, timeout_s=timeout_s,
            total_timeout_s=total_timeout_s, attempts=attempts,
        )  # fmt: skip
        self.name = f"remote:{model or self._pool.urls[0]}"
        self.model, self.revision = model, revision
        self._form: Form = make_form(
            self.name, self.dialect, _tokenizer(self.name, tokenizer), template=template, system_prompt=system_prompt, eos=eos,
            eos_token=eos_token,
        )  # fmt: skip
        if max_length is not None and self._form.tokenizer is None:
            raise InputError(f"{self.name}: max_length counts tokens and needs tokenizer=...")
        self.max_length = max_length
        self.rows_per_request = 1 if self._form.template == "messages" else rows_per_request
        self.max_failure_rate, self.self_test, self.unit_range = max_failure_rate, self_test, unit_range
        self.last_failures: dict[str, int] = {}
        self._served: selftest.Served | None = None
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a score; asks the server which model it serves, if it was not asked yet.

        A server does not say when its weights change under the same name: that is what ``revision`` is for.
        """
        served = self._served or self._describe()
        known = served.model is not None or self.revision is not None
        sent = json.dumps(self.dialect.payload(self._probes(), None, True))  # another tokenizer forms other texts or ids
        return json.dumps(
            {
                "kind": "remote", "dialect": self.dialect.name, "model": served.model, "served": served.revision,
                "revision": self.revision, "urls": None if known else sorted(self._pool.urls),
                "form": self._form.settings(), "sent": hashlib.sha256(sent.encode()).hexdigest(), "max_length": self.max_length,
            },
            sort_keys=True,
        )  # fmt: skip

    def check(self) -> None:
        """Ask every replica which model it serves and to score five fixed texts.

        Raises:
            InputError: the scores could not be used; the message says what to change on the server or in the call.
            SignalError: no replica can be reached.
        """
        self._served = selftest.check(
            self.name, self._pool, self.dialect, self._probes(), model=self.model,
            rows_per_request=self.rows_per_request, unit_range=self.unit_range,
        )  # fmt: skip

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores as the server gives them, in order; NaN where missing. Cancelling it cancels its requests.

        Raises:
            InputError: the self-test found that the scores could not be used.
            SignalError: more than ``max_failure_rate`` of the rows have no score, or no server can be reached at the start.
        """
        if not len(rollouts):
            return np.zeros(0)
        rounds = await in_thread(self._start, rollouts)
        while payloads := rounds.payloads():
            rounds.take(await self._pool.post_all(self.dialect.path, payloads))
        return self._finish(rounds)

    def close(self) -> None:
        """Close the connections. Safe to call twice; a later batch opens them again."""
        self._pool.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the lock; the connections stay behind."""
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without connections."""
        vars(self).update(state, _lock=threading.Lock())

    def _start(self, rollouts: Sequence[Rollout]) -> Rounds:
        with self._lock:  # of several batches that come at once, one runs the test and the others wait for it
            if self._served is None and self.self_test:
                self.check()
            served = self._served = self._served or self._describe()
        rows = [self._read(rollout) for rollout in rollouts]
        return Rounds(
            self.dialect, rows, model=served.model,
            rows_per_request=min(self.rows_per_request, served.most_rows or self.rows_per_request),
        )  # fmt: skip

    def _probes(self) -> list[Reading]:
        try:
            return [self._form.read(probe) for probe in selftest.PROBES]
        except RefusedByTemplateError as error:
            raise InputError(f"{self.name}: one user turn and an answer cannot be formed: {error}") from error

    def _describe(self) -> selftest.Served:
        return selftest.describe(self.name, self._pool, self.dialect, self.model)

    def _finish(self, rounds: Rounds) -> FloatArray:
        scores, failures = rounds.result()
        self.last_failures = dict(Counter(failure.kind for failure in failures))
        if failures:
            counts = ", ".join(f"{kind} {count}" for kind, count in sorted(self.last_failures.items()))
            examples = "; ".join(dict.fromkeys(failure.message for failure in failures[: 4 * EXAMPLES_KEPT]))
            words = f"{self.name}: {len(failures)} of {len(scores)} rows have no score ({counts}): {examples[:600]}"
            if len(failures) > self.max_failure_rate * len(scores):
                raise SignalError(f"{words}. At most max_failure_rate={self.max_failure_rate} of a batch may fail")
            _logger.warning("%s", words)
        return scores

    def _read(self, rollout: Rollout) -> Reading | Failed:
        try:
            reading = self._form.read(rollout)
        except RefusedByTemplateError as error:
            return Failed("not_formed", str(error))
        if self.max_length is not None and reading.ids is not None and len(reading.ids) > self.max_length:
            return Failed("too_long", f"{len(reading.ids)} tokens; max_length={self.max_length}")
        if not reading.text and not reading.messages:
            return Failed("not_formed", "there is no text")
        return reading


def _base(url: str, dialect: Dialect) -> str:
    """The address before the dialect's own path, which people paste along."""
    return url.rstrip("/").removesuffix(dialect.path).removesuffix("/v1")


def _tokenizer(name: str, tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase | None:
    if not isinstance(tokenizer, str | os.PathLike):
        return tokenizer
    require("transformers", extra="train", purpose="a tokenizer for the reward model 'remote'")
    return load_tokenizer(name, os.path.expanduser(tokenizer))
