"""Step scores reach the policy's update as advantages of tokens, through real TRL and real tokenizers."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from helpers import tiny
from hero_rl.contrib.process import NO_STEPS, StepReader, ends_of, write_steps
from hero_rl.engines.trl.asynchronous import GroupReward
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.engines.wire import refuse_steps
from hero_rl.errors import InputError, SettingsWarning
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule, StepShaping, group_advantages, hero, process, rm_only
from hero_rl.scorers.steps import step_ends
from hero_rl.types import FloatArray, IntArray, Rollout, StepScorer, StepScores


class Recording(HeroTrainer):
    """Keeps every generation batch in sampler order, and what the loss is given."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        self.__dict__.setdefault("batches", []).append({key: value.clone() for key, value in output.items()})
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self.__dict__.setdefault("losses", []).append({key: value.clone() for key, value in inputs.items()})
        return super()._compute_loss(model, inputs)


def train(rule: RewardRule, folder: Path, *, scorer: Any = None, **options: Any) -> tuple[Recording, tiny.Letters]:
    verifier = tiny.Letters()
    reward = HybridReward(verifier, scorer or tiny.Pairs(), rule, max_failure_rate=1.0)
    data = {"train_dataset": tiny.problems(), "eval_dataset": options.pop("eval_dataset", None)}
    trainer = Recording(tiny.model(), reward, tiny.config(folder, **options), **data, processing_class=tiny.tokenizer())
    trainer.train()
    return trainer, verifier


