"""Who may do what: sessions with their device, API keys, second factors, frozen users, attempts at logging in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A session is what used to be a family of refresh tokens and nothing more.
SESSIONS_OF_FAMILIES = """
INSERT INTO sessions (session_id, account_id, created_ns, used_ns, expires_ns, revoked_ns)
    SELECT family, account_id, min(issued_ns), max(issued_ns), max(expires_ns), max(revoked_ns)
        FROM refresh_tokens GROUP BY family, account_id
"""
REVOKED_TOKENS_OF_SESSIONS = """
UPDATE refresh_tokens SET revoked_ns = sessions.revoked_ns FROM sessions WHERE session_id = family
"""


def upgrade() -> None:
    _users()
    _sessions()
    _api_keys()
    _second_factors()
    op.create_table(
        "attempts",
        sa.Column("subject", sa.LargeBinary(), nullable=False, comment="SHA-256 of the account or address tried"),
        sa.Column("full_at_ns", sa.BigInteger(), nullable=False, comment="when its allowance is whole again"),
        sa.PrimaryKeyConstraint("subject", name="pk_attempts"),
        prefixes=["UNLOGGED"],
        comment="Attempts at secrets, by what was tried: a token bucket a row, worthless once it is whole again",
    )
    op.create_index("ix_attempts_full_at_ns", "attempts", ["full_at_ns"], unique=False)


def _users() -> None:
    op.add_column("users", sa.Column("role", sa.Text(), nullable=False, server_default="user", comment="user or admin"))
    op.add_column("users", sa.Column("frozen_ns", sa.BigInteger(), comment="since when it may only read and cancel"))
    op.create_check_constraint(op.f("ck_users_role"), "users", "role IN ('user', 'admin')")
    op.create_index(
        "ix_users_frozen", "users", ["account_id"], unique=False, postgresql_where=sa.text("frozen_ns IS NOT NULL")
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("used_ns", sa.BigInteger(), nullable=False, comment="when it was begun or refreshed last"),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False, comment="of its newest refresh token"),
        sa.Column("address", sa.Text(), nullable=False, server_default="", comment="where it was used from last"),
        sa.Column("user_agent", sa.Text(), nullable=False, server_default="", comment="as it said at its begin"),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True, comment="when it was ended before its time"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["users.account_id"], name="fk_sessions_account_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
        comment="Sessions: one login and all that was refreshed from it",
    )
    op.create_index("ix_sessions_account_id", "sessions", ["account_id"], unique=False)
    op.create_index(
        "ix_sessions_revoked",
        "sessions",
        ["revoked_ns"],
        unique=False,
        postgresql_where=sa.text("revoked_ns IS NOT NULL"),
    )
    op.execute(SESSIONS_OF_FAMILIES)
    op.drop_column("refresh_tokens", "revoked_ns")
    op.drop_index("ix_refresh_tokens_family", "refresh_tokens")
    op.alter_column("refresh_tokens", "family", new_column_name="session_id", comment=None)
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"], unique=False)
    op.create_foreign_key(
        "fk_refresh_tokens_session_id_sessions",
        "refresh_tokens",
        "sessions",
        ["session_id"],
        ["session_id"],
        ondelete="CASCADE",
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="hmac or ed25519"),
        sa.Column("secret", sa.LargeBinary(), nullable=True, comment="hmac: sealed with the installation's secret"),
        sa.Column("public_key", sa.LargeBinary(), nullable=True, comment="ed25519: its 32 bytes"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False, comment="of read, trade, transfer"),
        sa.Column("symbols", sa.ARRAY(sa.Text()), nullable=True, comment="the markets it may trade on; none: all"),
        sa.Column("notional_max", JSONB(), nullable=False, comment="symbol or quote asset -> most quote an order"),
        sa.Column("addresses", sa.ARRAY(sa.Text()), nullable=True, comment="networks it is used from; none: any"),
        sa.Column("receive_window_ms", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=True),
        sa.Column("used_ns", sa.BigInteger(), nullable=True, comment="to the second or so"),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False, comment="by which other processes find changes"),
        sa.CheckConstraint("kind IN ('hmac', 'ed25519')", name="ck_api_keys_kind"),
        sa.CheckConstraint(
            "(kind = 'hmac') = (secret IS NOT NULL) AND (kind = 'ed25519') = (public_key IS NOT NULL)",
            name="ck_api_keys_secret",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["users.account_id"], name="fk_api_keys_account_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
        comment="API keys: programs that sign their requests",
    )
    op.create_index("ix_api_keys_account_id", "api_keys", ["account_id"], unique=False)
    op.create_index("ix_api_keys_changed_ns", "api_keys", ["changed_ns"], unique=False)


def _second_factors() -> None:
    op.create_table(
        "second_factors",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="sealed with the installation's secret"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_ns", sa.BigInteger(), nullable=True, comment="since when a login asks for it"),
        sa.Column("used_step", sa.BigInteger(), nullable=False, comment="of the last code; only later ones are good"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["users.account_id"], name="fk_second_factors_account_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name="pk_second_factors"),
        comment="Second factors: time-based one-time passwords (RFC 6238)",
    )
    op.create_table(
        "recovery_codes",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the code, which is not stored"),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["second_factors.account_id"],
            name="fk_recovery_codes_account_id_second_factors",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "code_hash", name="pk_recovery_codes"),
        comment="Recovery codes that are left: each stands in for a second factor once",
    )


def downgrade() -> None:
    op.drop_table("recovery_codes")
    op.drop_table("second_factors")
    op.drop_table("api_keys")
    op.drop_table("attempts")
    op.add_column("refresh_tokens", sa.Column("revoked_ns", sa.BigInteger(), comment="when its family was ended"))
    op.drop_constraint("fk_refresh_tokens_session_id_sessions", "refresh_tokens")
    op.drop_index("ix_refresh_tokens_session_id", "refresh_tokens")
    op.alter_column(
        "refresh_tokens",
        "session_id",
        new_column_name="family",
        comment="one login and all that was refreshed from it",
    )
    op.create_index("ix_refresh_tokens_family", "refresh_tokens", ["family"], unique=False)
    op.execute(REVOKED_TOKENS_OF_SESSIONS)
    op.drop_table("sessions")
    op.drop_index("ix_users_frozen", "users")
    op.drop_constraint(op.f("ck_users_role"), "users")
    op.drop_column("users", "frozen_ns")
    op.drop_column("users", "role")
