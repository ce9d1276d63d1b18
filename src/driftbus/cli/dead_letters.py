"""`driftbus dead-letters list | show | resubmit`: what could not be used, why, and sent again once it can."""

from __future__ import annotations

import heapq
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Annotated

import typer

from driftbus.cli.logs import one_line
from driftbus.cli.moments import back_ms
from driftbus.cli.options import ConfigOption, opened, settings

if TYPE_CHECKING:
    from driftbus.config import Settings
    from driftbus.letters import Letter, Wanted
    from driftbus.ports import Bus, Transaction

# So many records are sent again in one transaction: all of them or none.
TOGETHER = 1_000
# A line of `list` shows no more of a message: what broke is said at its beginning.
MESSAGE_CHARS = 100
# Nor of a name: where no stream is known it is the key of the record, and that may be anything.
NAME_CHARS = 60

dead_letters = typer.Typer(
    help="Records that could not be used: look at them, send them again.",
    no_args_is_help=True,
    add_completion=False,
)

TopicOption = Annotated[str | None, typer.Option(help="Of this input: predictions, labels or model-events.")]
ReasonOption = Annotated[str | None, typer.Option(help="For this reason, such as not_json.")]
StreamOption = Annotated[
    str | None, typer.Option(help="Of this stream: as the event names it, or as its key.")
]
SinceOption = Annotated[
    str | None, typer.Option(help="Not older: a duration (2h, 7d) or a moment (2026-01-31T08:00:00Z).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines, everything about each.")]


@dead_letters.callback()
def _dead_letters() -> None:
    """Records that could not be used: look at them, send them again."""


