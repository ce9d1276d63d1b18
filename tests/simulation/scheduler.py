"""One thread at a time: who runs, what time it is, and what goes wrong, all drawn from one seed.

Each worker is a process of its own: a thread that runs only while it holds its baton. At every port call it
asks for leave (`point`), and in there anything may happen: time passes, producers upstream write, another
process gets its turn, somebody is killed, frozen, cut off from its group, or the call itself fails. A process
that waits hands the baton on; when all wait, time moves on to whatever comes next.

    down ──start──► running ⇄ waiting            killed: its thread unwinds, its calls are heard no more; its
                     │  ▲                          group and its open transaction wait for their timeouts
                     │  └─ frozen (a zombie: thrown out of its group meanwhile, its calls arrive late)

After `CHAOS_CALLS` port calls, and once all input is written, nothing goes wrong any more: then everything
must be consumed within `CALM_CALLS`.
"""

from __future__ import annotations

import random
import threading
from _thread import LockType as Lock
from collections.abc import Callable

from driftbus.errors import BusError, Unavailable

from .broker import Broker
from .bus import MemoryBus
from .luck import Luck
from .nature import Fault, Upstream
from .process import Killed, Process, Violation, closed

# Port calls during which things go wrong, at most; drawn per schedule.
CHAOS_CALLS = (200, 1_200)
# Port calls within which calm workers must come to the end; some 1,500 are usual.
CALM_CALLS = 30_000
# Nobody hands on a baton for so long only when the simulation itself is broken.
HUNG_S = 120.0
# A member that is silent for so long is thrown out of its group: the least that brokers allow by default.
SESSION_MS = 6_000
# Calls that a lost answer makes a difference to.
ANSWERED = frozenset({"produce", "flush", "send_offsets", "commit"})
# What nobody outside could fail: the client's own memory.
LOCAL = frozenset({"seek", "pause", "resume"})


