"""Market data for everybody: markets, depth, trades, candles."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from engine.orders.words import SIDE_NAMES
from engine.records import Mode, Reason, Side
from exchange.contracts.orders import parse_time_ns, timestamp_text
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.units import Market, fee_text, format_decimal
from exchange.gateway import schemas
from exchange.gateway.context import Exchange, Levels, Ticker
from exchange.gateway.dependencies import FRESH, CurrentExchange, CurrentQueries
from exchange.gateway.paging import Cursor, Limit, decode_cursor, encode_cursor
from exchange.gateway.problems import problems
from exchange.storage.queries import Trade

router = APIRouter(prefix="/api/v1/markets", tags=["markets"])
Symbol = Annotated[str, Path(description="BTC-USD (in a path a dash stands for the slash)", examples=["BTC-USD"])]
Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
INTERVAL_MINUTES: dict[str, int] = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440}
RATIO_DIGITS = 4
MODE_NAMES: dict[int, str] = {
    Mode.OPEN: "Open",
    Mode.CANCEL_ONLY: "CancelOnly",
    Mode.POST_ONLY: "PostOnly",
    Mode.HALTED: "Halted",
    Mode.AUCTION: "Auction",
}


@router.get("", response_model=schemas.Markets, responses=problems(EdgeReason.UNAVAILABLE))
async def list_markets(exchange: CurrentExchange) -> dict[str, Any]:
    """Return every market with its rules and its last 24 hours."""
    if not exchange.catalogue.markets:
        raise refuse(
            EdgeReason.UNAVAILABLE, "the exchange is starting and does not know its markets yet", retry_after_s=1
        )
    return {"items": [render_market(exchange, market) for market in exchange.catalogue.markets.values()]}


@router.get("/{symbol}", response_model=schemas.Market, responses=problems(Reason.UNKNOWN_SYMBOL))
async def get_market(exchange: CurrentExchange, symbol: Symbol) -> dict[str, Any]:
    """Return one market."""
    return render_market(exchange, exchange.catalogue.market(symbol))


@router.get(
    "/{symbol}/depth",
    response_model=schemas.Depth,
    responses=problems(Reason.UNKNOWN_SYMBOL, EdgeReason.FIELD_INVALID, EdgeReason.UNAVAILABLE),
    dependencies=FRESH,
)
async def get_depth(
    exchange: CurrentExchange, symbol: Symbol, levels: Annotated[int, Query(ge=1, le=1000)] = 50
) -> dict[str, Any]:
    """Return the best price levels of both sides, and the sequence that they include."""
    market = exchange.catalogue.market(symbol)
    sequence, bids, asks = exchange.live.depth(market.number, levels)
    return {
        "symbol": market.symbol,
        "sequence": sequence,
        "bids": render_levels(market, bids),
        "asks": render_levels(market, asks),
    }


@router.get(
    "/{symbol}/trades",
    response_model=schemas.Trades,
    responses=problems(Reason.UNKNOWN_SYMBOL, EdgeReason.FIELD_INVALID, EdgeReason.UNAVAILABLE),
    dependencies=FRESH,
)
async def list_trades(
    exchange: CurrentExchange, queries: CurrentQueries, symbol: Symbol, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return a market's trades, newest first."""
    market = exchange.catalogue.market(symbol)
    key = decode_cursor(cursor, "trades", 1)
    found = await queries.trades(market.number, before=key[0] if key else None, limit=limit)
    more = encode_cursor("trades", found[-1].trade_id) if len(found) == limit else None
    return {"items": [render_trade(market, trade) for trade in found], "next_cursor": more}


