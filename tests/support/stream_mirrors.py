"""What a client makes of a channel: state kept from a snapshot and updates, by the rules of docs/streams.md alone."""

from decimal import Decimal
from typing import Any

from engine.market_data import Action, L2Mirror, L2Snapshot, L2Update, L3Mirror, L3Snapshot, L3Update, Level
from engine.market_data.messages import BookOrder, LevelChange, OrderChange, StreamSequences
from engine.records import Side

Message = dict[str, Any]
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


class Mirror:
    """Follows one channel: begins with a snapshot, passes over what it has, and fails where something is missing."""

    def __init__(self) -> None:
        self.sequence = -1
        self.taken = 0

    def take(self, message: Message) -> None:
        if message["type"] not in ("snapshot", "update"):
            return
        if message["type"] == "snapshot":
            self.begin(message)
        elif message["sequence"] <= self.sequence:
            return
        else:
            assert message["prev_sequence"] <= self.sequence, f"a gap: {message} after {self.sequence}"
            self.apply(message)
        self.sequence = message["sequence"]
        self.taken += 1

    def begin(self, message: Message) -> None:
        raise NotImplementedError

    def apply(self, message: Message) -> None:
        raise NotImplementedError


class _Units:
    """Decimal strings as ticks and lots, by what a snapshot says of the market."""

    def __init__(self, snapshot: Message) -> None:
        self._tick, self._lot = Decimal(snapshot["tick_size"]), Decimal(snapshot["lot_size"])

    def ticks(self, price: str) -> int:
        return self._whole(Decimal(price) / self._tick)

    def lots(self, quantity: str) -> int:
        return self._whole(Decimal(quantity) / self._lot)

    def texts(self, level: Level) -> list[str]:
        """[price, quantity] as the exchange writes them: as many decimals as the tick has, and no more than needed."""
        quantity = f"{level.visible_lots * self._lot:f}"
        return [
            f"{level.price_ticks * self._tick:f}",
            quantity.rstrip("0").rstrip(".") if "." in quantity else quantity,
        ]

    def _whole(self, number: Decimal) -> int:
        assert number == int(number)
        return int(number)


class DepthMirror(Mirror):
    """`depth` and `depth.raw`; every message's checksum is held against the book."""

    def begin(self, message: Message) -> None:
        units = self._units = _Units(message)
        bids, asks = (
            tuple(Level(units.ticks(price), units.lots(quantity), 1) for price, quantity in message[side])
            for side in ("bids", "asks")
        )
        self._book = L2Mirror(L2Snapshot(1, message["sequence"], 1, message["checksum"], bids, asks))

    def apply(self, message: Message) -> None:
        units = self._units
        levels = tuple(
            LevelChange(side, units.ticks(price), units.lots(quantity), 1)
            for side, name in ((Side.BUY, "bids"), (Side.SELL, "asks"))
            for price, quantity in message[name]
        )
        update = L2Update(1, message["sequence"], message["prev_sequence"], 0, levels, message["checksum"])
        assert self._book.apply(update)

    def texts(self) -> list[list[list[str]]]:
        """Both sides as REST has them."""
        return [[self._units.texts(level) for level in side] for side in self._book.depth()]

    def levels(self) -> list[list[tuple[int, int]]]:
        return [[level[:2] for level in side] for side in self._book.depth()]


class OrdersMirror(Mirror):
    """`l3`: single orders; checksums as above."""

    def begin(self, message: Message) -> None:
        units = self._units = _Units(message)
        orders = tuple(
            BookOrder(int(order_id), side, units.ticks(price), units.lots(quantity))
            for side, name in ((Side.BUY, "bids"), (Side.SELL, "asks"))
            for order_id, price, quantity in message[name]
        )
        snapshot = L3Snapshot(1, message["sequence"], 1, message["checksum"], StreamSequences(), orders)
        self._book = L3Mirror(snapshot)

    def apply(self, message: Message) -> None:
        units = self._units
        changes = tuple(
            OrderChange(
                Action[step["action"].upper()],
                int(step["order_id"]),
                _SIDES[step["side"]],
                units.ticks(step["price"]),
                units.lots(step["quantity"]),
                units.lots(step.get("executed", "0")),
                int(step.get("trade_id", 0)),
            )
            for step in message["changes"]
        )
        update = L3Update(1, message["sequence"], message["prev_sequence"], 0, changes, message["checksum"])
        assert self._book.apply(update)

    def texts(self) -> list[list[list[str]]]:
        """Both sides' levels as REST has them."""
        return [[self._units.texts(level) for level in side] for side in self._book.depth()]

    def orders(self) -> list[BookOrder]:
        return self._book.orders()


class TradesMirror(Mirror):
    """`trades`, oldest first, from the latest snapshot on."""

    def begin(self, message: Message) -> None:
        self.trades = message["trades"][::-1]

    def apply(self, message: Message) -> None:
        self.trades += message["trades"]


class TickerMirror(Mirror):
    """`ticker`."""

    def begin(self, message: Message) -> None:
        self.ticker = {
            key: value
            for key, value in message.items()
            if key not in ("type", "channel", "symbol", "sequence", "prev_sequence")
        }

    apply = begin


class CandlesMirror(Mirror):
    """`candles` by when they opened."""

    def begin(self, message: Message) -> None:
        self.candles: dict[str, Message] = {}
        self.apply(message)

    def apply(self, message: Message) -> None:
        self.candles.update({candle["opened_at"]: candle for candle in message["candles"]})


class AccountMirror(Mirror):
    """`orders`: every order that it was told of, all fills since the snapshot, and the balances."""

    def begin(self, message: Message) -> None:
        self.began_at = message["sequence"]
        self.orders: dict[str, Message] = {}
        self.fills: list[Message] = []
        self.apply(message)

    def apply(self, message: Message) -> None:
        self.orders.update({order["order_id"]: order for order in message["orders"]})
        self.fills += message["fills"]
        self.balances = {balance["asset"]: balance for balance in message["balances"]}
