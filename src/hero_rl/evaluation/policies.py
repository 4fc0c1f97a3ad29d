"""The policy to sample: a folder, a known model, a Hugging Face id, a server with the OpenAI interface, or any of inspect_ai's.

./runs/x   ./runs/x/checkpoint-8   smollm2   owner/name    transformers, in this process
http://host:8000   MODEL@http://host:8000/v1            vLLM, SGLang or any other server
vllm/Qwen/Qwen3-4B-Base   openai/gpt-4o   hf/...        as inspect_ai has it
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from hero_rl.errors import HeroError, InputError, SignalError, first_line, require
from hero_rl.evaluation.benchmarks import INSTRUCTION
from hero_rl.http import EndpointError, EndpointPool
from hero_rl.loop import run_sync
from hero_rl.models.known import KNOWN, is_name, resolve
from hero_rl.models.loading import holds_model
from hero_rl.part_names import address, api_key, is_url
from hero_rl.verifiers.judge.remote import with_version

if TYPE_CHECKING:
    from inspect_ai.model import Model

    from hero_rl.evaluation.local import LocalPolicy

Kind: TypeAlias = Literal["local", "server", "inspect"]
Format: TypeAlias = Literal["chat", "plain"]
FORMATS: tuple[Format, ...] = ("chat", "plain")
PLAIN_TEMPLATE = "{problem}\n" + INSTRUCTION + "\nSolution: "
CONNECT_TIMEOUT_S = 20.0
NO_KEY = "none"
"""A key must be sent; servers of one's own ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The prompt of a problem."""

    format: Format
    """``chat``: turns under the model's chat template; ``plain``: bare text that the model continues."""
    system: str
    """The system turn; "" for none."""
    template: str
    """The text, or the user turn; ``{problem}`` is replaced."""

    def __post_init__(self) -> None:
        """Check that the settings agree."""
        if "{problem}" not in self.template:
            raise InputError(f"the prompt template {self.template[:60]!r} has no {{problem}}; write it where the problem goes")
        if self.format == "plain" and self.system:
            raise InputError("plain prompts have no system turn; write the text into the prompt template")

    def text(self, problem: str) -> str:
        """Return the text or the user turn; by str.replace and not str.format, as problems are full of braces."""
        return self.template.replace("{problem}", problem)


class Policy(NamedTuple):
    """The model that MODEL on the command line names."""

    name: str
    """Name in the results."""
    kind: Kind
    source: str
    """Folder, id, address, or inspect_ai's own name."""
    served_model: str | None = None
    trained_with: Path | None = None
    """The recipe of the run of `hero train` that the folder lies in."""


def find_policy(spec: str) -> Policy:
    """Return the policy that the string names; nothing is loaded. Raises InputError if there is none."""
    if is_url(spec):
        model, urls = address(spec, spec=spec)
        if len(urls) > 1:
            raise InputError(f"MODEL {spec}: one address, please; put a load balancer before several servers")
        return Policy(spec, "server", urls[0], model)
    if is_name(spec):
        return Policy(spec, "local", resolve(spec))
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return _folder(spec, folder)
    if folder.exists() or spec.startswith((".", "/", "~")):
        raise InputError(f"MODEL {spec}: no such folder; give the folder of a saved transformers model")
    provider, slash, rest = spec.partition("/")
    if slash and provider in _providers():
        if not rest:
            raise InputError(f"MODEL {spec}: nothing after the provider; write {provider}/MODEL")
        return Policy(spec, "inspect", spec)
    if spec.count("/") != 1 or not rest:
        raise InputError(
            f"MODEL {spec}: neither a folder, nor owner/name on Hugging Face, nor a URL, nor PROVIDER/MODEL of inspect_ai, "
            f"nor one of {', '.join(KNOWN)}"
        )
    return Policy(spec, "local", spec)


def _folder(spec: str, folder: Path) -> Policy:
    model = folder if holds_model(folder) else folder / "final"
    if not holds_model(model):
        saved = [str(one.parent) for one in folder.glob("checkpoint-*/trainer_state.json")]
        hint = f", such as {max(saved, key=len)}" if saved else ""
        raise InputError(f"MODEL {spec}: has no config.json; give the folder of a saved transformers model{hint}")
    runs = (
        parent for parent in model.resolve().parents if (parent / "recipe.toml").is_file() and (parent / "run.json").is_file()
    )
    run = next(runs, None)
    return Policy(spec, "local", str(model), trained_with=run / "recipe.toml" if run else None)


def _providers() -> set[str]:
    registry = require("inspect_ai._util.registry", extra="eval", purpose="hero eval")
    require("inspect_ai.model._providers.providers", extra="eval", purpose="hero eval")
    found = registry.registry_find(lambda info: info.type == "modelapi")
    return {str(registry.registry_info(one).name).removeprefix("inspect_ai/") for one in found}


