"""`hero audit`: how reliable verifier and reward model are, and which rule helps."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from hero_rl import attacks as attacking
from hero_rl import audit as auditing
from hero_rl.attacks import AttackReport, read_targets
from hero_rl.attacks.page import lead as attack_lead
from hero_rl.audit import Audit, read_table, write_audit
from hero_rl.audit.groups import write_example_groups
from hero_rl.audit.page import GROUPS, lead
from hero_rl.audit.verdicts import Verdicts
from hero_rl.cli import learn, options, show
from hero_rl.cli.interrupt import closing
from hero_rl.config import RewardConfig
from hero_rl.data.rollouts import Columns, rollout_records
from hero_rl.data.tables import label_of
from hero_rl.errors import InputError, MissingDependencyError
from hero_rl.files import locked
from hero_rl.part_names import VERIFIERS, is_import_path
from hero_rl.report import interval
from hero_rl.types import Progress, Verifier

HELP = f"""How reliable verifier and reward model are on a rollouts file, and which rule helps.

Writes report.html, figures and numbers.json to --output. Without options it takes what the file has: the trusted labels in
`correct`, the verdicts in `verdict` (or else the maths verifiers that are installed), the scores in `rm_score`.

\b
Examples:
  hero audit rollouts.jsonl
  hero audit rollouts.jsonl --verifier math --verifier exact --reward-model local:./my-rm -o audit

\b
{options.NAMES}
"""
GRADERS = ("math", "math_verify", "hendrycks")
"""Asked by default where the file has no verdicts of its own: one answer, three opinions."""
PEEK = 64
ATTACKED = 50
"""References that a rule verifier is attacked on: some thousand wrong answers, some seconds."""
LONGEST_ANSWER = 200
NO_SIGNALS = frozenset({"prompt_id", "reference", "step", "finished", "tolerance", "error", "ordered"})
"""Columns whose numbers are neither labels nor scores."""


@options.spread
def audit(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rollouts.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder of the report; default: audit-IN.")
    ] = None,
    verifier: Annotated[list[str] | None, typer.Option(help="Repeatable; the first is the rule's.")] = None,
    reward_model: Annotated[list[str] | None, typer.Option(help="Repeatable; the first is the rule's.")] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--labels", "--label", help="Trusted labels: column:NAME, or none; default: the column correct, if there."
        ),
    ] = None,
    reward: options.RewardFile = None,
    rule: options.RuleName = None,
    policy: options.Policy = None,
    alpha: options.Alpha = None,
    beta: options.Beta = None,
    assignments: options.Assignments = None,
    *,
    reading: options.Reading,
    group_by: options.Prompts = None,
    bare_answers: Annotated[
        bool | None, typer.Option("--bare-answers/--full-responses", help="Responses are answers alone; default: detected.")
    ] = None,
    attack: Annotated[
        int | None, typer.Option(help="References to attack a verifier on; default: 50 of a rule verifier, 0: none.", min=0)
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Run the command (its help text is ``HELP``)."""
    columns = reading.columns(source, group_by or "prompt_id")
    first = [record.values for record in islice(rollout_records(source, columns), PEEK)]
    config = _config(first[0], reward, assignments, verifier, reward_model, rule=rule, policy=policy, alpha=alpha, beta=beta)
    _note_unread(source, first[0], label=label or "correct" in first[0], score=config.reward_model is not None)
    label = _label(label, first[0])
    folder = output or Path(f"audit-{label_of(source).split('.')[0]}")
    show.check_folder("--output", folder)
    judged, scored = _verifiers(config, verifier, first[0]), _reward_models(config, reward_model)
    own = any(is_import_path(one.verifier["name"], VERIFIERS) for one in judged)  # reads responses in a way of its own
    boxed = _are_bare(first) and not own if bare_answers is None else bare_answers
    columns = replace(
        columns,
        needs_reference=any(map(options.needs_references, judged)),
        labels=tuple(dict.fromkeys(name for one in judged for name in one.label_columns())),
        scores=tuple(dict.fromkeys(name for one in scored for name in one.score_columns())),
    )
    if label is not None:
        learn.check_apart(label, (*columns.labels, *columns.scores))
        columns = replace(columns, labels=(*columns.labels, label))
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder))
        bar = stack.enter_context(show.progress_bar())
        judges = _open_verifiers(stack, judged, chosen=config.is_named("verifier"))
        scorers = [
            stack.enter_context(contextlib.closing(scorer)) for one in scored if (scorer := one.make_scorer()) is not None
        ]
        table = read_table(source, judges, scorers, label=label, columns=columns, boxed=boxed, progress=bar)
        fooled = _attack(source, columns, judges, attack, bar)
        found = auditing.audit(table, config.rule, attack=fooled)
        first = judges[0] if judges else None
        links = write_example_groups(folder / GROUPS, source, table, first, columns=columns, boxed=boxed)
        page = write_audit(folder, found, source=label_of(source), command=show.command_line(), links=links)
    if as_json:
        show.print_json(
            {
                "report": str(page),
                "reward": config.resolved(),
                "seconds": round(time.perf_counter() - start, 2),
                **found.to_json(),
            }
        )
        return
    _print(found, page, boxed=boxed and bare_answers is None)


def _attack(
    source: Path, columns: Columns, judges: Sequence[Verifier], asked: int | None, bar: Progress
) -> AttackReport | None:
    """Attack the first verifier that reads answers; a model only if it was asked for, for it may cost money."""
    reading = [judge for judge in judges if "column:" not in judge.name]
    if asked is None:
        reading = [judge for judge in reading if not judge.learned]
    if not reading or asked == 0:
        return None
    try:
        targets = read_targets(source, columns, limit=ATTACKED if asked is None else asked)
    except InputError:
        return None  # the rows were checked before: every reference is empty
    return attacking.attack(reading[0], targets, max_failure_rate=1.0, progress=bar)


