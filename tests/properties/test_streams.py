"""Whatever is lost, slow, conflated, resumed or restarted: every client ends with what the engine has."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records import EventKind
from exchange.contracts.events import Event, read_events
from exchange.contracts.orders import render_order, timestamp_text
from exchange.corridor.writer import split_entries
from exchange.gateway import channels, tail
from exchange.gateway.hub import Subscription
from exchange.gateway.markets import INTERVAL_MINUTES
from exchange.gateway.tail import CannotFollow
from tests.support.flow import stamped
from tests.support.full_flow import full_flow, opening
from tests.support.stream_mirrors import (
    AccountMirror,
    CandlesMirror,
    DepthMirror,
    Mirror,
    OrdersMirror,
    TickerMirror,
    TradesMirror,
)
from tests.support.stream_socket import Listener
from tests.support.streamed import Streamed, visible_orders

MIRRORS: dict[str, type[Mirror]] = {
    "depth": DepthMirror,
    "depth.raw": DepthMirror,
    "l3": OrdersMirror,
    "trades": TradesMirror,
    "ticker": TickerMirror,
    "candles": CandlesMirror,
    "orders": AccountMirror,
}
MARKET = 1


class Client:
    """One channel on a connection that may be lost, and comes back where it was."""

    def __init__(self, streamed: Streamed, channel: str, rng: random.Random) -> None:
        self.streamed, self.channel, self._rng = streamed, channel, rng
        self.mirror = MIRRORS[channel]()
        self.account = rng.randint(2, 9)
        self.interval = rng.choice(list(INTERVAL_MINUTES)) if channel == "candles" else ""
        self.listener: Listener | None = None
        self.beginning: asyncio.Task[None] | None = None
        self.resumes: list[str | None] = []

    @property
    def connected(self) -> bool:
        return self.listener is not None and self.listener.socket.is_open

    def connect(self) -> None:
        listener = self.listener = Listener()
        hub = self.streamed.hub
        hub.connections.add(listener.subscriber)
        resume = self.mirror.sequence >= 0 and self._rng.random() < 0.8
        beginning = hub.subscribe(
            Subscription(
                subscriber=listener.subscriber,
                channel=self.channel,
                market=None if self.channel == "orders" else self.streamed.live.catalogue.markets[MARKET],
                interval=self.interval,
                account=self.account if self.channel == "orders" else 0,
                resume_from=self.mirror.sequence if resume else None,
                acknowledge=lambda answer: self.resumes.append(answer.get("resume")),
                is_wanted=lambda: self.listener is listener,
            )
        )
        if beginning is not None:
            self.beginning = asyncio.ensure_future(self._begin(beginning))

    async def _begin(self, beginning: Awaitable[None]) -> None:
        try:
            await beginning
        except CannotFollow:  # the connection would get an error, and its client try again
            self.lose()

    def lose(self) -> None:
        """The connection breaks: what was not taken in is gone."""
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.socket.closed = listener.socket.closed or (1006, "")
            self.streamed.hub.forget(listener.subscriber)

    def take(self) -> None:
        """Take in what has arrived."""
        if self.listener is not None:
            messages, self.listener.socket.messages = self.listener.socket.messages, []
            for message in messages:
                self.mirror.take(message)

    async def settle(self) -> None:
        """Be connected, and have everything."""
        if not self.connected:
            self.lose()
            self.connect()
        assert self.listener is not None
        self.listener.socket.has_room = True
        if self.beginning is not None:
            await self.beginning
        self.streamed.turn()
        if self.listener is not None:
            self.listener.subscriber.flush()
        if not self.connected:  # it had missed too much while its socket was full
            await self.settle()
        self.take()


async def _happen(
    streamed: Streamed, batches: Sequence[Sequence[bytes]], clients: list[Client], rng: random.Random
) -> None:
    for batch in batches:
        entries = split_entries(batch, streamed.shard.apply(b"".join(batch)))
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(0)
        streamed.commit(entries)
        if rng.random() < 0.5:
            streamed.turn()
        for client in clients:
            dice = rng.random()
            if not client.connected and dice < 0.5:
                client.lose()
                client.connect()
            elif dice < 0.06:
                client.lose()
            elif dice < 0.2 and client.listener is not None:
                client.listener.socket.has_room = not client.listener.socket.has_room
                client.listener.subscriber.flush()
            elif dice < 0.9:
                client.take()
        if rng.random() < 0.02:
            streamed.restart()
        await asyncio.sleep(0)


def _check(streamed: Streamed, client: Client) -> None:
    shard, live, mirror = streamed.shard, streamed.live, client.mirror
    market = live.catalogue.markets[MARKET]
    events = [event for entry in streamed.journal for event in read_events(entry.events)]
    trades = [event for event in events if event.kind == EventKind.TRADED]
    if isinstance(mirror, DepthMirror):
        assert mirror.levels() == [[level[:2] for level in side] for side in shard.depth(MARKET)]
    elif isinstance(mirror, OrdersMirror):
        assert mirror.orders() == visible_orders(shard, MARKET)
    elif isinstance(mirror, TradesMirror):
        told = [int(trade["trade_id"]) for trade in mirror.trades]
        all_of_them = [trade.trade_id for trade in trades if trade.market == MARKET]
        assert told == all_of_them[len(all_of_them) - len(told) :]
    elif isinstance(mirror, CandlesMirror):
        candles = _candles([trade for trade in trades if trade.market == MARKET], INTERVAL_MINUTES[client.interval])
        for opened_at, candle in mirror.candles.items():
            assert (candle["trades"], candle["volume"]) == (
                len(candles[opened_at]),
                market.quantity_text(sum(trade.quantity_lots for trade in candles[opened_at])),
            )
            assert candle["close"] == market.price_text(candles[opened_at][-1].price_ticks)
        if candles:
            assert max(candles) in mirror.candles
    elif isinstance(mirror, TickerMirror):
        last = live.ticker(MARKET).last_price_ticks
        assert mirror.ticker["last_price"] == (None if last is None else market.price_text(last))
    else:
        assert isinstance(mirror, AccountMirror)
        _check_account(streamed, client.account, mirror, trades)


def _candles(trades: list[Event], minutes: int) -> dict[str, list[Event]]:
    found = defaultdict(list)
    for trade in trades:
        found[timestamp_text(trade.timestamp_ns - trade.timestamp_ns % (minutes * 60 * 10**9))].append(trade)
    return found


def _check_account(streamed: Streamed, account: int, mirror: AccountMirror, trades: list[Event]) -> None:
    live, markets = streamed.live, streamed.live.catalogue.markets
    for order_id, order in mirror.orders.items():
        state = live.order(int(order_id))
        if state is not None:
            assert order == render_order(state, markets[state.market])
        else:
            assert order["status"] not in ("Waiting", "Open", "PartiallyFilled")
    living = {str(order_id) for order_id in live.orders_of.get(account, {})}
    assert {order_id for order_id, o in mirror.orders.items() if o["remaining_quantity"] != "0"} == living
    fills = [
        str(trade.trade_id)
        for trade in trades
        if trade.sequence > mirror.began_at
        for owner in (trade.account, trade.maker_account)
        if owner == account
    ]
    assert [fill["trade_id"] for fill in mirror.fills] == fills
    for asset in live.catalogue.assets.values():
        available, held = streamed.shard.balance(account, asset.number)
        told = mirror.balances.get(asset.name, {"available": "0", "held": "0"})
        assert (told["available"], told["held"]) == (asset.to_text(available), asset.to_text(held))


def _batches(commands: list[bytes], rng: random.Random) -> list[list[bytes]]:
    batches = []
    while commands:
        size = rng.choice((1, 1, 2, 5, 20))
        batches.append(commands[:size])
        commands = commands[size:]
    return batches


@pytest.fixture(params=["kept", "hardly anything kept"])
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "kept":
        for module, name, value in (
            (channels, "KEPT_MESSAGES", 3),
            (channels, "KEPT_CHANGES", 10),
            (tail, "LATEST", 12),
            (tail, "SLICE", 5),
            (tail, "READ_AT_ONCE", 17),
        ):
            monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("bounds")
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_every_client_ends_with_what_the_engine_has(seed: int) -> None:
    rng = random.Random(seed)
    flow = stamped(full_flow(seed % 2**16, 260))
    begun = len(opening())

    async def run() -> None:
        streamed = Streamed(flow[:begun])
        clients = [Client(streamed, channel, rng) for channel in MIRRORS for _ in range(2)]
        await _happen(streamed, _batches(flow[begun:], rng), clients, rng)
        for client in clients:
            await client.settle()
        for client in clients:
            _check(streamed, client)

    asyncio.run(run())
