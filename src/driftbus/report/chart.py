"""A stream's error over time as SVG, with what was found, asked for and deployed, and what was true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from driftbus.report.axes import time_ticks, value_ticks
from driftbus.report.bins import Bin
from driftbus.report.markup import Markup, joined, tag
from driftbus.report.words import number

# Room left of the plot for numbers, right of it for half of a tick's text, above it for marks.
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 34, 22
# Height of a lane, and what one with marks has more.
LANE, MARKED = 26, 10


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: a request or a deployment."""

    at: int
    title: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A span in a lane or over the plot: an episode, or a true change. `onset` with its interval (a true
    change has none); `tone` is its class."""

    begin: int
    end: int
    title: str
    tone: str
    name: str = ""
    onset: tuple[int, int, int] | None = None  # earliest, onset, latest


@dataclass(frozen=True, slots=True)
class Lane:
    """A strip under the plot."""

    label: str
    bars: Sequence[Bar]
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, in ms of event time from `begin` to `end`."""

    label: str
    begin: int
    end: int
    bins: Sequence[Bin]
    bands: Sequence[Bar] = ()
    requests: Sequence[Mark] = ()
    deployments: Sequence[Mark] = ()
    lanes: Sequence[Lane] = ()
    smooth: Sequence[Bin] = ()  # the same in fewer bins, drawn over it
    levels: Sequence[tuple[int, int, float]] = ()  # from, to, level


