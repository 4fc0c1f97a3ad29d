"""`python -m hero_rl`: the same as `hero`."""

from __future__ import annotations

import sys

from hero_rl.cli import main

sys.exit(main())
