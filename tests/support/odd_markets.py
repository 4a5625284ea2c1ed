"""Markets as Hypothesis draws them: of every scale, with ticks and lots of 1, 2 and 5, and bounds near and far."""

from hypothesis import strategies as st

from exchange.contracts.units import Asset, Market

_SCALES = st.integers(0, 18)
_FACTORS = st.sampled_from((1, 2, 5))
_ROUND = st.builds(lambda factor, zeros: factor * 10**zeros, _FACTORS, st.integers(0, 17))
_WIDE = st.one_of(st.integers(1, 50), st.integers(1, 2**62 - 1))
_USUAL = st.one_of(st.just(1), st.just(1), _WIDE)


@st.composite
def odd_markets(draw: st.DrawFn) -> Market:
    """A market that decimals can be written for."""
    base, quote = Asset(1, "BTC", draw(_SCALES)), Asset(2, draw(st.sampled_from(("USD", "É$", 'U"S'))), draw(_SCALES))
    lots_min, lots_max = sorted((draw(_USUAL), draw(_WIDE)))
    return Market(
        draw(st.integers(1, 1023)),
        f"{base.name}/{quote.name}",
        base,
        quote,
        lot_units=draw(_FACTORS) * 10 ** draw(_SCALES),
        tick_lot_units=draw(st.one_of(_ROUND, _ROUND, _WIDE)),
        quantity_lots_min=lots_min,
        quantity_lots_max=lots_max,
        notional_units_min=draw(_USUAL),
        price_ticks_max=draw(st.one_of(st.integers(1, 100), st.integers(1, 2**32 - 1))),
        maker_fee_ppm=1_000,
        taker_fee_ppm=2_000,
    )
