"""Consumer groups in memory: members, generations, shares, and who may still add positions.

As Kafka's classic protocol with eager rebalancing: when a member comes, goes or is thrown out, all members
give back what they hold, then join again; the last one to join makes the next generation. Until it is made,
members of the old one may still commit, for it is still theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from driftbus.errors import Fenced
from driftbus.ports import TopicPartition

NEVER = float("inf")


@dataclass(slots=True)
class Member:
    topics: tuple[str, ...]
    joined: bool = True
    expires_ms: float = NEVER


@dataclass(slots=True)
class Group:
    name: str
    members: dict[str, Member] = field(default_factory=dict)
    generation: int = 0
    rebalancing: bool = False
    shares: dict[str, list[TopicPartition]] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    pending: list[Any] = field(default_factory=list)  # transactions with positions not yet decided here

    @property
    def next_expiry(self) -> float:
        return min((member.expires_ms for member in self.members.values()), default=NEVER)

    def join(self, member: str, topics: Sequence[str], known: Mapping[str, Any]) -> None:
        """Come, or come back after having given up everything."""
        before = self.members.get(member)
        self.members[member] = Member(tuple(topics), expires_ms=before.expires_ms if before else NEVER)
        self._rebalance(known)

    def leave(self, member: str, known: Mapping[str, Any]) -> None:
        if self.members.pop(member, None) is not None:
            self._rebalance(known)

    def expire(self, now_ms: int, known: Mapping[str, Any]) -> bool:
        """Throw out members that have been silent for too long; whether there were any."""
        gone = [name for name, member in self.members.items() if member.expires_ms <= now_ms]
        for name in gone:
            del self.members[name]
        if gone:
            self._rebalance(known)
        return bool(gone)

    def check(self, member: str, generation: int) -> None:
        """Raises `Fenced` unless this is a member of this generation. Who owns what is not looked at."""
        if member not in self.members or generation != self.generation:
            raise Fenced(f"group {self.name!r}: {member} is no member of generation {generation} any more")

    def _rebalance(self, known: Mapping[str, Any]) -> None:
        self.rebalancing = True
        if not all(member.joined for member in self.members.values()):
            return
        self.shares = {name: [] for name in self.members}
        for topic in sorted({topic for member in self.members.values() for topic in member.topics}):
            # The range assignor: a run of partitions each, the first members one more.
            subscribed = sorted(name for name, member in self.members.items() if topic in member.topics)
            size, larger = divmod(len(known[topic].logs), len(subscribed))
            partition = 0
            for index, name in enumerate(subscribed):
                for _ in range(size + (index < larger)):
                    self.shares[name].append(TopicPartition(topic, partition))
                    partition += 1
        for member in self.members.values():
            member.joined = False
        self.rebalancing = False
        self.generation += 1
