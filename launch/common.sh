# shellcheck shell=bash
# Paths and functions for the scripts of this folder, which source this file.

launch=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$launch")
venv=$top/.venv

# Suppresses as many of TensorFlow's hints at start-up as possible.
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

have() { command -v "$1" >/dev/null; }

# Prints how many NVIDIA GPUs the driver has.
count_gpus() {
    if have nvidia-smi; then
        nvidia-smi -L 2>/dev/null | grep -c '^GPU ' || true
    else
        echo 0
    fi
}

# Puts the environment that setup.sh made first on PATH. Without one, `python` stays as it is.
use_venv() {
    if [[ -x $venv/bin/python ]]; then
        export PATH=$venv/bin:$PATH
    else
        say "No $venv (bash launch/setup.sh makes it): using $(command -v python)"
    fi
}

# Runs a command to its end. A signal that is to end this script ends the command first: bash alone
# would end at once, and leave the command running.
run_to_its_end() {
    local child status
    "$@" <&0 &
    child=$!
    # shellcheck disable=SC2064 # Expands now: the variable is local.
    trap "kill -TERM $child 2>/dev/null || true" TERM HUP INT
    while true; do
        wait "$child" && status=0 || status=$?
        # A signal ends the wait, but not yet the command.
        kill -0 "$child" 2>/dev/null || return "$status"
    done
}

# Moves the W&B key from the environment to a file that only this user can read. wandb_key.py reads
# the file on rank 0; if rank 0 runs on another machine, that machine needs `wandb login`.
hide_wandb_key() {
    [[ -n ${WANDB_API_KEY:-} ]] || return 0
    DISTEVAL_WANDB_KEY_FILE=$(mktemp)
    # shellcheck disable=SC2064 # Expands now: the variable may differ at exit.
    trap "rm -f '$DISTEVAL_WANDB_KEY_FILE'" EXIT
    printf '%s' "$WANDB_API_KEY" >"$DISTEVAL_WANDB_KEY_FILE"
    unset WANDB_API_KEY
    export DISTEVAL_WANDB_KEY_FILE
}