def draw(picture: Picture, width: int, height: int, class_: str) -> Markup:
    """One picture, `height` being that of the plot with its marks and times."""
    box_bottom = height - BOTTOM
    values = [bin_.error for bin_ in picture.bins]
    values += [bin_.challenger for bin_ in picture.bins if bin_.challenger is not None]
    ticks = value_ticks(max([*values, *(level for _, _, level in picture.levels)], default=1.0))
    span = max(1, picture.end - picture.begin)

    def x(ms: int) -> float:
        inside = min(max(ms, picture.begin), picture.end)
        return LEFT + (inside - picture.begin) / span * (width - LEFT - RIGHT)

    def y(value: float) -> float:
        return box_bottom - value / ticks[-1] * (box_bottom - TOP)

    parts: list[Markup] = [tag("title", picture.label)]
    for value in ticks:
        at = _n(y(value))
        parts.append(tag("line", class_="grid", x1=LEFT, x2=width - RIGHT, y1=at, y2=at))
        parts.append(
            tag("text", number(value), class_="tick", x=LEFT - 6, y=_n(y(value) + 4), text_anchor="end")
        )
    for ms, said in time_ticks(picture.begin, picture.end, max(2, (width - LEFT - RIGHT) // 80)):
        parts.append(tag("text", said, class_="tick", x=_n(x(ms)), y=height - 6, text_anchor="middle"))
    for bar in picture.bands:
        parts.append(_band(bar, x, TOP, box_bottom))
    for begin, end, level in picture.levels:
        parts.append(tag("path", class_="level", d=f"M{_n(x(begin))} {_n(y(level))}H{_n(x(end))}"))
    drawn = picture.smooth or picture.bins
    if picture.smooth:
        parts.append(tag("path", class_="line fine", d=_path(picture.bins, 2, picture.end, x, y)))
    if any(bin_.challenger is not None for bin_ in drawn):
        parts.append(tag("path", class_="line challenger", d=_path(drawn, 3, picture.end, x, y)))
    parts.append(tag("path", class_="line", d=_path(drawn, 2, picture.end, x, y)))
    parts += _marks(picture, x, box_bottom)
    parts.append(_names(picture, x, width))
    lane_top = height
    for lane in picture.lanes:
        parts.append(_lane(lane, lane_top, width, x))
        lane_top += LANE + (MARKED if lane.marks else 0)
    return tag("svg", *parts, class_=f"chart {class_}", viewBox=f"0 0 {width} {lane_top}", role="img")


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _path(
    bins: Sequence[Bin], column: int, end: int, x: Callable[[int], float], y: Callable[[float], float]
) -> str:
    """A line through the middles of the bins that have a value; a lone one becomes a dot of a line."""
    said, open_ = [], False
    for bin_, until in zip(bins, [*(later.ts_ms for later in bins[1:]), end], strict=True):
        value = bin_[column]
        if value is None:
            open_ = False
            continue
        at = f"{_n(x((bin_.ts_ms + until) // 2))} {_n(y(value))}"
        said.append(f"L{at}" if open_ else f"M{at}h.01")
        open_ = True
    return "".join(said)


def _band(bar: Bar, x: Callable[[int], float], top: float, bottom: float) -> Markup:
    left, right = x(bar.begin), max(x(bar.end), x(bar.begin) + 2)
    parts = [
        tag("title", bar.title),
        tag("rect", class_="band", x=_n(left), y=_n(top), width=_n(right - left), height=_n(bottom - top)),
    ]
    if bar.onset is not None:
        earliest, onset, latest = map(x, bar.onset)
        parts.append(
            tag(
                "rect",
                class_="interval",
                x=_n(earliest),
                y=_n(bottom - 5),
                width=_n(max(3, latest - earliest)),
                height=5,
            )
        )
        parts.append(tag("path", class_="onset", d=f"M{_n(onset)} {_n(top)}V{_n(bottom)}"))
    return tag("g", *parts, class_=bar.tone)


def _marks(picture: Picture, x: Callable[[int], float], bottom: float) -> list[Markup]:
    parts = []
    for mark in picture.deployments:
        at = x(mark.at)
        line = tag("path", class_="mark-line", d=f"M{_n(at)} {TOP - 2}V{_n(bottom)}")
        square = tag("rect", x=_n(at - 4), y=TOP - 10, width=8, height=8, rx=1)
        parts.append(tag("g", tag("title", mark.title), line, square, class_="deployment"))
    for mark in picture.requests:
        at = x(mark.at)
        line = tag("path", class_="mark-line", d=f"M{_n(at)} {TOP - 2}V{_n(bottom)}")
        parts.append(tag("g", tag("title", mark.title), line, _triangle(at, TOP - 12), class_="request"))
    return parts


def _triangle(at: float, top: float) -> Markup:
    return tag("path", d=f"M{_n(at - 5)} {_n(top)}h10l-5 9z")


def _names(picture: Picture, x: Callable[[int], float], width: int) -> Markup:
    """Names along the top where they do not run into each other: of deployments first, then of episodes."""
    taken: list[tuple[float, float]] = []
    parts = []
    named = [(mark.at, mark.name) for mark in picture.deployments if mark.name]
    named += [((bar.onset or (0, bar.begin, 0))[1], bar.name) for bar in picture.bands if bar.name]
    for at, name in named:
        name = name if len(name) <= 18 else name[:17] + "…"
        size = len(name) * 6.4 + 8
        start = min(max(x(at) - size / 2, LEFT), width - RIGHT - size)
        if any(start < right and start + size > left for left, right in taken):
            continue
        taken.append((start, start + size))
        parts.append(tag("text", name, class_="mark-name", x=_n(start + 4), y=TOP - 18))
    return joined(parts)


def _lane(lane: Lane, top: float, width: int, x: Callable[[int], float]) -> Markup:
    label = tag("text", lane.label, class_="lane-name", x=LEFT, y=_n(top + 9))
    if lane.marks:
        top += MARKED
    parts = [
        label,
        tag("path", class_="grid", d=f"M{LEFT} {_n(top + 18)}H{width - RIGHT}"),
    ]
    for bar in lane.bars:
        left = x(bar.begin)
        size = max(x(bar.end) - left, 3)
        shape = tag("rect", x=_n(left), y=_n(top + 13), width=_n(size), height=10, rx=1.5)
        parts.append(tag("g", tag("title", bar.title), shape, class_=f"{bar.tone} bar"))
    for mark in lane.marks:
        parts.append(tag("g", tag("title", mark.title), _triangle(x(mark.at), top + 3), class_="request"))
    return joined(parts)
