"""Moments as people type them: a duration from now, or a date."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import typer


def back_ms(text: str, option: str) -> int:
    """A duration back from now, or a moment (without an offset UTC), in epoch ms.

    Raises `typer.BadParameter` that names the option.
    """
    return _moment_ms(text, -1, option)


def ahead_ms(text: str, option: str) -> int:
    """A duration from now on, or a moment, in epoch ms. Raises `typer.BadParameter`."""
    return _moment_ms(text, 1, option)


def _moment_ms(text: str, direction: int, option: str) -> int:
    from pydantic_core import PydanticCustomError

    from driftbus.config.values import parse_duration_ms

    try:
        return time.time_ns() // 1_000_000 + direction * parse_duration_ms(text)
    except PydanticCustomError:
        pass  # then it is a moment
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        hint = "a duration such as 2h or a moment such as 2026-01-31T08:00:00Z"
        raise typer.BadParameter(hint, param_hint=option) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
