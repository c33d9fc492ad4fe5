"""What a rank tells the other ranks of itself, as bytes."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import pickle
import traceback
import zlib
from typing import Any

from disteval import errors
from disteval.backends.pulse import Address

# Between the version of this package and what it has pickled.
SEPARATOR = b"\n"


@functools.cache
def own_version() -> bytes:
    """Returns the version of this package; empty if it is not installed."""
    try:
        return importlib.metadata.version("disteval").encode()
    except importlib.metadata.PackageNotFoundError:
        return b""


@dataclasses.dataclass(frozen=True)
class Failure:
    """An error, as the other ranks are told of it; `type` and `module` name its class."""

    type: str
    module: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException | None) -> Failure | None:
        """Describes an error; `None` stays `None`."""
        if error is None:
            return None
        kind, text = type(error), "".join(traceback.format_exception(error))
        return cls(kind.__name__, kind.__module__, str(error), text)


@dataclasses.dataclass
class Status:
    """What one rank tells the others.

    Attributes:
        rank: The rank that speaks.
        step: Where it is, in words that fit into an error message.
        config: Settings that have to be equal on every rank, by name.
        report: A dataclass with what the block of this rank found; `None` until the block ends.
        done: Whether the block of this rank has ended.
        progress: How many samples the block has evaluated so far.
        failure: What failed on this rank, or `None`.
        address: Where this rank gives signs of life; `None` if it does not.
    """

    rank: int
    step: str
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    report: Any = None
    done: bool = False
    progress: int = 0
    failure: Failure | None = None
    address: Address | None = None

    def encode(self) -> bytes:
        """Returns the status as bytes, pickled: the ranks of a job trust each other."""
        return own_version() + SEPARATOR + zlib.compress(pickle.dumps(self), level=1)

    @classmethod
    def decode(cls, record: bytes) -> Status:
        """Returns the status that `encode` turned into `record`.

        Raises:
            DistEvalError: The other rank has another version of this package, or the record is
                damaged.
        """
        version, _, pickled = record.partition(SEPARATOR)
        if version != own_version():
            # What another version has pickled may mean something else.
            there, here = (text.decode(errors="replace") for text in (version, own_version()))
            raise errors.DistEvalError(
                "The ranks have different versions of disteval. Received: "
                f"{there!r:.40} on one rank, and {here!r} on another. Expected: the same version "
                "on all hosts."
            )
        try:
            status = pickle.loads(zlib.decompress(pickled))
            if not isinstance(status, cls):
                raise TypeError(f"a {type(status).__name__}")
        except Exception as error:
            raise errors.DistEvalError(
                f"What another rank says cannot be read: {error!r}. Received: {len(record)} bytes. "
                "Expected: the status of a rank. Other causes than a damaged transfer: the ranks "
                "have different versions of Python or of NumPy."
            ) from error
        return status
