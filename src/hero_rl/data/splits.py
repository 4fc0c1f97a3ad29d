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

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias, get_args

from hero_rl.cache import MATH_PACKAGES
from hero_rl.data.manifest import source_facts, verifier_facts, versions, write_manifest
from hero_rl.data.problem_text import draw, problem_digest, tidy_text
from hero_rl.data.rollouts import Columns, Row, read_rollouts
from hero_rl.data.tables import files_of
from hero_rl.data.verify import chunks, judged, scan
from hero_rl.data.write import check_not_input, json_line, line_at, open_lines, put_line
from hero_rl.errors import InputError
from hero_rl.files import changed, locked, replacing, unchanged
from hero_rl.types import Progress, Rollout, Verdict, Verifier
from hero_rl.verifiers.math import MathVerifier

By: TypeAlias = Literal["paper", "cause"]
Cause: TypeAlias = Literal["reference_unverifiable", "verifier_abstains", "never_solved", "sometimes_solved", "always_solved"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
PAPER_SETS = ("verifiable", "hard_to_verify", "mixed")
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """Kind and sizes of the sets."""

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
    """Counts of a split."""

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
    references: MathVerifier,
    columns: Columns,
    settings: SplitSettings,
    progress: Progress,
) -> SplitSummary:
    """Write one problems file per set and a manifest to ``folder``, and return a summary.

    Args:
        source: rollouts: the generated solutions.
        folder: made if it is missing.
        verifier: decides which solutions pass.
        spec: the verifier's name in commands, for the manifest.
        references: decides which references can be verified.
        columns: the rows must have them; ``group_by`` tells prompts apart.
        settings: kind and sizes of the sets.
        progress: told about every chunk.

    Raises:
        InputError: a broken row, an unusable path.
        SignalError: the verifier failed on too many rows.
    """
    names = PAPER_SETS if settings.by == "paper" else CAUSES
    for name in names:
        check_not_input(folder / f"{name}.jsonl", source)
    with _existing(folder), locked(folder), tempfile.TemporaryFile(dir=folder) as spool, ExitStack() as stack:
        facts_path = stack.enter_context(replacing(folder / MANIFEST))
        outputs = {f"{name}.jsonl": stack.enter_context(replacing(folder / f"{name}.jsonl")) for name in names}
        stack.enter_context(unchanged(*files_of(source)))
        rows = len(scan(source, columns, progress))
        prompts = _Prompts(settings.seed)
        stream = judged(source, columns, verifier, rows=rows, max_failure_rate=settings.max_failure_rate, progress=progress)
        for number, (row, verdict) in enumerate(stream):
            prompts.add(number, row.rollout, verdict)
        found = _describe(source, columns, prompts, references, spool, progress)
        sets = _choose(found, settings)
        sizes = {name: len(sets[name]) for name in names}
        reasons = Counter(entry.reason for entry in found if entry.cause == "reference_unverifiable")
        summary = SplitSummary(
            rows, len(found), sizes, _table(found, sets), dict(reasons.most_common()),
            sum(prompt.differs for prompt in prompts.found), prompts.failures, folder / MANIFEST,
        )  # fmt: skip
        facts = {
            "command": "hero data split", "source": source_facts(source), "group_by": columns.group_by,
            **verifier_facts(spec, verifier), "seed": settings.seed, "options": asdict(settings), "rows": rows,
            "prompts": len(found), "causes": summary.causes, "reference_reasons": summary.reference_reasons,
            "different_references": summary.different_references, "failures": prompts.failures,
            "versions": versions(*MATH_PACKAGES),
        }  # fmt: skip
        for name in names:
            with open_lines(outputs[f"{name}.jsonl"]) as write:
                for entry in sets[name]:
                    write(line_at(spool, entry.line))
        write_manifest(facts_path, facts, outputs, {f"{name}.jsonl": size for name, size in sizes.items()})
    return summary


