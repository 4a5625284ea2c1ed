"""Admins, and what was done with their power: append only, without gaps, every row sealed into a chain."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# The trigger counts and seals, so that whoever inserts, by whatever program, continues the chain: one writer at a
# time, since the lock is held until the transaction ends. What is hashed: the hash before (32 zero bytes before the
# first row), then each field as `length:text,`, and `-,` for none, so that no two rows read the same.
CHAIN = """
CREATE FUNCTION audit_log_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
    field text;
    sealed bytea;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_log'));
    SELECT sequence, hash INTO last FROM audit_log ORDER BY sequence DESC LIMIT 1;
    NEW.sequence := coalesce(last.sequence, 0) + 1;
    NEW.recorded_ns := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000;
    sealed := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    FOREACH field IN ARRAY ARRAY[
        NEW.sequence::text, NEW.recorded_ns::text, NEW.actor_account::text, NEW.actor, NEW.address, NEW.action,
        NEW.parameters, NEW.outcome, NEW.reason, NEW.intent::text, NEW.journal_sequence::text
    ] LOOP
        sealed := sealed
            || convert_to(coalesce(octet_length(convert_to(field, 'UTF8')) || ':' || field, '-') || ',', 'UTF8');
    END LOOP;
    NEW.hash := sha256(sealed);
    RETURN NEW;
END $$
"""

CHAIN_TRIGGER = """
CREATE TRIGGER audit_log_chain BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_chain()
"""

# Nobody is exempt, not even for their own session.
IMMUTABLE = """
CREATE FUNCTION audit_log_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append only: % is refused', lower(TG_OP) USING ERRCODE = 'EX003';
END $$
"""

IMMUTABLE_TRIGGER = """
CREATE TRIGGER audit_log_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_immutable()
"""


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column(
            "sequence", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3, ...; the trigger counts"
        ),
        sa.Column("recorded_ns", sa.BigInteger(), nullable=False, comment="the database's clock"),
        sa.Column("actor_account", sa.BigInteger(), comment="none: the operator at a command line"),
        sa.Column("actor", sa.Text(), nullable=False, comment="username, or the operator's name on their machine"),
        sa.Column("address", sa.Text(), nullable=False, comment="from where: network address, or host"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False, comment="JSON, as it was sealed"),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), comment="why it was refused, or is not known"),
        sa.Column("intent", sa.BigInteger(), comment="the row of the intent that this is the outcome of"),
        sa.Column("journal_sequence", sa.BigInteger(), comment="of the command that carried it out"),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 over the hash before and this row"),
        sa.CheckConstraint("outcome IN ('Intended', 'Done', 'Refused', 'Unknown')", name="ck_audit_log_outcome"),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_log"),
        comment="What was done with an operator's power. Append only; triggers count and seal every row",
    )
    op.create_index(
        "ix_users_admins", "users", ["account_id"], unique=False, postgresql_where=sa.text("role = 'admin'")
    )
    for statement in (CHAIN, CHAIN_TRIGGER, IMMUTABLE, IMMUTABLE_TRIGGER):
        op.execute(statement)


def downgrade() -> None:
    op.drop_index("ix_users_admins", "users")
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION audit_log_chain()")
    op.execute("DROP FUNCTION audit_log_immutable()")