class Scheduler:
    """See the module's text; it is the `Nature` of every bus it opens."""

    def __init__(self, seed: int, start_ms: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.trace: list[tuple[int, str, str, tuple[object, ...]]] = []
        self.calls = self.kills = self.freezes = 0
        self.chaos = True
        self.failure: BaseException | None = None
        self._now = start_ms
        rng = self.rng
        self._chaos_calls = rng.randint(*CHAOS_CALLS)
        self._luck = Luck(rng)
        self.broker = Broker(self._luck.marker_delay_ms)
        self._calm_from = 0
        self._ending = False
        self._processes: list[Process] = []
        self._current: Process | None = None
        self._main = closed()

    # -- from outside ---------------------------------------------------------------------------------

    def run(
        self,
        names: list[str],
        body: Callable[[Scheduler, MemoryBus], None],
        upstream: Upstream,
        finished: Callable[[], bool],
        stop: Callable[[], None],
    ) -> None:
        """Start the processes and come back when all have ended; raises what broke. Once all is consumed
        (`finished`) `stop` is called, or all are killed."""
        self._body, self._upstream, self._finished, self._stop = body, upstream, finished, stop
        self._abrupt = self.rng.random() < 0.5
        self._processes = [Process(name) for name in names]
        for process in self._processes:
            self._start(process)
        self._current = self._processes[0]
        self._current.baton.release()
        if not self._main.acquire(timeout=HUNG_S):
            raise Violation(f"the simulation hangs in {self._current.name}")
        if self.failure is not None:
            raise self.failure

    def tell(self, call: str, *details: object) -> None:
        self.trace.append((self._now, "", call, details))

    # -- Nature ---------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        return self._now

    def point(self, process: str, call: str, *details: object) -> Fault | None:
        mine = self._mine()
        self.calls += 1
        self._now += 1
        self.trace.append((self._now, process, call, details))
        if not self.chaos:
            self._watch_liveness()
        what = self._luck.draw()
        if what is None:
            return None
        if what == "switch":
            self._hand_on(mine, must=False)
        elif what == "write":
            self._upstream.write()
        elif self.chaos:
            return self._harm(what, mine, call)
        return None

    def wait(self, until_ms: float) -> None:
        mine = self._mine()
        if self._ready_to_end():
            self._end(mine)
        mine.wake_ms, mine.version = until_ms, self.broker.version
        self._hand_on(mine, must=True)

    # -- what goes wrong ------------------------------------------------------------------------------

    def _harm(self, what: str, mine: Process, call: str) -> Fault | None:
        if self.calls > self._chaos_calls:
            self._calm()
            return None
        rng = self.rng
        if what == "kill":
            self._kill(rng.choice([p for p in self._processes if p.alive]), mine)
        elif what == "freeze":
            self._freeze(rng.choice([p for p in self._processes if p.alive]), mine)
        elif what == "cut off":
            self._cut_off()
        elif what == "away" and call not in LOCAL:
            self.tell("the broker is away for it")
            return "away"
        elif what == "lost" and call in ANSWERED:
            self.tell("its answer is lost")
            return "lost"
        elif what == "compact":
            self._upstream.compact()
        elif what == "trim":
            self._upstream.trim()
        elif what == "time":
            self._pass(self._now + int(10 ** rng.uniform(1, 4.2)))
        return None

    def _kill(self, victim: Process, mine: Process) -> None:
        self.kills += 1
        self.tell("kill", victim.name)
        self._bury(victim)
        if victim is mine:
            raise Killed
        # Let its thread unwind, and go on here.
        victim.return_to = mine
        self._current = victim
        victim.baton.release()
        mine.baton.acquire()

    def _bury(self, victim: Process) -> None:
        bus = victim.bus
        assert bus is not None
        for transaction in bus.transactions:
            transaction.lose()
        bus.dead = victim.doomed = True
        victim.alive, victim.frozen_until = False, None
        bus.silence(self._now + SESSION_MS)
        if not self._ending:
            victim.starts_at = self._now + int(10 ** self.rng.uniform(1, 4.3))

    def _freeze(self, victim: Process, mine: Process) -> None:
        if victim.frozen_until is not None or self._ending:
            return
        self.freezes += 1
        victim.frozen_until = self._now + int(10 ** self.rng.uniform(2, 4.6))
        self.tell("freeze", victim.name, int(victim.frozen_until) - self._now)
        assert victim.bus is not None
        victim.bus.silence(self._now + SESSION_MS)
        if victim is mine:
            self._hand_on(mine, must=True)

    def _thaw(self, process: Process) -> None:
        process.frozen_until = None
        self.tell("thaw", process.name)
        assert process.bus is not None
        process.bus.silence(float("inf"))

    def _cut_off(self) -> None:
        """A member that lives is thrown out of its group."""
        for group in self.broker.groups.values():
            if group.members:
                name = self.rng.choice(sorted(group.members))
                self.tell("cut off", name)
                group.leave(name, self.broker.topics)
                self.broker.changed()

    # -- whose turn it is -----------------------------------------------------------------------------

    def _mine(self) -> Process:
        mine = self._current
        assert mine is not None
        if mine.doomed:
            raise Killed
        return mine

    def _start(self, process: Process) -> None:
        process.lives += 1
        process.bus = MemoryBus(self.broker, self, f"{process.name}.{process.lives}")
        process.baton = closed()
        process.alive, process.doomed = True, False
        process.wake_ms = process.starts_at = None
        self.tell("start", process.bus.process)
        threading.Thread(target=self._live, args=(process, process.bus, process.baton), daemon=True).start()

    def _live(self, process: Process, bus: MemoryBus, baton: Lock) -> None:
        baton.acquire()
        try:
            self._service(process, bus)
            self.tell("ended", bus.process)
        except Killed:
            pass
        except BaseException as error:
            self.failure = self.failure or error
        process.alive = False
        follower, process.return_to = process.return_to, None
        if follower is not None:
            self._current = follower
            follower.baton.release()
            return
        if self.failure is not None or all(p.starts_at is None and not p.alive for p in self._processes):
            self._close()
            return
        try:
            self._hand_on(None, must=True)
        except BaseException as error:
            self.failure = error
            self._close()

    def _service(self, process: Process, bus: MemoryBus) -> None:
        """One process: a worker after another, as `driftbus.wiring` has them."""
        while not self._ending:
            try:
                self._body(self, bus)
                return
            except Unavailable as error:
                self.tell("unavailable", bus.process, error)
                self._sleep(2_000)
            except BusError as error:
                self.tell("fenced", bus.process, error)
                self._sleep(1_000)

    def _sleep(self, ms: int) -> None:
        until_ms = self._now + ms
        while self._now < until_ms:
            self.wait(until_ms)

    def _hand_on(self, mine: Process | None, *, must: bool) -> None:
        """Give the baton to somebody who can go on. `must`: this process itself cannot, for now."""
        while True:
            version = self.broker.version
            ready = [p for p in self._processes if p.ready(self._now, version)]
            if not must and mine is not None and mine not in ready:
                ready.append(mine)
            if ready:
                break
            self._next_moment()
        chosen = self.rng.choice(ready)
        chosen.wake_ms = None
        if chosen is mine:
            return
        self._current = chosen
        chosen.baton.release()
        if mine is not None:
            mine.baton.acquire()
            if mine.doomed:
                raise Killed

    def _next_moment(self) -> None:
        """All wait: what comes next?"""
        if not self._upstream.done() and self.rng.random() < 0.5:
            self._upstream.write()
            return
        moments: list[float] = [self.broker.wake_ms]
        for process in self._processes:
            if process.starts_at is not None:
                moments.append(process.starts_at)
            elif process.frozen_until is not None:
                moments.append(process.frozen_until)
            elif process.alive and process.wake_ms is not None:
                moments.append(process.wake_ms)
        self._pass(max(self._now + 1, int(min(moments)) + 1))
        if self.chaos and (self.calls > self._chaos_calls or self.rng.random() < 0.3):
            self._calm()

    def _pass(self, now_ms: int) -> None:
        self._now = now_ms
        self.broker.pass_time(now_ms)
        for process in self._processes:
            if process.frozen_until is not None and process.frozen_until <= now_ms:
                self._thaw(process)
            if process.starts_at is not None and process.starts_at <= now_ms:
                self._start(process)

    # -- the end --------------------------------------------------------------------------------------

    def _calm(self) -> None:
        if self._upstream.done():
            self.chaos = False
            self._calm_from = self.calls
            self.tell("calm")

    def _watch_liveness(self) -> None:
        if self.calls > self._calm_from + CALM_CALLS and self.failure is None:
            raise Violation(f"not at the end {CALM_CALLS} port calls after the last fault")

    def _ready_to_end(self) -> bool:
        return not self.chaos and not self._ending and self._finished()

    def _end(self, mine: Process) -> None:
        """All is consumed: stop everybody, or kill everybody."""
        self._ending = True
        self.tell("all consumed", "kill" if self._abrupt else "stop")
        for process in self._processes:
            process.starts_at = None
            if process.frozen_until is not None:
                self._thaw(process)
        if self._abrupt:
            for process in self._processes:
                if process.alive and process is not mine:
                    self._kill(process, mine)
            self._kill(mine, mine)
        else:
            self._stop()

    def _close(self) -> None:
        """Nobody goes on: let the threads that are left unwind, and tell the caller."""
        for process in self._processes:
            process.starts_at = None
            if process.alive:
                process.alive, process.doomed = False, True
                if process.bus is not None:
                    process.bus.dead = True
                nobody = process.return_to = Process("nobody")
                self._current = process
                process.baton.release()
                nobody.baton.acquire()
        self._main.release()
