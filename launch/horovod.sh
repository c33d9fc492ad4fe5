#!/usr/bin/env bash
# Trains and evaluates on Horovod ranks, on this machine or on several hosts.
#
#   bash launch/horovod.sh [options] [--] [arguments of the script]
#
#   -np N                        ranks (default: the GPUs of this machine, or 2)
#   -H HOST:SLOTS,...            hosts, reached by ssh without a password; or
#   --hostfile FILE              lines "HOST slots=N"
#   --gloo | --mpi               how ranks find each other; --mpi needs mpirun and a Horovod with MPI
#   --timeline FILE              writes a trace of all collectives, for chrome://tracing
#   --min-np N --max-np N --host-discovery-script FILE
#                                elastic: ranks may be lost and join; runs train_elastic.py
#   --script FILE                what to run instead of train.py
#
# Options passed on to horovodrun: -p, -i, --network-interfaces, --start-timeout, --verbose,
# --gloo-timeout-seconds. All hosts need this repository and its .venv at the same path, for instance
# on a shared file system.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
    local ranks='' hosts='' controller=--gloo script='' elastic='' options=()
    while (($#)); do
        case $1 in
            --) shift && break ;;
            --gloo | --mpi) controller=$1 && shift && continue ;;
            --verbose) options+=("$1") && shift && continue ;;
        esac
        case $1 in
            -np) ranks=${2:?-np needs a number} ;;
            -H | --hostfile) hosts=1 ;;&
            --timeline) options+=(--timeline-filename "${2:?--timeline needs a file}") ;;
            --script) script=${2:?--script needs a file} ;;
            --min-np | --max-np | --host-discovery-script) elastic=1 ;;&
            -H | --hostfile | -p | -i | --network-interfaces | --start-timeout | \
                --gloo-timeout-seconds | --min-np | --max-np | --host-discovery-script)
                options+=("$1" "${2:?"$1 needs a value"}")
                ;;
            *) break ;;
        esac
        shift 2
    done
    [[ -z $hosts || -n $ranks ]] || die "-H and --hostfile need -np, the number of ranks on all hosts."
    [[ -z $elastic || $controller == --gloo ]] || die "Elastic training needs --gloo."
    use_venv
    command -v horovodrun >/dev/null || die "No horovodrun: bash launch/setup.sh --horovod builds it."
    # horovodrun writes its whole environment on the command line of every rank, where `ps` shows it
    # to everyone on the machine.
    hide_wandb_key
    if [[ -n $elastic ]]; then
        [[ " ${options[*]} " == *" --network-interfaces "* ]] ||
            say "Horovod waits for two hosts, to find the interfaces that both have." \
                "On one machine: --network-interfaces lo"
        script=${script:-$launch/train_elastic.py}
    else
        script=${script:-$launch/train.py}
    fi
    [[ $script != "$launch/train.py" ]] || set -- --backend horovod "$@"
    run_to_its_end horovodrun "$controller" -np "${ranks:-$(default_ranks)}" \
        ${options[@]+"${options[@]}"} python "$script" "$@"
}

default_ranks() {
    local gpus
    gpus=$(count_gpus)
    echo $((gpus > 0 ? gpus : 2))
}

main "$@"
