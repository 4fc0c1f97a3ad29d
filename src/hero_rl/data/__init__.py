"""Rollouts in and out: JSON Lines and Parquet, checked row by row, streamed, never half-written."""

from hero_rl.data.rollouts import Columns, Row, read_rollouts
from hero_rl.data.scoring import ScoreSummary, score_file
from hero_rl.data.verify import VerifySummary, verify_file

__all__ = ["Columns", "Row", "ScoreSummary", "VerifySummary", "read_rollouts", "score_file", "verify_file"]
