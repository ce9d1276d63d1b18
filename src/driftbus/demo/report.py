"""What the demo tells people in the end: the table of truth against found."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from driftbus.demo.judge import Episode, Finding, Silence, Verdict

COLUMNS = (
    "stream", "planted", "found", "onset error", "delay", "requests", "before", "drifted", "retrained", "",
)  # fmt: skip


def show(verdict: Verdict, console: Console) -> None:
    """The table, then one sentence."""
    table = Table(title="Truth against found", title_justify="left", caption_justify="left")
    table.caption = (
        "onset error and delay in events of the stream; errors are means (0/1 loss; friedman: absolute error)"
    )
    for column in COLUMNS:
        numeric = column in ("onset error", "delay", "requests", "before", "drifted", "retrained")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=column != "")
    for finding in verdict.findings:
        table.add_row(*_finding_row(finding))
    table.add_section()
    for silence in verdict.silences:
        table.add_row(*_silence_row(silence))
    console.print(table)
    if verdict.right:
        console.print("Everything planted was found exactly once; nothing else was raised.")
    else:
        console.print("Not everything is as planted:")
        for item in verdict.items:
            for problem in item.problems:
                console.print(f"  {item.stream}: {problem}")


def _finding_row(finding: Finding) -> list[str]:
    change, found = finding.change, finding.episodes
    planted = f"{change.kind} at {change.start:,}"
    if change.end > change.start:
        planted += f" to {change.end:,}"
    first = found[0] if found else None
    return [
        finding.stream,
        planted,
        ", ".join(_kind(episode) for episode in found) or "nothing",
        "" if first is None or first.onset is None else f"{first.onset - change.start:+,}",
        "" if first is None else f"{first.delay_outcomes - change.start:,}",
        str(finding.requests),
        _figure(finding.error_before),
        _figure(finding.error_drifted),
        _figure(finding.error_after),
        _mark(finding.problems),
    ]


def _silence_row(silence: Silence) -> list[str]:
    raised = ", ".join(_kind(episode) for episode in silence.episodes) or "silent"
    planted = f"nothing in {silence.events:,} events"
    return [
        silence.stream,
        planted,
        raised,
        "",
        "",
        str(silence.requests),
        "",
        "",
        "",
        _mark(silence.problems),
    ]


def _kind(episode: Episode) -> str:
    return episode.kind if episode.category == "concept" else f"{episode.category}: {episode.kind}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _mark(problems: list[str]) -> str:
    return "; ".join(problems) if problems else "ok"
