"""`ClassificationEval`: one class for each sample, or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from disteval.arguments import check_bool, check_choice, check_positive
from disteval.errors import DataError
from disteval.optional import require
from disteval.tables.history import Outcome
from disteval.tasks import curves
from disteval.tasks.assessment import Assessment
from disteval.tasks.base import TaskEval
from disteval.tasks.classes import by_class, check_count, checked_names, class_number
from disteval.tasks.confidence import expected_calibration_error, suspect_labels
from disteval.tasks.logits import returns_logits
from disteval.tasks.options import TaskOptions
from disteval.tasks.probabilities import numbers_of, pack_bits, to_probabilities, unpack_bits
from disteval.tasks.rows import OF_CLASSES
from disteval.tasks.selection import only_leaf

if TYPE_CHECKING:
    from typing_extensions import Unpack  # a part of `typing` from Python 3.11 on


class ClassificationEval(TaskEval):
    """Evaluates a classifier.

    The prediction table has the columns `prediction`, `top_k` (names of the most probable
    classes), `top_k_scores` (their probabilities), `confidence`, `correct` and `loss`
    (cross-entropy) beside the sample's input and `label`. The run gets `eval/loss`,
    `eval/accuracy`, `eval/top_<k>_accuracy` (with more than k classes), `eval/precision`,
    `eval/recall` and `eval/f1` (means over the classes that occur in labels or predictions; with
    up to 50 classes also by class, as `eval/f1/<class>`), `eval/ece` (expected calibration error,
    15 bins) and, with up to 100 classes, a confusion matrix. If the chief has all probabilities,
    PR and ROC curves are added.

    With `history`, the table also has `previous` (the prediction of the version before), `changed`,
    `times_forgotten` (how often a right sample became wrong in the next version), `mean_confidence`
    and `variability` (mean and standard deviation over the versions of the probability of the true
    label), `suspect` and `loss_change`. The run gets `eval/fixed` and `eval/broken`: how many
    samples became right and wrong since the version before. `suspect` marks labels that are
    probably wrong, by confident learning among the `top_k` classes (see
    `disteval.tasks.confidence`). `rows="suspect"` orders by self-confidence, the probability of the
    label in the newest version, which is what cleanlab ranks by (Kuan and Mueller, 2022,
    https://arxiv.org/abs/2210.03920).

    Each sample sends the `top_k` classes, their scores and the loss to the chief: 22 bytes with
    the default `top_k`, whatever the number of classes.

    Args:
        validation_data: See `DistEvalCallback`; labels are class numbers, one-hot, or multi-hot
            with `multi_label`. Binary classifiers may have one output.
        class_names: The name of each class; by default its number.
        top_k: How many of the most probable classes are shown.
        from_logits: Whether the model returns logits. `"auto"` finds out from the layer that makes
            the output and from the loss that was compiled for it, and raises if they do not say.
        multi_label: Whether a sample may have several classes or none. Classes with a probability
            of at least 0.5 are then predicted, a sample is correct if all its classes are, and
            there is no top-k accuracy, calibration error or confusion matrix. Each sample sends
            one more bit for each class.
        log_probabilities: Whether each sample sends the probabilities of all classes, 4 bytes for
            each, for the column `probabilities` and for PR and ROC curves. With at most `top_k`
            classes, all probabilities are sent anyway.
        options: Arguments of `TaskEval`, such as `rows` and `num_rows`, and of
            `DistEvalCallback`.

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

    row_choices = (*TaskEval.row_choices, *OF_CLASSES)

    def __init__(
        self,
        validation_data: Any,
        class_names: Sequence[str] | None = None,
        top_k: int = 3,
        from_logits: bool | str = "auto",
        multi_label: bool = False,
        *,
        log_probabilities: bool = False,
        **options: Unpack[TaskOptions],
    ) -> None:
        require("sklearn")
        check_choice("from_logits", from_logits, (True, False, "auto"))
        check_positive("top_k", top_k)
        check_bool("multi_label", multi_label)
        check_bool("log_probabilities", log_probabilities)
        super().__init__(validation_data, **options)
        self.class_names = None if class_names is None else checked_names(class_names)
        self.top_k = top_k
        self.from_logits = from_logits
        self.multi_label = multi_label
        self.log_probabilities = log_probabilities
        self._names: list[Any] = []

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns what each sample of a batch sends to the chief.

        Returns:
            `classes` (uint16 or int32) and `scores` (float32) of shape `(batch, top_k)`, the most
            probable first; `loss` (float32) of shape `(batch,)`; with `multi_label`, `predicted`
            (uint8) with a bit for each class; with `log_probabilities`, `probabilities` (float32)
            of shape `(batch, classes)`.
        """
        outputs = self._single_output_of(outputs)
        outputs = outputs[:, tf.newaxis] if len(outputs.shape) == 1 else outputs
        if len(outputs.shape) != 2 or outputs.shape[-1] is None:
            raise DataError(
                "A classifier must return one row of classes for each sample. "
                f"Received: outputs of shape {outputs.shape}. Expected: (samples, classes)."
            )
        logits = returns_logits(self.model, self.from_logits, self._selection)
        probabilities = to_probabilities(outputs, logits, self.multi_label)
        self._set_names(probabilities.shape[-1])
        top_k = min(self.top_k, len(self._names))
        scores, classes = tf.math.top_k(probabilities, top_k)
        fits_uint16 = len(self._names) <= np.iinfo(np.uint16).max + 1
        result = {
            "classes": tf.cast(classes, tf.uint16 if fits_uint16 else tf.int32),
            "scores": scores,
            "loss": self._loss(
                outputs, logits, self._checked_labels(numbers_of(self._labels_of(batch)))
            ),
        }
        if self.multi_label:
            result["predicted"] = pack_bits(probabilities >= 0.5)
        if self.log_probabilities:
            result["probabilities"] = probabilities
        return result

    def read_label(self, y: Any) -> Any:
        """Returns the number of the class; with `multi_label`, bool of shape `(classes,)`."""
        y = np.asarray(only_leaf(y, "targets"))
        if not self.multi_label:
            return class_number(y, len(self._names))
        if not ((y >= 0) & (y <= 1)).all():
            raise DataError(
                f"A label is not multi-hot. Received: {y.tolist()}. "
                "Expected: 1 for each class that the sample has, and 0 for the others."
            )
        return y.reshape(-1) > 0.5

    def strata(self, labels: Sequence[Any]) -> np.ndarray:
        """Returns the class; with `multi_label`, the first class, or -1 without any."""
        if self.multi_label:
            return np.array([label.argmax() if label.any() else -1 for label in labels])
        return np.asarray(labels)

    def truth_cells(self, x: Any, label: Any) -> dict[str, Any]:
        """Returns the input and the name of the class."""
        return {**self._inputs.cells(x), "label": self._class_name(label)}

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns the names of the predicted classes."""
        predictions = {name: column[shown] for name, column in self.predictions.items()}
        return {
            "prediction": [self._class_name(value) for value in self._predicted(predictions)],
            "top_k": [[self._names[i] for i in row] for row in predictions["classes"]],
        }

    def assess(self, predictions: dict[str, np.ndarray], labels: Sequence[Any]) -> Assessment:
        """Returns metrics and columns."""
        from sklearn import metrics

        truth, predicted = np.asarray(labels), self._predicted(predictions)
        correct = truth == predicted
        if self.multi_label:
            correct = correct.all(axis=1)
        class_scores = metrics.precision_recall_fscore_support(
            truth, predicted, labels=range(len(self._names)), zero_division=0
        )
        # Means over the same classes as in scikit-learn by default.
        occurs = slice(None) if self.multi_label else np.union1d(truth, predicted)
        values = {
            "loss": predictions["loss"].mean(dtype=np.float64),
            "accuracy": metrics.accuracy_score(truth, predicted),
        }
        for name, scores in zip(("precision", "recall", "f1"), class_scores, strict=False):
            values |= {name: scores[occurs].mean(), **by_class(name, scores, self._names)}
        confidence = predictions["scores"][:, 0]
        means = {"loss": predictions["loss"], "accuracy": correct}
        if not self.multi_label:
            top = predictions["classes"]
            if top.shape[1] < len(self._names):
                means[f"top_{self.top_k}_accuracy"] = (top == truth[:, np.newaxis]).any(axis=1)
                values[f"top_{self.top_k}_accuracy"] = means[f"top_{self.top_k}_accuracy"].mean()
            values["ece"] = expected_calibration_error(confidence, correct)
        columns: dict[str, Any] = {"top_k_scores": predictions["scores"]}
        columns |= {"confidence": confidence, "correct": correct, "loss": predictions["loss"]}
        if self.log_probabilities:
            columns["probabilities"] = self._all_probabilities(predictions)
        outcome = self._outcome(predictions, truth, correct)
        return Assessment(values, predictions["loss"], columns, means, outcome)

    def plots(self, predictions: dict[str, np.ndarray], labels: Sequence[Any]) -> dict[str, Any]:
        """Returns the confusion matrix, and the curves if the chief has all probabilities."""
        truth = np.asarray(labels)
        plots: dict[str, Any] = {}
        if not self.multi_label:
            plots |= curves.confusion_matrix(truth, self._predicted(predictions), self._names)
        probabilities = self._all_probabilities(predictions)
        if probabilities is not None:
            plots |= curves.pr_and_roc(truth, probabilities, self._names)
        return plots

    def class_cells(self, predicted: np.ndarray) -> list[Any]:
        """Returns the names of predicted classes."""
        if self.multi_label:
            predicted = unpack_bits(predicted, len(self._names))
        return [self._class_name(value) for value in predicted]

    def _outcome(
        self, predictions: dict[str, np.ndarray], truth: np.ndarray, correct: np.ndarray
    ) -> Outcome:
        # Cross-entropy is the negative logarithm of the true label's probability; with several
        # labels, that of the geometric mean of the probabilities of all of them.
        confidence = np.exp(-predictions["loss"].astype(np.float64))
        if self.multi_label:
            return Outcome(predictions["predicted"], correct, confidence)
        classes = predictions["classes"].astype(np.int32)
        suspect = suspect_labels(truth, confidence, classes, predictions["scores"])
        return Outcome(classes[:, 0].copy(), correct, confidence, suspect)

    def _set_names(self, num_classes: int) -> None:
        names = list(range(num_classes)) if self.class_names is None else self.class_names
        check_count(names, num_classes)
        self._names = names

    def _checked_labels(self, labels: Any) -> Any:
        """Returns the labels, or raises a `DataError` if their shape does not fit the classes."""
        classes = len(self._names)
        shapes: list[list[int]] = [[classes]]
        if classes == 1 or not self.multi_label:
            shapes += [[], [1]]
        if not any(labels.shape[1:].is_compatible_with(shape) for shape in shapes):
            kind = "multi-hot" if self.multi_label else "class numbers, or one-hot"
            raise DataError(
                f"Labels do not fit the classes. Received: labels of shape {labels.shape} for a "
                f"model of {classes} classes. Expected: {kind} of shape (samples, {classes})."
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
        # Labels that are no class numbers must not fail here: `read_label` says what is wrong.
        labels = tf.clip_by_value(tf.cast(tf.reshape(labels, [-1]), tf.int64), 0, classes - 1)
        if outputs.shape[-1] == 1:
            labels = tf.cast(labels, tf.float32)[:, tf.newaxis]
            return losses.binary_crossentropy(labels, outputs, from_logits=logits)
        return losses.sparse_categorical_crossentropy(labels, outputs, from_logits=logits)

    def _all_probabilities(self, predictions: dict[str, np.ndarray]) -> np.ndarray | None:
        """Returns the probabilities of all classes, or `None` if they were not sent."""
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
        return unpack_bits(predictions["predicted"], len(self._names))

    def _class_name(self, value: Any) -> Any:
        """Returns the name of a class; with `multi_label`, the names of all flagged classes."""
        if self.multi_label:
            return [self._names[i] for i in np.flatnonzero(value)]
        return self._names[value]
