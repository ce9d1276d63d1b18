"""Any text, document or environment loads or is a `ConfigError`."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driftbus.config import StreamRules, load
from driftbus.config.document import plain, read
from driftbus.config.values import duration_text, parse_duration_ms
from driftbus.errors import ConfigError
from tests.config.files import refused

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        *(
            "bus",
            "kafka",
            "embedded",
            "group",
            "instance",
            "worker_id",
            "topic_prefix",
            "topics",
            "partitioner",
        ),
        *(
            "http",
            "worker",
            "limits",
            "include",
            "stream_defaults",
            "streams",
            "task",
            "positive_label",
            "labels",
        ),
        *(
            "sample",
            "join",
            "horizon",
            "grace",
            "expired_label",
            "features",
            "watch",
            "max",
            "signals",
            "error",
        ),
        *(
            "score",
            "custom",
            "better",
            "detectors",
            "challenger",
            "retrain",
            "mode",
            "on_drift",
            "kinds",
            "when",
        ),
        *("every", "cooldown", "min_rows", "metrics", "windows", "false_alarms", "port", "host"),
        *("bootstrap.servers", "sasl.password", "a", "*", "<<"),
    ]
)
CLOSE = st.recursive(
    ANY | st.sampled_from(["off", "auto", "6h", "f1 < 0.7 over 10", "adwin", "1 per 9d", 0, 1, 0.5]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=15,
)


def _loads_or_refuses(text: str, environ: dict[str, str], path: Path) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        chosen = load(path, environ)
    except ConfigError as error:
        for each in (error, *error.others):
            assert each.key
            assert str(each)
        return
    assert chosen.stream("any") == chosen.stream("any")
    assert orjson.loads(orjson.dumps(chosen.shown()))["group"]
    again = StreamRules.load(orjson.loads(orjson.dumps(chosen.streams.document())))
    assert again.stream("any") == chosen.stream("any")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "any.yaml"


@given(st.text())
def test_any_text_loads_or_is_a_config_error(scratch: Path, text: str) -> None:
    _loads_or_refuses(text, {}, scratch)


@given(st.dictionaries(KEYS | st.text(max_size=8), CLOSE, max_size=5))
@example({"[key]": {}})  # pydantic's own mark in its locations
@settings(max_examples=300)
def test_any_document_loads_or_is_a_config_error(scratch: Path, document: dict[str, Any]) -> None:
    _loads_or_refuses(yaml.safe_dump(document, allow_unicode=True), {}, scratch)


@given(
    st.dictionaries(
        st.lists(
            KEYS.map(str.upper) | st.text(string.ascii_letters + "_", max_size=6), min_size=1, max_size=4
        ).map(lambda parts: "DRIFTBUS_" + "__".join(parts)),
        st.text(max_size=12) | st.sampled_from(["{a: 1}", "[1, 2]", "6h", "off", "[", '"x"']),
        max_size=4,
    )
)
def test_any_environment_loads_or_is_a_config_error(scratch: Path, environ: dict[str, str]) -> None:
    environ.pop("DRIFTBUS_CONFIG", None)
    _loads_or_refuses("", environ, scratch)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a: " * 5_000,
        "\n".join(" " * i + "a:" for i in range(2_000)),
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(
            f"b{i}: &b{i} [{', '.join([f'*{p}'] * 10)}]"
            for i, p in enumerate(["a", *[f"b{i}" for i in range(9)]])
        ),
        "group: &a [*a]",
        "group: " + "9" * 100_000,
    ],
    ids=["flow", "nested keys", "block", "laughs", "self", "digits"],
)
def test_hostile_documents_are_refused_quickly(tmp_path: Path, text: str) -> None:
    assert len(str(refused(tmp_path, text))) < 2_000


@given(st.integers(0, 36_525 * 86_400_000))
def test_durations_are_read_as_they_are_written(ms: int) -> None:
    assert parse_duration_ms(duration_text(ms)) == ms


@given(st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False))
def test_plain_words_mean_what_a_yaml_1_2_writer_means(value: Any) -> None:
    written = (
        {None: "null", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else None
    )
    text = written or repr(value).replace("inf", ".inf")
    assert plain(text) == value
    assert read(f"a: {text}", "x") == {"a": value}
