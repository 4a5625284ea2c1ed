"""What accounts pay of the markets' fees, and the trading that may earn them less."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FEES = "Projection fees: what accounts pay of the markets' fees; one that is not here pays the whole"


def upgrade() -> None:
    op.create_table(
        "account_fees",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("maker_share_ppm", sa.Integer(), nullable=False, comment="millionths of a market's maker fee"),
        sa.Column("taker_share_ppm", sa.Integer(), nullable=False, comment="millionths of a market's taker fee"),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of the command that set them"),
        sa.PrimaryKeyConstraint("shard", "account", name="pk_account_fees"),
        comment=FEES,
    )
    op.create_table(
        "account_volumes",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("day_ns", sa.BigInteger(), nullable=False, comment="start of the day in UTC"),
        sa.Column("market", sa.Integer(), nullable=False),
        sa.Column(
            "quote_units", sa.Numeric(40, 0), nullable=False, comment="notional that it traded as maker or taker"
        ),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of the last trade in it"),
        sa.PrimaryKeyConstraint("shard", "account", "day_ns", "market", name="pk_account_volumes"),
        comment="Projection volumes: what accounts traded with others, by day and market",
        postgresql_with={"fillfactor": 80},
    )


def downgrade() -> None:
    op.drop_table("account_volumes")
    op.drop_table("account_fees")
    op.execute("DELETE FROM watermarks WHERE projection IN ('fees', 'volumes')")
