#!/usr/bin/env bash
# Builds the wheel, installs it in an empty environment, and runs the README's first example from it.
# All that it needs is installed as well, as its metadata say: pip's cache makes that a minute.
set -euo pipefail
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-$tests/../.venv/bin/python}

unset PYTHONPATH # nothing but what the wheel brings
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work" "$tests/.."
"$python" -m venv "$work/venv"
wheel=$(echo "$work"/disteval-*.whl)
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check "${wheel}[demo]"
"$python" "$tests/examples.py" "$tests/../README.md" >"$work/example.py"
cd "$work"
WANDB_MODE=offline WANDB_DIR=$work TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python example.py
ls wandb/offline-run-*/run-*.wandb
venv/bin/python -m disteval report wandb # from the templates in the wheel
venv/bin/python -c "
import importlib.metadata, os, disteval
assert disteval.__file__.startswith(os.path.realpath('venv')), disteval.__file__
assert os.path.exists(os.path.join(os.path.dirname(disteval.__file__), 'py.typed'))
print('disteval', importlib.metadata.version('disteval'), 'works from its wheel')"
