"""Verifiers: correct, incorrect or abstain for each response, with a reason. By rule, by a model, or one behind the other."""

from __future__ import annotations

from hero_rl.cache import CachedVerifier
from hero_rl.verifiers.by import ByField
from hero_rl.verifiers.cascade import Cascade
from hero_rl.verifiers.choice import ChoiceVerifier
from hero_rl.verifiers.column import ColumnVerifier
from hero_rl.verifiers.compat import HendrycksVerifier, MathVerifyVerifier
from hero_rl.verifiers.exact import ExactVerifier
from hero_rl.verifiers.judge import JudgeVerifier, LocalJudge, RemoteJudge
from hero_rl.verifiers.learned import LearnedVerifier
from hero_rl.verifiers.math import MathVerifier
from hero_rl.verifiers.votes import all_of, any_of, majority

__all__ = [
    "ByField",
    "CachedVerifier",
    "Cascade",
    "ChoiceVerifier",
    "ColumnVerifier",
    "ExactVerifier",
    "HendrycksVerifier",
    "JudgeVerifier",
    "LearnedVerifier",
    "LocalJudge",
    "MathVerifier",
    "MathVerifyVerifier",
    "RemoteJudge",
    "all_of",
    "any_of",
    "majority",
]
