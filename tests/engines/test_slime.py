"""slime's hooks on samples like slime's own: what is judged, what is normalised, and what must not be counted twice."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.places import DOCS
from hero_rl.engines import slime
from hero_rl.engines.wire import KEYS, to_info
from hero_rl.errors import InputError, SettingsWarning, SignalError
from hero_rl.rewards import group_advantages, hero
from hero_rl.types import Verdict

LETTERS = {"verifier": {"name": "helpers.tiny:Letters"}}


@dataclass
class Sample:
    """The fields of slime.utils.types.Sample that are read."""

    prompt: Any = "<|user|>how?<|assistant|>"
    response: str = "a"
    label: str | None = "1"
    index: int | None = 0
    group_index: int | None = 0
    rollout_id: int | None = None
    reward: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    slime._started.cache_clear()
    slime._check_filter.cache_clear()


def arguments(*, hero: dict[str, Any] | None = None, **options: Any) -> SimpleNamespace:
    defaults = {"advantage_estimator": "grpo", "rewards_normalization": True, "grpo_std_normalization": False}
    return SimpleNamespace(hero=hero or {}, **(defaults | options))


def judged(*signals: tuple[int, int, float]) -> list[Sample]:
    """Samples of (group, verdict, score)."""
    return [
        Sample(index=place, group_index=group, reward=to_info(Verdict("correct" if verdict else "incorrect", "given"), score))
        for place, (group, verdict, score) in enumerate(signals)
    ]


BATCH = ((0, 1, 1.0), (0, 0, 3.0), (0, 0, 2.0), (1, 1, 0.5), (1, 1, 0.25))
"""Groups of different sizes, where slime's own normalisation would take everything for one group."""


def wanted(batch: Any = BATCH, state: Any = None) -> Any:
    groups, verdicts, scores = zip(*batch, strict=True)
    output = hero().apply(verdicts, scores, groups, state or hero().init())
    return output, group_advantages(output.rewards, groups, weights_B=output.weights, eps=1e-6)


def test_the_hook_gives_verdicts_to_log_and_weighted_advantages_to_train_on() -> None:
    raw, rewards = slime.post_process(arguments(), judged(*BATCH))
    assert raw == [1.0, 0.0, 0.0, 1.0, 1.0]
    np.testing.assert_allclose(rewards, wanted()[1], atol=1e-12)


def test_the_normalisation_is_what_slimes_arguments_say() -> None:
    output, _ = wanted()
    groups = [group for group, _, _ in BATCH]
    with pytest.warns(SettingsWarning, match="blows the band up.*--disable-grpo-std-normalization"):
        _, by_std = slime.post_process(arguments(grpo_std_normalization=True), judged(*BATCH))
    np.testing.assert_allclose(
        by_std, group_advantages(output.rewards, groups, scale="group", weights_B=output.weights, eps=1e-6), atol=1e-12
    )
    slime._started.cache_clear()
    _, as_they_are = slime.post_process(arguments(advantage_estimator="ppo"), judged(*BATCH))
    np.testing.assert_allclose(as_they_are, output.rewards * output.weights, atol=1e-12)


def test_nested_groups_and_split_rollouts_count_once() -> None:
    samples = judged(*BATCH)
    split = [Sample(**{**vars(sample), "rollout_id": sample.index}) for sample in samples]
    twin = Sample(**{**vars(split[0]), "index": 99})
    nested = [[split[0], twin], split[1:3], split[3:]]
    raw, rewards = slime.post_process(arguments(), nested)
    want = wanted()[1]
    np.testing.assert_allclose(rewards, [want[0], want[0], *want[1:]], atol=1e-12)
    assert len(raw) == 6


