"""`hero data split` and `hero data cold-start`: the paper's sets, what is in them, and the same bytes for every order."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.places import SHARED
from hero_rl.data.cold_start import ColdStartSettings, ColdStartSummary, cold_start
from hero_rl.data.cold_start_text import is_english, is_finished
from hero_rl.data.rollouts import Columns
from hero_rl.data.splits import CAUSES, SplitSettings, SplitSummary, split
from hero_rl.errors import InputError, SignalError
from hero_rl.types import Rollout, RowVerifier, Verdict
from hero_rl.verifiers import ColumnVerifier, MathVerifier

DATA = SHARED
GROUPED = Columns(labels=("label",))
UNGROUPED = Columns(group_by=None, labels=("label",))


@pytest.fixture(scope="module")
def maths():
    with MathVerifier(workers=1) as verifier:
        yield verifier


def write(path: Path, content: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rollouts(prompt: str, labels: Sequence[int | None], *, reference: str = "4") -> list[dict[str, Any]]:
    return [
        {"prompt_id": prompt, "problem": f"problem {prompt}", "reference": reference, "response": f"{number}", "label": label}
        for number, label in enumerate(labels)
    ]  # fmt: skip


def run(source: Path, folder: Path, references: MathVerifier, **settings: Any) -> SplitSummary:
    return split(
        source, folder, ColumnVerifier("label"), spec="column:label", references=references, columns=GROUPED,
        settings=SplitSettings(**settings), progress=lambda *_: None,
    )  # fmt: skip


def test_every_prompt_gets_the_first_cause_that_applies_with_its_shares(tmp_path: Path, maths: MathVerifier) -> None:
    content = [
        *rollouts("always", [1, 1]), *rollouts("sometimes", [0, 1, None, 0]), *rollouts("never", [0, 0]),
        *rollouts("abstains", [0, None]), *rollouts("words", [1, 0], reference="It is the set of all the lines that meet."),
    ]  # fmt: skip
    summary = run(write(tmp_path / "in.jsonl", content), tmp_path / "sets", maths, by="cause")
    assert summary.sets == dict.fromkeys(CAUSES, 1)
    found = {cause: read(tmp_path / "sets" / f"{cause}.jsonl")[0] for cause in CAUSES}
    assert {cause: row["prompt_id"] for cause, row in found.items()} == {
        "reference_unverifiable": "words", "verifier_abstains": "abstains", "never_solved": "never",
        "sometimes_solved": "sometimes", "always_solved": "always",
    }  # fmt: skip
    sometimes = found["sometimes_solved"]
    assert [sometimes[name] for name in ("samples", "p_correct", "p_incorrect", "p_abstain")] == [4, 0.25, 0.5, 0.25]
    assert (sometimes["problem"], sometimes["reference"]) == ("problem sometimes", "4")
    assert summary.reference_reasons == {"reference_in_words": 1}
    assert found["reference_unverifiable"]["reference_reason"] == "reference_in_words"


def test_the_paper_split_takes_one_solution_a_problem_and_an_abstention_fails(tmp_path: Path, maths: MathVerifier) -> None:
    content = [row for number in range(9) for row in rollouts(f"p{number}", [(1, 0, None)[number % 3]])]
    summary = run(write(tmp_path / "in.jsonl", content), tmp_path / "sets", maths)
    assert summary.sets == {"verifiable": 3, "hard_to_verify": 6, "mixed": 9}
    assert {row["prompt_id"] for row in read(tmp_path / "sets/verifiable.jsonl")} == {"p0", "p3", "p6"}
    assert {cause: counts["hard_to_verify"] for cause, counts in summary.causes.items() if counts["all"]} == {
        "always_solved": 0, "never_solved": 3, "verifier_abstains": 3,
    }  # fmt: skip


def test_sizes_are_the_papers_and_mixed_is_half_and_half(tmp_path: Path, maths: MathVerifier) -> None:
    assert (SplitSettings().easy, SplitSettings().hard, SplitSettings().mixed) == (2000, 2000, 2000)
    content = [row for number in range(60) for row in rollouts(f"p{number}", [number % 2])]
    source = write(tmp_path / "in.jsonl", content)
    run(source, tmp_path / "sets", maths, easy=12, hard=10, mixed=14)
    easy, hard, mixed = (read(tmp_path / f"sets/{name}.jsonl") for name in ("verifiable", "hard_to_verify", "mixed"))
    assert (len(easy), len(hard), len(mixed)) == (12, 10, 14)
    assert all(row["passes"] for row in easy)
    assert not any(row["passes"] for row in hard)
    assert sum(row["passes"] for row in mixed) == 7
    ids = {row["prompt_id"] for row in easy + hard}
    assert {row["prompt_id"] for row in mixed} <= ids
    # shuffled, not one half after the other
    assert len({row["passes"] for row in mixed[:7]}) == 2
    run(source, tmp_path / "other", maths, easy=12, hard=10, mixed=14, seed=1)
    assert {row["prompt_id"] for row in read(tmp_path / "other/verifiable.jsonl")} != {row["prompt_id"] for row in easy}


def test_a_random_solution_is_drawn_and_not_the_first(tmp_path: Path, maths: MathVerifier) -> None:
    content = [row for number in range(200) for row in rollouts(f"p{number}", [1, 0, 0, 0])]
    summary = run(write(tmp_path / "in.jsonl", content), tmp_path / "sets", maths)
    # a quarter of 200, within four standard deviations
    assert abs(summary.sets["verifiable"] - 50) < 4 * (200 * 0.25 * 0.75) ** 0.5
    assert summary.causes["sometimes_solved"]["fails"] == 200 - summary.sets["verifiable"]


@pytest.mark.parametrize("by", ["paper", "cause"])
def test_the_order_of_the_rows_does_not_matter(by: str, tmp_path: Path, maths: MathVerifier) -> None:
    content = [row for number in range(30) for row in rollouts(f"p{number}", [number % 2, number % 3 == 0, None])]
    content += rollouts("p1", [1], reference="5")
    outputs = set()
    for attempt in range(3):
        random.Random(attempt).shuffle(content)
        folder = tmp_path / f"sets{attempt}"
        summary = run(write(tmp_path / "in.jsonl", content), folder, maths, by=by, seed=2)
        outputs.add(tuple((path.name, path.read_bytes()) for path in sorted(folder.glob("*.jsonl"))))
        assert summary.different_references == 1
    assert len(outputs) == 1


def test_equal_input_gives_an_equal_manifest_that_adds_up(tmp_path: Path, maths: MathVerifier) -> None:
    source = write(tmp_path / "in.jsonl", [*rollouts("a", [1, 0]), *rollouts("b", [0])])
    texts = []
    for name in ("one", "two"):
        run(source, tmp_path / name, maths, by="cause")
        texts.append((tmp_path / name / "manifest.json").read_text())
    assert texts[0] == texts[1]
    manifest = json.loads(texts[0])
    assert (manifest["rows"], manifest["prompts"]) == (3, 2)
    assert sum(output["rows"] for output in manifest["outputs"].values()) == 2
    assert sum(counts["all"] for counts in manifest["causes"].values()) == 2


def test_prompts_told_apart_by_their_text_get_the_id_that_prepare_gives(tmp_path: Path, maths: MathVerifier) -> None:
    from hero_rl.data.problems import Problem

    content = [{key: value for key, value in row.items() if key != "prompt_id"} for row in rollouts("a", [1, 0])]
    source = write(tmp_path / "in.jsonl", content)
    split(
        source, tmp_path / "sets", ColumnVerifier("label"), spec="column:label", references=maths,
        columns=Columns(group_by="problem", labels=("label",)), settings=SplitSettings(by="cause"), progress=lambda *_: None,
    )  # fmt: skip
    (row,) = read(tmp_path / "sets/sometimes_solved.jsonl")
    assert row["prompt_id"] == Problem("problem a", ("4",), "").prompt_id


class Broken(RowVerifier):
    """A verifier whose server is down."""

    name = "broken"

    def judge(self, rollout: Rollout, /) -> Verdict:
        return Verdict("abstain", "unreachable", failed=True)


def test_a_verifier_that_breaks_stops_the_run_and_leaves_no_folder(tmp_path: Path, maths: MathVerifier) -> None:
    source = write(tmp_path / "in.jsonl", rollouts("a", [1, 0, 1]))
    for folder in (tmp_path / "sets", tmp_path / "there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        with pytest.raises(SignalError, match="3 of the first 3 rows failed in broken"):
            split(
                source, folder, Broken(), spec="broken", references=maths, columns=Columns(), settings=SplitSettings(),
                progress=lambda *_: None,
            )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "there"]
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the labelled responses in ../shared/data")
def test_real_responses_that_fail_are_mostly_wrong_and_not_hard_to_verify(tmp_path: Path, maths: MathVerifier) -> None:
    summary = split(
        DATA / "processbench_math.jsonl", tmp_path / "sets", maths, spec="math", references=maths,
        columns=Columns(group_by="problem"), settings=SplitSettings(), progress=lambda *_: None,
    )  # fmt: skip
    assert (summary.rows, summary.prompts) == (1000, 955)
    fails = {cause: counts["fails"] for cause, counts in summary.causes.items()}
    assert (fails["never_solved"] + fails["sometimes_solved"]) / sum(fails.values()) > 0.9


def start(source: Path, target: Path, **settings: Any) -> ColdStartSummary:
    return cold_start(
        source, target, ColumnVerifier("label"), spec="column:label", columns=UNGROUPED,
        settings=ColdStartSettings(**settings), progress=lambda *_: None,
    )  # fmt: skip


def example(problem: str, response: str, label: int | None = 1, **more: Any) -> dict[str, Any]:
    return {"problem": problem, "reference": "4", "response": response, "label": label, **more}


GOOD = "We add the two numbers and find that the sum is \\boxed{4}."


def test_every_row_is_kept_or_counted_under_the_first_reason(tmp_path: Path) -> None:
    content = [
        example("p1", GOOD), example("p1", GOOD + " "), example("p2", GOOD, 0), example("p3", GOOD, None), example(" ", GOOD),
        example("p4", "我们 find \\boxed{4}."), example("p5", GOOD, finished=False), example("p6", GOOD + "\nUser: and 3+3?"),
        example("p7", GOOD), example("p8", GOOD),
    ]  # fmt: skip
    summary = start(write(tmp_path / "in.jsonl", content), tmp_path / "sft.jsonl", limit=2)
    assert summary.dropped == {
        "incorrect": 1, "verifier abstains": 1, "no problem text": 1, "not English": 1, "not finished": 2,
        "another of the same problem": 1, "over the limit": 1,
    }  # fmt: skip
    assert summary.written == 2
    assert summary.rows == summary.written + sum(summary.dropped.values())
    manifest = json.loads((tmp_path / "sft.manifest.json").read_text())
    assert manifest["dropped"] == summary.dropped


def test_a_training_recipe_reads_the_examples_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl")
    from helpers import tiny
    from hero_rl.engines.trl.problems import load_cold_start
    from hero_rl.engines.trl.recipe import load_recipe

    monkeypatch.chdir(tmp_path)
    start(write(tmp_path / "in.jsonl", [example("1+1=", GOOD), example("2+2=", GOOD)]), tmp_path / "sft.jsonl")
    recipe = 'reward_model.name = "local:owner/rm"\npolicy.model = "m"\n[data]\npath = "sft.jsonl"\nformat = "plain"\n'
    recipe += '[sft]\npath = "sft.jsonl"\n'
    (tmp_path / "r.toml").write_text(recipe)
    loaded = load_recipe("r.toml")
    assert loaded.recipe.sft is not None
    dataset = load_cold_start(loaded, loaded.recipe.sft, tiny.tokenizer())
    assert sorted(dataset["prompt"][:]) == ["1+1=", "2+2="]
    assert dataset["completion"][:] == [GOOD, GOOD]


def test_order_does_not_matter_and_a_larger_limit_keeps_the_smaller_choice(tmp_path: Path) -> None:
    content = [
        example(f"p{number}", f"By way {way} we find that it is \\boxed{{4}}.") for number in range(30) for way in range(4)
    ]  # fmt: skip
    chosen: dict[int, set[str]] = {5: set(), 12: set()}
    for attempt in range(3):
        random.Random(attempt).shuffle(content)
        for limit, outputs in chosen.items():
            start(write(tmp_path / "in.jsonl", content), tmp_path / "sft.jsonl", limit=limit, seed=4)
            outputs.add((tmp_path / "sft.jsonl").read_text())
    assert [len(outputs) for outputs in chosen.values()] == [1, 1]
    small, large = (outputs.pop().splitlines() for outputs in chosen.values())
    assert (len(small), len(large)) == (5, 12)
    assert large[:5] == small
    assert len({json.loads(line)["problem"] for line in large}) == 12


def test_nothing_left_is_bad_input_and_says_why(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [example("p", GOOD, 0)])
    with pytest.raises(InputError, match="none of 1 rows can be an example \\(incorrect: 1\\)"):
        start(source, tmp_path / "sft.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("text", "english"),
    [
        (GOOD, True),
        ("$x^2+1=0$", True),
        ("By Poincaré and Gauß, the angle $θ$ is π over 4, Δ is ℵ, 𝑥 ∈ ℝ.", True),
        ("We find x. 因此答案是 4.", False),
        ("The answer is четыре.", False),
        ("Donc la réponse est 4, et nous avons fini avec les calculs.", False),
        ("Wir rechnen die Summe aus und das ist 4.", False),
        ("Entonces el resultado es 4 por las reglas.", False),
        ("Jawaban untuk soal ini adalah 4 dengan cara yang sama.", False),
        ("lorem ipsum dolor sit amet consectetur adipiscing elit sed eiusmod tempor incididunt labore dolore magna aliqua enim "
         "minim veniam quis nostrud exercitation ullamco", False),
    ],
)  # fmt: skip
def test_english(text: str, english: bool) -> None:
    assert is_english(text) is english


@pytest.mark.parametrize(
    ("text", "says", "finished"),
    [
        (GOOD, None, True),
        (GOOD, False, False),
        ("It is 4", True, True),
        ("It is 4", None, False),
        ("It is \\boxed{4", None, False),
        ("**Problem:** 2+2.\n" + GOOD, None, True),
        (GOOD + "\n\nProblem 2: what is 3+3?", True, False),
        (GOOD + "<|im_start|>user", True, False),
        (GOOD + "\n### Instruction: go on.", None, False),
        (GOOD + " To check this: " + "two and two. " * 30, True, False),
        (GOOD + " To check this: two and two.", None, True),
        ("So we have that it is four.\n" * 5 + GOOD, True, False),
        ("<think> hm. \n" + GOOD, None, False),
        ("<think> hm. </think>\n" + GOOD, None, True),
        ("```python\nprint(4)\n" + GOOD, None, False),
    ],
)
def test_finished(text: str, says: bool | None, finished: bool) -> None:
    assert is_finished(text, says) is finished
