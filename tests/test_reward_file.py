"""The reward file: every setting of every rule reaches every command and engine, by the file and by `--set`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers.service import Server
from hero_lab.presets import arm_of, find_arm
from hero_rl.cli import main
from hero_rl.config import load_reward, read_table
from hero_rl.engines import slime
from hero_rl.engines.verl.reward import _judges as verl_judges
from hero_rl.engines.verl.settings import read_settings
from hero_rl.errors import InputError
from hero_rl.rewards import RULES, rule_settings
from hero_rl.toml_layers import dump, line_of
from hero_rl.types import Rollout

OTHER: Mapping[str, Any] = {
    "alpha": 0.07, "beta": 0.08, "w_min": 0.5, "w_max": 2.5, "k": 5.0, "eps": 1e-5, "singleton": "center", "dense": "correct",
    "weighting": False, "decay": 0.8, "tie_tolerance": 1e-3, "learned_credit": 0.5, "weight_on": "reward",
    "weight_by": "ratio",
    "sigma": "calibrated", "drop": "verdicts", "recall": 0.6, "false_positives": 0.05, "budget": 0.2, "p_learned": 0.7,
    "rule_weight": 0.9, "normalize": "minmax", "verdict_weight": 2.0, "score_weight": 0.5, "keep": 0.75, "gamma": 0.2,
    "signal": "change", "step_tie_tolerance": 1e-5,
}  # fmt: skip
"""A value for each setting that is not its default."""
COLUMNS = ["--verifier", "column:correct", "--reward-model", "column:rm_score"]
RULE_NAMES = sorted(RULES)


def settings(rule: str) -> dict[str, Any]:
    return {name: OTHER[name] for name in rule_settings(rule)}


def described(folder: Path, rule: str, how: str) -> list[str]:
    """Return the arguments that say this rule with these settings, by the file or by `--set`."""
    if how == "set":
        return [
            "--set",
            f"rule.name={rule}",
            *(f"--set=rule.{name}={json.dumps(value)}" for name, value in settings(rule).items()),
        ]
    (folder / "reward.toml").write_text(dump({"rule": {"name": rule, **settings(rule)}}))
    return ["--reward", str(folder / "reward.toml")]


def rollouts(folder: Path) -> Path:
    row = {"prompt_id": "p", "problem": "1+1", "reference": "2"}
    rows = [{**row, "response": str(n), "correct": int(n == 2), "rm_score": n / 7} for n in range(4)]
    path = folder / "rollouts.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert main([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def same(found: Mapping[str, Any], rule: str) -> bool:
    return {name: found[name] for name in settings(rule)} == settings(rule)


def test_the_values_tried_are_not_the_defaults() -> None:
    for rule in RULES:
        assert all(value != OTHER[name] for name, value in rule_settings(rule).items())


@pytest.mark.parametrize("how", ["file", "set"])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_every_setting_of_every_rule_reaches_score_train_and_show(
    rule: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = described(tmp_path, rule, how)
    scored = printed(capsys, "score", rollouts(tmp_path), "-o", tmp_path / "out.jsonl", *COLUMNS, *said, "--json")
    assert scored["rule"] == rule
    assert same(scored["reward"]["rule"], rule)
    (tmp_path / "model").mkdir()
    assert main(["train", "tiny-cpu", "--show", *said, "--set", f"reward_model.name=local:{tmp_path / 'model'}"]) == 0
    assert same(tomllib.loads(capsys.readouterr().out)["rule"], rule)


@pytest.mark.parametrize("how", ["file", "set"])
def test_every_setting_of_a_rule_reaches_the_audit_and_the_service(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # the loader is the one of `hero score`, which the test above asks about all rules
    said = described(tmp_path, "naive_sum", how)
    found = printed(
        capsys, "audit", rollouts(tmp_path), *COLUMNS, "--labels", "none", *said, "-o", tmp_path / "audit", "--json"
    )
    assert same(found["reward"]["rule"], "naive_sum")
    server = Server(["-m", "hero_rl.cli", "serve", "--port", "0", "--json", *COLUMNS, *said], {})
    try:
        assert same(server.http.get("/healthz").json()["reward"]["rule"], "naive_sum")
    finally:
        server.stop()


@pytest.mark.parametrize("how", ["file", "table"])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_every_setting_of_every_rule_reaches_verl_slime_and_the_lab(rule: str, how: str, tmp_path: Path) -> None:
    described(tmp_path, rule, "file")
    table = {"reward": str(tmp_path / "reward.toml")} if how == "file" else {"rule": {"name": rule, **settings(rule)}}
    assert same(read_settings(table).rule.settings, rule)
    if rule != "process":  # slime has one advantage per response
        assert same(slime._started(json.dumps(table), None, False, "none").rule.settings, rule)
    config = read_table(table, {})[0]
    arm = find_arm(arm_of(config), regime="hard", kl=False)
    assert (arm.rule, arm.scale, same(arm.rule_settings, rule)) == (rule, config.rule.scale, True)


def test_a_mistake_in_the_file_of_an_engine_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "reward.toml"
    path.write_text('[rul]\nname = "hero"\n')
    for only in (("rule", "max_failure_rate"), ("verifier", "reward_model")):
        with pytest.raises(InputError, match=r"reward\.toml:1: unknown key 'rul'; did you mean 'rule'"):
            read_table({"reward": str(path)}, {}, only=only)


def test_verl_reads_the_reward_model_in_the_file_as_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "reward.toml"
    path.write_text('[reward_model]\nname = "column:rm_score"\n')
    assert read_settings({"reward": str(path)}).reward_model == "column:rm_score"
    judges, _ = verl_judges(json.dumps({"reward": str(path), "verifier": {"name": "exact"}}), "router:8000")
    assert judges.scorer is not None
    assert judges.scorer.name == "column:rm_score"  # verl's own server is asked where nothing else is named


def test_the_file_shown_is_the_file_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "reward.toml"
    path.write_text(
        'max_failure_rate = 0.2\n[rule]\nname = "hero"\ndecay = "none"\n[reward_model]\nname = "column:rm_score"\n'
        '[verifier]\nname = "any_of:math,exact"\npolicy = "strict"\n'
    )
    shown = load_reward(path).resolved()
    assert (shown["max_failure_rate"], shown["rule"]["decay"], shown["verifier"]["policy"]) == (0.2, "none", "strict")
    path.write_text(dump(shown))
    assert load_reward(path).resolved() == shown
    assert load_reward(path).rule.settings["decay"] is None


def test_a_file_that_was_begun_says_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for rule in ("hero", "naive_sum"):
        assert main(["reward", "init", "-o", f"{rule}.toml", "--rule", rule]) == 0
        text = Path(f"{rule}.toml").read_text()
        assert load_reward(Path(f"{rule}.toml")).rule.settings == RULES[rule]().settings
        for name, value in rule_settings(rule).items():
            if value is not None:
                assert f"\n# {name} = " in text
    assert main(["reward", "init", "-o", "hero.toml"]) == 2  # it exists
    assert main(["reward", "init", "-o", "nowhere/hero.toml"]) == 2
    assert main(["reward", "init", "-o", "vote.toml", "--verifier", "majority:math,exact,hendrycks"]) == 0
    assert {"# quorum =", '# policy = "balanced"', "# deadline_s = 3.0"} <= set(Path("vote.toml").read_text().splitlines())


def test_what_is_stronger_counts_and_a_new_name_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "reward.toml"
    path.write_text('[rule]\nname = "hero"\nalpha = 0.1\nk = 2.0\n[reward_model]\nname = "column:a"\n')
    assert load_reward(path, ["rule.alpha=0.2"]).rule.settings["alpha"] == 0.2
    assert load_reward(path, ["rule.alpha=0.2"]).rule.settings["k"] == 2.0
    # alpha and k are settings of hero, and not of the rule that takes its place
    assert load_reward(path, ["rule.name=naive_sum", "rule.rule_weight=0.9"]).rule.settings["rule_weight"] == 0.9
    assert load_reward(path, ["rule.scale=group"]).rule.scale == "group"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[rule]\nname = "hero"\nalhpa = 0.1\n', 3, "unknown key 'rule.alhpa'; did you mean 'rule.alpha'?"),
        ('[rule]\nname = "herro"\n', 2, "rule 'herro' is unknown; did you mean 'hero'?"),
        ('[rule]\nname = "hero"\nbeta = "wide"\n', 3, "rule.beta = 'wide': input should be a valid number"),
        ('[rule]\nalpha = 0.1\nbeta = 0.95\n', 2, "alpha"),
        ('[verifier]\nname = "math"\npolicies = "strict"\n', 3, "did you mean 'verifier.policy'?"),
        ('[verifier]\nname = "math"\nask = "both"\n', 3, "ask without a fallback"),
        ('[verifier]\nby_score = true\n', 2, "by_score without a fallback"),
        ('[verifier]\nfallback = "exact"\nby_score = true\n', 3, "by_score without max_questions"),
        ('rule.name="verifier_only"\n[verifier]\nfallback="exact"\nmax_questions=9\nby_score=true\n', 5, "by_score needs"),
        ('[verifier]\nname = "maths"\n', 2, "maths: unknown; did you mean 'math'?"),
        ('[verifier]\nfallback = "none"\n', 2, "both must be able to answer"),
        ('[reward_model]\nname = "local:./absent"\n', 2, "no such folder as './absent'"),
        ('[reward_model]\ncache = "x"\n', 1, "[reward_model] has no name"),
        ('[rule]\nname = "hero"\n', 2, "needs reward-model scores"),
        ('\nmax_failure_rate = 1.5\n', 2, "must lie in [0, 1]"),
        ('[verifier]\nname = "by:prompt_id:a=math"\n', 2, "'prompt_id' is no column that tells kinds of problems apart"),
        ('[verifier]\nworkers = "none"\n', 2, "verifier.workers = 'none': input should be a valid integer"),
        ('[verifier]\nname = 3\n', 2, "verifier.name = 3; give one, as text"),
        ('[rul]\nname = "hero"\n', 1, "unknown key 'rul'; did you mean 'rule'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text: str, line: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reward.toml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        load_reward(path)
    assert str(raised.value).startswith(f"{path}:{line}: ")
    assert message in str(raised.value)


def test_questions_by_score_reach_the_cascade_and_make_use_of_a_reward_model_that_no_rule_asks() -> None:
    sets = ["rule.name=verifier_only", "reward_model.name=column:rm_score", "verifier.fallback=exact", "verifier.ask=incorrect"]
    asked = load_reward(None, [*sets, "verifier.max_questions=1", "verifier.by_score=true"])
    assert not any("uses no scores" in warning for warning in asked.warnings())
    texts = {"\\boxed{2}": 0.1, "The answer is \\boxed{3}": 0.9, "\\boxed{4}": 0.5}
    rollouts = [
        Rollout(prompt_id="p", problem="1+1?", reference="5", response=text, extra={"rm_score": score})
        for text, score in texts.items()
    ]
    with asked.make() as reward:
        reasons = reward.measure(rollouts).reasons
    assert [reason.endswith("_over_budget") for reason in reasons] == [True, False, True]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["rule.scale=group"], "dividing by the group's standard deviation"),
        (["rule.scale=group", "rule.weight_on=reward"], "cancels"),
        (["rule.name=verifier_only"], "uses no scores"),
        (["verifier.fallback=judge:http://localhost:1"], "learned_credit=1"),
        (["verifier.policy=binary"], "'balanced' abstains"),
    ],
)
def test_what_would_cancel_or_hurt_is_said(assignments: list[str], message: str) -> None:
    found = load_reward(None, ["reward_model.name=column:rm_score", *assignments]).warnings()
    assert any(message in warning for warning in found)
    assert load_reward(None, ["reward_model.name=column:rm_score"]).warnings() == []


def test_lines_are_found_in_any_toml() -> None:
    text = '# a\n[a]\nb = 1\n["c d"]\n"e" = 2\n[a.f]\ng = 3\n'
    assert [line_of(text, key) for key in (("a", "b"), ("c d", "e"), ("a", "f", "g"), ("a",), ("x",))] == [3, 5, 7, 2, None]


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 20_000 + "]" * 20_000, "[rule]\nk = " + "9" * 5000, "[rule]\nk = " + "9" * 400, "[rule"]
)
def test_a_file_that_is_too_much_is_bad_input(text: str, tmp_path: Path) -> None:
    (tmp_path / "reward.toml").write_text(text)
    with pytest.raises(InputError, match=r"reward\.toml"):
        load_reward(tmp_path / "reward.toml", signals=False)


def test_a_byte_order_mark_is_no_mistake_and_an_empty_name_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "reward.toml").write_bytes(b"\xef\xbb\xbf[rule]\nname = ''\nalpha = 0.2\n[verifier]\nname = ''\n")
    resolved = load_reward(tmp_path / "reward.toml", signals=False).resolved()
    assert (resolved["rule"]["name"], resolved["rule"]["alpha"], resolved["verifier"]["name"]) == ("hero", 0.2, "math")


def test_an_empty_value_is_the_default_everywhere() -> None:
    empty = ["max_failure_rate=", "rule.alpha=", "verifier.policy=", "rule.scale="]
    assert load_reward(None, empty, signals=False).resolved() == load_reward(None, signals=False).resolved()


def test_a_set_says_one_value(tmp_path: Path) -> None:
    for value in ("0.1\nx = 2", "[" * 5000, "9" * 5000):
        with pytest.raises(InputError, match="valid number"):
            load_reward(None, [f"rule.alpha={value}"], signals=False)


def test_a_file_can_be_begun_before_the_model_is_there(tmp_path: Path) -> None:
    file = tmp_path / "reward.toml"
    assert main(["reward", "init", "-o", str(file), "--reward-model", f"local:{tmp_path}/to-come"]) == 0
    assert f'name = "local:{tmp_path}/to-come"' in file.read_text()


def test_limits_of_own_parts_and_of_a_fallback_are_refused_where_they_stand() -> None:
    with pytest.raises(
        InputError, match=r"^--set verifier.max_questions=-1: verifier.max_questions = -1: input should be greater"
    ):
        load_reward(None, ["verifier.fallback=exact", "verifier.max_questions=-1"], signals=False)
    with pytest.raises(InputError, match=r"^--set reward_model.deadline_s=nan: deadline_s=nan must be"):
        load_reward(None, ["reward_model.name=numpy:sort", "reward_model.deadline_s=nan"], signals=False).make_scorer()