def test_the_state_goes_on_within_a_run_and_over_a_restart(tmp_path: Path) -> None:
    first = wanted()[0].state
    second = wanted(state=first)[1]
    assert np.abs(second - wanted()[1]).max() < 1e-12  # the same batch twice: a mean of itself
    other = tuple((group, verdict, 3.0 * score) for group, verdict, score in BATCH)
    want = wanted(other, first)[1]
    assert np.abs(want - wanted(other)[1]).max() > 1e-3

    args = arguments(save=str(tmp_path), load=None)
    slime.post_process(args, judged(*BATCH))
    assert json.loads((tmp_path / slime.STATE_FILE).read_text())["rule"] == "hero"
    slime._started.cache_clear()  # another process
    resumed = arguments(save=str(tmp_path), load=str(tmp_path))
    np.testing.assert_allclose(slime.post_process(resumed, judged(*other)).rewards, want, atol=1e-12)


NAN = float("nan")
GROUPS = {
    "mixed": ((0, 1, 1.0), (0, 0, 1.0)), "all wrong": ((0, 0, 1.0), (0, 0, 3.0)), "all right": ((0, 1, 1.0), (0, 1, 3.0)),
    "tied": ((0, 0, 2.0), (0, 0, 2.0), (0, 0, 2.0)), "half tied": ((0, 0, 2.0), (0, 0, 2.0), (0, 0, 1.0)),
}  # fmt: skip


def test_the_filter_keeps_the_groups_that_have_an_advantage_and_moves_no_state() -> None:
    def kept(**options: Any) -> list[str]:
        return [name for name, group in GROUPS.items() if slime.keep_group(arguments(**options), judged(*group))]

    assert kept() == ["mixed", "all wrong", "all right", "half tied"]
    assert kept(hero={"rule": {"name": "verifier_only"}}) == ["mixed"]
    assert kept(hero={"rule": {"name": "rm_only"}}) == ["all wrong", "all right", "half tied"]
    assert kept(advantage_estimator="ppo") == list(GROUPS)  # rewards as they are: equal ones teach, too
    np.testing.assert_allclose(slime.post_process(arguments(), judged(*BATCH)).rewards, wanted()[1], atol=1e-12)


def test_the_filter_hides_no_failure() -> None:
    """A reward model that does not answer would drop every group, and slime would sample forever."""
    assert slime.keep_group(arguments(), judged((0, 0, NAN), (0, 0, NAN)))
    assert slime.keep_group(arguments(), [Sample(reward=to_info(Verdict("abstain", "x", failed=True), 1.0))] * 2)
    assert slime.keep_group(arguments(), [Sample(reward=1.0), Sample(reward=1.0)])  # post_process says what is missing


def test_the_filter_gives_slime_its_own_type_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    types = SimpleNamespace(DynamicFilterOutput=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "slime.rollout.filter_hub.base_types", types)  # type: ignore[arg-type]
    split = [[sample] for sample in judged(*GROUPS["tied"])]
    assert slime.keep_group(arguments(), split) == SimpleNamespace(keep=False, reason="no_gradient")
    assert slime.keep_group(arguments(), judged(*GROUPS["mixed"])) == SimpleNamespace(keep=True, reason=None)


