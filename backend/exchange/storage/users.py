"""What an operator does to a user's access, on any database of an exchange, a running one included."""

import time

from exchange.storage.database import connect


async def set_frozen(url: str, username: str, frozen: bool) -> bool:
    """Freeze or thaw an account; running processes know within a second. False where there is no such user."""
    statement = "UPDATE users SET frozen_ns = CASE WHEN $2 THEN coalesce(frozen_ns, $3) END WHERE username = $1"
    return await _execute(url, statement, username.casefold(), frozen, time.time_ns()) > 0


async def remove_second_factor(url: str, username: str) -> bool:
    """Turn the second factor of a user off, who has lost it; False where there is no such user, or none is on."""
    statement = "DELETE FROM second_factors USING users WHERE users.account_id = second_factors.account_id"
    return await _execute(url, f"{statement} AND username = $1", username.casefold()) > 0


async def _execute(url: str, statement: str, *values: str | bool | int) -> int:
    """Return how many rows a statement changed."""
    connection = await connect(url)
    try:
        status = await connection.execute(statement, *values)
    finally:
        await connection.close()
    return int(status.rsplit(" ", 1)[1])
