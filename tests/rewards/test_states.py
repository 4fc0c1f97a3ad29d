"""A rule may keep a state of its own kind: pipeline, files, engines and the service take it as they take the running mean."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.tally import Tally, tally
from hero_rl.audit.rules import rule_report
from hero_rl.audit.table import Table
from hero_rl.data import Columns, score_file
from hero_rl.engines.service.batch import Asked, answer
from hero_rl.engines.service.metrics import Metrics, labelled
from hero_rl.engines.wire import Row, column_reward, read_rows, to_info
from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero, running_mean
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers import ColumnVerifier

VERDICTS = (1, 0, 0, 0)
"""The batch of most tests: a share of 1/4."""


def reward(keep: float = 0.5) -> HybridReward:
    return HybridReward(ColumnVerifier("correct"), None, tally(keep=keep))


def rollouts(*verdicts: int) -> list[Rollout]:
    row = {"prompt_id": "p", "problem": "?", "reference": "1", "response": "1"}
    return [Rollout(**row, extra={"correct": verdict}) for verdict in verdicts]


def test_the_state_is_read_before_a_batch_and_moves_after_it():
    one = reward()
    assert one.batch(rollouts(*VERDICTS)).rewards.tolist() == [0.75, -0.25, -0.25, -0.25]  # the first has only itself
    # still 1/4; afterwards (0.5 * 1 + 2) / (0.5 * 4 + 2) = 2.5 / 4
    assert one.batch(rollouts(1, 1)).rewards.tolist() == [0.75, 0.75]
    assert one.state == Tally(0.5, (2.5, 4.0), 2)
    assert one.state.metrics() == {"share_so_far": 0.625}


def test_the_state_continues_bit_for_bit_through_json_and_pickle():
    first, second = reward(), reward()
    first.batch(rollouts(*VERDICTS))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    third = pickle.loads(pickle.dumps(first))
    assert first.state == second.state == third.state == Tally(0.5, (1.0, 4.0), 1)


def test_a_state_of_other_settings_or_of_another_rule_is_refused():
    one = reward()
    with pytest.raises(InputError, match=r"a tally that keeps 0\.9"):
        reward(keep=0.9).load_state_dict(one.state_dict())
    with pytest.raises(InputError, match="of rule 'tally' and cannot continue rule 'hero'"):
        column_reward(hero()).load_state_dict(one.state_dict())
    with pytest.raises(InputError, match="'tally' keeps a Tally and was given a RunningMean"):
        tally().apply([1.0], [0.0], [0], running_mean())


def test_a_file_is_counted_whole_and_every_row_alike(tmp_path: Path):
    # 8 of 20 are correct, most of them among those that come first
    verdicts = [1] * 6 + [0, 1, 0, 0] + [0] * 8 + [1, 0]
    rows = [
        {"prompt_id": f"p{place // 2}", "problem": "?", "reference": "1", "response": "1", "correct": verdict}
        for place, verdict in enumerate(verdicts)
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = score_file(source, target, reward(), columns=Columns(labels=("correct",)))
    assert (summary.sigma_mean, summary.state_metrics) == (None, {"share_so_far": 0.4})
    found = [json.loads(line)["reward"] for line in target.read_text().splitlines()]
    assert found == pytest.approx([verdict - 0.4 for verdict in verdicts])


def test_an_audit_counts_the_file_as_scoring_does():
    verdicts = np.array([1.0, 0.0, 0.0, 0.0, 1.0])
    nothing = np.full(5, np.nan)
    table = Table(groups=np.array([0, 0, 0, 1, 1]), labels=nothing, verdicts={"given": verdicts}, scores={}, chars=nothing,
                  repetition=nothing, steps=nothing)  # fmt: skip
    report = rule_report(table, tally(), verifier="given", scorer=None)
    assert report.rewards.tolist() == pytest.approx((verdicts - 0.4).tolist())


def test_engines_log_what_the_state_says_after_the_batch():
    shared = column_reward(tally())
    verdicts = [Verdict("correct" if one else "incorrect", "given") for one in VERDICTS]
    rows = [Row("p", str(place), 0, to_info(verdict, 0.0)) for place, verdict in enumerate(verdicts)]
    found = read_rows(rows)
    assert found is not None
    summary = shared.batch(found.signals, found.groups).summary
    assert summary["share_so_far"] == 0.25
    assert math.isnan(summary["sigma_mean"])


def test_the_service_answers_with_what_the_state_says():
    one = reward()
    assert _answer(one, update=False)["metrics"] == {}  # nothing known before the first batch
    told = _answer(one)
    assert (told["metrics"], told["updates"]) == ({"share_so_far": 0.25}, 1)
    assert (told["sigma_mean"], told["running_mean"]) == (None, None)


def test_prometheus_reads_what_is_known_of_every_run():
    values = [(("a", "share_so_far"), 0.25), (("b", "share_so_far"), float("nan"))]
    text = Metrics(lambda: [labelled("hero_rule_state", "About states.", ("run_id", "name"), values)]).text().decode()
    found = [line for line in text.splitlines() if line.startswith("hero_rule_state")]
    assert found == ['hero_rule_state{name="share_so_far",run_id="a"} 0.25']


def _answer(one: HybridReward, *, update: bool = True) -> dict[str, Any]:
    asked = Asked("run", ["p"], [4], rollouts(*VERDICTS), update, alone=True, request=None, digest="")
    return json.loads(answer(asked, one.batch(asked.rollouts, update=update), "tally", "none"))
