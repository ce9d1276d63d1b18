"""Where a chart's ticks stand: round numbers, and round times in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
# Steps of a clock, then months.
_STEPS_MS = tuple(
    step * _MINUTE_MS for step in (1, 5, 15, 30, 60, 180, 360, 720, 1_440, 2 * 1_440, 7 * 1_440, 14 * 1_440)
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 600, 1_200)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def round_step(span: float, parts: int) -> float:
    """1, 2 or 5 times a power of ten that cuts `span` into no more than about `parts`."""
    rough = span / parts
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def value_ticks(top: float, parts: int = 4) -> list[float]:
    """From 0 to the first tick that is not below `top`."""
    step = round_step(top if top > 0 else 1.0, parts)
    return [index * step for index in range(math.ceil((top if top > 0 else 1.0) / step - 1e-9) + 1)]


def time_ticks(begin_ms: int, end_ms: int, most: int) -> list[tuple[int, str]]:
    """At most `most` round moments with their texts."""
    span = max(1, end_ms - begin_ms)
    for step in _STEPS_MS:
        if span / step <= most:
            return _clock_ticks(begin_ms, end_ms, step)
    for months in _MONTHS:
        if span / (months * 30.4 * _DAY_MS) <= most:
            return _month_ticks(begin_ms, end_ms, months)
    return []


def _clock_ticks(begin_ms: int, end_ms: int, step: int) -> list[tuple[int, str]]:
    form = "%H:%M" if step < _DAY_MS else "%d %b"
    first = -(-begin_ms // step) * step
    ticks = []
    day = None
    for at in range(first, end_ms + 1, step):
        moment = _EPOCH + timedelta(milliseconds=at)
        # Hours alone would not say of which day.
        shown = moment.strftime(
            "%d %b" if step < _DAY_MS and moment.hour == 0 and day != at // _DAY_MS else form
        )
        if moment.hour == 0:
            day = at // _DAY_MS
        ticks.append((at, shown.lstrip("0") if shown[2:3] == " " else shown))
    return ticks


def _month_ticks(begin_ms: int, end_ms: int, months: int) -> list[tuple[int, str]]:
    begin = _EPOCH + timedelta(milliseconds=begin_ms)
    ticks = []
    index = -(-(begin.year * 12 + begin.month - 1) // months) * months
    while index < 9_999 * 12:
        year, month = divmod(index, 12)
        moment = datetime(year, month + 1, 1, tzinfo=UTC)
        at = (moment - _EPOCH) // timedelta(milliseconds=1)
        if at > end_ms:
            break
        if at >= begin_ms:
            ticks.append(
                (at, str(year) if months >= 12 else moment.strftime("%b %Y" if month == 0 else "%b"))
            )
        index += months
    return ticks
