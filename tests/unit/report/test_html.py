"""Pages hold all that they need, escape what they hold, and may load nothing."""

from __future__ import annotations

import re
import sys

import pytest

from disteval.errors import DistEvalError
from disteval.report import html
from disteval.report.html import render_page

TEMPLATE = '<meta content="{{ policy }}"><b>{{ name }}</b><style>{{ style }}</style>{{ data }}'


@pytest.fixture(autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("templates")
    (folder / "page.html").write_text(TEMPLATE)
    monkeypatch.setattr(html, "HERE", folder)


def test_values_are_escaped_and_data_cannot_close_its_element() -> None:
    hostile = "</script><script>alert(1)</script>"
    page = render_page("page.html", "b > i {}", data=[hostile], name=hostile)
    assert "<script" not in page
    assert "b > i {}" in page, "CSS is not data"


@pytest.mark.parametrize("script", ["", "1 < 2"])
def test_only_the_own_style_and_script_may_run(script: str) -> None:
    page = render_page("page.html", "b {}", script, name="")
    (policy,) = re.findall('content="(.*?)"', page)
    assert policy.startswith("default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-")
    assert ("script-src" in policy) == bool(script)


def test_missing_jinja2_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(DistEvalError, match=r"^The report needs jinja2.*\[report\]") as caught:
        render_page("page.html", "", name="")
    assert "\n" not in str(caught.value)
