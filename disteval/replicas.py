"""Whether all replicas hold the chief's model, and lending its state to those that do not.

The model that counts is the one that `model.save` would write on the chief. A fingerprint of each
variable of each replica is compared with it. Trained weights that differ are an error. Other state
may differ by design (the statistics of BatchNormalization are local to each rank, and to each
replica of a MirroredStrategy): the chief's is lent for the evaluation, and given back after it.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.agreement import Status
from disteval.backends import Backend
from disteval.errors import DistEvalError, ReplicaDivergenceError

MODES = ("auto", "check", "off")

# Values of a variable that are hashed at once; that takes ten times their memory.
HASHED = 1 << 20

# Variables that the error names, the worst first.
MAX_NAMED = 5


def check_mode(sync_weights: str) -> None:
    """Raises if a value of `sync_weights` is unknown."""
    if sync_weights not in MODES:
        raise DistEvalError(
            f"Received: sync_weights={sync_weights!r}. Expected one of {', '.join(MODES)}."
        )


class Replicas:
    """The variables of a model on each replica of this process.

    Args:
        model: The Keras model.
        backend: Where it is evaluated.

    Attributes:
        variables: The model's weights, in its order; what its metrics hold does not count.
        forms: What of each variable has to be equal everywhere: shape, dtype, whether it is
            trained.
    """

    def __init__(self, model: Any, backend: Backend) -> None:
        self.variables: list[Any] = list(model.weights)
        self._trained = {id(variable) for variable in model.trainable_weights}
        self._backend = backend
        # Keras 3 keeps the variable of TensorFlow inside of its own.
        tensors = [v if isinstance(v, tf.Variable) else v.value for v in self.variables]
        #: Each variable as it would be saved, and its copies on the local replicas.
        self._saved = tensors
        self.forms = [
            [list(tensor.shape), tensor.dtype.name, id(variable) in self._trained]
            for variable, tensor in zip(self.variables, tensors, strict=True)
        ]
        local = backend.strategy.experimental_local_results
        self._copies: list[tuple[tf.Variable, ...]] = [local(tensor) for tensor in tensors]

    def fingerprints(self) -> np.ndarray:
        """Returns a number for the bits of each variable, computed where it is.

        Returns:
            int64 of shape `(variables, views)`: as saved, and on each local replica that holds
            copies of its own.
        """
        views = [tuple(self._saved), *zip(*self._copies, strict=True)]
        own = [view for view in views[1:] if any(map(operator.is_not, view, views[0]))]
        return np.stack([_fingerprints(view) for view in [views[0], *own]], axis=1)

    def differing(self, statuses: Sequence[Status]) -> dict[int, list[int]]:
        """Compares the fingerprints of all ranks with the chief's saved view.

        Returns:
            For each variable that differs somewhere, the ranks on which it does.

        Raises:
            ReplicaDivergenceError: The ranks have different models.
        """
        self._check_forms([status.own["variables"] for status in statuses])
        if not self.variables:
            return {}
        tables = [
            np.frombuffer(status.data, np.int64).reshape(len(self.variables), -1)
            for status in statuses
        ]
        different = np.stack([(table != tables[0][:, :1]).any(axis=1) for table in tables])
        where = {i: np.flatnonzero(column).tolist() for i, column in enumerate(different.T)}
        return {i: ranks for i, ranks in where.items() if ranks}

    def _check_forms(self, forms: Sequence[list[Any]]) -> None:
        """Raises, on every rank alike, if a rank has another model than the chief."""
        for rank, own in enumerate(forms):
            if own == forms[0]:
                continue
            differences = (
                f"variable {i} is {b[1]} of shape {b[0]}, {'' if b[2] else 'not '}trainable, and "
                f"on rank 0 {a[1]} of shape {a[0]}, {'' if a[2] else 'not '}trainable"
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
        distances = self._distances(wrong)
        worst = sorted(wrong, key=lambda i: -distances[i])[:MAX_NAMED]
        lines = "\n".join(
            f"  {_name(self.variables[i])}: on ranks {differing[i]}, by up to {distances[i]:.3g}"
            for i in worst
        )
        raise ReplicaDivergenceError(
            f"{len(wrong)} of {len(self.variables)} variables differ from those of rank 0, so that "
            f"predictions would come from several models. The worst:\n{lines}\n{self._advice()}"
        )

    @contextlib.contextmanager
    def lent(self, differing: Sequence[int]) -> Iterator[None]:
        """Gives every replica the chief's values for the time of a block. A collective."""
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
            for i, own in zip(differing, kept, strict=False):  # none, if there was no memory
                for copy, value in zip(self._copies[i], own, strict=True):
                    copy.assign(value)

    def _distances(self, wrong: Sequence[int]) -> dict[int, float]:
        """Returns how far each variable is from the chief's, on the worst rank. A collective."""
        values = self._backend.broadcast([np.asarray(self._saved[i]) for i in wrong])
        own = [
            max(_distance(np.asarray(copy), value) for copy in self._copies[i])
            for i, value in zip(wrong, values, strict=True)
        ]
        with self._backend.together("measuring how far replicas differ") as agreement:
            agreement.own = {"distances": own}
        all_ranks = [status.own["distances"] for status in agreement.statuses]
        return dict(zip(wrong, np.max(all_ranks, axis=0).tolist(), strict=True))

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
    """Returns the hash of each variable; eight bytes of each leave its device."""
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
    # One call for the whole model: hundreds of small ones would take longer than the work.
    start = tf.constant(0, tf.int64)
    return tf.stack([_hash(tf.reshape(value, [-1]), start) for value in values])


@tf.function(reduce_retracing=True, autograph=False)
def _hash_in_pieces(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the same of variables that are so large that hashing takes too much memory."""
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
    """Returns a sum of a vector's words, each times an odd number of its own, modulo 2**64.

    Args:
        value: The vector.
        start: The number of its first value in a larger one.
    """
    if value.dtype == tf.bool:
        words = tf.cast(value, tf.int64)
    else:
        # Of 32 bits at most: their differences then keep their weight after a product with one
        # that may be a multiple of a power of two, such as the difference of two factors.
        word = {1: tf.int8, 2: tf.int16}.get(value.dtype.size, tf.int32)
        words = tf.reshape(tf.cast(tf.bitcast(value, word), tf.int64), [-1])
    first = start * max(value.dtype.size // 4, 1)
    odd = 2 * tf.range(first, first + tf.size(words, tf.int64)) + 1
    # Factors are scattered over all 64 bits, so that no exchange of values goes unseen.
    return tf.reduce_sum(words * (odd * (odd + 0x5851F42D4C957F2C)))


def _distance(own: np.ndarray, chiefs: np.ndarray) -> float:
    """Returns the largest difference of two values; infinite where one is not a number."""
    if own.dtype == bool or not own.size:
        return float((own != chiefs).any())
    difference = np.abs(own.astype(np.float64) - chiefs.astype(np.float64))
    return float(np.max(np.nan_to_num(difference, nan=np.inf)))


def _name(variable: Any) -> str:
    # Keras 2 adds the number of an output, which is 0.
    return str(getattr(variable, "path", variable.name)).removesuffix(":0")
