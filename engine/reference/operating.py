"""What operators do: definitions, terms and modes of markets, fees of accounts, money in and out."""

from engine.records import FEE_SHARE_PPM_MAX, REVENUE_ACCOUNT, UNITS_MAX, CommandKind, EventKind, Mode, Reason
from engine.reference.auction import leave_auction
from engine.reference.codec import (
    AssetCommand,
    FeesCommand,
    MarketCommand,
    ModeCommand,
    TermsCommand,
    TransferCommand,
)
from engine.reference.definitions import Asset, Definition, Terms, asset_is_valid, definition_is_valid, terms_are_valid
from engine.reference.market import Market
from engine.reference.matching import change_mode
from engine.reference.state import State


def define_asset(state: State, c: AssetCommand, record: bytes) -> None:
    """DEFINE_ASSET."""
    if not asset_is_valid(c, state.assets):
        state.reject(Reason.DEFINITION_INVALID, asset=c.asset)
        return
    state.assets.append(Asset.of(c))
    state.records[CommandKind.DEFINE_ASSET, c.asset] = record
    state.emit(EventKind.ASSET_DEFINED, asset=c.asset, amount=c.scale)


def define_market(state: State, c: MarketCommand, record: bytes) -> None:
    """DEFINE_MARKET."""
    if not definition_is_valid(c, state.assets, [market.definition for market in state.markets]):
        state.reject(Reason.DEFINITION_INVALID, market=c.market)
        return
    definition = Definition.of(c)
    state.markets.append(Market(definition, Terms.as_defined(definition)))
    state.records[CommandKind.DEFINE_MARKET, c.market] = record
    sizes = {"quantity_lots": c.lot_units, "amount": c.tick_lot_units}
    state.emit(EventKind.MARKET_DEFINED, market=c.market, asset=c.base, **sizes)


def configure_market(state: State, c: TermsCommand, record: bytes) -> None:
    """CONFIGURE_MARKET."""
    if not state.has_market(c.market):
        state.reject(Reason.UNKNOWN_MARKET, market=c.market)
        return
    market = state.markets[c.market - 1]
    if not terms_are_valid(c, market.definition):
        state.reject(Reason.DEFINITION_INVALID, market=c.market)
        return
    market.terms, market.configured = Terms.of(c), True
    state.records[CommandKind.CONFIGURE_MARKET, c.market] = record
    if c.band_ppm == 0:
        market.reference = market.reference_since = 0
    elif c.reference_price_ticks > 0:
        market.reference, market.reference_since = c.reference_price_ticks, c.timestamp_ns
    elif market.reference == 0 and market.last_price > 0:
        market.reference, market.reference_since = market.last_price, c.timestamp_ns
    state.emit(EventKind.MARKET_CONFIGURED, market=c.market)


def set_mode(state: State, c: ModeCommand) -> None:
    """SET_MODE."""
    reason = _why_no_mode(state, c)
    if reason:
        state.reject(reason, market=c.market)
        return
    market, mode = state.markets[c.market - 1], Mode(c.mode)
    leaves_auction = market.mode is Mode.AUCTION and mode is not Mode.AUCTION
    change = leave_auction if leaves_auction else change_mode
    change(state, market, mode, c.until_ns, Reason.BY_OPERATOR)


def _why_no_mode(state: State, c: ModeCommand) -> Reason:
    if not state.has_market(c.market):
        return Reason.UNKNOWN_MARKET
    if c.mode not in set(Mode):
        return Reason.MODE_INVALID
    ends = c.mode == Mode.AUCTION and c.until_ns > c.timestamp_ns
    return Reason.NONE if c.until_ns == 0 or ends else Reason.EXPIRE_TIME_INVALID


def set_fees(state: State, c: FeesCommand) -> None:
    """SET_FEES."""
    if c.account <= REVENUE_ACCOUNT:
        state.reject(Reason.ACCOUNT_INVALID)
    elif max(c.maker_share_ppm, c.taker_share_ppm) > FEE_SHARE_PPM_MAX:
        state.reject(Reason.DEFINITION_INVALID)
    else:
        state.set_shares(c.account, (c.maker_share_ppm, c.taker_share_ppm))
        shares = {"maker_share_ppm": c.maker_share_ppm, "taker_share_ppm": c.taker_share_ppm}
        state.emit(EventKind.FEES_SET, **shares)


def transfer(state: State, c: TransferCommand) -> None:
    """DEPOSIT and WITHDRAW."""
    reason = _why_no_transfer(state, c)
    if reason:
        state.reject(reason, asset=c.asset, amount=c.amount)
    elif c.kind == CommandKind.DEPOSIT:
        state.ledger.deposit(c.account, c.asset, c.amount)
        state.emit(EventKind.DEPOSITED, asset=c.asset, amount=c.amount)
    else:
        state.ledger.withdraw(c.account, c.asset, c.amount)
        state.emit(EventKind.WITHDRAWN, asset=c.asset, amount=c.amount)


def _why_no_transfer(state: State, c: TransferCommand) -> Reason:
    if c.account <= REVENUE_ACCOUNT:
        return Reason.ACCOUNT_INVALID
    if not 1 <= c.asset <= len(state.assets):
        return Reason.UNKNOWN_ASSET
    if not 1 <= c.amount < UNITS_MAX:
        return Reason.AMOUNT_OUT_OF_RANGE
    if c.kind == CommandKind.WITHDRAW and state.ledger.balance(c.account, c.asset)[0] < c.amount:
        return Reason.INSUFFICIENT_FUNDS
    return Reason.NONE
