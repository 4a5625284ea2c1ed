"""The ledger as a row for all that a command did to an account, and an entry each in a view."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KINDS = "1 deposit, 2 withdrawal, 3 hold, 4 release, 5 trade in, 6 trade out, 7 fee, 8 adjustment"
LEDGER = "Projection balances: all that a command did to an account; an entry each in the view ledger_entries"
ENTRIES = "Projection balances: every change of a balance; the changes of a command sum to zero in each asset"

PACK = """
INSERT INTO ledger
SELECT shard, account, sequence, min(created_ns), array_agg(asset ORDER BY position), array_agg(kind ORDER BY position),
    array_agg(available_change ORDER BY position), array_agg(held_change ORDER BY position),
    array_agg(available_after ORDER BY position), array_agg(held_after ORDER BY position),
    array_agg(order_id ORDER BY position), array_agg(trade_id ORDER BY position)
FROM ledger_entries GROUP BY shard, account, sequence
"""
VIEW = """
CREATE VIEW ledger_entries AS
SELECT shard, account, sequence, (entry.number - 1)::integer AS position, entry.asset, entry.kind,
    entry.available_change, entry.held_change, entry.available_after, entry.held_after, entry.order_id, entry.trade_id,
    created_ns
FROM ledger CROSS JOIN LATERAL unnest(
    assets, kinds, available_changes, held_changes, ledger.available_after, ledger.held_after, order_ids, trade_ids
) WITH ORDINALITY AS entry(
    asset, kind, available_change, held_change, available_after, held_after, order_id, trade_id, number
)
"""


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("assets", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("kinds", sa.ARRAY(sa.SmallInteger()), nullable=False, comment=KINDS),
        sa.Column("available_changes", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("held_changes", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("available_after", sa.ARRAY(sa.Numeric(40, 0)), nullable=False),
        sa.Column("held_after", sa.ARRAY(sa.Numeric(40, 0)), nullable=False),
        sa.Column("order_ids", sa.ARRAY(sa.BigInteger()), nullable=False, comment="the orders that caused them"),
        sa.Column("trade_ids", sa.ARRAY(sa.BigInteger()), nullable=False, comment="the trades that caused them"),
        sa.PrimaryKeyConstraint("shard", "account", "sequence", name="pk_ledger"),
        comment=LEDGER,
    )
    op.execute(PACK)
    op.drop_table("ledger_entries")
    op.execute(VIEW)
    op.execute("COMMENT ON VIEW ledger_entries IS 'Every change of a balance, from the table ledger'")


def downgrade() -> None:
    op.execute("ALTER VIEW ledger_entries RENAME TO ledger_view")
    op.create_table(
        "ledger_entries",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="among the entries of its command"),
        sa.Column("asset", sa.Integer(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False, comment=KINDS),
        sa.Column("available_change", sa.BigInteger(), nullable=False),
        sa.Column("held_change", sa.BigInteger(), nullable=False),
        sa.Column("available_after", sa.Numeric(40, 0), nullable=False),
        sa.Column("held_after", sa.Numeric(40, 0), nullable=False),
        sa.Column("order_id", sa.BigInteger(), comment="the order that caused it"),
        sa.Column("trade_id", sa.BigInteger(), comment="the trade that caused it"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "account", "sequence", "position", name="pk_ledger_entries"),
        comment=ENTRIES,
    )
    op.execute("INSERT INTO ledger_entries SELECT * FROM ledger_view")
    op.execute("DROP VIEW ledger_view")
    op.drop_table("ledger")
