"""Alembic runs this for every command. `exchange.storage.migrate` hands it a connection that holds the lock."""

from alembic import context
from sqlalchemy import Connection

from exchange.storage.tables import metadata

connection: Connection | None = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through `exchange db upgrade`, which takes the lock that keeps two from meeting")
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
