"""Only the leader appends to the journal, and nobody changes it."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A new leader raises the epoch by updating its row of shard_lease. The share lock makes that wait for an append under
# way, and makes an append wait for it; the check after the lock then sees what the lock waited for. So an append of
# an older epoch either commits before the new leader reads where the journal ends, or never. The trigger runs once a
# statement, COPY included: the leader's append is one COPY, with no question asked before it.
FENCE = """
CREATE FUNCTION journal_fence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entry record;
BEGIN
    PERFORM FROM shard_lease WHERE shard IN (SELECT shard FROM appended) FOR SHARE;
    SELECT a.shard, a.sequence, a.epoch, l.epoch AS lease_epoch INTO entry
        FROM appended a LEFT JOIN shard_lease l ON l.shard = a.shard
        WHERE a.epoch IS DISTINCT FROM l.epoch LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of shard % has epoch %, the lease is at %',
            entry.sequence, entry.shard, entry.epoch, coalesce(entry.lease_epoch::text, 'none')
            USING ERRCODE = 'EX001';
    END IF;
    RETURN NULL;
END $$
"""

FENCE_TRIGGER = """
CREATE TRIGGER journal_fence AFTER INSERT ON journal REFERENCING NEW TABLE AS appended
    FOR EACH STATEMENT EXECUTE FUNCTION journal_fence()
"""

# Retention and tests may set it, for their own session.
IMMUTABLE = """
CREATE FUNCTION journal_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('exchange.allow_journal_truncation', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'the journal is append only: % is refused', lower(TG_OP) USING ERRCODE = 'EX002';
    END IF;
    RETURN NULL;
END $$
"""

IMMUTABLE_TRIGGER = """
CREATE TRIGGER journal_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_immutable()
"""

# Records are small and change in every byte: compressing them costs time and saves nothing.
UNCOMPRESSED = """
ALTER TABLE journal
    ALTER COLUMN command SET STORAGE EXTERNAL,
    ALTER COLUMN events SET STORAGE EXTERNAL,
    ALTER COLUMN chain SET STORAGE EXTERNAL
"""


def upgrade() -> None:
    for statement in (FENCE, FENCE_TRIGGER, IMMUTABLE, IMMUTABLE_TRIGGER, UNCOMPRESSED):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER journal_fence ON journal")
    op.execute("DROP TRIGGER journal_immutable ON journal")
    op.execute("DROP FUNCTION journal_fence()")
    op.execute("DROP FUNCTION journal_immutable()")
    for column in ("command", "events", "chain"):
        op.execute(f"ALTER TABLE journal ALTER COLUMN {column} SET STORAGE EXTENDED")
