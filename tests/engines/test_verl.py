"""What of the verl engine needs no verl: its settings, its reward function, and `hero recipe verl`."""

from __future__ import annotations

import asyncio
import json
import pickle
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import tiny
from helpers.places import ROOT
from hero_rl.cli import main
from hero_rl.contrib.process import StepReader, write_steps
from hero_rl.engines.verl.reward import compute_score
from hero_rl.engines.verl.settings import check_config, read_settings, scale_of
from hero_rl.engines.wire import KEYS, Row, column_reward, compared, from_infos, read_rows, to_info
from hero_rl.errors import InputError, SignalError
from hero_rl.rewards import hero, verifier_only
from hero_rl.types import LEARNED_YES, FloatArray, IntArray, Rollout, Scorer, StepScores, Verdict, Verifier

NAN = float("nan")


class Broken(Verifier, Scorer):
    """A verifier and a reward model that raise what they should not."""

    name = "broken"

    def __init__(self, error: str = "") -> None:
        self.error = {"input": InputError("wrong settings"), "": OSError("no route")}[error]

    async def averify(self, rollouts: list[Rollout]) -> list[Verdict]:
        raise self.error

    async def ascore(self, rollouts: list[Rollout]) -> FloatArray:
        raise self.error


class BrokenSteps(tiny.Pairs):
    """A process reward model that does not answer."""

    async def ascore_steps(self, rollouts: Sequence[Rollout]) -> StepScores:
        raise OSError("no route")

    def step_ends(self, rollout: Rollout) -> IntArray:
        raise OSError("no tokenizer either")


class Asks(Verifier, Scorer):
    """A reward model that scores the problem's length, and a verifier that abstains."""

    name = "asks"

    async def averify(self, rollouts: list[Rollout]) -> list[Verdict]:
        return [Verdict("correct", rollout.reference, learned=True) for rollout in rollouts]

    async def ascore(self, rollouts: list[Rollout]) -> FloatArray:
        return np.array([float(len(rollout.problem)) for rollout in rollouts])


def ask(verifier: Any = "exact", reward_model: str | None = None, hero: Any = None, **options: Any) -> Any:
    """Return what ``compute_score`` says, asked with a verifier and a reward model by name, or with a table."""
    call = {"data_source": "sums", "solution_str": "a", "ground_truth": "1", "extra_info": {"problem": "how?"}, **options}
    table = hero or {"verifier": {"name": verifier}, "reward_model": {"name": reward_model} if reward_model else None}
    return asyncio.run(compute_score(**call, hero=table))


HERE = f"{__name__}:"
ASKS = {"verifier": HERE + "Asks", "reward_model": HERE + "Asks"}


def test_every_row_has_the_same_keys_and_no_nan_whatever_happens() -> None:
    broken = ask(verifier=HERE + "Broken", reward_model=HERE + "Broken")
    fine = ask(verifier=HERE + "Asks", reward_model=HERE + "Asks")
    alone = ask(verifier="exact")
    for info in (broken, fine, alone):
        assert tuple(info) == KEYS
        assert all(np.isfinite(value) for value in info.values() if not isinstance(value, str))
    assert (broken["score"], broken["abstain"], broken["failed"], broken["rm_ok"]) == (0.0, 1.0, 1.0, 0.0)
    assert (fine["acc"], fine["verdict"], fine["rm_score"], fine["rm_ok"]) == (1.0, LEARNED_YES, 4.0, 1.0)


def test_step_scores_travel_with_the_text_that_they_are_of() -> None:
    info = ask(verifier="exact", reward_model="helpers.tiny:Pairs", solution_str="abc")
    assert tuple(info) == KEYS
    assert info["rm_score"] == tiny.Characters()._rate("abc")
    found = StepReader.of(tiny.tokenizer()).read_written(info["steps"], [*tiny.tokenizer().encode("abc"), 1])
    assert found.scores.tolist() == [ord("a") / 64, ord("c") / 64]
    assert found.lengths.tolist() == [2, 2]
    assert ask(verifier="exact", reward_model=HERE + "Asks")["steps"] == ""
    assert ask(verifier="exact", reward_model=HERE + "BrokenSteps")["steps"] not in ("", info["steps"])


