"""HybridReward: signals side by side, state that only training moves, failures that stop a run."""

import asyncio
import json
import pickle
import re
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from hero_rl.errors import InputError, SettingsWarning, SignalError
from hero_rl.loop import in_thread
from hero_rl.pipeline import Batch, HybridReward, Signals
from hero_rl.rewards import RunningMean, hero, rm_only, verifier_only
from hero_rl.scorers import ColumnScorer
from hero_rl.types import Rollout, Scorer, Verdict, Verifier


class Sleepy(Verifier, Scorer):
    """A verifier and a scorer that take their time and note when they ran."""

    name = "sleepy"

    def __init__(self, seconds, fail=False):
        self.seconds, self.fail, self.threads, self.closed = seconds, fail, set(), 0

    def verify(self, rollouts):
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        if self.fail:
            return [Verdict("abstain", "timeout", failed=True)] * len(rollouts)
        return [Verdict("correct" if r.response == r.reference else "incorrect", "compared") for r in rollouts]

    def score(self, rollouts):
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        return np.array([float(len(r.response)) for r in rollouts])

    async def averify(self, rollouts):
        return await in_thread(self.verify, rollouts)

    async def ascore(self, rollouts):
        return await in_thread(self.score, rollouts)

    def close(self):
        self.closed += 1


def group(prompt_id="p", responses=("4", "5", "four")):
    return [
        Rollout(prompt_id=prompt_id, problem="2+2", reference="4", response=r, extra={"rm": float(i)})
        for i, r in enumerate(responses)
    ]


def test_verifier_and_reward_model_work_at_the_same_time():
    both_are_at_work = threading.Barrier(2)

    class Waiting(Sleepy):
        """Goes on only once the other has begun, too."""

        def verify(self, rollouts):
            both_are_at_work.wait(60)
            return super().verify(rollouts)

        def score(self, rollouts):
            both_are_at_work.wait(60)
            return super().score(rollouts)

    reward = HybridReward(Waiting(0), Waiting(0), hero())
    signals = reward.measure(group())
    asyncio.run(reward.ameasure(group()))
    assert signals.verdicts.tolist() == [1.0, 0.0, 0.0]
    assert signals.scores.tolist() == [1.0, 1.0, 4.0]


def test_a_reward_model_that_blocks_stays_on_one_thread_from_batch_to_batch():
    scorer = Sleepy(0)
    reward = HybridReward(None, scorer, rm_only())
    for _ in range(20):
        reward.measure(group())
    assert len(scorer.threads) == 1
    assert threading.get_ident() not in scorer.threads


def test_an_error_of_the_reward_model_is_raised_at_once_however_busy_the_verifier_is():
    class Broken(Sleepy):
        def score(self, rollouts):
            raise OSError("no such model")

    start = time.perf_counter()
    with pytest.raises(OSError, match="no such model"):
        HybridReward(Sleepy(30), Broken(0), hero()).measure(group())
    assert time.perf_counter() - start < 25


def test_an_error_of_the_verifier_reaches_the_caller():
    class Broken(Sleepy):
        def verify(self, rollouts):
            raise InputError("label 'maybe'")

    with pytest.raises(InputError, match="label 'maybe'"):
        HybridReward(Broken(0), Sleepy(0), hero()).measure(group())


def test_groups_are_rollouts_of_one_prompt_in_any_order():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero(alpha=0.1, beta=0.1, eps=0.0))
    a, b = group("a"), group("b", ("4", "4", "no", "none"))
    mixed = [a[0], b[0], b[1], a[1], b[2], a[2], b[3]]
    rewards = reward.batch(mixed).rewards
    # a: 4 correct alone; 5, four -> scores 1, 2.  b: 4, 4 -> 0, 1; no, none -> 2, 3
    assert rewards == pytest.approx([0.9, 0.9, 1.1, -0.1, -0.1, 0.1, 0.1])


def test_evaluation_reads_the_state_and_never_feeds_it():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    reward.batch(group())
    before = reward.state_dict()
    reward.batch(group("q", ("1", "2", "3")), update=False)
    assert reward.state_dict() == before
    reward.batch(group("q", ("1", "2", "3")))
    assert reward.state_dict() != before


def test_state_continues_bit_for_bit_through_json():
    original = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    original.batch(group())
    restored = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    restored.load_state_dict(json.loads(json.dumps(original.state_dict())))
    assert original.batch(group("z")).weights.tolist() == restored.batch(group("z")).weights.tolist()
    assert original.state == restored.state


