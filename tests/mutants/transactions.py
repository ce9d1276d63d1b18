"""Bugs in what a step's transaction holds, and in what order."""

from __future__ import annotations

from .mutant import SIMULATION, Edit, Mutant

_WORKER = "src/driftbus/worker.py"
_PUBLISH = "src/driftbus/publish.py"
_INTAKE = "src/driftbus/intake.py"
_SEND_OFFSETS = "        transaction.send_offsets(consumer, offsets)\n"

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
        "a request cites corrections that came after it",
        (
            Edit(
                _PUBLISH,
                "known = bisect_right(self._result.correction_rows, pos, key=lambda row: row[0])",
                "known = len(self._result.correction_rows)",
            ),
        ),
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
