"""Wrong calls of the public API: each is a clear error, in the constructor or before training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
from disteval import (
    ClassificationEval,
    DetectionEval,
    DistEvalCallback,
    DistEvalError,
    RegressionEval,
    SegmentationEval,
    TextEval,
)

keras = tf.keras
X = np.arange(48, dtype=np.float32).reshape(12, 4) / 48
Y = np.arange(12) % 3
IMAGES = np.zeros((6, 8, 8, 1), np.float32)
BOXES = np.tile(np.array([[1.0, 2.0, 5.0, 6.0]], np.float32), (6, 2, 1))
CLASSES = np.zeros((6, 2), np.int64)


@pytest.fixture(autouse=True, scope="module")
def _run() -> Iterator[None]:
    with wandb.init(mode="disabled"):
        yield


@functools.cache
def classifier() -> Any:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Eval(DistEvalCallback):
    """Logs nothing."""

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        pass

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        pass


class Detector(keras.Model):
    """Finds two boxes in each image."""

    def call(self, x: Any) -> Any:
        count = tf.shape(x)[0]
        boxes = tf.zeros([count, 2, 4]) + tf.constant([1.0, 2.0, 5.0, 6.0])
        return {"boxes": boxes, "classes": tf.zeros([count, 2]), "scores": tf.ones([count, 2])}


def callback(*columns: Any, **options: Any) -> Any:
    return Eval(*(columns or (["x"], ["epoch", "x"])), **{"validation_data": (X, Y), **options})


class Said(TextEval):
    """Returns strings, whatever the model says."""

    def infer(self, model: Any, batch: Any) -> Any:
        return tf.fill([tf.shape(batch[0])[0]], "text")


def starts(task: DistEvalCallback, model: Any = None) -> None:
    """Begins a training, as `fit` does; nothing is trained before the error."""
    task.model = model or classifier()
    task.on_train_begin()
    task.on_train_end()


def with_data(data: Any, **options: Any) -> None:
    starts(callback(validation_data=data, **options))


def classify(y: Any, **options: Any) -> None:
    starts(ClassificationEval((X, y), **options))


def segment(y: Any, **options: Any) -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Dense(3)])
    starts(SegmentationEval((IMAGES, y), ["a", "b", "c"], from_logits=True, **options), model)


def detect(boxes: Any, classes: Any, **options: Any) -> None:
    labels = {"boxes": boxes, "classes": classes}
    starts(DetectionEval((IMAGES, labels), ["a", "b"], **options), Detector())


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


class OneArgument(Eval):
    def postprocess(self, outputs: Any) -> Any:  # type: ignore[override]
        return outputs


def changed(y: np.ndarray, value: Any) -> np.ndarray:
    """Returns labels of which one is wrong."""
    y = y.astype(np.float64)
    y.flat[5] = value
    return y


def named(value: Any) -> str:
    """Returns a value for the name of a test, which has to be the same in each process."""
    varies = callable(value) or isinstance(value, set | Iterator)
    return type(value).__name__ if varies else repr(value)[:30]


ONE_HOT = np.eye(3)[Y]
MASKS = np.zeros((6, 8, 8), np.int64)
WRONG: list[tuple[str, Callable[[], Any], str]] = [
    # Elements and pipelines; tests/unit/data/test_sharded.py has more.
    ("no pipeline", lambda: with_data(disteval.sharded((X, Y), None)), "`pipeline` must be"),
    ("a dataset as the pipeline", lambda: with_data(
        disteval.sharded((X, Y), tf.data.Dataset.from_tensor_slices((X, Y)))),
     "`pipeline` must be a function"),
    ("unequal elements", lambda: with_data(disteval.sharded((X, Y[:3]), lambda d: d)),
     "cannot be read one by one"),
    ("a pattern as elements", lambda: with_data(disteval.sharded("val/*.png", lambda d: d)),
     "cannot be read one by one"),
    ("elements that are shuffled", lambda: with_data(disteval.sharded(
        tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(12), lambda d: d)),
     "which shuffles by default"),
    # Columns.
    *((f"data columns {named(c)}", functools.partial(callback, c, ["y"]), "`data_table_columns`")
      for c in ("image", None, [], (n for n in "ab"), ["a", "a"], [1], {"a"}, 3, [["a"]], b"a")),
    *((f"pred columns {named(c)}", functools.partial(callback, ["x"], c), "`pred_table_columns`")
      for c in ("score", None, [], iter(["a"]), ["a", "b", "a"], [None], {"a": 1}, np.array("a"))),
    # Options of the callback.
    *((f"{name}={named(value)}", functools.partial(callback, **{name: value}), f"`{name}`")
      for name, values in {
          "num_samples": (0, -1, 1.5, "5", True, [5], np.nan),
          "batch_size": (0, -3, 2.5, "32", False, np.array([1, 2])),
          "backend": (None, "nccl", np.array(["single"]), ["single"], 1),
          "log_freq": (0, -1, 1.5, "batch", None, True, np.array([1, 2]), ["epoch"]),
          "reference": (None, "copy", np.array(["media", "row"]), True),
          "sync_weights": (True, None, "never", ["auto"]),
          "asynchronous": ("no", 1, None, "false", np.array([True, False])),
          "on_log_error": ("ignore", None, True, ["warn"]),
          "monitor": (5, ["loss"], b"loss", np.array(["loss"])),
          "mode": ("best", None, 1),
          "timeout": (0, -1, None, "600", True, np.nan, [600], np.inf, 1e10),
          "verbose": ("no", 2, None, -1, [1]),
          "partitions": (0, 1.5, "2", None, True),
          "keep_local": ("no", 1, None),
          "validate": ("yes", 1, None, "metrics"),
      }.items() for value in values),
    ("rows of partitions", lambda: callback(partitions=2, reference="row"), "partitions=1"),
    ("no data to validate", lambda: callback(validate=True, validation_data=None), "no data"),
    ("postprocess of one", lambda: OneArgument(["x"], ["y"]), "`postprocess` must be a function"),
    # Data.
    *((f"data {name}", functools.partial(with_data, data), told) for name, data, told in (
        ("{}", {}, "is empty"), ("()", (), "is empty"), ("[]", [], "is empty"),
        ("a list of x and y", [X, Y], "A list is x with several inputs"),
        ("a 4-tuple", (X, Y, Y, Y), "a tuple of 4"),
        ("5", 5, "a leaf of type int"), ("a path", "/data", "of str"),
        ("a generator", (x for x in X), "of generator"),
        ("a type", dict, "a leaf of type type"),
        ("no y", (X, None), "a leaf of type NoneType"),
        ("a scalar", np.array(3.0), "a leaf of type ndarray"),
        ("dates", (X, Y.astype("datetime64[D]")), "datetime64"),
        ("structured", (X, np.zeros(12, [("a", int)])), "cannot read"),
        ("objects", (X, objects(*[{}] * 12)), "with dict in it"),
        ("None in objects", (X, objects(*["a"] * 11, None)), "with NoneType, str in it"),
        ("complex x", (X.astype(np.complex64), Y), "complex numbers"),
        ("complex y", (X, Y.astype(np.complex128)), "complex numbers"),
        ("complex elements", tf.data.Dataset.from_tensors((X, Y.astype(np.complex64))), "complex"),
        ("unequal lengths", (X, Y[:5]), "unequal lengths. Received: 12, 5 rows"),
        ("lists of arrays", (X, [np.zeros(3), np.zeros(2)]), "object array or a tf.RaggedTensor"),
        ("no samples", (X[:0], Y[:0]), "is empty"),
        ("an empty dataset", tf.data.Dataset.from_tensors((X, Y)).take(0), "empty tf.data"),
        ("an infinite dataset", tf.data.Dataset.from_tensors((X, Y)).repeat(), "infinite"),
        ("a function of none", lambda: (X, Y), "`validation_data` must be a function of 2"),
        ("a function of one", lambda rank: X, "`validation_data` must be a function of 2"),
        ("a function of arrays", lambda rank, size: (X, Y), "returned"),
        ("shuffled", tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(12).batch(4), "shuffle"),
    )),
    # What all ready-made evaluators check.
    ("no data", lambda: RegressionEval(None), "There is no data"),
    *((f"{name}={named(value)}",
       functools.partial(RegressionEval, (X, X), **{"rows": "worst", "num_rows": 3, name: value}),
       f"`{name}`")
      for name, values in {
          "rows": ("last", None, 5, np.array(["first"]), ["first"]),
          "num_rows": (None, "5", 2.5, np.nan, True, 0, -1, [5]),
          "panel": ("no", 1, None),
          "in_logs": ("AP", 5, [5], None, ["ap", "ap"]),
          "output_key": (1.5, True, (), {"a"}),
          "label_key": (None, b"y", [None])[1:],
      }.items() for value in values),
    # Classification.
    *((f"{name}={named(value)}",
       functools.partial(ClassificationEval, (X, Y), **{name: value}), told)
      for name, told, values in (
          ("class_names", "`class_names`", (3, [[1]], {"cat", "dog"}, "cat", [], ["a", "a"],
                                             [None], {0: "a"}, iter("ab"))),
          ("top_k", "`top_k`", ("3", None, 1.5, np.nan, 0, -1, True, [3])),
          ("from_logits", "`from_logits`", ("yes", None, 1, 0)),
          ("multi_label", "`multi_label`", ("no", 1, None)),
          ("log_probabilities", "`log_probabilities`", ("no", 0, None)),
      ) for value in values),
    ("two names", lambda: classify(Y, class_names=["a", "b"]), "2 class_names for a model of 3"),
    ("class 3", lambda: classify(changed(Y, 3)), "Received: a label 3.0"),
    ("class -1", lambda: classify(changed(Y, -1)), "Received: a label -1.0"),
    ("class 0.5", lambda: classify(changed(Y, 0.5)), "Received: a label 0.5"),
    ("class nan", lambda: classify(changed(Y, np.nan)), "Received: a label nan"),
    ("no one", lambda: classify(ONE_HOT * (Y != 1)[:, None]), "not one-hot"),
    ("two ones", lambda: classify(np.maximum(ONE_HOT, [1, 0, 0])), "not one-hot"),
    ("four columns", lambda: classify(np.eye(4)[Y]), "do not fit the classes"),
    ("text labels", lambda: classify(Y.astype(str)), "not numeric"),
    ("label key", lambda: classify(Y, label_key="a"), "has no target of this key"),
    ("output key", lambda: classify(Y, output_key="a"), "has no output of this key"),
    ("several targets", lambda: classify({"a": Y, "b": Y}), "output_key= and label_key="),
    ("not multi-hot", lambda: classify(changed(ONE_HOT, 7), multi_label=True), "not multi-hot"),
    ("image key", lambda: classify(Y, image_key="photo"), "`image_key`"),
    ("x alone", lambda: starts(ClassificationEval(X)), "has no labels"),
    ("targets nan", lambda: starts(RegressionEval((X, changed(X[:, :3], np.nan)))), "not finite"),
    ("targets of 4", lambda: starts(RegressionEval((X, X))), "differ in shape"),
    # Segmentation.
    *((f"{name}={named(value)}",
       functools.partial(SegmentationEval, (IMAGES, MASKS), **{"class_names": ["a"], name: value}),
       f"`{name}`")
      for name, values in {
          "class_names": (None, {"a"}, [], "ab"),
          "ignore_index": ("255", 1.5, True),
          "from_logits": ("no", 1),
      }.items() for value in values),
    ("pixel of class 3", lambda: segment(changed(MASKS, 3)), "not class numbers"),
    ("pixel of class 0.9", lambda: segment(changed(MASKS, 0.9)), "not class numbers"),
    ("pixel of no class", lambda: segment(np.zeros((6, 8, 8, 3))), "not one-hot"),
    ("mask of other size", lambda: segment(MASKS[:, :4]), "do not fit the labels"),
    # Detection.
    *((f"{name}={named(value)}",
       functools.partial(DetectionEval, (IMAGES, {}), **{"class_names": ["a"], name: value}),
       f"`{name}`")
      for name, values in {
          "box_format": ("xyhw", None, np.array(["xyxy"])),
          "score_threshold": (np.nan, 2, -0.1, None, "0.5", True),
          "max_boxes": (0, -1, 1.5, None, "9"),
          "iou_thresholds": ([2.0], [-1], 0.5, [], "0.5", ["0.5"], [[0.5]], [np.nan], [0.0]),
          "class_names": (None, {"a", "b"}, 2),
      }.items() for value in values),
    ("box of class 2", lambda: detect(BOXES, CLASSES + 2), "a box of class 2"),
    ("box of class 65536", lambda: detect(BOXES, CLASSES + 65536), "a box of class 65536"),
    ("box of class 0.99", lambda: detect(BOXES, CLASSES + 0.99), "a box of class 0.99"),
    ("boxes turned", lambda: detect(np.zeros((6, 4, 3)), np.zeros((6, 3))), "rows of four"),
    ("more classes", lambda: detect(BOXES, np.zeros((6, 3))), "2 boxes and 3 classes"),
    ("boxes reversed", lambda: detect(BOXES[..., ::-1], CLASSES), "another box_format"),
    ("no classes", lambda: detect(BOXES, None), "NoneType"),
    ("objects of None", lambda: detect(objects(*[None] * 6), CLASSES), "with NoneType in it"),
    # Text.
    *((f"{name}={named(value)}", functools.partial(TextEval, (X, Y), **{name: value}), f"`{name}`")
      for name, values in {
          "decode": ("utf-8", 3, lambda: ""),
          "prompt_key": (1.5, True, (), {"a"}),
      }.items() for value in values),
    ("references of numbers", lambda: starts(Said((X, X))), "A reference is no text"),
    ("references of tokens", lambda: starts(Said((X, ONE_HOT.astype(int)))), "decode=None"),
    ("logits", lambda: starts(TextEval((X, Y.astype(str)))), "return `tf.argmax(outputs"),
    # Functions.
    *((f"predict {name}", call, told) for name, call, told in (
        ("None", lambda: disteval.predict(None, X), "`model` is not a Keras model"),
        ("a class", lambda: disteval.predict(keras.Model, X), "Received: model=the class Model"),
        ("an array", lambda: disteval.predict(X, classifier()), "`model` is not a Keras model"),
        ("a layer", lambda: disteval.predict(keras.layers.Dense(2), X), "is not a Keras model"),
        ("one", lambda: disteval.predict(classifier(), X, postprocess=lambda y: y), "2 arguments"),
        ("a name", lambda: disteval.predict(classifier(), X, postprocess="argmax"), "2 arguments"),
        ("loudly", lambda: disteval.predict(classifier(), X, verbose="no"), "`verbose`"),
        ("twice", lambda: disteval.predict(classifier(), X, verbose=2), "`verbose`"),
        ("nothing", lambda: disteval.predict(classifier(), X, num_samples=0), "`num_samples`"),
        ("no batch", lambda: disteval.predict(classifier(), X, batch_size=0), "`batch_size`"),
        ("4-tuple", lambda: disteval.predict(classifier(), (X, Y, Y, Y)), "a tuple of 4"),
        ("engine", lambda: disteval.predict(classifier(), X, backend="gpu"), "`backend`"),
    )),
    ("evaluate None", lambda: disteval.evaluate(None, (X, Y)), "`model` is not a Keras model"),
    ("evaluate x", lambda: disteval.evaluate(classifier(), X), "target"),
    ("evaluate sync", lambda: disteval.evaluate(classifier(), X, sync_weights=0), "`sync_weights`"),
    *((f"get_backend timeout={value!r}",
       functools.partial(disteval.get_backend, timeout=value), "`timeout`")
      for value in (-1, 0, "600", None, True, np.inf, np.nan, 1e10)),
    ("get_backend model", lambda: disteval.get_backend(model=3), "Keras model"),
    ("evaluate epoch", lambda: callback().evaluate(classifier(), -1), "`epoch`"),
    ("evaluate no model", lambda: callback().evaluate(None, 0), "`model` is not a Keras model"),
    ("name no text", lambda: callback(name=3), "`name` is no name"),
    ("name empty", lambda: callback(name=""), "`name` is no name"),
    ("samples without data", lambda: callback(validation_data=None).samples(), "needs validation"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "told"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_each_is_a_clear_error(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(DistEvalError) as info:
        call()
    message = str(info.value)
    assert told in message
    assert "Received" in message or "Expected" in message
    assert "in user code" not in message
    assert len(message) < 1000


def test_there_are_at_least_150() -> None:
    assert len(WRONG) >= 150


@pytest.mark.parametrize(
    "options",
    [{"log_freq": np.int64(2)}, {"partitions": np.int32(2)}, {"timeout": np.float32(5)},
     {"timeout": np.int64(5)}, {"batch_size": np.int64(4)}, {"num_samples": np.uint8(4)},
     {"verbose": True}, {"monitor": "anything"}],
    ids=str,
)  # fmt: skip
def test_what_is_reasonable_is_accepted(options: dict[str, Any]) -> None:
    starts(callback(**options))


def test_natural_calls_of_evaluators() -> None:
    assert DetectionEval((X, Y), ("a",), iou_thresholds=np.array([0.5])).iou_thresholds == [0.5]
    assert ClassificationEval((X, Y), class_names=np.array(["a"]), top_k=np.int64(2)).top_k == 2
    starts(RegressionEval((X, ONE_HOT), rows="random", num_rows=np.int64(3)))
    boxes = objects(*[BOXES[0, : i % 3] for i in range(6)])
    detect(boxes, objects(*[CLASSES[0, : i % 3] for i in range(6)]))
