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
