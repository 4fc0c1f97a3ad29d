"""A reward model behind HTTP: vLLM, SGLang, Text Embeddings Inference, OpenRLHF or Infinity. One client, small dialects.

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
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from hero_rl.errors import InputError, SignalError, require
from hero_rl.http import JSON, EndpointError, EndpointPool
from hero_rl.loop import in_thread
from hero_rl.models.tokenizing import RefusedByTemplateError, ids_of, load_tokenizer, pair_ids
from hero_rl.scorers import selftest
from hero_rl.scorers.dialects import DIALECTS, Dialect, Reading, WrongShapeError
from hero_rl.scorers.text import Eos, Form, RemoteTemplate, make_form
from hero_rl.types import FloatArray, Rollout, Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DialectName: TypeAlias = Literal["vllm", "vllm-pooling", "sglang", "tei", "openrlhf", "infinity"]

ROWS_PER_REQUEST = 16
"""Small: a server batches over requests by itself, and a request that fails costs no more than its rows."""
EXAMPLES_KEPT = 3
WHOLE_SERVER = frozenset({401, 403, 404, 405, 407})
"""No other row would fare better: neither the key nor the address depends on the text."""
FRUITLESS_ROUNDS = 2
"""After so many rounds of splitting without one score, what is wrong is not a row."""

_logger = logging.getLogger(__name__)


class Failed(NamedTuple):
    """Why a row has no score."""

    kind: str
    """That of ``EndpointError``, or ``not_a_number``, ``not_formed``, ``too_long``."""
    message: str


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
                the server applies its own to the conversation (vLLM; one row per request). ``"plain"``: problem + response.
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
        words = _tokenizer(self.name, tokenizer)
        if self.dialect.closes and eos != "always":
            raise InputError(
                f"{self.name}: a server of dialect {dialect!r} closes every text itself; eos={eos!r} cannot be had"
            )
        template = _template(self.name, self.dialect, words, template)
        self._form: Form = make_form(
            self.name, words, template=template, system_prompt=system_prompt, eos=eos, eos_token=eos_token,
            closes=self.dialect.closes,
        )  # fmt: skip
        self._adds = ("", "") if words is None or self.dialect.takes_special else _around(words)
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
        served, rows = await in_thread(self._start, rollouts)
        return self._finish(await self._ask(rows, served))

    def close(self) -> None:
        """Close the connections. Safe to call twice; a later batch opens them again."""
        self._pool.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the lock; the connections stay behind."""
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without connections."""
        vars(self).update(state, _lock=threading.Lock())

    def _start(self, rollouts: Sequence[Rollout]) -> tuple[selftest.Served, list[Reading | Failed]]:
        with self._lock:  # of several batches that come at once, one runs the test and the others wait for it
            if self._served is None and self.self_test:
                self.check()
            self._served = self._served or self._describe()
        return self._served, [self._read_or_fail(rollout) for rollout in rollouts]

    async def _ask(self, rows: list[Reading | Failed], served: selftest.Served) -> list[float | Failed]:
        """Return a score or a failure per row; a request that failed is sent again in halves, as one row may be at fault."""
        found: dict[int, float | Failed] = {place: row for place, row in enumerate(rows) if isinstance(row, Failed)}
        asked = [place for place in range(len(rows)) if place not in found]
        size = min(self.rows_per_request, served.most_rows or self.rows_per_request)
        pending = [asked[start : start + size] for start in range(0, len(asked), size)]
        fruitless = 0
        while pending and fruitless < FRUITLESS_ROUNDS:
            readings = [[row for place in places if isinstance(row := rows[place], Reading)] for places in pending]
            payloads = [self.dialect.payload(some, served.model, True) for some in readings]
            outcomes = await self._pool.post_all(self.dialect.path, payloads)
            halves: list[list[int]] = []
            scored = len(pending) == 1
            for places, outcome in zip(pending, outcomes, strict=True):
                scores = _take(self.dialect, outcome, len(places))
                if not isinstance(scores, _Refused):
                    scored = True
                    found |= zip(places, scores, strict=True)
                    continue
                found |= dict.fromkeys(places, scores.why)
                if scores.depends_on_rows and len(places) > 1:
                    half = len(places) // 2
                    halves += [places[:half], places[half:]]
            pending, fruitless = halves, 0 if scored else fruitless + 1
        return [found[place] for place in range(len(rows))]

    def _finish(self, found: Sequence[float | Failed]) -> FloatArray:
        failures = [one for one in found if isinstance(one, Failed)]
        self.last_failures = dict(Counter(failure.kind for failure in failures))
        if failures:
            counts = ", ".join(f"{kind} {count}" for kind, count in sorted(self.last_failures.items()))
            examples = "; ".join(dict.fromkeys(failure.message for failure in failures[: 4 * EXAMPLES_KEPT]))
            words = f"{self.name}: {len(failures)} of {len(found)} rows have no score ({counts}): {examples[:600]}"
            if len(failures) > self.max_failure_rate * len(found):
                raise SignalError(f"{words}. At most max_failure_rate={self.max_failure_rate} of a batch may fail")
            _logger.warning("%s", words)
        return np.array([np.nan if isinstance(one, Failed) else one for one in found])

    def _probes(self) -> list[Reading]:
        try:
            return [self._read(probe) for probe in selftest.PROBES]
        except RefusedByTemplateError as error:
            raise InputError(f"{self.name}: one user turn and an answer cannot be formed: {error}") from error

    def _describe(self) -> selftest.Served:
        return selftest.describe(self.name, self._pool, self.dialect, self.model)

    def _read(self, rollout: Rollout) -> Reading:
        form, closed = self._form, self._form.closes(rollout)
        if form.template == "messages":
            return Reading(messages=tuple(form.conversation(rollout)), add_special_tokens=False, closed=closed)
        text, plain = form.texts([rollout])[0], form.template == "plain"
        ids = None if form.tokenizer is None else tuple(ids_of(form.tokenizer, text, special=plain))
        if not plain:
            text = text.removeprefix(self._adds[0]).removesuffix(self._adds[1])
        if self.dialect.pairs and not self._second_of_a_pair(text, ids):
            raise RefusedByTemplateError(
                "this server strips white space off the ends of a text and reads it as the second of a pair, after an empty "
                "first one, which here gives other tokens than the model is meant to read; serve it with vLLM"
            )
        return Reading(text=text, ids=ids, add_special_tokens=plain, closed=closed)

    def _second_of_a_pair(self, text: str, ids: tuple[int, ...] | None) -> bool:
        """Return whether a text reads the same where the server does that to it; without a tokenizer only blanks are seen."""
        if ids is None or self._form.tokenizer is None:
            return text == text.strip()
        return ids == tuple(pair_ids(self._form.tokenizer, "", text.strip()))

    def _read_or_fail(self, rollout: Rollout) -> Reading | Failed:
        try:
            reading = self._read(rollout)
        except RefusedByTemplateError as error:
            return Failed("not_formed", str(error))
        if self.max_length is not None and reading.ids is not None and len(reading.ids) > self.max_length:
            return Failed("too_long", f"{len(reading.ids)} tokens; max_length={self.max_length}")
        if not reading.text and not reading.messages:
            return Failed("not_formed", "there is no text")
        return reading


class _Refused(NamedTuple):
    why: Failed
    depends_on_rows: bool
    """A part of the request might succeed: a text is too long, or the model breaks on it."""


def _take(dialect: Dialect, outcome: JSON | EndpointError, rows: int) -> list[float | Failed] | _Refused:
    if isinstance(outcome, EndpointError):
        of_rows = outcome.kind in ("refused", "bad_reply", "server_error") and outcome.status not in WHOLE_SERVER
        return _Refused(Failed(outcome.kind, str(outcome)), of_rows)
    try:
        scores = dialect.read(outcome, rows)
    except WrongShapeError as error:
        return _Refused(Failed("bad_reply", str(error)), True)
    absent = Failed("not_a_number", "the server gave no finite number for the row")
    return [absent if score is None else score for score in scores]


def _base(url: str, dialect: Dialect) -> str:
    """Return the address before the dialect's own path, which people paste along."""
    return url.rstrip("/").removesuffix(dialect.path).removesuffix("/v1")


