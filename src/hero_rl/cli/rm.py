"""`hero rm`: train a reward model, or measure one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import learn, show
from hero_rl.cli.interrupt import closing
from hero_rl.errors import InputError
from hero_rl.part_names import REWARD_MODELS, check_scorer, column_of, names
from hero_rl.parts import make_scorer

HELP = "Train a reward model, or measure one."
TRAIN_HELP = """Train a reward model from labelled rollouts (pairs are made inside each prompt), from given pairs, or both.

Problems are split by their text into training, calibration and held-out ones; `hero verifier train` makes the same split of
the same file. The folder appears when all is well, and `hero score --reward-model local:DIR` reads it.

\b
Examples:
  hero rm train rollouts.jsonl -o my-rm --model ./base
  hero rm train --pairs preferences.jsonl -o my-rm --model ./base
  hero rm train new-rollouts.jsonl -o my-rm-2 --refresh my-rm
"""
EVAL_HELP = """Measure a reward model on problems that it has not seen.

Pair accuracy, AUROC overall and inside mixed prompts, recall at 1% and 5% false positives, calibration of pairs, and
whether it likes length; each with an interval over prompts. Rows on problems that the model was trained on are left out.

\b
Examples:
  hero rm eval my-rm rollouts.jsonl
  hero rm eval column:rm_score rollouts.jsonl --json
"""


def train(
    target: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the new model.")],
    source: Annotated[Path | None, typer.Argument(metavar="ROLLOUTS", help="Labelled rollouts.")] = None,
    model: Annotated[str | None, typer.Option(metavar="BASE", help="Model to start from: a folder or an id.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Pairs with the columns prompt, chosen, rejected.")] = None,
    refresh: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on from this reward model, with its rows.")] = None,
    labels: Annotated[str | None, typer.Option(help=learn.LABELS_HELP)] = None,
    split: Annotated[Path | None, typer.Option(metavar="DIR", help="Model whose split of problems to take over.")] = None,
    held_out_share: Annotated[float, typer.Option(help="Share of problems to grade on.")] = 0.2,
    calibration_share: Annotated[float, typer.Option(help="Share of problems for a verifier's limits.")] = 0.1,
    split_seed: Annotated[int, typer.Option(help="Seed of the split; the same for both kinds of model.")] = 0,
    pairs_per_prompt: Annotated[int, typer.Option(help="Most pairs made from one prompt's rollouts.")] = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the pairs.")] = 1.0,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-5,
    batch_size: Annotated[int, typer.Option(help="Pairs in one step.")] = 16,
    max_length: Annotated[
        int | None, typer.Option(help="Most tokens of prompt and response; longer pairs are left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the pairs, the new head and the order.")] = 0,
    group_by: Annotated[str, typer.Option(help=learn.GROUP_HELP)] = "prompt_id",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run the command (its help text is ``TRAIN_HELP``)."""
    if source is None and pairs is None:
        raise InputError("nothing to learn from: give a file of labelled rollouts, --pairs FILE, or both")
    start = learn.check_train(target, model, refresh)
    from hero_rl.learning import pairs as given
    from hero_rl.learning.reward_model import Sources, earlier_sources, train_reward_model
    from hero_rl.learning.splits import SplitSettings
    from hero_rl.learning.training import TrainSettings

    settings = TrainSettings(
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_length=max_length, seed=seed
    )
    splitting = SplitSettings(seed=split_seed, p_held_out=held_out_share, p_calibration=calibration_share)
    before = earlier_sources(refresh) if refresh else Sources([], [])
    began = time.perf_counter()
    added: dict[str, object] = {}
    with show.progress_bar() as bar:
        rows = list(before.rows)
        if source is not None:
            who = learn.make_labels(labels, source, group_by, rules_allowed=refresh is not None)
            with closing(who.verifier):
                new = learn.read_new(source, who, rows, bar)
            rows = new.rows
            added |= {"added": new.added, "undecided": new.undecided, "left_out_learned": new.learned}
        new_pairs = given.read_pairs(pairs) if pairs else []
        all_pairs = list(dict.fromkeys([*before.pairs, *new_pairs]))
        rollouts = [*(row.rollout for row in rows), *map(given.as_rollout, all_pairs)]
        dealt = learn.split_for(rollouts, splitting, refresh=refresh, beside=split)
        with learn.quiet():
            facts = train_reward_model(
                Sources(rows, all_pairs), dealt, start, target, settings=settings, max_pairs_per_prompt=pairs_per_prompt,
                progress=bar,
            )  # fmt: skip
    result = {"output": str(target), **facts, **added, "seconds": round(time.perf_counter() - began, 3)}
    if as_json:
        show.print_json(result)
        return
    names = ("rows", "pairs", "pairs_too_long", "prompts_with_pairs", "prompts_without_pairs", "share_chosen_longer", "steps",
             "loss", "held_out_pairs", "held_out_pair_accuracy", "seconds")  # fmt: skip
    show.print_table(f"reward model: {target}", [(name.replace("_", " "), _shown(result[name])) for name in names], right=True)


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, local:PATH, column:NAME or another reward model.")],
    source: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="Labelled rollouts.")],
    labels: Annotated[str | None, typer.Option(help=learn.LABELS_HELP)] = None,
    unseen_by: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Leave out what this model learned from, too; repeatable.")
    ] = None,
    include_trained: Annotated[bool, typer.Option("--include-trained", help="Grade on what it learned from as well.")] = False,
    draws: Annotated[int, typer.Option(help="Draws of the bootstrap over prompts.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    group_by: Annotated[str, typer.Option(help=learn.GROUP_HELP)] = "prompt_id",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run the command (its help text is ``EVAL_HELP``)."""
    from hero_rl.learning.evaluation import EvalSettings, evaluate_scores
    from hero_rl.learning.labelled import read_labelled

    spec = f"local:{model}" if Path(model).expanduser().is_dir() else model
    if ":" not in spec:
        raise InputError(f"{model}: no such folder; give one, or one of {names(REWARD_MODELS)}")
    check_scorer(spec)
    settings = EvalSettings(draws=draws, seed=seed)
    who = learn.make_labels(labels, source, group_by, rules_allowed=False, score_columns=column_of(spec))
    with closing(who.verifier), show.progress_bar() as bar:
        found = read_labelled(source, who.verifier, columns=who.columns, source=who.source, progress=bar)
        folder = spec.removeprefix("local:") if spec.startswith("local:") else ""
        graded = learn.rows_to_grade(found.rows, folder, unseen_by or [], include_trained)
        with learn.quiet(models=not column_of(spec)):
            scorer = make_scorer(spec)
            scores = scorer.score([row.rollout for row in graded.rows])
            scorer.close()
        report = evaluate_scores(graded.rows, scores, settings)
    facts = {"model": scorer.name, "undecided": found.undecided, **graded.facts}
    learn.print_report(f"{scorer.name} on {source}", report, facts, settings, as_json)


def _shown(value: object) -> str:
    return show.number(value) if isinstance(value, float) or value is None else str(value)


train.__doc__, evaluate.__doc__ = TRAIN_HELP, EVAL_HELP
COMMANDS = {"train": train, "eval": evaluate}
