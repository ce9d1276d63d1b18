"""Bugs in what is written to `state`, and in what a restore makes of it."""

from __future__ import annotations

from .mutant import SIMULATION, Edit, Mutant

_WORKER = "src/driftbus/worker.py"
_RESTORE = "src/driftbus/restore.py"
_JOURNAL = "src/driftbus/journal.py"
_PUBLISH = "src/driftbus/publish.py"
_INTAKE = "src/driftbus/intake.py"
_STEPS = "src/driftbus/steps.py"
_JOIN = "src/driftbus/core/join.py"
_MONITOR = "src/driftbus/core/monitor.py"
_STEP = "                result = results[number] = task.partition.step(given)\n"

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
        "a restore forgets which streams have changed since their snapshot",
        (Edit(_RESTORE, "    journal.changed = restoring.changed()\n", ""),),
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
                'join.loading(raw["join"], blocks, outcomes)',
                'join.loading(raw["join"], blocks, iter(()))',
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "early labels are forgotten at a restore",
        (Edit(_JOIN, 'in state["early"]:', "in []:"),),
        (SIMULATION,),
    ),
    Mutant(
        "expired ids are forgotten at a restore",
        (Edit(_JOIN, 'in state["expired"]:', "in []:"),),
        (SIMULATION,),
    ),
    Mutant(
        "corrected labels are forgotten at a restore",
        (
            Edit(
                _JOIN,
                'self.remembered.corrected = dict(state["corrected"])',
                "self.remembered.corrected = {}",
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
