"""Problems with generated solutions to sets of problems: as the paper splits them, and by cause.

The paper: one generated solution a problem is checked by a rule verifier. A random 2,000 problems whose solution passes are
"easy to verify", a random 2,000 whose solution fails "hard to verify", and a mixed set has 1,000 of each.

A solution fails for different reasons, and only some of them are about verifying. So each problem also has a cause:

    reference_unverifiable    the rules cannot tell whether an answer equals this reference, whatever the answer
    verifier_abstains         no solution passed, and on at least one the verifier could not tell
    never_solved              no solution passed, and the verifier is sure of it: simply wrong, or too hard
    sometimes_solved          some solutions passed, others did not
    always_solved             all passed

The first cause that applies counts. The file is read three times (checked, verified, written); a few hundred bytes a problem
stay in memory, and no text. Which solution is "the" solution of a problem, and which problems are chosen, is drawn from the
seed and the texts, so that the order of the rows does not matter.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias, get_args

from hero_rl.data.judged import chunks, count_rows, judged, verifier_facts
from hero_rl.data.lines import LineWriter, check_not_input, open_lines
from hero_rl.data.manifest import JUDGES, file_facts, versions, write_manifest
from hero_rl.data.problem_text import draw, problem_digest, tidy_text
from hero_rl.data.problems import json_line
from hero_rl.data.rollouts import Columns, Row, read_rollouts
from hero_rl.data.spool import Spool
from hero_rl.errors import InputError
from hero_rl.files import replacing, unchanged
from hero_rl.types import Progress, Rollout, Verdict, Verifier

By: TypeAlias = Literal["paper", "cause"]
Cause: TypeAlias = Literal["reference_unverifiable", "verifier_abstains", "never_solved", "sometimes_solved", "always_solved"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
PAPER_SETS = ("verifiable", "hard_to_verify", "mixed")
MANIFEST = "manifest.json"


class ReferenceChecker(Protocol):
    """Says which references can be verified: ``hero_rl.verifiers.MathVerifier``."""

    def verify_reference(self, rollouts: list[Rollout], /) -> list[Verdict]:
        """Correct where an equal answer would be found equal, else an abstention with its reason."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """Which sets, and how large."""

    by: By = "paper"
    easy: int = 2000
    """Most problems that pass (paper, App. A.2.2)."""
    hard: int = 2000
    """Most problems that fail."""
    mixed: int = 2000
    """Most problems of the mixed set, half of them from each of the other two (paper, section 4.1: 1k + 1k)."""
    seed: int = 0
    max_failure_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise InputError(f"--by {self.by}: unknown; choose one of {', '.join(get_args(By))}")
        for name, value in (("easy", self.easy), ("hard", self.hard), ("mixed", self.mixed)):
            if value < 0:
                raise InputError(f"--{name} {value}: must be at least 0")


class SplitSummary(NamedTuple):
    """What ``split`` did."""

    rows: int
    prompts: int
    sets: dict[str, int]
    """Problems written, by set."""
    causes: dict[str, dict[str, int]]
    """By cause: prompts in ``all``, in ``passes`` and ``fails`` (the drawn solution), and in each set that was written."""
    reference_reasons: dict[str, int]
    """Why references cannot be verified, most frequent first."""
    different_references: int
    """Prompts whose rows do not agree on the reference; that of the drawn solution counts."""
    failures: int
    manifest: Path


def split(
    source: Path,
    folder: Path,
    verifier: Verifier,
    *,
    spec: str,
    references: ReferenceChecker,
    columns: Columns,
    settings: SplitSettings,
    progress: Progress,
) -> SplitSummary:
    """What was done; ``folder`` then holds one problems file a set, and a manifest.

    Args:
        source: rollouts: the generated solutions.
        folder: made where it is missing.
        verifier: says which solutions pass.
        spec: the string that stands for the verifier, for the manifest.
        references: says which references can be verified.
        columns: what the rows must have; ``group_by`` tells prompts apart.
        settings: which sets.
        progress: told about every chunk.

    Raises:
        InputError: a broken row, an unusable path.
        SignalError: the verifier failed on too many rows.
    """
    names = PAPER_SETS if settings.by == "paper" else CAUSES
    for name in names:
        check_not_input(folder / f"{name}.jsonl", source)
    with _existing(folder), unchanged(source), Spool(folder) as spool:
        rows = count_rows(source, columns, progress)
        prompts = _Prompts(settings.seed)
        stream = judged(source, columns, verifier, rows=rows, max_failure_rate=settings.max_failure_rate, progress=progress)
        for number, (row, verdict) in enumerate(stream):
            prompts.add(number, row.rollout, verdict)
        found = _describe(source, columns, prompts, references, spool, progress)
        sets = _choose(found, settings)
        table = _table(found, sets)
        reasons = Counter(entry.reason for entry in found if entry.cause == "reference_unverifiable")
        summary = SplitSummary(
            rows, len(found), {name: len(sets[name]) for name in names}, table, dict(reasons.most_common()),
            prompts.different_references, prompts.failures, folder / MANIFEST,
        )  # fmt: skip
        facts = {
            "command": "hero data split", "source": file_facts(source), "group_by": columns.group_by,
            **verifier_facts(spec, verifier), "seed": settings.seed, "options": asdict(settings), "rows": rows,
            "prompts": len(found), "causes": table, "reference_reasons": summary.reference_reasons,
            "different_references": prompts.different_references, "failures": prompts.failures, "versions": versions(*JUDGES),
        }  # fmt: skip
        with ExitStack() as stack:
            facts_path = stack.enter_context(replacing(folder / MANIFEST))
            outputs = {f"{name}.jsonl": stack.enter_context(replacing(folder / f"{name}.jsonl")) for name in names}
            for name in names:
                with open_lines(outputs[f"{name}.jsonl"], like=folder / f"{name}.jsonl") as out:
                    _write(out, spool, sets[name])
            write_manifest(facts_path, facts, outputs, {f"{name}.jsonl": len(sets[name]) for name in names})
    return summary


class _Entry(NamedTuple):
    """A prompt: its place in the order of draws, and where its line is."""

    draw: int
    line: int
    cause: Cause
    passes: bool
    reason: str


class _Prompts:
    """Counts by prompt, and the row that was drawn from each."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._number: dict[int, int] = {}
        self.draws, self.rows, self._references = array("Q"), array("Q"), array("Q")
        self.correct, self.incorrect, self.open = array("L"), array("L"), array("L")
        self.passes, self._differ = bytearray(), bytearray()
        self.failures = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def different_references(self) -> int:
        return sum(self._differ)

    def add(self, row: int, rollout: Rollout, verdict: Verdict) -> None:
        prompt = self._number.setdefault(draw(0, rollout.prompt_id), len(self._number))
        mine = draw(self.seed, "solution", rollout.prompt_id, rollout.problem, rollout.reference, rollout.response)
        reference = draw(0, rollout.reference)
        self.failures += verdict.failed
        if prompt == len(self.rows):
            for column, value in (
                (self.draws, mine), (self.rows, row), (self._references, reference), (self.correct, 0), (self.incorrect, 0),
                (self.open, 0), (self.passes, verdict.label == "correct"), (self._differ, 0),
            ):  # fmt: skip
                column.append(value)
        self._differ[prompt] |= reference != self._references[prompt]
        if mine < self.draws[prompt]:
            self.draws[prompt], self.rows[prompt], self.passes[prompt] = mine, row, verdict.label == "correct"
        counts = {"correct": self.correct, "incorrect": self.incorrect, "abstain": self.open}[verdict.label]
        counts[prompt] += 1

    def cause(self, prompt: int, verifiable: bool) -> Cause:
        if not verifiable:
            return "reference_unverifiable"
        if not self.correct[prompt]:
            return "verifier_abstains" if self.open[prompt] else "never_solved"
        return "sometimes_solved" if self.incorrect[prompt] or self.open[prompt] else "always_solved"


