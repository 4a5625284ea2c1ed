"""An asynchronous client of the public API (docs/api.md) for programs that must not lose track of an order.

What it promises: a call whose answer was lost is sent again until an answer comes or `give_up_s` passes. An order
carries its `client_order_id`, so that sending it again is never a second order; every other call that is retried is
harmless to repeat. Refusals (4xx) are `Refused`, no answer in time is `Unreachable`: nothing else is raised for what
the network does.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import aiohttp
import msgspec

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 2.0
RETRY_AFTER_MAX_S = 30.0
TOKEN_MARGIN_S = 30.0  # an access token is renewed this long before it ends

Side = Literal["Buy", "Sell"]


class Refused(Exception):
    """The exchange said no. `reason` is the problem's reason, e.g. INSUFFICIENT_FUNDS; `problem` its whole document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.reason = str(problem.get("reason") or problem.get("title") or f"HTTP_{status}")
        super().__init__(f"{self.reason} ({status}): {problem.get('detail', 'no detail')}")


class Unreachable(Exception):
    """No answer within `give_up_s`, so the outcome is not known; the message names the call and the last failure."""


class Fill(msgspec.Struct):
    """One trade of an order."""

    trade_id: str
    price: str
    quantity: str
    liquidity: str


class Order(msgspec.Struct):
    """An order as the exchange answers it; quantities and prices are decimal strings."""

    order_id: str
    symbol: str
    side: Side
    quantity: str
    filled_quantity: str
    remaining_quantity: str
    status: str
    sequence: int
    client_order_id: str | None = None
    price: str | None = None
    end_reason: str | None = None
    fills: list[Fill] = []

    @property
    def is_open(self) -> bool:
        return self.status in ("Open", "PartiallyFilled")


class Market(msgspec.Struct):
    """A market's rules and last prices."""

    symbol: str
    base: str
    quote: str
    tick_size: str
    lot_size: str
    last_price: str | None = None


class Balance(msgspec.Struct):
    """What an account has of an asset."""

    asset: str
    available: str
    held: str
    total: str


class Depth(msgspec.Struct):
    """The book's best levels as [price, quantity], best first, and the sequence that they include."""

    sequence: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Session(msgspec.Struct):
    account_id: str
    access_token: str
    expires_in: float
    refresh_token: str


class _Orders(msgspec.Struct):
    items: list[Order]
    next_cursor: str | None = None


class _Balances(msgspec.Struct):
    items: list[Balance]


class _Markets(msgspec.Struct):
    items: list[Market]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order to place. The client id is what makes it safe to send twice, so it is not optional here."""

    client_order_id: str
    symbol: str
    side: Side
    quantity: str
    price: str | None = None
    order_type: Literal["Limit", "Market"] = "Limit"
    time_in_force: Literal["GTC", "IOC", "FOK"] = "GTC"
    post_only: bool = False
    self_trade_prevention: Literal["None", "CancelNewest", "CancelOldest", "CancelBoth", "Decrement"] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Status (2xx) and body of a call."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One sending of a call. `failure` is None when it was answered for good; `unknown`: it may have been acted on."""

    status: int = 0
    body: bytes = b""
    failure: str | None = None
    unknown: bool = False
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """The order of a place call; `repeated` when the exchange already knew it (then it is its first result)."""

    order: Order
    repeated: bool


@dataclass
class ClientCounts:
    """What the network did to the calls of a client."""

    requests: int = 0
    unknown_outcomes: int = 0  # attempts that may have been acted on, or not
    unknown_resolved: int = 0  # calls that had such an attempt and were answered in the end
    deferred: int = 0  # answers 429 and 503: not acted on, sent again


