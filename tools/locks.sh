#!/bin/sh
# The five locks from pyproject.toml: names, newest versions and hashes, never an address.
# They hold for every Python >= 3.11 and every system. Run through `make locks`.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

compile() {
    "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make locks" "$@"
}

compile --group build --output-file requirements-build.lock
compile pyproject.toml --output-file requirements.lock
# Everything that is needed to run is in the same version here.
compile pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock
compile --group examples --constraint requirements-dev.lock --output-file requirements-examples.lock
compile --group fuzz --output-file requirements-fuzz.lock

if grep -nE '://|^-' requirements*.lock; then
    echo "an address stands in a lock" >&2
    exit 1
fi
