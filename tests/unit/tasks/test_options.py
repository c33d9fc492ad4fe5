"""All keyword arguments are in the signatures, for `help` and for editors."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any, get_type_hints

import pytest

import disteval
from disteval.tasks.options import CallbackOptions, TaskOptions, full_signature

TASKS = [
    disteval.ClassificationEval,
    disteval.DetectionEval,
    disteval.RegressionEval,
    disteval.SegmentationEval,
    disteval.TextEval,
]


def keywords(kind: type) -> dict[str, Any]:
    """Returns the annotations of the keyword arguments of a class' own constructor."""
    parameters = inspect.signature(kind.__init__).parameters.values()  # type: ignore[misc]
    return {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_editors_know_the_same_arguments_as_the_constructors() -> None:
    of_callback = keywords(disteval.DistEvalCallback)
    of_callback.pop("validation_data")
    assert CallbackOptions.__annotations__.keys() == of_callback.keys()
    of_task = of_callback | keywords(disteval.TaskEval)
    assert TaskOptions.__annotations__.keys() == of_task.keys()
    for name, kind in TaskOptions.__annotations__.items():
        assert getattr(kind, "__forward_arg__", kind) == of_task[name], name
    assert get_type_hints(TaskOptions)["timeout"] is float


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_help_shows_all_arguments_before_anything_of_keras(task: type) -> None:
    parameters = inspect.signature(task).parameters
    assert next(iter(parameters)) == "validation_data"
    assert set(TaskOptions.__annotations__) < set(parameters)
    assert not [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    assert parameters["timeout"].default == 600
    shown = pydoc.render_doc(task, renderer=pydoc.plaintext)
    keras = shown.index("keras")
    for part in ("output_key: 'Any' = None", "Args:", "read_label(self", "postprocess(self"):
        assert shown.index(part) < keras or part.endswith("(self")
    assert shown.index("Methods defined here") < shown.index("inherited from keras")


def test_the_methods_to_override_are_listed_in_their_order() -> None:
    text = disteval.TaskEval.__doc__ or ""
    names = ["read_label", "strata", "truth_cells", "postprocess", "assess", "prediction_columns"]
    names.append("plots")
    places = [text.index(f"`{name}(") for name in names]
    assert places == sorted(places)
    assert all(inspect.getdoc(getattr(disteval.TaskEval, name)) for name in names)


def test_a_subclass_of_the_users_own() -> None:
    class Own(disteval.RegressionEval):
        def __init__(self, data: Any, extra: int = 3, **options: Any) -> None:
            super().__init__(data, **options)

    names = list(full_signature(Own).parameters)
    assert names[:2] == ["data", "extra"]
    assert {"rows", "batch_size"} < set(names)
    assert list(inspect.signature(Own).parameters) == names

    class Closed(disteval.RegressionEval):
        def __init__(self, data: Any) -> None:
            super().__init__(data)

    assert list(inspect.signature(Closed).parameters) == ["data"]
