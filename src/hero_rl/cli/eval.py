"""`hero eval`: sample a policy on benchmarks and grade it; compare two evaluations."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hero_rl.cli import learn, options, show
from hero_rl.errors import InputError, require
from hero_rl.evaluation.benchmarks import BENCHMARKS, find_benchmark, load_problems
from hero_rl.files import locked
from hero_rl.part_names import API_KEY, VERIFIERS, check_verifier, names
from hero_rl.parts import make_verifier
from hero_rl.types import Verifier

HELP = """Sample a policy on benchmarks and grade it, with intervals; or compare two evaluations.

\b
Examples:
  hero eval ./runs/my-run --data problems.jsonl
  hero eval compare eval-a eval-b
"""
RUN_HELP = f"""Sample a policy on benchmarks and grade it, with intervals.

MODEL is the folder of a transformers model or of a `hero train` run, owner/name on Hugging Face, [MODEL@]URL of any server with
the OpenAI interface (vLLM, SGLang ...), or PROVIDER/MODEL as inspect_ai has it. Sampling is the paper's: temperature 0.6, top-p
0.95, 8 responses per problem (one on the hard sets, which need --judge). Every response is kept in --output; what is
interrupted goes on with --resume.

\b
Examples:
  hero eval run ./runs/my-run --data problems.jsonl -o eval-mine
  hero eval run Qwen/Qwen3-4B-Base --benchmark math500 --benchmark amc23
  hero eval run my-model@http://localhost:8000 --benchmark hardverify_math --judge judge:http://judge:8001
  hero eval run --list

\b
Benchmarks:  {", ".join(BENCHMARKS)}
Verifiers:   {names(VERIFIERS)}

Servers get the key in the environment variable {API_KEY}, if it is set.
"""
COMPARE_HELP = """Say whether a difference between two evaluations is real: paired over problems, with p-values.

Refuses where the two were not asked the same problems in the same way. With several training runs a side, their spread counts
as well.

\b
Examples:
  hero eval compare eval-a eval-b
  hero eval compare a-seed0 a-seed1 a-seed2 vs b-seed0 b-seed1 b-seed2 -o comparison
