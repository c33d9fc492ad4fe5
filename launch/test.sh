#!/usr/bin/env bash
# Sets up with Horovod and runs all checks and tests; the arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash "$launch/setup.sh" --horovod --test
use_venv
cd "$top"
ruff check .
ruff format --check .
mypy
pytest "$@"
