"""What several workers show, put together: every stream of the group once, worst first, and who is silent.

What others say is checked for its shape before it is put together, so that a worker of another version, or
whatever else listens there, breaks no page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from driftbus.adapters.http.peers import Heard

Json = dict[str, Any]
# Streams of one answer where no limit was asked for: what one worker holds by default.
MOST_STREAMS = 20_000
# What another worker's own part must have for the page to say who it is.
_WORKER = {"worker_id": str, "group": str, "ready": bool, "partitions": list}


def whole(mine: Json, heard: Sequence[Heard], limit: int) -> Json:
    """This worker's answer with the others' in it. `workers`: each with its `address` (None: this one) and
    what is wrong with it, `trouble` (None: nothing)."""
    me = mine["worker"]
    workers: list[Json] = [{**_who(me), "address": None, "trouble": None, "age_s": 0.0}]
    answers: list[Json] = [mine]
    known = {me["worker_id"]}
    for each in heard:
        answer, trouble = each.answer, each.trouble
        if answer is not None and not _fits(answer):
            answer, trouble = None, trouble or "answers something else"
        if answer is not None and answer["worker"]["group"] != me["group"]:
            answer, trouble = None, "belongs to another group"
        if answer is not None and answer["worker"]["worker_id"] in known:
            continue  # this worker itself, or one that is known under two addresses
        who = {} if answer is None else _who(answer["worker"])
        workers.append(
            {**who, "address": each.address, "trouble": trouble, "age_s": each.age_s if answer else None}
        )
        if answer is not None:
            known.add(answer["worker"]["worker_id"])
            answers.append(answer)
    streams: dict[str, Json] = {}
    for answer in answers:
        for entry in answer["streams"]:
            # While a partition moves two workers may show it: who has seen more is right.
            other = streams.get(entry["stream"])
            if other is None or _seen(entry) > _seen(other):
                streams[entry["stream"]] = entry
    return {
        "worker": me,
        "workers": workers,
        "totals": _added([answer["totals"] for answer in answers]),
        "matching": sum(answer["matching"] for answer in answers),
        "streams": sorted(
            sorted(streams.values(), key=lambda entry: str(entry["stream"])), key=_rank, reverse=True
        )[:limit],
    }


def detail(heard: Sequence[Heard], name: str) -> Json | None:
    """The stream in full as who has seen most of it shows it."""
    found = [
        each.answer
        for each in heard
        if isinstance(each.answer, dict)
        and isinstance(each.answer.get("view"), dict)
        and each.answer["view"].get("stream") == name
    ]
    return max(found, key=lambda answer: _seen(answer["view"]), default=None)


def silent(heard: Sequence[Heard]) -> list[str]:
    """Who may hold it and does not answer."""
    return [f"{each.address} {each.trouble}" for each in heard if each.trouble is not None]


def _fits(answer: Any) -> bool:
    if not isinstance(answer, dict):
        return False
    worker, totals, streams = answer.get("worker"), answer.get("totals"), answer.get("streams")
    return (
        isinstance(worker, dict)
        and all(isinstance(worker.get(name), kind) for name, kind in _WORKER.items())
        and isinstance(totals, dict)
        and type(answer.get("matching")) is int
        and isinstance(streams, list)
        and all(isinstance(entry, dict) and isinstance(entry.get("stream"), str) for entry in streams)
    )


def _who(worker: Json) -> Json:
    """What is said of each worker; the rest of it is at its own address."""
    dead = worker.get("dead_letters")
    dead_letters = sum(_number(n) for reasons in dead.values() for n in reasons.values()) if dead else 0
    partitions = [each for each in worker["partitions"] if isinstance(each, dict)]
    return {
        "worker_id": worker["worker_id"],
        "ready": worker["ready"],
        "connected": worker.get("connected"),
        "not_ready": worker.get("not_ready", []),
        "version": worker.get("version"),
        "partitions": [each.get("partition") for each in partitions],
        "lag": sum(_number(n) for each in partitions for n in (each.get("lag") or {}).values()),
        "outcomes": _number((worker.get("published") or {}).get("outcomes")),
        "dead_letters": dead_letters,
    }


def _added(totals: Sequence[Json]) -> Json:
    """Counts by name, added up; of the first one's names."""
    first = totals[0]
    return {
        name: _added([each.get(name) or {} for each in totals])
        if isinstance(value, dict)
        else sum(_number(each.get(name)) for each in totals)
        for name, value in first.items()
    }


def _number(value: Any) -> int:
    return value if type(value) is int else 0


def _seen(entry: Json) -> int:
    return _number(entry.get("predictions_total")) + _number(entry.get("outcomes_total"))


def _rank(entry: Json) -> tuple[float, float, float]:
    rank = entry.get("rank")
    if isinstance(rank, list | tuple) and len(rank) == 3 and all(type(n) in (int, float) for n in rank):
        return rank[0], rank[1], rank[2]
    return 0.0, 0.0, 0.0
