"""Which of several outputs and targets an evaluator reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from disteval.errors import DataError, DistEvalError

# Tells "not found" from a value that is `None`, such as a loss.
_MISSING = object()


def check_key(name: str, key: Any) -> None:
    """Raises a `DistEvalError` unless a key is a name, a path, an index or `None`."""
    parts = key if isinstance(key, tuple | list) and key else (key,)
    kinds = (str, int, np.integer)
    if key is not None and any(isinstance(p, bool) or not isinstance(p, kinds) for p in parts):
        raise DistEvalError(
            f"`{name}` is not a key. Received: {name}={key!r}. Expected: a name, an index, or a "
            'path such as "heads/class" or ("heads", 0).'
        )


class Selection:
    """Chooses the output and the target that an evaluator reads.

    Args:
        output_key: A name, an index or a path; `None` for the only output.
        label_key: The same for the targets; `None` for the only target, or for the one that has
            the key of the output.

    Raises:
        DistEvalError: A key is neither a name nor an index nor a path.
    """

    def __init__(self, output_key: Any = None, label_key: Any = None) -> None:
        check_key("output_key", output_key)
        check_key("label_key", label_key)
        self.output_key = output_key
        self.label_key = label_key

    def output(self, outputs: Any, model: Any) -> Any:
        """Returns the chosen output: a tensor, or a nest of several if there is no key.

        Raises:
            DataError: There is no such output.
        """
        if self.output_key is None:
            return outputs
        return required(outputs, "output_key", self.output_key, model, "The model has no output")

    def label(self, labels: Any, model: Any) -> Any:
        """Returns the chosen target: a tensor, or a nest of several if there is no key.

        Raises:
            DataError: There is no such target.
        """
        if self.label_key is None:
            if self.output_key is None or not isinstance(labels, Mapping | list | tuple):
                return labels
            found = find(labels, self.output_key, _names(model))
            return labels if found is _MISSING else found
        missing = "validation_data has no target"
        return required(labels, "label_key", self.label_key, model, missing)

    def loss(self, losses: Any, model: Any) -> Any:
        """Returns the compiled loss of the chosen output; `None` if it has none."""
        if self.output_key is None or not isinstance(losses, Mapping | list | tuple):
            return losses
        found = find(losses, self.output_key, _names(model))
        return None if found is _MISSING else found


def find(nest: Any, key: Any, names: Sequence[str] = ()) -> Any:
    """Returns a part of a nest by its key; a marker, which no nest holds, if there is none.

    Args:
        nest: Mappings and sequences.
        key: The name of a part of a mapping, the index of a part of a sequence, or a path of
            these: a tuple, or text with slashes.
        names: The names of the parts, if the nest is a sequence.
    """
    if isinstance(nest, Mapping) and not isinstance(key, list) and key in nest:
        return nest[key]  # a name may hold slashes
    if isinstance(key, str) and isinstance(nest, list | tuple) and key in names:
        return nest[names.index(key)]
    parts = key.split("/") if isinstance(key, str) else key
    for part in parts if isinstance(parts, list | tuple) else [parts]:
        nest = _part(nest, part)
    return nest


def required(nest: Any, argument: str, key: Any, model: Any, missing: str) -> Any:
    """Returns a part of a nest by its key.

    Args:
        nest: Mappings and sequences.
        argument: The name of the argument that holds the key, for an error.
        key: A name, an index or a path.
        model: The model, whose outputs may have names; `None` of what has nothing to do with them.
        missing: What is wrong if there is no such part, in words.

    Raises:
        DataError: There is no such part.
    """
    found = find(nest, key, _names(model))
    if found is _MISSING:
        raise DataError(
            f"{missing} of this key. Received: {argument}={key!r}. Expected: one of "
            f"{_listed(nest)}."
        )
    return found


def only_leaf(nest: Any, what: str) -> Any:
    """Returns the only leaf of a nest.

    Args:
        nest: The outputs of a model, or the targets.
        what: What it is, in words: `"outputs"` or `"targets"`.

    Raises:
        DataError: There are several leaves, or none.
    """
    flat = leaves(nest)
    if len(flat) != 1:
        raise DataError(
            f"This evaluator reads one output and one target. Received: {len(flat)} {what}, "
            f"{_listed(nest)}. Expected: the arguments output_key= and label_key=, which name one "
            "of each."
        )
    return next(iter(flat.values()))


def leaves(nest: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Returns the leaves of a nest by their path."""
    if isinstance(nest, Mapping):
        parts = list(nest.items())
    elif isinstance(nest, list | tuple):
        parts = list(enumerate(nest))
    else:
        return {path: nest}
    return {
        key: leaf for part, inner in parts for key, leaf in leaves(inner, (*path, part)).items()
    }


def _part(nest: Any, part: Any) -> Any:
    if isinstance(nest, Mapping):
        return nest.get(part, _MISSING)
    is_index = isinstance(part, int | np.integer) or (isinstance(part, str) and part.isdigit())
    if isinstance(nest, list | tuple) and is_index and -len(nest) <= int(part) < len(nest):
        return nest[int(part)]
    return _MISSING


def _names(model: Any) -> list[str]:
    """Returns the names of a model's outputs; empty for a subclass, which has none."""
    return list(getattr(model, "output_names", None) or [])


def _listed(nest: Any) -> str:
    """Returns the keys of a nest's leaves as text."""
    keys = [path[0] if len(path) == 1 else "/".join(map(str, path)) for path in leaves(nest)]
    return ", ".join(repr(key) for key in keys) if keys != [""] else "the only one, without a key"
