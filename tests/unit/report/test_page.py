"""The report page without a browser: its data, and what the HTML holds."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from disteval.report.page import HERE, SCRIPTS, PageData, bundle, render
from disteval.report.read import Run, StoredVersion

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    "--> \" ' & </title>",
    '<img src="http://127.0.0.1/x" onerror="window.hacked = 1">',
]
PICTURE = {"_type": "image-file", "path": "media/images/a.png"}


def version(names: list[str], epoch: int = 0, **columns: list[Any]) -> StoredVersion:
    values = {"label": names, "prediction": names[::-1], **columns}
    return StoredVersion(["latest"], {"epoch": epoch, "logs": {"loss": 0.5}}, values, {})


def make_run(*versions: StoredVersion, name: str = "a run") -> Run:
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


def test_metrics_of_slices_are_apart() -> None:
    known = version(["a", "b"])
    known.metadata["slices"] = [
        {"slice": "light", "value": "dark", "samples": 1, "metrics": {"loss": [0.5, 0.25, 0.75]}}
    ]
    known.scalars = {"eval/loss": 0.5, "eval/loss/light=dark": 0.5, "eval/loss/light=dark/low": 0}
    (encoded,) = PageData([known], 10).json()["versions"]
    assert encoded["metrics"] == {"loss": 0.5, "eval/loss": 0.5}
    assert encoded["slices"][0]["metrics"] == {"loss": [0.5, 0.25, 0.75, False]}


def test_what_a_version_predicted_before_is_a_class() -> None:
    known = version(["a", "b"], previous=[None, "c"])
    data = PageData([known], 10).json()
    column = data["columns"][data["versions"][0]["columns"]["previous"]]
    assert column == {"kind": "class", "values": [None, data["classes"].index("c")]}


def test_modules_become_one_script() -> None:
    modules = [
        "const HIDDEN = 1;\nexport function one() {\n  return HIDDEN;\n}\n",
        'import { one } from "./one.js";\nimport {\n  a,\n  b,\n} from "./two.js";\n\none();\n',
    ]
    expected = "const HIDDEN = 1;\nfunction one() {\n  return HIDDEN;\n}\n\n\none();\n"
    assert bundle(modules) == expected


def test_scripts_can_share_one_scope_and_import_from_earlier_ones_only() -> None:
    assert {path.name for path in HERE.glob("*.js")} == set(SCRIPTS)
    names: Counter[str] = Counter()
    for i, script in enumerate(SCRIPTS):
        text = (HERE / script).read_text()
        names.update(re.findall(r"^(?:export )?(?:function|const|let|class) \W*(\w+)", text, re.M))
        imports = re.findall(r'^import \{ ?([^;]*)\} from "\./(.*)";$', text, re.M)
        assert {name for _, name in imports} <= set(SCRIPTS[:i])
        assert text.count("import ") == len(imports)
        assert not any(" as " in names for names, _ in imports), "one script knows no aliases"
    assert [name for name, count in names.items() if count > 1] == []
