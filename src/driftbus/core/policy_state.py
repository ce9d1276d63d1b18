"""What the policy of a stream remembers. The rule itself is `RetrainPolicy` in the settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from driftbus.core.episode import Moment, identity
from driftbus.core.owed import Owed
from driftbus.core.recovery import Answered
from driftbus.core.requests import InFlight

# Ids of ended requests remembered, so that a late answer to one is told from an id nobody ever gave.
REMEMBERED = 32


@dataclass(slots=True)
class PolicyState:
    """The memory of one stream's policy; times in ms of event time.

    `owed`: episodes that may lead to a request, by id. `broken`: rules broken now, with since when.
    `fired`: those of them that have asked. `floor`: seq before which the world was another. `held_until`:
    end of the cooldown. `scheduled`: the last deployment or scheduled request. `now`: the newest moment.
    `answered`: the request whose deployment is still to show that it has helped.
    """

    in_flight: InFlight | None = None
    owed: dict[str, Owed] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    fired: list[str] = field(default_factory=list)
    floor: int = 0
    held_until: int | None = None
    scheduled: int | None = None
    now: int = 0
    answered: Answered | None = None
    ordinal: int = 0
    ended: list[str] = field(default_factory=list)
    unknown_requests: int = 0
    refused_manual: int = 0
    requests_total: dict[str, int] = field(default_factory=dict)

    def end(self) -> None:
        """Nothing is in flight any more; the id stays known for a while."""
        if self.in_flight is not None:
            self.ended = [*self.ended, self.in_flight.question.request_id][-REMEMBERED:]
            self.in_flight = None

    def next_id(self, stream: str, version: str | None, moment: Moment) -> str:
        """The id of one more request."""
        self.ordinal += 1
        return identity(stream, "request", version, self.ordinal, *moment)

    def begin_anew(self) -> None:
        """Another model is in production: what was found of the last one asks for nothing more."""
        self.scheduled, self.floor = self.now, 0
        self.fired.clear()
        self.broken.clear()
        self.owed.clear()

    def dump(self) -> Any:
        # Not by `asdict` as a whole: it copies every list and mapping, 30 µs of a snapshot.
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        state["in_flight"] = None if self.in_flight is None else self.in_flight.dump()
        state["answered"] = None if self.answered is None else self.answered.dump()
        state["owed"] = [asdict(one) for one in self.owed.values()]
        return state

    @classmethod
    def load(cls, state: Any) -> PolicyState:
        owed = [Owed.load(one) for one in state["owed"]]
        return cls(
            **{
                **state,
                "in_flight": InFlight.load(state["in_flight"]) if state["in_flight"] else None,
                "answered": Answered.load(state["answered"]) if state["answered"] else None,
                "owed": {one.episode_id: one for one in owed},
            }
        )
