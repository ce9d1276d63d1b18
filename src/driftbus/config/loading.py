"""Files and environment into `Settings`: the only place in driftbus that reads either."""

from __future__ import annotations

import dataclasses
import glob
import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from driftbus.config import document
from driftbus.config.document import Path as KeyPath
from driftbus.config.environ import CONFIG_VARIABLE, from_environ, merge
from driftbus.config.ingest import Incomplete, Ingest, ingest_settings
from driftbus.config.model import TOKEN, TOKENS, Document, Stream, set_values
from driftbus.config.problems import errors_of, raise_all
from driftbus.config.settings import HttpSettings, Settings, TlsSettings, WorkerSettings
from driftbus.config.streams import StreamRules
from driftbus.core.settings import Limits
from driftbus.errors import ConfigError
from driftbus.sources import IngestSettings

# A call in a transaction is given up so long after the transaction's own timeout (adapters/kafka).
CALL_GRACE_MS = 5_000


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The validated configuration from `path` (else `DRIFTBUS_CONFIG`, else none) and the environment.

    The file's `include` patterns are read next, in the order of their names, each over what came before;
    the environment comes last. Raises `ConfigError` for the first thing that cannot be used, with all
    further ones in its `others`. Nothing outside changes, so a running worker can load again first and
    take over after.
    """
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    places: dict[KeyPath, str] = {}
    sources: list[Path] = []
    tree = _file(path, places) if path is not None else {}
    if path is not None:
        sources.append(path)
        for included in _included(tree.get("include"), path, places):
            tree = merge(tree, _file(included, places, is_included=True))
            sources.append(included)
    from_variables, variables = from_environ(environ)
    tree = merge(tree, from_variables)
    places |= {key: f"environment variable {name}" for key, name in variables.items()}
    return _settings(tree, places, tuple(sources))


def _file(path: Path, places: dict[KeyPath, str], *, is_included: bool = False) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            "(file)", str(path), f"UTF-8 text ({error.reason})", where=f"{path}:{line}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError("(file)", str(path), f"a configuration file that can be read ({reason})") from None
    lines: dict[KeyPath, int] = {}
    tree = document.read(text, str(path), lines)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError("(document)", tree, "a mapping of keys", where=f"{path}:1")
    places |= {key: f"{path}:{line}" for key, line in lines.items()}
    if is_included and "include" in tree:
        raise ConfigError(
            "include", tree["include"], "`include` in the first file only", where=places["include",]
        )
    return tree


def _included(patterns: object, path: Path, places: dict[KeyPath, str]) -> list[Path]:
    """The files that `include` names, relative to the file it stands in; a pattern may match none."""
    found: list[Path] = []
    for pattern in patterns if isinstance(patterns, list) else [patterns] if patterns is not None else []:
        if not isinstance(pattern, str) or "\0" in pattern or not pattern:
            raise ConfigError(
                "include", pattern, "paths, or patterns such as conf.d/*.yaml", where=places["include",]
            )
        matches = sorted(glob.glob(str(path.parent / pattern), recursive=True))
        if not matches and not glob.has_magic(pattern):
            raise ConfigError("include", pattern, "files that exist", where=places["include",])
        found += [Path(each) for each in matches]
    return found


def _settings(tree: dict[str, Any], places: Mapping[KeyPath, str], sources: tuple[Path, ...]) -> Settings:
    def place(key: KeyPath) -> str | None:
        """Where a key stands, else the section around it, else something inside of it."""
        around = key
        while around and around not in places:
            around = around[:-1]
        inside = (where for path, where in places.items() if path[: len(key)] == key)
        return places.get(around) or next(inside, None)

    try:
        checked = Document.model_validate(tree)
    except ValidationError as error:
        raise_all(errors_of(error, Document, place))
        raise
    given = set_values(checked)
    for name in ("include", "stream_defaults", "streams"):
        given.pop(name, None)
    if "kafka" in given:
        given["kafka"] = checked.kafka  # as properties that hide their secrets
        if not {"bootstrap.servers", "metadata.broker.list"} & given["kafka"].keys():
            given["kafka"] = type(checked.kafka)({**Settings().kafka, **checked.kafka})
    if "path" in given.pop("embedded", {}):
        given["embedded_path"] = checked.embedded.path
    if "ingest" in given:
        given["ingest"] = _ingest(checked.ingest, place)
    if "http" in given:
        given["http"] = _http(given["http"], place)
    for name, kind in (("http", HttpSettings), ("limits", Limits), ("worker", WorkerSettings)):
        if name in given:
            given[name] = kind(**_in_ms(given[name]))
    if "topics" in given:
        given["topic_names"] = given.pop("topics")
    defaults = checked.stream_defaults or Stream()
    settings = Settings(
        **given,
        streams=StreamRules(defaults, checked.streams or {}),
        sources=sources,
    )
    raise_all([*_same_topic_twice(settings, place), *_impatient(settings, place)])
    return dataclasses.replace(settings, warnings=_warnings(settings.http))


def _ingest(section: Ingest, place: Callable[[KeyPath], str | None]) -> IngestSettings:
    """The sources, each complete. Raises `ConfigError`."""
    try:
        return ingest_settings(section)
    except Incomplete as lack:
        key = "ingest", "sources", lack.source, lack.key
        raise ConfigError(".".join(key), lack.value, lack.allowed, where=place(key)) from None


def _http(given: dict[str, Any], place: Callable[[KeyPath], str | None]) -> dict[str, Any]:
    """The section with its token, from its file or as given, and its certificate. Raises `ConfigError`."""
    if "tls" in given:
        if "cert" not in given["tls"]:
            where = place(("http", "tls"))
            raise ConfigError("http.tls.cert", None, "the path of a PEM file", where=where)
        given["tls"] = TlsSettings(**given["tls"])
    path = given.pop("token_file", None)
    if path is None:
        return given
    where = place(("http", "token_file"))
    if "token" in given:
        raise ConfigError("http.token_file", str(path), "one of token and token_file", where=where)
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not plain text"
        raise ConfigError(
            "http.token_file", str(path), f"a file that can be read ({reason})", where=where
        ) from None
    if not TOKEN.fullmatch(token):
        raise ConfigError("http.token_file", str(path), f"a file that holds {TOKENS}", where=where)
    return {**given, "token": token}


def _impatient(settings: Settings, place: Any) -> list[ConfigError]:
    """A loop that is only waiting for the broker must not count as stalled."""
    text = settings.kafka.get("transaction.timeout.ms", "")
    least_ms = int(text) + CALL_GRACE_MS if text.isascii() and text.isdecimal() else 0
    if settings.bus != "kafka" or settings.worker.stall_timeout_ms > least_ms:
        return []
    key = "worker", "stall_timeout"
    where = place(key) or place(("kafka", "transaction.timeout.ms"))
    shown = f"{settings.worker.stall_timeout_ms}ms"
    allowed = f"more than kafka.transaction.timeout.ms and {CALL_GRACE_MS} ms ({least_ms}ms)"
    return [ConfigError(".".join(key), shown, allowed, where=where)]


def _in_ms(values: Mapping[str, Any]) -> dict[str, Any]:
    durations = {"commit_interval", "restart_wait", "stall_timeout"}
    return {f"{name}_ms" if name in durations else name: value for name, value in values.items()}


def _same_topic_twice(settings: Settings, place: Any) -> list[ConfigError]:
    seen: dict[str, str] = {}
    errors = []
    for short, full in settings.topics.items():
        key = short.replace("-", "_")
        if full in seen:
            where = place(("topics", key)) or place(("topics", seen[full]))
            errors.append(
                ConfigError(f"topics.{key}", full, "a topic of its own for each kind of event", where=where)
            )
        seen.setdefault(full, key)
    return errors


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _warnings(http: HttpSettings) -> tuple[str, ...]:
    open_door = (
        f"http.host {http.host} is not loopback and there is no http.token_file: whoever reaches the port "
        "reads the names and metrics of all streams",
    )
    is_open = http.enabled and http.token is None and not _is_loopback(http.host)
    return open_door if is_open else ()
