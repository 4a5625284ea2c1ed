"""Which command is which."""

from engine.records import (
    ASSET_COMMAND,
    FEES_COMMAND,
    MARKET_COMMAND,
    MARKET_TERMS_COMMAND,
    MODE_COMMAND,
    ORDER_COMMAND,
    TRANSFER_COMMAND,
    CommandKind,
    Reason,
)
from engine.reference import amending, cancelling, operating, placing
from engine.reference.codec import (
    AssetCommand,
    Command,
    FeesCommand,
    MarketCommand,
    ModeCommand,
    OrderCommand,
    TermsCommand,
    TransferCommand,
    decode,
)
from engine.reference.state import State

VERSION_1_KINDS = frozenset(range(CommandKind.DEFINE_ASSET, CommandKind.CANCEL + 1))
KINDS = {1: VERSION_1_KINDS, 2: frozenset(CommandKind)}

_ORDER_COMMANDS = {
    CommandKind.PLACE: placing.place,
    CommandKind.CANCEL: cancelling.cancel,
    CommandKind.AMEND: amending.amend,
    CommandKind.CANCEL_REPLACE: cancelling.cancel_replace,
    CommandKind.MASS_CANCEL: cancelling.mass_cancel,
    CommandKind.CANCEL_AFTER: cancelling.cancel_after,
}


def execute(state: State, header: Command, record: bytes) -> None:
    """The command itself."""
    if header.kind not in KINDS.get(header.version, ()):
        state.reject(Reason.UNKNOWN_KIND)
        return
    kind = CommandKind(header.kind)
    match kind:
        case CommandKind.DEFINE_ASSET:
            operating.define_asset(state, decode(record, ASSET_COMMAND, AssetCommand), record)
        case CommandKind.DEFINE_MARKET:
            operating.define_market(state, decode(record, MARKET_COMMAND, MarketCommand), record)
        case CommandKind.CONFIGURE_MARKET:
            operating.configure_market(state, decode(record, MARKET_TERMS_COMMAND, TermsCommand), record)
        case CommandKind.SET_MODE:
            operating.set_mode(state, decode(record, MODE_COMMAND, ModeCommand))
        case CommandKind.DEPOSIT | CommandKind.WITHDRAW:
            operating.transfer(state, decode(record, TRANSFER_COMMAND, TransferCommand))
        case CommandKind.SET_FEES:
            operating.set_fees(state, decode(record, FEES_COMMAND, FeesCommand))
        case CommandKind.CLOCK:
            pass
        case _:
            _ORDER_COMMANDS[kind](state, decode(record, ORDER_COMMAND, OrderCommand))
