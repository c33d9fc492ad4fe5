"""The report page without a browser: columns, pictures, and what the HTML holds."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from disteval.errors import DistEvalError
from disteval.report.columns import MAX_TEXT, are_classes, class_name, encode, recognise
from disteval.report.page import PageData, render
from disteval.report.pictures import Pictures
from disteval.report.read import Run, Version

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    "--> \" ' & </title>",
    '<img src="http://127.0.0.1/x" onerror="window.hacked = 1">',
]
PICTURE = {"_type": "image-file", "path": "media/images/a.png"}


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        (
            ["epoch", "index", "image", "label", "predicted", "confidence"],
            {"picture": 2, "key": 1, "truth": 3, "prediction": 4, "confidence": 5},
        ),
        (
            ["epoch", "idx", "image", "ground_truth", "prediction"],
            {"picture": 2, "key": 1, "truth": 3, "prediction": 4},
        ),
        (
            ["trueLabel", "predictedLabel", "predicted probability", "cross-entropy loss"],
            {"truth": 0, "prediction": 1, "confidence": 2, "loss": 3},
        ),
        (
            ["image", "target", "prediction", "residual", "absolute_error", "squared_error"],
            {"picture": 0, "truth": 1, "prediction": 2, "loss": 4},
        ),
        (["prediction", "is_correct", "y"], {"prediction": 0, "correct": 1, "truth": 2}),
        (["prediction", "top_k_scores", "loss"], {"prediction": 0, "loss": 2}),
        (["text", "length"], {}),
        (["index", "true_positives", "false_positives", "false_negatives"], {"key": 0}),
    ],
)
def test_roles(columns: list[str], roles: dict[str, int]) -> None:
    def cells(name: str) -> list[Any]:
        kinds: dict[str, Callable[[int], Any]] = {
            "image": lambda row: PICTURE,
            "is_correct": lambda row: bool(row),
            "top_k_scores": lambda row: [0.5, 0.5],
            "idx": lambda row: row,
            "index": lambda row: row,
        }
        return [kinds.get(name, lambda row: 1.0)(row) for row in range(3)]

    expected = {role: columns[number] for role, number in roles.items()}
    assert recognise({name: cells(name) for name in columns}) == expected


def test_names_are_not_enough() -> None:
    columns = {"loss": ["high", "low"], "index": [1, 1], "correct": [0.5, 1.0], "image": ["a", "b"]}
    assert recognise(columns) == {}


def test_classes() -> None:
    assert are_classes([1, 2.0, None], ["cat"], [True])
    assert not are_classes([1, 2], [0.5])
    assert not are_classes([float("nan")])
    assert not are_classes([["cat", "dog"]])
    assert not are_classes(list(range(10_000)))
    assert [class_name(cell, {1: "cat"}) for cell in (1, 1.0, 2, "dog", True)] == [
        "cat", "cat", "2", "dog", "True",
    ]  # fmt: skip


def test_cells() -> None:
    numbers = [1, 0.123456789, float("nan"), float("-inf"), None]
    assert encode(numbers) == {
        "kind": "number",
        "values": [1, 0.12346, "NaN", "-Infinity", None],
    }
    others = ["a" * 1000, [0.123456789, "b"], {"_type": "audio-file", "path": "x.wav"}, None, {}]
    encoded = encode(others)
    assert encoded["kind"] == "text"
    assert encoded["values"] == [
        "a" * (MAX_TEXT - 1) + "…", "0.12346, b", "x.wav", None, "{}",
    ]  # fmt: skip


def decode(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert re.fullmatch("data:image/(png|webp);base64", head)
    return Image.open(io.BytesIO(base64.b64decode(body)))


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def test_small_pictures_stay_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    pictures = Pictures(10)
    cell = {**PICTURE, "path": "a.png"}
    assert [pictures.add(cell, {"a.png": path}) for _ in range(3)] == [[0]] * 3
    (caption, uri, classes), = pictures.found  # fmt: skip
    assert (caption, classes) == ("", [])
    assert base64.b64decode(uri.partition(",")[2]) == path.read_bytes()


@pytest.mark.parametrize(("expected", "edge"), [(1, 192), (10_000, 54), (10**6, 48)])
def test_large_pictures_shrink(expected: int, edge: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((400, 200, 3), np.uint8))
    pictures = Pictures(expected)
    pictures.add({**PICTURE, "path": "a.png"}, {"a.png": path})
    assert decode(pictures.found[0][1]).size == (edge // 2, edge)


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("<svg onload='alert()'>")
    pictures = Pictures(1)
    assert pictures.add({**PICTURE, "path": "a.png"}, {"a.png": path}) == [0]
    assert pictures.add({**PICTURE, "path": "b.png"}, {}) == [1]
    assert pictures.add(None, {}) == []
    assert pictures.found == [("", "", []), ("", "", [])]


def test_masks_and_boxes_are_drawn(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:50] = 1
    files = {
        "a.png": save(tmp_path / "a.png", np.full((100, 100, 3), 128, np.uint8)),
        "mask.png": save(tmp_path / "mask.png", mask),
    }
    corners = {"minX": 0.1, "minY": 0.6, "maxX": 0.9, "maxY": 0.9}
    middle = {"middle": [50, 75], "width": 80, "height": 30}
    cell = {
        **PICTURE,
        "path": "a.png",
        "masks": {"ground_truth": {"path": "mask.png"}},
        "boxes": {
            "prediction": [{"position": corners, "class_id": 16}],
            "prediction_2": [{"position": middle, "class_id": 16, "domain": "pixel"}],
        },
    }
    pictures = Pictures(1)
    assert pictures.add(cell, files) == [0, 1, 2]
    captions, uris, classes = zip(*pictures.found, strict=True)
    assert captions == ("ground truth", "prediction", "prediction 2")
    assert classes == ([1], [16], [16])
    masked, boxed, also_boxed = (np.asarray(decode(uri).convert("RGB"), int) for uri in uris)
    green = masked[25, 50] - masked[75, 50]
    assert green[1] > 20 > green[0]
    assert abs(masked[75, 50] - 128).max() < 10, "class 0 is not colored"
    assert boxed[60, 50, 0] > 180 > boxed[75, 50, 0]
    assert abs(boxed - also_boxed).max() < 10, "two ways to say one place"


def test_truth_and_prediction_are_two_pictures_even_if_equal(tmp_path: Path) -> None:
    files = {"a.png": save(tmp_path / "a.png", np.zeros((10, 20), np.uint8))}
    pictures = Pictures(1)
    cell = {**PICTURE, "path": "a.png", "boxes": {"ground_truth": [], "predictions": []}}
    assert pictures.add(cell, files) == pictures.add(cell, files) == [0, 1]
    assert [caption for caption, *_ in pictures.found] == ["ground truth", "predictions"]


def test_small_pictures_with_boxes_are_enlarged(tmp_path: Path) -> None:
    files = {"a.png": save(tmp_path / "a.png", np.zeros((10, 20), np.uint8))}
    position = {"minX": 0.25, "minY": 0.25, "maxX": 0.75, "maxY": 0.75}
    pictures = Pictures(1)
    pictures.add({**PICTURE, "path": "a.png", "boxes": {"a": [{"position": position}]}}, files)
    drawn = np.asarray(decode(pictures.found[0][1]).convert("RGB"), int)
    assert drawn.shape == (70, 140, 3)
    assert (drawn[..., 0] > 128).mean() < 0.1, "lines of two pixels"


def version(names: list[str], epoch: int = 0, **columns: list[Any]) -> Version:
    values = {"label": names, "prediction": names[::-1], **columns}
    return Version(["latest"], {"epoch": epoch, "logs": {"loss": 0.5}}, values, {})


def make_run(*versions: Version, name: str = "a run") -> Run:
    return Run(Path("wandb/run"), "id", name, "project", None, list(versions))


class Reader(html.parser.HTMLParser):
    """Reads the elements of a page, and the texts that directly follow a start tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._place = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self._place = f"{tag}#{attributes['id']}" if "id" in attributes else tag

    def handle_endtag(self, tag: str) -> None:
        self._place = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._place] = self.texts.get(self._place, "") + data