def test_a_state_of_another_rule_or_decay_is_refused():
    state = HybridReward(Sleepy(0), ColumnScorer("rm"), hero()).state_dict()
    with pytest.raises(InputError, match="state is of rule 'hero'"):
        HybridReward(Sleepy(0), None, verifier_only()).load_state_dict(state)
    with pytest.raises(InputError, match="decays by 0.9"):
        HybridReward(Sleepy(0), ColumnScorer("rm"), hero(decay=None)).load_state_dict(state)


def test_a_state_of_another_release_is_refused():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    with pytest.raises(InputError, match="of version 1, and only version 2"):
        reward.load_state_dict({"version": 1, "rule": "hero", "sigma_mean": {}})
    with pytest.raises(InputError, match="running mean of version 1"):
        reward.load_state_dict({"version": 2, "rule": "hero", "state": {}})


def failing(*failed):
    """Signals of rows of which these failed."""
    return Signals(np.zeros(len(failed)), np.zeros(len(failed)), np.array(failed, dtype=bool))


def test_a_dead_verifier_stops_the_run_within_the_window_and_leaves_the_state_alone():
    reward = HybridReward(Sleepy(0, fail=True), ColumnScorer("rm"), hero(), max_failure_rate=0.1)
    for _ in range(8):
        reward.batch(group())
    state = reward.state
    with pytest.raises(SignalError, match="27 of the last 27 rows failed in sleepy and column:rm; at most 10% of 256 may"):
        reward.batch(group())
    assert reward.state is state
    tolerant = HybridReward(Sleepy(0, fail=True), ColumnScorer("rm"), hero(), max_failure_rate=1.0)
    assert all(tolerant.batch(group()).rewards.max() < 0.5 for _ in range(100))


