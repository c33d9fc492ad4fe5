# shellcheck shell=bash
# Sourced by the scripts in this folder: where things are, which Python runs them.

launch=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$launch")
venv=$top/.venv

# TensorFlow prints many hints at start-up; this stops those that can be stopped.
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Puts the environment that setup.sh made first on PATH; without one, `python` is the current one.
use_venv() {
    if [[ -x $venv/bin/python ]]; then
        export PATH=$venv/bin:$PATH
    else
        say "No $venv (bash launch/setup.sh makes it): using $(command -v python)"
    fi
}

# Ranks get the W&B key in a file of this machine that only this user can read, instead of a
# variable; train.py reads it, on rank 0. If rank 0 is on another machine: `wandb login` there.
hide_wandb_key() {
    [[ -n ${WANDB_API_KEY:-} ]] || return 0
    DISTEVAL_WANDB_KEY_FILE=$(mktemp)
    # shellcheck disable=SC2064 # The name of now, not the one at exit.
    trap "rm -f '$DISTEVAL_WANDB_KEY_FILE'" EXIT
    printf '%s' "$WANDB_API_KEY" >"$DISTEVAL_WANDB_KEY_FILE"
    unset WANDB_API_KEY
    export DISTEVAL_WANDB_KEY_FILE
}
