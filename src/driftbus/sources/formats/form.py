"""What a format is: which picks it comes with, and how a record of it becomes documents to pick from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from driftbus.ports import Record
from driftbus.sources.envelope import Content

Json = Any
Side = Literal["request", "response"]


class Half(NamedTuple):
    """One half of an inference: whose it is, which one, and what tells its id apart from others' (a
    transformer before the predictor logs the same id)."""

    id: str
    side: Side
    scope: str = ""


class Documents(NamedTuple):
    """What picks are taken from, a document a row; `shared_id`: the rows have one id between them."""

    rows: Sequence[Json]
    shared_id: bool = True


class Part(NamedTuple):
    """A record with its content."""

    record: Record
    content: Content


@dataclass(frozen=True)
class Form:
    """One format. Either `documents` (a record says it all; None: not one of ours, to be left out) or `half`
    and `pair` (requests and responses are records of their own; `half` None: left out, too).

    `columns` reach both, since what stands in arrays needs names. All of them raise `InvalidRecord` alone.
    """

    name: str
    summary: str
    specification: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    documents: Callable[[Part, Sequence[str]], Documents | None] | None = None
    half: Callable[[Part], Half | None] | None = None
    pair: Callable[[Part | None, Part, Sequence[str], str], Documents] | None = None
