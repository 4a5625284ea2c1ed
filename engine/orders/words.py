"""What the API calls that which records hold as numbers."""

from engine.records import OrderType, SelfTrade, Side, TimeInForce

# By number: an enum member is its number, and records hold numbers.
SIDE_NAMES: dict[int, str] = {Side.BUY: "Buy", Side.SELL: "Sell"}
ORDER_TYPE_NAMES: dict[int, str] = {
    OrderType.MARKET: "Market",
    OrderType.LIMIT: "Limit",
    OrderType.STOP: "Stop",
    OrderType.STOP_LIMIT: "StopLimit",
    OrderType.TAKE_PROFIT: "TakeProfit",
    OrderType.TAKE_PROFIT_LIMIT: "TakeProfitLimit",
    OrderType.TRAILING_STOP: "TrailingStop",
}
TIME_IN_FORCE_NAMES: dict[int, str] = {member: member.name for member in TimeInForce}
SELF_TRADE_NAMES: dict[int, str] = {
    SelfTrade.NONE: "None",
    SelfTrade.CANCEL_NEWEST: "CancelNewest",
    SelfTrade.CANCEL_OLDEST: "CancelOldest",
    SelfTrade.CANCEL_BOTH: "CancelBoth",
    SelfTrade.DECREMENT: "Decrement",
}
STATUS_NAMES: dict[int, str] = {  # by OrderStatus of exchange/contracts/order_state.py
    0: "Waiting",
    1: "Open",
    2: "PartiallyFilled",
    3: "Filled",
    4: "Cancelled",
    5: "Expired",
    6: "Rejected",
}
WAITING_NAMES: dict[int, str | None] = {0: None, 1: "Trigger", 2: "Parent"}  # by what ACCEPTED tells
