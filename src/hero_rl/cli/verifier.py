"""`hero verifier`: train a small learned verifier, or measure one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import learn, show
from hero_rl.cli.interrupt import closing
from hero_rl.errors import InputError
from hero_rl.part_names import VERIFIERS, names
from hero_rl.parts import make_verifier
from hero_rl.types import Verifier

HELP = "Train a small learned verifier, or measure one."
TRAIN_HELP = """Train a small verifier that reads problem, reference and final answer, and says whether they agree.

Beside the responses' own answers it learns from other ways to write each reference and from spoilt ones; the maths verifier
has a veto over both. Its limits are chosen on problems of their own, at the rates of --fpr and --fnr. With --refresh, a
file without labels is labelled by the maths verifier; where that abstains, nothing is learned.

\b
Examples:
  hero verifier train rollouts.jsonl -o my-verifier --model ./base
  hero verifier train new-rollouts.jsonl -o my-verifier-2 --refresh my-verifier
"""
EVAL_HELP = """Measure a verifier on problems that it has not seen.

How much it decides and how much of that is right, precision, recall and error rates; for a learned verifier also pair
accuracy, AUROC, recall at 1% and 5% false positives, calibration, and whether it likes length; each with an interval over
prompts. Rows on problems that the model was trained or calibrated on are left out.

\b
Examples:
  hero verifier eval my-verifier rollouts.jsonl
  hero verifier eval math rollouts.jsonl --json
