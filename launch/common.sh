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
