"""A plan is checked before anything runs, runs are shared, numbers are those of the hand, and a killed study goes on."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import forks
from hero_lab.settings import plan_run, plan_runs
from hero_lab.study.collect import Entry, keep, read_kept
from hero_lab.study.command import estimate_seconds
from hero_lab.study.page import write_study
from hero_lab.study.plan import Plan, read_plan
from hero_lab.study.tables import Cell, Estimate, forecast_ranks, tabulate, verdict
from hero_lab.study.words import best_sentence, claim_sentence, forecast_sentence, grids, markdown
from hero_rl.cli import main
from hero_rl.errors import InputError

TABLE = """
[[table]]
name = "main"
claim = "HERO beats the verifier alone"
seeds = "0-1"
rules = ["verifier_only", "hero"]
"""
SMALL = """
[run]
prompts_per_step = 4
group_size = 4
held_out_samples = 2
development_samples = 1
curve_every = 2
held_out_tags = "trained"
[run.cold_start]
steps = 20
batch_size = 32
warmup_steps = 2
[run.reward_model]
rows = 2000
batch_size = 32
"""


def plan_of(text: str, folder: Path) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path)


# --- the plan ---------------------------------------------------------------------------------------------------------

BAD = {
    "no TOML": ("title = ", "cannot be read as TOML"),
    "no table": ('title = "x"', "has no [[table]]"),
    "key of the file": ("runs = 3" + TABLE, "unknown key 'runs'; known: title, primary, run, table"),
    "key of run": ("[run]\nstepz = 3" + TABLE, "[run]: unknown key 'stepz'; known: "),
    "key of a subtable": ("[run.cold_start]\nstep = 3" + TABLE, "cold_start.step=3: unexpected keyword argument"),
    "key of a table": (TABLE + "regimes = ['hard']", "[[table]] \"main\": unknown key 'regimes'; known: name, claim, "),
    "type": (TABLE + "kl = '0.1'", "\"main\": kl='0.1': input should be a valid number"),
    "bool for a number": (TABLE + "steps = true", '"main": steps=True: input should be a valid integer'),
    "type in a list": (TABLE + "kl = [0.0, '0.1']", "\"main\": kl='0.1': "),
    "number for a subtable": (TABLE + "cold_start = 3", '"main": cold_start=3: input should be an object'),
    "range": (TABLE + "kl = [-1.0]", '"main": kl=-1.0: input should be greater than or equal to 0'),
    "count": (TABLE + "group_size = 1", '"main": group_size=1: input should be greater than or equal to 2'),
    "regime": (TABLE + "regime = ['easy']", "\"main\": regime='easy' is unknown; choose one of verifiable, hard, mixed"),
    "empty list": (TABLE + "regime = []", '"main": regime is an empty list'),
    "value twice": (TABLE + "kl = [0.0, 0.0]", '"main": kl = [0.0, 0.0] has a value twice'),
    "no claim": (TABLE.replace("claim", "# claim"), '"main": claim = None must be a text'),
    "seeds": (TABLE.replace("0-1", "4-1"), "\"main\": seeds '4-1': '4-1' is neither a number nor a range"),
    "name": (TABLE.replace('"main"', '"a/b"'), "\"a/b\": name = 'a/b' must be letters, digits"),
    "rule": (TABLE.replace('"hero"', '"heor"'), "\"main\": rule 'heor' is unknown"),
    "setting of a rule": (TABLE.replace('"hero"', '"hero:gamma=1"'), "\"main\": rule 'hero' has no setting 'gamma'"),
    "rule twice": (TABLE.replace('"hero"', '"verifier_only"'), "\"main\": two rules are called 'verifier_only'"),
    "rule as a number": (TABLE.replace('"hero"', "3"), "must be a list of rules, each a text or { rule"),
    "key of a rule": (TABLE.replace('"hero"', '{rule="hero", nam="x"}'), "\"main\": rules: unknown key 'nam'"),
    "compare": (TABLE + "compare = [['hero']]", "\"main\": compare = [['hero']] must be a rule, or a list of pairs"),
    "compare with nobody": (TABLE + "compare = 'rm_only'", "\"main\": compare: 'rm_only' is not among the rules of the table"),
    "compare with itself": (TABLE + "compare = [['hero', 'hero']]", "\"main\": compare: 'hero' against itself"),
    "best_of": (TABLE + "best_of = 'hero'", "\"main\": best_of = 'hero' must be { candidate"),
    "best of itself": (TABLE + "best_of = {candidate='hero', others=['hero']}", "\"main\": best_of: 'hero' against itself"),
    "horizon": (TABLE + "steps = 50\nhorizons = [50, 100]", '"main": horizon 100 lies beyond the end of a run, steps = 50'),
    "no horizon": (TABLE + "horizons = [0]", '"main": horizons = [0] must be a list of steps'),
    "table twice": (TABLE + TABLE, "two tables are called 'main'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_plan_is_one_message_and_no_folder(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = BAD[case]
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    assert main(["lab", "study", str(plan), "-o", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {plan}: ")
    assert message in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_a_rule_runs_once_whatever_the_signal_that_it_does_not_use(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[[table]]\nname = "t"\nclaim = "c"\nseeds = "0"\nregime = "hard"\ntier = ["hackable", "robust"]\n'
        'verifier_recall = [0.1, 0.5, 1.0]\nrules = ["verifier_only", "rm_only", "hero"]\n'
    )
    runs = read_plan(plan).runs()
    assert len(read_plan(plan).tables[0].runs) == 2 * 3 * 3
    assert sorted(run.label for run in runs) == ["hero"] * 6 + ["rm_only"] * 2 + ["verifier_only"] * 3


def test_the_list_of_runs_says_what_each_run_varies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(TABLE.replace("0-1", "0") + "learning_rate = [1e-4, 2e-4]", encoding="utf-8")
    assert main(["lab", "study", str(plan), "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    listed = capsys.readouterr().out.splitlines()[:4]
    rules = [line.partition("steps  ")[2] for line in listed]
    assert rules == [f"{rule}, chain, learning_rate {rate}" for rate in (0.0001, 0.0002) for rule in ("verifier_only", "hero")]


def test_other_mistakes_of_a_call_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    calls = {
        ("lab", "study", str(plan)): "no such file; give a plan",
        ("lab", "--seeds", "1", "study", str(plan)): "--seeds before study: hero lab study does not take it",
    }
    for call, message in calls.items():
        assert main(list(call)) == 2
        assert message in capsys.readouterr().err
    plan.write_text(TABLE)
    assert main(["lab", "study", str(plan), "--table", "mian"]) == 2
    assert "--table: unknown key 'mian'; known: main" in capsys.readouterr().err
    assert main(["lab", "study", str(plan), "-o", str(plan)]) == 2
    assert "is a file; give a folder" in capsys.readouterr().err
    assert main(["lab", "study", str(plan), "-o", str(tmp_path / "none"), "--report-only"]) == 1
    assert "no run of" in capsys.readouterr().err


def test_lists_are_crossed_and_settings_go_from_the_general_to_the_special(tmp_path: Path) -> None:
    text = """
    [run]
    kl = 0.2
    learning_rate = 1e-4
    [run.reward_model]
    batch_size = 64
    [[table]]
    name = "a"
    claim = "c"
    seeds = "0,3"
    regime = ["hard", "mixed"]
    reward_model = { rows = [1000, 2000] }
    rules = ["verifier_only", { rule = "hero:alpha=0.1", name = "HERO, braked", kl = 0.5 }]
    compare = "HERO, braked"
    kl = 0.1
    """
    table = plan_of(text, tmp_path).tables[0]
    assert table.axes == (("regime", ("hard", "mixed")), ("reward_model.rows", (1000, 2000)))
    assert table.arms == ("verifier_only", "HERO, braked")
    assert table.pairs == (("HERO, braked", "verifier_only"),)
    assert len(table.runs) == 2 * 2 * 2 * 2
    cells = list(dict.fromkeys(planned.cell for planned in table.runs))
    assert cells[1] == (("regime", "hard"), ("reward_model.rows", 2000))
    last = table.runs[-1]
    assert last.cell == (("regime", "mixed"), ("reward_model.rows", 2000))
    assert (last.run.regime, last.run.reward_model.rows, last.run.reward_model.batch_size) == ("mixed", 2000, 64)
    assert (last.run.kl, last.run.seed, last.run.rule_settings["alpha"]) == (0.5, 3, 0.1)
    assert {planned.run.kl for planned in table.runs if planned.arm == "verifier_only"} == {0.1}
    assert {planned.run.learning_rate for planned in table.runs} == {1e-4}


def test_equal_runs_of_two_tables_are_one_run_with_the_looks_of_both(tmp_path: Path) -> None:
    second = TABLE.replace("main", "kl").replace('seeds = "0-1"', 'seeds = "0"')
    text = TABLE + "horizons = [25, 50, 100]\n" + second + "horizons = [75, 100]\nkl = [0.0, 0.05]\n"
    plan = plan_of(text, tmp_path)
    assert [len(table.runs) for table in plan.tables] == [4, 4]
    assert len(plan.runs()) == 6
    shared = {planned.run.digest: planned.run for planned in plan.tables[1].runs if planned.cell == (("kl", 0.0),)}
    assert {run.looks for run in shared.values()} == {(25, 75)}  # the early look, 50, and the last, 100, are taken anyway
    assert {planned.run.digest for planned in plan.tables[0].runs if planned.run.seed == 0} == set(shared)
    # a single table has the runs that it has in the whole plan
    assert plan.only(["kl"]).runs() == tuple(planned.run for planned in plan.tables[1].runs)


def test_a_plain_table_has_the_runs_of_hero_lab(tmp_path: Path) -> None:
    plan = plan_of(TABLE + "horizons = [50, 100]", tmp_path)
    lab = plan_runs(("verifier_only", "hero"), seeds=(0, 1))
    assert [run.digest for run in plan.runs()] == [run.digest for run in lab]


# --- the numbers ------------------------------------------------------------------------------------------------------


def result(
    seed: int, start: list[int], end: list[int], *, curve: list[float] = (0.2, 0.5, 0.6), regime: str = "hard", steps: int = 100
) -> dict[str, Any]:  # fmt: skip
    """What a run leaves, with so many of four responses right to each of two problems."""
    tag = "V" if regime == "verifiable" else "H"

    def look(step: int, correct: list[int]) -> dict[str, Any]:
        return {
            "step": step,
            tag: {
                "samples": 4, "prompts": 2, "correct_P": correct, "greedy_P": [int(count >= 2) for count in correct],
                "verifier_pass": 0.1, "rm_score": 0.5, "rm_auroc_within": None, "all_wrong_groups": 0.5, "pass_any": 1.0,
                "entropy": 0.3, "examples": [["^1+1*1:2H", "2;2;1", True]],
            },
        }  # fmt: skip

    points = [
        {"step": round(place * steps / (len(curve) - 1)), "accuracy": value, "rm_score": 0.0, "verifier_pass": 0.1}
        for place, value in enumerate(curve)
    ]
    return {
        "format": 1, "digest": "x", "versions": {"numpy": "2"},
        "settings": {"label": "l", "seed": seed, "regime": regime, "prompts_per_step": 4, "group_size": 8, "steps": steps},
        "policy": {"seconds": 50.0}, "reward_model": {"seconds": 40.0}, "training": [{"loss": 1.0}],
        "timing": {"total_s": 20.0, "evaluation_s": 5.0, "process_cpu_s": 18.0},
        "curve": points, "held_out": {"start": look(0, start), "end": look(steps, end)},
    }  # fmt: skip


def entries(*rows: tuple[str, int, list[int]], cell: tuple[tuple[str, object], ...] = ()) -> list[Entry]:
    return [Entry("main", cell, arm, seed, result(seed, [1, 1], end)) for arm, seed, end in rows]


def test_means_and_paired_differences_are_those_of_the_hand(tmp_path: Path) -> None:
    plan = plan_of(TABLE + "compare = [['hero', 'verifier_only']]", tmp_path).tables[0]
    found = tabulate(
        plan,
        entries(("verifier_only", 0, [1, 2]), ("verifier_only", 1, [0, 2]), ("hero", 0, [2, 3]), ("hero", 1, [2, 3])),
    )
    at = {(row.arm, row.step): row for row in found.arms}
    assert at["(start)", 0].accuracy.value == 0.25
    assert at["verifier_only", 100].accuracy.value == (1 + 2 + 0 + 2) / 16
    assert at["hero", 100].accuracy.value == 10 / 16
    assert at["hero", 100].greedy.value == 1.0
    assert at["hero", 100].seeds == 2
    assert math.isnan(at["hero", 100].means["rm_auroc_within"])
    (row,) = found.deciding(found.pairs)
    # differences .25 .25 / .5 .25: seeds' means .25 and .375, V_S = .0078125 / 2; problems' means .375 and .25, V_P = the same
    # less what is left in a cell, .0625^2 x 4 / 4
    assert row.difference.value == 0.3125
    seeds, problems = 0.0078125 / 2, 0.0078125 / 2 - 0.0625**2
    assert problems == 0.0
    assert row.difference.high - 0.3125 == pytest.approx(12.706205 * math.sqrt(seeds))
    assert (row.candidate, row.baseline, row.cell, row.seeds, row.verdict) == (
        "hero", "verifier_only", Cell((), "H"), 2, "cannot be told",
    )  # fmt: skip


def test_a_verdict_needs_two_seeds_and_an_interval_clear_of_zero() -> None:
    assert verdict(Estimate(0.1, 0.01, 0.2), 5) == "holds"
    assert verdict(Estimate(-0.1, -0.2, -0.01), 5) == "does not hold"
    assert verdict(Estimate(0.1, -0.01, 0.2), 5) == "cannot be told"
    assert verdict(Estimate(0.1, 0.01, 0.2), 1) == "cannot be told"
    assert verdict(Estimate(0.1, math.nan, math.nan), 2) == "cannot be told"


def test_only_seeds_that_both_have_are_compared_and_what_is_missing_is_counted(tmp_path: Path) -> None:
    plan = plan_of(TABLE + "compare = 'hero'", tmp_path).tables[0]
    found = tabulate(plan, entries(("verifier_only", 0, [1, 2]), ("hero", 0, [2, 3]), ("hero", 1, [4, 4])))
    (row,) = found.deciding(found.pairs)
    assert (row.seeds, row.difference.value) == (1, 0.25)
    assert found.missing == 1
    assert tabulate(plan, []).pairs == []


def test_the_best_of_the_others_is_chosen_in_each_cell(tmp_path: Path) -> None:
    text = TABLE.replace('"hero"]', '"rm_only", "hero"]') + (
        "kl = [0.0, 0.1]\nbest_of = {candidate='hero', others=['verifier_only', 'rm_only']}"
    )
    plan = plan_of(text, tmp_path).tables[0]
    first = entries(
        *[("verifier_only", s, [1, 1]) for s in (0, 1)], *[("rm_only", s, [2, 2]) for s in (0, 1)],
        *[("hero", s, [3, 3]) for s in (0, 1)], cell=(("kl", 0.0),),
    )  # fmt: skip
    second = entries(
        *[("verifier_only", s, [3, 3]) for s in (0, 1)], *[("rm_only", s, [2, 2]) for s in (0, 1)],
        *[("hero", s, [1, 1]) for s in (0, 1)], cell=(("kl", 0.1),),
    )  # fmt: skip
    found = tabulate(plan, first + second)
    rows = found.deciding(found.best)
    assert [(row.baseline, row.difference.value, row.verdict) for row in rows] == [
        ("rm_only", 0.25, "holds"), ("verifier_only", -0.5, "does not hold"),
    ]  # fmt: skip
    assert best_sentence(found) == (
        "hero is worse in 1 of 2 cells than the best of verifier_only, rm_only, shown to be no more than 0.02 behind in 1, and "
        "clearly ahead in 1. Worst cell: hero "
        "minus verifier_only -0.500 [-0.500, -0.500] (kl 0.1, hard-to-verify prompts). The lowest end of an "
        "interval is -0.500 (kl 0.1, hard-to-verify prompts)."
    )
    assert "hero is nowhere worse than the best of verifier_only, rm_only in 1 cell, " in best_sentence(tabulate(plan, first))


def test_a_claim_is_said_in_words(tmp_path: Path) -> None:
    plan = plan_of(TABLE + "compare = 'hero'", tmp_path).tables[0]
    found = tabulate(plan, entries(*[("verifier_only", s, [1, 1]) for s in (0, 1)], *[("hero", s, [2, 2]) for s in (0, 1)]))
    assert claim_sentence(found) == "Holds: hero minus verifier_only +0.250 [+0.250, +0.250] (hard-to-verify prompts)."
    text = markdown("A study", [found], command="hero lab study plan.toml")
    assert "| hero | 0.500 ± 0.000 | 1.000 ± 0.000 | 0.100 | +0.50 | – | 0.50 |" in text
    assert "| hero − verifier_only | hard-to-verify prompts | **+0.250 ± 0.000** | **+1.000 ± 0.000** | holds |" in text


def test_kept_results_give_the_same_tables_without_the_runs(tmp_path: Path) -> None:
    plan = plan_of(TABLE + "compare = 'hero'\nkl = [0.0, 0.1]", tmp_path)
    rows = [
        row for kl in (0.0, 0.1)
        for row in entries(("verifier_only", 0, [1, 2]), ("verifier_only", 1, [0, 2]), ("hero", 0, [2, 3]),
                           ("hero", 1, [2, 3]), cell=(("kl", kl),))
    ]  # fmt: skip
    path = keep(tmp_path, "main", rows)
    before = path.read_bytes()
    again = read_kept([path], plan)
    assert sorted(entry[:4] for entry in again) == sorted(entry[:4] for entry in rows)
    in_order = sorted(rows, key=lambda row: (row.seed, row.cell))
    assert str(tabulate(plan.tables[0], again)) == str(tabulate(plan.tables[0], in_order))  # NaN is not equal to NaN
    assert keep(tmp_path, "main", rows).read_bytes() == before
    assert "examples" not in str(again)
    assert "training" not in again[0].result


def test_kept_results_of_another_plan_are_refused(tmp_path: Path) -> None:
    plan = plan_of(TABLE, tmp_path)
    path = keep(tmp_path, "main", entries(("hero", 7, [1, 1])))
    with pytest.raises(InputError, match="line 1: 'hero' of seed 7  is not in table 'main'"):
        read_kept([path], plan)
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="is not a file of kept results"):
        read_kept([path], plan)


def test_time_left_is_from_the_rollouts_of_runs_that_are_done() -> None:
    results = [result(seed, [1, 1], [1, 1]) for seed in (0, 0, 1)]
    runs = [plan_run("hero")]  # 100 steps of 256 where the result had 100 of 32, in 20 s
    assert estimate_seconds(runs, results, models=0, jobs=2) == pytest.approx(20.0 * 8 / 2)


def measured(arm: str, seed: int, alignment: float | None, end: list[int], cell: tuple[tuple[str, object], ...] = ()) -> Entry:
    found = result(seed, [1, 1], end)
    if alignment is not None:
        found["held_out"]["start"]["H"] |= {"alignment": alignment, "pressure": 1.0 - alignment, "scale": None}
    return Entry("main", cell, arm, seed, found)


def test_measures_at_step_0_are_ranked_against_the_gain_in_accuracy(tmp_path: Path) -> None:
    text = TABLE.replace('"hero"]', '"rm_only", "gdpo", "hero"]')
    plan = plan_of(text, tmp_path).tables[0]
    rows = [
        measured("verifier_only", 0, 0.5, [2, 2]), measured("verifier_only", 1, 0.6, [2, 2]),
        measured("rm_only", 0, 0.1, [0, 0]), measured("rm_only", 1, 0.2, [4, 4]),
        measured("hero", 0, 0.7, [3, 4]), measured("hero", 1, 0.9, [3, 4]),
        measured("gdpo", 0, None, [4, 4]),  # a result of an earlier release
    ]  # fmt: skip
    found = tabulate(plan, rows)
    assert [(one.arm, one.seed, one.alignment, one.gain) for one in found.forecasts[-2:]] == [
        ("hero", 0, 0.7, 7 / 8 - 1 / 4), ("hero", 1, 0.9, 7 / 8 - 1 / 4),
    ]  # fmt: skip
    ranks = forecast_ranks(found.forecasts, "alignment")
    # mean gains .25, .25 and .625 of ranks 1.5, 1.5, 3 against 2, 1, 3: .75 + .75 over sqrt(2 x 1.5)
    assert (ranks.rules, ranks.of_means) == (3, pytest.approx(1.5 / math.sqrt(3.0)))
    # seed 0: gains .25, -.25, .625 as the alignments, +1; seed 1: .25, .75, .625 against 2, 1, 3: -.5
    assert ranks.over_seeds.value == pytest.approx((1.0 - 0.5) / 2)
    assert forecast_ranks(found.forecasts, "pressure").of_means == pytest.approx(-ranks.of_means)
    assert math.isnan(forecast_ranks(found.forecasts, "scale").of_means)
    said = "over 3 rules and cells (in each seed): alignment +0.87 (+0.25 ± 9.53), pressure -0.87 (-0.25 ± 9.53), scale –"
    assert said in forecast_sentence(found)
    text = markdown("A study", [found], command="hero lab study plan.toml")
    assert "| hero | hard-to-verify prompts | 0.800 | 0.200 | – | +0.625 |" in text
    assert math.isnan(forecast_ranks(found.forecasts[:4], "alignment").of_means)  # two rules are in some order always


def test_cells_are_ranked_alone_and_together(tmp_path: Path) -> None:
    plan = plan_of(TABLE + "kl = [0.0, 0.1]", tmp_path).tables[0]
    rows = [
        measured(arm, 0, alignment, [gain, gain], (("kl", kl),))
        for kl, shift in ((0.0, 0), (0.1, 1))
        for arm, alignment, gain in (("verifier_only", 0.5 - 0.2 * shift, 1 + shift), ("hero", 0.8, 3 + shift))
    ]
    grid = grids(tabulate(plan, rows))[-1]
    assert [row[:2] for row in grid.rows] == [
        ["kl 0.0, hard-to-verify prompts", "2"],
        ["kl 0.1, hard-to-verify prompts", "2"],
        ["all", "4"],
    ]
    assert [row[2] for row in grid.rows] == ["–", "–", "+0.74"]  # ranks 2 3.5 1 3.5 and 1 3 2 4: 3.5 / sqrt(4.5 x 5)


def test_the_folder_of_a_study_has_tables_figures_and_a_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the report extra")
    pytest.importorskip("jinja2", reason="needs the report extra")
    text = TABLE + "kl = [0.0, 0.1]\nlearning_rate = [1e-4, 2e-4]\ncompare = 'hero'\n"
    plan = plan_of(text, tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        Entry("main", run.cell, run.arm, run.run.seed,
              result(run.run.seed, [1, 1], rng.integers(0, 5, 2).tolist(), curve=rng.random(3).tolist()))
        for run in plan.tables[0].runs
    ]  # fmt: skip
    rows[0].result["curve"][1]["rule"] = {"alpha": 0.07}
    for row in rows:
        row.result["held_out"]["start"]["H"] |= {"alignment": rng.random(), "pressure": 0.1, "scale": None}
    out = tmp_path / "out"
    found = write_study(out, plan, rows, command="hero lab study <plan>")
    names = {path.name for path in out.iterdir()}
    kinds = ("png", "svg", "pdf", "csv")
    figures = {f"main-{name}.{kind}" for name in ("curves", "differences", "state", "forecast") for kind in kinds}
    assert names == {"report.html", "tables.json", "tables.md", "main.jsonl.gz", *figures}
    page = found.page.read_text()
    assert "HERO beats the verifier alone" in page
    assert "hero lab study &lt;plan&gt;" in page
    assert "**" not in page
    numbers = json.loads(found.tables.with_suffix(".json").read_text())
    assert numbers["tables"][0]["pairs"][0]["cell"] == {"kl": 0.0, "learning_rate": 1e-4, "tag": "H"}


# --- real runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan of two runs, which the first test starts, kills and finishes."""
    pytest.importorskip("trl", reason="needs the lab extra")
    folder = tmp_path_factory.mktemp("study")
    (folder / "plan.toml").write_text(SMALL + TABLE.replace("0-1", "0") + "compare = 'hero'\nhorizons = [1, 2]\n")
    return folder


