"""A shard's state as bytes: magic, version and length, the state as JSON, and a CRC-32 of all before it."""

import dataclasses
import json
import struct
import zlib
from typing import Any

from engine.errors import SnapshotError
from engine.records import (
    ASSET_COMMAND,
    MARKET_COMMAND,
    MARKET_TERMS_COMMAND,
    CommandKind,
    Mode,
    OrderType,
    Side,
    TimeInForce,
)
from engine.reference.codec import AssetCommand, MarketCommand, TermsCommand, decode
from engine.reference.definitions import Asset, Definition, Terms
from engine.reference.market import Market
from engine.reference.orders import Order
from engine.reference.state import State

_HEADER = struct.Struct("<4sIQ")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"EXRF"
_VERSION = 2


def save(state: State) -> bytes:
    """The state between two commands."""
    return _pack(
        {
            "sequence": state.sequence,
            "trades": state.trades,
            "records": [record.hex() for _, record in sorted(state.records.items())],
            "markets": [list(market.state) for market in state.markets],
            "orders": [_order_values(order) for order in state.live_orders()],
            "fee_shares": [(account, *shares) for account, shares in sorted(state.fee_shares.items())],
            "timers": sorted(state.timers.items()),
            "balances": [(*key, *amounts) for key, amounts in state.ledger.balances().items()],
        }
    )


def load(data: bytes) -> State:
    """The state that was saved. Raises SnapshotError for bytes that `save` did not make."""
    values = _unpack(data)
    state = State()
    state.sequence, state.trades = values["sequence"], values["trades"]
    for record in values["records"]:
        _define_again(state, bytes.fromhex(record))
    for market, (mode, *rest) in zip(state.markets, values["markets"], strict=True):
        market.mode = Mode(mode)
        market.last_price, market.range_low, market.range_high, *rest = rest
        market.reference, market.reference_since, market.auction_end = rest
    for order_values in values["orders"]:
        order = _order(order_values)
        state.orders[order.order_id] = order
        if order.resting:
            state.market(order).book.add(order)
    state.fee_shares = {account: (maker, taker) for account, maker, taker in values["fee_shares"]}
    state.timers = dict(values["timers"])
    for account, asset, available, held in values["balances"]:
        state.ledger.put(account, asset, available, held)
    return state


def _define_again(state: State, record: bytes) -> None:
    kind = CommandKind(record[1])
    match kind:
        case CommandKind.DEFINE_ASSET:
            state.assets.append(Asset.of(asset := decode(record, ASSET_COMMAND, AssetCommand)))
            number = asset.asset
        case CommandKind.DEFINE_MARKET:
            definition = Definition.of(decode(record, MARKET_COMMAND, MarketCommand))
            state.markets.append(Market(definition, Terms.as_defined(definition)))
            number = definition.market
        case _:
            terms = decode(record, MARKET_TERMS_COMMAND, TermsCommand)
            number = terms.market
            state.markets[number - 1].terms, state.markets[number - 1].configured = Terms.of(terms), True
    state.records[kind, number] = record


def _order_values(order: Order) -> dict[str, Any]:
    return dataclasses.asdict(order) | {"client_order_id": order.client_order_id.hex()}


def _order(values: dict[str, Any]) -> Order:
    kinds = {"side": Side(values["side"]), "order_type": OrderType(values["order_type"])}
    kinds["time_in_force"] = TimeInForce(values["time_in_force"])
    texts = {"client_order_id": bytes.fromhex(values["client_order_id"]), "place": tuple(values["place"])}
    return Order(**(values | kinds | texts))


def _pack(state: dict[str, Any]) -> bytes:
    body = json.dumps(state, separators=(",", ":")).encode()
    content = _HEADER.pack(_MAGIC, _VERSION, len(body)) + body
    return content + _CHECKSUM.pack(zlib.crc32(content))


def _unpack(data: bytes) -> dict[str, Any]:
    if len(data) < _HEADER.size + _CHECKSUM.size:
        raise SnapshotError(f"a snapshot has at least {_HEADER.size + _CHECKSUM.size} bytes, these are {len(data)}")
    magic, version, body_size = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise SnapshotError(f"a snapshot of the reference engine starts with {_MAGIC!r}, this with {magic!r}")
    if version != _VERSION:
        raise SnapshotError(f"snapshot version {version} cannot be restored, only {_VERSION}")
    size = _HEADER.size + body_size + _CHECKSUM.size
    if len(data) != size:
        raise SnapshotError(f"the snapshot says that it has {size} bytes, these are {len(data)}")
    content, checksum = data[: -_CHECKSUM.size], _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0]
    if zlib.crc32(content) != checksum:
        raise SnapshotError(f"the snapshot's checksum is {checksum:#010x}, its content has {zlib.crc32(content):#010x}")
    state: dict[str, Any] = json.loads(content[_HEADER.size :])
    return state
