"""Hands every retrain request to a web hook: whatever listens there trains, or starts what trains.

    python examples/webhook.py https://ci.example.org/hooks/retrain

The body is the request as it stands on the bus, a CloudEvent (`content-type: application/cloudevents+json`).
At least once: a request is over when the hook has answered 2xx, and only then is its offset committed.
Until then it is sent again, with waits that double up to five minutes; a killed forwarder sends it again when
it is started. The receiver compares `id`. A redirect, and an answer of 4xx other than 408, 425 and 429, will
not get better: driftbus is told that the request failed, and asks again later, up to `retrain.max_attempts`.

With HOOK_SECRET in the environment, `X-Driftbus-Signature: sha256=…` is the body's HMAC, by which the
receiver knows who sent it. Nothing but the standard library and driftbus.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import signal
import threading
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, build_opener
from urllib.request import Request as Post

from driftbus.client import RetrainRequests

# A hook only takes the request; who trains within the call is too slow for most proxies.
TIMEOUT_S = 30.0
# The least and the longest wait between two attempts.
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
# Answers of 4xx after which trying again makes sense: time-out, too early, too many.
PASSING = (408, 425, 429)


class _Stay(HTTPRedirectHandler):
    """Follows no redirect: urllib would turn the POST into a GET, whose 200 means nothing."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = build_opener(_Stay)


class Refused(Exception):
    """The hook will not take this request, ever."""


def post(url: str, body: bytes, secret: str) -> None:
    """Once. Raises `OSError` or `HTTPException` where another attempt may help, `Refused` where not."""
    headers = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": "driftbus-webhook",
    }
    if secret:
        headers["X-Driftbus-Signature"] = (
            "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        )
    try:
        with OPENER.open(Post(url, data=body, headers=headers), timeout=TIMEOUT_S):  # noqa: S310 - the operator's URL
            pass
    except HTTPError as error:
        if error.code < 500 and error.code not in PASSING:
            raise Refused(f"the hook answered {error.code}") from None
        raise


def deliver(url: str, body: bytes, secret: str, ended: threading.Event, first_wait_s: float) -> bool:
    """Until it is taken; False when told to end before that."""
    wait_s = first_wait_s
    while not ended.is_set():
        try:
            post(url, body, secret)
            return True
        except (OSError, HTTPException) as error:
            print(f"{error}; again in {wait_s:g} s", flush=True)
        ended.wait(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead")
    parser.add_argument("--group", default="webhook")
    parser.add_argument("--first-wait", type=float, default=FIRST_WAIT_S, metavar="SECONDS")
    chosen = parser.parse_args()
    if not chosen.url.startswith(("http://", "https://")):
        parser.error("the hook is an http or https URL")
    bus: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    requests = RetrainRequests(**bus, group=chosen.group)
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()
        requests.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    secret = os.environ.get("HOOK_SECRET", "")
    for request in requests:
        body = json.dumps(request.event, ensure_ascii=False).encode()
        try:
            if not deliver(chosen.url, body, secret, ended, chosen.first_wait):
                break  # not committed: it will come again
        except Refused as refused:
            request.failed(str(refused), by="webhook")
            print(f"{request.stream}: {refused}", flush=True)
        else:
            print(f"{request.stream}: {request.request_id} handed over", flush=True)
    requests.close()


if __name__ == "__main__":
    main()