@dataclass
class ApiClient:
    """One HTTP connection pool to an exchange, `in_flight` calls at most at any time; an async context manager."""

    url: str
    in_flight: int = 32
    timeout_s: float = 10.0
    give_up_s: float = 120.0
    counts: ClientCounts = field(default_factory=ClientCounts)

    async def __aenter__(self) -> Self:
        self.url = self.url.rstrip("/")
        self._slots = asyncio.Semaphore(self.in_flight)
        connector = aiohttp.TCPConnector(limit=self.in_flight)
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, token: str = "", retry: bool = True
    ) -> Answer:
        """Send until answered. `retry=False`: a call that must not be repeated after its outcome became unknown.

        Raises Refused on 4xx other than 429, Unreachable when `give_up_s` passed.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        deadline = time.monotonic() + self.give_up_s
        unknown = 0
        for attempt in itertools.count(1):
            wait_s = min(BACKOFF_FIRST_S * 2 ** min(attempt, 10), BACKOFF_MAX_S)
            attempted = await self._attempt(method, path, body, headers)
            if attempted.failure is None:
                self.counts.unknown_resolved += unknown > 0
                if attempted.status >= 400:
                    raise Refused(attempted.status, _problem(attempted.body))
                return Answer(attempted.status, attempted.body)
            unknown += attempted.unknown
            if attempted.unknown and not retry:
                raise Unreachable(f"{method} {path}: {attempted.failure}; it is not sent twice")
            wait_s = max(wait_s, attempted.retry_after_s)
            if time.monotonic() + wait_s > deadline:
                break
            await asyncio.sleep(wait_s)
        raise Unreachable(f"{method} {self.url}{path}: no answer in {self.give_up_s:g} s; last: {attempted.failure}")

    async def _attempt(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> _Attempt:
        try:
            status, text, retry_after_s = await self._send(method, path, body, headers)
        except aiohttp.ClientConnectorError as error:  # nothing was sent
            return _Attempt(failure=str(error))
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self.counts.unknown_outcomes += 1
            return _Attempt(failure=f"{type(error).__name__} {error}", unknown=True)
        if status < 500 and status != 429:
            return _Attempt(status, text)
        problem = _problem(text)
        unknown = status not in (429, 503) or problem.get("reason") == "OUTCOME_UNKNOWN"
        self.counts.unknown_outcomes += unknown
        self.counts.deferred += not unknown
        failure = f"{status} {problem.get('reason', '')} {problem.get('detail', '')}"
        return _Attempt(status, text, failure, unknown, min(retry_after_s, RETRY_AFTER_MAX_S))

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes, float]:
        """Return (status, body, Retry-After in seconds)."""
        data = None if body is None else msgspec.json.encode(body)
        sent = {**headers, "Content-Type": "application/json"} if data is not None else headers
        async with self._slots:
            self.counts.requests += 1
            async with self._http.request(method, self.url + path, data=data, headers=sent) as response:
                retry_after = response.headers.get("Retry-After", "")
                return response.status, await response.read(), float(retry_after) if retry_after.isdigit() else 0.0

    async def market(self, symbol: str) -> Market:
        """One market's rules; `symbol` such as BTC-USD."""
        return msgspec.json.decode((await self.call("GET", f"/api/v1/markets/{symbol}")).body, type=Market)

    async def markets(self) -> list[Market]:
        """All markets."""
        return msgspec.json.decode((await self.call("GET", "/api/v1/markets")).body, type=_Markets).items

    async def depth(self, symbol: str, levels: int = 50) -> Depth:
        """The best `levels` (1..1000) a side."""
        answer = await self.call("GET", f"/api/v1/markets/{symbol}/depth?levels={levels}")
        return msgspec.json.decode(answer.body, type=Depth)

    @asynccontextmanager
    async def websocket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An open WebSocket on /ws/v1; aiohttp's exceptions pass."""
        timeout = aiohttp.ClientWSTimeout(ws_close=2.0)
        async with self._http.ws_connect(self.url + "/ws/v1", heartbeat=15.0, timeout=timeout) as socket:
            yield socket


def _problem(text: bytes) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {"detail": text[:200].decode(errors="replace")}
    return document if isinstance(document, dict) else {"detail": str(document)[:200]}


