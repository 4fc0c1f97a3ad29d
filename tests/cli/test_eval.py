"""`hero eval` as a user meets it: a tiny policy, a server, kill -9 and --resume, compare, and bad input."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai")
pytest.importorskip("torch")

from helpers import forks, servers, tiny_files
from helpers.commands import hero
from hero_rl.cli import main
from hero_rl.data.rollouts import read_rollouts

PLAIN = ["--format", "plain", "--prompt-template", "{problem}", "--max-tokens", "4", "--verifier", "exact", "--limit", "6"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a policy, problems, and two finished evaluations of it under two seeds."""
    root = tmp_path_factory.mktemp("eval")
    tiny_files.write(root)
    for name, seed in (("a", "0"), ("b", "1")):
        arguments = ["eval", str(root / "tiny/policy"), "--data", str(root / "tiny/problems.jsonl"), "-o", str(root / name)]
        assert main([*arguments, *PLAIN, "--samples", "3", "--seed", seed]) == 0
    return root


def answers(folder: Path) -> list[tuple[str, str]]:
    return [(row.rollout.prompt_id, row.rollout.response) for row in read_rollouts(folder / "rollouts.jsonl")]


def test_a_folder_is_evaluated_into_a_folder(workplace: Path) -> None:
    found = {path.name for path in (workplace / "a").iterdir()}
    assert found == {
        "settings.json", "logs", "rollouts.jsonl", "results.json", "report.html", "numbers.json", "view.html",
        *(f"{name}.{kind}" for name in ("tries", "difficulty") for kind in ("png", "svg", "pdf", "csv")),
    }  # fmt: skip
    rows = [row.rollout for row in read_rollouts(workplace / "a" / "rollouts.jsonl")]
    assert len(rows) == 18
    assert {rollout.finished for rollout in rows} <= {True, False}
    assert answers(workplace / "a") != answers(workplace / "b")
    page = (workplace / "a" / "report.html").read_text(encoding="utf-8")
    assert "The prompt: the usual instruction as plain text, changed by --format, --prompt-template." in page


