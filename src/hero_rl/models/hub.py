"""The Hugging Face hub, when it cannot be reached: what is in the cache is used, and what is not fails within seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hero_rl.errors import first_line

PATIENCE_S = 5.0
"""Of one try to reach the hub; there are two, a second apart."""
REMEMBERED_S = 60.0
_asked: tuple[float, str] | None = None
"""When the hub was asked, and what was wrong."""


@contextmanager
def hub_or_cache(source: str) -> Iterator[None]:
    """Within it, look for ``source`` (an id, or a folder here) in the cache alone if the hub does not answer.

    huggingface_hub by itself asks six times for every file, which takes half a minute each.

    Raises:
        OSError: the hub does not answer, and the cache does not have it.
    """
    from huggingface_hub import constants

    why = "" if constants.HF_HUB_OFFLINE or Path(source).is_dir() else _trouble()
    if not why:
        yield
        return
    settings = [constants, *filter(None, [getattr(sys.modules.get("datasets"), "config", None)])]
    for one in settings:
        one.HF_HUB_OFFLINE = True
    try:
        yield
    except OSError as error:
        raise OSError(f"{constants.ENDPOINT} does not answer: {why}. Check the network, or name files that are here") from error
    finally:
        for one in settings:
            one.HF_HUB_OFFLINE = False


def _trouble() -> str:
    """Return why the hub cannot be reached; "" if it can."""
    global _asked
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if _asked is None or time.monotonic() - _asked[0] > REMEMBERED_S:
        why = ""
        for pause in (1.0, 0.0):
            try:
                get_session().head(constants.ENDPOINT, timeout=PATIENCE_S)
                why = ""
                break
            except Exception as error:  # noqa: BLE001  # of requests or httpx, by the version of huggingface_hub
                why = first_line(error)
                time.sleep(pause)
        _asked = (time.monotonic(), why)
    return _asked[1]
