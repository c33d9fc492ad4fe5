#!/usr/bin/env bash
# Sets up, trains on two replicas with W&B offline (no account needed), shows the tables, and makes
# a page of the predictions to look at in a browser.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash "$launch/setup.sh"

# W&B writes only to this folder.
export WANDB_MODE=offline WANDB_DIR=$top/runs WANDB_DATA_DIR=$top/runs/data
# Runs on two CPU replicas, so that the demo is the same on every machine.
export CUDA_VISIBLE_DEVICES=-1
mkdir -p "$WANDB_DIR"

bash "$launch/mirrored.sh" --replicas 2 --epochs 3
"$venv/bin/python" "$launch/show_tables.py" "$WANDB_DIR/wandb/latest-run"
echo
echo "A page of the predictions, to open in a browser:"
"$venv/bin/python" -m disteval report "$WANDB_DIR/wandb" --output "$top/runs/report.html"
