"""The real study's problems, oracle, plan and kept results. What trains is shown by results/real; it takes hours."""

import json
import random
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "benchmarks" / "real_study"))

import study  # noqa: E402
from page import write_report  # noqa: E402
from problems import ASKED, FORMS, KINDS, WRITTEN, draw_form, draw_problem, draw_problems, in_words  # noqa: E402
from runs import step_settings  # noqa: E402
from study import KEPT, read_plan  # noqa: E402

from helpers import tiny  # noqa: E402
from hero_rl import rewards  # noqa: E402
from hero_rl.cli import main  # noqa: E402

PLAN = HERE / "benchmarks" / "real_study" / "plan.toml"


@given(st.integers(), st.sampled_from(KINDS))
def test_a_right_answer_is_right_in_every_form_and_another_number_in_none(seed, kind):
    problem = draw_problem(random.Random(seed), kind)
    for form in FORMS:
        assert problem.is_right(problem.response(form))
        assert not problem.is_right(f"\\boxed{{{problem.write(form, problem.answer + 1)}}}")


def test_the_oracle_asks_for_a_box_and_an_end():
    problem = draw_problem(random.Random(0), "sum")
    assert not problem.is_right(problem.write("digits"))
    assert not problem.is_right(problem.response("digits"), finished=False)


@pytest.mark.parametrize(
    ("value", "words"),
    [(Fraction(0), "zero"), (Fraction(13), "thirteen"), (Fraction(40), "forty"), (Fraction(85, 2), "forty-two and a half"),
     (Fraction(107), "one hundred and seven")],
)  # fmt: skip
def test_numbers_in_words(value, words):
    assert in_words(value) == words


def test_halves_are_right_as_fractions_too():
    problem = next(one for one in draw_problems(600, seed=0) if one.answer == Fraction(9, 2))
    assert all(problem.is_right(f"\\boxed{{{text}}}") for text in ("4.5", "9/2", "4 1/2", f"9/2 {problem.thing}"))
    assert not problem.is_right("\\boxed{9/4}")


def test_a_verifier_that_compares_texts_misses_seven_of_ten_right_answers():
    # WRITTEN . ASKED = .45*.30 + .10*.20 + .25*.30 + .05*.05 + .15*.15 = .255
    expected = sum(w * a for w, a in zip(WRITTEN, ASKED, strict=True)) / 1e4
    assert expected == pytest.approx(0.255)
    rng = random.Random(1)
    problems = draw_problems(4000, seed=5)
    same = sum(one.write(draw_form(rng, WRITTEN)) == one.write(draw_form(rng, ASKED)) for one in problems)
    assert same / len(problems) == pytest.approx(expected, abs=0.04)


def test_problems_are_different_and_apart_from_those_that_must_not_be_met():
    held_out = draw_problems(120, seed=1)
    train = draw_problems(160, seed=2, apart_from=frozenset(one.question for one in held_out))
    questions = [one.question for one in [*held_out, *train]]
    assert len(set(questions)) == len(questions)


def test_the_plan_gives_every_arm_its_first_seed_first():
    plans = read_plan(PLAN)
    seeds = [plan.seed for plan in plans]
    assert seeds == sorted(seeds)
    assert {plan.name for plan in plans if plan.seed == min(seeds)} == {plan.name for plan in plans}


def test_the_rules_and_steps_of_the_plan_are_accepted(tmp_path):
    from hero_rl.engines.trl import HeroConfig

    for plan in read_plan(PLAN):
        rule = rewards.make_rule(plan.rule, plan.settings)
        args = HeroConfig(**step_settings(plan.prompts, plan.group, rule), output_dir=str(tmp_path), use_cpu=True)
        assert args.generation_batch_size == plan.prompts * plan.group


def test_the_command_that_trains_the_reward_model_is_accepted(tmp_path, monkeypatch):
    """The whole of it, on a tiny model in place of minilm and on responses that nobody sampled."""
    for part in (tiny.model(), tiny.tokenizer()):
        part.save_pretrained(tmp_path / "cache" / "models" / "minilm")
    monkeypatch.setenv("HERO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(study, "REWARD_PROBLEMS", 6)
    monkeypatch.setattr(study, "_load", lambda models: (None, None))
    texts = ["\\boxed{no}", "I do not know"]
    sampled = lambda *parts, **_: [[(text, True) for text in (one.response("digits"), *texts)] for one in parts[2]]  # noqa: E731
    monkeypatch.setattr(study, "sample", sampled)
    study._rollouts(tmp_path, tmp_path / "rollouts.jsonl")

    def run(command, check):
        assert command[:3] == [sys.executable, "-m", "hero_rl"]
        assert main(command[3:]) == 0

    monkeypatch.setattr(study.subprocess, "run", run)
    study._reward_model(tmp_path, tmp_path / "reward-model")
    assert (tmp_path / "reward-model" / "config.json").is_file()


@pytest.mark.skipif(not (KEPT / "start.json").is_file(), reason="no results are kept in results/real")
def test_the_page_is_made_from_the_kept_results(tmp_path):
    page = write_report(read_plan(PLAN), [KEPT], tmp_path)
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert "The starting policy" in page.read_text()
    right = json.loads((KEPT / "start.json").read_text())["T=1"]
    assert 0 < sum(right["right_P"]) < 4 * len(right["right_P"])
    assert set(numbers["arms"]) <= {plan.name for plan in read_plan(PLAN)}
