"""Configuration: one YAML file and the environment, validated, frozen.

`load` is the only reader of files and environment in driftbus. Everything wrong is a `ConfigError`
that names the key, the value, what is allowed, the nearest right spelling and the line.
"""

from driftbus.config.environ import CONFIG_VARIABLE
from driftbus.config.kafka import KafkaProperties
from driftbus.config.loading import load
from driftbus.config.model import TOPICS
from driftbus.config.settings import HttpSettings, Settings, WorkerSettings
from driftbus.config.streams import StreamRules

__all__ = [
    "CONFIG_VARIABLE",
    "TOPICS",
    "HttpSettings",
    "KafkaProperties",
    "Settings",
    "StreamRules",
    "WorkerSettings",
    "load",
]
