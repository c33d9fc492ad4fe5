"""`disteval.sharded`: elements and a pipeline, of which a rank runs its own part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.data.coercion import as_source
from disteval.data.sharded import ShardedSource
from disteval.data.sharding import WHOLE, Shard
from disteval.errors import DataError, DataOrderError, DistEvalError

Dataset = tf.data.Dataset
X = np.arange(180, dtype=np.float32).reshape(60, 3)
Y = np.arange(60)


def source(elements: Any, pipeline: Any, **arguments: Any) -> ShardedSource:
    result = as_source(disteval.sharded(elements, pipeline), **arguments)
    assert isinstance(result, ShardedSource)
    return result


def starts(data: ShardedSource, size: int) -> list[list[int]]:
    """Returns the first sample of each batch on each rank."""
    return [[start for start, _ in data.batches(Shard(rank, size))] for rank in range(size)]


class Decoder:
    """Decodes elements, and remembers which."""

    def __init__(self) -> None:
        self.decoded: list[int] = []

    def decode(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def decode(x: np.ndarray, y: np.int64) -> np.ndarray:
            self.decoded.append(int(y))
            return x

        return tf.ensure_shape(tf.numpy_function(decode, [x, y], tf.float32), [3]), y


@pytest.mark.parametrize("batch", [lambda d: d, lambda d: d.batch(8), lambda d: d.batch(8, True)])
def test_a_rank_decodes_its_own_elements_only(batch: Callable[[Dataset], Dataset]) -> None:
    decoder = Decoder()
    data = source((X[:48], Y[:48]), lambda d: batch(d.map(decoder.decode)), batch_size=8)
    assert starts(data, 3) == [[0, 8], [16, 24], [32, 40]]
    decoder.decoded.clear()
    assert [len(batch[1]) for _, batch in data.batches(Shard(1, 3))] == [8, 8]
    assert decoder.decoded == list(range(16, 32))


def test_ranks_without_a_batch_decode_nothing() -> None:
    decoder = Decoder()
    data = source((X[:5], Y[:5]), lambda d: d.map(decoder.decode), batch_size=4)
    assert list(data.batches(Shard(3, 4))) == []
    assert decoder.decoded == []
    assert starts(data, 4) == [[0], [4], [], []]


def test_unequal_shares() -> None:
    data = source((X, Y), lambda d: d.batch(10))
    shards = [Shard(rank, 2, (0.2, 0.8)) for rank in range(2)]
    assert [[start for start, _ in data.batches(shard)] for shard in shards] == [
        [0],
        [10, 20, 30, 40, 50],
    ]


def test_what_the_pipeline_caches_lasts_until_the_next_evaluation() -> None:
    decoder = Decoder()
    data = source((X, Y), lambda d: d.map(decoder.decode).cache(), batch_size=8)
    for _ in range(2):
        assert len(list(data.batches(Shard(1, 2)))) == 4
    assert decoder.decoded == list(range(32, 60))


@pytest.mark.parametrize(
    "elements",
    [
        (X, Y),
        {"x": X, "y": Y},
        Dataset.from_tensor_slices({"x": X, "y": Y}),
        Dataset.from_tensor_slices((X, Y)).filter(lambda x, y: True),
        ([row.tolist() for row in X], Y.tolist()),
        (tf.constant(X), Y),
    ],
)
def test_elements_of_all_kinds(elements: Any) -> None:
    def pipeline(dataset: Dataset) -> Dataset:
        return dataset.map(lambda *e: (e[0]["x"], e[0]["y"]) if isinstance(e[0], dict) else e)

    found = [(x.tolist(), int(y)) for x, y in source(elements, pipeline, num_samples=33).samples()]
    assert found == [(x.tolist(), int(y)) for x, y in zip(X[:33], Y[:33], strict=True)]


def test_file_names_and_ragged_elements() -> None:
    names = np.array([f"{i}.jpg" for i in range(5)])
    data = source((names, Y[:5]), lambda d: d.map(lambda name, y: (tf.strings.length(name), y)))
    assert [(int(x), int(y)) for x, y in data.samples()] == [(5, i) for i in range(5)]
    ragged = tf.RaggedTensor.from_row_lengths(tf.range(6.0), [1, 2, 3])
    data = source(ragged, lambda d: d.map(lambda x: x + 1).ragged_batch(2))
    assert [x.tolist() for x, _ in data.samples()] == [[1], [2, 3], [4, 5, 6]]
    assert [batch.to_list() for _, batch in data.batches(WHOLE)] == [[[1], [2, 3]], [[4, 5, 6]]]


def test_raw_records_of_files(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{part}.tfrecord") for part in range(3)]
    for part, file in enumerate(files):
        with tf.io.TFRecordWriter(file) as writer:
            for i in range(part * 5, part * 5 + 5):
                value = tf.train.Feature(int64_list=tf.train.Int64List(value=[i]))
                features = tf.train.Features(feature={"label": value})
                writer.write(tf.train.Example(features=features).SerializeToString())

    def parse(record: tf.Tensor) -> tf.Tensor:
        parts = {"label": tf.io.FixedLenFeature([], tf.int64)}
        return tf.io.parse_single_example(record, parts)["label"]

    data = source(tf.data.TFRecordDataset(files), lambda d: d.map(parse).batch(4))
    assert data.capacity() == 15
    assert [int(x) for x, _ in data.samples()] == list(range(15))
    assert starts(data, 2) == [[0, 4], [8, 12]]


def test_elements_are_counted_once_if_they_do_not_tell() -> None:
    passes = []

    def generate() -> Any:
        passes.append(len(passes))
        yield from range(20)

    unknown = Dataset.from_generator(generate, output_signature=tf.TensorSpec([], tf.int64))
    data = disteval.sharded(unknown, lambda d: d.batch(4))
    assert data.count == 20
    assert as_source(data).capacity() == as_source(data).capacity() == 20
    known = disteval.sharded(unknown.apply(tf.data.experimental.assert_cardinality(20)), None)
    passes.clear()
    assert known.count == 20
    assert passes == []


FAULTS: list[tuple[str, Any, Any, type[DistEvalError], str]] = [
    ("filter", (X, Y), lambda d: d.filter(lambda x, y: y != 3).batch(7), DataError,
     "drops samples. Received: 6 samples of 7 elements.*The pipeline contains `filter`"),
    ("take", (X, Y), lambda d: d.take(3), DataError, "drops samples.* 3 samples of 8.*`take`"),
    ("flat_map", (X, Y), lambda d: d.flat_map(lambda *e: Dataset.from_tensors(e).repeat(2)),
     DataError, "adds samples. Received: at least 16 samples of 8 elements.*`flat_map`"),
    ("repeat", (X, Y), lambda d: d.repeat(), DataError, "adds samples.*`repeat`"),
    ("repeated batches", (X, Y), lambda d: d.batch(7).repeat(2), DataError, "adds.*`repeat`"),
    ("batched elements", Dataset.from_tensor_slices((X, Y)).batch(6), lambda d: d.map(lambda *e: e),
     DataError, "adds samples.*Most likely the elements are batched"),
    ("shuffle", (X, Y), lambda d: d.shuffle(3), DataOrderError, "another order.*with `shuffle`"),
    ("shuffled batches", (X, Y), lambda d: d.batch(7).shuffle(3), DataOrderError, "`shuffle`"),
    ("enumerate", (X, Y), lambda d: d.enumerate().map(lambda i, e: e), DataError, "with `zip`"),
    ("no remainder", (X, Y), lambda d: d.batch(7, drop_remainder=True), DataError,
     "drops the last 4 of 60 samples, since its batches all have 7.*drop_remainder=True"),
    ("all dropped", (X, Y), lambda d: d.filter(lambda *e: False).batch(7), DataError,
     "drops samples. Received: 0 samples of 60 elements.*`filter`"),
    ("raises", (X, Y), lambda d: d.missing(), DataError, "failed, with AttributeError.*missing"),
    ("no dataset", (X, Y), lambda d: iter(d), DataError, "did not return a dataset. Rec.*Iterator"),
    ("no function", (X, Y), 3, DataError, "`pipeline` must be a function of 1 arguments"),
    ("no elements", ([], []), lambda d: d, DataError, "are empty.*no file matches the pattern"),
    ("endless", Dataset.range(3).repeat(), lambda d: d, DataError, "infinite.*set num_samples"),
    ("unequal", (X, Y[:3]), lambda d: d, DataError, "cannot be read one by one.*60 and 3"),
    ("unreadable", object(), lambda d: d, DataError, "Received: object.*from_tensor_slices says"),
    ("sparse", (X, Y), lambda d: d.map(lambda x, y: (tf.sparse.from_dense(x), y)), DataError,
     "not all dense or ragged"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("elements", "pipeline", "error", "message"),
    [f[1:] for f in FAULTS],
    ids=[f[0] for f in FAULTS],
)
def test_what_the_first_elements_tell(
    elements: Any, pipeline: Any, error: type[DistEvalError], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        source(elements, pipeline, batch_size=8).first()


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (lambda d: d.filter(lambda x, y: y != 59), "drops samples. Received: 27 samples of 28 "),
        (lambda d: d.filter(lambda x, y: y != 33), "drops samples. Received: 27 samples of 28 "),
        (
            lambda d: d.flat_map(lambda x, y: Dataset.from_tensors((x, y)).repeat(1 + (y // 59))),
            "adds samples. Received: at least 29 samples of 28 ",
        ),
    ],
)
def test_what_only_counts_tell(
    pipeline: Callable[[Dataset], Dataset], message: str, batched: bool
) -> None:
    data = source((X, Y), lambda d: pipeline(d).batch(8) if batched else pipeline(d), batch_size=8)
    assert len(data.first()[0]) == 8
    assert len(list(data.batches(Shard(0, 2)))) == 4
    with pytest.raises(DataError, match=message):
        list(data.batches(Shard(1, 2)))
    with pytest.raises(DataError, match=r"(drops|adds) samples"):
        list(data.samples())


def test_batches_of_other_sizes() -> None:
    def uneven(dataset: Dataset) -> Dataset:
        parts = dataset.batch(12)
        return parts.flat_map(lambda *part: Dataset.from_tensor_slices(part).batch(8))

    with pytest.raises(DataError, match=r"differ in size\. Received: 4 samples after"):
        list(source((X, Y), uneven).batches(WHOLE))


@pytest.mark.parametrize("number", [3, 33])
@pytest.mark.parametrize("batched", [False, True])
def test_the_element_on_which_the_pipeline_fails_is_named(batched: bool, number: int) -> None:
    def decode(name: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        check = tf.debugging.assert_none_equal(name, f"{number}.jpg", message="not a JPEG")
        with tf.control_dependencies([check]):
            return tf.strings.to_number(tf.strings.substr(name, 0, 1)), y

    def pipeline(dataset: Dataset) -> Dataset:
        dataset = dataset.map(decode, num_parallel_calls=4)
        return dataset.batch(8) if batched else dataset

    data = source(([f"{i}.jpg" for i in range(60)], Y), pipeline, batch_size=8)
    if number == 33:
        assert len(list(data.batches(Shard(0, 2)))) == 4
    told = rf"failed on element {number}\. Received: \(b'{number}.jpg', .*{number}.*not a JPEG"
    for read in (data.samples, lambda: data.batches(Shard(number // 30, 2))):
        with pytest.raises(DataError, match=told):
            list(read())
