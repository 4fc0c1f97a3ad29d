"""A hub that does not answer: what is in the cache loads, what is not fails within seconds, and says why."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers")

from huggingface_hub import constants  # noqa: E402
from huggingface_hub.utils import close_session  # noqa: E402

from helpers import tiny  # noqa: E402
from hero_rl.errors import InputError  # noqa: E402
from hero_rl.models import hub  # noqa: E402
from hero_rl.models.known import get  # noqa: E402
from hero_rl.models.loading import load_config, load_whole  # noqa: E402
from hero_rl.models.tokenizing import load_tokenizer  # noqa: E402

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where nothing listens, as the hub's; and an empty cache."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_asked", None)
    monkeypatch.setenv("HERO_CACHE", str(tmp_path / "cache"))
    yield url
    close_session()


def test_what_is_not_in_the_cache_fails_within_seconds_and_says_why(nowhere: str) -> None:
    start = time.process_time(), time.monotonic()
    for ask in (
        lambda: load_config("local:no/such", "no/such"),
        lambda: load_tokenizer("--tokenizer", "no/such"),
        lambda: get("no/such:m.gguf"),
    ):
        with pytest.raises(InputError, match=f"{nowhere} does not answer: .*refused. Check the network, or name files"):
            ask()
    waited = time.monotonic() - start[1]
    assert waited < 10 * (1 + time.process_time() - start[0])  # without it: a minute and a half
    assert constants.HF_HUB_OFFLINE is False  # for whatever comes next, such as an upload


def test_what_is_in_the_cache_is_loaded(nowhere: str, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--owner--tiny"
    snapshot = folder / "snapshots" / COMMIT
    tiny.model().save_pretrained(snapshot)
    tiny.tokenizer().save_pretrained(snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    assert load_config("local:owner/tiny", "owner/tiny").model_type == "llama"
    assert load_tokenizer("local:owner/tiny", "owner/tiny").get_vocab() == tiny.tokenizer().get_vocab()
    model = load_whole("local:owner/tiny", "owner/tiny", "AutoModelForCausalLM", of_what="a language model")
    assert model.config.vocab_size == tiny.model().config.vocab_size


def test_a_hub_that_answers_is_asked_as_ever(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_asked", (time.monotonic(), ""))
    with hub.hub_or_cache("owner/tiny"):
        assert constants.HF_HUB_OFFLINE is False
    monkeypatch.setattr(hub, "_asked", (time.monotonic() - 2 * hub.REMEMBERED_S, ""))
    with hub.hub_or_cache("owner/tiny"):  # an answer is not good for ever
        assert constants.HF_HUB_OFFLINE is True


def test_a_folder_asks_nobody(nowhere: str, tmp_path: Path) -> None:
    with hub.hub_or_cache(str(tmp_path)):
        assert hub._asked is None
