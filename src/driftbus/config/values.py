"""The kinds of value a configuration holds: each type says what it takes and refuses the rest.

A validator gets the plain value of the document and answers with the core's value; what it cannot
use it refuses with what is allowed and the nearest right spelling.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from driftbus.config.document import WrittenFloat, WrittenInt
from driftbus.core.settings import AlarmBudget, MetricWindow, Rule, Scalar

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
# A century: far beyond any use, and every sum with an epoch stays within 64 bits.
MAX_DURATION_MS = 36_525 * UNITS_MS["d"]
DURATIONS = "a duration such as 500ms, 90s, 30m, 6h, 7d, 2w"
RULES = (
    "METRIC < NUMBER over COUNT (or DURATION), or with >, such as 'f1 < 0.70 over 1000', 'mae > 3 over 2h'"
)
OFF = "off"
# Half the letters in common: `f2` still finds `f1`.
_CLOSE_RATIO = 0.5

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)")
_RULE = re.compile(
    r"([^\s<>]+)\s*([<>])\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s+over\s+(\S+)"
)


def refuse(value: object, allowed: str, nearest: str | None = None, at: str = "") -> PydanticCustomError:
    """The error a validator raises; `at` is where inside the value the trouble is (`.delta`, `[1]`)."""
    context = {"value": value, "allowed": allowed, "nearest": nearest, "at": at}
    return PydanticCustomError("driftbus", "refused", context)


def refuse_all(refusals: Sequence[tuple[str, PydanticCustomError]]) -> None:
    """Raise one error for all `refusals`, each with the place inside the value; do nothing without any."""
    if refusals:
        several = []
        for at, error in refusals:
            for context in (error.context or {}).get("several") or [error.context or {}]:
                several.append({**context, "at": f"{at}{context['at']}"})
        raise PydanticCustomError("driftbus", "refused", {"several": several})


def nearest(value: object, names: Iterable[str]) -> str | None:
    """The name closest to `value`, where one is close."""
    known = list(names)
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(str(value).lower(), by_lower, n=1, cutoff=_CLOSE_RATIO)
    return by_lower[found[0]] if found else None


def is_off(value: object) -> bool:
    """Bare `off` is the word off here, but YAML 1.1 writers and JSON send it as false."""
    return value is False or (isinstance(value, str) and value.lower() == OFF)


def text_of(value: object) -> str | None:
    """The text of a text, number or boolean as it was written; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.text
    return str(value) if isinstance(value, int | float) else None


def parse_duration_ms(value: object) -> int:
    """`6h` → 21,600,000. Whole milliseconds; a bare 0 is fine, other bare numbers have no unit."""
    if value == 0 and not isinstance(value, bool):
        return 0
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        hint = f"{text_of(value)}s" if isinstance(value, int) and not isinstance(value, bool) else None
        raise refuse(value, DURATIONS, hint)
    ms = float(match[1]) * UNITS_MS[match[2]] if "." in match[1] else int(match[1]) * UNITS_MS[match[2]]
    if ms > MAX_DURATION_MS or ms != int(ms):
        raise refuse(value, "whole milliseconds up to 36525d")
    return int(ms)


def duration_text(ms: int) -> str:
    """The shortest exact spelling of a duration: 21,600,000 → `6h`."""
    for unit in ("d", "h", "m", "s"):
        if ms and ms % UNITS_MS[unit] == 0:
            return f"{ms // UNITS_MS[unit]}{unit}"
    return f"{ms}ms"


def budget_text(budget: AlarmBudget) -> str:
    """A budget of false alarms as the configuration writes it."""
    among = "" if budget.among == 1 else f" among {budget.among}"
    return f"{budget.count} per {duration_text(budget.span_ms)}{among}"


def parse_window(value: object) -> MetricWindow:
    """`1000` → the last 1,000 outcomes, `2h` → the last two hours."""
    text = text_of(value)
    if text is not None and text.isascii() and text.isdigit():
        if not 1 <= int(text) <= 10_000_000:
            raise refuse(value, "a window of 1 to 10000000 outcomes")
        return MetricWindow(outcomes=int(text), text=text)
    try:
        ms = parse_duration_ms(value)
    except PydanticCustomError:
        raise refuse(value, f"a number of outcomes such as 1000, or {DURATIONS}") from None
    if ms == 0:
        raise refuse(value, "a window longer than nothing")
    return MetricWindow(span_ms=ms, text="".join(str(text).split()))