def test_json_is_the_only_thing_on_stdout(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    arguments = ["eval", "run", str(workplace / "tiny/policy"), "--data", str(workplace / "tiny/problems.jsonl")]
    assert main([*arguments, *PLAIN, "--samples", "3", "-o", str(workplace / "again"), "--batch-size", "4", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert set(result["benchmarks"]) == {"problems"}
    assert result["benchmarks"]["problems"]["counts"]["responses"] == 18
    # the same seed gives the same responses, in batches of another size
    assert answers(workplace / "again") == answers(workplace / "a")


def test_audit_reads_what_eval_wrote(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(["audit", str(workplace / "a" / "rollouts.jsonl"), "-o", str(workplace / "audit"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["rows"] == 18


def test_compare_prints_a_table_and_says_it_in_words(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    folders = [str(workplace / "a"), str(workplace / "b")]
    assert main(["eval", "compare", *folders, "-o", str(workplace / "comparison")]) == 0
    out = capfd.readouterr().out
    assert "difference" in out
    assert "same on every problem" in out or "not told from chance" in out
    assert "Whether the way one was trained is better" in out
    assert (workplace / "comparison" / "report.html").is_file()
    assert main(["eval", "compare", *folders, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["benchmarks"]["problems"]["problems"] == 6
    assert found["benchmarks"]["problems"]["real"] is False


def edited(source: Path, target: Path, change: Any) -> Path:
    values = json.loads((source / "results.json").read_text())
    change(values)
    target.mkdir()
    (target / "results.json").write_text(json.dumps(values))
    return target


def test_a_real_difference_is_called_real_and_luck_between_runs_is_not(
    workplace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def solved(*counts: int) -> Any:
        def change(values: dict[str, Any]) -> None:
            for problem, count in zip(values["benchmarks"]["problems"]["problems"], counts, strict=True):
                problem["verdicts"] = [int(i < count) for i in range(3)]

        return change

    low = edited(workplace / "a", tmp_path / "low", solved(0, 0, 1, 0, 1, 0))
    high = edited(workplace / "a", tmp_path / "high", solved(3, 2, 3, 3, 3, 2))
    capfd.readouterr()
    assert main(["eval", "compare", str(low), str(high)]) == 0
    assert re.search(r"B is better by 77\.8 points .*p = .*a real difference", capfd.readouterr().out)
    assert main(["eval", "compare", str(high), str(low)]) == 0
    assert "B is worse by 77.8 points" in capfd.readouterr().out
    # one good and one bad run on each side
    others = [edited(low, tmp_path / "low2", lambda _: None), edited(high, tmp_path / "high2", lambda _: None)]
    assert main(["eval", "compare", str(low), str(high), "vs", *map(str, others), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["benchmarks"]["problems"]
    assert (found["difference"], found["real"]) == (0.0, False)


def test_what_cannot_be_compared_is_refused_and_named(
    workplace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a = workplace / "a"
    hotter = edited(a, tmp_path / "hot", lambda values: values["settings"]["sampling"].update(temperature=1.0, seed=5))
    other = edited(a, tmp_path / "other", lambda values: values["benchmarks"]["problems"]["settings"].update(fingerprint="x"))
    renamed = edited(a, tmp_path / "renamed", lambda v: v.update(benchmarks={"amc23": v["benchmarks"]["problems"]}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text('{"format": 1}')
    cases = [
        ([a, hotter], "differ in sampling.temperature;"),
        ([a, other], "differ in problems: problems;"),
        ([a, renamed], "was not evaluated on problems; it has amc23"),
        ([a, a], "given twice"),
        ([a, tmp_path / "broken"], "is no results file"),
        ([a, tmp_path], "no results.json there"),
        ([a], "give two folders"),
        ([a, workplace / "b", "vs", hotter], "2 against 1 runs"),
    ]
    for folders, message in cases:
        capfd.readouterr()
        assert main(["eval", "compare", *map(str, folders)]) == 2
        error = capfd.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_bad_input_is_one_line_and_nothing_is_written(
    workplace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy, data = str(workplace / "tiny/policy"), str(workplace / "tiny/problems.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "no-model").mkdir()
    url = servers.unused_url()
    cases = [
        ([], 2, "no MODEL given"),
        ([policy], 2, "nothing to evaluate on"),
        (["./absent", "--data", data], 2, "no such folder"),
        ([str(tmp_path / "no-model"), "--data", data], 2, "has no config.json"),
        ([policy, "--data", str(tmp_path / "empty.jsonl")], 2, "has no rows"),
        ([policy, "--data", "absent.jsonl"], 2, "no such file"),
        ([policy, "--benchmark", "maths"], 2, "unknown; choose one of"),
        ([policy, "--benchmark", f"hardverify_math={data}"], 2, "give --judge"),
        ([policy, "--data", data, "--verifier", "column:correct"], 2, "cannot grade responses that are yet to be sampled"),
        ([policy, "--data", data, "--data", data], 2, "is there twice"),
        ([policy, "--data", data, "--prompt-template", "x"], 2, "has no {problem}"),
        ([policy, "--data", data, "--resume"], 2, "no evaluation to resume"),
        (["owner/absent", "--data", data], 2, "owner/absent"),
        ([url, "--data", data, "--verifier", "exact"], 1, "does not answer"),
    ]
    later = ("has no rows", "no such file", "has no {problem}", "owner/absent", "does not answer")
    for arguments, code, message in cases:
        capfd.readouterr()
        assert main(["eval", "run", *arguments, "-o", str(tmp_path / "out")]) == code, arguments
        error = capfd.readouterr().err
        *before, last = error.splitlines()
        assert message in last
        # what takes a while to be found wrong comes after the first line
        assert [line.split()[:2] for line in before] == ([["evaluates", arguments[0]]] if message in later else []), error
    assert not (tmp_path / "out").exists()


def test_killed_and_resumed_it_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "problem": f"What is {i}+1?", "reference": str(i + 1)} for i in range(20)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def reply(messages: list[dict[str, Any]]) -> str:
        time.sleep(0.05)
        return f"\\boxed{{{int(messages[-1]['content'].split()[2].split('+')[0]) + 1}}}"

    with servers.running("chat", reply=reply) as server:
        command = ["eval", "run", server.url, "--data", "sums.jsonl", "--samples", "4", "-o", "out", "--concurrency", "4"]
        child = forks.hero(*command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(server.posted("/v1/chat/completions")) < 40:
            assert child.poll() is None
            time.sleep(0.01)
        child.kill()
        child.wait(20)
        before = len(server.posted("/v1/chat/completions"))
        done = hero(*command, "--resume", "--json", folder=tmp_path)
        asked = len(server.posted("/v1/chat/completions")) - before
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["benchmarks"]["sums"]["metrics"]["pass@1"]["value"] == 1.0
    assert len(list(read_rollouts(tmp_path / "out" / "rollouts.jsonl"))) == 80
    # of the 40 that had been asked for, those on their way and a few not yet written are asked for again
    assert 40 <= asked <= 65


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "p.jsonl").write_text('{"problem": "1+1?", "reference": "2"}\n')
    with servers.running("chat", servers.Faults(slow_s=60)) as server:
        command = ["eval", server.url, "--data", "p.jsonl", "-o", "out"]
        child = forks.hero(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not server.posted("/v1/chat/completions"):
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (code, "")
    assert "kept; go on with the same command and --resume (-o out)" in err
    assert "Traceback" not in err


def test_the_table_of_benchmarks_is_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "run", "--list", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["math500"]["path"] == "HuggingFaceH4/MATH-500"
