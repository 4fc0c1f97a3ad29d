"""A policy on this machine as a model of inspect_ai: transformers, in batches, with a seed for every response.

In place of inspect_ai's own provider `hf`, which does not say whether a response ended or was cut off, tokenizes the output of
a chat template with special tokens once more (two BOS for many models), and has one seed for everything. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import torch
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from hero_rl.errors import InputError
from hero_rl.models.fingerprints import tokenizer_fingerprint, weights_fingerprint
from hero_rl.models.generator import Continuation, Generator
from hero_rl.models.local import NO_LIMIT, LocalModel, check_positive, open_model, position_count
from hero_rl.models.tokenizing import RefusedByTemplateError

API = "hero"
LIKELIEST = 256
"""Tokens that top-p looks at before it sorts the vocabulary."""
GATHER_S = 0.02
"""How long a batch waits for further requests to join it."""


class Request(NamedTuple):
    """One response to sample."""

    ids: Sequence[int]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int


class LocalPolicy:
    """A loaded policy that samples batches.

    The random numbers of a response come from its own seed, so that the same request gives the same response whatever the
    batch it falls into (up to the rounding of padded and unpadded arithmetic).
    """

    def __init__(self, local: LocalModel, *, batch_size: int) -> None:
        """Take over a loaded model."""
        check_positive(local.name, batch_size=batch_size)
        self.name, self.batch_size, self.local = local.name, batch_size, local
        self.generator = Generator(local)

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(getattr(self.local.tokenizer, "chat_template", None))

    def fingerprint(self) -> str:
        """Return a hash of the weights, and one of vocabulary and chat template."""
        return f"{weights_fingerprint(self.local.model)}-{tokenizer_fingerprint(self.local.tokenizer)}"

    def room(self, ids: Sequence[int]) -> int:
        """Return how many tokens fit behind a prompt."""
        return position_count(self.local.model) - len(ids)

    def sample(self, requests: Sequence[Request]) -> list[Continuation]:
        """Return one response per request, in order; those of one batch share temperature, top-p and the length limit."""
        with self.local.in_use():
            prompts = [one.ids for one in requests]
            chooses = _samplers(requests, self.local.device)
            return self.generator.generate(prompts, requests[0].max_tokens, processors=chooses)


def load_policy(source: str, *, batch_size: int, device: str | None = None, dtype: str | None = None) -> LocalPolicy:
    """Return the policy in a folder or behind a Hugging Face id.

    Raises:
        InputError: no such model, no tokenizer, or nothing to pad with.
    """
    local = open_model(
        source, "AutoModelForCausalLM", name=f"MODEL {source}", of_what="a language model", device=device, dtype=dtype
    )
    return LocalPolicy(local, batch_size=batch_size)


def _samplers(requests: Sequence[Request], place: torch.device) -> list[Callable[..., torch.Tensor]]:
    """Return what makes logits whose maximum is a sample: temperature, top-p, and Gumbel noise from each row's seed."""
    from transformers import TemperatureLogitsWarper

    first = requests[0]
    if first.temperature == 0:
        return []
    chain: list[Any] = [] if first.temperature == 1 else [TemperatureLogitsWarper(first.temperature)]
    chain += [lambda _, scores: keep_top_p(scores, first.top_p)] if first.top_p < 1 else []
    generators = [torch.Generator(device=place).manual_seed(one.seed) for one in requests]

    def noise(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wide = scores.float()
        for row, generator in enumerate(generators):
            waits = torch.empty_like(wide[row]).exponential_(generator=generator)
            wide[row] -= waits.log()
        return wide

    return [*chain, noise]


def keep_top_p(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return the logits with all but the likeliest tokens, whose mass reaches ``top_p``, at minus infinity.

    The tokens are those of transformers' ``TopPLogitsWarper``, up to ties and rounding at the limit. It sorts the vocabulary;
    here only rows are sorted whose ``LIKELIEST`` tokens are not enough. Of 32 rows of 49,152 logits on one core: 275 ms, and
    19 ms where they are.
    """
    from transformers import TopPLogitsWarper

    wide = scores.float()
    found = wide.topk(min(LIKELIEST, scores.shape[-1]), dim=-1)
    mass = (found.values - wide.logsumexp(dim=-1, keepdim=True)).exp()
    before = mass.cumsum(dim=-1) - mass
    before[:, 0] = -1.0  # the likeliest token stays, whatever top_p
    kept = torch.full_like(scores, -torch.inf)
    kept.scatter_(1, found.indices, scores.gather(1, found.indices).masked_fill(before >= top_p, -torch.inf))
    if (short := mass.sum(dim=-1) < top_p).any():
        kept[short] = TopPLogitsWarper(top_p)(None, scores[short])  # pyright: ignore[reportArgumentType]
    return kept


class LocalAPI(ModelAPI):
    """inspect_ai's side of a ``LocalPolicy``: gathers requests that wait into batches."""

    def __init__(
        self, model_name: str, base_url: str | None = None, api_key: str | None = None,
        config: GenerateConfig | None = None, *, fingerprint: str = "",
    ) -> None:  # fmt: skip
        """Wait for a loaded policy; ``fingerprint`` is for the log."""
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self._loaded: LocalPolicy | None = None
        self._plain = False
        self._waiting: list[tuple[Request, list[Continuation]]] = []
        self._turn: anyio.Lock | None = None

    def attach(self, policy: LocalPolicy, *, plain: bool) -> None:
        """Sample from this policy; ``plain``: without its chat template."""
        self._loaded, self._plain = policy, plain

    @property
    def _policy(self) -> LocalPolicy:
        if self._loaded is None:
            raise InputError(f"{API}: has no policy; use hero eval, or attach one")
        return self._loaded

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """One response."""
        messages = [{"role": message.role, "content": message.text} for message in input]
        try:
            ids = self._policy.generator.encode(messages, plain=self._plain)
        except RefusedByTemplateError as error:
            raise InputError(f"{self._policy.name}: {error}") from error
        room = self._policy.room(ids)
        if room < 1:
            return self._output(Continuation("", 0, False), len(ids), "model_length")
        request = Request(
            ids, min(config.max_tokens or NO_LIMIT, room), 1.0 if config.temperature is None else config.temperature,
            1.0 if config.top_p is None else config.top_p, config.seed or 0,
        )  # fmt: skip
        response = await self._ask(request)
        return self._output(response, len(ids), "stop" if response.finished else "max_tokens")

    async def _ask(self, request: Request) -> Continuation:
        """Whoever gets the lock samples for all that wait with the same settings; the others find their response made."""
        self._turn = self._turn or anyio.Lock()
        mine: list[Continuation] = []
        self._waiting.append((request, mine))
        async with self._turn:
            if mine:
                return mine[0]
            await anyio.sleep(GATHER_S)
            alike = [one for one in self._waiting if one[0][1:4] == request[1:4]]
            # its own request first: it would otherwise wait for another turn
            alike.sort(key=lambda one: one[1] is not mine)
            batch = alike[: self._policy.batch_size]
            taken = {id(one[1]) for one in batch}
            self._waiting = [one for one in self._waiting if id(one[1]) not in taken]
            found = await anyio.to_thread.run_sync(self._policy.sample, [one[0] for one in batch])
            for (_, place), response in zip(batch, found, strict=True):
                place.append(response)
        return mine[0]

    def _output(self, response: Continuation, prompt_tokens: int, reason: Any) -> ModelOutput:
        message = ChatMessageAssistant(content=response.text, model=self.model_name, source="generate")
        usage = ModelUsage(
            input_tokens=prompt_tokens, output_tokens=response.tokens, total_tokens=prompt_tokens + response.tokens
        )
        return ModelOutput(
            model=self.model_name, choices=[ChatCompletionChoice(message=message, stop_reason=reason)], usage=usage
        )

    def max_connections(self) -> int:
        """Two batches: one is sampled while the next one gathers."""
        return 2 * self._policy.batch_size


modelapi(name=API)(LocalAPI)
