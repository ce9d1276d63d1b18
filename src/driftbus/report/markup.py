"""HTML and SVG from values, where every text is escaped on its way in: markup is made by `tag` alone."""

from __future__ import annotations

import re
from html import escape

# What no document may hold, or no reader would see: shown as U+FFFD. Tab and line feed stay.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Elements that have no end tag.
_VOID = frozenset({"meta", "br", "hr"})


class Markup(str):
    """Text that is markup already; any other `str` is escaped wherever it is put."""

    __slots__ = ()


Child = Markup | str | int | None


def text(value: object) -> Markup:
    """Text for people, escaped."""
    return Markup(escape(_UNSEEN.sub("\ufffd", str(value))))


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """One element. None as a child or an attribute is left out; `_` in an attribute's name becomes `-`, and
    goes at its end (`class_`)."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: tuple[Child, ...] | list[Markup]) -> Markup:
    """Several, one after another."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else text(child) for child in children if child is not None
        )
    )
