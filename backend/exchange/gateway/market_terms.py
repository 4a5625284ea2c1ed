"""From decimal text to the definition of a market and the terms it trades on, and back.

Every number is checked against the bounds of docs/engine.md and refused with the nearest valid value, so that the
engine refuses only what has happened meanwhile.
"""

from dataclasses import replace
from typing import Any

from engine.records import FEE_PPM_MAX, PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, UNITS_MAX, BandAction, MarketState
from exchange.contracts import commands
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.contracts.units import Asset, Grid, Market, check_lot_units, fee_text, lot_grid, ratio_grid, tick_grid
from exchange.gateway.admin_schemas import MarketTerms, NewMarket, PriceBand

SECOND_NS = 1_000_000_000
BAND_WIDTH_PPM_MAX = 1_000_000
MARKETS_MAX = 1_024
ASSETS_MAX = 256
BAND_ACTIONS = {"Reject": BandAction.REJECT, "Auction": BandAction.AUCTION}
BAND_ACTION_NAMES = {int(action): name for name, action in BAND_ACTIONS.items()}
#: What CONFIGURE_MARKET tells.
_TERMS = (
    "maker_fee_ppm", "taker_fee_ppm", "quantity_lots_min", "quantity_lots_max", "notional_units_min",
    "open_orders_max", "position_lots_max", "band_ppm", "band_action", "band_interval_ns", "band_auction_ns",
)  # fmt: skip
_DEFINED = (*_TERMS[:5], "lot_units", "tick_lot_units", "price_ticks_max")


def new_market(body: NewMarket, catalogue: Catalogue) -> Market:
    """Return the market that a request describes, with the next number.

    Raises Refused UNKNOWN_ASSET, ALREADY_DEFINED, LIMIT_REACHED, FIELD_INVALID.
    """
    base, quote = catalogue.asset(body.base), catalogue.asset(body.quote)
    _check_pair(base, quote, catalogue)
    for name in ("maker_fee", "taker_fee"):
        _needed(body, name)
    lot_units = lot_grid(base).steps(body.lot_size, "lot_size")
    check_lot_units(base, lot_units, "lot_size")
    market = Market(
        number=len(catalogue.markets) + 1,
        symbol=f"{base.name}/{quote.name}",
        base=base,
        quote=quote,
        lot_units=lot_units,
        tick_lot_units=tick_grid(base, quote, lot_units).steps(body.tick_size, "tick_size"),
        quantity_lots_min=1,
        quantity_lots_max=_lots_max(lot_units),
        notional_units_min=0,
        price_ticks_max=PRICE_TICKS_MAX,
        maker_fee_ppm=0,
        taker_fee_ppm=0,
    )
    if body.price_max is not None:
        market = replace(market, price_ticks_max=market.price_ticks(body.price_max, "price_max"))
    return changed(market, body)


def _check_pair(base: Asset, quote: Asset, catalogue: Catalogue) -> None:
    if base == quote:
        raise refuse(EdgeReason.FIELD_INVALID, "a market needs two assets", field="quote", limit=f"not {base.name}")
    if any((market.base, market.quote) == (base, quote) for market in catalogue.markets.values()):
        detail = f"{base.name}/{quote.name} is listed already"
        raise refuse(EdgeReason.ALREADY_DEFINED, detail, field="base", limit="unique")
    if len(catalogue.markets) >= MARKETS_MAX:
        limit = str(MARKETS_MAX)
        raise refuse(EdgeReason.LIMIT_REACHED, f"an exchange has {limit} markets at most", field="base", limit=limit)


def changed(market: Market, body: MarketTerms) -> Market:
    """Return the market on the terms that a request changes. Raises Refused FIELD_INVALID and those of prices."""
    terms: dict[str, Any] = {}
    given = body.model_fields_set
    for name in ("maker_fee", "taker_fee"):
        if name in given:
            terms[f"{name}_ppm"] = ratio_grid(FEE_PPM_MAX).steps(_needed(body, name), name)
    for name in ("quantity_min", "quantity_max"):
        if name in given:
            terms[name.replace("_", "_lots_")] = _lots_grid(market).steps(_needed(body, name), name)
    if "notional_min" in given:
        units = Grid(1, market.quote.scale, 0, UNITS_MAX - 1)
        terms["notional_units_min"] = units.steps(_needed(body, "notional_min"), "notional_min")
    if "open_orders_max" in given:
        terms["open_orders_max"] = body.open_orders_max or 0
    if "position_max" in given:
        limited = body.position_max is not None
        terms["position_lots_max"] = _lots_grid(market).steps(body.position_max, "position_max") if limited else 0
    if "price_band" in given:
        terms |= _band(body.price_band)
    after = replace(market, **terms)
    if after.quantity_lots_min > after.quantity_lots_max:
        limit = after.quantity_text(after.quantity_lots_max)
        detail = f"quantity_min must be at most quantity_max, which is {limit}"
        raise refuse(EdgeReason.FIELD_INVALID, detail, field="quantity_min", limit=limit, nearest=limit)
    return after


