"""The tables of the first version: journal, users, projections."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "assets",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("asset", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scale", sa.SmallInteger(), nullable=False, comment="one asset is 10**scale units"),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of its definition"),
        sa.PrimaryKeyConstraint("shard", "asset", name="pk_assets"),
        sa.UniqueConstraint("shard", "name", name="uq_assets_shard_name"),
        comment="Projection catalogue: assets",
    )
    op.create_table(
        "balances",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("asset", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("available", sa.Numeric(precision=40, scale=0), nullable=False),
        sa.Column(
            "held", sa.Numeric(precision=40, scale=0), nullable=False, comment="what the account's resting orders need"
        ),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of the last command that touched it"),
        sa.CheckConstraint("available >= 0 OR account = 0", name="ck_balances_available"),
        sa.CheckConstraint("held >= 0", name="ck_balances_held"),
        sa.PrimaryKeyConstraint("shard", "account", "asset", name="pk_balances"),
        comment="Projection balances: account 0 is the outside world, 1 the exchange's revenue; an asset sums to zero",
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "candles_1m",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("market", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), autoincrement=False, nullable=False, comment="start of the minute"),
        sa.Column("open_ticks", sa.BigInteger(), nullable=False),
        sa.Column("high_ticks", sa.BigInteger(), nullable=False),
        sa.Column("low_ticks", sa.BigInteger(), nullable=False),
        sa.Column("close_ticks", sa.BigInteger(), nullable=False),
        sa.Column("volume_lots", sa.Numeric(precision=40, scale=0), nullable=False),
        sa.Column("quote_units", sa.Numeric(precision=40, scale=0), nullable=False),
        sa.Column("trades", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "market", "opened_ns", name="pk_candles_1m"),
        comment="Projection candles: a minute of a market's trades; minutes without a trade have none",
    )
    op.create_table(
        "fills",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("trade_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "is_maker", sa.Boolean(), nullable=False, comment="an account that trades with itself has two fills a trade"
        ),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("market", sa.Integer(), nullable=False),
        sa.Column("side", sa.SmallInteger(), nullable=False),
        sa.Column("price_ticks", sa.BigInteger(), nullable=False),
        sa.Column("quantity_lots", sa.BigInteger(), nullable=False),
        sa.Column(
            "fee_units",
            sa.BigInteger(),
            nullable=False,
            comment="of the asset it receives: base for a buy, quote for a sell",
        ),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("executed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "account", "trade_id", "is_maker", name="pk_fills"),
        comment="Projection trades: the two sides of every trade, as each order's owner sees them",
    )
    op.create_index("ix_fills_shard_order_id_trade_id", "fills", ["shard", "order_id", "trade_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "epoch", sa.BigInteger(), nullable=False, comment="of the leader that appended it; the fence compares it"
        ),
        sa.Column("command", sa.LargeBinary(), nullable=False, comment="one command record, 144 bytes"),
        sa.Column("events", sa.LargeBinary(), nullable=False, comment="the event records it caused, 136 bytes each"),
        sa.Column("chain", sa.LargeBinary(), nullable=False, comment="16 bytes that seal this entry and all before it"),
        sa.CheckConstraint("octet_length(chain) = 16", name="ck_journal_chain_size"),
        sa.CheckConstraint("octet_length(command) = 144", name="ck_journal_command_size"),
        sa.CheckConstraint("octet_length(events) % 136 = 0", name="ck_journal_events_size"),
        sa.PrimaryKeyConstraint("shard", "sequence", name="pk_journal"),
        comment="Every command and what it caused: the truth that everything else is derived from. Append only",
    )
    op.create_table(
        "ledger_entries",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "position", sa.Integer(), autoincrement=False, nullable=False, comment="among the entries of its command"
        ),
        sa.Column("asset", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.SmallInteger(),
            nullable=False,
            comment="1 deposit, 2 withdrawal, 3 hold, 4 release, 5 trade in, 6 trade out, 7 fee",
        ),
        sa.Column("available_change", sa.BigInteger(), nullable=False),
        sa.Column("held_change", sa.BigInteger(), nullable=False),
        sa.Column("available_after", sa.Numeric(precision=40, scale=0), nullable=False),
        sa.Column("held_after", sa.Numeric(precision=40, scale=0), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=True, comment="the order that caused it"),
        sa.Column("trade_id", sa.BigInteger(), nullable=True, comment="the trade that caused it"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "account", "sequence", "position", name="pk_ledger_entries"),
        comment="Projection balances: every change of a balance; the changes of a command sum to zero in each asset",
    )
    op.create_table(
        "markets",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("market", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("base", sa.Integer(), nullable=False, comment="asset"),
        sa.Column("quote", sa.Integer(), nullable=False, comment="asset"),
        sa.Column("maker_fee_ppm", sa.Integer(), nullable=False),
        sa.Column("taker_fee_ppm", sa.Integer(), nullable=False),
        sa.Column("lot_units", sa.BigInteger(), nullable=False, comment="base units a lot"),
        sa.Column(
            "tick_lot_units", sa.BigInteger(), nullable=False, comment="quote units that a lot costs at one tick"
        ),
        sa.Column("quantity_lots_min", sa.BigInteger(), nullable=False),
        sa.Column("quantity_lots_max", sa.BigInteger(), nullable=False),
        sa.Column("notional_units_min", sa.BigInteger(), nullable=False),
        sa.Column("price_ticks_max", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of its definition"),
        sa.PrimaryKeyConstraint("shard", "market", name="pk_markets"),
        sa.UniqueConstraint("shard", "symbol", name="uq_markets_shard_symbol"),
        comment="Projection catalogue: markets",
    )
    op.create_table(
        "orders",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "order_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="the sequence of its command"
        ),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=True),
        sa.Column("market", sa.Integer(), nullable=False),
        sa.Column("side", sa.SmallInteger(), nullable=False, comment="1 buy, 2 sell"),
        sa.Column("order_type", sa.SmallInteger(), nullable=False, comment="1 market, 2 limit"),
        sa.Column("time_in_force", sa.SmallInteger(), nullable=False, comment="1 GTC, 3 IOC, 4 FOK"),
        sa.Column("flags", sa.SmallInteger(), nullable=False, comment="1 post-only"),
        sa.Column("price_ticks", sa.BigInteger(), nullable=False, comment="0: a market order without protection price"),
        sa.Column("quantity_lots", sa.BigInteger(), nullable=False),
        sa.Column("remaining_lots", sa.BigInteger(), nullable=False, comment="0 once it has ended"),
        sa.Column("filled_lots", sa.BigInteger(), nullable=False),
        sa.Column("filled_quote_units", sa.Numeric(precision=40, scale=0), nullable=False),
        sa.Column(
            "fee_units",
            sa.Numeric(precision=40, scale=0),
            nullable=False,
            comment="of the asset it receives: base for a buy, quote for a sell",
        ),
        sa.Column(
            "status", sa.SmallInteger(), nullable=False, comment="1 open, 2 partially filled, 3 filled, 4 cancelled"
        ),
        sa.Column("end_reason", sa.SmallInteger(), nullable=False, comment="why it was cancelled, else 0"),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of the last command that touched it"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "order_id", name="pk_orders"),
        comment="Projection orders: accepted orders in their latest state",
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_orders_open",
        "orders",
        ["shard", "account", "order_id"],
        unique=False,
        postgresql_where=sa.text("status <= 2"),
    )
    op.create_index("ix_orders_shard_account_order_id", "orders", ["shard", "account", "order_id"], unique=False)
    op.create_index(
        "uq_orders_client_order_id",
        "orders",
        ["shard", "account", "client_order_id"],
        unique=True,
        postgresql_where=sa.text("client_order_id IS NOT NULL"),
    )
    op.create_table(
        "rejections",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.SmallInteger(), nullable=False),
        sa.Column("market", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.SmallInteger(), nullable=False),
        sa.Column("order_type", sa.SmallInteger(), nullable=False),
        sa.Column("time_in_force", sa.SmallInteger(), nullable=False),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        sa.Column("price_ticks", sa.BigInteger(), nullable=False),
        sa.Column("quantity_lots", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "sequence", name="pk_rejections"),
        sa.UniqueConstraint("shard", "account", "client_order_id", name="uq_rejections_shard_account_client_order_id"),
        comment="Projection orders: refused orders that had a client order id, which gets the same refusal for ever",
    )
    op.create_table(
        "shard_lease",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="grows by one with every new leader"),
        sa.Column("holder", sa.Text(), nullable=False, comment="who leads: host and process"),
        sa.Column("acquired_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_shard_lease"),
        comment="Who may append to the journal of a shard: one row a shard",
    )
    op.create_table(
        "snapshots",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "sequence", sa.BigInteger(), autoincrement=False, nullable=False, comment="the last command it includes"
        ),
        sa.Column(
            "digest", sa.BigInteger(), nullable=False, comment="of the engine's state, 64 bits as two's complement"
        ),
        sa.Column("state", sa.LargeBinary(), nullable=False, comment="what the engine's snapshot() gave"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "sequence", name="pk_snapshots"),
        comment="Engine states that a start begins from, instead of the journal's first entry",
    )
    op.create_table(
        "trades",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("trade_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("market", sa.Integer(), nullable=False),
        sa.Column("side", sa.SmallInteger(), nullable=False, comment="the taker's"),
        sa.Column("price_ticks", sa.BigInteger(), nullable=False),
        sa.Column("quantity_lots", sa.BigInteger(), nullable=False),
        sa.Column("notional_units", sa.BigInteger(), nullable=False, comment="quote units"),
        sa.Column("taker_order_id", sa.BigInteger(), nullable=False),
        sa.Column("maker_order_id", sa.BigInteger(), nullable=False),
        sa.Column("executed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "trade_id", name="pk_trades"),
        comment="Projection trades: what the public sees of them",
    )
    op.create_index("ix_trades_shard_market_trade_id", "trades", ["shard", "market", "trade_id"], unique=False)
    op.create_table(
        "users",
        sa.Column("account_id", sa.BigInteger(), sa.Identity(always=True, start=1000), nullable=False),
        sa.Column("username", sa.Text(), nullable=False, comment="case folded"),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="argon2id, encoded with its parameters"),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_users"),
        sa.UniqueConstraint("username", name="uq_users_username"),
        comment="Who may log in. Accounts below 1000 belong to the exchange itself",
    )
    op.create_table(
        "watermarks",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "sequence", sa.BigInteger(), nullable=False, comment="the last journal entry that the projection includes"
        ),
        sa.PrimaryKeyConstraint("projection", "shard", name="pk_watermarks"),
        comment="How far each projection has followed the journal",
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token, which is not stored"),
        sa.Column("family", sa.Uuid(), nullable=False, comment="one login and all that was refreshed from it"),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("issued_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column(
            "used_ns",
            sa.BigInteger(),
            nullable=True,
            comment="when it was exchanged for the next one; a second use is theft",
        ),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True, comment="when its family was ended"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["users.account_id"], name="fk_refresh_tokens_account_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_refresh_tokens"),
        comment="Refresh tokens, each good for one use",
    )
    op.create_index("ix_refresh_tokens_account_id", "refresh_tokens", ["account_id"], unique=False)
    op.create_index("ix_refresh_tokens_expires_ns", "refresh_tokens", ["expires_ns"], unique=False)
    op.create_index("ix_refresh_tokens_family", "refresh_tokens", ["family"], unique=False)


def downgrade() -> None:
    op.drop_table("refresh_tokens")
    op.drop_table("watermarks")
    op.drop_table("users")
    op.drop_table("trades")
    op.drop_table("snapshots")
    op.drop_table("shard_lease")
    op.drop_table("rejections")
    op.drop_table("orders")
    op.drop_table("markets")
    op.drop_table("ledger_entries")
    op.drop_table("journal")
    op.drop_table("fills")
    op.drop_table("candles_1m")
    op.drop_table("balances")
    op.drop_table("assets")