"""


def train(
    source: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="Labelled rollouts.")],
    target: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the new model.")],
    model: Annotated[str | None, typer.Option(metavar="BASE", help="Model to start from: a folder or an id.")] = None,
    refresh: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on from this verifier, with its rows.")] = None,
    labels: Annotated[str | None, typer.Option(help=learn.LABELS_HELP)] = None,
    split: Annotated[Path | None, typer.Option(metavar="DIR", help="Model whose split of problems to take over.")] = None,
    held_out_share: Annotated[float, typer.Option(help="Share of problems to grade on.")] = 0.2,
    calibration_share: Annotated[float, typer.Option(help="Share of problems to choose the limits on.")] = 0.1,
    split_seed: Annotated[int, typer.Option(help="Seed of the split; the same for both kinds of model.")] = 0,
    rewrites: Annotated[int, typer.Option(help="Other ways to write a reference, per problem.")] = 4,
    corruptions: Annotated[int, typer.Option(help="Spoilt references, per problem.")] = 4,
    fpr: Annotated[float, typer.Option(help="Largest share of different answers to accept.")] = 0.01,
    fnr: Annotated[float, typer.Option(help="Largest share of equivalent answers to reject.")] = 0.05,
    epochs: Annotated[float, typer.Option(help="Passes over the examples.")] = 2.0,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-5,
    batch_size: Annotated[int, typer.Option(help="Examples in one step.")] = 32,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of an example; longer ones are left out.")] = None,
    seed: Annotated[int, typer.Option(help="Of the examples, the new head and the order.")] = 0,
    group_by: Annotated[str, typer.Option(help=learn.GROUP_HELP)] = "prompt_id",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run the command (its help text is ``TRAIN_HELP``)."""
    start = learn.check_train(target, model, refresh)
    from hero_rl.learning.examples import ExampleSettings
    from hero_rl.learning.splits import SplitSettings
    from hero_rl.learning.training import TrainSettings
    from hero_rl.learning.verifier_model import VerifierSettings, earlier_rows, train_verifier

    for name, rate in (("--fpr", fpr), ("--fnr", fnr)):
        if not 0.0 < rate < 1.0:
            raise InputError(f"{name} {rate:g}: must lie in (0, 1); it is a share of answers")
    settings = VerifierSettings(
        train=TrainSettings(
            epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_length=max_length, seed=seed
        ),
        examples=ExampleSettings(rewrites=rewrites, corruptions=corruptions),
        p_fpr=fpr,
        p_fnr=fnr,
    )
    splitting = SplitSettings(seed=split_seed, p_held_out=held_out_share, p_calibration=calibration_share)
    before = earlier_rows(refresh) if refresh else []
    began = time.perf_counter()
    maths = _maths()
    who = learn.make_labels(labels, source, group_by, rules_allowed=refresh is not None)
    with closing(maths), closing(who.verifier), show.progress_bar() as bar:
        new = learn.read_new(source, who, before, bar)
        dealt = learn.split_for([row.rollout for row in new.rows], splitting, refresh=refresh, beside=split)
        with learn.quiet():
            facts = train_verifier(new.rows, dealt, start, target, maths=maths, settings=settings, progress=bar)
    result = {
        "output": str(target), **facts, "added": new.added, "undecided": new.undecided, "left_out_learned": new.learned,
        "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip
    _print_trained(target, result, as_json)


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, learned:PATH or any other verifier.")],
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
    from hero_rl.learning.evaluation import EvalSettings, evaluate_verdicts
    from hero_rl.learning.labelled import check_both_classes, read_labelled
    from hero_rl.verifiers.learned import LearnedVerifier

    settings = EvalSettings(draws=draws, seed=seed)
    folder = _folder(model)
    who = learn.make_labels(labels, source, group_by, rules_allowed=False)
    with learn.quiet(models=bool(folder)):
        verifier: Verifier | None = LearnedVerifier(folder) if folder else make_verifier(model)
    if verifier is None:
        raise InputError("none: there is nothing to measure; give a verifier")
    with closing(who.verifier), closing(verifier), show.progress_bar() as bar:
        found = read_labelled(source, who.verifier, columns=who.columns, source=who.source, progress=bar)
        graded = learn.rows_to_grade(found.rows, folder, unseen_by or [], include_trained)
        check_both_classes(graded.rows, source)
        rollouts = [row.rollout for row in graded.rows]
        with learn.quiet(models=bool(folder)):
            verdicts = verifier.verify(rollouts)
            logits = verifier.logits(rollouts) if isinstance(verifier, LearnedVerifier) else None
        report = evaluate_verdicts(graded.rows, verdicts, logits, settings)
    facts = {
        "model": verifier.name, "undecided": found.undecided, "failures": sum(one.failed for one in verdicts), **graded.facts,
    }  # fmt: skip
    learn.print_report(f"{verifier.name} on {source}", report, facts, settings, as_json)


def _maths() -> Verifier:
    verifier = make_verifier("math")
    assert verifier is not None
    return verifier


def _folder(model: str) -> str:
    """The folder of a learned verifier; "" for other verifiers."""
    if model.startswith("learned:"):
        return model.removeprefix("learned:")
    if Path(model).expanduser().is_dir():
        return model
    if model.partition(":")[0] not in VERIFIERS:
        raise InputError(f"{model}: no such folder and no verifier; give a folder, or one of {names(VERIFIERS)}")
    return ""


def _print_trained(target: Path, result: dict[str, object], as_json: bool) -> None:
    limits, held_out = result["limits"], result["held_out"]
    assert isinstance(limits, dict)
    assert isinstance(held_out, dict)
    if not limits["enough"]:
        show.warn(
            f"the calibration problems give {limits['negatives']} different and {limits['positives']} equivalent answers, too "
            "few for the rates asked for: the limits are the most extreme answers seen; give more problems"
        )
    if as_json:
        show.print_json(result)
        return
    names = ("rows", "examples", "examples_too_long", "vetoed_examples", "contradictory_answers", "steps", "loss")
    rows = [(name.replace("_", " "), _shown(result[name])) for name in names]
    rows += [
        ("accepted from (logit)", _shown(limits["accept_above"])),
        ("rejected below (logit)", _shown(limits["reject_below"])),
    ]
    rows += [("unsure, calibration problems", show.percent(limits["p_unsure"]))]
    rows += [("AUROC, held-out problems", _shown(held_out["auroc"])), ("seconds", _shown(result["seconds"]))]
    show.print_table(f"learned verifier: {target}", rows, right=True)
    accepted = [(kind, f"{yes} of {asked}") for kind, (yes, asked) in held_out["accepted"].items()]
    if accepted:
        show.print_table("accepted on held-out problems", accepted, header=("kind", "accepted"), right=True)


def _shown(value: object) -> str:
    return show.number(value) if isinstance(value, float) or value is None else str(value)


train.__doc__, evaluate.__doc__ = TRAIN_HELP, EVAL_HELP
COMMANDS = {"train": train, "eval": evaluate}