def test_a_study_killed_in_the_middle_goes_on_where_it_was(studied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = studied / "out"
    call = ["lab", "study", str(studied / "plan.toml"), "-o", str(out), "--jobs", "1"]
    process = forks.hero(*call, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        lines: list[str] = []
        while not any(line.startswith("1 of 2 runs") for line in lines):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
    finally:
        process.kill()
        process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.json")}
    assert kept
    assert main([*call, "--json"]) == 0
    after = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.json")}
    assert len(after) == 2
    assert kept.items() <= after.items()
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["failed"] == []
    (table,) = found["tables"]
    assert table["missing"] == 0
    assert {row["step"] for row in table["arms"]} == {0, 1, 2}
    assert {row["seeds"] for row in table["pairs"]} == {1}
    assert table["measures_at_start"] == []  # after 20 steps of cold start nothing is right, so that no update has a truth
    assert "2 of 2 runs" in captured.err or len(kept) == 2
    for name in ("report.html", "tables.md", "tables.json", "main-curves.png", "main.jsonl.gz"):
        assert (out / name).stat().st_size > 0


def test_what_is_done_is_not_done_again_and_reports_alike(studied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out = str(studied / "plan.toml"), studied / "out"
    if not (out / "tables.json").is_file():
        pytest.skip("the study was not finished")
    before = json.loads((out / "tables.json").read_text())["tables"]
    assert main(["lab", "study", plan, "-o", str(out), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    assert main(["lab", "study", plan, "-o", str(out)]) == 0
    assert "main: HERO beats the verifier alone\n" in capsys.readouterr().out
    assert json.loads((out / "tables.json").read_text())["tables"] == before
    again = studied / "again"
    kept = str(out / "main.jsonl.gz")
    assert main(["lab", "study", plan, "-o", str(again), "--dry-run", "--from", kept]) == 0
    assert "2 different runs, 2 done" in capsys.readouterr().out
    assert main(["lab", "study", plan, "-o", str(again), "--report-only", "--from", kept]) == 0
    assert json.loads((again / "tables.json").read_text())["tables"] == before
    assert not (again / "runs").exists()
    assert main(["lab", "study", plan, "-o", str(again), "--from", kept]) == 0  # kept runs count as done
    assert json.loads((again / "tables.json").read_text())["tables"] == before
    assert not (again / "runs").exists()


def test_a_run_that_fails_does_not_end_the_study(studied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out = read_plan(studied / "plan.toml"), studied / "out"
    run = plan.runs()[0]
    path = out / "runs" / run.file_name
    if not path.is_file():
        pytest.skip("the study was not finished")
    path.unlink()
    path.mkdir()  # where the result should go
    (path / "in the way").write_text("")
    assert main(["lab", "study", str(plan.path), "-o", str(out)]) == 1
    captured = capsys.readouterr()
    assert "1 of 2 runs have no result." in captured.out
    assert "error: 1 runs failed; the first: verifier_only, hard, hackable, seed 0: " in captured.err
