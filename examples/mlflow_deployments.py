"""Tells driftbus when the alias `production` of a model in MLflow's registry moves, whoever moved it.

    python examples/mlflow_deployments.py --tracking sqlite:///mlflow.db

Each registered model is a stream of that name. What was told is kept as a tag of the registered model
(`driftbus.told`), so that a restart tells what happened meanwhile, and nothing else twice.
Where MLflow runs as a server, its webhooks (`model_version_alias.created`) can call this instead of a clock.
"""

from __future__ import annotations

import argparse
import signal
import threading
from typing import Any

from mlflow import MlflowClient

from driftbus.client import Emitter

ALIAS = "production"
TOLD = "driftbus.told"


def tell(client: MlflowClient, emitter: Emitter) -> list[tuple[str, str]]:
    """Announce each model whose alias points to another version than the one announced last."""
    told = []
    for model in client.search_registered_models():
        version = model.aliases.get(ALIAS)
        before = model.tags.get(TOLD)
        if version is None or str(version) == before:
            continue
        back = before is not None and int(version) < int(before)
        what = "model-rolled-back" if back else "model-deployed"
        emitter.model_event(model.name, what, model_version=str(version), by="mlflow")
        if emitter.flush() and not emitter.lost:
            client.set_registered_model_tag(model.name, TOLD, str(version))
            told.append((model.name, str(version)))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead")
    parser.add_argument("--tracking", default="sqlite:///mlflow.db", help="MLflow's tracking and registry")
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS")
    chosen = parser.parse_args()
    bus: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    client = MlflowClient(tracking_uri=chosen.tracking, registry_uri=chosen.tracking)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.is_set():
        # A new emitter each time: its losses are those of this round.
        with Emitter(**bus) as emitter:
            for stream, version in tell(client, emitter):
                print(f"{stream}: version {version} is in production", flush=True)
        ended.wait(chosen.every)


if __name__ == "__main__":
    main()
