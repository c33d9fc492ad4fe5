"""`SegmentationEval`: a class for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import wandb
from wandb.data_types import ImageMask

from disteval.arguments import check_choice, check_index
from disteval.errors import DataError
from disteval.tables.wandb_private import image_masks
from disteval.tasks.assessment import Assessment
from disteval.tasks.base import TaskEval
from disteval.tasks.classes import by_class, check_count, checked_names
from disteval.tasks.logits import returns_logits
from disteval.tasks.options import TaskOptions
from disteval.tasks.probabilities import numbers_of
from disteval.tasks.selection import only_leaf

if TYPE_CHECKING:
    from typing_extensions import Unpack  # a part of `typing` from Python 3.11 on

# W&B's masks hold 8 bits. Higher classes are shown as one, but the metrics keep them apart.
MAX_SHOWN = 255


class SegmentationEval(TaskEval):
    """Evaluates a semantic segmentation.

    The prediction table has the columns `image` (the image of the ground-truth table, by
    reference, with both masks), `iou` (mean over the classes of the sample), `pixel_accuracy` and
    `iou/<class>`. The run gets `eval/mean_iou`, `eval/dice` (both means over the classes that
    occur), `eval/pixel_accuracy` and, with up to 50 classes, `eval/iou/<class>` and
    `eval/dice/<class>`, all counted over the pixels of all samples.

    The replicas compute the masks, so each pixel sends 1 byte to the chief, or 2 with more than
    256 classes. The chief holds the masks of all samples in memory, both predictions and labels.

    Args:
        validation_data: See `DistEvalCallback`; labels are class numbers of shape `(samples,
            height, width)` or `(samples, height, width, 1)`, or one-hot of shape `(samples,
            height, width, classes)`. The model returns `(samples, height, width, classes)`, where
            the last dimension may be 1 for two classes.
        class_names: The name of each class.
        ignore_index: Pixels with this label do not count; if it is the number of a class, that
            class is left out of the metrics.
        from_logits: Whether a model with one output for two classes returns logits; see
            `ClassificationEval`.
        options: Arguments of `TaskEval`, such as `rows` and `num_rows`, and of
            `DistEvalCallback`. The worst samples have the lowest mean IoU; the stratum of a
            sample is its most frequent class.

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
        **options: Unpack[TaskOptions],
    ) -> None:
        check_choice("from_logits", from_logits, (True, False, "auto"))
        check_index("ignore_index", ignore_index)
        super().__init__(validation_data, **options)
        self.class_names = checked_names(class_names)
        self.ignore_index = ignore_index
        self.from_logits = from_logits
        # In memory, ignored pixels are labeled with the number after the last class.
        self._ignored = len(self.class_names)
        self._label_dtype = np.min_scalar_type(self._ignored)

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the predicted masks; uint8 or uint16, `(batch, height, width)`."""
        outputs = self._single_output_of(outputs)
        labels = numbers_of(self._labels_of(batch))
        outputs = outputs[..., tf.newaxis] if len(outputs.shape) == 3 else outputs
        if len(outputs.shape) != 4 or not outputs.shape[1:3].is_compatible_with(labels.shape[1:3]):
            raise DataError(
                "Outputs do not fit the labels. Received: outputs of shape "
                f"{outputs.shape} for labels of shape {labels.shape}. "
                "Expected: (samples, height, width, classes) for (samples, height, width)."
            )
        classes = max(outputs.shape[-1], 2)
        check_count(self.class_names, classes)
        if outputs.shape[-1] == 1:
            logits = returns_logits(self.model, self.from_logits, self._selection)
            threshold = 0.0 if logits else 0.5
            masks = outputs[..., 0] >= threshold
        else:
            masks = tf.argmax(outputs, axis=-1)
        return tf.cast(masks, tf.uint8 if classes <= 256 else tf.uint16)

    def read_label(self, y: Any) -> np.ndarray:
        """Returns the mask with ignored pixels as one more class; `(height, width)`."""
        mask = np.asarray(only_leaf(y, "targets"))
        if mask.ndim == 3:
            mask = mask[..., 0] if mask.shape[-1] == 1 else self._from_one_hot(mask)
        if self.ignore_index is not None:
            # int64, since the number after the last class may not fit the labels' dtype.
            mask = np.where(mask == self.ignore_index, np.int64(self._ignored), mask)
        highest = self._ignored - (self.ignore_index is None)
        if not (mask.min() >= 0 and mask.max() <= highest) or (mask != np.floor(mask)).any():
            raise DataError(
                "Labels are not class numbers. "
                f"Received: labels from {mask.min()} to {mask.max()} for {self._ignored} classes. "
                "Expected: class numbers from 0, and ignore_index for pixels that do not count."
            )
        return mask.astype(self._label_dtype)

    def _from_one_hot(self, mask: np.ndarray) -> np.ndarray:
        """Returns the class of each pixel."""
        ones = np.count_nonzero(mask == 1, axis=-1)
        if mask.shape[-1] != len(self.class_names) or (ones != 1).any():
            raise DataError(
                f"A label is not one-hot. Received: a label of shape {mask.shape}, with "
                f"{ones.min()} to {ones.max()} ones in a pixel. Expected: one of the "
                f"{len(self.class_names)} classes in each, or class numbers."
            )
        return mask.argmax(axis=-1)

    def strata(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the most frequent class of each sample."""
        return np.array([np.bincount(label.reshape(-1)).argmax() for label in labels])

    def truth_cells(self, x: Any, label: np.ndarray) -> dict[str, Any]:
        """Returns the image with its mask."""
        mask = self._mask(label, "ground_truth")
        return {"image": wandb.Image(self._inputs.image(x), masks={"ground_truth": mask})}

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns the images of the ground-truth table, with the predicted masks added."""
        images = []
        for index, image in zip(shown, self.data_table.get_column("image"), strict=True):
            predicted = self._mask(self.predictions[index], "predictions")
            masks = {**image_masks(image), "predictions": predicted}
            images.append(wandb.Image(image, masks=masks))
        return {"image": images}

    def assess(self, predictions: Any, labels: Sequence[np.ndarray]) -> Assessment:
        """Returns metrics and columns."""
        classes = len(self.class_names)
        counts = np.stack(
            [count_pixels(*masks, classes) for masks in zip(labels, predictions, strict=True)]
        )
        if self.ignore_index in range(classes):
            counts[:, :, self.ignore_index] = 0
        total = counts.sum(axis=0)
        iou, dice, sample_ious = _iou(total), _dice(total), _iou(counts)
        mean_ious = _mean(sample_ious)
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
            **by_class("iou", sample_ious.T, names),
        }
        # A sample whose pixels are all ignored has no loss.
        return Assessment(metrics, 1 - np.nan_to_num(mean_ious, nan=1), columns)

    def _mask(self, mask: np.ndarray, key: str) -> ImageMask:
        names = dict(enumerate(self.class_names[:MAX_SHOWN]))
        last = min(self._ignored, MAX_SHOWN)
        names[last] = "ignored" if last == self._ignored else "other"
        shown = np.minimum(mask, MAX_SHOWN).astype(np.uint8)
        return ImageMask({"mask_data": shown, "class_labels": names}, key)


def count_pixels(label: np.ndarray, mask: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pixels of one sample by class.

    scikit-learn and Keras take 10 times as long for the same numbers, and do not count sample by
    sample.

    Args:
        label: int of shape `(height, width)`; pixels of `classes` or more are ignored.
        mask: int of shape `(height, width)`, the prediction.
        classes: The number of classes.

    Returns:
        int64 of shape `(3, classes)`: for each class the number of correctly predicted pixels, of
        pixels in the label, and of pixels in the prediction.

    Raises:
        DataError: The shapes differ.
    """
    if label.shape != mask.shape:
        raise DataError(
            "Prediction and label differ in shape. Received: a predicted mask of shape "
            f"{mask.shape} for a label of shape {label.shape}. Expected: the same shape."
        )
    counted = label < classes
    kinds = (label[counted & (label == mask)], label[counted], mask[counted])
    return np.stack([np.bincount(pixels, minlength=classes) for pixels in kinds])


def _iou(counts: np.ndarray) -> np.ndarray:
    """Returns intersection over union by class; NaN if a class does not occur."""
    correct, truth, predicted = np.moveaxis(counts, -2, 0)
    return _ratio(correct, truth + predicted - correct)


def _dice(counts: np.ndarray) -> np.ndarray:
    correct, truth, predicted = np.moveaxis(counts, -2, 0)
    return _ratio(2 * correct, truth + predicted)


def _accuracy(counts: np.ndarray) -> np.ndarray:
    correct, truth, _ = np.moveaxis(counts.sum(axis=-1), -1, 0)
    return _ratio(correct, truth)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns `part / whole`; NaN where `whole` is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean over the classes that occur."""
    occurs = ~np.isnan(values)
    return _ratio(np.where(occurs, values, 0).sum(axis=-1), occurs.sum(axis=-1))
