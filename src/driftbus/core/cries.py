"""Alarms of the error that have opened nothing yet: awaiting confirmation, opinions, a second change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from driftbus.core.episode import Alarm, agreeing, signal_evidence
from driftbus.core.records import SignalEvidence


@dataclass(slots=True)
class Cries:
    """`waiting`: alarms not confirmed yet, the newest per signal; asked about since row `first`, next at
    `next_try`, at last at `until`. `opinions`: the newest per detector and signal, and at which row.
    `second`: a further alarm during an episode and the seq of its onset, judged up to row `second_until`."""

    waiting: dict[str, Alarm] = field(default_factory=dict)
    first: int = 0
    until: int = 0
    next_try: int = 0
    opinions: dict[str, tuple[int, Alarm]] = field(default_factory=dict)
    second: tuple[int, Alarm] | None = None
    second_until: int = 0

    @property
    def caution(self) -> float:
        """The least of what the waiting alarms ask for beyond the policy's evidence."""
        return min((alarm.caution for alarm in self.waiting.values()), default=0.0)

    def ask(self, alarm: Alarm, seen: int, rows: int) -> None:
        """An alarm that has to be confirmed within so many rows."""
        if not self.waiting:
            self.first = seen
        self.waiting[alarm.signal] = alarm
        self.until = seen + rows

    def hold(self, alarm: Alarm, seen: int) -> None:
        """An opinion."""
        self.opinions[f"{alarm.signal} {alarm.detector}"] = (seen, alarm)

    def take_evidence(self, since: int) -> dict[str, SignalEvidence]:
        """What an episode that opens now is told of, opinions from row `since` on; nothing waits any longer.
        The error's figures are to be filled in."""
        cried = self.waiting.get("error") or next(iter(self.waiting.values()))
        signals = {"error": SignalEvidence("error", 0.0, 0.0, cried.detector, 0.0)}
        signals |= {name: signal_evidence(one) for name, one in self.waiting.items() if name != "error"}
        for when, opinion in self.opinions.values():
            if when > since:
                signals[opinion.signal] = agreeing(signals.get(opinion.signal), opinion)
        self.waiting.clear()
        self.opinions.clear()
        return signals

    def dump(self) -> Any:
        """As JSON-able values."""
        return {
            "waiting": [asdict(alarm) for alarm in self.waiting.values()],
            "tries": [self.first, self.until, self.next_try],
            "opinions": [[when, asdict(alarm)] for when, alarm in self.opinions.values()],
            "second": [self.second_until, self.second and [self.second[0], asdict(self.second[1])]],
        }

    @classmethod
    def load(cls, state: Any) -> Cries:
        """What `dump` was called on."""
        self = cls()
        self.waiting = {kept["signal"]: Alarm(**kept) for kept in state["waiting"]}
        self.first, self.until, self.next_try = state["tries"]
        for when, kept in state["opinions"]:
            self.hold(Alarm(**kept), when)
        self.second_until, second = state["second"]
        self.second = second and (second[0], Alarm(**second[1]))
        return self
