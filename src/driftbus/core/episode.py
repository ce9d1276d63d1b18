"""One episode and what is said about it; alarms and moments, the words it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from driftbus.core.history import History
from driftbus.core.places import Places
from driftbus.core.probes import Standing
from driftbus.core.records import (
    Category,
    DriftEvent,
    EarlierState,
    Kind,
    Onset,
    Resolution,
    SignalEvidence,
    Status,
)
from driftbus.core.slices_counted import Key, SliceCounts

# Signals told per episode: with more, a reader looks at the stream's page anyway, and events stay small.
MAX_SIGNALS = 20
# Categories whose rows are outcomes; the others count predictions.
LABELLED: frozenset[Category] = frozenset({"concept", "label_prior", "labelling"})


class Moment(NamedTuple):
    """When: event time (ms) of the deciding record, and how many outcomes and predictions of the stream
    had been folded by then, that record included."""

    ts: int
    outcomes_seen: int
    predictions_seen: int


class Rows(NamedTuple):
    """A version's history of outcomes (seq in `outcomes`), places of its predictions (input offsets), and the
    counts of its slices where they are watched."""

    outcomes: History
    predictions: Places
    slices: SliceCounts | None = None

    def of(self, category: Category) -> History | Places:
        """Those that an episode of this category is about."""
        return self.outcomes if category in LABELLED else self.predictions


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a detector cried. `signal` as in the contract (`error`, `feature/x`, …); `direction` +1 up, −1
    down, 0 unknown; `before`, `after` levels; `since`: rows (of the history it belongs to: outcomes for
    concept, predictions else) from the presumed onset to now, None if the detector does not say;
    `evidence` its statistic; `standing` what it is worth (`core.probes`); `caution` nats that its
    confirmation takes beyond the usual, as the budget of false alarms had it then (`core.pace`); `slice` the
    number of the slice whose error it is about (`core.slices`), None: of the whole."""

    signal: str
    detector: str
    category: Category
    direction: Literal[-1, 0, 1]
    before: float
    after: float
    since: int | None
    evidence: float
    standing: Standing = "asks"
    caution: float = 0.0
    slice: int | None = None


class Told(NamedTuple):
    """What the last event said, to judge whether there is news."""

    kind: Kind
    earliest: int
    latest: int
    after: float
    slice: Mapping[str, str] | None = None


@dataclass(slots=True)
class Episode:
    """One open episode, as the policy and the views read it.

    `kind`, `confidence`: what is told. `shape`, `shape_confidence`: what the error's course alone says, a
    step or a rise (`core.verdict`); `lasting`: how sure it is that the rise is a very long one; `steps`: how
    many rises in a row, each before the one before had settled; `earlier`: the state that has returned.
    `fitted`: judged by the error's history, else by alarms alone. `next_look`, `last_alarm` and
    `quiet_until` (no small news before) count rows of the history it belongs to. `news`: a signal has
    joined since the last event. `slice`: the one that explains the change; `local`: it was found there, and
    is judged by the slice's own rows.
    """

    episode_id: str
    category: Category
    opened_at: int
    onset: Onset
    signals: dict[str, SignalEvidence]
    fitted: bool
    last_alarm: int
    next_look: int
    quiet_until: int = 0
    news: bool = False
    events: int = 0
    told: Told | None = None
    kind: Kind = "undetermined"
    confidence: float = 0.5
    moving: bool = False
    shape: Kind = "undetermined"
    shape_confidence: float = 0.5
    lasting: float = 0.0
    steps: int = 1
    earlier: EarlierState | None = None
    slice: dict[str, str] | None = None
    local: bool = False

    @property
    def judged(self) -> str:
        """The signal whose levels the error's rows give."""
        return slice_signal(self.slice) if self.local and self.slice else "error"

    def absorb(self, alarm: Alarm, seen: int) -> None:
        """A further alarm: the signal joins, or its level and evidence are brought up to date."""
        self.last_alarm = seen
        known = self.signals.get(alarm.signal)
        if known is None:
            if len(self.signals) < MAX_SIGNALS:
                self.signals[alarm.signal] = signal_evidence(alarm)
                self.news = True
        elif self.fitted and alarm.signal == "error":
            self.signals["error"] = agreeing(known, alarm)
        else:
            self.signals[alarm.signal] = replace(
                known, after=figure(alarm.after), evidence=max(known.evidence, figure(alarm.evidence))
            )

    def event(
        self,
        status: Status,
        resolution: Resolution | None,
        moment: Moment,
        stream: str,
        model_version: str | None,
        labels: Mapping[str, str],
    ) -> DriftEvent:
        """The next event about this episode, as things stand."""
        self.events += 1
        self.news = False
        first = next(iter(self.signals.values()))
        self.told = Told(self.kind, self.onset.earliest, self.onset.latest, first.after, self.slice)
        # Labels come in any order, so a row can be younger than the record that decided: never say so.
        ts = min(self.onset.ts, moment.ts)
        onset = replace(
            self.onset,
            ts=ts,
            earliest=min(self.onset.earliest, ts),
            latest=max(ts, min(self.onset.latest, moment.ts)),
        )
        return DriftEvent(
            event_id=identity(self.episode_id, self.events),
            episode_id=self.episode_id,
            stream=stream,
            status=status,
            resolution=resolution,
            category=self.category,
            kind=self.kind,
            confidence=self.confidence,
            onset=onset,
            signals=tuple(self.signals.values()),
            slice=self.slice,
            detected_at=moment.ts,
            outcomes_seen=moment.outcomes_seen,
            predictions_seen=moment.predictions_seen,
            model_version=model_version,
            muted=False,
            labels=labels,
            earlier=self.earlier,
        )

    def dump(self) -> Any:
        state = asdict(self)
        state["signals"] = [asdict(evidence) for evidence in self.signals.values()]
        state["told"] = self.told and list(self.told)
        return state

    @classmethod
    def load(cls, state: Any) -> Episode:
        signals = [SignalEvidence(**evidence) for evidence in state["signals"]]
        return cls(
            **{
                **state,
                "onset": Onset(**state["onset"]),
                "signals": {evidence.name: evidence for evidence in signals},
                "told": state["told"] and Told(*state["told"]),
                "earlier": state["earlier"] and EarlierState(**state["earlier"]),
            }
        )


def signal_evidence(alarm: Alarm) -> SignalEvidence:
    """An alarm as evidence in an event."""
    return SignalEvidence(
        alarm.signal, figure(alarm.before), figure(alarm.after), alarm.detector, figure(alarm.evidence)
    )


def slice_signal(which: Mapping[str, str]) -> str:
    """The error of a slice, as a signal."""
    return "error/" + ",".join([f"{name}={value}" for name, value in which.items()])


def slice_of(key: Key) -> dict[str, str]:
    """A slice as events have it."""
    return {key[0]: key[1]}


def _agreed(names: str, name: str) -> str:
    """The detectors that cried, the first one first."""
    return names if name in names.split(" + ") else f"{names} + {name}"


def agreeing(known: SignalEvidence | None, alarm: Alarm) -> SignalEvidence:
    """An opinion as evidence, beside what the signal has already."""
    if known is None:
        return signal_evidence(alarm)
    return replace(known, detector=_agreed(known.detector, alarm.detector))


def figure(value: float) -> float:
    """Six significant digits: what is published must not depend on a processor's last bits."""
    return float(f"{value:.6g}")


def identity(*parts: object) -> str:
    """The same 24 characters whenever the same decision is recomputed."""
    text = "\x1f".join(repr(part) for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
