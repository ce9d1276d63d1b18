"""Numbers, times and terms as people read them. Times are UTC."""

from __future__ import annotations

from driftbus.core.records import DriftEvent, RetrainRequest
from driftbus.core.timestamps import rfc3339
from driftbus.report.markup import Markup, tag
from driftbus.told import CATEGORIES, RESOLUTIONS, only_where


def number(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-4:
        return f"{value:.2e}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"


def moved(before: float, after: float) -> str:
    """From one level to another, in as many digits as tell them apart, up to six."""
    told = f"{number(before)} → {number(after)}"
    if before != after and number(before) == number(after):
        digits = next((n for n in (4, 5) if f"{before:.{n}g}" != f"{after:.{n}g}"), 6)
        told = f"{before:.{digits}g} → {after:.{digits}g}"
    return told


def short(name: str) -> str:
    """A name that may be as long as a producer likes, up to 60 characters."""
    return name if len(name) <= 60 else f"{name[:59]}…"


def count(n: int) -> str:
    return f"{n:,}"


def plural(n: int, thing: str) -> str:
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def duration(ms: int) -> str:
    """About how long."""
    s = abs(ms) / 1000
    if s < 90:
        return f"{s:.0f} s"
    if s < 5_400:
        return f"{s / 60:.0f} min"
    if s < 129_600:
        return f"{s / 3600:.3g} h"
    return f"{s / 86_400:,.3g} d" if s < 86_400_000 else f"{s / 86_400:,.0f} d"


def minute(ts_ms: int) -> str:
    return rfc3339(ts_ms)[:16].replace("T", " ")


def moment(ts_ms: int | None) -> Markup:
    """A time to the minute; the exact one is in the element."""
    if ts_ms is None:
        return tag("span", "–")
    return tag("time", minute(ts_ms), datetime=rfc3339(ts_ms))


def what(event: DriftEvent) -> str:
    """What kind of change, in few words."""
    which = ", ".join([f"{short(name)} = {short(value)}" for name, value in (event.slice or {}).items()])
    return f"{event.category}, {event.kind}" + (f", in {which}" if which else "")


def ended(event: DriftEvent) -> str:
    return "open" if event.resolution is None else event.resolution.replace("_", " ")


def sentence(event: DriftEvent) -> str:
    """What changed and how sure that is, in one or two sentences."""
    kind = (
        "Whether it is sudden or gradual cannot be told."
        if event.kind == "undetermined"
        else f"It is {event.kind} (confidence {event.confidence:.2f})."
    )
    end = (
        "It was still open at the end."
        if event.resolution is None
        else f"It ended {minute(event.detected_at)}: {RESOLUTIONS.get(event.resolution, event.resolution)}."
    )
    return f"{CATEGORIES.get(event.category, event.category)}{only_where(event.slice)} {kind} {end}"


def why(request: RetrainRequest) -> str:
    """Why a retrain was asked for."""
    said = request.rule or request.schedule or request.manual
    return request.reason + (f": {said}" if said else "") + (f" ({request.note})" if request.note else "")
