"""A real Apache Kafka broker for tests, benchmarks and the demo's Kafka run.

`python -m tests.integration.broker install` copies the broker's jars to `.kafka/lib` (Maven; Debian's
Java and Maven are installed where they are missing and that is allowed). `Broker` formats a data folder
and runs `kafka.Kafka` on it: KRaft, combined mode, loopback, free ports, one replica of everything.

Ports and data survive `kill()` and `restart()`, so clients find the same broker again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
POM = ROOT / "tests" / "kafka" / "pom.xml"
HOME = ROOT / ".kafka"
LIB = HOME / "lib"

# Brokers of Kafka 4 are compiled for Java 17.
JAVA_MAJOR_MIN = 17

# Seen: 3-4 s on two free cores; many times that on a machine that runs other tests at once.
START_LIMIT_S = 120.0

# Seen: well under 5 s; a broker that hangs in its shutdown is killed.
STOP_LIMIT_S = 30.0

# `overrides` for a broker that is never restarted: it may look for transactions that took too long at once,
# so that no test waits half a minute for one.
NEVER_RESTARTED = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}


class BrokerError(RuntimeError):
    """The broker could not be installed or started; the message holds the end of its log."""


# Who writes markers, and what it says when it leaves some out.
MARKERS = "kafka.coordinator.transaction.TransactionMarkerChannelManager"
LOST_MARKER = "these partitions are likely deleted already and hence can be skipped"


# --- installation -----------------------------------------------------------------------------------


def java() -> str:
    """Path of a Java that is new enough, or a `BrokerError` that says what to install."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if not found:
        raise BrokerError(f"no java found: install a Java runtime >= {JAVA_MAJOR_MIN}")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stderr
    version = re.search(r'version "(\d+)', said)
    if not version or int(version[1]) < JAVA_MAJOR_MIN:
        raise BrokerError(f"{found} is too old, Kafka needs Java >= {JAVA_MAJOR_MIN}: {said.splitlines()[0]}")
    return found


