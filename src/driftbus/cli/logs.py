"""Logs on stderr: for people on a terminal, else one JSON object a line.

What a call passes as `extra` becomes fields: `log.info("step committed", extra={"step": 12})`.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TextIO

import orjson
import typer

# What every LogRecord has; the rest came by `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


LogLevelOption = Annotated[LogLevel, typer.Option("--log-level", help="The least that is logged.")]
LogFormatOption = Annotated[
    LogFormat, typer.Option("--log-format", help="auto: text on a terminal, else JSON lines.")
]


def configure(level: LogLevel, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send all of the process's logs to `stream` (stderr), replacing what was set up before."""
    stream = stream or sys.stderr
    is_text = form is LogFormat.TEXT or (form is LogFormat.AUTO and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if is_text else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def name_lines(worker: str) -> None:
    """Say on every line whose it is: several workers share one stderr."""

    def named(record: logging.LogRecord) -> bool:
        record.worker = worker
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(named)


def one_line(text: str) -> str:
    """Text as a terminal may show it: names come from events, and a line break, an escape sequence or a mark
    that turns the direction of writing would make a line say what nobody logged."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a log call passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _OWN}


class JsonFormatter(logging.Formatter):
    """`{"ts": …, "level": …, "logger": …, "message": …, …}`; whatever JSON cannot hold is shown as text."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # a lone surrogate, an integer beyond 64 bits
            return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()


class TextFormatter(logging.Formatter):
    """`08:12:01.042 INFO    driftbus.worker  step committed  step=12`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        given = fields(record)
        stack = given.pop("stack", None)  # many lines, as those of an exception
        extra = "".join(f"  {name}={value}" for name, value in given.items())
        time = moment.isoformat(timespec="milliseconds")[11:23]
        text = one_line(f"{time} {record.levelname:7} {record.name}  {record.getMessage()}{extra}")
        if stack is not None:
            text = f"{text}\n{stack}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
