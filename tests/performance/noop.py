"""The yardstick of order entry: a FastAPI endpoint that validates the same body and does nothing."""

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
