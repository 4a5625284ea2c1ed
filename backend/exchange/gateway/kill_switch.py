"""Cancel everything that an account has in the market."""

from engine.records import EventKind
from exchange.contracts import commands
from exchange.contracts.events import read_events
from exchange.gateway.context import Exchange


async def cancel_all(exchange: Exchange, account: int) -> int:
    """Cancel all live orders of an account but those in halted markets; return how many it was.

    Raises Refused as the corridor does.
    """
    entry = await exchange.corridor.submit(commands.mass_cancel(account))
    events = read_events(entry.events)
    return sum(event.quantity_lots for event in events if event.kind == EventKind.MASS_CANCELLED)
