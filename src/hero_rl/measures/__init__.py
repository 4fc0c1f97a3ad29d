"""Statistics of scores and verdicts, with intervals: pure functions on numpy arrays.

Arguments that all measures share have shape (B,): finite ``scores_B`` and ``values_B``; ``labels_B`` of 0 and 1; ``groups_B``,
``clusters_B`` and ``cells_B`` of names or numbers; and ``weights_B`` >= 0, how often each row counts, so that the bootstrap
draws whole prompts and copies no data. ``level`` is the coverage of an interval. An ``InputError`` says which of them is wrong.
"""

from hero_rl.measures.alignment import UpdateQuality, update_quality, verifier_alignment, working_share
from hero_rl.measures.calibration import CalibrationBin, calibration_curve, expected_calibration_error
from hero_rl.measures.correlation import rank_correlation, within_correlation
from hero_rl.measures.inside import FEW_PROMPTS, InsidePrompts, ranking_inside
from hero_rl.measures.intervals import (
    UNKNOWN,
    Estimate,
    auroc_interval,
    bootstrap,
    clustered_standard_error,
    clusters_missing,
    crossed_interval,
    mean_interval,
    mean_of_clusters,
    share_interval,
)
from hero_rl.measures.paired import PairedDifference, holm, paired_difference
from hero_rl.measures.ranking import (
    auroc,
    auroc_of_groups,
    group_auroc,
    pair_accuracy,
    pair_counts,
    recall_at_fpr,
    weighted_share,
)

__all__ = [
    "FEW_PROMPTS",
    "UNKNOWN",
    "CalibrationBin",
    "Estimate",
    "InsidePrompts",
    "PairedDifference",
    "UpdateQuality",
    "auroc",
    "auroc_interval",
    "auroc_of_groups",
    "bootstrap",
    "calibration_curve",
    "clustered_standard_error",
    "clusters_missing",
    "crossed_interval",
    "expected_calibration_error",
    "group_auroc",
    "holm",
    "mean_interval",
    "mean_of_clusters",
    "pair_accuracy",
    "pair_counts",
    "paired_difference",
    "rank_correlation",
    "ranking_inside",
    "recall_at_fpr",
    "share_interval",
    "update_quality",
    "verifier_alignment",
    "weighted_share",
    "within_correlation",
    "working_share",
]
