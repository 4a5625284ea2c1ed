"""Transfers, found again by their references."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

REFERENCE = "in its maker's words: an account's transfer of that name, once for ever"


def upgrade() -> None:
    op.create_table(
        "transfers",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False, comment="1 deposit, 2 withdrawal"),
        sa.Column("asset", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="units of the asset"),
        sa.Column("reference", sa.Text(), comment=REFERENCE),
        sa.Column("reason", sa.SmallInteger(), nullable=False, comment="0: it happened; else why it was refused"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "sequence", name="pk_transfers"),
        comment="Projection transfers: deposits and withdrawals, and refused ones that had a reference",
    )
    op.create_index(
        "uq_transfers_reference",
        "transfers",
        ["shard", "account", "reference"],
        unique=True,
        postgresql_where=sa.text("reference IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("transfers")
    op.execute("DELETE FROM watermarks WHERE projection = 'transfers'")