def choose_prompt(
    policy: Policy, *, format: str | None, system: str | None, template: str | None, has_template: bool
) -> Prompt:
    """Return the prompt asked for, else the one that the policy was trained with, else the instruction of the paper's recipes.

    Args:
        policy: if `hero train` made it, its recipe has its prompt.
        format: ``chat`` or ``plain``; None: chat if the model has a chat template.
        system: None: not asked for.
        template: None: not asked for.
        has_template: whether the tokenizer has a chat template.

    Raises:
        InputError: an unknown format, a chat prompt without a chat template, a template without a place for the problem.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"--format {format}: unknown; choose one of {', '.join(FORMATS)}")
    trained = _trained_prompt(policy.trained_with) if policy.trained_with else None
    asked = format or (trained or {}).get("format") or ("chat" if has_template else "plain")
    if asked == "chat" and not has_template:
        raise InputError(f"--format chat: the tokenizer of {policy.name} has no chat template; use --format plain")
    chosen = cast(Format, asked)
    if trained is not None:
        usual = (trained.get("system_prompt") or "", trained.get("prompt_template") or "{problem}")
    elif chosen == "chat":
        usual = (INSTRUCTION if template is None else "", "{problem}")
    else:
        usual = ("", PLAIN_TEMPLATE)
    system = str(usual[0]) if system is None else system
    return Prompt(format=chosen, system=system, template=str(usual[1]) if template is None else template)


def prompt_source(policy: Policy, prompt: Prompt, **asked: str | None) -> str:
    """Return in words where the prompt of ``choose_prompt`` came from; ``asked``: options of the command, None: not given."""
    how = "under the chat template" if prompt.format == "chat" else "as plain text"
    source = f"the recipe of the run ({policy.trained_with})" if policy.trained_with else f"the usual instruction {how}"
    given = [f"--{name.replace('_', '-')}" for name, value in asked.items() if value is not None]
    return f"{source}, changed by {', '.join(given)}" if given else source


def _trained_prompt(recipe: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(recipe.read_text(encoding="utf-8")).get("data", {})
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{recipe}: cannot be read: {first_line(error)}; the policy beside it was trained with it") from error


def open_local(policy: Policy, *, batch_size: int, device: str | None, dtype: str | None) -> LocalPolicy:
    """Load the policy with transformers; raises InputError if that fails."""
    require("torch", extra="train", purpose="a policy on this machine")
    require("transformers", extra="train", purpose="a policy on this machine")
    from hero_rl.evaluation.local import load_policy

    return load_policy(policy.source, batch_size=batch_size, device=device, dtype=dtype)


def find_served_model(policy: Policy) -> str:
    """Ask the server for the model's name, so that a dead one is noticed at once; raises SignalError if it does not answer."""
    url = with_version(policy.source.rstrip("/"))
    pool = EndpointPool(url, api_key=api_key(), timeout_s=CONNECT_TIMEOUT_S, total_timeout_s=CONNECT_TIMEOUT_S, attempts=2)
    try:
        reply = run_sync(pool.get("/models"))
        listed = [str(one["id"]) for one in cast("dict[str, list[dict[str, object]]]", reply)["data"]]
    except EndpointError as error:
        if policy.served_model and error.kind == "refused" and error.status != 401:
            return policy.served_model  # up, and does not list its models
        what = "does not answer" if error.status is None else "gives no list of its models"
        raise SignalError(f"the server at {policy.source} {what}: {first_line(error)}") from error
    except (KeyError, TypeError) as error:
        raise SignalError(
            f"the server at {policy.source} does not list models as one with the OpenAI interface does"
        ) from error
    finally:
        pool.close()
    if not listed and policy.served_model is None:
        raise SignalError(f"the server at {policy.source} lists no model; name one: MODEL@{policy.source}")
    if policy.served_model is not None and listed and policy.served_model not in listed:
        raise InputError(f"the server at {policy.source} has no model {policy.served_model!r}; it has {', '.join(listed[:5])}")
    return policy.served_model or listed[0]


def inspect_model(policy: Policy, prompt: Prompt, local: LocalPolicy | None, served_model: str | None) -> Model:
    """Return the policy as inspect_ai's model; raises InputError if inspect_ai cannot make it."""
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import get_model

    try:
        if local is not None:
            from hero_rl.evaluation.local import API, LocalAPI

            # the fingerprint, not the policy, as an argument: arguments go into the log, and tell runs apart
            model = get_model(f"{API}/{policy.name}", memoize=False, fingerprint=local.fingerprint())
            cast(LocalAPI, model.api).attach(local, plain=prompt.format == "plain")
            return model
        if policy.kind == "server":
            interface = "openai-api" if prompt.format == "chat" else "openai-api-completions"
            name = f"{interface}/server/{served_model}"
            # a client of its own that tries again would multiply with inspect_ai's tries
            url = with_version(policy.source.rstrip("/"))
            return get_model(name, memoize=False, base_url=url, api_key=api_key() or NO_KEY, max_retries=0)
        return get_model(policy.source, memoize=False)
    except HeroError:
        raise
    except (PrerequisiteError, ValueError, OSError, ImportError, RuntimeError) as error:
        raise InputError(f"MODEL {policy.name}: {first_line(error)}") from error