def _note_unread(source: Path, first: Mapping[str, object], *, label: object, score: object) -> None:
    """Name the columns of numbers that may be the labels or scores that the audit does without."""
    lacks = [name for name, found in (("correct", label), ("rm_score", score)) if not found]
    numbers = [name for name, value in first.items() if isinstance(value, int | float) and name not in NO_SIGNALS]
    if lacks and numbers and "verdict" not in first:  # with it, they are what `hero score` wrote
        hint = ",".join(f"{name}=COLUMN" for name in lacks)
        show.note(f"{source}: not read: {', '.join(numbers)}; where one is a label or a score, say so with --columns {hint}")


def _label(asked: str | None, first: Mapping[str, object]) -> str | None:
    if asked == "none":
        return None
    if asked is None:
        return "correct" if "correct" in first else None
    return asked.removeprefix("column:")


def _config(
    first: Mapping[str, object], reward: Path | None, assignments: list[str] | None, verifiers: list[str] | None,
    models: list[str] | None, **flags: Any,
) -> RewardConfig:  # fmt: skip
    """Return the reward of the flags, whose verifier and reward model are the first of each; columns of the file by default."""
    config = options.load(
        reward, assignments, signals=False, verifier=(verifiers or [None])[0], reward_model=(models or [None])[0], **flags
    )
    if not config.is_named("verifier"):
        config = config.with_verifier("column:verdict" if "verdict" in first else GRADERS[0])
    if not config.is_named("reward_model") and "rm_score" in first:
        config = config.with_reward_model("column:rm_score")
    return config


def _verifiers(config: RewardConfig, names: list[str] | None, first: Mapping[str, object]) -> list[RewardConfig]:
    """Return a reward per verifier to measure: the reward's own, with its fallback and without; and the others."""
    if config.verifier["name"] == "none":
        return []
    others = (names or [])[1:] if config.is_named("verifier") else (() if "verdict" in first else GRADERS[1:])
    own = [config, config.without_fallback()] if config.verifier.get("fallback") else [config]
    return own + [config.with_verifier(name) for name in others]


def _reward_models(config: RewardConfig, names: list[str] | None) -> list[RewardConfig]:
    return [config] * (config.reward_model is not None) + [config.with_reward_model(name) for name in (names or [])[1:]]


def _open_verifiers(stack: contextlib.ExitStack, judged: Sequence[RewardConfig], *, chosen: bool) -> list[Verifier]:
    judges: list[Verifier] = []
    for one in judged:
        try:
            judges.append(one.need_verifier())
        except MissingDependencyError:
            if chosen:
                raise
            continue  # a default that is not installed
        stack.enter_context(closing(judges[-1]))
    return judges


def _are_bare(rows: Sequence[Mapping[str, object]]) -> bool:
    """Return whether the responses look like answers alone: short, on one line, without a box and without the word."""
    responses = [str(row.get("response", "")).lower() for row in rows]
    marks = ("boxed", "\n", "answer")
    return all(len(text) <= LONGEST_ANSWER and not any(mark in text for mark in marks) for text in responses)


def _print(found: Audit, page: Path, *, boxed: bool) -> None:
    sys.stdout.write(lead(found) + "\n")
    _print_rules(found.verdicts)
    if boxed:
        sys.stdout.write(
            "The responses look like bare answers, so each was put in a box (--full-responses: leave them as they are).\n"
        )
    if found.verifiers:
        rows = [
            (v.name, interval(v.recall), interval(v.precision), interval(v.fpr), interval(v.accuracy), interval(v.coverage))
            for v in found.verifiers
        ]
        show.print_table("verifiers", rows, header=("", "recall", "precision", "FPR", "accuracy", "decides"))
    if found.attack:
        sys.stdout.write(f"Attack: {attack_lead(found.attack)}\n")
    if found.reward_models:
        rows = [
            (
                m.name,
                m.within.ranks,
                interval(m.within.mean),
                interval(m.overall),
                str(m.within.prompts),
                show.number(m.length_bias),
            )
            for m in found.reward_models
        ]
        header = ("", "ranks", "AUROC inside prompts", "overall", "mixed prompts", "length bias")
        show.print_table(f"reward models, against {found.reward_models[0].truth}", rows, header=header)
    if found.groups:
        groups = found.groups
        rows = [
            ("mixed", show.percent(groups.mixed)), ("all correct", show.percent(groups.all_correct)),
            ("all wrong", show.percent(groups.all_wrong)), ("no gradient, verifier alone", show.percent(groups.zero_gradient)),
        ]  # fmt: skip
        if found.rule:
            rows.append((f"no gradient, {found.rule.rule}", show.percent(found.rule.groups.zero_gradient)))
        show.print_table("prompts", rows, right=True)
    if found.advice:
        show.print_notes("What to do", [(f"{a.about}: {a.value}", a.reason) for a in found.advice])
    for sign in found.signs:
        show.warn(f"{sign.what}: {sign.evidence}")
    for reason in found.unknown:
        sys.stdout.write(f"Cannot say: {reason}.\n")
    sys.stdout.write(f"Report: {page}\n")


def _print_rules(verdicts: Verdicts | None) -> None:
    if verdicts is not None and verdicts.rules and not verdicts.scores_problem:
        rows = [(v.rule, v.says, interval(v.working), interval(v.pressure)) for v in verdicts.rules]
        show.print_table("rules", rows, header=("", "verdict", "working rollouts", "pressure"))
