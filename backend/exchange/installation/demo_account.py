"""The demo login of an installation: an account with demo money, and a password that only this installation has."""

from sqlalchemy import select

from exchange.contracts import commands
from exchange.gateway.logins import Logins
from exchange.gateway.sessions import Device, Sessions
from exchange.gateway.totp import SecondFactors
from exchange.main import RunningExchange
from exchange.storage.tables import users

USERNAME = "demo"
_GIFT = {"USD": "100000", "BTC": "2", "ETH": "30"}


async def ensure_demo_account(exchange: RunningExchange, password: str) -> None:
    """Register the demo account unless it is there, and give it demo money where it has none."""
    account = await _account(exchange, password)
    for name, amount in _GIFT.items():
        asset = exchange.catalogue.asset(name)
        if exchange.corridor.balance(account, asset.number) == (0, 0):
            await exchange.corridor.submit(commands.deposit(account, asset.number, asset.to_units(amount, "amount")))


async def _account(exchange: RunningExchange, password: str) -> int:
    async with exchange.database.engine.connect() as connection:
        known = await connection.scalar(select(users.c.account_id).where(users.c.username == USERNAME))
    if known is not None:
        return int(known)
    engine = exchange.database.engine
    sessions = Sessions(engine, exchange.settings.jwt_secret)
    logins = Logins(engine, sessions, SecondFactors(engine, exchange.access.sealer))
    try:
        user, _ = await logins.register(USERNAME, password, Device("127.0.0.1"))
    finally:
        logins.close()
    return user.account_id
