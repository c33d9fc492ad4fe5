"""The examples of a Markdown file; `python examples.py FILE` prints its first one in Python."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Example(NamedTuple):
    """A fenced block, the language that it says it is in, and the line on which it starts."""

    language: str
    text: str
    line: int


def read(path: Path) -> list[Example]:
    """Returns the fenced blocks of a file, in their order."""
    document = path.read_text()
    return [
        Example(match[1], match[2], document.count("\n", 0, match.start()) + 2)
        for match in FENCE.finditer(document)
    ]


if __name__ == "__main__":
    python = [example.text for example in read(Path(sys.argv[1])) if example.language == "python"]
    print(python[0])