def test_one_group_never_ends_a_run_and_a_verifier_that_comes_back_goes_on():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    assert reward.batch(failing(*[1] * 64), [0] * 64).failure_rate == 1.0  # an eighth of the window is over the limit
    with pytest.raises(SignalError, match="65 of the last 72 rows"):
        reward.batch(failing(*[0] * 7, 1), [0] * 8)
    for _ in range(40):
        reward.batch(failing(*[0] * 8), [0] * 8)
    assert reward.batch(failing(*[0] * 4, *[1] * 12), [0] * 8 + [1] * 8).failure_rate == 0.75
    with pytest.raises(SignalError, match="104 of the last 1024 rows"):  # a large batch is counted as a whole
        reward.batch(failing(*[1] * 104, *[0] * 920), np.arange(1024) // 8)
    assert reward.batch(failing(*[1] * 102, *[0] * 922), np.arange(1024) // 8).failure_rate == 102 / 1024


def test_evaluation_and_training_do_not_count_each_others_failures_and_a_resumed_run_goes_on_counting():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    for _ in range(3):
        reward.batch(failing(*[1] * 8), [0] * 8, update=False)
    with pytest.raises(SignalError, match="26 of the last 256 rows"):
        reward.batch(failing(*[1] * 26, *[0] * 230), np.arange(256) // 8, update=False)
    for _ in range(3):  # 24 of 256 may fail, 26 may not
        reward.batch(failing(*[1] * 8), [0] * 8)
        reward.batch(failing(*[0] * 256), np.arange(256) // 8, update=False)
    state = json.loads(json.dumps(reward.state_dict()))
    assert state["failures"] == [[8, 8], [8, 8], [8, 8]]
    resumed = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    resumed.load_state_dict(state)
    for one in (reward, resumed):
        with pytest.raises(SignalError, match="26 of the last 32 rows"):
            one.batch(failing(*[1] * 2, *[0] * 6), [0] * 8)
    stricter = HybridReward(Sleepy(0), ColumnScorer("rm"), hero(), max_failure_rate=0.05)
    stricter.load_state_dict(state)
    assert stricter.batch(failing(*[0] * 8), [0] * 8).failure_rate == 0.0  # nothing new failed
    resumed.load_state_dict({name: value for name, value in state.items() if name != "failures"})  # of an earlier release
    assert resumed.batch(failing(*[1] * 2, *[0] * 6), [0] * 8).failure_rate == 0.25
    for wrong in ([[9, 8]], [[-1, 8]], [[1.5, 8]], [8], {"8": 8}):
        with pytest.raises(InputError, match="failures of a run's last groups"):
            resumed.load_state_dict({**state, "failures": wrong})


def test_where_no_failure_is_allowed_the_first_one_stops_the_run():
    with pytest.raises(SignalError, match="1 of the last 3 rows"):
        HybridReward(Sleepy(0), ColumnScorer("rm"), hero(), max_failure_rate=0.0).batch(failing(1, 0, 0), [0, 0, 0])


def constant_from(step, reward, steps, *, update=True):
    """Batches of two groups of four, whose scores differ up to a step and are 0.25 from there on."""
    for now in range(steps):
        scores = np.random.default_rng(now).normal(size=8) if now < step else np.full(8, 0.25)
        yield reward.batch(Signals.plain(np.tile([0.0, 1.0], 4), scores), np.arange(8) // 4, update=update)


def test_a_reward_model_that_turns_constant_is_said_once_and_changes_no_reward(caplog):
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    made = list(constant_from(32, reward, 64))
    (message,) = [record.message for record in caplog.records if "no spread" in record.message]
    assert message == (
        "hero-rl: the scores have no spread: "
        "the same for all responses of a prompt in 32 batches in a row, the last mean 0.25. "
        "Is it the right model? (health/flat; said once)"
    )
    assert [batch.summary["health/flat"] for batch in made[30:36]] == [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    fresh = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    fresh.state = made[-2].state
    alone = fresh.batch(made[-1].signals, made[-1].groups)
    assert alone.rewards.tolist() == made[-1].rewards.tolist()


def test_it_stops_a_run_that_asks_for_it_before_the_state_moves_and_again_where_that_is_resumed():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero(), on_unhealthy="stop")
    *_, last = constant_from(32, reward, 33)
    assert list(constant_from(0, reward, 3, update=False))[-1].summary["failure_rate"] == 0.0  # evaluation is not judged
    saved = json.dumps(reward.state_dict())
    resumed = HybridReward(Sleepy(0), ColumnScorer("rm"), hero(), on_unhealthy="stop")
    resumed.load_state_dict(json.loads(saved))
    for one in (reward, resumed):
        with pytest.raises(SignalError, match=r"no spread: .* in 2 batches in a row, .* on_unhealthy = 'warn' goes on"):
            list(constant_from(0, one, 1))
        assert (one.state, json.dumps(one.state_dict())) == (last.state, saved)
    with pytest.raises(InputError, match="on_unhealthy='halt' is unknown"):
        HybridReward(Sleepy(0), ColumnScorer("rm"), hero(), on_unhealthy="halt")


def test_rows_of_no_group_are_counted_by_themselves():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero(), max_failure_rate=0.1)
    reward.check_failures(failing(1, 0, 0, 0))
    reward.check_failures(failing(*[0] * 90, *[1] * 9))
    for failures in ([1], [1, 1, 0, 0], [0] * 80 + [1] * 9):
        with pytest.raises(SignalError):
            reward.check_failures(failing(*failures))


def test_signals_alone_make_the_batch_that_their_rollouts_make():
    one, other = (HybridReward(Sleepy(0), ColumnScorer("rm"), hero()) for _ in range(2))
    rows = [*group("a"), *group("b", ("4", "4", "no"))]
    want = one.batch(rows, scale="group")
    got = other.batch(other.measure(rows), [7, 7, 7, 3, 3, 3], scale="group")
    assert got.summary == pytest.approx(want.summary, nan_ok=True)
    assert want.advantages.tolist() == got.advantages.tolist()
    assert (want.groups.tolist(), want.signals.reasons) == ([0, 0, 0, 1, 1, 1], ("compared",) * 6)
    with pytest.raises(InputError, match="do not say which prompt they belong to"):
        other.batch(other.measure(rows))


def test_groups_with_names_are_numbered_as_they_come():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    assert reward.batch([*group("z"), *group("a")]).groups.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_signal_that_the_rule_needs_must_have_a_source():
    with pytest.raises(InputError, match="'hero' needs reward-model scores"):
        HybridReward(Sleepy(0), None, hero())
    with pytest.raises(InputError, match="'verifier_only' needs verdicts"):
        HybridReward(None, ColumnScorer("rm"), verifier_only())
    assert HybridReward(None, ColumnScorer("rm"), rm_only()).batch(group()).rewards.tolist() == [0.0, 1.0, 2.0]
    assert HybridReward(Sleepy(0), None, verifier_only()).batch(group()).rewards.tolist() == [1.0, 0.0, 0.0]


def test_closing_closes_both_parts():
    verifier, scorer = Sleepy(0), Sleepy(0)
    with HybridReward(verifier, scorer, hero()):
        pass
    assert (verifier.closed, scorer.closed) == (1, 1)


def test_a_column_that_is_absent_or_no_number_is_named():
    with pytest.raises(InputError, match="column 'score'; its extra columns: rm"):
        ColumnScorer("score").score(group())
    rollout = Rollout(prompt_id="p7", problem="", reference="", response="", extra={"rm": "high"})
    with pytest.raises(InputError, match="column 'rm' of prompt 'p7' holds the string 'high'"):
        ColumnScorer("rm").score([rollout])


def test_an_error_of_the_reward_model_stops_the_verifier_of_an_async_batch():
    class Patient(Sleepy):
        cancelled = False

        async def averify(self, rollouts):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.cancelled = True
                raise

    class Broken(Sleepy):
        async def ascore(self, rollouts):
            await asyncio.sleep(0.01)
            raise OSError("no such model")

    verifier = Patient(0)

    async def scenario():
        with pytest.raises(OSError, match="no such model"):
            await HybridReward(verifier, Broken(0), hero()).ameasure(group())
        return verifier.cancelled

    assert asyncio.run(scenario())


def test_no_batch_is_lost_from_the_state_when_threads_score_at_once():
    reward = HybridReward(Sleepy(0), ColumnScorer("rm"), hero())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [reward.batch(group()) for _ in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert reward.state.updates == 400


def test_a_verifier_or_reward_model_that_loses_rows_is_named():
    class Short(Sleepy):
        def verify(self, rollouts):
            return super().verify(rollouts)[1:]

        def score(self, rollouts):
            return super().score(rollouts)[:, None]

    with pytest.raises(InputError, match="the verifier 'sleepy' gave 2 verdicts for 3 rollouts"):
        HybridReward(Short(0), Sleepy(0), hero()).measure(group())
    with pytest.raises(InputError, match=r"the reward model 'sleepy' gave scores of shape \(3, 1\) for 3 rollouts"):
        HybridReward(Sleepy(0), Short(0), hero()).measure(group())


def test_scores_may_be_a_plain_list():
    class Plain(Sleepy):
        def score(self, rollouts):
            return [1.0, None, 3]

    assert np.isnan(HybridReward(Sleepy(0), Plain(0), hero()).measure(group()).scores).tolist() == [False, True, False]


def test_it_pickles_with_its_state():
    reward = HybridReward(None, ColumnScorer("rm"), rm_only())
    reward.batch(group())
    copy = pickle.loads(pickle.dumps(reward))
    assert copy.state == reward.state
    assert copy.batch(group()).rewards.tolist() == [0.0, 1.0, 2.0]


def test_weights_at_their_limits_are_warned_of_once():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(16), 8)
    scores = rng.normal(size=128) * rng.uniform(50, 150, 16)[groups]
    signals = Signals.plain((rng.random(128) < 0.5).astype(np.float64), scores)
    reward = HybridReward(Sleepy(0), ColumnScorer("rm_score"), hero())
    with pytest.warns(SettingsWarning, match="weight_by='ratio'"):
        reward.batch(signals, groups)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reward.batch(signals, groups)
        HybridReward(Sleepy(0), ColumnScorer("rm_score"), hero(weight_by="ratio", k=2.0)).batch(signals, groups)


def test_a_notebook_shows_a_batch_by_groups_with_bars_and_escapes_what_a_verifier_says():
    signals = Signals(
        np.array([1.0, 0.0, np.nan]), np.array([2.0, -1.0, np.nan]), np.zeros(3, bool), ("equal", "<script>", "no & yes")
    )
    values = np.array([1.0, -0.5, np.nan])
    batch = Batch(signals, np.array([0, 0, 1]), values, np.ones(3), values, np.nan, RunningMean(), 0.0)
    html = batch._repr_html_()
    assert html.count("<table>") == 2
    assert "<script>" not in html
    for text in ("✓ accepted (equal)", "✗ rejected (&lt;script&gt;)", "? abstained (no &amp; yes)", "3 responses in 2 groups"):
        assert text in html
    widths = re.findall(r"width:(\d+)px;background:(#\w+)\"></span> <span[^>]*>([-\d.]+)<", html)
    blue, red = "#3b82d6", "#c2571a"
    assert widths[:4] == [("48", blue, "2.000"), ("48", blue, "1.000"), ("48", blue, "1.000"), ("48", blue, "1.000")]
    assert widths[4:] == [
        ("24", red, "-1.000"), ("24", red, "-0.500"), ("48", blue, "1.000"), ("24", red, "-0.500"), ("48", blue, "1.000")
    ]  # fmt: skip
    many = batch._replace(
        signals=Signals.plain(np.ones(400), np.ones(400)), groups=np.arange(400), rewards=np.ones(400), weights=np.ones(400),
        advantages=np.zeros(400),
    )  # fmt: skip
    assert "392 more groups" in many._repr_html_()