def test_slimes_own_filter_gives_a_warning_where_the_rule_learns_from_equal_verdicts() -> None:
    own = "slime.rollout.filter_hub.dynamic_sampling_filters.check_reward_nonzero_std"
    for path in (own, f"{own}_with_fallback"):
        with pytest.warns(SettingsWarning, match=r"verdicts are all equal.*hero_rl\.engines\.slime\.keep_group"):
            asyncio.run(slime.score(arguments(hero=LETTERS, dynamic_sampling_filter_path=path), Sample()))
    silent = (
        arguments(hero=LETTERS, dynamic_sampling_filter_path=own),  # once per process
        arguments(hero=LETTERS, dynamic_sampling_filter_path="hero_rl.engines.slime.keep_group"),
        arguments(hero=LETTERS, dynamic_sampling_filter_path=None),
        arguments(hero={**LETTERS, "rule": {"name": "verifier_only"}}, dynamic_sampling_filter_path=own),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", SettingsWarning)
        for args in silent:
            asyncio.run(slime.score(args, Sample()))


def test_parameters_have_the_names_that_slimes_contract_tests_demand() -> None:
    def parameters(function: Any) -> list[tuple[str, Any]]:
        return [(each.name, each.kind) for each in inspect.signature(function).parameters.values()]

    plain, more = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_KEYWORD
    assert parameters(slime.post_process) == [("args", plain), ("samples", plain)]
    for function, name in ((slime.score, "sample"), (slime.score_group, "samples"), (slime.keep_group, "samples")):
        *first, (_, last) = parameters(function)
        assert first == [("args", plain), (name, plain)]
        assert last == more


def test_one_sample_in_evaluation_and_any_nesting_in_training() -> None:
    args = arguments(hero=LETTERS)
    alone = asyncio.run(slime.score(args, Sample(), evaluation=True))
    assert tuple(alone) == KEYS
    assert alone["acc"] == 1.0
    for function in (slime.score, slime.score_group):
        nested = asyncio.run(function(args, [Sample(response="x"), [Sample(response="z"), Sample()]]))
        assert nested[0]["acc"] == 0.0
        assert nested[1][0]["abstain"] == 1.0
        assert nested[1][1] == alone


def test_a_sample_that_was_judged_when_it_was_made_is_not_judged_again() -> None:
    before = to_info(Verdict("incorrect", "given"), 1.0)
    assert asyncio.run(slime.score(arguments(hero=LETTERS), [Sample(reward=before)])) == [before]


def test_the_problem_comes_from_the_metadata_or_the_conversation_and_never_from_a_template() -> None:
    args = arguments(hero={**LETTERS, "reward_model": {"name": "helpers.tiny:Characters"}})
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "how?"}]
    for sample in (Sample(metadata={"problem": "how?"}), Sample(prompt=turns)):
        assert asyncio.run(slime.score(args, sample))["rm_ok"] == 1.0
    with pytest.raises(InputError, match="chat template applied.*--metadata-key"):
        asyncio.run(slime.score(args, Sample()))


def test_what_was_forgotten_is_named() -> None:
    with pytest.raises(InputError, match=r"reward 1\.0.*--custom-rm-path hero_rl\.engines\.slime\.score"):
        slime.post_process(arguments(), [Sample(reward=1.0)])
    with pytest.raises(InputError, match="no label"):
        asyncio.run(slime.score(arguments(hero=LETTERS), Sample(label=None)))
    with pytest.raises(InputError, match=r"hero: unknown key 'rules'; did you mean 'rule'"):
        slime.post_process(arguments(hero={"rules": {}}), judged(*BATCH))
    with pytest.raises(InputError, match="give a table 'hero'"):
        asyncio.run(slime.score(SimpleNamespace(hero="reward.toml"), Sample()))
    with pytest.raises(InputError, match="no group_index"):
        slime.post_process(arguments(), [Sample(group_index=None, reward=to_info(Verdict("correct", ""), 1.0))])


def test_a_dead_reward_model_stops_the_run() -> None:
    dead = judged(*((group, verdict, float("nan")) for group, verdict, _ in BATCH))
    with pytest.raises(SignalError, match="5 of the last 5 rows"):
        slime.post_process(arguments(hero={"max_failure_rate": 0.0}), dead)


def test_the_configuration_in_the_documentation_works() -> None:
    yaml = pytest.importorskip("yaml")
    page = (DOCS / "verl.md").read_text(encoding="utf-8")
    (block,), (line,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("yaml", "json"))
    table, row = yaml.safe_load(block)["hero"], json.loads(line)
    assert table["reward_model"]["name"].startswith("vllm:")
    args = arguments(hero={**table, **LETTERS, "reward_model": {"name": "helpers.tiny:Characters"}})
    samples = [Sample(response=text, index=i, label="1", metadata=row["metadata"]) for i, text in enumerate("axbz")]
    for sample, reward in zip(samples, asyncio.run(slime.score(args, samples)), strict=True):
        sample.reward = reward
    raw, rewards = slime.post_process(args, samples)
    assert raw == [1.0, 0.0, 0.0, 0.0]
    assert rewards[0] > 0 > max(rewards[1:3])
    for path in re.findall(r"hero_rl\.engines\.slime\.(\w+)", page):
        assert callable(getattr(slime, path))
