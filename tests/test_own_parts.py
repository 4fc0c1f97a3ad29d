"""A plain function as a rule, a verifier or a reward model: in Python, on the command line, in files and in the engines."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import forks
from helpers.commands import hero
from hero_lab.presets import find_arm
from hero_rl import HybridReward, Rollout, Verdict
from hero_rl.config import read_reward
from hero_rl.errors import InputError, SignalError
from hero_rl.imports import is_factory
from hero_rl.rewards import as_rule
from hero_rl.rewards import hero as hero_rule
from hero_rl.scorers import ColumnScorer
from hero_rl.scorers.function import as_scorer
from hero_rl.toml_layers import Layer
from hero_rl.verifiers import ExactVerifier
from hero_rl.verifiers.function import as_verifier

MODULE = """
import os, time
from hero_rl import RewardRule, Verdict, verifier_only

def my_rule(verdicts_B, scores_B, groups_B, *, bonus=0.1):
    return verdicts_B + bonus * (scores_B > 3)

def made_rule(*, alpha=0.05):
    return verifier_only(learned_credit=alpha)

def my_verifier(rollout, *, word="right"):
    return word in rollout.response

def by_batch(rollouts):
    return [None if "?" in one.response else "right" in one.response for one in rollouts]

async def slow_server(rollout):
    return Verdict("correct", "asked", learned=True)

def my_model(rollouts, *, unit=1.0):
    return [len(one.response) / unit for one in rollouts]

def hangs(rollout):
    while "hang" in rollout.response:
        pass
    return True

def crashes(rollout):
    if "crash" in rollout.response:
        os.abort()
    return True

def raises(rollout):
    raise ValueError("no such thing")

def says_maybe(rollout):
    return "maybe"

def short_model(rollouts):
    return [1.0]

def broken_model(rollouts):
    raise RuntimeError("out of memory")

def slow_model(rollouts):
    time.sleep(30)

def square_rule(verdicts_B, scores_B, groups_B):
    return verdicts_B[:, None]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_own_parts.py").write_text(MODULE)
    row = {"prompt_id": "p", "problem": "1+1", "reference": "2"}
    answers = ["right", "wrong", "right, at length", "hang crash"]
    (folder / "in.jsonl").write_text("".join(json.dumps({**row, "response": answer}) + "\n" for answer in answers))
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return hero(*arguments, folder=folder)


def score(folder: Path, rule: str = "my_rule", verifier: str = "my_verifier", model: str = "my_model", *more: str) -> Any:
    parts = {"--rule": rule, "--verifier": verifier, "--reward-model": model}
    named = [text for option, name in parts.items() for text in (option, f"my_own_parts:{name}")]
    return run(folder, "score", "in.jsonl", "-o", "out.jsonl", *named, "--json", *more)


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def rollout(response: str, **extra: float) -> Rollout:
    return Rollout(prompt_id="p", problem="1+1", reference="2", response=response, extra=extra)


def test_the_deadline_of_a_verifier_function_begins_when_its_module_is_imported(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "heavy_part.py").write_text("import time\ntime.sleep(2.5)\ndef accepts(rollout):\n    return True\n")
    monkeypatch.syspath_prepend(tmp_path)
    import heavy_part

    with as_verifier(heavy_part.accepts, workers=1, deadline_s=2) as verifier:
        assert [verdict.label for verdict in verifier.verify([rollout("right")] * 2)] == ["correct"] * 2


def test_score_takes_three_functions_of_the_current_directory(folder: Path) -> None:
    done = score(folder, "my_rule", "my_verifier", "my_model", "--set", "rule.bonus=0.5", "--set", "reward_model.unit=2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reward"]["rule"] == {"name": "my_own_parts:my_rule", "scale": "none", "bonus": 0.5}
    assert [row["verdict"] for row in read(folder)] == [1, 0, 1, 0]
    assert [row["rm_score"] for row in read(folder)] == [2.5, 2.5, 8.0, 5.0]
    assert [row["reward"] for row in read(folder)] == [1.0, 0.0, 1.5, 0.5]


