"""A middleware that tells driftbus what a web service predicts: for FastAPI, Starlette, Litestar, Quart,
any ASGI.

    app = FastAPI()
    app.add_middleware(PredictionEvents, emitter=emitter, stream="fraud", model_version=lambda: "v3")

It looks at `POST /predict`: the request's JSON object are the features, the answer's `prediction` and
`score` what was predicted. The answer gets a header, `x-prediction-id`: under this id the label comes
later, from whoever learns the truth (`emitter.label`). What is no such request passes through untouched.

The service never waits for driftbus and never fails because of it: events leave when the answer is on its
way, `Emitter` neither blocks nor raises, and a body that is no JSON object is the service's business alone.

    driftbus topics create --config examples/driftbus.yaml
    python examples/asgi_middleware.py          # 100 requests to the small app below, without a server
    uvicorn --app-dir examples asgi_middleware:app
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from driftbus.client import Emitter

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Bodies beyond this are not kept for an event, which would be refused at a megabyte anyway.
MOST_BYTES = 500_000


class PredictionEvents:
    """`model_version` is asked with every answer: a service may load another model while it runs."""

    def __init__(
        self,
        app: App,
        *,
        emitter: Emitter,
        stream: str,
        model_version: Callable[[], str],
        path: str = "/predict",
    ) -> None:
        self.app, self.emitter, self.stream, self.path = app, emitter, stream, path
        self.model_version = model_version

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return
        known = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1") or uuid.uuid4().hex
        asked, said = bytearray(), bytearray()
        is_good = False

        async def receive_and_keep() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(asked) <= MOST_BYTES:
                asked.extend(message.get("body", b""))
            return message

        async def send_and_keep(message: Message) -> None:
            nonlocal is_good
            if message["type"] == "http.response.start":
                is_good = message["status"] == 200
                header = (b"x-prediction-id", known.encode("latin-1"))
                message["headers"] = [*message.get("headers", ()), header]
            elif message["type"] == "http.response.body" and len(said) <= MOST_BYTES:
                said.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, receive_and_keep, send_and_keep)
        if is_good and max(len(asked), len(said)) <= MOST_BYTES:
            self.tell(known, bytes(asked), bytes(said))

    def tell(self, known: str, asked: bytes, said: bytes) -> None:
        try:
            features, answer = json.loads(asked), json.loads(said)
        except ValueError:
            return
        if isinstance(features, dict) and isinstance(answer, dict):
            self.emitter.prediction(
                self.stream,
                known,
                prediction=answer.get("prediction"),
                score=answer.get("score"),
                features=features,
                model_version=self.model_version(),
            )


# -- a service to try it with: any framework's app can stand here ---------------------------------------


async def service(scope: Message, receive: Receive, send: Send) -> None:
    """Judges payments: those from abroad with large sums are fraud."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    try:
        payment = json.loads(body)
        score = payment["amount"] * (0.9 if payment["abroad"] else 0.2)
        status, answer = 200, {"prediction": int(score > 0.5), "score": score}
    except (ValueError, KeyError, TypeError):
        status, answer = 422, {"detail": "a payment has an amount, and is from abroad or not"}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def app_with(emitter: Emitter) -> App:
    return PredictionEvents(service, emitter=emitter, stream="payments", model_version=lambda: "v1")


def __getattr__(name: str) -> App:
    """`uvicorn asgi_middleware:app`: made when a server asks for it, on the embedded bus."""
    if name != "app":
        raise AttributeError(name)
    return app_with(Emitter(embedded="./driftbus-data"))


async def ask(app: App, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request, as a server would make it: status, headers and body of the answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/predict", "headers": []}, receive, send)
    body_sent = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body_sent


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--requests", type=int, default=100)
    chosen = parser.parse_args()
    with Emitter(embedded=chosen.embedded) as emitter:
        app = app_with(emitter)
        for number in range(chosen.requests):
            payment = {"amount": number / chosen.requests, "abroad": number % 2 == 0}
            status, headers, answer = await ask(app, json.dumps(payment).encode())
        known = headers[b"x-prediction-id"].decode()
        print(f"{chosen.requests} requests; the last: {status}, {answer.decode()}, {known}")
        # The truth comes from somewhere else, later: a chargeback, a person. The id is all it needs.
        emitter.label("payments", known, 0)
    print(f"lost: {emitter.lost or 'nothing'}")


if __name__ == "__main__":
    asyncio.run(main())
