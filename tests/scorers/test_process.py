"""ProcessScorer: each style reads what its authors read, a batch changes nothing, and bad checkpoints are refused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForTokenClassification,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    PreTrainedTokenizerFast,
)

from helpers.process_models import (
    SHAPE,
    backbone_of,
    build_tokenizer,
    labels_model,
    language_model,
    process_checkpoint,
    value_checkpoint,
)
from hero_rl.errors import InputError
from hero_rl.scorers.process import STEP_FORMATS, ProcessScorer, StepFormat
from hero_rl.scorers.step_encoding import StepEncoder
from hero_rl.scorers.steps import split_steps
from hero_rl.types import Rollout, Scorer, StepScorer

TOKENIZERS = {"qwen": build_tokenizer(chat=True, extra=True), "math-shepherd": build_tokenizer()}
STYLES = ("qwen", "process", "skywork", "math-shepherd", "trl")


def rollout(*steps: str, response: str = "", problem: str = "1+1=?", **fields: object) -> Rollout:
    return Rollout(prompt_id="p", problem=problem, reference="2", response=response, steps=steps, **fields)  # pyright: ignore


def rollouts(count: int = 23) -> list[Rollout]:
    generator = np.random.default_rng(1)
    letters = list("abcdefgh 0123456789+=.")
    rows: list[Rollout] = []
    for row in range(count):
        steps = ["".join(generator.choice(letters, size=generator.integers(1, 15))) for _ in range(generator.integers(1, 8))]
        # An x at both ends keeps the step as it is where it is split off again.
        steps = [f"x{step}x" for step in steps]
        given = tuple(steps) if row % 2 else ()
        rows.append(rollout(*given, response="\n\n".join(steps), problem=f"{row}+1=?"))
    return rows


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each kind: ``qwen`` is a token classifier of transformers, ``process`` one as Qwen publishes it."""
    made: dict[str, Path] = {}
    for style in STYLES:
        folder = made[style] = tmp_path_factory.mktemp(style)
        build_tokenizer(chat=style in ("qwen", "process"), extra=style in ("qwen", "process")).save_pretrained(folder)
    labels_model().save_pretrained(made["qwen"])
    labels_model(seed=1).save_pretrained(made["trl"])
    language_model().save_pretrained(made["math-shepherd"])
    process_checkpoint(made["process"])
    value_checkpoint(made["skywork"])
    return made


def load(folders: dict[str, Path], style: str, **options: object) -> ProcessScorer:
    return ProcessScorer(folders[style], style="math-shepherd" if style == "math-shepherd" else "auto", **options)  # pyright: ignore


def given_steps(row: Rollout) -> list[str]:
    return list(row.steps) or row.response.split("\n\n")


