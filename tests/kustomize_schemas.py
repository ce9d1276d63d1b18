"""What the operators' own resources may hold, as far as deploy/kustomize uses it.

Written by hand from the custom resource definitions of Strimzi 1.0 (`kafka.strimzi.io/v1`), KEDA 2.18 and the
Prometheus operator 0.85: fields, types and enumerations as they stand there, fields that we do not use left
out. No registry that a test may ask holds the definitions themselves.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}


def fields(required: list[str], **properties: Schema) -> Schema:
    """An object with these fields and no other."""
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def texts() -> Schema:
    return {"type": "object", "additionalProperties": TEXT}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def resource(api: str, kind: str, spec: Schema, *, labels: tuple[str, ...] = ()) -> Schema:
    metadata = fields(["name", "namespace"], name=TEXT, namespace=TEXT, labels=texts())
    metadata["properties"]["labels"]["required"] = list(labels)
    if labels:
        metadata["required"].append("labels")
    return fields(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": api}, kind={"const": kind}, metadata=metadata, spec=spec,
    )  # fmt: skip


SAID = one_of("true", "false")  # KEDA's values are all texts
STRIMZI = "kafka.strimzi.io/v1"
# By this label Strimzi's operators find what belongs to their cluster.
CLUSTER = ("strimzi.io/cluster",)
DURATION: Schema = {"type": "string", "pattern": r"^(0|([0-9]+(ms|[smhdwy]))+)$"}
SECRET_KEY = fields(["name", "key"], name=TEXT, key=TEXT)
POLICY = fields(
    ["type", "value", "periodSeconds"],
    type=one_of("Pods", "Percent"),
    value=COUNT,
    periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
)
SCALING = fields([], stabilizationWindowSeconds={**COUNT, "maximum": 3600}, policies=many(POLICY))

SCHEMAS: dict[str, Schema] = {
    "KafkaTopic": resource(
        STRIMZI,
        "KafkaTopic",
        fields(
            [],
            partitions={"type": "integer", "minimum": 1},
            replicas={"type": "integer", "minimum": 1, "maximum": 32767},
            config={"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}},
            topicName=TEXT,
        ),
        labels=CLUSTER,
    ),
    "KafkaUser": resource(
        STRIMZI,
        "KafkaUser",
        fields(
            [],
            authentication=fields(["type"], type=one_of("tls", "tls-external", "scram-sha-512")),
            authorization=fields(
                ["type", "acls"],
                type=one_of("simple"),
                acls=many(
                    fields(
                        ["resource", "operations"],
                        type=one_of("allow", "deny"),
                        host=TEXT,
                        resource=fields(
                            ["type"],
                            type=one_of("topic", "group", "cluster", "transactionalId"),
                            name=TEXT,
                            patternType=one_of("literal", "prefix"),
                        ),
                        operations=many(
                            one_of(
                                "Read",
                                "Write",
                                "Create",
                                "Delete",
                                "Alter",
                                "Describe",
                                "ClusterAction",
                                "AlterConfigs",
                                "DescribeConfigs",
                                "IdempotentWrite",
                                "All",
                            )
                        ),
                    )
                ),
            ),
        ),
        labels=CLUSTER,
    ),
    "ScaledObject": resource(
        "keda.sh/v1alpha1",
        "ScaledObject",
        fields(
            ["scaleTargetRef", "triggers"],
            scaleTargetRef=fields(["name"], name=TEXT, kind=TEXT, apiVersion=TEXT),
            pollingInterval=COUNT,
            cooldownPeriod=COUNT,
            minReplicaCount=COUNT,
            maxReplicaCount=COUNT,
            advanced=fields(
                [],
                horizontalPodAutoscalerConfig=fields(
                    [], behavior=fields([], scaleUp=SCALING, scaleDown=SCALING), name=TEXT
                ),
            ),
            triggers=many(
                fields(
                    ["type", "metadata"],
                    type=one_of("kafka"),
                    name=TEXT,
                    metadata=fields(
                        ["bootstrapServers", "consumerGroup", "topic"],
                        bootstrapServers=TEXT,
                        consumerGroup=TEXT,
                        topic=TEXT,
                        lagThreshold=TEXT,
                        activationLagThreshold=TEXT,
                        offsetResetPolicy=one_of("latest", "earliest"),
                        tls=one_of("enable", "disable"),
                        sasl=one_of("plaintext", "scram_sha256", "scram_sha512", "gssapi", "none"),
                        allowIdleConsumers=SAID,
                        scaleToZeroOnInvalidOffset=SAID,
                        excludePersistentLag=SAID,
                        limitToPartitionsWithLag=SAID,
                    ),
                    authenticationRef=fields(["name"], name=TEXT, kind=TEXT),
                )
            ),
        ),
    ),
    "TriggerAuthentication": resource(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        fields(
            [],
            secretTargetRef=many(
                fields(
                    ["parameter", "name", "key"],
                    parameter=one_of("sasl", "tls", "username", "password", "ca", "cert", "key"),
                    name=TEXT,
                    key=TEXT,
                )
            ),
        ),
    ),
    "ServiceMonitor": resource(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        fields(
            ["endpoints", "selector"],
            jobLabel=TEXT,
            selector=fields([], matchLabels=texts()),
            endpoints=many(
                fields(
                    [],
                    port=TEXT,
                    path=TEXT,
                    scheme=one_of("http", "https"),
                    interval=DURATION,
                    scrapeTimeout=DURATION,
                    authorization=fields([], type=TEXT, credentials=SECRET_KEY),
                )
            ),
        ),
    ),
    "PrometheusRule": resource(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        fields(
            [],
            groups=many(
                fields(
                    ["name", "rules"],
                    name=TEXT,
                    interval=DURATION,
                    rules=many(
                        fields(
                            ["expr"],
                            alert=TEXT,
                            record=TEXT,
                            expr=TEXT,
                            labels=texts(),
                            annotations=texts(),
                            **{"for": DURATION, "keep_firing_for": DURATION},
                        )
                    ),
                )
            ),
        ),
    ),
}
