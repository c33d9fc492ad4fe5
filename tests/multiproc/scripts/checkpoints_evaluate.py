"""`python -m disteval`, on ranks that the test has started; killed at a moment of one's choice.

The first argument is a moment such as `before:begin:2`: the chief is killed before (or after) that
method of `Record` is called for the second time. `never` lets it live.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

from disteval.__main__ import main
from disteval.checkpoints.record import Record

moment = sys.argv.pop(1)
if moment != "never":
    when, name, last = moment.split(":")
    method, calls = getattr(Record, name), itertools.count(1)

    def dying(self: Record, *args: Any) -> None:
        is_last = next(calls) == int(last)
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        method(self, *args)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Record, name, dying)
sys.exit(main())
