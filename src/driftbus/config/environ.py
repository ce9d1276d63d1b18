"""The environment as configuration values: `DRIFTBUS_…__…`.

The rules, so that a name means one key and nothing else:

* Two underscores step into a section: `DRIFTBUS_STREAM_DEFAULTS__RETRAIN__COOLDOWN=6h`.
* A part written wholly in capitals means lower case; any other part is taken as it stands
  (`DRIFTBUS_STREAMS__Fraud__TASK`). What a variable name cannot spell is given a level above, as YAML:
  `DRIFTBUS_STREAMS='{"fraud-*": {task: regression}}'`.
* Under `DRIFTBUS_KAFKA__` one or two underscores are one dot, since librdkafka's keys have no underscores
  (but `log_level`): `DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS` and `DRIFTBUS_KAFKA__BOOTSTRAP__SERVERS` are
  `bootstrap.servers`.
* A value is a bare word as in YAML (`6h`, `0.5`, `true`, `null`); one that begins with `{ [ " '` is
  read as YAML. Values under `DRIFTBUS_KAFKA__` are taken literally: a password may begin with anything.
* The deeper variable wins over the one above it, both win over the file; mappings are merged, lists replaced.
* `DRIFTBUS_CONFIG` names the file. Variables that Kubernetes sets for a service called `driftbus…`
  (`DRIFTBUS_SERVICE_HOST`, `DRIFTBUS_PORT_8711_TCP_ADDR`, …) are not ours and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from driftbus.config.document import Path, plain, read
from driftbus.errors import ConfigError

PREFIX = "DRIFTBUS_"
CONFIG_VARIABLE = "DRIFTBUS_CONFIG"

_KUBERNETES = re.compile(
    r"DRIFTBUS(_[A-Z0-9_]+?)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_KUBERNETES_PORT = re.compile(r"DRIFTBUS(_[A-Z0-9_]+?)?_PORT")


def from_environ(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[Path, str]]:
    """The values given by the environment, and for each path the variable it came from."""
    given: dict[Path, tuple[str, Any]] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE or _by_kubernetes(name, environ[name]):
            continue
        path = _path(name)
        if path in given:
            raise ConfigError(
                ".".join(map(str, path)), name, "one variable for one key", where=f"also in {given[path][0]}"
            )
        given[path] = name, _value(name, path, environ[name])
    tree: dict[str, Any] = {}
    for path, (_, value) in sorted(given.items(), key=lambda item: len(item[0])):
        nested: Any = value
        for part in reversed(path):
            nested = {part: nested}
        tree = merge(tree, nested)
    return tree, {path: name for path, (name, _) in given.items()}


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`: mappings key by key, everything else replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _by_kubernetes(name: str, value: str) -> bool:
    return bool(_KUBERNETES.fullmatch(name)) or (
        bool(_KUBERNETES_PORT.fullmatch(name)) and value.startswith(("tcp://", "udp://", "sctp://"))
    )


def _path(name: str) -> Path:
    first, *rest = (_part(part) for part in name.removeprefix(PREFIX).split("__"))
    if first == "kafka" and rest:
        dotted = ".".join(rest).replace("_", ".")
        return first, "log_level" if dotted == "log.level" else dotted
    return (first, *rest)


def _part(text: str) -> str:
    return text.lower() if text == text.upper() else text


def _value(name: str, path: Path, text: str) -> Any:
    if path[0] == "kafka" and len(path) > 1:
        return text
    if text.startswith(("{", "[", '"', "'")):
        return read(text, name)
    return plain(text) if text else ""
