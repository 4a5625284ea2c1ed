"""A lease by time: a leader that stands still is told from one that works."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lease_renewals",
        sa.Column("shard", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False, comment="of the leader that renews it"),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False, comment="by the clock of the database"),
        sa.PrimaryKeyConstraint("shard", name="pk_lease_renewals"),
        comment="That the leader of a shard still moves: one row a shard",
    )


def downgrade() -> None:
    op.drop_table("lease_renewals")
