"""The bugs. Each breaks one promise of ARCHITECTURE.md; the name says which, in the words of the loss."""

from __future__ import annotations

from .mutant import SIMULATION, Edit, Mutant

_WORKER = "src/driftbus/worker.py"
_RESTORE = "src/driftbus/restore.py"
_JOURNAL = "src/driftbus/journal.py"
_PUBLISH = "src/driftbus/publish.py"
_INTAKE = "src/driftbus/intake.py"
_STEPS = "src/driftbus/steps.py"
_JOIN = "src/driftbus/core/join.py"
_FATES = "src/driftbus/core/fates.py"
_BLOCK = "src/driftbus/core/block.py"
_WALK = "src/driftbus/core/walk.py"
_MONITOR = "src/driftbus/core/monitor.py"
_TRANSACTION = "src/driftbus/adapters/embedded/transaction.py"
_GROUPS = "src/driftbus/adapters/embedded/groups.py"

_SEND_OFFSETS = "        transaction.send_offsets(consumer, offsets)\n"
_STEP = "                result = results[number] = task.partition.step(given)\n"

TRANSACTIONS = (
    Mutant(
        "offsets are committed outside the transaction",
        (
            Edit(_WORKER, _SEND_OFFSETS, ""),
            Edit(
                _WORKER,
                "        transaction.commit()\n",
                "        transaction.commit()\n        consumer.commit(offsets)\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "a step is committed before its offsets are",
        (
            Edit(
                _WORKER,
                _SEND_OFFSETS,
                "        transaction.commit()\n        transaction.begin()\n" + _SEND_OFFSETS,
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "a poll lies between the last record and send_offsets",
        (
            Edit(
                _WORKER,
                _SEND_OFFSETS,
                "        self._backlog.add(consumer.poll(1, 0.0), time.monotonic())\n" + _SEND_OFFSETS,
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "dead letters are sent outside the transaction",
        (
            Edit(
                _PUBLISH,
                "        for letter in letters:\n            self._transaction.produce(\n",
                "        outside = self._bus.producer()\n        for letter in letters:\n"
                "            outside.produce(\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "a decision cites seq instead of the offset that was delivered",
        (Edit(_PUBLISH, "return self._outcome_offsets[seq - first]", "return seq"),),
        (SIMULATION,),
    ),
    Mutant(
        "a partition that was taken away is worked on",
        (
            Edit(_WORKER, "                self.tasks.pop(number, None)\n", ""),
            Edit(
                _WORKER,
                "                self._backlog.drop(number)\n        self._paused",
                "                pass\n        self._paused",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "the last record of a poll is read again",
        (Edit(_INTAKE, "found.ends[topic] = rows[-1].offset + 1", "found.ends[topic] = rows[-1].offset"),),
        (SIMULATION,),
    ),
)

STATE = (
    Mutant(
        "restore stops at the last stable offset of state",
        (
            Edit(
                _RESTORE,
                "    end = yield from _until_stable(bus, topic, number)\n",
                "    end = bus.end_offset(topic, number, committed=True)\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "restore does not wait for outcomes whose marker is under way",
        (Edit(_RESTORE, '    yield from _until_stable(bus, topics["outcomes"], number)\n', ""),),
        (SIMULATION,),
    ),
    Mutant(
        "the tail of steps is not folded into the streams",
        (Edit(_RESTORE, "            self._fold_streams(step, runs, rows)\n", ""),),
        (SIMULATION,),
    ),
    Mutant(
        "the join's tail is folded one step too early",
        (Edit(_RESTORE, "if step.step > self.join_step:", "if step.step >= self.join_step:"),),
        (SIMULATION,),
    ),
    Mutant(
        "a snapshot is made before the step it is written with is folded",
        (
            Edit(
                _WORKER,
                _STEP,
                "                early = {s: task.partition.snapshot(s) for s in task.partition.streams}\n"
                + _STEP
                + "                task.partition.snapshot = lambda s, of=task.partition: (\n"
                + "                    early.get(s) or type(of).snapshot(of, s)\n"
                + "                )\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "snapshots are committed before their step",
        (
            Edit(
                _JOURNAL,
                "            yield from self._stream(partition, stream, n)\n",
                '            yield from self._stream(partition, stream, n)\n        yield "", None\n',
            ),
            Edit(
                _PUBLISH,
                "        for key, value in records:\n",
                "        for key, value in records:\n            if not key:\n"
                "                self._transaction.commit()\n                self._transaction.begin()\n"
                "                continue\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "the ring is written over what a laggard still needs",
        (Edit(_JOURNAL, "            if n - first < RING - 2:\n", "            if True:\n"),),
        (SIMULATION,),
    ),
    Mutant(
        "the floor is that of the join alone",
        (Edit(_JOURNAL, "if self.changed else []", "if False else []"),),
        (SIMULATION,),
    ),
    Mutant(
        "verdicts of the join are decided anew for a stream that is folded again",
        (Edit(_STEPS, "if offset not in step.rejected:", "if True:"),),
        (SIMULATION,),
    ),
    Mutant(
        "decisions are not compared with those that were published",
        (Edit(_RESTORE, "result.digests.get(stream)", "step.digests.get(stream)"),),
        ("tests/test_restore.py::test_other_decisions_than_were_published_stop_the_start",),
    ),
    Mutant(
        "a step that is missing from the ring is not noticed",
        (Edit(_RESTORE, "        if n not in found:\n", "        if False:\n"),),
        ("tests/test_restore.py::test_a_step_that_is_missing_stops_the_start",),
    ),
    Mutant(
        "a group that stands elsewhere than the state is not noticed",
        (Edit(_RESTORE, "committed[tp] != positions[topic]:", "False:"),),
        ("tests/test_restore.py::test_a_group_that_stands_elsewhere_than_the_state_stops_the_start",),
    ),
    Mutant(
        "state goes on under another group",
        (Edit(_STEPS, "if self.group != now.group:", "if False:"),),
        ("tests/integration/test_directed.py::test_state_of_another_group_stops_the_start[embedded]",),
    ),
    Mutant(
        "matched ids are forgotten at a restore",
        (
            Edit(
                _RESTORE,
                'join.load(raw["join"], blocks, outcomes)',
                'join.load(raw["join"], blocks, iter(()))',
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "seq begins anew after a restore",
        (Edit(_JOIN, 'self.next_seq = state["next_seq"]', "self.next_seq = 0"),),
        (SIMULATION,),
    ),
    Mutant(
        "records for which there was no room are folded by a restore",
        (Edit(_INTAKE, "                found.refused.setdefault(topic, []).append(record.offset)\n", ""),),
        (SIMULATION,),
    ),
    Mutant(
        "a correction is learned twice by a restore",
        (
            Edit(
                _STEPS,
                "    for at, correction in step.corrections:\n",
                "    for at, correction in step.corrections * 2:\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "a stream that was set aside is watched again after a restore",
        (Edit(_MONITOR, '            "defect": self.defect,\n', '            "defect": None,\n'),),
        ("tests/core/test_odd_input.py::test_a_defect_in_one_stream_sets_it_aside_and_no_other",),
    ),
    Mutant(
        "a stream that was set aside is not written at once",
        (
            Edit(
                _JOURNAL,
                "        chosen += [stream for stream in given_up",
                "        [stream for stream in given_up",
            ),
        ),
        ("tests/test_setbacks.py::test_a_stream_that_is_set_aside",),
    ),
    Mutant(
        "how much was poison is forgotten at a restore",
        (Edit(_RESTORE, ", poison=PoisonTally.load(last.poison))", ")"),),
        ("tests/test_poison.py::test_a_topic_of_poison_stops_the_worker_and_a_restart_stops_again",),
    ),
)

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
                _WALK,
                "        if newest <= self.rises.at(places[times.index(newest, start)]):\n",
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

EMBEDDED = (
    Mutant(
        "a replaced producer may still commit",
        (
            Edit(
                _TRANSACTION,
                "        if current != self._epoch:\n            raise",
                "        if False:\n            raise",
            ),
        ),
        ("tests/contracts/test_bus.py::test_a_newer_producer_fences_the_older[embedded]",),
    ),
    Mutant(
        "a zombie's generation is not looked at",
        (Edit(_GROUPS, "now.joined is None or now.generation != generation", "False"),),
        ("tests/adapters/test_embedded.py::test_the_commit_itself_checks_ownership",),
    ),
    Mutant(
        "a commit does not look at the group",
        (
            Edit(
                _TRANSACTION,
                "                    groups.check(connection, membership, by_pid)\n",
                "                    pass\n",
            ),
        ),
        (
            "tests/contracts/test_bus.py::test_a_silent_member_loses_its_partitions_and_may_not_commit[embedded]",
        ),
    ),
    Mutant(
        "a silent member's lease never ends",
        (Edit(_GROUPS, '" AND (seen_at < ? - session_timeout_s OR', '" AND (0 * ? > session_timeout_s OR'),),
        (
            "tests/contracts/test_bus.py::test_a_silent_member_loses_its_partitions_and_may_not_commit[embedded]",
        ),
    ),
)

KAFKA = (
    Mutant(
        "positions of partitions that another member holds are sent",
        (Edit("src/driftbus/adapters/kafka/transaction.py", "        consumer.check_held(offsets)\n", ""),),
        (
            "tests/contracts/test_bus.py::test_positions_of_partitions_that_another_member_holds_are_refused[kafka]",
        ),
        kafka=True,
    ),
    Mutant(
        "what is not committed is read",
        (
            Edit(
                "src/driftbus/adapters/kafka/properties.py",
                'reset, "isolation.level": "read_committed"}',
                'reset, "isolation.level": "read_uncommitted"}',
            ),
        ),
        ("tests/contracts/test_bus.py::test_readers_do_not_pass_an_open_transaction[kafka]",),
        kafka=True,
    ),
)

MUTANTS = (*TRANSACTIONS, *STATE, *JOINED, *EMBEDDED, *KAFKA)
