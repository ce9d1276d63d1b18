"""The judge finds fault with everything that is not as planted."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from driftbus.demo.judge import Episode, Outcome, StreamLog, Verdict, judge
from driftbus.demo.report import show
from driftbus.demo.world import EVENTS, world

STREAMS = world(1)
SUDDEN = STREAMS[0]
AT = SUDDEN.changes[0].start


def perfect() -> dict[str, StreamLog]:
    """Every change found 100 events late, answered 800 events later by a model as good as the first."""
    logs = {}
    for stream in STREAMS:
        log = logs[stream.name] = StreamLog()
        starts = [change.start for change in stream.changes]
        for index in range(EVENTS):
            past = sum(index >= start for start in starts)
            answered = sum(index >= start + 900 for start in starts)
            log.outcomes.append(Outcome(index, f"v{answered + 1}", 0.5 if past > answered else 0.05))
        for number, change in enumerate(stream.changes):
            log.episodes[f"e{number}"] = Episode(
                f"e{number}", change.start + 100, change.start + 100, "concept", change.kind, change.start + 3
            )
            log.requests[f"r{number}"] = f"e{number}"
            log.answers[f"r{number}"] = f"v{number + 2}"
    return logs


def problems(verdict: Verdict, stream: str = SUDDEN.name) -> list[str]:
    return [problem for item in verdict.items if item.stream == stream for problem in item.problems]


def test_a_perfect_run_is_right() -> None:
    verdict = judge(STREAMS, perfect())
    assert verdict.right
    assert len(verdict.findings) == sum(len(stream.changes) for stream in STREAMS)
    finding = verdict.findings[0]
    assert (finding.error_before, finding.error_drifted, finding.error_after) == pytest.approx(
        (0.05, 0.5, 0.05)
    )
    said = io.StringIO()
    show(verdict, Console(file=said, width=80))
    assert "+3" in said.getvalue()


def test_an_empty_bus_is_wrong_about_every_change() -> None:
    verdict = judge(STREAMS, {})
    assert not verdict.right
    assert problems(verdict) == ["found 0 times", "0 requests", "no retrained model"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda log: log.episodes.clear(), "found 0 times"),
        (
            lambda log: log.episodes.update(x=Episode("x", AT + 500, AT + 500, "concept", "sudden")),
            "found 2 times",
        ),
        (lambda log: setattr(log.episodes["e0"], "kind", "gradual"), "kind gradual"),
        (lambda log: setattr(log.episodes["e0"], "category", "data"), "category data"),
        (lambda log: log.requests.update(x="e0"), "2 requests"),
        (lambda log: log.requests.clear(), "0 requests"),
        (lambda log: log.answers.clear(), "no retrained model"),
        (lambda log: log.episodes.update(x=Episode("x", 50, 50, "data", "sudden")), "data episode at 50"),
        (lambda log: log.requests.update(x=None), "1 requests"),
        (
            lambda log: log.outcomes.__setitem__(
                slice(None), [replace(o, error=0.9) if o.version == "v2" else o for o in log.outcomes]
            ),
            "the retrain did not help",
        ),
    ],
)
def test_whatever_is_not_as_planted_is_a_problem(spoil: object, problem: str) -> None:
    logs = perfect()
    spoil(logs[SUDDEN.name])  # type: ignore[operator]
    verdict = judge(STREAMS, logs)
    assert problem in problems(verdict)
    assert not verdict.right


def test_the_control_must_be_silent() -> None:
    logs = perfect()
    logs["mixed-control"].episodes["x"] = Episode("x", EVENTS - 1, EVENTS - 1, "prediction", "sudden")
    assert problems(judge(STREAMS, logs), "mixed-control") == [f"prediction episode at {EVENTS - 1}"]


def test_no_change_may_be_found_before_it_happens() -> None:
    logs = perfect()
    logs[SUDDEN.name].episodes["e0"].detected = AT - 1
    found = problems(judge(STREAMS, logs))
    assert "found 0 times" in found
    assert f"concept episode at {AT - 1}" in found
