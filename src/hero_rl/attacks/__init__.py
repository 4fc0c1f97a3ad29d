"""Attacks on a verifier: wrong answers made from your own problems and references, and how many of them it accepts.

read_targets     a file to problems with references
wrong_answers    one problem to wrong answers, each surely wrong
attack           a verifier and targets to rates by kind, with every accepted attack
write_attack     the report as a page

What decides that an answer is wrong is text and numbers alone, never a verifier: a verifier that decided what is wrong would
hide its own mistakes. Where it is in doubt, an answer is left out.
"""

from hero_rl.attacks.page import write_attack
from hero_rl.attacks.perturb import wrong_answers
from hero_rl.attacks.run import Accepted, AttackReport, KindReport, Trade, accepted_row, attack
from hero_rl.attacks.targets import Target, labelled_rollouts, read_targets
from hero_rl.attacks.text import Wrong

__all__ = [
    "Accepted",
    "AttackReport",
    "KindReport",
    "Target",
    "Trade",
    "Wrong",
    "accepted_row",
    "attack",
    "labelled_rollouts",
    "read_targets",
    "write_attack",
    "wrong_answers",
]