def test_settings_of_a_verifier_reach_it_and_others_are_refused(folder: Path) -> None:
    done = score(folder, "my_rule", "my_verifier", "my_model", "--set", "verifier.word=wrong")
    assert [row["verdict"] for row in read(folder)] == [0, 1, 0, 0], done.stderr
    done = score(folder, "my_rule", "my_verifier", "my_model", "--set", "verifier.world=wrong")
    assert (done.returncode, "did you mean 'verifier.word'?" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("verifier", "verdicts", "reasons"),
    [
        ("by_batch", [1, 0, 1, 0], {"accepted": 2, "rejected": 2}),
        ("slow_server", [1, 1, 1, 1], {"asked": 4}),
        ("hangs", [1, 1, 1, None], {"accepted": 3, "too_hard": 1}),
        ("crashes", [1, 1, 1, None], {"accepted": 3, "crash": 1}),
    ],
)
def test_a_verifier_function_gives_clear_verdicts_whatever_it_does(
    verifier: str, verdicts: list[int | None], reasons: dict[str, int], folder: Path
) -> None:
    done = score(folder, "my_rule", verifier, "my_model", "--set", "verifier.deadline_s=2", "--max-failure-rate", "0.5")
    assert done.returncode == 0, done.stderr
    assert [row["verdict"] for row in read(folder)] == verdicts
    assert json.loads(done.stdout)["reasons"] == reasons


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("my_rule", "raises", "my_model"), "4 of the first 4 rows failed in raises"),
        (("my_rule", "says_maybe", "my_model"), "4 of the first 4 rows failed in says_maybe"),
        (("my_rule", "my_verifier", "short_model"), "'short_model' gave 1 scores for 4 rollouts"),
        (("my_rule", "my_verifier", "broken_model"), "'broken_model' raised RuntimeError: out of memory"),
        (("my_rule", "my_verifier", "slow_model", "--set", "reward_model.deadline_s=1"), "no scores for 4 rollouts within 1 s"),
        (("square_rule", "my_verifier", "my_model"), "'square_rule' gave rewards of shape (4, 1)"),
        (("absent", "my_verifier", "my_model"), "my_own_parts:absent: cannot be imported"),
    ],
)
def test_what_a_function_does_wrong_is_one_clear_message(parts: tuple[str, ...], message: str, folder: Path) -> None:
    done = score(folder, *parts)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_new_rule_setting_is_written_once_and_used_everywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = "my_own_parts:made_rule"
    done = run(folder, "score", "in.jsonl", "-o", "out.jsonl", "--rule", rule, "--verifier", "exact", "--set", "rule.alpha=0.3",
               "--json")  # fmt: skip
    assert json.loads(done.stdout)["reward"]["rule"]["alpha"] == 0.3, done.stderr
    (folder / "model").mkdir(exist_ok=True)
    done = run(folder, "train", "tiny-cpu", "--show", "--set", f"rule.name={rule}", "--set", "rule.alpha=0.3",
               "--set", "reward_model.name=local:./model")  # fmt: skip
    assert "alpha = 0.3" in done.stdout, done.stderr
    monkeypatch.syspath_prepend(folder)
    arm = find_arm("my_own_parts:made_rule:alpha=0.3", regime="hard", kl=False)
    assert (arm.rule_settings, arm.scale) == ({"alpha": 0.3}, "group")
    command = ["serve", "--port", "0", "--json", "--rule", rule, "--verifier", "exact", "--set", "rule.alpha=0.3"]
    serve = forks.hero(*command, stdout=subprocess.PIPE, cwd=folder)
    try:
        assert serve.stdout is not None
        assert json.loads(serve.stdout.readline())["reward"]["rule"]["alpha"] == 0.3
    finally:
        serve.send_signal(signal.SIGTERM)
        serve.communicate(timeout=30)


def test_hybrid_reward_takes_plain_functions_even_closures() -> None:
    wanted = "yes"
    with HybridReward(
        lambda rollout: wanted in rollout.response,
        lambda rollouts: [float(len(one.response)) for one in rollouts],
        lambda verdicts_B, scores_B, groups_B: verdicts_B + 0.01 * scores_B,
    ) as reward:
        batch = reward.batch([rollout("yes"), rollout("no")])
    assert batch.signals.verdicts.tolist() == [1.0, 0.0]
    assert batch.rewards.round(3).tolist() == [1.03, 0.02]


