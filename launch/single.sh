#!/usr/bin/env bash
# Trains and evaluates on one device; the arguments go to train.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

use_venv
exec python "$launch/train.py" --backend single "$@"
