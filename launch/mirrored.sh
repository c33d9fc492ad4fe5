#!/usr/bin/env bash
# Trains and evaluates on all GPUs of this machine, or on two CPU replicas if it has none; the
# arguments, such as --replicas N and --cpu, go to train.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

use_venv
exec python "$launch/train.py" --backend mirrored "$@"
