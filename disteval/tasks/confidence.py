"""What a classifier's confidence tells: whether it is calibrated, and which labels are wrong."""

from __future__ import annotations

import numpy as np

# As in Guo et al., "On Calibration of Modern Neural Networks" (2017).
CALIBRATION_BINS = 15
# Averages of float32 probabilities are rounded.
ROUNDING = 1e-6


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Returns the mean gap between confidence and accuracy, over bins of equal width.

    Args:
        confidence: float of shape `(samples,)`, the probability of the predicted class.
        correct: bool of shape `(samples,)`.
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    # A bin excludes its lower edge.
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, correct.astype(np.float64) - confidence, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def suspect_labels(
    truth: np.ndarray, confidence: np.ndarray, classes: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Returns which labels are probably wrong, by confident learning.

    A class is confidently predicted if it is at least as probable as it is on average for the
    samples with that label. The most probable one of these classes has to be the label. This is
    the confident joint of Northcutt et al. (2021, https://doi.org/10.1613/jair.1.12125), among the
    classes that are given.

    Args:
        truth: int of shape `(samples,)`, the label.
        confidence: float of shape `(samples,)`, the probability of the label.
        classes: int of shape `(samples, k)`, the most probable classes, in that order.
        scores: float of shape `(samples, k)`, their probabilities.

    Returns:
        bool of shape `(samples,)`.
    """
    counts = np.bincount(truth, minlength=int(classes.max(initial=0)) + 1)
    sums = np.bincount(truth, confidence, len(counts))
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    is_confident = scores >= thresholds[classes] - ROUNDING
    first = classes[np.arange(len(classes)), is_confident.argmax(axis=1)]
    return is_confident.any(axis=1) & (first != truth)
