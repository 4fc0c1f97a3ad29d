"""The report of a training run: from what lies in its folder, at any time, with numbers worked by hand."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")

from hero_rl.audit.training import LivePage, lead, read_run, write_report
from hero_rl.cli import main
from hero_rl.errors import install_command

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 12 steps that was killed while it logged step 10, with two prompts of two responses per step.

    The second response to a prompt scores higher: 2 against 0, in the last third 5.2 against 5. It alone is accepted, but at
    step 3 both are, and in the last third none.
    """
    import pyarrow
    from pyarrow import parquet

    folder = tmp_path / "hacked"
    (folder / "rollouts").mkdir(parents=True)
    for step in range(1, 10):
        late = step >= 7
        rows = [
            {
                "step": step, "prompt_id": f"step {step}, prompt {prompt}", "problem": f"p{prompt}", "reference": "1",
                "response": HOSTILE if response else "short", "verdict": int(not late and (bool(response) or step == 3)),
                "reason": "equal", "learned": False, "rm_score": (0.2 if late else 2.0) * response + 5.0 * late,
                "reward": 0.0, "weight": 1.0, "advantage": (response - 0.5) * (1 + prompt),
            }
            for prompt in (0, 1) for response in (0, 1)
        ]  # fmt: skip
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "rollouts" / f"step_{step:06d}.rank0.parquet")
    (folder / "rollouts" / "step_000010.rank0.parquet.partial").write_bytes(b"PAR1")
    (folder / "recipe.toml").write_text('[policy]\nmodel = "tiny"\n[rule]\nname = "hero"\n[trl]\nmax_steps = 12\n')
    entries = [{"step": step, "hero/correct": 0.5, "hero/rm_score": None, "hero/abstained": 0.0} for step in range(1, 10)]
    (folder / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries) + '{"step": 10, "hero/cor')
    return folder


def test_a_killed_run_by_hand(run: Path) -> None:
    found = read_run(run)
    # first third: steps 1 to 3, six prompts, of which 1/2 1/2 1/2 1/2 1 1 are accepted: mean 2/3, s = 0.2582, t(5) = 2.571
    passed = next(trend for trend in found.trends if trend.name == "verifier pass")
    assert passed.first == pytest.approx((2 / 3, 2 / 3 - 2.571 * 0.2582 / 6**0.5, 2 / 3 + 2.571 * 0.2582 / 6**0.5), abs=1e-3)
    spread = next(trend for trend in found.trends if trend.name == "spread of scores")
    assert (spread.first.value, spread.last.value) == pytest.approx((1.0, 0.1))
    assert lead(found, running=False) == (
        "Not finished: step 9 of 12; the verifier accepts 66.7% [39.6%, 93.8%] of the responses in the first third of the "
        "steps, 0.0% [0.0%, 0.0%] in the last. Signs of reward hacking: the score rises while verifier pass falls; the scores "
        "of a prompt's responses become the same."
    )
    assert lead(found, running=True).startswith("Training: step 9 of 12; ")
    # steps 1, 3, 5, 7, 9, the accepted response first; from step 7 on there is none
    shown = [(row.rollout.extra["step"], row.rollout.extra["verdict"], row.rollout.extra["advantage"]) for row in found.samples]
    assert shown == [(1, 1, 1.0), (1, 0, -0.5), (3, 1, 1.0), (5, 1, 1.0), (5, 0, -0.5), (7, 0, 1.0), (9, 0, 1.0)]
    shutil.rmtree(run / "rollouts")
    text = lead(read_run(run), running=False)
    assert text == "Not finished: step 9 of 12; the verifier accepted 50.0% of the responses last."


@pytest.mark.parametrize(
    ("shares", "count"), [([0.5, 1.0], 0), ([1.0, None, 1.0], 2), ([0.0, 1.0, 1.0, 1.0], 3), ([1.0, 0.9], 0)]
)
def test_the_page_says_when_nothing_can_be_learned(run: Path, shares: list[float | None], count: int) -> None:
    entries = [{"step": step, "hero/groups_zero_gradient": share} for step, share in enumerate(shares, 1)]
    (run / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))
    text = f"; nothing can be learned from the last {count} batches, in which no response has an advantage; "
    assert (text in lead(read_run(run), running=True)) == (count > 0)


def test_the_page_has_every_part_and_runs_nothing_that_a_model_wrote(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    page = (run / "report.html").read_text(encoding="utf-8")
    headings = ("Signs of reward hacking", "Verdicts and scores", "First and last third", "Responses by step")
    assert all(f"<h2>{heading}" in page for heading in headings)
    assert 'href="http://127.0.0.1:8500/#step=9">9</a>' in page
    assert 'href="http://127.0.0.1:8500/#step=9&amp;search=step%209%2C%20prompt%201">1</a>' in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "refresh" not in page
    write_report(run, running=True)
    assert '<meta http-equiv="refresh"' in (run / "report.html").read_text(encoding="utf-8")


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--report", str(tmp_path)]) == 2
    assert "is not the folder of a training run: it has neither recipe.toml nor rollouts/" in capsys.readouterr().err
    (tmp_path / "recipe.toml").write_text('[rule]\nname = "he')
    assert main(["train", "--report", str(tmp_path)]) == 2
    assert f"{tmp_path / 'recipe.toml'}: not TOML" in capsys.readouterr().err


def test_a_text_among_the_logged_numbers_is_left_out(run: Path) -> None:
    with (run / "history.jsonl").open("a") as log:
        log.write('": 0}\n{"step": 10, "hero/correct": "high"}\n{"step": "last", "hero/correct": 1.0}\n')
    assert read_run(run).history[-1] == {"step": 10}
    assert write_report(run).is_file()


def test_a_page_is_not_written_again_at_once_and_costs_no_run_its_life(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = LivePage(run)
    page.write(running=True)
    assert page.path == run / "report.html"
    page.path.unlink()
    page.write(running=True)
    assert not page.path.exists()
    page.write(running=False)
    assert page.path.exists()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with caplog.at_level(logging.WARNING):
        page.write(running=False)
        page.write(running=False)
    assert [record.getMessage() for record in caplog.records] == [
        f"hero-rl: there is no report of {run}: a figure needs the package 'matplotlib', which is not installed: "
        + install_command("report")
    ]