class _Entry(NamedTuple):
    """A prompt's place in the order of draws, and the place of its line."""

    draw: int
    line: int
    cause: Cause
    passes: bool
    reason: str


@dataclass(slots=True)
class _Prompt:
    """Counts of one prompt's verdicts, and its row with the smallest draw."""

    draw: int
    row: int
    passes: bool
    reference: int
    differs: bool = False
    """The rows do not agree on the reference."""
    correct: int = 0
    incorrect: int = 0
    abstain: int = 0

    def cause(self, verifiable: bool) -> Cause:
        if not verifiable:
            return "reference_unverifiable"
        if not self.correct:
            return "verifier_abstains" if self.abstain else "never_solved"
        return "sometimes_solved" if self.incorrect or self.abstain else "always_solved"

    def samples(self) -> dict[str, object]:
        samples = self.correct + self.incorrect + self.abstain
        counts = {"p_correct": self.correct, "p_incorrect": self.incorrect, "p_abstain": self.abstain}
        return {"samples": samples, **{name: round(count / samples, 6) for name, count in counts.items()}}


@dataclass
class _Prompts:
    seed: int
    found: list[_Prompt] = field(default_factory=list["_Prompt"])
    failures: int = 0
    _number: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, row: int, rollout: Rollout, verdict: Verdict) -> None:
        number = self._number.setdefault(draw(0, rollout.prompt_id), len(self._number))
        mine = draw(self.seed, "solution", rollout.prompt_id, rollout.problem, rollout.reference, rollout.response)
        reference, passes = draw(0, rollout.reference), verdict.label == "correct"
        if number == len(self.found):
            self.found.append(_Prompt(mine, row, passes, reference))
        prompt = self.found[number]
        prompt.differs |= reference != prompt.reference
        if mine < prompt.draw:
            prompt.draw, prompt.row, prompt.passes = mine, row, passes
        setattr(prompt, verdict.label, getattr(prompt, verdict.label) + 1)
        self.failures += verdict.failed


def _describe(
    source: Path, columns: Columns, prompts: _Prompts, references: MathVerifier, spool: BinaryIO, progress: Progress
) -> list[_Entry]:
    """Return one entry per prompt, in the order of draws; its line goes to the spool."""
    prompt_of = {prompt.row: prompt for prompt in prompts.found}
    drawn = (row for number, row in enumerate(read_rollouts(source, columns)) if number in prompt_of)
    order = (prompt_of[number] for number in sorted(prompt_of))
    entries: list[_Entry] = []
    for chunk in chunks(drawn):
        verdicts = references.verify_reference([row.rollout for row in chunk])
        for row, verdict, prompt in zip(chunk, verdicts, order, strict=False):
            cause = prompt.cause(verdict.label == "correct")
            line = _line(row, prompt, cause, verdict.reason, by_text=columns.group_by == "problem")
            drawn_at = draw(prompts.seed, "problem", row.rollout.problem, row.rollout.prompt_id)
            entries.append(_Entry(drawn_at, put_line(spool, json_line(line)), cause, prompt.passes, verdict.reason))
        progress("references", len(entries), len(prompt_of))
    if len(entries) != len(prompt_of):
        raise changed(source)
    return sorted(entries, key=lambda entry: entry.draw)


def _line(row: Row, prompt: _Prompt, cause: Cause, reason: str, *, by_text: bool) -> dict[str, object]:
    rollout, source = row.rollout, row.record.values.get("source")
    return {
        # where the problem's text tells prompts apart, its hash is the name that hero data prepare gives it
        "prompt_id": problem_digest(tidy_text(rollout.problem)).hex() if by_text else rollout.prompt_id,
        "problem": rollout.problem, "reference": rollout.reference, **({"source": source} if isinstance(source, str) else {}),
        "cause": cause, "passes": prompt.passes, **prompt.samples(), "reference_reason": reason,
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


@contextmanager
def _existing(folder: Path) -> Iterator[None]:
    """Make the folder if it is missing, and remove it again if the block fails."""
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
