"""What the fold depends on, and what the models do."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from driftbus.config import StreamRules, load
from driftbus.config.watching import METRICS
from driftbus.core.metrics import Performance
from driftbus.core.parts import VERSIONS, begins_anew, differing
from driftbus.core.settings import (
    MetricWindow,
)
from tests.config.files import CONTRACT, loaded


def test_the_hash_covers_what_the_fold_depends_on_and_nothing_else(tmp_path: Path) -> None:
    base = "stream_defaults: {sample: 0.5}\n"
    first = loaded(tmp_path, base)
    moved = loaded(
        tmp_path, base + "http: {port: 1}\nkafka: {client.id: x}\ngroup: g\nworker: {max_records: 7}"
    )
    assert first.config_hash == moved.config_hash
    assert first.fingerprint("s") == moved.fingerprint("s")
    for other in (
        "stream_defaults: {sample: 0.25}",
        base + "limits: {max_pending: 7}",
        base + "streams: {x: {}}",
    ):
        assert loaded(tmp_path, other).config_hash != first.config_hash


def test_the_fingerprint_covers_what_the_models_depend_on(tmp_path: Path) -> None:
    first = load(None, {}).fingerprint("x")
    other = loaded(
        tmp_path,
        """
        streams:
          x:
            labels: {a: b}
            retrain: {when: [f1 < 0.5 over 70]}
            sample: 0.5
            join: {grace: 1d}
            features: {redact: a}
          y: {features: {ignore: a}}
          z: {signals: {error: off}}
          c: {challenger: off}
          p: {positive_label: "yes"}
          ndcg: {signals: {custom: {ndcg: {better: lower}}}}
          same: {signals: {custom: {ndcg: {better: higher}}}}
        """,
    )
    assert other.fingerprint("x") == first
    assert differing(first, other.fingerprint("y")) == {"feature_policy"}
    assert differing(first, other.fingerprint("z")) == {"error", "log_loss"}
    assert differing(first, other.fingerprint("c")) == {"challenger", "challenger_gap"}
    assert differing(first, other.fingerprint("p")) == {"challenger", "challenger_gap", "log_loss", "metrics"}
    custom = other.fingerprint("ndcg")
    assert differing(first, custom) == {"custom/ndcg"}
    assert begins_anew("labelled/ndcg", differing(first, custom), ["ndcg"])
    assert not begins_anew("custom/other", differing(first, custom), ["ndcg"])
    assert differing(custom, first) == {"custom/ndcg"}
    # Named as what it is anyway: nothing has changed.
    assert differing(first, other.fingerprint("same")) == set()


def test_a_detector_of_river_s_own_is_that_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "streams: {x: {signals: {score: [ddm], error: [adwin]}}}"
    now = loaded(tmp_path, text).fingerprint("x")
    monkeypatch.setattr("driftbus.core.parts.RIVER_VERSION", "99.0")
    assert differing(now, loaded(tmp_path, text).fingerprint("x")) == {"score"}
    monkeypatch.setitem(VERSIONS, "custom", 99)
    assert differing(now, loaded(tmp_path, text).fingerprint("x")) == {"score", "custom/*"}


def test_rules_may_use_exactly_the_metrics_that_windows_have() -> None:
    names: set[str] = set()
    for task, said in (("classification", [0, 1, 1, 0]), ("regression", [0.1, 1.2, 0.7, 0.2])):
        window = MetricWindow(outcomes=4, text="4")
        performance = Performance(task, None, (window,))
        performance.add(range(4), range(4), [0, 1, 0, 1], said, [0.2, 0.9, 0.6, 0.4], None)
        names |= performance.read(window).keys()
    assert set(METRICS) == names


def test_the_document_of_the_rules_gives_the_same_rules_again() -> None:
    rules = load(CONTRACT, {}).streams
    document = orjson.loads(orjson.dumps(rules.document()))
    again = StreamRules.load(document)
    assert again.document() == document
    for name in ("fraud-eu", "other"):
        assert again.stream(name) == rules.stream(name)
        assert again.fingerprint(name) == rules.fingerprint(name)