def test_what_is_made_already_is_taken_as_it_is() -> None:
    verifier, scorer, rule = ExactVerifier(), ColumnScorer("x"), hero_rule()
    assert (as_verifier(verifier), as_scorer(scorer), as_rule(rule)) == (verifier, scorer, rule)
    for wrap, part in ((as_verifier, verifier), (as_scorer, scorer), (as_rule, rule)):
        with pytest.raises(InputError, match="takes no settings"):
            wrap(part, alpha=1)
        with pytest.raises(InputError):
            wrap(3)


@pytest.mark.parametrize("wrap", [as_rule, as_verifier, as_scorer])
def test_a_setting_without_a_default_is_asked_for_before_anything_is_called(wrap: Any) -> None:
    def part(first: object, second: object = None, third: object = None, *, weight: float) -> object:
        raise AssertionError("called")

    with pytest.raises(InputError, match="has a setting without a default, 'weight'; give it a value"):
        wrap(part)
    assert wrap(part, weight=0.5).name == "part"


def test_a_function_rule_leaves_nan_out_and_refuses_infinity() -> None:
    rule = as_rule(lambda verdicts_B, scores_B, groups_B: np.where(groups_B == 0, np.nan, verdicts_B))
    assert np.isnan(rule.apply([1, 0], [0, 0], ["a", "b"], rule.init()).rewards).tolist() == [True, False]
    rule = as_rule(lambda verdicts_B, scores_B, groups_B: verdicts_B / 0.0 + np.inf)
    with pytest.raises(InputError, match="infinite"), np.errstate(all="ignore"):
        rule.apply([1, 0], [0, 0], ["a", "b"], rule.init())


def test_missing_scores_of_a_function_are_missing() -> None:
    scorer = as_scorer(lambda rollouts: [None, 1.5])
    assert np.isnan(scorer.score([rollout("a"), rollout("b")])).tolist() == [True, False]
    with (
        np.errstate(over="ignore"),
        pytest.raises(InputError, match=r"gave inf for row 1, a response to prompt 'p': its score overflowed \(float32"),
    ):
        as_scorer(lambda rollouts: np.float32([1.0, 1e39])).score([rollout("a"), rollout("b")])
    for wrong in ({0: 1.0}, "1", ["1"]):
        with pytest.raises(InputError, match="one number per rollout"):
            as_scorer(lambda rollouts, wrong=wrong: wrong).score([rollout("a")])
    with pytest.raises(SignalError, match="raised KeyError"):
        as_scorer(lambda rollouts: {}["x"]).score([rollout("a")])


def test_a_verdict_of_a_function_stands_as_it_is() -> None:
    with as_verifier(lambda rollout: Verdict("incorrect", "too_long", detail=rollout.response)) as verifier:
        assert verifier.verify([rollout("x" * 5)]) == [Verdict("incorrect", "too_long", detail="xxxxx")]


def test_a_reward_model_that_ends_the_program_is_an_error_and_no_hang() -> None:
    def leaves(rollouts: list[Rollout]) -> list[float]:
        raise SystemExit(5)

    async def leaves_too(rollouts: list[Rollout]) -> list[float]:
        raise KeyboardInterrupt

    def stops(rollouts: list[Rollout]) -> list[float]:
        return [next(iter([]))]

    for model, message in ((leaves, "SystemExit: 5"), (leaves_too, "KeyboardInterrupt"), (stops, "StopIteration")):
        with pytest.raises(SignalError, match=message):
            as_scorer(model, deadline_s=5).score([rollout("a")])
    with pytest.raises(InputError, match="one number per rollout"):
        as_scorer(lambda rollouts: [10**400]).score([rollout("a")])


