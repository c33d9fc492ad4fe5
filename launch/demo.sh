#!/usr/bin/env bash
# Sets up, trains on all GPUs (or on two CPU replicas, without two GPUs) with W&B offline (no account
# needed), shows the tables, and makes a page of the predictions to look at in a browser.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bash "$launch/setup.sh"

# W&B writes only to this folder.
export WANDB_MODE=offline WANDB_DIR=$top/runs WANDB_DATA_DIR=$top/runs/data
mkdir -p "$WANDB_DIR"

gpus=$(count_gpus)
if ((gpus > 1)); then
    say "Training on $gpus GPUs"
    replicas=(--replicas "$gpus")
else
    say "Training on two CPU replicas, since this machine does not have two NVIDIA GPUs"
    replicas=(--cpu --replicas 2)
fi
bash "$launch/mirrored.sh" "${replicas[@]}" --epochs 3
"$venv/bin/python" "$launch/show_tables.py" "$WANDB_DIR/wandb/latest-run"
echo
echo "A page of the predictions, to open in a browser:"
"$venv/bin/python" -m disteval report "$WANDB_DIR/wandb" --output "$top/runs/report.html"
