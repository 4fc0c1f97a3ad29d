"""A plain function as a rule, a verifier or a reward model: in Python, on the command line, in files and in the engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hero_rl import HybridReward, Rollout, Verdict
from hero_rl.errors import InputError, SignalError
from hero_rl.rewards import as_rule, hero
from hero_rl.scorers import ColumnScorer
from hero_rl.scorers.function import as_scorer
from hero_rl.verifiers import ExactVerifier
from hero_rl.verifiers.function import as_verifier

HERO = [sys.executable, "-m", "hero_rl.cli"]
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*HERO, *arguments], capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False
    )


def score(folder: Path, rule: str = "my_rule", verifier: str = "my_verifier", model: str = "my_model", *more: str) -> Any:
    parts = {"--rule": rule, "--verifier": verifier, "--reward-model": model}
    named = [text for option, name in parts.items() for text in (option, f"my_own_parts:{name}")]
    return run(folder, "score", "in.jsonl", "-o", "out.jsonl", *named, "--json", *more)


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def rollout(response: str, **extra: float) -> Rollout:
    return Rollout(prompt_id="p", problem="1+1", reference="2", response=response, extra=extra)


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
        ("hangs", [1, 1, 1, None], {"accepted": 3, "timeout": 1}),
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


def test_a_new_rule_setting_is_written_once_and_used_everywhere(folder: Path) -> None:
    rule = "my_own_parts:made_rule"
    done = run(folder, "score", "in.jsonl", "-o", "out.jsonl", "--rule", rule, "--verifier", "exact", "--set", "rule.alpha=0.3",
               "--json")  # fmt: skip
    assert json.loads(done.stdout)["reward"]["rule"]["alpha"] == 0.3, done.stderr
    (folder / "model").mkdir(exist_ok=True)
    done = run(folder, "train", "tiny-cpu", "--show", "--set", f"rule.name={rule}", "--set", "rule.alpha=0.3",
               "--set", "reward_model.name=local:./model")  # fmt: skip
    assert "alpha = 0.3" in done.stdout, done.stderr
    lab = "from hero_rl.lab.arms import find_arm; arm = find_arm('my_own_parts:made_rule:alpha=0.3', regime='hard', kl=False)"
    done = subprocess.run(
        [sys.executable, "-c", f"{lab}; print(arm.settings, arm.scale)"], capture_output=True, text=True, cwd=folder, check=True
    )
    assert done.stdout == "{'alpha': 0.3} group\n"
    serve = subprocess.Popen(
        [*HERO, "serve", "--port", "0", "--json", "--rule", rule, "--verifier", "exact", "--set", "rule.alpha=0.3"],
        stdout=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    try:
        assert serve.stdout is not None
        assert json.loads(serve.stdout.readline())["reward"]["rule"]["alpha"] == 0.3
    finally:
        serve.terminate()
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
    verifier, scorer, rule = ExactVerifier(), ColumnScorer("x"), hero()
    assert (as_verifier(verifier), as_scorer(scorer), as_rule(rule)) == (verifier, scorer, rule)
    for wrap, part in ((as_verifier, verifier), (as_scorer, scorer), (as_rule, rule)):
        with pytest.raises(InputError, match="takes no settings"):
            wrap(part, alpha=1)
        with pytest.raises(InputError):
            wrap(3)


def test_a_function_rule_leaves_nan_out_and_refuses_infinity() -> None:
    rule = as_rule(lambda verdicts_B, scores_B, groups_B: np.where(groups_B == 0, np.nan, verdicts_B))
    assert np.isnan(rule.apply([1, 0], [0, 0], ["a", "b"], rule.init()).rewards).tolist() == [True, False]
    rule = as_rule(lambda verdicts_B, scores_B, groups_B: verdicts_B / 0.0 + np.inf)
    with pytest.raises(InputError, match="infinite"), np.errstate(all="ignore"):
        rule.apply([1, 0], [0, 0], ["a", "b"], rule.init())


def test_missing_scores_of_a_function_are_missing() -> None:
    scorer = as_scorer(lambda rollouts: [None, 1.5])
    assert np.isnan(scorer.score([rollout("a"), rollout("b")])).tolist() == [True, False]
    with pytest.raises(InputError, match="infinite"):
        as_scorer(lambda rollouts: [np.inf]).score([rollout("a")])
    with pytest.raises(SignalError, match="raised KeyError"):
        as_scorer(lambda rollouts: {}["x"]).score([rollout("a")])


def test_a_verdict_of_a_function_stands_as_it_is() -> None:
    with as_verifier(lambda rollout: Verdict("incorrect", "too_long", detail=rollout.response)) as verifier:
        assert verifier.verify([rollout("x" * 5)]) == [Verdict("incorrect", "too_long", detail="xxxxx")]


def test_scorers_of_reasoning_gym_judge_their_data_sets_and_ours_the_others(tmp_path: Path) -> None:
    gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym needs a C compiler to install")
    rows = [{"prompt_id": "g", "problem": "1+1", "reference": "2", "response": r"\boxed{2}", "data_source": "gsm8k"}]
    for name in ("chain_sum", "leg_counting"):
        entry = gym.create_dataset(name, size=1, seed=3)[0]
        common = {"prompt_id": name, "problem": entry["question"], "reference": entry["answer"], "data_source": name,
                  "metadata": entry["metadata"]}  # fmt: skip
        rows += [{**common, "response": f"So <answer>{answer}</answer>"} for answer in (entry["answer"], "no idea")]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = Path(__file__).parents[1] / "examples"
    (tmp_path / "gym_verifier.py").write_text((examples / "gym_verifier.py").read_text())
    routes = "by:data_source:gsm8k=math,chain_sum=gym_verifier:judge,leg_counting=gym_verifier:judge"
    done = run(tmp_path, "verify", "in.jsonl", "-o", "out.jsonl", "--verifier", routes)
    assert done.returncode == 0, done.stderr
    assert [row["verdict"] for row in read(tmp_path)] == [1, 1, 0, 1, 0]
