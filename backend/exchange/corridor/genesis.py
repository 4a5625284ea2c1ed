"""The first commands of an empty journal: the assets and markets of the demo exchange."""

from exchange.contracts import commands

#: One USD is 10**10 units, so that a lot of 10**-8 BTC at a tick of 0.01 USD is exactly one unit.
_ASSETS = (("USD", 10), ("BTC", 8), ("ETH", 8))
_USD, _BTC, _ETH = 1, 2, 3


def genesis() -> list[bytearray]:
    """Return the definition commands, in order."""
    definitions = [commands.define_asset(number, name, scale) for number, (name, scale) in enumerate(_ASSETS, start=1)]
    for number, (symbol, base) in enumerate((("BTC/USD", _BTC), ("ETH/USD", _ETH)), start=1):
        definitions.append(
            commands.define_market(
                number,
                symbol,
                base,
                _USD,
                lot_units=1,
                tick_lot_units=1,
                quantity_lots_min=1,
                quantity_lots_max=10**13,  # 100,000
                notional_units_min=10**8,  # 0.01 USD
                price_ticks_max=10**9,  # 10,000,000.00
                maker_fee_ppm=1_000,
                taker_fee_ppm=2_000,
            )
        )
    return definitions