@router.get(
    "/{symbol}/candles",
    response_model=schemas.Candles,
    responses=problems(Reason.UNKNOWN_SYMBOL, EdgeReason.FIELD_INVALID, EdgeReason.UNAVAILABLE),
    dependencies=FRESH,
)
async def list_candles(
    exchange: CurrentExchange,
    queries: CurrentQueries,
    symbol: Symbol,
    interval: Interval = "1m",
    limit: Annotated[int, Query(ge=1, le=1000)] = 300,
    end: Annotated[
        str | None, Query(description="Candles that opened before this time (RFC 3339, UTC); now by default")
    ] = None,
) -> dict[str, Any]:
    """Return the latest candles before a time, oldest first."""
    market = exchange.catalogue.market(symbol)
    end_ns = time.time_ns() if end is None else parse_time_ns(end, "end")
    found = await queries.candles(market.number, minutes=INTERVAL_MINUTES[interval], end_ns=end_ns, limit=limit)
    items = [
        {
            "opened_at": timestamp_text(candle.opened_ns),
            "open": market.price_text(candle.open_ticks),
            "high": market.price_text(candle.high_ticks),
            "low": market.price_text(candle.low_ticks),
            "close": market.price_text(candle.close_ticks),
            "volume": market.quantity_text(candle.volume_lots),
            "trades": candle.trades,
        }
        for candle in found
    ]
    return {"symbol": market.symbol, "interval": interval, "items": items}


def render_market(exchange: Exchange, market: Market) -> dict[str, Any]:
    """The Market of docs/api.md. It is Halted where this exchange takes no orders."""
    return {
        "symbol": market.symbol,
        "base": market.base.name,
        "quote": market.quote.name,
        "tick_size": market.tick_size,
        "lot_size": market.lot_size,
        "quantity_min": market.quantity_text(market.quantity_lots_min),
        "quantity_max": market.quantity_text(market.quantity_lots_max),
        "notional_min": market.quote.to_text(market.notional_units_min),
        "price_max": market.price_text(market.price_ticks_max),
        "maker_fee": fee_text(market.maker_fee_ppm),
        "taker_fee": fee_text(market.taker_fee_ppm),
        "open_orders_max": market.open_orders_max or None,
        "position_max": market.quantity_text(market.position_lots_max) if market.position_lots_max else None,
        "price_band": fee_text(market.band_ppm) if market.band_ppm else None,
        "status": MODE_NAMES[exchange.live.mode(market.number) if exchange.corridor.takes_orders else Mode.HALTED],
        **render_ticker(market, exchange.live.ticker(market.number)),
    }


def render_ticker(market: Market, ticker: Ticker) -> dict[str, str | None]:
    """The last 24 hours of a market as text."""

    def price(ticks: int | None) -> str | None:
        return None if ticks is None else market.price_text(ticks)

    return {
        "last_price": price(ticker.last_price_ticks),
        "best_bid": price(ticker.best_bid_ticks),
        "best_ask": price(ticker.best_ask_ticks),
        "volume_24h": market.quantity_text(ticker.volume_24h_lots),
        "change_24h": change_text(ticker.open_24h_ticks, ticker.last_price_ticks),
        "high_24h": price(ticker.high_24h_ticks),
        "low_24h": price(ticker.low_24h_ticks),
    }


def change_text(opened_ticks: int | None, last_ticks: int | None) -> str | None:
    """Return last / opened - 1 with RATIO_DIGITS digits, rounded half away from zero; None where either is unknown."""
    if not opened_ticks or last_ticks is None:
        return None
    change = (last_ticks - opened_ticks) * 10**RATIO_DIGITS
    magnitude = (2 * abs(change) + opened_ticks) // (2 * opened_ticks)
    return format_decimal(magnitude if change >= 0 else -magnitude, RATIO_DIGITS)


def render_levels(market: Market, levels: Levels) -> list[list[str]]:
    """Price levels as [price, quantity] texts."""
    return [[market.price_text(price), market.quantity_text(quantity)] for price, quantity in levels]


def render_trade(market: Market, trade: Trade) -> dict[str, Any]:
    """The public trade of docs/api.md."""
    return {
        "trade_id": str(trade.trade_id),
        "symbol": market.symbol,
        "price": market.price_text(trade.price_ticks),
        "quantity": market.quantity_text(trade.quantity_lots),
        "side": SIDE_NAMES[Side(trade.side)],
        "auction": trade.is_auction,
        "sequence": trade.sequence,
        "executed_at": timestamp_text(trade.executed_ns),
    }
