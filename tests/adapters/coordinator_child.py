"""What tests/adapters/test_kafka_offsets.py runs in a process of its own, to survive its crash.

`python -m tests.adapters.coordinator_child`: asks for a group's offsets while the group's coordinator starts,
moves or is away, each at the very moment of the question. No real broker can be told to be caught in that
moment; the broker that librdkafka carries for its own tests can. Says one line per answer.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import confluent_kafka
from confluent_kafka import KafkaError

from driftbus.adapters.kafka import KafkaBus
from driftbus.ports import TopicPartition

OFFSET_FETCH = 9
PRODUCER = 0

MOMENTS = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
)


class PretendedCluster:
    """librdkafka's own broker for tests, in this process: one node, listening on loopback."""

    def __init__(self) -> None:
        # The library that the client has loaded already: wheels carry it beside the package.
        folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
        self._library = ctypes.CDLL(str(next(folder.glob("librdkafka-*"))))
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self._library, name).restype = ctypes.c_void_p
        self._library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        configuration = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        handle = ctypes.c_void_p(self._library.rd_kafka_new(PRODUCER, configuration, None, 0))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(handle, 1))
        self.bootstrap = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str) -> None:
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), 1, 1)

    def answer_next(self, api: int, error: int) -> None:
        """The next request of this kind is answered with this error."""
        self._library.rd_kafka_mock_push_request_errors(
            self._cluster, ctypes.c_int16(api), ctypes.c_size_t(1), ctypes.c_int(error)
        )


def main() -> None:
    cluster = PretendedCluster()
    cluster.create_topic("topic")
    bus = KafkaBus({"bootstrap.servers": cluster.bootstrap})
    for error in MOMENTS:
        cluster.answer_next(OFFSET_FETCH, error)
        print(error, bus.committed("group", [TopicPartition("topic", 0)]), flush=True)
    bus.close()


if __name__ == "__main__":
    main()
