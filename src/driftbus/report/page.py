"""The whole report: one HTML document that asks nobody for anything and runs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from driftbus.config.values import budget_text
from driftbus.report.chart import draw
from driftbus.report.comparison import comparison
from driftbus.report.episodes import (
    episode_table,
    evidence,
    month_table,
    request_table,
    table,
    truth_table,
    verdict,
)
from driftbus.report.markup import Child, Markup, joined, tag
from driftbus.report.record import Record
from driftbus.report.truth import Truth
from driftbus.report.view import StreamReport
from driftbus.report.words import count, moment, plural

# Streams that are shown in full, those with most to say first; up to 300 kB each, some 60 as a rule. The
# others stand in the table, as far as `MOST_LISTED` goes.
MOST_STREAMS, MOST_LISTED = 12, 500


@dataclass(frozen=True, slots=True)
class About:
    """What was replayed. `passed_over`: lines and records that were of no use, by reason."""

    files: Sequence[str]
    version: str
    passed_over: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Beside:
    """The other configuration, and what differs: key → (this, other)."""

    record: Record
    differences: Mapping[str, tuple[Any, Any]]


def report(record: Record, about: About, truth: Truth | None, beside: Beside | None) -> bytes:
    """The document. `record`: what the configuration that was asked for did."""
    every = [
        StreamReport(stream, truth.of(stream.name) if truth is not None else None)
        for stream in record.streams.values()
    ]
    every.sort(key=lambda each: (-_weight(each), each.record.name))
    sections = [
        _stream(each, f"s{index}", record.label, beside, truth)
        for index, each in enumerate(every[:MOST_STREAMS], 1)
    ]
    name = every[0].record.name if len(every) == 1 else plural(len(every), "stream")
    body = tag(
        "body",
        tag("header", tag("p", "driftbus replay", class_="brand"), tag("h1", name), _period(every, about)),
        tag(
            "main",
            comparison(beside.differences, record.label, beside.record.label) if beside is not None else None,
            _index(every) if len(every) != 1 else None,
            *sections,
            _passed_over(about),
        ),
        tag("footer", _HOW),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", f"{name}: what driftbus would have done"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        # Nothing from anywhere, no script: even a text that came through unescaped could do nothing.
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'",
        ),
        tag("style", Markup(files("driftbus.report").joinpath("style.css").read_text())),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode()


def _weight(each: StreamReport) -> int:
    """How much a stream has to say."""
    record = each.record
    return 10 * record.asked + 5 * record.opened["concept"] + record.episodes_in_all


def _period(every: list[StreamReport], about: About) -> Markup:
    read = ", ".join(about.files[:5]) + (f" and {len(about.files) - 5} more" if len(about.files) > 5 else "")
    seen = [each for each in every if each.end]
    if not seen:
        return tag("p", f"No events in {read}.")
    begin, end = min(each.begin for each in seen), max(each.end for each in seen)
    return tag(
        "p",
        "What would have been said and asked from ",
        moment(begin),
        " to ",
        moment(end),
        f" UTC, read from {read} by driftbus {about.version}.",
    )


def _index(every: list[StreamReport]) -> Markup:
    rows: list[list[Child]] = []
    for index, each in enumerate(every[:MOST_LISTED], 1):
        record = each.record
        name = tag("bdi", record.name)
        rows.append(
            [
                tag("a", name, href=f"#s{index}") if index <= MOST_STREAMS else name,
                count(record.monitor.ledger.outcomes),
                count(record.opened["concept"]),
                count(record.episodes_in_all - record.opened["concept"]),
                count(record.asked),
            ]
        )
    heads = ["stream", "outcomes", "episodes of the error", "others", "retrains asked"]
    shown = tag("p", f"The {MOST_STREAMS} with most to say are shown in full.", class_="quiet")
    parts = [tag("h2", "Streams"), table(heads, rows, "numbers", len(every) - len(rows))]
    return tag("section", *parts, shown if len(every) > MOST_STREAMS else None)


def _stream(
    each: StreamReport, anchor: str, label: str, beside: Beside | None, truth: Truth | None
) -> Markup:
    record = each.record
    other = other_label = None
    if beside is not None:
        other_label = beside.record.label
        theirs = beside.record.streams.get(record.name)
        other = StreamReport(theirs, truth.of(record.name) if truth is not None else None) if theirs else None
    picture = each.picture(label, other, other_label or "")
    truths = truth_table(each)
    parts: list[Markup | None] = [
        tag("h2", tag("bdi", record.name)),
        tag("p", _summary(each), class_="lead"),
        _tiles(each, other, label, other_label),
        tag("figure", _legend(each), draw(picture, 1000, 300, "wide"), draw(picture, 370, 240, "narrow"))
        if each.bins
        else tag("p", "No outcome: nothing can be said of its error.", class_="quiet"),
        tag("h3", "What would have been asked"),
        request_table(each),
    ]
    if truths is not None:
        parts += [tag("h3", "Truth against found"), truths]
    parts += [
        tag("h3", "Alarms by month"),
        month_table(each, other, (label, other_label or "")),
        tag("h3", "Episodes in numbers"),
        episode_table(each, anchor),
    ]
    if each.episodes:
        parts += [tag("h3", "Evidence"), evidence(each, anchor)]
    return tag("section", *parts, id=anchor)


def _summary(each: StreamReport) -> str:
    record, ledger = each.record, each.record.monitor.ledger
    concept = record.opened["concept"]
    others = record.episodes_in_all - concept
    said = (
        f"{plural(ledger.predictions, 'prediction')} and {plural(ledger.outcomes, 'outcome')}: the error "
        f"changed {plural(concept, 'time')}, something else {plural(others, 'time')}; "
        f"{plural(record.asked, 'retrain')} asked for. "
    )
    budget = record.monitor.settings.false_alarms
    said += (
        f"The budget of false alarms of the error is {budget_text(budget)}, "
        f"here {record.monitor.false_alarms_allowed:.2g} at the most."
    )
    if record.monitor.defect is not None:
        said += f" The stream was set aside: {record.monitor.defect.partition(':')[0]}."
    return said


def _tiles(each: StreamReport, other: StreamReport | None, label: str, other_label: str | None) -> Markup:
    """The main numbers; under two configurations, of both."""
    rows: list[list[Child]] = []
    for name, report_ in ((label, each), (other_label or "", other)):
        if report_ is None:
            continue
        record = report_.record
        concept = record.opened["concept"]
        cells: list[Child] = [
            name,
            count(concept),
            count(record.episodes_in_all - concept),
            count(sum(1 for one in report_.episodes if one.closed_ms is None)),
            count(record.asked),
        ]
        if each.known is not None:
            cells.append(verdict(report_))
        rows.append(cells)
    heads = ["configuration", "episodes of the error", "others", "open at the end", "retrains asked"]
    return table([*heads, "truth against found"] if each.known is not None else heads, rows, "records")


def _legend(each: StreamReport) -> Markup:
    keys = [("production", "error")]
    if any(bin_.challenger is not None for bin_ in each.bins):
        keys.append(("challenger", "challenger's error"))
    keys += [("band", "episode of the error"), ("onset", "onset, interval below")]
    keys += [("request", "retrain asked"), ("deployment", "model in production")]
    if each.true_bars():
        keys.append(("true", "known to be true"))
    return tag("figcaption", *[tag("span", said, class_=f"key {name}") for name, said in keys])


def _passed_over(about: About) -> Markup | None:
    if not about.passed_over:
        return None
    rows: list[list[Child]] = [[reason, count(n)] for reason, n in sorted(about.passed_over.items())]
    return tag("section", tag("h2", "Passed over"), table(["reason", "lines"], rows, "numbers"))


_HOW = joined(
    [
        tag(
            "p",
            "The error is the share of wrong predictions, or of a regression the mean absolute error, in "
            "bins of equally many outcomes. An episode is one change, from its onset to its end, however "
            "many alarms it raised. An onset is told with the interval in which it lies; “found after” "
            "counts from the onset. Every time is the events' own, in UTC.",
        ),
        tag(
            "p",
            "The models are those that were recorded: nothing is retrained in a replay. A change that a new "
            "model would have ended goes on here, and a request without an answer has its time and is made "
            "again.",
        ),
    ]
)
