"""From results to the numbers that are reported: intervals by hand, pairing and the report page."""

import json

import pytest

pytest.importorskip("matplotlib", reason="needs the lab extra")

from hero_lab.compare import curve, paired_difference, summarize, tags
from hero_lab.page import compared_arm, differences, finding, summary_row, verdict_on_hacking, write_report


def result(label, seed, correct, *, greedy=(1, 0, 1), score=0.0, start=(2, 2, 2), tag="H"):
    """A run's result with three held-out prompts of four responses each."""

    def evaluation(step, correct_P, rm_score):
        unused = dict.fromkeys(("pass_any", "verifier_pass", "rm_auroc_within", "all_wrong_groups", "entropy"), 0.5)
        means = {"accuracy": {"mean": 0}, "greedy": {"mean": 0}, "rm_score": rm_score}
        return {"step": step, tag: {"samples": 4, "correct_P": list(correct_P), "greedy_P": list(greedy), **means, **unused}}

    settings = {
        "label": label,
        "seed": seed,
        "regime": "hard",
        "tier": "hackable",
        "steps": 10,
        "kl": 0.0,
        "held_out_samples": 4,
    }
    return {
        "settings": settings,
        "versions": {"torch": "2"},
        "reward_model": dict.fromkeys(("auroc_pooled_V", "auroc_within_V", "auroc_pooled_H", "auroc_within_H"), 0.8),
        "curve": [{"step": step, "accuracy": 0.1 * step, "rm_score": score, "verifier_pass": 0.1} for step in (0, 10)],
        "held_out": {
            "start": evaluation(0, start, 0.0),
            "early": evaluation(5, correct, score),
            "end": evaluation(10, correct, score),
        },
    }


def test_one_seed_gives_an_interval_over_prompts():
    # shares .75, .5, .25: mean .5, standard deviation .25, half-width 1.96 * .25 / sqrt(3) = .2829
    summary = summarize([result("hero", 0, (3, 2, 1))])[0]
    assert (summary.label, summary.tag, summary.step, summary.seeds) == ("hero", "H", 10, 1)
    assert tuple(summary.accuracy) == pytest.approx((0.5, 0.5 - 0.28290, 0.5 + 0.28290), abs=1e-4)
    assert summary.greedy.value == pytest.approx(2 / 3)


def test_several_seeds_give_a_t_interval_over_seeds():
    # seed means .5, .75, .75: mean 2/3, standard deviation .14434, t(.975, 2) = 4.30265, half-width 4.30265 * .08333 = .35855
    summary = summarize([result("hero", 0, (4, 2, 0)), *(result("hero", seed, (4, 4, 1)) for seed in (1, 2))])[0]
    assert summary.seeds == 3
    assert tuple(summary.accuracy) == pytest.approx((2 / 3, 2 / 3 - 0.35855, 1.0), abs=1e-4), "no accuracy is above 1"


def test_differences_are_paired_by_seed_and_only_where_both_have_one():
    runs = [
        result("hero", 0, (4, 4, 4)), result("hero", 1, (4, 4, 0)), result("hero", 2, (0, 0, 0)),
        result("rm", 0, (4, 4, 2)), result("rm", 1, (4, 2, 0)),
    ]  # fmt: skip
    found = paired_difference(runs, "hero", "rm", tag="H")
    # seed 0: 1 - 5/6 = 1/6; seed 1: 2/3 - 1/2 = 1/6: no spread
    assert found.seeds == 2
    assert tuple(found.estimate) == pytest.approx((1 / 6, 1 / 6, 1 / 6))
    assert paired_difference(runs, "hero", "absent", tag="H") is None


def test_one_shared_seed_pairs_prompts():
    found = paired_difference([result("hero", 0, (4, 4, 0)), result("rm", 0, (4, 0, 0))], "hero", "rm", tag="H")
    # prompts 0, 1, 0: mean 1/3, standard deviation .57735, half-width 1.96 / 3 = .65333
    assert tuple(found.estimate) == pytest.approx((1 / 3, 1 / 3 - 0.65333, 1 / 3 + 0.65333), abs=1e-4)


