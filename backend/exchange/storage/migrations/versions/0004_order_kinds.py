"""Orders of every kind, and the terms and mode of a market."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATUS = "0 waiting, 1 open, 2 partially filled, 3 filled, 4 cancelled, 5 expired, 6 rejected in its turn"
_TYPES = "1 market, 2 limit, 3 stop, 4 stop-limit, 5 take-profit, 6 take-profit-limit, 7 trailing stop"
_SELF_TRADE = "0 trades, 1 cancel newest, 2 oldest, 3 both, 4 decrement"
_MODES = "0 open, 1 cancel-only, 2 post-only, 3 halted, 4 auction"

# Column, type, comment. All are 0 for what version 1 of the engine did.
ORDER_COLUMNS = (
    ("self_trade", sa.SmallInteger, _SELF_TRADE),
    ("prevented_lots", sa.BigInteger, "self-trades that did not happen"),
    ("quote_units", sa.BigInteger, "a market order by amount, else 0"),
    ("trigger_price_ticks", sa.BigInteger, "as an event told it last"),
    ("trail_ticks", sa.BigInteger, None),
    ("display_lots", sa.BigInteger, "an iceberg, else 0"),
    ("visible_lots", sa.BigInteger, "what an iceberg shows now"),
    ("min_quantity_lots", sa.BigInteger, None),
    ("expire_ns", sa.BigInteger, None),
    ("other_leg_id", sa.BigInteger, "one cancels the other"),
    ("parent_id", sa.BigInteger, "whose end activates it"),
    ("child_id", sa.BigInteger, "what its end activates"),
    ("waiting", sa.SmallInteger, "1 for its trigger, 2 for its parent"),
    ("amendments", sa.Integer, None),
)
MARKET_COLUMNS = (
    ("open_orders_max", sa.BigInteger, "an account; 0 without limit"),
    ("position_lots_max", sa.BigInteger, "an account; 0 without limit"),
    ("band_ppm", sa.Integer, "width of the price band; 0 without"),
    ("band_action", sa.SmallInteger, "0 reject, 1 auction"),
    ("band_interval_ns", sa.BigInteger, None),
    ("band_auction_ns", sa.BigInteger, None),
    ("mode", sa.SmallInteger, _MODES),
)
# Table, column, comment, comment before.
COMMENTS = (
    ("orders", "order_type", _TYPES, "1 market, 2 limit"),
    ("orders", "time_in_force", "0 day, 1 GTC, 3 IOC, 4 FOK, 6 GTD", "1 GTC, 3 IOC, 4 FOK"),
    ("orders", "flags", "1 post-only, 2 slide", "1 post-only"),
    ("orders", "price_ticks", "0: none, and no protection price", "0: a market order without protection price"),
    ("orders", "status", _STATUS, "1 open, 2 partially filled, 3 filled, 4 cancelled"),
    ("orders", "end_reason", "why it ended without being filled, else 0", "why it was cancelled, else 0"),
)
MARKETS_COMMENT = ("Projection catalogue: markets, on the terms in force", "Projection catalogue: markets")


def upgrade() -> None:
    for table, columns in (("orders", ORDER_COLUMNS), ("markets", MARKET_COLUMNS)):
        for name, kind, comment in columns:
            op.add_column(table, sa.Column(name, kind(), nullable=False, server_default="0", comment=comment))
    for table in ("trades", "fills"):
        column: sa.Column[bool] = sa.Column(
            "is_auction", sa.Boolean(), nullable=False, server_default="false", comment="nobody was the taker"
        )
        op.add_column(table, column)
    for table, name, comment, before in COMMENTS:
        op.alter_column(table, name, comment=comment, existing_comment=before)
    op.create_table_comment("markets", MARKETS_COMMENT[0], existing_comment=MARKETS_COMMENT[1])


def downgrade() -> None:
    """Back to a schema that has no place for them. The journal keeps all; version 1 of the engine cannot read it."""
    op.create_table_comment("markets", MARKETS_COMMENT[1], existing_comment=MARKETS_COMMENT[0])
    for table, name, comment, after in COMMENTS:
        op.alter_column(table, name, comment=after, existing_comment=comment)
    for table in ("fills", "trades"):
        op.drop_column(table, "is_auction")
    for table, columns in (("markets", MARKET_COLUMNS), ("orders", ORDER_COLUMNS)):
        for name, _, _ in columns:
            op.drop_column(table, name)
