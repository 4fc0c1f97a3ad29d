"""Register the trainer modes in each of verl's processes; loaded through the entry point ``verl.plugins``.

verl logs why a plugin cannot be loaded at debug level only, and then says that the trainer mode is unknown. So the reason is
logged here, as an error.
"""

from __future__ import annotations

import logging

from hero_rl.errors import install_command

logger = logging.getLogger(__name__)

try:
    from hero_rl.engines.verl import trainer
except Exception as error:
    logger.error(
        "hero-rl: the trainer modes hero_sync, hero_colocate_async and hero_separate_async are not available, because their "
        "module cannot be loaded: %s: %s. hero-rl works with verl 0.9: %s",
        type(error).__name__,
        error,
        install_command("verl"),
    )
    raise

__all__ = ["trainer"]
