"""Bugs in the adapters: who may commit, what may be read."""

from __future__ import annotations

from .mutant import Edit, Mutant

_TRANSACTION = "src/driftbus/adapters/embedded/transaction.py"
_GROUPS = "src/driftbus/adapters/embedded/groups.py"

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
