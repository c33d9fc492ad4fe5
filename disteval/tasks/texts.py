"""Text of a sample: as strings or token ids, and as a history keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.errors import DataError

# What a history keeps of each text: a digest, by which texts are compared, and the beginning.
DIGEST, BEGINNING = 8, 248
CUT = "…"


def to_text(value: Any) -> str | None:
    """Returns one string as text; `None` if it is anything else.

    Args:
        value: `str`, `bytes`, or an array or tensor with one of these.
    """
    if isinstance(value, tf.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "OSU" and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value) if isinstance(value, str) else None


def to_ids(value: Any) -> np.ndarray | None:
    """Returns the token ids of one sample, int of shape `(tokens,)`; `None` of anything else."""
    if isinstance(value, tf.Tensor | np.ndarray | list | tuple):
        array = np.asarray(value)
        if array.ndim == 1 and array.dtype.kind in "iu":
            return array
    return None


def check_outputs(outputs: Any, decode: Any) -> Any:
    """Returns the outputs of a batch in the form in which they travel to the chief.

    Args:
        outputs: A tensor.
        decode: The function that makes text of token ids; `None` if there is none.

    Returns:
        Strings of shape `(batch,)`, or ragged token ids of shape `(batch, None)`.

    Raises:
        DataError: They are neither strings nor token ids, or `decode` is missing.
    """
    ragged = isinstance(outputs, tf.RaggedTensor)
    if not ragged and not tf.is_tensor(outputs):
        raise _not_text(type(outputs).__name__)
    shape, rank = outputs.shape, outputs.shape.rank
    if outputs.dtype == tf.string:
        if ragged or not (rank in (1, None) or (rank == 2 and shape[1] == 1)):
            raise _not_text(f"strings of shape {shape}")
        return tf.reshape(outputs, [-1])
    if not outputs.dtype.is_integer:
        raise _not_text(f"outputs of type {outputs.dtype.name}")
    if rank not in (2, None):
        raise _not_text(f"integers of shape {shape}")
    if decode is None:
        raise decode_missing("outputs")
    if outputs.dtype.size > tf.int32.size:
        outputs = tf.cast(outputs, tf.int32)  # half of the bytes, and no vocabulary is larger
    # The length of what a model generates may differ from batch to batch.
    return outputs if ragged else tf.RaggedTensor.from_tensor(outputs)


def decoded(ids: np.ndarray, decode: Callable[[np.ndarray], Any] | None, what: str) -> str:
    """Returns token ids as text.

    Args:
        ids: int of shape `(tokens,)`.
        decode: The function of the user; `None` if there is none.
        what: What the text is, in words, such as `"references"`.

    Raises:
        DataError: `decode` is missing, fails, or returns no text.
    """
    if decode is None:
        raise decode_missing(what)
    try:
        text = decode(ids)
    except Exception as error:
        raise DataError(
            f"`decode` failed on the {what}. Received: {type(error).__name__}: {error} for the "
            f"token ids {_shown(ids)}. Expected: the text of any ids in the data, and of any that "
            "the model returns."
        ) from error
    found = to_text(text)
    if found is None:
        raise DataError(
            f"`decode` returned no text. Received: {type(text).__name__} {text!r:.100} for the "
            f"token ids {_shown(ids)}. Expected: a str."
        )
    return found


def decode_missing(what: str) -> DataError:
    """Returns the error for token ids without a function that makes text of them."""
    return DataError(
        f"There is no way from token ids to text. Received: {what} of token ids, with decode=None. "
        "Expected: decode=, a function from the token ids of one sample to a str."
    )


def packed(texts: Sequence[str]) -> np.ndarray:
    """Returns what a history keeps of texts; uint8 of shape `(texts, DIGEST + BEGINNING)`."""
    rows = np.zeros((len(texts), DIGEST + BEGINNING), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        whole = text.encode(errors="backslashreplace")
        kept = whole
        if len(whole) > BEGINNING:
            end = CUT.encode()
            kept = whole[: BEGINNING - len(end)].decode(errors="ignore").encode() + end
        known = hashlib.blake2b(whole, digest_size=DIGEST).digest() + kept
        row[: len(known)] = np.frombuffer(known, np.uint8)
    return rows


def unpacked(rows: np.ndarray) -> list[str]:
    """Returns the texts that `packed` has kept; of long ones the beginning, with an ellipsis."""
    return [row[DIGEST:].tobytes().rstrip(b"\0").decode() for row in rows]


def _not_text(received: str) -> DataError:
    return DataError(
        f"The model returned no text. Received: {received}. Expected: one string for each sample, "
        "or token ids of shape (samples, tokens); of logits, return "
        "`tf.argmax(outputs, axis=-1)` in `infer`."
    )


def _shown(ids: np.ndarray) -> str:
    return f"{ids[:8].tolist()}{' and more' if len(ids) > 8 else ''}"