def reference_ticks(body: MarketTerms, market: Market) -> int:
    """Return where the reference of the price band is set, 0 where it stays. Raises Refused."""
    if body.reference_price is None:
        return 0
    if not market.band_ppm:
        detail = "there is no price band that a reference could be for: set price_band with it"
        raise refuse(EdgeReason.FIELD_INVALID, detail, field="reference_price", limit="null")
    return market.price_ticks(body.reference_price, "reference_price")


def _needed(body: MarketTerms, name: str) -> str:
    text: str | None = getattr(body, name)
    if text is None:
        raise refuse(EdgeReason.FIELD_INVALID, f"a market is not without {name}", field=name, limit="required")
    return text


def _lots_grid(market: Market) -> Grid:
    return Grid(market.lot_units, market.base.scale, 1, _lots_max(market.lot_units))


def _lots_max(lot_units: int) -> int:
    return min(QUANTITY_LOTS_MAX - 1, (UNITS_MAX - 1) // lot_units)


def _band(band: PriceBand | None) -> dict[str, int]:
    if band is None:
        return {"band_ppm": 0, "band_action": 0, "band_interval_ns": 0, "band_auction_ns": 0}
    width_ppm = replace(ratio_grid(BAND_WIDTH_PPM_MAX), low=1).steps(band.width, "price_band.width")
    if band.action == "Auction" and not band.auction_s:
        detail = "a band that collects for an auction needs its length: price_band.auction_s"
        raise refuse(EdgeReason.FIELD_INVALID, detail, field="price_band.auction_s", limit="1", nearest="1")
    return {
        "band_ppm": width_ppm,
        "band_action": BAND_ACTIONS[band.action],
        "band_interval_ns": band.interval_s * SECOND_NS,
        "band_auction_ns": band.auction_s * SECOND_NS,
    }


def define_command(market: Market) -> bytearray:
    """DEFINE_MARKET of a market."""
    defined = {name: getattr(market, name) for name in _DEFINED}
    return commands.define_market(market.number, market.symbol, market.base.number, market.quote.number, **defined)


def configure_command(market: Market, reference_price_ticks: int = 0) -> bytearray:
    """CONFIGURE_MARKET with all terms of a market."""
    terms = {name: getattr(market, name) for name in _TERMS}
    return commands.configure_market(market.number, **terms, reference_price_ticks=reference_price_ticks)


def has_terms_of_its_own(market: Market) -> bool:
    """Whether DEFINE_MARKET does not tell all terms of a market."""
    return any(getattr(market, name) for name in _TERMS[5:])


def render_terms(market: Market, mode: str, state: MarketState | None) -> dict[str, Any]:
    """An AdminMarket. ``state``: None where this process does not know it."""

    def price(ticks: int) -> str | None:
        return market.price_text(ticks) if ticks else None

    band = None
    if market.band_ppm:
        band = {
            "width": fee_text(market.band_ppm),
            "action": BAND_ACTION_NAMES[market.band_action],
            "interval_s": market.band_interval_ns // SECOND_NS,
            "auction_s": market.band_auction_ns // SECOND_NS,
        }
    return {
        "symbol": market.symbol,
        "base": market.base.name,
        "quote": market.quote.name,
        "mode": mode,
        "auction_ends_at": timestamp_text(state.auction_end_ns) if state and state.auction_end_ns else None,
        "tick_size": market.tick_size,
        "lot_size": market.lot_size,
        "price_max": market.price_text(market.price_ticks_max),
        "quantity_min": market.quantity_text(market.quantity_lots_min),
        "quantity_max": market.quantity_text(market.quantity_lots_max),
        "notional_min": market.quote.to_text(market.notional_units_min),
        "maker_fee": fee_text(market.maker_fee_ppm),
        "taker_fee": fee_text(market.taker_fee_ppm),
        "open_orders_max": market.open_orders_max or None,
        "position_max": market.quantity_text(market.position_lots_max) if market.position_lots_max else None,
        "price_band": band,
        "reference_price": price(state.reference_price_ticks) if state else None,
        "last_price": price(state.last_price_ticks) if state else None,
    }
