"""Withdrawals on their way out; transfers by account."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

REFERENCE = "in the account's words; the same again is the same withdrawal"
STATES = "created, requested, sent, refusing; ended: completed, refused"
IS_STATE = "state IN ('created', 'requested', 'sent', 'refusing', 'completed', 'refused')"


def upgrade() -> None:
    op.create_table(
        "withdrawals",
        sa.Column("withdrawal_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False, comment=REFERENCE),
        sa.Column("asset", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="units of the asset"),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("custody", sa.Text(), nullable=False, comment="the adapter that it goes out by"),
        sa.Column("state", sa.Text(), nullable=False, comment=STATES),
        sa.Column("sequence", sa.BigInteger(), comment="of the transfer that took it from the balance"),
        sa.Column("refund_sequence", sa.BigInteger(), comment="of the transfer that gave it back"),
        sa.Column("outside_id", sa.Text(), comment="what the outside knows it by"),
        sa.Column("refusal", sa.Text(), comment="why the custody refused it"),
        sa.Column("tries", sa.Integer(), nullable=False, comment="of the next step"),
        sa.Column("due_ns", sa.BigInteger(), nullable=False, comment="when to take the next step"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(IS_STATE, name=op.f("ck_withdrawals_state")),
        sa.CheckConstraint("state = 'created' OR sequence IS NOT NULL", name=op.f("ck_withdrawals_debited")),
        sa.CheckConstraint("(state = 'refused') = (refund_sequence IS NOT NULL)", name=op.f("ck_withdrawals_refunded")),
        sa.ForeignKeyConstraint(["account_id"], ["users.account_id"], name="fk_withdrawals_account_id_users"),
        sa.PrimaryKeyConstraint("withdrawal_id", name="pk_withdrawals"),
        sa.UniqueConstraint("account_id", "reference", name="uq_withdrawals_account_id_reference"),
        comment="Withdrawals and how far each has come; the money is in the ledger",
    )
    op.create_index("ix_withdrawals_account_id_withdrawal_id", "withdrawals", ["account_id", "withdrawal_id"])
    op.create_index(
        "ix_withdrawals_due",
        "withdrawals",
        ["due_ns"],
        postgresql_where=sa.text("state NOT IN ('completed', 'refused')"),
    )
    op.create_index("ix_transfers_shard_account_sequence", "transfers", ["shard", "account", "sequence"])


def downgrade() -> None:
    op.drop_index("ix_transfers_shard_account_sequence", "transfers")
    op.drop_table("withdrawals")
