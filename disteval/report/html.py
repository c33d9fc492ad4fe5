"""HTML pages that hold all that they need, and may load nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from disteval.optional import require

HERE = Path(__file__).parent


def render_page(
    template: str, style: str, script: str = "", data: Any = None, **values: Any
) -> str:
    """Returns a page, in which all values are escaped.

    Args:
        template: The name of the template's file.
        style: CSS.
        script: JavaScript.
        data: What the script reads as JSON.
        values: What the template refers to.

    Raises:
        DistEvalError: Jinja2 is not installed.
    """
    require("jinja2", "The report", "report")
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The browser runs only this script, uses only this style and fetches nothing.
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}"
    if script:
        policy += f"; script-src {_digest(script)}"
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        data=Markup(_safe_json(data)),
        policy=policy,
        **values,
    )


def _safe_json(data: Any) -> str:
    """Returns JSON that cannot close the HTML element around it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
