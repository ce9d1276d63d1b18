"""Names of librdkafka's properties, by the kind of client they are for.

Source: librdkafka 2.16, CONFIGURATION.md, column C/P.
"""

_CONSUMER = """
auto.commit.enable auto.commit.interval.ms auto.offset.reset check.crcs consume.callback.max.messages
coordinator.query.interval.ms enable.auto.commit enable.auto.offset.store enable.partition.eof
fetch.error.backoff.ms fetch.max.bytes fetch.message.max.bytes fetch.min.bytes fetch.queue.backoff.ms
fetch.wait.max.ms group.id group.instance.id group.protocol group.protocol.type group.remote.assignor
heartbeat.interval.ms isolation.level max.partition.fetch.bytes max.poll.interval.ms offset.store.method
offset.store.path offset.store.sync.interval.ms partition.assignment.strategy queued.max.messages.kbytes
queued.min.messages session.timeout.ms
"""

_PRODUCER = """
acks batch.num.messages batch.size compression.codec compression.level compression.type
delivery.report.only.error delivery.timeout.ms enable.gapless.guarantee enable.idempotence linger.ms
message.send.max.retries message.timeout.ms msg_order_cmp partitioner produce.offset.report
queue.buffering.backpressure.threshold queue.buffering.max.kbytes queue.buffering.max.messages
queue.buffering.max.ms queuing.strategy request.required.acks request.timeout.ms retries
sticky.partitioning.linger.ms transaction.timeout.ms transactional.id
"""

_COMMON = """
bootstrap.servers metadata.broker.list client.id client.rack client.dns.lookup broker.address.family
connections.max.idle.ms debug log_level message.max.bytes metadata.max.age.ms
metadata.recovery.strategy receive.message.max.bytes reconnect.backoff.ms reconnect.backoff.max.ms
retry.backoff.ms retry.backoff.max.ms socket.timeout.ms socket.keepalive.enable
socket.connection.setup.timeout.ms statistics.interval.ms security.protocol sasl.mechanism
sasl.mechanisms sasl.username sasl.password sasl.kerberos.service.name sasl.kerberos.principal
sasl.kerberos.keytab sasl.oauthbearer.config sasl.oauthbearer.method sasl.oauthbearer.client.id
sasl.oauthbearer.client.secret sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url
ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem ssl.key.location ssl.key.pem
ssl.key.password ssl.keystore.location ssl.keystore.password ssl.cipher.suites
ssl.endpoint.identification.algorithm enable.ssl.certificate.verification
"""

# A producer warns about these.
CONSUMER_ONLY = frozenset(_CONSUMER.split())

# A consumer warns about these.
PRODUCER_ONLY = frozenset(_PRODUCER.split())

# Those of both kinds that people set by hand: not complete, only for "did you mean".
COMMON = frozenset(_COMMON.split())

# librdkafka complains about the name on the right when it was given the one on the left.
ALIASES = {
    "acks": "request.required.acks",
    "bootstrap.servers": "metadata.broker.list",
    "compression.type": "compression.codec",
    "delivery.timeout.ms": "message.timeout.ms",
    "linger.ms": "queue.buffering.max.ms",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
    "retries": "message.send.max.retries",
    "sasl.mechanism": "sasl.mechanisms",
}
