"""Prefect 3: every retrain request becomes an event, which starts whatever an automation names.

    PREFECT_API_URL=http://127.0.0.1:4200/api python examples/orchestrators/prefect_events.py

At least once: the next request is taken only when Prefect has the last one; where it is away, this ends with
exit code 1, and comes back with the same request when it is started again. `prefect.yaml` beside this file
has a deployment that waits for these events.
"""

from __future__ import annotations

import argparse
import json
import os
import uuid
from typing import Any
from urllib.request import Request as Post
from urllib.request import urlopen

from driftbus.client import RetrainRequests
from driftbus.client.request import Request


def as_event(request: Request) -> dict[str, Any]:
    """The request in Prefect's form. Its id is the same each time it is sent."""
    event = request.event
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['source']}#{event['id']}")),
        "occurred": request.time,
        "event": "driftbus.retrain-requested",
        "resource": {
            "prefect.resource.id": f"driftbus.stream.{request.stream}",
            "driftbus.reason": request.reason,
        },
        "payload": event["data"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead")
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="end after so long without a request"
    )
    chosen = parser.parse_args()
    bus: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    url = os.environ["PREFECT_API_URL"].rstrip("/") + "/events"
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    with RetrainRequests(**bus, group="prefect", timeout_s=chosen.timeout) as requests:
        for request in requests:
            body = json.dumps([as_event(request)]).encode()
            with urlopen(Post(url, data=body, headers=headers), timeout=30):  # noqa: S310 - the operator's own URL
                print(f"{request.stream}: {request.request_id} handed over", flush=True)


if __name__ == "__main__":
    main()
