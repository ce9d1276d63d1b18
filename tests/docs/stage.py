"""Where a page's commands run as they are printed: a folder that looks like a clone, with programs that are
the real ones but for what a test cannot have.

    driftbus worker, ingest   in the background, once ready the next line runs; the one before is ended
    python examples/X.py      in the background where X serves until it is ended
    python -m pytest          collects what it would run
    make X                    `make -n X`: that the target is there; CI itself runs most of them
    curl                      asks the port that this page's worker has here
    REQUEST_ID, EPISODE …     the ids of the world that the page is about
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cli.commands import clean_environ
from tests.docs.pages import ROOT, Block
from tests.ports import free_port

# Ends what would hang for ever.
LIMIT_S = 240.0

_PIDS = "stage-pids"
_COMMON = """#!/bin/bash
background() {
    "$@" >>stage-background.log 2>&1 </dev/null &
    echo $! >>stage-pids
}
"""
_DRIFTBUS = (
    _COMMON
    + """
args=()
for one in "$@"; do
    case "$one" in
        REQUEST_ID) one=${STAGE_REQUEST_ID:?} ;;
        EPISODE|9f2c…) one=${STAGE_EPISODE:?} ;;
        STREAM) one=${STAGE_STREAM:?} ;;
    esac
    args+=("$one")
done
case "${args[0]}" in
    worker|ingest)
        if [ -f stage-worker ]; then
            kill "$(cat stage-worker)" 2>/dev/null || true
            while kill -0 "$(cat stage-worker)" 2>/dev/null; do sleep 0.1; done
        fi
        background "$STAGE_PYTHON" -m driftbus "${args[@]}"
        tail -1 stage-pids >stage-worker
        until /usr/bin/env -i "$STAGE_PYTHON" -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1])' \\
            "http://127.0.0.1:$DRIFTBUS_HTTP__PORT/readyz" 2>/dev/null; do
            kill -0 "$(cat stage-worker)" || { tail -20 stage-background.log >&2; exit 1; }
            sleep 0.2
        done ;;
    *) exec "$STAGE_PYTHON" -m driftbus "${args[@]}" ;;
esac
"""
)
_PYTHON = (
    _COMMON
    + """
case "$*" in
    examples/*.py*) background "$STAGE_PYTHON" "$@" ;;
    "-m pytest "*)
        shift 2
        cd "$STAGE_ROOT"
        exec "$STAGE_PYTHON" -m pytest --collect-only -q "$@" >/dev/null ;;
    *) exec "$STAGE_PYTHON" "$@" ;;
esac
"""
)
_MAKE = '#!/bin/bash\nexec /usr/bin/env make -n -C "$STAGE_ROOT" "$@" >/dev/null\n'
_CURL = '#!/bin/bash\nexec /usr/bin/curl --fail --output /dev/null "${@//:8711/:$DRIFTBUS_HTTP__PORT}"\n'


@contextmanager
def stage(folder: Path, environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The environment in which a page's commands run in `folder`; what they left running is ended with it."""
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    for name, text in (("driftbus", _DRIFTBUS), ("python", _PYTHON), ("curl", _CURL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    outside = folder / "stage-bin"
    outside.mkdir()
    (outside / "make").write_text(_MAKE.replace("/usr/bin/env make", _real("make")))
    (outside / "make").chmod(0o755)
    (programs / "kubectl").symlink_to(Path(sys.executable).with_name("kubectl"))
    for name in ("examples", "deploy"):
        (folder / name).symlink_to(ROOT / name)
    try:
        yield {
            **clean_environ(),
            "PATH": f"{outside}:{programs}:{os.environ['PATH']}",
            "DRIFTBUS_HTTP__PORT": str(free_port()),
            "STAGE_PYTHON": sys.executable,
            "STAGE_ROOT": str(ROOT),
            **environ,
        }
    finally:
        _end(folder / _PIDS)


def play(folder: Path, environ: Mapping[str, str], blocks: list[Block]) -> None:
    """All blocks, one after the other, as one script. Raises `AssertionError` with what was said."""
    script = ["set -euo pipefail"]
    for block in blocks:
        script += [f"echo '--- line {block.line}' >&2", block.text]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder, env=dict(environ), capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]


def _end(pids: Path) -> None:
    """SIGTERM to each that still runs, and wait until it is gone."""
    running = [int(line) for line in pids.read_text().split()] if pids.exists() else []
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 60
    while running and time.monotonic() < until:
        running = [pid for pid in running if _runs(pid)]
        time.sleep(0.1)
    assert not running, f"these do not end: {running}"


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _real(name: str) -> str:
    import shutil

    found = shutil.which(name)
    assert found
    return found
