"""The SQL tables: the journal that is the truth, what only Postgres knows (users), and projections of the journal.

Integers inside: prices in ticks, quantities in lots, amounts in units of their asset, times in nanoseconds of Unix
time (`*_ns`). Sums that may pass 64 bits are NUMERIC(40, 0). `exchange.storage.migrations` makes this schema, and the
triggers that guard the journal; a test holds the two against each other.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Beyond int64: balances, and totals of many trades.
Total = Numeric(40, 0)


# --- The journal -------------------------------------------------------------------------------------------------

shard_lease = Table(
    "shard_lease",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, comment="grows by one with every new leader"),
    Column("holder", Text, nullable=False, comment="who leads: host and process"),
    Column("acquired_ns", BigInteger, nullable=False),
    comment="Who may append to the journal of a shard: one row a shard",
)

lease_renewals = Table(
    "lease_renewals",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, comment="of the leader that renews it"),
    Column("renewed_at", DateTime(timezone=True), nullable=False, comment="by the clock of the database"),
    comment="That the leader of a shard still moves: one row a shard",
)

journal = Table(
    "journal",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, comment="of the leader that appended it; the fence compares it"),
    Column("command", LargeBinary, nullable=False, comment="one command record, 144 bytes"),
    Column("events", LargeBinary, nullable=False, comment="the event records it caused, 136 bytes each"),
    Column("chain", LargeBinary, nullable=False, comment="16 bytes that seal this entry and all before it"),
    CheckConstraint("octet_length(command) = 144", name="command_size"),
    CheckConstraint("octet_length(events) % 136 = 0", name="events_size"),
    CheckConstraint("octet_length(chain) = 16", name="chain_size"),
    comment="Every command and what it caused: the truth that everything else is derived from. Append only",
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="the last command it includes"),
    Column("digest", BigInteger, nullable=False, comment="of the engine's state, 64 bits as two's complement"),
    Column("state", LargeBinary, nullable=False, comment="what the engine's snapshot() gave"),
    Column("created_ns", BigInteger, nullable=False),
    comment="Engine states that a start begins from, instead of the journal's first entry",
)


# --- Users: not derived from the journal -------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    Column("account_id", BigInteger, Identity(always=True, start=1000), primary_key=True),
    Column("username", Text, nullable=False, unique=True, comment="case folded"),
    Column("password_hash", Text, nullable=False, comment="argon2id, encoded with its parameters"),
    Column("created_ns", BigInteger, nullable=False),
    Column("role", Text, nullable=False, server_default="user", comment="user or admin"),
    Column("frozen_ns", BigInteger, comment="since when it may only read and cancel"),
    CheckConstraint("role IN ('user', 'admin')", name="role"),
    Index("ix_users_frozen", "account_id", postgresql_where=text("frozen_ns IS NOT NULL")),
    Index("ix_users_admins", "account_id", postgresql_where=text("role = 'admin'")),
    comment="Who may log in. Accounts below 1000 belong to the exchange itself",
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("account_id", ForeignKey("users.account_id", ondelete="CASCADE"), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger, nullable=False, comment="when it was begun or refreshed last"),
    Column("expires_ns", BigInteger, nullable=False, comment="of its newest refresh token"),
    Column("address", Text, nullable=False, server_default="", comment="where it was used from last"),
    Column("user_agent", Text, nullable=False, server_default="", comment="as it said at its begin"),
    Column("revoked_ns", BigInteger, comment="when it was ended before its time"),
    Index(None, "account_id"),
    Index("ix_sessions_revoked", "revoked_ns", postgresql_where=text("revoked_ns IS NOT NULL")),
    comment="Sessions: one login and all that was refreshed from it",
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of the token, which is not stored"),
    Column("session_id", ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("account_id", ForeignKey("users.account_id", ondelete="CASCADE"), nullable=False),
    Column("issued_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger, comment="when it was exchanged for the next one; a second use is theft"),
    Index(None, "session_id"),
    Index(None, "account_id"),
    Index(None, "expires_ns"),
    comment="Refresh tokens, each good for one use",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("account_id", ForeignKey("users.account_id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="hmac or ed25519"),
    Column("secret", LargeBinary, comment="hmac: sealed with the installation's secret"),
    Column("public_key", LargeBinary, comment="ed25519: its 32 bytes"),
    Column("scopes", ARRAY(Text), nullable=False, comment="of read, trade, transfer"),
    Column("symbols", ARRAY(Text), comment="the markets it may trade on; none: all"),
    Column("notional_max", JSONB, nullable=False, comment="symbol or quote asset -> most quote an order"),
    Column("addresses", ARRAY(Text), comment="networks it is used from; none: any"),
    Column("receive_window_ms", Integer, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),
    Column("used_ns", BigInteger, comment="to the second or so"),
    Column("revoked_ns", BigInteger),
    Column("changed_ns", BigInteger, nullable=False, comment="by which other processes find changes"),
    CheckConstraint("kind IN ('hmac', 'ed25519')", name="kind"),
    CheckConstraint(
        "(kind = 'hmac') = (secret IS NOT NULL) AND (kind = 'ed25519') = (public_key IS NOT NULL)", name="secret"
    ),
    Index(None, "account_id"),
    Index(None, "changed_ns"),
    comment="API keys: programs that sign their requests",
)

second_factors = Table(
    "second_factors",
    metadata,
    Column("account_id", ForeignKey("users.account_id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("secret", LargeBinary, nullable=False, comment="sealed with the installation's secret"),
    Column("created_ns", BigInteger, nullable=False),
    Column("confirmed_ns", BigInteger, comment="since when a login asks for it"),
    Column("used_step", BigInteger, nullable=False, comment="of the last code; only later ones are good"),
    comment="Second factors: time-based one-time passwords (RFC 6238)",
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column(
        "account_id", ForeignKey("second_factors.account_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("code_hash", LargeBinary, primary_key=True, comment="SHA-256 of the code, which is not stored"),
    comment="Recovery codes that are left: each stands in for a second factor once",
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("withdrawal_id", BigInteger, Identity(always=True), primary_key=True),
    Column("shard", Integer, nullable=False),
    Column("account_id", ForeignKey("users.account_id"), nullable=False),
    Column("reference", Text, nullable=False, comment="in the account's words; the same again is the same withdrawal"),
    Column("asset", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="units of the asset"),
    Column("destination", Text, nullable=False),
    Column("custody", Text, nullable=False, comment="the adapter that it goes out by"),
    Column("state", Text, nullable=False, comment="created, requested, sent, refusing; ended: completed, refused"),
    Column("sequence", BigInteger, comment="of the transfer that took it from the balance"),
    Column("refund_sequence", BigInteger, comment="of the transfer that gave it back"),
    Column("outside_id", Text, comment="what the outside knows it by"),
    Column("refusal", Text, comment="why the custody refused it"),
    Column("tries", Integer, nullable=False, comment="of the next step"),
    Column("due_ns", BigInteger, nullable=False, comment="when to take the next step"),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    CheckConstraint(
        "state IN ('created', 'requested', 'sent', 'refusing', 'completed', 'refused')",
        name="state",
    ),
    CheckConstraint("state = 'created' OR sequence IS NOT NULL", name="debited"),
    CheckConstraint("(state = 'refused') = (refund_sequence IS NOT NULL)", name="refunded"),
    UniqueConstraint("account_id", "reference"),
    Index(None, "account_id", "withdrawal_id"),
    Index("ix_withdrawals_due", "due_ns", postgresql_where=text("state NOT IN ('completed', 'refused')")),
    comment="Withdrawals and how far each has come; the money is in the ledger",
)

attempts = Table(
    "attempts",
    metadata,
    Column("subject", LargeBinary, primary_key=True, comment="SHA-256 of the account or address tried"),
    Column("full_at_ns", BigInteger, nullable=False, comment="when its allowance is whole again"),
    Index(None, "full_at_ns"),
    comment="Attempts at secrets, by what was tried: a token bucket a row, worthless once it is whole again",
    prefixes=["UNLOGGED"],
)


# --- Operators: what they did, and money that two of them move ------------------------------------------------------

audit_log = Table(
    "audit_log",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, ...; the trigger counts"),
    Column("recorded_ns", BigInteger, nullable=False, comment="the database's clock"),
    Column("actor_account", BigInteger, comment="none: the operator at a command line"),
    Column("actor", Text, nullable=False, comment="username, or the operator's name on their machine"),
    Column("address", Text, nullable=False, comment="from where: network address, or host"),
    Column("action", Text, nullable=False),
    Column("parameters", Text, nullable=False, comment="JSON, as it was sealed"),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, comment="why it was refused, or is not known"),
    Column("intent", BigInteger, comment="the row of the intent that this is the outcome of"),
    Column("journal_sequence", BigInteger, comment="of the command that carried it out"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 over the hash before and this row"),
    CheckConstraint("outcome IN ('Intended', 'Done', 'Refused', 'Unknown')", name="outcome"),
    comment="What was done with an operator's power. Append only; triggers count and seal every row",
)

adjustments = Table(
    "adjustments",
    metadata,
    Column("adjustment_id", BigInteger, Identity(always=True), primary_key=True),
    Column("account", ForeignKey("users.account_id"), nullable=False),
    Column("asset", Integer, nullable=False),
    Column("direction", Text, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("proposed_by", ForeignKey("users.account_id"), nullable=False),
    Column("proposed_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False, comment="until when it can be approved"),
    Column("decided_by", ForeignKey("users.account_id"), comment="who approved, rejected or withdrew it"),
    Column("decided_ns", BigInteger),
    Column("journal_sequence", BigInteger, comment="of the transfer, or of its refusal"),
    Column("refusal", Text, comment="why the exchange refused it"),
    CheckConstraint("direction IN ('Credit', 'Debit')", name="direction"),
    CheckConstraint("units > 0", name="units"),
    CheckConstraint(
        "status IN ('Proposed', 'Approved', 'Executed', 'Refused', 'Rejected', 'Withdrawn')", name="status"
    ),
    CheckConstraint(
        "status IN ('Proposed', 'Rejected', 'Withdrawn') OR coalesce(decided_by <> proposed_by, false)",
        name="four_eyes",
    ),
    Index("ix_adjustments_approved", "adjustment_id", postgresql_where=text("status = 'Approved'")),
    comment="Corrections of balances: one admin proposes, another approves",
)


# --- Projections: rebuilt from the journal at any time -----------------------------------------------------------

watermarks = Table(
    "watermarks",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False, comment="the last journal entry that the projection includes"),
    comment="How far each projection has followed the journal",
)

assets = Table(
    "assets",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("asset", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("scale", SmallInteger, nullable=False, comment="one asset is 10**scale units"),
    Column("sequence", BigInteger, nullable=False, comment="of its definition"),
    UniqueConstraint("shard", "name"),
    comment="Projection catalogue: assets",
)

markets = Table(
    "markets",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("market", Integer, primary_key=True, autoincrement=False),
    Column("symbol", Text, nullable=False),
    Column("base", Integer, nullable=False, comment="asset"),
    Column("quote", Integer, nullable=False, comment="asset"),
    Column("maker_fee_ppm", Integer, nullable=False),
    Column("taker_fee_ppm", Integer, nullable=False),
    Column("lot_units", BigInteger, nullable=False, comment="base units a lot"),
    Column("tick_lot_units", BigInteger, nullable=False, comment="quote units that a lot costs at one tick"),
    Column("quantity_lots_min", BigInteger, nullable=False),
    Column("quantity_lots_max", BigInteger, nullable=False),
    Column("notional_units_min", BigInteger, nullable=False),
    Column("price_ticks_max", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False, comment="of its definition"),
    Column("open_orders_max", BigInteger, nullable=False, server_default="0", comment="an account; 0 without limit"),
    Column("position_lots_max", BigInteger, nullable=False, server_default="0", comment="an account; 0 without limit"),
    Column("band_ppm", Integer, nullable=False, server_default="0", comment="width of the price band; 0 without"),
    Column("band_action", SmallInteger, nullable=False, server_default="0", comment="0 reject, 1 auction"),
    Column("band_interval_ns", BigInteger, nullable=False, server_default="0"),
    Column("band_auction_ns", BigInteger, nullable=False, server_default="0"),
    Column(
        "mode",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="0 open, 1 cancel-only, 2 post-only, 3 halted, 4 auction",
    ),
    UniqueConstraint("shard", "symbol"),
    comment="Projection catalogue: markets, on the terms in force",
)

orders = Table(
    "orders",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("order_id", BigInteger, primary_key=True, autoincrement=False, comment="the sequence of its command"),
    Column("account", BigInteger, nullable=False),
    Column("client_order_id", Text),
    Column("market", Integer, nullable=False),
    Column("side", SmallInteger, nullable=False, comment="1 buy, 2 sell"),
    Column(
        "order_type",
        SmallInteger,
        nullable=False,
        comment="1 market, 2 limit, 3 stop, 4 stop-limit, 5 take-profit, 6 take-profit-limit, 7 trailing stop",
    ),
    Column("time_in_force", SmallInteger, nullable=False, comment="0 day, 1 GTC, 3 IOC, 4 FOK, 6 GTD"),
    Column("flags", SmallInteger, nullable=False, comment="1 post-only, 2 slide"),
    Column("price_ticks", BigInteger, nullable=False, comment="0: none, and no protection price"),
    Column("quantity_lots", BigInteger, nullable=False),
    Column("remaining_lots", BigInteger, nullable=False, comment="0 once it has ended"),
    Column("filled_lots", BigInteger, nullable=False),
    Column("filled_quote_units", Total, nullable=False),
    Column("fee_units", Total, nullable=False, comment="of the asset it receives: base for a buy, quote for a sell"),
    Column(
        "status",
        SmallInteger,
        nullable=False,
        comment="0 waiting, 1 open, 2 partially filled, 3 filled, 4 cancelled, 5 expired, 6 rejected in its turn",
    ),
    Column("end_reason", SmallInteger, nullable=False, comment="why it ended without being filled, else 0"),
    Column("sequence", BigInteger, nullable=False, comment="of the last command that touched it"),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column(
        "self_trade",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="0 trades, 1 cancel newest, 2 oldest, 3 both, 4 decrement",
    ),
    Column("prevented_lots", BigInteger, nullable=False, server_default="0", comment="self-trades that did not happen"),
    Column("quote_units", BigInteger, nullable=False, server_default="0", comment="a market order by amount, else 0"),
    Column("trigger_price_ticks", BigInteger, nullable=False, server_default="0", comment="as an event told it last"),
    Column("trail_ticks", BigInteger, nullable=False, server_default="0"),
    Column("display_lots", BigInteger, nullable=False, server_default="0", comment="an iceberg, else 0"),
    Column("visible_lots", BigInteger, nullable=False, server_default="0", comment="what an iceberg shows now"),
    Column("min_quantity_lots", BigInteger, nullable=False, server_default="0"),
    Column("expire_ns", BigInteger, nullable=False, server_default="0"),
    Column("other_leg_id", BigInteger, nullable=False, server_default="0", comment="one cancels the other"),
    Column("parent_id", BigInteger, nullable=False, server_default="0", comment="whose end activates it"),
    Column("child_id", BigInteger, nullable=False, server_default="0", comment="what its end activates"),
    Column("waiting", SmallInteger, nullable=False, server_default="0", comment="1 for its trigger, 2 for its parent"),
    Column("amendments", Integer, nullable=False, server_default="0"),
    Index(None, "shard", "account", "order_id"),
    Index("ix_orders_open", "shard", "account", "order_id", postgresql_where=text("status <= 2")),
    Index(
        "uq_orders_client_order_id",
        "shard",
        "account",
        "client_order_id",
        unique=True,
        postgresql_where=text("client_order_id IS NOT NULL"),
    ),
    comment="Projection orders: accepted orders in their latest state",
    # Room for the next states of an order on its own page.
    postgresql_with={"fillfactor": 80},
)

rejections = Table(
    "rejections",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("account", BigInteger, nullable=False),
    Column("client_order_id", Text, nullable=False),
    Column("reason", SmallInteger, nullable=False),
    Column("market", BigInteger, nullable=False),
    Column("side", SmallInteger, nullable=False),
    Column("order_type", SmallInteger, nullable=False),
    Column("time_in_force", SmallInteger, nullable=False),
    Column("flags", SmallInteger, nullable=False),
    Column("price_ticks", BigInteger, nullable=False),
    Column("quantity_lots", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    UniqueConstraint("shard", "account", "client_order_id"),
    comment="Projection orders: refused orders that had a client order id, which gets the same refusal for ever",
)

trades = Table(
    "trades",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("trade_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("market", Integer, nullable=False),
    Column("side", SmallInteger, nullable=False, comment="the taker's"),
    Column("price_ticks", BigInteger, nullable=False),
    Column("quantity_lots", BigInteger, nullable=False),
    Column("notional_units", BigInteger, nullable=False, comment="quote units"),
    Column("taker_order_id", BigInteger, nullable=False),
    Column("maker_order_id", BigInteger, nullable=False),
    Column("executed_ns", BigInteger, nullable=False),
    Index(None, "shard", "market", "trade_id"),
    Column("is_auction", Boolean, nullable=False, server_default="false", comment="nobody was the taker"),
    comment="Projection trades: what the public sees of them",
)

fills = Table(
    "fills",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("trade_id", BigInteger, primary_key=True, autoincrement=False),
    Column("is_maker", Boolean, primary_key=True, comment="an account that trades with itself has two fills a trade"),
    Column("order_id", BigInteger, nullable=False),
    Column("market", Integer, nullable=False),
    Column("side", SmallInteger, nullable=False),
    Column("price_ticks", BigInteger, nullable=False),
    Column("quantity_lots", BigInteger, nullable=False),
    Column(
        "fee_units", BigInteger, nullable=False, comment="of the asset it receives: base for a buy, quote for a sell"
    ),
    Column("sequence", BigInteger, nullable=False),
    Column("executed_ns", BigInteger, nullable=False),
    Index(None, "shard", "order_id", "trade_id"),
    Column("is_auction", Boolean, nullable=False, server_default="false", comment="nobody was the taker"),
    comment="Projection trades: the two sides of every trade, as each order's owner sees them",
)

balances = Table(
    "balances",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("asset", Integer, primary_key=True, autoincrement=False),
    Column("available", Total, nullable=False),
    Column("held", Total, nullable=False, comment="what the account's resting orders need"),
    Column("sequence", BigInteger, nullable=False, comment="of the last command that touched it"),
    CheckConstraint("available >= 0 OR account = 0", name="available"),
    CheckConstraint("held >= 0", name="held"),
    comment="Projection balances: account 0 is the outside world, 1 the exchange's revenue; an asset sums to zero",
    postgresql_with={"fillfactor": 80},
)

ledger = Table(
    "ledger",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("assets", ARRAY(Integer), nullable=False),
    Column(
        "kinds",
        ARRAY(SmallInteger),
        nullable=False,
        comment="1 deposit, 2 withdrawal, 3 hold, 4 release, 5 trade in, 6 trade out, 7 fee, 8 adjustment",
    ),
    Column("available_changes", ARRAY(BigInteger), nullable=False),
    Column("held_changes", ARRAY(BigInteger), nullable=False),
    Column("available_after", ARRAY(Total), nullable=False),
    Column("held_after", ARRAY(Total), nullable=False),
    Column("order_ids", ARRAY(BigInteger), nullable=False, comment="the orders that caused them"),
    Column("trade_ids", ARRAY(BigInteger), nullable=False, comment="the trades that caused them"),
    comment="Projection balances: all that a command did to an account; an entry each in the view ledger_entries",
)

# The same an entry a row, for whoever reads it.
ledger_entries = Table(
    "ledger_entries",
    MetaData(),  # a view
    Column("shard", Integer),
    Column("account", BigInteger),
    Column("sequence", BigInteger),
    Column("position", Integer, comment="among the account's entries of the command"),
    Column("asset", Integer),
    Column("kind", SmallInteger),
    Column("available_change", BigInteger),
    Column("held_change", BigInteger),
    Column("available_after", Total),
    Column("held_after", Total),
    Column("order_id", BigInteger),
    Column("trade_id", BigInteger),
    Column("created_ns", BigInteger),
    comment="Every change of a balance; the changes of a command sum to zero in each asset",
)

transfers = Table(
    "transfers",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("account", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False, comment="1 deposit, 2 withdrawal"),
    Column("asset", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="units of the asset"),
    Column("reference", Text, comment="in its maker's words: an account's transfer of that name, once for ever"),
    Column("reason", SmallInteger, nullable=False, comment="0: it happened; else why it was refused"),
    Column("created_ns", BigInteger, nullable=False),
    Index(None, "shard", "account", "sequence"),
    Index(
        "uq_transfers_reference",
        "shard",
        "account",
        "reference",
        unique=True,
        postgresql_where=text("reference IS NOT NULL"),
    ),
    comment="Projection transfers: deposits and withdrawals, and refused ones that had a reference",
)

account_fees = Table(
    "account_fees",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("maker_share_ppm", Integer, nullable=False, comment="millionths of a market's maker fee"),
    Column("taker_share_ppm", Integer, nullable=False, comment="millionths of a market's taker fee"),
    Column("sequence", BigInteger, nullable=False, comment="of the command that set them"),
    comment="Projection fees: what accounts pay of the markets' fees; one that is not here pays the whole",
)

account_volumes = Table(
    "account_volumes",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("day_ns", BigInteger, primary_key=True, autoincrement=False, comment="start of the day in UTC"),
    Column("market", Integer, primary_key=True, autoincrement=False),
    Column("quote_units", Total, nullable=False, comment="notional that it traded as maker or taker"),
    Column("sequence", BigInteger, nullable=False, comment="of the last trade in it"),
    comment="Projection volumes: what accounts traded with others, by day and market",
    postgresql_with={"fillfactor": 80},
)

candles_1m = Table(
    "candles_1m",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("market", Integer, primary_key=True, autoincrement=False),
    Column("opened_ns", BigInteger, primary_key=True, autoincrement=False, comment="start of the minute"),
    Column("open_ticks", BigInteger, nullable=False),
    Column("high_ticks", BigInteger, nullable=False),
    Column("low_ticks", BigInteger, nullable=False),
    Column("close_ticks", BigInteger, nullable=False),
    Column("volume_lots", Total, nullable=False),
    Column("quote_units", Total, nullable=False),
    Column("trades", BigInteger, nullable=False),
    comment="Projection candles: a minute of a market's trades; minutes without a trade have none",
)