def _install_packages() -> None:
    """Debian's Java and Maven, where one of them is missing."""
    wanted = [
        package
        for command, package in (("java", "default-jre-headless"), ("mvn", "maven"))
        if not shutil.which(command)
    ]
    if not wanted:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BrokerError(f"please install {' and '.join(wanted)} (Java >= {JAVA_MAJOR_MIN})")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *wanted]):
        done = subprocess.run(["apt-get", "-qq", *arguments], env=env, capture_output=True, text=True)
        if done.returncode:
            raise BrokerError(f"apt-get {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def installed() -> bool:
    """Whether `.kafka/lib` holds what `pom.xml` names now."""
    stamp = LIB / "pom.sha256"
    return stamp.is_file() and stamp.read_text() == hashlib.sha256(POM.read_bytes()).hexdigest()


def install() -> Path:
    """Make `.kafka/lib` complete; quick when it already is. Safe to call from several processes."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed():
            _install_packages()
            fresh = HOME / "lib.new"
            shutil.rmtree(fresh, ignore_errors=True)
            command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
            command += ["-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise BrokerError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
            (fresh / "pom.sha256").write_text(hashlib.sha256(POM.read_bytes()).hexdigest())
            shutil.rmtree(LIB, ignore_errors=True)
            fresh.rename(LIB)
    java()
    return LIB


# --- the broker --------------------------------------------------------------------------------------


def _properties(port: int, controller_port: int, data: Path, overrides: dict[str, str]) -> str:
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data / "log"),
        # One broker can hold one replica.
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # 50 partitions each by default: their files are most of the start-up time of a fresh broker.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        # Topics are made on purpose: a misspelt name must fail.
        "auto.create.topics.enable": "false",
        # Tests join groups one member at a time; waiting for more would only cost 3 s each.
        "group.initial.rebalance.delay.ms": "0",
        # The default of 128 MB is a quarter of this broker's heap.
        "log.cleaner.dedupe.buffer.size": str(8 << 20),
        # A killed broker may register again when its old session has expired: 9 s by default, and seen as
        # 12 s until the restarted broker answers.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Kafka's 10 s can end within a slow restart, and then its abort of a timed-out transaction loses its
        # marker: the partitions' leader is not there yet, the coordinator takes them for deleted, and the
        # next transaction of that producer commits the aborted records too (KAFKA-20734; seen in 4 of 14
        # restarts with 500 ms here). Restarts were seen to take 2-8 s.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "30000",
    }
    return "".join(f"{key}={value}\n" for key, value in (properties | overrides).items())


class Broker:
    """One broker process with its own data folder. Not thread-safe.

    `overrides` are broker properties that win over the ones above. The folder is made (and removed by
    `stop(remove=True)` or `with`) where none is given. The broker ends with this process, even when
    this process is killed.
    """

    def __init__(
        self, folder: Path | None = None, *, heap_mb: int = 512, overrides: dict[str, str] | None = None
    ) -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="driftbus-kafka-"))
        self.heap_mb = heap_mb
        self.overrides = dict(overrides or {})
        self.port = free_port()
        self.controller_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`bootstrap.servers` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise BrokerError("the broker is not running")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        return self.folder / "broker.log"

    def log_tail(self, lines: int = 40) -> str:
        """The end of the broker's own log."""
        if not self.log_file.exists():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def lost_markers(self, prefix: str) -> list[str]:
        """What the broker said when it left out markers of a transaction on topics of this prefix.

        KAFKA-20734: it takes partitions whose leader is not there yet for deleted, says so, and counts the
        transaction as ended; the next one of the same producer commits or aborts its records too. Docs:
        docs/runbooks/lost-transaction-markers.md.
        """
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return [line for line in lines if LOST_MARKER in line and prefix in line]

    def start(self) -> Broker:
        """Format the folder where it is new, start the broker, and wait until it answers."""
        if self._process is not None:
            raise BrokerError(f"already running as {self.pid}")
        install()
        if not (self.folder / "server.properties").exists():
            self._format()
        command = [java(), f"-Xmx{self.heap_mb}m", "-XX:+UseSerialGC", "-Xshare:auto"]
        command += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        # The line by which `lost_markers` knows the broker's own fault is of level info.
        command += [f"-Dorg.slf4j.simpleLogger.log.{MARKERS}=info"]
        command += ["-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", f"{LIB}/*"]
        command += ["kafka.Kafka", str(self.folder / "server.properties")]
        with self.log_file.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal must not end it before those who use it.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # Ends the broker when this process is gone without having stopped it: its end of the pipe closes.
        script = f"read -r _; kill -9 {self._process.pid}"
        self._guard = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
        self._wait_ready()
        return self

    def stop(self, *, remove: bool = False) -> None:
        """End the broker in an orderly way; `remove` deletes a folder that this object made."""
        self._end(signal.SIGTERM)
        if remove and self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """kill -9: what a crash does. Data and ports are kept for the next `start`."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = True) -> None:
        """`kill` (or stop) and start again on the same ports and data."""
        if self._process is not None:
            self._end(signal.SIGKILL if kill else signal.SIGTERM)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT, after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(remove=True)

    def _format(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "server.properties.new"
        draft.write_text(_properties(self.port, self.controller_port, self.folder, self.overrides))
        cluster = uuid.uuid4().hex[:22]
        command = [java(), "-XX:TieredStopAtLevel=1", "-cp", f"{LIB}/*", "kafka.tools.StorageTool"]
        command += ["format", "-t", cluster, "-c", str(draft)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BrokerError(f"formatting {self.folder} failed:\n{done.stdout}{done.stderr}")
        draft.rename(self.folder / "server.properties")

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_LIMIT_S
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200}
        )
        while True:
            if self._process.poll() is not None:
                code, tail = self._process.returncode, self.log_tail()
                self._end(signal.SIGKILL)
                raise BrokerError(f"the broker ended with {code} while starting:\n{tail}")
            with contextlib.suppress(KafkaException):
                if admin.list_topics(timeout=1.0).brokers:
                    return
            if time.monotonic() > deadline:
                tail = self.log_tail()
                self._end(signal.SIGKILL)
                raise BrokerError(f"the broker does not answer after {START_LIMIT_S:.0f} s:\n{tail}")

    def _end(self, how: signal.Signals) -> None:
        if self._guard is not None:
            # First the guard: once the broker is gone its process id may belong to somebody else.
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def main() -> int:
    """`install`: make the jars complete. `run`: a broker until Ctrl-C, its address on standard output."""
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb == "install":
        print(f"Kafka's jars are in {install().relative_to(ROOT)}")
        return 0
    if verb == "run":
        # Ended by whoever started it, it still stops the broker and removes its folder.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with Broker() as broker, contextlib.suppress(KeyboardInterrupt):
            print(broker.bootstrap, flush=True)
            signal.pause()
        return 0
    print("usage: broker.py install | run", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
