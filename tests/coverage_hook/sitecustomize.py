"""Measures the lines of disteval/ that a process runs, in each that has a `COVERAGE_FOLDER`.

Python imports this module when it starts, and it waits for the import of disteval: measured from
the start, the import of TensorFlow would take a third longer, in hundreds of processes.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
from pathlib import Path
from typing import Any


class _StartCoverage(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Finds nothing, and starts coverage just before disteval is found elsewhere."""
        if fullname != "disteval" or "COVERAGE_FOLDER" not in os.environ:
            return
        sys.meta_path.remove(self)
        import coverage

        # Only for a moment: processes that this one starts are to wait as well.
        os.environ["COVERAGE_PROCESS_START"] = str(Path(__file__).parents[1] / "coverage.ini")
        coverage.process_startup()
        del os.environ["COVERAGE_PROCESS_START"]


sys.meta_path.insert(0, _StartCoverage())
