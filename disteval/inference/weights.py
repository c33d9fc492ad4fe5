"""Whether all replicas hold the chief's model, and lending the chief's state where they differ.

Evaluated is the model that `model.save` would write on the chief. A fingerprint of each variable on
each replica is compared with the fingerprint there. Trained weights that differ are an error. Other
state may differ by design (the statistics of BatchNormalization are local to each rank, and to each
replica of a MirroredStrategy): the chief's state is lent for the evaluation, and the replica's own
state is restored after it.

A fingerprint is a 64-bit sum of the variable's words, each times an odd factor of its position. A
changed word and an exchange of two words always show, on any device and in any order of summation;
other changes go unseen only if their products happen to cancel modulo 2**64. Neither
`tf.raw_ops.Fingerprint` nor the hash of a library would do: they compute on the host only, so that
the weights of all GPUs would be copied there before each evaluation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.backends.base import Backend
from disteval.errors import ReplicaDivergenceError
from disteval.inference.optimizers import OptimizerReport, differences

MODES = ("auto", "check", "off")

# Values of a variable that are hashed at once. Hashing takes ten times their memory.
HASHED = 1 << 20

# Variables that the error names, the worst first.
MAX_NAMED = 5


@dataclasses.dataclass(frozen=True)
class WeightsReport:
    """What a rank reports of its model's variables.

    Attributes:
        forms: Shape, dtype and whether it is trainable, of each variable.
        fingerprints: int64 of shape `(variables, views)`; see `ModelWeights.fingerprints`.
    """

    forms: list[tuple[tuple[int, ...], str, bool]]
    fingerprints: np.ndarray


class ModelWeights:
    """The variables of a model on each replica of this process.

    Args:
        model: The Keras model.
        backend: Where it is evaluated.

    Attributes:
        variables: The model's weights, in the model's order, without the state of its metrics.
    """

    def __init__(self, model: Any, backend: Backend) -> None:
        self.variables: list[Any] = list(model.weights)
        self._model = model
        self._trained = {id(variable) for variable in model.trainable_weights}
        self._backend = backend
        # Keras 3 keeps the variable of TensorFlow inside its own variable.
        # Reading a variable outside of a replica gives the value that would be saved.
        self._saved = [v if isinstance(v, tf.Variable) else v.value for v in self.variables]
        local = backend.strategy.experimental_local_results
        self._copies: list[tuple[tf.Variable, ...]] = [local(saved) for saved in self._saved]

    def report(self) -> WeightsReport:
        """Returns what the other ranks compare with their own variables."""
        forms = [
            (tuple(tensor.shape), tensor.dtype.name, id(variable) in self._trained)
            for variable, tensor in zip(self.variables, self._saved, strict=True)
        ]
        return WeightsReport(forms, self.fingerprints())

    def fingerprints(self) -> np.ndarray:
        """Returns a number for the bits of each variable, computed on the variable's device.

        Returns:
            int64 of shape `(variables, views)`. The first view is the values that would be saved;
            one view follows for each local replica that holds copies of its own.
        """
        views = [tuple(self._saved), *zip(*self._copies, strict=True)]
        own = [view for view in views[1:] if any(map(operator.is_not, view, views[0]))]
        return np.stack([_fingerprints(view) for view in [views[0], *own]], axis=1)

    def differing(self, reports: Sequence[WeightsReport]) -> dict[int, list[int]]:
        """Compares the fingerprints of all ranks with the values that the chief would save.

        Returns:
            For each variable that differs anywhere, the ranks on which it differs.

        Raises:
            ReplicaDivergenceError: The ranks have different models.
        """
        self._check_forms([report.forms for report in reports])
        if not self.variables:
            return {}
        tables = [report.fingerprints for report in reports]
        different = np.stack([(table != tables[0][:, :1]).any(axis=1) for table in tables])
        where = {i: np.flatnonzero(column).tolist() for i, column in enumerate(different.T)}
        return {i: ranks for i, ranks in where.items() if ranks}

    def _check_forms(self, forms: Sequence[list[tuple[Any, ...]]]) -> None:
        """Raises, on every rank alike, if a rank has another model than the chief."""
        for rank, own in enumerate(forms):
            if own == forms[0]:
                continue
            differences = (
                f"variable {i} is {_described(*b)}, and on rank 0 {_described(*a)}"
                for i, (a, b) in enumerate(zip(forms[0], own, strict=False))
                if a != b
            )
            counts = f"there are {len(own)} variables, and {len(forms[0])} on rank 0"
            raise ReplicaDivergenceError(
                f"rank {rank} has another model than rank 0: {next(differences, counts)}. "
                "Expected: the same layers on every rank."
            )

    def check(self, differing: dict[int, list[int]], mode: str) -> None:
        """Raises if the variables that differ cannot be lent; a collective if there are any.

        Raises:
            ReplicaDivergenceError: Trainable variables differ, or any with `mode="check"`.
        """
        wrong = [i for i in differing if mode == "check" or id(self.variables[i]) in self._trained]
        if not wrong:
            return
        distances, advice = self._measure(wrong)
        worst = sorted(wrong, key=lambda i: -distances[i])[:MAX_NAMED]
        lines = "\n".join(
            f"  {_name(self.variables[i])}: on ranks {differing[i]}, by up to {distances[i]:.3g}"
            for i in worst
        )
        raise ReplicaDivergenceError(
            f"{len(wrong)} of {len(self.variables)} variables differ from those of rank 0, so that "
            f"predictions would come from several models. The worst:\n{lines}\n{advice}"
        )

    @contextlib.contextmanager
    def lent(self, differing: Sequence[int]) -> Iterator[None]:
        """Lends the chief's values to every replica for the time of a block. A collective."""
        values = self._backend.broadcast([np.asarray(self._saved[i]) for i in differing])
        kept: list[list[tf.Tensor]] = []
        try:
            if differing:
                with self._backend.together("lending the state of rank 0"):
                    kept = [[tf.identity(copy) for copy in self._copies[i]] for i in differing]
                    for i, value in zip(differing, values, strict=True):
                        for copy in self._copies[i]:
                            copy.assign(value)
            yield
        finally:
            for i, own in zip(differing, kept, strict=False):  # none were kept if memory ran out
                for copy, value in zip(self._copies[i], own, strict=True):
                    copy.assign(value)

    def _measure(self, wrong: Sequence[int]) -> tuple[dict[int, float], str]:
        """Measures how far the ranks are from the chief; a collective.

        Returns:
            How far each variable is from the chief's, on the worst rank; and what to do.
        """
        values = self._backend.broadcast([np.asarray(self._saved[i]) for i in wrong])
        own = [
            max(_distance(np.asarray(copy), value) for copy in self._copies[i])
            for i, value in zip(wrong, values, strict=True)
        ]
        with self._backend.together("measuring how far replicas differ") as agreement:
            agreement.report = (own, OptimizerReport.of(self._model))
        distances, optimizers = zip(*agreement.reports, strict=True)
        worst = dict(zip(wrong, np.max(distances, axis=0).tolist(), strict=True))
        return worst, differences(optimizers) or self._advice()

    def _advice(self) -> str:
        keras_3 = not isinstance(self.variables[0], tf.Variable)
        if self._backend.name == "horovod" and keras_3:
            return (
                "Under Keras 3, hvd.DistributedOptimizer does not average gradients: use "
                "hvd.DistributedGradientTape in train_step, as launch/train.py does. Broadcast "
                "the initial weights: hvd.broadcast_variables([v.value for v in model.variables], "
                "root_rank=0)."
            )
        if self._backend.name == "horovod":
            return (
                "Wrap the optimizer in hvd.DistributedOptimizer, and add "
                "hvd.callbacks.BroadcastGlobalVariablesCallback(0) before this callback."
            )
        return 'sync_weights="off" skips this check.'