def _describe(
    source: Path, columns: Columns, prompts: _Prompts, references: ReferenceChecker, spool: Spool, progress: Progress
) -> list[_Entry]:
    """One entry a prompt, in the order of draws; its line goes to the spool."""
    prompt_of = {row: prompt for prompt, row in enumerate(prompts.rows)}
    drawn = (row for number, row in enumerate(read_rollouts(source, columns)) if number in prompt_of)
    order = iter(sorted(prompt_of))
    entries: list[_Entry] = []
    by_text = columns.group_by == "problem"
    for chunk in chunks(drawn):
        verdicts = references.verify_reference([row.rollout for row in chunk])
        for row, verdict in zip(chunk, verdicts, strict=True):
            prompt = prompt_of[next(order)]
            cause = prompts.cause(prompt, verdict.label == "correct")
            passes = bool(prompts.passes[prompt])
            # where the problem's text tells prompts apart, its hash is the name that hero data prepare gives it
            name = problem_digest(tidy_text(row.rollout.problem)).hex() if by_text else row.rollout.prompt_id
            line = {"prompt_id": name, **_line(row, prompts, prompt, cause, passes, verdict)}
            drawn_at = draw(prompts.seed, "problem", row.rollout.problem, row.rollout.prompt_id)
            entries.append(_Entry(drawn_at, spool.add(json_line(line)), cause, passes, verdict.reason))
        progress("references", len(entries), len(prompts))
    if len(entries) != len(prompts):
        raise InputError(f"{source}: changed while it was being read; run again when nobody writes to it")
    return sorted(entries, key=lambda entry: entry.draw)


