"""Random numbers that belong to a sample, whichever replica evaluates it."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

from disteval.errors import DistEvalError

_numbers: contextvars.ContextVar[tf.Tensor | None] = contextvars.ContextVar("numbers", default=None)


def sample_seeds() -> tf.Tensor:
    """Returns a seed for each sample of the batch; for `infer` and `postprocess` only.

    The seed of a sample depends on nothing but its number in dataset order. So random predictions,
    such as sampled text, are the same for any number of replicas and any batch size, and in each
    evaluation. `tf.random.stateless_uniform` and the like take a seed.

    Returns:
        int32 of shape `(batch, 2)`. With `tf.random.split` and `tf.random.fold_in`, a seed makes
        others, such as one for each token.

    Raises:
        DistEvalError: No batch is being evaluated.

    Example:
        ```python
        def infer(model, batch):  # draws a class for each sample, by its probability
            def draw(row):
                logits, seed = row
                return tf.random.stateless_categorical(logits[tf.newaxis], 1, seed)[0, 0]

            logits = model(batch[0], training=False)
            return tf.map_fn(draw, (logits, disteval.sample_seeds()), fn_output_signature=tf.int64)
        ```
    """
    # A number of 64 bits is two of 32.
    return tf.bitcast(current_numbers(), tf.int32)


def current_numbers() -> tf.Tensor:
    """Returns the numbers of the samples of the batch that is being evaluated.

    Raises:
        DistEvalError: There is none.
    """
    numbers = _numbers.get()
    if numbers is None:
        raise DistEvalError(
            "sample_seeds() was called where no batch is evaluated. Expected: a call in `infer` or "
            "`postprocess`, while disteval runs them."
        )
    return numbers


@contextlib.contextmanager
def numbered(numbers: tf.Tensor) -> Iterator[None]:
    """Sets the numbers of the samples of a batch for the time of a block.

    Args:
        numbers: The number of each sample in dataset order; int64 of shape `(batch,)`.
    """
    token = _numbers.set(numbers)
    try:
        yield
    finally:
        _numbers.reset(token)
