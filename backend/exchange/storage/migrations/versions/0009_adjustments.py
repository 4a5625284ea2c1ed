"""Corrections of balances that two admins make."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATUSES = "status IN ('Proposed', 'Approved', 'Executed', 'Refused', 'Rejected', 'Withdrawn')"
_KINDS = "1 deposit, 2 withdrawal, 3 hold, 4 release, 5 trade in, 6 trade out, 7 fee"
FOUR_EYES = "status IN ('Proposed', 'Rejected', 'Withdrawn') OR coalesce(decided_by <> proposed_by, false)"


def upgrade() -> None:
    op.create_table(
        "adjustments",
        sa.Column("adjustment_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("asset", sa.Integer(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.BigInteger(), nullable=False),
        sa.Column("proposed_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False, comment="until when it can be approved"),
        sa.Column("decided_by", sa.BigInteger(), comment="who approved, rejected or withdrew it"),
        sa.Column("decided_ns", sa.BigInteger()),
        sa.Column("journal_sequence", sa.BigInteger(), comment="of the transfer, or of its refusal"),
        sa.Column("refusal", sa.Text(), comment="why the exchange refused it"),
        sa.CheckConstraint("direction IN ('Credit', 'Debit')", name="ck_adjustments_direction"),
        sa.CheckConstraint("units > 0", name="ck_adjustments_units"),
        sa.CheckConstraint(STATUSES, name="ck_adjustments_status"),
        sa.CheckConstraint(FOUR_EYES, name="ck_adjustments_four_eyes"),
        *(
            sa.ForeignKeyConstraint([column], ["users.account_id"], name=f"fk_adjustments_{column}_users")
            for column in ("account", "proposed_by", "decided_by")
        ),
        sa.PrimaryKeyConstraint("adjustment_id", name="pk_adjustments"),
        comment="Corrections of balances: one admin proposes, another approves",
    )
    op.alter_column("ledger_entries", "kind", comment=f"{_KINDS}, 8 adjustment", existing_comment=_KINDS)
    op.create_index(
        "ix_adjustments_approved",
        "adjustments",
        ["adjustment_id"],
        unique=False,
        postgresql_where=sa.text("status = 'Approved'"),
    )


def downgrade() -> None:
    op.alter_column("ledger_entries", "kind", comment=_KINDS, existing_comment=f"{_KINDS}, 8 adjustment")
    op.drop_table("adjustments")
