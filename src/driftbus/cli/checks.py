"""What `driftbus check` looks at, one finding each: what is so, and how to mend it where it is wrong.

Nothing is changed: what has to be written to see whether it may be written is written in a transaction
that is aborted.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NamedTuple

from driftbus.config import Settings
from driftbus.errors import BusError, ConfigError, MissingTopic, OffsetOutOfRange, Unavailable
from driftbus.ports import Bus, TopicPartition
from driftbus.topics import CO_PARTITIONED, halves_specs

INPUTS = ("predictions", "labels", "model-events")
OUTPUTS = ("outcomes", "label-corrections", "drift-events", "retrain-requests", "dead-letters", "state")
# Recent records per partition: a wrong partitioner misplaces most of them, so few show it.
RECENT_RECORDS = 100
# Reading one partition takes tens of milliseconds; of many partitions a part is as telling as all.
PARTITIONS_READ = 24


class Finding(NamedTuple):
    """One line of the answer. `ok` is None where an earlier finding made it impossible to look."""

    name: str
    ok: bool | None
    text: str
    mend: str | None = None


def configuration(settings: Settings) -> Finding:
    """What was read. A configuration that cannot be used never comes here."""
    read = ", ".join(map(str, settings.sources)) or "defaults and environment"
    notes = "; ".join(settings.warnings)
    return Finding("configuration", True, f"{read}{f' ({notes})' if notes else ''}")


def wrong_configuration(error: ConfigError) -> list[Finding]:
    """Each mistake of a configuration, as a finding."""
    return [
        Finding(
            "configuration",
            False,
            each.problem,
            f"{f'Did you mean {each.nearest!r}? ' if each.nearest else ''}allowed: {each.allowed}",
        )
        for each in (error, *error.others)
    ]


def unreachable(settings: Settings, error: BusError) -> Finding:
    """The bus did not answer, or refused."""
    if settings.bus == "kafka":
        address = settings.kafka.get("bootstrap.servers", settings.kafka.get("metadata.broker.list", "?"))
        mend = f"is Kafka running at {address}, and do kafka.security.* and kafka.sasl.* fit it?"
    else:
        mend = f"may this user read and write {settings.embedded_path}?"
    return Finding("bus", False, str(error), mend)


def bus_findings(bus: Bus, settings: Settings) -> Iterator[Finding]:
    """Everything about the bus, in the order in which one thing needs the other."""
    hidden: dict[str, BusError] = {}
    try:
        counts = _partition_counts(bus, settings, hidden)
    except BusError as error:
        yield unreachable(settings, error)
        for name in ("topics", "partitions", "partitioner", "permissions"):
            yield Finding(name, None, "the bus cannot be reached")
        return
    yield Finding("bus", True, _address(settings))
    missing = [settings.topics[short] for short, count in counts.items() if count is None]
    if missing:
        yield Finding("topics", False, f"missing: {', '.join(missing)}", "driftbus topics create")
    elif hidden:
        yield Finding("topics", None, f"{len(counts)} exist; this user may not see {len(hidden)} others")
    else:
        yield Finding("topics", True, f"all {len(counts)} exist")
    yield _equal_partitions(counts, settings)
    existing = {short: count for short, count in counts.items() if count is not None}
    yield _partitioner(bus, settings, existing)
    yield _permissions(bus, settings, existing, hidden)
    if settings.ingest.sources:
        yield _sources(bus, settings)


def _sources(bus: Bus, settings: Settings) -> Finding:
    """The topics that `driftbus ingest` reads, and that in which halves wait."""
    topics = sorted({topic for source in settings.ingest.sources for topic in source.topics})
    missing = []
    try:
        for topic in topics:
            if not _exists(bus, topic):
                missing.append(topic)
        if missing:
            mend = "is its name right in ingest.sources, and does the service that writes it run?"
            return Finding("sources", False, f"missing: {', '.join(missing)}", mend)
        if any(not _exists(bus, spec.name) for spec in halves_specs(settings, 1)):
            return Finding("sources", False, f"missing: {settings.halves_topic}", "driftbus topics create")
    except BusError as error:
        mend = (
            f"grant Describe and Read on the topics of ingest.sources, Read on group {settings.group}-ingest"
        )
        return Finding("sources", False, str(error), mend)
    return Finding(
        "sources", True, f"all {len(topics)} topics of {len(settings.ingest.sources)} sources exist"
    )


def _exists(bus: Bus, topic: str) -> bool:
    try:
        bus.partitions(topic)
    except MissingTopic:
        return False
    return True


def _address(settings: Settings) -> str:
    if settings.bus == "embedded":
        return f"embedded at {settings.embedded_path}"
    return f"Kafka at {settings.kafka.get('bootstrap.servers', settings.kafka.get('metadata.broker.list'))}"


def _partition_counts(bus: Bus, settings: Settings, hidden: dict[str, BusError]) -> dict[str, int | None]:
    """Partitions per topic, None where there is no such topic; what may not be looked at goes to `hidden`."""
    counts: dict[str, int | None] = {}
    for short, full in settings.topics.items():
        try:
            counts[short] = bus.partitions(full)
        except MissingTopic:
            counts[short] = None
        except Unavailable:
            raise
        except BusError as error:
            if settings.bus != "kafka":
                raise
            hidden[short] = error
    return counts


def _equal_partitions(counts: dict[str, int | None], settings: Settings) -> Finding:
    found = {
        settings.topics[short]: counts[short] for short in CO_PARTITIONED if counts.get(short) is not None
    }
    if not found:
        return Finding("partitions", None, "no topics yet")
    if len(set(found.values())) == 1:
        return Finding("partitions", True, f"{next(iter(found.values()))} in each of {', '.join(found)}")
    listing = ", ".join(f"{name} {count}" for name, count in found.items())
    return Finding(
        "partitions",
        False,
        f"differ: {listing}",
        "this cannot be changed in place: create new topics under another topic_prefix, with a new group",
    )


def _partitioner(bus: Bus, settings: Settings, counts: dict[str, int]) -> Finding:
    seen = 0
    misplaced: dict[str, int] = {}
    example = ""
    for short in INPUTS:
        full = settings.topics[short]
        for partition in range(min(counts.get(short, 0), PARTITIONS_READ)):
            try:
                end = bus.end_offset(full, partition, committed=True)
                start = max(bus.begin_offset(full, partition), end - RECENT_RECORDS)
                for record in bus.read_from(full, partition, start, end):
                    if not record.key:
                        continue
                    seen += 1
                    if bus.partition_for(full, record.key) != partition:
                        misplaced[full] = misplaced.get(full, 0) + 1
                        example = example or f"{full}[{partition}] offset {record.offset}"
            except OffsetOutOfRange:
                continue  # retention removed it while we looked
            except BusError as error:
                return Finding("partitioner", False, str(error), _acl(f"Read on {full}"))
    if misplaced:
        listing = ", ".join(f"{count} in {name}" for name, count in misplaced.items())
        return Finding(
            "partitioner",
            False,
            f"of {seen} recent records some stand in another partition than {settings.partitioner} gives: "
            f"{listing}; the first is {example}",
            "give producers partitioner=murmur2_random (Java's default), or all of them librdkafka's own "
            "and set `partitioner: consistent_random`",
        )
    if not seen:
        return Finding("partitioner", True, f"{settings.partitioner}; no records with keys yet to compare")
    return Finding("partitioner", True, f"{settings.partitioner} placed all {seen} recent records")


def _permissions(
    bus: Bus, settings: Settings, counts: dict[str, int], hidden: dict[str, BusError]
) -> Finding:
    """Try what the worker does: ask for the group's offsets, write in a transaction (aborted), read."""
    refused: list[str] = []
    needed: list[str] = []

    def tried(what: str, acl: str, error: BusError) -> None:
        refused.append(f"{what}: {error}")
        needed.append(acl)

    for short, error in hidden.items():
        # Kafka lets see what may be read or written: neither is granted.
        tried(f"looking at {settings.topics[short]}", _topic_acl(short, settings), error)
    try:
        inputs = [TopicPartition(settings.topics[short], 0) for short in INPUTS if short in counts]
        bus.committed(settings.group, inputs)
    except BusError as error:
        tried("offsets of the group", f"Read on group {settings.group}", error)
    for output, refusal in _written(bus, settings, [short for short in OUTPUTS if short in counts]):
        if output is None:
            ids = f"Write on transactional ids that begin with {settings.group}-"
            tried("opening a transaction", ids, refusal)
        else:
            full = settings.topics[output]
            tried(f"writing {full}", f"Write on {full}", refusal)
    for short in ("state", "outcomes"):
        full = settings.topics[short]
        if short not in counts:
            continue
        try:
            # What has just been written, too: an empty range would be read without asking the broker.
            end = bus.end_offset(full, 0, committed=False)
            start = max(bus.begin_offset(full, 0), end - 1)
            next(iter(bus.read_from(full, 0, start, end, committed=False)), None)
        except OffsetOutOfRange:
            continue
        except BusError as error:
            tried(f"reading {full}", f"Read on {full}", error)
    if refused:
        return Finding("permissions", False, "; ".join(refused), _acl(", ".join(dict.fromkeys(needed))))
    if len(counts) < len(settings.topics):
        return Finding("permissions", True, "as far as topics exist: reading, offsets, transactions")
    return Finding("permissions", True, "reading, offsets and transactions")


def _topic_acl(short: str, settings: Settings) -> str:
    rights = [
        right
        for right, topics in (("Read", (*INPUTS, "outcomes", "state")), ("Write", OUTPUTS))
        if short in topics
    ]
    return f"{' and '.join(rights)} on {settings.topics[short]}"


def _written(bus: Bus, settings: Settings, shorts: list[str]) -> Iterator[tuple[str | None, BusError]]:
    """Topics that may not be written, and what was said; None where no transaction at all may be opened."""
    left = list(shorts)
    while left:
        try:
            transaction = bus.transaction(f"{settings.group}-check-{socket.gethostname()}")
        except BusError as error:
            yield None, error
            return
        try:
            while left:
                short = left.pop(0)
                transaction.begin()
                # A refusal is told by the delivery report, which only those get who want the offset.
                transaction.produce(
                    settings.topics[short], key=b"driftbus check", value=b"{}", partition=0, want_offset=True
                )
                transaction.flush()
                transaction.abort()
        except BusError as error:
            yield short, error
            if isinstance(error, Unavailable):
                return
        finally:
            transaction.close()


def _acl(needed: str) -> str:
    return f"grant {needed}"
