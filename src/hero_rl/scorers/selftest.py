"""Check that the scores of a server can be used at all: asked once, before a run is trained on them.

Strict only where certain. Scores that are all alike, no numbers, of another protocol, model or tokenization raise. Scores that
all lie in [0, 1] raise where the protocol lets us ask for the squashed score as well (vLLM, TEI) and it is the same; elsewhere
they are a warning, since a model may mean them so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hero_rl.errors import InputError, SignalError
from hero_rl.http import JSON, EndpointError, EndpointPool
from hero_rl.loop import run_sync
from hero_rl.scorers.dialects import DIALECTS, Dialect, Reading, WrongShapeError
from hero_rl.types import FloatArray, Rollout

CONSTANT = 1e-6
"""Scores of the probes that differ by less, relative to their size, are all alike."""
SAME = 5e-3
"""Raw and squashed scores that differ by less, relative to their size, are the same: half precision rounds to 0.4%."""
REPLICAS_DIFFER = 0.1
"""Of the spread between the probes: half-precision arithmetic stays below a hundredth, another model does not."""

_PROBLEM = "What is 17 + 25? Put the final answer in \\boxed{}."
PROBES = tuple(
    Rollout(prompt_id="self-test", problem=_PROBLEM, reference="42", response=response, finished=True)
    for response in (
        "17 + 25 = 17 + 20 + 5 = 37 + 5 = 42. The answer is \\boxed{42}.",
        "17 + 25 = 17 + 20 + 5 = 37 + 5 = 41. The answer is \\boxed{41}.",
        "I do not know.",
        "Bananas are yellow because the sea is far away, and \\boxed{} is a fine word. " * 6 + "Is it?",
        "17 17 17 17 17 17 17 17 ?? ?? ]] ]] 25 25",
    )
)
"""Texts of clearly different quality."""

_logger = logging.getLogger(__name__)


class Served(NamedTuple):
    """The model that a server says it serves."""

    model: str | None
    """The name to ask for."""
    revision: str | None = None
    """The checkpoint behind the name, as the server says: a path or a commit."""
    most_rows: int | None = None
    """Texts that one request may hold."""


def check(
    name: str, pool: EndpointPool, dialect: Dialect, probes: Sequence[Reading], *, model: str | None, rows_per_request: int,
    unit_range: bool,
) -> Served:  # fmt: skip
    """Return what the replicas serve, after every one that can be reached has passed.

    Args:
        name: of the scorer, for messages.
        pool: the replicas.
        dialect: what they should speak.
        probes: texts of different quality, as the scorer forms them.
        model: the name asked for.
        rows_per_request: most texts of one request.
        unit_range: scores inside [0, 1] are this model's own.

    Raises:
        InputError: the scores could not be used.
        SignalError: no replica can be reached.
    """
    passed: list[tuple[str, Served, FloatArray]] = []
    unreached: list[str] = []
    for replica in pool.each():
        url = replica.urls[0]
        try:
            served = describe(f"{name}: {url}", replica, dialect, model)
            rows = min(rows_per_request, served.most_rows or rows_per_request)
            server = _Server(f"{name}: {url}", replica, dialect, probes, served.model, rows)
            passed.append((url, served, server.check(unit_range=unit_range)))
        except SignalError as error:
            unreached.append(str(error))
        finally:
            replica.close()
    if not passed:
        raise SignalError("; ".join(unreached))
    for words in unreached:
        _logger.warning("%s; the run starts without this replica", words)
    _check_agreement(name, passed)
    return passed[0][1]


def describe(name: str, pool: EndpointPool, dialect: Dialect, model: str | None) -> Served:
    """Return what the server says that it serves; only the name asked for where it says nothing.

    Raises:
        InputError: it serves something else, or several models and none was named.
        SignalError: it cannot be reached.
    """
    if dialect.models_path is None:
        return Served(model)
    try:
        reply = run_sync(pool.get(dialect.models_path))
    except EndpointError as error:
        if error.status in (401, 403):
            raise InputError(f"{name}: {error}") from error
        if error.kind in ("refused", "bad_reply"):
            return Served(model)  # behind some gateways only the scores can be asked for
        raise _unreached(name, error) from error
    if dialect.name == "tei":
        return _tei_served(name, reply, model)
    entries = reply.get("data") if isinstance(reply, dict) else None
    names = {
        str(entry["id"]): entry.get("root")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and "id" in entry
    }
    if not names:
        return Served(model)
    if model is None and len(names) > 1:
        raise InputError(f"{name} serves {_list(names)}; choose one with model=...")
    if model is not None and model not in names:
        raise InputError(
            f"{name} does not serve {model!r} but {_list(names)}; give one of these as model=... (commands: "
            "KIND:MODEL@URL), or start the server with "
            f"--served-model-name {model}"
        )
    chosen = model if model is not None else next(iter(names))
    root = names[chosen]
    return Served(chosen, str(root) if root else None)


def _tei_served(name: str, reply: JSON, model: str | None) -> Served:
    if not isinstance(reply, dict):
        return Served(model)
    found, kind, rows = reply.get("model_id"), reply.get("model_type"), reply.get("max_client_batch_size")
    if isinstance(kind, dict) and "classifier" not in kind and "reranker" not in kind:
        raise InputError(
            f"{name} serves {found!r} for {_list(kind)}; a reward model is a sequence classifier with one output, which "
            "text-embeddings-router serves at /predict"
        )
    if model is not None and isinstance(found, str) and found != model:
        raise InputError(f"{name} does not serve {model!r} but {found!r}; start it with --model-id {model}")
    revision = reply.get("model_sha")
    return Served(
        found if isinstance(found, str) else model,
        revision if isinstance(revision, str) else None,
        rows if isinstance(rows, int) and rows > 0 else None,
    )


class _Server(NamedTuple):
    """One replica that is being tested."""

    name: str
    pool: EndpointPool
    dialect: Dialect
    probes: Sequence[Reading]
    model: str | None
    rows: int
    """Most texts of one request."""

    def check(self, *, unit_range: bool) -> FloatArray:
        """Return the probes' scores; raise where they cannot be used."""
        scores = self.ask(raw=True)
        size = max(1.0, float(np.abs(scores).max()))
        if float(np.ptp(scores)) <= CONSTANT * size:
            raise InputError(
                f"{self.name} gives the same score, {scores[0]:.6g}, to {len(scores)} clearly different texts: a softmax over "
                "one output gives 1 to everything, and a normalised embedding 1 or -1. Serve the model as a sequence "
                f"classifier with one output ({self.dialect.start}), and ask it for raw scores"
            )
        squashed = self.squashed()
        if not unit_range and scores.min() >= 0.0 and scores.max() <= 1.0:
            self.check_range(scores, squashed)
        if squashed is not None:
            self.check_sigmoid(scores, squashed)
        self.check_tokens()
        return scores

    def ask(self, *, raw: bool) -> FloatArray:
        """Return the probes' scores; ``raw=False``: as the server gives them unasked."""
        scores: list[float | None] = []
        for start in range(0, len(self.probes), self.rows):
            chunk = self.probes[start : start + self.rows]
            try:
                reply = run_sync(self.pool.post(self.dialect.path, self.dialect.payload(chunk, self.model, raw)))
                scores += self.dialect.read(reply, len(chunk))
            except EndpointError as error:
                if error.kind in ("timeout", "unreachable", "rate_limited", "server_error"):
                    raise _unreached(self.name, error) from error
                raise InputError(self.explain(error)) from error
            except WrongShapeError as error:
                raise InputError(
                    f"{self.name} does not answer as the dialect {self.dialect.name!r} does: {error}{self.looks_like()}"
                ) from error
            _check_token_count(self.name, chunk, self.dialect.tokens(reply))
        numbers = [score for score in scores if score is not None]
        if len(numbers) < len(scores):
            raise InputError(
                f"{self.name} gives no finite number to {len(scores) - len(numbers)} of {len(scores)} plain texts (NaN, null "
                "or a text in its place); look at the model on the server: in half precision it may overflow"
            )
        return np.array(numbers)

    def squashed(self) -> FloatArray | None:
        """Return the probes' scores as the server gives them unasked; None: there is no such thing, as in ``hero serve``."""
        try:
            return self.ask(raw=False) if self.dialect.has_raw else None
        except (InputError, SignalError) as error:
            _logger.debug("activated scores cannot be had for comparison: %s", error)
            return None

    def check_range(self, scores: FloatArray, squashed: FloatArray | None) -> None:
        """Raise or warn: all scores lie in [0, 1]."""
        low, high = scores.min(), scores.max()
        seen = f"every score of {len(scores)} clearly different texts lies in [0, 1] ({low:.4g} to {high:.4g})"
        if squashed is None:
            _logger.warning(
                "%s: %s. If the server squashes them (sigmoid, normalisation), serve raw outputs; if they are the model's own, "
                "unit_range=True says so", self.name, seen,
            )  # fmt: skip
        elif _same(scores, squashed):
            option = "use_activation=false" if self.dialect.name.startswith("vllm") else "raw_scores=true"
            raise InputError(
                f"{self.name}: {seen}, and they are the same without {option}: the server squashes them whatever it is asked. "
                "Update it (older ones do not know the option and ignore it), or take the activation out of the model's "
                "config; if these are the model's own scores, say unit_range=True"
            )

    def check_sigmoid(self, scores: FloatArray, squashed: FloatArray) -> None:
        """Warn where a server that was asked for raw scores left out more of the model than its activation."""
        expected = 0.5 * (1.0 + np.tanh(0.5 * scores))
        if not any(_same(squashed, one) for one in (expected, scores, np.ones_like(scores))):
            _logger.warning(
                "%s: the raw scores %s do not belong to the activated ones %s: their sigmoid is %s. The model has another "
                "activation, or the server leaves out a part of the model (vLLM did so with BERT heads); compare with scores "
                "of the model elsewhere before you train on them", self.name, *(np.round(one, 4).tolist() for one in
                (scores, squashed, expected)),
            )  # fmt: skip

    def check_tokens(self) -> None:
        """Raise where a server whose scores do not say how many tokens were read, but which can be asked, reads others."""
        if self.dialect.name != "tei" or any(reading.ids is None for reading in self.probes):
            return
        texts = {"inputs": [reading.text for reading in self.probes], "add_special_tokens": True}
        try:
            reply = run_sync(self.pool.post("/tokenize", texts))
        except EndpointError as error:
            _logger.warning("%s: the tokens it reads cannot be checked: %s", self.name, error)
            return
        if isinstance(reply, list) and all(isinstance(tokens, list) for tokens in reply):
            _check_token_count(self.name, self.probes, sum(len(tokens) for tokens in reply if isinstance(tokens, list)))

    def explain(self, error: EndpointError) -> str:
        """Return what is wrong with a server that refuses the probes."""
        if error.status in (401, 403):
            return f"{self.name}: {error}"
        dialect = self.dialect
        if error.status == 404:
            words = (
                f"has no such route or model ({error}). A server of dialect {dialect.name!r} is started with: {dialect.start}"
            )
        else:
            words = f"does not take requests of the dialect {dialect.name!r} ({error})"
        return f"{self.name} {words}{self.looks_like()}"

    def looks_like(self) -> str:
        """Return the dialect that the server does speak, as the end of a message."""
        probe = Reading(text="17 + 25 = 42")
        for other in DIALECTS.values():
            if other is self.dialect:
                continue
            try:
                other.read(run_sync(self.pool.post(other.path, other.payload([probe], None, True))), 1)
            except (EndpointError, WrongShapeError):
                continue
            return f". It looks like dialect={other.name!r}"
        return ""


