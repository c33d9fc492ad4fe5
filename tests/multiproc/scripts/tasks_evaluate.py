"""Runs each ready-made evaluator, and prints its metrics by scikit-learn or pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable

import numpy as np
import sacrebleu
import tensorflow as tf
import wandb
from sklearn import metrics
from sklearn.datasets import load_diabetes

import disteval
import replicas
import tasks_data as data

EPOCHS = 2
strategy = replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
launch = f"{replicas.BACKEND}-{replicas.REPLICAS}"
expected: dict[str, dict[str, float]] = {}


def train(
    build: Callable[[], tf.keras.Model], x: object, y: object, evaluation: object
) -> tf.keras.Model:
    with strategy.scope():
        model = build()
    model.fit(x, y, epochs=EPOCHS, batch_size=64, verbose=0, callbacks=[evaluation])
    return model


def start(task: str) -> None:
    if chief:
        wandb.init(project="tables", id=f"{task}-{launch}")


def finish(task: str, values: Callable[[], dict[str, float]]) -> None:
    if chief:
        expected[task] = {name: float(value) for name, value in values().items()}
        wandb.finish()


def classification() -> None:
    start("classification")
    x, y = data.DIGITS[:600], data.LABELS[:600]
    evaluation = disteval.ClassificationEval(
        (x, y),
        class_names=data.NAMES,
        rows="stratified",
        num_rows=40,
        panel=True,
        log_probabilities=True,
        backend=replicas.BACKEND,
    )
    model = train(data.classifier, x[:64], y[:64], evaluation)
    probabilities = tf.nn.softmax(model.predict(x, verbose=0)).numpy() if chief else None

    def values() -> dict[str, float]:
        predicted = evaluation.predictions["classes"][:, 0]
        np.testing.assert_array_equal(predicted, probabilities.argmax(axis=1))
        recall = metrics.recall_score(y, predicted, average=None)
        return {
            "accuracy": metrics.accuracy_score(y, predicted),
            "top_3_accuracy": metrics.top_k_accuracy_score(y, probabilities, k=3),
            "precision": metrics.precision_score(y, predicted, average="macro"),
            "f1": metrics.f1_score(y, predicted, average="macro"),
            "loss": metrics.log_loss(y, probabilities),
            **{f"recall/{name}": value for name, value in zip(data.NAMES, recall, strict=True)},
        }

    finish("classification", values)


def wide_classification() -> None:
    start("wide")
    x, y = data.DIGITS[:200], data.LABELS[:200]
    evaluation = disteval.ClassificationEval((x, y), top_k=3, backend=replicas.BACKEND)
    train(lambda: data.classifier(1000), x[:64], y[:64], evaluation)
    finish("wide", lambda: {})


def worst() -> None:
    """Trains a model that learns, so that each version has other worst samples."""
    start("worst")
    x, y = data.DIGITS[:200], data.LABELS[:200]
    evaluation = disteval.ClassificationEval(
        (x, y), rows="worst", num_rows=5, backend=replicas.BACKEND
    )

    def build() -> tf.keras.Model:
        model = data.classifier()
        model.optimizer.learning_rate = 1.0
        return model

    train(build, x, y, evaluation)
    finish("worst", lambda: {})


def mixed() -> None:
    """Evaluates a dataset of images, text and numbers, with one-hot labels."""
    start("mixed")
    dataset = data.mixed(100)
    evaluation = disteval.ClassificationEval(
        dataset, class_names=["low", "high"], image_key="photo", backend=replicas.BACKEND
    )
    model = train(data.mixed_classifier, dataset.take(1), None, evaluation)

    def values() -> dict[str, float]:
        y = data.LABELS[:100] >= 5
        high = model.predict(dataset, verbose=0)[:, 1]
        return {
            "loss": metrics.log_loss(y, high),
            "accuracy": metrics.accuracy_score(y, high > 0.5),
        }

    finish("mixed", values)


def regression() -> None:
    start("regression")
    x, y = load_diabetes(return_X_y=True)
    evaluation = disteval.RegressionEval((x, y), backend=replicas.BACKEND)
    train(data.regressor, x[:64], y[:64], evaluation)

    def values() -> dict[str, float]:
        predicted = evaluation.predictions
        return {
            "mae": metrics.mean_absolute_error(y, predicted),
            "rmse": metrics.root_mean_squared_error(y, predicted),
            "r2": metrics.r2_score(y, predicted),
        }

    finish("regression", values)


def segmentation() -> None:
    start("segmentation")
    canvases = data.canvases(50)
    x, y = canvases["images"], canvases["masks"]
    names = ["background", *data.NAMES]
    evaluation = disteval.SegmentationEval(
        (x, y),
        class_names=names,
        ignore_index=data.IGNORED,
        rows="worst",
        num_rows=10,
        backend=replicas.BACKEND,
    )
    train(data.segmenter, x[:8], y[:8], evaluation)

    def values() -> dict[str, float]:
        counted = y != data.IGNORED
        truth, predicted = y[counted], evaluation.predictions[counted]
        iou = metrics.jaccard_score(truth, predicted, average=None, labels=range(11))
        return {
            "mean_iou": iou.mean(),
            "dice": metrics.f1_score(truth, predicted, average="macro"),
            "pixel_accuracy": metrics.accuracy_score(truth, predicted),
            **{f"iou/{name}": value for name, value in zip(names, iou, strict=True)},
        }

    finish("segmentation", values)


def detection() -> None:
    start("detection")
    canvases = data.canvases(60)
    x = canvases["images"]
    y = {"boxes": canvases["boxes"], "classes": canvases["classes"]}
    evaluation = disteval.DetectionEval(
        (x, y),
        class_names=data.NAMES,
        score_threshold=0.05,
        rows="random",
        num_rows=20,
        panel=True,
        backend=replicas.BACKEND,
    )
    train(data.detector, x[:8], {name: leaf[:8] for name, leaf in y.items()}, evaluation)
    finish("detection", lambda: pycocotools_metrics(y, evaluation.predictions))


def pycocotools_metrics(truth: dict[str, np.ndarray], predicted: dict) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def annotations(boxes: object, classes: object, scores: object) -> list[dict]:
        return [
            {
                "image_id": i,
                "category_id": int(number),
                "bbox": [*map(float, box[:2]), *map(float, box[2:] - box[:2])],
                "area": float(np.prod(box[2:] - box[:2])),
                "iscrowd": 0,
                "score": float(score),
            }
            for i, rows in enumerate(zip(boxes, classes, scores, strict=True))
            for box, number, score in zip(*rows, strict=True)
            if number >= 0
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        true = annotations(truth["boxes"], truth["classes"], np.ones_like(truth["classes"]))
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truth["boxes"]))],
            "categories": [{"id": i} for i in range(10)],
            "annotations": [{**one, "id": i + 1} for i, one in enumerate(true)],
        }
        coco.createIndex()
        results = annotations(predicted["boxes"], predicted["classes"], predicted["scores"])
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    return {"ap": stats[0], "ap50": stats[1], "ap75": stats[2], "ar": stats[8]}


class Words(disteval.TextEval):
    def infer(self, model: tf.keras.Model, batch: object) -> tf.Tensor:
        return tf.cast(model(batch[0], training=False), tf.int64)


def text() -> None:
    start("text")
    x, y = data.texts()
    evaluation = Words(
        (x, y),
        data.text_of,
        prompt_key="token_ids",
        rows="worst",
        num_rows=30,
        slices={"words": [len(words.split()) for words in y]},
        backend=replicas.BACKEND,
    )
    few = {name: leaf[:64] for name, leaf in x.items()}
    train(data.echo, few, np.zeros(64), evaluation)

    def values() -> dict[str, float]:
        said = [data.text_of(ids) for ids in x["token_ids"]]
        right = [one == other for one, other in zip(said, y, strict=True)]
        return {
            "chrf": sacrebleu.corpus_chrf(said, [y.tolist()]).score,
            "exact_match": np.mean(right),
        }

    finish("text", values)


tasks = {
    "classification": classification,
    "wide": wide_classification,
    "worst": worst,
    "mixed": mixed,
    "regression": regression,
    "segmentation": segmentation,
    "detection": detection,
    "text": text,
}

if __name__ == "__main__":
    for name in sys.argv[1:]:
        tasks[name]()
    if chief:
        sys.stdout.write(f"expected {json.dumps(expected)}\n")