def parse_rule(value: object, metrics: Iterable[str]) -> Rule:
    """`f1 < 0.70 over 1000` as a rule of the policy; `metrics` are the names it may use."""
    match = _RULE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise refuse(value, RULES)
    name, sign, number, over = match.groups()
    known = tuple(metrics)
    if name not in known:
        raise refuse(value, f"a rule over one of {', '.join(known)}", nearest(name, known))
    if not math.isfinite(float(number)):
        raise refuse(value, "a finite threshold")
    try:
        window = parse_window(over)
    except PydanticCustomError:
        raise refuse(value, RULES) from None
    return Rule(
        name, sign == "<", float(number), window, " ".join(value.split()) if isinstance(value, str) else ""
    )


def one_of(*names: str, off: bool = False) -> PlainValidator:
    """Exactly one of `names`, with the nearest in the error; `off=True`: YAML 1.1's false is `off`."""

    def check(value: object) -> str:
        if off and is_off(value):
            return OFF
        if isinstance(value, str) and value in names:
            return value
        raise refuse(value, ", ".join(names), nearest(value, names))

    return PlainValidator(check)


def whole(least: int, most: int = 2**63 - 1) -> PlainValidator:
    """An integer from `least` to `most`."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            span = f"{least} to {most}" if most < 2**63 - 1 else f"{least} or more"
            raise refuse(value, f"a whole number, {span}")
        return int(value)

    return PlainValidator(check)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise refuse(
        value, "true or false", {"on": "true", "yes": "true", "off": "false", "no": "false"}.get(str(value))
    )


def _text(value: object) -> str:
    text = text_of(value)
    if text is None:
        raise refuse(value, "text")
    return checked_text(text)


def checked_text(text: str) -> str:
    """`text`, unless it cannot be encoded as UTF-8 or holds a null character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refuse(ascii(text), "text that UTF-8 can encode") from None
    if "\0" in text:
        raise refuse(text, "text without null characters")
    return text


def _name(value: object) -> str:
    text = _text(value)
    if not 1 <= len(text) <= 256:
        raise refuse(value, "text of 1 to 256 characters")
    return text


def _scalar(value: object) -> Scalar | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return checked_text(value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise refuse(value, "text, true, false, a finite number within 64 bits, or null")


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise refuse(value, "a share greater than 0, at most 1")
    return float(value)


def list_of(item: Callable[[Any], Any]) -> PlainValidator:
    """A list whose items `item` takes; a single one stands for a list of one, null for an empty one."""

    def check(value: object) -> tuple[Any, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            return (item(value),)
        result, refusals = [], []
        for position, each in enumerate(value):
            try:
                result.append(item(each))
            except PydanticCustomError as error:
                refusals.append((f"[{position}]", error))
        refuse_all(refusals)
        return tuple(result)

    return PlainValidator(check)


def _some_duration(value: object) -> int:
    ms = parse_duration_ms(value)
    if ms == 0:
        raise refuse(value, f"more than nothing: {DURATIONS}")
    return ms


def _duration_or_never(value: object) -> int | None:
    return None if value is None or is_off(value) else _some_duration(value)


_AS_DURATION = PlainSerializer(lambda ms: None if ms is None else duration_text(ms))

Flag = Annotated[bool, PlainValidator(_flag)]
Text = Annotated[str, PlainValidator(_text)]
Name = Annotated[str, PlainValidator(_name)]
AnyScalar = Annotated[Scalar | None, PlainValidator(_scalar), PlainSerializer(lambda value: value)]
Share = Annotated[float, PlainValidator(_share)]
Duration = Annotated[int, PlainValidator(parse_duration_ms), _AS_DURATION]
SomeDuration = Annotated[int, PlainValidator(_some_duration), _AS_DURATION]
DurationOrNever = Annotated[int | None, PlainValidator(_duration_or_never), _AS_DURATION]
AS_LIST = PlainSerializer(list)
Texts = Annotated[tuple[str, ...], list_of(_text), AS_LIST]
Windows = Annotated[
    tuple[MetricWindow, ...],
    list_of(parse_window),
    PlainSerializer(lambda windows: [window.text for window in windows]),
]
