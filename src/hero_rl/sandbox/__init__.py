"""Killable worker processes: a hard deadline, a memory limit and a typed outcome for every check."""

from __future__ import annotations

from hero_rl.sandbox.outcomes import Outcome, Plain, SandboxSettings, SandboxStats, Seconds, Workers, available_cpus
from hero_rl.sandbox.sandbox import Sandbox

__all__ = ["Outcome", "Plain", "Sandbox", "SandboxSettings", "SandboxStats", "Seconds", "Workers", "available_cpus"]
