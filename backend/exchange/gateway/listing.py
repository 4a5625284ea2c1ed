"""What the exchange trades: listing assets and markets, changing terms, setting modes. Each is a recorded command."""

import asyncio
import time
from typing import Any

from engine.records import Mode, Reason
from exchange.contracts import commands
from exchange.contracts.events import find_refusal
from exchange.contracts.orders import parse_time_ns, timestamp_text
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.contracts.units import Asset, Market
from exchange.gateway import market_terms
from exchange.gateway.admin_schemas import MarketTerms, ModeChange, NewAsset, NewMarket
from exchange.gateway.context import Exchange
from exchange.storage.audit_log import Actor, Command, recorded_command
from exchange.storage.journal import Entry

MODES = {
    "Open": Mode.OPEN,
    "CancelOnly": Mode.CANCEL_ONLY,
    "PostOnly": Mode.POST_ONLY,
    "Halted": Mode.HALTED,
    "Auction": Mode.AUCTION,
}


async def submit(exchange: Exchange, recorded: Command, command: bytearray) -> Entry:
    """Return the entry of a command that was accepted. Raises Refused as the engine and the corridor do."""
    entry = await exchange.corridor.submit(command)
    recorded.journal_sequence = recorded.journal_sequence or entry.sequence
    refusal = find_refusal(entry.events)
    if refusal is not None:
        raise Refused(refusal)
    return entry


class Listing:
    """One change at a time: numbers are given in order, and terms are changed from what they are."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._turn = asyncio.Lock()

    async def add_asset(self, actor: Actor, body: NewAsset) -> Asset:
        """List an asset. Raises Refused ALREADY_DEFINED, LIMIT_REACHED, or as ``submit``."""
        async with self._turn:
            assets = self._exchange.catalogue.assets
            if any(asset.name == body.name for asset in assets.values()):
                detail = f"{body.name} is listed already"
                raise refuse(EdgeReason.ALREADY_DEFINED, detail, field="name", limit="unique")
            number, limit = len(assets) + 1, str(market_terms.ASSETS_MAX)
            if number > market_terms.ASSETS_MAX:
                detail = f"an exchange has {limit} assets at most"
                raise refuse(EdgeReason.LIMIT_REACHED, detail, field="name", limit=limit)
            async with self._recorded(actor, "asset.create", body.model_dump()) as recorded:
                await submit(self._exchange, recorded, commands.define_asset(number, body.name, body.scale))
        return Asset(number, body.name, body.scale)

    async def add_market(self, actor: Actor, body: NewMarket) -> Market:
        """List a market: its definition, then terms and mode where it begins with others than the definition tells.

        Raises Refused as ``market_terms.new_market`` and ``submit``.
        """
        async with self._turn:
            market = market_terms.new_market(body, self._exchange.catalogue)
            reference_ticks = market_terms.reference_ticks(body, market)
            parameters = body.model_dump(exclude_unset=True)
            async with self._recorded(actor, "market.create", parameters) as recorded:
                await submit(self._exchange, recorded, market_terms.define_command(market))
                if market_terms.has_terms_of_its_own(market):
                    await submit(self._exchange, recorded, market_terms.configure_command(market, reference_ticks))
                if body.mode != "Open":
                    await submit(self._exchange, recorded, commands.set_mode(market.number, MODES[body.mode]))
        return market

    async def change_terms(self, actor: Actor, symbol: str, body: MarketTerms) -> Market:
        """Change what a request names of a market's terms; live orders stay as they are.

        Raises Refused UNKNOWN_SYMBOL, as ``market_terms.changed`` and ``submit``.
        """
        async with self._turn:
            market = market_terms.changed(self._exchange.catalogue.market(symbol), body)
            reference_ticks = market_terms.reference_ticks(body, market)
            parameters = {"symbol": market.symbol} | body.model_dump(exclude_unset=True)
            async with self._recorded(actor, "market.change_terms", parameters) as recorded:
                await submit(self._exchange, recorded, market_terms.configure_command(market, reference_ticks))
        return market

    async def set_mode(self, actor: Actor, symbol: str, body: ModeChange) -> Market:
        """Say what a market lets happen. Raises Refused UNKNOWN_SYMBOL, EXPIRE_TIME_INVALID, or as ``submit``."""
        market = self._exchange.catalogue.market(symbol)
        until_ns = _until_ns(body)
        parameters = {"symbol": market.symbol} | body.model_dump(exclude_unset=True)
        async with self._recorded(actor, "market.set_mode", parameters) as recorded:
            await submit(self._exchange, recorded, commands.set_mode(market.number, MODES[body.mode], until_ns))
        return market

    def _recorded(self, actor: Actor, action: str, parameters: dict[str, Any]) -> Any:
        return recorded_command(self._exchange.database.engine, actor, action, parameters)


def _until_ns(body: ModeChange) -> int:
    if body.until is None:
        return 0
    if body.mode != "Auction":
        raise refuse(Reason.EXPIRE_TIME_INVALID, "only an auction ends by itself", field="until", limit="null")
    until_ns, now_ns = parse_time_ns(body.until, "until"), time.time_ns()
    if until_ns <= now_ns:
        limit = f"after {timestamp_text(now_ns)}"
        raise refuse(Reason.EXPIRE_TIME_INVALID, f"until must be {limit}", field="until", limit=limit)
    return until_ns
