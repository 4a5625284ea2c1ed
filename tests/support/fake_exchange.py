"""A small exchange behind docs/api.md's paths, on the reference engine, that loses answers when told to.

It holds one market (BTC/USD) in memory. Clients of the API are tested against it: what matters is what they do when an
answer does not come, which a real server does too rarely.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from aiohttp import web

from engine.records import EventKind, OrderType, Reason, TimeInForce
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.events import Event, read_events
from exchange.contracts.order_state import OrderState, fills_of
from exchange.contracts.orders import render_fill, render_order
from exchange.contracts.refusals import Refused as Refusal
from exchange.simulation.direct import SIDES
from tests.support.replay_market import DEFINITIONS, EngineMarket

TYPES = {"Limit": OrderType.LIMIT, "Market": OrderType.MARKET}
TIMES = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}


class Fault(Enum):
    """What goes wrong with a request."""

    LOST_BEFORE = "the connection ends before the exchange acts"
    LOST_AFTER = "the exchange acts, and the connection ends before its answer"
    UNAVAILABLE = "503 with Retry-After"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeExchange:
    """`faults` is asked for every request under /api/v1/orders and /api/v1/auth; `received` counts their paths."""

    def __init__(self, faults: Callable[[web.Request], Fault | None] = lambda request: None) -> None:
        self.market = EngineMarket()
        self.rules = Catalogue(DEFINITIONS).market("BTC/USD")
        self.orders: dict[int, OrderState] = {}
        self.fills: dict[int, list[dict[str, Any]]] = {}
        self.acted: list[str] = []  # client order ids that reached the engine, in order
        self.users: dict[str, tuple[str, int]] = {}  # name -> password, account
        self.tokens: dict[str, int] = {}
        self.expires_in = 600.0
        self.faucet_asked = 0
        self._faults = faults
        self._first_results: dict[tuple[int, str], tuple[int, dict[str, Any]]] = {}
        self._token_numbers = itertools.count(1)
        self._sockets: dict[int, list[tuple[web.WebSocketResponse, list[int]]]] = {}
        self._changed: dict[int, dict[int, None]] = {}

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Listen on a free port of this machine; gives the URL."""
        app = web.Application(middlewares=[self._fail])
        for operation in ("register", "login", "refresh"):
            app.router.add_post(f"/api/v1/auth/{operation}", getattr(self, f"_{operation}"))
        app.router.add_get("/api/v1/markets", self._list_markets)
        app.router.add_get("/api/v1/markets/BTC-USD", self._get_market)
        app.router.add_get("/api/v1/markets/BTC-USD/depth", self._depth)
        app.router.add_post("/api/v1/orders", self._place)
        app.router.add_get("/api/v1/orders", self._open_orders)
        app.router.add_get("/api/v1/orders/{order_id:\\d+}", self._order)
        app.router.add_get("/api/v1/orders/by-client-id/{client_id}", self._by_client_id)
        app.router.add_put("/api/v1/orders/{order_id}/cancel", self._cancel)
        app.router.add_get("/api/v1/balances", self._balances)
        app.router.add_post("/api/v1/faucet", self._faucet)
        app.router.add_get("/ws/v1", self._websocket)
        runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await self.close_streams()
            await runner.cleanup()

    @web.middleware
    async def _fail(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        watched = request.path.startswith(("/api/v1/orders", "/api/v1/auth"))
        fault = self._faults(request) if watched else None
        if fault is Fault.UNAVAILABLE:
            return problem(503, "NOT_LEADER", headers={"Retry-After": "0"})
        if fault is Fault.LOST_BEFORE:
            return _hang_up(request)
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = problem(refusal.refusal.status, refusal.refusal.reason.name)
        return _hang_up(request) if fault is Fault.LOST_AFTER else response

    async def _register(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["username"] in self.users:
            return problem(409, "USERNAME_TAKEN")
        account = 5000 + len(self.users)
        self.users[body["username"]] = (body["password"], account)
        return self._session(account, 201)

    async def _login(self, request: web.Request) -> web.Response:
        body = await request.json()
        password, account = self.users.get(body["username"], ("", 0))
        return self._session(account, 200) if password == body["password"] else problem(401, "CREDENTIALS_INVALID")

    async def _refresh(self, request: web.Request) -> web.Response:
        body = await request.json()
        account = self.tokens.pop(body["refresh_token"], None)
        return self._session(account, 200) if account else problem(401, "SESSION_ENDED")

    def _session(self, account: int, status: int) -> web.Response:
        access, refresh = f"access-{next(self._token_numbers)}", f"refresh-{next(self._token_numbers)}"
        self.tokens[access] = self.tokens[refresh] = account
        document = {"account_id": str(account), "access_token": access, "refresh_token": refresh}
        return web.json_response(document | {"expires_in": self.expires_in, "token_type": "Bearer"}, status=status)

    def _account(self, request: web.Request) -> int:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise web.HTTPUnauthorized(text='{"reason": "TOKEN_INVALID"}')
        return self.tokens[token]

    async def _get_market(self, request: web.Request) -> web.Response:
        return web.json_response(self._market())

    async def _list_markets(self, request: web.Request) -> web.Response:
        return web.json_response({"items": [self._market()]})

    def _market(self) -> dict[str, Any]:
        rules = self.rules
        names = {"symbol": rules.symbol, "base": rules.base.name, "quote": rules.quote.name}
        return names | {"tick_size": rules.tick_size, "lot_size": rules.lot_size, "last_price": None}

    async def _depth(self, request: web.Request) -> web.Response:
        sides = self.market.read_book(int(request.query.get("levels", "50")))
        texts = [[[self.rules.price_text(p), self.rules.quantity_text(q)] for p, q in side] for side in sides]
        sequence = self.market.shard.sequence
        return web.json_response({"symbol": "BTC/USD", "sequence": sequence, "bids": texts[0], "asks": texts[1]})

    async def _place(self, request: web.Request) -> web.Response:
        account, body = self._account(request), await request.json()
        client_id = body["client_order_id"]
        if (known := self._first_results.get((account, client_id))) is not None:
            return web.json_response(known[1], status=200 if known[0] == 201 else known[0])
        price = self.rules.price_ticks(body["price"]) if body.get("price") else 0
        command = commands.place(
            account, 1, SIDES[body["side"]], TYPES[body.get("order_type", "Limit")],
            TIMES[body.get("time_in_force", "GTC")], int(body.get("post_only", False)),
            price, self.rules.quantity_lots(body["quantity"]), client_id.encode(),
        )  # fmt: skip
        self.acted.append(client_id)
        first = await self._apply(command)
        if first.kind == EventKind.REJECTED:
            result = (422, {"status": 422, "reason": Reason(first.reason).name, "sequence": first.sequence})
        else:
            result = (201, self._rendered(first.order_id))
        self._first_results[account, client_id] = result
        return web.json_response(result[1], status=result[0])

    async def _apply(self, command: bytearray) -> Event:
        events = list(read_events(await self.market.submit(command)))
        for event in events:
            self._fold(event, command)
        await self._publish()
        return events[0]

    def _fold(self, event: Event, command: bytearray) -> None:
        if event.kind == EventKind.ACCEPTED:
            self.orders[event.order_id] = OrderState.accepted(event, bytes(command))
            self.fills[event.order_id] = []
        elif event.kind == EventKind.TRADED:
            for fill in fills_of(event):
                self.orders[fill.order_id].take(event)
                self.fills[fill.order_id].append(render_fill(fill, self.rules))
            self._touch(event.maker_order_id)
        elif event.kind == EventKind.CANCELLED:
            self.orders[event.order_id].take(event)
        if event.kind in (EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELLED):
            self._touch(event.order_id)

    def _touch(self, order_id: int) -> None:
        self._changed.setdefault(self.orders[order_id].account, {})[order_id] = None

    def _rendered(self, order_id: int) -> dict[str, Any]:
        return render_order(self.orders[order_id], self.rules) | {"fills": self.fills[order_id]}

    async def _cancel(self, request: web.Request) -> web.Response:
        account, order_id = self._account(request), int(request.match_info["order_id"])
        order = self.orders.get(order_id)
        if order is None or order.account != account:
            return problem(404, "UNKNOWN_ORDER")
        if not order.is_live:
            return problem(409, "ORDER_ENDED")
        await self._apply(commands.cancel(account, order_id))
        return web.json_response(self._rendered(order_id))

    async def _order(self, request: web.Request) -> web.Response:
        account, order_id = self._account(request), int(request.match_info["order_id"])
        order = self.orders.get(order_id)
        if order is None or order.account != account:
            return problem(404, "UNKNOWN_ORDER")
        return web.json_response(self._rendered(order_id))

    async def _by_client_id(self, request: web.Request) -> web.Response:
        account, client_id = self._account(request), request.match_info["client_id"]
        for order in self.orders.values():
            if (order.account, order.client_order_id) == (account, client_id):
                return web.json_response(self._rendered(order.order_id))
        return problem(404, "NOT_RECEIVED")

    async def _open_orders(self, request: web.Request) -> web.Response:
        """Pages of 2, so that clients have to follow the cursor."""
        account, start = self._account(request), int(request.query.get("cursor", "0"))
        mine = [order.order_id for order in self.orders.values() if order.account == account and order.is_live][::-1]
        page = [self._rendered(order_id) for order_id in mine[start : start + 2]]
        return web.json_response({"items": page, "next_cursor": str(start + 2) if start + 2 < len(mine) else None})

    async def _balances(self, request: web.Request) -> web.Response:
        return web.json_response({"items": self._balance_items(self._account(request)), "sequence": 0})

    def _balance_items(self, account: int) -> list[dict[str, str]]:
        items = []
        for asset in (self.rules.quote, self.rules.base):
            available, held = self.market.shard.balance(account, asset.number)
            texts = {"available": available, "held": held, "total": available + held}
            items.append({"asset": asset.name} | {name: asset.to_text(units) for name, units in texts.items()})
        return items

    async def _faucet(self, request: web.Request) -> web.Response:
        account, body = self._account(request), await request.json()
        self.faucet_asked += 1
        asset = {"USD": self.rules.quote, "BTC": self.rules.base}.get(body["asset"])
        if asset is None:
            return problem(422, "UNKNOWN_ASSET")
        await self._apply(commands.deposit(account, asset.number, asset.to_units(body["amount"], "amount")))
        return web.json_response({}, status=201)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        account = 0
        async for message in socket:
            operation = message.json()
            if operation["op"] == "authenticate":
                account = self.tokens[operation["token"]]
            await socket.send_json({"type": "ack", "id": operation["id"]})
            if operation["op"] == "subscribe":
                await self._subscribe(socket, account)
        return socket

    async def _subscribe(self, socket: web.WebSocketResponse, account: int) -> None:
        sequence = self.market.shard.sequence
        mine = [self._rendered(o.order_id) for o in self.orders.values() if o.account == account and o.is_live]
        content = {"orders": mine, "balances": self._balance_items(account)}
        known = self._sockets.setdefault(account, [])
        known[:] = [(other, last) for other, last in known if other is not socket]
        known.append((socket, [sequence]))
        await socket.send_json({"type": "snapshot", "channel": "orders", "sequence": sequence} | content)

    async def _publish(self) -> None:
        changed, self._changed = self._changed, {}
        sequence = self.market.shard.sequence
        for account, orders in changed.items():
            content = {"orders": [self._rendered(o) for o in orders], "balances": self._balance_items(account)}
            for socket, last in self._sockets.get(account, []):
                head = {"type": "update", "channel": "orders", "sequence": sequence, "prev_sequence": last[0]}
                last[0] = sequence
                if not socket.closed:
                    await socket.send_json(head | content)

    async def withdraw(self, account: int, asset: int, amount: int) -> None:
        """Take money from an account."""
        await self._apply(commands.withdraw(account, asset, amount))

    async def close_streams(self) -> None:
        """End all streams, as a restart does."""
        for socket, _ in itertools.chain.from_iterable(self._sockets.values()):
            await socket.close()
        self._sockets.clear()

    def skip_update(self) -> None:
        """Let every stream miss a message."""
        for _, last in itertools.chain.from_iterable(self._sockets.values()):
            last[0] += 1


def problem(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    """A problem document."""
    document = {"type": f"/problems/{reason.lower()}", "status": status, "reason": reason, "detail": "said the fake"}
    return web.json_response(document, status=status, headers=headers)


def _hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