def test_a_coroutine_function_that_blocks_is_given_up_at_its_deadline() -> None:
    async def blocks(rollouts: list[Rollout]) -> list[float]:
        if rollouts[0].response == "slow":
            time.sleep(5)
        return [1.0]

    model = as_scorer(blocks, deadline_s=0.2)
    with pytest.raises(SignalError, match=r"no scores for 1 rollouts within 0.2 s"):
        model.score([rollout("slow")])
    assert ColumnScorer("rm").score([rollout("a", rm=2.0)]).tolist() == [2.0]  # the loop of everybody else is free


def test_an_object_whose_call_is_a_coroutine_is_awaited_and_gets_a_list_of_its_own() -> None:
    class Served:
        async def __call__(self, rollouts: list[Rollout]) -> list[float]:
            found = [float(len(one.response)) for one in rollouts]
            rollouts.clear()
            return found

    assert as_scorer(Served()).score([rollout("abc"), rollout("a")]).tolist() == [3.0, 1.0]


def test_numpy_integers_are_verdicts_and_a_verdict_of_another_label_is_a_failure() -> None:
    answers: dict[str, Any] = {"1": np.int64(1), "0": np.int8(0), "2": 2, "maybe": Verdict("maybe", "so")}  # type: ignore[arg-type]
    with as_verifier(lambda rollout: answers[rollout.response], workers=1) as verifier:
        verdicts = verifier.verify([rollout(text) for text in answers])
    assert [(one.label, one.failed) for one in verdicts] == [
        ("correct", False), ("incorrect", False), ("abstain", True), ("abstain", True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("..parts:f", "no module is called '..parts'"),
        ("own_leaves:f", "importing 'own_leaves' raised SystemExit: 7"),
        ("own_broken:f", "importing 'own_broken' raised SyntaxError"),
        ("own_needs:f", "'own_needs' imports 'not_there_at_all', which is not installed"),
        ("own_makers:raises", "raised RuntimeError: no such thing"),
        ("builtins:dict", "wrap it in a function of your own"),
    ],
)
def test_a_module_that_cannot_be_used_is_one_message(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_leaves.py").write_text("import sys; sys.exit(7)")
    (tmp_path / "own_broken.py").write_text("x = (")
    (tmp_path / "own_needs.py").write_text("import not_there_at_all")
    (tmp_path / "own_makers.py").write_text("def raises():\n    raise RuntimeError('no such thing')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for table in ("rule", "verifier", "reward_model"):
        values = {"reward_model": {"name": "column:rm_score"}, table: {"name": name}}
        with pytest.raises(InputError, match=re.escape(message)):
            read_reward([[Layer("", values)]]).make()


def test_a_decorated_function_is_a_part_and_no_maker() -> None:
    assert not is_factory(lambda *arguments, **settings: True)
    assert is_factory(lambda *, alpha=0.1: None)
    assert is_factory(lambda **settings: None)


def test_a_rule_that_ends_the_program_is_an_error() -> None:
    def leaves(verdicts_B: Any, scores_B: Any, groups_B: Any) -> Any:
        raise SystemExit(0)

    rule = as_rule(leaves)
    with pytest.raises(InputError, match="raised SystemExit"):
        rule.apply([1, 0], [0.3, 0.1], ["a", "a"], rule.init())


def test_what_own_parts_print_is_not_in_the_json_and_what_they_raise_is_said(folder: Path) -> None:
    (folder / "own_loud.py").write_text(
        "print('on import')\ndef rule(v, s, g):\n    print('rule')\n    return v\n"
        "def model(rollouts):\n    print('model')\n    return [1.0 for _ in rollouts]\n"
        "def verifier(rollout):\n    print('verifier')\n    return int(rollout.response)\n"
    )
    named = ["--rule", "own_loud:rule", "--reward-model", "own_loud:model", "--max-failure-rate", "1", "--json"]
    command = ["-m", "hero_rl.cli", "score", "in.jsonl", "-o", "out.jsonl", "--verifier", "own_loud:verifier", *named]
    done = forks.run(command, cwd=folder)
    assert (done.returncode, json.loads(done.stdout)["failures"]) == (0, 4), done.stderr
    assert done.stderr.count("warning: the verifier 'verifier' failed on a rollout: ValueError") == 1, done.stderr
