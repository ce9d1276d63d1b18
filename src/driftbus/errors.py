"""Every error driftbus raises on purpose.

DriftbusError
├── ConfigError            the configuration is wrong: key, value, what is allowed   (exit 2)
├── BusError               the event bus
│   ├── Unavailable        not reachable, nothing was begun: try again
│   ├── Fenced             a transaction failed or another owner took over: discard everything, restart
│   ├── MissingTopic       a topic does not exist
│   └── OffsetOutOfRange   the offset was removed by retention, or never existed
├── TooManyDeadLetters     most of an input cannot be used: stop rather than drain it
├── StateError             the state topic contradicts itself or the log: stop, loudly
├── WindowExpired          a training window is no longer whole in `outcomes`
└── InvalidRecord          one record cannot be used; it goes to the dead letters

`InvalidRecord` never stops a loop: the codec raises it for one record and its caller files it.
"""

from __future__ import annotations

import reprlib

# A wrong value is shown, but never a page of it.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlevel = 3


class DriftbusError(Exception):
    """Base of all errors that driftbus raises on purpose."""


class ConfigError(DriftbusError):
    """A configuration value that cannot be used.

    `key` is the dotted path, `value` what stood there, `allowed` what may stand there and
    `nearest` the closest right spelling, where there is one; `where` is the file and line, or the
    environment variable; `problem` is the message without what is allowed. Where several things are
    wrong at once the first one is raised and carries the rest in `others`.
    """

    def __init__(
        self,
        key: str,
        value: object,
        allowed: str,
        nearest: str | None = None,
        *,
        where: str | None = None,
        others: tuple[ConfigError, ...] = (),
    ) -> None:
        self.key, self.value, self.allowed, self.nearest = key, value, allowed, nearest
        self.where, self.others = where, others
        place = f"{where}: " if where else ""
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        self.problem = f"{place}{key}: {_SHORT.repr(value)} cannot be used"
        super().__init__(f"{self.problem}; allowed: {allowed}.{hint}")


class BusError(DriftbusError):
    """Anything the event bus refuses or fails to do."""


class Unavailable(BusError):
    """The bus cannot be reached; nothing was begun, so trying again is safe."""


class Fenced(BusError):
    """A transaction failed, or this owner was replaced: discard all work and restart."""


class MissingTopic(BusError):
    """A topic that is needed does not exist."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        super().__init__(f"topic {topic!r} does not exist; `driftbus topics create` makes it")


class OffsetOutOfRange(BusError):
    """A position that the topic no longer holds, or never held."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        super().__init__(f"{topic}[{partition}] holds no offset {offset}")


class StateError(DriftbusError):
    """The state cannot be trusted: it contradicts itself, its topics, or what was published."""


class TooManyDeadLetters(DriftbusError):
    """Most of what an input topic (short name) brought lately cannot be used; nothing of it was committed."""

    def __init__(self, topic: str, dead: int, seen: int, reason: str, max_ratio: float) -> None:
        self.topic, self.dead, self.seen, self.reason = topic, dead, seen, reason
        super().__init__(
            f"{dead} of the last {seen} records of {topic} cannot be used, mostly for {reason!r}: more than "
            f"worker.max_dead_letter_ratio {max_ratio:g}, so the worker stops and commits nothing of this "
            "step. Mend the producer. To go past these records, let them go to the dead letters: run with "
            "DRIFTBUS_WORKER__MAX_DEAD_LETTER_RATIO=1 until they are behind; once they can be used, "
            "`driftbus dead-letters resubmit` sends them again"
        )


class WindowExpired(DriftbusError):
    """A training window reaches back beyond what `outcomes` still holds."""


class InvalidRecord(DriftbusError):
    """One record that cannot be used, with the reason it is counted and dead-lettered under."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