def _line(row: Row, prompts: _Prompts, prompt: int, cause: Cause, passes: bool, reference: Verdict) -> dict[str, object]:
    samples = prompts.correct[prompt] + prompts.incorrect[prompt] + prompts.open[prompt]
    shares = {"p_correct": prompts.correct, "p_incorrect": prompts.incorrect, "p_abstain": prompts.open}
    own: Mapping[str, object] = row.record.values
    kept = {"source": own["source"]} if isinstance(own.get("source"), str) else {}
    return {
        "problem": row.rollout.problem, "reference": row.rollout.reference, **kept,
        "cause": cause, "passes": passes, "samples": samples,
        **{name: round(counts[prompt] / samples, 6) for name, counts in shares.items()},
        "reference_reason": reference.reason,
    }  # fmt: skip


def _choose(found: list[_Entry], settings: SplitSettings) -> dict[str, list[_Entry]]:
    if settings.by == "cause":
        return {cause: [entry for entry in found if entry.cause == cause] for cause in CAUSES}
    easy = [entry for entry in found if entry.passes][: settings.easy]
    hard = [entry for entry in found if not entry.passes][: settings.hard]
    half = settings.mixed // 2
    mixed = sorted([*easy[:half], *hard[:half]], key=lambda entry: entry.draw)
    return dict(zip(PAPER_SETS, (easy, hard, mixed), strict=True))


def _table(found: list[_Entry], sets: Mapping[str, list[_Entry]]) -> dict[str, dict[str, int]]:
    columns = {"all": found, "passes": [e for e in found if e.passes], "fails": [e for e in found if not e.passes]}
    columns |= {name: sets[name] for name in PAPER_SETS if name in sets}
    counted = {name: Counter(entry.cause for entry in entries) for name, entries in columns.items()}
    return {cause: {name: counts[cause] for name, counts in counted.items()} for cause in CAUSES}


def _write(out: LineWriter, spool: Spool, entries: list[_Entry]) -> None:
    for entry in entries:
        out.write(spool.read(entry.line))


@contextmanager
def _existing(folder: Path) -> Iterator[None]:
    """The folder exists inside the block, and goes again where the block fails and it was made here."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give the name of a folder")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):  # somebody else put something into it
                folder.rmdir()
        raise
