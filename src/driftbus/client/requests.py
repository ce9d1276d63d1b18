"""`RetrainRequests`: a trainer's iterator over what driftbus asks for.

At least once: a request's offset is committed when it was answered (deployed or failed) or when the
iterator moves on to the next one. A trainer that dies in between gets the request again.

Training takes longer than a broker lets a silent group member live, so the membership is kept by a thread
of its own, which polls (with its partitions paused) while the caller trains:

    caller   next() ───► wants one ─────────────► trains, answers ───► next() …
    thread   poll paused │ poll one record, hand it over │ poll paused  │ commit, poll …
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from driftbus.adapters.partitioner import Partitioner
from driftbus.client.encoding import encode, event_time
from driftbus.client.losses import log
from driftbus.client.opening import Address
from driftbus.client.request import Request, Time, parse_request
from driftbus.client.window import Row, read_window
from driftbus.errors import BusError, MissingTopic, Unavailable
from driftbus.ports import Bus, Consumer, Producer, Record, TopicPartition

# One poll: how long a close waits for the thread at most, and how often the membership is renewed.
POLL_S = 0.2
# Between two attempts to reach a bus, or to find a topic, that is not there yet.
RETRY_S = 1.0
# How long an answer may take to be delivered; librdkafka itself gives up after five minutes.
DELIVERY_S = 30.0

_END = None


class RetrainRequests:
    """Iterates over `Request`s of the group's partitions; see CONTRACT.md section 6.

    `kafka` holds librdkafka's properties, `embedded` a folder: exactly one of them (else `TypeError`);
    `topic_prefix`, `topics`, `partitioner` as in the configuration.
    `timeout_s`: the iteration ends when no request came for so long (None: never). `proposed`: also give
    requests that still wait for an approval (status `proposed`); by default they are passed over.

    `stop()` ends the iteration from a signal handler or another thread; the request in hand can still be
    answered. `close()` (or leaving a `with` block) leaves the group: an unanswered request comes again.
    """

    def __init__(
        self,
        *,
        kafka: Mapping[str, Any] | None = None,
        embedded: str | Path | None = None,
        group: str = "trainer",
        topic_prefix: str = "driftbus.",
        topics: Mapping[str, str] | None = None,
        partitioner: Partitioner = "murmur2_random",
        timeout_s: float | None = None,
        proposed: bool = False,
    ) -> None:
        self._address = Address(kafka, embedded, topic_prefix, topics or {}, partitioner)
        self._group = group
        self._timeout_s = timeout_s
        self._proposed = proposed
        self._topic = self._address.topic("retrain-requests")
        self._handed: queue.SimpleQueue[Record | BaseException | None] = queue.SimpleQueue()
        self._commits: queue.SimpleQueue[tuple[TopicPartition, int, threading.Event]] = queue.SimpleQueue()
        self._wanted = threading.Event()
        self._attention = threading.Event()
        self._stopping = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._bus: Bus | None = None
        self._producer: Producer | None = None
        self._in_hand: Record | None = None
        self._process = os.getpid()
        _open_requests.add(self)

    # -- the caller's side ------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        """The next request. Raises `StopIteration` after `timeout_s` without one, or when stopped."""
        self._settle()
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while True:
            record = self._next_record(deadline)
            self._in_hand = record
            try:
                request = parse_request(record.value, self, self._settle)
            except ValueError as error:
                log.warning("passed over %s[%d] %d: %s", record.topic, record.partition, record.offset, error)
                request = None
            if request is not None and (self._proposed or request.status != "proposed"):
                return request
            self._settle()

    def stop(self) -> None:
        """End the iteration. Safe in a signal handler."""
        # Only what may be done while the same thread is held up inside the iteration: no locks.
        self._stopping = True
        self._handed.put(_END)

    def close(self, timeout_s: float = 10.0) -> None:
        """Leave the group and release the bus; a request in hand that was not answered will come again."""
        self.stop()
        self._closing.set()
        self._attention.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        if self._producer is not None:
            self._producer.close(timeout_s)
            self._producer = None
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def __enter__(self) -> RetrainRequests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rows(self, request: Request, *, corrected: bool, since_onset: bool) -> Iterator[Row]:
        """What `request.rows()` gives."""
        corrections = self._address.topic("label-corrections") if corrected else None
        return read_window(
            self._connected(), request.stream, request.window, corrections, since_onset=since_onset
        )

    def publish(self, request: Request, event: Mapping[str, Any], ts: Time | None) -> None:
        """Send one model event about a request and wait for its delivery. Raises `Unavailable`."""
        if self._producer is None:
            self._producer = self._connected().producer()
        producer, lost_before = self._producer, self._producer.lost()
        now_ms = time.time_ns() // 1_000_000
        value = encode({"stream": request.stream, "ts": now_ms if ts is None else event_time(ts), **event})
        topic = self._address.topic("model-events")
        taken = producer.produce(topic, key=request.stream.encode(), value=value)
        if not taken or producer.flush(DELIVERY_S) > 0 or producer.lost() > lost_before:
            raise Unavailable(f"{event['type']} of request {request.request_id} could not be delivered")

    def _settle(self) -> None:
        """Commit the request in hand, if any: it was answered, or the caller moves on."""
        record, self._in_hand = self._in_hand, None
        if record is None or self._closing.is_set():
            return
        done = threading.Event()
        self._commits.put((TopicPartition(record.topic, record.partition), record.offset + 1, done))
        self._attention.set()
        # Without a thread, or after this long, there is no commit: at worst the request comes once more.
        deadline = time.monotonic() + DELIVERY_S
        while not done.wait(POLL_S) and time.monotonic() < deadline:
            if self._thread is None or not self._thread.is_alive():
                return

    def _next_record(self, deadline: float | None) -> Record:
        if self._stopping:
            self.close()
            raise StopIteration
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="driftbus-requests", daemon=True)
            self._thread.start()
        self._wanted.set()
        self._attention.set()
        try:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            handed = self._handed.get(timeout=left_s)
        except queue.Empty:
            raise StopIteration from None
        finally:
            self._wanted.clear()
        if isinstance(handed, BaseException):
            self._thread = None
            raise handed
        if handed is _END or self._stopping:
            self.close()
            raise StopIteration
        return handed

    def _connected(self) -> Bus:
        if self._closing.is_set():
            raise BusError("the requests were closed; rows and answers need them open")
        if self._bus is None:
            self._bus = self._address.open()
        return self._bus

    # -- the thread's side ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            bus = self._address.open()
            try:
                consumer = self._joined(bus)
                if consumer is not None:
                    try:
                        self._serve(consumer)
                    finally:
                        consumer.close()
            finally:
                bus.close()
        # Not swallowed: it is raised again in the caller's thread, by the iteration.
        except BaseException as error:
            self._handed.put(error)

    def _joined(self, bus: Bus) -> Consumer | None:
        said = False
        while not self._closing.is_set():
            try:
                return bus.consumer(self._group, [self._topic])
            except (Unavailable, MissingTopic) as error:
                if not said:
                    log.warning("waiting for %s: %s", self._topic, error)
                said = True
                self._closing.wait(RETRY_S)
        return None

    def _serve(self, consumer: Consumer) -> None:
        backlog: deque[Record] = deque()
        while not self._closing.is_set():
            self._commit(consumer)
            # Anew in each round: after a rebalance partitions begin unpaused.
            assigned = consumer.assignment()
            try:
                if self._wanted.is_set():
                    if not backlog:
                        consumer.resume(assigned)
                        backlog.extend(consumer.poll(1, POLL_S))
                    if backlog and self._wanted.is_set():
                        self._wanted.clear()
                        self._handed.put(backlog.popleft())
                else:
                    consumer.pause(assigned)
                    # Keeps the membership; what slipped through before the pause waits its turn.
                    backlog.extend(consumer.poll(1, 0.0))
                    self._attention.wait(POLL_S)
                    self._attention.clear()
            except Unavailable as error:
                log.warning("reading %s: %s; trying again", self._topic, error)
                self._closing.wait(RETRY_S)
        self._commit(consumer)

    def _commit(self, consumer: Consumer) -> None:
        while not self._commits.empty():
            partition, offset, done = self._commits.get()
            try:
                consumer.commit({partition: offset})
            except BusError as error:
                log.warning("could not commit %s[%d] %d: %s; it will come again", *partition, offset, error)
            done.set()


_open_requests: weakref.WeakSet[RetrainRequests] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # A broker's client that is still open when the interpreter tears down can hang it.
    for requests in list(_open_requests):
        if requests._process == os.getpid():  # a forked child's copy is its parent's to close
            requests.close()
