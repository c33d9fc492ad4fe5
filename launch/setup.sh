#!/usr/bin/env bash
# Makes .venv and installs disteval in it, editable, with what launch/train.py needs.
#
#   bash launch/setup.sh [--horovod] [--test] [--cpu]
#
#   --horovod  builds and installs Horovod too (2 to 5 minutes once, then from a cache)
#   --test     installs what the tests need
#   --cpu      installs no CUDA libraries (3 GB), which are for machines with NVIDIA GPUs
#   PYTHON     the Python to make .venv with (3.10 to 3.13)
#
# HOROVOD_GPU_OPERATIONS, HOROVOD_WITH_MPI and all other build settings of Horovod are respected.
# It can be run again at any time, and skips the steps that are done already.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

horovod_version=0.28.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/disteval
package_stamp=$venv/disteval.installed
horovod_stamp=$venv/horovod.installed

main() {
    local extras=demo horovod='' gpus
    gpus=$(count_gpus)
    for option in "$@"; do
        case $option in
            --horovod) horovod=1 ;;
            --test) extras="test" ;; # contains demo
            --cpu) gpus=0 ;;
            *) die "usage: launch/setup.sh [--horovod] [--test] [--cpu]" ;;
        esac
    done
    # Checked first, because the steps before the build take minutes.
    [[ -z $horovod || -e $horovod_stamp ]] || horovod_works || need_build_tools
    make_venv
    install_package "$extras" "$gpus"
    [[ -z $horovod ]] || install_horovod
}

