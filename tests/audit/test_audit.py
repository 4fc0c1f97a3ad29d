"""hero audit: figures worked by hand, a decision that follows from them, and what cannot be said is said."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from helpers.places import SHARED
from hero_lab.page import learning_curves
from hero_rl.audit import audit, read_table
from hero_rl.audit.reward_models import reward_model_report
from hero_rl.audit.rules import rule_report, verifier_alone
from hero_rl.audit.verifiers import agreements, verifier_report
from hero_rl.cli import main
from hero_rl.data import Columns
from hero_rl.rewards import hero, verifier_only
from hero_rl.scorers import ColumnScorer
from hero_rl.verifiers import ChoiceVerifier, ColumnVerifier

DATA = SHARED
COLUMNS = Columns(labels=("correct", "verdict"), scores=("rm_score",))


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(prompt: str, correct: int | None, verdict: int | None, score: float | None, **more: object) -> dict[str, object]:
    texts = {"problem": f"What is {prompt}?", "reference": "1", "response": "so it is 1"}
    return {"prompt_id": prompt, **texts, "correct": correct, "verdict": verdict, "rm_score": score, **more}


def table_of(tmp_path: Path, rows: list[dict[str, object]], **options):
    path = write(tmp_path / "rollouts.jsonl", rows)
    return read_table(
        path, [ColumnVerifier("verdict")], [ColumnScorer("rm_score")], label="correct", columns=COLUMNS, **options
    )


SMALL = [
    row("a", 1, 1, 3.0), row("a", 1, 0, 2.0), row("a", 0, 0, 1.0), row("a", 0, None, 0.0),
    row("b", 1, 1, 5.0), row("b", 1, 1, 4.0),
    row("c", 0, 0, 1.0), row("c", 0, 1, 2.0), row("c", 1, None, 0.0),
]  # fmt: skip


def test_the_verifier_by_hand(tmp_path: Path) -> None:
    # right rows: a1 yes, a2 no, b1 yes, b2 yes, c3 abstain -> recall 3/5; yes: a1 b1 b2 c2 -> precision 3/4;
    # wrong rows: a3 no, a4 abstain, c1 no, c2 yes -> FPR 1/4; accuracy: all but a2, c2, c3 -> 6/9; decided 7/9, of them 5 right
    report = verifier_report(table_of(tmp_path, SMALL), "column:verdict")
    found = (report.recall, report.precision, report.fpr, report.accuracy, report.coverage, report.accuracy_decided)
    assert [estimate.value for estimate in found] == pytest.approx([3 / 5, 3 / 4, 1 / 4, 6 / 9, 7 / 9, 5 / 7])
    assert report.wrong_rejections.value == pytest.approx(1 / 3)
    for estimate in found:
        assert 0.0 <= estimate.low <= estimate.value <= estimate.high <= 1.0


def test_the_reward_model_by_hand(tmp_path: Path) -> None:
    # prompt a: right 3, 2 over wrong 1, 0: AUROC 1; prompt b: no wrong ones; prompt c: right 0 below wrong 1, 2: AUROC 0
    report = reward_model_report(table_of(tmp_path, SMALL), "column:rm_score", verifier="column:verdict")
    assert report.within.prompts == 2
    assert report.within.mean.value == 0.5
    assert sorted(report.within.auroc_P.tolist()) == [0.0, 1.0]
    # among the rows that the verifier does not accept: a: right 2 over wrong 1, 0; c: right 0 below wrong 1
    assert report.rejected.value == 0.5
    # pairs of right and wrong over everything: right 3 2 5 4 0, wrong 1 0 1 2: 4 + 3.5 + 4 + 4 + 0.5 of 20
    assert report.overall.value == pytest.approx(16 / 20)
    assert sorted(report.sigma.round(4).tolist()) == [0.5, 0.8165, 1.118]


def test_groups_and_the_rule_by_hand(tmp_path: Path) -> None:
    table = table_of(tmp_path, SMALL)
    shares = verifier_alone(table, "column:verdict")
    assert (shares.mixed, shares.all_correct, shares.all_wrong) == pytest.approx((2 / 3, 1 / 3, 0.0))
    report = rule_report(table, hero(weighting=False), verifier="column:verdict", scorer="column:rm_score")
    assert report.groups.zero_gradient == 0.0
    bare = rule_report(table, verifier_only(), verifier="column:verdict", scorer=None)
    assert bare.groups.zero_gradient == shares.zero_gradient == pytest.approx(1 / 3)


def test_agreement_counts_only_rows_that_both_decide(tmp_path: Path) -> None:
    rows = [{**row("a", None, v, 0.0), "other": o} for v, o in ((1, 1), (1, 0), (0, 0), (0, 1), (None, 1), (1, None), (0, 1))]
    path = write(tmp_path / "r.jsonl", rows)
    columns = Columns(labels=("verdict", "other"))
    table = read_table(path, [ColumnVerifier("verdict"), ColumnVerifier("other")], [], columns=columns)
    (found,) = agreements(table)
    assert (found.rows, found.agree.value, found.first_only, found.second_only) == (5, 2 / 5, 1, 2)
    assert {example.kind for example in table.examples} == {
        "column:verdict accepts, column:other rejects", "column:other accepts, column:verdict rejects"
    }  # fmt: skip


def rollouts(prompts: int, *, seed: int, auroc_shift: float, recall: float = 0.6, steps: int = 1, hacked: bool = False):
    generator = random.Random(seed)
    for step in range(steps):
        for prompt in range(prompts):
            p = generator.random()
            for _ in range(8):
                done = step / max(steps - 1, 1)
                correct = generator.random() < (p * (1 - 0.9 * done) if hacked else p)
                score = generator.gauss(auroc_shift * correct * (1 - done if hacked else 1), 1.0) + (4 * done if hacked else 0)
                extra = {"step": step} if steps > 1 else {}
                verdict = int(correct and generator.random() < recall)
                yield row(f"p{prompt}-{step}", int(correct), verdict, score, **extra)


def test_hacking_over_training_is_named_and_honest_training_is_not(tmp_path: Path) -> None:
    hacked = audit(table_of(tmp_path, list(rollouts(15, seed=1, auroc_shift=1.5, steps=9, hacked=True))), hero())
    assert any("the score rises while verifier pass falls" in sign.what for sign in hacked.signs)
    assert any("the score rises while AUROC inside prompts falls" in sign.what for sign in hacked.signs)
    honest = audit(table_of(tmp_path, list(rollouts(15, seed=1, auroc_shift=1.5, steps=9))), hero())
    assert honest.signs == []
    assert len(honest.trends) == 7


@pytest.mark.parametrize(
    ("sign", "words", "sigma"),
    [
        ("responses grow longer", (100, 300), 1.0),
        ("responses grow shorter", (300, 100), 1.0),
        ("the scores of a prompt's responses become the same", (100, 100), 0.1),
    ],
)
def test_what_changes_while_verdicts_get_better_is_no_sign_of_hacking(
    tmp_path: Path, sign: str, words: tuple[int, int], sigma: float
) -> None:
    def signs(gain: float) -> list[str]:
        generator, rows = random.Random(1), []
        for step, prompt in ((step, prompt) for step in range(12) for prompt in range(8)):
            for _ in range(8):
                done = step / 11
                text = " ".join(str(generator.randrange(10**6)) for _ in range(round(words[0] + (words[1] - words[0]) * done)))
                correct, score = int(generator.random() < 0.3 + gain * done), generator.gauss(done, 1 + (sigma - 1) * done)
                rows.append(row(f"p{prompt}-{step}", correct, correct, score, step=step) | {"response": text})
        return [one.what for one in audit(table_of(tmp_path, rows), hero()).signs]

    assert (signs(0.0), signs(0.6)) == ([sign], [])


def test_a_reward_model_that_turns_constant_is_among_the_signs_with_its_step(tmp_path: Path) -> None:
    rows = list(rollouts(1, seed=1, auroc_shift=1.5, steps=40))
    broken = [one | {"rm_score": 0.5} if one["step"] >= 35 else one for one in rows]
    assert audit(table_of(tmp_path, rows), hero()).signs == []
    signs = audit(table_of(tmp_path, broken), hero()).signs
    assert [sign.what for sign in signs if "no spread" in sign.what] == ["the scores have no spread at step 36"]


def test_scores_that_are_constant_are_to_be_mended_and_nothing_else_is_said_of_them(tmp_path: Path) -> None:
    found = audit(table_of(tmp_path, [each | {"rm_score": 0.0} for each in rollouts(30, seed=2, auroc_shift=1.0)]), hero())
    said = [(one.value, one.reason) for one in found.advice if one.about == "reward model"]
    assert said == [("mend the scores", "those of column:rm_score are constant within every prompt")]


def test_empty_references_are_to_be_filled_in(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [each | {"reference": ""} for each in rollouts(12, seed=2, auroc_shift=1.0)])
    with ChoiceVerifier() as judge:
        found = audit(read_table(path, [judge], [ColumnScorer("rm_score")], label="correct", columns=COLUMNS), hero())
    assert "fill in the references" in [one.value for one in found.advice]


def test_without_labels_it_says_what_it_cannot_say(tmp_path: Path) -> None:
    rows = [{k: v for k, v in each.items() if k != "correct"} for each in rollouts(30, seed=2, auroc_shift=1.0)]
    path = write(tmp_path / "r.jsonl", rows)
    columns = Columns(labels=("verdict",), scores=("rm_score",))
    found = audit(read_table(path, [ColumnVerifier("verdict")], [ColumnScorer("rm_score")], columns=columns), hero())
    assert np.isnan(found.verifiers[0].recall.value)
    assert found.reward_models[0].truth == "column:verdict"
    assert any("no trusted labels" in reason for reason in found.unknown)
    assert any("rejected responses, each of another prompt" in reason for reason in found.unknown)
    assert any("no column `step`" in reason for reason in found.unknown)


def test_the_same_file_in_another_order_gives_the_same_audit(tmp_path: Path) -> None:
    rows = list(rollouts(20, seed=5, auroc_shift=1.0))
    first = audit(table_of(tmp_path, rows), hero()).to_json()
    random.Random(0).shuffle(rows)
    second = audit(table_of(tmp_path, rows), hero()).to_json()
    for report in (first, second):
        for example in report["examples"]:
            example.pop("where")
            example.pop("row")
    assert json.dumps(second["verifiers"]) == json.dumps(first["verifiers"])
    assert second["reward_models"][0]["within"]["mean"] == pytest.approx(first["reward_models"][0]["within"]["mean"])
    assert sorted(map(str, second["examples"])) == sorted(map(str, first["examples"]))


def test_a_large_file_is_thinned_to_whole_prompts_and_the_page_says_so(tmp_path: Path) -> None:
    rows = list(rollouts(300, seed=4, auroc_shift=1.0))
    table = table_of(tmp_path, rows, max_rows=800)
    assert 200 <= table.rows <= 800
    assert table.rows_in_file == 2400
    assert np.unique(np.bincount(table.groups)).tolist() == [8]


def test_numbers_that_may_be_labels_or_scores_are_named_where_there_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"correct": "is_correct", "rm_score": "reward"}
    rows = [{names.get(k, k): v for k, v in each.items() if k != "verdict"} for each in SMALL]
    source = write(tmp_path / "r.jsonl", rows)
    command = ["audit", str(source), "-o", str(tmp_path / "out"), "--verifier", "exact", "--attack", "0"]
    assert main(command) == 0
    hint = "not read: is_correct, reward; where one is a label or a score, say so with --columns correct=COLUMN,rm_score=COLUMN"
    assert hint in capsys.readouterr().err
    assert main([*command, "--columns", "correct=is_correct,rm_score=reward"]) == 0
    assert "not read" not in capsys.readouterr().err


def test_the_command_writes_a_page_figures_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "rollouts.jsonl", list(rollouts(40, seed=6, auroc_shift=1.5, steps=3)))
    assert main(["audit", str(source), "-o", str(tmp_path / "out"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == 960
    kept = json.loads((tmp_path / "out/numbers.json").read_text())
    assert kept["verifiers"] == printed["verifiers"]
    page = (tmp_path / "out/report.html").read_text()
    assert "What to do" in page
    assert "Which rule helps here" in page
    assert page.index(printed["headline"][:40]) < page.index("What to do")
    links = re.findall(r'href="view.html#group=(\d+)&amp;response=(\d+)">[^<]*:(\d+)<', page)
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', (tmp_path / "out/view.html").read_text())[1])  # type: ignore[index]
    shown = [data["details"][group]["rows"][int(response) - 1]["response"] for group, response, _ in links]
    assert shown == [json.loads(source.read_text().splitlines()[int(line) - 1])["response"] for *_, line in links]
    assert len(links) == len(printed["examples"]) > 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "reward-model-0.png", "rule.png", "rules.png", "training.png"
    ]  # fmt: skip
    assert main(["audit", str(source), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith(printed["headline"])


def test_a_rule_has_the_same_colour_in_the_audit_and_in_the_lab(tmp_path: Path) -> None:
    source = write(tmp_path / "rollouts.jsonl", list(rollouts(40, seed=6, auroc_shift=1.5)))
    assert main(["audit", str(source), "-o", str(tmp_path / "out")]) == 0
    with (tmp_path / "out/rules.csv").open() as file:
        rules = [row["row"] for row in csv.DictReader(file)]
    curve = [{"step": step, "accuracy": 0.5} for step in (0, 10)]
    lines = learning_curves([{"settings": {"label": rule}, "curve": curve} for rule in rules]).figure.axes[0].get_lines()
    colours = {str(line.get_label()): line.get_color() for line in lines}
    assert set(colours) == set(rules) >= {"hero", "gated"}
    svg = (tmp_path / "out/rules.svg").read_text()
    assert all(f"stroke: {colour}" in svg for colour in colours.values())


def test_hostile_responses_are_escaped_in_the_page(tmp_path: Path) -> None:
    attack = "</td><script>alert(1)</script>"
    rows = [{**row("a", 1, 0, 0.0), "response": attack, "problem": attack}, row("a", 0, 0, 1.0)]
    source = write(tmp_path / "rollouts.jsonl", rows)
    assert main(["audit", str(source), "-o", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out/report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_fallback_is_audited_beside_the_verifier_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**each, "second": each["correct"]} for each in SMALL]
    source = write(tmp_path / "r.jsonl", rows)
    options = ["--verifier", "column:verdict", "--set", "verifier.fallback=column:second", "--set", "verifier.ask=both"]
    assert main(["audit", str(source), "-o", str(tmp_path / "out"), "--json", *options]) == 0
    recall = {v["name"]: v["recall"]["value"] for v in json.loads(capsys.readouterr().out)["verifiers"]}
    # the right answer without a label in `verdict` leaves nothing to ask about
    assert recall == {"column:verdict+column:second": 0.8, "column:verdict": 0.6}


GOOD = row("a", 1, 1, 0.0)
BROKEN = {
    "missing label": (
        [{k: v for k, v in row("a", 1, 1, 0.0).items() if k != "correct"}],
        ["--labels", "column:correct"],
        ":1: missing column",
    ),
    "label of another kind": (
        [row("a", 1, 1, 0.0), {**row("a", 1, 1, 0.0), "correct": "yes"}],
        [],
        ":2: column 'correct' must be",
    ),
    "label and verdict in one column": (
        [row("a", 1, 1, 0.0)],
        ["--labels", "column:verdict"],
        "'verdict' is both the label and what is measured",
    ),
    "score of another kind": (
        [row("a", 1, 1, 0.0), {**row("a", 1, 1, 0.0), "rm_score": "x"}],
        [],
        ":2: column 'rm_score' must be",
    ),
    "step of another kind": ([row("a", 1, 1, 0.0, step="ten")], [], ":1: column 'step' must be a number"),
    "no rows": ([], [], "has no rows"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_is_named_with_its_line_and_nothing_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, options, message = BROKEN[name]
    source = write(tmp_path / "rollouts.jsonl", rows)
    assert main(["audit", str(source), "-o", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_group_of_one_a_missing_score_and_a_broken_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "rollouts.jsonl", [row("a", 1, 1, None), row("b", None, None, 1.0)])
    (tmp_path / "out").mkdir()
    for name in ("training.png", "reward-model-7.csv", "view.html", "mine.png"):
        (tmp_path / "out" / name).touch()
    assert main(["audit", str(source), "-o", str(tmp_path / "out")]) == 0
    kept = {path.name for path in (tmp_path / "out").iterdir()}  # an earlier audit's figures and groups are gone
    assert kept & {"training.png", "reward-model-7.csv", "view.html", "mine.png"} == {"mine.png"}
    with source.open("a") as file:
        file.write('{"prompt_id": "c", "problem": \n')
    assert main(["audit", str(source), "-o", str(tmp_path / "out2")]) == 2
    assert ":3:" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    source = tmp_path / "long.jsonl"
    with source.open("w") as file:
        for number in range(6000):
            file.write(json.dumps({**row(f"p{number // 4}", number % 2, 1, float(number)), "response": "word " * 4000}) + "\n")
    assert source.stat().st_size > 110e6
    code = (
        "import sys; from hero_rl.cli import main; code = main(sys.argv[1:]); "
        "sys.stderr.write(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "audit", str(source), "-o", str(tmp_path / "out")],
        check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    # the high-water mark of the process itself: ru_maxrss would hold its parent's, from before exec
    assert int(done.stderr.split()[-1]) / 1024 < 500


@pytest.mark.skipif(not DATA.exists(), reason="the measuring data are not here")
def test_real_files_give_the_known_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "audit",
                str(DATA / "math_rm_scores.jsonl"),
                "-o",
                str(tmp_path / "a"),
                "--verifier",
                "math",
                "--attack",
                "0",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    low, high = (found["reward_models"][0]["overall"][name] for name in ("low", "high"))
    assert low <= 0.968 <= high  # of all 100 problems; the file has about half
    assert found["groups"]["all_correct"] == pytest.approx(0.86, abs=0.1)
    pytest.importorskip("math_verify")
    assert main(["audit", str(DATA / "hardverify_math.jsonl"), "-o", str(tmp_path / "b"), "--attack", "0", "--json"]) == 0
    recall = {v["name"]: v["recall"]["value"] for v in json.loads(capsys.readouterr().out)["verifiers"]}
    assert recall["math"] > recall["math_verify"] > recall["hendrycks"] > 0.0
