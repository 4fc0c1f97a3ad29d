"""Routing by a column: each row to its verifier, in order, and no row to a verifier that nobody named for it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from hero_rl.cache import Cache
from hero_rl.cli import main
from hero_rl.errors import InputError
from hero_rl.part_names import check_verifier
from hero_rl.parts import make_verifier
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers import ByField, CachedVerifier, ChoiceVerifier, ColumnVerifier, ExactVerifier, MathVerifier, any_of
from hero_rl.verifiers.cascade import Cascade


def row(source: object, response: str, reference: str = "1/2", **extra: object) -> Rollout:
    return Rollout(prompt_id="p7", problem="", reference=reference, response=response, extra={"source": source, **extra})


class Counting(ExactVerifier):
    """Says how often and on how many rows it was asked, and whether it is closed."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.closed = 0

    def take_metrics(self) -> dict[str, float]:
        return {"rows": float(sum(self.batches))}

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        self.batches.append(len(rollouts))
        return super().verify(rollouts)

    def close(self) -> None:
        self.closed += 1


def test_each_row_gets_the_verdict_of_its_own_verifier_in_order() -> None:
    with ByField(
        "source", {"maths": MathVerifier(workers=1), "text": ExactVerifier(), "3": ColumnVerifier("correct")}
    ) as verifier:
        rows = [row("text", "0.5"), row("maths", "0.5"), row(3, "?", correct=1), row("text", "1/2"), row("maths", "0.6")]
        labels = ["incorrect", "correct", "correct", "correct", "incorrect"]
        assert [one.label for one in verifier.verify(rows)] == labels
        assert [one.label for one in asyncio.run(verifier.averify(rows))] == labels
        assert verifier.verify([]) == asyncio.run(verifier.averify([])) == []


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"source": "txt"}, r"by:source.*'p7' has the value 'txt'; known are 'text', 'true'"),
        ({"source": None}, r"has the value None; known are"),
        ({"source": ["text"]}, r"has the value \['text'\]"),
        ({"src": "text"}, r"'p7' has no column 'source'; its extra columns: src"),
        ({}, r"its extra columns: none"),
    ],
)
def test_an_unknown_value_is_an_error_that_names_the_row_and_the_known_ones(extra: dict[str, object], message: str) -> None:
    counting = Counting()
    verifier = ByField("source", {"text": counting, "true": ExactVerifier()})
    wrong = Rollout(prompt_id="p7", problem="", reference="1", response="1", extra=extra)
    with pytest.raises(InputError, match=message):
        verifier.verify([row("text", "1"), wrong])
    with pytest.raises(InputError, match=message):
        asyncio.run(verifier.averify([row("text", "1"), wrong]))
    assert counting.batches == []  # nobody was asked
    assert verifier.verify([row(True, "1/2")])[0].label == "correct"


def test_one_verifier_for_two_values_is_asked_and_closed_once() -> None:
    shared, own = Counting(), Counting()
    verifier = ByField("source", {"a": shared, "b": shared, "c": own})
    verifier.verify([row("a", "1"), row("b", "2"), row("a", "3")])
    assert (shared.batches, own.batches) == ([3], [])
    assert verifier.take_metrics() == {"a/rows": 3.0, "c/rows": 0.0}
    verifier.close()
    assert (shared.closed, own.closed) == (1, 1)


def test_identity_columns_and_learned_come_from_the_verifiers() -> None:
    class Learned(ExactVerifier):
        learned = True

    one, other = ByField("source", {"a": ExactVerifier()}), ByField("kind", {"a": ExactVerifier()})
    assert one.identity != other.identity
    assert not one.learned
    assert ByField("source", {"a": ExactVerifier(), "b": Learned()}).learned
    assert ByField("source", {"a": ChoiceVerifier()}).columns == tuple(sorted({"source", *ChoiceVerifier.columns}))
    assert ByField("source", {"a": ColumnVerifier("x")}).identity is None
    for column, verifiers in (("", {"a": ExactVerifier()}), ("source", {})):
        with pytest.raises(InputError, match="needs a column and one verifier"):
            ByField(column, verifiers)


def test_a_cache_and_a_cascade_tell_rows_of_different_columns_apart(tmp_path: Path) -> None:
    rows = [row("text", "0.5"), row("maths", "0.5"), row("maths", "0.51", tolerance="5%"), row("maths", "0.51")]
    labels = ["incorrect", "correct", "correct", "incorrect"]
    with Cache(tmp_path / "cache.db") as cache, MathVerifier(workers=1, policy="binary") as maths:
        verifier = ByField("source", {"text": ExactVerifier(), "maths": maths})
        for _ in range(2):
            assert [one.label for one in CachedVerifier(verifier, cache).verify(rows)] == labels
        cascade = Cascade(ExactVerifier(), verifier, ask="incorrect", learned=False)
        assert [one.label for one in cascade.verify(rows)] == labels
        assert set(CachedVerifier(any_of(verifier, ExactVerifier())).columns) >= {"source", "tolerance"}


def test_the_string_names_a_verifier_per_value() -> None:
    verifier = make_verifier("by:source:a=exact,b/c=any_of:exact,hendrycks,d=exact,e=column:label")
    assert isinstance(verifier, ByField)
    assert verifier.name == "by:source(a=exact, b/c=any_of(exact, hendrycks), d=exact, e=column:label)"
    assert verifier.verifiers["a"] is verifier.verifiers["d"]
    check_verifier("by:source:a=compass:M@http://one:1,http://two:2,b=choice")
    strict = make_verifier("by:source:a=choice,b=exact", {"policy": "strict"})
    assert isinstance(strict, ByField)
    assert getattr(strict.verifiers["a"], "policy", None) == "strict"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("by", "'by' needs an argument; write by:COLUMN:VALUE=NAME"),
        ("by:source", "'' is no VALUE=NAME"),
        ("by::a=exact", "no column"),
        ("by:source:exact", "'exact' is no VALUE=NAME"),
        ("by:source:a=", "'a=' is no VALUE=NAME"),
        ("by:source:a=exact,a=math", "'a' stands there twice"),
        ("by:source:a=none", "'none' cannot be one of its verifiers"),
        ("by:source:a=by:kind:b=exact", "cannot be one of its verifiers"),
        ("by:source:a=exactly", "exactly: unknown; did you mean 'exact'?"),
    ],
)
def test_a_string_that_is_none_is_refused(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_verifier(spec)


def test_an_option_that_none_of_the_verifiers_has_is_refused() -> None:
    with pytest.raises(InputError, match="has no setting 'deadline_s'; it has policy"):
        make_verifier("by:source:a=exact,b=choice", {"deadline_s": 1.0})


def test_commands_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"problem": "Which? (A) 3 (B) 4 (C) 5", "reference": "B", "response": "(B) 4", "data_source": "quiz"},
        {"problem": "", "reference": ["1", "2"], "response": "\\boxed{1, 2}", "data_source": "text"},
    ]
    source.write_text("\n".join(map(json.dumps, rows)))
    command = ["verify", str(source), "-o", str(target), "--verifier"]
    assert main([*command, "by:data_source:quiz=choice,text=exact"]) == 0
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [one["verdict"] for one in found] == [1, 1]
    assert found[1]["reference"] == ["1", "2"]  # the column stays as it was
    assert main([*command, "by:data_source:quiz=choice"]) == 2
    assert "known are 'quiz'" in " ".join(capsys.readouterr().err.split())
