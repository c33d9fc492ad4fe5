#!/usr/bin/env bash
# Trains and evaluates under tf.distribute.MultiWorkerMirroredStrategy, on one or several hosts.
#
#   bash launch/multiworker.sh [options] [--] [arguments of the script]
#
#   -H HOST:PORT,...  one worker for each; run the same command on every host
#                     (default: two workers on this machine, on free ports)
#   -w INDEX,...      the workers to start here (default: those with this machine as HOST)
#   --script FILE     what to run instead of train.py
#
# The fit() of Keras 3 fails under this strategy, so Keras 2 is used: pip install tf-keras.
# For a script with its own training loop, TF_USE_LEGACY_KERAS=0 keeps Keras 3.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
    local hosts='' indices='' script=$launch/train.py
    while (($#)); do
        case $1 in
            -H) hosts=${2:?-H needs a list of HOST:PORT} && shift 2 ;;
            -w) indices=${2:?-w needs a list of numbers} && shift 2 ;;
            --script) script=${2:?--script needs a file} && shift 2 ;;
            --) shift && break ;;
            *) break ;;
        esac
    done
    use_venv
    export TF_USE_LEGACY_KERAS=${TF_USE_LEGACY_KERAS:-1}
    if [[ $TF_USE_LEGACY_KERAS == 1 ]]; then
        python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("tf_keras"))' ||
            die "Keras 3 cannot fit() under this strategy: pip install tf-keras"
    fi
    [[ $script != "$launch/train.py" ]] || set -- --backend multiworker "$@"
    hosts=${hosts:-$(free_ports 2)}
    start_workers "$hosts" "${indices:-$(local_indices "$hosts")}" python "$script" "$@"
    wait_for_workers
}

free_ports() {
    python - "$1" <<'END'
import socket, sys

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(",".join("127.0.0.1:%d" % each.getsockname()[1] for each in sockets))
END
}

# Prints the numbers of the workers whose host is a name or an address of this machine.
local_indices() {
    local worker index=0 found=() here
    here=" localhost $(hostname) $(hostname -f 2>/dev/null || true) $(hostname -I 2>/dev/null || true) "
    for worker in ${1//,/ }; do
        if [[ $worker == 127.* || $here == *" ${worker%:*} "* ]]; then
            found+=("$index")
        fi
        index=$((index + 1))
    done
    ((${#found[@]})) || die "None of $1 is this machine: name its workers with -w."
    (IFS=, && echo "${found[*]}")
}

workers=()

start_workers() {
    local hosts=$1 indices=$2 index
    shift 2
    for index in ${indices//,/ }; do
        (
            # Only worker 0 talks to W&B, so only it gets the key.
            ((index == 0)) || unset WANDB_API_KEY
            export TF_CONFIG="{\"cluster\": {\"worker\": [\"${hosts//,/\", \"}\"]},"
            TF_CONFIG+=" \"task\": {\"type\": \"worker\", \"index\": $index}}"
            exec "$@"
        ) &
        workers+=($!)
    done
    trap 'kill "${workers[@]}" 2>/dev/null || true' EXIT
}

# Exits with the status of the first worker that fails; the trap ends the others.
wait_for_workers() {
    local _
    for _ in "${workers[@]}"; do
        wait -n || exit
    done
}

main "$@"
