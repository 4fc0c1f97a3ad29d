"""Local scoring in micro-batches: little padding, bounded memory, shared prefixes, the same scores whatever came together."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.places import TESTS
from helpers.strategies import examples
from hero_rl.errors import InputError
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PAD, END = 0, 1
HEAD = {"vocab_size": 40, "num_labels": 1, "pad_token_id": PAD, "bos_token_id": None, "eos_token_id": END}
WIDTHS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
DECODER = {**HEAD, **WIDTHS, "num_key_value_heads": 2, "max_position_embeddings": 256}
GPT2 = {**HEAD, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}


def build_tokenizer(*, merges: tuple[tuple[str, str], ...] = (), limit: int = 10**9) -> PreTrainedTokenizerFast:
    tokens = ["<pad>", "<end>", "<unk>", *LETTERS, *("".join(pair) for pair in merges)]
    core = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, list(merges), unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<end>", unk_token="<unk>", model_max_length=limit
    )


def build(kind: str, **options: object) -> PreTrainedModel:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**options)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    for name, weight in model.named_parameters():
        if name in ("score.weight", "classifier.weight"):
            torch.nn.init.normal_(weight)
    return model


def text(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list(LETTERS), size=length))


def groups(prompts: int = 4, responses: int = 5, longest: int = 90) -> list[Rollout]:
    rng = np.random.default_rng(0)
    rows: list[Rollout] = []
    for prompt in range(prompts):
        problem = text(rng, 30 + 3 * prompt)
        for _ in range(responses):
            response = text(rng, int(rng.integers(1, longest)))
            rows.append(Rollout(prompt_id=str(prompt), problem=problem, reference="", response=response))
    return rows


def one_by_one(model: PreTrainedModel, rows: list[Rollout], tokenizer: PreTrainedTokenizerFast | None = None) -> np.ndarray:
    scorer = LocalScorer(model, tokenizer=tokenizer or build_tokenizer(), share_prefix=False, batch_size=1)
    return np.concatenate([scorer.score([row]) for row in rows])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Llama", DECODER),
        ("Qwen2", DECODER),
        ("Qwen3", {**DECODER, "head_dim": 8}),
        ("Mistral", {**DECODER, "sliding_window": None}),
        ("Gemma", {**DECODER, "head_dim": 8}),
        ("Mixtral", {**DECODER, "num_local_experts": 4}),
        ("GPT2", GPT2),
    ],
)
def test_decoders_share_prefixes_and_score_as_without(kind: str, options: dict[str, object]) -> None:
    model, rows = build(kind, **options), groups()
    for limit in (10_000, 700, 300, 50):
        scorer = LocalScorer(model, tokenizer=build_tokenizer(), max_tokens_per_batch=limit)
        np.testing.assert_allclose(scorer.score(rows), one_by_one(model, rows), atol=1e-5, rtol=0)
        assert (scorer.last_work.saved_tokens > 0) == (limit > 50)
        assert scorer.last_work.real_tokens >= 0.95 * scorer.last_work.computed_tokens


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Mistral", {**DECODER, "sliding_window": 8}),
        ("Gemma2", {**DECODER, "head_dim": 8}),
        ("Bloom", {**HEAD, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
        ("Bert", {**HEAD, **WIDTHS, "max_position_embeddings": 256}),
        ("DebertaV2", {**HEAD, **WIDTHS, "max_position_embeddings": 256}),
    ],
)
def test_models_with_other_caches_or_none_are_scored_whole(kind: str, options: dict[str, object]) -> None:
    model, rows = build(kind, **options), groups()
    scorer = LocalScorer(model, tokenizer=build_tokenizer())
    np.testing.assert_allclose(scorer.score(rows), one_by_one(model, rows), atol=1e-5, rtol=0)
    assert scorer.last_work.saved_tokens == 0


def test_a_decoder_that_looks_ahead_fails_the_trial_and_is_scored_whole() -> None:
    model, rows = build("Llama", **DECODER), groups()
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    model.config.is_causal = False
    scorer = LocalScorer(model, tokenizer=build_tokenizer())
    np.testing.assert_allclose(scorer.score(rows), one_by_one(model, rows), atol=1e-5, rtol=0)
    assert scorer.last_work.saved_tokens == 0


def test_tokens_across_the_seam_of_prompt_and_response_stay_as_they_are() -> None:
    tokenizer = build_tokenizer(merges=(("z", "a"),))
    model = build("Llama", **{**DECODER, "vocab_size": 41})
    problem = "b" * 29 + "z"
    rows = [Rollout(prompt_id="p", problem=problem, reference="", response=response) for response in ("ab", "cd", "a", "e")]
    scorer = LocalScorer(model, tokenizer=tokenizer)
    assert [len(scorer.encode(row)) for row in rows] == [32, 33, 31, 32]
    np.testing.assert_allclose(scorer.score(rows), one_by_one(model, rows, tokenizer), atol=1e-5, rtol=0)
    assert scorer.last_work.saved_tokens == 3 * 29


def test_equal_responses_that_end_in_the_padding_token_score_as_alone() -> None:
    model = build("Llama", **{**DECODER, "pad_token_id": END})  # as RewardTrainer pads where a tokenizer has no padding
    rows = [Rollout(prompt_id="p", problem="b" * 30, reference="", response="c") for _ in range(3)]
    scorer = LocalScorer(model, tokenizer=build_tokenizer())
    np.testing.assert_allclose(scorer.score(rows), one_by_one(model, rows), atol=1e-5, rtol=0)
    assert scorer.last_work.saved_tokens == 2 * 30


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return build("Llama", **DECODER)


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_scores_depend_neither_on_order_nor_on_what_came_together(llama: PreTrainedModel, data: st.DataObject) -> None:
    rows = groups()
    alone = LocalScorer(llama, tokenizer=build_tokenizer(), share_prefix=False, batch_size=1).score(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=30))
    limits = {"batch_size": data.draw(st.integers(1, 40)), "max_tokens_per_batch": data.draw(st.integers(1, 4000))}
    scores = LocalScorer(llama, tokenizer=build_tokenizer(), **limits).score([rows[i] for i in chosen])
    np.testing.assert_allclose(scores, alone[chosen], atol=1e-5, rtol=0)


def test_rows_on_two_sides_of_a_longrope_boundary_do_not_change_each_other() -> None:
    factors = {"short_factor": [1.0] * 4, "long_factor": [8.0] * 4, "rope_theta": 10_000.0, "rope_type": "longrope"}
    options = {**DECODER, "rope_parameters": {**factors, "original_max_position_embeddings": 64}}
    model = build("Phi3", **options, original_max_position_embeddings=64)
    rng = np.random.default_rng(0)
    rows = [Rollout(prompt_id=str(n), problem="a", reference="", response=text(rng, n)) for n in (66, 65, 64, 63, 62, 61, 60)]
    scorer = LocalScorer(model, tokenizer=build_tokenizer())
    np.testing.assert_allclose(scorer.score(rows), one_by_one(model, rows), atol=1e-5, rtol=0)
    assert scorer.last_work.forwards == 2


def test_roberta_counts_positions_from_behind_its_padding_id() -> None:
    options = {**HEAD, **WIDTHS, "pad_token_id": 3, "max_position_embeddings": 64}
    model = build("Roberta", **options)
    scorer = LocalScorer(model, tokenizer=build_tokenizer())
    assert scorer.max_length == 64 - 3 - 1
    rows = [Rollout(prompt_id="p", problem="", reference="", response="bcde"[n % 4] * n) for n in (58, 59, 60)]
    assert np.isnan(scorer.score(rows)).tolist() == [False, False, True]  # 59, 60, 61 tokens with the end
    with pytest.raises(InputError, match="max_length=61 is more than the 60 positions that the model has learnt"):
        LocalScorer(model, tokenizer=build_tokenizer(), max_length=61)


def test_longer_rows_are_refused_where_dynamic_positions_would_make_the_order_matter() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    model = build("Llama", **{**DECODER, "rope_parameters": rope})
    with pytest.raises(InputError, match="'dynamic' rotary positions"):
        LocalScorer(model, tokenizer=build_tokenizer(), max_length=300)


PEAK = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/scorers"]
from test_local_batches import DECODER, build, build_tokenizer, groups
from hero_rl.scorers import LocalScorer
wide = {**DECODER, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 1}
few, many = (groups(prompts=n, responses=5, longest=200) for n in (8, 40))
model = build("Llama", **wide)
tokenizer = build_tokenizer()
share, apart = (LocalScorer(model, tokenizer=tokenizer, max_tokens_per_batch=512, share_prefix=on) for on in (True, False))
whole = LocalScorer(model, tokenizer=tokenizer, max_tokens_per_batch=10**6, share_prefix=False)
for scorer, rows in ((share, few), (apart, few), (share, many), (apart, many), (whole, many)):
    scorer.score(rows)
    # not ru_maxrss, which a child has from its parent
    print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_bounded_by_the_token_budget_and_not_by_the_batch() -> None:
    command = [sys.executable, "-c", PEAK, str(TESTS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    _, few, _, many, unbounded = map(float, result.stdout.split())
    assert many - few < 16  # MB, for five times the rows
    assert unbounded - many > 50  # so that this would show