def _tokenizer(name: str, tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase | None:
    if not isinstance(tokenizer, str | os.PathLike):
        return tokenizer
    require("transformers", extra="train", purpose="a tokenizer for the reward model 'remote'")
    return load_tokenizer(name, tokenizer)


def _template(
    name: str, dialect: Dialect, tokenizer: PreTrainedTokenizerBase | None, asked: RemoteTemplate | None
) -> RemoteTemplate | None:
    if asked not in (None, *get_args(RemoteTemplate)):
        raise InputError(f"template={asked!r} is unknown; choose 'chat', 'messages' or 'plain', or leave it out")
    if asked == "messages" and not dialect.takes_messages:
        raise InputError(f"{name}: the dialect {dialect.name!r} takes no conversations; give tokenizer=... and template='chat'")
    if asked is not None or tokenizer is not None:
        return asked
    if dialect.takes_messages:
        return "messages"
    raise InputError(
        f"{name}: the dialect {dialect.name!r} takes texts, and how the reward model's text is formed is not known; give "
        "tokenizer=... (its chat template is then applied here), or template='plain' for problem + response"
    )


def _around(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """Return the special tokens that a tokenizer adds before and behind any text.

    A server that always adds them would double the ones that a chat template has written.
    """
    bare, dressed = ids_of(tokenizer, "a", special=False), ids_of(tokenizer, "a")
    for start in range(len(dressed) - len(bare) + 1):
        if dressed[start : start + len(bare)] == bare:
            before, after = dressed[:start], dressed[start + len(bare) :]
            return str(tokenizer.decode(before)), str(tokenizer.decode(after))
    return "", ""