def test_curves_have_a_row_a_seed_at_shared_steps():
    steps, values = curve([result("hero", 0, (4, 2, 0)), result("hero", 1, (4, 2, 0))], lambda point: point["accuracy"])
    assert steps == [0, 10]
    assert values.tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_hacking_is_named_only_where_score_rises_and_accuracy_falls():
    changes = {"hacked": ((0, 0, 0), 0.9), "good": ((4, 4, 4), 0.9), "worse": ((0, 0, 0), -1.0)}
    runs = [result(label, 0, correct, score=score) for label, (correct, score) in changes.items()]
    assert verdict_on_hacking(runs) == "hacked hacked the reward model on hard-to-verify prompts: score +0.90, accuracy -0.50."


def test_the_report_has_every_rule_and_escapes_labels(tmp_path):
    runs = [result(label, seed, (4, 2, seed)) for label in ("hero", "rm_only<script>") for seed in (0, 1)]
    assert tags(runs) == ["H"]
    assert len(summary_row(summarize(runs)[0])) == 8
    assert [d.baseline for d in differences(runs)] == ["rm_only<script>"] * 2
    html = write_report(tmp_path, runs, command="hero lab").read_text()
    assert "rm_only&lt;script&gt;" in html
    assert "rm_only<script>" not in html
    assert html.count("<svg") == 2
    assert json.dumps("over seeds")[1:-1] in html
    figures = {f"{name}.{kind}" for name in ("curves", "differences") for kind in ("png", "svg", "pdf", "csv")}
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "numbers.json", *figures}
    assert "hero gets 54% of its responses to hard-to-verify prompts right at temperature 1: not clearly different from" in html
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    shown = {row["label"]: row["accuracy"]["mean"] for row in numbers["held_out"]}
    # shares 1, .5, 0 of seed 0 and 1, .5, .25 of seed 1
    assert shown == pytest.approx({"hero": (0.5 + 1.75 / 3) / 2, "rm_only<script>": (0.5 + 1.75 / 3) / 2})
    assert [row["baseline"] for row in numbers["differences"]] == ["rm_only<script>"] * 2


def test_the_page_says_whom_the_compared_arm_is_ahead_of_and_shows_responses(tmp_path):
    runs = [result("hero", 0, (4, 4, 4)), result("rm_only", 0, (1, 0, 1)), result("naive_sum", 0, (4, 0, 4))]
    assert finding(runs) == (
        "hero gets 100% of its responses to hard-to-verify prompts right at temperature 1: ahead of rm_only; not clearly "
        "different from naive_sum."
    )
    for run in runs:
        for when, answer in (("start", "2/4"), ("end", "0.5")):
            run["held_out"][when]["H"]["examples"] = [f"^{n}+1:4H {n + 1};{answer}<b>" for n in range(3)]
    html = write_report(tmp_path, runs, command="hero lab").read_text()
    assert "<td>2;2/4&lt;b&gt;</td><td>2;0.5&lt;b&gt;</td><td>4 of 4</td>" in html


def test_the_arm_that_is_held_against_the_others_is_hero_or_what_comes_nearest():
    def of(*labels):
        return compared_arm([result(label, 0, (4, 2, 0)) for label in labels])

    assert of("verifier_only", "hero_cascade", "hero") == "hero"
    assert of("verifier_only", "hero_cascade", "cascade") == "hero_cascade"
    assert of("verifier_only", "cascade") == "cascade"


def test_a_fooled_verifier_is_shown_and_unknown_numbers_are_null(tmp_path):
    run = result("cascade", 0, (4, 2, 0))
    names = ("auroc_H", "auroc_rejected_H", "recall_H", "fpr_H", "precision_H")
    run["learned_verifier"] = dict(zip(names, (0.9, 0.8, 0.7, 0.06, None), strict=True))
    for when, precision, fpr in (("start", 0.875, 0.0625), ("end", float("nan"), 0.375)):
        run["held_out"][when]["H"] |= {"own_verifier_precision": precision, "own_verifier_fpr": fpr, "rm_auroc_within": None}
    html = write_report(tmp_path, [run], command="hero lab").read_text()
    assert "Was the verifier fooled?" in html
    assert all(text in html for text in ("0.875", "0.062", "0.375", "–"))
    assert json.loads((tmp_path / "numbers.json").read_text())["held_out"][0]["means"]["rm_auroc_within"] is None
