"""The functions of a user that run on each batch, beside the model's own step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from disteval.arguments import check_bool, check_callable
from disteval.inference.autograph import with_autograph

Infer = Callable[[Any, Any], Any]
PostProcess = Callable[[Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class BatchFunctions:
    """What runs on each batch; see `DistEvalCallback` for the functions.

    Attributes:
        postprocess: Makes what travels to the chief of the outputs; `None` for the outputs.
        infer: Makes the outputs; `None` for `model.predict_step`.
        eager: Whether both run as plain Python instead of being traced.

    Raises:
        DistEvalError: A value is invalid.
    """

    postprocess: PostProcess | None = None
    infer: Infer | None = None
    eager: bool = False

    def __post_init__(self) -> None:
        if self.postprocess is not None:
            check_callable("postprocess", self.postprocess, "outputs", "batch")
        if self.infer is not None:
            check_callable("infer", self.infer, "model", "batch")
        check_bool("eager", self.eager)

    def infer_for(self, model: Any) -> Callable[[Any], Any] | None:
        """Returns `infer` as a function of the batch alone; `None` for `model.predict_step`.

        Args:
            model: The model, or a weak reference to it.
        """
        infer = self.infer
        if infer is None:
            return None
        # Users get the model itself: a weak reference is no key of a dictionary, for instance.
        model = model.__init__.__self__
        return lambda batch: with_autograph(infer)(model, batch)

    def finish(self, outputs: Any, batch: Any) -> Any:
        """Returns what travels to the chief."""
        if self.postprocess is None:
            return outputs
        return with_autograph(self.postprocess)(outputs, batch)
