"""`make fuzz`: atheris over the targets, one after another, each in a process of its own.

    make fuzz ARGS="--seconds 60"                    # each target a minute
    make fuzz ARGS="--seconds 600 restored step"     # two of them, ten

What is found is written to the folder of the run (`--out`); `--input FILE TARGET` runs it again. Exit code 1
when anything was found. driftbus alone is instrumented: its branches lead the fuzzer.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

# A try that takes longer hangs: the slowest, a restore, takes a tenth of a second on a busy machine.
HANGS_S = 20
# What a worker's container may have; a try that wants more is a finding.
MOST_MIB = 2048


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where findings and what was learnt are kept")
    parser.add_argument("--input", type=Path, help="a finding to run again")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*")
    options, passed = parser.parse_known_args()
    if options.child:
        # What stands behind `--` is the fuzzer's own, and positional here.
        return _fuzz(options.targets[0], [*options.targets[1:], *passed])
    from tests.fuzz.targets import TARGETS, seeds

    names = options.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(TARGETS)}")
    if options.input:
        TARGETS[names[0]](options.input.read_bytes())
        return 0
    out = options.out or Path(tempfile.mkdtemp(prefix="driftbus-fuzz-"))
    found = []
    for name in names:
        corpus = out / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        command = [
            *(sys.executable, "-m", "tests.fuzz", "--child", name, "--"),
            *(f"-max_total_time={options.seconds}", f"-seed={options.seed}", "-max_len=256"),
            *(f"-timeout={HANGS_S}", f"-rss_limit_mb={MOST_MIB}", f"-artifact_prefix={out}/{name}-"),
            *("-print_final_stats=1", str(corpus)),
        ]
        log = out / f"{name}.log"
        with open(log, "wb") as said:
            code = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=False).returncode
        lines = log.read_text(errors="replace").splitlines()
        tries = next((s.split()[-1] for s in lines if "number_of_executed_units" in s), "?")
        covered = next((s.split("cov: ")[1].split()[0] for s in reversed(lines) if "cov: " in s), "?")
        print(
            f"{name:18} {tries:>10} tries  {covered:>6} branches  {'FOUND' if code else 'nothing'}",
            flush=True,
        )
        if code:
            found.append(name)
            print("\n".join(lines[-30:]), flush=True)
    print(f"seed {options.seed}, {options.seconds} s each; findings and logs: {out}")
    return 1 if found else 0


def _fuzz(name: str, arguments: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["driftbus"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    target(b"")  # what is made once is made before anything is measured
    atheris.Setup([name, *arguments], target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