def expected_rows(
    rule: RewardRule,
    rollouts: list[Rollout],
    lengths: list[int],
    outcome: FloatArray,
    weights: FloatArray,
    verdicts: FloatArray,
) -> list[list[float]]:
    """By hand, one token a character: the formula of the docstring, response by response."""
    assert rule.steps is not None
    correct = np.nan_to_num(verdicts) == 1.0
    rows: list[list[float]] = []
    for i, rollout in enumerate(rollouts):
        group = range(i // 8 * 8, i // 8 * 8 + 8)
        mates = [j for j in group if correct[j] == correct[i]]
        rivals = [j for j in group if correct[j] != correct[i]]
        scores = [ord(char) / 64 for j in mates for char in rollouts[j].response[::2]]
        size = len(rollout.response)
        z = [(ord(rollout.response[t // 2 * 2]) / 64 - min(scores)) / (max(scores) - min(scores)) for t in range(size)]
        z += [z[-1]] * (lengths[i] - size)  # the end token belongs to the last step
        c = rule.steps.gamma * weights[i]
        if rivals:
            gap = min(abs(outcome[j] - outcome[k]) for j in mates for k in rivals)
            c = min(c, gap / 2)
        rows.append([outcome[i] + c * (value - np.mean(z)) for value in z])
    return rows


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
def test_the_loss_is_given_the_advantages_of_steps(scale: str, tmp_path: Path) -> None:
    rule = process(gamma=0.3, alpha=0.1, beta=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SettingsWarning)
        trainer, verifier = train(rule, tmp_path, scale_rewards=scale)
    state = rule.init()
    for batch, rollouts in zip(trainer.batches, verifier.seen, strict=True):
        verdicts = np.array([verifier.judge(rollout).value for rollout in rollouts])
        groups = np.repeat(np.arange(2), 8)
        output = rule.apply(verdicts, tiny.Pairs().score(rollouts), groups, state)
        state = output.state
        outcome = group_advantages(output.rewards, groups, scale=scale, weights_B=output.weights)
        got, lengths = batch["advantages"].double().numpy(), batch["completion_mask"].sum(1).tolist()
        assert got.shape == tuple(batch["completion_ids"].shape)
        wanted = expected_rows(rule, rollouts, lengths, outcome, output.weights, verdicts)
        for row, want, response in zip(got, wanted, outcome, strict=True):
            np.testing.assert_allclose(row[: len(want)], want, rtol=0, atol=1e-5)
            assert row[: len(want)].mean() == pytest.approx(response, abs=1e-5)
            np.testing.assert_allclose(row[len(want) :], response, rtol=0, atol=1e-5)
        assert max(np.ptp(row) for row in got) > 0.05
    # TRL shuffles the rows of a batch; together with their tokens, as they are
    for batch, loss in zip(trainer.batches, trainer.losses, strict=True):
        rows = [torch.cat([part["completion_ids"].double(), part["advantages"].double()], dim=1) for part in (batch, loss)]
        assert sorted(rows[0].tolist()) == sorted(rows[1].tolist())


def test_logs_speak_of_responses(tmp_path: Path) -> None:
    shaped = train(process(gamma=0.3), tmp_path, max_steps=1)[0]
    outcome = train(hero(), tmp_path, max_steps=1)[0]
    assert list(shaped._logs["advantages"]) == list(outcome._logs["advantages"])
    first, plain = shaped.state.log_history[0], outcome.state.log_history[0]
    assert {key: first[key] for key in plain if key.startswith("hero/")} == {
        key: value for key, value in plain.items() if key.startswith("hero/")
    }
    assert 0.5 < first["hero/steps_shaped"] <= 1.0
    assert 0.0 < first["hero/steps_size"] < 0.3 * 3.0
    assert "hero/steps_shaped" not in plain


def test_gamma_0_trains_as_hero_does(tmp_path: Path) -> None:
    same, plain = train(process(gamma=0.0), tmp_path)[0], train(hero(), tmp_path)[0]
    assert same.batches[0]["advantages"].dim() == 2
    assert plain.batches[0]["advantages"].dim() == 1
    np.testing.assert_allclose(tiny.parameters(same), tiny.parameters(plain), rtol=0, atol=1e-6)
    moved = train(process(gamma=0.4), tmp_path)[0]
    assert np.abs(tiny.parameters(moved) - tiny.parameters(plain)).max() > 1e-3


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"])
def test_every_loss_takes_advantages_of_tokens(loss_type: str, tmp_path: Path) -> None:
    trainer = train(
        process(gamma=0.4), tmp_path, loss_type=loss_type, num_iterations=2, per_device_eval_batch_size=8,
        eval_strategy="steps", eval_steps=2, eval_dataset=tiny.problems(2), mask_truncated_completions=True,
    )[0]  # fmt: skip
    log = {key: value for entry in trainer.state.log_history for key, value in entry.items()}
    assert np.isfinite(log["loss"])
    assert np.isfinite(log["eval_loss"])
    assert "eval_hero/steps_shaped" in log


def test_one_ratio_for_a_response_takes_its_steps_out_of_the_gradient_and_is_warned_of(tmp_path: Path) -> None:
    options: dict[str, Any] = {"importance_sampling_level": "sequence", "max_steps": 1, "optim": "sgd", "learning_rate": 0.5}
    with pytest.warns(SettingsWarning, match="gamma=0.4 has no effect"):
        shaped = train(process(gamma=0.4), tmp_path, **options)[0]
    plain = train(hero(), tmp_path, **options)[0]
    np.testing.assert_allclose(tiny.parameters(shaped), tiny.parameters(plain), rtol=0, atol=1e-6)
    assert np.abs(tiny.parameters(plain) - tiny.flat(tiny.model())).max() > 1e-3


def test_a_reward_model_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'process' shapes the advantages of steps, and the reward model 'characters' scores"):
        train(process(), tmp_path, scorer=tiny.Characters())


def test_engines_with_one_advantage_a_response_refuse_the_rule() -> None:
    with pytest.raises(InputError, match="'process' shapes the advantages of tokens, and here each response has one"):
        refuse_steps(process(gamma=0.2))
    with pytest.raises(InputError, match="and here each response has one"):
        GroupReward(HybridReward(tiny.Letters(), tiny.Pairs(), process()), [1])


def test_any_rule_can_shape_steps(tmp_path: Path) -> None:
    trainer = train(dataclasses.replace(rm_only(), steps=StepShaping(gamma=0.4)), tmp_path, max_steps=1)[0]
    assert np.ptp(trainer.batches[0]["advantages"].numpy(), axis=1).max() > 0.05


# --- from characters to tokens ---

PIECES = ["ab", "c;", ";d", " e", "é", "→", "🙂", " f", "\n", "g\n\n", "12"]


def byte_level() -> PreTrainedTokenizerFast:
    """As those of Llama 3 and Qwen: bytes, and some words; a character outside ASCII is several tokens."""
    core = Tokenizer(
        models.BPE({**{c: i for i, c in enumerate(pre_tokenizers.ByteLevel.alphabet())}, "ab": 256, "c;": 257}, [])
    )
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.add_special_tokens({"eos_token": "<eos>"})
    return tokenizer


def metaspace() -> PreTrainedTokenizerFast:
    """As those of Llama 2 and Mistral: a space at the beginning of a text is dropped."""
    core = Tokenizer(
        models.WordLevel({piece: i for i, piece in enumerate(["<unk>", *"abcdefgé→12;▁", "▁e", "▁f", "c;", "▁a"])}, "<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    tokenizer.add_special_tokens({"eos_token": "<eos>"})
    return tokenizer


class Cut(tiny.Characters, StepScorer):
    """Steps that end where they are told to."""

    def __init__(self, ends: Sequence[int]) -> None:
        super().__init__()
        self.ends = ends

    def step_ends(self, rollout: Rollout) -> IntArray:
        return np.array(self.ends, dtype=np.intp)

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        raise AssertionError("only asked where steps end")


def read(
    tokenizer: PreTrainedTokenizerFast, ids: list[int], ends: Sequence[int] | None, count: int, text: str | None = None
) -> Any:
    response = str(tokenizer.decode(ids, skip_special_tokens=True)) if text is None else text
    rollout = Rollout(prompt_id="", problem="", reference="", response=response)
    places = ends_of(tiny.Characters() if ends is None else Cut(ends), rollout)
    reader, scores = StepReader.of(tokenizer), np.arange(count) / 10
    found = reader.read(response, scores, places, ids)
    written = reader.read_written(write_steps(response, scores, places), ids)  # by way of text it is the same
    assert [part.tolist() for part in written] == [part.tolist() for part in found]
    return found


def encode_bytes(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """One token a byte: the policy may write a text with other tokens than the tokenizer would."""
    symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return [tokenizer.convert_tokens_to_ids(char) for word, _ in symbols for char in word]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12), st.data())
def test_a_token_belongs_to_the_step_in_which_it_begins_whatever_the_bytes(pieces: list[str], data: st.DataObject) -> None:
    tokenizer, text = BYTES, "".join(pieces)
    cuts = data.draw(st.lists(st.integers(1, len(text)), max_size=4, unique=True))
    ends = [*sorted(cuts), len(text)]
    ids = encode_bytes(tokenizer, text)
    found = read(tokenizer, [*ids, tokenizer.eos_token_id], ends, len(ends))
    sizes = [len(char.encode()) for char in text]
    wanted = np.diff([sum(sizes[:end]) for end in ends], prepend=0)
    wanted[-1] += 1  # <eos>
    assert found.lengths.tolist() == wanted.tolist()


def test_tokens_across_a_boundary_belong_to_the_step_in_which_they_begin() -> None:
    ids = [256, 257, *encode_bytes(BYTES, "d")]  # "ab", "c;", "d"
    assert read(BYTES, ids, [3, 5], 2).lengths.tolist() == [2, 1]
    assert read(BYTES, ids, [2, 5], 2).lengths.tolist() == [1, 2]
    assert read(BYTES, ids, [1, 2, 5], 3).lengths.tolist() == [1, 0, 2]


def test_a_tokenizer_that_drops_the_first_space_is_read_as_it_decodes() -> None:
    tokenizer = metaspace()
    ids = tokenizer.convert_tokens_to_ids(["▁a", "c;", "▁e", "▁f"])
    assert tokenizer.decode(ids) == "ac; e f"
    assert read(tokenizer, ids, [3, 5, 7], 3).lengths.tolist() == [2, 1, 1]


def test_half_a_character_at_the_end_of_a_cut_off_response_is_of_the_last_step() -> None:
    ids = encode_bytes(BYTES, "ab;🙂")[:-2]
    assert read(BYTES, ids, [3, 4], 2).lengths.tolist() == [3, 2]


def test_what_cannot_be_told_is_no_step() -> None:
    ids = encode_bytes(BYTES, "ab;cd")
    assert read(BYTES, ids, [3, 5], 3) == NO_STEPS  # another number of steps than of scores
    assert read(BYTES, ids, [3, 5], 2, text="ab; called a tool cd") == NO_STEPS
    assert read(BYTES, [], [], 0) == NO_STEPS


def test_written_steps_keep_their_digits_and_a_missing_score_and_know_their_text() -> None:
    scores, ids = np.array([0.1, np.nan, -1e300]), encode_bytes(BYTES, "ab;cd🙂")
    written, reader = write_steps("ab;cd🙂", scores, np.array([1, 3, 6])), StepReader.of(BYTES)
    found = reader.read_written(written, ids)
    np.testing.assert_array_equal(found.scores, scores)
    assert found.lengths.tolist() == [1, 2, 6]
    assert reader.read_written(written, ids[:-4]) == NO_STEPS  # another text
    assert reader.read_written("", ids) == NO_STEPS
    none = write_steps("ab", np.zeros(0), np.array([2]))
    assert none  # not "": the reward model gives steps, and had none here
    assert reader.read_written(none, ids) == NO_STEPS


def test_a_scorer_that_does_not_say_where_steps_end_is_taken_to_split_as_we_do() -> None:
    text = "First.\n\nThen.\n\nDone."
    assert read(BYTES, encode_bytes(BYTES, text), None, 3).lengths.tolist() == [8, 7, 5]
    assert step_ends(Rollout(prompt_id="", problem="", reference="", response=text)).tolist() == [8, 15, 20]


def test_steps_that_were_given_are_found_in_the_response_or_not_at_all() -> None:
    def ends(*steps: str) -> list[int]:
        return step_ends(Rollout(prompt_id="", problem="", reference="", response="a\n\nb\na", steps=steps)).tolist()

    assert ends("a", "b", "a") == [1, 4, 6]
    assert ends("a", "c") == []


BYTES = byte_level()
