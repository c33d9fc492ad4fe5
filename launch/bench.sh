#!/usr/bin/env bash
# Runs the benchmarks: prints a table, and writes JSON and a plot to tests/benchmarks/results.
#
#   bash launch/bench.sh [--quick] [--peers] [--gpu] [--only SECTION] [--output FOLDER]
#
# They need launch/setup.sh --horovod --test, and matplotlib. --quick takes 3 minutes and writes
# quick.json and quick.png; without it, 20 minutes and full.json and full.png.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

use_venv
cd "$top"
PYTHONPATH=$top/tests${PYTHONPATH:+:$PYTHONPATH} exec python -m benchmarks "$@"
