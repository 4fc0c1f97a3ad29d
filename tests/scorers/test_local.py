"""LocalScorer: the numbers do not depend on the batch, the text is the one RewardTrainer trains on, bad models are refused."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

from helpers import forks
from hero_rl.errors import InputError
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout, Scorer

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789 +=.:\n"
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'][0] }}|>{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<|a|>{% endif %}"
)
SHAPE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 96,
}  # fmt: skip


def build_tokenizer(*, chat: bool = False, pad: bool = True, eos: bool = True) -> PreTrainedTokenizerFast:
    specials = ["<unk>", "<pad>", "<end>", "<|s|>", "<|u|>", "<|a|>"]
    vocabulary = {token: place for place, token in enumerate([*specials, *ALPHABET])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    names = {"unk_token": "<unk>", "additional_special_tokens": ["<|s|>", "<|u|>", "<|a|>"]}
    if pad:
        names["pad_token"] = "<pad>"
    if eos:
        names["eos_token"] = "<end>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    if not eos:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(*, num_labels: int = 1, pad_token_id: int | None = 1) -> Qwen2ForSequenceClassification:
    torch.manual_seed(0)
    model = Qwen2ForSequenceClassification(Qwen2Config(**SHAPE, num_labels=num_labels, pad_token_id=pad_token_id))
    torch.nn.init.normal_(model.score.weight, std=1.0)
    return model


def save(folder: Path, model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast | None) -> Path:
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def rollouts(count: int = 23) -> list[Rollout]:
    generator = np.random.default_rng(1)
    letters = list(ALPHABET[:36])
    return [
        Rollout(
            prompt_id=str(row // 4), problem=f"{row}+1=", reference="2",
            response="".join(generator.choice(letters, size=generator.integers(1, 60))),
        )
        for row in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("rm"), build_model(), build_tokenizer())


@pytest.fixture(scope="module")
def scorer(folder: Path) -> LocalScorer:
    return LocalScorer(folder)


def test_scorer_keeps_the_protocol(scorer: LocalScorer, folder: Path) -> None:
    assert isinstance(scorer, Scorer)
    assert scorer.name == f"local:{folder}"


def test_scores_are_float64_and_tell_responses_apart(scorer: LocalScorer) -> None:
    scores = scorer.score(rollouts())
    assert scores.dtype == np.float64
    assert scores.shape == (23,)
    assert len(np.unique(scores)) == 23


def test_score_of_a_row_is_the_same_alone_and_in_any_batch(folder: Path) -> None:
    rows = rollouts()
    alone = np.concatenate([LocalScorer(folder, batch_size=1).score([row]) for row in rows[:4]])
    one = LocalScorer(folder, batch_size=1).score(rows)
    for options in ({"batch_size": 7}, {"batch_size": 100}, {"max_tokens_per_batch": 130}, {"max_tokens_per_batch": 1}):
        np.testing.assert_allclose(LocalScorer(folder, **options).score(rows), one, atol=1e-5, rtol=0)
    np.testing.assert_allclose(one[:4], alone, atol=1e-5, rtol=0)
    order = np.random.default_rng(2).permutation(len(rows))
    np.testing.assert_allclose(LocalScorer(folder).score([rows[i] for i in order]), one[order], atol=1e-5, rtol=0)


def test_score_is_the_head_at_the_last_token_by_hand(folder: Path) -> None:
    tokenizer, model = build_tokenizer(), build_model().eval()
    row = rollouts(1)[0]
    ids = torch.tensor([tokenizer(row.problem + row.response + "<end>")["input_ids"]])
    with torch.no_grad():
        hidden = model.model(input_ids=ids).last_hidden_state[0, -1]
        by_hand = float(hidden @ model.score.weight[0])
    assert LocalScorer(folder).score([row])[0] == pytest.approx(by_hand, abs=1e-5)


def test_dropout_of_a_model_in_training_mode_does_not_reach_the_scores_and_the_mode_is_kept() -> None:
    torch.manual_seed(0)
    model = Qwen2ForSequenceClassification(Qwen2Config(**SHAPE, num_labels=1, pad_token_id=1, attention_dropout=0.5))
    scorer = LocalScorer(model.train(), tokenizer=build_tokenizer())
    np.testing.assert_allclose(scorer.score(rollouts(4)), scorer.score(rollouts(4)), atol=1e-5)
    assert model.training
    assert scorer.name == "local:Qwen2ForSequenceClassification"


def test_a_row_beyond_max_length_is_missing_and_the_others_are_not(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = rollouts(6)
    scorer = LocalScorer(folder, max_length=40)
    lengths = np.array([len(scorer.encode(row)) for row in rows])
    assert (lengths > 40).any()
    assert (lengths <= 40).any()
    with caplog.at_level(logging.WARNING):
        scores = scorer.score(rows)
    np.testing.assert_array_equal(np.isnan(scores), lengths > 40)
    assert "longer than max_length=40" in caplog.text


def test_a_text_far_too_long_is_missing_and_not_tokenized(scorer: LocalScorer, caplog: pytest.LogCaptureFixture) -> None:
    rows = rollouts(2)
    endless = replace(rows[0], response="a" * 64 * 97)
    scores = scorer.score([rows[0], endless, rows[1]])
    np.testing.assert_array_equal(scores, [scorer.score(rows)[0], np.nan, scorer.score(rows)[1]])
    assert "cannot be encoded: a text of" in caplog.text


def test_max_length_defaults_to_what_the_model_declares(scorer: LocalScorer) -> None:
    assert scorer.max_length == 96
    long = Rollout(prompt_id="p", problem="1", reference="1", response="a" * 200)
    assert np.isnan(scorer.score([long])[0])


def test_a_score_that_is_not_finite_is_missing_and_said_with_its_prompt(caplog: pytest.LogCaptureFixture) -> None:
    model = build_model()
    with torch.no_grad():
        model.score.weight.fill_(float("inf"))
    assert np.isnan(LocalScorer(model, tokenizer=build_tokenizer()).score(rollouts(2))).all()
    said = f"2 of 2 scores are inf or NaN and so missing, the first for prompt {rollouts(2)[0].prompt_id!r}; does torch.float32"
    assert said in caplog.text


def test_a_row_that_the_chat_template_refuses_is_missing_and_the_others_are_not() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[-1]['content'] == 'no' %}{{ raise_exception('refused') }}{% endif %}" + CHAT_TEMPLATE
    )
    row = {"prompt_id": "p", "problem": "1+1=", "reference": "2"}
    scores = LocalScorer(build_model(), tokenizer=tokenizer).score([Rollout(**row, response=text) for text in ("a", "no", "b")])
    np.testing.assert_array_equal(np.isnan(scores), [False, True, False])


def test_no_rows_give_no_scores(scorer: LocalScorer) -> None:
    assert scorer.score([]).shape == (0,)


def test_ascore_equals_score_and_may_run_concurrently(scorer: LocalScorer) -> None:
    rows = rollouts(8)

    async def both() -> list[np.ndarray]:
        return await asyncio.gather(scorer.ascore(rows), scorer.ascore(rows[::-1]))

    first, second = asyncio.run(both())
    np.testing.assert_allclose(first, scorer.score(rows), atol=1e-6)
    np.testing.assert_allclose(second[::-1], first, atol=1e-5)
    scorer.close()
    scorer.close()


@pytest.mark.parametrize(
    ("eos", "finished", "ends"),
    [
        ("always", True, True), ("always", False, True), ("always", None, True),
        ("finished", True, True), ("finished", False, False), ("finished", None, True),
        ("never", True, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chat", [False, True])
def test_end_of_sequence_follows_the_option(eos: str, finished: bool | None, ends: bool, chat: bool) -> None:
    scorer = LocalScorer(build_model(), tokenizer=build_tokenizer(chat=chat), eos=eos)
    row = Rollout(prompt_id="p", problem="1+1=", reference="2", response="2", finished=finished)
    assert (scorer.encode(row)[-1] == 2) == ends
    text = scorer.local.tokenizer.decode(scorer.encode(row))
    body = "<|u|>1+1=<end><|a|>2" if chat else "1+1=2"
    assert text.replace(" ", "") == body + ("<end>" if ends else "")


def test_end_of_sequence_is_not_doubled_when_the_response_has_it(scorer: LocalScorer) -> None:
    row = {"prompt_id": "p", "problem": "1+1=", "reference": "2"}
    assert scorer.encode(Rollout(**row, response="2")) == scorer.encode(Rollout(**row, response="2<end>"))


def test_chat_uses_the_messages_and_the_system_prompt_of_the_reward_model() -> None:
    turns = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"})
    row = Rollout(prompt_id="p", problem="other", reference="2", response="r", messages=turns)
    tokenizer = build_tokenizer(chat=True)

    def text(**options: str) -> str:
        scorer = LocalScorer(build_model(), tokenizer=tokenizer, **options)
        return tokenizer.decode(scorer.encode(row)).replace(" ", "")

    assert text() == "<|s|>s<end><|u|>u<end><|a|>r<end>"
    assert text(system_prompt="k") == "<|s|>k<end><|u|>u<end><|a|>r<end>"
    assert text(template="plain") == "otherr<end>"


@pytest.mark.parametrize("chat", [False, True])
def test_tokens_equal_those_reward_trainer_trains_on(chat: bool, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    tokenizer = build_tokenizer(chat=chat)
    model = build_model()
    if chat:
        prompt = [{"role": "user", "content": "1+1="}]
        pair = {side: [{"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
    else:
        prompt = "1+1="
        pair = {side: side for side in ("chosen", "rejected")}
    trainer = RewardTrainer(
        model=model, processing_class=tokenizer, train_dataset=Dataset.from_list([{"prompt": prompt, **pair}]),
        args=RewardConfig(output_dir=str(tmp_path), report_to="none", bf16=False, use_cpu=True, disable_tqdm=True),
    )  # fmt: skip
    row = trainer.train_dataset[0]
    scorer = LocalScorer(trainer.model, tokenizer=tokenizer)
    for side in ("chosen", "rejected"):
        rollout = Rollout(prompt_id="p", problem="1+1=", reference="2", response=side)
        assert scorer.encode(rollout) == row[f"{side}_ids"]


def test_padding_falls_back_to_end_of_sequence_and_is_told_to_the_model() -> None:
    model = build_model(pad_token_id=None)
    one = LocalScorer(model, tokenizer=build_tokenizer(pad=False))
    assert model.config.pad_token_id == 2
    many = one.score(rollouts(6))
    np.testing.assert_allclose([one.score([row])[0] for row in rollouts(6)], many, atol=1e-5)


def test_padding_of_the_checkpoint_comes_before_the_tokenizers() -> None:
    model = build_model(pad_token_id=0)
    scorer = LocalScorer(model, tokenizer=build_tokenizer())
    assert model.config.pad_token_id == 0
    many = scorer.score(rollouts(6))
    np.testing.assert_allclose([scorer.score([row])[0] for row in rollouts(6)], many, atol=1e-5)


def test_a_padding_id_outside_the_vocabulary_is_replaced() -> None:
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(LlamaConfig(**SHAPE, num_labels=1, pad_token_id=None))
    model.config.pad_token_id = -1
    LocalScorer(model, tokenizer=build_tokenizer())
    assert model.config.pad_token_id == 1


def test_a_cpu_computes_in_float32_unless_another_type_is_asked_for(tmp_path: Path) -> None:
    save(tmp_path, build_model().to(torch.bfloat16), build_tokenizer())
    assert LocalScorer(tmp_path, device="cpu").local.model.dtype == torch.float32
    assert LocalScorer(tmp_path, dtype="auto").local.model.dtype == torch.bfloat16


def refused(message: str, *args: object, **options: object) -> None:
    with pytest.raises(InputError, match=message):
        LocalScorer(*args, **options)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    refused("no such folder", tmp_path / "absent")
    refused("no config.json", tmp_path)


def test_a_hub_id_that_cannot_be_had_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused("local:no-such-owner/no-such-model: cannot get 'no-such-owner/no-such-model'", "no-such-owner/no-such-model")


def test_a_damaged_config_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    refused("cannot load the model in", tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_refused_by_the_name_of_its_folder(folder: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:100])
    refused(re.escape(str(tmp_path)), tmp_path)


def test_a_model_with_two_outputs_is_refused(tmp_path: Path) -> None:
    refused("2 outputs", save(tmp_path, build_model(num_labels=2), build_tokenizer()))
    refused("2 outputs", build_model(num_labels=2), tokenizer=build_tokenizer())


def test_a_language_model_without_a_reward_head_is_refused(tmp_path: Path) -> None:
    config = LlamaConfig(**SHAPE, num_labels=1, pad_token_id=1)
    refused("no weights for score.weight", save(tmp_path, LlamaForCausalLM(config), build_tokenizer()))


def test_an_absent_tokenizer_is_refused(tmp_path: Path) -> None:
    refused("no tokenizer that can be loaded", save(tmp_path, build_model(), None))
    refused("needs its tokenizer", build_model())


def test_a_tokenizer_without_any_token_to_pad_with_is_refused() -> None:
    tokenizer = build_tokenizer(pad=False, eos=False)
    refused("neither a padding nor an end-of-sequence", build_model(pad_token_id=None), tokenizer=tokenizer, eos="never")
    refused("needs an end-of-sequence token", build_model(), tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "jinja"}, "template='jinja' is unknown"),
        ({"template": "chat"}, "no chat template"),
        ({"system_prompt": "s"}, "system_prompt is for template='chat'"),
        ({"eos": "sometimes"}, "eos='sometimes' is unknown"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"max_tokens_per_batch": 0}, "max_tokens_per_batch=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"dtype": "float7"}, "dtype='float7' is unknown"),
    ],
)
def test_options_out_of_range_are_refused(folder: Path, options: dict[str, object], message: str) -> None:
    refused(message, folder, **options)


SCORE_AS_A_RANK = """
import os, sys, torch
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout
torch.distributed.init_process_group("gloo")
row = Rollout(prompt_id="p", problem="1+1=", reference="2", response="2")
print("score", os.environ["RANK"], LocalScorer(sys.argv[1]).score([row])[0])
print("left", os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"])
"""


def test_every_process_of_a_sharded_run_has_the_whole_reward_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(SCORE_AS_A_RANK)
    settings = {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    said = forks.run_ranks(2, tmp_path / "rank.py", folder, env=os.environ | settings)
    lines = [line.split() for text in said for line in text.splitlines()]
    row = Rollout(prompt_id="p", problem="1+1=", reference="2", response="2")
    alone = LocalScorer(folder).score([row])[0]
    scores = {line[1]: float(line[2]) for line in lines if line[0] == "score"}
    assert scores == {"0": pytest.approx(alone, abs=1e-6), "1": pytest.approx(alone, abs=1e-6)}
    assert [line[1] for line in lines if line[0] == "left"] == ["true", "true"]


def test_a_run_under_zero3_does_not_partition_the_reward_model(folder: Path) -> None:
    from transformers.integrations import deepspeed

    class Zero3:
        def is_zero3(self) -> bool:
            return True

    settings = Zero3()
    deepspeed.set_hf_deepspeed_config(settings)
    try:
        assert np.isfinite(LocalScorer(folder).score(rollouts(2))).all()
        assert deepspeed.is_deepspeed_zero3_enabled()
    finally:
        deepspeed.unset_hf_deepspeed_config()


def test_importing_the_scorers_needs_no_torch() -> None:
    code = "import sys, hero_rl.scorers; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
