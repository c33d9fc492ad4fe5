"""Calibration, and labels that are probably wrong."""

from __future__ import annotations

import numpy as np
import pytest

from disteval.tasks.confidence import expected_calibration_error, suspect_labels


def test_calibration_error_by_definition() -> None:
    random = np.random.default_rng(0)
    confidence = np.append(random.random(500), [0.0, 1.0, 0.2])
    correct = random.random(503) < confidence
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if i == 0:
            inside |= confidence == 0
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            expected += inside.mean() * gap
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("top_k", [10, 3])
def test_suspect_labels_by_definition(top_k: int) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 9, 400)  # class 9 has no sample
    logits = random.normal(size=(400, 10)) + 5 * np.eye(10)[truth]
    wrong = random.random(400) < 0.1
    truth[wrong] = (truth[wrong] + 1) % 9
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = probabilities[np.arange(400), truth]
    thresholds = [own[truth == i].mean() if (truth == i).any() else np.inf for i in range(10)]
    order = np.argsort(-probabilities, axis=1)[:, :top_k]
    expected = []
    for sample in range(400):
        over = [i for i in order[sample] if probabilities[sample, i] >= thresholds[i]]
        expected.append(bool(over) and over[0] != truth[sample])
    found = suspect_labels(truth, own, order, np.take_along_axis(probabilities, order, axis=1))
    np.testing.assert_array_equal(found, expected)
    assert found[wrong].mean() > 0.7, "labels that were changed are found"
    assert found[~wrong].mean() < 0.05


def test_a_diverged_model_has_no_suspects() -> None:
    scores = np.full((4, 2), np.nan)
    classes = np.zeros((4, 2), np.int64)
    assert not suspect_labels(np.zeros(4, np.int64), scores[:, 0], classes, scores).any()
