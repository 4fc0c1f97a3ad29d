"""The task families, one module each."""

from __future__ import annotations

from collections.abc import Mapping

from hero_lab.families.chain import CHAIN
from hero_lab.families.equations import EQUATIONS
from hero_lab.families.units import UNITS
from hero_lab.family import Family, TaskName

FAMILIES: Mapping[TaskName, Family] = {"chain": CHAIN, "equations": EQUATIONS, "units": UNITS}
