"""What a key may trade: on which markets, and how much at once."""

from engine.records import CommandKind, Side
from exchange.contracts import commands
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.units import Market
from exchange.gateway.api_keys import ApiKey
from exchange.gateway.context import Exchange
from exchange.gateway.principal import Principal

_PLACING = (CommandKind.PLACE, CommandKind.CANCEL_REPLACE)
_NAMING = (CommandKind.CANCEL, CommandKind.AMEND, CommandKind.CANCEL_REPLACE)  # a live order, by its id


def check_command(principal: Principal, command: bytearray, exchange: Exchange) -> None:
    """Refuse a command about orders that goes beyond the markets or the caps of the key that sends it.

    Every way to the corridor that a key may go passes here. Raises Refused MARKET_FORBIDDEN or NOTIONAL_CAPPED.
    """
    key = principal.key
    if key is None or not is_limited(key):
        return
    asked, markets = commands.read_order(command), exchange.catalogue.markets
    if asked.kind in _NAMING:
        order = exchange.live.order(asked.order_id)
        if order is None or order.account != principal.account:
            if asked.kind != CommandKind.CANCEL_REPLACE:
                return  # the engine will say that there is none
        else:
            check_market(key, markets[order.market])
            if asked.kind == CommandKind.AMEND:
                asked = asked._replace(
                    market=order.market,
                    side=order.side,
                    price_ticks=asked.price_ticks or order.price_ticks,
                    quantity_lots=asked.quantity_lots or order.quantity_lots,
                    trigger_price_ticks=asked.trigger_price_ticks or order.trigger_price_ticks,
                )
                check_order(key, markets[order.market], asked, exchange)
    if asked.kind in _PLACING:
        check_order(key, markets[asked.market], asked, exchange)
    elif asked.kind in (CommandKind.MASS_CANCEL, CommandKind.CANCEL_AFTER):
        _check_scope(key, markets.get(asked.market))


def is_limited(key: ApiKey) -> bool:
    """Whether a key may not trade on every market, or not as much as it likes."""
    return key.symbols is not None or bool(key.terms.notional_max)


def check_market(key: ApiKey, market: Market) -> None:
    """Raises Refused MARKET_FORBIDDEN."""
    if key.symbols is None or market.symbol in key.symbols:
        return
    allowed = ", ".join(sorted(key.symbols))
    detail = f"this key may not trade on {market.symbol}; it may on {allowed}"
    raise refuse(EdgeReason.MARKET_FORBIDDEN, detail, field="symbol", limit=allowed)


def check_order(key: ApiKey, market: Market, order: commands.Order, exchange: Exchange) -> None:
    """Refuse an order on a market that its key may not trade on, or that may be worth more than the key's cap.

    What a buy may cost is bounded by its price or its amount. A sell is paid what is bid, so its value is that of the
    best bid, its price or its trigger, whichever is highest; the bid is that of the last durable command.
    Raises Refused MARKET_FORBIDDEN or NOTIONAL_CAPPED.
    """
    check_market(key, market)
    cap = key.notional_cap(market)
    if cap is None:
        return
    limit = market.quote.to_text(cap)
    if order.side == Side.BUY:
        value_ticks = order.price_ticks
        if not value_ticks and not order.amount:
            detail = f"this key buys for at most {limit} {market.quote.name} an order: give this one a price"
            raise refuse(EdgeReason.NOTIONAL_CAPPED, detail, field="price", limit=limit)
    else:
        bids = exchange.live.depth(market.number, 1)[1]
        value_ticks = max(order.price_ticks, order.trigger_price_ticks, bids[0][0] if bids else 0)
    value = order.amount or market.notional_units(value_ticks, order.quantity_lots)
    if value <= cap:
        return
    most_lots = 0 if order.amount else cap // (value_ticks * market.tick_lot_units)
    raise refuse(
        EdgeReason.NOTIONAL_CAPPED,
        f"the order may be worth {market.quote.to_text(value)} {market.quote.name}; "
        f"this key trades at most {limit} at once",
        field="quote_quantity" if order.amount else "quantity",
        limit=limit,
        nearest=market.quantity_text(most_lots) if most_lots >= market.quantity_lots_min else None,
    )


def _check_scope(key: ApiKey, market: Market | None) -> None:
    if market is not None:
        check_market(key, market)
    elif key.symbols is not None:
        allowed = ", ".join(sorted(key.symbols))
        detail = f"this key may not cancel on every market at once: name one of {allowed}"
        raise refuse(EdgeReason.MARKET_FORBIDDEN, detail, field="symbol", limit=allowed)
