"""Refusals: one value and one problem+json shape per reason (RFC 9457)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from engine.records import Reason


class EdgeReason(IntEnum):
    """Refusals of the HTTP and WebSocket edge that are no order reasons. Numbered 9xxx."""

    UNAUTHENTICATED = 9001
    TOKEN_EXPIRED = 9002
    FORBIDDEN = 9003
    NOT_FOUND = 9004
    NOT_RECEIVED = 9005
    METHOD_NOT_ALLOWED = 9006
    THROTTLED = 9007
    CREDENTIALS_INVALID = 9008
    USERNAME_TAKEN = 9009
    OVERLOADED = 9010
    UNAVAILABLE = 9011
    OUTCOME_UNKNOWN = 9012
    FIELD_INVALID = 9013
    UNSUPPORTED_MEDIA_TYPE = 9014
    SIGNATURE_INVALID = 9015
    KEY_REVOKED = 9016
    KEY_EXPIRED = 9017
    TIMESTAMP_INVALID = 9018
    REPLAYED = 9019
    ADDRESS_FORBIDDEN = 9020
    SCOPE_MISSING = 9021
    ACCOUNT_FROZEN = 9022
    MARKET_FORBIDDEN = 9023
    NOTIONAL_CAPPED = 9024
    LIMIT_REACHED = 9025
    SECOND_FACTOR_REQUIRED = 9026
    SECOND_FACTOR_INVALID = 9027
    SECOND_FACTOR_STATE = 9028
    ADMIN_ONLY = 9029
    ALREADY_DEFINED = 9030
    ADJUSTMENT_STATE = 9031
    FOUR_EYES = 9032
    REFERENCE_REUSED = 9040
    INTERNAL = 9099


AnyReason = Reason | EdgeReason


@dataclass(frozen=True, slots=True)
class ReasonText:
    """How a reason is answered: HTTP status and a title that a trader understands."""

    status: int
    title: str


TEXTS: dict[AnyReason, ReasonText] = {
    Reason.MALFORMED: ReasonText(400, "The request cannot be read"),
    Reason.UNKNOWN_SYMBOL: ReasonText(422, "There is no such market"),
    Reason.PRICE_OFF_TICK: ReasonText(422, "The price is not a multiple of the tick size"),
    Reason.QUANTITY_OFF_LOT: ReasonText(422, "The quantity is not a multiple of the lot size"),
    Reason.CLIENT_ORDER_ID_INVALID: ReasonText(422, "The client order id is not valid"),
    Reason.BODY_TOO_LARGE: ReasonText(413, "The request body is too large"),
    Reason.UNKNOWN_KIND: ReasonText(422, "There is no such command"),
    Reason.UNKNOWN_MARKET: ReasonText(422, "There is no such market"),
    Reason.UNKNOWN_ASSET: ReasonText(422, "There is no such asset"),
    Reason.SIDE_INVALID: ReasonText(422, "The side must be Buy or Sell"),
    Reason.ORDER_TYPE_INVALID: ReasonText(422, "There is no such order type"),
    Reason.TIME_IN_FORCE_INVALID: ReasonText(422, "The time in force does not fit the order"),
    Reason.FLAGS_INVALID: ReasonText(422, "Post-only needs a limit order that may rest"),
    Reason.PRICE_OUT_OF_RANGE: ReasonText(422, "The price is outside the market's range"),
    Reason.QUANTITY_OUT_OF_RANGE: ReasonText(422, "The quantity is outside the market's range"),
    Reason.NOTIONAL_TOO_SMALL: ReasonText(422, "The order's value is below the market's minimum"),
    Reason.NOTIONAL_TOO_LARGE: ReasonText(422, "The order's value is above what the exchange can hold"),
    Reason.AMOUNT_OUT_OF_RANGE: ReasonText(422, "The amount is outside the allowed range"),
    Reason.DEFINITION_INVALID: ReasonText(422, "The definition is not valid"),
    Reason.ACCOUNT_INVALID: ReasonText(422, "The account is not valid"),
    Reason.TRIGGER_PRICE_INVALID: ReasonText(422, "The trigger price does not fit the order"),
    Reason.TRAIL_INVALID: ReasonText(422, "The trail does not fit the order"),
    Reason.DISPLAY_QUANTITY_INVALID: ReasonText(422, "The displayed quantity does not fit the order"),
    Reason.MIN_QUANTITY_INVALID: ReasonText(422, "The minimum quantity does not fit the order"),
    Reason.EXPIRE_TIME_INVALID: ReasonText(422, "The expiry does not fit the order"),
    Reason.SELF_TRADE_INVALID: ReasonText(422, "The self-trade prevention does not fit the order"),
    Reason.LINK_INVALID: ReasonText(422, "The orders cannot be linked like this"),
    Reason.MODE_INVALID: ReasonText(422, "There is no such market mode"),
    Reason.SCOPE_INVALID: ReasonText(422, "The price range to cancel in is not valid"),
    Reason.INSUFFICIENT_FUNDS: ReasonText(422, "The available balance is too low"),
    Reason.CLIENT_ORDER_ID_REUSED: ReasonText(409, "The client order id belongs to a different order"),
    Reason.FAUCET_LIMIT: ReasonText(422, "The faucet's limit for today is reached"),
    Reason.OPEN_ORDERS_LIMIT: ReasonText(422, "The account has too many live orders in this market"),
    Reason.POSITION_LIMIT: ReasonText(422, "The account may not own more of this"),
    Reason.POST_ONLY_WOULD_CROSS: ReasonText(422, "The post-only order would have traded at once"),
    Reason.FOK_NOT_FILLABLE: ReasonText(422, "The order cannot be filled completely now"),
    Reason.UNKNOWN_ORDER: ReasonText(404, "There is no such order"),
    Reason.ORDER_ENDED: ReasonText(409, "The order has already ended"),
    Reason.MARKET_CANCEL_ONLY: ReasonText(422, "The market takes nothing but cancels now"),
    Reason.MARKET_POST_ONLY: ReasonText(422, "The market takes only orders that do not trade at once now"),
    Reason.MARKET_HALTED: ReasonText(422, "The market is halted"),
    Reason.MARKET_IN_AUCTION: ReasonText(422, "The market is in an auction, which takes only orders that may rest"),
    Reason.PRICE_BAND: ReasonText(422, "The price is too far from the market's"),
    Reason.TRIGGER_ALREADY_MET: ReasonText(422, "The last price meets the trigger already"),
    Reason.MIN_QUANTITY_NOT_FILLABLE: ReasonText(422, "The minimum quantity cannot be filled now"),
    Reason.QUANTITY_BELOW_FILLED: ReasonText(422, "The order has filled that much already"),
    Reason.TRAILING_ORDERS_FULL: ReasonText(422, "The market has as many trailing stops as it can take"),
    Reason.NO_LIQUIDITY: ReasonText(422, "There is nothing in the book to trade with"),
    EdgeReason.UNAUTHENTICATED: ReasonText(401, "Sign in first"),
    EdgeReason.TOKEN_EXPIRED: ReasonText(401, "The access token has expired"),
    EdgeReason.FORBIDDEN: ReasonText(403, "This is forbidden"),
    EdgeReason.NOT_FOUND: ReasonText(404, "There is nothing here"),
    EdgeReason.NOT_RECEIVED: ReasonText(404, "No order with this client order id was received"),
    EdgeReason.METHOD_NOT_ALLOWED: ReasonText(405, "The method is not allowed here"),
    EdgeReason.THROTTLED: ReasonText(429, "Too many requests"),
    EdgeReason.CREDENTIALS_INVALID: ReasonText(401, "The username or the password is wrong"),
    EdgeReason.USERNAME_TAKEN: ReasonText(409, "The username is taken"),
    EdgeReason.OVERLOADED: ReasonText(503, "The exchange is overloaded"),
    EdgeReason.UNAVAILABLE: ReasonText(503, "The exchange is not taking orders"),
    EdgeReason.OUTCOME_UNKNOWN: ReasonText(503, "The outcome of the request is not known"),
    EdgeReason.FIELD_INVALID: ReasonText(422, "A field is not valid"),
    EdgeReason.UNSUPPORTED_MEDIA_TYPE: ReasonText(415, "The body must be application/json"),
    EdgeReason.SIGNATURE_INVALID: ReasonText(401, "The key or its signature is not valid"),
    EdgeReason.KEY_REVOKED: ReasonText(401, "The API key was revoked"),
    EdgeReason.KEY_EXPIRED: ReasonText(401, "The API key has expired"),
    EdgeReason.TIMESTAMP_INVALID: ReasonText(401, "The request is too old or from the future"),
    EdgeReason.REPLAYED: ReasonText(401, "The signed request was received before"),
    EdgeReason.ADDRESS_FORBIDDEN: ReasonText(403, "The API key may not be used from this address"),
    EdgeReason.SCOPE_MISSING: ReasonText(403, "The API key may not do this"),
    EdgeReason.ACCOUNT_FROZEN: ReasonText(403, "The account is frozen"),
    EdgeReason.MARKET_FORBIDDEN: ReasonText(403, "The API key may not trade on this market"),
    EdgeReason.NOTIONAL_CAPPED: ReasonText(403, "The order is worth more than the API key allows"),
    EdgeReason.LIMIT_REACHED: ReasonText(409, "There are as many as there may be"),
    EdgeReason.SECOND_FACTOR_REQUIRED: ReasonText(401, "A code of the second factor is needed"),
    EdgeReason.SECOND_FACTOR_INVALID: ReasonText(401, "The code is wrong or was used before"),
    EdgeReason.SECOND_FACTOR_STATE: ReasonText(409, "The second factor is not in that state"),
    EdgeReason.ADMIN_ONLY: ReasonText(403, "Only an admin may do this"),
    EdgeReason.ALREADY_DEFINED: ReasonText(409, "There is one of that name"),
    EdgeReason.ADJUSTMENT_STATE: ReasonText(409, "The adjustment is not in that state"),
    EdgeReason.FOUR_EYES: ReasonText(403, "This is for another admin to decide"),
    EdgeReason.REFERENCE_REUSED: ReasonText(409, "The reference belongs to a different transfer"),
    EdgeReason.INTERNAL: ReasonText(500, "Something broke on our side"),
}

#: Why an accepted order may end without being filled. Those below 4000 met it when it fired, or its parent traded.
END_REASONS = (
    Reason.CANCELLED_BY_OWNER,
    Reason.IOC_REMAINDER,
    Reason.NO_LIQUIDITY,
    Reason.EXPIRED,
    Reason.SELF_TRADE,
    Reason.LINKED_ORDER,
    Reason.MASS_CANCEL,
    Reason.REPLACED,
    Reason.DEAD_MAN_TIMER,
    Reason.PRICE_BAND,
    Reason.INSUFFICIENT_FUNDS,
    Reason.NOTIONAL_TOO_LARGE,
    Reason.POST_ONLY_WOULD_CROSS,
)
#: Why a market's mode changes; PRICE_BAND is the third.
MODE_REASONS = (Reason.BY_OPERATOR, Reason.AUCTION_ENDED)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is refused: the field, the limit it broke and the nearest valid value, where they apply."""

    reason: AnyReason
    detail: str
    field: str | None = None
    limit: str | None = None
    nearest: str | None = None
    sequence: int | None = None
    retry_after_s: int | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def status(self) -> int:
        return TEXTS[self.reason].status

    def problem(self, request_id: str | None = None) -> dict[str, Any]:
        """The problem+json members."""
        members: dict[str, Any] = {
            "type": f"/problems/{self.reason.name.lower().replace('_', '-')}",
            "title": TEXTS[self.reason].title,
            "status": self.status,
            "detail": self.detail,
            "code": int(self.reason),
            "reason": self.reason.name,
        }
        if self.field is not None:
            members["field"] = self.field
            members["limit"] = self.limit
            members["nearest"] = self.nearest
        if self.sequence is not None:
            members["sequence"] = self.sequence
        if request_id is not None:
            members["request_id"] = request_id
        members.update(self.extra)
        return members


class Refused(Exception):
    """Carries a refusal from where it is found to the edge that answers it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.reason.name}: {refusal.detail}")
        self.refusal = refusal


def refuse(reason: AnyReason, detail: str, **members: Any) -> Refused:
    """Return the exception to raise, e.g. ``raise refuse(Reason.PRICE_OFF_TICK, "...", field="price")``."""
    return Refused(Refusal(reason, detail, **members))
