"""A broker as it stands in production: TLS, SCRAM, an authorizer that refuses whatever nobody granted.

The broker's own listener stays plain and on loopback; the super user who sets up users and grants comes
through it, as an administrator on the broker's machine would.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.integration.broker import NEVER_RESTARTED, Broker
from tests.ports import free_port

# Ends what would hang for ever.
LIMIT_S = 60.0
# Kafka's own minimum: hashing a password 4,096 times takes a few ms.
ITERATIONS = 4096


class Grant(NamedTuple):
    """One row of the table in docs/guides/security.md. A `name` that ends in `*` is a prefix."""

    who: str
    resource: str
    name: str
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource} {self.name}"

    def binding(self, user: str) -> AclBinding:
        is_prefix = self.name.endswith("*")
        return AclBinding(
            ResourceType[self.resource.replace(" ", "_").upper()],
            self.name.removesuffix("*"),
            ResourcePatternType.PREFIXED if is_prefix else ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[self.operation.upper()],
            AclPermissionType.ALLOW,
        )


class SecuredKafka:
    """A running broker with a TLS and SCRAM listener at `bootstrap`."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "ca.pem"
        keystore = _certified(folder, self.certificate)
        self.broker = Broker(overrides=NEVER_RESTARTED)
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        plain = f"PLAINTEXT://{self.broker.bootstrap}"
        secure = f"SASL_SSL://{self.bootstrap}"
        self.broker.overrides |= {
            "listeners": f"{plain},{secure},CONTROLLER://127.0.0.1:{self.broker.controller_port}",
            "advertised.listeners": f"{plain},{secure}",
            "listener.security.protocol.map": ("PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"),
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
        }

    def start(self) -> None:
        self.broker.start()
        self._admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})

    def stop(self) -> None:
        self.broker.stop(remove=True)

    def client(self, user: str, password: str) -> dict[str, str]:
        """librdkafka's properties for this user."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self.certificate),
        }

    def add_users(self, grants: dict[str, Iterable[Grant]], password: str) -> None:
        """Users with exactly these grants; returns when the broker goes by them."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        users = [UserScramCredentialUpsertion(name, info, password.encode()) for name in grants]
        for done in self._admin.alter_user_scram_credentials(users).values():
            done.result(LIMIT_S)
        bindings = [grant.binding(user) for user, granted in grants.items() for grant in granted]
        for done in self._admin.create_acls(bindings).values():
            done.result(LIMIT_S)
        anything = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            None,
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        while not set(bindings) <= set(self._admin.describe_acls(anything).result(LIMIT_S)):
            time.sleep(0.05)


def _certified(folder: Path, certificate: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file; the certificate alone goes to
    `certificate`."""
    key, keystore = folder / "key.pem", folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
    keystore.write_text(key.read_text() + certificate.read_text())
    return keystore
