#!/usr/bin/env bash
# Trains and evaluates on Horovod ranks; the remaining arguments go to train.py.
#
#   bash launch/horovod.sh [-np N] [-H host:slots,...] [--] [arguments of train.py]
#
# N is the number of GPUs of this machine, or 2, unless it is given.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
    local ranks='' hosts=()
    while (($#)); do
        case $1 in
            -np) ranks=${2:?-np needs a number} && shift 2 ;;
            -H) hosts=(-H "${2:?-H needs a list of hosts}") && shift 2 ;;
            --) shift && break ;;
            *) break ;;
        esac
    done
    use_venv
    command -v horovodrun >/dev/null || die "No horovodrun: bash launch/setup.sh --horovod builds it."
    hide_wandb_key
    horovodrun --gloo -np "${ranks:-$(default_ranks)}" ${hosts[@]+"${hosts[@]}"} \
        python "$launch/train.py" --backend horovod "$@"
}

default_ranks() {
    local gpus=0
    if command -v nvidia-smi >/dev/null; then
        gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)
    fi
    echo $((gpus > 0 ? gpus : 2))
}

# horovodrun writes its whole environment on the command line of every rank, where `ps` shows it to
# everyone on the machine. So the key goes through a file that only this user can read, and
# train.py reads it on rank 0. When rank 0 is on another machine, use `wandb login` there.
hide_wandb_key() {
    [[ -n ${WANDB_API_KEY:-} ]] || return 0
    DISTEVAL_WANDB_KEY_FILE=$(mktemp)
    # shellcheck disable=SC2064 # The name of now, not the one at exit.
    trap "rm -f '$DISTEVAL_WANDB_KEY_FILE'" EXIT
    printf '%s' "$WANDB_API_KEY" >"$DISTEVAL_WANDB_KEY_FILE"
    unset WANDB_API_KEY
    export DISTEVAL_WANDB_KEY_FILE
}

main "$@"
