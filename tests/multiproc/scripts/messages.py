"""The warnings of this package, for scripts that look at them."""

from __future__ import annotations

import logging


class Messages(logging.Handler):
    """Keeps the warnings from now on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[str] = []
        logging.getLogger("disteval").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record.getMessage())

    def take(self) -> list[str]:
        """Returns what was kept, and forgets it."""
        kept, self.kept = self.kept, []
        return kept