def _same(left: FloatArray, right: FloatArray) -> bool:
    return bool(np.allclose(left, right, rtol=SAME, atol=1e-9))


def _check_token_count(name: str, chunk: Sequence[Reading], seen: int | None) -> None:
    ours = [len(reading.ids) for reading in chunk if reading.ids is not None]
    if seen is None or len(ours) < len(chunk) or seen == sum(ours):
        return
    extra = (seen - sum(ours)) / len(chunk)
    if extra > 0 and extra == int(extra):
        raise InputError(
            f"{name} reads {int(extra)} more token{'s' if extra > 1 else ''} per text than the tokenizer given here makes of "
            "it: a doubled BOS (or EOS). The chat template writes it and the server's tokenizer adds it once more: set "
            "add_bos_token to false in the tokenizer_config.json on the server, or update the server"
        )
    raise InputError(
        f"{name} reads {seen} tokens where the tokenizer given here makes {sum(ours)}: it is not the tokenizer of the model "
        "that is served, or the server cuts texts; give tokenizer=... of that model"
    )


def _check_agreement(name: str, passed: Sequence[tuple[str, Served, FloatArray]]) -> None:
    first_url, first, first_scores = passed[0]
    for url, served, scores in passed[1:]:
        if served.model != first.model:
            raise InputError(f"{name}: {first_url} serves {first.model!r} and {url} {served.model!r}; replicas must be alike")
        apart = float(np.abs(scores - first_scores).max())
        if apart > REPLICAS_DIFFER * float(np.ptp(first_scores)):
            raise InputError(
                f"{name}: {first_url} and {url} score the same text up to {apart:.4g} apart; replicas must serve the same "
                "model in the same way"
            )


def _unreached(name: str, error: EndpointError) -> SignalError:
    return SignalError(f"{name} cannot be asked for scores ({error.kind}): {error}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(one) for one in names) or "nothing"