def _fingerprints(variables: Sequence[Any]) -> np.ndarray:
    """Returns the fingerprint of each variable. Only eight bytes of each leave its device."""
    result = np.empty(len(variables), np.int64)
    groups: dict[tuple[str, bool], list[int]] = {}
    for i, variable in enumerate(variables):
        is_large = variable.shape.num_elements() > HASHED
        groups.setdefault((variable.device, is_large), []).append(i)
    for (device, is_large), numbers in groups.items():
        with tf.device(device):
            values = [tf.convert_to_tensor(variables[i]) for i in numbers]
            result[numbers] = (_hash_in_pieces if is_large else _hash_all)(values)
    return result


@tf.function(reduce_retracing=True, autograph=False)
def _hash_all(values: Sequence[tf.Tensor]) -> tf.Tensor:
    # One call for the whole model: hundreds of small calls would take longer than the hashing.
    start = tf.constant(0, tf.int64)
    return tf.stack([_hash(tf.reshape(value, [-1]), start) for value in values])


@tf.function(reduce_retracing=True, autograph=False)
def _hash_in_pieces(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the fingerprints of variables that are too large to be hashed at once."""
    return tf.stack([_sum_of_pieces(tf.reshape(value, [-1])) for value in values])


def _sum_of_pieces(value: tf.Tensor) -> tf.Tensor:
    size = tf.size(value, tf.int64)

    def body(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return start + HASHED, total + _hash(value[start : start + HASHED], start)

    zero = tf.constant(0, tf.int64)
    _, total = tf.while_loop(
        lambda start, _: start < size, body, [zero, zero], parallel_iterations=1
    )
    return total


@tf.function(reduce_retracing=True, autograph=False)
def _hash(value: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a vector's words, each times the factor of its position, modulo 2**64.

    Args:
        value: The vector.
        start: The position of its first value in the whole variable.
    """
    if value.dtype == tf.bool:
        words = tf.cast(value, tf.int64)
    else:
        # Words have at most 32 bits, so that the difference of two words times the difference of
        # two factors, which may be a multiple of a power of two, is not 0 modulo 2**64.
        word = {1: tf.int8, 2: tf.int16}.get(value.dtype.size, tf.int32)
        words = tf.reshape(tf.cast(tf.bitcast(value, word), tf.int64), [-1])
    first = start * max(value.dtype.size // 4, 1)
    odd = 2 * tf.range(first, first + tf.size(words, tf.int64)) + 1
    # The factors are spread over all 64 bits, so that the exchange of two words is seen.
    return tf.reduce_sum(words * (odd * (odd + 0x5851F42D4C957F2C)))


def _distance(own: np.ndarray, chiefs: np.ndarray) -> float:
    """Returns the largest difference of two values; infinity if one is not a number."""
    if own.dtype == bool or not own.size:
        return float((own != chiefs).any())
    difference = np.abs(own.astype(np.float64) - chiefs.astype(np.float64))
    return float(np.max(np.nan_to_num(difference, nan=np.inf)))


def _described(shape: tuple[int, ...], dtype: str, is_trained: bool) -> str:
    return f"{dtype} of shape {list(shape)}, {'' if is_trained else 'not '}trainable"


def _name(variable: Any) -> str:
    # Keras 2 appends the number of the output, which is always 0.
    return str(getattr(variable, "path", variable.name)).removesuffix(":0")