def test_strings_cannot_leave_their_place() -> None:
    page = render(make_run(version(HOSTILE), name=HOSTILE[0]), rows=10)
    clean = render(make_run(version(["a", "b", "c", "d"])), rows=10)
    hostile, harmless = Reader(page), Reader(clean)
    names = [tag for tag, _ in harmless.elements]
    assert [tag for tag, _ in hostile.elements] == names
    assert hostile.texts["h1"].strip() == HOSTILE[0]
    data = json.loads(hostile.texts["script#data"])
    assert data["classes"] == sorted(HOSTILE)


def test_only_the_own_script_may_run_and_nothing_is_fetched() -> None:
    page = Reader(render(make_run(version(["a", "b"])), rows=10))
    (policy,) = [a["content"] for _, a in page.elements if "http-equiv" in a]
    for kind, element in (("script-src", "script"), ("style-src", "style")):
        digest = hashlib.sha256(page.texts[element].encode()).digest()
        assert f"{kind} 'sha256-{base64.b64encode(digest).decode()}'" in str(policy)
    assert "default-src 'none'" in str(policy)
    assert not [a for _, a in page.elements if {"src", "href"} & a.keys()]


def test_versions_share_what_they_have_in_common() -> None:
    names = ["cat", "dog", "cat", "dog"]
    first, second = version(names, 0), version(names, 1, prediction=names)
    data = PageData([first, second], rows=10).json()
    assert data["classes"] == ["cat", "dog"]
    one, other = (v["columns"] for v in data["versions"])
    assert one["label"] == other["label"] == other["prediction"] != one["prediction"]
    assert data["columns"][one["prediction"]] == {"kind": "class", "values": [1, 0, 1, 0]}


