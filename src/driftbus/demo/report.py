"""What the demo tells people in the end: the table of truth against found."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from driftbus.demo.judge import Episode, Finding, Silence, Verdict

# Fits the classic 80 columns when all is as planted.
_TEXT = ("", "\nstream", "\nplanted", "\nfound")
_FIGURES = ("onset\nerror", "\ndelay", "\nasked", "error\nbefore", "with\ndrift", "re-\ntrained")
_CAPTION = (
    "Onset error and delay in events of the stream; asked: retrain requests;\n"
    "error: mean of the 0/1 loss (friedman: of the absolute error).\n"
    "Recurrent: the world is again as it was before the change before."
)


def show(verdict: Verdict, console: Console) -> None:
    """The table, then one sentence, or a line for each problem."""
    table = Table(
        title="Truth against found", caption=_CAPTION, title_justify="left", caption_justify="left",
        box=box.SIMPLE_HEAD, padding=0, show_edge=False,
    )  # fmt: skip
    for column in _TEXT:
        table.add_column(column, no_wrap=True)
    for column in _FIGURES:
        table.add_column(column, justify="right", no_wrap=True)
    for finding in verdict.findings:
        table.add_row(*_finding_row(finding))
    for silence in verdict.silences:
        if not silence.changes_later:
            table.add_row(*_silence_row(silence.stream, [silence]))
    early = [silence for silence in verdict.silences if silence.changes_later]
    table.add_row(*_silence_row("all the others", early))
    console.print(table)
    if verdict.right:
        console.print(
            "Everything planted was found exactly once, nothing else was, and every retrain helped."
        )
        return
    console.print("Not everything is as planted:")
    for item in verdict.items:
        for problem in item.problems:
            console.print(f"  {item.stream}: {problem}")


def _finding_row(finding: Finding) -> list[str]:
    change, found = finding.change, finding.episodes
    first = found[0] if found else None
    return [
        _mark(finding.problems),
        finding.stream,
        f"{change.kind} {change.start:,}",
        ", ".join(_kind(episode) for episode in found) or "nothing",
        "" if first is None or first.onset is None else f"{first.onset - change.start:+,}",
        "" if first is None else f"{first.delay_outcomes - change.start:,}",
        str(finding.requests),
        _figure(finding.error_before),
        _figure(finding.error_drifted),
        _figure(finding.error_after),
    ]


def _silence_row(name: str, silences: list[Silence]) -> list[str]:
    raised = ", ".join(_kind(episode) for silence in silences for episode in silence.episodes)
    planted = "nothing before" if silences[0].changes_later else "nothing"
    problems = [problem for silence in silences for problem in silence.problems]
    return [
        _mark(problems),
        name,
        planted,
        raised or "silent",
        "",
        "",
        str(sum(s.requests for s in silences)),
    ]


def _kind(episode: Episode) -> str:
    return episode.kind if episode.category == "concept" else f"{episode.category}: {episode.kind}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _mark(problems: list[str]) -> str:
    return "✗" if problems else "✓"
