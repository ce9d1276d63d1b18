"""Tables of a stream: its episodes in numbers, each with its evidence; requests; the truth; the months."""

from __future__ import annotations

from collections import Counter

from driftbus.core.encode import request_evidence
from driftbus.core.grounds import grounds
from driftbus.core.records import SignalEvidence
from driftbus.report.chart import draw
from driftbus.report.markup import Child, Markup, joined, tag
from driftbus.report.record import ELSE, EpisodeRecord, RequestRecord
from driftbus.report.view import StreamReport
from driftbus.report.words import (
    count,
    duration,
    ended,
    minute,
    moment,
    moved,
    number,
    plural,
    sentence,
    short,
    what,
    why,
)

# Rows of a table, and episodes with their evidence unfolded into a picture each (some 3 kB): what is left out
# is said.
MOST_ROWS, MOST_PICTURES, MOST_EVIDENCE = 100, 12, 30
UNFOLDED = 3
# Signals of one episode that are listed: those with the strongest evidence.
MOST_SIGNALS = 8
# Months are told one by one for three years, else years.
MOST_MONTHS = 36


def table(heads: list[str], rows: list[list[Child]], class_: str = "records", left_out: int = 0) -> Markup:
    """A table; on a narrow screen `records` become a block each, `numbers` stay a table that scrolls."""
    head = tag("thead", tag("tr", *[tag("th", each, scope="col") for each in heads]))
    body = tag(
        "tbody",
        *[
            tag("tr", *[tag("td", cell, data_head=heads[i]) for i, cell in enumerate(cells)])
            for cells in rows
        ],
    )
    more = tag("p", f"{left_out:,} more are not listed.", class_="quiet") if left_out > 0 else None
    return joined(
        [
            tag("div", tag("table", head, body, class_=class_), class_="scroll", tabindex=0),
            *([more] if more else []),
        ]
    )


def episode_table(report: StreamReport, anchor: str) -> Markup:
    """The episodes in numbers, a row each."""
    if not report.episodes:
        return tag("p", "No episode: nothing would have been said.", class_="quiet")
    matching = report.matching
    heads = ["#", "what", "onset", "interval", "found after", "first signal", "sure", "ended"]
    if matching is not None:
        heads.append("truth")
    linked = {each.number for each in with_evidence(report)}
    rows: list[list[Child]] = []
    for index, episode in enumerate(report.episodes[:MOST_ROWS]):
        first, last = episode.first, episode.last
        onset, signal = last.onset, last.signals[0]
        cells: list[Child] = [
            tag("a", f"#{episode.number}", href=f"#{anchor}-{episode.number}")
            if episode.number in linked
            else f"#{episode.number}",
            what(last),
            moment(onset.ts),
            duration(onset.latest - onset.earliest),
            found_after(episode),
            f"{short(signal.name)} {moved(signal.before, signal.after)}",
            f"{last.confidence:.0%}",
            ended(last)
            if episode.closed_ms is None
            else f"{ended(last)}, {duration(episode.closed_ms - first.detected_at)}",
        ]
        if matching is not None:
            cells.append(matching.of[index])
        rows.append(cells)
    return table(heads, rows, left_out=report.record.episodes_in_all - len(rows))


def found_after(episode: EpisodeRecord) -> str:
    """How long after the onset it opened; an onset that was put later meanwhile has no delay."""
    late = episode.first.detected_at - episode.last.onset.ts
    return duration(late) if late >= 0 else "onset moved on"


def with_evidence(report: StreamReport) -> list[EpisodeRecord]:
    """The episodes that are told with everything, those of the error first."""
    return sorted(report.episodes, key=lambda each: each.last.category != "concept")[:MOST_EVIDENCE]


def evidence(report: StreamReport, anchor: str) -> Markup:
    """Episodes with all their numbers, to be unfolded, in their order; the first of the error in pictures."""
    place = {each.number: index for index, each in enumerate(with_evidence(report))}
    shown = [each for each in report.episodes if each.number in place]
    return joined([_one(report, each, anchor, place[each.number]) for each in shown])