def test_signals_survive_the_way_there_and_back() -> None:
    rows = [(Verdict("correct", "x"), 1.5), (Verdict("incorrect", "x"), NAN), (Verdict("abstain", "x", failed=True), -2.0),
            (Verdict("correct", "x", learned=True), 0.0)]  # fmt: skip
    signals = from_infos([to_info(*row) for row in rows])
    np.testing.assert_array_equal(signals.verdicts, [verdict.value for verdict, _ in rows])
    np.testing.assert_array_equal(signals.scores, [score for _, score in rows])
    np.testing.assert_array_equal(signals.failed, [0, 0, 1, 0])
    foreign = from_infos([{"acc": True, "score": 1.0}, {"acc": 0.0, "rm_score": 2.0}])
    np.testing.assert_array_equal(foreign.verdicts, [1.0, 0.0])
    np.testing.assert_array_equal(foreign.scores, [NAN, 2.0])


def test_what_every_response_would_meet_is_an_error_that_can_be_pickled() -> None:
    wrong: list[dict[str, Any]] = [
        {"verifier": "maths"}, {"verifier": "no_such_module:Thing"}, {"verifier": "none"},
        {"hero": {"verifier": {"name": "exact", "odd": 1}}}, {"hero": {"verifier": "exact"}}, {"hero": {"verifiers": {}}},
        {"hero": "exact"},
        {"hero": {"verifier": {"name": "exact"}, "reward_model": {"eos": "never"}}},
        {"ground_truth": None}, {"ground_truth": ["1", "2"]}, {"reward_model": HERE + "Asks", "extra_info": {}},
        {"hero": {"verifier": {"name": HERE + "Broken", "error": "input"}}},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(InputError) as caught:
            ask(**options)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_references_come_as_text_numbers_and_lists_of_one() -> None:
    for truth in ("4", 4, ["4"], np.array(["4"])):
        assert ask(verifier=HERE + "Asks", ground_truth=truth)["reason"] == "4"
    assert ask(verifier=HERE + "Asks", ground_truth="4", extra_info={"question": "?"})["acc"] == 1.0


def test_the_last_row_of_a_rollout_counts_and_padding_does_not() -> None:
    good, bad = to_info(Verdict("correct", ""), 2.0), to_info(Verdict("incorrect", ""), 1.0)
    rows = [Row("g", "g_0", 1, good), Row("g", "g_0", 0, bad), Row("pad", "pad_0", 0, None), Row("g", "g_1", 0, bad)]
    found = read_rows(rows)
    assert found is not None
    batch = column_reward(hero()).batch(found.signals, found.groups)
    np.testing.assert_allclose(found.by_row(batch.rewards, padding=NAN), [0.95, 0.95, NAN, -0.05])
    assert found.final.tolist() == [0, 3]
    assert read_rows(rows[2:3]) is None


def test_a_response_that_is_alone_or_left_out_is_compared_with_nothing() -> None:
    got = compared(np.array([1.0, NAN, 0.0, 0.5, 1.0, NAN]), np.array([0, 0, 0, 1, 2, 2]))
    assert got.tolist() == [True, False, True, False, False, False]


def test_steps_of_a_rollout_of_several_rows_are_left_alone() -> None:
    written = write_steps("ab", np.array([0.5]), np.array([2]))
    info = to_info(Verdict("correct", ""), 2.0, written)
    found = read_rows([Row("g", "g_0", 0, info), Row("g", "g_0", 1, info), Row("g", "g_1", 0, info)])
    assert found is not None
    assert found.steps == ("", written)


def test_failures_are_counted_once_a_rollout_and_only_where_the_rule_looks() -> None:
    dead = read_rows([Row("g", f"g_{i}", 0, to_info(Verdict("correct", ""), NAN)) for i in range(4)])
    assert dead is not None
    with pytest.raises(SignalError, match="4 of the last 4"):
        column_reward(hero(), max_failure_rate=0.0).batch(dead.signals, dead.groups)
    assert column_reward(verifier_only()).batch(dead.signals, dead.groups).failure_rate == 0.0


def config(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "algorithm.adv_estimator": "grpo", "algorithm.norm_adv_by_std_in_grpo": False, "actor_rollout_ref.rollout.n": 8,
        "reward.custom_reward_function.path": "pkg://hero_rl.engines.verl.reward",
        "reward.reward_manager.source": "register", "reward.reward_manager.name": "naive",
    } | {key.replace("__", "."): value for key, value in changes.items()}  # fmt: skip
    made: dict[str, Any] = {}
    for path, value in plain.items():
        *parents, last = path.split(".")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm__norm_adv_by_std_in_grpo": True}, r"norm_adv_by_std_in_grpo=False \(verl's default is True\)"),
        ({"algorithm__norm_adv_by_std_in_grpo": None}, "norm_adv_by_std_in_grpo=False"),
        ({"algorithm__adv_estimator": "grpo_vectorized"}, "instead of grpo_vectorized"),
        ({"algorithm__adv_estimator": "gdpo"}, "hero.rule.name=gdpo"),
        ({"actor_rollout_ref__rollout__n": 1}, "at least 2 responses"),
        ({"reward__custom_reward_function__path": None}, "pkg://hero_rl.engines.verl.reward"),
        ({"reward__reward_model__enable": True}, "run the reward model as a server"),
        ({"reward__reward_manager__name": "dapo"}, "use naive"),
    ],
)  # fmt: skip
def test_settings_that_undo_the_rule_are_refused_with_what_to_set(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_config(config(**changes), read_settings(None))


LOSS = {"actor_rollout_ref__actor__use_kl_loss": True}


def test_a_kl_in_true_reward_is_one_in_the_loss() -> None:
    oracle = read_settings({"kl_unit": "oracle", "verifier_recall": 0.4})
    assert oracle.scale.reliability.recall == 0.4
    assert check_config(config(**LOSS), oracle) == check_config(config(), read_settings(None)) == []
    for changes in ({}, {**LOSS, "algorithm__use_kl_in_reward": True}):
        with pytest.raises(InputError, match="set the first to False and the second to True"):
            check_config(config(**changes), oracle)


PRM = {"reward_model": {"name": "process:./prm"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "name a process reward model that each worker loads"),
        ({"algorithm__adv_estimator": "reinforce_plus_plus"}, "each token an advantage of its own.*use grpo or rloo"),
    ],
)
def test_a_rule_that_shapes_steps_needs_them_and_one_advantage_a_response(changes: dict[str, Any], message: str) -> None:
    table = {"rule": {"name": "process", "gamma": 0.2}, "allow_group_std": True}
    with pytest.raises(InputError, match=message):
        check_config(config(**changes), read_settings(table | (PRM if changes else {"reward_model": {"name": "local:a/b"}})))
    settings = read_settings(table | PRM)
    assert check_config(config(), settings) == []
    (warning,) = check_config(config(actor_rollout_ref__actor__policy_loss__loss_mode="gspo"), settings)
    assert "gamma=0.2 has no effect" in warning


