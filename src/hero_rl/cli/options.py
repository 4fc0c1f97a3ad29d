"""Options that several commands share, as types of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from hero_rl.specs.strings import API_KEY
from hero_rl.types import Scorer, Verifier

Fallback: TypeAlias = Annotated[
    str | None, typer.Option(help="A second verifier (learned:PATH, a judge) for what the first leaves open.")
]
Ask: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Ask the fallback where the first says abstain (default), incorrect, both, or generous: abstain and generous yes."
    ),
]
MaxQuestions: TypeAlias = Annotated[
    int | None, typer.Option(help="Most questions to the fallback per batch; default: no limit.", min=0)
]
LearnedCredit: TypeAlias = Annotated[
    float | None, typer.Option(help="What a learned 'correct' counts for; 1 (default): as much as a rule's own.")
]
Gain: TypeAlias = Annotated[
    float | None, typer.Option(help="How far the calibrated score is trusted; 0: the verifier alone (hero_adaptive).")
]
Recall: TypeAlias = Annotated[
    float | None, typer.Option(help="Of the verifier, where it is known; else estimated (hero_adaptive, noise_aware).")
]
Tokenizer: TypeAlias = Annotated[
    str | None, typer.Option("--rm-tokenizer", help="Tokenizer of a served reward model: its chat template is applied here.")
]
RmTemplate: TypeAlias = Annotated[
    str | None, typer.Option(help="How its text is formed: chat (here), messages (by the server) or plain; default: what fits.")
]
Aggregate: TypeAlias = Annotated[
    str | None, typer.Option(help="Of a process reward model's steps: min (default), mean, last, product.")
]
CacheFile: TypeAlias = Annotated[
    Path | None, typer.Option("--cache", metavar="FILE", help="Keep scores and verdicts here, and reuse them.")
]
Policy: TypeAlias = Annotated[
    str | None, typer.Option(help="Of the maths verifier: strict or balanced (may abstain), or binary (never).")
]
Deadline: TypeAlias = Annotated[float | None, typer.Option(help="Seconds the maths verifier may spend on one response.")]

KEY_NOTE = f"Servers get the key in the environment variable {API_KEY}, if it is set."


def decided_by(verifier: Verifier | None) -> list[tuple[str, str]]:
    """Rows for a table that say who decided what; none without a cascade."""
    counts = decisions(verifier)
    if counts is None:
        return []
    return [
        ("decided by rule", str(counts["symbolic_correct"] + counts["symbolic_incorrect"])),
        ("decided by a model", str(counts["learned_correct"] + counts["learned_incorrect"])),
        ("questions to the model", str(counts["questions"])),
        ("over budget", str(counts["over_budget"])),
    ]


def decisions(verifier: Verifier | None) -> Mapping[str, int] | None:
    """The counts of a cascade, which say who decided what; None without one."""
    return verifier.decisions() if verifier is not None else None


def cache_use(verifier: Verifier | None, scorer: Scorer | None = None) -> dict[str, dict[str, int | float]]:
    """What came out of the cache, by part; empty without one. A cascade's two verifiers count apart."""
    return {name: use for part in (verifier, scorer) if part is not None for name, use in part.cache_use().items()}


def cache_rows(used: Mapping[str, Mapping[str, int | float]]) -> list[tuple[str, str]]:
    """Rows for a table that say how often the cache knew the result."""
    return [(f"cache hits, {name}", f"{use['stored']} of {use['stored'] + use['computed']}") for name, use in used.items()]