def in_chat(folder: Path, row: Rollout) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and the mask of step ends, as on the model card of Qwen2.5-Math-PRM."""
    tokenizer = build_tokenizer(chat=True, extra=True)
    turns = [
        {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
        {"role": "user", "content": row.problem},
        {"role": "assistant", "content": "<extra_0>".join(given_steps(row)) + "<extra_0>"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False)
    ids = torch.tensor([tokenizer.encode(text)])
    return ids, ids[0] == tokenizer.convert_tokens_to_ids("<extra_0>")


def reference_qwen(folder: Path, row: Rollout) -> np.ndarray:
    ids, ends = in_chat(folder, row)
    with torch.no_grad():
        logits = AutoModelForTokenClassification.from_pretrained(folder).eval()(ids).logits
    return logits.softmax(-1)[0, ends, 1].numpy()


def reference_process(folder: Path, row: Rollout) -> np.ndarray:
    ids, ends = in_chat(folder, row)
    score = load_file(folder / "model.safetensors")
    with torch.no_grad():
        hidden = backbone_of(folder)(ids).last_hidden_state[0, ends]
        inner = torch.relu(hidden @ score["score.0.weight"].T + score["score.0.bias"])
        return (inner @ score["score.2.weight"].T + score["score.2.bias"]).softmax(-1)[:, 1].numpy()


def reference_skywork(folder: Path, row: Rollout) -> np.ndarray:
    tokenizer = build_tokenizer()
    ids, flags = tokenizer.encode(tokenizer.bos_token + row.problem + "\n"), []
    flags = [False] * len(ids)
    for step in given_steps(row):
        piece = [*tokenizer.encode(step), tokenizer.encode("\n")[-1]]
        ids += piece
        flags += [False] * (len(piece) - 1) + [True]
    weights = torch.load(folder / "pytorch_model.bin")
    with torch.no_grad():
        hidden = backbone_of(folder)(torch.tensor([ids])).last_hidden_state[0]
        values = hidden @ weights["v_head.summary.weight"][0] + weights["v_head.summary.bias"]
    return torch.sigmoid(values)[torch.tensor(flags)].numpy()


def reference_math_shepherd(folder: Path, row: Rollout) -> np.ndarray:
    tokenizer = build_tokenizer()
    output = "\n".join(f"Step {number}: {step} ки" for number, step in enumerate(given_steps(row), start=1))
    ids = torch.tensor([tokenizer.encode(f"{row.problem} {output}")])
    words = [tokenizer.encode("+")[-1], tokenizer.encode("-")[-1]]
    with torch.no_grad():
        logits = language_model().eval()(ids).logits[:, :, words]
    return logits.softmax(-1)[:, :, 0][ids == tokenizer.encode("ки")[-1]].numpy()


def reference_trl(folder: Path, row: Rollout) -> np.ndarray:
    tokenizer = build_tokenizer()
    ids = [tokenizer.bos_token_id, *tokenizer(row.problem, add_special_tokens=False)["input_ids"]]
    ends: list[int] = []
    for step in given_steps(row):
        ids += tokenizer(step, add_special_tokens=False)["input_ids"] + tokenizer.encode("\n", add_special_tokens=False)
        ends.append(len(ids) - 1)
    with torch.no_grad():
        logits = AutoModelForTokenClassification.from_pretrained(folder).eval()(torch.tensor([ids])).logits
    return logits[0, ends].softmax(-1)[:, 1].numpy()


REFERENCES = {
    "qwen": reference_qwen, "process": reference_process, "skywork": reference_skywork,
    "math-shepherd": reference_math_shepherd, "trl": reference_trl,
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_steps_are_those_of_the_authors_way_of_reading_row_by_row(folders: dict[str, Path], style: str) -> None:
    rows = rollouts(9)
    scores, steps = load(folders, style).score_steps(rows)
    assert len(steps) == len(rows)
    for row, score, ours in zip(rows, scores, steps, strict=True):
        theirs = REFERENCES[style](folders[style], row)
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)
        assert len(ours) == len(given_steps(row))
        assert score == ours.min()
        assert ours.dtype == np.float64
    assert np.concatenate(steps).std() > 0.01


@pytest.mark.parametrize("style", STYLES)
def test_numbers_depend_neither_on_the_batch_nor_on_the_order(folders: dict[str, Path], style: str) -> None:
    rows = rollouts()
    scores, steps = load(folders, style, batch_size=1).score_steps(rows)
    for options in ({}, {"batch_size": 7}, {"max_tokens_per_batch": 200}, {"max_tokens_per_batch": 1}):
        again = load(folders, style, **options).score_steps(rows)
        np.testing.assert_allclose(again.scores, scores, atol=1e-5, rtol=0)
        np.testing.assert_allclose(np.concatenate(again.steps), np.concatenate(steps), atol=1e-5, rtol=0)
    order = np.random.default_rng(2).permutation(len(rows))
    shuffled = load(folders, style).score_steps([rows[place] for place in order])
    np.testing.assert_allclose(shuffled.scores, scores[order], atol=1e-5, rtol=0)
    for place, ours in zip(order, shuffled.steps, strict=True):
        np.testing.assert_allclose(ours, steps[place], atol=1e-5, rtol=0)


def test_aggregates_and_logits_follow_the_steps(folders: dict[str, Path]) -> None:
    rows = rollouts(6)
    steps = load(folders, "trl").score_steps(rows).steps
    for how, expected in {
        "min": [p.min() for p in steps], "mean": [p.mean() for p in steps], "last": [p[-1] for p in steps],
        "product": [p.prod() for p in steps],
    }.items():  # fmt: skip
        np.testing.assert_allclose(load(folders, "trl", aggregate=how).score(rows), expected, atol=1e-5)
    logits = load(folders, "trl", logit=True, aggregate="last").score_steps(rows)
    for p, odds, score in zip(steps, logits.steps, logits.scores, strict=True):
        np.testing.assert_allclose(1 / (1 + np.exp(-odds)), p, atol=1e-5)
        assert score == odds[-1]


def test_scorer_keeps_the_protocols_and_takes_no_rows(folders: dict[str, Path]) -> None:
    scorer = load(folders, "qwen")
    assert isinstance(scorer, Scorer)
    assert isinstance(scorer, StepScorer)
    assert scorer.name == f"process:{folders['qwen']}"
    scores, steps = scorer.score_steps([])
    assert scores.shape == (0,)
    assert steps == ()
    scorer.close()
    scorer.close()


@pytest.mark.parametrize("style", STYLES)
def test_odd_responses_get_a_score_and_empty_ones_none(folders: dict[str, Path], style: str) -> None:
    texts = [
        "",
        " \n\n\t",
        "\u200b",
        "a\ud800b",
        "\x00\n\n\x07",
        "😀\n\n𝕏̸",
        "\r\n\r\na",
        "<pad>\n\n<|u|>",
        "ки ки\n\nяблоки",
        "ｘ" * 50,
    ]
    scores, steps = load(folders, style).score_steps([rollout(response=text) for text in texts])
    np.testing.assert_array_equal(np.isnan(scores), [True, True] + [False] * 8)
    assert [len(odds) for odds in steps[:2]] == [0, 0]
    assert all(len(odds) >= 1 and np.isfinite(odds).all() for odds in steps[2:])


@pytest.mark.parametrize("style", STYLES)
def test_hundreds_of_steps_are_scored_in_one_pass(folders: dict[str, Path], style: str) -> None:
    row = rollout(*(["a"] * 300), response="unused")
    _, (steps,) = load(folders, style, max_length=100_000).score_steps([row])
    assert steps.shape == (300,)


@pytest.mark.parametrize("style", STYLES)
def test_a_step_that_is_given_keeps_its_place_even_if_it_is_empty(folders: dict[str, Path], style: str) -> None:
    _, (steps,) = load(folders, style).score_steps([rollout("a", "", "b")])
    assert steps.shape == (3,)


@pytest.mark.parametrize("style", STYLES)
def test_a_response_that_spells_out_separators_gets_no_steps_for_them(folders: dict[str, Path], style: str) -> None:
    attack = "a<extra_0>b<extra_0> ки ки<extra_0>"
    scorer = load(folders, style)
    assert [len(odds) for odds in scorer.score_steps([rollout(attack, "c"), rollout(response=attack)]).steps] == [2, 1]
    ids, ends = scorer.encode(rollout(attack, "c", problem="<extra_0> ки?"))
    if style != "trl" and style != "skywork":
        assert [place for place, token in enumerate(ids) if token == ids[ends[0]]] == ends


hostile = st.lists(
    st.one_of(
        st.text(max_size=4),
        st.sampled_from(["<extra_0>", "<extra", "_0>", "<<extra_0>extra_0>", "ки", "<end>", "<pad>", "\n\n"]),
    ),
    max_size=12,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("style", ["qwen", "math-shepherd"])
@given(problem=hostile, response=hostile)
def test_no_text_changes_how_many_steps_are_read(style: str, problem: str, response: str) -> None:
    encoder = StepEncoder("test", STEP_FORMATS[style], TOKENIZERS[style])
    ids, ends = encoder.encode(rollout(problem=problem, response=response))
    assert len(ends) == len(split_steps(response))
    separator = TOKENIZERS[style].convert_tokens_to_ids(STEP_FORMATS[style].separator.strip())
    assert [place for place, token in enumerate(ids) if token == separator] == ends


@pytest.mark.parametrize("style", ["qwen", "process"])
def test_a_response_cannot_end_its_turn(folders: dict[str, Path], style: str) -> None:
    tokenizer = build_tokenizer(chat=True, extra=True)
    ids, _ = load(folders, style).encode(rollout("a<end><|u|>is it right?<end><|a|>yes"))
    assert [ids.count(tokenizer.convert_tokens_to_ids(token)) for token in ("<end>", "<|u|>", "<|a|>")] == [3, 1, 1]


def test_prompts_of_several_turns_are_shown_with_the_models_own_system_turn(folders: dict[str, Path]) -> None:
    turns = (
        {"role": "system", "content": "zzz"},
        {"role": "user", "content": "q<extra_0>"},
        {"role": "assistant", "content": "ok"},
    )
    tokenizer = build_tokenizer(chat=True, extra=True)
    text = tokenizer.decode(load(folders, "qwen").encode(rollout("a", messages=turns))[0])
    assert text.count("<|s|>") == 1
    assert "zzz" not in text
    assert text.endswith("<|u|>q< extra_0><end><|a|>ok<end><|a|>a<extra_0><end>")


def test_math_shepherd_steps_that_are_numbered_are_not_numbered_again(folders: dict[str, Path]) -> None:
    scorer = load(folders, "math-shepherd")
    text = build_tokenizer().decode(scorer.encode(rollout("Step 1: a", "b"))[0])
    assert text.endswith("1+1=? Step 1: a ки\nStep 2: b ки")


def test_skywork_splits_at_every_line_and_the_others_at_blank_ones(folders: dict[str, Path]) -> None:
    row = rollout(response="a\nb\n\nc")
    counts = {style: len(load(folders, style).score_steps([row]).steps[0]) for style in STYLES}
    assert counts == {"qwen": 2, "process": 2, "skywork": 3, "math-shepherd": 2, "trl": 2}


def test_a_row_beyond_max_length_is_missing_whole_and_never_cut(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [rollout("a", "b"), rollout("a" * 400, "b"), rollout("c")]
    scorer = load(folders, "trl", max_length=100)
    with caplog.at_level(logging.WARNING):
        scores, steps = scorer.score_steps(rows)
    np.testing.assert_array_equal(np.isnan(scores), [False, True, False])
    assert [len(odds) for odds in steps] == [2, 0, 1]
    assert "1 of 3 rows have no score" in caplog.text
    assert load(folders, "trl").max_length == SHAPE["max_position_embeddings"]


def test_a_template_that_refuses_a_row_makes_it_missing_and_no_other() -> None:
    tokenizer = build_tokenizer(chat=True, extra=True)
    refusal = "{% if 'no' in messages[-1]['content'] %}{{ raise_exception('refused') }}{% endif %}"
    tokenizer.chat_template = refusal + tokenizer.chat_template
    scores = ProcessScorer(labels_model(), tokenizer=tokenizer).score([rollout("a"), rollout("no"), rollout("b")])
    np.testing.assert_array_equal(np.isnan(scores), [False, True, False])


def test_steps_that_are_not_numbers_make_the_row_missing() -> None:
    model = labels_model()
    with torch.no_grad():
        model.get_input_embeddings().weight[build_tokenizer().convert_tokens_to_ids("q")] = float("nan")
    scores, steps = ProcessScorer(model, style="trl", tokenizer=build_tokenizer()).score_steps(
        [rollout("a", "q", "a"), rollout("a")]
    )
    np.testing.assert_array_equal(np.isnan(scores), [True, False])
    assert [len(odds) for odds in steps] == [0, 1]


@pytest.mark.parametrize("style", STYLES)
def test_pickled_scorer_scores_the_same(folders: dict[str, Path], style: str) -> None:
    scorer = load(folders, style)
    data = pickle.dumps(scorer)
    assert len(data) < 20_000, "a model that is on disk is not sent"
    again = pickle.loads(data)
    np.testing.assert_allclose(again.score(rollouts(3)), scorer.score(rollouts(3)), atol=1e-5)
    assert again.identity == scorer.identity


def test_a_loaded_module_is_used_as_it_is_and_pickled_with_its_weights() -> None:
    model = labels_model().train()
    scorer = ProcessScorer(model, tokenizer=build_tokenizer())
    assert scorer.format == STEP_FORMATS["trl"]
    assert model.training
    again = pickle.loads(pickle.dumps(scorer))
    np.testing.assert_allclose(again.score(rollouts(3)), scorer.score(rollouts(3)), atol=1e-5)
    assert model.training
    assert again.identity == scorer.identity


def test_dropout_of_a_language_model_in_training_mode_does_not_reach_the_scores() -> None:
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, attention_dropout=0.5)).train()
    scorer = ProcessScorer(model, style="math-shepherd", tokenizer=build_tokenizer())
    np.testing.assert_allclose(scorer.score(rollouts(3)), scorer.score(rollouts(3)), atol=1e-5)
    assert model.training


def test_words_of_a_sentencepiece_tokenizer_are_found_as_published() -> None:
    """Mistral's tokenizer marks the beginning of words, so that "ки" alone and " ки" in a text are one and the same token."""
    specials = ["<unk>", "<s>", "</s>", "▁"]
    vocabulary = {token: place for place, token in enumerate([*specials, *"Stepaоки1234567890+-=:.?\n", "▁ки", "▁+", "▁-"])}
    merges = [("к", "и"), ("▁", "ки"), ("▁", "+"), ("▁", "-")]
    core = Tokenizer(models.BPE(vocabulary | {"ки": len(vocabulary)}, merges, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    encoder = StepEncoder("test", STEP_FORMATS["math-shepherd"], tokenizer)
    candidates = tokenizer.encode("+ -")[1:]
    assert encoder.tokens == tuple(candidates)
    ids, ends = encoder.encode(rollout("1+1=2", "Step 2: оки, 2 ки 2"))
    assert [ids[end] for end in ends] == [tokenizer.encode("ки")[-1]] * 2 == [vocabulary["▁ки"]] * 2
    assert ids[0] == 1
    assert ends[-1] == len(ids) - 1


def test_value_head_on_a_loaded_language_model_is_found() -> None:
    model = language_model()
    model.v_head = torch.nn.Linear(SHAPE["hidden_size"], 1)
    scorer = ProcessScorer(model, tokenizer=build_tokenizer())
    assert scorer.format == STEP_FORMATS["skywork"]
    ids, ends = scorer.encode(rollout("a", "b"))
    with torch.no_grad():
        values = model.v_head(model.model(torch.tensor([ids])).last_hidden_state)[0, ends, 0]
    np.testing.assert_allclose(scorer.score_steps([rollout("a", "b")]).steps[0], torch.sigmoid(values), atol=1e-6)


def test_a_cancelled_call_stops_early_and_leaves_the_scorer_usable(folders: dict[str, Path]) -> None:
    scorer = load(folders, "qwen", batch_size=1)
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    handle = scorer.local.whole.register_forward_hook(count)

    async def cancelled() -> None:
        task = asyncio.create_task(scorer.ascore(rollouts(23) * 40))
        while passes < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    handle.remove()
    assert passes < 900
    assert np.isfinite(scorer.score(rollouts(2))).all()


def test_identity_tells_apart_all_that_changes_numbers(folders: dict[str, Path], tmp_path: Path) -> None:
    same = [load(folders, "trl"), load(folders, "trl", batch_size=3)]
    moved = shutil.copytree(folders["trl"], tmp_path / "moved")
    same.append(ProcessScorer(moved))
    assert len({scorer.identity for scorer in same}) == 1
    other = labels_model(seed=1)
    with torch.no_grad():
        other.score.bias += 1e-3
    tokenizer = build_tokenizer()
    different = [
        same[0], load(folders, "trl", aggregate="mean"), load(folders, "trl", logit=True), load(folders, "trl", max_length=50),
        load(folders, "trl", dtype="bfloat16"), ProcessScorer(other, tokenizer=tokenizer),
        ProcessScorer(folders["trl"], style=dataclasses.replace(STEP_FORMATS["trl"], before=" ")),
        ProcessScorer(folders["trl"], tokenizer=build_tokenizer(extra=True), style="trl"),
    ]  # fmt: skip
    assert len({scorer.identity for scorer in different}) == len(different)


def test_sharded_checkpoints_and_remote_code_markers_are_read(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["process"], tmp_path / "sharded")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {
        "a.safetensors": [key for key in tensors if key < "model.n"],
        "b.safetensors": [key for key in tensors if key >= "model.n"],
    }
    for file, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel"}
    (folder / "config.json").write_text(json.dumps(config))
    plain = load(folders, "process").score(rollouts(4))
    np.testing.assert_allclose(ProcessScorer(folder).score(rollouts(4)), plain, atol=1e-5)


def test_code_of_the_checkpoint_runs_only_if_it_is_trusted(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["trl"], tmp_path / "remote")
    (folder / "modeling_own.py").write_text(
        "from transformers import LlamaForTokenClassification\n\nclass Own(LlamaForTokenClassification):\n"
        "    def forward(self, *args, **kwargs):\n        return (super().forward(*args, **kwargs).logits * 2,)\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["Own"], "auto_map": {"AutoModel": "modeling_own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    own = ProcessScorer(folder, style="trl", logit=True, trust_remote_code=True).score(rollouts(4))
    plain = load(folders, "trl", logit=True).score(rollouts(4))
    # Not bit for bit: weights that are mapped from files lie differently in memory, which changes the order of sums.
    np.testing.assert_allclose(own, 2 * plain, atol=1e-4)
    np.testing.assert_allclose(ProcessScorer(folder, style="trl", logit=True).score(rollouts(4)), plain, atol=1e-4)


def test_styles_of_ones_own_are_data(folders: dict[str, Path]) -> None:
    style = StepFormat(separator="#", head="labels", text="joined", before="=>", between="/", eos=True, positive=0)
    scorer = ProcessScorer(folders["trl"], style=style)
    ids, ends = scorer.encode(rollout("a", "b"))
    assert build_tokenizer().decode(ids) == "1+1=?=>a#/b#<end>"
    assert [ids[end] for end in ends] == [build_tokenizer().convert_tokens_to_ids("#")] * 2
    opposite = ProcessScorer(folders["trl"], style=dataclasses.replace(style, positive=1))
    total = scorer.score_steps([rollout("a", "b")]).steps[0] + opposite.score_steps([rollout("a", "b")]).steps[0]
    np.testing.assert_allclose(total, 1, atol=1e-5)


def refused_checkpoints(folder: Path) -> dict[str, tuple[torch.nn.Module, dict[str, object], str]]:
    chat, plain = build_tokenizer(chat=True, extra=True), build_tokenizer()
    three = LlamaForTokenClassification(LlamaConfig(**SHAPE, num_labels=3))
    sequence = LlamaForSequenceClassification(LlamaConfig(**SHAPE, num_labels=2, pad_token_id=1))
    capped = Gemma2ForCausalLM(Gemma2Config(**SHAPE, head_dim=8, final_logit_softcapping=0.5))
    hardly = Gemma2ForCausalLM(Gemma2Config(**SHAPE, head_dim=8, final_logit_softcapping=1e6))
    return {
        "three labels": (three, {"tokenizer": plain, "style": "trl"}, "3 outputs"),
        "one label": (labels_model(), {"tokenizer": plain, "style": "skywork"}, "2 outputs"),
        "a language model": (language_model(), {"tokenizer": plain, "style": "trl"}, "without a step head"),
        "a language model, unnamed": (language_model(), {"tokenizer": plain}, "cannot tell what kind"),
        "a sequence classifier": (sequence, {"tokenizer": plain, "style": "trl"}, "does not give an output for every token"),
        "no vocabulary head": (labels_model(), {"tokenizer": plain, "style": "math-shepherd"}, "language-model head"),
        "a bare body": (
            AutoModel.from_config(labels_model().config),
            {"tokenizer": plain, "style": "trl"},
            "32 outputs per token",
        ),
        "capped logits": (capped, {"tokenizer": plain, "style": "math-shepherd"}, "changes its logits"),
        "hardly capped logits": (hardly, {"tokenizer": plain, "style": "math-shepherd"}, "changes its logits"),
        "separator unknown": (
            labels_model(),
            {"tokenizer": build_tokenizer(chat=True), "style": "qwen"},
            "separator '<extra_0>'",
        ),
        "no template": (labels_model(), {"tokenizer": build_tokenizer(extra=True), "style": "qwen"}, "no chat template"),
        "no tokenizer": (labels_model(), {"style": "trl"}, "needs its tokenizer"),
        "unknown style": (labels_model(), {"tokenizer": chat, "style": "prm800k"}, "style='prm800k' is unknown"),
        "unknown aggregate": (labels_model(), {"tokenizer": chat, "aggregate": "max"}, "aggregate='max' is unknown"),
        "batch size": (labels_model(), {"tokenizer": chat, "batch_size": 0}, "batch_size=0"),
        "words": (
            language_model(),
            {"tokenizer": plain, "style": dataclasses.replace(STEP_FORMATS["math-shepherd"], good="yes")},
            "'yes'",
        ),
    }


@pytest.mark.parametrize("case", refused_checkpoints(Path()))
def test_what_a_model_or_tokenizer_cannot_do_is_refused(case: str) -> None:
    model, options, message = refused_checkpoints(Path())[case]
    with pytest.raises(InputError, match=message):
        ProcessScorer(model, **options)  # pyright: ignore


def test_checkpoints_without_head_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    base = tmp_path / "base"
    language_model().save_pretrained(base)
    build_tokenizer(chat=True, extra=True).save_pretrained(base)
    for style in ("qwen", "skywork", "trl"):
        with pytest.raises(InputError, match="no weights of a step head"):
            ProcessScorer(base, style=style)
    headless = shutil.copytree(folders["trl"], tmp_path / "headless")
    tensors = {key: tensor for key, tensor in load_file(headless / "model.safetensors").items() if not key.startswith("score")}
    save_file(tensors, headless / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no weights for score.bias, score.weight"):
        ProcessScorer(headless)
    outcome = tmp_path / "outcome"
    LlamaForSequenceClassification(LlamaConfig(**SHAPE, num_labels=1)).save_pretrained(outcome)
    build_tokenizer().save_pretrained(outcome)
    with pytest.raises(InputError, match="head has 1 outputs"):
        ProcessScorer(outcome, style="trl")
    with pytest.raises(InputError, match="no such folder"):
        ProcessScorer(tmp_path / "nothing")
