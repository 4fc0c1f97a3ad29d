"""A small model as a verifier: is this answer equivalent to the reference? For the cascade, where rules cannot tell.

The model reads the problem, the reference and the *extracted answer*, never the response: what is not read cannot argue.
``verifier_text`` makes its input, in training (``hero_rl.learning``) and in use alike. Not a judge: nothing is generated.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import threading
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from hero_rl.errors import InputError, first_line
from hero_rl.models.loading import require_transformers
from hero_rl.models.local import LocalModel, check_positive, open_model, stoppable
from hero_rl.models.tokenizing import ids_of
from hero_rl.types import FloatArray, Rollout, Verdict, Verifier
from hero_rl.verifiers.math.extract import find_answer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

SETTINGS_FILE = "verifier.json"
"""Beside the model: the limits of acceptance and rejection, and how they were chosen."""
FORMAT = 1
"""Changes with ``verifier_text``: a model reads only the text it was trained on."""
MAX_PROBLEM_CHARS = 1200
"""Of a longer problem only the end is read, where the question usually stands."""
MAX_ANSWER_CHARS = 500
"""A longer answer or reference is not judged (it abstains): it is a text, and its length alone may sway the model."""
MAX_TOKENS_PER_BATCH = 16_384

_SPACE = re.compile(r"\s+")


class Thresholds(NamedTuple):
    """The limits, in logits: accepted from ``accept_above``, rejected below ``reject_below``, no verdict between."""

    accept_above: float
    reject_below: float


def sanitize(text: str, special_tokens: Collection[str] = ()) -> str:
    r"""Return the text on one line, without invisible characters and without anything that is a special token to the tokenizer.

    A field that cannot start a new line cannot pretend to be another field.

    >>> sanitize("5<eos>\nReference: 5", ["<eos>"])
    '5< eos> Reference: 5'
    """
    text = "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else char for char in text)
    for token in special_tokens:
        if token:
            text = text.replace(token, f"{token[0]} {token[1:]}" if len(token) > 1 else " ")
    return _SPACE.sub(" ", text).strip()


def verifier_text(problem: str, reference: str, answer: str, *, special_tokens: Collection[str] = ()) -> str:
    """Return the text that the model reads: three fields, one per line, each sanitised; the answer last.

    Args:
        problem: cut to its last ``MAX_PROBLEM_CHARS`` characters.
        reference: the right answer.
        answer: the final answer that was found in a response.
        special_tokens: strings that the tokenizer treats as special; they are taken apart.
    """
    fields = (problem[-MAX_PROBLEM_CHARS:], reference, answer)
    problem, reference, answer = (sanitize(field, special_tokens) for field in fields)
    return f"Problem: {problem}\nReference: {reference}\nAnswer: {answer}"


def encode(tokenizer: PreTrainedTokenizerBase, problem: str, reference: str, answer: str) -> list[int]:
    """Return the token ids of ``verifier_text``, closed by the end-of-sequence token where the tokenizer has one."""
    text = verifier_text(problem, reference, answer, special_tokens=tokenizer.all_special_tokens)
    ids = ids_of(tokenizer, text)
    end = cast("int | None", tokenizer.eos_token_id)
    return ids if end is None or (ids and ids[-1] == end) else [*ids, end]


class LearnedVerifier(Verifier):
    """Correct, incorrect or abstain from a classifier that ``hero verifier train`` made. Its verdicts are marked ``learned``.

    A response without an answer is incorrect by rule. A missing or overlong reference, an overlong answer or a text longer
    than the model takes abstains.
    """

    learned = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threshold: float | None = None,
        margin: float = 0.0,
        max_tokens_per_batch: int = MAX_TOKENS_PER_BATCH,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        """Load the model.

        Args:
            path: the folder that ``hero verifier train`` wrote.
            threshold: a probability in (0, 1) in place of the folder's own limits, which were chosen at a stated
                false-positive rate.
            margin: with ``threshold``: accept from threshold + margin, reject below threshold - margin, abstain between.
            max_tokens_per_batch: most tokens of one forward pass, padding included; a longer row goes alone.
            device: by default the current GPU where there is one.
            dtype: such as ``"bfloat16"``; ``"auto"``: that of the checkpoint. None: as ``LocalScorer``.

        Raises:
            InputError: no such folder, not a learned verifier, or an option out of range.
            MissingDependencyError: torch or transformers is not installed.
        """
        arguments = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        require_transformers("the verifier 'learned'")
        from hero_rl.models.classifier import Classifier, Limits

        self._arguments = arguments
        self.path = Path(path).expanduser()
        self.name = f"learned:{path}"
        check_positive(self.name, max_tokens_per_batch=max_tokens_per_batch)
        settings = read_settings(self.path)
        self.thresholds = _thresholds(self.name, settings, threshold, margin)
        self.max_length = int(cast("int", settings["max_length"]))
        self.local: LocalModel = open_model(
            self.path, "AutoModelForSequenceClassification", name=self.name, of_what="a trained classifier", device=device,
            dtype=dtype, check=_check_outputs,
        )  # fmt: skip
        config = self.local.model.config.get_text_config()
        # one forward pass of a small model is quick: fewer of them are worth some padding
        limits = Limits(max_tokens_per_batch, max_tokens_per_batch, max_padding=1.0)
        self._classifier = Classifier(self.local.model, limits, pad_id=int(cast("int", config.pad_token_id)), share=False)

    @property
    def identity(self) -> str:
        """Everything but the rollout that decides a verdict: ``LocalModel.identity`` and the limits."""
        fields = {**self.local.identity(), **self.thresholds._asdict(), "max_length": self.max_length, "format": FORMAT}
        return "learned:" + json.dumps(fields, sort_keys=True)

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given, from a thread that stops when this is cancelled."""
        return await stoppable(self._verdicts, rollouts)

    def logits(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the raw output, shape (B,); its sigmoid is the probability of equivalence. NaN: the model is not asked."""
        return self._logits(threading.Event(), [self._read(rollout) for rollout in rollouts])

    def __reduce__(self) -> tuple[object, ...]:
        return functools.partial(LearnedVerifier, **self._arguments), ()

    def _verdicts(self, stop: threading.Event, rollouts: Sequence[Rollout]) -> list[Verdict]:
        found = [self._read(rollout) for rollout in rollouts]
        logits = self._logits(stop, found).tolist()
        return [one if isinstance(one, Verdict) else self._judge(logit) for one, logit in zip(found, logits, strict=True)]

    def _logits(self, stop: threading.Event, found: Sequence[Verdict | list[int]]) -> FloatArray:
        encoded = [np.array([] if isinstance(one, Verdict) else one, dtype=np.int32) for one in found]
        with self.local.in_use():
            return self._classifier.run(encoded, range(len(encoded)), max_length=self.max_length, stop=stop)

    def _read(self, rollout: Rollout) -> Verdict | list[int]:
        """The verdict where the model need not be asked, otherwise what it reads."""
        answer, reference = find_answer(rollout.response).strip(), rollout.reference.strip()
        if not reference:
            return Verdict("abstain", "reference_missing")
        if len(reference) > MAX_ANSWER_CHARS:
            return Verdict("abstain", "reference_too_long", detail=f"{len(reference)} characters")
        if not answer:
            return Verdict("incorrect", "no_answer")
        if len(answer) > MAX_ANSWER_CHARS:
            return Verdict("abstain", "answer_too_long", detail=f"{len(answer)} characters")
        ids = encode(self.local.tokenizer, rollout.problem, reference, answer)
        if len(ids) > self.max_length:
            return Verdict("abstain", "too_long", detail=f"{len(ids)} tokens of at most {self.max_length}")
        return ids

    def _judge(self, logit: float) -> Verdict:
        if not math.isfinite(logit):
            return Verdict("abstain", "learned_broken", failed=True, detail="the model's output is not finite", learned=True)
        detail = f"p={_sigmoid(logit):.4f}"
        if logit >= self.thresholds.accept_above:
            return Verdict("correct", "learned_equal", detail=detail, learned=True)
        if logit < self.thresholds.reject_below:
            return Verdict("incorrect", "learned_different", detail=detail, learned=True)
        return Verdict("abstain", "learned_unsure", detail=detail, learned=True)


def read_settings(folder: Path) -> dict[str, object]:
    """Return what is written beside the model.

    Raises:
        InputError: no such folder, no settings in it, or settings of another format.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        what = "has no " + SETTINGS_FILE if folder.is_dir() else "does not exist"
        raise InputError(f"verifier 'learned': the folder {folder} {what}; give one that `hero verifier train` wrote")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        numbers = [float(settings[name]) for name in ("accept_above", "reject_below", "max_length")]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"its numbers are {numbers}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}); train the verifier again") from error
    if settings.get("format") != FORMAT:
        raise InputError(
            f"{path}: written for input format {settings.get('format')!r}, and this version reads {FORMAT}; train it again"
        )
    return settings


def _thresholds(name: str, settings: dict[str, object], threshold: float | None, margin: float) -> Thresholds:
    if threshold is None:
        if margin:
            raise InputError(f"{name}: margin={margin} goes with threshold=...; the folder's own limits have their distance")
        return Thresholds(float(cast("float", settings["accept_above"])), float(cast("float", settings["reject_below"])))
    if not 0.0 < threshold < 1.0 or not 0.0 <= margin < min(threshold, 1.0 - threshold):
        raise InputError(
            f"{name}: threshold={threshold}, margin={margin}: need a probability in (0, 1) and a margin that leaves both "
            "limits inside it"
        )
    return Thresholds(_logit(threshold + margin), _logit(threshold - margin))


def _check_outputs(name: str, config: PretrainedConfig) -> None:
    if config.num_labels != 1:
        raise InputError(f"{name}: the model is no classifier with one output; train it again")


def _sigmoid(logit: float) -> float:
    return 0.5 * (1.0 + math.tanh(logit / 2))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
