"""pydantic's findings as `ConfigError`s: key, value, what is allowed, the nearest, the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError

from driftbus.config.document import Path
from driftbus.config.values import nearest
from driftbus.errors import ConfigError
from driftbus.redaction import HIDDEN, is_secret

Place = Callable[[Path], str | None]


def errors_of(error: ValidationError, model: type[BaseModel], place: Place) -> list[ConfigError]:
    """One error for each finding; `place` answers with the file and line, or the variable, of a path."""
    found = []
    for details in error.errors(include_url=False):
        path: Path = details["loc"]
        if details["type"] == "driftbus" and path[-1:] == ("[key]",):
            path = path[:-1]  # pydantic's mark that it is the name of a stream or signal that is refused
        context: dict[str, Any] = details.get("ctx", {})
        if details["type"] == "driftbus":
            found += [_refused(path, each, place) for each in context.get("several", [context])]
        elif details["type"] == "extra_forbidden":
            found.append(_unknown(path, model, place))
        else:  # what is left are mappings where something else stands
            found.append(ConfigError(dotted(path), details["input"], "a mapping of keys", where=place(path)))
    return found


def raise_all(errors: list[ConfigError]) -> None:
    """Raise the first error, carrying the others; do nothing without any."""
    if errors:
        first, *rest = errors
        raise ConfigError(
            first.key, first.value, first.allowed, first.nearest, where=first.where, others=tuple(rest)
        )


def dotted(path: Path) -> str:
    """`("streams", "fraud-*", "retrain")` → `streams.fraud-*.retrain`; list positions in brackets."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(document)"


def _refused(path: Path, context: dict[str, Any], place: Place) -> ConfigError:
    at = context["at"]
    inner: list[str | int] = list(path)
    if at.startswith("["):
        inner.append(int(at[1 : at.index("]")]))
    elif at:
        inner.append(at[1:])
    value = context["value"]
    is_hidden = path[:1] == ("kafka",) and is_secret(at) and at[1:] != value
    return ConfigError(
        dotted(path) + at,
        HIDDEN if is_hidden else value,
        context["allowed"],
        context["nearest"],
        where=place(tuple(inner)),
    )


def _unknown(path: Path, model: type[BaseModel], place: Place) -> ConfigError:
    name = str(path[-1])
    known = sorted(_keys_at(model, path[:-1]))
    close = nearest(name, known)
    # The right name in the wrong section: say where it belongs.
    places = [place_of for place_of, key in _all_keys(model, ()) if key == name]
    if places and (close is None or close != name):
        close = places[0]
    return ConfigError(dotted(path), name, ", ".join(known), close, where=place(path))


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    inner: Any = model
    for part in path:
        fields = getattr(inner, "model_fields", None)
        if fields is None or part not in fields:
            continue  # a name that the user chose: a stream, a signal
        inner = _section(fields[part].annotation)
    return list(getattr(inner, "model_fields", ()))


def _all_keys(model: type[BaseModel], path: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for name, field in model.model_fields.items():
        found.append((".".join((*path, name)), name))
        inner = _section(field.annotation)
        if inner is not None:
            by_name = name in ("streams", "sources")
            found += _all_keys(inner, (*path, name, "NAME") if by_name else (*path, name))
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section a field holds, or holds by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        inner = _section(argument)
        if inner is not None:
            return inner
    return None
