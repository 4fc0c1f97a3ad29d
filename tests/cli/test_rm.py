"""`hero rm train`, `hero rm eval` and `hero score` on what they made: a real training on toy rollouts, and bad input."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from helpers import toy_rollouts
from helpers.commands import fails, run_json
from hero_rl.cli import main
from hero_rl.data import read_rollouts
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.pairs import Pair, as_rollout
from hero_rl.learning.reward_model import dataset, encoded, size_advice
from hero_rl.learning.splits import load_split
from hero_rl.learning.training import load_base
from hero_rl.scorers import LocalScorer

FAST = ["--learning-rate", "5e-3", "--epochs", "3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rm")
    toy_rollouts.write_base(folder / "base")
    toy_rollouts.write_base(folder / "chat", chat=True)
    write_encoder(folder / "encoder")
    toy_rollouts.write(folder / "rollouts.jsonl", toy_rollouts.rollouts(80))
    return folder


def write_encoder(folder: Path) -> None:
    """An untrained BERT, with the tokenizer of its kind: [CLS] and [SEP] around every text, and no end of sequence."""
    from tokenizers import processors
    from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

    words = AutoTokenizer.from_pretrained(toy_rollouts.write_base(folder))
    core = words.backend_tokenizer
    core.add_special_tokens(["[CLS]", "[SEP]"])
    first, last = (("[CLS]", core.token_to_id("[CLS]")), ("[SEP]", core.token_to_id("[SEP]")))
    core.post_processor = processors.BertProcessing(last, first)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", cls_token="[CLS]", sep_token="[SEP]")
    tokenizer.save_pretrained(folder)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=256, pad_token_id=0)  # fmt: skip
    BertModel(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    assert (
        main(["rm", "train", str(place / "rollouts.jsonl"), "-o", str(place / "rm"), "--model", str(place / "base"), *FAST])
        == 0
    )
    return place / "rm"


def test_the_trained_model_ranks_held_out_responses_far_above_chance(trained, place, capsys):
    report = run_json(capsys, "rm", "eval", trained, place / "rollouts.jsonl", "--draws", 200)
    split = load_split(trained).counts()
    assert report["prompts"] == report["mixed_prompts"] == split["held_out"]
    assert report["rows_trained_on"] == 4 * (split["train"] + split["calibration"])
    found = report["measures"]["auroc_in_mixed_prompts"]
    assert found["value"] > 0.8
    assert found["low"] > 0.6
    facts = json.loads((trained / "training.json").read_text())
    held_out = facts["held_out"]
    assert held_out["pair_accuracy"] > 0.8
    assert held_out["ranks"] == report["ranks"] == "better than chance"
    assert held_out["auroc_in_mixed_prompts"]["value"] == pytest.approx(found["value"], abs=1e-6)
    assert abs(facts["share_chosen_longer"] - 0.5) <= 0.1


def test_a_model_that_learned_nothing_is_said_to_be_no_better_than_chance(place, tmp_path, capsys):
    rows = [
        {**row, "correct": int(i % 4 in (0, 3))} for i, row in enumerate(toy_rollouts.rollouts(80))
    ]  # half of the labels lie
    source = toy_rollouts.write(tmp_path / "rollouts.jsonl", rows)
    command = ["rm", "train", str(source), "-o", str(tmp_path / "rm"), "--model", str(place / "base"), "--epochs", "0.1"]
    assert main(command) == 0
    said = capsys.readouterr().err
    facts = json.loads((tmp_path / "rm" / "training.json").read_text())["held_out"]
    assert facts["ranks"] == "no better than chance"
    assert facts["verdict"] in said
    assert "more prompts with right and wrong responses would tell it from chance" in said
    assert main(["rm", "eval", str(tmp_path / "rm"), str(source), "--draws", "20"]) == 0
    assert "It is not distinguishable from chance" in capsys.readouterr().err
    scored = ["audit", source, "-o", tmp_path / "audit", "--verifier", "math", "--reward-model", f"local:{tmp_path / 'rm'}"]
    (model,) = run_json(capsys, *scored)["reward_models"]
    assert model["within"]["ranks"] == "no better than chance"


@pytest.mark.parametrize("base", ["base", "chat"])
def test_rows_without_pairs_are_learned_from_one_by_one(base, place, tmp_path, capsys):
    every = toy_rollouts.rollouts(320)
    rows = [row for i, row in enumerate(every) if i % 4 == i // 4 % 4]  # one response per prompt
    source, fresh = toy_rollouts.write(tmp_path / "r.jsonl", rows), toy_rollouts.rollouts(400)[4 * 320 :]
    command = ["rm", "train", source, "-o", tmp_path / "rm", "--model", place / base, "--epochs", "4", *FAST[:2]]
    result = run_json(capsys, *command)
    assert (result["learned_from"], result["responses"]) == ("labels", load_split(tmp_path / "rm").counts()["train"])
    assert (result["held_out"]["mixed_prompts"], result["held_out"]["ranks"]) == (0, "unknown")
    assert result["held_out"]["auroc"]["value"] > 0.7
    assert result["advice"] == ""
    others = toy_rollouts.write(tmp_path / "fresh.jsonl", fresh)
    assert run_json(capsys, "rm", "eval", tmp_path / "rm", others, "--draws", "20")["ranks"] == "better than chance"


@pytest.mark.parametrize("base", ["base", "chat"])
def test_single_responses_are_read_as_the_scorer_reads_them(base, place):
    model, tokenizer = load_base(str(place / base), seed=0)
    scorer = LocalScorer(model, tokenizer=tokenizer)
    rows = [LabelledRow(row.rollout, True, "given") for row in list(read_rollouts(place / "rollouts.jsonl"))[:6]]
    assert [ids for ids, _ in encoded(tokenizer, rows)] == [scorer.encode(row.rollout) for row in rows]


def test_solutions_make_pairs_where_no_response_is_right(place, tmp_path, capsys):
    rows = [row | {"proof": f"thus \\boxed{{{row['reference']}}}"} for row in toy_rollouts.rollouts(40) if not row["correct"]]
    source = toy_rollouts.write(tmp_path / "r.jsonl", rows)
    result = run_json(
        capsys, "rm", "train", source, "-o", tmp_path / "rm", "--model", place / "base", "--solutions", "proof"
    )  # fmt: skip
    counts = load_split(tmp_path / "rm").counts()
    assert (result["learned_from"], result["prompts_with_pairs"]) == ("pairs", counts["train"])
    assert result["rows"] == len({(row["problem"], row["response"]) for row in rows}) + 40
    assert result["held_out"]["mixed_prompts"] == counts["held_out"]


def test_too_few_pairs_are_said_with_the_number_of_responses_that_make_enough(place, tmp_path, capsys):
    source = toy_rollouts.write(tmp_path / "r.jsonl", toy_rollouts.rollouts(8))
    assert main(["rm", "train", str(source), "-o", str(tmp_path / "rm"), "--model", str(place / "base")]) == 0
    said = capsys.readouterr().err
    facts = json.loads((tmp_path / "rm" / "training.json").read_text())
    assert facts["advice"].startswith(f"{facts['pairs']} pairs are few")
    assert facts["advice"] in said
    assert size_advice(18, "pairs", 360).endswith("about 2,000 training responses like these 360 make as many")
    assert size_advice(20, "pairs", 0).endswith("not easy")  # given pairs alone


def test_hero_score_reads_the_trained_model(trained, place, tmp_path, capsys):
    out = tmp_path / "scored.jsonl"
    arguments = [
        "score",
        place / "rollouts.jsonl",
        "-o",
        out,
        "--verifier",
        "column:correct",
        "--reward-model",
        f"local:{trained}",
    ]
    assert run_json(capsys, *arguments)["missing_scores"] == 0
    scored = [row.rollout for row in read_rollouts(out)]
    direct = LocalScorer(trained).score(scored)
    np.testing.assert_allclose([one.extra["rm_score"] for one in scored], direct, atol=1e-5)


@pytest.mark.parametrize("base", ["base", "chat", "encoder"])
def test_the_saved_model_scores_as_rewardtrainer_evaluates(base, place, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    folder = tmp_path / "rm"
    assert (
        main(["rm", "train", str(place / "rollouts.jsonl"), "-o", str(folder), "--model", str(place / base), "--epochs", "0.3"])
        == 0
    )
    pairs = [Pair(f"what is {'a' * n}?", f"thus {n}" * n, "hmm <eos>" if n == 3 else "hmm") for n in range(1, 9)]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(folder),
        args=RewardConfig(
            output_dir=str(tmp_path / "scratch"), use_cpu=True, bf16=False, report_to="none", per_device_eval_batch_size=8,
            gradient_checkpointing=False,
        ),
        train_dataset=dataset(pairs, tokenizer),
        eval_dataset=dataset(pairs, tokenizer),
        processing_class=tokenizer,
    )  # fmt: skip
    (batch,) = trainer.get_eval_dataloader()
    expected = trainer.model.eval()(**batch).logits[:, 0].detach().numpy()
    sides = [as_rollout(pair) for pair in pairs] + [as_rollout(pair._replace(chosen=pair.rejected)) for pair in pairs]
    np.testing.assert_allclose(LocalScorer(folder).score(sides), expected, atol=1e-5)
    metrics = trainer.evaluate()
    assert metrics["eval_min_reward"] == pytest.approx(expected.min(), abs=1e-5)
    assert metrics["eval_max_reward"] == pytest.approx(expected.max(), abs=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_seed_another(place, tmp_path):
    def weights(name: str, seed: int) -> bytes:
        arguments = ["rm", "train", place / "rollouts.jsonl", "-o", tmp_path / name, "--model", place / "base", "--seed", seed,
                     "--epochs", 0.3]  # fmt: skip
        assert main([*map(str, arguments)]) == 0
        return (tmp_path / name / "model.safetensors").read_bytes()

    first = weights("first", 1)
    assert weights("again", 1) == first
    assert weights("other", 2) != first
    assert (tmp_path / "first" / "split.json").read_bytes() == (tmp_path / "other" / "split.json").read_bytes()


def test_given_pairs_alone_train_a_model_and_are_split_by_prompt(place, tmp_path, capsys):
    pairs = [{"prompt": f"what is {'ab' * n}?", "chosen": "thus 3", "rejected": "hmm 3"} for n in range(1, 41)]
    path = toy_rollouts.write(tmp_path / "pairs.jsonl", pairs)
    result = run_json(capsys, "rm", "train", "--pairs", path, "-o", tmp_path / "rm", "--model", place / "chat", *FAST)
    counts = load_split(tmp_path / "rm").counts()
    assert (result["pairs"], result["held_out"]["pairs"]) == (counts["train"], counts["held_out"])
    assert result["template"] == "chat"
    assert result["steps"] < 10
    assert 0 < result["loss"] < 5
    with gzip.open(tmp_path / "rm" / "pairs.jsonl.gz") as file:
        assert len(file.readlines()) == 40


def test_refresh_adds_what_the_rules_decided_and_keeps_the_split(trained, place, tmp_path, capsys):
    new = [{name: value for name, value in row.items() if name != "correct"} for row in toy_rollouts.rollouts(95)[4 * 80 :]]
    new.append({**new[0], "reference": "some words that no rule can compare", "problem": "what is zz?", "prompt_id": "words"})
    path = toy_rollouts.write(tmp_path / "new.jsonl", new)
    result = run_json(capsys, "rm", "train", path, "-o", tmp_path / "rm2", "--refresh", trained, "--epochs", 0.3)
    assert result["undecided"] == 1
    assert result["added"] == len({(row["problem"], row["response"]) for row in new[:-1]})
    before, after = load_split(trained), load_split(tmp_path / "rm2")
    assert all(after.parts[key] == part for key, part in before.parts.items())
    assert len(after.parts) == 95
    assert result["base"] == str(trained)


def test_grading_on_what_it_learned_from_is_refused_or_warned_of(trained, place, tmp_path, capsys):
    split = load_split(trained)
    seen = [row.record.values for row in read_rollouts(place / "rollouts.jsonl") if split.part_of(row.rollout) == "train"]
    path = toy_rollouts.write(tmp_path / "seen.jsonl", [dict(row) | {"prompt_id": f"new-{row['prompt_id']}"} for row in seen])
    path = toy_rollouts.write(path, [dict(row.record.values) | {"rm_score": 0.5} for row in read_rollouts(path)])
    assert f"all {len(seen)} labelled rows are on problems that the model was trained" in fails(
        capsys, "rm", "eval", trained, path
    )
    assert main(["rm", "eval", str(trained), str(path), "--include-trained", "--draws", "20"]) == 0
    assert "the numbers flatter it" in capsys.readouterr().err
    assert "labelled rows are on problems" in fails(capsys, "rm", "eval", "column:rm_score", path, "--unseen-by", trained)
    assert "it agrees with itself" in fails(capsys, "rm", "eval", "column:correct", path)
    assert "it agrees with itself" in fails(capsys, "verifier", "eval", "column:correct", path)


def test_scores_in_a_column_are_measured_against_labels(tmp_path, capsys):
    rows = [
        {"prompt_id": f"p{i // 2}", "problem": f"q{i // 2}", "reference": "1", "response": "x" * (i + 1), "ok": i % 2 == 1,
         "rm": float(i % 2) if i < 6 else 0.5} for i in range(8)
    ]  # fmt: skip
    path = toy_rollouts.write(tmp_path / "r.jsonl", rows)
    report = run_json(capsys, "rm", "eval", "column:rm", path, "--labels", "column:ok", "--draws", 20)
    assert report["measures"]["pair_accuracy"]["value"] == 3.5 / 4
    assert main(["rm", "eval", "column:rm", str(path), "--labels", "column:ok", "--draws", "20"]) == 0
    assert "pair accuracy" in capsys.readouterr().out


def test_bad_input_gives_one_clear_line_and_leaves_nothing(place, tmp_path, capsys):
    rows = toy_rollouts.rollouts(6)
    plain = [{name: value for name, value in row.items() if name != "correct"} for row in rows]
    unlabelled = toy_rollouts.write(tmp_path / "unlabelled.jsonl", plain)
    one_class = toy_rollouts.write(tmp_path / "one.jsonl", [row | {"correct": 1} for row in rows])
    unmixed = toy_rollouts.write(tmp_path / "unmixed.jsonl", [row | {"correct": i // 4 % 2} for i, row in enumerate(rows)])
    scored = toy_rollouts.write(tmp_path / "scored.jsonl", [row | {"rm_score": 1.0, "correct": 1} for row in rows])
    base, out = ["--model", place / "base"], tmp_path / "out"
    assert "no label column 'correct'" in fails(capsys, "rm", "train", unlabelled, "-o", out, *base)
    assert "labelled rows are correct" in fails(capsys, "rm", "train", one_class, "-o", out, *base)
    pairs = toy_rollouts.write(tmp_path / "pairs.jsonl", [{"prompt": "1+1=", "chosen": "2", "rejected": "3"}])
    both = ["rm", "train", unmixed, "--pairs", pairs, "-o", out, *base, "--learn-from", "labels"]
    assert "given pairs have no labels" in fails(capsys, *both)
    assert "makes a pair" in fails(capsys, "rm", "train", unmixed, "-o", out, *base, "--learn-from", "pairs")
    assert "choose one of pairs, labels" in fails(capsys, "rm", "train", unmixed, "-o", out, *base, "--learn-from", "votes")
    assert "no row has such a column" in fails(capsys, "rm", "train", unmixed, "-o", out, *base, "--solutions", "proof")
    assert "nothing to learn from" in fails(capsys, "rm", "train", "-o", out, *base)
    assert "no model to start from" in fails(capsys, "rm", "train", one_class, "-o", out)
    assert "no such folder" in fails(capsys, "rm", "train", one_class, "-o", out, "--model", "./nothing")
    assert "leave --model out" in fails(capsys, "rm", "train", one_class, "-o", out, *base, "--refresh", place)
    assert "training.json" in fails(capsys, "rm", "train", one_class, "-o", out, "--refresh", place / "base")
    assert "exists already" in fails(capsys, "rm", "train", one_class, "-o", place, *base)
    assert "learning rate" in fails(capsys, "rm", "train", one_class, "-o", out, *base, "--learning-rate", 7)
    assert "leave no problem to train on" in fails(capsys, "rm", "train", one_class, "-o", out, *base, "--held-out-share", 0.95)
    assert "longer than 2 tokens" in fails(capsys, "rm", "train", place / "rollouts.jsonl", "-o", out, *base, "--max-length", 2)
    assert "all 24 labelled rows are correct" in fails(capsys, "rm", "eval", "column:rm_score", scored)
    assert "no such folder" in fails(capsys, "rm", "eval", "nothing", scored)
    assert "missing column 'rm_score'" in fails(capsys, "rm", "eval", "column:rm_score", one_class)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.jsonl",
        "pairs.jsonl",
        "scored.jsonl",
        "unlabelled.jsonl",
        "unmixed.jsonl",
    ]
