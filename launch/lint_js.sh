#!/usr/bin/env bash
# Lints the scripts of the report page with ESLint; skipped with a message without node and npm.
#
#   bash launch/lint_js.sh [FILE...]    (default: all of disteval/report)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(eslint@9.39.1 @eslint/js@9.39.1 globals@16.5.0)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/disteval/eslint-9.39.1

main() {
    local files=("$@")
    ((${#files[@]})) || files=("$top"/disteval/report/*.js)
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        say "No node and npm: the scripts of the report page are not linted."
        return
    fi
    if [[ ! -x $folder/node_modules/.bin/eslint ]]; then
        npm install --silent --no-audit --no-fund --prefix "$folder" "${packages[@]}"
    fi
    # ESLint ignores files that are not below the working directory.
    mapfile -t files < <(realpath "${files[@]}")
    cd /
    ESLINT_FOLDER=$folder "$folder/node_modules/.bin/eslint" --max-warnings 0 \
        --config "$top/tests/eslint.config.mjs" "${files[@]}"
}

main "$@"
