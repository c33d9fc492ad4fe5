"""`SegmentationEval`: a class for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import wandb
from wandb.data_types import ImageMask

from disteval.errors import DataError
from disteval.tasks.base import Assessment, TaskEval, by_class, listed
from disteval.tasks.probabilities import (
    check_from_logits,
    numbers_of,
    returns_logits,
    single_output,
)

# What W&B can show in a mask. Classes from here on are shown as one, and measured as they are.
MAX_SHOWN = 255


class SegmentationEval(TaskEval):
    """Evaluates a semantic segmentation.

    The prediction table has the columns `image` (the image of the ground-truth table, by
    reference, with both masks), `iou` (mean over the classes of the sample), `pixel_accuracy` and
    `iou/<class>`. To the run go `eval/mean_iou`, `eval/dice` (both means over the classes that
    occur), `eval/pixel_accuracy`, and for each of up to 50 classes `eval/iou/<class>` and
    `eval/dice/<class>`, all counted over the pixels of all samples.

    The mask is made on the replica, so that 1 byte travels for each pixel, or 2 with more than
    256 classes. The masks of all samples are held in memory, both predictions and labels.

    Args:
        validation_data: See `DistEvalCallback`; labels are class numbers of shape `(samples,
            height, width)` or `(samples, height, width, 1)`, or one-hot with a last dimension for
            the classes. The model returns `(samples, height, width, classes)`, or for two
            classes a last dimension of 1.
        class_names: The name of each class.
        ignore_index: Pixels with this label count nowhere; if it is the number of a class, that
            class is left out of the metrics.
        from_logits: Whether a model with one output for two classes returns logits; see
            `ClassificationEval`.
        options: Those of `TaskEval`, such as `rows` and `num_rows`, and of `DistEvalCallback`.
            The worst samples are those with the lowest mean IoU, and the strata those of the most
            frequent class of a sample.

    Raises:
        DistEvalError: An argument is invalid.

    Example:
        ```python
        evaluation = disteval.SegmentationEval(
            val_dataset, class_names=["road", "car"], ignore_index=255, rows="worst", num_rows=50
        )
        model.fit(train_dataset, callbacks=[evaluation])
        ```
    """

    def __init__(
        self,
        validation_data: Any,
        class_names: Sequence[str],
        ignore_index: int | None = None,
        *,
        from_logits: bool | str = "auto",
        **options: Any,
    ) -> None:
        check_from_logits(from_logits)
        super().__init__(validation_data, **options)
        self.class_names = listed(class_names)
        self.ignore_index = ignore_index
        self.from_logits = from_logits
        # The label of ignored pixels in memory: one behind the last class.
        self._ignored = len(self.class_names)
        self._label_dtype = np.min_scalar_type(self._ignored)

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the predicted masks; uint8 or uint16, `(batch, height, width)`."""
        outputs, labels = single_output(outputs), numbers_of(batch)
        outputs = outputs[..., tf.newaxis] if len(outputs.shape) == 3 else outputs
        if len(outputs.shape) != 4 or not outputs.shape[1:3].is_compatible_with(labels.shape[1:3]):
            raise DataError(
                f"Received: outputs of shape {outputs.shape} for labels of shape {labels.shape}. "
                "Expected: (samples, height, width, classes) for (samples, height, width)."
            )
        classes = max(outputs.shape[-1], 2)
        if classes != len(self.class_names):
            raise DataError(
                f"Received: {len(self.class_names)} class_names for a model of {classes} classes. "
                "Expected: a name for each."
            )
        if outputs.shape[-1] == 1:
            threshold = 0.0 if returns_logits(self.model, self.from_logits) else 0.5
            masks = outputs[..., 0] >= threshold
        else:
            masks = tf.argmax(outputs, axis=-1)
        return tf.cast(masks, tf.uint8 if classes <= 256 else tf.uint16)

    def read_label(self, y: Any) -> np.ndarray:
        """Returns the mask with ignored pixels as one more class; `(height, width)`."""
        mask = np.asarray(y)
        if mask.ndim == 3:
            mask = mask[..., 0] if mask.shape[-1] == 1 else mask.argmax(axis=-1)
        if self.ignore_index is not None:
            # Behind the last class may be behind the range of the labels' type, too.
            mask = np.where(mask == self.ignore_index, np.int64(self._ignored), mask)
        if mask.min() < 0 or mask.max() > self._ignored - (self.ignore_index is None):
            raise DataError(
                f"Received: labels from {mask.min()} to {mask.max()} for {self._ignored} classes. "
                "Expected: class numbers from 0, and ignore_index for pixels that do not count."
            )
        return mask.astype(self._label_dtype)

    def strata(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the most frequent class of each sample."""
        return np.array([np.bincount(label.reshape(-1)).argmax() for label in labels])

    def truth_cells(self, x: Any, label: np.ndarray) -> dict[str, Any]:
        """Returns the image with its mask."""
        mask = self._mask(label, "ground_truth")
        return {"image": wandb.Image(self._inputs.image(x), masks={"ground_truth": mask})}

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns the images of the ground-truth table, with the predicted masks in addition."""
        # W&B has no public way to the masks of an image.
        images = []
        for index, image in zip(shown, self.data_table.get_column("image"), strict=True):
            masks = {
                "ground_truth": image._masks["ground_truth"],
                "predictions": self._mask(self.predictions[index], "predictions"),
            }
            images.append(wandb.Image(image, masks=masks))
        return {"image": images}

    def assess(self, predictions: Any, labels: Sequence[np.ndarray]) -> Assessment:
        """Returns metrics and columns."""
        classes = len(self.class_names)
        counts = np.stack(
            [count(label, mask, classes) for label, mask in zip(labels, predictions, strict=True)]
        )
        if self.ignore_index in range(classes):
            counts[:, :, self.ignore_index] = 0
        total = counts.sum(axis=0)
        iou, dice, of_samples = _iou(total), _dice(total), _iou(counts)
        mean_ious = _mean(of_samples)
        names = self.class_names
        metrics = {
            "mean_iou": _mean(iou),
            "dice": _mean(dice),
            "pixel_accuracy": _accuracy(total),
            **by_class("iou", iou, names),
            **by_class("dice", dice, names),
        }
        columns = {
            "iou": mean_ious,
            "pixel_accuracy": _accuracy(counts),
            **by_class("iou", of_samples.T, names),
        }
        # A sample without a pixel that counts is not bad.
        return Assessment(metrics, {}, 1 - np.nan_to_num(mean_ious, nan=1), columns)

    def _mask(self, mask: np.ndarray, key: str) -> ImageMask:
        names = dict(enumerate(self.class_names[:MAX_SHOWN]))
        if self._ignored <= MAX_SHOWN:
            names[self._ignored] = "ignored"
        else:
            names[MAX_SHOWN] = "other"
        shown = np.minimum(mask, MAX_SHOWN).astype(np.uint8)
        return ImageMask({"mask_data": shown, "class_labels": names}, key)


def count(label: np.ndarray, mask: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pixels of one sample.

    By NumPy, since scikit-learn and Keras take 10 times as long for the same numbers, and do not
    work sample by sample.

    Args:
        label: int of shape `(height, width)`; what is not below `classes` does not count.
        mask: int of shape `(height, width)`.
        classes: The number of classes.

    Returns:
        int64 of shape `(3, classes)`: pixels of a class that are predicted right, of the label,
        and of the prediction.

    Raises:
        DataError: The shapes differ.
    """
    if label.shape != mask.shape:
        raise DataError(
            f"Received: a predicted mask of shape {mask.shape} for a label of shape {label.shape}. "
            "Expected: the same shape."
        )
    counted = label < classes
    parts = (label[counted & (label == mask)], label[counted], mask[counted])
    return np.stack([np.bincount(part, minlength=classes) for part in parts])


def _iou(counts: np.ndarray) -> np.ndarray:
    """Returns intersection over union by class; NaN where a class does not occur."""
    right, truth, predicted = np.moveaxis(counts, -2, 0)
    return _ratio(right, truth + predicted - right)


def _dice(counts: np.ndarray) -> np.ndarray:
    right, truth, predicted = np.moveaxis(counts, -2, 0)
    return _ratio(2 * right, truth + predicted)


def _accuracy(counts: np.ndarray) -> np.ndarray:
    right, truth, _ = np.moveaxis(counts.sum(axis=-1), -1, 0)
    return _ratio(right, truth)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean over the classes that occur."""
    occurs = ~np.isnan(values)
    return _ratio(np.where(occurs, values, 0).sum(axis=-1), occurs.sum(axis=-1))
