"""`hero verifier`: train a small learned verifier, or measure one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hero_rl.cli import learn, options, show
from hero_rl.cli.interrupt import closing
from hero_rl.errors import InputError
from hero_rl.learning.evaluation import EvalSettings, evaluate_verdicts
from hero_rl.learning.labelled import LabelledRow
from hero_rl.part_names import VERIFIERS, column_of, names
from hero_rl.parts import make_verifier
from hero_rl.types import Verifier

HELP = "Train a small learned verifier, or measure one."


@options.spread
def train(
    source: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="Labelled rollouts.")],
    chosen: learn.TrainOptions,
    reading: options.Reading,
    rewrites: Annotated[int, typer.Option(help="Other ways to write a reference, per problem.")] = 4,
    corruptions: Annotated[int, typer.Option(help="Spoilt references, per problem and reference.")] = 4,
    fpr: Annotated[float, typer.Option(help="Largest share of different answers to accept.")] = 0.01,
    fnr: Annotated[float, typer.Option(help="Largest share of equivalent answers to reject.")] = 0.05,
    epochs: Annotated[float, typer.Option(help="Passes over the examples.")] = 2.0,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-5,
    batch_size: Annotated[int, typer.Option(help="Examples in one step.")] = 32,
) -> None:
    """Train a small verifier that reads problem, reference and final answer, and says whether they agree.

    Beside the responses' own answers it learns from other ways to write each reference and from spoilt ones; the maths verifier
    has a veto over both. Its limits are chosen on problems of their own, at the rates of --fpr and --fnr. With --refresh, a
    file without labels is labelled by the maths verifier; where that abstains, nothing is learned.

    \b
    Examples:
      hero verifier train rollouts.jsonl -o my-verifier --model ./base
      hero verifier train new-rollouts.jsonl -o my-verifier-2 --refresh my-verifier
    """  # noqa: D301  # \b is meant: it keeps the lines of the examples apart
    start = chosen.start()
    from hero_rl.learning.examples import ExampleSettings
    from hero_rl.learning.training import TrainSettings
    from hero_rl.learning.verifier_model import VerifierSettings, earlier_rows, train_verifier

    for name, rate in (("--fpr", fpr), ("--fnr", fnr)):
        if not 0.0 < rate < 1.0:
            raise InputError(f"{name} {rate:g}: must lie in (0, 1); it is a share of answers")
    settings = VerifierSettings(
        train=TrainSettings(
            epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_length=chosen.max_length, seed=chosen.seed
        ),
        examples=ExampleSettings(rewrites=rewrites, corruptions=corruptions),
        p_fpr=fpr,
        p_fnr=fnr,
    )
    chosen.dealing()  # refused now, if it is wrong
    before = earlier_rows(chosen.refresh) if chosen.refresh else []
    began = time.perf_counter()
    maths = make_verifier("math")
    assert maths is not None
    with closing(maths), show.progress_bar() as bar:
        columns = reading.columns(source, chosen.group_by or "prompt_id")
        rows, counts = chosen.read(source, columns, before, bar)
        dealt = chosen.deal([row.rollout for row in rows])
        with learn.quiet():
            facts = train_verifier(rows, dealt, start, chosen.target, maths=maths, settings=settings, progress=bar)
    _print_trained(chosen, {"output": str(chosen.target), **facts, **counts, "seconds": learn.since(began)})


@options.spread
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, learned:PATH or any other verifier.")],
    source: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="Labelled rollouts.")],
    chosen: learn.EvalOptions,
    reading: options.Reading,
) -> None:
    """Measure a verifier on problems that it has not seen.

    How much it decides and how much of that is right, precision, recall and error rates; for a learned verifier also pair
    accuracy, AUROC, recall at 1% and 5% false positives, calibration, and whether it likes length; each with an interval over
    prompts. Rows on problems that the model was trained or calibrated on are left out.

    \b
    Examples:
      hero verifier eval my-verifier rollouts.jsonl
      hero verifier eval math rollouts.jsonl --json
    """  # noqa: D301  # \b is meant: it keeps the lines of the examples apart
    from hero_rl.learning.labelled import check_both_classes
    from hero_rl.verifiers.learned import LearnedVerifier

    folder = _folder(model)
    with learn.quiet(models=bool(folder)):
        verifier: Verifier | None = LearnedVerifier(folder) if folder else make_verifier(model)
    if verifier is None:
        raise InputError("none: there is nothing to measure; give a verifier")

    def measure(rows: list[LabelledRow], settings: EvalSettings) -> learn.Measured:
        check_both_classes(rows, source)
        rollouts = [row.rollout for row in rows]
        with learn.quiet(models=bool(folder)):
            verdicts = verifier.verify(rollouts)
            logits = verifier.logits(rollouts) if isinstance(verifier, LearnedVerifier) else None
        report = evaluate_verdicts(rows, verdicts, logits, settings)
        return learn.Measured(verifier.name, report, {"failures": sum(one.failed for one in verdicts)})

    with closing(verifier):
        learn.evaluate(source, reading, chosen, folder, measure, measured=column_of(model))


def _folder(model: str) -> str:
    """Return the folder of a learned verifier; "" for other verifiers."""
    if model.startswith("learned:"):
        return model.removeprefix("learned:")
    if Path(model).expanduser().is_dir():
        return model
    if model.partition(":")[0] not in VERIFIERS:
        raise InputError(f"{model}: no such folder and no verifier; give a folder, or one of {names(VERIFIERS)}")
    return ""


def _print_trained(chosen: learn.TrainOptions, result: dict[str, object]) -> None:
    limits, held_out = result["limits"], result["held_out"]
    assert isinstance(limits, dict)
    assert isinstance(held_out, dict)
    if not limits["enough"]:
        show.warn(
            f"the calibration problems give {limits['negatives']} different and {limits['positives']} equivalent answers, too "
            "few for the rates asked for: the limits are the most extreme answers seen; give more problems"
        )
    if chosen.as_json:
        show.print_json(result)
        return
    names = ("rows", "examples", "examples_too_long", "vetoed_examples", "contradictory_answers", "steps", "loss")
    rows = [(name.replace("_", " "), learn.shown(result[name])) for name in names]
    rows += [
        ("accepted from (logit)", learn.shown(limits["accept_above"])),
        ("rejected below (logit)", learn.shown(limits["reject_below"])),
    ]
    rows += [("unsure, calibration problems", show.percent(limits["p_unsure"]))]
    rows += [*learn.held_out_rows(held_out), ("seconds", learn.shown(result["seconds"]))]
    show.print_table(f"learned verifier: {chosen.target}", rows, right=True)
    accepted = [(kind, f"{yes} of {asked}") for kind, (yes, asked) in held_out["accepted"].items()]
    if accepted:
        show.print_table("accepted on held-out problems", accepted, header=("kind", "accepted"), right=True)
    learn.print_verdict(held_out)


COMMANDS = {"train": train, "eval": evaluate}