"""


class GROUP(TyperGroup):
    """`hero eval MODEL ...` is `hero eval run MODEL ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default in where no command is named."""
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["run", *args])


def run(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Folder, id, URL, or PROVIDER/MODEL.")] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=FILE]", help="Benchmark, or a local copy of it; repeatable.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="File with problem, and reference, answer or answers; repeatable.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder; default: eval-MODEL.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the evaluation in --output.")] = False,
    samples: Annotated[int | None, typer.Option(help="Responses per problem.", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="Take the first so many problems of each benchmark.", min=1)] = None,
    temperature: Annotated[float, typer.Option(help="Of the sampling; 0: the likeliest token.", min=0)] = 0.6,
    top_p: Annotated[float, typer.Option(help="Of the sampling.", min=0, max=1)] = 0.95,
    max_tokens: Annotated[int, typer.Option(help="Of a response.", min=1)] = 8192,
    seed: Annotated[int, typer.Option(help="Each response has its own, made of this one.")] = 0,
    verifier: Annotated[str, typer.Option(help="Grades what rules can grade.")] = "math",
    judge: Annotated[str | None, typer.Option(help="Grades the hard sets: judge:URL, compass:URL or another verifier.")] = None,
    policy: options.Policy = None,
    prompt_format: Annotated[
        str | None, typer.Option("--format", help="chat or plain; default: chat where there is a template.")
    ] = None,
    system_prompt: Annotated[
        str | None, typer.Option(help="Default: the one it was trained with, or the usual instruction.")
    ] = None,
    prompt_template: Annotated[str | None, typer.Option(help="Text or user turn, with {problem}; default likewise.")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.", min=1)] = 32,
    batch_size: Annotated[int, typer.Option(help="Responses in a batch, for a policy on this machine.", min=1)] = 32,
    device: Annotated[str | None, typer.Option(help="Of a policy on this machine; default: the GPU, or else the CPU.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of a policy on this machine; default: what suits the device.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for one try of one response.", min=1)] = 1800.0,
    retries: Annotated[int, typer.Option(help="Further tries of a response that failed.", min=0)] = 3,
    max_failure_rate: Annotated[float, typer.Option(help="Share of responses that may be missing.", min=0, max=1)] = 0.0,
    revision: Annotated[str | None, typer.Option(help="Commit of the benchmark on Hugging Face.")] = None,
    list_benchmarks: Annotated[bool, typer.Option("--list", help="Name the benchmarks.")] = False,
    as_json: show.Json = False,
) -> None:
    """Run the command (its help text is ``RUN_HELP``)."""
    if list_benchmarks:
        _list(as_json)
        return
    if model is None:
        raise InputError("no MODEL given: a folder, owner/name on Hugging Face, or the URL of a server")
    for module in ("inspect_ai", "scipy", "matplotlib", "jinja2"):
        require(module, extra="eval", purpose="hero eval")
    from hero_rl.evaluation import policies
    from hero_rl.evaluation.evaluate import evaluate
    from hero_rl.evaluation.plan import Plan, Planned, Sampling
    from hero_rl.evaluation.run import check_folder

    start = time.perf_counter()
    folder = output or Path(f"eval-{_file_name(model)}")
    check_folder(folder, resume=resume)
    who = policies.find_policy(model)
    sources = _sources(benchmark or [], data or [])
    graders = {name: _grader(name, verifier, judge) for name, _ in sources}
    show.note(f"evaluates {model} on {', '.join(graders)}, into {folder}")  # before models and data are loaded
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder))
        stack.enter_context(learn.quiet(models=who.kind == "local"))
        sets = [load_problems(name, file, limit=limit, revision=revision) for name, file in sources]
        verifiers = _open(stack, sorted(set(graders.values())), policy)
        local = policies.open_local(who, batch_size=batch_size, device=device, dtype=dtype) if who.kind == "local" else None
        served = policies.find_served_model(who) if who.kind == "server" else None
        prompt = policies.choose_prompt(
            who, format=prompt_format, system=system_prompt, template=prompt_template,
            has_template=local.has_template if local else not who.source.partition("/")[0].endswith("-completions"),
        )  # fmt: skip
        source = policies.prompt_source(
            who, prompt, format=prompt_format, system_prompt=system_prompt, prompt_template=prompt_template
        )
        show.note(f"prompt: {source}")
        plan = Plan(
            model=model, fingerprint=local.fingerprint() if local else served or who.source, prompt=prompt, sampling=sampling,
            prompt_source=source,
            concurrency=2 * batch_size if local else concurrency, timeout_s=timeout, retries=retries,
            benchmarks=[
                Planned(problems=one, samples=samples or one.benchmark.samples, grader=graders[one.name],
                        verifier=verifiers[graders[one.name]])
                for one in sets
            ],
        )  # fmt: skip
        inspected = policies.inspect_model(who, prompt, local, served)
        with _resumable(folder), show.progress_bar() as bar:
            found = evaluate(
                folder, plan, inspected, resume=resume, max_failure_rate=max_failure_rate, progress=bar,
                command=show.command_line(),
            )  # fmt: skip
    _print_results(found.results, folder, as_json, time.perf_counter() - start)


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="A B", help="Two evaluations, or A1 A2 ... vs B1 B2 ...")],
    benchmark: Annotated[list[str] | None, typer.Option(help="Compare on this one alone; repeatable.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write a report there, too.")] = None,
    as_json: show.Json = False,
) -> None:
    """Run the command (its help text is ``COMPARE_HELP``)."""
    from hero_rl.evaluation.compare import compare as compare_results
    from hero_rl.evaluation.compare import read_sides, words
    from hero_rl.evaluation.page import COMPARE_HEADER, compare_rows, write_comparison

    require("scipy", extra="eval", purpose="hero eval compare")
    if output is not None:
        show.check_folder("--output", output)
    first, second = read_sides(folders)
    found = compare_results(first, second, benchmarks=benchmark or [])
    page = write_comparison(output, found, command=show.command_line()) if output else None
    if as_json:
        show.print_json({**found.to_json(), **({"report": str(page)} if page else {})})
        return
    sys.stdout.write(f"A: {', '.join(found.first)}\nB: {', '.join(found.second)}\n")
    show.print_table("mean pass@1 in percent", [tuple(row) for row in compare_rows(found)], header=COMPARE_HEADER)
    for sentence in words(found):
        sys.stdout.write(sentence + "\n")
    if page:
        sys.stdout.write(f"Report: {page}\n")


def _sources(names: Sequence[str], files: Sequence[Path]) -> list[tuple[str, Path | None]]:
    """Return name and file of everything to run."""
    found = [*map(find_benchmark, names), *((_file_name(file.name.split(".")[0]), file) for file in files)]
    if not found:
        raise InputError(f"nothing to evaluate on: give --benchmark NAME ({', '.join(BENCHMARKS)}) or --data FILE")
    for name, file in found:
        if [other for other, _ in found].count(name) > 1:
            raise InputError(f"{file or name}: {name!r} is there twice; results are kept by name, so give each one of its own")
        if name in BENCHMARKS and file in files:
            raise InputError(f"--data {file}: {name!r} is the name of a benchmark; write --benchmark {name}={file}")
    return found


def _grader(name: str, verifier: str, judge: str | None) -> str:
    hard = name in BENCHMARKS and BENCHMARKS[name].grading == "judge"
    chosen = judge if hard else verifier
    if chosen is None:
        raise InputError(
            f"--benchmark {name}: rules reject too many right answers here; give --judge judge:URL (or compass:, xverify:, "
            "general: with the address of such a model; --judge math for the rules all the same)"
        )
    if chosen == "none" or "column:" in chosen:
        raise InputError(f"{chosen!r} cannot grade responses that are yet to be sampled; name something that can")
    check_verifier(chosen)
    return chosen


def _open(stack: contextlib.ExitStack, names: Sequence[str], policy: str | None) -> dict[str, Verifier]:
    opened: dict[str, Verifier] = {}
    for name in names:
        made = make_verifier(name, {"policy": policy} if policy and name == "math" else {})
        if made is not None:
            opened[name] = stack.enter_context(contextlib.closing(made))
    return opened


def _file_name(text: str) -> str:
    """Return the last part of a path, an id or an address, with nothing in it that a file name cannot have."""
    parts = [part for part in text.replace("://", "/").split("/") if part not in ("", ".", "..")]
    if len(parts) > 1 and parts[-1] == "final":
        parts.pop()
    name = "".join(char if char.isalnum() or char in "-_." else "-" for char in (parts[-1] if parts else "model"))
    return name or "model"


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"What was sampled is kept; go on with the same command and --resume (-o {folder}).\n")
        raise


def _list(as_json: bool) -> None:
    if as_json:
        fields = ("title", "path", "config", "split", "revision", "rows", "samples", "grading", "note")
        show.print_json({name: {field: getattr(one, field) for field in fields} for name, one in BENCHMARKS.items()})
        return
    rows = [
        (name, one.path or "your file", one.split if one.path else "", str(one.rows or ""), f"mean@{one.samples}", one.grading)
        for name, one in BENCHMARKS.items()
    ]
    show.print_table("benchmarks", rows, header=("name", "Hugging Face", "split", "problems", "measure", "graded by"))


def _print_results(results: Any, folder: Path, as_json: bool, seconds: float) -> None:
    from hero_rl.evaluation.page import HEADER, SHORT_COLUMNS, notes, result_rows
    from hero_rl.evaluation.results import to_json

    if as_json:
        show.print_json({"output": str(folder), "seconds": round(seconds, 2), **to_json(results, problems=False)})
        return
    rows = [tuple(row[column] for column in SHORT_COLUMNS) for row in result_rows(results)]
    header = [HEADER[column] for column in SHORT_COLUMNS]
    show.print_table(f"{results.model}: percent correct, problems x responses to each", rows, header=header)
    for note in notes(results):
        show.warn(note)
    sys.stdout.write(
        f"Report: {folder / 'report.html'}\nResponses: {folder / 'rollouts.jsonl'}\n"
        f"Logs: inspect view --log-dir {folder / 'logs'}\n"
    )


run.__doc__, compare.__doc__ = RUN_HELP, COMPARE_HELP
COMMANDS = {"run": run, "compare": compare}
