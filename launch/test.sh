#!/usr/bin/env bash
# Sets up with Horovod and runs all checks and tests: 20 to 30 minutes on 2 cores.
#
#   bash launch/test.sh                 lint, types, tests, coverage, the wheel
#   bash launch/test.sh --fast          lint, types and unit tests, without Horovod; at most 3 minutes
#   bash launch/test.sh --gpu           the tests that need NVIDIA GPUs
#   bash launch/test.sh --chaos [SECONDS] [--seed N]   jobs with random faults, or the one of a seed
#   bash launch/test.sh PYTEST_ARGS     lint, types, and some of the tests
#   bash launch/test.sh --matrix [ENTRY...]   other versions; see launch/matrix.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# These tests measure time, so they run alone after all others.
timed=tests/multiproc/test_logging_speed.py

main() {
    if [[ ${1:-} == --matrix ]]; then
        exec bash "$launch/matrix.sh" "${@:2}"
    elif [[ ${1:-} == --fast ]]; then
        bash "$launch/setup.sh" --test
        set -- --numprocesses 2 tests/unit
    elif [[ ${1:-} == --gpu ]]; then
        bash "$launch/setup.sh" --horovod --test
        set -- -m gpu tests/gpu "${@:2}"
    elif [[ ${1:-} == --chaos ]]; then
        bash "$launch/setup.sh" --horovod --test
        use_venv
        cd "$top/tests"
        exec python -m chaos "${@:2}"
    else
        bash "$launch/setup.sh" --horovod --test
        install_chromium
    fi
    use_venv
    cd "$top"
    lint
    if (($#)); then
        pytest "$@"
    else
        test_with_coverage
        pytest "$timed"
        bash tests/wheel.sh
    fi
}

lint() {
    ruff check .
    ruff format --check .
    # In the stubs of the last NumPy for Python 3.10, `np.ndarray` needs type arguments.
    if python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        mypy
    else
        say "Python 3.10: types are not checked."
    fi
    bash "$launch/lint_workflows.sh"
    bash "$launch/lint_js.sh"
}

# The report page is tested in a browser.
install_chromium() {
    if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && ((EUID == 0)); then
        apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core ||
            echo "Chromium cannot be installed: the tests of the report page are skipped." >&2
    fi
}

# Coverage is that of the unit tests and of the processes that they start; see tests/conftest.py.
test_with_coverage() {
    COVERAGE_FOLDER=$(mktemp -d)
    export COVERAGE_FOLDER
    # shellcheck disable=SC2064 # Expands now: the variable may differ at exit.
    trap "rm -rf '$COVERAGE_FOLDER'" EXIT
    # Three files at once on two cores, since some tests wait for what has to time out. The tests of a
    # file run in one process because they share fixtures. Files keep their order: by default, those
    # with few tests run last, and these take long.
    PYTHONPATH=$top/tests/coverage_hook${PYTHONPATH:+:$PYTHONPATH} pytest \
        --numprocesses 3 --dist loadfile --no-loadscope-reorder --ignore "$timed"
    coverage combine --quiet --rcfile=tests/coverage.ini
    coverage report --rcfile=tests/coverage.ini --fail-under=90
}

main "$@"