def _one(report: StreamReport, episode: EpisodeRecord, anchor: str, place: int) -> Markup:
    """One episode; `place`: how many are more worth a look."""
    first, last = episode.first, episode.last
    picture = report.close_up(episode) if place < MOST_PICTURES else None
    asked = [each for each in report.record.requests if each.request.episode_id == last.episode_id]
    onset = last.onset
    facts = [
        f"Onset {minute(onset.ts)}, between {minute(onset.earliest)} and {minute(onset.latest)} "
        f"({duration(onset.latest - onset.earliest)}); found {minute(first.detected_at)}, "
        f"when {plural(first.outcomes_seen, 'outcome')} and "
        f"{plural(first.predictions_seen, 'prediction')} had been seen.",
    ]
    if last.model_version is not None:
        facts.append(f"Model version {last.model_version}.")
    if last.slice:
        facts.append("Slice " + ", ".join(f"{name} = {value}" for name, value in last.slice.items()) + ".")
    if last.muted:
        facts.append("The stream was muted.")
    said = [
        tag(
            "li",
            moment(event.detected_at),
            f" {event.status}: {what(event)}, {event.confidence:.0%} sure, onset ",
            moment(event.onset.ts),
        )
        for event in episode.said
    ]
    left = episode.events - len(episode.said)
    requests = [
        tag(
            "li",
            moment(each.request.time),
            f" {why(each.request)}, {plural(each.request.window.rows, 'row')}",
            *(f"; {reason}" for reason in grounds(request_evidence(each.request))),
        )
        for each in asked[:MOST_ROWS]
    ]
    return tag(
        "details",
        tag(
            "summary",
            tag("b", f"#{episode.number}"),
            f" {what(last)}, ",
            moment(onset.ts),
            tag("span", f" {ended(last)}", class_="quiet"),
        ),
        tag("p", sentence(last)),
        draw(picture, 640, 190, "close") if picture else None,
        tag("p", " ".join(facts)),
        _signals(last.signals),
        tag("p", "What was said", class_="head") if len(said) > 1 else None,
        tag("ul", *said, tag("li", f"and {left:,} more in between") if left > 0 else None)
        if len(said) > 1
        else None,
        tag("p", "What was asked", class_="head") if requests else None,
        tag("ul", *requests) if requests else tag("p", "Nothing was asked because of it.", class_="quiet"),
        class_="episode",
        id=f"{anchor}-{episode.number}",
        open="" if place < UNFOLDED else None,
    )


def _signals(signals: tuple[SignalEvidence, ...]) -> Markup:
    ranked = sorted(signals, key=lambda each: -each.evidence)[:MOST_SIGNALS]
    rows: list[list[Child]] = [
        [short(each.name), moved(each.before, each.after), each.detector, number(each.evidence)]
        for each in ranked
    ]
    heads = ["signal", "before → after", "detector", "evidence"]
    return table(heads, rows, "numbers", len(signals) - len(ranked))


def request_table(report: StreamReport) -> Markup:
    """What would have been asked, when and why."""
    record = report.record
    if not record.requests:
        return tag("p", "Nothing would have been asked.", class_="quiet")
    numbers = {each.last.episode_id: each.number for each in report.episodes}
    attempts: dict[str, list[RequestRecord]] = {}
    for each in record.requests:
        attempts.setdefault(each.request.request_id, []).append(each)
    rows: list[list[Child]] = []
    for made in list(attempts.values())[:MOST_ROWS]:
        first, last = made[0].request, made[-1]
        window, newest = first.window, last.request.attempt
        number_ = numbers.get(first.episode_id or "")
        classes = ", ".join(f"{label}: {n:,}" for label, n in list(window.class_counts.items())[:8])
        again = f", {newest} attempts until {minute(last.request.time)}" if newest > 1 else ""
        rows.append(
            [
                moment(first.time),
                why(first) + again,
                f"#{number_}" if number_ is not None else "–",
                f"{window.rows:,}" + (f" ({classes})" if classes else ""),
                f"{window.rows_since_onset:,}" if window.onset_ts is not None else "–",
                f"{minute(window.start_ts)} to {minute(window.end_ts)}" if window.rows else "–",
                _answer(last, record.monitor.policy.in_flight),
            ]
        )
    heads = ["asked", "why", "episode", "rows to train on", "since onset", "window", "answer"]
    return table(heads, rows, left_out=max(0, record.asked - len(rows)))


def _answer(made: RequestRecord, in_flight: str | None) -> Child:
    """What the recording's trainers made of it."""
    if made.ended is None:
        return "none so far" if made.request.request_id == in_flight else "none came"
    said = made.ended.replace("_", " ")
    return said if made.ended_ms is None else joined([tag("span", f"{said} "), moment(made.ended_ms)])


