"""One stream's record as what pictures and tables are made of: its period, bars, marks, truth matched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from driftbus.report.bins import Bin
from driftbus.report.chart import Bar, Lane, Mark, Picture
from driftbus.report.record import EpisodeRecord, StreamRecord
from driftbus.report.truth import Change, Known, Matching, Span, match
from driftbus.report.words import ended, minute, what, why

# Marks and bars of a kind in one picture: more are one blot. What is left out is in the tables' counts.
MOST_DRAWN = 150
# Where there are many bins, days and weeks hide what is asked for: a bold line through so few shows it.
SMOOTH_BINS = 80


@dataclass(frozen=True)
class StreamReport:
    """A stream under one configuration, beside what is known to be true of it (None: nothing)."""

    record: StreamRecord
    known: Known | None

    @cached_property
    def bins(self) -> list[Bin]:
        return self.record.bins.read()

    @cached_property
    def begin(self) -> int:
        moments = [bin_.ts_ms for bin_ in self.bins[:1]]
        moments += [each.deployed_ms for each in self.record.deployments[:1]]
        return min(moments, default=0)

    @cached_property
    def end(self) -> int:
        ledger = self.record.monitor.ledger
        moments = [bin_.ts_ms for bin_ in self.bins[-1:]]
        moments += [ts for ts in (ledger.last_prediction, ledger.last_label) if ts is not None]
        return max(moments, default=0)

    @cached_property
    def episodes(self) -> list[EpisodeRecord]:
        return list(self.record.episodes.values())

    @cached_property
    def spans(self) -> list[Span]:
        """The true changes, in numbers of outcomes."""
        return [] if self.known is None else [self._span(change) for change in self.known.changes]

    def _span(self, change: Change) -> Span:
        if change.by_row:
            return Span(change.start, change.end, change.kind)
        start, end = self.record.bins.row_at(change.start), self.record.bins.row_at(change.end)
        return Span(start, max(end, start + 1), change.kind)

    def moments(self, change: Change) -> tuple[int | None, int | None]:
        """When a change began and was complete; None: after the last outcome."""
        if not change.by_row:
            return change.start, change.end
        known = self.record.moments
        return known.get(change.start), known.get(change.end, known.get(change.start))

    @cached_property
    def matching(self) -> Matching | None:
        """Which episode found which true change; None where nothing is known."""
        if self.known is None:
            return None
        told = [
            each.first.outcomes_seen if each.last.category in self.known.categories else None
            for each in self.episodes
        ]
        others = [self._span(change) for change in self.known.others]
        return match(told, self.spans, others, self.known.complete)

    # -- what is drawn ---------------------------------------------------------------------------------

    def bar(self, episode: EpisodeRecord) -> Bar:
        event = episode.last
        onset = event.onset
        concept = event.category == "concept"
        title = (
            f"#{episode.number} {what(event)}: onset {minute(onset.ts)}, "
            f"found {minute(episode.first.detected_at)}, {ended(event)}"
        )
        return Bar(
            onset.ts,
            episode.closed_ms if episode.closed_ms is not None else self.end,
            title,
            ("concept" if concept else "other") + (" closed" if episode.closed_ms is not None else ""),
            f"#{episode.number}",
            (onset.earliest, onset.ts, onset.latest),
        )

    def requests(self) -> list[Mark]:
        """Retrains asked for, without further attempts."""
        first = [each.request for each in self.record.requests if each.request.attempt == 1]
        return [
            Mark(each.time, f"retrain asked for {minute(each.time)}: {why(each)}")
            for each in first[:MOST_DRAWN]
        ]

    def deployments(self) -> list[Mark]:
        marks = []
        for each in self.record.deployments[:MOST_DRAWN]:
            name = each.model_version if each.model_version is not None else "model"
            said = "rolled back to" if each.rolled_back else "in production"
            marks.append(Mark(each.deployed_ms, f"{name} {said} since {minute(each.deployed_ms)}", name))
        return marks

    def concept(self) -> list[Bar]:
        return [self.bar(each) for each in self.episodes if each.last.category == "concept"][:MOST_DRAWN]

    def others(self) -> list[Bar]:
        return [self.bar(each) for each in self.episodes if each.last.category != "concept"][:MOST_DRAWN]

    def true_bars(self) -> list[Bar]:
        bars = []
        for number, change in enumerate(self.known.changes if self.known else (), 1):
            start, end = self.moments(change)
            if start is not None:
                title = f"true change {number}{f', {change.kind}' if change.kind else ''}: {minute(start)}"
                bars.append(Bar(start, end if end is not None else self.end, title, "true"))
        for change in self.known.others if self.known else ():
            start, end = self.moments(change)
            if start is not None:
                bars.append(Bar(start, end if end is not None else self.end, "not judged here", "true faint"))
        return bars[:MOST_DRAWN]

    def picture(self, label: str, beside: StreamReport | None = None, beside_label: str = "") -> Picture:
        """The whole period; `beside`: the same stream under the other configuration."""
        lanes = []
        if beside is not None:
            lanes.append(Lane(f"episodes, {label}", [*self.others(), *self.concept()], self.requests()))
            lanes.append(
                Lane(f"episodes, {beside_label}", [*beside.others(), *beside.concept()], beside.requests())
            )
        elif self.others():
            lanes.append(Lane("not of the error: data, predictions, quality, labels", self.others()))
        if self.known is not None and self.true_bars():
            lanes.append(Lane("what is known to be true", self.true_bars()))
        record = self.record
        return Picture(
            f"Mean error of {record.name} over time, with {record.episodes_in_all} episodes and "
            f"{record.asked} retrain requests",
            self.begin,
            max(self.end, self.begin + 1),
            self.bins,
            self.concept(),
            self.requests(),
            self.deployments(),
            lanes,
            self.record.bins.read(SMOOTH_BINS) if len(self.bins) > 2 * SMOOTH_BINS else (),
        )

    def close_up(self, episode: EpisodeRecord) -> Picture | None:
        """The error around one episode's onset; None where there were no outcomes."""
        bins = episode.close
        if len(bins) < 2:
            return None
        event = episode.last
        end = max(event.detected_at, bins[-1].ts_ms)
        begin = bins[0].ts_ms
        levels = []
        for signal in event.signals:
            if signal.name == "error":
                levels.append((begin, event.onset.ts, signal.before))
                levels.append((event.onset.ts, end, signal.after))
        return Picture(
            f"Error around episode {episode.number}",
            begin,
            max(end, begin + 1),
            bins,
            [self.bar(episode)],
            [mark for mark in self.requests() if begin <= mark.at <= end],
            [mark for mark in self.deployments() if begin <= mark.at <= end],
            levels=levels,
        )