@dead_letters.command("list")
def list_letters(
    ctx: typer.Context,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    stream: StreamOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List dead letters, the newest last.

    \b
    Example:
      driftbus dead-letters list --topic labels --since 2h
    """
    chosen = settings(ctx, config)
    wanted = _wanted(chosen, topic, reason, stream, since)
    with opened(chosen) as bus:
        from driftbus.letters import letters

        total, newest = _newest(letters(bus, chosen.topics["dead-letters"], wanted), limit)
    for letter in newest:
        typer.echo(_json(letter, chosen) if as_json else _line(letter, chosen))
    if not as_json:
        more = f", the newest {limit} of them shown" if total > limit else ""
        typer.echo(f"{total} dead letter{'' if total == 1 else 's'}{more}", err=True)


@dead_letters.command("show")
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="As `list` writes it: TOPIC-PARTITION-OFFSET.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one in full: where it came from, why it could not be used, key, headers, value."""
    chosen = settings(ctx, config)
    with opened(chosen) as bus:
        from driftbus.letters import find, letter_json

        letter = find(bus, chosen.topics["dead-letters"], id)
    if as_json:
        typer.echo(_json(letter, chosen))
        return
    shown = letter_json(letter, _inputs(chosen).get(letter.topic or ""))
    headers = shown.pop("headers")
    value = {name: shown.pop(name) for name in ("value", "value_hex") if name in shown}
    for name, each in shown.items():
        if each is not None and each != []:
            typer.echo(f"{name:12} {one_line(_when(each) if name == 'ts' else str(each))}")
    for header in headers:
        typer.echo(f"{'header':12} {one_line(': '.join(str(each) for each in header.values()))}")
    for name, each in value.items():
        typer.echo(f"{name}\n{'(none: a tombstone)' if each is None else one_line(each)}")


@dead_letters.command("resubmit")
def resubmit(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="These; without any, all that fit.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    stream: StreamOption = None,
    since: SinceOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send records again to the topic they came from: original key, value and headers.

    What is still poison comes back as a new letter, marked by the header driftbus.resubmitted. The letters
    themselves stay until their retention. Exit 1 if some cannot be sent again.

    \b
    Example:
      driftbus dead-letters resubmit --reason bad_timestamp --since 2h --dry-run
    """
    chosen = settings(ctx, config)
    wanted = _wanted(chosen, topic, reason, stream, since)
    inputs, refused, sent = _inputs(chosen), 0, 0
    with opened(chosen) as bus:
        from driftbus.letters import find, letters, refusal

        where = chosen.topics["dead-letters"]
        found: Iterable[Letter] = (
            [letter for letter in (find(bus, where, each) for each in ids) if wanted.takes(letter)]
            if ids
            else letters(bus, where, wanted)
        )
        batch: list[Letter] = []
        sender = _Sender(bus, chosen, dry_run)
        try:
            for letter in found:
                why = refusal(letter, inputs)
                if why is not None:
                    refused += 1
                    typer.echo(f"{letter.id} is not sent: {one_line(why)}", err=True)
                    continue
                batch.append(letter)
                if len(batch) == TOGETHER:
                    sent += _send(sender, batch, chosen, as_json)
            sent += _send(sender, batch, chosen, as_json)
        finally:
            sender.close()
    would = "would be sent again" if dry_run else "sent again"
    typer.echo(f"{sent} {would}, {refused} cannot be", err=True)
    if refused:
        raise typer.Exit(1)


def _send(sender: _Sender, batch: list[Letter], chosen: Settings, as_json: bool) -> int:
    """Send a batch, say so once it is certain, and empty it."""
    sender.send(batch)
    for letter in batch:
        typer.echo(_json(letter, chosen) if as_json else _line(letter, chosen))
    count = len(batch)
    batch.clear()
    return count


class _Sender:
    """Sends letters again, a batch in one transaction; opened when there is something to send."""

    def __init__(self, bus: Bus, chosen: Settings, dry_run: bool) -> None:
        self._bus, self._dry_run = bus, dry_run
        self._id = f"{chosen.group}-dead-letters-{socket.gethostname()}"
        self._transaction: Transaction | None = None

    def send(self, batch: list[Letter]) -> None:
        if self._dry_run or not batch:
            return
        if self._transaction is None:
            self._transaction = self._bus.transaction(self._id)
        transaction = self._transaction
        transaction.begin()
        for letter in batch:
            key, value, headers = letter.again()
            transaction.produce(letter.topic or "", key=key, value=value, headers=headers)
        transaction.flush()
        transaction.commit()

    def close(self) -> None:
        if self._transaction is not None:
            self._transaction.close()


def _inputs(chosen: Settings) -> dict[str, str]:
    """Name on the bus → short name."""
    return {chosen.topics[short]: short for short in ("predictions", "labels", "model-events")}


def _wanted(
    chosen: Settings, topic: str | None, reason: str | None, stream: str | None, since: str | None
) -> Wanted:
    from driftbus.letters import Wanted

    inputs = _inputs(chosen)
    if topic is not None and topic not in (*inputs, *inputs.values()):
        raise typer.BadParameter(f"an input: {', '.join(inputs.values())}", param_hint="--topic")
    full = topic and chosen.topics.get(topic, topic)
    return Wanted(full, reason, stream, None if since is None else back_ms(since, "--since"))


def _newest(found: Iterator[Letter], limit: int) -> tuple[int, list[Letter]]:
    """How many there are, and the newest of them in order of time; no more than those are held."""
    counting = count()
    newest = heapq.nlargest(limit, ((letter.record.timestamp_ms, next(counting), letter) for letter in found))
    return next(counting), [letter for _, _, letter in reversed(newest)]


def _when(ts_ms: int) -> str:
    moment = datetime.fromtimestamp(ts_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(letter: Letter, chosen: Settings) -> str:
    """One line; whatever stands in a record cannot make it two."""
    short = _inputs(chosen).get(letter.topic or "", letter.topic or "?")
    again = f" (sent again {letter.resubmitted}×)" if letter.resubmitted else ""
    message = letter.message[:MESSAGE_CHARS]
    name = letter.stream or "-"
    name = name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…"
    parts = [letter.id, _when(letter.record.timestamp_ms), short, letter.reason or "?", name]
    return one_line("  ".join(parts) + f"  {message}{again}")


def _json(letter: Letter, chosen: Settings) -> str:
    import orjson

    from driftbus.letters import letter_json

    return orjson.dumps(letter_json(letter, _inputs(chosen).get(letter.topic or ""))).decode()
