"""`ClassificationEval`: one class of several, or several at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.errors import DataError, DistEvalError
from disteval.tasks import curves
from disteval.tasks.base import Assessment, TaskEval, by_class, listed, require
from disteval.tasks.probabilities import (
    check_from_logits,
    numbers_of,
    returns_logits,
    single_output,
    to_probabilities,
)

# Bins of equal width over the confidence, as in Guo et al., "On Calibration of Modern Neural
# Networks" (2017).
CALIBRATION_BINS = 15


class ClassificationEval(TaskEval):
    """Evaluates a classifier.

    The prediction table has the columns `prediction`, `top_k` (names of the most probable
    classes), `top_k_scores` (their probabilities), `confidence`, `correct` and `loss`
    (cross-entropy) beside the sample's input and `label`. To the run go `eval/loss`,
    `eval/accuracy`, `eval/top_<k>_accuracy` (with more than k classes), `eval/precision`,
    `eval/recall` and `eval/f1` (means over the classes that occur in labels or predictions, and
    for each of up to 50 classes as `eval/f1/<class>`), `eval/ece` (expected calibration error, 15
    bins) and, for up to 100 classes, a confusion matrix and, where all probabilities travel, PR
    and ROC curves.

    From each sample travel the `top_k` classes, their scores and the loss: 22 bytes with the
    default `top_k`, however many classes there are.

    Args:
        validation_data: See `DistEvalCallback`; labels are class numbers, one-hot, or multi-hot
            with `multi_label`. Binary classifiers may have one output.
        class_names: The name of each class; by default its number.
        top_k: How many of the most probable classes are shown.
        from_logits: Whether the model returns logits; `"auto"` asks its last layer and its loss.
        multi_label: Whether a sample may be of several classes or of none. Then the classes with
            a probability of 0.5 or more are predicted, a sample is correct if all of them are
            right, and there is no top-k accuracy, calibration error or confusion matrix. A bit
            for each class travels in addition.
        log_probabilities: Sends the probabilities of all classes, for the column `probabilities`
            and for PR and ROC curves, which need all of them. That is 4 bytes more for each
            sample and class. With `top_k` classes or fewer, all travel anyway.
        image_key: See `TaskEval`.
        options: Those of `TaskEval`, such as `rows` and `num_rows`, and of `DistEvalCallback`.

    Raises:
        DistEvalError: An argument is invalid, or scikit-learn is missing.

    Example:
        ```python
        evaluation = disteval.ClassificationEval(
            (x_val, y_val), class_names=["cat", "dog"], rows="stratified", num_rows=100
        )
        model.fit(x, y, callbacks=[evaluation])
        ```
    """

    def __init__(
        self,
        validation_data: Any,
        class_names: Sequence[str] | None = None,
        top_k: int = 3,
        from_logits: bool | str = "auto",
        multi_label: bool = False,
        image_key: Any = None,
        log_probabilities: bool = False,
        **options: Any,
    ) -> None:
        require("sklearn")
        check_from_logits(from_logits)
        if top_k < 1:
            raise DistEvalError(f"Received: top_k={top_k}. Expected: a positive integer.")
        super().__init__(validation_data, image_key=image_key, **options)
        self.class_names = None if class_names is None else listed(class_names)
        self.top_k = top_k
        self.from_logits = from_logits
        self.multi_label = multi_label
        self.log_probabilities = log_probabilities
        self._names: list[Any] = []

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns what travels of a batch.

        Returns:
            `classes` (uint16 or int32) and `scores` (float32) of shape `(batch, top_k)`, the most
            probable first; `loss` (float32) of shape `(batch,)`; with `multi_label`, `predicted`
            (uint8), a bit for each class; with `log_probabilities`, `probabilities` (float32) of
            shape `(batch, classes)`.
        """
        outputs = single_output(outputs)
        outputs = outputs[:, tf.newaxis] if len(outputs.shape) == 1 else outputs
        if len(outputs.shape) != 2 or outputs.shape[-1] is None:
            raise DataError(
                f"Received: outputs of shape {outputs.shape}. Expected: (samples, classes)."
            )
        logits = returns_logits(self.model, self.from_logits)
        probabilities = to_probabilities(outputs, logits, self.multi_label)
        self._learn_classes(probabilities.shape[-1])
        top_k = min(self.top_k, len(self._names))
        scores, classes = tf.math.top_k(probabilities, top_k)
        small = len(self._names) <= np.iinfo(np.uint16).max + 1
        result = {
            "classes": tf.cast(classes, tf.uint16 if small else tf.int32),
            "scores": scores,
            "loss": self._loss(outputs, logits, self._checked(numbers_of(batch))),
        }
        if self.multi_label:
            result["predicted"] = _packed(probabilities >= 0.5)
        if self.log_probabilities:
            result["probabilities"] = probabilities
        return result

    def read_label(self, y: Any) -> Any:
        """Returns the number of the class; with `multi_label`, bool of shape `(classes,)`."""
        y = np.asarray(y)
        if self.multi_label:
            return y.reshape(-1) > 0.5
        number = y.argmax() if y.size > 1 else y.item()
        if not 0 <= number < len(self._names) or number != int(number):
            raise DataError(
                f"Received: a label {number}. Expected: 0 to {len(self._names) - 1}, since the "
                f"model has {len(self._names)} classes."
            )
        return int(number)

    def strata(self, labels: Sequence[Any]) -> np.ndarray:
        """Returns the class; with `multi_label`, the first one, or -1 for none."""
        if self.multi_label:
            return np.array([label.argmax() if label.any() else -1 for label in labels])
        return np.asarray(labels)

    def truth_cells(self, x: Any, label: Any) -> dict[str, Any]:
        """Returns the input and the name of the class."""
        return {**self._inputs.cells(x), "label": self._named(label)}

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns the names of the predicted classes."""
        predictions = {name: column[shown] for name, column in self.predictions.items()}
        return {
            "prediction": [self._named(value) for value in self._predicted(predictions)],
            "top_k": [[self._names[i] for i in row] for row in predictions["classes"]],
        }

    def assess(self, predictions: dict[str, np.ndarray], labels: Sequence[Any]) -> Assessment:
        """Returns metrics and columns."""
        from sklearn import metrics

        truth, predicted = np.asarray(labels), self._predicted(predictions)
        correct = truth == predicted
        if self.multi_label:
            correct = correct.all(axis=1)
        of_classes = metrics.precision_recall_fscore_support(
            truth, predicted, labels=range(len(self._names)), zero_division=0
        )
        # As scikit-learn does it by default.
        occurs = slice(None) if self.multi_label else np.union1d(truth, predicted)
        values = {
            "loss": predictions["loss"].mean(dtype=np.float64),
            "accuracy": metrics.accuracy_score(truth, predicted),
        }
        for name, of_class in zip(("precision", "recall", "f1"), of_classes, strict=False):
            values |= {name: of_class[occurs].mean(), **by_class(name, of_class, self._names)}
        confidence = predictions["scores"][:, 0]
        plots: dict[str, Any] = {}
        if not self.multi_label:
            top = predictions["classes"]
            if top.shape[1] < len(self._names):
                in_top = (top == truth[:, np.newaxis]).any(axis=1)
                values[f"top_{self.top_k}_accuracy"] = in_top.mean()
            values["ece"] = expected_calibration_error(confidence, correct)
            plots |= curves.confusion_matrix(truth, predicted, self._names)
        columns = {
            "top_k_scores": predictions["scores"],
            "confidence": confidence,
            "correct": correct,
            "loss": predictions["loss"],
        }
        probabilities = self._all_probabilities(predictions)
        if self.log_probabilities:
            columns["probabilities"] = probabilities
        if probabilities is not None:
            plots |= curves.pr_and_roc(truth, probabilities, self._names)
        return Assessment(values, plots, predictions["loss"], columns)

    def _learn_classes(self, count: int) -> None:
        names = list(range(count)) if self.class_names is None else self.class_names
        if len(names) != count:
            raise DataError(
                f"Received: {len(names)} class_names for a model of {count} classes. Expected: a "
                "name for each."
            )
        self._names = names

    def _checked(self, labels: Any) -> Any:
        """Returns labels whose shape fits to the classes."""
        classes = len(self._names)
        shapes: list[list[int]] = [[classes]]
        if classes == 1 or not self.multi_label:
            shapes += [[], [1]]
        if not any(labels.shape[1:].is_compatible_with(shape) for shape in shapes):
            kind = "multi-hot" if self.multi_label else "class numbers, or one-hot"
            raise DataError(
                f"Received: labels of shape {labels.shape} for a model of {classes} classes. "
                f"Expected: {kind} of shape (samples, {classes})."
            )
        return labels

    def _loss(self, outputs: Any, logits: bool, labels: Any) -> Any:
        """Returns the cross-entropy of each sample; float32, `(batch,)`."""
        losses, classes = tf.keras.losses, len(self._names)
        if self.multi_label:
            labels = tf.cast(tf.reshape(labels, tf.shape(outputs)), tf.float32)
            return losses.binary_crossentropy(labels, outputs, from_logits=logits)
        if len(labels.shape) > 1 and labels.shape[-1] != 1:
            labels = tf.argmax(labels, axis=-1)
        # What is no class is found on the chief, with a message of its own.
        labels = tf.clip_by_value(tf.cast(tf.reshape(labels, [-1]), tf.int64), 0, classes - 1)
        if outputs.shape[-1] == 1:
            labels = tf.cast(labels, tf.float32)[:, tf.newaxis]
            return losses.binary_crossentropy(labels, outputs, from_logits=logits)
        return losses.sparse_categorical_crossentropy(labels, outputs, from_logits=logits)

    def _all_probabilities(self, predictions: dict[str, np.ndarray]) -> np.ndarray | None:
        """Returns the probabilities of all classes, if they are there."""
        classes, scores = predictions["classes"], predictions["scores"]
        if classes.shape[1] < len(self._names):
            return predictions.get("probabilities")
        probabilities = np.full_like(scores, np.nan)
        np.put_along_axis(probabilities, classes.astype(np.int64), scores, axis=1)
        return probabilities

    def _predicted(self, predictions: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the predicted class of each sample; with `multi_label`, bool of each class."""
        if not self.multi_label:
            return predictions["classes"][:, 0].astype(np.int64)
        bits = np.unpackbits(predictions["predicted"], axis=1, bitorder="little")
        return bits[:, : len(self._names)].astype(bool)

    def _named(self, value: Any) -> Any:
        """Returns the name of a class, or the names of several."""
        if self.multi_label:
            return [self._names[i] for i in np.flatnonzero(value)]
        return self._names[value]


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Returns the mean gap between confidence and accuracy, over bins of the confidence.

    Args:
        confidence: float of shape `(samples,)`, the probability of the predicted class.
        correct: bool of shape `(samples,)`.
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    # Bins are open at their lower end.
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, correct.astype(np.float64) - confidence, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _packed(flags: Any) -> Any:
    """Packs bool of shape `(batch, n)` into uint8 of shape `(batch, n / 8)`, the low bit first."""
    padded = tf.pad(flags, [[0, 0], [0, -flags.shape[-1] % 8]])
    octets = tf.reshape(tf.cast(padded, tf.int32), [-1, padded.shape[-1] // 8, 8])
    return tf.cast(tf.reduce_sum(octets * 2 ** tf.range(8), axis=-1), tf.uint8)
