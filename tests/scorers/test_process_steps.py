"""Splitting a response into steps and putting step scores together."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.scorers.steps import AGGREGATES, aggregate_steps, check_aggregate, probability, split_steps

FRAGMENTS = [
    "\n", "\n\n", "\r\n\r\n", " \n \n", "\t", "Step 1:", "**Step 2.**", "### Step 3:", "step 4 -", "$$", "\\[", "\\]", "\\\\[",
    "\\begin{align*}", "\\end{align*}", "\\begin{cases}", "\\end{cases}", "```", "\n```python\n", "\n~~~\n", "x = 1", "So ",
    "\u200b", "\ud800", "ки", "😀", "\u2028", "\x00", "<extra_0>",
]  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join))


@given(texts, st.booleans())
def test_steps_joined_are_the_text_and_none_is_blank(text: str, every_line: bool) -> None:
    steps = split_steps(text, every_line=every_line)
    assert "".join(steps) == (text if text.strip() else "")
    assert all(step.strip() for step in steps)


@given(st.lists(st.text("ab =", min_size=1).filter(str.strip), min_size=2, max_size=8))
def test_paragraphs_are_the_steps(paragraphs: list[str]) -> None:
    assert [step.strip() for step in split_steps("\n\n".join(paragraphs))] == [paragraph.strip() for paragraph in paragraphs]


@given(
    st.lists(
        st.sampled_from(["We add.", "x = 1", "$$\n\ny\n\n$$", "\\[\na\n\n\\]", "```\nf()\n\ng()\n```"]), min_size=2, max_size=8
    )
)
def test_closed_blocks_are_never_cut(paragraphs: list[str]) -> None:
    assert [step.strip() for step in split_steps("\n\n".join(paragraphs))] == paragraphs


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        (" \n\t\n", []),
        ("one line", ["one line"]),
        ("a\nb\nc", ["a\n", "b\n", "c"]),
        ("a\nb\n\nc", ["a\nb\n\n", "c"]),
        ("\n\na\n \t\nb\n", ["\n\na\n \t\n", "b\n"]),
        ("a\r\n\r\nb", ["a\r\n\r\n", "b"]),
        ("Step 1: a\nfurther\nStep 2: b", ["Step 1: a\nfurther\n", "Step 2: b"]),
        ("First.\n**Step 1:** a\n### Step 2. b", ["First.\n", "**Step 1:** a\n", "### Step 2. b"]),
        ("Step 1: a. Step 2: b.", ["Step 1: a. ", "Step 2: b."]),
        ("In step 3 of this I footstep 4: x", ["In step 3 of this I footstep 4: x"]),
        (
            "a\n\\begin{align}\nx&=1\\\\[2pt]\n\ny&=2\n\\end{align}\nb",
            ["a\n", "\\begin{align}\nx&=1\\\\[2pt]\n\ny&=2\n\\end{align}\n", "b"],
        ),
        (
            "a\n\n\\begin{cases}\n\\begin{cases}\n\n\\end{cases}\n\n\\end{cases}\n\nb",
            ["a\n\n", "\\begin{cases}\n\\begin{cases}\n\n\\end{cases}\n\n\\end{cases}\n\n", "b"],
        ),
        ("a\n\n```\nx\n\n$$\n```\n\nb\n\nc", ["a\n\n", "```\nx\n\n$$\n```\n\n", "b\n\n", "c"]),
        ("open $$ x\n\nb", ["open $$ x\n\n", "b"]),
        ("open \\[ x\n\nb", ["open \\[ x\n\n", "b"]),
        ("```\nx\n\nb", ["```\nx\n\n", "b"]),
    ],
)  # fmt: skip
def test_split_by_hand(text: str, steps: list[str]) -> None:
    assert list(split_steps(text)) == steps


def test_every_line_cuts_paragraphs_but_not_equations() -> None:
    assert split_steps("a\nb\n\n\\[\nx\n\\]\nc", every_line=True) == ("a\n", "b\n\n", "\\[\nx\n\\]\n", "c")


@pytest.mark.parametrize(
    "piece", ["\\begin{a}", "\\[", "$$\n\n", "```\n", "\n ", "Step 1: ", "# * > _ ", "\n\n", "\\end{b}\n", "step 1  "]
)
def test_time_to_split_is_linear_in_the_text(piece: str) -> None:
    start = time.process_time()
    split_steps(piece * (400_000 // len(piece)))
    assert time.process_time() - start < 3, "of this process's own time; 0.2 s if linear"


odds = st.lists(st.floats(-60, 60), min_size=1, max_size=30).map(np.array)


@given(odds, st.sampled_from(AGGREGATES))
def test_scores_are_probabilities_and_logits_order_them_alike(log_odds: np.ndarray, aggregate: str) -> None:
    p = aggregate_steps(log_odds, aggregate)
    assert 0 <= p <= 1
    logit = aggregate_steps(log_odds, aggregate, logit=True)
    assert math.isfinite(logit)
    if aggregate in ("min", "last"):
        assert p == pytest.approx(1 / (1 + math.exp(-logit)))
    if aggregate == "product":
        assert p == pytest.approx(math.exp(logit))


def test_aggregates_by_hand() -> None:
    log_odds = np.log(np.array([0.9, 0.5, 0.8]) / np.array([0.1, 0.5, 0.2]))
    np.testing.assert_allclose(probability(log_odds), [0.9, 0.5, 0.8])
    assert [aggregate_steps(log_odds, how) for how in ("min", "mean", "last", "product")] == pytest.approx(
        [0.5, 2.2 / 3, 0.8, 0.36]
    )
    assert aggregate_steps(log_odds, "min", logit=True) == pytest.approx(0)
    assert aggregate_steps(log_odds, "mean", logit=True) == pytest.approx((math.log(9) + math.log(4)) / 3)
    assert aggregate_steps(log_odds, "product", logit=True) == pytest.approx(math.log(0.36))


def test_product_of_many_steps_keeps_its_order_in_logits_where_probabilities_underflow() -> None:
    few, many = np.full(2_000, -1.0), np.full(3_000, -1.0)
    assert aggregate_steps(few, "product") == aggregate_steps(many, "product") == 0
    assert aggregate_steps(many, "product", logit=True) < aggregate_steps(few, "product", logit=True) < 0


def test_no_steps_have_no_score_and_unknown_aggregates_are_refused() -> None:
    for aggregate in AGGREGATES:
        assert math.isnan(aggregate_steps(np.empty(0), aggregate))
    with pytest.raises(InputError, match="choose one of min, mean, last, product"):
        check_aggregate("max")


@pytest.mark.parametrize("name", ["processbench_gsm8k", "processbench_math"])
def test_the_steps_of_processbench_are_mostly_found_again(name: str) -> None:
    path = Path("../shared/data") / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    same = np.mean([len(split_steps(row["response"])) == len(row["steps"]) for row in rows])
    assert same > 0.9
