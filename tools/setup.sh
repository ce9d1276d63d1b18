#!/bin/sh
# Makes .venv: `setup.sh run` for running driftbus, `setup.sh dev` with what its tests need too.
#
# Everything is pinned, hashes included; pip takes it from wherever pip is configured to. A stamp holds what
# was installed, so that a second run costs nothing. Needs Python >= 3.11 with pip; nothing else.
set -eu
cd "$(dirname "$0")/.."
want=${1:?usage: setup.sh run|dev}

say() { printf '%s\n' "$*" >&2; }

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    say "driftbus needs Python 3.11 or newer; found: $(python3 --version 2>&1 || true)"
    say "Install one, or name it: make setup PYTHON=/path/to/python3"
    exit 1
}

stamp=.venv/driftbus-setup
state() { # of what is installed at a level: the locks', the project's own declarations, this script
    case $1 in
    run) set -- "$1" requirements-build.lock requirements.lock ;;
    dev) set -- "$1" requirements-build.lock requirements.lock requirements-dev.lock ;;
    esac
    level=$1
    shift
    echo "$level $(cat pyproject.toml tools/setup.sh "$@" | cksum)"
}
if [ -f "$stamp" ] && new_enough .venv/bin/python && grep -qF "$PWD/.venv" .venv/bin/activate; then
    # What tests need includes what running needs.
    if [ "$(cat "$stamp")" = "$(state dev)" ] || [ "$(cat "$stamp")" = "$(state "$want")" ]; then
        exit 0
    fi
fi

# A folder that was moved, or whose Python is gone or too old, is made anew.
if [ -e .venv ] && ! { new_enough .venv/bin/python && grep -qF "$PWD/.venv" .venv/bin/activate; }; then
    say "making .venv anew"
    rm -rf .venv
fi
if [ ! -e .venv ]; then
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    # Debian's Python without python3-venv cannot put pip into it; the pip outside then installs into it.
    "$python" -m venv .venv >/dev/null 2>&1 || { rm -rf .venv && "$python" -m venv --without-pip .venv; }
fi
if [ -x .venv/bin/pip ]; then
    pip() { .venv/bin/python -m pip "$@"; }
else
    outside=$(find_python)
    pip() { "$outside" -m pip --python .venv/bin/python "$@"; }
fi

locks="-r requirements-build.lock -r requirements.lock"
[ "$want" = dev ] && locks="$locks -r requirements-dev.lock"
say "installing what $locks name"
# shellcheck disable=SC2086 # several arguments
pip install --quiet --disable-pip-version-check --require-hashes $locks
# The project itself, built by the pinned backend; its dependencies are all there.
pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
state "$want" >"$stamp"
say "ready: .venv/bin/driftbus --help"
