"""The yardsticks of order entry: endpoints that take the same body, and do nothing.

``app`` is FastAPI and validates; ``raw`` is ASGI without a framework, msgspec in and out.
"""

from typing import Any

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    symbol: str
    side: str
    quantity: str
    price: str
    order_type: str


@app.post("/orders")
async def place(order: Order) -> Order:
    return order


class RawOrder(msgspec.Struct):
    symbol: str
    side: str
    quantity: str
    price: str
    order_type: str


async def raw(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    answer = msgspec.json.encode(msgspec.json.decode(body, type=RawOrder)) if body else b"{}"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
