import type { Balance, Fill, Order } from "./types";

export type PublicChannel = "depth" | "trades" | "ticker";
export type Channel = PublicChannel | "orders";

type Level = readonly [price: string, quantity: string];

export interface TradeItem {
  readonly trade_id: string;
  readonly price: string;
  readonly quantity: string;
  readonly side: "Buy" | "Sell";
  readonly executed_at: string;
  readonly timestamp_ns: number;
}

export interface DepthMessage {
  readonly type: "snapshot" | "update";
  readonly bids: readonly Level[];
  readonly asks: readonly Level[];
}

export interface TradesMessage {
  readonly type: "snapshot" | "update";
  readonly trades: readonly TradeItem[];
}

export interface TickerMessage {
  readonly type: "snapshot" | "update";
  readonly last_price: string | null;
  readonly best_bid: string | null;
  readonly best_ask: string | null;
  readonly volume_24h: string | null;
  readonly change_24h: string | null;
  readonly high_24h: string | null;
  readonly low_24h: string | null;
}

export interface OrdersMessage {
  readonly type: "snapshot" | "update";
  readonly orders: readonly Order[];
  readonly fills?: readonly Fill[];
  readonly balances: readonly Balance[];
}

/** What each channel's snapshots and updates carry beside their sequence. */
export interface ChannelMessages {
  depth: DepthMessage;
  trades: TradesMessage;
  ticker: TickerMessage;
  orders: OrdersMessage;
}

/** Everything that the server may send, as far as the stream itself has to know it. */
export interface ServerMessage {
  readonly type: "snapshot" | "update" | "ack" | "error" | "heartbeat" | "shutdown";
  readonly id?: number;
  readonly channel?: Channel;
  readonly symbol?: string;
  readonly sequence?: number;
  readonly prev_sequence?: number;
  readonly reason?: string;
  readonly detail?: string;
  /** shutdown: when to connect again; each client is told another time. */
  readonly reconnect_after_ms?: number;
}