def truth_table(report: StreamReport) -> Markup | None:
    """Each true change: found by which episode, how late, how well its onset and kind were told."""
    known, matching = report.known, report.matching
    if known is None or matching is None:
        return None
    parts: list[Markup] = []
    rows: list[list[Child]] = []
    for index, (change, span) in enumerate(zip(known.changes, report.spans, strict=True)):
        start, _ = report.moments(change)
        found = matching.found[index]
        cells: list[Child] = [
            str(index + 1),
            change.kind or "–",
            moment(start) if start is not None else "after the end",
        ]
        if found is None:
            cells += ["missed", "–", "–", "–", "–"]
        else:
            episode = report.episodes[found]
            onset = episode.last.onset
            inside = start is not None and onset.earliest <= start <= onset.latest
            cells += [
                f"#{episode.number}",
                f"{plural(max(0, episode.first.outcomes_seen - span.start), 'outcome')}",
                duration(onset.ts - start) + (" late" if onset.ts > start else " early")
                if start is not None
                else "–",
                "yes" if inside else "no",
                episode.last.kind,
            ]
        rows.append(cells)
    if rows:
        heads = ["change", "kind", "began", "found by", "after", "onset told", "interval holds it", "told as"]
        parts.append(table(heads, rows, "numbers"))
    parts.append(tag("p", verdict(report), class_="verdict"))
    if known.note:
        parts.append(tag("p", f"Note of the truth file: {known.note}", class_="quiet"))
    return joined(parts)


def verdict(report: StreamReport) -> str:
    """Truth against found in a sentence."""
    known, matching = report.known, report.matching
    if known is None or matching is None:
        return ""
    parts = Counter(word.partition(" ")[0] for word in matching.of)
    if known.changes:
        found = sum(each is not None for each in matching.found)
        told = [f"{found} of {plural(len(known.changes), 'known change')} found"]
    else:
        told = ["no change is known"]
    for word, form in (
        ("again", "{} more about a change that was found already"),
        ("elsewhere", "{} where no change is known"),
        ("not", "{} where nothing can be judged"),
    ):
        if parts[word]:
            told.append(form.format(plural(parts[word], "episode")))
    return "; ".join(told) + "." + ("" if known.complete else " Not all positions of changes are known.")


def month_table(report: StreamReport, beside: StreamReport | None, labels: tuple[str, str]) -> Markup:
    """How often something would have been said and asked, month by month."""
    mine = _months(report)
    theirs = _months(beside) if beside is not None else {}
    if not mine and not theirs:
        return tag("p", "No alarm in any month.", class_="quiet")
    period = _period(report)
    quiet = period - len(mine.keys() | theirs.keys()) if len(mine) == len(report.record.months) else 0
    most = max(each.total() for each in (*mine.values(), *theirs.values()))
    heads = ["month", "of the error", "of anything else", "retrains asked", "alarms"]
    rows: list[list[Child]] = []
    for month in sorted(mine.keys() | theirs.keys()):
        for label, months in (
            ((labels[0], mine), (labels[1], theirs)) if beside is not None else (("", mine),)
        ):
            counts = months.get(month, Counter())
            asked, concept = counts["request"], counts["concept"]
            others = counts.total() - asked - concept
            bar = tag(
                "span",
                tag("i", class_="concept", style=f"width:{100 * concept / most:.1f}%"),
                tag("i", class_="other", style=f"width:{100 * others / most:.1f}%"),
                class_="meter",
                aria_hidden="true",
            )
            rows.append([f"{month} {label}".strip(), count(concept), count(others), count(asked), bar])
    note = (
        tag("p", f"Nothing in the other {quiet} of {period} months.", class_="quiet") if quiet > 0 else None
    )
    return joined([table(heads, rows, "numbers months"), *([note] if note else [])])


def _period(report: StreamReport) -> int:
    """How many months the stream touches."""
    begin, end = minute(report.begin), minute(report.end)
    return (int(end[:4]) - int(begin[:4])) * 12 + int(end[5:7]) - int(begin[5:7]) + 1


def _months(report: StreamReport) -> dict[str, Counter[str]]:
    """Counts by month, or by year where there are many."""
    months = report.record.months
    if len(months) <= MOST_MONTHS:
        return months
    years: dict[str, Counter[str]] = {}
    for month, counts in months.items():
        years.setdefault(month if month == ELSE else month[:4], Counter()).update(counts)
    return years