def test_several_classes_of_a_sample() -> None:
    lists = version([], label=[["b", "a"], [], None], prediction=[["a"], ["c"], []])
    data = PageData([lists], rows=10).json()
    assert data["classes"] == ["a", "b", "c"]
    columns = data["versions"][0]["columns"]
    values = [data["columns"][columns[name]] for name in ("label", "prediction")]
    assert values == [
        {"kind": "classes", "values": [[1, 0], [], None]},
        {"kind": "classes", "values": [[0], [2], []]},
    ]


def test_confusion_of_more_samples_than_the_table_has() -> None:
    part = version(["a", "b"])
    part.confusion = [["b", "c", 3], ["a", "a", 5], ["c", "a", 0]]
    part.metadata["samples"] = 8
    data = PageData([part], rows=10).json()
    assert data["classes"] == ["a", "b", "c"]
    assert data["versions"][0]["confusion"] == [[1, 2, 3], [0, 0, 5]]
    part.metadata["samples"] = 2
    assert PageData([part], rows=10).json()["versions"][0]["confusion"] == []


def test_metrics_keep_the_order_in_which_they_were_computed() -> None:
    one = version(["a", "b"])
    one.metadata["metrics"] = {"recall": 0.5, "f1/b": 0.25, "f1/a": 0.75}
    one.scalars = {"eval/f1/a": 0.75, "eval/speed": 3, "eval/f1/b": 0.25, "eval/recall": 0.5}
    names = list(PageData([one], rows=10).json()["versions"][0]["metrics"])
    assert names == ["loss", "eval/recall", "eval/f1/b", "eval/f1/a", "eval/speed"]


def test_numbers_are_no_classes() -> None:
    data = PageData([version([], label=[1.0, 2.0], prediction=[1.5, 2.5])], rows=10).json()
    assert data["classes"] == []
    assert {column["kind"] for column in data["columns"]} == {"number"}


def test_classes_are_named_by_the_pictures(tmp_path: Path) -> None:
    known = {"class_set": [{"id": 1, "name": "cat"}, {"id": 0, "name": "dog"}]}
    (tmp_path / "classes.json").write_text(json.dumps(known))
    cell = {**PICTURE, "classes": {"path": "classes.json"}}
    named = version([], label=[0, 1], prediction=[1, 2], image=[cell, cell])
    named.files = {"classes.json": tmp_path / "classes.json"}
    assert PageData([named], rows=10).json()["classes"] == ["2", "cat", "dog"]


def test_rows_that_are_left_out_are_said() -> None:
    run = make_run(version(["a", "b", "c", "d"]))
    assert "The first 3 of 4 rows" in render(run, rows=3)
    assert "The first" not in render(run, rows=4)
    data = PageData(run.versions, rows=3).json()
    assert [len(column["values"]) for column in data["columns"]] == [3, 3]


def test_values_that_json_has_not() -> None:
    strange = version(["a", "b"], confidence=[float("nan"), float("inf")])
    strange.metadata["logs"] = {"loss": float("nan"), "name": "\ud800"}
    page = Reader(render(make_run(strange), rows=10))
    data = json.loads(page.texts["script#data"])
    assert {"kind": "number", "values": ["NaN", "Infinity"]} in data["columns"]
    assert data["versions"][0]["metrics"] == {}


def test_missing_jinja2_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(DistEvalError, match=r"^The report needs Jinja2: pip install .*\[report\]"):
        render(make_run(version(["a", "b"])), rows=10)
