"""Small things that every kind of node needs."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

_numbers = itertools.count(1)


def new_id(kind: str) -> str:
    """A global ID: padded standard base64, as the client turns artifact IDs into hex and back."""
    return base64.b64encode(f"{kind}:{next(_numbers)}".encode()).decode()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def b64_to_hex(text: str) -> str:
    return base64.b64decode(text).hex()


def connection(
    nodes: Iterable[Any],
    after: str | None = None,
    first: int | None = None,
    version: Callable[[Any], str | None] = lambda node: None,
) -> dict[str, Any]:
    """One page of `nodes`; a cursor is the position of the next node."""
    nodes = list(nodes)
    start = int(after or 0)
    stop = len(nodes) if first is None else min(start + first, len(nodes))
    edges = [
        {"cursor": str(i + 1), "node": nodes[i], "version": version(nodes[i])}
        for i in range(start, stop)
    ]
    page = {"end_cursor": str(stop), "has_next_page": stop < len(nodes)}
    return {"total_count": len(nodes), "page_info": page, "edges": edges}


def jsonable(value: Any) -> Any:
    """Spells NaN and infinities as strings, as answers with values instead of JSON text must."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return value
