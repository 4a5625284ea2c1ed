"""A shard: markets, their books and one ledger. Reads as `docs/engine.md` does, step by step."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

from engine.errors import SequenceError
from engine.records import (
    ASSET_COMMAND,
    COMMAND_SIZE,
    FLAG_POST_ONLY,
    LAYOUT_VERSION,
    MARKET_COMMAND,
    ORDER_COMMAND,
    REVENUE_ACCOUNT,
    TRANSFER_COMMAND,
    UNITS_MAX,
    CommandKind,
    EventKind,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from engine.reference import snapshot
from engine.reference.book import Book, Order
from engine.reference.codec import (
    AssetCommand,
    Command,
    MarketCommand,
    OrderCommand,
    TransferCommand,
    decode,
    encode_event,
)
from engine.reference.definitions import Asset, Market, asset_is_valid, fee, market_is_valid
from engine.reference.digest import digest
from engine.reference.ledger import Ledger

_Buffer = bytes | bytearray | memoryview

_TIMES_IN_FORCE = {
    OrderType.MARKET: {TimeInForce.IOC, TimeInForce.FOK},
    OrderType.LIMIT: {TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK},
}


class Shard:
    """The state machine. `sequence` is that of the last command applied, `trades` the number of trades so far."""

    def __init__(self) -> None:
        self.sequence = 0
        self.trades = 0
        self._assets: list[Asset] = []
        self._markets: list[Market] = []
        self._books: list[Book] = []
        self._orders: dict[int, Order] = {}
        self._ledger = Ledger()

    def apply(self, commands: _Buffer) -> bytes:
        """Apply a batch of command records; the events it causes, as one buffer.

        Raises ValueError for a buffer that is no whole number of records and SequenceError when the commands do not
        follow the shard's sequence one by one; nothing is applied then.
        """
        batch = bytes(commands)
        if len(batch) % COMMAND_SIZE:
            raise ValueError(f"a batch is a multiple of {COMMAND_SIZE} bytes, this one has {len(batch)}")
        records = [batch[at : at + COMMAND_SIZE] for at in range(0, len(batch), COMMAND_SIZE)]
        for expected, record in enumerate(records, self.sequence + 1):
            found = decode(record, ORDER_COMMAND, Command).sequence
            if found != expected:
                raise SequenceError(f"the next command has sequence {expected}, this one has {found}")
        return b"".join(event for record in records for event in self._apply_one(record))

    def digest(self) -> int:
        """The 64-bit digest of the whole state, computed from scratch."""
        resting = self._orders.values()
        return digest(self.sequence, self.trades, self._assets, self._markets, resting, self.balances())

    def balance(self, account: int, asset: int) -> tuple[int, int]:
        """(available, held) in units of the asset."""
        return self._ledger.balance(account, asset)

    def balances(self) -> dict[tuple[int, int], tuple[int, int]]:
        """(account, asset) -> (available, held) of every balance that is not zero in both parts."""
        return self._ledger.balances()

    def book(self, market: int) -> list[tuple[int, int, int, int, int, int]]:
        """(order_id, account, side, price_ticks, remaining_lots, quantity_lots), bids then asks, best to worst."""
        if not self._is_market(market):
            raise ValueError(f"market {market} is not defined, the shard has 1 to {len(self._markets)}")
        resting = self._books[market - 1]
        return [(o.order_id, o.account, o.side, o.price_ticks, o.remaining_lots, o.quantity_lots) for o in resting]

    def snapshot(self) -> bytes:
        """The whole state as bytes."""
        state: dict[str, Any] = {"sequence": self.sequence, "trades": self.trades}
        state["assets"] = [dataclasses.astuple(asset) for asset in self._assets]
        state["markets"] = [dataclasses.astuple(market) for market in self._markets]
        state["orders"] = [dataclasses.astuple(order) for order in self._orders.values()]
        state["balances"] = [(*key, *amounts) for key, amounts in self.balances().items()]
        return snapshot.pack(state)

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The shard that made the snapshot. Raises SnapshotError for bytes that no snapshot has."""
        state = snapshot.unpack(data)
        shard = cls()
        shard.sequence, shard.trades = state["sequence"], state["trades"]
        shard._assets = [Asset(*values) for values in state["assets"]]
        shard._markets = [Market(*values) for values in state["markets"]]
        shard._books = [Book() for _ in shard._markets]
        for order_id, market, account, side, order_type, time_in_force, *rest in state["orders"]:
            kind = Side(side), OrderType(order_type), TimeInForce(time_in_force)
            shard._rest(Order(order_id, market, account, *kind, *rest))
        for account, asset, available, held in state["balances"]:
            shard._ledger.put(account, asset, available, held)
        return shard

    def _apply_one(self, record: bytes) -> Iterator[bytes]:
        self.sequence += 1
        header = decode(record, ORDER_COMMAND, Command)
        kind = header.kind if header.version == LAYOUT_VERSION else None
        match kind:
            case CommandKind.DEFINE_ASSET:
                yield self._define_asset(decode(record, ASSET_COMMAND, AssetCommand))
            case CommandKind.DEFINE_MARKET:
                yield self._define_market(decode(record, MARKET_COMMAND, MarketCommand))
            case CommandKind.DEPOSIT | CommandKind.WITHDRAW:
                yield self._transfer(decode(record, TRANSFER_COMMAND, TransferCommand))
            case CommandKind.PLACE:
                yield from self._place(decode(record, ORDER_COMMAND, OrderCommand))
            case CommandKind.CANCEL:
                yield self._cancel(decode(record, ORDER_COMMAND, OrderCommand))
            case _:
                yield encode_event(EventKind.REJECTED, header, reason=Reason.UNKNOWN_KIND)

    # Definitions

    def _define_asset(self, c: AssetCommand) -> bytes:
        if not asset_is_valid(c, self._assets):
            return encode_event(EventKind.REJECTED, c, asset=c.asset, reason=Reason.DEFINITION_INVALID)
        self._assets.append(Asset(c.asset, c.scale, c.name.decode("ascii")))
        return encode_event(EventKind.ASSET_DEFINED, c, asset=c.asset, amount=c.scale)

    def _define_market(self, c: MarketCommand) -> bytes:
        if not market_is_valid(c, self._assets, self._markets):
            return encode_event(EventKind.REJECTED, c, market=c.market, reason=Reason.DEFINITION_INVALID)
        terms = {field.name: getattr(c, field.name) for field in dataclasses.fields(Market)}
        self._markets.append(Market(**terms | {"symbol": c.symbol.decode("ascii")}))
        self._books.append(Book())
        sizes = {"quantity_lots": c.lot_units, "amount": c.tick_lot_units}
        return encode_event(EventKind.MARKET_DEFINED, c, market=c.market, asset=c.base, **sizes)

    # Transfers

    def _transfer(self, c: TransferCommand) -> bytes:
        reason = self._why_no_transfer(c)
        if reason:
            return encode_event(EventKind.REJECTED, c, asset=c.asset, amount=c.amount, reason=reason)
        if c.kind == CommandKind.DEPOSIT:
            self._ledger.deposit(c.account, c.asset, c.amount)
            return encode_event(EventKind.DEPOSITED, c, asset=c.asset, amount=c.amount)
        self._ledger.withdraw(c.account, c.asset, c.amount)
        return encode_event(EventKind.WITHDRAWN, c, asset=c.asset, amount=c.amount)

    def _why_no_transfer(self, c: TransferCommand) -> Reason:
        if c.account <= REVENUE_ACCOUNT:
            return Reason.ACCOUNT_INVALID
        if not 1 <= c.asset <= len(self._assets):
            return Reason.UNKNOWN_ASSET
        if not 1 <= c.amount < UNITS_MAX:
            return Reason.AMOUNT_OUT_OF_RANGE
        if c.kind == CommandKind.WITHDRAW and self.balance(c.account, c.asset)[0] < c.amount:
            return Reason.INSUFFICIENT_FUNDS
        return Reason.NONE

    # Orders

    def _place(self, c: OrderCommand) -> Iterator[bytes]:
        reason = self._why_no_order(c) or self._why_out_of_limits(c) or self._why_no_match(c) or self._why_no_funds(c)
        terms = {"market": c.market, "side": c.side, "order_type": c.order_type, "time_in_force": c.time_in_force}
        terms |= {"flags": c.flags, "price_ticks": c.price_ticks, "quantity_lots": c.quantity_lots}
        if reason:
            yield encode_event(EventKind.REJECTED, c, **terms, order_id=c.sequence, reason=reason)
            return
        order = self._order(c)
        order.held_units = self._needed(order)
        self._ledger.hold(order.account, self._paid_asset(order), order.held_units)
        sizes = {"remaining_lots": c.quantity_lots, "amount": order.held_units}
        yield encode_event(EventKind.ACCEPTED, c, **terms, order_id=c.sequence, **sizes)
        while order.remaining_lots and (maker := next(self._book(order).makers(order), None)):
            yield self._trade(c, order, maker)
        if order.remaining_lots and order.time_in_force is TimeInForce.GTC:
            self._rest(order)
        elif order.remaining_lots:
            limit = order.order_type is OrderType.LIMIT
            yield self._end(c, order, Reason.IOC_REMAINDER if limit else Reason.NO_LIQUIDITY)

    def _cancel(self, c: OrderCommand) -> bytes:
        order = self._orders.get(c.order_id)
        if order is None or order.account != c.account:
            return encode_event(EventKind.REJECTED, c, order_id=c.order_id, reason=Reason.UNKNOWN_ORDER)
        self._remove(order)
        return self._end(c, order, Reason.CANCELLED_BY_OWNER)

    def _why_no_order(self, c: OrderCommand) -> Reason:
        """Step 1: every field means something, and they fit together."""
        if c.account <= REVENUE_ACCOUNT:
            return Reason.ACCOUNT_INVALID
        if not self._is_market(c.market):
            return Reason.UNKNOWN_MARKET
        if c.side not in set(Side):
            return Reason.SIDE_INVALID
        if c.order_type not in set(OrderType):
            return Reason.ORDER_TYPE_INVALID
        if c.time_in_force not in _TIMES_IN_FORCE[OrderType(c.order_type)]:
            return Reason.TIME_IN_FORCE_INVALID
        may_be_post_only = c.order_type == OrderType.LIMIT and c.time_in_force == TimeInForce.GTC
        if c.flags not in ({0, FLAG_POST_ONLY} if may_be_post_only else {0}):
            return Reason.FLAGS_INVALID
        return Reason.NONE

    def _why_out_of_limits(self, c: OrderCommand) -> Reason:
        """Steps 2 to 4: quantity, price and notional within what the market allows."""
        market = self._markets[c.market - 1]
        is_limit = c.order_type == OrderType.LIMIT
        if not market.quantity_lots_min <= c.quantity_lots <= market.quantity_lots_max:
            return Reason.QUANTITY_OUT_OF_RANGE
        if not (1 if is_limit else 0) <= c.price_ticks <= market.price_ticks_max:
            return Reason.PRICE_OUT_OF_RANGE
        notional = market.notional(c.price_ticks, c.quantity_lots)
        if is_limit and notional < market.notional_units_min:
            return Reason.NOTIONAL_TOO_SMALL
        if is_limit and notional >= UNITS_MAX:
            return Reason.NOTIONAL_TOO_LARGE
        return Reason.NONE

    def _why_no_match(self, c: OrderCommand) -> Reason:
        """Steps 5 and 6: what the order says about the book must be true of it."""
        order = self._order(c)
        makers = list(self._book(order).makers(order))
        if order.flags == FLAG_POST_ONLY and makers:
            return Reason.POST_ONLY_WOULD_CROSS
        if order.time_in_force is TimeInForce.FOK and sum(m.remaining_lots for m in makers) < order.quantity_lots:
            return Reason.FOK_NOT_FILLABLE
        return Reason.NONE

    def _why_no_funds(self, c: OrderCommand) -> Reason:
        """Step 7: the account can pay for it."""
        order = self._order(c)
        if order.order_type is OrderType.MARKET and self._notional_of_fills(order) >= UNITS_MAX:
            return Reason.NOTIONAL_TOO_LARGE
        if self.balance(order.account, self._paid_asset(order))[0] < self._needed(order):
            return Reason.INSUFFICIENT_FUNDS
        return Reason.NONE

    def _needed(self, order: Order) -> int:
        """Units that an order which has not traded yet must hold, of the asset that it pays with."""
        market = self._market(order)
        if order.order_type is OrderType.LIMIT:
            if order.side is Side.BUY:
                return market.notional(order.price_ticks, order.quantity_lots)
            return market.base_units(order.quantity_lots)
        if order.side is Side.BUY:
            return self._notional_of_fills(order)
        return market.base_units(sum(lots for _, lots in self._book(order).fills(order)))

    def _notional_of_fills(self, order: Order) -> int:
        market = self._market(order)
        return sum(market.notional(price_ticks, lots) for price_ticks, lots in self._book(order).fills(order))

    def _trade(self, c: OrderCommand, taker: Order, maker: Order) -> bytes:
        """Step 9: one trade, at the maker's price."""
        market = self._market(taker)
        lots = min(taker.remaining_lots, maker.remaining_lots)
        notional = market.notional(maker.price_ticks, lots)
        taker_pays, maker_pays = notional, market.base_units(lots)
        if taker.side is Side.SELL:
            taker_pays, maker_pays = maker_pays, taker_pays
        taker_fee = fee(maker_pays, market.taker_fee_ppm)
        maker_fee = fee(taker_pays, market.maker_fee_ppm)
        self._pay(taker, maker, taker_pays, maker_fee)
        self._pay(maker, taker, maker_pays, taker_fee)
        hold_released = self._release_improvement(taker, maker, lots)
        taker.remaining_lots -= lots
        maker.remaining_lots -= lots
        if maker.remaining_lots == 0:
            self._remove(maker)
        self.trades += 1
        terms = {"market": c.market, "side": c.side, "order_type": c.order_type, "time_in_force": c.time_in_force}
        terms |= {"flags": c.flags, "order_id": taker.order_id, "maker_order_id": maker.order_id}
        terms |= {"maker_account": maker.account, "price_ticks": maker.price_ticks, "quantity_lots": lots}
        terms |= {"remaining_lots": taker.remaining_lots, "maker_remaining_lots": maker.remaining_lots}
        terms |= {"amount": notional, "taker_fee": taker_fee, "maker_fee": maker_fee}
        return encode_event(EventKind.TRADED, c, **terms, hold_released=hold_released, trade_id=self.trades)

    def _pay(self, payer: Order, receiver: Order, units: int, fee_units: int) -> None:
        payer.held_units -= units
        self._ledger.pay(payer.account, receiver.account, self._paid_asset(payer), units, fee_units)

    def _release_improvement(self, taker: Order, maker: Order, lots: int) -> int:
        """A buyer held at its own limit and pays the maker's price: the difference is free again."""
        if taker.side is Side.SELL or taker.order_type is OrderType.MARKET:
            return 0
        released = self._market(taker).notional(taker.price_ticks - maker.price_ticks, lots)
        self._release(taker, released)
        return released

    def _end(self, c: OrderCommand, order: Order, reason: Reason) -> bytes:
        """An order that is not resting ends with something remaining: what is held for it is free again."""
        released = order.held_units
        self._release(order, released)
        terms = {"market": order.market, "side": order.side, "order_type": order.order_type, "flags": order.flags}
        terms |= {"time_in_force": order.time_in_force, "order_id": order.order_id, "price_ticks": order.price_ticks}
        sizes = {"quantity_lots": order.remaining_lots, "amount": released}
        return encode_event(EventKind.CANCELLED, c, **terms, **sizes, reason=reason)

    def _release(self, order: Order, units: int) -> None:
        order.held_units -= units
        self._ledger.release(order.account, self._paid_asset(order), units)

    # State

    def _order(self, c: OrderCommand) -> Order:
        kind = Side(c.side), OrderType(c.order_type), TimeInForce(c.time_in_force)
        sizes = c.price_ticks, c.quantity_lots, c.quantity_lots
        return Order(c.sequence, c.market, c.account, *kind, c.flags, *sizes)

    def _rest(self, order: Order) -> None:
        self._book(order).add(order)
        self._orders[order.order_id] = order

    def _remove(self, order: Order) -> None:
        self._book(order).remove(order)
        del self._orders[order.order_id]

    def _is_market(self, market: int) -> bool:
        return 1 <= market <= len(self._markets)

    def _market(self, order: Order) -> Market:
        return self._markets[order.market - 1]

    def _book(self, order: Order) -> Book:
        return self._books[order.market - 1]

    def _paid_asset(self, order: Order) -> int:
        market = self._market(order)
        return market.quote if order.side is Side.BUY else market.base