class Account:
    """One user of an ApiClient: registers or signs in by itself, and keeps its access token fresh."""

    def __init__(self, client: ApiClient, username: str, password: str) -> None:
        self.client = client
        self.username = username
        self._password = password
        self._session: _Session | None = None
        self._renew_at = 0.0  # monotonic seconds
        self._renewing = asyncio.Lock()

    @property
    def signed_in(self) -> bool:
        """Whether it was ever registered or signed in."""
        return self._session is not None

    async def open(self) -> bool:
        """Register, or sign in where the user exists; True for a new user. Raises Refused for a wrong password."""
        credentials = {"username": self.username, "password": self._password}
        try:
            await self._authenticate("register", credentials)
        except Refused as refusal:
            if refusal.status != 409:
                raise
            await self._authenticate("login", credentials)
            return False
        return True

    async def _authenticate(self, operation: str, body: Mapping[str, Any]) -> None:
        answer = await self.client.call("POST", f"/api/v1/auth/{operation}", body)
        self._session = msgspec.json.decode(answer.body, type=_Session)
        self._renew_at = time.monotonic() + self._session.expires_in - min(TOKEN_MARGIN_S, self._session.expires_in / 2)

    async def token(self) -> str:
        """A valid access token; refreshes the session, or signs in again where that is refused."""
        async with self._renewing:
            if self._session is None:
                await self.open()
            elif time.monotonic() >= self._renew_at:
                await self._renew(self._session.refresh_token)
            assert self._session is not None
            return self._session.access_token

    async def _renew(self, refresh_token: str) -> None:
        try:
            await self._authenticate("refresh", {"refresh_token": refresh_token})
        except Refused:  # used up by an attempt whose answer was lost, or ended
            await self._authenticate("login", {"username": self.username, "password": self._password})

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, retry: bool = True) -> Answer:
        """`ApiClient.call` as this user; a token that is refused is renewed once."""
        token = await self.token()
        try:
            return await self.client.call(method, path, body, token, retry)
        except Refused as refusal:
            if refusal.status != 401:
                raise
        async with self._renewing:
            if self._session is not None and self._session.access_token == token:
                await self._renew(self._session.refresh_token)
        return await self.client.call(method, path, body, await self.token(), retry)

    async def place(self, request: OrderRequest) -> Placed:
        """Place, and place again until answered. Raises Refused, and Unreachable when the outcome stays unknown."""
        body = {name: value for name in request.__slots__ if (value := getattr(request, name)) is not None}
        answer = await self.call("POST", "/api/v1/orders", body)
        return Placed(msgspec.json.decode(answer.body, type=Order), repeated=answer.status == 200)

    async def cancel(self, order_id: str) -> Order:
        """Cancel; returns the final state. Raises Refused ORDER_ENDED when it had ended (maybe by a lost answer)."""
        answer = await self.call("PUT", f"/api/v1/orders/{order_id}/cancel")
        return msgspec.json.decode(answer.body, type=Order)

    async def order(self, order_id: str) -> Order:
        """The order as it is now."""
        return msgspec.json.decode((await self.call("GET", f"/api/v1/orders/{order_id}")).body, type=Order)

    async def order_by_client_id(self, client_order_id: str) -> Order | None:
        """The order of a client id; None when the exchange never received it, which is definitive."""
        try:
            answer = await self.call("GET", f"/api/v1/orders/by-client-id/{client_order_id}")
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
        return msgspec.json.decode(answer.body, type=Order)

    async def open_orders(self, symbol: str = "", limit: int = 5000) -> list[Order]:
        """Open orders, newest first, `limit` at most."""
        orders: list[Order] = []
        path = f"/api/v1/orders?status=open&limit=500{f'&symbol={symbol}' if symbol else ''}"
        cursor: str | None = ""
        while cursor is not None and len(orders) < limit:
            answer = await self.call("GET", f"{path}&cursor={cursor}" if cursor else path)
            page = msgspec.json.decode(answer.body, type=_Orders)
            orders += page.items
            cursor = page.next_cursor
        return orders[:limit]

    async def balances(self) -> dict[str, Balance]:
        """Balances by asset."""
        answer = await self.call("GET", "/api/v1/balances")
        return {balance.asset: balance for balance in msgspec.json.decode(answer.body, type=_Balances).items}

    async def ask_faucet(self, asset: str, amount: str) -> None:
        """Ask for demo money, never twice. Raises Refused (FAUCET_LIMIT, or no faucet here) and Unreachable."""
        await self.call("POST", "/api/v1/faucet", {"asset": asset, "amount": amount}, retry=False)
