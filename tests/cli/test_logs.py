"""Logs: text for people, JSON lines for machines, whatever a call passes."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.cli.logs import JsonFormatter, LogFormat, LogLevel, TextFormatter, configure


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_json_lines_off_a_terminal() -> None:
    stream = io.StringIO()
    configure(LogLevel.INFO, LogFormat.AUTO, stream)
    logging.getLogger("driftbus.worker").info("step %d committed", 12, extra={"step": 12, "topic": "x"})
    logging.getLogger("driftbus.worker").debug("not this")
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("driftbus").exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["ts"].endswith("Z")
    assert {**first, "ts": ""} == {
        "ts": "",
        "level": "info",
        "logger": "driftbus.worker",
        "message": "step 12 committed",
        "step": 12,
        "topic": "x",
    }
    assert second["level"] == "error"
    assert "ValueError: no" in second["exception"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_on_a_terminal_and_on_demand() -> None:
    for stream, form in ((Terminal(), LogFormat.AUTO), (io.StringIO(), LogFormat.TEXT)):
        configure(LogLevel.DEBUG, form, stream)
        logging.getLogger("driftbus").debug("here", extra={"step": 1})
        assert stream.getvalue().endswith("DEBUG   driftbus  here  step=1\n")


ANYTHING = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(st.characters()) | st.integers(), inner)
    ),
    max_leaves=4,
)


@given(st.text(st.characters()), ANYTHING)
def test_any_message_and_any_field_is_one_line(message: str, value: object) -> None:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "x", "field": value})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["logger"].strip("'") == "x"
    assert "field=" in TextFormatter().format(record)