need_build_tools() {
    local missing=()
    have "${CXX:-c++}" || have g++ || missing+=("a C++ compiler (g++)")
    have "${HOROVOD_CMAKE:-cmake}" || missing+=(cmake)
    have make || missing+=(make)
    ((${#missing[@]} == 0)) || die "Horovod needs $(join "${missing[@]}") to build:" \
        "install with 'apt install g++ make cmake' or your system's equivalent, then run this again."
}

join() {
    local list
    printf -v list '%s, ' "$@"
    printf '%s' "${list%, }"
}

make_venv() {
    if [[ -x $venv/bin/pip ]]; then
        [[ -z ${PYTHON:-} || $(version "$PYTHON") == "$(version "$venv/bin/python")" ]] ||
            die "$venv has another version than $PYTHON: remove it first."
        return
    fi
    local python
    python=$(find_python)
    say "Making $venv with $python ($(version "$python"))"
    "$python" -m venv "$venv"
}

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

find_python() {
    local python candidates=(python3 python3.13 python3.12 python3.11 python3.10)
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for python in "${candidates[@]}"; do
        # Debian's python3 lacks ensurepip until python3-venv is installed.
        if "$python" -c 'import ensurepip, sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
            2>/dev/null; then
            echo "$python"
            return
        fi
    done
    die "${PYTHON:-python3} is not a Python from 3.10 to 3.13 with venv:" \
        "install one ('apt install python3-venv'), or name one with PYTHON=/path/to/python."
}

install_package() {
    local extras=$1 gpus=$2 stamp
    ((gpus == 0)) || extras+=,cuda
    stamp="$extras $(digest <"$top/pyproject.toml")"
    # The test extra contains the demo extra, so the stamp of either is enough for the demo.
    if [[ -e $package_stamp ]] &&
        [[ $(<"$package_stamp") == "$stamp" || $(<"$package_stamp") == "${stamp/#demo/test}" ]]; then
        return
    fi
    say "Installing disteval[$extras] into $venv (TensorFlow is large: this may take minutes)"
    ((gpus == 0)) || say "For $gpus NVIDIA GPUs, with the CUDA libraries: a download of about 3 GB." \
        "bash launch/setup.sh --cpu does without."
    pip_install --editable "${top}[$extras]"
    ((gpus == 0)) || check_gpus "$gpus"
    echo "$stamp" >"$package_stamp"
}

# Without this check, TensorFlow would train on the CPU without a word.
check_gpus() {
    local gpus=$1 seen
    seen=$(env -u CUDA_VISIBLE_DEVICES "$venv/bin/python" -c '
import tensorflow as tf
print(len(tf.config.list_physical_devices("GPU")))' 2>/dev/null | tail -n 1)
    ((${seen:-0} >= gpus)) || die "TensorFlow sees ${seen:-0} of $gpus GPUs:" \
        "'$venv/bin/python -m disteval doctor' says why. 'bash launch/setup.sh --cpu' sets up for the CPU."
    say "TensorFlow sees all $gpus GPUs."
}

pip_install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }

digest() { cksum | tr ' ' -; }

install_horovod() {
    local key wheel
    set_horovod_defaults
    key=$(horovod_key)
    if [[ ! -e $horovod_stamp ]] && horovod_works; then
        say "Keeping the Horovod that is in $venv"
    elif [[ ! -e $horovod_stamp || $(<"$horovod_stamp") != "$key" ]]; then
        # On Python 3.12 and later horovodrun takes distutils from setuptools.
        pip_install 'setuptools>=70.1,<81' cloudpickle packaging psutil pyyaml
        [[ -d $cache/$key ]] || build_horovod "$cache/$key"
        wheel=$(echo "$cache/$key"/*.whl)
        say "Installing $wheel"
        pip_install --force-reinstall --no-deps "$wheel"
        horovod_works || die "The Horovod in $cache/$key cannot be imported:" \
            "see '$venv/bin/python -c \"import horovod.tensorflow\"', or remove it to build again."
    fi
    echo "$key" >"$horovod_stamp"
}

# Settings of the user win. The default is Gloo, which needs no other software, without MPI.
set_horovod_defaults() {
    export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
    [[ -n ${HOROVOD_WITH_GLOO:-}${HOROVOD_WITHOUT_GLOO:-} ]] || export HOROVOD_WITH_GLOO=1
    [[ -n ${HOROVOD_WITH_MPI:-}${HOROVOD_WITHOUT_MPI:-} ]] || export HOROVOD_WITHOUT_MPI=1
}

# A wheel fits one version of TensorFlow and of Python, one machine type and one set of settings.
horovod_key() {
    local settings
    settings=$(env | LC_ALL=C sort |
        grep -E '^HOROVOD_(ALLOW|BUILD|CPU_OPERATIONS|CUDA|GPU|NCCL|NVTX|ROCM|WITH)' | digest)
    echo "horovod-$horovod_version-tf$(tensorflow_version)-py$(version "$venv/bin/python")-$(uname -m)-$settings"
}

tensorflow_version() {
    "$venv/bin/python" -c 'import importlib.metadata as m; print(m.version("tensorflow"))'
}

horovod_works() { "$venv/bin/python" -c 'import horovod.tensorflow' 2>/dev/null; }

build_horovod() {
    local target=$1 work log=$1.log
    need_build_tools
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/build.XXXXXX")
    # shellcheck disable=SC2064 # Expands now: the variable may differ at exit.
    trap "rm -rf '$work'" EXIT
    say "Building Horovod $horovod_version, 2 to 5 minutes (log: $log)"
    if ! (unpack_horovod "$work" && compile_horovod "$work") >"$log" 2>&1; then
        grep -m 3 -E '[0-9]: (fatal )?error: |CMake Error' "$log" >&2 || tail -n 3 "$log" >&2
        die "Horovod did not build: see $log"
    fi
    # One rename, so that the cache never holds half a build.
    mv "$work/wheel" "$target"
}

# A build changes Horovod's own source folder, so each one starts from a fresh copy.
unpack_horovod() {
    "$venv/bin/python" -m pip download --no-deps --no-build-isolation --no-binary horovod \
        --dest "$1" "horovod==$horovod_version" &&
        mkdir "$1/source" &&
        tar -xzf "$1/horovod-$horovod_version.tar.gz" -C "$1/source" --strip-components=1
}

compile_horovod() {
    local tensorflow
    tensorflow=$("$venv/bin/python" -c '
import importlib.util
print(importlib.util.find_spec("tensorflow").submodule_search_locations[0])') || return
    # TensorFlow's headers include highwayhash by a path that does not exist in the wheel.
    export CPATH=$tensorflow/include/external/highwayhash${CPATH:+:$CPATH}
    # The XLA headers that this one file needs are not in the wheels of TensorFlow 2.19 and later.
    # Without it Horovod's operations run outside of XLA, as they do by default.
    if [[ $(tensorflow_version) != 2.1[678].* ]]; then
        : >"$1/source/horovod/tensorflow/xla_mpi_ops.cc"
    fi
    # Horovod's copy of Gloo lacks an include that GCC before 13 added implicitly, and asks for
    # policies of a CMake that version 4 supports only with this minimum.
    export CXXFLAGS="-include cstdint ${CXXFLAGS:-}"
    export CMAKE_POLICY_VERSION_MINIMUM=${CMAKE_POLICY_VERSION_MINIMUM:-3.5}
    PATH=$venv/bin:$PATH "$venv/bin/python" -m pip wheel --no-deps --no-build-isolation \
        --wheel-dir "$1/wheel" "$1/source"
}

main "$@"
