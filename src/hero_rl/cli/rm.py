"""`hero rm`: train a reward model, or measure one."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated, cast

import typer

from hero_rl.cli import learn, options, show
from hero_rl.errors import InputError, check_choice
from hero_rl.learning.evaluation import EvalSettings, evaluate_scores
from hero_rl.learning.labelled import LabelledRow, with_solutions
from hero_rl.part_names import REWARD_MODELS, check_scorer, column_of, names
from hero_rl.parts import make_scorer

HELP = "Train a reward model, or measure one."


@options.spread
def train(
    chosen: learn.TrainOptions,
    reading: options.Reading,
    source: Annotated[Path | None, typer.Argument(metavar="ROLLOUTS", help="Labelled rollouts.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Pairs with the columns prompt, chosen, rejected.")] = None,
    learn_from: Annotated[
        str | None, typer.Option(help="pairs or labels; default: pairs, unless most responses are to prompts without a pair.")
    ] = None,
    solutions: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A right solution, for prompts without a right response.")
    ] = None,
    pairs_per_prompt: Annotated[int, typer.Option(help="Most pairs made from one prompt's rollouts.")] = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the pairs.")] = 1.0,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-5,
    batch_size: Annotated[int, typer.Option(help="Pairs in one step.")] = 16,
) -> None:
    """Train a reward model from labelled rollouts, from given pairs, or both.

    Pairs are made inside each prompt. Where most responses are to prompts that have only right or only wrong ones, it learns
    from the labels of single responses instead (--learn-from says which).

    Problems are split by their text into training, calibration and held-out ones; `hero verifier train` makes the same split of
    the same file. The folder appears when all is well, and `hero score --reward-model local:DIR` reads it.

    \b
    Examples:
      hero rm train rollouts.jsonl -o my-rm --model ./base
      hero rm train --pairs preferences.jsonl -o my-rm --model ./base
      hero rm train new-rollouts.jsonl -o my-rm-2 --refresh my-rm
    """  # noqa: D301  # \b is meant: it keeps the lines of the examples apart
    if source is None and pairs is None:
        raise InputError("nothing to learn from: give a file of labelled rollouts, --pairs FILE, or both")
    if learn_from is not None:
        check_choice("--learn-from", learn_from, ("pairs", "labels"))
    start = chosen.start()
    from hero_rl.learning import pairs as given
    from hero_rl.learning.reward_model import Objective, Sources, earlier_sources, train_reward_model
    from hero_rl.learning.training import TrainSettings

    settings = TrainSettings(
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_length=chosen.max_length, seed=chosen.seed
    )
    chosen.dealing()  # refused now, if it is wrong
    before = earlier_sources(chosen.refresh) if chosen.refresh else Sources([], [])
    began = time.perf_counter()
    with show.progress_bar() as bar:
        rows, counts = before.rows, {}
        if source is not None:
            columns = reading.columns(source, chosen.group_by or "prompt_id", needs_reference=False)
            rows, counts = chosen.read(source, columns, before.rows, bar)
            rows = with_solutions(rows, solutions) if solutions else rows
        new_pairs = given.read_pairs(pairs) if pairs else []
        all_pairs = list(dict.fromkeys([*before.pairs, *new_pairs]))
        dealt = chosen.deal([*(row.rollout for row in rows), *map(given.as_rollout, all_pairs)])
        with learn.quiet():
            facts = train_reward_model(
                Sources(list(rows), all_pairs), dealt, start, chosen.target, settings=settings,
                max_pairs_per_prompt=pairs_per_prompt, objective=cast("Objective | None", learn_from), progress=bar,
            )  # fmt: skip
    result = {"output": str(chosen.target), **facts, **counts, "seconds": learn.since(began)}
    if chosen.as_json:
        show.print_json(result)
        return
    names = ("rows", "learned_from", "pairs", "responses", "too_long", "prompts_with_pairs", "prompts_without_pairs",
             "share_chosen_longer", "steps", "loss", "seconds")  # fmt: skip
    rows = [(name.replace("_", " "), learn.shown(result[name])) for name in names if name in result]
    held_out = cast("dict[str, object]", facts["held_out"])
    rows += learn.held_out_rows(held_out)
    show.print_table(f"reward model: {chosen.target}", rows, right=True)
    learn.print_verdict(held_out)
    if facts["advice"]:
        show.warn(str(facts["advice"]))


@options.spread
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, local:PATH, column:NAME or another reward model.")],
    source: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="Labelled rollouts.")],
    chosen: learn.EvalOptions,
    reading: options.Reading,
) -> None:
    """Measure a reward model on problems that it has not seen.

    Pair accuracy, AUROC overall and inside mixed prompts, recall at 1% and 5% false positives, calibration of pairs, and
    whether it likes length; each with an interval over prompts. Rows on problems that the model was trained on are left out.

    \b
    Examples:
      hero rm eval my-rm rollouts.jsonl
      hero rm eval column:rm_score rollouts.jsonl --json
    """  # noqa: D301  # \b is meant: it keeps the lines of the examples apart
    spec = f"local:{model}" if Path(model).expanduser().is_dir() else model
    if ":" not in spec:
        raise InputError(f"{model}: no such folder; give one, or one of {names(REWARD_MODELS)}")
    check_scorer(spec)
    columns = column_of(spec)

    def measure(rows: list[LabelledRow], settings: EvalSettings) -> learn.Measured:
        with learn.quiet(models=not columns), contextlib.closing(make_scorer(spec)) as scorer:
            scores = scorer.score([row.rollout for row in rows])
        return learn.Measured(scorer.name, evaluate_scores(rows, scores, settings), {})

    folder = spec.removeprefix("local:") if spec.startswith("local:") else ""
    learn.evaluate(source, reading, chosen, folder, measure, score_columns=columns, measured=columns, needs_reference=False)


COMMANDS = {"train": train, "eval": evaluate}