def test_settings_that_hurt_are_warned_about() -> None:
    assert check_config(config(), read_settings(None)) == []
    allowed = check_config(config(algorithm__norm_adv_by_std_in_grpo=True), read_settings({"allow_group_std": True}))
    assert "blows the band up" in allowed[0]
    filtered = config(algorithm__filter_groups__enable=True, algorithm__filter_groups__metric="rm_score")
    assert len(check_config(filtered, read_settings(None))) == 2
    assert (
        check_config(config(algorithm__norm_adv_by_std_in_grpo=True), read_settings({"rule": {"name": "verifier_only"}})) == []
    )


def test_the_normalisation_is_told_from_the_estimator() -> None:
    scales = {name: scale_of(config(algorithm__adv_estimator=name)) for name in ("grpo", "rloo", "gae", "grpo_vectorized")}
    assert scales == {"grpo": "none", "rloo": "none", "gae": "batch", "grpo_vectorized": "group"}


@pytest.mark.parametrize(
    "table",
    [
        {"rules": {}}, {"rule": "hero"}, {"rule": {"name": "heroes"}}, {"rule": {"alpha": 0.99}}, {"rule": {"alpha": "wide"}},
        {"reward": "no.toml"}, {"max_failure_rate": 2}, "hero", {"kl_unit": "nats"}, {"verifier_recall": 40},
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(table: Any) -> None:
    with pytest.raises(InputError):
        read_settings(table)


def write(folder: Path, *options: str) -> tuple[int, Path]:
    target = folder / "run"
    return main(["recipe", "verl", "--model", "qwen3-4b", "--regime", "hard", "-o", str(target), *options]), target


def test_the_recipe_holds_problems_in_verls_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    problems = tmp_path / "problems.jsonl"
    rows = [{"problem": f"{i}+1?", "reference": str(i + 1), "source": "quiz"} for i in range(3)]
    rows[1] |= {"unit": "m", "reasoning_gym": "{}"}
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, target = write(tmp_path, "--problems", str(problems), "--validation", str(problems), "--json")
    assert code == 0
    files = ["hero.yaml", "run.sh", "reward_model.sh", "train.parquet", "validation.parquet"]
    assert json.loads(capsys.readouterr().out)["files"] == files
    rows = parquet.read_table(target / "train.parquet").to_pylist()
    assert len(rows) == 3
    assert rows[1]["prompt"][-1] == {"role": "user", "content": "1+1?"}
    assert rows[1]["reward_model"]["ground_truth"] == "2"
    # with what a verifier reads beside them
    assert [(row["extra_info"]["unit"], row["extra_info"]["reasoning_gym"]) for row in rows[:2]] == [(None, None), ("m", "{}")]
    assert "source" not in rows[1]["extra_info"]
    info = ask(**ASKS, ground_truth=rows[1]["reward_model"]["ground_truth"], extra_info=rows[1]["extra_info"])
    assert info["rm_score"] == len("1+1?")


@pytest.mark.parametrize("rule", ["hero", "verifier_only", "rm_only", "gdpo"])
def test_each_rule_gets_the_normalisation_that_suits_it(rule: str, tmp_path: Path) -> None:
    code, target = write(tmp_path, "--rule", rule, "--reward-model-url", "http://a:1", "--reward-model-url", "http://b:2")
    assert code == 0
    text = (target / "hero.yaml").read_text()
    by_std = rule in ("verifier_only", "rm_only")
    assert f"norm_adv_by_std_in_grpo: {str(by_std).lower()}\n" in text
    assert f"adv_estimator: {'reinforce_plus_plus_baseline' if rule == 'gdpo' else 'grpo'}\n" in text
    assert 'name: "vllm:nvidia/AceMath-7B-RM@http://a:1,http://b:2"' in text
    written = text.replace("${hero}", "") + (target / "reward_model.sh").read_text().replace('"$@"', "")
    assert "$" not in written


@pytest.mark.parametrize(("nodes", "gpus", "step"), [(1, 8, 128), (2, 8, 128), (2, 3, 132), (1, 1, 128)])
def test_the_recipe_takes_any_model_and_any_number_of_cards(nodes: int, gpus: int, step: int, tmp_path: Path) -> None:
    options = ["--model", "Qwen/Qwen3-8B", "--nodes", str(nodes), "--gpus", str(gpus), "--max-response", "2048"]
    assert main(["recipe", "verl", *options, "-o", str(tmp_path / "run")]) == 0
    text = (tmp_path / "run/hero.yaml").read_text()
    assert 'path: "Qwen/Qwen3-8B"' in text
    # what a step trains on is shared out equally: 132 = 22 x 6
    assert f"ppo_mini_batch_size: {step}\n" in text
    assert f"train_batch_size: {4 * step}\n" in text
    assert f"nnodes: {nodes}\n  n_gpus_per_node: {gpus}\n" in text
    assert "max_response_length: 2048\n" in text
    assert "max_length: 4096\n" in text
    served = "Skywork/Skywork-Reward-V2-Qwen3-4B"
    assert f'name: "vllm:{served}@http://127.0.0.1:8000"\n    tokenizer: {served}\n' in text
    assert "check your final answer" not in text, "the system turn of the paper's reward model"
    assert f"vllm serve {served} " in (tmp_path / "run/reward_model.sh").read_text()


def test_the_script_for_a_cluster_calls_commands_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    script = (ROOT / "src/hero_rl/recipes/cluster/qwen3-8b.sh").read_text().replace("\\\n", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.jsonl").write_text('{"prompt": "1+1?", "solution": "2"}\n')
    prepare, recipe = (shlex.split(line)[1:] for line in script.splitlines() if line.startswith("hero "))
    # a file in the place of the data set
    assert prepare[2:5] == ["open-r1/DAPO-Math-17k-Processed", "--config", "en"]
    assert main([*prepare[:2], "raw.jsonl", *prepare[5:]]) == 0
    assert main(recipe) == 0
    assert (tmp_path / "qwen3-8b/train.parquet").is_file()


def test_nothing_is_written_where_something_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"problem": "1+1?", "answer": "2"}\n')
    for options in (
        ["--problems", str(bad)],
        ["--problems", str(tmp_path / "none.jsonl")],
        ["--rule", "heroes"],
        ["--rule", "process"],
        ["--nodes", "0"],
        ["--max-response", "0"],
        ["--model", "qwen3-5b"],
    ):
        code, target = write(tmp_path, *options)
        assert code == 2
        assert not target.exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    assert write(tmp_path)[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "run"]
