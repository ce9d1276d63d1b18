"""The examples as they stand: a worker, a trainer and an inference service, each a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.commands import running

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LINE = re.compile(r"payments up to (\d+): model (v\d+), error ([0-9.]+)")


def test_the_error_rises_a_retrain_is_asked_for_and_it_falls_again(tmp_path: Path) -> None:
    worker = ("-m", "driftbus", "worker", "--config", EXAMPLES / "driftbus.yaml")
    with (
        running(tmp_path, *worker) as driftbus,
        running(tmp_path, EXAMPLES / "trainer.py") as trainer,
        running(tmp_path, EXAMPLES / "inference_service.py") as service,
    ):
        assert service.stdout is not None
        errors: dict[str, list[float]] = {}
        for line in service.stdout:
            print(line, end="")
            found = LINE.fullmatch(line.strip())
            assert found, line
            errors.setdefault(found[2], []).append(float(found[3]))
            if len(errors.get("v2", [])) == 4:
                break
    # v1 before the change and after it; v2 once it alone answers.
    assert errors["v1"][0] < 0.1
    assert max(errors["v1"]) > 0.2
    assert errors["v2"][-1] < 0.1
    assert trainer.returncode == 0
    assert driftbus.returncode == 0
