"""`python -m disteval evaluate` for the launchers, which keep the W&B key in a file.

bash launch/horovod.sh -np 2 --script launch/evaluate.py evaluation:make --watch checkpoints
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wandb_key import read_wandb_key

from disteval.__main__ import main

if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))  # as for `python -m`: the factory may be in this folder
    if os.environ.get("HOROVOD_RANK", "0") == "0":
        read_wandb_key()
    sys.argv.insert(1, "evaluate")
    sys.exit(main())
