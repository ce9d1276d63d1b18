"""Bugs in what becomes of a record: the join, event time, dead letters."""

from __future__ import annotations

from .mutant import SIMULATION, Edit, Mutant

_WORKER = "src/driftbus/worker.py"
_INTAKE = "src/driftbus/intake.py"
_PARTITION = "src/driftbus/core/partition.py"
_JOIN = "src/driftbus/core/join.py"
_FATES = "src/driftbus/core/fates.py"
_BLOCK = "src/driftbus/core/block.py"

JOINED = (
    Mutant(
        "of two early labels the second one wins",
        (
            Edit(
                _FATES,
                "s.early[pid] = early._replace(correction=label)",
                "s.early[pid] = early._replace(label=label)",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "a correction is told twice",
        (Edit(_FATES, "        self.remembered.corrected[known.seq] = label.label\n", ""),),
        ("tests/core/test_join.py::test_a_later_different_label_is_a_correction_and_the_same_again_is_not",),
    ),
    Mutant(
        "a prediction sent again waits again",
        (Edit(_FATES, "            or self._recall(s, prediction_id, self.next_seq) is not None\n", ""),),
        ("tests/core/test_join.py::test_a_replayed_pair_counts_once",),
    ),
    Mutant(
        "decisions of a step are in the order of streams",
        (Edit(_PARTITION, "decided.sort(key=lambda row: row[:2])", "decided.sort(key=lambda row: row[1])"),),
        ("tests/core/test_partition.py::test_time_alone_decides_at_the_same_place_whatever_the_cut",),
    ),
    Mutant(
        "event time believes a clock in the year 9999",
        (Edit(_JOIN, "        seen = min(ts, time + CLOCK_SKEW_MS)\n", "        seen = ts\n"),),
        ("tests/core/test_join.py::test_a_clock_in_the_year_9999_expires_nobody",),
    ),
    Mutant(
        "event time is the faster of both topics",
        (Edit(_JOIN, "self._reach(min(seen, other), pos)", "self._reach(seen, pos)"),),
        ("tests/core/test_event_time.py::test_the_watermark_is_the_slower_of_both_topics",),
    ),
    Mutant(
        "a stream's own clock believes one in the year 9999",
        (
            Edit(
                _BLOCK,
                "        if newest <= self.at(places[times.index(newest, start)]):\n",
                "        if True:\n",
            ),
        ),
        ("tests/core/test_event_time.py::test_a_stream_outlives_a_clock_in_the_year_9999",),
    ),
    Mutant(
        "a tick turns the join's time back",
        (Edit(_JOIN, "self._reach(max(self.watermark, tick_ms), -1)", "self._reach(tick_ms, -1)"),),
        ("tests/core/test_event_time.py::test_a_tick_never_turns_time_back",),
    ),
    Mutant(
        "a tick turns the partition's clock back",
        (Edit(_BLOCK, "    if tick_ms is not None and tick_ms > clock:\n", "    if tick_ms is not None:\n"),),
        ("tests/core/test_event_time.py::test_a_tick_never_turns_time_back",),
    ),
    Mutant(
        "labels of this very step do not hold its predictions' expiry back",
        (Edit(_WORKER, 'and (name == "predictions" or name not in topics)', ""),),
        ("tests/test_worker.py::test_a_backlog_longer_than_the_horizon_loses_no_label",),
    ),
    Mutant(
        "a dead letter loses the headers of its record",
        (Edit(_INTAKE, "        return (*record.headers, *ours)\n", "        return tuple(ours)\n"),),
        (SIMULATION,),
    ),
)
