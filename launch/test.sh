#!/usr/bin/env bash
# Sets up with Horovod and runs all checks and tests; 25 minutes at most on 2 cores.
#
#   bash launch/test.sh                 lint, types, tests, coverage, the wheel
#   bash launch/test.sh PYTEST_ARGS     lint, types, and some of the tests
#   bash launch/test.sh --matrix [ENTRY...]   other versions; see launch/matrix.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# What measures time has the machine to itself, after all others.
timed=tests/multiproc/test_logging_speed.py

main() {
    if [[ ${1:-} == --matrix ]]; then
        exec bash "$launch/matrix.sh" "${@:2}"
    fi
    bash "$launch/setup.sh" --horovod --test
    install_chromium
    use_venv
    cd "$top"
    ruff check .
    ruff format --check .
    mypy
    if (($#)); then
        pytest "$@"
    else
        test_with_coverage
        pytest "$timed"
        bash tests/wheel.sh
    fi
}

# The report page is tested in a browser.
install_chromium() {
    if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && ((EUID == 0)); then
        apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core ||
            echo "Chromium cannot be installed: the tests of the report page are skipped." >&2
    fi
}

# Most of the package runs in ranks, which are processes of their own, so that those count as well.
test_with_coverage() {
    COVERAGE_FOLDER=$(mktemp -d)
    export COVERAGE_FOLDER
    # shellcheck disable=SC2064 # The name of now, not the one at exit.
    trap "rm -rf '$COVERAGE_FOLDER'" EXIT
    # Two at once: most of a test is starting processes. A file shares what its tests set up, and
    # files with few tests, which take long, do not wait until the others are done.
    PYTHONPATH=$top/tests/coverage_hook${PYTHONPATH:+:$PYTHONPATH} pytest \
        --numprocesses 2 --dist loadfile --no-loadscope-reorder --ignore "$timed"
    coverage combine --quiet --rcfile=tests/coverage.ini
    coverage report --rcfile=tests/coverage.ini --fail-under=90
}

main "$@"
