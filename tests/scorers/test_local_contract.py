"""LocalScorer as others use it: identity, pickling, cancellation, concurrency, odd text, number types, torch.compile."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from helpers import forks
from hero_rl.errors import InputError
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout

SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 260, "max_position_embeddings": 512, "num_labels": 1, "pad_token_id": 0, "bos_token_id": None,
    "eos_token_id": 1,
}  # fmt: skip


def build_tokenizer(*, template: str | None = None) -> PreTrainedTokenizerFast:
    """One token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({token: i for i, token in enumerate(["<pad>", "<end>", *alphabet])}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = template
    return tokenizer


def build_model(seed: int = 0, **options: object) -> LlamaForSequenceClassification:
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(LlamaConfig(**(SHAPE | options)))


def save(folder: Path, model: LlamaForSequenceClassification, tokenizer: PreTrainedTokenizerFast, **options: object) -> Path:
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder


def rollouts(count: int = 12, length: int = 40) -> list[Rollout]:
    rng = np.random.default_rng(0)
    letters = list("abcdefgh 0123456789+=")
    return [
        Rollout(
            prompt_id=str(row // 4), problem=f"what is {row // 4} + 1 and so on?", reference="2",
            response="".join(rng.choice(letters, size=rng.integers(1, length))),
        )
        for row in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("rm"), build_model(), build_tokenizer())


def test_a_copy_of_a_folder_in_other_files_has_the_same_identity(folder: Path, tmp_path: Path) -> None:
    copy = save(tmp_path / "copy", build_model(), build_tokenizer(), max_shard_size="20KB")
    assert len(list(copy.glob("*.safetensors"))) > 1
    assert LocalScorer(copy).identity == LocalScorer(folder).identity
    assert LocalScorer(folder, batch_size=2, share_prefix=False).identity == LocalScorer(folder).identity
    assert LocalScorer(build_model(), tokenizer=build_tokenizer()).identity == LocalScorer(folder).identity


def test_weights_config_tokenizer_and_options_each_change_the_identity(folder: Path) -> None:
    def nudge(name: str) -> LocalScorer:
        model = build_model()
        weight = dict(model.named_parameters())[name]
        with torch.no_grad():
            weight.view(-1)[-1] = torch.nextafter(weight.view(-1)[-1], torch.tensor(torch.inf))
        return LocalScorer(model, tokenizer=build_tokenizer())

    other = build_tokenizer()
    other.add_tokens(["zz"])
    identities = [
        LocalScorer(folder).identity,
        LocalScorer(build_model(seed=1), tokenizer=build_tokenizer()).identity,
        *(nudge(name).identity for name in ("score.weight", "model.embed_tokens.weight", "model.norm.weight")),
        LocalScorer(build_model(rms_norm_eps=1e-3), tokenizer=build_tokenizer()).identity,
        LocalScorer(folder, tokenizer=other).identity,
        LocalScorer(folder, tokenizer=build_tokenizer(template="{{ messages[-1].content }}")).identity,
        LocalScorer(folder, tokenizer=build_tokenizer(template="{{ messages[0].content }}")).identity,
        LocalScorer(folder, eos="never").identity,
        LocalScorer(folder, max_length=100).identity,
        LocalScorer(folder, dtype="bfloat16").identity,
    ]
    assert len(set(identities)) == len(identities)


def test_the_identity_is_that_of_the_weights_in_memory(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    scorer = LocalScorer(copy)
    save(copy, build_model(seed=1), build_tokenizer())
    assert scorer.identity == LocalScorer(folder).identity
    assert LocalScorer(copy).identity != scorer.identity
    model = build_model()
    scorer, before = LocalScorer(model, tokenizer=build_tokenizer()), LocalScorer(folder).identity
    assert scorer.identity == before
    with torch.no_grad():
        model.score.weight[0, 0] += 1.0
    assert scorer.identity != before


def test_the_commit_of_a_hub_id_stands_for_its_weights_and_is_what_a_copy_loads(folder: Path) -> None:
    scorer = LocalScorer(folder)
    scorer.local.model.config._commit_hash = "c0ffee"  # as transformers notes it for a model from the hub
    assert '"weights": "commit c0ffee"' in scorer.identity
    assert scorer.__reduce__()[0].keywords["revision"] == "c0ffee"


SCORE_A_PICKLE = "import pickle, sys; s, rows = pickle.load(open(sys.argv[1], 'rb')); print(s.identity, *s.score(rows))"


def test_a_pickled_scorer_is_its_path_and_options_and_scores_the_same_elsewhere(folder: Path, tmp_path: Path) -> None:
    scorer = LocalScorer(folder, eos="never", max_length=60)
    data = pickle.dumps((scorer, rollouts()))
    assert len(data) < 20_000
    (tmp_path / "scorer.pickle").write_bytes(data)
    said = forks.run(["-c", SCORE_A_PICKLE, tmp_path / "scorer.pickle"], check=True).stdout
    scores = said.removeprefix(scorer.identity).split()
    expected = scorer.score(rollouts())
    np.testing.assert_allclose([float(score) for score in scores], expected, atol=1e-6)
    assert np.isnan(expected).any()


def test_a_module_given_by_hand_is_pickled_with_its_weights() -> None:
    scorer = LocalScorer(build_model(seed=3), tokenizer=build_tokenizer())
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy.identity == scorer.identity
    np.testing.assert_allclose(copy.score(rollouts()), scorer.score(rollouts()), atol=1e-5)


def test_a_cancelled_ascore_stops_early_and_leaves_the_scorer_usable(folder: Path) -> None:
    rows, scorer = rollouts(400, length=400), LocalScorer(folder, batch_size=1, share_prefix=False)
    expected = LocalScorer(folder).score(rows[:6])

    async def cancel() -> None:
        task = asyncio.create_task(scorer.ascore(rows))
        while not scorer.local.lock.locked():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert scorer.last_work.forwards < 400
    np.testing.assert_allclose(scorer.score(rows[:6]), expected, atol=1e-5)


ODD = ["", "\x00", "𝟙𝟚 ½ ٣ 你好 🧮👩‍👩‍👧", "é" * 50, "\u202e)1(", "<pad><end><pad>", "\n" * 30, "a\r\nb", "\ufeff1"]


@pytest.mark.parametrize("template", [None, "{% for m in messages %}[{{ m.content }}]{% endfor %}"])
def test_odd_text_has_a_score_and_does_not_touch_its_neighbours(folder: Path, template: str | None) -> None:
    scorer = LocalScorer(folder, tokenizer=build_tokenizer(template=template))
    plain = rollouts(3)
    row = {"prompt_id": "odd", "problem": "1+1=?", "reference": "2"}
    rows = [*plain, *(Rollout(**row, response=text) for text in ODD)]
    scores = scorer.score(rows)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[:3], scorer.score(plain), atol=1e-5)
    np.testing.assert_allclose(scores, [scorer.score([row])[0] for row in rows], atol=1e-5)


def test_a_row_that_cannot_be_scored_is_missing_and_alone(folder: Path) -> None:
    scorer, plain = LocalScorer(folder), rollouts(3)
    bad = Rollout(prompt_id="0", problem=plain[0].problem, reference="2", response="x" * 2_000_000)
    started = time.perf_counter()
    scores = scorer.score([plain[0], bad, *plain[1:]])
    assert time.perf_counter() - started < 200
    assert np.isnan(scores).tolist() == [False, True, False, False]
    np.testing.assert_allclose(scores[[0, 2, 3]], scorer.score(plain), atol=1e-5)


def test_half_precision_runs_in_float32_on_a_cpu_unless_asked_otherwise(tmp_path: Path) -> None:
    save(tmp_path, build_model().to(torch.float16), build_tokenizer())
    assert LocalScorer(tmp_path, device="cpu").local.model.dtype == torch.float32
    assert LocalScorer(tmp_path, device="cpu", dtype="auto").local.model.dtype == torch.float16
    assert LocalScorer(tmp_path, device="cpu", dtype="bfloat16").local.model.dtype == torch.bfloat16


def test_ordinary_forwards_keep_no_cache(folder: Path) -> None:
    scorer = LocalScorer(folder, share_prefix=False)
    seen: list[object] = []
    scorer.local.model.register_forward_hook(lambda module, inputs, output: seen.append(output.past_key_values))
    scorer.score(rollouts())
    assert seen
    assert set(seen) == {None}


def test_compile_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    model = build_model()
    with pytest.raises(InputError, match="needs a C\\+\\+ compiler"):
        LocalScorer(model, tokenizer=build_tokenizer(), compile=True)


@pytest.mark.skipif("HERO_TEST_COMPILE" not in os.environ, reason="compiling takes minutes; set HERO_TEST_COMPILE=1")
def test_compiled_scores_are_those_of_the_plain_model(folder: Path) -> None:
    rows = rollouts()
    scorer = LocalScorer(build_model(num_hidden_layers=1), tokenizer=build_tokenizer(), compile=True)
    plain = LocalScorer(build_model(num_hidden_layers=1), tokenizer=build_tokenizer(), share_prefix=False)
    np.testing.assert_allclose(scorer.score(rows), plain.score(rows), atol=1e-5)
    np.testing.assert_allclose(scorer.score(rows[:3]), plain.score(rows[:3]), atol=1e-5)
    assert scorer.last_work.saved_tokens == 0
    torch._dynamo.reset()
