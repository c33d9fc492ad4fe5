#!/usr/bin/env bash
# Runs the unit tests, and the tests of predict() on one device and under MirroredStrategy, with
# other versions of TensorFlow, Keras and W&B.
#
#   bash launch/matrix.sh [ENTRY...]    (default: all entries)
#
# Each entry keeps its environment in .venv-matrix/, so that a second run installs nothing. All
# entries take an hour and 12 GB; run this by hand before a release.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Name, Python, whether tf.keras is Keras 2, and what to install.
entries=(
    "tf-2.16   3.11 0 tensorflow==2.16.*"
    "tf-2.18   3.11 0 tensorflow==2.18.*"
    "tf-newest 3.13 0 tensorflow"
    "keras-2   3.11 1 tensorflow==2.18.* tf-keras==2.18.*"
    "wandb-old 3.11 0 tensorflow==2.18.* wandb==0.24.1"
    "wandb-new 3.11 0 tensorflow==2.18.* wandb"
)
folder=$top/.venv-matrix

main() {
    local entry name python keras_2 packages failed=0
    mkdir -p "$folder"
    : >"$folder/table"
    for entry in "${entries[@]}"; do
        read -r name python keras_2 packages <<<"$entry"
        (($# == 0)) || [[ " $* " == *" $name "* ]] || continue
        # shellcheck disable=SC2086 # Holds several words.
        install "$folder/$name" "$python" $packages && check "$name" "$keras_2" || failed=1
    done
    printf '\n%-10s %-8s %-11s %-8s %-8s %-6s %-26s %s\n' \
        entry Python TensorFlow tf.keras W\&B NumPy "unit tests" "single and mirrored"
    cat "$folder/table"
    return "$failed"
}

install() {
    local venv=$1 python=$2
    shift 2
    [[ ! -e $venv/installed || $(<"$venv/installed") != "$*" ]] || return 0
    say "Installing $* into $venv"
    [[ -x $venv/bin/python ]] || "$(find_python "$python")" -m venv "$venv" || return
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "${top}[test]" "$@" || return
    echo "$*" >"$venv/installed"
}

# Falls back to a Python of pyenv, whose own command of this name may refuse to run.
find_python() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if "$candidate" -c '' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "There is no Python $1."
}

# Writes a line of the table.
check() {
    local name=$1 venv=$folder/$1 unit multi
    export TF_USE_LEGACY_KERAS=$2 TF_CPP_MIN_LOG_LEVEL=3
    # Leaves out tests that do not depend on these versions.
    unit=$(result "$venv" "$name-unit" tests/unit --ignore tests/unit/test_launch.py \
        --ignore tests/unit/test_kubernetes.py --ignore tests/unit/test_readme.py)
    multi=$(result "$venv" "$name-multi" tests/multiproc/test_predict.py -k "single or mirrored")
    {
        printf '%-10s ' "$name"
        "$venv/bin/python" -c '
import importlib, platform, numpy, tensorflow as tf, wandb
keras = importlib.import_module(tf.keras.Model.__module__.split(".")[0])
versions = platform.python_version(), tf.__version__, keras.__version__, wandb.__version__
print("%-8s %-11s %-8s %-8s %-6s " % (*versions, numpy.__version__), end="")' 2>/dev/null
        printf '%-26s %s\n' "$unit" "$multi"
    } >>"$folder/table"
    [[ $unit$multi != *fail* && $unit$multi != *error* ]]
}

# Runs tests, and prints pytest's own summary of them.
result() {
    local venv=$1 log=$folder/$2.log
    shift 2
    say "Testing (log: $log)"
    (cd "$top" && PATH=$venv/bin:$PATH "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@") \
        >"$log" 2>&1 || true
    tail -n 1 "$log" | tr -d = | sed 's/ in .*//; s/^ *//; s/, [0-9]* warnings*//'
}

main "$@"
