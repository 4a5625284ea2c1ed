"""The first commands of an empty journal: the assets and markets of the demo exchange, and the terms they start on.

An exchange that has a journal keeps what it was begun with.
"""

from exchange.contracts import commands

#: One USD is 10**10 units, so that a lot of 10**-8 BTC at a tick of 0.01 USD is exactly one unit.
_ASSETS = (("USD", 10), ("BTC", 8), ("ETH", 8))
_USD, _BTC, _ETH = 1, 2, 3
_TERMS = {
    "maker_fee_ppm": 1_000,
    "taker_fee_ppm": 2_000,
    "quantity_lots_min": 1,
    "quantity_lots_max": 10**13,  # 100,000
    "notional_units_min": 10**8,  # 0.01 USD
}
OPEN_ORDERS_MAX = 5_000  # an account, a market


def genesis() -> list[bytearray]:
    """Return the commands, in order: definitions, then each market's terms.

    There is no price band: a market that begins empty has no reference that a band could be drawn around, and a
    recording that is replayed into it moves as it moved. An operator sets one by CONFIGURE_MARKET.
    """
    markets = tuple(enumerate((("BTC/USD", _BTC), ("ETH/USD", _ETH)), start=1))
    return [
        *(commands.define_asset(number, name, scale) for number, (name, scale) in enumerate(_ASSETS, start=1)),
        *(
            commands.define_market(
                number, symbol, base, _USD, lot_units=1, tick_lot_units=1, price_ticks_max=10**9, **_TERMS
            )
            for number, (symbol, base) in markets
        ),
        *(commands.configure_market(number, open_orders_max=OPEN_ORDERS_MAX, **_TERMS) for number, _ in markets),
    ]
