"""A deployment that has not helped is told, once; one that has, or that nobody can judge, is not."""

from __future__ import annotations

from random import Random

import orjson

from driftbus.core.partition import Partition, StepInput
from driftbus.core.policy import Policy
from driftbus.core.records import Benefit, EarlierState, RetrainRequest
from driftbus.core.settings import Limits, RetrainPolicy, StreamSettings
from tests.core.streams import Shape, as_runs, events
from tests.core.test_policy import ERROR, MINUTE, Stream, drift, model

# The cooldown of six hours is 360 rows of a minute each.
DEPLOYED = 1_700


def answered(level: float, until: int = DEPLOYED + 1_500, **rules: object) -> Stream:
    """v1's error rose from .05 to .3 at row 1,000; v2 was deployed, with errors at `level`."""
    stream = Stream(RetrainPolicy(**rules))  # type: ignore[arg-type]
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    stream.run(DEPLOYED)
    (_, request), *_ = stream.asked
    stream.version.model_version = "v2"
    stream.model(model("model-deployed", request.request_id, version="v2"))
    run(stream, level, until)
    return stream


def run(stream: Stream, level: float, until: int) -> None:
    random = Random(7)
    while stream.row < until:
        rows = range(stream.row, stream.row + 50)
        errors = [float(random.random() < level) for _ in rows]
        stream.version.own.extend(rows, [row * MINUTE for row in rows], errors)
        stream.run(stream.row + 50)


def test_a_deployment_that_has_not_helped_is_told_with_what_was_tried() -> None:
    stream = answered(0.31)
    (_, first), (row, second) = stream.asked
    assert 450 <= row - DEPLOYED <= 700  # errors are given fifty rows ahead
    assert (second.reason, second.episode_id, second.attempt) == ("drift", "episode", 1)
    assert second.request_id != first.request_id
    assert second.model_version == "v2"
    assert second.tried is not None
    assert (second.tried.request_id, second.tried.model_version) == (first.request_id, "v2")
    assert (second.tried.before, second.tried.during) == (ERROR.before, ERROR.after)
    assert 0.2 < second.tried.error < 0.4
    assert 0 <= second.window.start_seq - first.window.start_seq <= 32  # bins of rows are merged meanwhile
    assert second.window.rows > first.window.rows


def test_it_is_told_once() -> None:
    stream = answered(0.31)
    stream.version.model_version = "v3"
    stream.model(model("model-deployed", stream.asked[-1][1].request_id, version="v3"))
    run(stream, 0.31, stream.row + 3_000)
    assert len(stream.asked) == 2


def test_one_that_has_helped_is_not_told() -> None:
    stream = answered(0.07, DEPLOYED + 3_000)
    assert len(stream.asked) == 1
    assert not stream.policy.wants_outcomes(stream.version)


def test_one_that_nobody_can_judge_is_forgotten() -> None:
    stream = answered(0.175, DEPLOYED + 4_000)
    assert len(stream.asked) == 1
    assert not stream.policy.wants_outcomes(stream.version)


def test_of_an_episode_that_is_dismissed_nothing_more_is_asked() -> None:
    stream = answered(0.31, DEPLOYED + 50)
    stream.policy.drop("episode")
    run(stream, 0.31, DEPLOYED + 1_500)
    assert len(stream.asked) == 1


def test_a_restart_forgets_nothing_of_it() -> None:
    stream = answered(0.31, DEPLOYED + 300)
    state = orjson.loads(orjson.dumps(stream.policy.dump()))
    stream.policy = Policy.load(state, "s", stream.rule, {"team": "risk"})
    run(stream, 0.31, DEPLOYED + 1_500)
    assert len(stream.asked) == 2
    assert stream.asked[1][1].tried is not None


def test_a_request_waits_while_it_is_doubtful_if_the_policy_says_so() -> None:
    doubtful = Benefit("doubtful", 0.0, -0.02, 0.03, 400)
    for hold in (False, True):
        stream = Stream(RetrainPolicy(hold_doubtful=hold))
        stream.version.found = doubtful
        stream.run(1_050)
        stream.drift(drift("opened", 1_050))
        stream.run(2_500)
        assert len(stream.asked) == (not hold)
        if not hold:
            assert stream.asked[0][1].benefit == doubtful
        stream.version.found = Benefit("likely", 0.2, 0.1, 0.3, 900)
        stream.run(2_600)
        assert len(stream.asked) == 1
        assert stream.asked[0][1].benefit is not None


def test_a_request_names_the_state_that_has_returned() -> None:
    earlier = EarlierState(2, "v0", 10, 400, 10 * MINUTE, 400 * MINUTE)
    stream = Stream()
    stream.run(1_050)
    stream.drift(drift("opened", 1_050, kind="recurrent", earlier=earlier))
    state = orjson.loads(orjson.dumps(stream.policy.dump()))
    stream.policy = Policy.load(state, "s", stream.rule, {"team": "risk"})
    stream.run(2_000)
    assert stream.asked[0][1].earlier == earlier


def test_a_stream_tells_of_both_wherever_its_steps_are_cut() -> None:
    """Labels are noise from row 700 on, and v2, deployed at row 1,100, is as bad as v1 was."""
    rows = events([Shape("s", rows=2_500, change=700, versions=(1_100,))], seed=3)
    rules = StreamSettings(retrain=RetrainPolicy(min_rows=300, cooldown_ms=60_000, timeout_ms=10**9))

    def folded(size: int) -> list[RetrainRequest]:
        partition = Partition(0, lambda stream: rules, Limits())
        found: list[RetrainRequest] = []
        for start in range(0, len(rows), size):
            result = partition.step(StepInput(as_runs(rows[start : start + size], start)))
            found += [each for _, each in result.decisions if isinstance(each, RetrainRequest)]
        return found

    first, second = folded(len(rows))
    assert first.tried is None
    assert first.model_version == "v1"
    assert second.tried is not None
    assert second.tried.model_version == second.model_version == "v2"
    assert 0.4 < second.tried.error < 0.6
    assert second.benefit is not None
    assert second.benefit.verdict != "likely"
    assert second.episode_id == first.episode_id
    assert folded(97) == folded(1_000) == [first, second]
